//! What is wrong beside the strategy.

use serde_json::json;

use super::{canary, check, problems, with};

#[test]
fn names_leave_room_for_the_names_of_other_objects() {
    let named = |length: usize| with(canary(), "/metadata/name", json!("a".repeat(length)));
    check(named(220), &[]);
    check(
        named(221),
        &["metadata.name: has 221 characters, at most 220 leave room for the names of ReplicaSets"],
    );
}

#[test]
fn what_is_wrong_beside_the_strategy() {
    let negative = "must be greater than or equal to 0";
    for (field, value, expected) in [
        ("replicas", json!(-1), format!("spec.replicas: {negative}")),
        (
            "minReadySeconds",
            json!(-1),
            format!("spec.minReadySeconds: {negative}"),
        ),
        (
            "revisionHistoryLimit",
            json!(-1),
            format!("spec.revisionHistoryLimit: {negative}"),
        ),
        (
            "analysis",
            json!({ "successfulRunHistoryLimit": -1 }),
            format!("spec.analysis.successfulRunHistoryLimit: {negative}"),
        ),
        (
            "analysis",
            json!({ "unsuccessfulRunHistoryLimit": -5 }),
            format!("spec.analysis.unsuccessfulRunHistoryLimit: {negative}"),
        ),
        (
            "minReadySeconds",
            json!(600),
            "spec.progressDeadlineSeconds: must be greater than minReadySeconds".into(),
        ),
        (
            "progressDeadlineSeconds",
            json!(0),
            "spec.progressDeadlineSeconds: must be greater than minReadySeconds".into(),
        ),
        (
            "selector",
            json!(null),
            "spec.selector: Rollout has missing field '.spec.selector'".into(),
        ),
        (
            "selector",
            json!({}),
            "spec.selector: empty selector is invalid for deployment".into(),
        ),
        (
            "template",
            json!(null),
            "spec.template: Rollout has missing field '.spec.template'".into(),
        ),
        (
            "strategy",
            json!(null),
            "spec.strategy: Rollout has missing field '.spec.strategy.canary or .spec.strategy.blueGreen'".into(),
        ),
        (
            "strategy",
            json!({}),
            "spec.strategy: Rollout has missing field '.spec.strategy.canary or .spec.strategy.blueGreen'".into(),
        ),
        (
            "strategy",
            json!({ "canary": {}, "blueGreen": { "activeService": "web" } }),
            "spec.strategy: Multiple Strategies can not be listed".into(),
        ),
        (
            "rollbackWindow",
            json!({ "revisions": -3 }),
            format!("spec.rollbackWindow.revisions: {negative}"),
        ),
        (
            "restartAt",
            json!("tomorrow"),
            "spec.restartAt: must be a time such as 2026-01-31T12:00:00Z".into(),
        ),
    ] {
        check(with(canary(), &format!("/spec/{field}"), value), &[&expected]);
    }
}

#[test]
fn what_is_wrong_with_selector_and_template() {
    let labels = "spec.template.metadata.labels";
    for (place, value, expected) in [
        ("selector/matchLabels/app", json!("shop"), format!("{labels}: `selector` does not match template `labels`")),
        ("selector/matchLabels/app", json!("a b"), "spec.selector.matchLabels[app]: `a b` is no value of a label (invalid label selector)".into()),
        (
            "selector/matchExpressions",
            json!([{ "key": "app", "operator": "in", "values": ["web"] }]),
            "spec.selector.matchExpressions[0].operator: `in` is not a valid label selector operator: use In, NotIn, Exists or DoesNotExist (invalid label selector)".into(),
        ),
        (
            "selector/matchExpressions",
            json!([{ "key": "app", "operator": "In" }]),
            "spec.selector.matchExpressions[0].values: must be specified when `operator` is 'In' or 'NotIn' (invalid label selector)".into(),
        ),
        (
            "selector/matchExpressions",
            json!([{ "key": "app", "operator": "Exists", "values": ["web"] }]),
            "spec.selector.matchExpressions[0].values: may not be specified when `operator` is 'Exists' or 'DoesNotExist' (invalid label selector)".into(),
        ),
        (
            "selector/matchExpressions",
            json!([{ "key": "-app", "operator": "DoesNotExist" }]),
            "spec.selector.matchExpressions[0].key: is no label name such as app.kubernetes.io/name (invalid label selector)".into(),
        ),
        ("template/metadata", json!({}), format!("{labels}: `selector` does not match template `labels`")),
        ("template/metadata/labels", json!("web"), format!("{labels}: must be a map of texts")),
        ("template/metadata/labels/port", json!(80), format!("{labels}[port]: 80 with this key is not a label that a pod can have")),
        ("template/spec", json!(null), "spec.template.spec: is missing: it must say which containers to run".into()),
        ("template/spec/containers", json!([]), "spec.template.spec.containers: Required value: there must be at least one container".into()),
        ("template/spec/containers/0", json!({ "name": "web" }), "spec.template.spec.containers[0].image: Required value".into()),
        (
            "template/spec/containers/-",
            json!({ "name": "web", "image": "side:1" }),
            "spec.template.spec.containers[1].name: Duplicate value: another container has this name".into(),
        ),
        (
            "template/spec/restartPolicy",
            json!("Never"),
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"".into(),
        ),
        (
            "template/spec/activeDeadlineSeconds",
            json!(5),
            "spec.template.spec.activeDeadlineSeconds: activeDeadlineSeconds in ReplicaSet is not Supported".into(),
        ),
    ] {
        // A label that does not fit the expressions is not what these rows are about.
        let mut found = problems(with(canary(), &format!("/spec/{place}"), value));
        if place.starts_with("selector/matchExpressions") {
            found.retain(|problem| !problem.contains("does not match"));
        }
        if place == "selector/matchLabels/app" && found.len() > 1 {
            found.retain(|problem| !problem.contains("does not match"));
        }
        assert_eq!(found, [expected], "{place}");
    }
}

#[test]
fn what_is_wrong_with_a_reference_to_a_workload() {
    let reference = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" });
    let both = with(canary(), "/spec/workloadRef", reference.clone());
    check(
        both,
        &["spec.template: template must be empty for workload reference rollout"],
    );
    let mut only = with(canary(), "/spec/workloadRef", reference);
    only = with(with(only, "/spec/template", json!(null)), "/spec/selector", json!(null));
    check(only.clone(), &[]);
    let other = with(
        only,
        "/spec/workloadRef",
        json!({ "apiVersion": "apps/v1", "kind": "DaemonSet", "scaleDown": "soon" }),
    );
    check(
        other,
        &[
            "spec.workloadRef.kind: workload of type apps/v1/DaemonSet is not supported",
            "spec.workloadRef.scaleDown: must be never, onsuccess or progressively",
            "spec.workloadRef.name: is missing: name the workload",
        ],
    );
}
