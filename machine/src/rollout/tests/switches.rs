//! Switches and pauses that meet something that is still under way.

use expect_test::expect;
use serde_json::json;

use super::*;

#[test]
fn a_pause_begins_when_what_an_earlier_update_left_is_done() {
    // v2 was promoted a moment ago; v1, which is rolled back to, begins with a pause.
    let rollback = |stable: &str, canary: u32| {
        let update = scene(4, routed(json!([{ "pause": {} }, { "setWeight": 50 }]))).status(stable_on("v2", "v1", 0));
        let update = with_steps(update)
            .service("stable", Some(stable))
            .service("canary", Some("v2"))
            .route(canary);
        update.set("v1", 3, 4, 4).set("v2", 2, 4, 4)
    };
    check(
        &rollback("v1", 100),
        &expect![[r#"
        phase="Progressing"
        message="waiting for all steps to complete"
        switch stable to v2
        hold: 3 pods of ReplicaSet shop-v1 that are no longer wanted are still there"#]],
    );
    check(
        &rollback("v2", 100),
        &expect![[r#"
        phase="Progressing"
        message="waiting for all steps to complete"
        split canary 0 stable 100
        hold: 4 pods of ReplicaSet shop-v1 that are no longer wanted are still there"#]],
    );
    check(
        &rollback("v2", 0),
        &expect![[r#"
        phase="Progressing"
        message="waiting for all steps to complete"
        switch canary to v1
        hold: 4 pods of ReplicaSet shop-v1 that are no longer wanted are still there"#]],
    );
    check(
        &rollback("v2", 0).set("v1", 3, 0, 0),
        &expect![[r#"
        phase="Paused"
        message="CanaryPauseStep"
        pauseConditions=[{"reason":"CanaryPauseStep","startTime":"2026-01-01T00:00:00Z"}]
        hold: 0 of 1 pods of the new ReplicaSet shop-v1 are available"#]],
    );
}

#[test]
fn a_blue_green_update_that_is_superseded_in_its_switch_leaves_the_traffic_where_it_is() {
    // v2 was being switched to when v3 came; v1 is stable.
    let superseded = |active: u32, new: u32| {
        let update = scene(4, blue_green()).version("v3").at(2).status(json!({
            "stableRS": hash_of("v1"), "currentPodHash": hash_of("v3"),
        }));
        let update = update
            .switched("stable", "v2", 0, &[("v2", active)])
            .service("canary", Some("v3"));
        update.set("v1", 1, 4, 4).set("v2", 2, 4, active).set("v3", 3, 4, new)
    };
    check(
        &superseded(4, 0),
        &expect![[r#"
        phase="Progressing"
        message="updated replicas are still becoming available"
        hold: 0 of 4 pods of the new ReplicaSet shop-v3 are available"#]],
    );
    check(
        &superseded(4, 4),
        &expect![[r#"
        phase="Progressing"
        message="active service cutover pending"
        switch stable to v3"#]],
    );
    // It cannot carry the traffic any more: back to stable.
    check(
        &superseded(1, 0),
        &expect![[r#"
        phase="Progressing"
        message="updated replicas are still becoming available"
        switch stable to v1
        hold: 0 of 4 pods of the new ReplicaSet shop-v3 are available"#]],
    );
}

#[test]
fn endpoints_that_are_empty_do_not_acknowledge_a_switch() {
    let switched = |replicas: u32, seconds: i64, ready: &[(&str, u32)]| {
        let update = scene(replicas, blue_green()).version("v2").at(seconds).status(json!({
            "stableRS": hash_of("v1"), "currentPodHash": hash_of("v2"),
        }));
        let update = update.switched("stable", "v2", 0, ready).service("canary", Some("v2"));
        update.set("v1", 1, replicas, replicas).set("v2", 2, replicas, replicas)
    };
    check(
        &switched(4, 10, &[]),
        &expect![[r#"
        phase="Progressing"
        message="waiting for analysis to complete"
        hold: Service web/stable is not acknowledged: it has no ready endpoints of revision v2"#]],
    );
    check(
        &switched(4, 10, &[("v2", 1)]),
        &expect![[r#"
        phase="Progressing"
        message="waiting for analysis to complete"
        hold: Service web/stable was acknowledged; proxies get until 2026-01-01T00:00:13Z to follow"#]],
    );
    // Pods that are ready and no endpoints, that long after the switch: something is wrong, and nothing is promoted.
    check(
        &switched(4, 100, &[]),
        &expect![[r#"
        phase="Progressing"
        message="waiting for analysis to complete"
        hold: Service web/stable is not acknowledged: it has no ready endpoints of revision v2"#]],
    );
    // Nobody is to be behind the Service: there is nothing to wait for but the drain time.
    check(
        &switched(0, 2, &[]),
        &expect![[r#"
        phase="Progressing"
        message="waiting for analysis to complete"
        hold: Service web/stable was acknowledged; proxies get until 2026-01-01T00:00:03Z to follow"#]],
    );
    check(
        &switched(0, 3, &[]),
        &expect![[r#"
        stableRS="v2"
        phase="Healthy""#]],
    );
}

#[test]
fn a_blue_green_update_that_loses_its_pods_in_the_switch_is_aborted_and_not_switched_back_and_forth() {
    let switched = |stable: u32, new: u32| {
        let update = scene(4, blue_green()).version("v2").at(2).status(json!({
            "stableRS": hash_of("v1"), "currentPodHash": hash_of("v2"),
        }));
        let update = update
            .switched("stable", "v2", 0, &[("v2", new)])
            .service("canary", Some("v2"));
        update.set("v1", 1, 4, stable).set("v2", 2, 4, new)
    };
    check(
        &switched(4, 1),
        &expect![[r#"
        phase="Progressing"
        message="updated replicas are still becoming available"
        hold: 1 of 4 pods of the new ReplicaSet shop-v2 are available"#]],
    );
    check(
        &switched(4, 0),
        &expect![[r#"
        phase="Degraded"
        message="RolloutAborted: Rollout aborted update to revision 2: ReplicaSet \"shop-v2\" has lost all its pods after the switch."
        abort=true
        abortedAt="2026-01-01T00:00:02Z"
        switch stable to v1
        hold: the update was aborted: retry it, or change the pod template"#]],
    );
    // Nobody could take the traffic over.
    check(
        &switched(1, 0),
        &expect![[r#"
        phase="Progressing"
        message="updated replicas are still becoming available"
        hold: 0 of 4 pods of the new ReplicaSet shop-v2 are available"#]],
    );
}

#[test]
fn an_abort_without_a_router_brings_stable_back_also_while_the_spec_is_paused() {
    let steps = json!([{ "setWeight": 50 }, { "pause": {} }]);
    let aborted = scene(2, basic(steps)).version("v2").status(stable_on("v1", "v2", 0));
    let aborted = with_steps(aborted)
        .status(json!({ "abort": true, "abortedAt": START }))
        .spec(json!({ "paused": true }));
    check(
        &aborted.set("v1", 1, 1, 1).set("v2", 2, 1, 0),
        &expect![[r#"
            phase="Degraded"
            message="RolloutAborted: Rollout aborted update to revision 2"
            scale shop-v2 1->0
            scale shop-v1 1->2
            hold: the update was aborted: retry it, or change the pod template"#]],
    );
}

#[test]
fn the_guard_of_a_scale_down_without_a_router_counts_what_is_left_in_all() {
    // v1 goes from 2 pods to 1 on the word of a v2 pod that is gone by now.
    let update = |new: u32| {
        let update = scene(2, basic(json!([{ "setWeight": 50 }])))
            .version("v2")
            .status(stable_on("v1", "v2", 0));
        with_steps(update).set("v1", 1, 2, 2).set("v2", 2, 1, new)
    };
    let scene = update(1);
    let plan = decide(scene.now, &scene.world);
    let effect = plan.effects.iter().find(|effect| effect.kind() == "scale-down");
    let effect = effect.expect("stable shrinks when the canary is available");
    assert_eq!(crate::guards::check(scene.now, &scene.world, effect), Ok(()));
    let refused = crate::guards::check(scene.now, &update(0).world, effect).map_err(|hold| hold.to_string());
    assert_eq!(
        refused,
        Err("a guard refused the next step (S3): 1 pods would be available in all, 2 are needed".to_owned())
    );
}

#[test]
fn weight_on_a_canary_service_that_selects_an_earlier_revision_completes_no_step() {
    // v2 was promoted a moment ago with 50 % still on the canary Service; v3 is to get 50 %.
    let steps = json!([{ "setWeight": 50 }, { "pause": {} }]);
    let update = |canary: &str| {
        let update = scene(4, routed(steps.clone()))
            .version("v3")
            .status(stable_on("v2", "v3", 0));
        let update = with_steps(update)
            .service("stable", Some("v2"))
            .service("canary", Some(canary))
            .route(50);
        let update = update.set("v2", 2, 4, 4).set("v3", 3, 2, 2);
        let plan = crate::decide(update.now, &update.world);
        plan.commit
            .and_then(|commit| commit.status?.pointer("/status/currentStepIndex").cloned())
    };
    assert_eq!(update("v2"), None, "the 50 % are v2's");
    assert_eq!(update("v3"), Some(json!(1)), "the 50 % are v3's");
}

#[test]
fn a_guard_lets_the_stable_service_lose_no_capacity() {
    let switch = |available: u32, before: u32, service: &str| {
        let world = scene(4, basic(json!([])))
            .spec(json!({ "strategy": { "canary": { "stableService": "stable", "canaryService": "canary" } } }))
            .status(stable_on("v2", "v2", 0))
            .service("stable", Some("v1"))
            .service("canary", Some("v1"))
            .set("v1", 1, 4, before)
            .set("v2", 2, 4, available);
        let effect = Effect::SwitchService {
            name: service.to_owned(),
            revision: hash_of("v2"),
            patch: json!({}),
        };
        crate::guards::check(world.now, &world.world, &effect)
            .err()
            .map(|hold| hold.to_string())
    };
    assert_eq!(switch(4, 4, "stable"), None);
    let refused = switch(3, 4, "stable").expect("a pod crashed since the decision");
    assert!(refused.contains("S2") && refused.contains("needs 4"), "{refused}");
    assert_eq!(switch(3, 2, "stable"), None, "what is left carries even less");
    assert_eq!(
        switch(1, 4, "canary"),
        None,
        "nothing is split to the canary Service here"
    );
}

#[test]
fn a_stable_revision_that_has_broken_down_does_not_keep_the_next_one_from_taking_over() {
    let update = |seconds: i64, ready: u32| {
        let update = scene(4, routed(json!([{ "pause": { "duration": "5s" } }])))
            .version("v3")
            .at(seconds);
        let update = with_steps(update.status(stable_on("v2", "v3", 0)));
        let endpoints: &[(&str, u32)] = if ready > 0 { &[("v2", ready)] } else { &[] };
        let update = update
            .switched("stable", "v2", 0, endpoints)
            .switched("canary", "v2", 0, endpoints);
        update.route(0).set("v2", 1, 4, ready).set("v3", 2, 0, 0)
    };
    let begins = |scene: &Scene| describe(&decide(scene.now, &scene.world)).contains("CanaryPauseStep");
    assert!(begins(&update(100, 4)), "an update of a version that is well");
    assert!(
        !begins(&update(10, 0)),
        "whoever makes the endpoints may not have looked"
    );
    assert!(begins(&update(100, 0)), "an update of a version that has broken down");
}

#[test]
fn the_guard_of_a_weight_lets_as_many_pods_be_missing_in_proportion_as_of_all() {
    // maxUnavailable 1 of 4: three carry everything. Of the two for a half no whole one may be missing.
    let refused = |percent: u32, available: u32| {
        let mut strategy = routed(json!([{ "setWeight": percent }]));
        strategy["canary"]["maxUnavailable"] = json!(1);
        let update = |new: u32| {
            let update = scene(4, strategy.clone())
                .version("v2")
                .status(stable_on("v1", "v2", 0));
            let update = with_steps(update)
                .service("stable", Some("v1"))
                .service("canary", Some("v2"))
                .route(0);
            let size = 4 * percent / 100;
            update.set("v1", 1, 4, 4).set("v2", 2, size, new.min(size))
        };
        let whole = update(4);
        let plan = decide(whole.now, &whole.world);
        let effect = plan.effects.iter().find(|effect| effect.kind() == "set-split");
        let effect = effect.expect("the pods are there").clone();
        crate::guards::check(whole.now, &update(available).world, &effect).is_err()
    };
    assert!(refused(50, 1), "a pod crashed since the decision");
    assert!(!refused(50, 2));
    assert!(refused(100, 2));
    assert!(!refused(100, 3), "of four, one may be missing");
}

#[test]
fn a_pause_waits_for_pods_that_are_only_kept_for_proxies() {
    // Aborted, retried at once: v2 is to have no pod in the first step, and the canary Service was just switched to v1.
    let steps = json!([{ "pause": { "duration": "8s" } }, { "setWeight": 50 }]);
    let retried = |seconds: i64| {
        let mut strategy = basic(steps.clone());
        strategy["canary"]["stableService"] = json!("stable");
        strategy["canary"]["canaryService"] = json!("canary");
        let update = scene(5, strategy).version("v2").at(seconds);
        let update = with_steps(update.status(stable_on("v1", "v2", 0)));
        let update = update
            .service("stable", Some("v1"))
            .switched("canary", "v1", 0, &[("v1", 4)])
            .switched_from("canary", "v2");
        update.set("v1", 1, 4, 4).set("v2", 2, 1, 0)
    };
    let begins = |scene: &Scene| describe(&decide(scene.now, &scene.world)).contains("CanaryPauseStep");
    assert!(
        !begins(&retried(1)),
        "v2's pod may still get requests, and goes in two seconds"
    );
    assert!(begins(&retried(10).set("v1", 1, 5, 5).set("v2", 2, 0, 0)), "it is gone");
}
