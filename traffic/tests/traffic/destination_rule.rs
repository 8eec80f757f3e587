//! Subsets of DestinationRules.

use serde_json::{Value, json};
use sluice_traffic::{
    REVISION_LABEL,
    routers::destination_rule::{edit, last_write, observe, subset_moving_annotation},
};

use crate::common::{merge, moving, yaml};

fn object(subsets: &str) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
        "metadata": {"name": "app", "namespace": "shop", "resourceVersion": "77"},
        "spec": {"host": "app", "trafficPolicy": {"tls": {"mode": "DISABLE"}}, "subsets": yaml(subsets), "future": [1]},
    })
}

const BOTH: &str = "[{name: old, labels: {app: a, rollouts-pod-template-hash: a}, trafficPolicy: {x: y}},
                     {name: v9, labels: {version: v9}, future: 1}, {name: new}]";

#[test]
fn an_edit_changes_one_label_of_one_subset() {
    let before = object(BOTH);
    let record = moving("new/b=100", &["new/=100"]);
    let patch = edit(&before, "new", "b", "shop", &record)
        .expect("edits")
        .expect("a patch");
    let after = merge(&before, &patch);
    let mut expected = before.clone();
    expected["spec"]["subsets"][2]["labels"] = json!({ REVISION_LABEL: "b" });
    assert_eq!(after["spec"].to_string(), expected["spec"].to_string());
    assert_eq!(patch["metadata"]["resourceVersion"], "77");
    let seen = observe(&after, "new");
    assert_eq!(
        (seen.revision.as_deref(), seen.managed_by.as_deref()),
        (Some("b"), Some("shop"))
    );
    assert_eq!(seen.moving, Some(record.clone()));
    assert_eq!(
        edit(&after, "new", "b", "shop", &record),
        Ok(None),
        "a second edit has nothing to do"
    );
    // The other subset has a record of its own.
    let other = moving("old/c=100", &["old/a=100"]);
    let patch = edit(&after, "old", "c", "shop", &other)
        .expect("edits")
        .expect("a patch");
    let last = merge(&after, &patch);
    expected["spec"]["subsets"][0]["labels"][REVISION_LABEL] = json!("c");
    assert_eq!(last["spec"].to_string(), expected["spec"].to_string());
    assert_eq!(observe(&last, "new").moving, Some(record));
    assert_eq!(observe(&last, "old").moving, Some(other));
}

#[test]
fn an_object_that_is_not_yet_ours_is_only_annotated_where_it_selects_already() {
    let before = object(BOTH);
    let patch = edit(&before, "old", "a", "shop", &moving("old/a=1", &[]))
        .expect("edits")
        .expect("a patch");
    assert_eq!(patch.get("spec"), None);
    assert_eq!(
        observe(&merge(&before, &patch), "old").managed_by.as_deref(),
        Some("shop")
    );
}

#[test]
fn what_cannot_be_edited_says_why() {
    let check = |subsets: &str, subset: &str, expected: &str| {
        let problem = edit(&object(subsets), subset, "b", "shop", &moving("x/b=1", &[])).expect_err("a problem");
        assert_eq!(problem.to_string(), expected);
        assert_eq!(observe(&object(subsets), subset).revision, None);
    };
    check(
        BOTH,
        "canary",
        "DestinationRule shop/app: spec.subsets: no subset is named `canary`; there are `old`, `v9`, `new`: add it",
    );
    check(
        "[]",
        "canary",
        "DestinationRule shop/app: spec.subsets: no subset is named `canary`; there are none at all: add it",
    );
    check(
        "nope",
        "canary",
        "DestinationRule shop/app: spec.subsets: no subset is named `canary`; there are none at all: add it",
    );
    check(
        "[{name: x, labels: {rollouts-pod-template-hash: a}}, {name: x}]",
        "x",
        "DestinationRule shop/app: spec.subsets: the name `x` stands there twice: give each subset its own",
    );
    let mut before = object(BOTH);
    before["metadata"]["resourceVersion"] = json!(null);
    let problem = edit(&before, "new", "b", "shop", &moving("new/b=1", &[])).expect_err("a problem");
    assert_eq!(problem.path, "metadata.resourceVersion");
}

#[test]
fn writers_of_the_subsets_are_named() {
    let mut before = object(BOTH);
    assert_eq!(
        (observe(&before, "old").foreign_manager, last_write(&before)),
        (None, None)
    );
    before["metadata"]["managedFields"] = json!([
        {"manager": "kubectl", "operation": "Update", "time": "2026-03-01T12:00:00Z", "fieldsV1": {"f:spec": {"f:subsets": {}}}},
    ]);
    assert_eq!(observe(&before, "old").foreign_manager.as_deref(), Some("kubectl"));
    assert!(last_write(&before).is_some());
    assert_eq!(subset_moving_annotation("old"), "subset-moving.sluice.dev/old");
}
