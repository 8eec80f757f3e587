//! The router for Gateway API, an extension of Sluice.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Splits the traffic in Gateway API HTTPRoutes. Only rules whose backends are the stable and the canary Service are
/// changed. An extension of Sluice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayApiRouting {
    /// Name of the HTTPRoute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_route: Option<String>,
    /// Namespace of the HTTPRoutes. Defaults to the namespace of the Rollout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Names of the rules of httpRoute to change. Absent: every rule that has both Services as backends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<String>>,
    /// More HTTPRoutes, if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_routes: Option<Vec<GatewayApiHttpRoute>>,
    /// Seconds after which a route that was not acknowledged is treated as if its proxies had applied it, before
    /// anything is scaled down. Defaults to 60.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack_timeout_seconds: Option<i32>,
    /// Seconds that the proxies need, after the route is acknowledged, until all requests follow it. Defaults to 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_seconds: Option<i32>,
}

/// One HTTPRoute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayApiHttpRoute {
    /// Name of the HTTPRoute.
    pub name: String,
    /// Names of the rules to change. Absent: every rule that has both Services as backends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<String>>,
}
