//! Paths to a value in an object, such as `metadata.labels['app']` or `spec.template.spec.containers[0].image`.

use serde_json::Value;

use crate::text::excerpt;

/// Why a path leads to no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldPathError {
    /// Nothing is there, or it is not a path.
    #[error("invalid path {0} in rollout")]
    Invalid(String),
    /// The list is shorter.
    #[error("index {0} out of range")]
    OutOfRange(u64),
    /// In brackets after a list there must be a number.
    #[error("invalid index '{0}'")]
    Index(String),
    /// There is an object or a list.
    #[error("path {0} in rollout must terminate in a primitive value")]
    NotPrimitive(String),
}

/// The text of the string, number or boolean at `path`. A label or annotation that is not set is empty, as it is in the
/// downward API of pods.
pub fn field(object: &Value, path: &str) -> Result<String, FieldPathError> {
    let invalid = || FieldPathError::Invalid(excerpt(path));
    let segments = segments(path).ok_or_else(invalid)?;
    if let ["metadata", map @ ("labels" | "annotations"), key] = segments.as_slice() {
        let value = object
            .get("metadata")
            .and_then(|metadata| metadata.get(map)?.get(key)?.as_str());
        return Ok(value.unwrap_or_default().to_owned());
    }
    let mut value = object;
    for segment in segments {
        let next = match value {
            Value::Array(items) => {
                let index: u64 = segment.parse().map_err(|_| FieldPathError::Index(excerpt(segment)))?;
                let item = usize::try_from(index).ok().and_then(|index| items.get(index));
                Some(item.ok_or(FieldPathError::OutOfRange(index))?)
            }
            other => other.get(segment),
        };
        value = next.ok_or_else(invalid)?;
    }
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Null => Err(invalid()),
        Value::Array(_) | Value::Object(_) => Err(FieldPathError::NotPrimitive(excerpt(path))),
    }
}

/// The names and indexes of a path. `None` if it is not one.
fn segments(path: &str) -> Option<Vec<&str>> {
    let mut segments = Vec::new();
    let mut rest = path
        .strip_prefix("$.")
        .or_else(|| path.strip_prefix('.'))
        .unwrap_or(path);
    while !rest.is_empty() {
        if let Some(bracket) = rest.strip_prefix('[') {
            let (inner, tail) = match bracket.chars().next()? {
                quote @ ('\'' | '"') => {
                    let (inner, tail) = bracket[1..].split_once(quote)?;
                    (inner, tail.strip_prefix(']')?)
                }
                _ => bracket.split_once(']')?,
            };
            segments.push(inner);
            rest = tail;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, tail) = rest.split_at(end);
            if name.is_empty() {
                return None;
            }
            segments.push(name);
            rest = tail;
        }
        if let Some(tail) = rest.strip_prefix('.') {
            if tail.is_empty() {
                return None;
            }
            rest = tail;
        } else if !rest.is_empty() && !rest.starts_with('[') {
            return None;
        }
    }
    (!segments.is_empty()).then_some(segments)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_primitive_values_and_errors_are_those_of_argo_rollouts() {
        let object = json!({
            "metadata": {"name": "shop", "generation": 7, "labels": {"app": "web", "a.b/c": "dots"}, "annotations": null},
            "spec": {
                "paused": true,
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"image": "web:1"}]}},
                "strategy": {"canary": {"steps": [{"setWeight": 20}, {"pause": {}}]}},
                "none": null,
            },
            "status": {"canary": {"weights": {"canary": {"weight": 40}}}},
        });
        for (path, expected) in [
            ("metadata.name", Ok("shop")),
            ("metadata.generation", Ok("7")),
            ("metadata.labels['app']", Ok("web")),
            ("metadata.labels[\"a.b/c\"]", Ok("dots")),
            ("metadata.labels.app", Ok("web")),
            ("metadata.labels['region']", Ok("")),
            ("metadata.annotations['x']", Ok("")),
            ("spec.template.metadata.labels.app", Ok("web")),
            ("$.spec.template.metadata.labels['app']", Ok("web")),
            ("spec.template.spec.containers[0].image", Ok("web:1")),
            ("spec.strategy.canary.steps[0].setWeight", Ok("20")),
            ("spec['strategy']['canary']['steps'][0]['setWeight']", Ok("20")),
            ("spec.paused", Ok("true")),
            ("status.canary.weights.canary.weight", Ok("40")),
            ("spec.strategy.canary.steps[9].setWeight", Err("index 9 out of range")),
            ("spec.strategy.canary.steps[x].setWeight", Err("invalid index 'x'")),
            ("spec.strategy.canary.steps[-1]", Err("invalid index '-1'")),
            (
                "spec.template",
                Err("path spec.template in rollout must terminate in a primitive value"),
            ),
            ("spec.none", Err("invalid path spec.none in rollout")),
            ("spec.nothing", Err("invalid path spec.nothing in rollout")),
            ("spec.paused.x", Err("invalid path spec.paused.x in rollout")),
            ("", Err("invalid path  in rollout")),
            ("spec..paused", Err("invalid path spec..paused in rollout")),
            ("spec.", Err("invalid path spec. in rollout")),
            (
                "metadata.labels['app",
                Err("invalid path metadata.labels['app in rollout"),
            ),
            (
                "metadata.labels['app'x",
                Err("invalid path metadata.labels['app'x in rollout"),
            ),
            (
                "metadata.labels['app']x",
                Err("invalid path metadata.labels['app']x in rollout"),
            ),
        ] {
            let found = field(&object, path).map_err(|error| error.to_string());
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_it_panic(path in ".{0,30}", words in "[a-c.\\[\\]'\"0-9]{0,30}") {
            let object = json!({"a": [{"b": {"c": 1}}]});
            let _ = (field(&object, &path), field(&object, &words));
        }
    }
}
