//! The semantics of the API server that the machines depend on, one row each.

use serde_json::json;

use super::*;
use crate::clock::START;

fn rollout(name: &str) -> Value {
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {"namespace": "default", "name": name}, "spec": {"replicas": 3}, "status": {"phase": "spoofed"}})
}

fn replica_set(name: &str, owner: Option<&str>) -> Value {
    let mut object = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"namespace": "default", "name": name},
        "spec": {"template": {"spec": {"containers": [{"name": "a", "image": "a:1"}]}}}});
    if let Some(uid) = owner {
        object["metadata"]["ownerReferences"] = json!([{"uid": uid, "controller": true}]);
    }
    object
}

fn created(object: Value) -> (Store, Key) {
    let mut store = Store::default();
    let key = key_of(&object).unwrap();
    store.create(START, Writer::User, object).unwrap();
    (store, key)
}

/// Applies patches to a fresh Rollout and tells generation, how much the revision grew, and the spec and status.
fn after(patches: &[(Part, Value)]) -> (i64, u64, Value, Value) {
    let (mut store, key) = created(rollout("shop"));
    let first = store.revision();
    for (part, patch) in patches {
        store.patch(START, Writer::User, &key, *part, patch).unwrap();
    }
    let object = store.get(&key).unwrap();
    let generation = object["metadata"]["generation"].as_i64().unwrap();
    (
        generation,
        store.revision() - first,
        object["spec"].clone(),
        object.get("status").cloned().unwrap_or(Value::Null),
    )
}

#[test]
fn generation_counts_changes_of_the_spec_alone_and_no_ops_are_not_written() {
    let spec = json!({"replicas": 3});
    let rows = [
        (
            "spec changed",
            vec![(Part::Main, json!({"spec": {"replicas": 4}}))],
            2,
            1,
            json!({"replicas": 4}),
            Value::Null,
        ),
        (
            "same spec again",
            vec![(Part::Main, json!({"spec": {"replicas": 3}}))],
            1,
            0,
            spec.clone(),
            Value::Null,
        ),
        (
            "null of an absent field",
            vec![(Part::Main, json!({"spec": {"paused": null}}))],
            1,
            0,
            spec.clone(),
            Value::Null,
        ),
        (
            "label",
            vec![(Part::Main, json!({"metadata": {"labels": {"a": "b"}}}))],
            1,
            1,
            spec.clone(),
            Value::Null,
        ),
        (
            "status to the object",
            vec![(Part::Main, json!({"status": {"phase": "x"}}))],
            1,
            0,
            spec.clone(),
            Value::Null,
        ),
        (
            "status",
            vec![(Part::Status, json!({"status": {"phase": "x"}}))],
            1,
            1,
            spec.clone(),
            json!({"phase": "x"}),
        ),
        (
            "spec to the status",
            vec![(Part::Status, json!({"spec": {"replicas": 9}}))],
            1,
            0,
            spec.clone(),
            Value::Null,
        ),
        (
            "label to the status",
            vec![(
                Part::Status,
                json!({"metadata": {"labels": {"a": "b"}}, "status": {"phase": "x"}}),
            )],
            1,
            1,
            spec.clone(),
            json!({"phase": "x"}),
        ),
        (
            "the same status twice",
            vec![
                (Part::Status, json!({"status": {"phase": "x"}})),
                (Part::Status, json!({"status": {"phase": "x"}})),
            ],
            1,
            1,
            spec.clone(),
            json!({"phase": "x"}),
        ),
        (
            "metadata that only the server sets",
            vec![(
                Part::Main,
                json!({"metadata": {"generation": 9, "creationTimestamp": "2000-01-01T00:00:00Z"}}),
            )],
            1,
            0,
            spec,
            Value::Null,
        ),
    ];
    for (name, patches, generation, writes, spec, status) in rows {
        assert_eq!(after(&patches), (generation, writes, spec, status), "{name}");
    }
}

#[test]
fn a_kind_without_subresources_counts_its_status_in_the_generation() {
    let run = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": {"namespace": "default", "name": "run"}, "spec": {}});
    let (mut store, key) = created(run);
    store
        .patch(
            START,
            Writer::User,
            &key,
            Part::Main,
            &json!({"status": {"phase": "Running"}}),
        )
        .unwrap();
    assert_eq!(store.get(&key).unwrap()["metadata"]["generation"], 2);
    assert_eq!(store.get(&key).unwrap()["status"]["phase"], "Running");
    let refused = store.patch(
        START,
        Writer::User,
        &key,
        Part::Status,
        &json!({"status": {"phase": "Failed"}}),
    );
    assert!(matches!(refused, Err(ApiError::NotFound(_))), "{refused:?}");
}

#[test]
fn preconditions_refuse_an_old_resource_version_and_another_uid() {
    let (mut store, key) = created(rollout("shop"));
    let spec = |metadata: Value| json!({"metadata": metadata, "spec": {"replicas": 9}});
    let uid = uid_of(store.get(&key).unwrap()).to_owned();
    let mut patch = |metadata: Value| {
        store
            .patch(START, Writer::User, &key, Part::Main, &spec(metadata))
            .map(|_| ())
    };
    assert!(matches!(
        patch(json!({"resourceVersion": "0"})),
        Err(ApiError::Conflict(_))
    ));
    assert!(matches!(patch(json!({"uid": "other"})), Err(ApiError::Conflict(_))));
    assert_eq!(patch(json!({"resourceVersion": "1", "uid": uid})), Ok(()));
    assert!(matches!(
        patch(json!({"resourceVersion": "1"})),
        Err(ApiError::Conflict(_))
    ));
    assert_eq!(patch(json!({})), Ok(()), "a patch without a version never conflicts");
}

#[test]
fn deletes_follow_their_preconditions_and_wait_for_finalizers() {
    let (mut store, key) = created(rollout("shop"));
    let wrong = Preconditions {
        uid: Some("other".to_owned()),
        resource_version: None,
    };
    assert!(matches!(
        store.delete(START, Writer::User, &key, &wrong),
        Err(ApiError::Conflict(_))
    ));
    let finalizer = json!({"metadata": {"finalizers": ["keep"]}});
    store.patch(START, Writer::User, &key, Part::Main, &finalizer).unwrap();
    store
        .delete(START, Writer::User, &key, &Preconditions::default())
        .unwrap();
    assert!(store.get(&key).unwrap()["metadata"]["deletionTimestamp"].is_string());
    store
        .patch(
            START,
            Writer::User,
            &key,
            Part::Main,
            &json!({"metadata": {"finalizers": null}}),
        )
        .unwrap();
    assert!(store.get(&key).is_none());
    let last = store.log().last().unwrap();
    assert_eq!(last.happened, Happened::Deleted);
    assert_eq!(
        revision_of(&last.object),
        store.revision(),
        "the last state carries a new resourceVersion"
    );
}

#[test]
fn a_name_that_is_used_again_gets_another_uid_and_a_name_in_use_is_refused() {
    let (mut store, key) = created(rollout("shop"));
    assert!(matches!(
        store.create(START, Writer::User, rollout("shop")),
        Err(ApiError::AlreadyExists(_))
    ));
    let uid = uid_of(store.get(&key).unwrap()).to_owned();
    store
        .delete(START, Writer::User, &key, &Preconditions::default())
        .unwrap();
    let again = store.create(START, Writer::User, rollout("shop")).unwrap();
    assert_ne!(uid_of(&again), uid);
    assert_eq!(again["metadata"]["generation"], 1);
    assert!(again.get("status").is_none(), "a status at creation is dropped");
}

#[test]
fn a_dry_run_answers_with_defaults_and_stores_nothing() {
    let mut store = Store::default();
    let answer = store.dry_run_create(START, replica_set("probe", None)).unwrap();
    assert_eq!(answer["spec"]["template"]["spec"]["restartPolicy"], "Always");
    assert_eq!(answer["spec"]["replicas"], 1);
    assert_eq!((store.revision(), store.list(Kind::ReplicaSet).count()), (0, 0));
}

#[test]
fn dependents_are_found_by_the_uid_of_any_owner() {
    let (mut store, key) = created(replica_set("a", Some("u1")));
    store.create(START, Writer::User, replica_set("b", None)).unwrap();
    assert_eq!(store.dependents("u1"), std::slice::from_ref(&key));
    let orphan = json!({"metadata": {"ownerReferences": null}});
    store.patch(START, Writer::User, &key, Part::Main, &orphan).unwrap();
    assert!(store.dependents("u1").is_empty());
}

#[test]
fn managed_fields_name_who_last_wrote_each_field_of_a_spec() {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "default", "name": "shop"},
        "spec": {"selector": {"app": "shop"}, "ports": [{"port": 80}]}});
    let (mut store, key) = created(service);
    let patch = json!({"spec": {"selector": {"hash": "1"}}});
    store
        .patch(START, Writer::Controller(0), &key, Part::Main, &patch)
        .unwrap();
    let managers = &store.get(&key).unwrap()["metadata"]["managedFields"];
    assert_eq!(managers[0]["manager"], "kubectl");
    // In alphabetical order, whether or not the maps of serde_json keep the order in which they were filled.
    let owned: std::collections::BTreeSet<_> = managers[0]["fieldsV1"]["f:spec"].as_object().unwrap().keys().collect();
    assert_eq!(
        owned.into_iter().collect::<Vec<_>>(),
        ["f:internalTrafficPolicy", "f:ports", "f:sessionAffinity", "f:type"]
    );
    assert_eq!(managers[1]["manager"], "sluice-controller");
    assert_eq!(managers[1]["fieldsV1"]["f:spec"], json!({"f:selector": {}}));
}

#[test]
fn objects_without_a_name_or_of_an_unknown_kind_are_refused_with_the_reason() {
    let unknown = json!({"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "a"}});
    assert_eq!(
        key_of(&unknown).unwrap_err().to_string(),
        "kind `Thing` of `example.org/v1` is not modelled"
    );
    let nameless = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}});
    assert_eq!(
        key_of(&nameless).unwrap_err().to_string(),
        "Service: metadata.name and metadata.namespace must be set"
    );
}
