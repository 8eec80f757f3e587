//! The manifests as YAML files.
//!
//! Only what a manifest needs: block style, and texts in double quotes wherever a plain one could be read as something
//! else. Own code, because nothing but these files needs a YAML writer.

use std::fmt::Write;

use serde_json::Value;

use crate::crd::all_crds_json;

/// Name and content of each file of `crds/yaml/`.
pub fn yaml_files() -> Vec<(String, String)> {
    let file = |crd: &Value| {
        let name = crd["metadata"]["name"].as_str().expect("every CRD has a name");
        (format!("{name}.yaml"), to_yaml(crd))
    };
    all_crds_json().iter().map(file).collect()
}

/// A JSON object as a YAML document.
fn to_yaml(value: &Value) -> String {
    let mut out = String::from("# Generated from the Rust types; do not edit.\n");
    write_value(&mut out, value, 0);
    out
}

fn write_value(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                pad(out, indent);
                write_entry(out, key, value, indent);
            }
        }
        Value::Array(list) => list.iter().for_each(|item| write_item(out, item, indent)),
        scalar => {
            pad(out, indent);
            push(out, &scalar_text(scalar));
        }
    }
}

fn write_entry(out: &mut String, key: &str, value: &Value, indent: usize) {
    let key = text(key);
    match value {
        Value::Object(map) if !map.is_empty() => {
            push(out, &format!("{key}:"));
            write_value(out, value, indent + 2);
        }
        Value::Array(list) if !list.is_empty() => {
            push(out, &format!("{key}:"));
            write_value(out, value, indent);
        }
        scalar => push(out, &format!("{key}: {}", scalar_text(scalar))),
    }
}

/// An item of a list: `- ` takes the place of the first two blanks of what follows.
fn write_item(out: &mut String, item: &Value, indent: usize) {
    pad(out, indent);
    match item {
        Value::Object(map) if !map.is_empty() => {
            let mut nested = String::new();
            write_value(&mut nested, item, indent + 2);
            push(out, &format!("- {}", nested.trim()));
        }
        Value::Array(list) if !list.is_empty() => {
            push(out, "-");
            write_value(out, item, indent + 2);
        }
        scalar => push(out, &format!("- {}", scalar_text(scalar))),
    }
}

fn scalar_text(value: &Value) -> String {
    match value {
        Value::String(string) => text(string),
        other => other.to_string(),
    }
}

/// Plain if nobody can take it for anything but a text, else in the quotes of JSON, which are also YAML's.
fn text(string: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || " ._/-()%,".contains(c);
    let begins = string.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
    let word = matches!(
        string.to_ascii_lowercase().as_str(),
        "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null" | "nan" | "inf"
    );
    if begins && !word && !string.ends_with(' ') && string.chars().all(plain) {
        string.to_owned()
    } else {
        Value::from(string).to_string()
    }
}

fn pad(out: &mut String, indent: usize) {
    write!(out, "{:indent$}", "").expect("writing to a String does not fail");
}

fn push(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}
