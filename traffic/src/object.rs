//! Names of objects, labels and annotations that routers share.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Moving, registry::Pair};

/// Label and selector key that names a revision by its pod template hash.
pub const REVISION_LABEL: &str = "rollouts-pod-template-hash";
/// Annotation on Services that names the Rollout which manages them.
pub const MANAGED_BY_ANNOTATION: &str = "argo-rollouts.argoproj.io/managed-by-rollouts";
/// Annotation on a Service with the [`crate::Moving`] record of the last change that we wrote, as JSON.
/// Routes have one for each pair of Services: [`route_moving_annotation`].
pub const MOVING_ANNOTATION: &str = "sluice.dev/moving";
/// What the names of [`route_moving_annotation`] begin with.
pub(crate) const ROUTE_MOVING_PREFIX: &str = "moving.sluice.dev/";
/// What the names of [`managed_routes_annotation`] begin with.
pub(crate) const MANAGED_ROUTES_PREFIX: &str = "managed-routes.sluice.dev/";
/// The field manager under which the controller writes. Managers whose name begins with it are ours too.
pub const FIELD_MANAGER: &str = "sluice-controller";

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

/// The annotation on a route with the [`crate::Moving`] record of this pair of Services: `moving.sluice.dev/<service>`.
///
/// One route often serves several Rollouts, each with rules of its own. Under one common key the second Rollout's write would
/// erase what the first must remember about its own. The key names the alphabetically first Service of the pair, so that it
/// stays the same when the two Services change roles.
pub fn route_moving_annotation(pair: Pair<'_>) -> String {
    format!("{ROUTE_MOVING_PREFIX}{}", pair.stable.min(pair.canary))
}

/// The annotation on a route with what we know of the rules that steps have added for this pair: names and matches. Keyed as
/// [`route_moving_annotation`].
pub fn managed_routes_annotation(pair: Pair<'_>) -> String {
    format!("{MANAGED_ROUTES_PREFIX}{}", pair.stable.min(pair.canary))
}

/// The record in an annotation of an object; `None` where there is none or it cannot be read.
pub(crate) fn moving(object: &Value, annotation: &str) -> Option<Moving> {
    serde_json::from_str(self::annotation(object, annotation)?).ok()
}

/// The record as it is kept in an annotation.
pub(crate) fn moving_text(moving: &Moving) -> String {
    serde_json::to_string(moving).expect("times, integers and maps with text keys can always be written as JSON")
}

/// The value of an annotation.
pub(crate) fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get("metadata")?.get("annotations")?.get(name)?.as_str()
}

/// A text field of the metadata, where it is there and not empty.
pub(crate) fn metadata<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object
        .get("metadata")?
        .get(field)?
        .as_str()
        .filter(|text| !text.is_empty())
}

/// `metadata.generation`, 0 where there is none.
pub(crate) fn generation(object: &Value) -> i64 {
    object
        .pointer("/metadata/generation")
        .and_then(Value::as_i64)
        .unwrap_or(0)
}
