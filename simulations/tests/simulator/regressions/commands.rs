//! Commands at the wrong time.

use super::*;
use sluice_simulations::{Health, Version};

#[test]
fn commands_while_idle_write_nothing_but_their_own_end() {
    let status = |fields: Value| Command::Patch(rollout(), Part::Status, Box::new(json!({ "status": fields })));
    for strategy in [
        canary("", STEPS),
        blue_green(""),
        "canary: {steps: [{setWeight: 50}]}".to_owned(),
    ] {
        let idle = Scenario::new("idle", manifests(5, "", &strategy)).through_route("shop");
        let before = play(&idle, 1);
        let status_of =
            |played: &Played| played.cluster.get(Kind::Rollout, "shop").expect("it is there")["status"].clone();
        for (command, most) in [
            (Command::Abort(shop()), 1),
            (Command::Promote(shop()), 0),
            (Command::PromoteFull(shop()), 0),
            (Command::Retry(shop()), 1),
            // Sent by something that does not look first, as the command line does.
            (status(json!({ "promoteFull": true })), 1),
            (status(json!({ "pauseConditions": null, "currentStepIndex": 1 })), 1),
        ] {
            if !strategy.contains("steps")
                && matches!(&command, Command::Patch(_, _, change) if change.to_string().contains("StepIndex"))
            {
                // Nothing sends that where there are no steps.
                continue;
            }
            let played = play_without_loss(&idle.clone().at(100, command.clone()), 1);
            let written: Vec<&Change> = ours_from(&played, seconds(100)).collect();
            assert!(written.len() <= most, "{command:?}: {} writes", written.len());
            assert!(
                written
                    .iter()
                    .all(|change| change.key == rollout() && !changes(change, "/spec")),
                "{command:?}: {:?}",
                written.iter().map(|change| change.key.to_string()).collect::<Vec<_>>()
            );
            assert_eq!(played.last(), before.last(), "{command:?}");
            assert_eq!(
                status_of(&played),
                status_of(&before),
                "{command:?} leaves nothing behind"
            );
        }
    }
}

#[test]
fn what_was_aborted_never_grows_again_whatever_the_autoscaler_does() {
    for settings in [
        ", minPodsPerReplicaSet: 2",
        ", minPodsPerReplicaSet: 2, dynamicStableScale: true",
        ", minPodsPerReplicaSet: 2, abortScaleDownDelaySeconds: 0",
    ] {
        let scenario = updated("aborted-and-scaled", "", settings, STEPS)
            .at(120, Command::Abort(shop()))
            .at(125, Command::Scale(shop(), 10))
            .at(160, Command::Scale(shop(), 20));
        for seed in 1..=3 {
            let played = play_without_loss(&scenario, seed);
            let (stable, new) = (set_of(&played, 1), set_of(&played, 2));
            let sizes = sizes_from(&played, &new, seconds(120));
            assert!(sizes.is_sorted_by(|a, b| a > b), "{settings}: {sizes:?}");
            assert!(sizes.first().is_none_or(|size| *size < 2), "{settings}: {sizes:?}");
            let weights = weights_from(&played, seconds(120));
            assert!(weights.is_sorted_by(|a, b| a >= b), "{settings}: {weights:?}");
            assert_eq!(weights.last(), Some(&0), "{settings}");
            let object = played.cluster.store().get(&stable).expect("stable is there");
            assert_eq!(object["status"]["availableReplicas"], 20, "{settings}");
        }
    }
}

#[test]
fn an_abort_that_keeps_the_canary_switches_each_selector_at_most_once() {
    let scenario = updated("kept", "", ", abortScaleDownDelaySeconds: 0", STEPS).at(120, Command::Abort(shop()));
    for seed in 1..=8 {
        let played = play_without_loss(&scenario, seed);
        let aborted =
            "step 0 | canary 0 stable 100 | r1=5 r2=1 | Degraded: RolloutAborted: Rollout aborted update to revision 2";
        assert_eq!(played.last(), aborted, "the canary stays");
        for (service, most) in [("shop-stable", 0), ("shop-canary", 1)] {
            let switches = ours_from(&played, seconds(120))
                .filter(|change| &*change.key.name == service && changes(change, "/spec/selector"))
                .count();
            assert!(switches <= most, "seed {seed}: {service} is switched {switches} times");
        }
    }
}

#[test]
fn an_abort_of_a_full_promotion_that_waits_for_pods_ends_with_stable() {
    let promoted = |name| {
        updated(name, "", "", STEPS)
            .at(150, Command::PromoteFull(shop()))
            .at(170, Command::Abort(shop()))
    };
    let started_slowly = Version {
        start: 60_000..=60_000,
        ..Version::default()
    };
    for scenario in [
        promoted("never-ready").health("shop:v2", Health::NeverReady),
        promoted("only-one").health("shop:v2", Health::OnlyFirst(1)),
        promoted("slow").version("shop:v2", started_slowly),
    ] {
        for seed in 1..=3 {
            let played = play_without_loss(&scenario, seed);
            let pending = ours(&played).any(|change| change.object["status"]["promoteFull"] == true);
            assert!(pending, "{}: the promotion was under way", scenario.name);
            let end = "step 0 | canary 0 stable 100 | r1=5 r2=0 | Degraded: RolloutAborted: Rollout aborted update to revision 2";
            assert_eq!(played.last(), end, "{}", scenario.name);
            assert_eq!(played.status("/promoteFull"), Value::Null, "{}", scenario.name);
            let stable = played
                .cluster
                .store()
                .get(&set_of(&played, 1))
                .expect("stable is there");
            assert_eq!(stable["status"]["availableReplicas"], 5, "{}", scenario.name);
            let weights = weights_from(&played, seconds(170));
            assert!(weights.is_sorted_by(|a, b| a >= b), "{}: {weights:?}", scenario.name);
        }
    }
}
