//! Schemas for values that are carried as the JSON that was read.

use schemars::{Schema, SchemaGenerator, json_schema};

/// An object of any content: it is stored, read and written back as it is.
pub fn object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A value of any type: it is stored, read and written back as it is.
pub fn value(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}
