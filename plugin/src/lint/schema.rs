//! Compares objects with the schemas of the CRDs: what is missing, of another type, or not a field at all.

use std::sync::LazyLock;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};
use sluice_crds::crd::all_crds_json;

use super::{Problem, Severity};
use crate::text;

static CRDS: LazyLock<Vec<Value>> = LazyLock::new(all_crds_json);
/// The pod template of the Kubernetes version that this program was built for.
static POD_TEMPLATE: LazyLock<Value> = LazyLock::new(|| {
    let generator = SchemaSettings::draft2020_12().into_generator();
    generator.into_root_schema_for::<PodTemplateSpec>().to_value()
});

/// How problems of fields that do not exist begin.
const UNKNOWN: &str = "is no field here and would be dropped";
/// The same for the pod template, of which a newer cluster may know more.
const UNKNOWN_IN_POD: &str = "is no field that Kubernetes 1.33 has here";

/// The kinds of this API.
pub fn kinds() -> Vec<&'static str> {
    CRDS.iter()
        .filter_map(|crd| crd.pointer("/spec/names/kind")?.as_str())
        .collect()
}

/// The schema of a kind.
pub fn of_kind(kind: &str) -> Option<Value> {
    let crd = CRDS
        .iter()
        .find(|crd| crd.pointer("/spec/names/kind").and_then(Value::as_str) == Some(kind))?;
    crd.pointer("/spec/versions/0/schema/openAPIV3Schema").cloned()
}

/// All differences between an object and its schema; and the object without what has another type than it must have, so that
/// the rest of it can be read.
pub fn problems(object: &Value, schema: &Value) -> (Vec<Problem>, Value) {
    let mut walk = Walk {
        root: schema,
        unknown: (Severity::Error, UNKNOWN),
        problems: Vec::new(),
    };
    let mut readable = object.clone();
    walk.compare("", &mut readable, schema);
    // The API server checks what stands on the outside; CRDs do not describe it.
    let outside = ["apiVersion", "kind", "metadata"];
    walk.problems
        .retain(|problem| !outside.contains(&problem.path.as_str()) && !problem.path.starts_with("metadata."));
    (walk.problems, readable)
}

/// What is wrong with the pod template. It is carried as it is, and the cluster may be newer than this program: a field that
/// is not known here is only a warning.
pub fn template_problems(rollout: &Value) -> Vec<Problem> {
    let Some(mut template) = super::present(rollout, "/spec/template").cloned() else {
        return Vec::new();
    };
    let mut walk = Walk {
        root: &POD_TEMPLATE,
        unknown: (Severity::Warning, UNKNOWN_IN_POD),
        problems: Vec::new(),
    };
    walk.compare("spec.template", &mut template, &POD_TEMPLATE);
    walk.problems
}

struct Walk<'s> {
    root: &'s Value,
    /// How bad a field is that does not exist, and how the problem begins.
    unknown: (Severity, &'static str),
    problems: Vec<Problem>,
}

impl<'s> Walk<'s> {
    /// Notes every difference, and takes out what has a wrong type.
    fn compare(&mut self, path: &str, value: &mut Value, schema: &'s Value) {
        let schema = self.resolved(schema);
        // An explicit null is dropped by the API server, which is the same as an absent field.
        if value.is_null() {
            return;
        }
        if let Some(wanted) = mismatch(value, schema) {
            let text = format!("is {}, must be {wanted}", shown(value));
            self.problems.push(Problem::error(path, text));
            *value = Value::Null;
            return;
        }
        match value {
            Value::Object(map) => self.compare_fields(path, map, schema),
            Value::Array(list) => {
                if let Some(items) = schema.get("items") {
                    for (index, item) in list.iter_mut().enumerate() {
                        self.compare(&format!("{path}[{index}]"), item, items);
                        // An item keeps its place, so that the others keep theirs.
                        if item.is_null() {
                            *item = Value::Object(Map::new());
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn compare_fields(&mut self, path: &str, map: &mut Map<String, Value>, schema: &'s Value) {
        let join = |field: &str| {
            if path.is_empty() {
                field.to_owned()
            } else {
                format!("{path}.{field}")
            }
        };
        let required = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        for field in required.filter(|field| map.get(*field).is_none_or(Value::is_null)) {
            self.problems
                .push(Problem::error(join(field), "is missing: this field is required"));
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        let open = schema
            .get("x-kubernetes-preserve-unknown-fields")
            .and_then(Value::as_bool)
            == Some(true);
        for (field, value) in &mut *map {
            match properties.and_then(|properties| properties.get(field)) {
                Some(schema) => self.compare(&join(field), value, schema),
                None => match schema.get("additionalProperties") {
                    Some(entries) if entries.is_object() => self.compare(&join(field), value, entries),
                    // Without a list of fields any field may be there.
                    _ if open || properties.is_none() => {}
                    _ => {
                        let (severity, text) = self.unknown;
                        let text = format!("{text}; {}", meant(field, properties));
                        self.problems.push(Problem {
                            path: join(field),
                            severity,
                            text,
                        });
                    }
                },
            }
        }
        // In maps of texts a null would be no text.
        map.retain(|_, value| !value.is_null());
    }

    /// The schema behind references, those in `allOf` included.
    fn resolved(&self, schema: &'s Value) -> &'s Value {
        let mut schema = schema;
        // As deep as references ever are; a ring of them ends, too.
        for _ in 0..8 {
            let single = |key: &str| {
                schema
                    .get(key)?
                    .as_array()?
                    .iter()
                    .find(|part| part.get("type") != Some(&"null".into()))
            };
            let pointer = schema
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|text| text.strip_prefix('#'));
            let next = match pointer {
                Some(pointer) => self.root.pointer(pointer),
                None => single("allOf").or_else(|| single("anyOf").filter(|_| schema.get("type").is_none())),
            };
            match next {
                Some(next) => schema = next,
                None => break,
            }
        }
        schema
    }
}

/// What the field may have been meant to be.
fn meant(field: &str, properties: Option<&Map<String, Value>>) -> String {
    let fields = || properties.into_iter().flat_map(Map::keys).map(String::as_str);
    if let Some(near) = text::similar(field, fields()).first() {
        return format!("did you mean `{near}`?");
    }
    let mut all: Vec<&str> = fields().collect();
    all.sort_unstable();
    let more = if all.len() > 12 { ", ..." } else { "" };
    all.truncate(12);
    format!("fields are {}{more}", all.join(", "))
}

/// What the value must be, where it is something else.
fn mismatch(value: &Value, schema: &Value) -> Option<String> {
    if schema.get("x-kubernetes-int-or-string").and_then(Value::as_bool) == Some(true) {
        return (!value.is_string() && !is_integer(value)).then(|| "an integer or a text".to_owned());
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let fits = |name: &&str| match *name {
        "string" => value.is_string(),
        "integer" => is_integer(value),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        _ => true,
    };
    // Both halves of Kubernetes' int-or-string, as other generators write it.
    if types.iter().any(fits) || schema.get("format").and_then(Value::as_str) == Some("int-or-string") {
        return None;
    }
    let names = types.iter().filter(|name| **name != "null").map(|name| match *name {
        "string" => "a text (put it in quotes)",
        "integer" => "an integer",
        "number" => "a number",
        "boolean" => "true or false",
        "object" => "an object",
        "array" => "a list",
        other => other,
    });
    Some(names.collect::<Vec<_>>().join(" or "))
}

fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("the text `{}`", text.chars().take(40).collect::<String>()),
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => other.to_string(),
    }
}
