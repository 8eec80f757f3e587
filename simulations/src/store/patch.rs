//! JSON merge patches (RFC 7386) as the API server applies them.

use serde_json::{Map, Value};

/// Whether applying `patch` would change `target`. An absent target is `Value::Null`.
pub(crate) fn would_change(target: &Value, patch: &Value) -> bool {
    let Value::Object(patch) = patch else {
        return target != patch;
    };
    let Value::Object(target) = target else { return true };
    patch.iter().any(|(key, change)| match (target.get(key), change) {
        (None, Value::Null) => false,
        (None, _) | (Some(_), Value::Null) => true,
        (Some(value), _) => would_change(value, change),
    })
}

/// Applies `patch`.
pub(crate) fn apply(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (key, change) in patch {
        if change.is_null() {
            fields.remove(key);
        } else if let Some(value) = fields.get_mut(key) {
            apply(value, change);
        } else {
            let mut value = Value::Null;
            apply(&mut value, change);
            fields.insert(key.clone(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patches_follow_the_examples_of_rfc_7386_and_announce_changes() {
        let rows = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
            // No-ops.
            (
                json!({"a": {"b": 1}}),
                json!({"a": {"b": 1, "c": null}}),
                json!({"a": {"b": 1}}),
            ),
            (json!({"a": [1]}), json!({"a": [1]}), json!({"a": [1]})),
        ];
        for (before, patch, after) in rows {
            let mut patched = before.clone();
            apply(&mut patched, &patch);
            assert_eq!(patched, after, "{before} + {patch}");
            assert_eq!(would_change(&before, &patch), before != after, "{before} + {patch}");
        }
    }
}
