//! Points in time as the API writes them.

use std::borrow::Cow;

use k8s_openapi::jiff::{Timestamp, fmt::strtime};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// An RFC 3339 time, kept as the text that was read.
///
/// The CRDs admit fractions of a second and offsets, and users write `restartAt` by hand; a parsed time would be
/// written back in another form. Times that we make ourselves have whole seconds and end in `Z`, as everywhere in
/// Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(String);

impl Time {
    /// The time, or `None` if the text is not a time that can be represented.
    ///
    /// The API server checks the format, but a status that somebody else wrote is not to be trusted blindly.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.0.parse().ok()
    }

    /// The text as it stands in the object.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Timestamp> for Time {
    /// Cuts off what is finer than a second.
    fn from(at: Timestamp) -> Self {
        let text = strtime::format("%Y-%m-%dT%H:%M:%SZ", at).expect("a timestamp has all fields of this format");
        Self(text)
    }
}

impl From<&str> for Time {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kept_whatever_its_form() {
        for text in [
            "2026-01-02T03:04:05Z",
            "2026-01-02T03:04:05.678901Z",
            "2026-01-02T03:04:05+02:00",
            "soon",
        ] {
            let time: Time = serde_json::from_value(text.into()).unwrap();
            assert_eq!(serde_json::to_value(&time).unwrap(), text);
        }
    }

    #[test]
    fn a_timestamp_is_written_with_whole_seconds_and_read_back() {
        let at: Timestamp = "2026-01-02T03:04:05.9Z".parse().unwrap();
        let time = Time::from(at);
        assert_eq!(time.as_str(), "2026-01-02T03:04:05Z");
        assert_eq!(time.timestamp().unwrap().as_second(), at.as_second());
    }

    #[test]
    fn an_offset_is_understood_and_nonsense_is_none() {
        let time = Time::from("2026-01-02T03:04:05+02:00");
        assert_eq!(time.timestamp(), Some("2026-01-02T01:04:05Z".parse().unwrap()));
        assert_eq!(Time::from("soon").timestamp(), None);
    }
}
