//! Tables of everything that can be wrong, and of what is right.

mod canary;
mod references;
mod rollout;
mod steps;

use serde_json::{Value, json};
use sluice_crds::Rollout;

/// A right canary: `HTTPRoute`s, all kinds of steps that are served, analysis beside the steps.
fn canary() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": { "name": "web", "namespace": "shop" },
        "spec": {
            "replicas": 4,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "web", "image": "web:1" }] },
            },
            "strategy": { "canary": {
                "canaryService": "web-canary",
                "stableService": "web-stable",
                "trafficRouting": { "gatewayApi": { "httpRoute": "web" } },
                "analysis": { "templates": [{ "templateName": "errors" }], "startingStep": 1 },
                "steps": [
                    { "setWeight": 5 },
                    { "pause": { "duration": "10m" } },
                    { "setCanaryScale": { "weight": 50 } },
                    { "analysis": { "templates": [{ "templateName": "errors" }] } },
                ],
            } },
        },
    })
}

/// A right canary without routes.
fn basic() -> Value {
    with(
        canary(),
        "/spec/strategy/canary",
        json!({ "steps": [{ "setWeight": 20 }, { "pause": {} }] }),
    )
}

/// A right blue-green.
fn blue_green() -> Value {
    let strategy = json!({ "blueGreen": { "activeService": "web", "previewService": "web-preview" } });
    with(canary(), "/spec/strategy", strategy)
}

/// The object with another value at a place; `null` takes the place away. `-` after a list appends.
fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a place has a name");
    let parent = object
        .pointer_mut(parent)
        .unwrap_or_else(|| panic!("nothing at {parent}"));
    match parent {
        Value::Object(map) if value.is_null() => {
            map.remove(key);
        }
        Value::Object(map) => {
            map.insert(key.to_owned(), value);
        }
        Value::Array(list) if key == "-" => list.push(value),
        Value::Array(list) => list[key.parse::<usize>().expect("a place in a list is a number")] = value,
        other => panic!("{other} has no places"),
    }
    object
}

fn problems(object: Value) -> Vec<String> {
    let object: Rollout = serde_json::from_value(object).expect("the CRD admits it");
    super::rollout(&object).iter().map(ToString::to_string).collect()
}

/// Exactly these problems, each as `path: text`, with `spec.strategy.` left out at the beginning of a path.
#[track_caller]
fn check(object: Value, expected: &[&str]) {
    let found = problems(object);
    let short = |problem: &String| problem.strip_prefix("spec.strategy.").unwrap_or(problem).to_owned();
    assert_eq!(found.iter().map(short).collect::<Vec<_>>(), expected);
}

const STEP: &str = "Step must have one of the following set: experiment, setWeight, setCanaryScale, plugin or pause";
const SERVICES: &str = "Canary service and Stable service must to be set to use Traffic Routing";
const LATER: &str = "is not supported yet by this version of Sluice";

#[test]
fn right_rollouts_have_no_problem() {
    check(canary(), &[]);
    check(basic(), &[]);
    check(blue_green(), &[]);
    let plugin = json!({ "plugins": { "argoproj-labs/gatewayAPI": { "httpRoute": "web", "namespace": "shop" } } });
    check(with(canary(), "/spec/strategy/canary/trafficRouting", plugin), &[]);
    let background = json!({
        "templates": [{ "templateName": "errors", "clusterScope": true }],
        "args": [
            { "name": "a", "value": "" },
            { "name": "b", "valueFrom": { "podTemplateHashValue": "Latest" } },
            { "name": "c", "valueFrom": { "fieldRef": { "fieldPath": "metadata.labels['region']" } } },
            { "name": "d", "valueFrom": { "fieldRef": { "fieldPath": "status.canary.weights.canary.weight" } } },
        ],
        "analysisRunMetadata": { "labels": { "team": "shop" } },
    });
    check(with(canary(), "/spec/strategy/canary/analysis", background), &[]);
}

#[test]
fn values_that_ask_for_nothing_are_no_problem() {
    let canary_rows = [
        ("dynamicStableScale", json!(true)),
        ("replicaProgressThreshold", json!({ "type": "Percent", "value": 90 })),
        ("replicaProgressThreshold", json!({ "type": "Pods", "value": 2 })),
        (
            "antiAffinity",
            json!({ "requiredDuringSchedulingIgnoredDuringExecution": {} }),
        ),
        ("pingPong", json!({ "pingService": "a", "pongService": "b" })),
        ("canaryMetadata", json!({ "labels": { "role": "canary" } })),
        (
            "stableMetadata",
            json!({ "annotations": { "example.com/role": "stable" } }),
        ),
        ("canaryMetadata", json!({})),
        ("stableMetadata", json!({ "labels": {} })),
        ("maxSurge", json!("25")),
        ("maxUnavailable", json!("0%")),
        ("maxSurge", json!(0)),
        ("scaleDownDelaySeconds", json!(0)),
        ("abortScaleDownDelaySeconds", json!(0)),
        ("scaleDownDelayRevisionLimit", json!(2)),
        ("minPodsPerReplicaSet", json!(2)),
        ("steps", json!([])),
        (
            "steps",
            json!([{ "setWeight": 0 }, { "setWeight": 100 }, { "pause": { "duration": 0 } }]),
        ),
        (
            "steps",
            json!([{ "pause": { "duration": "90" } }, { "setCanaryScale": { "matchTrafficWeight": true } }]),
        ),
    ];
    for (field, value) in canary_rows {
        check(with(canary(), &format!("/spec/strategy/canary/{field}"), value), &[]);
    }
    let spec_rows = [
        ("paused", json!(true)),
        ("rollbackWindow", json!({})),
        ("rollbackWindow", json!({ "revisions": 3 })),
        ("restartAt", json!("2026-01-31T12:00:00Z")),
        ("replicas", json!(0)),
        ("revisionHistoryLimit", json!(0)),
        ("progressDeadlineAbort", json!(true)),
        ("analysis", json!({ "successfulRunHistoryLimit": 0 })),
    ];
    for (field, value) in spec_rows {
        check(with(canary(), &format!("/spec/{field}"), value), &[]);
    }
    for (field, value) in [
        ("autoPromotionEnabled", json!(false)),
        ("autoPromotionSeconds", json!(30)),
        ("previewReplicaCount", json!(1)),
        (
            "prePromotionAnalysis",
            json!({ "templates": [{ "templateName": "errors" }] }),
        ),
        (
            "postPromotionAnalysis",
            json!({ "templates": [{ "templateName": "errors" }] }),
        ),
        ("previewMetadata", json!({ "labels": { "role": "preview" } })),
        (
            "antiAffinity",
            json!({ "requiredDuringSchedulingIgnoredDuringExecution": {} }),
        ),
        ("scaleDownDelaySeconds", json!(60)),
        ("scaleDownDelayRevisionLimit", json!(10)),
        ("maxUnavailable", json!("50%")),
        ("activeMetadata", json!({})),
    ] {
        check(
            with(blue_green(), &format!("/spec/strategy/blueGreen/{field}"), value),
            &[],
        );
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let mut object = with(canary(), "/spec/replicas", json!(-1));
    object = with(object, "/spec/selector", json!(null));
    object = with(object, "/spec/strategy/canary/steps/0", json!({ "setWeight": 200 }));
    object = with(
        object,
        "/spec/strategy/canary/steps/1",
        json!({ "pause": { "duration": "soon" } }),
    );
    object = with(object, "/spec/strategy/canary/steps/2", json!({}));
    check(
        object,
        &[
            "spec.replicas: must be greater than or equal to 0",
            "spec.selector: Rollout has missing field '.spec.selector'",
            "canary.steps[0].setWeight: SetWeight needs to be between 0 and 100",
            "canary.steps[1].pause.duration: Duration needs to be greater than 0",
            &format!("canary.steps[2]: {STEP}"),
        ],
    );
}

#[test]
fn an_empty_rollout_has_problems_and_no_panic() {
    let found =
        problems(json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {}, "spec": {} }));
    assert_eq!(found.len(), 3, "{found:#?}");
}
