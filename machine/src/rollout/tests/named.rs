//! Small things of the API that tools read by name: conditions, annotations, labels, times.

use super::*;

fn plan(scene: &Scene) -> Plan {
    decide(scene.now, &scene.world)
}

/// What the commit writes into the status.
fn status(plan: &Plan) -> Value {
    let commit = plan.commit.as_ref().expect("something to commit");
    commit.status.as_ref().expect("a status")["status"].clone()
}

fn progressing(plan: &Plan) -> Value {
    let conditions = status(plan)["conditions"].as_array().cloned().expect("conditions");
    let found = conditions
        .into_iter()
        .find(|condition| condition["type"] == "Progressing");
    found.expect("the condition")["reason"].clone()
}

/// An update to v2 at its first step; v1 is stable.
fn update(steps: Value) -> Scene {
    let scene = scene(4, basic(steps)).at(30).version("v2").set("v1", 1, 4, 4);
    with_steps(scene.status(stable_on("v1", "v2", 0)))
}

#[test]
fn the_first_condition_of_a_new_revision_says_that_its_replica_set_is_made() {
    let created = update(json!([{ "setWeight": 50 }])).status(json!({ "currentPodHash": hash_of("v1") }));
    assert_eq!(progressing(&plan(&created)), "NewReplicaSetCreated");
    let there = created.set("v2", 2, 1, 0);
    assert_eq!(progressing(&plan(&there)), "ReplicaSetUpdated");
}

#[test]
fn what_follows_on_a_pause_is_called_resumed() {
    let condition = |reason: &str| {
        json!({ "conditions": [{
            "type": "Progressing", "status": "Unknown", "reason": reason, "message": "Rollout is paused",
            "lastUpdateTime": START, "lastTransitionTime": START,
        }] })
    };
    let update = || update(json!([{ "setWeight": 50 }])).set("v2", 2, 2, 1);
    assert_eq!(
        progressing(&plan(&update().status(condition("RolloutPaused")))),
        "RolloutResumed"
    );
    assert_eq!(
        progressing(&plan(&update().status(condition("ReplicaSetUpdated")))),
        "ReplicaSetUpdated"
    );
}

#[test]
fn an_update_notes_when_it_began_and_since_when_it_waits_for_a_person() {
    let begins = update(json!([{ "pause": {} }])).status(json!({ "currentPodHash": hash_of("v1") }));
    assert_eq!(
        status(&plan(&begins))["duration"]["rolloutStartedAt"],
        "2026-01-01T00:00:30Z"
    );
    let paused = json!({
        "controllerPause": true, "pauseConditions": [{ "reason": "CanaryPauseStep", "startTime": START }],
        "duration": { "rolloutStartedAt": START },
    });
    let waits = |steps: Value| {
        let scene = update(steps).set("v2", 2, 0, 0).status(paused.clone());
        status(&plan(&scene))["duration"]["manualPauseStartedAt"].clone()
    };
    assert_eq!(waits(json!([{ "pause": {} }])), "2026-01-01T00:00:30Z");
    assert_eq!(
        waits(json!([{ "pause": { "duration": "1h" } }])),
        Value::Null,
        "it ends by itself"
    );
}

/// A Rollout whose template is that of a workload.
fn referring(api_version: &str, kind: &str, workload: Value) -> Scene {
    let mut scene = scene(2, basic(json!([]))).spec(
        json!({ "template": null, "workloadRef": { "apiVersion": api_version, "kind": kind, "name": "source" } }),
    );
    let object = ObjectRef {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: "web".to_owned(),
        name: "source".to_owned(),
    };
    scene.world.objects.insert(object, Fact::Known(workload));
    scene
}

#[test]
fn a_replica_set_and_a_pod_template_are_workloads_too_and_their_generation_is_noted() {
    let metadata = json!({ "name": "source", "namespace": "web", "resourceVersion": "1", "generation": 7 });
    let of_set = json!({ "metadata": metadata, "spec": { "template": template("v1"), "selector": {} } });
    let of_template = json!({ "metadata": metadata, "template": template("v1") });
    for (api_version, kind, workload) in [("apps/v1", "ReplicaSet", of_set), ("v1", "PodTemplate", of_template)] {
        let plan = plan(&referring(api_version, kind, workload));
        let made = plan.effects.iter().find_map(|effect| match effect {
            Effect::CreateReplicaSet { object, .. } => Some(&object["spec"]["template"]["spec"]),
            _ => None,
        });
        assert_eq!(made, Some(&template("v1")["spec"]), "{kind}");
        let object = plan.commit.and_then(|commit| commit.object).expect("annotations");
        assert_eq!(
            object["metadata"]["annotations"]["rollout.argoproj.io/workload-generation"], "7",
            "{kind}"
        );
    }
}

#[test]
fn what_is_made_has_the_label_of_the_instance_and_runs_have_the_users_metadata() {
    const LABEL: &str = "argo-rollouts.argoproj.io/controller-instance-id";
    let metadata = json!({ "labels": { "team": "shop" }, "annotations": { "note": "canary" } });
    let analysis = json!({ "templates": [{ "templateName": "errors" }], "analysisRunMetadata": metadata });
    let mut scene = update(json!([{ "analysis": analysis }]));
    let spec = json!({ "metrics": [{
        "name": "errors", "count": 1, "successCondition": "result[0] < 1",
        "provider": { "prometheus": { "address": "http://prometheus", "query": "errors" } },
    }] });
    let spec: sluice_crds::AnalysisTemplateSpec = serde_json::from_value(spec).expect("a template");
    let name = crate::TemplateRef {
        cluster_scope: false,
        name: "errors".to_owned(),
    };
    scene.world.templates.insert(name, Fact::Known(spec.into()));
    for instance in [None, Some("blue".to_owned())] {
        scene.world.settings.instance_id.clone_from(&instance);
        let plan = plan(&scene);
        let label = |object: &Value| object["metadata"]["labels"][LABEL].as_str().map(str::to_owned);
        let mut made = Vec::new();
        for effect in &plan.effects {
            match effect {
                Effect::CreateReplicaSet { object, .. } => {
                    assert_eq!(label(object), instance);
                    made.push("ReplicaSet");
                }
                Effect::CreateRun { object, .. } => {
                    assert_eq!(label(object), instance);
                    assert_eq!(object["metadata"]["labels"]["team"], "shop");
                    assert_eq!(object["metadata"]["annotations"]["note"], "canary");
                    made.push("AnalysisRun");
                }
                _ => {}
            }
        }
        made.sort_unstable();
        assert_eq!(made, ["AnalysisRun", "ReplicaSet"]);
    }
}

#[test]
fn blue_green_goes_back_to_a_version_that_misses_no_more_pods_than_may_be_missing() {
    let aborted = |available, unavailable: u32| {
        let mut strategy = blue_green();
        crate::json::merge(
            &mut strategy,
            &json!({ "blueGreen": { "maxUnavailable": unavailable } }),
        );
        let scene = scene(4, strategy)
            .at(100)
            .version("v2")
            .set("v1", 1, 4, available)
            .set("v2", 2, 4, 4);
        let status =
            json!({ "stableRS": hash_of("v1"), "currentPodHash": hash_of("v2"), "abort": true, "abortedAt": START });
        scene
            .service("stable", Some("v2"))
            .service("canary", Some("v2"))
            .status(status)
    };
    let switches = |scene: &Scene| {
        let effects = plan(scene).effects;
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::SwitchService { name, .. } if name == "stable"))
    };
    assert!(switches(&aborted(4, 0)));
    assert!(!switches(&aborted(3, 0)), "one is missing, and none may be");
    assert!(switches(&aborted(3, 1)), "one may be missing");
    assert!(!switches(&aborted(2, 1)));
}
