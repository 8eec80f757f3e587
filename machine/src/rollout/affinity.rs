//! Anti-affinity between the pods of a new revision and those of the stable one.

use serde_json::{Map, Value, json};
use sluice_crds::AntiAffinity;
use sluice_traffic::REVISION_LABEL;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Keeps the pods of a template off the nodes where pods of the revision `stable` run, or where possible so.
pub(super) fn inject(template: &mut Value, affinity: &AntiAffinity, stable: &str) {
    let term = json!({
        "labelSelector": { "matchExpressions": [{ "key": REVISION_LABEL, "operator": "In", "values": [stable] }] },
        "topologyKey": "kubernetes.io/hostname",
    });
    let preferred = affinity.preferred_during_scheduling_ignored_during_execution.as_ref();
    let (list, term) = match preferred {
        Some(preferred) => (
            PREFERRED,
            json!({ "weight": preferred.weight, "podAffinityTerm": term }),
        ),
        None => (REQUIRED, term),
    };
    // The template was admitted: these are objects and lists, or absent.
    let mut place = &mut template["spec"];
    for name in ["affinity", "podAntiAffinity", list] {
        place = &mut place[name];
    }
    match place {
        Value::Array(terms) => terms.push(term),
        absent => *absent = json!([term]),
    }
}

/// Takes what [`inject`] adds off a template, and what it leaves empty.
pub(super) fn strip(template: &mut Value) {
    let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    within(spec, "affinity", |affinity| {
        within(affinity, "podAntiAffinity", |anti| {
            for list in [REQUIRED, PREFERRED] {
                if let Some(terms) = anti.get_mut(list).and_then(Value::as_array_mut) {
                    terms.retain(|term| !is_injected(term));
                    if terms.is_empty() {
                        anti.shift_remove(list);
                    }
                }
            }
        });
    });
}

/// Changes a field that is an object; an empty one goes.
fn within(object: &mut Map<String, Value>, field: &str, change: impl FnOnce(&mut Map<String, Value>)) {
    let Some(inner) = object.get_mut(field).and_then(Value::as_object_mut) else {
        return;
    };
    change(inner);
    if inner.is_empty() {
        object.shift_remove(field);
    }
}

fn is_injected(term: &Value) -> bool {
    let term = term.get("podAffinityTerm").unwrap_or(term);
    let expressions = term
        .pointer("/labelSelector/matchExpressions")
        .and_then(Value::as_array);
    expressions.is_some_and(|expressions| expressions.len() == 1 && expressions[0]["key"] == REVISION_LABEL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn affinity(weight: Option<i32>) -> AntiAffinity {
        let strategy = match weight {
            Some(weight) => json!({ PREFERRED: { "weight": weight } }),
            None => json!({ REQUIRED: {} }),
        };
        serde_json::from_value(strategy).unwrap()
    }

    #[test]
    fn what_is_injected_keeps_the_users_own_terms_and_comes_off_again() {
        let own = json!({ "topologyKey": "zone", "labelSelector": { "matchLabels": { "app": "db" } } });
        let users = [
            json!({ "spec": { "containers": [] } }),
            json!({ "spec": { "affinity": { "nodeAffinity": { "x": 1 } } } }),
            json!({ "spec": { "affinity": { "podAntiAffinity": { REQUIRED: [own] } } } }),
        ];
        for template in users {
            for weight in [None, Some(50)] {
                let mut injected = template.clone();
                inject(&mut injected, &affinity(weight), "abc");
                assert_ne!(injected, template);
                strip(&mut injected);
                assert_eq!(injected, template);
            }
        }
    }

    #[test]
    fn a_term_names_the_stable_revision_and_the_node() {
        let mut template = json!({ "spec": {} });
        inject(&mut template, &affinity(Some(7)), "abc");
        let term = template.pointer("/spec/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/0");
        let expected = json!({
            "weight": 7,
            "podAffinityTerm": {
                "labelSelector": { "matchExpressions": [
                    { "key": "rollouts-pod-template-hash", "operator": "In", "values": ["abc"] },
                ] },
                "topologyKey": "kubernetes.io/hostname",
            },
        });
        assert_eq!(term, Some(&expected));
    }
}
