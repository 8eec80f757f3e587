//! Prometheus.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Authentication, WebMetricHeader};

/// A query to Prometheus.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusMetric {
    /// Address of the server, for example `http://prometheus.monitoring:9090`. Absent: that of the environment variable
    /// ARGO_ROLLOUTS_PROMETHEUS_ADDRESS of the controller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The PromQL query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// How to prove who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Authentication>,
    /// Seconds after which a query is given up. Defaults to 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
    /// Whether the certificate of the server is left unchecked. Defaults to false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
    /// Further headers of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<WebMetricHeader>>,
    /// Asks for the values of a time range instead of the value of now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range_query: Option<PrometheusRangeQuery>,
}

/// The time range of a query.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusRangeQuery {
    /// Beginning of the range: an expression that gives a time, for example `now() - duration("5m")`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// End of the range: an expression that gives a time, for example `now()`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Time between two values, for example `1m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}
