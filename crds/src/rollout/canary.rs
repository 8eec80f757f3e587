//! The canary strategy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AntiAffinity, CanaryStep, IntOrString, PodTemplateMetadata, RolloutAnalysisBackground, TrafficRouting};

/// The new version gets a growing share of the traffic, in steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CanaryStrategy {
    /// Name of the Service that selects the pods of the new version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_service: Option<String>,
    /// Name of the Service that selects the pods of the old version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable_service: Option<String>,
    /// The steps of an update, in order. Without steps the new version is rolled out at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<CanaryStep>>,
    /// Splits the traffic by routes instead of by the number of pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_routing: Option<TrafficRouting>,
    /// How many pods may be unavailable during an update: a number, or a percentage such as `25%`, rounded down. Must
    /// not be 0 if maxSurge is 0. Defaults to 25%.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrString>,
    /// How many pods there may be above replicas during an update: a number, or a percentage such as `25%`, rounded
    /// up. Must not be 0 if maxUnavailable is 0. Defaults to 25%.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<IntOrString>,
    /// Analysis that runs beside the steps. If it fails, the update is aborted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis: Option<RolloutAnalysisBackground>,
    /// Spreads the pods of the two versions over different nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anti_affinity: Option<AntiAffinity>,
    /// Labels and annotations of the pods while they are the canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_metadata: Option<PodTemplateMetadata>,
    /// Labels and annotations of the pods while they are stable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable_metadata: Option<PodTemplateMetadata>,
    /// Seconds after the promotion for which the old version keeps running. Needs trafficRouting. Defaults to 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_down_delay_seconds: Option<i32>,
    /// How many old versions may keep running because of scaleDownDelaySeconds. Absent: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_down_delay_revision_limit: Option<i32>,
    /// Seconds after an abort for which the canary keeps running; 0 keeps it running for good. Needs trafficRouting.
    /// Defaults to 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abort_scale_down_delay_seconds: Option<i32>,
    /// Scales the old version down while the new one takes over traffic, which saves pods but makes an abort slower.
    /// Needs trafficRouting. Defaults to false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dynamic_stable_scale: Option<bool>,
    /// Two Services that take turns at being the stable one, so that no selector of a Service in use is switched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping_pong: Option<PingPong>,
    /// Number of pods that a ReplicaSet has at least, unless it has none. Needs trafficRouting. Defaults to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_pods_per_replica_set: Option<i32>,
    /// How many of the wanted pods must be available for a step to be done. Absent: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica_progress_threshold: Option<ReplicaProgressThreshold>,
}

/// Two Services that take turns at being the stable one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PingPong {
    /// Name of the first Service.
    pub ping_service: String,
    /// Name of the second Service.
    pub pong_service: String,
}

/// How many of the wanted pods must be available for a step to be done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaProgressThreshold {
    /// Unit of the value: `Percent` or `Pods`.
    #[serde(rename = "type")]
    pub type_: String,
    /// The number of pods, or the percentage of them.
    pub value: i32,
}
