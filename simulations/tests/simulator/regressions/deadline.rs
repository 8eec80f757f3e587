//! The progress deadline counts from the last progress, and not from what was before the present update, pause or abort.

use super::*;

fn paused(paused: bool) -> Command {
    patch(&rollout(), json!({ "spec": { "paused": paused } }))
}

/// Updated long after the deadline of whatever was before, and then left for longer than it again.
fn check(strategy: &str, at_pause: &str, done: &str) {
    let base = || {
        let scenario = Scenario::new("deadline", manifests(5, DEADLINE, strategy));
        scenario.through_route("shop").at(600, set_image("shop:v2"))
    };
    for (what, scenario, expected) in [
        ("a late update", base(), at_pause),
        (
            "a late retry",
            base().at(660, Command::Abort(shop())).at(900, Command::Retry(shop())),
            at_pause,
        ),
        (
            "the end of a long pause by spec.paused",
            base().at(601, paused(true)).at(900, paused(false)),
            at_pause,
        ),
        ("a late promotion", base().at(900, Command::Promote(shop())), done),
        (
            "a late full promotion",
            base().at(900, Command::PromoteFull(shop())),
            done,
        ),
    ] {
        for seed in 1..=3 {
            let played = play_without_loss(&scenario, seed);
            assert_eq!(played.last(), expected, "{what}, seed {seed}");
            let timed_out = |change: &&Change| change.object.to_string().contains("timed out progressing");
            assert_eq!(ours(&played).filter(timed_out).count(), 0, "{what}, seed {seed}");
        }
    }
}

#[test]
fn a_late_canary_is_not_aborted_for_the_time_before() {
    let paused = "step 1 | canary 20 stable 80 | r1=5 r2=1 | Paused: CanaryPauseStep";
    check(&canary("", STEPS), paused, UPDATED);
}

#[test]
fn a_late_blue_green_update_is_not_aborted_for_the_time_before() {
    let paused = "step - | active 1 preview 2 | r1=5 r2=5 | Paused: BlueGreenPause";
    let done = "step - | active 2 preview 2 | r1=0 r2=5 | Healthy";
    check(&blue_green(", autoPromotionEnabled: false"), paused, done);
}

#[test]
fn pods_that_became_ready_while_no_controller_was_there_are_progress() {
    let mut scenario = updated("controller-away", DEADLINE, "", "{setWeight: 20}");
    // It is away for longer than the deadline, from a moment at which the new pod is not ready.
    scenario.config.shell.restart = 300_000..=300_000;
    scenario
        .script
        .push((SignedDuration::from_millis(60_200), Command::Crash(0)));
    for seed in 1..=5 {
        let played = play_without_loss(&scenario, seed);
        assert_eq!(
            played.last(),
            "step 1 | canary 0 stable 100 | r1=0 r2=5 | Healthy",
            "seed {seed}"
        );
    }
}

#[test]
fn a_stable_revision_that_loses_a_pod_has_not_timed_out() {
    let scenario = Scenario::new("pod-lost", manifests(5, DEADLINE, &canary("", STEPS)));
    let scenario = scenario.at(900, Command::KillPod(0));
    let played = play(&scenario, 1);
    assert_eq!(played.last(), "step 4 | canary 0 stable 100 | r1=5 | Healthy");
    let phases = played
        .cluster
        .observer()
        .aspect("default/shop", |stand| stand.phase.clone());
    assert_eq!(phases.last().map(String::as_str), Some("Healthy"));
    let late = ours_from(&played, seconds(900)).filter(|change| change.object["status"]["phase"] == "Degraded");
    assert_eq!(late.count(), 0);
}
