//! Who wrote a field, and when, as `metadata.managedFields` tell.

use jiff::Timestamp;
use serde_json::Value;

use crate::FIELD_MANAGER;

/// The newest manager other than ours that wrote the field at `path` (`["f:spec", "f:rules"]`). Writes of a subresource do not
/// count. `None` where the fields do not tell.
pub(crate) fn foreign_manager(object: &Value, path: &[&str]) -> Option<String> {
    newest_foreign(writes(object, path))
}

/// [`foreign_manager`] where any of several fields counts.
pub(crate) fn newest_foreign_manager(object: &Value, paths: &[[&str; 2]]) -> Option<String> {
    newest_foreign(paths.iter().flat_map(|path| writes(object, path)))
}

fn newest_foreign<'a>(writes: impl Iterator<Item = Write<'a>>) -> Option<String> {
    writes
        .filter(|write| !write.manager.starts_with(FIELD_MANAGER))
        .max_by_key(|write| write.at)
        .map(|write| write.manager.to_owned())
}

/// When the field at `path` was last written by anybody, in whole seconds.
pub(crate) fn last_write(object: &Value, path: &[&str]) -> Option<Timestamp> {
    writes(object, path).filter_map(|write| write.at).max()
}

struct Write<'a> {
    manager: &'a str,
    at: Option<Timestamp>,
}

/// The entries that own the field, in the object's order. Of entries with the same time `max_by_key` takes the last one.
fn writes<'a>(object: &'a Value, path: &'a [&str]) -> impl Iterator<Item = Write<'a>> {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    entries.into_iter().flatten().filter_map(move |entry| {
        let text = |field| entry.get(field).and_then(Value::as_str);
        let writes = matches!(text("operation"), Some("Apply" | "Update"));
        let main = text("subresource").unwrap_or_default().is_empty();
        let manager = text("manager").filter(|name| !name.is_empty())?;
        if !(writes && main && owns(entry.get("fieldsV1")?, path)) {
            return None;
        }
        Some(Write {
            manager,
            at: text("time").and_then(|time| time.parse().ok()),
        })
    })
}

/// Whether a set of fields has the path. A field with nothing below it is owned as a whole.
fn owns(fields: &Value, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return true;
    };
    let Some(below) = fields.get(first).and_then(Value::as_object) else {
        return false;
    };
    below.is_empty() || owns(&fields[*first], rest)
}
