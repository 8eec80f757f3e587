//! What is decided, one row for each World.

use expect_test::expect;
use serde_json::json;

use super::*;

#[test]
fn the_first_version_comes_up_without_steps() {
    let first = || scene(2, basic(json!([{ "setWeight": 50 }, { "pause": {} }])));
    check(
        &first(),
        &expect![[r#"
        currentStepIndex=0
        phase="Progressing"
        message="more replicas need to be updated"
        create 2 pods
        hold: 0 of 2 pods of the new ReplicaSet shop-v1 are available"#]],
    );
    check(
        &first().set("v1", 1, 2, 2),
        &expect![[r#"
        currentStepIndex=2
        stableRS="v1"
        phase="Healthy""#]],
    );
}

#[test]
fn a_canary_without_router_grows_before_stable_shrinks() {
    let steps = json!([{ "setWeight": 50 }, { "pause": {} }]);
    let update = || {
        with_steps(
            scene(2, basic(steps.clone()))
                .version("v2")
                .status(stable_on("v1", "v2", 0)),
        )
    };
    check(
        &update().set("v1", 1, 2, 2),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        create 1 pods
        hold: 0 of 1 pods of the new ReplicaSet shop-v2 are available"#]],
    );
    check(
        &update().set("v1", 1, 2, 2).set("v2", 2, 1, 0),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        hold: 0 of 1 pods of the new ReplicaSet shop-v2 are available"#]],
    );
    check(
        &update().set("v1", 1, 2, 2).set("v2", 2, 1, 1),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        scale shop-v1 2->1
        hold: 1 pods of ReplicaSet shop-v1 that are no longer wanted are still there"#]],
    );
    check(
        &update().set("v1", 1, 1, 1).set("v2", 2, 1, 1),
        &expect![[r#"
        currentStepIndex=1
        phase="Paused"
        message="CanaryPauseStep"
        pauseConditions=[{"reason":"CanaryPauseStep","startTime":"2026-01-01T00:00:00Z"}]"#]],
    );
}

#[test]
fn a_pause_ends_when_its_time_is_over_or_when_it_is_taken_away() {
    let steps = json!([{ "pause": { "duration": "10s" } }, { "pause": {} }]);
    let pause = json!([{ "reason": "CanaryPauseStep", "startTime": START }]);
    let paused = |index: u32| {
        let status = json!({ "pauseConditions": pause, "controllerPause": true });
        let update = with_steps(
            scene(2, basic(steps.clone()))
                .version("v2")
                .status(stable_on("v1", "v2", index)),
        );
        update.status(status).set("v1", 1, 2, 2)
    };
    check(
        &paused(0).at(9),
        &expect![[r#"
        phase="Paused"
        message="CanaryPauseStep"
        create 0 pods
        hold: paused (CanaryPauseStep) until 2026-01-01T00:00:10Z"#]],
    );
    check(
        &paused(0).at(10),
        &expect![[r#"
        currentStepIndex=1
        phase="Paused"
        message="CanaryPauseStep"
        pauseConditions=[{"reason":"CanaryPauseStep","startTime":"2026-01-01T00:00:10Z"}]
        create 0 pods"#]],
    );
    check(
        &paused(1).at(1000),
        &expect![[r#"
        phase="Paused"
        message="CanaryPauseStep"
        create 0 pods
        hold: paused (CanaryPauseStep) until it is promoted"#]],
    );
    check(
        &paused(1).at(1000).status(json!({ "pauseConditions": null })),
        &expect![[r#"
            currentStepIndex=2
            phase="Progressing"
            message="more replicas need to be updated"
            create 1 pods
            hold: 0 of 2 pods of the new ReplicaSet shop-v2 are available"#]],
    );
    check(
        &paused(1).at(1000).spec(json!({ "paused": true })),
        &expect![[r#"
        phase="Paused"
        message="manually paused"
        hold: spec.paused is true: set it to false to go on"#]],
    );
}

#[test]
fn weight_follows_pods_and_endpoints() {
    let steps = json!([{ "setWeight": 25 }, { "setWeight": 50 }, { "pause": {} }]);
    let update = |index: u32, canary: u32| {
        let update = scene(4, routed(steps.clone()))
            .version("v2")
            .status(stable_on("v1", "v2", index));
        with_steps(update).service("stable", Some("v1")).route(canary)
    };
    let on_canary = |scene: Scene| scene.service("canary", Some("v2"));
    let idle = |scene: Scene| scene.service("canary", Some("v1"));
    // The canary comes up; its Service still selects stable.
    check(
        &idle(update(0, 0)).set("v1", 1, 4, 4),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        create 1 pods
        hold: 0 of 1 pods of the new ReplicaSet shop-v2 are available"#]],
    );
    check(
        &idle(update(0, 0)).set("v1", 1, 4, 4).set("v2", 2, 1, 0),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        hold: 0 of 1 pods of the new ReplicaSet shop-v2 are available"#]],
    );
    check(
        &idle(update(0, 0)).set("v1", 1, 4, 4).set("v2", 2, 1, 1),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        switch canary to v2"#]],
    );
    // The Service selects it, and the weight follows.
    check(
        &on_canary(update(0, 0)).set("v1", 1, 4, 4).set("v2", 2, 1, 1),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        split canary 25 stable 75"#]],
    );
    check(
        &on_canary(update(0, 25)).set("v1", 1, 4, 4).set("v2", 2, 1, 1),
        &expect![[r#"
        currentStepIndex=1
        phase="Progressing"
        message="more replicas need to be updated"
        scale shop-v2 1->2
        hold: 1 of 2 pods of the new ReplicaSet shop-v2 are available"#]],
    );
    // The next step needs a second pod first.
    check(
        &on_canary(update(1, 25)).set("v1", 1, 4, 4).set("v2", 2, 1, 1),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        scale shop-v2 1->2
        hold: 1 of 2 pods of the new ReplicaSet shop-v2 are available"#]],
    );
    // A canary without any pod loses its weight at once.
    check(
        &on_canary(update(1, 25)).set("v1", 1, 4, 4).set("v2", 2, 2, 0),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        split canary 0 stable 100
        hold: 0 of 2 pods of the new ReplicaSet shop-v2 are available"#]],
    );
}

#[test]
fn an_abort_gives_stable_what_it_can_carry() {
    let steps = json!([{ "setWeight": 50 }, { "pause": {} }]);
    let aborted = |canary: u32, stable: u32, new: u32| {
        let update = scene(4, routed(steps.clone()))
            .version("v2")
            .status(stable_on("v1", "v2", 1));
        let update = with_steps(update).status(json!({ "abort": true, "abortedAt": START, "currentStepIndex": 0 }));
        let update = update
            .service("stable", Some("v1"))
            .service("canary", Some("v2"))
            .route(canary);
        update.set("v1", 1, 4, stable).set("v2", 2, 2, new)
    };
    check(
        &aborted(50, 4, 2),
        &expect![[r#"
        phase="Degraded"
        message="RolloutAborted: Rollout aborted update to revision 2"
        split canary 0 stable 100
        hold: the update was aborted: retry it, or change the pod template"#]],
    );
    check(
        &aborted(50, 2, 2),
        &expect![[r#"
        phase="Degraded"
        message="RolloutAborted: Rollout aborted update to revision 2"
        hold: 2 of 3 pods of the stable ReplicaSet shop-v1 are available"#]],
    );
    check(
        &aborted(50, 0, 2),
        &expect![[r#"
        phase="Degraded"
        message="RolloutAborted: Rollout aborted update to revision 2"
        hold: 0 of 3 pods of the stable ReplicaSet shop-v1 are available"#]],
    );
    check(
        &aborted(50, 0, 0),
        &expect![[r#"
        phase="Degraded"
        message="RolloutAborted: Rollout aborted update to revision 2"
        split canary 0 stable 100
        hold: the update was aborted: retry it, or change the pod template"#]],
    );
    check(
        &aborted(0, 4, 2),
        &expect![[r#"
        phase="Degraded"
        message="RolloutAborted: Rollout aborted update to revision 2"
        switch canary to v1
        hold: the update was aborted: retry it, or change the pod template"#]],
    );
}

#[test]
fn a_newer_template_takes_over_without_leaving_the_older_canary_short() {
    let steps = json!([{ "setWeight": 50 }, { "pause": {} }]);
    let superseded = |canary: u32, on: &str, new: u32| {
        let update = scene(4, routed(steps.clone()))
            .version("v3")
            .status(stable_on("v1", "v3", 0));
        let update = with_steps(update)
            .service("stable", Some("v1"))
            .service("canary", Some(on))
            .route(canary);
        update.set("v1", 1, 4, 4).set("v2", 2, 2, 2).set("v3", 3, 2, new)
    };
    check(
        &superseded(50, "v2", 0),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        split canary 0 stable 100
        hold: 0 of 2 pods of the new ReplicaSet shop-v3 are available"#]],
    );
    check(
        &superseded(0, "v2", 0),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        scale shop-v2 2->1
        hold: 0 of 2 pods of the new ReplicaSet shop-v3 are available"#]],
    );
    check(
        &superseded(0, "v2", 2),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        switch canary to v3"#]],
    );
    check(
        &superseded(0, "v3", 2),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        split canary 50 stable 50"#]],
    );
}

#[test]
fn a_complete_update_moves_the_stable_service_first_and_scales_down_last() {
    let steps = json!([{ "setWeight": 100 }]);
    let complete = |stable: &str, canary: u32| {
        let update = scene(4, routed(steps.clone()))
            .version("v2")
            .status(stable_on("v2", "v2", 1));
        let update = with_steps(update)
            .service("stable", Some(stable))
            .service("canary", Some("v2"))
            .route(canary);
        update.set("v1", 1, 4, 4).set("v2", 2, 4, 4)
    };
    check(
        &complete("v1", 100),
        &expect![[r#"
        phase="Healthy"
        switch stable to v2"#]],
    );
    check(
        &complete("v2", 100),
        &expect![[r#"
        phase="Healthy"
        split canary 0 stable 100"#]],
    );
    check(
        &complete("v2", 0),
        &expect![[r#"
        phase="Healthy"
        annotate shop-v1 {"annotations":{"scale-down-deadline":"2026-01-01T00:00:30Z"}}"#]],
    );
}

#[test]
fn a_past_run_is_deleted_only_when_nothing_moves() {
    let complete = |stable: &str, canary: u32| {
        let update = scene(4, routed(json!([{ "setWeight": 100 }])))
            .version("v2")
            .status(stable_on("v2", "v2", 1))
            .spec(json!({ "analysis": { "successfulRunHistoryLimit": 0 } }));
        let update = with_steps(update)
            .service("stable", Some(stable))
            .service("canary", Some("v2"))
            .route(canary);
        update.set("v1", 1, 0, 0).set("v2", 2, 4, 4).past_run("shop-old")
    };
    check(
        &complete("v1", 100),
        &expect![[r#"
        phase="Healthy"
        switch stable to v2"#]],
    );
    check(
        &complete("v2", 100),
        &expect![[r#"
        phase="Healthy"
        split canary 0 stable 100"#]],
    );
    check(
        &complete("v2", 0),
        &expect![[r#"
        phase="Healthy"
        DeleteRun { name: "shop-old", uid: "uid-shop-old" }"#]],
    );
}

#[test]
fn what_is_not_known_holds_and_never_looks_like_a_change() {
    let update = || {
        let mut update = scene(2, basic(json!([{ "setWeight": 50 }])))
            .version("v2")
            .status(stable_on("v1", "v1", 1));
        update.world.answers.clear();
        with_steps(update)
    };
    let mut unknown = update();
    unknown.world.replica_sets = Fact::Unknown(crate::Why::Forbidden);
    check(
        &unknown,
        &expect!["hold: the ReplicaSets: not known, because the controller may not read it"],
    );
    // No ReplicaSet records the template: the API server is asked before a new revision is begun.
    check(
        &update().set("v1", 1, 2, 2),
        &expect![[r#"ask Defaults { template: "2331ee02cabe6778e02dc90a2d93be26ee55d462c532d201927d5f08a3a1c7b9" }"#]],
    );
    let mut failed = update().set("v1", 1, 2, 2);
    let ask = Ask::Defaults {
        template: hash::canonical(&template("v2")),
    };
    let answer = Answer::Defaults(Fact::Unknown(crate::Why::Failed("timed out".to_owned())));
    failed
        .world
        .answers
        .insert(ask.clone(), Answered { at: failed.now, answer });
    check(
        &failed,
        &expect!["hold: the pod template with defaults: not known, because reading it failed: timed out"],
    );
    // What the API server refuses is a problem of the spec; other revisions are not touched.
    let mut refused = update().set("v1", 1, 2, 2);
    let answer = Answer::Defaults(Fact::Unknown(crate::Why::Refused("image: Required value".to_owned())));
    let answered = Answered {
        at: refused.now,
        answer,
    };
    refused.world.answers.insert(ask.clone(), answered.clone());
    let invalid = expect![[r#"
        phase="Degraded"
        message="InvalidSpec: The Rollout \"shop\" is invalid: spec.template: the API server refuses it: image: Required value"
        hold: the spec is invalid: spec.template: the API server refuses it: image: Required value"#]];
    check(&refused, &invalid);
    // So is it for the first revision, and after a minute it is asked again: something else may have refused it.
    let mut first = update();
    first.world.rollout.status = None;
    first.world.answers.insert(ask.clone(), answered);
    check(&first, &invalid);
    check(
        &first.at(61),
        &expect![[r#"ask Defaults { template: "2331ee02cabe6778e02dc90a2d93be26ee55d462c532d201927d5f08a3a1c7b9" }"#]],
    );
    let mut same = update().set("v1", 1, 2, 2);
    let answer = Answer::Defaults(Fact::Known(template("v1")));
    same.world.answers.insert(ask, Answered { at: same.now, answer });
    check(
        &same,
        &expect![[r#"
        phase="Healthy"
        annotate shop-v1 {"annotations":{"sluice.dev/pod-template":"2331ee02cabe6778e02dc90a2d93be26ee55d462c532d201927d5f08a3a1c7b9"}}"#]],
    );
    let mut incumbent = update();
    incumbent.world.incumbent = Some("argo-rollouts-abc".to_owned());
    check(
        &incumbent,
        &expect![
            "hold: another controller is live: `argo-rollouts-abc` holds the Lease of Argo Rollouts; stop it first"
        ],
    );
}

#[test]
fn a_replica_set_whose_name_is_taken_gets_another_name_and_the_collision_is_counted() {
    let mut scene = scene(2, basic(json!([{ "setWeight": 50 }])));
    let first = hash_of("v1");
    scene.world.memory.taken.insert(format!("shop-{first}"));
    let plan = crate::decide(scene.now, &scene.world);
    let status = plan
        .commit
        .and_then(|commit| commit.status)
        .expect("a new revision is committed");
    let second = hash::short(&template("v1"), 1);
    assert_eq!(
        (&status["status"]["collisionCount"], &status["status"]["currentPodHash"]),
        (&json!(1), &json!(second)),
    );
    let created = plan.effects.iter().find_map(|effect| match effect {
        crate::Effect::CreateReplicaSet { name, .. } => Some(name.clone()),
        _ => None,
    });
    assert_ne!(first, second);
    assert_eq!(created, Some(format!("shop-{second}")));
}

#[test]
fn an_abort_takes_pods_back_without_a_router_whatever_else_is_wrong_with_the_spec() {
    let aborted = |stable: (u32, u32), canary: u32| {
        let update = scene(4, basic(json!([{ "setWeight": 50 }, { "pause": {} }])));
        let update = update.version("v2").spec(json!({ "restartAt": "tomorrow" }));
        let mut status = stable_on("v1", "v2", 1);
        status["abort"] = json!(true);
        status["abortedAt"] = json!("2026-01-01T00:00:00Z");
        let update = update.status(status);
        update.set("v1", 1, stable.0, stable.1).set("v2", 2, canary, canary)
    };
    let effects = |scene: &Scene| {
        let plan = crate::decide(scene.now, &scene.world);
        assert!(
            matches!(&plan.hold, Some(crate::Hold::InvalidSpec { problems }) if problems.contains("spec.restartAt")),
            "{:?}",
            plan.hold
        );
        let lines = describe(&plan);
        let scaled = lines.lines().filter(|line| line.starts_with("scale"));
        scaled.map(str::to_owned).collect::<Vec<_>>()
    };
    // One pod more than four is allowed, none less.
    assert_eq!(effects(&aborted((2, 2), 2)), ["scale shop-v1 2->3"]);
    assert_eq!(effects(&aborted((3, 3), 2)), ["scale shop-v2 2->1"]);
    assert_eq!(effects(&aborted((4, 4), 1)), ["scale shop-v2 1->0"]);
    assert_eq!(effects(&aborted((4, 4), 0)), Vec::<String>::new());
}

#[test]
fn a_rollout_that_says_no_size_gets_one_pod() {
    let scene = scene(3, basic(json!([])))
        .version("v1")
        .spec(json!({ "replicas": null }));
    let commit = decide(scene.now, &scene.world).commit.expect("something to commit");
    assert_eq!(commit.object.expect("a change of the spec")["spec"]["replicas"], 1);
}

#[test]
fn weights_are_parts_of_a_total_of_the_users_choice() {
    let mut strategy = routed(json!([{ "setWeight": 5 }, { "pause": {} }]));
    strategy["canary"]["trafficRouting"]["maxTrafficWeight"] = json!(1000);
    let scene = |available: u32| {
        with_steps(
            scene(400, strategy.clone())
                .at(600)
                .version("v2")
                .set("v1", 1, 400, 400)
                .set("v2", 2, 2, available)
                .switched("stable", "v1", 0, &[("v1", 400)])
                .switched("canary", "v2", 0, &[("v2", 2)])
                .route(0)
                .status(stable_on("v1", "v2", 0)),
        )
    };
    // 0.5 % of 400 pods are 2, where 5 % would be 20.
    let split = |scene: &Scene| {
        let plan = scene.plan();
        plan.effects.iter().find_map(|effect| match effect {
            Effect::SetSplit { split, .. } => Some(split.clone()),
            _ => None,
        })
    };
    let moved = split(&scene(2)).expect("the weight is set");
    let weights = moved.weights().by_service;
    assert_eq!((moved.total, weights["canary"], weights["stable"]), (1000, 5, 995));
    assert_eq!(split(&scene(1)), None, "one pod does not carry it");
    let effect = Effect::SetSplit {
        route: route(),
        split: moved,
        patch: json!({}),
    };
    let guarded = |scene: &Scene| crate::guards::check(scene.now, &scene.world, &effect).is_ok();
    assert_eq!([guarded(&scene(2)), guarded(&scene(0))], [true, false]);
    // What is seen of the route is told in the same parts.
    let mut there = scene(2);
    let Some(Fact::Known(value)) = there.world.objects.get_mut(&route()) else {
        panic!("there is a route");
    };
    for (at, weight) in [995, 5].into_iter().enumerate() {
        value["spec"]["rules"][0]["backendRefs"][at]["weight"] = json!(weight);
    }
    let told = there.after().canary.and_then(|canary| canary.weights).expect("weights");
    assert_eq!((told.canary.weight, told.stable.weight), (5, 995));
}
