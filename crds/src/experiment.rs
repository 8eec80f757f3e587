//! `Experiment`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks for a Service that selects the pods of a template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateService {
    /// Name of the Service. Defaults to the name of the ReplicaSet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
