//! Names of objects, labels and annotations that routers share.

use serde::{Deserialize, Serialize};

/// Label and selector key that names a revision by its pod template hash.
pub const REVISION_LABEL: &str = "rollouts-pod-template-hash";
/// Annotation on Services and routes that names the Rollout which manages them.
pub const MANAGED_BY_ANNOTATION: &str = "argo-rollouts.argoproj.io/managed-by-rollouts";
/// Annotation with the [`crate::Moving`] record of the last change that we wrote, as JSON.
pub const MOVING_ANNOTATION: &str = "sluice.dev/moving";

/// A namespaced object of any kind, by name. Ordered, so that it can be a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// For example `gateway.networking.k8s.io/v1`; `v1` for the core group.
    pub api_version: String,
    /// For example `HTTPRoute`.
    pub kind: String,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}
