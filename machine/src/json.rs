//! Merge patches (RFC 7386) between two values.

use serde_json::{Map, Value};

/// The merge patch that turns `old` into `new`, with explicit nulls for what is gone; `None` where they are equal.
/// Both must be objects for the patch to be minimal; lists are replaced whole, as RFC 7386 has it.
pub fn diff(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return Some(new.clone());
    };
    let mut patch = Map::new();
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, new_value) in new {
        match old.get(key) {
            None => {
                patch.insert(key.clone(), new_value.clone());
            }
            Some(old_value) => {
                if let Some(change) = diff(old_value, new_value) {
                    patch.insert(key.clone(), change);
                }
            }
        }
    }
    Some(Value::Object(patch))
}

/// Adds the members of one merge patch to another one; nulls stay, because they mean removal.
pub fn overlay(patch: &mut Value, more: &Value) {
    match (patch, more) {
        (Value::Object(patch), Value::Object(more)) => {
            for (key, value) in more {
                overlay(patch.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (patch, more) => *patch = more.clone(),
    }
}

/// Applies a merge patch (RFC 7386).
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, change) in patch {
        if change.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), change);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_applied_to_the_old_value_gives_the_new_one() {
        let rows = [
            (json!({}), json!({"a": 1})),
            (
                json!({"a": 1, "b": {"c": 1, "d": [1]}}),
                json!({"b": {"d": [2], "e": {"f": true}}}),
            ),
            (json!({"a": {"b": 1}}), json!({"a": 2})),
            (json!({"a": 2}), json!({"a": {"b": 1}})),
            (json!({"a": {"b": {}}}), json!({"a": {}})),
        ];
        for (old, new) in rows {
            let patch = diff(&old, &new).unwrap();
            let mut patched = old.clone();
            merge(&mut patched, &patch);
            assert_eq!(patched, new, "{old} -> {new} by {patch}");
        }
        assert_eq!(diff(&json!({"a": 1}), &json!({"a": 1})), None);
    }

    #[test]
    fn what_did_not_change_is_not_in_the_patch_and_what_is_gone_is_null() {
        let patch = diff(
            &json!({"a": 1, "b": 2, "c": {"d": 1, "e": 2}}),
            &json!({"a": 1, "c": {"d": 1, "e": 3}}),
        );
        assert_eq!(patch, Some(json!({"b": null, "c": {"e": 3}})));
    }
}
