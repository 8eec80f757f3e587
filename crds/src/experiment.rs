//! `Experiment`: several versions side by side for a while, compared by analyses.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::open_string::open_string;
use crate::{AnalysisPhase, AnalysisRunMetadata, Argument, DryRun, LabelSelector, MeasurementRetention, Time};

/// What to run side by side, for how long, and how to compare it.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "argoproj.io",
    version = "v1alpha1",
    kind = "Experiment",
    plural = "experiments",
    shortname = "exp",
    namespaced,
    status = "ExperimentStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "An Experiment runs several versions side by side for a while and compares them by analyses.",
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.phase",
        description = "How the Experiment stands"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since the Experiment was created"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentSpec {
    /// The ReplicaSets to run.
    pub templates: Vec<ExperimentTemplate>,
    /// How long to run once all pods are available, for example `30s`, `5m` or `1h`. Absent: until the analyses are
    /// done, or until it is terminated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Seconds in which the pods must become available. Defaults to 600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_deadline_seconds: Option<i32>,
    /// Set to true to end the Experiment early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminate: Option<bool>,
    /// The analyses to run once all pods are available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analyses: Option<Vec<ExperimentAnalysis>>,
    /// Seconds after the end for which the pods keep running. Defaults to 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_down_delay_seconds: Option<i32>,
    /// Metrics whose results are recorded but do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<Vec<DryRun>>,
    /// How many measurements of which metrics are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measurement_retention: Option<Vec<MeasurementRetention>>,
    /// Labels and annotations for the AnalysisRuns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis_run_metadata: Option<AnalysisRunMetadata>,
}

/// A ReplicaSet to run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentTemplate {
    /// Name of the template, unique within the Experiment.
    pub name: String,
    /// Number of pods. Defaults to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Seconds for which a new pod must be ready, without a container crashing, before it counts as available.
    /// Defaults to 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_ready_seconds: Option<i32>,
    /// Selects the pods of this template. It must match the labels of the pod template and no other template's.
    #[schemars(schema_with = "crate::raw::label_selector")]
    pub selector: LabelSelector,
    /// The pods to run: a PodTemplateSpec.
    #[schemars(schema_with = "crate::raw::object")]
    pub template: Value,
    /// Asks for a Service that selects these pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<TemplateService>,
}

/// Asks for a Service that selects the pods of a template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateService {
    /// Name of the Service. Defaults to the name of the ReplicaSet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// An analysis to run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentAnalysis {
    /// Name of the analysis, unique within the Experiment.
    pub name: String,
    /// Name of the AnalysisTemplate or ClusterAnalysisTemplate.
    pub template_name: String,
    /// Whether the name is that of a ClusterAnalysisTemplate. Defaults to false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_scope: Option<bool>,
    /// Arguments for the template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<Argument>>,
    /// Whether the Experiment goes on until this analysis is complete. Defaults to false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required_for_completion: Option<bool>,
}

/// How an Experiment stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentStatus {
    /// Pending, Running, Successful, Failed, Error or Inconclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<AnalysisPhase>,
    /// Why the Experiment is in its phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How each ReplicaSet stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_statuses: Option<Vec<TemplateStatus>>,
    /// When all pods were available, from which the duration counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_at: Option<Time>,
    /// Conditions, as in other workloads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<ExperimentCondition>>,
    /// How each AnalysisRun stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis_runs: Option<Vec<ExperimentAnalysisRunStatus>>,
}

/// How a ReplicaSet of an Experiment stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateStatus {
    /// Name of the template.
    pub name: String,
    /// Number of pods that exist and are not terminating.
    pub replicas: i32,
    /// Number of pods that run the pod template of the template.
    pub updated_replicas: i32,
    /// Number of pods that are ready.
    pub ready_replicas: i32,
    /// Number of pods that have been ready for at least minReadySeconds.
    pub available_replicas: i32,
    /// How often the name of a new ReplicaSet was taken already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collision_count: Option<i32>,
    /// Progressing, Running, Successful, Failed or Error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<TemplateStatusCode>,
    /// Why the template has its status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the ReplicaSet last made progress, from which progressDeadlineSeconds counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
    /// Name of the Service that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// Pod template hash of the ReplicaSet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_template_hash: Option<String>,
}

open_string! {
    /// How a ReplicaSet of an Experiment stands.
    pub enum TemplateStatusCode {
        /// Its pods are becoming available.
        Progressing = "Progressing",
        /// Its pods are available.
        Running = "Running",
        /// It ran as long as it should.
        Successful = "Successful",
        /// Its pods did not become available in time.
        Failed = "Failed",
        /// It could not be created.
        Error = "Error",
    }
}

/// One aspect of the state of an Experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentCondition {
    /// Which aspect: Progressing, Running, Completed, ReplicaFailure or InvalidSpec.
    #[serde(rename = "type")]
    pub type_: String,
    /// True, False or Unknown.
    pub status: String,
    /// When the condition was last written.
    pub last_update_time: Time,
    /// When the status last changed.
    pub last_transition_time: Time,
    /// Why, in one word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
}

/// How an AnalysisRun of an Experiment stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentAnalysisRunStatus {
    /// Name of the analysis within the Experiment.
    pub name: String,
    /// Name of the AnalysisRun.
    pub analysis_run: String,
    /// Phase of the AnalysisRun.
    pub phase: AnalysisPhase,
    /// Why it is in its phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
