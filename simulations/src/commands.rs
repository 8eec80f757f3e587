//! What people type, as the patches that `kubectl argo rollouts` sends, and what happens to pods, nodes and processes.

use serde_json::{Value, json};
use sluice_machine::json::diff;

use crate::clock::whole_seconds;
use crate::kernel::Kernel;
use crate::report::RowKind;
use crate::store::{ApiError, Key, Kind, Part, Preconditions, Writer, key_of};

/// A command. Those on a Rollout name it by `namespace/name`.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// `promote`.
    Promote(String),
    /// `promote --full`.
    PromoteFull(String),
    /// `abort`.
    Abort(String),
    /// `retry rollout`.
    Retry(String),
    /// `pause`.
    Pause(String),
    /// `set image`: the first container of the template gets this image.
    SetImage(String, String),
    /// `undo`, to the revision with this number, or to the one before with `None`.
    Undo(String, Option<u64>),
    /// `restart`.
    Restart(String),
    /// `kubectl scale --replicas`.
    Scale(String, u32),
    /// `kubectl apply` of one object.
    Apply(Box<Value>),
    /// Any merge patch of any object.
    Patch(Key, Part, Box<Value>),
    /// The same by something other than kubectl.
    ForeignPatch(Key, Part, Box<Value>),
    /// `kubectl delete`.
    Delete(Key),
    /// The controller process with this number crashes and is started again.
    Crash(usize),
    /// The n-th of all pods (modulo their number) is deleted.
    KillPod(u64),
    /// The oldest pod of a version is deleted: one of an image, of the first template (`stable`) or of others (`new`).
    KillPodOf(String),
    /// A node stops answering.
    LoseNode(usize),
}

impl Command {
    /// The Rollout that it is about; `None` where it may concern all.
    pub(crate) fn rollout(&self) -> Option<Key> {
        match self {
            Command::Promote(name)
            | Command::PromoteFull(name)
            | Command::Abort(name)
            | Command::Retry(name)
            | Command::Pause(name)
            | Command::SetImage(name, _)
            | Command::Undo(name, _)
            | Command::Restart(name)
            | Command::Scale(name, _) => Some(rollout_key(name)),
            Command::Patch(key, ..) | Command::ForeignPatch(key, ..) | Command::Delete(key) => {
                (key.kind == Kind::Rollout).then(|| key.clone())
            }
            Command::Apply(object) => key_of(object).ok().filter(|key| key.kind == Kind::Rollout),
            Command::Crash(_) | Command::KillPod(_) | Command::KillPodOf(_) | Command::LoseNode(_) => None,
        }
    }

    /// What a report says about it.
    fn row(&self) -> (RowKind, String) {
        let name = |name: &String| name.strip_prefix("default/").unwrap_or(name).to_owned();
        let typed = |text: String| (RowKind::Command, format!("$ kubectl {text}"));
        let patched = |who: &str, key: &Key, part: &Part, change: &Value| {
            let part = if *part == Part::Status {
                " --subresource=status"
            } else {
                ""
            };
            (RowKind::Command, format!("{who} patches {key}{part}: {change}"))
        };
        match self {
            Command::Promote(rollout) => typed(format!("sluice promote {}", name(rollout))),
            Command::PromoteFull(rollout) => typed(format!("sluice promote {} --full", name(rollout))),
            Command::Abort(rollout) => typed(format!("sluice abort {}", name(rollout))),
            Command::Retry(rollout) => typed(format!("sluice retry {}", name(rollout))),
            Command::Pause(rollout) => typed(format!("sluice pause {}", name(rollout))),
            Command::SetImage(rollout, image) => (
                RowKind::Command,
                format!("the template of {} gets image {image}", name(rollout)),
            ),
            Command::Undo(rollout, None) => typed(format!("argo rollouts undo {}", name(rollout))),
            Command::Undo(rollout, Some(revision)) => {
                typed(format!("argo rollouts undo {} --to-revision={revision}", name(rollout)))
            }
            Command::Restart(rollout) => typed(format!("argo rollouts restart {}", name(rollout))),
            Command::Scale(rollout, replicas) => {
                typed(format!("scale rollout/{} --replicas={replicas}", name(rollout)))
            }
            Command::Apply(object) => match key_of(object) {
                Ok(key) => typed(format!("apply: {key}")),
                Err(_) => typed("apply".to_owned()),
            },
            Command::Patch(key, part, change) => patched("somebody", key, part, change),
            Command::ForeignPatch(key, part, change) => patched("another controller", key, part, change),
            Command::Delete(key) => typed(format!("delete {key}")),
            Command::Crash(_) => (RowKind::Fault, "the controller is killed".to_owned()),
            Command::KillPod(_) => (RowKind::Fault, "a pod is deleted".to_owned()),
            Command::KillPodOf(version) => (RowKind::Fault, format!("a pod of {version} is deleted")),
            Command::LoseNode(node) => (RowKind::Fault, format!("node {node} is lost")),
        }
    }
}

/// Carries out a command on an object. The others are the cluster's.
pub(crate) fn execute(kernel: &mut Kernel, command: &Command) -> Result<(), ApiError> {
    kernel.note(|| format!("types {command:?}"));
    let (kind, text) = command.row();
    kernel.happens(command.rollout().as_ref(), kind, || text);
    let status = |fields: Value| json!({"status": fields});
    match command {
        Command::Promote(name) => promote(kernel, name),
        Command::PromoteFull(name) => {
            let rollout = get(kernel, name)?;
            if rollout["status"]["currentPodHash"] == rollout["status"]["stableRS"] {
                return Ok(());
            }
            patch(
                kernel,
                &rollout_key(name),
                Part::Status,
                &status(json!({"promoteFull": true})),
            )
        }
        Command::Abort(name) => patch(
            kernel,
            &rollout_key(name),
            Part::Status,
            &status(json!({"abort": true})),
        ),
        Command::Retry(name) => patch(
            kernel,
            &rollout_key(name),
            Part::Status,
            &status(json!({"abort": false})),
        ),
        Command::Pause(name) => patch(
            kernel,
            &rollout_key(name),
            Part::Main,
            &json!({"spec": {"paused": true}}),
        ),
        Command::SetImage(name, image) => {
            let rollout = get(kernel, name)?;
            let (key, object) = match rollout["spec"]["workloadRef"]["name"].as_str() {
                Some(workload) => {
                    let key = rollout_key(name).beside(Kind::Deployment, workload);
                    let found = kernel.store.get(&key).cloned();
                    let found = found.ok_or_else(|| ApiError::NotFound(key.to_string()))?;
                    (key, (*found).clone())
                }
                None => (rollout_key(name), rollout),
            };
            let mut containers = object["spec"]["template"]["spec"]["containers"].clone();
            if let Some(container) = containers.as_array_mut().and_then(|list| list.first_mut()) {
                container["image"] = json!(image);
            }
            let changed = json!({"spec": {"template": {"spec": {"containers": containers}}}});
            patch(kernel, &key, Part::Main, &changed)
        }
        Command::Undo(name, revision) => undo(kernel, name, *revision),
        Command::Restart(name) => {
            let now = whole_seconds(kernel.clock.now()).to_string();
            patch(
                kernel,
                &rollout_key(name),
                Part::Main,
                &json!({"spec": {"restartAt": now}}),
            )
        }
        Command::Scale(name, replicas) => patch(
            kernel,
            &rollout_key(name),
            Part::Main,
            &json!({"spec": {"replicas": replicas}}),
        ),
        Command::Apply(object) => apply(kernel, Writer::User, object),
        Command::Patch(key, part, change) => patch(kernel, key, *part, change),
        Command::ForeignPatch(key, part, change) => kernel
            .store
            .patch(kernel.clock.now(), Writer::GitOps, key, *part, change)
            .map(drop),
        Command::Delete(key) => kernel
            .store
            .delete(kernel.clock.now(), Writer::User, key, &Preconditions::default()),
        Command::Crash(_) | Command::KillPod(_) | Command::KillPodOf(_) | Command::LoseNode(_) => Ok(()),
    }
}

/// The Rollout `namespace/name`; a name alone is in the namespace `default`.
pub(crate) fn rollout_key(name: &str) -> Key {
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    Key::new(Kind::Rollout, namespace, name)
}

/// Creates an object, or makes one that exists be as given; status and unnamed metadata stay.
pub(crate) fn apply(kernel: &mut Kernel, by: Writer, object: &Value) -> Result<(), ApiError> {
    let key = key_of(object)?;
    let now = kernel.clock.now();
    let Some(present) = kernel.store.get(&key) else {
        return kernel.store.create(now, by, object.clone()).map(drop);
    };
    let content = |object: &Value| {
        let mut content = object.clone();
        if let Value::Object(fields) = &mut content {
            fields.remove("metadata");
            fields.remove("status");
        }
        content
    };
    let mut change = diff(&content(present), &content(object)).unwrap_or_else(|| json!({}));
    for field in ["labels", "annotations"] {
        if let Some(given) = object["metadata"].get(field) {
            change["metadata"][field] = given.clone();
        }
    }
    kernel.store.patch(now, by, &key, Part::Main, &change).map(drop)
}

fn get(kernel: &Kernel, name: &str) -> Result<Value, ApiError> {
    let key = rollout_key(name);
    kernel
        .store
        .get(&key)
        .map(|object| (**object).clone())
        .ok_or_else(|| ApiError::NotFound(key.to_string()))
}

fn patch(kernel: &mut Kernel, key: &Key, part: Part, change: &Value) -> Result<(), ApiError> {
    kernel
        .store
        .patch(kernel.clock.now(), Writer::User, key, part, change)
        .map(drop)
}

fn promote(kernel: &mut Kernel, name: &str) -> Result<(), ApiError> {
    let (rollout, key) = (get(kernel, name)?, rollout_key(name));
    let status = &rollout["status"];
    let pauses = status["pauseConditions"].as_array().map_or(&[][..], Vec::as_slice);
    let canary = rollout["spec"]["strategy"].get("canary");
    let steps = canary.and_then(|canary| canary["steps"].as_array()).map_or(0, Vec::len) as u64;
    let next = canary
        .filter(|_| steps > 0)
        .map(|_| (status["currentStepIndex"].as_u64().unwrap_or(0) + 1).min(steps));
    let inconclusive = pauses.iter().any(|pause| pause["reason"] == "InconclusiveAnalysisRun");
    let change = match next {
        Some(next) if inconclusive && status["controllerPause"] == true => {
            Some(json!({"pauseConditions": null, "controllerPause": false, "currentStepIndex": next}))
        }
        _ if !pauses.is_empty() => Some(json!({"pauseConditions": null})),
        Some(next) => Some(json!({"pauseConditions": null, "currentStepIndex": next})),
        None => None,
    };
    if let Some(change) = change {
        patch(kernel, &key, Part::Status, &json!({"status": change}))?;
    }
    if rollout["spec"]["paused"] == true {
        patch(kernel, &key, Part::Main, &json!({"spec": {"paused": false}}))?;
    }
    Ok(())
}

fn undo(kernel: &mut Kernel, name: &str, revision: Option<u64>) -> Result<(), ApiError> {
    let (rollout, key) = (get(kernel, name)?, rollout_key(name));
    let uid = rollout["metadata"]["uid"].as_str().unwrap_or_default();
    let number = |set: &Value| {
        set["metadata"]["annotations"]["rollout.argoproj.io/revision"]
            .as_str()?
            .parse::<u64>()
            .ok()
    };
    let mut sets: Vec<(u64, Value)> = kernel
        .store
        .list(Kind::ReplicaSet)
        .filter(|(_, set)| crate::store::owner_uids(set).any(|owner| owner == uid))
        .filter_map(|(_, set)| Some((number(set)?, set["spec"]["template"].clone())))
        .collect();
    sets.sort_by_key(|(number, _)| *number);
    let found = match revision {
        Some(revision) => sets.into_iter().find(|(number, _)| *number == revision),
        None => sets.into_iter().rev().nth(1),
    };
    let (_, mut template) = found.ok_or_else(|| ApiError::NotFound(format!("a revision of {key} to go back to")))?;
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(sluice_traffic::REVISION_LABEL);
    }
    let Some(change) = diff(&rollout["spec"]["template"], &template) else {
        return Ok(());
    };
    patch(kernel, &key, Part::Main, &json!({"spec": {"template": change}}))
}
