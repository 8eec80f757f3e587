//! The runs of an update: what they are called and marked with, and which are ended.

use sluice_crds::{AnalysisPhase, AnalysisTemplateSpec};

use super::*;
use crate::{Run, TemplateRef};

/// An update to v2 at a step with an analysis; `analysis` is added to it.
fn at_analysis(analysis: &Value) -> Scene {
    let mut step = json!({ "templates": [{ "templateName": "errors" }] });
    crate::json::merge(&mut step, analysis);
    let strategy = routed(json!([{ "setWeight": 20 }, { "analysis": step }, { "pause": {} }]));
    let mut scene = scene(5, strategy)
        .at(100)
        .version("v2")
        .set("v1", 1, 5, 5)
        .set("v2", 2, 1, 1)
        .service("stable", Some("v1"))
        .service("canary", Some("v2"))
        .route(20)
        .status(stable_on("v1", "v2", 1));
    let spec = json!({
        "args": [{ "name": "hash", "value": "none" }],
        "metrics": [{ "name": "errors", "provider": { "prometheus": { "query": "up" } } }],
    });
    let spec: AnalysisTemplateSpec = serde_json::from_value(spec).expect("a template");
    let reference = TemplateRef {
        cluster_scope: false,
        name: "errors".to_owned(),
    };
    scene.world.templates.insert(reference, Fact::Known(spec.into()));
    with_steps(scene)
}

/// The first attempt's name.
fn base() -> String {
    format!("shop-{}-2-1", hash_of("v2"))
}

/// Carries out the commit of a plan; returns the plan.
fn commit(scene: &mut Scene) -> Plan {
    let plan = decide(scene.now, &scene.world);
    if let Some(status) = plan.commit.as_ref().and_then(|commit| commit.status.clone()) {
        let mut object = json!(scene.world.rollout);
        crate::json::merge(&mut object, &status);
        scene.world.rollout = serde_json::from_value(object).expect("a Rollout");
    }
    scene.world.memory = plan.memory.clone();
    plan
}

/// The runs that a plan makes.
fn made(plan: &Plan) -> Vec<(String, Value)> {
    let made = plan.effects.iter().filter_map(|effect| match effect {
        Effect::CreateRun { name, object } => Some((name.clone(), object.clone())),
        _ => None,
    });
    made.collect()
}

fn named(scene: &Scene) -> Option<String> {
    let status = scene.world.rollout.status.as_ref()?;
    status.runs().next().map(|run| run.name.clone())
}

fn add(scene: &mut Scene, name: &str, labels: &Value, phase: AnalysisPhase) {
    let run = Run {
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        resource_version: "60".to_owned(),
        created_at: scene.now,
        labels: serde_json::from_value(labels.clone()).expect("labels"),
        annotations: BTreeMap::new(),
        phase,
        message: None,
        terminating: false,
    };
    let Fact::Known(runs) = &mut scene.world.runs else {
        panic!("the runs are known");
    };
    runs.insert(name.to_owned(), run);
}

#[test]
fn a_run_has_the_labels_of_its_place_and_the_metadata_of_its_analysis() {
    let metadata = json!({ "analysisRunMetadata": {
        "labels": { "team": "shop", "step-index": "9" },
        "annotations": { "example.com/link": "https://x" },
    } });
    let mut scene = at_analysis(&metadata);
    scene.world.settings.instance_id = Some("blue".to_owned());
    let plan = commit(&mut scene);
    let [(name, object)] = &made(&plan)[..] else {
        panic!("{}", describe(&plan));
    };
    assert_eq!((name, named(&scene)), (&base(), Some(base())));
    let labels = json!({
        "team": "shop",
        "rollouts-pod-template-hash": hash_of("v2"),
        "rollout-type": "Step",
        "step-index": "1",
        "sluice.dev/attempt": "0",
        "argo-rollouts.argoproj.io/controller-instance-id": "blue",
    });
    assert_eq!(object["metadata"]["labels"], labels);
    let annotations = json!({ "example.com/link": "https://x", "rollout.argoproj.io/revision": "2" });
    assert_eq!(object["metadata"]["annotations"], annotations);
}

#[test]
fn the_rules_and_arguments_of_a_rollout_are_those_of_its_run() {
    let mut scene = at_analysis(&json!({
        "args": [{ "name": "hash", "valueFrom": { "podTemplateHashValue": "Latest" } }],
        "dryRun": [{ "metricName": ".*" }],
        "measurementRetention": [{ "metricName": "err", "limit": 20 }],
    }));
    let plan = commit(&mut scene);
    let spec = &made(&plan)[0].1["spec"];
    assert_eq!(spec["dryRun"], json!([{ "metricName": ".*" }]));
    assert_eq!(
        spec["measurementRetention"],
        json!([{ "metricName": "err", "limit": 20 }])
    );
    assert_eq!(spec["args"], json!([{ "name": "hash", "value": hash_of("v2") }]));
}

#[test]
fn a_name_that_somebody_elses_run_has_is_passed_over() {
    let mut scene = at_analysis(&json!({}));
    assert_eq!(made(&commit(&mut scene))[0].0, base());
    // The API server says AlreadyExists, twice, and the runs are not ours.
    for (taken, next) in [
        (base(), format!("{}.1", base())),
        (format!("{}.1", base()), format!("{}.2", base())),
    ] {
        scene.world.memory.taken_runs.insert(taken);
        let plan = commit(&mut scene);
        assert!(plan.commit.is_some(), "the new name is committed first");
        let (name, object) = &made(&plan)[0];
        assert_eq!((name, named(&scene)), (&next, Some(next.clone())));
        let attempt = next.rsplit('.').next().expect("a number");
        assert_eq!(object["metadata"]["labels"]["sluice.dev/attempt"], attempt);
    }
    let last = format!("{}.2", base());
    let labels = json!({ "rollouts-pod-template-hash": hash_of("v2"), "sluice.dev/attempt": "2" });
    add(&mut scene, &last, &labels, AnalysisPhase::Running);
    let plan = commit(&mut scene);
    assert_eq!((made(&plan), named(&scene)), (vec![], Some(last)));
    assert!(scene.world.memory.taken_runs.is_empty(), "the run exists");
}

#[test]
fn who_resumes_after_an_inconclusive_run_gets_another_one() {
    let pause = json!([{ "reason": "InconclusiveAnalysisRun", "startTime": START }]);
    let background = json!({ "templates": [{ "templateName": "errors" }] });
    let name = format!("shop-{}-2", hash_of("v2"));
    for (field, name, in_background) in [
        ("currentStepAnalysisRunStatus", base(), false),
        ("currentBackgroundAnalysisRunStatus", name, true),
    ] {
        let mut scene = at_analysis(&json!({}));
        if in_background {
            let steps = json!([{ "setWeight": 20 }, { "setWeight": 40 }]);
            let canary = json!({ "analysis": background, "steps": steps });
            scene = with_steps(scene.spec(json!({ "strategy": { "canary": canary } })));
        }
        let named = json!({ "canary": { field: { "name": name, "status": "Inconclusive" } } });
        scene = scene
            .status(json!({ "controllerPause": true, "pauseConditions": pause }))
            .status(named);
        let labels = json!({ "rollouts-pod-template-hash": hash_of("v2") });
        add(&mut scene, &name, &labels, AnalysisPhase::Inconclusive);
        assert_eq!(made(&commit(&mut scene)), [], "{field}: it waits for a person");
        scene = scene.status(json!({ "pauseConditions": null }));
        let plan = commit(&mut scene);
        let new: Vec<String> = made(&plan).into_iter().map(|(name, _)| name).collect();
        assert_eq!(new, [format!("{name}.1")], "{field}: {}", describe(&plan));
        add(&mut scene, &new[0], &labels, AnalysisPhase::Running);
        assert_eq!(made(&commit(&mut scene)), [], "{field}: once");
    }
}

#[test]
fn runs_that_the_status_does_not_name_are_ended() {
    let mut scene = at_analysis(&json!({}));
    commit(&mut scene);
    let of = |version: &str| json!({ "rollouts-pod-template-hash": hash_of(version) });
    add(&mut scene, &base(), &of("v2"), AnalysisPhase::Running);
    add(&mut scene, "shop-older", &of("v1"), AnalysisPhase::Running);
    add(&mut scene, "shop-over", &of("v1"), AnalysisPhase::Failed);
    let plan = commit(&mut scene);
    let ended = plan.effects.iter().filter_map(|effect| match effect {
        Effect::TerminateRun { name, .. } => Some(name.as_str()),
        _ => None,
    });
    assert_eq!(ended.collect::<Vec<_>>(), ["shop-older"], "{}", describe(&plan));
}
