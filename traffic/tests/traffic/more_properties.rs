//! Properties of VirtualServices, canary Ingresses and managed routes over random objects.

use proptest::{collection::vec, option, prelude::*};
use serde_json::{Value, json};
use sluice_traffic::{
    Router, Weights,
    routers::{destination_rule, http_route, ingress, virtual_service},
};

use crate::{
    common::{PAIR, merge, moving, route, weights},
    ingress::{config as ingress_config, stable, stored},
    managed_routes::{after, gateway, istio},
    properties::any_json,
    virtual_service::object,
};

fn percents() -> impl Strategy<Value = Vec<u32>> {
    vec(0..=100_u32, 1..12)
}

fn percent(canary: u32) -> Weights {
    weights(&format!("{}/{canary}", 100 - canary))
}

/// Destinations that are not of the pair, each with a weight and perhaps something else.
fn others() -> impl Strategy<Value = Vec<Value>> {
    let host = prop::sample::select(&["other", "app-canary.web", "app-stable.web.svc.cluster.local", "beta"]);
    let other = (host, option::of(0..=50_u32), option::of(any_json())).prop_map(|(host, weight, extra)| {
        let mut one = json!({"destination": {"host": host}});
        if let Some(weight) = weight {
            one["weight"] = json!(weight);
        }
        if let Some(extra) = extra {
            one["headers"] = extra;
        }
        one
    });
    vec(other, 0..4)
}

/// The VirtualService with the weights of the pair, and our records, taken out, as a text: also the order of keys counts.
fn foreign(object: &Value, others_too: bool) -> String {
    let mut object = object.clone();
    object["metadata"]
        .as_object_mut()
        .expect("metadata")
        .remove("annotations");
    for destination in object["spec"]["http"][0]["route"].as_array_mut().expect("destinations") {
        let host = destination["destination"]["host"].as_str().expect("a host").to_owned();
        if others_too || host == PAIR.stable || host == PAIR.canary {
            destination.as_object_mut().expect("a destination").remove("weight");
        }
    }
    object.to_string()
}

/// Weight of stable, of canary, of all, and of each other one.
fn parts(object: &Value) -> (u64, u64, u64, Vec<u64>) {
    let list = object["spec"]["http"][0]["route"].as_array().expect("destinations");
    let weight = |one: &Value| one["weight"].as_u64().unwrap_or(0);
    let of = |host: &str| {
        list.iter()
            .filter(|one| one["destination"]["host"] == host)
            .map(weight)
            .sum::<u64>()
    };
    let is_ours = |one: &&Value| {
        [PAIR.stable, PAIR.canary]
            .iter()
            .any(|name| one["destination"]["host"] == **name)
    };
    let others = list.iter().filter(|one| !is_ours(one)).map(weight).collect();
    (of(PAIR.stable), of(PAIR.canary), list.iter().map(weight).sum(), others)
}

fn service(pair: u32, others: Vec<Value>, extra: Option<Value>) -> Value {
    let mut destinations = vec![
        json!({"destination": {"host": PAIR.stable, "port": {"number": 80}}, "weight": pair}),
        json!({"destination": {"host": PAIR.canary}, "weight": 0}),
    ];
    for other in others {
        destinations.insert(1, other);
    }
    let mut object = object("{hosts: [a]}");
    object["spec"]["http"] = json!([{"route": destinations, "match": extra}]);
    object
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_edits_leaves_everything_foreign_in_a_virtual_service_as_it_is(
        pair in 1..=200_u32, others in others(), extra in option::of(any_json()), steps in percents(),
    ) {
        let before = service(pair, others, extra);
        let mut object = before.clone();
        for canary in steps {
            let wanted = percent(canary);
            let edited = virtual_service::edit(&istio(), &object, PAIR, &wanted, &moving("app-stable/a=1", &[])).expect("edits");
            let (old_stable, old_canary, old_sum, old_others) = parts(&object);
            if let Some(patch) = edited {
                object = merge(&object, &patch);
            }
            let (stable, canary_weight, sum, others) = parts(&object);
            prop_assert_eq!(foreign(&object, true), foreign(&before, true));
            prop_assert_eq!(stable * u64::from(canary), canary_weight * u64::from(100 - canary));
            let (old_pair, new_pair) = (old_stable + old_canary, stable + canary_weight);
            if others.iter().any(|weight| *weight > 0) {
                prop_assert_eq!(new_pair * old_sum, old_pair * sum, "the share of the pair");
                for (old, new) in old_others.iter().zip(&others) {
                    prop_assert_eq!(new * old_sum, old * sum, "the share of another");
                }
            }
            let observed = virtual_service::observe(&istio(), &object, PAIR).expect("observes");
            prop_assert!(observed.managed.iter().all(|rule| rule.same_shares(&wanted)));
        }
    }

    #[test]
    fn where_the_pair_has_whole_hundreds_the_sum_stays_and_others_are_byte_identical(
        hundreds in 1..=5_u32, others in others(), steps in percents(),
    ) {
        let before = service(hundreds * 100, others, None);
        let sum = parts(&before).2;
        let mut object = before.clone();
        for canary in steps {
            let record = moving("app-stable/a=1", &[]);
            if let Some(patch) = virtual_service::edit(&istio(), &object, PAIR, &percent(canary), &record).expect("edits") {
                object = merge(&object, &patch);
            }
            prop_assert_eq!(parts(&object).2, sum);
            prop_assert_eq!(foreign(&object, false), foreign(&before, false));
        }
    }

    #[test]
    fn a_canary_ingress_has_the_wanted_split_after_any_sequence_of_edits(
        steps in percents(), foreign in option::of(any_json()), max in option::of(prop::sample::select(&[100_u32, 200, 1000])),
    ) {
        let config = ingress::Config { max_weight: max, ..ingress_config() };
        let record = moving("app-stable/a=1", &[]);
        let mut object = stored(ingress::create(&config, &stable(), PAIR, &percent(0), &record).expect("creates"));
        object["spec"]["future"] = foreign.clone().unwrap_or_default();
        object["metadata"]["annotations"]["team"] = json!("shop");
        for canary in steps {
            let wanted = percent(canary);
            if let Some(patch) = ingress::edit(&config, &object, Some(&stable()), PAIR, &wanted, &record).expect("edits") {
                object = merge(&object, &patch);
            }
            let observed = ingress::observe(&config, Some(&object), Some(&stable()), PAIR).expect("observes");
            prop_assert!(observed.managed[0].same_shares(&wanted), "{observed:?}");
            prop_assert!(!observed.outdated);
            prop_assert_eq!(&object["metadata"]["annotations"]["team"], "shop");
            prop_assert_eq!(object["spec"]["future"].to_string(), foreign.clone().unwrap_or_default().to_string());
        }
    }

    #[test]
    fn managed_routes_come_and_go_between_weights_and_leave_no_trace(
        steps in vec((0..=100_u32, 0..4_usize), 1..10), extra in option::of(any_json()),
    ) {
        let sets = [
            "[]",
            "[{setHeaderRoute: {name: beta, match: [{headerName: a, headerValue: {prefix: b}}]}}]",
            "[{setMirrorRoute: {name: shadow, percentage: 5, match: [{method: {exact: GET}}, {path: {prefix: /x}}]}}]",
            "[{setMirrorRoute: {name: shadow, match: [{}]}}, {setHeaderRoute: {name: beta, match: [{headerName: a, headerValue: {exact: b}}]}}]",
        ];
        let record = moving("app-stable/a=1", &[]);
        let pair = "{name: app-stable, port: 80, weight: 100}, {name: app-canary, port: 80, weight: 0}";
        let mut gateway_route = route(&format!("[{{backendRefs: [{pair}]}}, {{matches: [{{path: {{type: Exact, value: /y}}}}], backendRefs: [{pair}]}}]"));
        let mut istio_route = object(
            "{http: [{name: main, route: [{destination: {host: app-stable}, weight: 100}, {destination: {host: app-canary}, weight: 0}]}]}",
        );
        gateway_route["spec"]["rules"][0]["future"] = extra.clone().unwrap_or_default();
        istio_route["spec"]["http"][0]["future"] = extra.unwrap_or_default();
        let (gateway_before, istio_before) = (gateway_route.clone(), istio_route.clone());
        for (canary, set) in steps {
            let (wanted, routes) = (percent(canary), after(sets[set]));
            if let Some(patch) = http_route::edit_managed_routes(&gateway(&[]), &gateway_route, PAIR, &routes, &record).expect("sets") {
                gateway_route = merge(&gateway_route, &patch);
            }
            if let Some(patch) = virtual_service::edit_managed_routes(&istio(), &istio_route, PAIR, &routes, &record).expect("sets") {
                istio_route = merge(&istio_route, &patch);
            }
            if let Some(patch) = http_route::edit(&gateway(&[]), &gateway_route, PAIR, &wanted, &record).expect("edits") {
                gateway_route = merge(&gateway_route, &patch);
            }
            if let Some(patch) = virtual_service::edit(&istio(), &istio_route, PAIR, &wanted, &record).expect("edits") {
                istio_route = merge(&istio_route, &patch);
            }
            let seen = http_route::observe(&gateway(&[]), &gateway_route, PAIR).expect("observes");
            prop_assert!(seen.managed.iter().all(|rule| rule.same_shares(&wanted)));
            let seen = virtual_service::observe(&istio(), &istio_route, PAIR).expect("observes");
            prop_assert!(seen.managed.iter().all(|rule| rule.same_shares(&wanted)));
            // In the other order nothing is left to do either.
            let again = http_route::edit_managed_routes(&gateway(&[]), &gateway_route, PAIR, &routes, &record);
            prop_assert_eq!(again, Ok(None));
            let again = virtual_service::edit_managed_routes(&istio(), &istio_route, PAIR, &routes, &record);
            prop_assert_eq!(again, Ok(None));
        }
        let none = percent(0);
        for _ in 0..2 {
            for patch in [
                http_route::edit_managed_routes(&gateway(&[]), &gateway_route, PAIR, &[], &record),
                http_route::edit(&gateway(&[]), &gateway_route, PAIR, &none, &record),
            ].into_iter().filter_map(|patch| patch.expect("edits")).take(1) {
                gateway_route = merge(&gateway_route, &patch);
            }
            for patch in [
                virtual_service::edit_managed_routes(&istio(), &istio_route, PAIR, &[], &record),
                virtual_service::edit(&istio(), &istio_route, PAIR, &none, &record),
            ].into_iter().filter_map(|patch| patch.expect("edits")).take(1) {
                istio_route = merge(&istio_route, &patch);
            }
        }
        prop_assert_eq!(gateway_route["spec"].to_string(), gateway_before["spec"].to_string());
        prop_assert_eq!(istio_route["spec"].to_string(), istio_before["spec"].to_string());
    }

    #[test]
    fn no_json_makes_the_other_routers_panic(object in any_json(), part in any_json(), at in 0..6_usize) {
        let record = moving("app-stable/a=1", &[]);
        let mut damaged = service(100, vec![], None);
        let place = ["/spec", "/spec/http", "/spec/http/0", "/spec/http/0/route", "/spec/http/0/route/0", "/spec/http/0/route/1/destination"][at];
        *damaged.pointer_mut(place).expect("a place") = part;
        let routes = after("[{setHeaderRoute: {name: beta, match: [{headerName: a, headerValue: {exact: b}}]}}]");
        for object in [&object, &damaged] {
            let _ = virtual_service::observe(&istio(), object, PAIR);
            let _ = virtual_service::edit(&istio(), object, PAIR, &percent(50), &record);
            let _ = virtual_service::edit_managed_routes(&istio(), object, PAIR, &routes, &record);
            let _ = http_route::edit_managed_routes(&gateway(&[]), object, PAIR, &routes, &record);
            let _ = ingress::observe(&ingress_config(), Some(object), Some(object), PAIR);
            let _ = ingress::create(&ingress_config(), object, PAIR, &percent(50), &record);
            let _ = ingress::edit(&ingress_config(), object, Some(object), PAIR, &percent(50), &record);
            let _ = destination_rule::observe(object, "a");
            let _ = destination_rule::edit(object, "a", "b", "shop", &record);
            let _ = (Router::from_istio(object), Router::from_nginx(object, "app", None));
        }
    }
}
