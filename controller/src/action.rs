//! What an effect does: which object it writes, and how. Sending it is [`crate::execute`]'s.

use std::borrow::Cow;

use serde_json::{Value, json};
use sluice_machine::Effect;

use crate::failpoint::WriteKind;
use crate::kinds::Kind;
use crate::ledger::ObjectId;
use crate::object::ObjectName;
use crate::observe::object_id;

/// One write.
#[derive(Debug)]
pub struct Action<'a> {
    /// What it is called in metrics and failpoints.
    pub kind: WriteKind,
    /// The object.
    pub target: ObjectId,
    /// How it is written.
    pub how: How<'a>,
}

/// How an object is written.
#[derive(Debug)]
pub enum How<'a> {
    /// It is made.
    Create(&'a Value),
    /// This merge patch, which may name a uid and a resourceVersion as preconditions.
    Patch(Cow<'a, Value>),
    /// It is deleted.
    Delete {
        /// Only if it is this object.
        uid: &'a str,
        /// Only if it is this version of it.
        resource_version: Option<&'a str>,
    },
    /// It is a pod with this uid, and is evicted.
    Evict(&'a str),
}

/// What an effect of a Rollout in `namespace` does.
pub fn of<'a>(namespace: &str, effect: &'a Effect) -> Action<'a> {
    let beside = |kind: Kind, name: &str| ObjectId {
        kind,
        name: ObjectName::new(namespace, name),
    };
    let only = |patch: &Value, preconditions: &Value| How::Patch(Cow::Owned(with_metadata(patch, preconditions)));
    let plain = |patch: &'a Value| How::Patch(Cow::Borrowed(patch));
    let (kind, target, how) = match effect {
        Effect::CreateReplicaSet { name, object } => (
            WriteKind::CreateReplicaSet,
            beside(Kind::ReplicaSet, name),
            How::Create(object),
        ),
        Effect::CreateRun { name, object } => (WriteKind::CreateRun, beside(Kind::Run, name), How::Create(object)),
        Effect::CreateRoute { route, object, .. } => (WriteKind::CreateRoute, object_id(route), How::Create(object)),
        Effect::PatchReplicaSet {
            name,
            uid,
            resource_version,
            patch,
            ..
        } => (
            WriteKind::PatchReplicaSet,
            beside(Kind::ReplicaSet, name),
            only(patch, &json!({ "uid": uid, "resourceVersion": resource_version })),
        ),
        Effect::SwitchService { name, patch, .. } => {
            (WriteKind::SwitchService, beside(Kind::Service, name), plain(patch))
        }
        Effect::ReleaseService { name, patch } => {
            (WriteKind::ReleaseService, beside(Kind::Service, name), plain(patch))
        }
        Effect::ReleaseRoute { route, patch } => (WriteKind::ReleaseRoute, object_id(route), plain(patch)),
        Effect::DeleteRoute {
            route,
            uid,
            resource_version,
        } => {
            let resource_version = Some(resource_version.as_str());
            let how = How::Delete { uid, resource_version };
            (WriteKind::DeleteRoute, object_id(route), how)
        }
        Effect::SetSplit { route, patch, .. } => (WriteKind::SetSplit, object_id(route), plain(patch)),
        Effect::SetManagedRoutes { route, patch, .. } => (WriteKind::SetManagedRoutes, object_id(route), plain(patch)),
        Effect::SwitchSubset { object, patch, .. } => (WriteKind::SwitchSubset, object_id(object), plain(patch)),
        Effect::ScaleWorkload { object, patch, .. } => (WriteKind::ScaleWorkload, object_id(object), plain(patch)),
        Effect::EvictPod { name, uid, .. } => (WriteKind::EvictPod, beside(Kind::Pod, name), How::Evict(uid)),
        Effect::PatchPod { name, uid, patch } => {
            let how = only(patch, &json!({ "uid": uid }));
            (WriteKind::PatchPod, beside(Kind::Pod, name), how)
        }
        Effect::TerminateRun {
            name,
            uid,
            resource_version,
        } => {
            let patch = json!({ "spec": { "terminate": true } });
            let how = only(&patch, &json!({ "uid": uid, "resourceVersion": resource_version }));
            (WriteKind::TerminateRun, beside(Kind::Run, name), how)
        }
        Effect::DeleteReplicaSet {
            name,
            uid,
            resource_version,
        } => {
            let resource_version = Some(resource_version.as_str());
            let how = How::Delete { uid, resource_version };
            (WriteKind::DeleteReplicaSet, beside(Kind::ReplicaSet, name), how)
        }
        Effect::DeleteRun { name, uid } => {
            let resource_version = None;
            let how = How::Delete { uid, resource_version };
            (WriteKind::DeleteRun, beside(Kind::Run, name), how)
        }
    };
    Action { kind, target, how }
}

/// A copy of `object` with some more metadata.
pub fn with_metadata(object: &Value, metadata: &Value) -> Value {
    let mut object = object.clone();
    sluice_machine::json::merge(&mut object, &json!({ "metadata": metadata }));
    object
}
