//! Runs that are deleted when their time is over.

use sluice_crds::Rollout;

use super::*;

/// A run that ended 100 s after the start.
fn ended(phase: &str, strategy: &Value) -> RunWorld {
    let mut run = run_of(&json!({"metrics": [metric_named("m", &json!({}))], "ttlStrategy": strategy}));
    run.metadata.uid = Some("run-1".to_owned());
    run.status = serde_json::from_value(json!({
        "phase": phase, "startedAt": "2026-01-02T12:00:00Z", "completedAt": "2026-01-02T12:01:40Z",
    }))
    .unwrap();
    RunWorld {
        run,
        named: Fact::Absent,
        ..RunWorld::default()
    }
}

fn all(completion: i32, success: i32, failure: i32) -> Value {
    json!({"secondsAfterCompletion": completion, "secondsAfterSuccess": success, "secondsAfterFailure": failure})
}

#[test]
fn each_end_has_its_own_time_and_the_general_one_where_it_has_none() {
    for (phase, strategy, seconds) in [
        ("Successful", all(10, 20, 30), Some(20)),
        ("Failed", all(10, 20, 30), Some(30)),
        ("Error", all(10, 20, 30), Some(10)),
        ("Inconclusive", all(10, 20, 30), Some(10)),
        ("Successful", json!({"secondsAfterCompletion": 10}), Some(10)),
        ("Failed", json!({"secondsAfterCompletion": 10}), Some(10)),
        ("Successful", json!({"secondsAfterFailure": 10}), None),
        ("Failed", json!({"secondsAfterSuccess": 10}), None),
        (
            "Error",
            json!({"secondsAfterSuccess": 10, "secondsAfterFailure": 10}),
            None,
        ),
        ("Failed", json!({"secondsAfterFailure": 0}), Some(0)),
        ("Failed", json!({"secondsAfterFailure": -5}), Some(0)),
        ("Successful", json!({}), None),
        ("Successful", json!(null), None),
    ] {
        let world = ended(phase, &strategy);
        let hold = Some(RunHold::Ended(AnalysisPhase::from(phase)));
        let Some(seconds) = seconds else {
            let stays = RunPlan {
                hold,
                ..RunPlan::default()
            };
            assert_eq!(decide(at(1_000_000), &world), stays, "{phase} {strategy}");
            continue;
        };
        let due = at(100 + seconds);
        let before = decide(due - SignedDuration::from_secs(1), &world);
        let waits = RunPlan {
            hold,
            wake_at: Some(due),
            ..RunPlan::default()
        };
        assert_eq!(before, waits, "{phase} {strategy}");
        let goes = RunPlan {
            delete: Some(RunDelete {
                uid: "run-1".to_owned(),
                resource_version: "0".to_owned(),
            }),
            ..RunPlan::default()
        };
        assert_eq!(decide(due, &world), goes, "{phase} {strategy}");
    }
}

#[test]
fn a_run_that_has_not_ended_is_never_deleted() {
    for phase in ["", "Pending", "Running"] {
        let mut world = ended(phase, &all(0, 0, 0));
        world.run.status.as_mut().unwrap().completed_at = None;
        assert_eq!(decide(at(1_000_000), &world).delete, None, "{phase}");
    }
}

#[test]
fn a_run_is_kept_while_the_status_of_its_rollout_names_it() {
    let mut world = ended("Successful", &all(0, 0, 0));
    let owner = json!([{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "shop", "uid": "u1", "controller": true}]);
    world.run.metadata.owner_references = serde_json::from_value(owner).unwrap();
    let rollout = |uid: &str, status: Value| -> Rollout {
        serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
            "metadata": {"name": "shop", "uid": uid}, "spec": {}, "status": status,
        }))
        .unwrap()
    };
    let named = |name: &str| json!({"name": name, "status": "Successful"});
    let canary = |field: &str, name: &str| json!({"canary": {field: named(name)}});
    let blue_green = |field: &str| json!({"blueGreen": {field: named("r")}});
    let kept = |found: Fact<&Rollout>| {
        let world = RunWorld {
            named: super::super::named(&world.run, found),
            ..world.clone()
        };
        let plan = decide(at(200), &world);
        assert_eq!(plan.delete.is_none(), may_delete(&world).is_err());
        assert_eq!(plan.wake_at, plan.hold.is_some().then(|| at(200) + LOOK_AGAIN));
        plan.hold
    };
    for status in [
        canary("currentStepAnalysisRunStatus", "r"),
        canary("currentBackgroundAnalysisRunStatus", "r"),
        blue_green("prePromotionAnalysisRunStatus"),
        blue_green("postPromotionAnalysisRunStatus"),
    ] {
        let hold = kept(Fact::Known(&rollout("u1", status.clone())));
        assert_eq!(hold, Some(RunHold::InUse), "{status}");
        // Another Rollout of this name has come in the place of the run's own.
        assert_eq!(kept(Fact::Known(&rollout("u2", status))), None);
    }
    let other = canary("currentStepAnalysisRunStatus", "r.1");
    assert_eq!(kept(Fact::Known(&rollout("u1", other))), None);
    assert_eq!(kept(Fact::Known(&rollout("u1", json!({})))), None);
    assert_eq!(kept(Fact::Absent), None, "the Rollout is gone");
    assert_eq!(
        kept(Fact::Unknown(Why::Forbidden)),
        Some(RunHold::OwnerUnknown(Why::Forbidden))
    );
    // Nothing was looked up.
    assert_eq!(kept(Fact::default()), Some(RunHold::OwnerUnknown(Why::Syncing)));
}

#[test]
fn an_owner_that_is_no_rollout_keeps_no_run() {
    for owners in [
        json!([]),
        json!([{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "shop", "uid": "u1"}]),
        json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "gate", "uid": "u1", "controller": true}]),
    ] {
        let mut world = ended("Failed", &all(0, 0, 0));
        world.run.metadata.owner_references = serde_json::from_value(owners.clone()).unwrap();
        assert_eq!(rollout_of(&world.run), None, "{owners}");
        world.named = named(&world.run, Fact::Unknown(Why::Syncing));
        assert!(decide(at(200), &world).delete.is_some(), "{owners}");
    }
}

#[test]
fn a_run_that_does_not_say_when_it_ended_goes_by_the_last_time_that_it_tells_of() {
    let mut world = ended("Error", &json!({"secondsAfterCompletion": 10}));
    let status = world.run.status.as_mut().unwrap();
    status.completed_at = None;
    assert_eq!(deletion_at(&world.run), Some(at(10)));
    let measured = json!([{"name": "m", "phase": "Error", "measurements": [
        {"phase": "Error", "startedAt": "2026-01-02T12:00:20Z", "finishedAt": "2026-01-02T12:00:30Z"},
        {"phase": "Error", "startedAt": "2026-01-02T12:00:40Z"},
    ]}]);
    let status = world.run.status.as_mut().unwrap();
    status.metric_results = serde_json::from_value(measured).unwrap();
    assert_eq!(deletion_at(&world.run), Some(at(40)));
    // Without any time it stays.
    world.run.status = serde_json::from_value(json!({"phase": "Error"})).unwrap();
    assert_eq!(deletion_at(&world.run), None);
    world.run.metadata.creation_timestamp = serde_json::from_value(json!("2026-01-02T11:00:00Z")).unwrap();
    assert_eq!(deletion_at(&world.run), Some(at(-3590)));
}
