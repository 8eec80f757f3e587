//! Gateway API `HTTPRoute` (`gateway.networking.k8s.io/v1`).

use serde_json::Value;

use crate::{Moving, ObjectRef, Observed, RouterProblem, Weights, registry::Pair};

/// Which HTTPRoute, and which of its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Name of the HTTPRoute.
    pub name: String,
    /// Namespace of the HTTPRoute where it is not the Rollout's.
    pub namespace: Option<String>,
    /// Names of the rules to manage (`spec.rules[].name`); all rules with both Services where empty.
    pub rules: Vec<String>,
}

/// The object that the configuration names.
pub fn object(config: &Config, namespace: &str) -> ObjectRef {
    ObjectRef {
        api_version: "gateway.networking.k8s.io/v1".to_owned(),
        kind: "HTTPRoute".to_owned(),
        namespace: config.namespace.clone().unwrap_or_else(|| namespace.to_owned()),
        name: config.name.clone(),
    }
}

/// Reads an HTTPRoute.
pub fn observe(_config: &Config, _object: &Value, _pair: Pair<'_>) -> Result<Observed, RouterProblem> {
    todo!()
}

/// Edits an HTTPRoute.
pub fn edit(
    _config: &Config,
    _object: &Value,
    _pair: Pair<'_>,
    _wanted: &Weights,
    _moving: &Moving,
) -> Result<Option<Value>, RouterProblem> {
    todo!()
}
