//! The status of a Rollout.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::open_string::open_string;
use crate::{AnalysisPhase, Time};

/// Where a Rollout stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// Set to true, by a user or by a failed analysis, to abort the update; set to false to retry it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abort: Option<bool>,
    /// Why the update is paused. The controller adds to this list; a user resumes by emptying it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_conditions: Option<Vec<PauseCondition>>,
    /// Whether the controller paused the update. True with no pauseConditions left means that a user resumed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller_pause: Option<bool>,
    /// When the update was aborted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aborted_at: Option<Time>,
    /// Hash of the current pod template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_pod_hash: Option<String>,
    /// Hash of the current canary steps. A change of steps starts the update again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_step_hash: Option<String>,
    /// Number of pods that exist and are not terminating.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Number of pods that run the current pod template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_replicas: Option<i32>,
    /// Number of pods that are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Number of pods that have been ready for at least minReadySeconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_replicas: Option<i32>,
    /// Index of the step that is carried out. As large as the number of steps when all are done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_step_index: Option<i32>,
    /// How often the name of a new ReplicaSet was taken already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collision_count: Option<i32>,
    /// The metadata.generation that this status is about, as a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<String>,
    /// Conditions, as in other workloads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<RolloutCondition>>,
    /// What is particular to a canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryStatus>,
    /// What is particular to blue-green.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blue_green: Option<BlueGreenStatus>,
    /// Number of pods that autoscalers count.
    #[serde(rename = "HPAReplicas")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hpa_replicas: Option<i32>,
    /// Label selector, as a text, of the pods that autoscalers measure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Pod template hash of the version that is fully rolled out.
    #[serde(rename = "stableRS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable_rs: Option<String>,
    /// The spec.restartAt up to which all pods were restarted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarted_at: Option<Time>,
    /// Set to true by a user to skip all further steps, pauses and analyses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promote_full: Option<bool>,
    /// Healthy, Progressing, Paused or Degraded. Only to be relied on if observedGeneration is metadata.generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<RolloutPhase>,
    /// Why the Rollout is in its phase, and what it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The generation of the referenced workload that this status is about, as a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_observed_generation: Option<String>,
    /// The AWS load balancer and its target groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alb: Option<AlbStatus>,
    /// The AWS load balancers and their target groups, if there are several Ingresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub albs: Option<Vec<AlbStatus>>,
    /// When the update began and ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<RolloutDuration>,
}

open_string! {
    /// The overall state of a Rollout.
    pub enum RolloutPhase {
        /// The current version is fully rolled out and available.
        Healthy = "Healthy",
        /// The update failed, was aborted, or the spec is invalid.
        Degraded = "Degraded",
        /// An update is going on.
        Progressing = "Progressing",
        /// An update waits to be resumed.
        Paused = "Paused",
    }
}

/// Why an update is paused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PauseCondition {
    /// CanaryPauseStep, BlueGreenPause, InconclusiveAnalysisRun or InconclusiveExperiment.
    pub reason: PauseReason,
    /// When the pause began.
    pub start_time: Time,
}

open_string! {
    /// Why an update is paused.
    pub enum PauseReason {
        /// A pause step of a canary.
        CanaryPauseStep = "CanaryPauseStep",
        /// Blue-green waits before the switch.
        BlueGreenPause = "BlueGreenPause",
        /// An analysis was neither good nor bad, and a person has to decide.
        InconclusiveAnalysisRun = "InconclusiveAnalysisRun",
        /// An Experiment was neither good nor bad, and a person has to decide.
        InconclusiveExperiment = "InconclusiveExperiment",
    }
}

/// One aspect of the state of a Rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutCondition {
    /// Which aspect: Available, Progressing, Paused, Completed, Healthy, ReplicaFailure or InvalidSpec.
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

/// What is particular to a canary.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CanaryStatus {
    /// The AnalysisRun of the current step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_step_analysis_run_status: Option<AnalysisRunStatusRef>,
    /// The AnalysisRun that runs beside the steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_background_analysis_run_status: Option<AnalysisRunStatusRef>,
    /// Name of the Experiment of the current step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_experiment: Option<String>,
    /// How the traffic is split. Only with trafficRouting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<TrafficWeights>,
    /// Which Service is the stable one with pingPong: `ping` or `pong`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable_ping_pong: Option<PingPongType>,
    /// What step plugins have done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_plugin_statuses: Option<Vec<StepPluginStatus>>,
}

open_string! {
    /// One of the two Services of pingPong.
    pub enum PingPongType {
        /// The first Service.
        Ping = "ping",
        /// The second Service.
        Pong = "pong",
    }
}

/// An AnalysisRun and how it stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisRunStatusRef {
    /// Name of the AnalysisRun.
    pub name: String,
    /// Its phase. Empty as long as it is not known.
    pub status: AnalysisPhase,
    /// Why it is in its phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How the traffic is split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficWeights {
    /// The share of the new version.
    pub canary: WeightDestination,
    /// The share of the old version.
    pub stable: WeightDestination,
    /// The shares of the pods of Experiments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional: Option<Vec<WeightDestination>>,
    /// Whether the split was seen to have taken effect. Absent if the router cannot tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
}

/// The share of the traffic that goes to one version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WeightDestination {
    /// The share: a percentage, or parts of maxTrafficWeight.
    pub weight: i32,
    /// Name of the Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// Pod template hash of the version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_template_hash: Option<String>,
}

/// What a step plugin has done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepPluginStatus {
    /// Index of the step.
    pub index: i32,
    /// Name of the plugin.
    pub name: String,
    /// Why it is in its phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Running, Successful, Failed or Error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<StepPluginPhase>,
    /// When the operation began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When this status was last written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Time>,
    /// When the operation ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// How often the plugin was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executions: Option<i32>,
    /// How long to wait until the plugin is called again, for example `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<String>,
    /// Run, Terminate or Abort.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<StepPluginOperation>,
    /// Whether the plugin is switched off, so that the step counts as done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// What the plugin remembers between calls.
    #[schemars(schema_with = "crate::raw::object")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Value>,
}

open_string! {
    /// How a step plugin stands.
    pub enum StepPluginPhase {
        /// It is to be called again.
        Running = "Running",
        /// It is done.
        Successful = "Successful",
        /// It found the update to be bad.
        Failed = "Failed",
        /// It could not do its work.
        Error = "Error",
    }
}

open_string! {
    /// What a step plugin was asked to do.
    pub enum StepPluginOperation {
        /// Carry out the step.
        Run = "Run",
        /// Stop, because the step is skipped.
        Terminate = "Terminate",
        /// Undo, because the update is aborted.
        Abort = "Abort",
    }
}

/// What is particular to blue-green.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlueGreenStatus {
    /// Pod template hash that the preview Service selects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview_selector: Option<String>,
    /// Pod template hash that the active Service selects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_selector: Option<String>,
    /// Whether the preview may be scaled from previewReplicaCount to its full size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_up_preview_check_point: Option<bool>,
    /// The AnalysisRun before the switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_promotion_analysis_run_status: Option<AnalysisRunStatusRef>,
    /// The AnalysisRun after the switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_promotion_analysis_run_status: Option<AnalysisRunStatusRef>,
}

/// An AWS load balancer and its target groups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlbStatus {
    /// The load balancer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<AwsResourceRef>,
    /// The target group of the new version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_target_group: Option<AwsResourceRef>,
    /// The target group of the old version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable_target_group: Option<AwsResourceRef>,
    /// Name of the Ingress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<String>,
}

/// An AWS resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsResourceRef {
    /// Name of the resource.
    pub name: String,
    /// Amazon Resource Name.
    pub arn: String,
    /// Full name of the resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_name: Option<String>,
}

/// When an update began and ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutDuration {
    /// When the update began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout_started_at: Option<Time>,
    /// When the pause by a user began that is still going on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manual_pause_started_at: Option<Time>,
    /// Seconds spent in pauses that a user had to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_manual_pause_duration_seconds: Option<i64>,
    /// When the update ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// How it ended: Promoted, FastPromoted, Aborted, Superseded, RolledBack or FastRolledBack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_status: Option<CompletionStatus>,
}

open_string! {
    /// How an update ended.
    pub enum CompletionStatus {
        /// All steps were done.
        Promoted = "Promoted",
        /// A user skipped the rest.
        FastPromoted = "FastPromoted",
        /// It was aborted.
        Aborted = "Aborted",
        /// A newer version took its place.
        Superseded = "Superseded",
        /// The old version was rolled out again, step by step.
        RolledBack = "RolledBack",
        /// The old version was rolled out again without steps.
        FastRolledBack = "FastRolledBack",
    }
}
