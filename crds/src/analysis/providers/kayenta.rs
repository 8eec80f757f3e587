//! Kayenta, Spinnaker's canary judge.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A judgement by Kayenta.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KayentaMetric {
    /// Address of the server.
    pub address: String,
    /// Name of the application.
    pub application: String,
    /// Name of the canary configuration.
    pub canary_config_name: String,
    /// Account from which metrics are read.
    pub metrics_account_name: String,
    /// Account in which configurations are stored.
    pub configuration_account_name: String,
    /// Account in which results are stored.
    pub storage_account_name: String,
    /// Which scores are good enough.
    pub threshold: KayentaThreshold,
    /// What is compared with what.
    pub scopes: Vec<KayentaScope>,
}

/// Which scores, 0 to 100, are good enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KayentaThreshold {
    /// Scores from here on are good.
    pub pass: i64,
    /// Scores below are bad; those between are inconclusive.
    pub marginal: i64,
}

/// What is compared with what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KayentaScope {
    /// Name of the scope.
    pub name: String,
    /// The old version.
    pub control_scope: KayentaScopeDetail,
    /// The new version.
    pub experiment_scope: KayentaScopeDetail,
}

/// Where and when one side is measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KayentaScopeDetail {
    /// Name of the resource.
    pub scope: String,
    /// Region of the resource.
    pub region: String,
    /// Seconds between two values.
    pub step: i64,
    /// Beginning of the time range.
    pub start: String,
    /// End of the time range.
    pub end: String,
}
