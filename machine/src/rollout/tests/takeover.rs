//! What Argo Rollouts left behind is read as it meant it.

use serde_json::json;

use super::*;

fn at_step(step_hash: &str) -> Scene {
    let pause = json!([{ "reason": "CanaryPauseStep", "startTime": START }]);
    scene(5, routed(json!([{ "setWeight": 20 }, { "pause": {} }])))
        .at(10)
        .version("v2")
        .set("v1", 1, 5, 5)
        .set("v2", 2, 1, 1)
        .service("stable", Some("v1"))
        .service("canary", Some("v2"))
        .route(20)
        .status(stable_on("v1", "v2", 1))
        .status(json!({ "currentStepHash": step_hash, "controllerPause": true, "pauseConditions": pause }))
}

/// Whether a decision goes through the steps again: the first one is done at once, and the pause begins a second time.
fn starts_anew(scene: &Scene) -> bool {
    let plan = decide(scene.now, &scene.world);
    let status = plan.commit.and_then(|commit| commit.status).unwrap_or_default();
    status.pointer("/status/pauseConditions").is_some()
}

#[test]
fn a_step_hash_of_argo_rollouts_keeps_the_step_and_one_of_other_steps_of_ours_does_not() {
    // Its hashes are decimal numbers of 32 bits, digit by digit: up to ten letters.
    for step_hash in ["7c5b9d846f", "b7d54c68f", "5b"] {
        assert!(!starts_anew(&at_step(step_hash)), "{step_hash}");
    }
    let own = hash::of_steps(&json!([{ "setWeight": 20 }, { "pause": {} }]));
    assert!(!starts_anew(&at_step(&own)));
    let other = hash::of_steps(&json!([{ "setWeight": 30 }, { "pause": {} }]));
    assert!(starts_anew(&at_step(&other)));
}
