//! What a simulation tells: plain data with a stable JSON form, and its renderings.
//!
//! ```text
//! Cluster ──record──> Recording ──of──> Report ──text──> timeline
//!                                         ├──serde──> JSON
//!                                         └──html──> a page with plots, and a picture
//! ```
//!
//! Times are milliseconds of virtual time since the start. Shares are percentages of the requests, from 0 to 100. In lists that
//! are curves a value holds until the next one.

mod html;
mod text;

use serde::Serialize;

pub use html::{html, picture};
pub(crate) use text::clock;
pub use text::{Line, Tone, lines, text};

/// Version of the JSON form. It rises when a field changes its meaning or goes; new fields do not raise it.
pub const VERSION: u32 = 1;

/// One simulation.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Name of the scenario.
    pub scenario: String,
    /// What it is about.
    pub description: String,
    /// The seed: the same scenario and seed give the same report.
    pub seed: u64,
    /// When the simulation ended.
    pub end_millis: i64,
    /// Whether nothing was left to happen then.
    pub settled: bool,
    /// What was made up or passed over.
    pub notes: Vec<String>,
    /// The Rollouts, by namespace and name.
    pub rollouts: Vec<RolloutReport>,
    /// Requests that no version answered.
    pub lost: Vec<LostReport>,
    /// Writes of the controller that broke a safety invariant: a defect of Sluice, please report it.
    pub violations: Vec<String>,
    /// What the scenario expects, and what came.
    pub expectations: Vec<Expectation>,
}

/// One Rollout in a simulation.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutReport {
    /// `namespace/name`.
    pub name: String,
    /// `canary` or `blueGreen`.
    pub strategy: String,
    /// The steps of a canary, in a few words each.
    pub steps: Vec<String>,
    /// Its revisions, and what became of the requests that each got.
    pub revisions: Vec<RevisionReport>,
    /// Where it stands in the end.
    pub outcome: Outcome,
    /// How long it stayed at each step, in order.
    pub spans: Vec<StepSpan>,
    /// Its analysis runs.
    pub runs: Vec<RunReport>,
    /// What happened, in order.
    pub rows: Vec<Row>,
    /// The share of the newest revision, as a curve.
    pub split: Vec<SplitPoint>,
    /// Pods of each revision, as a curve.
    pub pods: Vec<PodsPoint>,
}

/// A revision of a Rollout.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionReport {
    /// Number; a revision that is used again gets a new one, and this is the last.
    pub revision: u64,
    /// The numbers that it had before.
    pub earlier: Vec<u64>,
    /// Value of the label `rollouts-pod-template-hash`.
    pub hash: String,
    /// Image of the first container.
    pub image: String,
    /// Requests that were answered without an error.
    pub ok: f64,
    /// Requests that were answered with an error.
    pub errors: f64,
    /// Samples of its traffic; each is about the time since the one before.
    pub samples: Vec<TrafficSample>,
}

/// What a revision did from one sample to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrafficSample {
    /// End of the time that the sample is about.
    pub at_millis: i64,
    /// Requests in a second.
    pub per_second: f64,
    /// Share of errors among them, from 0 to 1; absent without requests.
    pub error_rate: Option<f64>,
    /// Median latency.
    pub p50_millis: Option<f64>,
    /// Latency that 99 % of the requests stay below.
    pub p99_millis: Option<f64>,
}

/// Where a Rollout stands in the end.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// `status.phase`: Healthy, Paused, Progressing, Degraded.
    pub phase: String,
    /// `status.message`.
    pub message: String,
    /// Revision that is stable.
    pub stable: Option<u64>,
    /// The newest revision.
    pub newest: Option<u64>,
    /// Share of the newest revision that is wanted.
    pub weight: Option<f64>,
    /// Index of the step.
    pub step: Option<u64>,
    /// Why it does not go on, where it waits.
    pub waits: String,
}

/// A stay at a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepSpan {
    /// Revision under way.
    pub revision: u64,
    /// Index of the step, from 0.
    pub step: u64,
    /// The step in a few words.
    pub text: String,
    /// When it was entered.
    pub from_millis: i64,
    /// When it was left; absent for the one that it stands at.
    pub until_millis: Option<i64>,
}

/// An analysis run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunReport {
    /// Name.
    pub name: String,
    /// When it was created.
    pub from_millis: i64,
    /// When it ended.
    pub until_millis: Option<i64>,
    /// Phase.
    pub phase: String,
    /// Message.
    pub message: String,
    /// Its measurements, in order.
    pub measurements: Vec<MeasurementReport>,
}

/// A measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MeasurementReport {
    /// Name of the metric.
    pub metric: String,
    /// When its result was written.
    pub at_millis: i64,
    /// The value, as the status has it.
    pub value: String,
    /// Successful, Failed, Inconclusive or Error.
    pub verdict: String,
    /// Why, where it says so.
    pub message: String,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// When.
    pub at_millis: i64,
    /// What kind of thing.
    pub kind: RowKind,
    /// What; empty where only the position changed.
    pub text: String,
    /// Where the Rollout stood afterwards.
    pub position: Position,
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RowKind {
    /// Somebody typed a command, or changed an object.
    Command,
    /// Something went wrong that the scenario asked for.
    Fault,
    /// An event of the controller.
    Event,
    /// A warning event of the controller.
    Warning,
    /// Why the Rollout waits.
    Hold,
    /// A measurement with its verdict.
    Measurement,
    /// A change of `status.phase` or `status.message`.
    Phase,
    /// Only the position changed.
    Position,
}

/// Where a Rollout stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// Index of the step; the number of steps when all are done.
    pub step: Option<u64>,
    /// Share of the newest revision that the steps, or an abort, ask for.
    pub wanted: Option<f64>,
    /// Share of the newest revision among the requests that proxies send to pods now.
    pub routed: Option<f64>,
    /// Share of the newest revision that the data plane has acknowledged; absent without a route or Service that is switched.
    pub acknowledged: Option<f64>,
    /// Pods of each revision that has or wants any, oldest revision first.
    pub pods: Vec<Pods>,
}

/// Pods of a revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pods {
    /// Number of the revision.
    pub revision: u64,
    /// How many it wants (`spec.replicas` of its ReplicaSet).
    pub wanted: u64,
    /// How many are available, as the ReplicaSet's status has it.
    pub available: u64,
}

/// A point of the split's curves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SplitPoint {
    /// From when on.
    pub at_millis: i64,
    /// The newest revision at this time, whose shares these are.
    pub revision: Option<u64>,
    /// As in [`Position`].
    pub wanted: Option<f64>,
    /// As in [`Position`].
    pub routed: Option<f64>,
    /// As in [`Position`].
    pub acknowledged: Option<f64>,
}

/// A point of the pods' curves.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodsPoint {
    /// From when on.
    pub at_millis: i64,
    /// Pods of each revision.
    pub pods: Vec<Pods>,
}

/// Requests that were lost for the same reason, one after the other.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LostReport {
    /// When it began.
    pub from_millis: i64,
    /// When it ended.
    pub until_millis: i64,
    /// Why.
    pub reason: String,
    /// How many requests.
    pub requests: f64,
    /// Whether pods or nodes that broke are the reason.
    pub by_fault: bool,
}

/// Something that the scenario expects.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Expectation {
    /// What, as the scenario file has it.
    pub expected: String,
    /// What came instead; empty where it was met.
    pub came: String,
}

impl Report {
    /// Whether everything came as it was expected, and nothing that must never happen.
    pub fn is_met(&self) -> bool {
        self.violations.is_empty() && self.expectations.iter().all(Expectation::is_met)
    }

    /// Requests that were lost by anything but broken pods and nodes.
    pub fn lost_requests(&self) -> f64 {
        let lost = self.lost.iter().filter(|lost| !lost.by_fault);
        lost.fold(0.0, |sum, lost| sum + lost.requests)
    }
}

impl Expectation {
    /// Whether it came as expected.
    pub fn is_met(&self) -> bool {
        self.came.is_empty()
    }
}
