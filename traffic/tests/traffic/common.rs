//! Fixtures and checks that the tests of this crate share.

use std::collections::BTreeMap;

use expect_test::Expect;
use serde_json::{Value, json};
use sluice_traffic::{
    Dest, Moving, Pair, Split, Weights,
    routers::http_route::{Config, edit, observe},
};

pub const PAIR: Pair<'static> = Pair {
    stable: "app-stable",
    canary: "app-canary",
};
/// The annotation that routes carry for [`PAIR`].
pub const RECORD: &str = "moving.sluice.dev/app-canary";

pub fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("a fixture is not YAML: {error}\n{text}"))
}

/// An HTTPRoute at generation 4 with these rules (YAML).
pub fn route(rules: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "app", "namespace": "shop", "generation": 4, "resourceVersion": "1001", "uid": "u-1"},
        "spec": {"hostnames": ["app.test"], "parentRefs": [{"name": "gw"}], "rules": yaml(rules)},
    })
}

pub fn config(rules: &[&str]) -> Config {
    Config {
        name: "app".to_owned(),
        namespace: None,
        rules: rules.iter().map(|&rule| rule.to_owned()).collect(),
        managed_routes: vec![],
    }
}

/// `stable/canary`, as in `95/5`.
pub fn weights(split: &str) -> Weights {
    let (stable, canary) = split.split_once('/').expect("stable/canary");
    let part = |text: &str| text.parse::<u32>().expect("a weight");
    Weights {
        by_service: BTreeMap::from([
            (PAIR.stable.to_owned(), part(stable)),
            (PAIR.canary.to_owned(), part(canary)),
        ]),
    }
}

/// `service/revision=part ...`, of the sum of the parts.
pub fn split(text: &str) -> Split {
    let parts: BTreeMap<Dest, u32> = text
        .split_whitespace()
        .map(|part| {
            let (dest, weight) = part.split_once('=').expect("dest=part");
            let (service, revision) = dest.split_once('/').expect("service/revision");
            (
                Dest {
                    service: service.to_owned(),
                    revision: revision.to_owned(),
                },
                weight.parse().expect("a part"),
            )
        })
        .collect();
    Split {
        total: parts.values().sum(),
        parts,
    }
}

pub fn moving(to: &str, from: &[&str]) -> Moving {
    Moving {
        at: "2026-03-01T12:00:00Z".parse().expect("a time"),
        to: split(to),
        from: from.iter().map(|text| split(text)).collect(),
        rest: None,
    }
}

/// RFC 7386, written for these tests alone.
pub fn merge(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut merged = target.as_object().cloned().unwrap_or_default();
    for (key, value) in patch {
        if value.is_null() {
            merged.remove(key);
        } else {
            let old = merged.get(key).cloned().unwrap_or(Value::Null);
            merged.insert(key.clone(), merge(&old, value));
        }
    }
    Value::Object(merged)
}

/// The usual rule.
pub const BOTH: &str =
    "[{backendRefs: [{name: app-stable, port: 80, weight: 95}, {name: app-canary, port: 80, weight: 5}]}]";

/// What is observed of a route with these rules, managing the named ones.
pub fn check_observed(what: &str, rules: &str, named: &[&str], expected: Expect) {
    let text = match observe(&config(named), &route(rules), PAIR) {
        Ok(observed) => {
            let list = |rules: &[Weights]| rules.iter().map(by_name).collect::<Vec<_>>().join(" | ");
            format!(
                "managed {}; unmanaged {}",
                list(&observed.managed),
                list(&observed.unmanaged)
            )
        }
        Err(problem) => problem.to_string(),
    };
    eprintln!("{what}");
    expected.assert_eq(&text);
}

/// What the weights of a route's rules are after an edit towards `stable/canary`, in the order of the backends.
pub fn check_edit(what: &str, rules: &str, named: &[&str], wanted: &str, expected: Expect) {
    let before = route(rules);
    let text = match edit(
        &config(named),
        &before,
        PAIR,
        &weights(wanted),
        &moving("app-stable/a=1", &[]),
    ) {
        Ok(None) => "nothing to do".to_owned(),
        Ok(Some(patch)) => {
            let after = merge(&before, &patch);
            assert_eq!(patch["metadata"]["resourceVersion"], "1001", "{what}");
            assert_eq!(
                without_weights(&before),
                without_weights(&after),
                "{what}: only weights and our record change"
            );
            let again = edit(
                &config(named),
                &after,
                PAIR,
                &weights(wanted),
                &moving("app-stable/b=1", &[]),
            );
            assert_eq!(again, Ok(None), "{what}: a second edit has nothing to do");
            written(&after)
        }
        Err(problem) => problem.to_string(),
    };
    eprintln!("{what}");
    expected.assert_eq(&text);
}

pub fn by_name(weights: &Weights) -> String {
    weights
        .by_service
        .iter()
        .map(|(name, weight)| format!("{name}={weight}"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Weights in the order of rules and backends; `-` where none is written.
pub fn written(route: &Value) -> String {
    let rule = |rule: &Value| {
        let backends = rule["backendRefs"].as_array().cloned().unwrap_or_default();
        let weight = |backend: &Value| backend.get("weight").map_or("-".to_owned(), Value::to_string);
        backends.iter().map(weight).collect::<Vec<_>>().join(" ")
    };
    route["spec"]["rules"]
        .as_array()
        .expect("rules")
        .iter()
        .map(rule)
        .collect::<Vec<_>>()
        .join(" | ")
}

pub fn without_weights(route: &Value) -> Value {
    let mut route = route.clone();
    for rule in route["spec"]["rules"].as_array_mut().expect("rules") {
        for backend in rule
            .get_mut("backendRefs")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            backend.as_object_mut().expect("a backend").remove("weight");
        }
    }
    let metadata = route["metadata"].as_object_mut().expect("metadata");
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(RECORD);
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    route
}
