//! The selector of a Service: all its traffic goes to the revision whose pod template hash the selector names.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    MANAGED_BY_ANNOTATION, MOVING_ANNOTATION, Moving, ObjectRef, REVISION_LABEL, RouterProblem, managed_fields,
    object::{annotation, metadata, moving as read_moving, moving_text},
};

/// Where `managedFields` name the selector. It is owned as a whole.
const SELECTOR_FIELDS: [&str; 2] = ["f:spec", "f:selector"];

/// What a Service's selector says, or in the same way a subset of a DestinationRule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// The revision that the selector names; `None` where it names none (it then selects pods of every revision).
    pub revision: Option<String>,
    /// The switch that we last wrote on this Service or subset, if any. `None` also where the annotation cannot be read.
    pub moving: Option<Moving>,
    /// The Rollout that the object is annotated as managed by.
    pub managed_by: Option<String>,
    /// The field manager, other than ours, that last wrote the selector, where managedFields tell.
    pub foreign_manager: Option<String>,
}

/// Reads a Service. Whatever has not the form of a Service reads as absent.
pub fn observe(service: &Value) -> Selected {
    Selected {
        revision: revision(service).map(str::to_owned),
        moving: read_moving(service, MOVING_ANNOTATION),
        managed_by: annotation(service, MANAGED_BY_ANNOTATION).map(str::to_owned),
        foreign_manager: managed_fields::foreign_manager(service, &SELECTOR_FIELDS),
    }
}

/// The merge patch that makes the selector name `revision`, records `moving` and the managing Rollout, with the Service's
/// resourceVersion in it. `None` when the selector and the annotation `managed-by` already are so.
///
/// Refused: a Service without a resourceVersion, and one of type `ExternalName`, which selects no pods.
pub fn edit(service: &Value, revision: &str, rollout: &str, moving: &Moving) -> Result<Option<Value>, RouterProblem> {
    let switched = self::revision(service) == Some(revision);
    if switched && annotation(service, MANAGED_BY_ANNOTATION) == Some(rollout) {
        return Ok(None);
    }
    if service.pointer("/spec/type").and_then(Value::as_str) == Some("ExternalName") {
        return Err(problem(
            service,
            "spec.type",
            "is ExternalName, which selects no pods: use a Service of type ClusterIP",
        ));
    }
    let Some(version) = metadata(service, "resourceVersion") else {
        return Err(problem(
            service,
            "metadata.resourceVersion",
            "is missing: the Service must come from the API server",
        ));
    };
    Ok(Some(json!({
        "metadata": {
            "resourceVersion": version,
            "annotations": {MANAGED_BY_ANNOTATION: rollout, MOVING_ANNOTATION: moving_text(moving)},
        },
        "spec": {"selector": {REVISION_LABEL: revision}},
    })))
}

/// The merge patch that gives a Service back: its selector no longer names a revision, and our annotations go. `None` where
/// there is nothing of ours on it, or it has no resourceVersion.
pub fn release(service: &Value) -> Option<Value> {
    let annotations = [MANAGED_BY_ANNOTATION, MOVING_ANNOTATION];
    let is_ours = revision(service).is_some() || annotations.iter().any(|name| annotation(service, name).is_some());
    let version = metadata(service, "resourceVersion").filter(|_| is_ours)?;
    Some(json!({
        "metadata": {
            "resourceVersion": version,
            "annotations": {MANAGED_BY_ANNOTATION: null, MOVING_ANNOTATION: null},
        },
        "spec": {"selector": {REVISION_LABEL: null}},
    }))
}

/// The merge patch after which the selector of a Service no longer names a revision, while our annotations stay. `None` where
/// it names none, or the Service has no resourceVersion.
pub fn open(service: &Value) -> Option<Value> {
    revision(service)?;
    Some(json!({
        "metadata": { "resourceVersion": metadata(service, "resourceVersion")? },
        "spec": { "selector": { REVISION_LABEL: null } },
    }))
}

/// When the selector was last written by anybody, in whole seconds, where managedFields tell.
pub fn last_write(service: &Value) -> Option<Timestamp> {
    managed_fields::last_write(service, &SELECTOR_FIELDS)
}

fn revision(service: &Value) -> Option<&str> {
    service
        .get("spec")?
        .get("selector")?
        .get(REVISION_LABEL)?
        .as_str()
        .filter(|revision| !revision.is_empty())
}

fn problem(service: &Value, path: &str, text: &str) -> RouterProblem {
    let object = ObjectRef {
        api_version: "v1".to_owned(),
        kind: "Service".to_owned(),
        namespace: metadata(service, "namespace").unwrap_or_default().to_owned(),
        name: metadata(service, "name").unwrap_or_default().to_owned(),
    };
    RouterProblem {
        object: Box::new(object),
        path: path.to_owned(),
        problem: text.to_owned(),
    }
}
