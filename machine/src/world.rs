//! What the shell observed, as values.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
    sync::{Arc, OnceLock},
};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sluice_crds::{AnalysisPhase, AnalysisTemplateSpec, Rollout};
use sluice_traffic::ObjectRef;

use crate::validate::{self, Checked, Problem};

/// Something that was looked up. A failed read is never the same as an absent object.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact<T> {
    /// It is there, and this is it.
    Known(T),
    /// It was looked up successfully and is not there.
    Absent,
    /// It could not be looked up.
    Unknown(Why),
}

/// Why something is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The kind is not installed in this cluster.
    NotInstalled,
    /// The controller may not read it.
    Forbidden,
    /// The cache has not been filled yet, or has not seen our own last write yet.
    Syncing,
    /// The object could not be decoded; the text says where.
    Undecodable(String),
    /// The API server refuses what was asked of it; the text says where and why. Asking again is of no use before the object
    /// is mended, or what refuses it.
    Refused(String),
    /// A read failed; the text says how.
    Failed(String),
}

/// Everything that [`crate::decide`] may look at.
#[derive(Clone, Debug)]
pub struct World {
    /// The Rollout as it was read.
    pub rollout: Rollout,
    /// ReplicaSets in its namespace that it owns, or that have no controller and match its selector, by name.
    pub replica_sets: Fact<BTreeMap<String, ReplicaSet>>,
    /// The Services that [`crate::references::References`] names, and those that are annotated as managed by this Rollout, as
    /// JSON, by name.
    pub services: BTreeMap<String, Fact<Value>>,
    /// The route objects and the workload that [`crate::references::References`] names, as JSON.
    pub objects: BTreeMap<ObjectRef, Fact<Value>>,
    /// The analysis templates that it names, and those which these name in turn.
    pub templates: BTreeMap<TemplateRef, Fact<Template>>,
    /// The AnalysisRuns that it owns, by name.
    pub runs: Fact<BTreeMap<String, Run>>,
    /// Answers to asks of earlier plans.
    pub answers: BTreeMap<Ask, Answered>,
    /// Who holds the live leader Lease of another controller (Argo Rollouts) for the same objects, if anybody does.
    pub incumbent: Option<String>,
    /// The controller's settings.
    pub settings: Settings,
    /// What the last plan asked to be remembered. Losing it delays, and never endangers.
    pub memory: Memory,
}

impl World {
    /// The spec of an analysis template, where it is known.
    pub fn template_spec(&self, cluster_scope: bool, name: &str) -> Option<&AnalysisTemplateSpec> {
        let name = name.to_owned();
        let template = self.templates.get(&TemplateRef { cluster_scope, name })?;
        template.known().map(|template| &template.spec)
    }
}

/// Settings of the controller that decisions depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Label value that marks the objects of this controller, where several share a cluster.
    pub instance_id: Option<String>,
    /// How long proxies may lag behind an acknowledged change.
    pub drain: SignedDuration,
    /// After this time a change that was never acknowledged stops holding back scale-downs (`drain` is added).
    pub ack_timeout: SignedDuration,
    /// Status counts and texts are at most this far behind; they wait for each other, and for the next commit.
    pub count_interval: SignedDuration,
    /// Whether our CRDs (not only Argo's) are installed, so that extension fields survive.
    pub extensions: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            instance_id: None,
            // Measured on Traefik's default throttle: the last old response came up to 3 s after a weight change.
            drain: SignedDuration::from_secs(3),
            ack_timeout: SignedDuration::from_secs(60),
            count_interval: SignedDuration::from_secs(1),
            extensions: true,
        }
    }
}

/// A ReplicaSet, as far as decisions need it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaSet {
    /// Name.
    pub name: String,
    /// uid.
    pub uid: String,
    /// resourceVersion.
    pub resource_version: String,
    /// Creation time (whole seconds).
    pub created_at: Timestamp,
    /// Who controls it.
    pub owner: Owner,
    /// Value of the label `rollouts-pod-template-hash`.
    pub hash: String,
    /// `spec.template` as JSON.
    pub template: Value,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// `spec.replicas`.
    pub wanted: u32,
    /// `status.replicas`.
    pub replicas: u32,
    /// `status.readyReplicas`.
    pub ready: u32,
    /// `status.availableReplicas`, but never more than `wanted`: the others are on their way out.
    pub available: u32,
    /// `status.observedGeneration` has reached `metadata.generation`: the counts belong to the present spec.
    pub settled: bool,
    /// It is being deleted.
    pub deleting: bool,
}

/// Who controls a ReplicaSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The Rollout, by uid.
    Ours,
    /// Nobody; its labels match the Rollout's selector, so that it can be adopted.
    Orphan,
}

/// An analysis template that a Rollout names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TemplateRef {
    /// `ClusterAnalysisTemplate` rather than `AnalysisTemplate`.
    pub cluster_scope: bool,
    /// Name.
    pub name: String,
}

/// The spec of an analysis template, and what is wrong with it: found out when it is first asked for, because conditions take
/// a while to parse.
#[derive(Clone, Debug)]
pub struct Template {
    spec: AnalysisTemplateSpec,
    problems: OnceLock<Vec<Problem>>,
}

impl Template {
    /// What is wrong with it: [`validate::analysis_template`].
    pub fn problems(&self) -> &[Problem] {
        self.problems.get_or_init(|| validate::analysis_template(&self.spec))
    }
}

impl From<AnalysisTemplateSpec> for Template {
    fn from(spec: AnalysisTemplateSpec) -> Template {
        Template {
            spec,
            problems: OnceLock::new(),
        }
    }
}

impl Deref for Template {
    type Target = AnalysisTemplateSpec;

    fn deref(&self) -> &AnalysisTemplateSpec {
        &self.spec
    }
}

/// An AnalysisRun, as far as the Rollout needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Name.
    pub name: String,
    /// uid.
    pub uid: String,
    /// resourceVersion.
    pub resource_version: String,
    /// Creation time (whole seconds).
    pub created_at: Timestamp,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// `status.phase`; Pending where there is no status yet.
    pub phase: AnalysisPhase,
    /// `status.message`.
    pub message: Option<String>,
    /// `spec.terminate`.
    pub terminating: bool,
}

/// A pod, as far as decisions need it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// Name.
    pub name: String,
    /// uid.
    pub uid: String,
    /// Creation time (whole seconds).
    pub created_at: Timestamp,
    /// Its condition Ready is true.
    pub ready: bool,
    /// It is being deleted.
    pub deleting: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// Something to look up that is needed rarely and must be fresh.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ask {
    /// The Rollout's pod template with the API server's defaults: a dry-run create of a ReplicaSet under an unused name.
    /// `template` is [`crate::hash::canonical`] of the raw template.
    Defaults {
        /// Canonical hash of the template that is asked about.
        template: String,
    },
    /// The ready endpoints of a Service, by the revision of the pods behind them.
    Endpoints {
        /// Name of the Service.
        service: String,
        /// resourceVersion of the Service at which the answer is wanted.
        resource_version: String,
    },
    /// The pods of a ReplicaSet. The answer is of no use any more once one of them was evicted or patched.
    Pods {
        /// Name of the ReplicaSet.
        replica_set: String,
        /// resourceVersion of the ReplicaSet at which the answer is wanted.
        resource_version: String,
    },
}

/// An answer and when it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// When the read returned.
    pub at: Timestamp,
    /// What it returned.
    pub answer: Answer,
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To [`Ask::Defaults`]: the pod template with defaults.
    Defaults(Fact<Value>),
    /// To [`Ask::Endpoints`].
    Endpoints(Fact<Endpoints>),
    /// To [`Ask::Pods`].
    Pods(Fact<Vec<Pod>>),
}

/// The ready, non-terminating endpoints of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// How many belong to pods of which revision (label `rollouts-pod-template-hash`; empty for pods without it).
    pub ready: BTreeMap<String, u32>,
}

/// What the machine wants to have remembered from one decision to the next, in the shell's memory only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// When an object was first seen acknowledged, and at which resourceVersion or generation.
    pub acknowledged: BTreeMap<ObjectRef, (String, Timestamp)>,
    /// Objects that somebody else changed under our hands, and which field manager did. Kept until our answer has settled.
    pub contested: BTreeMap<String, Option<String>>,
    /// Since when counts or texts of the status are behind, where they are.
    pub stale_since: Option<Timestamp>,
    /// Names of ReplicaSets that a create found taken by somebody else's. The shell adds them; the machine drops them when the
    /// new ReplicaSet exists.
    pub taken: BTreeSet<String>,
    /// Names of AnalysisRuns that a create found taken by somebody else's. The shell adds them; the machine drops them when all
    /// runs that the status names exist.
    pub taken_runs: BTreeSet<String>,
    /// ReplicaSets all of whose pods were seen with the labels and annotations of their role, and which those are.
    pub dressed: BTreeMap<String, String>,
    /// What follows from the spec alone, for as long as it is the same.
    pub checked: Option<Arc<Checked>>,
}

impl<T> Default for Fact<T> {
    /// Nothing has been looked up yet.
    fn default() -> Fact<T> {
        Fact::Unknown(Why::Syncing)
    }
}

impl<T> Fact<T> {
    /// The value, where it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Fact::Known(value) => Some(value),
            Fact::Absent | Fact::Unknown(_) => None,
        }
    }

    /// The fact about something derived from the value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Fact::Known(value) => Fact::Known(f(value)),
            Fact::Absent => Fact::Absent,
            Fact::Unknown(why) => Fact::Unknown(why),
        }
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Why::NotInstalled => f.write_str("its kind is not installed in this cluster"),
            Why::Forbidden => f.write_str("the controller may not read it"),
            Why::Syncing => f.write_str("it has not been read yet"),
            Why::Undecodable(text) => write!(f, "it cannot be decoded: {text}"),
            Why::Refused(text) => write!(f, "the API server refuses it: {text}"),
            Why::Failed(text) => write!(f, "reading it failed: {text}"),
        }
    }
}
