//! Properties over random routes.

use std::collections::BTreeSet;

use proptest::{collection::vec, option, prelude::*};
use serde_json::{Value, json};
use sluice_traffic::{
    Pair, Router, Weights,
    eff::{next_moving, possible},
    routers::{
        http_route::{annotate, edit, observe},
        service,
    },
};

use crate::common::{PAIR, RECORD, config, merge, moving, split, weights};

/// Any JSON, also with the field names that a route has.
pub fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        prop::sample::select(&["app-stable", "app-canary", "Service", "True", "gw", RECORD]).prop_map(Value::from),
    ];
    let key = prop_oneof![
        4 => prop::sample::select(&[
            "metadata", "spec", "status", "rules", "backendRefs", "name", "weight", "kind", "group", "namespace", "parentRefs",
            "parents", "conditions", "parentRef", "annotations", "resourceVersion", "generation", "managedFields", "fieldsV1",
            "f:spec", "f:rules", "selector", "httpRoute", "httpRoutes", "type", "status", "observedGeneration", RECORD,
        ]).prop_map(str::to_owned),
        1 => ".{0,6}",
    ];
    leaf.prop_recursive(6, 60, 5, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((key.clone(), inner), 0..6).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn backend() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        3 => Just("app-stable"),
        3 => Just("app-canary"),
        1 => Just("other"),
        1 => Just("experiment"),
    ];
    let weight = option::weighted(
        0.8,
        prop_oneof![4 => 0..=100_u32, 1 => Just(0_u32), 1 => 0..=10_000_u32],
    );
    let extra = option::weighted(0.3, any_json());
    let namespace = option::weighted(0.2, prop::sample::select(&["shop", "web"]));
    (name, weight, extra, namespace).prop_map(|(name, weight, extra, namespace)| {
        let mut backend = json!({"name": name, "port": 80});
        if let Some(weight) = weight {
            backend["weight"] = json!(weight);
        }
        if let Some(extra) = extra {
            backend["filters"] = extra;
        }
        if let Some(namespace) = namespace {
            backend["namespace"] = json!(namespace);
        }
        backend
    })
}

fn rule() -> impl Strategy<Value = Value> {
    (option::of("[a-c]"), vec(backend(), 0..5), option::of(any_json())).prop_map(|(name, backends, extra)| {
        let mut rule = json!({ "backendRefs": backends });
        if let Some(name) = name {
            rule["name"] = json!(name);
        }
        if let Some(extra) = extra {
            rule["matches"] = extra;
        }
        rule
    })
}

fn any_route() -> impl Strategy<Value = Value> {
    (vec(rule(), 0..5), option::of(any_json()), option::of(any_json())).prop_map(|(rules, hostnames, labels)| {
        json!({
            "metadata": {"name": "app", "namespace": "shop", "resourceVersion": "9", "generation": 2, "labels": labels},
            "spec": {"rules": rules, "parentRefs": [{"name": "gw"}], "hostnames": hostnames},
        })
    })
}

fn wanted() -> impl Strategy<Value = Weights> {
    let percent = (0..=100_u32).prop_map(|canary| weights(&format!("{}/{canary}", 100 - canary)));
    let any = (0..=1000_u32, 0..=1000_u32).prop_map(|(stable, canary)| weights(&format!("{stable}/{canary}")));
    prop_oneof![4 => percent, 1 => any]
}

/// The route with the weights of all backends in rules that name both Services, and our record, taken out.
fn masked(route: &Value) -> Value {
    let mut route = route.clone();
    for rule in route["spec"]["rules"].as_array_mut().expect("rules") {
        let ours = |name: &str| {
            rule["backendRefs"]
                .as_array()
                .expect("backends")
                .iter()
                .any(|backend| is(backend, name))
        };
        if ours(PAIR.stable) && ours(PAIR.canary) {
            for backend in rule["backendRefs"].as_array_mut().expect("backends") {
                backend.as_object_mut().expect("a backend").remove("weight");
            }
        }
    }
    let metadata = route["metadata"].as_object_mut().expect("metadata");
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(RECORD);
    }
    if metadata.get("annotations") == Some(&json!({})) {
        metadata.remove("annotations");
    }
    route
}

fn is(backend: &Value, name: &str) -> bool {
    backend["name"] == name && backend.get("namespace").is_none_or(|namespace| namespace == "shop")
}

/// Weights of stable, of canary, and of every other backend of a rule.
fn parts(rule: &Value) -> (u128, u128, Vec<u128>) {
    let weight = |backend: &Value| {
        backend
            .get("weight")
            .map_or(1, |weight| u128::from(weight.as_u64().expect("a weight")))
    };
    let backends = rule["backendRefs"].as_array().expect("backends");
    let sum = |name: &str| backends.iter().filter(|backend| is(backend, name)).map(weight).sum();
    let others = backends
        .iter()
        .filter(|backend| !is(backend, PAIR.stable) && !is(backend, PAIR.canary))
        .map(weight);
    (sum(PAIR.stable), sum(PAIR.canary), others.collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn an_edit_gives_the_wanted_shares_and_touches_nothing_else(
        before in any_route(), wanted in wanted(), names in prop::sample::subsequence(vec!["a", "b"], 0..=2),
    ) {
        let config = config(if names.len() == 2 { &[] } else { &names });
        let record = moving("app-stable/a=1", &["app-canary/b=1"]);
        let observed = observe(&config, &before, PAIR);
        let Ok(edited) = edit(&config, &before, PAIR, &wanted, &record) else { return Ok(()) };
        let after = match &edited {
            Some(patch) => merge(&before, patch),
            None => before.clone(),
        };
        prop_assert_eq!(masked(&before), masked(&after));
        // Observing again, every managed rule has the wanted shares, and nothing is left to do.
        if observed.is_ok() {
            let seen = observe(&config, &after, PAIR).expect("it could be observed before");
            for rule in &seen.managed {
                prop_assert!(rule.same_shares(&wanted), "{rule:?} is not {wanted:?}");
            }
            prop_assert_eq!(seen.managed.len(), observed.expect("just asked").managed.len());
            prop_assert_eq!(seen.moving.is_some(), edited.is_some());
        }
        let other = moving("app-stable/z=1", &[]);
        prop_assert_eq!(edit(&config, &after, PAIR, &wanted, &other), Ok(None));
        // By the numbers alone: rules that changed have the wanted split, and everybody else the share that they had.
        let rules = |route: &Value| route["spec"]["rules"].as_array().expect("rules").clone();
        for (old, new) in rules(&before).iter().zip(&rules(&after)) {
            if old == new {
                continue;
            }
            let ((old_stable, old_canary, old_others), (stable, canary, others)) = (parts(old), parts(new));
            let want = |name: &str| u128::from(wanted.by_service[name]);
            prop_assert_eq!(stable * want(PAIR.canary), canary * want(PAIR.stable));
            prop_assert!(stable + canary > 0);
            let (old_pair, pair) = (old_stable + old_canary, stable + canary);
            let sum = |others: &[u128]| others.iter().sum::<u128>();
            if sum(&old_others) > 0 {
                let (old_sum, new_sum) = (old_pair + sum(&old_others), pair + sum(&others));
                prop_assert_eq!(pair * old_sum, old_pair * new_sum, "the share of the pair");
                for (old, new) in old_others.iter().zip(&others) {
                    prop_assert_eq!(new * old_sum, old * new_sum, "the share of another backend");
                }
            }
            prop_assert!(others.iter().chain([&stable, &canary]).all(|weight| *weight <= 1_000_000));
        }
    }

    #[test]
    fn percentages_can_always_be_written_where_each_service_stands_once(
        stable in 0..=1000_u32, canary in 0..=1000_u32, others in vec(0..=1000_u32, 0..4), percent in 0..=100_u32,
    ) {
        prop_assume!(stable + canary > 0 || others.iter().all(|weight| *weight == 0));
        let mut backends = vec![json!({"name": PAIR.stable, "weight": stable}), json!({"name": PAIR.canary, "weight": canary})];
        backends.extend(others.iter().map(|weight| json!({"name": "other", "weight": weight})));
        let route = json!({
            "metadata": {"namespace": "shop", "resourceVersion": "1"}, "spec": {"rules": [{"backendRefs": backends}]},
        });
        let wanted = weights(&format!("{}/{percent}", 100 - percent));
        prop_assert!(edit(&config(&[]), &route, PAIR, &wanted, &moving("app-stable/a=1", &[])).is_ok());
    }

    #[test]
    fn steps_there_and_back_do_not_let_the_weights_grow_without_end(
        other in 1..=100_u32, percents in vec(0..=100_u32, 1..40),
    ) {
        let backends = [json!({"name": PAIR.stable}), json!({"name": PAIR.canary, "weight": 0}), json!({"name": "x", "weight": other})];
        let mut route = json!({
            "metadata": {"namespace": "shop", "resourceVersion": "1"}, "spec": {"rules": [{"backendRefs": backends}]},
        });
        for percent in percents {
            let wanted = weights(&format!("{}/{percent}", 100 - percent));
            if let Some(patch) = edit(&config(&[]), &route, PAIR, &wanted, &moving("app-stable/a=1", &[])).expect("edits") {
                route = merge(&route, &patch);
            }
            let (stable, canary, others) = parts(&route["spec"]["rules"][0]);
            prop_assert!(stable + canary <= 100 && others[0] <= u128::from(other) * 100);
        }
    }

    #[test]
    fn taking_the_canary_back_is_possible_wherever_there_is_a_rule_to_manage(before in any_route()) {
        let managed = observe(&config(&[]), &before, PAIR).is_ok();
        let edited = edit(&config(&[]), &before, PAIR, &weights("100/0"), &moving("app-stable/a=1", &[]));
        prop_assert_eq!(edited.is_ok(), managed);
    }

    #[test]
    fn no_json_makes_anything_panic(object in any_json(), wanted in wanted(), names in vec("[a-c]", 0..2)) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let record = moving("app-stable/a=1", &[]);
        for pair in [PAIR, Pair { stable: "", canary: "" }, Pair { stable: "app-stable", canary: "app-stable" }] {
            let _ = observe(&config(&names), &object, pair);
            let _ = edit(&config(&names), &object, pair, &wanted, &record);
            let _ = annotate(&config(&names), &object, pair, &record);
        }
        let _ = (service::observe(&object), service::edit(&object, "b", "shop", &record), service::last_write(&object));
        let _ = (Router::from_gateway_api(&object), Router::from_gateway_api_plugin(&object));
    }

    #[test]
    fn no_json_in_the_place_of_a_part_makes_anything_panic(before in any_route(), part in any_json(), at in 0..7_usize) {
        let mut object = before;
        let at = ["/spec/rules", "/spec/parentRefs", "/metadata", "/spec", "/spec/rules/0", "/spec/rules/0/backendRefs", "/status"][at];
        match object.pointer_mut(at) {
            Some(place) => *place = part,
            None => object["status"] = part,
        }
        let _ = observe(&config(&[]), &object, PAIR);
        let _ = edit(&config(&[]), &object, PAIR, &weights("50/50"), &moving("app-stable/a=1", &[]));
    }

    #[test]
    fn what_was_possible_stays_possible_until_it_has_settled(
        steps in vec((0..=100_u32, prop::sample::select(&["b", "c", "d"]), any::<bool>()), 1..40),
    ) {
        let now = "2026-03-01T12:00:00Z".parse().expect("a time");
        let mut record = None;
        let mut present = split("app-stable/a=100");
        // By destination, the greatest share since the last time that everything had settled.
        let mut greatest = std::collections::BTreeMap::new();
        for (percent, revision, settled) in steps {
            if settled {
                greatest.clear();
            }
            for (dest, part) in &present.parts {
                let most = greatest.entry(dest.clone()).or_insert(0);
                *most = (*part).max(*most);
            }
            let to = split(&format!("app-stable/a={} app-canary/{revision}={percent}", 100 - percent));
            let next = next_moving(now, to.clone(), record.as_ref(), &[present], settled);
            for (dest, most) in &greatest {
                // A part of 0 may be left out.
                let kept = next.from.iter().filter_map(|split| split.parts.get(dest)).max().copied().unwrap_or(0);
                prop_assert_eq!(kept, *most);
            }
            let unique: BTreeSet<_> = next.from.iter().collect();
            prop_assert_eq!(unique.len(), next.from.len());
            let route = sluice_traffic::Observed {
                managed: vec![to.weights()], unmanaged: vec![], acknowledgement: sluice_traffic::Acknowledgement::Acknowledged,
                moving: Some(next.clone()), foreign_manager: None, generation: 1, outdated: false,
            };
            let canary = |splits: &[Weights]| splits.iter().map(|split| split.share_of(PAIR.canary)).max();
            let expected = greatest.iter().filter(|(dest, _)| dest.service == PAIR.canary).map(|(_, most)| *most).chain([percent]).max();
            prop_assert_eq!(canary(&possible(&route, false)), expected.map(|percent| percent * 100));
            (record, present) = (Some(next), to);
        }
    }
}
