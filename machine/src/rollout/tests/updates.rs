//! Previews, promotions, stable revisions that shrink, restarts, and workloads that give their pods up.

use serde_json::json;
use sluice_crds::CompletionStatus;

use super::*;
use crate::{Pod, guards};

impl Scene {
    /// The pods of a version: name, seconds between the start and its creation, and whether it is ready.
    fn pods(mut self, version: &str, pods: &[(&str, i64, bool)]) -> Self {
        let start: Timestamp = START.parse().expect("a time");
        let pods = pods.iter().map(|(name, seconds, ready)| Pod {
            name: (*name).to_owned(),
            uid: format!("uid-{name}"),
            created_at: start + jiff::SignedDuration::from_secs(*seconds),
            ready: *ready,
            deleting: false,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        });
        let ask = Ask::Pods {
            replica_set: format!("shop-{}", hash_of(version)),
            resource_version: "50".to_owned(),
        };
        let answer = Answer::Pods(Fact::Known(pods.collect()));
        self.world.answers.insert(ask, Answered { at: self.now, answer });
        self
    }

    pub(super) fn plan(&self) -> Plan {
        decide(self.now, &self.world)
    }

    /// The kinds of the effects that are planned.
    pub(super) fn effects(&self) -> Vec<&'static str> {
        self.plan().effects.iter().map(Effect::kind).collect()
    }

    /// The status as it is after the plan's commit.
    pub(super) fn after(&self) -> sluice_crds::RolloutStatus {
        let mut object = json!(self.world.rollout);
        let commit = self.plan().commit.expect("something to commit");
        crate::json::merge(&mut object, &commit.status.unwrap_or_default());
        let rollout: Rollout = serde_json::from_value(object).expect("a Rollout");
        rollout.status.unwrap_or_default()
    }
}

/// A blue-green update to v2 with further settings: v1 is stable with 3 pods and has the active Service.
fn preview(settings: Value) -> Scene {
    let mut strategy = blue_green();
    crate::json::merge(&mut strategy, &json!({ "blueGreen": settings }));
    scene(3, strategy)
        .at(40)
        .version("v2")
        .set("v1", 1, 3, 3)
        .service("stable", Some("v1"))
        .service("canary", Some("v2"))
        .status(json!({ "stableRS": hash_of("v1"), "currentPodHash": hash_of("v2") }))
}

#[test]
fn a_small_preview_grows_when_nothing_else_is_left_to_wait_for() {
    let small = json!({ "previewReplicaCount": 1, "autoPromotionEnabled": false });
    let sizes = |scene: Scene| {
        let effects = scene.plan().effects.into_iter();
        effects
            .filter_map(|effect| match effect {
                Effect::CreateReplicaSet { object, .. } => object["spec"]["replicas"].as_u64(),
                Effect::PatchReplicaSet {
                    replicas: Some((_, to)),
                    ..
                } => Some(u64::from(to)),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(sizes(preview(small.clone())), [1]);
    // Paused with the one pod: nothing grows.
    let paused = |scene: Scene| {
        scene.status(
            json!({ "controllerPause": true, "pauseConditions": [{ "reason": "BlueGreenPause", "startTime": START }] }),
        )
    };
    assert_eq!(sizes(paused(preview(small.clone()).set("v2", 2, 1, 1))), [0; 0]);
    // A person has promoted: the rest comes, and the switch waits for it.
    let promoted = preview(small)
        .set("v2", 2, 1, 1)
        .status(json!({ "controllerPause": true }));
    assert_eq!(sizes(promoted), [3]);
}

#[test]
#[expect(clippy::large_stack_arrays, reason = "a table of cases")]
fn the_switch_waits_for_the_analysis_the_pause_and_all_pods() {
    let analysis = json!({ "prePromotionAnalysis": { "templates": [] } });
    let run =
        |phase: &str| json!({ "blueGreen": { "prePromotionAnalysisRunStatus": { "name": "r", "status": phase } } });
    let auto = json!({ "autoPromotionSeconds": 30 });
    let since = |seconds: &str| json!({ "controllerPause": true, "pauseConditions": [{ "reason": "BlueGreenPause", "startTime": format!("2026-01-01T00:00:{seconds}Z") }] });
    let up = |settings: Value, status: Value| preview(settings).set("v2", 2, 3, 3).status(status);
    for (what, scene, switches) in [
        ("nothing is asked for", up(json!({}), json!({})), true),
        ("two of three pods", preview(json!({})).set("v2", 2, 3, 2), false),
        (
            "a person must promote",
            up(json!({ "autoPromotionEnabled": false }), json!({})),
            false,
        ),
        ("20 of 30 seconds are over", up(auto.clone(), since("20")), false),
        ("30 of 30 seconds are over", up(auto.clone(), since("10")), true),
        (
            "false means never by itself",
            up(
                json!({ "autoPromotionEnabled": false, "autoPromotionSeconds": 5 }),
                since("00"),
            ),
            false,
        ),
        ("promoted in full", up(auto, json!({ "promoteFull": true })), true),
    ] {
        let switched = scene.effects().contains(&"switch-service");
        assert_eq!(switched, switches, "{what}: {}", describe(&scene.plan()));
    }
    // Templates are not what this is about, so `advance` is asked and not `decide`, which would refuse an empty list.
    for (phase, released) in [
        ("Running", false),
        ("Failed", false),
        ("Successful", true),
        ("Inconclusive", true),
    ] {
        let scene = up(analysis.clone(), run(phase));
        let status = scene.world.rollout.status.clone().unwrap_or_default();
        let strategy = scene.world.rollout.spec.blue_green().expect("it is one").clone();
        let mut turn = super::super::turn::Turn::new(scene.now, &scene.world);
        let context = super::super::context::Context::resolve(&mut turn, &scene.world);
        let context = context.expect("revisions").expect("no question");
        assert_eq!(
            super::super::blue_green::is_released(&context, &strategy, &status),
            released,
            "{phase}"
        );
    }
}

#[test]
fn dynamic_stable_scale_leaves_stable_what_it_may_be_getting() {
    let scene = |percent: u32, aborted: bool| {
        let mut strategy = routed(json!([{ "setWeight": 75 }, { "pause": {} }]));
        strategy["canary"]["dynamicStableScale"] = true.into();
        let scene = scene(4, strategy)
            .at(600)
            .version("v2")
            .set("v1", 1, 4, 4)
            .set("v2", 2, 3, 3)
            .service("stable", Some("v1"))
            .service("canary", Some("v2"))
            .route(percent)
            .status(stable_on("v1", "v2", 0));
        let scene = with_steps(scene);
        if aborted {
            scene.status(json!({ "abort": true, "abortedAt": START }))
        } else {
            scene
        }
    };
    let stable = |scene: &Scene| {
        let name = format!("shop-{}", hash_of("v1"));
        scene.plan().effects.into_iter().find_map(|effect| match effect {
            Effect::PatchReplicaSet {
                name: set, replicas, ..
            } if set == name => replicas,
            _ => None,
        })
    };
    // At 75 % a quarter is left to stable: one pod of four.
    assert_eq!(stable(&scene(75, false)), Some((4, 1)));
    // Before the weight has moved nothing goes.
    assert_eq!(stable(&scene(0, false)), None);
    // The guard knows the share: two pods are enough for 25 %, none is not.
    let lowered = |to: u32| Effect::PatchReplicaSet {
        name: format!("shop-{}", hash_of("v1")),
        uid: String::new(),
        resource_version: String::new(),
        replicas: Some((4, to)),
        patch: json!({}),
    };
    let at = scene(75, false);
    assert_eq!(guards::check(at.now, &at.world, &lowered(1)), Ok(()));
    assert!(guards::check(at.now, &at.world, &lowered(0)).is_err());
    let half = scene(50, false);
    assert!(guards::check(half.now, &half.world, &lowered(1)).is_err());
}

#[test]
fn a_restart_takes_one_pod_at_a_time_and_never_more_than_may_be_missing() {
    let restarting = |available: u32, pods: &[(&str, i64, bool)]| {
        let scene = scene(4, basic(json!([])))
            .at(120)
            .spec(json!({ "restartAt": "2026-01-01T00:01:00Z" }))
            .set("v1", 1, 4, available)
            .status(json!({ "stableRS": hash_of("v1"), "currentPodHash": hash_of("v1") }))
            .pods("v1", pods);
        with_steps(scene)
    };
    let evicted = |scene: &Scene| {
        let effects = scene.plan().effects.into_iter();
        effects
            .filter_map(|effect| match effect {
                Effect::EvictPod { name, .. } => Some(name),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    let old = [("a", 0, true), ("b", 0, true), ("c", 0, true), ("d", 0, true)];
    assert_eq!(evicted(&restarting(4, &old)), ["a"]);
    // maxUnavailable is 0, which counts as 1: with three of four available none may go.
    let waiting = restarting(3, &[("a2", 70, false), ("b", 0, true), ("c", 0, true), ("d", 0, true)]);
    assert_eq!(evicted(&waiting), [""; 0]);
    assert_eq!(waiting.plan().hold.map(|hold| hold.kind()), Some("restarting"));
    // One that is not ready is of no use to anybody.
    let broken = restarting(3, &[("a", 0, true), ("b", 0, false), ("c", 0, true), ("d", 0, true)]);
    assert_eq!(evicted(&broken), ["b"]);
    // All are young: the restart is done.
    let young = restarting(
        4,
        &[("a2", 70, true), ("b2", 70, true), ("c2", 80, true), ("d2", 90, true)],
    );
    assert_eq!(evicted(&young), [""; 0]);
    let done = young.after().restarted_at.map(|at| at.to_string());
    assert_eq!(done.as_deref(), Some("2026-01-01T00:01:00Z"));
    // Before its time nothing is even asked.
    let early = restarting(4, &old).at(30);
    assert_eq!((early.plan().asks.len(), evicted(&early).len()), (0, 0));
}

#[test]
fn the_condition_healthy_goes_with_the_phase() {
    let complete = |spec: Value| {
        let scene = scene(1, basic(json!([])))
            .at(120)
            .spec(spec)
            .set("v1", 1, 1, 1)
            .status(json!({ "stableRS": hash_of("v1"), "currentPodHash": hash_of("v1") }))
            .pods("v1", &[("a", 0, true)]);
        with_steps(scene)
    };
    for (spec, phase, healthy) in [
        (json!({}), "Healthy", "True"),
        (json!({ "restartAt": "2026-01-01T00:01:00Z" }), "Progressing", "False"),
        (json!({ "minReadySeconds": 900 }), "Degraded", "False"),
    ] {
        let status = complete(spec).after();
        let conditions = status.conditions.unwrap_or_default();
        let condition = conditions.iter().find(|condition| condition.type_ == "Healthy");
        assert_eq!(
            condition.map(|condition| condition.status.as_str()),
            Some(healthy),
            "{phase}"
        );
        assert_eq!(status.phase.map(|phase| phase.to_string()).as_deref(), Some(phase));
    }
}

#[test]
#[expect(clippy::large_stack_arrays, reason = "a table of cases")]
fn a_deployment_gives_its_pods_up_once() {
    let deployment = |replicas: u32, annotations: Value| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "shop", "namespace": "web", "resourceVersion": "9", "generation": 4, "annotations": annotations },
            "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": "shop" } }, "template": template("v1") },
        })
    };
    let taking = |mode: &str, available: u32, deployment: Value, stable: bool| {
        let reference = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "shop", "scaleDown": mode });
        let mut scene = scene(4, basic(json!([])))
            .spec(json!({ "workloadRef": reference, "template": null, "selector": null }))
            .set("v1", 1, 4, available)
            .status(json!({ "currentPodHash": hash_of("v1") }));
        if stable {
            scene = scene.status(json!({ "stableRS": hash_of("v1") }));
        }
        let object = crate::workload::object(&scene.world.rollout).expect("a workload");
        scene.world.objects.insert(object, Fact::Known(deployment));
        scene
    };
    let scaled = |scene: &Scene| {
        scene.plan().effects.into_iter().find_map(|effect| match effect {
            Effect::ScaleWorkload { replicas, .. } => Some(replicas),
            _ => None,
        })
    };
    let new = || deployment(4, json!({}));
    for (what, scene, expected) in [
        ("never", taking("never", 4, new(), true), None),
        ("healthy", taking("onsuccess", 4, new(), true), Some((4, 0))),
        ("not yet healthy", taking("onsuccess", 3, new(), true), None),
        ("coming up", taking("onsuccess", 3, new(), false), None),
        (
            "coming up, pod by pod",
            taking("progressively", 3, new(), false),
            Some((4, 1)),
        ),
        ("none is there yet", taking("progressively", 0, new(), false), None),
        (
            "done before",
            taking(
                "onsuccess",
                4,
                deployment(4, json!({ "sluice.dev/scaled-down-for": "u1" })),
                true,
            ),
            None,
        ),
        (
            "done for another one",
            taking(
                "onsuccess",
                4,
                deployment(4, json!({ "sluice.dev/scaled-down-for": "u0" })),
                true,
            ),
            Some((4, 0)),
        ),
    ] {
        assert_eq!(scaled(&scene), expected, "{what}: {}", describe(&scene.plan()));
    }
    let effect = |to: u32| Effect::ScaleWorkload {
        object: route(),
        replicas: (4, to),
        patch: json!({}),
    };
    let three = taking("progressively", 3, new(), false);
    assert_eq!(guards::check(three.now, &three.world, &effect(1)), Ok(()));
    assert!(guards::check(three.now, &three.world, &effect(0)).is_err());
    // What command lines compare.
    let status = taking("never", 4, new(), true).after();
    assert_eq!(status.workload_observed_generation.as_deref(), Some("4"));
    assert_eq!(status.selector.as_deref(), Some("app=shop"));
}

#[test]
fn an_autoscaler_finds_no_more_pods_than_are_wanted() {
    let steps = json!([{ "setWeight": 50 }, { "pause": {} }]);
    let canary = scene(4, routed(steps))
        .at(600)
        .version("v2")
        .set("v1", 1, 4, 4)
        .set("v2", 2, 2, 2)
        .service("stable", Some("v1"))
        .service("canary", Some("v2"))
        .route(50)
        .status(stable_on("v1", "v2", 0));
    let status = with_steps(canary).after();
    assert_eq!((status.replicas, status.hpa_replicas), (Some(6), Some(4)));
    let green = preview(json!({ "autoPromotionEnabled": false }))
        .set("v2", 2, 2, 2)
        .after();
    assert_eq!((green.replicas, green.hpa_replicas), (Some(5), Some(3)));
    let selector = format!("app=shop,rollouts-pod-template-hash={}", hash_of("v1"));
    assert_eq!(green.selector, Some(selector));
}

#[test]
fn an_update_says_how_long_it_took_and_how_it_ended() {
    let begun = json!({ "duration": { "rolloutStartedAt": START } });
    let done = |status: Value| {
        let last = with_steps(
            scene(2, basic(json!([{ "setWeight": 50 }])))
                .version("v2")
                .set("v1", 1, 0, 0)
                .set("v2", 2, 2, 2)
                .status(stable_on("v1", "v2", 1))
                .status(begun.clone())
                .status(status),
        );
        last.at(60).after().duration.expect("it was begun")
    };
    let ended = done(json!({}));
    assert_eq!(ended.completion_status, Some(CompletionStatus::Promoted));
    assert_eq!(
        ended.finished_at.map(|at| at.to_string()).as_deref(),
        Some("2026-01-01T00:01:00Z")
    );
    let full = done(json!({ "promoteFull": true }));
    assert_eq!(full.completion_status, Some(CompletionStatus::FastPromoted));
    let aborted = done(json!({ "abort": true }));
    assert_eq!(aborted.completion_status, Some(CompletionStatus::Aborted));
    // A pause that a person ended after 45 seconds.
    let paused = done(json!({ "duration": { "manualPauseStartedAt": "2026-01-01T00:00:15Z" } }));
    assert_eq!(
        (
            paused.manual_pause_started_at,
            paused.total_manual_pause_duration_seconds
        ),
        (None, Some(45))
    );
}

#[test]
fn the_way_back_inside_the_window_skips_the_steps() {
    let back = |revisions: u32| {
        let mut scene = scene(2, basic(json!([{ "setWeight": 50 }, { "pause": {} }])))
            .spec(json!({ "rollbackWindow": { "revisions": revisions } }))
            .version("v1")
            .set("v1", 1, 0, 0)
            .set("v2", 2, 0, 0)
            .set("v3", 3, 2, 2)
            .status(stable_on("v3", "v3", 2));
        if let Fact::Known(sets) = &mut scene.world.replica_sets {
            for set in sets.values_mut() {
                let revision: i64 = set.annotations["rollout.argoproj.io/revision"]
                    .parse()
                    .expect("a number");
                set.created_at += jiff::SignedDuration::from_secs(revision * 60);
            }
        }
        with_steps(scene).at(600).after().promote_full
    };
    // v2 was made between v1 and v3: a window of one revision does not reach v1, one of two does.
    assert_eq!([back(0), back(1), back(2)], [None, None, Some(true)]);
}

#[test]
fn services_that_are_no_longer_named_are_given_back_when_the_update_is_over() {
    let scene = |stable: &str| {
        let mut scene = scene(2, basic(json!([])))
            .at(600)
            .version("v2")
            .set("v2", 2, 2, 2)
            .switched("former", "v2", 0, &[("v2", 2)])
            .status(stable_on(stable, "v2", 0));
        if stable == "v1" {
            scene = scene.set("v1", 1, 2, 2);
        }
        with_steps(scene)
    };
    assert_eq!(scene("v2").effects(), ["release-service"]);
    assert!(!scene("v1").effects().contains(&"release-service"));
    let patch = scene("v2").plan().effects.into_iter().find_map(|effect| match effect {
        Effect::ReleaseService { patch, .. } => Some(patch),
        _ => None,
    });
    let selector = patch.as_ref().and_then(|patch| patch.pointer("/spec/selector"));
    assert_eq!(selector, Some(&json!({ "rollouts-pod-template-hash": null })));
}

#[test]
fn a_template_that_is_older_than_the_stable_one_ends_as_rolled_back() {
    for (full, expected) in [
        (false, CompletionStatus::RolledBack),
        (true, CompletionStatus::FastRolledBack),
    ] {
        let mut last = with_steps(
            scene(2, basic(json!([{ "setWeight": 50 }])))
                .version("v2")
                .set("v1", 3, 0, 0)
                .set("v2", 2, 2, 2)
                .status(stable_on("v1", "v2", 1))
                .status(json!({ "promoteFull": full, "duration": { "rolloutStartedAt": START } })),
        );
        let Fact::Known(sets) = &mut last.world.replica_sets else {
            panic!("the ReplicaSets are known");
        };
        for set in sets.values_mut().filter(|set| set.hash == hash_of("v1")) {
            set.created_at += jiff::SignedDuration::from_secs(30);
        }
        let duration = last.at(60).after().duration.expect("it was begun");
        assert_eq!(duration.completion_status, Some(expected));
    }
}
