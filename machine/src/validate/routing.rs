//! `spec.strategy.canary.trafficRouting`: which routers there are, and what each of them needs.

use sluice_crds::{CanaryStrategy, TrafficRouting};

use super::report::{Report, is_empty};
use crate::references;

const AT: &str = "spec.strategy.canary.trafficRouting";

/// The largest weight that the Gateway API admits.
const MOST_WEIGHT: i32 = 1_000_000;

/// Whether there is a router that is a plugin in Argo Rollouts.
pub(super) fn has_plugin(routing: &TrafficRouting) -> bool {
    routing.plugins.as_ref().is_some_and(|plugins| !plugins.is_empty())
}

pub(super) fn check(
    report: &mut Report,
    canary: &CanaryStrategy,
    routing: &TrafficRouting,
    name: &str,
    namespace: Option<&str>,
) {
    needs_services(report, canary, routing);
    // Our typed field is the same router as the plugin.
    let can_divide = routing.nginx.is_some() || has_plugin(routing) || routing.gateway_api.is_some();
    if let Some(weight) = routing.max_traffic_weight {
        report.add_if(
            !can_divide,
            format!("{AT}.maxTrafficWeight"),
            "Canary maxTrafficWeight in traffic routing only supported in Nginx and Plugins",
        );
        if !(1..=MOST_WEIGHT).contains(&weight) {
            let problem = format!("is {weight}: set it to a number from 1 to {MOST_WEIGHT}");
            report.add(format!("{AT}.maxTrafficWeight"), problem);
        }
    }
    let served =
        routing.gateway_api.is_some() || routing.istio.is_some() || routing.nginx.is_some() || has_plugin(routing);
    if !served && others(routing).iter().all(|(_, set)| !set) {
        report.add(AT, "names no router: set gatewayApi, or leave trafficRouting out");
    }
    let has_subsets = routing
        .istio
        .as_ref()
        .is_some_and(|istio| istio.destination_rule.is_some());
    let has_services = !is_empty(canary.stable_service.as_ref()) || !is_empty(canary.canary_service.as_ref());
    report.add_if(
        has_subsets && (has_services || canary.ping_pong.is_some()),
        format!("{AT}.istio.destinationRule"),
        "splits between subsets, and stableService and canaryService split between Services: set one of the two",
    );
    let others_beside = routing.gateway_api.is_some() || routing.nginx.is_some() || has_plugin(routing);
    report.add_if(
        has_subsets && others_beside,
        format!("{AT}.istio.destinationRule"),
        "splits between subsets, which other routers do not know: leave them out, or split between Services",
    );
    routers(report, name, routing, namespace);
    for (name, set) in others(routing) {
        if set {
            report.unsupported(format!("{AT}.{name}"));
        }
    }
    let unknown = |name: &&String| name.as_str() != references::GATEWAY_API_PLUGIN;
    for name in routing
        .plugins
        .iter()
        .flat_map(|plugins| plugins.keys())
        .filter(unknown)
    {
        let path = format!("{AT}.plugins[{name}]");
        report.add(
            path,
            format!("plugin {name} is not supported yet by this version of Sluice"),
        );
    }
}

/// The routers that are not served yet.
fn others(routing: &TrafficRouting) -> [(&'static str, bool); 6] {
    [
        ("alb", routing.alb.is_some()),
        ("smi", routing.smi.is_some()),
        ("ambassador", routing.ambassador.is_some()),
        ("appMesh", routing.app_mesh.is_some()),
        ("traefik", routing.traefik.is_some()),
        ("apisix", routing.apisix.is_some()),
    ]
}

/// Only subsets of an Istio `DestinationRule`, and ping-pong, do without the pair of Services.
fn needs_services(report: &mut Report, canary: &CanaryStrategy, routing: &TrafficRouting) {
    let ping_pong = canary.ping_pong.is_some();
    let alb = routing.alb.is_some() && !ping_pong;
    let istio = routing
        .istio
        .as_ref()
        .is_some_and(|istio| istio.destination_rule.is_none())
        && !ping_pong;
    let always = routing.smi.is_some()
        || routing.apisix.is_some()
        || routing.ambassador.is_some()
        || routing.nginx.is_some()
        || routing.app_mesh.is_some()
        || routing.traefik.is_some();
    let plugins = routing.plugins.as_ref();
    let is_plugin = plugins.is_some_and(|plugins| plugins.contains_key(references::GATEWAY_API_PLUGIN));
    let always = always || !ping_pong && (routing.gateway_api.is_some() || is_plugin);
    if !(alb || istio || always) {
        return;
    }
    for (name, service) in [
        ("canaryService", &canary.canary_service),
        ("stableService", &canary.stable_service),
    ] {
        if is_empty(service.as_ref()) {
            let path = format!("spec.strategy.canary.{name}");
            report.add(
                path,
                "Canary service and Stable service must to be set to use Traffic Routing",
            );
        }
    }
}

fn routers(report: &mut Report, name: &str, routing: &TrafficRouting, namespace: Option<&str>) {
    let (routers, problems) = references::parse_routers(routing, name);
    for (path, problem) in problems {
        report.add(format!("{AT}.{}", path.trim_end_matches('.')), problem);
    }
    // Offline, a Rollout may not say in which namespace it will be.
    if let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) {
        let mut problems: Vec<_> = routers
            .iter()
            .filter_map(|router| router.namespace_problem(namespace))
            .collect();
        problems.dedup();
        for (path, problem) in problems {
            let router = if path.starts_with("virtualService") {
                "istio"
            } else if routing.gateway_api.is_some() {
                "gatewayApi"
            } else {
                "plugins[argoproj-labs/gatewayAPI]"
            };
            report.add(format!("{AT}.{router}.{path}"), problem);
        }
    }
    if let Some(gateway) = &routing.gateway_api {
        report.not_negative(
            format!("{AT}.gatewayApi.ackTimeoutSeconds"),
            gateway.ack_timeout_seconds,
        );
        report.not_negative(format!("{AT}.gatewayApi.drainSeconds"), gateway.drain_seconds);
    }
}
