//! The names that users, their tools and other controllers know: annotations, labels, condition types, reasons.
//!
//! All of them are part of the API and must never be changed.

/// Annotations.
pub mod annotation {
    /// On ReplicaSets and Rollouts: the number of the revision.
    pub const REVISION: &str = "rollout.argoproj.io/revision";
    /// On ReplicaSets: earlier revision numbers of the same template, separated by commas.
    pub const REVISION_HISTORY: &str = "rollout.argoproj.io/revision-history";
    /// On ReplicaSets: spec.replicas of the Rollout when the ReplicaSet was last scaled.
    pub const DESIRED_REPLICAS: &str = "rollout.argoproj.io/desired-replicas";
    /// On ReplicaSets: the labels and annotations that its pods carry for as long as they have their role, as JSON.
    pub const EPHEMERAL_METADATA: &str = "rollout.argoproj.io/ephemeral-metadata";
    /// On Rollouts: generation of the referenced workload whose template is in use.
    pub const WORKLOAD_GENERATION: &str = "rollout.argoproj.io/workload-generation";
    /// On ReplicaSets: RFC 3339 time at which it is scaled down to 0.
    pub const SCALE_DOWN_DEADLINE: &str = "scale-down-deadline";
    /// On ReplicaSets: the spec.restartAt up to which its pods were restarted.
    pub const RESTARTED_AFTER: &str = "argo-rollouts.argoproj.io/restarted-after";
    /// On Services, Ingresses and routes: name of the Rollout that changes the object without owning it.
    pub const MANAGED_BY: &str = "argo-rollouts.argoproj.io/managed-by-rollouts";
    /// On ReplicaSets of an Experiment: name of the Experiment.
    pub const EXPERIMENT_NAME: &str = "experiment.argoproj.io/name";
    /// On ReplicaSets of an Experiment: name of the template.
    pub const EXPERIMENT_TEMPLATE_NAME: &str = "experiment.argoproj.io/template-name";
    /// On CRDs: that they have the fields which Sluice adds. Its value is [`EXTENSIONS_V1`].
    pub const EXTENSIONS: &str = "sluice.dev/extensions";
    /// Value of [`EXTENSIONS`].
    pub const EXTENSIONS_V1: &str = "v1";
}

/// Labels.
pub mod label {
    /// On ReplicaSets, their pods, AnalysisRuns and in selectors of Services: the pod template hash.
    pub const POD_TEMPLATE_HASH: &str = "rollouts-pod-template-hash";
    /// On all kinds: which of several controllers is responsible.
    pub const INSTANCE_ID: &str = "argo-rollouts.argoproj.io/controller-instance-id";
    /// On AnalysisRuns: what the Rollout wants to know by it, one of [`super::rollout_type`].
    pub const ROLLOUT_TYPE: &str = "rollout-type";
    /// On AnalysisRuns of a canary step: index of the step.
    pub const STEP_INDEX: &str = "step-index";
}

/// Values of the label [`label::ROLLOUT_TYPE`].
pub mod rollout_type {
    /// A canary step.
    pub const STEP: &str = "Step";
    /// Beside the canary steps.
    pub const BACKGROUND: &str = "Background";
    /// Before the switch of blue-green.
    pub const PRE_PROMOTION: &str = "PrePromotion";
    /// After the switch of blue-green.
    pub const POST_PROMOTION: &str = "PostPromotion";
}

/// Types of conditions.
pub mod condition {
    /// The spec is wrong; nothing goes on until it is corrected.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// Enough pods are available.
    pub const AVAILABLE: &str = "Available";
    /// The update goes on, or ended.
    pub const PROGRESSING: &str = "Progressing";
    /// A ReplicaSet could not be created or scaled.
    pub const REPLICA_FAILURE: &str = "ReplicaFailure";
    /// The update is paused.
    pub const PAUSED: &str = "Paused";
    /// The current version is fully rolled out.
    pub const COMPLETED: &str = "Completed";
    /// The current version is fully rolled out and available.
    pub const HEALTHY: &str = "Healthy";
    /// An Experiment runs.
    pub const RUNNING: &str = "Running";
    /// Status of a condition that holds.
    pub const TRUE: &str = "True";
    /// Status of a condition that does not hold.
    pub const FALSE: &str = "False";
    /// Status of a condition of which it is not known whether it holds.
    pub const UNKNOWN: &str = "Unknown";
}

/// Reasons of conditions and events.
pub mod reason {
    /// Condition InvalidSpec.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// Condition Available.
    pub const AVAILABLE: &str = "AvailableReason";
    /// Condition Progressing, event: a ReplicaSet was created.
    pub const NEW_REPLICA_SET_CREATED: &str = "NewReplicaSetCreated";
    /// Condition Progressing: a ReplicaSet of this template was found.
    pub const FOUND_NEW_REPLICA_SET: &str = "FoundNewReplicaSet";
    /// Condition Progressing: pods were added, removed or became available.
    pub const REPLICA_SET_UPDATED: &str = "ReplicaSetUpdated";
    /// Condition Progressing: pods of the current version are not available.
    pub const REPLICA_SET_NOT_AVAILABLE: &str = "ReplicaSetNotAvailable";
    /// Condition Progressing: the current version is fully rolled out.
    pub const NEW_REPLICA_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
    /// Condition ReplicaFailure: a ReplicaSet could not be created.
    pub const REPLICA_SET_CREATE_ERROR: &str = "ReplicaSetCreateError";
    /// Conditions Paused and Progressing, event.
    pub const ROLLOUT_PAUSED: &str = "RolloutPaused";
    /// Condition Progressing, event.
    pub const ROLLOUT_RESUMED: &str = "RolloutResumed";
    /// Condition Progressing, event.
    pub const ROLLOUT_ABORTED: &str = "RolloutAborted";
    /// Condition Progressing, event.
    pub const ROLLOUT_RETRY: &str = "RolloutRetry";
    /// Condition Progressing: no progress in progressDeadlineSeconds.
    pub const PROGRESS_DEADLINE_EXCEEDED: &str = "ProgressDeadlineExceeded";
    /// Condition Progressing: an analysis failed.
    pub const ANALYSIS_RUN_FAILED: &str = "AnalysisRunFailed";
    /// Condition Completed, event.
    pub const ROLLOUT_COMPLETED: &str = "RolloutCompleted";
    /// Condition Healthy.
    pub const ROLLOUT_HEALTHY: &str = "RolloutHealthy";
    /// Event: the controller sees the Rollout for the first time.
    pub const ROLLOUT_ADDED_TO_INFORMER: &str = "RolloutAddedToInformer";
    /// Event: the spec was changed.
    pub const ROLLOUT_UPDATED: &str = "RolloutUpdated";
    /// Event: a ReplicaSet was scaled.
    pub const SCALING_REPLICA_SET: &str = "ScalingReplicaSet";
    /// Event: the current version is not, or no longer, fully rolled out.
    pub const ROLLOUT_NOT_COMPLETED: &str = "RolloutNotCompleted";
    /// Event: a step is done.
    pub const ROLLOUT_STEP_COMPLETED: &str = "RolloutStepCompleted";
    /// Event: the Rollout was deleted.
    pub const ROLLOUT_DELETED: &str = "RolloutDeleted";
    /// Event: the selector of a Service was switched.
    pub const SWITCH_SERVICE: &str = "SwitchService";
    /// Event: steps were skipped.
    pub const SKIP_STEPS: &str = "SkipSteps";
    /// Event: the split of the traffic was changed.
    pub const TRAFFIC_WEIGHT_UPDATED: &str = "TrafficWeightUpdated";
    /// Event: the split of the traffic could not be changed.
    pub const TRAFFIC_ROUTING_ERROR: &str = "TrafficRoutingError";
    /// Beginning of the reasons of events about AnalysisRuns; the phase follows.
    pub const ANALYSIS_RUN: &str = "AnalysisRun";
    /// Beginning of the reasons of events about metrics; the phase follows.
    pub const METRIC: &str = "Metric";
    /// Beginning of the reasons of events about Experiments; the phase follows.
    pub const EXPERIMENT: &str = "Experiment";
    /// Event: a target group was seen to have the pods of its version.
    pub const TARGET_GROUP_VERIFIED: &str = "TargetGroupVerified";
    /// Event: a target group was seen not to have the pods of its version yet.
    pub const TARGET_GROUP_UNVERIFIED: &str = "TargetGroupUnverified";
    /// Event: a target group could not be read.
    pub const TARGET_GROUP_VERIFY_ERROR: &str = "TargetGroupVerifyError";
    /// Event: the split in effect could not be read.
    pub const WEIGHT_VERIFY_ERROR: &str = "WeightVerifyError";
    /// Event: the load balancer of an Ingress was not found.
    pub const LOAD_BALANCER_NOT_FOUND: &str = "LoadBalancerNotFound";
    /// Event: something went wrong that is tried again.
    pub const RECONCILIATION_ERROR: &str = "ReconciliationError";
    /// Event: a step plugin changed its phase.
    pub const STEP_PLUGIN_TRANSITION: &str = "StepPluginTransition";
}

/// Names of router plugins that Sluice serves itself.
pub mod plugin {
    /// Gateway API.
    pub const GATEWAY_API: &str = "argoproj-labs/gatewayAPI";
}

/// Name of the Lease that Argo's own controller holds; with an instance id, `-` and the id follow.
pub const ARGO_LEASE: &str = "argo-rollouts-controller-lock";
