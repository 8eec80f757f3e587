//! The canary strategy.

use sluice_crds::{AntiAffinity, CanaryStrategy, LabelSelector, TrafficRouting};

use super::{
    analysis,
    report::{Report, is_empty},
    routing, steps, template,
};

const AT: &str = "spec.strategy.canary";

pub(super) fn check(
    report: &mut Report,
    canary: &CanaryStrategy,
    selector: Option<&LabelSelector>,
    metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
) {
    let name = metadata.name.as_deref().unwrap_or_default();
    let namespace = metadata.namespace.as_deref();
    counts(report, canary);
    for (field, metadata) in [
        ("canaryMetadata", &canary.canary_metadata),
        ("stableMetadata", &canary.stable_metadata),
    ] {
        template::role_metadata(report, &format!("{AT}.{field}"), metadata.as_ref(), selector);
    }
    services(report, canary);
    if let Some(affinity) = &canary.anti_affinity {
        anti_affinity(report, &format!("{AT}.antiAffinity"), affinity);
    }
    without_routing(report, canary);
    if let Some(routing) = &canary.traffic_routing {
        routing::check(report, canary, routing, name, namespace);
    }
    if let Some(background) = &canary.analysis {
        analysis::check(report, &format!("{AT}.analysis"), &background.analysis());
        report.not_negative(format!("{AT}.analysis.startingStep"), background.starting_step);
    }
    steps::check(report, canary);
}

fn counts(report: &mut Report, canary: &CanaryStrategy) {
    let surge = report.number_or_percentage(format!("{AT}.maxSurge"), canary.max_surge.as_ref());
    let unavailable = report.number_or_percentage(format!("{AT}.maxUnavailable"), canary.max_unavailable.as_ref());
    if (surge, unavailable) == (Some(0), Some(0)) {
        report.add(
            format!("{AT}.maxSurge"),
            "MaxSurge and MaxUnavailable both can not be zero",
        );
    }
    report.not_negative(format!("{AT}.scaleDownDelaySeconds"), canary.scale_down_delay_seconds);
    report.not_negative(
        format!("{AT}.scaleDownDelayRevisionLimit"),
        canary.scale_down_delay_revision_limit,
    );
    report.not_negative(
        format!("{AT}.abortScaleDownDelaySeconds"),
        canary.abort_scale_down_delay_seconds,
    );
    report.not_negative(format!("{AT}.minPodsPerReplicaSet"), canary.min_pods_per_replica_set);
    if let Some(threshold) = &canary.replica_progress_threshold {
        let at = format!("{AT}.replicaProgressThreshold");
        report.not_negative(format!("{at}.value"), Some(threshold.value));
        let known = ["Percent", "Pods"].contains(&threshold.type_.as_str());
        report.add_if(!known, format!("{at}.type"), "must be Percent or Pods");
        let too_much = threshold.type_ == "Percent" && threshold.value > 100;
        report.add_if(too_much, format!("{at}.value"), "must be a percentage from 0 to 100");
    }
}

fn services(report: &mut Report, canary: &CanaryStrategy) {
    if !is_empty(canary.canary_service.as_ref()) && canary.canary_service == canary.stable_service {
        report.add(
            format!("{AT}.stableService"),
            "This rollout uses the same service for the stable and canary services, but two different services are required.",
        );
    }
    let Some(ping_pong) = &canary.ping_pong else { return };
    let at = format!("{AT}.pingPong");
    if ping_pong.ping_service.is_empty() || ping_pong.pong_service.is_empty() {
        report.add(
            &at,
            "Ping service and Pong service must to be set to use Ping-Pong feature",
        );
    } else if ping_pong.ping_service == ping_pong.pong_service {
        report.add(
            &at,
            "This rollout uses the same service for the ping and pong services, but two different services are required.",
        );
    }
    let routing = canary.traffic_routing.as_ref();
    let fit = |routing: &TrafficRouting| {
        routing.alb.is_some()
            || routing.istio.is_some()
            || routing.gateway_api.is_some()
            || routing::has_plugin(routing)
    };
    if !routing.is_some_and(fit) {
        report.add(
            &at,
            "Ping-pong feature works with the ALB, Istio, and plugin-based traffic routers only",
        );
    }
    let root_service = routing
        .and_then(|routing| routing.alb.as_ref())
        .map(|alb| alb.root_service.as_ref());
    if root_service.is_some_and(is_empty) {
        report.add(
            format!("{AT}.trafficRouting.alb.rootService"),
            "Root service field is required for the configuration with ALB and ping-pong feature enabled",
        );
    }
}

/// What makes sense only with, or only without, traffic routing.
fn without_routing(report: &mut Report, canary: &CanaryStrategy) {
    let delay = canary.scale_down_delay_seconds.is_some();
    let dynamic = canary.dynamic_stable_scale_or_default();
    if canary.traffic_routing.is_none() {
        report.add_if(
            delay,
            format!("{AT}.scaleDownDelaySeconds"),
            "Canary scaleDownDelaySeconds can only be used with traffic routing",
        );
        report.add_if(
            dynamic,
            format!("{AT}.dynamicStableScale"),
            "Canary dynamicStableScale can only be used with traffic routing",
        );
    } else if dynamic && delay {
        report.add(
            format!("{AT}.dynamicStableScale"),
            "Canary dynamicStableScale cannot be used with scaleDownDelaySeconds",
        );
    }
}

pub(super) fn anti_affinity(report: &mut Report, at: &str, affinity: &AntiAffinity) {
    let preferred = affinity.preferred_during_scheduling_ignored_during_execution.as_ref();
    if preferred.is_some() == affinity.required_during_scheduling_ignored_during_execution.is_some() {
        report.add(at, "AntiAffinity must have exactly one strategy listed");
    }
    if preferred.is_some_and(|preferred| !(1..=100).contains(&preferred.weight)) {
        report.add(
            format!("{at}.preferredDuringSchedulingIgnoredDuringExecution.weight"),
            "AntiAffinity weight must be between 1-100",
        );
    }
}
