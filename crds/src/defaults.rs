//! What an absent field means: the documented default values, and accessors that apply them.
//!
//! Objects are kept as they were read, so defaults are applied when a value is used, never written into the object.

use crate::{BlueGreenStrategy, CanaryStrategy, IntOrString, Metric, RolloutSpec, TrafficRouting};

/// `spec.replicas`: one pod.
pub const REPLICAS: i32 = 1;
/// `minReadySeconds`: a pod counts as available as soon as it is ready.
pub const MIN_READY_SECONDS: i32 = 0;
/// `spec.revisionHistoryLimit`: ten old ReplicaSets are kept.
pub const REVISION_HISTORY_LIMIT: i32 = 10;
/// `spec.progressDeadlineSeconds`, also of an Experiment: ten minutes.
pub const PROGRESS_DEADLINE_SECONDS: i32 = 600;
/// `spec.analysis.successfulRunHistoryLimit`: five successful runs are kept.
pub const SUCCESSFUL_RUN_HISTORY_LIMIT: i32 = 5;
/// `spec.analysis.unsuccessfulRunHistoryLimit`: five unsuccessful runs are kept.
pub const UNSUCCESSFUL_RUN_HISTORY_LIMIT: i32 = 5;
/// `canary.maxSurge`: a quarter of the pods, rounded up.
pub const MAX_SURGE: &str = "25%";
/// `canary.maxUnavailable`, `blueGreen.maxUnavailable`: a quarter of the pods, rounded down.
pub const MAX_UNAVAILABLE: &str = "25%";
/// `scaleDownDelaySeconds` with traffic routing, of blue-green and of an Experiment: time for proxies to follow.
pub const SCALE_DOWN_DELAY_SECONDS: i32 = 30;
/// `canary.scaleDownDelaySeconds` without traffic routing: there is no proxy to wait for.
pub const SCALE_DOWN_DELAY_SECONDS_BASIC_CANARY: i32 = 0;
/// `abortScaleDownDelaySeconds`: half a minute; an explicit 0 means that the pods are kept.
pub const ABORT_SCALE_DOWN_DELAY_SECONDS: i32 = 30;
/// `canary.minPodsPerReplicaSet`: one pod.
pub const MIN_PODS_PER_REPLICA_SET: i32 = 1;
/// `trafficRouting.maxTrafficWeight`: weights are percentages.
pub const MAX_TRAFFIC_WEIGHT: i32 = 100;
/// `blueGreen.autoPromotionEnabled`: no command is needed.
pub const AUTO_PROMOTION_ENABLED: bool = true;
/// `blueGreen.autoPromotionSeconds`: promoted as soon as available.
pub const AUTO_PROMOTION_SECONDS: i32 = 0;
/// `analysis.startingStep`: from the first step on.
pub const STARTING_STEP: i32 = 0;
/// `gatewayApi.ackTimeoutSeconds`: longer than any controller that still works was seen to need.
pub const ACK_TIMEOUT_SECONDS: i32 = 60;
/// `gatewayApi.drainSeconds`: status came before the data plane in all changes measured; none took as long as this.
pub const DRAIN_SECONDS: i32 = 3;
/// `metrics[].failureLimit`: no bad measurement is allowed.
pub const FAILURE_LIMIT: i32 = 0;
/// `metrics[].inconclusiveLimit`: no inconclusive measurement is allowed.
pub const INCONCLUSIVE_LIMIT: i32 = 0;
/// `metrics[].consecutiveErrorLimit`: four failed attempts to measure in a row are allowed.
pub const CONSECUTIVE_ERROR_LIMIT: i32 = 4;
/// `metrics[].consecutiveSuccessLimit`: good measurements in a row do not end the metric early.
pub const CONSECUTIVE_SUCCESS_LIMIT: i32 = 0;
/// `measurementRetention[].limit`: ten measurements of each metric are kept.
pub const MEASUREMENT_RETENTION: i32 = 10;
/// `prometheus.timeout`, in seconds.
pub const PROMETHEUS_TIMEOUT_SECONDS: i64 = 30;
/// `web.timeoutSeconds`.
pub const WEB_TIMEOUT_SECONDS: i64 = 10;
/// `nginx.annotationPrefix`.
pub const NGINX_ANNOTATION_PREFIX: &str = "nginx.ingress.kubernetes.io";
/// `alb.annotationPrefix`.
pub const ALB_ANNOTATION_PREFIX: &str = "alb.ingress.kubernetes.io";

/// The number that an int-or-string holds, also as a text; `None` if it is no number.
pub fn int(value: &IntOrString) -> Option<i32> {
    match value {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(text) => text.parse().ok(),
    }
}

impl RolloutSpec {
    /// How many pods are wanted.
    pub fn replicas_or_default(&self) -> i32 {
        self.replicas.unwrap_or(REPLICAS)
    }

    /// For how many seconds a pod must be ready to count as available.
    pub fn min_ready_seconds_or_default(&self) -> i32 {
        self.min_ready_seconds.unwrap_or(MIN_READY_SECONDS)
    }

    /// How many old ReplicaSets are kept.
    pub fn revision_history_limit_or_default(&self) -> i32 {
        self.revision_history_limit.unwrap_or(REVISION_HISTORY_LIMIT)
    }

    /// In how many seconds an update must make progress.
    pub fn progress_deadline_seconds_or_default(&self) -> i32 {
        self.progress_deadline_seconds.unwrap_or(PROGRESS_DEADLINE_SECONDS)
    }

    /// Whether an update without progress is aborted.
    pub fn progress_deadline_abort_or_default(&self) -> bool {
        self.progress_deadline_abort.unwrap_or(false)
    }

    /// Whether a user has paused the Rollout.
    pub fn paused_or_default(&self) -> bool {
        self.paused.unwrap_or(false)
    }

    /// How many successful runs are kept.
    pub fn successful_run_history_limit_or_default(&self) -> i32 {
        let limit = self
            .analysis
            .as_ref()
            .and_then(|analysis| analysis.successful_run_history_limit);
        limit.unwrap_or(SUCCESSFUL_RUN_HISTORY_LIMIT)
    }

    /// How many unsuccessful runs are kept.
    pub fn unsuccessful_run_history_limit_or_default(&self) -> i32 {
        let limit = self
            .analysis
            .as_ref()
            .and_then(|analysis| analysis.unsuccessful_run_history_limit);
        limit.unwrap_or(UNSUCCESSFUL_RUN_HISTORY_LIMIT)
    }

    /// The canary strategy, if it is the chosen one.
    pub fn canary(&self) -> Option<&CanaryStrategy> {
        self.strategy.as_ref().and_then(|strategy| strategy.canary.as_ref())
    }

    /// The blue-green strategy, if it is the chosen one.
    pub fn blue_green(&self) -> Option<&BlueGreenStrategy> {
        self.strategy.as_ref().and_then(|strategy| strategy.blue_green.as_ref())
    }
}

impl CanaryStrategy {
    /// How many pods there may be above replicas.
    pub fn max_surge_or_default(&self) -> IntOrString {
        self.max_surge
            .clone()
            .unwrap_or_else(|| IntOrString::String(MAX_SURGE.to_owned()))
    }

    /// How many pods may be unavailable.
    pub fn max_unavailable_or_default(&self) -> IntOrString {
        self.max_unavailable
            .clone()
            .unwrap_or_else(|| IntOrString::String(MAX_UNAVAILABLE.to_owned()))
    }

    /// For how many seconds the old version keeps running after the promotion.
    pub fn scale_down_delay_seconds_or_default(&self) -> i32 {
        let default = match self.traffic_routing {
            Some(_) => SCALE_DOWN_DELAY_SECONDS,
            None => SCALE_DOWN_DELAY_SECONDS_BASIC_CANARY,
        };
        self.scale_down_delay_seconds.unwrap_or(default)
    }

    /// For how many seconds the canary keeps running after an abort; 0: for good.
    pub fn abort_scale_down_delay_seconds_or_default(&self) -> i32 {
        self.abort_scale_down_delay_seconds
            .unwrap_or(ABORT_SCALE_DOWN_DELAY_SECONDS)
    }

    /// Whether the old version is scaled down while the new one takes over.
    pub fn dynamic_stable_scale_or_default(&self) -> bool {
        self.dynamic_stable_scale.unwrap_or(false)
    }

    /// How many pods a ReplicaSet has at least, unless it has none.
    pub fn min_pods_per_replica_set_or_default(&self) -> i32 {
        self.min_pods_per_replica_set.unwrap_or(MIN_PODS_PER_REPLICA_SET)
    }

    /// The weight that stands for all traffic.
    pub fn max_traffic_weight_or_default(&self) -> i32 {
        self.traffic_routing
            .as_ref()
            .map_or(MAX_TRAFFIC_WEIGHT, TrafficRouting::max_traffic_weight_or_default)
    }
}

impl TrafficRouting {
    /// The weight that stands for all traffic.
    pub fn max_traffic_weight_or_default(&self) -> i32 {
        self.max_traffic_weight.unwrap_or(MAX_TRAFFIC_WEIGHT)
    }
}

impl BlueGreenStrategy {
    /// Whether the new version is promoted without a command.
    pub fn auto_promotion_enabled_or_default(&self) -> bool {
        self.auto_promotion_enabled.unwrap_or(AUTO_PROMOTION_ENABLED)
    }

    /// How many seconds to wait before promoting automatically.
    pub fn auto_promotion_seconds_or_default(&self) -> i32 {
        self.auto_promotion_seconds.unwrap_or(AUTO_PROMOTION_SECONDS)
    }

    /// How many pods may be unavailable during a restart.
    pub fn max_unavailable_or_default(&self) -> IntOrString {
        self.max_unavailable
            .clone()
            .unwrap_or_else(|| IntOrString::String(MAX_UNAVAILABLE.to_owned()))
    }

    /// For how many seconds the old version keeps running after the switch.
    pub fn scale_down_delay_seconds_or_default(&self) -> i32 {
        self.scale_down_delay_seconds.unwrap_or(SCALE_DOWN_DELAY_SECONDS)
    }

    /// For how many seconds the preview keeps running after an abort; 0: for good.
    pub fn abort_scale_down_delay_seconds_or_default(&self) -> i32 {
        self.abort_scale_down_delay_seconds
            .unwrap_or(ABORT_SCALE_DOWN_DELAY_SECONDS)
    }
}

/// Limits that are texts without a number count as absent; validation refuses them.
impl Metric {
    /// How many measurements are made; `None`: without end.
    pub fn effective_count(&self) -> Option<i32> {
        match self.count.as_ref().and_then(int).unwrap_or(0) {
            0 if self.interval.is_none() => Some(1),
            0 => None,
            count => Some(count),
        }
    }

    /// How many bad measurements are allowed; -1: any number.
    pub fn failure_limit_or_default(&self) -> i32 {
        self.failure_limit.as_ref().and_then(int).unwrap_or(FAILURE_LIMIT)
    }

    /// How many inconclusive measurements are allowed.
    pub fn inconclusive_limit_or_default(&self) -> i32 {
        self.inconclusive_limit
            .as_ref()
            .and_then(int)
            .unwrap_or(INCONCLUSIVE_LIMIT)
    }

    /// How many failed attempts to measure in a row are allowed.
    pub fn consecutive_error_limit_or_default(&self) -> i32 {
        self.consecutive_error_limit
            .as_ref()
            .and_then(int)
            .unwrap_or(CONSECUTIVE_ERROR_LIMIT)
    }

    /// With how many good measurements in a row the metric succeeds; 0: this is not looked at.
    pub fn consecutive_success_limit_or_default(&self) -> i32 {
        self.consecutive_success_limit
            .as_ref()
            .and_then(int)
            .unwrap_or(CONSECUTIVE_SUCCESS_LIMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AnalysisRunStrategy;

    #[test]
    fn an_explicit_zero_is_not_a_default() {
        let spec = RolloutSpec {
            replicas: Some(0),
            revision_history_limit: Some(0),
            analysis: Some(AnalysisRunStrategy {
                successful_run_history_limit: Some(0),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(spec.replicas_or_default(), 0);
        assert_eq!(spec.revision_history_limit_or_default(), 0);
        assert_eq!(spec.successful_run_history_limit_or_default(), 0);
        assert_eq!(spec.unsuccessful_run_history_limit_or_default(), 5);
        assert_eq!(RolloutSpec::default().replicas_or_default(), 1);
    }

    #[test]
    fn a_canary_waits_before_scaling_down_only_if_routes_must_follow() {
        let mut canary = CanaryStrategy::default();
        assert_eq!(canary.scale_down_delay_seconds_or_default(), 0);
        canary.traffic_routing = Some(TrafficRouting::default());
        assert_eq!(canary.scale_down_delay_seconds_or_default(), 30);
        canary.scale_down_delay_seconds = Some(0);
        assert_eq!(canary.scale_down_delay_seconds_or_default(), 0);
    }

    #[test]
    fn the_count_of_a_metric_follows_from_its_interval() {
        let count = |count: Option<IntOrString>, interval: Option<&str>| {
            Metric {
                count,
                interval: interval.map(str::to_owned),
                ..Default::default()
            }
            .effective_count()
        };
        assert_eq!(count(None, None), Some(1));
        assert_eq!(count(None, Some("1m")), None);
        assert_eq!(count(Some(IntOrString::Int(0)), Some("1m")), None);
        assert_eq!(count(Some(IntOrString::Int(3)), Some("1m")), Some(3));
        assert_eq!(count(Some(IntOrString::String("3".to_owned())), Some("1m")), Some(3));
    }
}
