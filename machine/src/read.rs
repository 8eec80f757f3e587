//! From objects as the API server returned them to what the World holds. Shared by everything that makes a World, so that
//! controller, simulator and plugin see alike.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use sluice_crds::{AnalysisPhase, LabelSelector, Rollout};
use sluice_traffic::REVISION_LABEL;

use crate::{Owner, Pod, ReplicaSet, Run};

/// A ReplicaSet of this Rollout, or one without a controller that matches its selector; `None` for all others.
pub fn replica_set(object: &Value, rollout: &Rollout) -> Option<ReplicaSet> {
    let metadata = object.get("metadata")?;
    let labels = string_map(metadata.get("labels"));
    let owner = match controller_uid(metadata) {
        Some(uid) if Some(uid) == rollout.metadata.uid.as_deref() => Owner::Ours,
        None if rollout
            .spec
            .selector
            .as_ref()
            .is_some_and(|selector| matches(selector, &labels)) =>
        {
            Owner::Orphan
        }
        Some(_) | None => return None,
    };
    let status = object.get("status");
    let wanted = count(object.get("spec"), "replicas", 1);
    let generation = metadata.get("generation").and_then(Value::as_i64).unwrap_or(0);
    let observed = status
        .and_then(|status| status.get("observedGeneration"))
        .and_then(Value::as_i64)
        .unwrap_or(0);
    Some(ReplicaSet {
        name: text(metadata, "name")?,
        uid: text(metadata, "uid")?,
        resource_version: text(metadata, "resourceVersion")?,
        created_at: created_at(metadata),
        owner,
        hash: labels.get(REVISION_LABEL).cloned().unwrap_or_default(),
        template: object.pointer("/spec/template").cloned().unwrap_or(Value::Null),
        annotations: string_map(metadata.get("annotations")),
        wanted,
        replicas: count(status, "replicas", 0),
        ready: count(status, "readyReplicas", 0),
        // Pods beyond what is wanted are on their way out, whether or not the status has noticed.
        available: count(status, "availableReplicas", 0).min(wanted),
        settled: observed >= generation,
        deleting: metadata.get("deletionTimestamp").is_some_and(|at| !at.is_null()),
    })
}

/// The pods of a ReplicaSet among some objects.
pub fn pods<'a>(objects: impl IntoIterator<Item = &'a Value>, set: &ReplicaSet) -> Vec<Pod> {
    let own = |metadata: &Value| controller_uid(metadata) == Some(set.uid.as_str());
    objects
        .into_iter()
        .filter_map(|object| {
            let metadata = object.get("metadata").filter(|metadata| own(metadata))?;
            let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
            let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
            Some(Pod {
                name: text(metadata, "name")?,
                uid: text(metadata, "uid")?,
                created_at: created_at(metadata),
                ready: conditions.is_some_and(|conditions| conditions.iter().any(is_ready)),
                deleting: metadata.get("deletionTimestamp").is_some_and(|at| !at.is_null()),
                labels: string_map(metadata.get("labels")),
                annotations: string_map(metadata.get("annotations")),
            })
        })
        .collect()
}

/// An AnalysisRun of this Rollout; `None` for all others.
pub fn run(object: &Value, rollout: &Rollout) -> Option<Run> {
    let metadata = object.get("metadata")?;
    if controller_uid(metadata) != rollout.metadata.uid.as_deref() {
        return None;
    }
    let status = object.get("status");
    let phase = status
        .and_then(|status| status.get("phase"))
        .and_then(Value::as_str)
        .unwrap_or("Pending");
    Some(Run {
        name: text(metadata, "name")?,
        uid: text(metadata, "uid")?,
        resource_version: text(metadata, "resourceVersion")?,
        created_at: created_at(metadata),
        labels: string_map(metadata.get("labels")),
        annotations: string_map(metadata.get("annotations")),
        phase: if phase.is_empty() {
            AnalysisPhase::Pending
        } else {
            AnalysisPhase::from(phase)
        },
        message: status.and_then(|status| text(status, "message")),
        terminating: object
            .pointer("/spec/terminate")
            .and_then(Value::as_bool)
            .unwrap_or(false),
    })
}

/// uid of the controlling owner, where there is one.
pub fn controller_uid(metadata: &Value) -> Option<&str> {
    metadata.get("ownerReferences")?.as_array()?.iter().find_map(|owner| {
        (owner.get("controller").and_then(Value::as_bool) == Some(true)).then(|| owner.get("uid")?.as_str())?
    })
}

/// Whether a label selector matches. An empty selector matches nothing here: it is never meant.
pub fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let wanted = selector.match_labels.as_ref();
    let expressions = selector.match_expressions.as_deref().unwrap_or_default();
    if wanted.is_none_or(BTreeMap::is_empty) && expressions.is_empty() {
        return false;
    }
    let equal = wanted.is_none_or(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)));
    equal
        && expressions.iter().all(|expression| {
            let value = labels.get(&expression.key);
            let listed = || value.is_some_and(|value| expression.values.iter().flatten().any(|one| one == value));
            match expression.operator.as_str() {
                "In" => listed(),
                "NotIn" => !listed(),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

fn string_map(value: Option<&Value>) -> BTreeMap<String, String> {
    let entries = value.and_then(Value::as_object).into_iter().flatten();
    entries
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}

fn count(value: Option<&Value>, key: &str, default: u32) -> u32 {
    value
        .and_then(|value| value.get(key))
        .and_then(Value::as_u64)
        .map_or(default, |n| u32::try_from(n).unwrap_or(u32::MAX))
}

fn created_at(metadata: &Value) -> Timestamp {
    let text = metadata.get("creationTimestamp").and_then(Value::as_str);
    text.and_then(|text| text.parse().ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}
