//! The steps of a canary.

use sluice_crds::{
    CanaryStep, CanaryStrategy, RolloutExperiment, SetCanaryScale, SetHeaderRoute, SetMirrorRoute, StringMatch,
    TrafficRouting,
};

use super::{
    analysis,
    report::{Report, is_empty},
    routing::has_plugin,
};
use crate::rollout::canary::pause_duration;

const ONE_OF: &str = "Step must have one of the following set: experiment, setWeight, setCanaryScale, plugin or pause";
const NO_MATCH: &str = "StringMatch value missed, match value must have one of the following: exact, regex, prefix";
const MANY_MATCHES: &str = "StringMatch match value must have exactly one of the following: exact, regex, prefix";

pub(super) fn check(report: &mut Report, canary: &CanaryStrategy) {
    for (index, step) in canary.steps.iter().flatten().enumerate() {
        let at = format!("spec.strategy.canary.steps[{index}]");
        one_action(report, &at, step);
        served(report, &at, canary, step);
        routes_and_later(report, &at, canary.traffic_routing.as_ref(), step);
    }
}

fn one_action(report: &mut Report, at: &str, step: &CanaryStep) {
    let actions = [
        ("setWeight", step.set_weight.is_some()),
        ("pause", step.pause.is_some()),
        ("experiment", step.experiment.is_some()),
        ("analysis", step.analysis.is_some()),
        ("setCanaryScale", step.set_canary_scale.is_some()),
        ("setHeaderRoute", step.set_header_route.is_some()),
        ("setMirrorRoute", step.set_mirror_route.is_some()),
        ("plugin", step.plugin.is_some()),
    ];
    let set: Vec<_> = actions.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
    match set.len() {
        0 => report.add(at, ONE_OF),
        1 => {}
        // Argo Rollouts carries out some pairs in an order that no user sees; which was meant is not for us to guess.
        _ => report.add(
            at,
            format!("{ONE_OF}; this step has {}: make a step of each", set.join(" and ")),
        ),
    }
}

fn served(report: &mut Report, at: &str, canary: &CanaryStrategy, step: &CanaryStep) {
    // A total that is wrong is said by itself.
    let max = canary.max_traffic_weight_or_default();
    if max > 0 && step.set_weight.is_some_and(|weight| !(0..=max).contains(&weight)) {
        report.add(
            format!("{at}.setWeight"),
            format!("SetWeight needs to be between 0 and {max}"),
        );
    }
    if let Some(duration) = step.pause.as_ref().and_then(|pause| pause.duration.as_ref())
        && pause_duration(duration).is_none_or(|duration| duration.is_negative())
    {
        report.add(format!("{at}.pause.duration"), "Duration needs to be greater than 0");
    }
    if let Some(scale) = &step.set_canary_scale {
        set_canary_scale(report, &format!("{at}.setCanaryScale"), canary, scale);
    }
    if let Some(run) = &step.analysis {
        analysis::check(report, &format!("{at}.analysis"), run);
    }
}

fn set_canary_scale(report: &mut Report, at: &str, canary: &CanaryStrategy, scale: &SetCanaryScale) {
    report.add_if(
        canary.traffic_routing.is_none(),
        at,
        "SetCanaryScale requires TrafficRouting to be set",
    );
    report.not_negative(format!("{at}.weight"), scale.weight);
    report.not_negative(format!("{at}.replicas"), scale.replicas);
    let follow = scale.match_traffic_weight == Some(true);
    let set = [scale.weight.is_some(), scale.replicas.is_some(), follow];
    if set.into_iter().filter(|set| *set).count() != 1 {
        report.add(
            at,
            "must have exactly one of weight, replicas and matchTrafficWeight: true",
        );
    }
}

fn routes_and_later(report: &mut Report, at: &str, routing: Option<&TrafficRouting>, step: &CanaryStep) {
    if let Some(experiment) = &step.experiment {
        let at = format!("{at}.experiment");
        check_experiment(report, &at, routing, experiment);
        report.unsupported(at);
    }
    if let Some(header) = &step.set_header_route {
        let at = format!("{at}.setHeaderRoute");
        set_header_route(report, &at, routing, header);
    }
    if let Some(mirror) = &step.set_mirror_route {
        let at = format!("{at}.setMirrorRoute");
        set_mirror_route(report, &at, routing, mirror);
    }
    if step.plugin.is_some() {
        report.unsupported(format!("{at}.plugin"));
    }
}

fn set_header_route(report: &mut Report, at: &str, routing: Option<&TrafficRouting>, header: &SetHeaderRoute) {
    let fit = |routing: &TrafficRouting| {
        routing.istio.is_some()
            || routing.alb.is_some()
            || routing.apisix.is_some()
            || routing.gateway_api.is_some()
            || has_plugin(routing)
    };
    if !routing.is_some_and(fit) {
        report.add(
            at,
            "SetHeaderRoute requires TrafficRouting, supports Istio and ALB and Apisix",
        );
    }
    no_ingress(report, at, routing);
    let alb = routing.is_some_and(|routing| routing.alb.is_some());
    for (index, one) in header.match_.iter().flatten().enumerate() {
        let path = format!("{at}.match[{index}].headerValue");
        let value = one.header_value.clone().unwrap_or_default();
        if alb && is_empty(value.exact.as_ref()) {
            report.add(
                &path,
                "SetHeaderRoute match value invalid. ALB supports 'exact' value only",
            );
        }
        string_match(report, &path, &value);
    }
    managed_route(report, at, routing, header.name.as_deref().unwrap_or_default());
}

fn set_mirror_route(report: &mut Report, at: &str, routing: Option<&TrafficRouting>, mirror: &SetMirrorRoute) {
    let fit =
        |routing: &TrafficRouting| routing.istio.is_some() || routing.gateway_api.is_some() || has_plugin(routing);
    if !routing.is_some_and(fit) {
        report.add(at, "SetMirrorRoute requires TrafficRouting, supports Istio and Plugins");
    }
    no_ingress(report, at, routing);
    for (index, one) in mirror.match_.iter().flatten().enumerate() {
        let path = format!("{at}.match[{index}]");
        for (name, value) in [("method", &one.method), ("path", &one.path)] {
            if let Some(value) = value {
                string_match(report, &format!("{path}.{name}"), value);
            }
        }
        for (name, value) in one.headers.iter().flatten() {
            string_match(report, &format!("{path}.headers[{name}]"), value);
        }
    }
    managed_route(report, at, routing, &mirror.name);
}

fn no_ingress(report: &mut Report, at: &str, routing: Option<&TrafficRouting>) {
    report.add_if(
        routing.is_some_and(|routing| routing.nginx.is_some()),
        at,
        "an Ingress has no such routes: take the step out, or use another router",
    );
}

fn string_match(report: &mut Report, path: &str, value: &StringMatch) {
    let set = [&value.exact, &value.prefix, &value.regex]
        .into_iter()
        .filter(|text| !is_empty(text.as_ref()))
        .count();
    match set {
        0 => report.add(path, NO_MATCH),
        1 => {}
        _ => report.add(path, MANY_MATCHES),
    }
}

fn managed_route(report: &mut Report, at: &str, routing: Option<&TrafficRouting>, name: &str) {
    let routes = routing
        .and_then(|routing| routing.managed_routes.as_deref())
        .unwrap_or_default();
    if routes.is_empty() {
        report.add(
            at,
            "Rollout has missing field 'spec.strategy.canary.trafficRouting.managedRoutes'",
        );
    } else if routes.iter().all(|route| route.name != name) {
        report.add(
            format!("{at}.name"),
            "Steps define a route that does not exist in spec.strategy.canary.trafficRouting.managedRoutes",
        );
    }
}

fn check_experiment(report: &mut Report, at: &str, routing: Option<&TrafficRouting>, experiment: &RolloutExperiment) {
    for (index, template) in experiment.templates.iter().enumerate() {
        if template.weight.is_none() {
            continue;
        }
        let path = format!("{at}.templates[{index}].weight");
        match routing {
            None => report.add(
                path,
                "Experiment template weight cannot be set unless TrafficRouting is enabled",
            ),
            Some(routing) => {
                let fit =
                    routing.smi.is_some() || routing.alb.is_some() || routing.istio.is_some() || has_plugin(routing);
                report.add_if(
                    !fit,
                    path,
                    "Experiment template weight is only available for TrafficRouting with SMI, ALB, Istio and Plugins at this time",
                );
            }
        }
    }
    for (index, run) in experiment.analyses.iter().flatten().enumerate() {
        let args = run.args.as_deref().unwrap_or_default();
        analysis::check_args(report, &format!("{at}.analyses[{index}].args"), args);
    }
}
