//! Hashes of templates and steps, from canonical JSON.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Letters of the short hashes: no vowels and nothing that looks alike, so that no words come out. The alphabet that
/// Kubernetes uses for generated names.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Identity of a pod template: SHA-256 of its canonical JSON (keys sorted, nulls left out, no white space), in hex.
/// Two templates with the same hash are the same revision.
pub fn canonical(value: &Value) -> String {
    use std::fmt::Write;
    digest(value, 0)
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// A short name for a value: ten letters, fit for object names and label values. `salt` makes another name for the same
/// value where the first one is taken.
pub fn short(value: &Value, salt: u32) -> String {
    letters(value, salt, 10)
}

/// Hash of the steps of a canary. It is longer than any that Argo Rollouts writes (a 32 bit number, digit by digit: ten letters
/// at most, and ten in three of four cases), so that a hash tells who wrote it.
pub fn of_steps(steps: &Value) -> String {
    letters(steps, 0, 12)
}

fn letters(value: &Value, salt: u32, count: usize) -> String {
    let digest = digest(value, salt);
    digest
        .iter()
        .take(count)
        .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect()
}

fn digest(value: &Value, salt: u32) -> [u8; 32] {
    let mut text = Vec::new();
    write_canonical(value, &mut text);
    let mut hasher = Sha256::new();
    hasher.update(&text);
    if salt > 0 {
        hasher.update(salt.to_le_bytes());
    }
    hasher.finalize().into()
}

/// Own writer instead of `Value::to_string`: the order of keys must not depend on a cargo feature of `serde_json`.
fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().filter(|(_, value)| !value.is_null()).collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            out.push(b'{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_json(key, out);
                out.push(b':');
                write_canonical(value, out);
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_canonical(item, out);
            }
            out.push(b']');
        }
        scalar => write_json(scalar, out),
    }
}

fn write_json(value: &(impl serde::Serialize + ?Sized), out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("texts and numbers are JSON, and a Vec takes everything");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn order_of_keys_and_nulls_do_not_matter_and_everything_else_does() {
        let one = json!({"a": 1, "b": {"c": [1, 2], "d": "x"}});
        assert_eq!(
            canonical(&one),
            canonical(&json!({"b": {"d": "x", "c": [1, 2], "e": null}, "a": 1}))
        );
        for other in [
            json!({"a": 1, "b": {"c": [2, 1], "d": "x"}}),
            json!({"a": "1", "b": {"c": [1, 2], "d": "x"}}),
            json!({"a": 1, "b": {"c": [1, 2]}}),
            json!({"a": 1, "b": {"c": [1, 2], "d": ""}}),
        ] {
            assert_ne!(canonical(&one), canonical(&other), "{other}");
        }
    }

    #[test]
    fn short_hashes_are_fit_for_label_values_and_depend_on_the_salt() {
        let value = json!({"a": 1});
        let short_hash = short(&value, 0);
        assert_eq!(short_hash.len(), 10);
        assert!(short_hash.bytes().all(|letter| LETTERS.contains(&letter)));
        assert_ne!(short_hash, short(&value, 1));
        assert_ne!(short(&value, 1), short(&value, 2));
    }
}
