//! Whatever the CRDs admit is decoded and encoded again without any change.

use std::collections::BTreeSet;

use crate::support::generate::{Random, value};
use crate::support::*;
use proptest::prelude::*;
use serde_json::{Value, json};

/// An object of the kind in which every field has a value, as a user or the controller might give it.
fn fixture(kind: &str) -> Value {
    let text = match kind {
        "AnalysisRun" => include_str!("fixtures/analysisrun.json"),
        "AnalysisTemplate" => include_str!("fixtures/analysistemplate.json"),
        "ClusterAnalysisTemplate" => include_str!("fixtures/clusteranalysistemplate.json"),
        "Experiment" => include_str!("fixtures/experiment.json"),
        "Rollout" => include_str!("fixtures/rollout.json"),
        other => panic!("no fixture for {other}"),
    };
    serde_json::from_str(text).unwrap()
}

fn assert_round_trip(kind: &str, object: &Value) {
    let encoded =
        decode_and_encode(kind, object).unwrap_or_else(|error| panic!("{kind} not decoded: {error}\n{object}"));
    let mut found = Vec::new();
    differences(kind, object, &encoded, &mut found);
    assert!(found.is_empty(), "{kind} changed:\n{}", found.join("\n"));
}

#[test]
fn fixtures_have_every_field_of_the_schema() {
    for kind in KINDS {
        let schema = schema(kind);
        let mut found = BTreeSet::new();
        paths_in(&fixture(kind), &schema, "", &mut found);
        let missing: Vec<_> = paths(&schema).difference(&found).cloned().collect();
        assert!(missing.is_empty(), "the fixture of {kind} lacks {missing:#?}");
    }
}

#[test]
fn an_object_with_every_field_is_unchanged() {
    for kind in KINDS {
        assert_round_trip(kind, &fixture(kind));
    }
}

#[test]
fn an_object_with_nothing_but_zeros_and_empty_values_is_unchanged() {
    for kind in KINDS {
        let mut object = fixture(kind);
        for field in ["spec", "status"] {
            if let Some(value) = object.get_mut(field) {
                blank(value);
            }
        }
        assert_round_trip(kind, &object);
    }
}

/// Makes every number 0, every flag false and every text empty, but for times, which cannot be empty.
fn blank(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(blank),
        Value::Array(list) => list.iter_mut().for_each(blank),
        Value::Number(_) => *value = json!(0),
        Value::Bool(_) => *value = json!(false),
        Value::String(text) if !text.starts_with("2026-") => text.clear(),
        _ => {}
    }
}

#[test]
fn empty_lists_maps_and_objects_are_unchanged() {
    for (kind, spec) in [
        ("Rollout", json!({})),
        (
            "Rollout",
            json!({ "strategy": {}, "template": {}, "selector": { "matchLabels": {}, "matchExpressions": [] } }),
        ),
        (
            "Rollout",
            json!({ "strategy": { "canary": { "steps": [], "trafficRouting": { "plugins": {} } } } }),
        ),
        (
            "Rollout",
            json!({ "strategy": { "canary": { "steps": [{}, { "pause": {} }, { "plugin": { "name": "" } }] } } }),
        ),
        (
            "AnalysisTemplate",
            json!({ "metrics": [], "args": [], "templates": [{}] }),
        ),
        ("ClusterAnalysisTemplate", json!({})),
        (
            "AnalysisRun",
            json!({ "metrics": [{ "name": "", "provider": { "plugin": {} } }] }),
        ),
        ("Experiment", json!({ "templates": [] })),
    ] {
        let fields = [("spec".to_owned(), spec)].into_iter().collect();
        assert_round_trip(kind, &object(kind, fields));
    }
}

#[test]
fn a_status_of_which_only_a_part_is_written_is_unchanged() {
    for status in [
        json!({}),
        json!({ "abort": true }),
        json!({ "abort": false, "pauseConditions": [] }),
        json!({ "canary": {}, "blueGreen": {}, "alb": {}, "albs": [] }),
        json!({ "canary": { "currentStepAnalysisRunStatus": { "name": "x", "status": "" } } }),
        json!({ "phase": "SomethingNew", "observedGeneration": "3", "HPAReplicas": 0, "stableRS": "" }),
    ] {
        let fields = [("spec".to_owned(), json!({})), ("status".to_owned(), status)]
            .into_iter()
            .collect();
        assert_round_trip("Rollout", &object("Rollout", fields));
    }
}

#[test]
fn random_objects_reach_every_field_of_the_schema() {
    for kind in KINDS {
        let schema = schema(kind);
        let mut missing = paths(&schema);
        for seed in 0..20_000 {
            let mut found = BTreeSet::new();
            paths_in(&value(&schema, &mut Random(seed)), &schema, "", &mut found);
            missing.retain(|path| !found.contains(path));
            if missing.is_empty() {
                break;
            }
        }
        assert!(missing.is_empty(), "never generated for {kind}: {missing:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_object_that_the_crd_admits_is_unchanged(seed: u64, kind in prop::sample::select(&KINDS[..])) {
        thread_local!(static SCHEMAS: Vec<Value> = KINDS.iter().map(|kind| schema(kind)).collect());
        let generated = SCHEMAS.with(|schemas| {
            let index = KINDS.iter().position(|one| *one == kind).unwrap();
            value(&schemas[index], &mut Random(seed))
        });
        let Value::Object(fields) = generated else { panic!("the root of a schema is an object") };
        assert_round_trip(kind, &object(kind, fields));
    }
}
