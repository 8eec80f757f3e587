//! The selector and the pod template. The API server checks the template in full when a `ReplicaSet` is made of it; here
//! is what it would refuse there, and what the API server cannot know to be wrong.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sluice_crds::{LabelSelector, PodTemplateMetadata, RolloutSpec};
use sluice_traffic::REVISION_LABEL;

use super::report::Report;
use crate::read;

const LABELS: &str = "spec.template.metadata.labels";

pub(super) fn check(report: &mut Report, spec: &RolloutSpec) {
    let selector = spec.selector.as_ref();
    match selector {
        None => report.add("spec.selector", "Rollout has missing field '.spec.selector'"),
        Some(selector) => check_selector(report, selector),
    }
    let Some(template) = &spec.template else {
        report.add("spec.template", "Rollout has missing field '.spec.template'");
        return;
    };
    let labels = check_labels(report, template);
    if let (Some(selector), Some(labels)) = (selector, labels)
        && !is_empty(selector)
        && !read::matches(selector, &labels)
    {
        report.add(LABELS, "`selector` does not match template `labels`");
    }
    check_pod(report, template);
}

fn is_empty(selector: &LabelSelector) -> bool {
    let labels = selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty);
    labels && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

fn check_selector(report: &mut Report, selector: &LabelSelector) {
    if is_empty(selector) {
        report.add("spec.selector", "empty selector is invalid for deployment");
    }
    let mut wrong = |path: String, problem: String| {
        report.add(path, format!("{problem} (invalid label selector)"));
    };
    for (key, value) in selector.match_labels.iter().flatten() {
        let path = format!("spec.selector.matchLabels[{key}]");
        if !is_label_key(key) {
            wrong(
                path,
                "the key is no label name such as app.kubernetes.io/name".to_owned(),
            );
        } else if !is_label_value(value) {
            wrong(path, format!("`{value}` is no value of a label"));
        }
    }
    for (index, expression) in selector.match_expressions.iter().flatten().enumerate() {
        let path = format!("spec.selector.matchExpressions[{index}]");
        let has_values = expression.values.as_ref().is_some_and(|values| !values.is_empty());
        match expression.operator.as_str() {
            "In" | "NotIn" if !has_values => {
                wrong(
                    format!("{path}.values"),
                    "must be specified when `operator` is 'In' or 'NotIn'".to_owned(),
                );
            }
            "Exists" | "DoesNotExist" if has_values => {
                let problem = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                wrong(format!("{path}.values"), problem.to_owned());
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => wrong(
                format!("{path}.operator"),
                format!("`{other}` is not a valid label selector operator: use In, NotIn, Exists or DoesNotExist"),
            ),
        }
        if !is_label_key(&expression.key) {
            wrong(
                format!("{path}.key"),
                "is no label name such as app.kubernetes.io/name".to_owned(),
            );
        }
    }
}

/// The labels of the template; `None` if they cannot be made out.
fn check_labels(report: &mut Report, template: &Value) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    let map = match template.pointer("/metadata/labels") {
        None | Some(Value::Null) => return Some(labels),
        Some(Value::Object(map)) => map,
        Some(_) => {
            report.add(LABELS, "must be a map of texts");
            return None;
        }
    };
    let before = report.found.len();
    for (key, value) in map {
        match value.as_str() {
            Some(value) if is_label_key(key) && is_label_value(value) => {
                labels.insert(key.clone(), value.to_owned());
            }
            _ => report.add(
                format!("{LABELS}[{key}]"),
                format!("{value} with this key is not a label that a pod can have"),
            ),
        }
    }
    (report.found.len() == before).then_some(labels)
}

fn check_pod(report: &mut Report, template: &Value) {
    let Some(spec) = template.get("spec").filter(|spec| spec.is_object()) else {
        report.add("spec.template.spec", "is missing: it must say which containers to run");
        return;
    };
    match spec.get("restartPolicy").and_then(Value::as_str) {
        None | Some("Always") => {}
        Some(other) => report.add(
            "spec.template.spec.restartPolicy",
            format!("Unsupported value: \"{other}\": supported values: \"Always\""),
        ),
    }
    if spec
        .get("activeDeadlineSeconds")
        .is_some_and(|seconds| !seconds.is_null())
    {
        report.add(
            "spec.template.spec.activeDeadlineSeconds",
            "activeDeadlineSeconds in ReplicaSet is not Supported",
        );
    }
    let containers = spec
        .get("containers")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    if containers.is_empty() {
        report.add(
            "spec.template.spec.containers",
            "Required value: there must be at least one container",
        );
    }
    let mut names = BTreeSet::new();
    for (index, container) in containers.iter().enumerate() {
        let path = format!("spec.template.spec.containers[{index}]");
        for field in ["name", "image"] {
            if container.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
                report.add(format!("{path}.{field}"), "Required value");
            }
        }
        let name = container.get("name").and_then(Value::as_str);
        if name.is_some_and(|name| !names.insert(name)) {
            report.add(
                format!("{path}.name"),
                "Duplicate value: another container has this name",
            );
        }
    }
}

/// Labels and annotations that pods have while they play a role. They must be such, and leave alone what finds the pods.
pub(super) fn role_metadata(
    report: &mut Report,
    at: &str,
    metadata: Option<&PodTemplateMetadata>,
    selector: Option<&LabelSelector>,
) {
    let Some(metadata) = metadata else { return };
    for (key, value) in metadata.labels.iter().flatten() {
        let path = format!("{at}.labels[{key}]");
        let labels = selector.and_then(|selector| selector.match_labels.as_ref());
        if key == REVISION_LABEL || labels.is_some_and(|labels| labels.contains_key(key)) {
            report.add(path, "is a label of spec.selector: pods would no longer be found");
        } else if !is_label_key(key) || !is_label_value(value) {
            report.add(
                path,
                format!("\"{value}\" with this key is not a label that a pod can have"),
            );
        }
    }
    for key in metadata.annotations.iter().flat_map(|annotations| annotations.keys()) {
        report.add_if(
            !is_label_key(key),
            format!("{at}.annotations[{key}]"),
            "is no name of an annotation",
        );
    }
}

/// `name` or `prefix/name`, as Kubernetes has it for the keys of labels.
fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key
        .split_once('/')
        .map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let part = |part: &str| {
        let inner = part
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        inner && !part.is_empty() && !part.starts_with('-') && !part.ends_with('-')
    };
    let prefix = prefix.is_none_or(|prefix| prefix.len() <= 253 && prefix.split('.').all(part));
    prefix && !name.is_empty() && is_label_value(name)
}

/// At most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends; or empty.
fn is_label_value(value: &str) -> bool {
    let inner = value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let end = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    inner && value.len() <= 63 && end(value.chars().next()) && end(value.chars().last())
}
