//! Kubernetes Jobs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A Job that succeeds if all is well and fails if not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobMetric {
    /// Labels and annotations of the Job: an ObjectMeta.
    #[schemars(schema_with = "crate::raw::object")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// The Job: a JobSpec.
    #[schemars(schema_with = "crate::raw::object")]
    pub spec: Value,
}
