//! The blue-green strategy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AntiAffinity, IntOrString, PodTemplateMetadata, RolloutAnalysis};

/// The new version stands beside the old one as a preview until all traffic is switched at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlueGreenStrategy {
    /// Name of the Service that carries the users' traffic. Its selector is switched to the new version.
    pub active_service: String,
    /// Name of the Service that shows the new version before it is promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview_service: Option<String>,
    /// Number of preview pods before the promotion. Absent: as many as spec.replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview_replica_count: Option<i32>,
    /// Whether the new version is promoted without a command once it is available. Defaults to true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_promotion_enabled: Option<bool>,
    /// Seconds to wait before promoting automatically, counted from when the preview is available. Defaults to 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_promotion_seconds: Option<i32>,
    /// How many pods may be unavailable during a restart: a number, or a percentage such as `25%`. Defaults to 25%.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrString>,
    /// Seconds after the switch for which the old version keeps running. Defaults to 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_down_delay_seconds: Option<i32>,
    /// How many old versions may keep running because of scaleDownDelaySeconds. Absent: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_down_delay_revision_limit: Option<i32>,
    /// Analysis that must succeed before the switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_promotion_analysis: Option<RolloutAnalysis>,
    /// Spreads the pods of the two versions over different nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anti_affinity: Option<AntiAffinity>,
    /// Analysis after the switch. If it fails, the traffic is switched back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_promotion_analysis: Option<RolloutAnalysis>,
    /// Labels and annotations of the pods while they are the preview.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview_metadata: Option<PodTemplateMetadata>,
    /// Labels and annotations of the pods while they are active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_metadata: Option<PodTemplateMetadata>,
    /// Seconds after an abort for which the preview keeps running; 0 keeps it running for good. Defaults to 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abort_scale_down_delay_seconds: Option<i32>,
}
