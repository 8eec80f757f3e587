//! The generated manifests: fresh, structural, documented, and what users' tools expect of them.

use std::{fs, path::Path};

use crate::support::*;
use serde_json::{Value, json};

#[test]
fn manifests_are_fresh() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("yaml");
    let refresh = sluice_crds::crd::REFRESH_COMMAND;
    let files = sluice_crds::yaml::yaml_files();
    for (name, content) in &files {
        let found = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(found == *content, "crds/yaml/{name} is stale; run `{refresh}`");
    }
    let found: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    for name in found {
        let known = files.iter().any(|(known, _)| name == known.as_str());
        assert!(known, "crds/yaml/{} belongs to no kind; remove it", name.display());
    }
}

#[test]
fn manifests_are_the_yaml_of_the_definitions() {
    let crds = sluice_crds::crd::all_crds_json();
    for (crd, (name, content)) in crds.iter().zip(sluice_crds::yaml::yaml_files()) {
        let read: Value = serde_saphyr::from_str(&content).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut found = Vec::new();
        differences(&name, crd, &read, &mut found);
        assert!(found.is_empty(), "{found:#?}");
    }
}

/// The rules of the API server for structural schemas, as far as our schemas could break them.
#[test]
fn schemas_are_structural() {
    for kind in KINDS {
        let mut problems = Vec::new();
        walk(&schema(kind), "", &mut |path, schema| {
            for keyword in [
                "$ref",
                "$schema",
                "definitions",
                "$defs",
                "anyOf",
                "oneOf",
                "allOf",
                "not",
                "nullable",
                "default",
            ] {
                if schema.get(keyword).is_some() {
                    problems.push(format!("{path} has {keyword}"));
                }
            }
            let typed = schema["type"].is_string();
            if !typed && schema["x-kubernetes-int-or-string"] != true && !is_raw(schema) {
                problems.push(format!("{path} has no type"));
            }
            let bounds = json!([schema["minimum"], schema["maximum"]]);
            if schema["x-kubernetes-int-or-string"] == true && bounds != json!([-2_147_483_648.0, 2_147_483_647.0]) {
                problems.push(format!("{path} admits numbers that nobody can decode"));
            }
            if schema.get("properties").is_some() && schema.get("additionalProperties").is_some() {
                problems.push(format!("{path} has properties and additionalProperties"));
            }
            if schema["type"] == "object" && is_raw(schema) && schema.get("properties").is_some() {
                problems.push(format!("{path} is raw and has properties"));
            }
            if schema["type"] == "array" && !schema["items"].is_object() {
                problems.push(format!("{path} is a list of anything"));
            }
            let format = schema["format"].as_str();
            if format.is_some_and(|format| !["int32", "int64", "date-time"].contains(&format)) {
                problems.push(format!(
                    "{path} has the format {format:?}, which the API server does not know"
                ));
            }
        });
        assert!(problems.is_empty(), "{kind}: {problems:#?}");
    }
}

/// What `kubectl explain` shows of each field and of each kind.
#[test]
fn every_kind_and_property_is_described_in_sentences_on_one_line() {
    for kind in KINDS {
        let mut problems = Vec::new();
        let mut check = |path: &str, schema: &Value| {
            let described = schema["description"].as_str();
            let a_property = !path.ends_with("[]") && !path.ends_with("{}");
            match described {
                None if a_property => problems.push(format!("{path} has no description")),
                Some(text) if !is_prose(text) => problems.push(format!("{path}: {text:?}")),
                _ => {}
            }
        };
        check("", &schema(kind));
        walk(&schema(kind), "", &mut check);
        assert!(problems.is_empty(), "{kind}: {problems:#?}");
    }
}

/// Sentences on one line, without what only rustdoc renders.
fn is_prose(text: &str) -> bool {
    let begins = text.starts_with(|first: char| first.is_uppercase() || first == '`');
    let ends = text.ends_with('.') && text.len() >= 5;
    let of_rustdoc = ["[`", "](", "::", "\n"].iter().any(|mark| text.contains(mark));
    begins && ends && !of_rustdoc && text.trim() == text
}

#[test]
fn names_are_those_that_users_type() {
    let names = |kind: &str| {
        let names = crd(kind)["spec"]["names"].clone();
        let scope = crd(kind)["spec"]["scope"].clone();
        json!([
            names["plural"],
            names["singular"],
            names["listKind"],
            names["shortNames"],
            scope
        ])
    };
    for (kind, expected) in [
        (
            "AnalysisRun",
            json!(["analysisruns", "analysisrun", "AnalysisRunList", ["ar"], "Namespaced"]),
        ),
        (
            "AnalysisTemplate",
            json!([
                "analysistemplates",
                "analysistemplate",
                "AnalysisTemplateList",
                ["at"],
                "Namespaced"
            ]),
        ),
        (
            "ClusterAnalysisTemplate",
            json!([
                "clusteranalysistemplates",
                "clusteranalysistemplate",
                "ClusterAnalysisTemplateList",
                ["cat"],
                "Cluster"
            ]),
        ),
        (
            "Experiment",
            json!(["experiments", "experiment", "ExperimentList", ["exp"], "Namespaced"]),
        ),
        (
            "Rollout",
            json!(["rollouts", "rollout", "RolloutList", ["ro"], "Namespaced"]),
        ),
    ] {
        assert_eq!(names(kind), expected);
    }
}

#[test]
fn only_rollout_has_subresources() {
    for kind in KINDS {
        let subresources = crd(kind)["spec"]["versions"][0]["subresources"].clone();
        let expected = match kind {
            "Rollout" => json!({
                "status": {},
                "scale": {
                    "specReplicasPath": ".spec.replicas",
                    "statusReplicasPath": ".status.HPAReplicas",
                    "labelSelectorPath": ".status.selector",
                },
            }),
            _ => Value::Null,
        };
        assert_eq!(subresources, expected, "{kind}");
    }
}

#[test]
fn printed_columns_are_those_that_users_know() {
    for (kind, expected) in [
        (
            "AnalysisRun",
            vec!["Status=.status.phase", "Age=.metadata.creationTimestamp"],
        ),
        ("AnalysisTemplate", vec!["Age=.metadata.creationTimestamp"]),
        ("ClusterAnalysisTemplate", vec!["Age=.metadata.creationTimestamp"]),
        (
            "Experiment",
            vec!["Status=.status.phase", "Age=.metadata.creationTimestamp"],
        ),
        (
            "Rollout",
            vec![
                "Desired=.spec.replicas",
                "Current=.status.replicas",
                "Up-to-date=.status.updatedReplicas",
                "Available=.status.availableReplicas",
                "Age=.metadata.creationTimestamp",
            ],
        ),
    ] {
        let columns = crd(kind)["spec"]["versions"][0]["additionalPrinterColumns"].clone();
        let found: Vec<_> = columns.as_array().unwrap().iter().map(column).collect();
        assert_eq!(found, expected, "{kind}");
    }
}

fn column(column: &Value) -> String {
    format!(
        "{}={}",
        column["name"].as_str().unwrap(),
        column["jsonPath"].as_str().unwrap()
    )
}

#[test]
fn the_selector_of_a_rollout_is_the_only_field_with_a_rule() {
    for kind in KINDS {
        let mut found = Vec::new();
        walk(&schema(kind), "", &mut |path, schema| {
            if let Some(rules) = schema.get("x-kubernetes-validations") {
                found.push(format!("{path}: {}", rules[0]["rule"].as_str().unwrap()));
            }
        });
        let expected: &[&str] = if kind == "Rollout" {
            &["spec.selector: self == oldSelf"]
        } else {
            &[]
        };
        assert_eq!(found, expected, "{kind}");
    }
}

#[test]
fn every_definition_tells_that_it_has_the_extensions() {
    for kind in KINDS {
        assert_eq!(
            crd(kind)["metadata"]["annotations"]["sluice.dev/extensions"],
            "v1",
            "{kind}"
        );
    }
}
