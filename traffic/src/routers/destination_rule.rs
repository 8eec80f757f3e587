//! Istio `DestinationRule` (`networking.istio.io`): a subset is the pods with its labels, and one of the labels names a revision.
//!
//! A VirtualService then splits traffic between two subsets of one host, as between two Services. Only that label of the one
//! subset is ever changed. Patches replace the whole list of subsets, as merge patches must, by the list just read.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    MANAGED_BY_ANNOTATION, Moving, ObjectRef, REVISION_LABEL, RouterProblem, managed_fields,
    object::{annotation, metadata, moving as read_moving, moving_text},
    routers::{gateway_config::is_label, service::Selected},
};

/// Where `managedFields` name the subsets. The list is owned as a whole.
const SUBSETS_FIELDS: [&str; 2] = ["f:spec", "f:subsets"];

/// What the names of [`subset_moving_annotation`] begin with.
const SUBSET_MOVING_PREFIX: &str = "subset-moving.sluice.dev/";

/// Which DestinationRule, and which of its subsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// For example `networking.istio.io/v1`.
    pub api_version: String,
    /// Name of the DestinationRule. It is in the Rollout's namespace.
    pub name: String,
    /// The subset of the stable revision.
    pub stable_subset: String,
    /// The subset of the canary.
    pub canary_subset: String,
    /// Further subsets that may stand in the routes. They are left alone, as every other one is.
    pub additional_subsets: Vec<String>,
}

/// The object that the configuration names.
pub fn object(config: &Config, namespace: &str) -> ObjectRef {
    ObjectRef {
        api_version: config.api_version.clone(),
        kind: "DestinationRule".to_owned(),
        namespace: namespace.to_owned(),
        name: config.name.clone(),
    }
}

/// The annotation on a DestinationRule with the [`Moving`] record of a subset. Names of subsets are unique in their object, so
/// the two of a Rollout, and those of several Rollouts, cannot collide.
pub fn subset_moving_annotation(subset: &str) -> String {
    format!("{SUBSET_MOVING_PREFIX}{subset}")
}

/// Reads one subset. Whatever has not the form of a DestinationRule, or stands there twice, reads as absent.
pub fn observe(rule: &Value, subset: &str) -> Selected {
    Selected {
        revision: find(rule, subset)
            .ok()
            .and_then(|index| revision(rule, index))
            .map(str::to_owned),
        moving: read_moving(rule, &subset_moving_annotation(subset)),
        managed_by: annotation(rule, MANAGED_BY_ANNOTATION).map(str::to_owned),
        foreign_manager: managed_fields::foreign_manager(rule, &SUBSETS_FIELDS),
    }
}

/// The merge patch that makes the subset select `revision`, records `moving` for it and the managing Rollout, with the object's
/// resourceVersion in it. `None` when the subset and the annotation `managed-by` already are so.
///
/// Refused: a subset that is not there, or twice, and an object without a resourceVersion.
pub fn edit(
    rule: &Value,
    subset: &str,
    revision: &str,
    rollout: &str,
    moving: &Moving,
) -> Result<Option<Value>, RouterProblem> {
    let problem = |(path, text): (&str, String)| problem(rule, path, text);
    let index = find(rule, subset).map_err(|text| problem(("spec.subsets", text)))?;
    let selected = self::revision(rule, index) == Some(revision);
    if selected && annotation(rule, MANAGED_BY_ANNOTATION) == Some(rollout) {
        return Ok(None);
    }
    if !is_label(subset) {
        let text = format!("the subset `{subset}` cannot be recorded: use a name in small letters, digits and `-`");
        return Err(problem(("spec.subsets", text)));
    }
    let Some(version) = metadata(rule, "resourceVersion") else {
        let text = "is missing: the DestinationRule must come from the API server".to_owned();
        return Err(problem(("metadata.resourceVersion", text)));
    };
    let annotations = json!({
        MANAGED_BY_ANNOTATION: rollout,
        subset_moving_annotation(subset): moving_text(moving),
    });
    let mut patch = json!({ "metadata": { "resourceVersion": version, "annotations": annotations } });
    if !selected {
        let mut subsets = rule["spec"]["subsets"].clone();
        let labels = &mut subsets[index]["labels"];
        if !labels.is_object() {
            *labels = json!({});
        }
        labels[REVISION_LABEL] = json!(revision);
        patch["spec"] = json!({ "subsets": subsets });
    }
    Ok(Some(patch))
}

/// The merge patch after which the subsets that we switched select pods of every revision, and our annotations are gone; with
/// `is_marked` these stay. `None` where it is so, or the object has no resourceVersion. Where there is no record at all, another
/// controller has switched the subsets, and all of them are meant.
pub fn release(rule: &Value, is_marked: bool) -> Option<Value> {
    let version = metadata(rule, "resourceVersion")?;
    let ours: Vec<&str> = recorded_subsets(rule).collect();
    let mut subsets = rule.pointer("/spec/subsets").cloned().unwrap_or_default();
    for subset in subsets.as_array_mut().into_iter().flatten() {
        let name = subset.get("name").and_then(Value::as_str).unwrap_or_default();
        let is_ours = ours.is_empty() || ours.contains(&name);
        let labels = subset.get_mut("labels").and_then(Value::as_object_mut);
        let Some(labels) = labels.filter(|_| is_ours) else {
            continue;
        };
        if labels.remove(REVISION_LABEL).is_some() && labels.is_empty() {
            subset.as_object_mut()?.remove("labels");
        }
    }
    let mut patch = json!({ "metadata": { "resourceVersion": version } });
    let mut annotations: BTreeMap<String, Value> = BTreeMap::new();
    if !is_marked {
        let names = ours.iter().map(|subset| subset_moving_annotation(subset));
        annotations.extend(names.map(|name| (name, Value::Null)));
        if annotation(rule, MANAGED_BY_ANNOTATION).is_some() {
            annotations.insert(MANAGED_BY_ANNOTATION.to_owned(), Value::Null);
        }
    }
    let is_switched = rule.pointer("/spec/subsets").is_some_and(|present| *present != subsets);
    if annotations.is_empty() && !is_switched {
        return None;
    }
    if !annotations.is_empty() {
        patch["metadata"]["annotations"] = json!(annotations);
    }
    if is_switched {
        patch["spec"] = json!({ "subsets": subsets });
    }
    Some(patch)
}

/// The subsets of which there is a record of ours.
pub(crate) fn recorded_subsets(rule: &Value) -> impl Iterator<Item = &str> {
    let annotations = rule.pointer("/metadata/annotations").and_then(Value::as_object);
    let names = annotations.into_iter().flat_map(Map::keys);
    names.filter_map(|name| name.strip_prefix(SUBSET_MOVING_PREFIX))
}

/// When the subsets were last written by anybody, in whole seconds, where managedFields tell.
pub fn last_write(rule: &Value) -> Option<Timestamp> {
    managed_fields::last_write(rule, &SUBSETS_FIELDS)
}

/// Where the subset stands, or why that cannot be said.
fn find(rule: &Value, subset: &str) -> Result<usize, String> {
    let list = rule.pointer("/spec/subsets").and_then(Value::as_array);
    let list = list.map_or(&[][..], Vec::as_slice);
    let names = || {
        list.iter()
            .map(|entry| entry.get("name").and_then(Value::as_str).unwrap_or_default())
    };
    let mut called = names().enumerate().filter(|(_, name)| *name == subset);
    match (called.next(), called.next()) {
        (Some((index, _)), None) => Ok(index),
        (Some(_), Some(_)) => Err(format!(
            "the name `{subset}` stands there twice: give each subset its own"
        )),
        (None, _) => {
            let there: Vec<String> = names().map(|name| format!("`{name}`")).collect();
            let there = if there.is_empty() {
                "none at all".to_owned()
            } else {
                there.join(", ")
            };
            Err(format!("no subset is named `{subset}`; there are {there}: add it"))
        }
    }
}

fn revision(rule: &Value, index: usize) -> Option<&str> {
    rule.pointer("/spec/subsets")?
        .get(index)?
        .get("labels")?
        .get(REVISION_LABEL)?
        .as_str()
        .filter(|revision| !revision.is_empty())
}

fn problem(rule: &Value, path: &str, text: String) -> RouterProblem {
    let own = |field: &str| rule.get(field).and_then(Value::as_str).map(str::to_owned);
    let object = ObjectRef {
        api_version: own("apiVersion").unwrap_or_else(|| super::virtual_service::API_VERSION.to_owned()),
        kind: "DestinationRule".to_owned(),
        namespace: metadata(rule, "namespace").unwrap_or_default().to_owned(),
        name: metadata(rule, "name").unwrap_or_default().to_owned(),
    };
    RouterProblem {
        object: Box::new(object),
        path: path.to_owned(),
        problem: text,
    }
}
