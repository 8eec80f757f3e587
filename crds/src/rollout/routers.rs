//! The settings of each router, as `spec.strategy.canary.trafficRouting` holds them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Splits the traffic in Istio VirtualServices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IstioTrafficRouting {
    /// The VirtualService whose routes are changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_service: Option<IstioVirtualService>,
    /// The DestinationRule whose subsets stand for the two versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_rule: Option<IstioDestinationRule>,
    /// Several VirtualServices, instead of virtualService.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_services: Option<Vec<IstioVirtualService>>,
}

/// A VirtualService whose routes are changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IstioVirtualService {
    /// Name of the VirtualService; with a namespace as `namespace/name`.
    pub name: String,
    /// Names of the HTTP routes to change. Absent: there must be exactly one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<String>>,
    /// The TLS routes to change. Absent: there must be exactly one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_routes: Option<Vec<IstioTlsRoute>>,
    /// The TCP routes to change. Absent: there must be exactly one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_routes: Option<Vec<IstioTcpRoute>>,
}

/// Which TLS routes of a VirtualService are meant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IstioTlsRoute {
    /// Port of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,
    /// All SNI hosts of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni_hosts: Option<Vec<String>>,
}

/// Which TCP routes of a VirtualService are meant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IstioTcpRoute {
    /// Port of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,
}

/// A DestinationRule whose subsets stand for the two versions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IstioDestinationRule {
    /// Name of the DestinationRule.
    pub name: String,
    /// Name of the subset of the new version.
    pub canary_subset_name: String,
    /// Name of the subset of the old version.
    pub stable_subset_name: String,
    /// Names of further subsets whose destinations are left in the routes as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_subset_names: Option<Vec<String>>,
}

/// Splits the traffic with a canary Ingress of the NGINX Ingress Controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NginxTrafficRouting {
    /// Prefix of the annotations. Defaults to `nginx.ingress.kubernetes.io`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation_prefix: Option<String>,
    /// Name of the Ingress that serves the stable Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable_ingress: Option<String>,
    /// Further annotations of the canary Ingress, to which the prefix is added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_ingress_annotations: Option<BTreeMap<String, String>>,
    /// Names of the Ingresses that serve the stable Service, instead of stableIngress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable_ingresses: Option<Vec<String>>,
    /// Further annotations of the canary Ingress, taken as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_ingress_annotations: Option<BTreeMap<String, String>>,
}

/// Splits the traffic with an Ingress of the AWS Load Balancer Controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlbTrafficRouting {
    /// Name of the Ingress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<String>,
    /// Port of the Services to which the traffic goes.
    pub service_port: i32,
    /// Name of the Service that the Ingress names. Defaults to the stable Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_service: Option<String>,
    /// Prefix of the annotations. Defaults to `alb.ingress.kubernetes.io`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation_prefix: Option<String>,
    /// Keeps a client at the version that it met first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stickiness_config: Option<AlbStickiness>,
    /// Names of the Ingresses, instead of ingress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingresses: Option<Vec<String>>,
}

/// Keeps a client at the version that it met first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlbStickiness {
    /// Whether clients stay where they are.
    pub enabled: bool,
    /// For how many seconds, 1 to 604800.
    pub duration_seconds: i64,
}

/// Splits the traffic with a TrafficSplit of the Service Mesh Interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SmiTrafficRouting {
    /// Name of the Service that clients use. Defaults to the stable Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_service: Option<String>,
    /// Name of the TrafficSplit. Defaults to the name of the Rollout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_split_name: Option<String>,
}

/// Splits the traffic with Ambassador Mappings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AmbassadorTrafficRouting {
    /// Names of the Mappings of the stable Service.
    pub mappings: Vec<String>,
}

/// Splits the traffic with AWS App Mesh.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppMeshTrafficRouting {
    /// The virtual service whose routes are changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_service: Option<AppMeshVirtualService>,
    /// The virtual nodes that stand for the two versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_node_group: Option<AppMeshVirtualNodeGroup>,
}

/// A virtual service whose routes are changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppMeshVirtualService {
    /// Name of the virtual service.
    pub name: String,
    /// Names of the routes of its virtual router to change. Absent: there must be exactly one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<String>>,
}

/// The virtual nodes that stand for the two versions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppMeshVirtualNodeGroup {
    /// The virtual node of the new version.
    pub canary_virtual_node_ref: AppMeshVirtualNodeReference,
    /// The virtual node of the old version.
    pub stable_virtual_node_ref: AppMeshVirtualNodeReference,
}

/// A virtual node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppMeshVirtualNodeReference {
    /// Name of the virtual node.
    pub name: String,
}

/// Splits the traffic with a TraefikService.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TraefikTrafficRouting {
    /// Name of the TraefikService whose weights are changed.
    pub weighted_traefik_service_name: String,
}

/// Splits the traffic with an ApisixRoute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApisixTrafficRouting {
    /// The ApisixRoute whose rules are changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<ApisixRoute>,
}

/// An ApisixRoute whose rules are changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApisixRoute {
    /// Name of the ApisixRoute.
    pub name: String,
    /// Names of the HTTP rules to change. Absent: there must be exactly one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<String>>,
}
