//! Job: a Kubernetes Job that succeeds if all is well.
//!
//! What a Job is made of comes from whoever may write templates, and it runs with the rights of a service account. So it runs
//! under the one that the owner of the namespace named ([`ACCOUNT_ANNOTATION`]) and under no other, and what the metric leaves
//! open of the security of its pods is filled in so that Pod Security Standard "restricted" admits it. A Job never holds the
//! value of a secret: an argument that comes from a Secret may be the whole value of an environment variable, and becomes a
//! reference.

use serde_json::{Map, Value, json};
use sluice_crds::{AnalysisPhase, Argument, JobMetric};

use super::shared::{self, quoted};
use super::talk::{Say, Talk};
use super::{Context, Measured, Provider, ProviderError};
use crate::HttpResponse;
use crate::args::is_open;

/// The annotation of a Namespace that names the service account of Jobs.
pub const ACCOUNT_ANNOTATION: &str = "sluice.dev/job-service-account";
/// The label and the annotations of Argo Rollouts that tell where a Job comes from.
const UID_LABEL: &str = "analysisrun.argoproj.io/uid";
const RUN_ANNOTATION: &str = "analysisrun.argoproj.io/name";
const METRIC_ANNOTATION: &str = "analysisrun.argoproj.io/metric-name";
/// Longest name of a Job: its pods have it in a label.
const MAX_NAME: usize = 63;
/// Reasons for which a container waits that no waiting helps.
const HOPELESS: [&str; 5] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
];

/// A Job that measures by its end.
#[derive(Clone, Debug, PartialEq)]
pub struct JobWish {
    /// Labels and annotations from the metric: an `ObjectMeta`, or null.
    pub metadata: Value,
    /// The `JobSpec` from the metric.
    pub spec: Value,
}

/// Whose Job it is.
#[derive(Clone, Copy, Debug)]
pub struct JobOwner<'o> {
    /// Name of the `AnalysisRun`.
    pub run: &'o str,
    /// Its uid.
    pub uid: &'o str,
    /// Name of the metric.
    pub metric: &'o str,
    /// How many measurements of the metric are recorded already.
    pub attempt: u32,
    /// The service account that the namespace names.
    pub account: &'o str,
}

impl Provider for JobMetric {
    fn problems(&self) -> Vec<ProviderError> {
        let mut problems = Vec::new();
        let mut wrong = |field: &str, problem: &str| problems.push(shared::invalid("job", field, problem));
        let containers = self.spec["template"]["spec"]["containers"].as_array();
        if containers.is_none_or(Vec::is_empty) {
            wrong("spec.template.spec.containers", "must have at least one container");
        }
        if self.spec["manualSelector"] == true {
            wrong(
                "spec.manualSelector",
                "is not served: a Job must not select pods of others",
            );
        }
        let policy = &self.spec["template"]["spec"]["restartPolicy"];
        if !policy.is_null() && policy != "Never" && policy != "OnFailure" {
            wrong("spec.template.spec.restartPolicy", "must be Never or OnFailure");
        }
        problems
    }

    fn talk(&self, context: &Context<'_>) -> Result<Box<dyn Talk>, ProviderError> {
        if let Some(problem) = self.problems().into_iter().next() {
            return Err(problem);
        }
        let mut spec = self.spec.clone();
        for list in ["containers", "initContainers"] {
            for container in items(spec["template"]["spec"].get_mut(list)) {
                for variable in items(container.get_mut("env")) {
                    refer_to_secret(variable, context.arguments);
                }
            }
        }
        let metadata = self.metadata.clone().unwrap_or_default();
        if let Some(open) = first_open(&spec).or_else(|| first_open(&metadata)) {
            let problem = format!(
                "`{}` comes from a Secret: in a Job it can only be the whole value of an environment variable",
                crate::text::excerpt(open)
            );
            return Err(shared::invalid("job", "", &problem));
        }
        Ok(Box::new(Once(JobWish { metadata, spec })))
    }
}

struct Once(JobWish);

impl Talk for Once {
    fn start(&mut self, _now: jiff::Timestamp) -> Result<Say, String> {
        Ok(Say::Run(self.0.clone()))
    }

    fn hear(&mut self, _now: jiff::Timestamp, _response: &HttpResponse) -> Result<Say, String> {
        Err("a Job is not answered by a server".to_owned())
    }
}

/// The Job as it is created. The error says why it must not be.
pub fn manifest(wish: &JobWish, owner: &JobOwner<'_>) -> Result<Value, String> {
    let mut spec = wish.spec.clone();
    let pod = &mut spec["template"]["spec"];
    for field in ["serviceAccountName", "serviceAccount"] {
        let asked = pod[field].as_str().unwrap_or_default();
        if !asked.is_empty() && asked != owner.account {
            return Err(format!(
                "the Job asks for service account {asked}, but Jobs of this namespace run under {}",
                owner.account
            ));
        }
    }
    pod["serviceAccountName"] = owner.account.into();
    set_default(pod, "restartPolicy", json!("Never"));
    restrict(pod);
    let texts = |field: &str| wish.metadata[field].as_object().cloned().unwrap_or_default();
    let (mut labels, mut annotations) = (texts("labels"), texts("annotations"));
    labels.insert(UID_LABEL.to_owned(), owner.uid.into());
    annotations.insert(RUN_ANNOTATION.to_owned(), owner.run.into());
    annotations.insert(METRIC_ANNOTATION.to_owned(), owner.metric.into());
    Ok(json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name(owner.uid, owner.metric, owner.attempt),
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [{
                "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun", "name": owner.run, "uid": owner.uid,
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": spec,
    }))
}

/// The name of a Job: `UID.METRIC.N` as in Argo Rollouts, where N counts from 1, shortened to what a name may be.
pub fn name(uid: &str, metric: &str, attempt: u32) -> String {
    let end = format!(".{}", u64::from(attempt) + 1);
    let metric: String = metric
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let room = MAX_NAME.saturating_sub(uid.len() + end.len() + 1);
    let metric = metric.trim_matches('-').chars().take(room).collect::<String>();
    match metric.trim_matches('-') {
        "" => format!("{uid}{end}"),
        metric => format!("{uid}.{metric}{end}"),
    }
}

/// How a Job ended; `None` while it has not.
pub fn outcome(job: &Value) -> Option<Measured> {
    let holds = |kind: &str| {
        let conditions = job["status"]["conditions"].as_array()?;
        conditions
            .iter()
            .find(|condition| condition["type"] == kind && condition["status"] == "True")
    };
    if holds("Complete").is_some() {
        return Some(measured(AnalysisPhase::Successful, None));
    }
    if let Some(condition) = holds("Failed") {
        let text = |field: &str| quoted(condition[field].as_str().unwrap_or_default());
        let message = format!("the Job failed: {}: {}", text("reason"), text("message"));
        return Some(measured(AnalysisPhase::Failed, Some(&message)));
    }
    if !job["metadata"]["deletionTimestamp"].is_null() {
        return Some(Measured::error("the Job is being deleted by somebody else"));
    }
    None
}

/// Why a Job will never start, as its pods tell: it proves nothing about what it was to measure.
pub fn hopeless(pods: &[Value]) -> Option<Measured> {
    let statuses = |pod: &Value| {
        ["initContainerStatuses", "containerStatuses"]
            .into_iter()
            .filter_map(|field| pod["status"][field].as_array().cloned())
            .flatten()
            .collect::<Vec<Value>>()
    };
    let waiting = pods.iter().flat_map(statuses).find_map(|status| {
        let waiting = &status["state"]["waiting"];
        let reason = waiting["reason"].as_str().filter(|reason| HOPELESS.contains(reason))?;
        let message = waiting["message"].as_str().unwrap_or_default();
        Some(format!("the Job cannot start: {reason}: {}", quoted(message)))
    })?;
    Some(measured(AnalysisPhase::Inconclusive, Some(&waiting)))
}

fn measured(phase: AnalysisPhase, message: Option<&str>) -> Measured {
    Measured {
        phase,
        value: None,
        message: message.map(crate::text::bounded),
    }
}

/// Fills in what Pod Security Standard "restricted" wants and the metric does not say.
fn restrict(pod: &mut Value) {
    let context = entry(pod, "securityContext");
    set_default(context, "runAsNonRoot", json!(true));
    set_default(context, "seccompProfile", json!({"type": "RuntimeDefault"}));
    for list in ["containers", "initContainers"] {
        for container in items(pod.get_mut(list)) {
            let context = entry(container, "securityContext");
            set_default(context, "allowPrivilegeEscalation", json!(false));
            set_default(context, "capabilities", json!({"drop": ["ALL"]}));
        }
    }
}

/// A variable whose whole value is an argument from a Secret refers to that Secret instead.
fn refer_to_secret(variable: &mut Value, arguments: &[Argument]) {
    let Some(value) = variable["value"].as_str() else {
        return;
    };
    let tag = value.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    let Some(name) = tag.and_then(|tag| tag.trim().strip_prefix("args.")) else {
        return;
    };
    let argument = arguments.iter().find(|argument| argument.name == name);
    let from = argument.and_then(|argument| argument.value_from.as_ref());
    if let Some(reference) = from.and_then(|from| from.secret_key_ref.as_ref()) {
        let reference = json!({"secretKeyRef": {"name": reference.name, "key": reference.key}});
        *variable = json!({"name": variable["name"], "valueFrom": reference});
    }
}

/// The first text that has still something to fill in, keys included.
fn first_open(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => is_open(text).then_some(text),
        Value::Array(items) => items.iter().find_map(first_open),
        Value::Object(fields) => fields
            .iter()
            .find_map(|(key, value)| is_open(key).then_some(key.as_str()).or_else(|| first_open(value))),
        _ => None,
    }
}

fn items(list: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    list.and_then(Value::as_array_mut).into_iter().flatten()
}

/// The object at a field, made where there is none.
fn entry<'v>(value: &'v mut Value, field: &str) -> &'v mut Value {
    if !value[field].is_object() {
        value[field] = Value::Object(Map::new());
    }
    &mut value[field]
}

fn set_default(value: &mut Value, field: &str, default: Value) {
    if value[field].is_null() {
        value[field] = default;
    }
}

#[cfg(test)]
mod tests;
