//! The scenario file as it is written. `docs/scenarios.md` explains it, `scenario.schema.json` is generated from it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::values::{MetricValue, Share, Span, SpanRange};

/// What happens to manifests, and what is expected of it. Everything is optional.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ScenarioFile {
    /// Name; that of the file where it is absent.
    pub name: Option<String>,
    /// What it is about, for people.
    pub description: String,
    /// Files or folders beside this file, or whole objects. Files that are given on the command line take their place.
    pub manifests: Vec<Value>,
    /// Changes of the manifests before they are applied.
    pub patches: Vec<PatchFile>,
    /// Where chance begins; another seed is another run of the same scenario.
    pub seed: Option<u64>,
    /// The simulation ends here where nothing is at rest before; 2h where absent.
    pub until: Option<Span>,
    /// Requests. Where absent, 100 in a second enter through the route or Service of each Rollout from 30s on.
    pub traffic: Option<Vec<TrafficFile>>,
    /// How versions behave: `stable` (the template of the manifests), `new` (every other one), or an image.
    pub versions: BTreeMap<String, VersionFile>,
    /// How the cluster behaves.
    pub cluster: ClusterFile,
    /// Answers to the metrics of analysis templates, in place of what the traffic makes of them.
    pub metrics: Vec<MetricFile>,
    /// When Prometheus does not answer as it should.
    pub prometheus: Vec<OutageFile>,
    /// What is typed, changed and broken, and when.
    pub script: Vec<ActionFile>,
    /// What goes wrong between the controller and the API server.
    pub faults: FaultsFile,
    /// What must come of it.
    pub expect: Vec<ExpectFile>,
}

/// A change of an object.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PatchFile {
    /// Kind and name: `Rollout/shop`; in another namespace `Rollout/other/shop`.
    pub object: String,
    /// JSON merge patch.
    pub patch: Map<String, Value>,
    /// Who does it: a person, or another controller such as one that applies what is in a Git repository.
    #[serde(default)]
    pub by: By,
    /// Whether it goes to the status subresource.
    #[serde(default)]
    pub status: bool,
}

/// Who changes an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum By {
    /// A person with kubectl.
    #[default]
    User,
    /// Another controller.
    Gitops,
}

/// A stream of requests.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrafficFile {
    /// Where they enter: `HTTPRoute/shop` or `Service/shop`; found from the Rollouts where absent.
    pub through: Option<String>,
    /// Requests in a second.
    pub rate: f64,
    /// When they begin; 30s where absent.
    pub from: Option<Span>,
    /// Changes of the rate, in order.
    #[serde(default)]
    pub ramps: Vec<RampFile>,
}

/// A change of a rate.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RampFile {
    /// When it begins.
    pub at: Span,
    /// How long it takes; at once where absent.
    #[serde(default)]
    pub over: Span,
    /// The rate at its end.
    pub rate: f64,
}

/// How the pods of a version behave.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct VersionFile {
    /// Share of the requests that it answers with an error.
    pub error_rate: Share,
    /// How long its answers take; 20ms at the median and 100ms for the slowest of a hundred where absent.
    pub latency: Option<LatencyFile>,
    /// From the creation of a pod to its readiness; 300ms..2s where absent.
    pub start: Option<SpanRange>,
    /// Its pods never become ready.
    pub never_ready: bool,
    /// Its pods crash so long after they became ready, again and again; `0s` is a crash at start.
    pub crash_after: Option<Span>,
    /// Requests in a second that a pod can answer.
    pub capacity: Option<f64>,
    /// What happens beyond the capacity; `errors` where absent.
    pub beyond_capacity: BeyondCapacity,
    /// What is wrong with it later only.
    pub onset: Option<OnsetFile>,
}

/// When and how a version begins to behave differently. The earliest of the given conditions counts.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct OnsetFile {
    /// So long after its first pod became ready.
    pub after: Option<Span>,
    /// While it gets at least this share of the requests.
    pub from_weight: Option<Share>,
    /// Share of the requests that it answers with an error from then on.
    pub error_rate: Share,
    /// How long its answers take from then on.
    pub latency: Option<LatencyFile>,
}

/// How long answers take: a log-normal distribution.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LatencyFile {
    /// The median.
    pub p50: Span,
    /// What 99 of 100 answers stay below; the median where absent.
    pub p99: Option<Span>,
}

/// What happens to requests beyond the capacity of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum BeyondCapacity {
    /// They are answered with an error.
    #[default]
    Errors,
    /// All answers take as many times longer as there are too many.
    Latency,
}

/// How the cluster behaves.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClusterFile {
    /// Number of nodes; 3 where absent.
    pub nodes: Option<usize>,
    /// Number of proxies, each of which follows in its own time; 2 where absent.
    pub proxies: Option<usize>,
    /// From the status of a route, and from new endpoints, to a proxy that follows; 50ms..2900ms where absent.
    pub proxy_lag: Option<SpanRange>,
    /// From the change of a route to its status; 15ms..60ms where absent.
    pub acknowledge_lag: Option<SpanRange>,
    /// Routes never get a status.
    pub never_acknowledges: bool,
    /// From the deletion of a pod to the end of its process (preStop); 4s..5s where absent.
    pub pod_linger: Option<SpanRange>,
    /// Number of controller processes that are active at once; 1 where absent.
    pub controllers: Option<usize>,
}

/// Answers to a metric.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetricFile {
    /// Name of the metric in its analysis template.
    pub name: String,
    /// One answer after the other; the last one again and again.
    pub values: Vec<MetricValue>,
}

/// A time in which Prometheus answers everything in the same way.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OutageFile {
    /// When it begins.
    pub from: Span,
    /// When it ends; never where absent.
    pub until: Option<Span>,
    /// What it answers.
    pub answers: MetricValue,
}

/// Something that is done at a time: exactly one of the other fields than `at`, `every`, `until` and `rollout`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ActionFile {
    /// When, since the start.
    pub at: Span,
    /// Again and again after so long.
    pub every: Option<Span>,
    /// The end of the repetition.
    pub until: Option<Span>,
    /// The Rollout, where there are several.
    pub rollout: Option<String>,
    /// A line as it is typed: `kubectl sluice promote shop`.
    #[serde(rename = "type")]
    pub typed: Option<String>,
    /// The template gets this image.
    pub image: Option<String>,
    /// An object is changed.
    pub patch: Option<PatchFile>,
    /// An object is applied as it is here.
    pub apply: Option<Map<String, Value>>,
    /// A pod is deleted: one of `stable`, of `new`, of an image, or `any`.
    pub kill_pod: Option<String>,
    /// The node with this number, from 0, stops answering.
    pub lose_node: Option<usize>,
    /// The controller process with this number, from 0, is killed and started again.
    pub kill_controller: Option<usize>,
}

/// What goes wrong between the controller and the API server.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FaultsFile {
    /// Faults of single writes.
    pub writes: Vec<WriteFaultFile>,
    /// Faults that are drawn.
    pub rates: RatesFile,
    /// When the drawn ones begin; at once where absent.
    pub from: Option<Span>,
    /// When the drawn ones end; never where absent.
    pub until: Option<Span>,
}

/// The fault of one write.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WriteFaultFile {
    /// Number of the write; the controller's first is 1.
    pub write: u64,
    /// What happens to it.
    pub fault: WriteFaultKind,
}

/// What happens to a write.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum WriteFaultKind {
    /// The controller crashes before it.
    CrashBefore,
    /// It is applied, and the controller crashes before the answer.
    CrashAfter,
    /// It is not applied, and no answer comes.
    TimeoutLost,
    /// It is applied, and no answer comes.
    TimeoutApplied,
    /// It is answered with a conflict.
    Conflict,
    /// It is answered with an error of the server.
    Server,
}

/// How often faults are drawn.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RatesFile {
    /// Share of the writes before which the controller crashes.
    pub crash_before: Share,
    /// Share of the writes after which it crashes before the answer.
    pub crash_after: Share,
    /// Share of the writes that are neither applied nor answered.
    pub timeout_lost: Share,
    /// Share of the writes that are applied and not answered.
    pub timeout_applied: Share,
    /// Share of the writes that are answered with a conflict.
    pub conflict: Share,
    /// Share of the writes that are answered with an error of the server.
    pub server: Share,
    /// Share of the reads and measurements that fail.
    pub read: Share,
    /// Share of the watch events that come late.
    pub slow_event: Share,
    /// By how much; 200ms..8s where absent.
    pub slow_by: Option<SpanRange>,
    /// Share of the watch events that never come.
    pub lost_event: Share,
}

/// What must come of it. All fields that are given must hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ExpectFile {
    /// The Rollout; all of them where absent.
    pub rollout: Option<String>,
    /// Its phase in the end: Healthy, Degraded, Paused or Progressing.
    pub phase: Option<String>,
    /// A part of its message in the end.
    pub message: Option<String>,
    /// Image of its stable revision in the end.
    pub stable: Option<String>,
    /// Share of the requests that its newest revision is to have in the end, in percent.
    pub weight: Option<f64>,
    /// Index of its step in the end.
    pub step: Option<u64>,
    /// Nothing is left to happen by then.
    pub within: Option<Span>,
    /// Nothing is left to happen before then: what it waits for lasts at least so long.
    pub not_before: Option<Span>,
    /// Requests that may fail: those answered with an error by a version, and the lost ones.
    pub most_failed_requests: Option<f64>,
    /// Requests that may be lost by anything but broken pods and nodes; 0 where nothing else is said.
    pub most_lost_requests: Option<f64>,
    /// Parts of rows of the timeline that must come, in this order.
    pub rows: Vec<String>,
    /// Parts of rows of the timeline that must not come.
    pub no_rows: Vec<String>,
}
