//! The kinds of objects that the virtual API server knows.

use std::sync::Arc;

/// A kind of object. Others are refused: what is not modelled must not look as if it were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `argoproj.io/v1alpha1` Rollout.
    Rollout,
    /// `argoproj.io/v1alpha1` AnalysisRun.
    AnalysisRun,
    /// `argoproj.io/v1alpha1` AnalysisTemplate.
    AnalysisTemplate,
    /// `argoproj.io/v1alpha1` ClusterAnalysisTemplate.
    ClusterAnalysisTemplate,
    /// `argoproj.io/v1alpha1` Experiment.
    Experiment,
    /// `apps/v1` ReplicaSet.
    ReplicaSet,
    /// `apps/v1` Deployment, as far as it takes part in a migration.
    Deployment,
    /// `v1` Service.
    Service,
    /// `gateway.networking.k8s.io/v1` HTTPRoute.
    HttpRoute,
    /// `gateway.networking.k8s.io/v1` Gateway; stored, without behaviour.
    Gateway,
    /// `v1` `ConfigMap`; stored, without behaviour.
    ConfigMap,
    /// `v1` Secret; stored, without behaviour.
    Secret,
    /// `v1` Namespace; stored, without behaviour.
    Namespace,
}

/// apiVersion, kind, whether it lives in a namespace, how the server treats it.
const TABLE: [(Kind, &str, &str, bool, Shape); 13] = [
    (
        Kind::Rollout,
        "argoproj.io/v1alpha1",
        "Rollout",
        true,
        Shape::CustomWithStatus,
    ),
    (
        Kind::AnalysisRun,
        "argoproj.io/v1alpha1",
        "AnalysisRun",
        true,
        Shape::CustomPlain,
    ),
    (
        Kind::AnalysisTemplate,
        "argoproj.io/v1alpha1",
        "AnalysisTemplate",
        true,
        Shape::CustomPlain,
    ),
    (
        Kind::ClusterAnalysisTemplate,
        "argoproj.io/v1alpha1",
        "ClusterAnalysisTemplate",
        false,
        Shape::CustomPlain,
    ),
    (
        Kind::Experiment,
        "argoproj.io/v1alpha1",
        "Experiment",
        true,
        Shape::CustomPlain,
    ),
    (
        Kind::ReplicaSet,
        "apps/v1",
        "ReplicaSet",
        true,
        Shape::BuiltInWithStatus,
    ),
    (
        Kind::Deployment,
        "apps/v1",
        "Deployment",
        true,
        Shape::BuiltInWithStatus,
    ),
    (Kind::Service, "v1", "Service", true, Shape::BuiltInWithoutGeneration),
    (
        Kind::HttpRoute,
        "gateway.networking.k8s.io/v1",
        "HTTPRoute",
        true,
        Shape::CustomWithStatus,
    ),
    (
        Kind::Gateway,
        "gateway.networking.k8s.io/v1",
        "Gateway",
        true,
        Shape::CustomWithStatus,
    ),
    (Kind::ConfigMap, "v1", "ConfigMap", true, Shape::BuiltInPlain),
    (Kind::Secret, "v1", "Secret", true, Shape::BuiltInPlain),
    (Kind::Namespace, "v1", "Namespace", false, Shape::BuiltInPlain),
];

/// What the server does with generation and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A custom resource with a status subresource: generation counts changes of everything but metadata and status.
    CustomWithStatus,
    /// A custom resource without subresources: generation counts changes of everything but metadata, of status too.
    CustomPlain,
    /// A built-in kind with a status subresource and a generation.
    BuiltInWithStatus,
    /// A built-in kind with a status subresource and no generation (Service).
    BuiltInWithoutGeneration,
    /// A built-in kind without either.
    BuiltInPlain,
}

impl Shape {
    pub(crate) fn has_status(self) -> bool {
        matches!(
            self,
            Shape::CustomWithStatus | Shape::BuiltInWithStatus | Shape::BuiltInWithoutGeneration
        )
    }

    pub(crate) fn has_generation(self) -> bool {
        matches!(
            self,
            Shape::CustomWithStatus | Shape::CustomPlain | Shape::BuiltInWithStatus
        )
    }
}

impl Kind {
    fn row(self) -> &'static (Kind, &'static str, &'static str, bool, Shape) {
        TABLE
            .iter()
            .find(|row| row.0 == self)
            .expect("the table has a row for each kind")
    }

    /// For example `apps/v1`.
    pub fn api_version(self) -> &'static str {
        self.row().1
    }

    /// For example `ReplicaSet`.
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// Whether objects of the kind live in a namespace.
    pub fn is_namespaced(self) -> bool {
        self.row().3
    }

    pub(crate) fn shape(self) -> Shape {
        self.row().4
    }

    /// The kind that an object names; `None` where it is not modelled.
    pub fn of(api_version: &str, name: &str) -> Option<Kind> {
        TABLE
            .iter()
            .find(|row| row.1 == api_version && row.2 == name)
            .map(|row| row.0)
    }
}

/// An object's address. The namespace is empty for kinds without one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Kind.
    pub kind: Kind,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl Key {
    /// The address of an object.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Key {
        let namespace = if kind.is_namespaced() { namespace } else { "" };
        Key {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The address of another object in the same namespace.
    pub fn beside(&self, kind: Kind, name: &str) -> Key {
        Key::new(kind, &self.namespace, name)
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &*self.namespace {
            "" => write!(f, "{} {}", self.kind.name(), self.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind.name(), self.name),
        }
    }
}
