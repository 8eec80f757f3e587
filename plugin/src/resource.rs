//! The kinds of objects that this program reads and writes.

use kube::core::{ApiResource, GroupVersionKind};
use sluice_traffic::ObjectRef;

/// A kind of objects, as it stands in URLs and in rights.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Plural, for example `rollouts`.
    pub plural: String,
}

macro_rules! resources {
    ($($(#[$doc:meta])* $name:ident = $group:literal $version:literal $plural:literal;)+) => {
        impl Resource {
            $($(#[$doc])* pub fn $name() -> Resource {
                Resource::new($group, $version, $plural)
            })+
        }
    };
}

resources! {
    /// Rollouts.
    rollouts = "argoproj.io" "v1alpha1" "rollouts";
    /// AnalysisRuns.
    analysis_runs = "argoproj.io" "v1alpha1" "analysisruns";
    /// AnalysisTemplates.
    templates = "argoproj.io" "v1alpha1" "analysistemplates";
    /// ClusterAnalysisTemplates.
    cluster_templates = "argoproj.io" "v1alpha1" "clusteranalysistemplates";
    /// ReplicaSets.
    replica_sets = "apps" "v1" "replicasets";
    /// Deployments.
    deployments = "apps" "v1" "deployments";
    /// Pods.
    pods = "" "v1" "pods";
    /// Services.
    services = "" "v1" "services";
    /// EndpointSlices.
    endpoint_slices = "discovery.k8s.io" "v1" "endpointslices";
    /// Leases.
    leases = "coordination.k8s.io" "v1" "leases";
    /// CustomResourceDefinitions.
    definitions = "apiextensions.k8s.io" "v1" "customresourcedefinitions";
    /// GatewayClasses.
    gateway_classes = "gateway.networking.k8s.io" "v1" "gatewayclasses";
    /// Reviews of one's own rights.
    own_access_reviews = "authorization.k8s.io" "v1" "selfsubjectaccessreviews";
}

impl Resource {
    /// A resource by group, version and plural.
    pub fn new(group: &str, version: &str, plural: &str) -> Resource {
        Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: plural.to_owned(),
        }
    }

    /// The resource of a route object.
    pub fn of(object: &ObjectRef) -> Resource {
        Resource::of_kind(&object.api_version, &object.kind)
    }

    /// The resource of objects with these `apiVersion` and `kind`.
    pub fn of_kind(api_version: &str, kind: &str) -> Resource {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let plural = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind)).plural;
        Resource::new(group, version, &plural)
    }

    /// The URL path of all objects, of one namespace (empty: of all, or without namespaces), or of one object.
    pub fn path(&self, namespace: &str, name: &str) -> String {
        let mut path = match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        for (before, part) in [("namespaces/", namespace), ("", &self.plural), ("", name)] {
            if !part.is_empty() {
                path = format!("{path}/{before}{}", escaped(part));
            }
        }
        path
    }
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.group.as_str() {
            "" => f.write_str(&self.plural),
            group => write!(f, "{}.{group}", self.plural),
        }
    }
}

/// A name as a part of a path. Names are typed by people: a slash in one must not lead to another object.
fn escaped(part: &str) -> String {
    let keep = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    let byte = |byte: u8| {
        if keep(char::from(byte)) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    match part {
        // A path of dots alone would be resolved by whatever stands in between.
        "." | ".." => part.replace('.', "%2E"),
        part => part.bytes().map(byte).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api_server() {
        let route = ObjectRef {
            api_version: "gateway.networking.k8s.io/v1".to_owned(),
            kind: "HTTPRoute".to_owned(),
            namespace: "shop".to_owned(),
            name: "x".to_owned(),
        };
        let rows = [
            (
                Resource::rollouts(),
                "shop",
                "x",
                "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/x",
            ),
            (Resource::rollouts(), "", "", "/apis/argoproj.io/v1alpha1/rollouts"),
            (Resource::pods(), "shop", "", "/api/v1/namespaces/shop/pods"),
            (
                Resource::of(&route),
                "shop",
                "x",
                "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/x",
            ),
            (
                Resource::pods(),
                "a/../b",
                "x?y",
                "/api/v1/namespaces/a%2F..%2Fb/pods/x%3Fy",
            ),
            (Resource::pods(), "..", "ä", "/api/v1/namespaces/%2E%2E/pods/%C3%A4"),
        ];
        for (resource, namespace, name, path) in rows {
            assert_eq!(resource.path(namespace, name), path);
        }
    }
}
