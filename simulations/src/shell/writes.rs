//! The requests of a process, and what can become of them.

use std::sync::Arc;

use serde_json::{Value, json};
use sluice_machine::run::{RunCommit, RunDelete};
use sluice_machine::{Commit, Effect};
use sluice_traffic::ObjectRef;

use crate::faults::WriteFault;
use crate::kernel::Kernel;
use crate::report::RowKind;
use crate::shell::cache::Cache;
use crate::store::{ApiError, Key, Kind, Part, Preconditions, Writer, owner_uids, revision_of};

/// A write that a plan wants.
#[derive(Clone, Debug)]
pub(super) struct Requested {
    pub(super) target: Key,
    pub(super) request: Request,
    /// The effect that a guard must allow first, where it cannot be taken back.
    pub(super) guarded: Option<Effect>,
    /// With this write the commit is done.
    pub(super) commits: bool,
    /// It must meet the version that the write before it made.
    follows: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Request {
    Create(Value),
    Patch(Part, Value),
    Delete(Preconditions),
    Pod(PodWrite),
}

/// A write on a pod. Pods are not in the store; the models carry it out.
#[derive(Clone, Debug)]
pub(crate) struct PodWrite {
    /// The uid of the pod, which is its number.
    pub(crate) uid: String,
    /// Merge patch of its metadata; without one it is evicted.
    pub(crate) patch: Option<Value>,
}

/// Why a write ends a plan.
pub(super) enum Failed {
    /// The process has ended.
    Crash,
    /// No answer came: nobody knows whether it was applied.
    TimedOut,
    /// There is an object of this name, and it is somebody else's.
    Taken,
    /// The request failed.
    Refused,
}

impl Requested {
    /// Where the plan writes the same object twice, the second write must meet the version that the first one made.
    pub(super) fn follow(&mut self, written: &Key, object: &Value) {
        if let Request::Patch(_, patch) = &mut self.request
            && self.follows
            && self.target == *written
        {
            patch["metadata"]["resourceVersion"] = object["metadata"]["resourceVersion"].clone();
        }
    }

    pub(super) fn new(target: Key, request: Request) -> Requested {
        Requested {
            target,
            request,
            guarded: None,
            commits: false,
            follows: false,
        }
    }
}

/// The writes of a commit.
pub(super) fn of_commit(rollout: &Key, commit: Commit) -> Vec<Requested> {
    let parts = [(Part::Main, commit.object), (Part::Status, commit.status)];
    let mut writes: Vec<Requested> = Vec::new();
    for (part, patch) in parts {
        let Some(mut patch) = patch else { continue };
        patch["metadata"]["resourceVersion"] = Value::String(commit.resource_version.clone());
        let follows = !writes.is_empty();
        writes.push(Requested {
            follows,
            ..Requested::new(rollout.clone(), Request::Patch(part, patch))
        });
    }
    if let Some(last) = writes.last_mut() {
        last.commits = true;
    }
    writes
}

/// The write of a run's commit.
pub(super) fn of_run_commit(run: &Key, commit: RunCommit) -> Requested {
    let mut patch = commit.patch;
    patch["metadata"]["resourceVersion"] = Value::String(commit.resource_version);
    Requested {
        commits: true,
        ..Requested::new(run.clone(), Request::Patch(Part::Main, patch))
    }
}

/// The deletion of a run whose time is over. A guard must allow it first.
pub(super) fn of_run_delete(run: &Key, delete: RunDelete) -> Requested {
    let guarded = Effect::DeleteRun {
        name: run.name.to_string(),
        uid: delete.uid.clone(),
    };
    let only = Preconditions {
        uid: Some(delete.uid),
        resource_version: Some(delete.resource_version),
    };
    Requested {
        guarded: Some(guarded),
        ..Requested::new(run.clone(), Request::Delete(only))
    }
}

/// The write of an effect. `owner` is the Rollout's owner reference for what it creates.
pub(super) fn of_effect(rollout: &Key, owner: &Value, effect: Effect) -> Requested {
    let guarded = effect.is_irreversible().then(|| effect.clone());
    let created = |mut object: Value| {
        object["metadata"]["namespace"] = json!(&*rollout.namespace);
        object["metadata"]["ownerReferences"] = json!([owner]);
        Request::Create(object)
    };
    let expecting = |mut patch: Value, uid: String, version: String| {
        patch["metadata"]["uid"] = Value::String(uid);
        patch["metadata"]["resourceVersion"] = Value::String(version);
        Request::Patch(Part::Main, patch)
    };
    let (target, request) = match effect {
        Effect::CreateReplicaSet { name, object } => (rollout.beside(Kind::ReplicaSet, &name), created(object)),
        Effect::PatchReplicaSet {
            name,
            uid,
            resource_version,
            patch,
            ..
        } => (
            rollout.beside(Kind::ReplicaSet, &name),
            expecting(patch, uid, resource_version),
        ),
        Effect::DeleteReplicaSet {
            name,
            uid,
            resource_version,
        } => {
            let only = Preconditions {
                uid: Some(uid),
                resource_version: Some(resource_version),
            };
            (rollout.beside(Kind::ReplicaSet, &name), Request::Delete(only))
        }
        Effect::SwitchService { name, patch, .. } | Effect::ReleaseService { name, patch } => {
            (rollout.beside(Kind::Service, &name), Request::Patch(Part::Main, patch))
        }
        Effect::CreateRoute { route, object, .. } => (route_key(&route), created(object)),
        Effect::SetSplit {
            route: object, patch, ..
        }
        | Effect::SetManagedRoutes {
            route: object, patch, ..
        }
        | Effect::SwitchSubset { object, patch, .. }
        | Effect::ReleaseRoute { route: object, patch }
        | Effect::ScaleWorkload { object, patch, .. } => (route_key(&object), Request::Patch(Part::Main, patch)),
        Effect::DeleteRoute {
            route,
            uid,
            resource_version,
        } => {
            let only = Preconditions {
                uid: Some(uid),
                resource_version: Some(resource_version),
            };
            (route_key(&route), Request::Delete(only))
        }
        Effect::EvictPod { name, uid, .. } => (pod_set(rollout, &name), Request::Pod(PodWrite { uid, patch: None })),
        Effect::PatchPod { name, uid, mut patch } => {
            let patch = Some(patch["metadata"].take());
            (pod_set(rollout, &name), Request::Pod(PodWrite { uid, patch }))
        }
        Effect::CreateRun { name, object } => (rollout.beside(Kind::AnalysisRun, &name), created(object)),
        Effect::TerminateRun {
            name,
            uid,
            resource_version,
        } => {
            let patch = json!({"spec": {"terminate": true}});
            (
                rollout.beside(Kind::AnalysisRun, &name),
                expecting(patch, uid, resource_version),
            )
        }
        Effect::DeleteRun { name, uid } => {
            let only = Preconditions {
                uid: Some(uid),
                resource_version: None,
            };
            (rollout.beside(Kind::AnalysisRun, &name), Request::Delete(only))
        }
    };
    Requested {
        guarded,
        ..Requested::new(target, request)
    }
}

/// The address of a route object. Routes of kinds that are not modelled are never observed, so never written.
pub(super) fn route_key(route: &ObjectRef) -> Key {
    let kind =
        Kind::of(&route.api_version, &route.kind).expect("a route that was observed is of a kind that is modelled");
    Key::new(kind, &route.namespace, &route.name)
}

/// The ReplicaSet of a pod, by the pod's name.
fn pod_set(rollout: &Key, pod: &str) -> Key {
    let set = pod.rsplit_once('-').map_or(pod, |(set, _)| set);
    rollout.beside(Kind::ReplicaSet, set)
}

/// Sends a request, with the fault that is due, if any.
pub(super) fn perform(
    kernel: &mut Kernel,
    process: usize,
    cache: &mut Cache,
    task: &Key,
    requested: &Requested,
) -> Result<Option<Arc<Value>>, Failed> {
    let fault = kernel.faults.of_next_write(&mut kernel.random);
    let number = kernel.faults.writes;
    kernel.note(|| describe(process, number, requested, fault));
    if let Some(fault) = fault {
        let text = || format!("{}: {}", fault, requested.target);
        kernel.happens(None, RowKind::Fault, text);
    }
    if let Request::Pod(_) = requested.request {
        return match fault {
            None => Ok(None),
            Some(WriteFault::CrashBefore | WriteFault::CrashAfter) => Err(Failed::Crash),
            Some(WriteFault::TimeoutLost | WriteFault::TimeoutApplied) => Err(Failed::TimedOut),
            Some(WriteFault::Conflict | WriteFault::Server(_)) => Err(Failed::Refused),
        };
    }
    let outcome = match fault {
        Some(WriteFault::CrashBefore) => return Err(Failed::Crash),
        Some(WriteFault::CrashAfter) => {
            let _ = send(kernel, process, requested);
            return Err(Failed::Crash);
        }
        Some(WriteFault::TimeoutLost) => Err(ApiError::Timeout),
        Some(WriteFault::TimeoutApplied) => send(kernel, process, requested).and(Err(ApiError::Timeout)),
        Some(WriteFault::Conflict) => Err(ApiError::Conflict("a fault of the simulation".to_owned())),
        Some(WriteFault::Server(status)) => Err(ApiError::Server(status)),
        None => send(kernel, process, requested),
    };
    settle(kernel, cache, task, requested, outcome)
}

/// Notes what became of a request.
fn settle(
    kernel: &mut Kernel,
    cache: &mut Cache,
    task: &Key,
    requested: &Requested,
    outcome: Result<Option<Arc<Value>>, ApiError>,
) -> Result<Option<Arc<Value>>, Failed> {
    let (now, target) = (kernel.clock.now(), &requested.target);
    let is_delete = matches!(requested.request, Request::Delete(_));
    match outcome {
        Ok(Some(object)) => {
            // A write that changed nothing makes no event: it counts as seen where its version is known.
            if cache.put(target, &object) {
                cache.wrote(task, target, Some(revision_of(&object)), now);
            }
            Ok(Some(object))
        }
        Ok(None) => {
            let revision = kernel.store.revision();
            cache.wrote(task, target, Some(revision), now);
            cache.delete(target, revision);
            Ok(None)
        }
        // Gone already is what was wanted.
        Err(ApiError::NotFound(_)) if is_delete => {
            cache.delete(target, kernel.store.revision());
            Ok(None)
        }
        // What exists already is as good as created if it is ours.
        Err(ApiError::AlreadyExists(_)) if is_ours(kernel, requested) => {
            let object = kernel.store.get(target).cloned();
            if let Some(object) = &object {
                cache.put(target, object);
            }
            Ok(object)
        }
        Err(error) => {
            kernel.note(|| format!("{target}: {error}"));
            let unknown = matches!(error, ApiError::Timeout | ApiError::Server(504));
            // The cache is behind: should the event that tells so be lost, the same write would fail for ever.
            let is_behind = matches!(error, ApiError::Conflict(_) | ApiError::NotFound(_));
            if unknown || is_behind {
                cache.wrote(task, target, None, now);
            }
            Err(match error {
                ApiError::Timeout => Failed::TimedOut,
                ApiError::AlreadyExists(_) => Failed::Taken,
                _ => Failed::Refused,
            })
        }
    }
}

/// Whether the object under the name of one that was to be created has the owner that it was to have.
fn is_ours(kernel: &Kernel, requested: &Requested) -> bool {
    let Request::Create(wanted) = &requested.request else {
        return false;
    };
    let found = kernel.store.get(&requested.target);
    found.is_some_and(|found| owner_uids(found).eq(owner_uids(wanted)))
}

fn send(kernel: &mut Kernel, process: usize, requested: &Requested) -> Result<Option<Arc<Value>>, ApiError> {
    let (now, by, key) = (kernel.clock.now(), Writer::Controller(process), &requested.target);
    match &requested.request {
        Request::Create(object) => kernel.store.create(now, by, object.clone()).map(Some),
        Request::Patch(part, patch) => kernel.store.patch(now, by, key, *part, patch).map(Some),
        Request::Delete(only) => kernel
            .store
            .delete(now, by, key, only)
            .map(|()| kernel.store.get(key).cloned()),
        // The models carry it out.
        Request::Pod(_) => Ok(None),
    }
}

fn describe(process: usize, number: u64, requested: &Requested, fault: Option<WriteFault>) -> String {
    let fault = fault.map(|fault| format!(" !{fault:?}")).unwrap_or_default();
    let (verb, text) = match &requested.request {
        Request::Create(object) => ("creates", format!(" {}", object["spec"]["replicas"])),
        Request::Patch(part, patch) => (
            if *part == Part::Status {
                "patches the status of"
            } else {
                "patches"
            },
            format!(" {patch}"),
        ),
        Request::Delete(_) => ("deletes", String::new()),
        Request::Pod(PodWrite { uid, patch: None }) => ("evicts pod", format!(" {uid}")),
        Request::Pod(PodWrite {
            uid,
            patch: Some(patch),
        }) => ("patches pod", format!(" {uid} {patch}")),
    };
    format!(
        "controller-{process} #{number}{fault} {verb} {}{text}",
        requested.target
    )
}

/// The owner reference to a Rollout for what it creates.
pub(super) fn owner_reference(rollout: &Key, uid: &str) -> Value {
    json!({
        "apiVersion": rollout.kind.api_version(), "kind": rollout.kind.name(), "name": &*rollout.name,
        "uid": uid, "controller": true, "blockOwnerDeletion": true,
    })
}
