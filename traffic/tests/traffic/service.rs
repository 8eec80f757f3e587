//! Service selectors.

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use sluice_traffic::{MOVING_ANNOTATION, REVISION_LABEL, routers::service};

use crate::common::{merge, moving, yaml};

/// A Service with this `spec` and these annotations (both YAML).
fn object(spec: &str, annotations: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "app", "namespace": "shop", "resourceVersion": "77", "annotations": yaml(annotations)},
        "spec": yaml(spec),
    })
}

const OURS: &str = "{argo-rollouts.argoproj.io/managed-by-rollouts: shop}";

#[test]
fn an_edit_changes_the_revision_in_the_selector_and_records_it() {
    let check = |what: &str, spec: &str, annotations: &str, expected: Expect| {
        let record = moving("app/b=100", &["app/a=100"]);
        let before = object(spec, annotations);
        let text = match service::edit(&before, "b", "shop", &record) {
            Ok(None) => "nothing to do".to_owned(),
            Ok(Some(patch)) => {
                let after = merge(&before, &patch);
                let seen = service::observe(&after);
                assert_eq!(
                    (seen.revision.as_deref(), seen.managed_by.as_deref()),
                    (Some("b"), Some("shop")),
                    "{what}"
                );
                assert_eq!(seen.moving.as_ref(), Some(&record), "{what}");
                assert_eq!(
                    service::edit(&after, "b", "shop", &record),
                    Ok(None),
                    "{what}: a second edit has nothing to do"
                );
                assert_eq!(patch["metadata"]["resourceVersion"], "77", "{what}");
                format!("{} {}", patch["spec"], after["spec"])
            }
            Err(problem) => problem.to_string(),
        };
        eprintln!("{what}");
        expected.assert_eq(&text);
    };
    check(
        "first time",
        "{selector: {app: a}, ports: [{port: 80}]}",
        "{}",
        expect![[
            r#"{"selector":{"rollouts-pod-template-hash":"b"}} {"selector":{"app":"a","rollouts-pod-template-hash":"b"},"ports":[{"port":80}]}"#
        ]],
    );
    check(
        "switch",
        "{selector: {app: a, rollouts-pod-template-hash: a}}",
        OURS,
        expect![[
            r#"{"selector":{"rollouts-pod-template-hash":"b"}} {"selector":{"app":"a","rollouts-pod-template-hash":"b"}}"#
        ]],
    );
    check(
        "already so",
        "{selector: {app: a, rollouts-pod-template-hash: b}}",
        OURS,
        expect!["nothing to do"],
    );
    check(
        "selected and not yet ours",
        "{selector: {rollouts-pod-template-hash: b}}",
        "{}",
        expect![[r#"{"selector":{"rollouts-pod-template-hash":"b"}} {"selector":{"rollouts-pod-template-hash":"b"}}"#]],
    );
    check(
        "of another Rollout",
        "{selector: {rollouts-pod-template-hash: b}}",
        "{argo-rollouts.argoproj.io/managed-by-rollouts: web}",
        expect![[r#"{"selector":{"rollouts-pod-template-hash":"b"}} {"selector":{"rollouts-pod-template-hash":"b"}}"#]],
    );
    check(
        "a selector null",
        "{selector: null}",
        "{}",
        expect![[r#"{"selector":{"rollouts-pod-template-hash":"b"}} {"selector":{"rollouts-pod-template-hash":"b"}}"#]],
    );
    check(
        "a name outside",
        "{type: ExternalName, externalName: a.test}",
        "{}",
        expect!["Service shop/app: spec.type: is ExternalName, which selects no pods: use a Service of type ClusterIP"],
    );
}

#[test]
fn a_service_is_read_as_it_is() {
    let seen = service::observe(&object("{selector: {app: a}}", "{}"));
    assert_eq!(
        (seen.revision, seen.moving, seen.managed_by, seen.foreign_manager),
        (None, None, None, None)
    );
    let mut both = object("{selector: {app: a, rollouts-pod-template-hash: abc}}", OURS);
    let record = moving("app/abc=100", &["app/old=100", "app/older=100"]);
    both["metadata"]["annotations"][MOVING_ANNOTATION] = json!(serde_json::to_string(&record).expect("JSON"));
    let seen = service::observe(&both);
    assert_eq!(seen.revision.as_deref(), Some("abc"));
    assert_eq!(seen.managed_by.as_deref(), Some("shop"));
    assert_eq!(seen.moving, Some(record));
}

#[test]
fn what_is_not_a_service_reads_as_absent() {
    for text in [
        "null",
        "3",
        "[]",
        "{spec: []}",
        "{spec: {selector: nope}}",
        "{spec: {selector: {rollouts-pod-template-hash: 5}}}",
        "{spec: {selector: {rollouts-pod-template-hash: ''}}}",
        "{metadata: {annotations: {sluice.dev/moving: '{'}}}",
        "{metadata: {annotations: [1]}}",
    ] {
        let seen = service::observe(&yaml(text));
        assert_eq!(
            (seen.revision, seen.moving, seen.managed_by),
            (None, None, None),
            "{text}"
        );
        let problem = service::edit(&yaml(text), "b", "shop", &moving("app/b=1", &[])).expect_err("no resourceVersion");
        assert_eq!(problem.path, "metadata.resourceVersion", "{text}");
    }
}

#[test]
fn an_edit_touches_only_its_own_keys() {
    let before = object("{selector: {app: a}}", "{team: shop}");
    let patch = service::edit(&before, "b", "shop", &moving("app/b=1", &[]))
        .expect("edits")
        .expect("a patch");
    let keys = |value: &Value| {
        value
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(keys(&patch), ["metadata".to_owned(), "spec".to_owned()].into());
    assert_eq!(keys(&patch["spec"]["selector"]), [REVISION_LABEL.to_owned()].into());
    assert_eq!(
        keys(&patch["metadata"]["annotations"]),
        [
            MOVING_ANNOTATION.to_owned(),
            "argo-rollouts.argoproj.io/managed-by-rollouts".to_owned()
        ]
        .into()
    );
}
