//! Datadog.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A query to Datadog.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatadogMetric {
    /// Length of the time range of the query, for example `5m`. Defaults to 5m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// The query. One of query and queries must be set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Several queries, by name, which the formula combines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queries: Option<BTreeMap<String, String>>,
    /// How the queries are combined. Required if there is more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub formula: Option<String>,
    /// Version of Datadog's API: `v1` or `v2`. Defaults to v1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// How the values of the time range become one: avg, min, max, sum, last, percentile, mean, l2norm or area.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregator: Option<String>,
    /// The Secret with the account. Absent: the Secret `datadog` in the namespace of the controller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<DatadogSecretRef>,
}

/// The Secret with a Datadog account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatadogSecretRef {
    /// Name of the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether the Secret is in the namespace of the AnalysisRun rather than of the controller. Defaults to false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaced: Option<bool>,
}
