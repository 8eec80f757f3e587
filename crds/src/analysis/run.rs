//! `AnalysisRun`: an analysis that runs or has run.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::open_string::open_string;
use crate::{Argument, DryRun, MeasurementRetention, Metric, Time};

/// What to measure and how to judge it.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "argoproj.io",
    version = "v1alpha1",
    kind = "AnalysisRun",
    plural = "analysisruns",
    shortname = "ar",
    namespaced,
    status = "AnalysisRunStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "An AnalysisRun measures metrics and tells whether they are good.",
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.phase",
        description = "How the analysis stands"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since the AnalysisRun was created"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisRunSpec {
    /// The metrics to measure.
    pub metrics: Vec<Metric>,
    /// The arguments that the metrics use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<Argument>>,
    /// Set to true to end the run early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminate: Option<bool>,
    /// Metrics whose results are recorded but do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<Vec<DryRun>>,
    /// How many measurements of which metrics are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measurement_retention: Option<Vec<MeasurementRetention>>,
    /// When the finished run is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_strategy: Option<TtlStrategy>,
}

/// When a finished run is deleted. Absent fields never delete it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TtlStrategy {
    /// Seconds after the end, however it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_after_completion: Option<i32>,
    /// Seconds after the end of a failed run, instead of secondsAfterCompletion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_after_failure: Option<i32>,
    /// Seconds after the end of a successful run, instead of secondsAfterCompletion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_after_success: Option<i32>,
}

/// How an analysis stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisRunStatus {
    /// Pending, Running, Successful, Failed, Error or Inconclusive.
    pub phase: AnalysisPhase,
    /// Why the run is in its phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The results of each metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_results: Option<Vec<MetricResult>>,
    /// When the run began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// Counts of the metrics that count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_summary: Option<RunSummary>,
    /// Counts of the metrics that are in dryRun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run_summary: Option<RunSummary>,
    /// When the run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
}

open_string! {
    /// How an analysis, a metric or a measurement stands.
    pub enum AnalysisPhase {
        /// It has not begun.
        Pending = "Pending",
        /// It goes on.
        Running = "Running",
        /// It ended well.
        Successful = "Successful",
        /// It ended badly.
        Failed = "Failed",
        /// It could not be measured.
        Error = "Error",
        /// It ended neither well nor badly.
        Inconclusive = "Inconclusive",
    }
}

impl AnalysisPhase {
    /// Whether it has ended: Successful, Failed, Error or Inconclusive.
    pub fn completed(&self) -> bool {
        matches!(self, Self::Successful | Self::Failed | Self::Error | Self::Inconclusive)
    }
}

/// How many metrics ended in which way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunSummary {
    /// Number of metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i32>,
    /// Number of metrics that ended well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successful: Option<i32>,
    /// Number of metrics that ended badly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<i32>,
    /// Number of metrics that ended neither well nor badly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inconclusive: Option<i32>,
    /// Number of metrics that could not be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<i32>,
}

/// The results of one metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricResult {
    /// Name of the metric.
    pub name: String,
    /// Pending, Running, Successful, Failed, Error or Inconclusive.
    pub phase: AnalysisPhase,
    /// The latest measurements, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measurements: Option<Vec<Measurement>>,
    /// Why the metric is in its phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Number of measurements without error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i32>,
    /// Number of good measurements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successful: Option<i32>,
    /// Number of bad measurements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<i32>,
    /// Number of measurements that were neither good nor bad.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inconclusive: Option<i32>,
    /// Number of failed attempts to measure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<i32>,
    /// Number of failed attempts to measure since the last measurement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consecutive_error: Option<i32>,
    /// Whether the results are recorded but do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// What the provider remembers about the metric, for example the query with all arguments filled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// Number of good measurements since the last one that was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consecutive_success: Option<i32>,
}

/// One measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Measurement {
    /// Pending, Running, Successful, Failed, Error or Inconclusive.
    pub phase: AnalysisPhase,
    /// Why the measurement is in its phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the measurement began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the measurement ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// The measured value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What the provider remembers about the measurement, for example the name of a Job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// When to look again at a measurement that takes a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume_at: Option<Time>,
}
