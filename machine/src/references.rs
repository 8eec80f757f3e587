//! Which other objects a Rollout names.

use std::collections::BTreeSet;

use serde_json::json;
use sluice_crds::{
    AnalysisTemplateRef, CanaryStrategy, GatewayApiRouting, IstioDestinationRule, PingPongType, Rollout, RolloutStatus,
    TrafficRouting,
};
use sluice_traffic::{ObjectRef, Router, registry::Pair, routers::destination_rule};

use crate::{TemplateRef, workload};

/// Key of the Gateway API plugin of Argo Rollouts in `trafficRouting.plugins`. Its configuration is served by our own router.
pub const GATEWAY_API_PLUGIN: &str = "argoproj-labs/gatewayAPI";

/// The names that the shell must look up before it can decide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Services.
    pub services: BTreeSet<String>,
    /// Route objects, and the workload that the pod template is taken from.
    pub objects: BTreeSet<ObjectRef>,
    /// Analysis templates. Those may name further ones, which the shell looks up too.
    pub templates: BTreeSet<TemplateRef>,
}

/// Reads the names off a Rollout. Wrong specs name what can be made out.
pub fn references(rollout: &Rollout) -> References {
    let mut names = References::default();
    let namespace = rollout.metadata.namespace.as_deref().unwrap_or_default();
    for router in routers(rollout) {
        names.objects.insert(router.object(namespace));
        names.objects.extend(router.sources(namespace));
        let rule = router.destination_rule();
        names
            .objects
            .extend(rule.map(|rule| destination_rule::object(rule, namespace)));
    }
    names.objects.extend(workload::object(rollout));
    let analyses = rollout.spec.analyses();
    let templates = analyses
        .iter()
        .flat_map(|(_, analysis)| analysis.templates.iter().flatten());
    names.templates = templates.filter_map(template).collect();
    let has_subsets = rollout.spec.canary().and_then(subsets).is_some();
    let services = pair(rollout);
    if !has_subsets {
        names.services = [services.stable, services.canary].map(str::to_owned).into();
        names.services.remove("");
    }
    names
}

/// The two Services of a Rollout, empty where it names none: stable and canary, or active and preview. With a DestinationRule
/// of Istio they are two of its subsets.
pub fn pair(rollout: &Rollout) -> Pair<'_> {
    pair_by(rollout, rollout.status.as_ref())
}

/// [`pair`] where the status is to be another one: with pingPong it tells which of the two is the stable one, and ping is it
/// in the beginning.
pub fn pair_by<'r>(rollout: &'r Rollout, status: Option<&RolloutStatus>) -> Pair<'r> {
    let name = |name: Option<&'r String>| name.map_or("", String::as_str);
    if let Some(canary) = rollout.spec.canary() {
        if let Some(rule) = subsets(canary) {
            return Pair {
                stable: &rule.stable_subset_name,
                canary: &rule.canary_subset_name,
            };
        }
        let Some(services) = &canary.ping_pong else {
            return Pair {
                stable: name(canary.stable_service.as_ref()),
                canary: name(canary.canary_service.as_ref()),
            };
        };
        let (one, other) = (services.ping_service.as_str(), services.pong_service.as_str());
        let is_pong = status
            .and_then(|status| status.canary.as_ref()?.stable_ping_pong.as_ref())
            .is_some_and(|stable| *stable == PingPongType::Pong);
        let (stable, canary) = if is_pong { (other, one) } else { (one, other) };
        return Pair { stable, canary };
    }
    let blue_green = rollout.spec.blue_green();
    Pair {
        stable: name(blue_green.map(|blue_green| &blue_green.active_service)),
        canary: name(blue_green.and_then(|blue_green| blue_green.preview_service.as_ref())),
    }
}

/// The DestinationRule whose subsets are the pair.
fn subsets(canary: &CanaryStrategy) -> Option<&IstioDestinationRule> {
    canary
        .traffic_routing
        .as_ref()?
        .istio
        .as_ref()?
        .destination_rule
        .as_ref()
}

/// The template that a reference names; `None` where it names none.
pub fn template(reference: &AnalysisTemplateRef) -> Option<TemplateRef> {
    let name = reference.template_name.clone().filter(|name| !name.is_empty())?;
    Some(TemplateRef {
        cluster_scope: reference.cluster_scope == Some(true),
        name,
    })
}

/// The routers of a Rollout, in the order in which they are written; those that cannot be made out are left out (they are
/// problems of `validate`).
pub fn routers(rollout: &Rollout) -> Vec<Router> {
    let canary = rollout
        .spec
        .strategy
        .as_ref()
        .and_then(|strategy| strategy.canary.as_ref());
    let Some(routing) = canary.and_then(|canary| canary.traffic_routing.as_ref()) else {
        return Vec::new();
    };
    parse_routers(routing, rollout.metadata.name.as_deref().unwrap_or_default()).0
}

/// The routers of a traffic routing, and what is wrong with it: field paths below `trafficRouting` and texts. `name` is the
/// Rollout's.
pub fn parse_routers(routing: &TrafficRouting, name: &str) -> (Vec<Router>, Vec<(String, String)>) {
    let mut routers = Vec::new();
    let mut problems = Vec::new();
    let mut add = |prefix: &str, parsed: Result<Vec<Router>, Vec<(String, String)>>| match parsed {
        Ok(parsed) => routers.extend(parsed),
        Err(found) => problems.extend(found.into_iter().map(|(path, text)| (format!("{prefix}.{path}"), text))),
    };
    if let Some(gateway) = &routing.gateway_api {
        // Times are the machine's; the router needs the routes only.
        let without_times = GatewayApiRouting {
            ack_timeout_seconds: None,
            drain_seconds: None,
            ..gateway.clone()
        };
        add("gatewayApi", Router::from_gateway_api(&json!(without_times)));
    }
    if let Some(config) = routing
        .plugins
        .as_ref()
        .and_then(|plugins| plugins.get(GATEWAY_API_PLUGIN))
    {
        add(
            &format!("plugins[{GATEWAY_API_PLUGIN}]"),
            Router::from_gateway_api_plugin(config),
        );
    }
    if let Some(istio) = &routing.istio {
        add("istio", Router::from_istio(&json!(istio)));
    }
    if let Some(nginx) = &routing.nginx {
        let max_weight = routing.max_traffic_weight.and_then(|weight| u32::try_from(weight).ok());
        add("nginx", Router::from_nginx(&json!(nginx), name, max_weight));
    }
    let managed: Vec<String> = routing
        .managed_routes
        .iter()
        .flatten()
        .map(|route| route.name.clone())
        .collect();
    let routers = routers.into_iter().map(|router| router.with_managed_routes(&managed));
    (routers.collect(), problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_gateway_api_extension_are_no_fields_of_its_routes() {
        let routing = json!({ "gatewayApi": { "httpRoute": "shop", "drainSeconds": 5, "ackTimeoutSeconds": 30 } });
        let routing: TrafficRouting = serde_json::from_value(routing).unwrap();
        let (routers, problems) = parse_routers(&routing, "shop");
        assert_eq!((routers.len(), problems), (1, Vec::new()));
    }
}
