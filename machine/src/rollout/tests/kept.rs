//! What former revisions are kept for, and for how long; and what new ReplicaSets are made with.

use serde_json::json;
use sluice_crds::{AnalysisPhase, CanaryStrategy};

use super::super::replicas::enough;
use super::*;

/// Three pods of each revision; the third is stable, and nothing moves.
fn complete(mut strategy: Value, settings: &Value) -> Scene {
    let kind = if strategy.get("canary").is_some() {
        "canary"
    } else {
        "blueGreen"
    };
    crate::json::merge(&mut strategy, &json!({ kind: settings }));
    let scene = scene(3, strategy)
        .version("v3")
        .set("v1", 1, 3, 3)
        .set("v2", 2, 3, 3)
        .set("v3", 3, 3, 3)
        .service("stable", Some("v3"))
        .service("canary", Some("v3"));
    if kind == "canary" {
        with_steps(scene.route(0).status(stable_on("v3", "v3", 1)))
    } else {
        scene.status(json!({ "stableRS": hash_of("v3"), "currentPodHash": hash_of("v3") }))
    }
}

/// What the plan does to a revision: its new size, or the time in seconds until which it is kept.
fn fate(scene: &Scene, version: &str) -> String {
    let name = format!("shop-{}", hash_of(version));
    let start: Timestamp = START.parse().expect("a time");
    let plan = decide(scene.now, &scene.world);
    let patches = plan.effects.iter().filter_map(|effect| match effect {
        Effect::PatchReplicaSet {
            name: set,
            replicas,
            patch,
            ..
        } if *set == name => Some((replicas, patch)),
        _ => None,
    });
    let fates = patches.map(|(replicas, patch)| {
        if let Some((_, to)) = replicas {
            return format!("to {to}");
        }
        let until = &patch["metadata"]["annotations"]["scale-down-deadline"];
        let until: Timestamp = until.as_str().expect("a deadline").parse().expect("a time");
        format!("until {}", until.duration_since(start).as_secs())
    });
    let fates: Vec<String> = fates.collect();
    if fates.is_empty() {
        "stays".to_owned()
    } else {
        fates.join(", ")
    }
}

#[test]
fn a_former_stable_revision_is_kept_for_its_delay() {
    for strategy in [routed(json!([{ "setWeight": 50 }])), blue_green()] {
        for (settings, expected) in [
            (json!({}), "until 30"),
            (json!({ "scaleDownDelaySeconds": 120 }), "until 120"),
            (json!({ "scaleDownDelaySeconds": 0 }), "to 0"),
        ] {
            let fate = fate(&complete(strategy.clone(), &settings), "v2");
            assert_eq!(fate, expected, "{strategy} {settings}");
        }
    }
}

#[test]
fn no_more_former_revisions_are_kept_than_the_limit_says() {
    for strategy in [routed(json!([{ "setWeight": 50 }])), blue_green()] {
        for (limit, newer, older) in [(2, "until 30", "until 30"), (1, "until 30", "to 0")] {
            let scene = complete(strategy.clone(), &json!({ "scaleDownDelayRevisionLimit": limit }));
            assert_eq!(fate(&scene, "v2"), newer, "{strategy} {limit}");
            assert_eq!(fate(&scene, "v1"), older, "{strategy} {limit}");
        }
    }
}

#[test]
fn an_aborted_revision_is_kept_for_its_delay_and_with_zero_for_good() {
    let aborted = json!({ "abort": true, "abortedAt": START });
    for (settings, expected) in [
        (json!({}), "until 30"),
        (json!({ "abortScaleDownDelaySeconds": 120 }), "until 120"),
        (json!({ "abortScaleDownDelaySeconds": 0 }), "stays"),
    ] {
        let mut canary = routed(json!([{ "setWeight": 100 }, { "pause": {} }]));
        crate::json::merge(&mut canary, &json!({ "canary": settings }));
        let canary = scene(3, canary).route(0).status(stable_on("v1", "v2", 0));
        let mut preview = blue_green();
        crate::json::merge(&mut preview, &json!({ "blueGreen": settings }));
        let preview = scene(3, preview).status(json!({ "stableRS": hash_of("v1"), "currentPodHash": hash_of("v2") }));
        for (what, scene) in [("canary", with_steps(canary)), ("blue-green", preview)] {
            let scene = scene
                .version("v2")
                .set("v1", 1, 3, 3)
                .set("v2", 2, 3, 3)
                .service("stable", Some("v1"))
                .service("canary", Some("v1"))
                .status(aborted.clone());
            assert_eq!(fate(&scene, "v2"), expected, "{what} {settings}");
        }
    }
}

#[test]
fn the_oldest_revision_beyond_the_history_limit_is_deleted() {
    for (limit, expected) in [(1, vec![format!("shop-{}", hash_of("v1"))]), (2, vec![])] {
        let scene = complete(routed(json!([{ "setWeight": 50 }])), &json!({}))
            .set("v1", 1, 0, 0)
            .set("v2", 2, 0, 0)
            .spec(json!({ "revisionHistoryLimit": limit }));
        let plan = decide(scene.now, &scene.world);
        let deleted = plan.effects.iter().filter_map(|effect| match effect {
            Effect::DeleteReplicaSet { name, .. } => Some(name.clone()),
            _ => None,
        });
        assert_eq!(deleted.collect::<Vec<_>>(), expected, "limit {limit}");
    }
}

#[test]
fn a_new_replica_set_keeps_away_from_the_stable_one_where_that_is_asked_for() {
    let rules = json!({ "requiredDuringSchedulingIgnoredDuringExecution": {} });
    for mut strategy in [routed(json!([{ "setWeight": 50 }])), blue_green()] {
        let kind = if strategy.get("canary").is_some() {
            "canary"
        } else {
            "blueGreen"
        };
        strategy[kind]["antiAffinity"] = rules.clone();
        let scene = scene(3, strategy)
            .version("v2")
            .set("v1", 1, 3, 3)
            .service("stable", Some("v1"))
            .service("canary", Some("v1"))
            .route(0)
            .status(json!({ "stableRS": hash_of("v1"), "currentPodHash": hash_of("v1") }));
        let plan = decide(scene.now, &scene.world);
        let made = plan.effects.iter().find_map(|effect| match effect {
            Effect::CreateReplicaSet { object, .. } => Some(object),
            _ => None,
        });
        let terms = "/spec/template/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution";
        let term = &made.expect("a ReplicaSet is made").pointer(terms).expect("the rule")[0];
        let expression = &term["labelSelector"]["matchExpressions"][0];
        assert_eq!(expression["key"], "rollouts-pod-template-hash", "{kind}");
        assert_eq!(expression["values"], json!([hash_of("v1")]), "{kind}");
    }
}

#[test]
fn a_progress_threshold_is_a_count_of_pods_or_a_share_of_them() {
    for (threshold, size, expected) in [
        (Value::Null, 5, 5),
        (json!({ "type": "Pods", "value": 3 }), 5, 3),
        (json!({ "type": "Pods", "value": 9 }), 5, 5),
        (json!({ "type": "Percent", "value": 80 }), 5, 4),
        (json!({ "type": "Percent", "value": 50 }), 5, 3),
    ] {
        let canary = json!({ "replicaProgressThreshold": threshold });
        let canary: CanaryStrategy = serde_json::from_value(canary).expect("a strategy");
        assert_eq!(enough(&canary, size), expected, "{threshold} of {size}");
    }
}

#[test]
fn past_runs_are_deleted_beyond_the_limit_of_their_kind() {
    let of = |phase: &AnalysisPhase, limits: &Value| {
        let mut scene = complete(routed(json!([{ "setWeight": 50 }])), &json!({}))
            .set("v1", 1, 0, 0)
            .set("v2", 2, 0, 0)
            .spec(json!({ "analysis": limits }))
            .past_run("shop-old");
        let Fact::Known(runs) = &mut scene.world.runs else {
            panic!("the runs are known");
        };
        for run in runs.values_mut() {
            run.phase.clone_from(phase);
        }
        let plan = decide(scene.now, &scene.world);
        plan.effects
            .iter()
            .any(|effect| matches!(effect, Effect::DeleteRun { .. }))
    };
    let successful = json!({ "successfulRunHistoryLimit": 0 });
    let unsuccessful = json!({ "unsuccessfulRunHistoryLimit": 0 });
    for (phase, limits, expected) in [
        (AnalysisPhase::Successful, &successful, true),
        (AnalysisPhase::Successful, &unsuccessful, false),
        (AnalysisPhase::Failed, &successful, false),
        (AnalysisPhase::Failed, &unsuccessful, true),
        (AnalysisPhase::Error, &unsuccessful, true),
        (AnalysisPhase::Inconclusive, &unsuccessful, true),
    ] {
        assert_eq!(of(&phase, limits), expected, "{phase:?} {limits}");
    }
}
