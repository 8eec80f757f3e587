//! The kinds that the controller reads and writes: one line for each.

use kube::core::{ApiResource, GroupVersionKind};
use sluice_traffic::{ObjectRef, REVISION_LABEL};

use crate::object::ObjectName;

/// Label by which several controllers share a cluster: each serves the objects with its own value, and one without an
/// instance id serves the objects without the label.
pub const INSTANCE_LABEL: &str = "argo-rollouts.argoproj.io/controller-instance-id";

/// A kind, and the table of the cache that holds its objects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `Rollout`.
    Rollout,
    /// `ReplicaSet`, those with a pod template hash of Rollouts.
    ReplicaSet,
    /// `Service`.
    Service,
    /// `AnalysisTemplate`.
    Template,
    /// `ClusterAnalysisTemplate`.
    ClusterTemplate,
    /// `AnalysisRun`.
    Run,
    /// `Pod`: read when it is asked for, and never watched.
    Pod,
    /// A kind of route objects, watched once a Rollout names it.
    Route {
        /// For example `gateway.networking.k8s.io/v1`.
        api_version: String,
        /// For example `HTTPRoute`.
        kind: String,
    },
}

impl Kind {
    /// The kinds that are watched from the start.
    pub const ALWAYS: [Kind; 6] = [
        Kind::Rollout,
        Kind::ReplicaSet,
        Kind::Service,
        Kind::Template,
        Kind::ClusterTemplate,
        Kind::Run,
    ];

    /// The kinds of objects that routers write.
    pub fn routes() -> [Kind; 4] {
        let route = |api_version: &str, kind: &str| Kind::Route {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        };
        [
            route("gateway.networking.k8s.io/v1", "HTTPRoute"),
            route("networking.istio.io/v1", "VirtualService"),
            Kind::destination_rule(),
            route("networking.k8s.io/v1", "Ingress"),
        ]
    }

    /// Istio's DestinationRule, whose subsets take the place of Services.
    pub fn destination_rule() -> Kind {
        Kind::Route {
            api_version: "networking.istio.io/v1".to_owned(),
            kind: "DestinationRule".to_owned(),
        }
    }

    /// Whether objects of this kind name in an annotation the Rollout that manages them, and lead to it.
    pub fn names_manager(&self) -> bool {
        match self {
            Kind::Service => true,
            Kind::Route { kind, .. } => kind == "DestinationRule",
            _ => false,
        }
    }

    /// The kind of a route object.
    pub fn of_route(route: &ObjectRef) -> Kind {
        Kind::Route {
            api_version: route.api_version.clone(),
            kind: route.kind.clone(),
        }
    }

    /// Group, version, kind and plural.
    pub fn resource(&self) -> ApiResource {
        let argo = |kind| resource("argoproj.io/v1alpha1", kind);
        match self {
            Kind::Rollout => argo("Rollout"),
            Kind::ReplicaSet => resource("apps/v1", "ReplicaSet"),
            Kind::Service => resource("v1", "Service"),
            Kind::Template => argo("AnalysisTemplate"),
            Kind::ClusterTemplate => argo("ClusterAnalysisTemplate"),
            Kind::Run => argo("AnalysisRun"),
            Kind::Pod => resource("v1", "Pod"),
            Kind::Route { api_version, kind } => resource(api_version, kind),
        }
    }

    /// Whether objects of this kind have no namespace.
    pub fn is_cluster_scoped(&self) -> bool {
        *self == Kind::ClusterTemplate
    }

    /// Whether managedFields are kept: routers name a foreign writer by them.
    pub fn keeps_managers(&self) -> bool {
        matches!(self, Kind::Service | Kind::Route { .. })
    }

    /// The label selector of the watch.
    pub fn labels(&self, instance_id: Option<&str>) -> Option<String> {
        match self {
            Kind::ReplicaSet => Some(REVISION_LABEL.to_owned()),
            Kind::Rollout | Kind::Run => Some(match instance_id {
                Some(id) => format!("{INSTANCE_LABEL}={id}"),
                None => format!("!{INSTANCE_LABEL}"),
            }),
            _ => None,
        }
    }

    /// The URL path of one object, or of the collection where the name is empty.
    pub fn path(&self, name: &ObjectName) -> String {
        let resource = self.resource();
        let prefix = if resource.group.is_empty() { "/api" } else { "/apis" };
        let mut path = format!("{prefix}/{}", resource.api_version);
        if !name.namespace.is_empty() {
            path = format!("{path}/namespaces/{}", name.namespace);
        }
        path = format!("{path}/{}", resource.plural);
        if !name.name.is_empty() {
            path = format!("{path}/{}", name.name);
        }
        path
    }

    /// A short name without spaces, for metrics and logs: the plural with the group.
    pub fn label(&self) -> String {
        let resource = self.resource();
        if resource.group.is_empty() {
            resource.plural
        } else {
            format!("{}.{}", resource.plural, resource.group)
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.resource().kind)
    }
}

fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api_server() {
        let route = Kind::Route {
            api_version: "gateway.networking.k8s.io/v1".into(),
            kind: "HTTPRoute".into(),
        };
        let rows = [
            (
                Kind::Rollout,
                "ns",
                "x",
                "/apis/argoproj.io/v1alpha1/namespaces/ns/rollouts/x",
            ),
            (Kind::ReplicaSet, "ns", "", "/apis/apps/v1/namespaces/ns/replicasets"),
            (Kind::Service, "ns", "x", "/api/v1/namespaces/ns/services/x"),
            (
                Kind::Template,
                "ns",
                "x",
                "/apis/argoproj.io/v1alpha1/namespaces/ns/analysistemplates/x",
            ),
            (
                Kind::ClusterTemplate,
                "",
                "x",
                "/apis/argoproj.io/v1alpha1/clusteranalysistemplates/x",
            ),
            (
                Kind::Run,
                "ns",
                "x",
                "/apis/argoproj.io/v1alpha1/namespaces/ns/analysisruns/x",
            ),
            (
                route,
                "ns",
                "x",
                "/apis/gateway.networking.k8s.io/v1/namespaces/ns/httproutes/x",
            ),
        ];
        for (kind, namespace, name, path) in rows {
            assert_eq!(kind.path(&ObjectName::new(namespace, name)), path);
        }
    }

    #[test]
    fn instance_ids_select_what_is_watched() {
        assert_eq!(Kind::Rollout.labels(None).unwrap(), format!("!{INSTANCE_LABEL}"));
        assert_eq!(
            Kind::Run.labels(Some("blue")).unwrap(),
            format!("{INSTANCE_LABEL}=blue")
        );
        assert_eq!(Kind::ReplicaSet.labels(Some("blue")).unwrap(), REVISION_LABEL);
        assert_eq!(Kind::Service.labels(Some("blue")), None);
    }
}
