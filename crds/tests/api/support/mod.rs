//! What the tests share: schemas of the generated manifests, walked; and the kinds by name.

pub mod generate;

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use sluice_crds::{AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate, Experiment, Rollout};

/// All kinds.
pub const KINDS: [&str; 5] = [
    "AnalysisRun",
    "AnalysisTemplate",
    "ClusterAnalysisTemplate",
    "Experiment",
    "Rollout",
];

/// The CRD of a kind, as it is applied.
pub fn crd(kind: &str) -> Value {
    let crds = sluice_crds::crd::all_crds_json();
    crds.into_iter()
        .find(|crd| crd["spec"]["names"]["kind"] == kind)
        .expect("every kind has a CRD")
}

/// The schema of a kind.
pub fn schema(kind: &str) -> Value {
    crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Decodes into the Rust type of the kind and encodes again.
pub fn decode_and_encode(kind: &str, object: &Value) -> Result<Value, String> {
    fn through<T: serde::de::DeserializeOwned + serde::Serialize>(object: &Value) -> Result<Value, serde_json::Error> {
        // By text, as objects come over the wire.
        let decoded: T = serde_json::from_str(&object.to_string())?;
        serde_json::to_value(&decoded)
    }
    let encoded = match kind {
        "AnalysisRun" => through::<AnalysisRun>(object),
        "AnalysisTemplate" => through::<AnalysisTemplate>(object),
        "ClusterAnalysisTemplate" => through::<ClusterAnalysisTemplate>(object),
        "Experiment" => through::<Experiment>(object),
        "Rollout" => through::<Rollout>(object),
        other => panic!("{other} is not a kind of this API"),
    };
    encoded.map_err(|error| error.to_string())
}

/// The object of a kind around its spec and status.
pub fn object(kind: &str, mut fields: Map<String, Value>) -> Value {
    fields.insert("apiVersion".into(), "argoproj.io/v1alpha1".into());
    fields.insert("kind".into(), kind.into());
    fields.insert("metadata".into(), serde_json::json!({ "name": "one", "generation": 3 }));
    Value::Object(fields)
}

/// Where two values differ, and how.
pub fn differences(path: &str, left: &Value, right: &Value, found: &mut Vec<String>) {
    match (left, right) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                let absent = Value::String("(absent)".into());
                let at = format!("{path}.{key}");
                differences(&at, a.get(key).unwrap_or(&absent), b.get(key).unwrap_or(&absent), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}[{index}]"), a, b, found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(format!("{path}: {a} became {b}")),
    }
}

/// Paths of all properties of a schema: `spec.strategy.canary.steps[].setWeight`; `{}` stands for any key of a map.
pub fn paths(schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(schema, "", &mut |path, _| {
        found.insert(path.to_owned());
    });
    found
}

/// Calls back for each property, item and map value below a schema.
pub fn walk(schema: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        visit(&path, property);
        walk(property, &path, visit);
    }
    for (key, suffix) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(below) = schema.get(key) {
            let path = format!("{path}{suffix}");
            visit(&path, below);
            walk(below, &path, visit);
        }
    }
}

/// Whether a schema takes any content below it as it is.
pub fn is_raw(schema: &Value) -> bool {
    schema["x-kubernetes-preserve-unknown-fields"] == true
}

/// Paths of all properties that an object has, in the form of [`paths`]; nothing below raw values.
pub fn paths_in(object: &Value, schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    if is_raw(schema) {
        return;
    }
    match object {
        Value::Object(map) => {
            for (key, value) in map {
                let (below, path) = match schema["properties"].get(key) {
                    Some(below) if path.is_empty() => (below, key.clone()),
                    Some(below) => (below, format!("{path}.{key}")),
                    None => (&schema["additionalProperties"], format!("{path}{{}}")),
                };
                found.insert(path.clone());
                paths_in(value, below, &path, found);
            }
        }
        Value::Array(list) => {
            for item in list {
                let path = format!("{path}[]");
                found.insert(path.clone());
                paths_in(item, &schema["items"], &path, found);
            }
        }
        _ => {}
    }
}

/// `a.{b,c}` as `a.b` and `a.c`. An empty `{}` is the value of a map and stays.
pub fn expand(pattern: &str) -> Vec<String> {
    let mut from = 0;
    while let Some(open) = pattern[from..].find('{').map(|at| at + from) {
        if pattern[open..].starts_with("{}") {
            from = open + 2;
            continue;
        }
        let close = closing(pattern, open);
        let (before, after) = (&pattern[..open], &pattern[close + 1..]);
        let options = options(&pattern[open + 1..close]);
        return options
            .iter()
            .flat_map(|option| expand(&format!("{before}{option}{after}")))
            .collect();
    }
    vec![pattern.to_owned()]
}

/// The bracket that closes the one at `open`.
fn closing(pattern: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, c) in pattern.char_indices().skip(open) {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at,
            '}' => depth -= 1,
            _ => {}
        }
    }
    panic!("`{pattern}` has an open bracket");
}

/// The parts between the commas that are in no bracket.
fn options(inside: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in inside.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().expect("there is always a part").push(c);
    }
    parts
}
