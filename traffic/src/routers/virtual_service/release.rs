//! Giving a VirtualService back.

use serde_json::{Map, Value, json};

use super::{Config, Protocol, VirtualService};
use crate::{
    RouterProblem,
    object::metadata,
    registry::Pair,
    release::Record,
    routers::{
        backend_weights::{Wanted, resplit},
        destination_rule,
    },
};

/// The lists of routes (`http`, `tls`, `tcp`) that are to be other ones: without the routes that steps have added, and with
/// everything for the stable destination where the split is the one that we wrote. `has_subsets`: the pair is two subsets.
pub(crate) fn routes_at_rest(
    object: &Value,
    record: &Record,
    has_subsets: bool,
) -> Result<Map<String, Value>, RouterProblem> {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let api_version = text("apiVersion");
    let config = Config {
        api_version: api_version.clone(),
        name: metadata(object, "name").unwrap_or_default().to_owned(),
        namespace: None,
        routes: vec![],
        tls_routes: vec![],
        tcp_routes: vec![],
        destination_rule: has_subsets.then(|| destination_rule::Config {
            api_version,
            name: String::new(),
            stable_subset: record.stable.clone(),
            canary_subset: record.canary.clone(),
            additional_subsets: vec![],
        }),
        managed_routes: record.recorded_names(object),
    };
    let pair = Pair {
        stable: &record.stable,
        canary: &record.canary,
    };
    let service = VirtualService::read(&config, object, pair)?;
    let mut lists = Map::new();
    for protocol in Protocol::ALL {
        let mut routes = vec![];
        for route in service
            .routes
            .iter()
            .filter(|route| route.protocol == protocol && !route.is_ours)
        {
            let mut value = route.value.clone();
            let is_named = route
                .name
                .is_some_and(|name| record.rules.iter().any(|rule| rule == name));
            let is_meant = protocol != Protocol::Http || record.rules.is_empty() || is_named;
            if is_meant && route.backends.can_be_managed() && record.wrote(&route.backends.pair_weights()) {
                let split = resplit(&route.backends.roles(), Wanted::EVERYTHING_STABLE)
                    .map_err(|text| service.reader.problem(format!("{}.route", route.path()), text))?;
                for (index, weight) in split.into_iter().flatten().enumerate() {
                    if route.backends.0[index].weight != weight {
                        value["route"][index]["weight"] = json!(weight);
                    }
                }
            }
            routes.push(value);
        }
        let field = protocol.field();
        let present = object["spec"].get(field).and_then(Value::as_array);
        if present.is_some_and(|present| *present != routes) {
            lists.insert(field.to_owned(), Value::Array(routes));
        }
    }
    Ok(lists)
}

/// Whether a route of the VirtualService has a destination of this host. Of names that are written in full, the first part
/// counts: the two objects may write them differently.
pub(crate) fn has_host(object: &Value, host: &str) -> bool {
    let first = |host: &str| host.split('.').next().unwrap_or_default().to_owned();
    let lists = Protocol::ALL.map(|protocol| object["spec"].get(protocol.field()).and_then(Value::as_array));
    let routes = lists.into_iter().flatten().flatten();
    let mut destinations = routes.filter_map(|route| route.get("route")?.as_array()).flatten();
    destinations.any(|destination| {
        let named = destination.pointer("/destination/host").and_then(Value::as_str);
        named.is_some_and(|named| first(named) == first(host))
    })
}
