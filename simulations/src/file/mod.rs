//! Scenario files: what happens to manifests, in YAML.
//!
//! ```text
//! text ──read──> ScenarioFile ──with manifests──> Scenario ──play──> Report ──judge──> expectations met or not
//! ```

mod build;
mod complete;
mod default;
mod expect;
mod lines;
mod types;
mod values;

use serde::Deserialize as _;

use crate::similar::similar;

pub use build::{Prepared, prepare};
pub use complete::{Completed, complete};
pub use default::{go_on, good_and_bad};
pub use types::*;
pub use values::{MetricValue, Share, Span, SpanRange};

/// Why a scenario file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It is no YAML.
    #[error("is no YAML: {0}")]
    Yaml(String),
    /// A field is not what it must be.
    #[error("{path}: {problem}")]
    Field {
        /// Where.
        path: String,
        /// What is wrong and what would be right.
        problem: String,
    },
}

impl FileError {
    fn field(path: impl Into<String>, problem: impl Into<String>) -> FileError {
        FileError::Field {
            path: path.into(),
            problem: problem.into(),
        }
    }
}

/// Reads a scenario file.
pub fn read(text: &str) -> Result<ScenarioFile, FileError> {
    let value: Option<serde_json::Value> = serde_saphyr::from_str(text).map_err(|error| {
        let text = error.without_snippet().to_string();
        FileError::Yaml(text.lines().next().unwrap_or_default().to_owned())
    })?;
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(ScenarioFile::default());
    };
    let mut track = serde_path_to_error::Track::new();
    let read = ScenarioFile::deserialize(serde_path_to_error::Deserializer::new(value, &mut track));
    read.map_err(|error| {
        let path = track.path().to_string();
        FileError::field(
            if path == "." { "the file".to_owned() } else { path },
            meant(&error.to_string()),
        )
    })
}

/// The JSON schema of scenario files, for editors.
pub fn schema() -> serde_json::Value {
    let generator = schemars::generate::SchemaSettings::draft07().into_generator();
    generator.into_root_schema_for::<ScenarioFile>().to_value()
}

/// The message of serde about a field that does not exist, with the one that was meant instead of all of them.
fn meant(message: &str) -> String {
    let named: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let [unknown, known @ ..] = named.as_slice() else {
        return message.to_owned();
    };
    if !message.starts_with("unknown ") {
        return message.to_owned();
    }
    let what = if message.starts_with("unknown field") {
        "field"
    } else {
        "value"
    };
    match similar(unknown, known.iter().copied()).first() {
        Some(near) => format!("`{unknown}` is no {what} here; did you mean `{near}`?"),
        None => format!("`{unknown}` is no {what} here; there are {}", known.join(", ")),
    }
}
