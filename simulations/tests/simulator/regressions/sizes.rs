//! Sizes that change at step boundaries, and a canary without pods.

use super::*;

/// Doubles the size at the very moment of each change of the step, up to five times.
fn doubled_at_each_step(base: &Scenario, seed: u64) -> (Played, u32) {
    let mut scenario = base.clone();
    let mut size = 2;
    let mut last = seconds(60);
    for _ in 0..5 {
        let played = play_without_loss(&scenario, seed);
        let boundary = ours_from(&played, last)
            .filter(|change| change.key == rollout() && since_start(change) > last)
            .find(|change| changes(change, "/status/currentStepIndex"))
            .map(since_start);
        let Some(boundary) = boundary else {
            return (played, size);
        };
        last = boundary;
        size *= 2;
        scenario.script.push((boundary, Command::Scale(shop(), size)));
    }
    (play_without_loss(&scenario, seed), size)
}

#[test]
fn pods_that_double_at_each_step_boundary_do_not_upset_an_update() {
    let steps = "{setWeight: 20}, {pause: {duration: 5s}}, {setWeight: 60}, {pause: {duration: 5s}}";
    for (strategy, through_service) in [
        (canary("", steps), false),
        (canary(", dynamicStableScale: true", steps), false),
        (
            format!("canary: {{maxSurge: 1, maxUnavailable: 0, steps: [{steps}]}}"),
            true,
        ),
    ] {
        let base = Scenario::new("doubled", manifests(2, "", &strategy)).at(60, set_image("shop:v2"));
        let base = if through_service {
            base.through_service("shop-stable")
        } else {
            base.through_route("shop")
        };
        for seed in 1..=2 {
            let (played, size) = doubled_at_each_step(&base, seed);
            assert!(size >= 16, "{strategy}: doubled at each boundary, to {size}");
            assert_eq!(played.phase(), "Healthy", "{strategy}");
            let new = played.cluster.store().get(&set_of(&played, 2)).expect("it is there");
            assert_eq!(new["status"]["availableReplicas"], size, "{strategy}");
            assert_eq!(
                played.status("/stableRS"),
                new["metadata"]["labels"]["rollouts-pod-template-hash"]
            );
        }
    }
}

#[test]
fn a_canary_without_pods_behind_a_closed_gate_gets_no_weight_for_twelve_hours() {
    let steps = "{setCanaryScale: {replicas: 0}}, {pause: {duration: 12h}}, {setCanaryScale: {matchTrafficWeight: true}}, {setWeight: 50}";
    let mut scenario = updated("gate", DEADLINE, "", steps);
    scenario.limit = SignedDuration::from_hours(13);
    let played = play_without_loss(&scenario, 1);
    let opens = seconds(12 * 3600 + 60);
    let log = played.cluster.store().log().iter();
    let early = log.filter(|change| since_start(change) < opens && change.key.kind == Kind::HttpRoute);
    assert!(early.map(|change| weight(&change.object)).all(|weight| weight == 0));
    assert!(
        weights_from(&played, opens).contains(&50),
        "it goes on when the gate opens"
    );
    assert_eq!(played.last(), "step 4 | canary 0 stable 100 | r1=0 r2=5 | Healthy");
}

#[test]
fn a_canary_with_weight_keeps_the_pods_for_it_whatever_its_steps_say() {
    let steps = "{setWeight: 50}, {setCanaryScale: {replicas: 0}}, {pause: {duration: 12h}}";
    let mut scenario = updated("to-zero", "", "", steps).at(600, Command::Abort(shop()));
    scenario.limit = SignedDuration::from_hours(13);
    let played = play_without_loss(&scenario, 1);
    let new = set_of(&played, 2);
    let while_routed: Vec<&Change> = ours(&played)
        .filter(|change| change.key == new && since_start(change) < seconds(600))
        .collect();
    assert!(!while_routed.is_empty(), "it was made");
    let carries = |change: &Change| change.object["spec"]["replicas"].as_u64() >= Some(3);
    assert!(
        while_routed.into_iter().all(carries),
        "half of the traffic needs 3 of 5 pods"
    );
    assert_eq!(
        played.cluster.store().get(&new).expect("it is there")["spec"]["replicas"],
        0,
        "gone after the abort"
    );
}
