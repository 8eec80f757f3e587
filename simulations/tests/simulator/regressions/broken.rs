//! Pods that do not start, of stable or of the new version.

use super::*;
use sluice_simulations::Health;

const SHORT: &str = "{setWeight: 20}, {pause: {duration: 10s}}, {setWeight: 60}";

/// All pods of the first version are gone for good some time after they have started.
fn with_dead_stable(strategy: &str, pods: u32) -> Scenario {
    let mut scenario = Scenario::new("stable-dead", manifests(5, DEADLINE, strategy));
    scenario = scenario.health("shop:v1", Health::OnlyFirst(5));
    for _ in 0..pods {
        scenario = scenario.at(30, Command::KillPodOf("shop:v1".to_owned()));
    }
    scenario
}

#[test]
fn the_deadline_fires_while_stable_is_partly_down() {
    let scenario = with_dead_stable(&canary("", SHORT), 2).at(60, set_image("shop:v2"));
    let scenario = scenario.health("shop:v2", Health::NeverReady);
    for seed in 1..=5 {
        let played = scenario.play(seed);
        assert_eq!(played.cluster.violations(), []);
        let aborted = ours(&played).find(|change| change.object["status"]["abort"] == true);
        let at = since_start(aborted.expect("it is aborted"));
        assert!(at >= seconds(120) && at <= seconds(125), "seed {seed}: {at:?}");
    }
}

/// The end of an update to the third version, by strategy.
fn ends() -> [(String, &'static str); 4] {
    let routed = "step 3 | canary 0 stable 100 | r1=0 r2=0 r3=5 | Healthy";
    let basic = "canary: {maxSurge: 1, maxUnavailable: 0, steps: [{setWeight: 40}]}";
    [
        (canary("", SHORT), routed),
        (canary(", dynamicStableScale: true", SHORT), routed),
        (basic.to_owned(), "step 1 | | r1=0 r2=0 r3=5 | Healthy"),
        (blue_green(""), "step - | active 3 preview 3 | r1=0 r2=0 r3=5 | Healthy"),
    ]
}

#[test]
fn two_good_versions_one_after_the_other_are_promoted_while_stable_is_dead() {
    for dead in [2, 5] {
        for (strategy, end) in ends() {
            let scenario = with_dead_stable(&strategy, dead).at(60, set_image("shop:v2"));
            let scenario = scenario.at(400, set_image("shop:v3"));
            for seed in 1..=3 {
                assert_eq!(play(&scenario, seed).last(), end, "{strategy} {dead} seed {seed}");
            }
        }
    }
}

#[test]
fn a_version_that_takes_over_from_a_canary_is_promoted_while_stable_is_dead() {
    for dead in [2, 5] {
        for (strategy, end) in ends() {
            let mut scenario = with_dead_stable(&strategy, dead).at(60, set_image("shop:v2"));
            scenario = scenario.at(70, set_image("shop:v3"));
            if strategy.contains("trafficRouting") {
                // What the older canary has of the traffic cannot go back to stable first: a person has to say so.
                scenario = scenario.at(90, Command::PromoteFull(shop()));
            }
            for seed in 1..=3 {
                assert_eq!(play(&scenario, seed).last(), end, "{strategy} {dead} seed {seed}");
            }
        }
    }
}

#[test]
fn a_version_that_cannot_grow_to_full_size_is_neither_promoted_nor_dropped_under_traffic() {
    let scenario = updated("half", DEADLINE, "", SHORT).health("shop:v2", Health::OnlyFirst(3));
    for seed in 1..=5 {
        let played = play_without_loss(&scenario, seed);
        let stable = set_of(&played, 1);
        let hash = &played.cluster.store().get(&stable).expect("it is there")["metadata"]["labels"]["rollouts-pod-template-hash"];
        assert_eq!(played.status("/stableRS"), *hash, "stable is what was promoted last");
        assert!(
            sizes_from(&played, &stable, seconds(60)).is_empty(),
            "stable keeps its pods"
        );
        let weights = weights_from(&played, seconds(60));
        assert!(
            weights.contains(&60) && weights.last() == Some(&0),
            "seed {seed}: {weights:?}"
        );
        let end = "Degraded: RolloutAborted: Rollout aborted update to revision 2: ReplicaSet \"shop-m7h48slpb4\" has timed out progressing.";
        assert_eq!(played.phase(), end);
    }
}
