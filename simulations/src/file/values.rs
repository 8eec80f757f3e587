//! The small values of a scenario file: spans of time, shares, answers of a metric.

use std::borrow::Cow;

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

use crate::models::MetricAnswer;
use crate::random::Millis;

/// A span of time such as `2m30s`, `1h` or `500ms`; a number alone is seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub SignedDuration);

/// A span of time, or two between which it is drawn: `2s`, `1s..3s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanRange(pub Millis);

/// A share from 0 to 1, also written as a percentage: `0.05`, `5%`.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Share(pub f64);

/// What a metric answers: a number, or `NaN`, `+Inf`, `-Inf`, `empty` (no series) or `down` (no answer).
#[derive(Clone, Debug, PartialEq)]
pub struct MetricValue(pub MetricAnswer);

impl Span {
    /// Reads what a person writes.
    pub fn parse(text: &str) -> Result<Span, String> {
        let wrong = || format!("`{text}` is no span of time: write it as `2m30s`, `1h` or `500ms`");
        let span: SignedDuration = match text.parse::<f64>() {
            Ok(seconds) => SignedDuration::try_from_secs_f64(seconds).map_err(|_| wrong())?,
            Err(_) => text.parse().map_err(|_| wrong())?,
        };
        if span.is_negative() {
            return Err(format!("`{text}` is negative"));
        }
        Ok(Span(span))
    }

    /// Milliseconds.
    pub fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(0)
    }
}

impl MetricValue {
    /// Reads what a person writes.
    pub fn parse(text: &str) -> Result<MetricValue, String> {
        let answer = match text.to_lowercase().as_str() {
            "empty" => MetricAnswer::Empty,
            "down" => MetricAnswer::Failure(sluice_analysis::TransportError::Connect),
            "nan" => MetricAnswer::Value(f64::NAN),
            "inf" | "+inf" => MetricAnswer::Value(f64::INFINITY),
            "-inf" => MetricAnswer::Value(f64::NEG_INFINITY),
            other => MetricAnswer::Value(other.parse().map_err(|_| {
                format!("`{text}` is no answer of a metric: a number, NaN, +Inf, -Inf, `empty` or `down`")
            })?),
        };
        Ok(MetricValue(answer))
    }
}

/// A number or a text, as the text that a person wrote.
fn written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(D::Error::custom(format!("`{other}` is neither a text nor a number"))),
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        Span::parse(&written(deserializer)?).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for SpanRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SpanRange, D::Error> {
        let text = written(deserializer)?;
        let (low, high) = text.split_once("..").unwrap_or((&text, &text));
        let low = Span::parse(low.trim()).map_err(D::Error::custom)?;
        let high = Span::parse(high.trim()).map_err(D::Error::custom)?;
        if high < low {
            return Err(D::Error::custom(format!("`{text}` ends before it begins")));
        }
        Ok(SpanRange(low.millis()..=high.millis()))
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Share, D::Error> {
        let text = written(deserializer)?;
        let (number, of) = text
            .strip_suffix('%')
            .map_or((text.as_str(), 1.0), |number| (number.trim(), 100.0));
        let share = number.parse::<f64>().ok().map(|number| number / of);
        let share = share.filter(|share| (0.0..=1.0).contains(share));
        let wrong = || format!("`{text}` is no share: a number from 0 to 1, or a percentage such as 5%");
        share.map(Share).ok_or_else(|| D::Error::custom(wrong()))
    }
}

impl<'de> Deserialize<'de> for MetricValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MetricValue, D::Error> {
        MetricValue::parse(&written(deserializer)?).map_err(D::Error::custom)
    }
}

macro_rules! text_or_number {
    ($($type:ident $pattern:literal $description:literal;)+) => {$(
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": ["string", "number"], "pattern": $pattern, "description": $description})
            }
        }
    )+};
}

text_or_number! {
    Span r"^[0-9]" "a span of time: 2m30s, 1h, 500ms; a number alone is seconds";
    SpanRange r"^[0-9]" "a span of time, or two between which it is drawn: 2s, 1s..3s";
    Share r"^[0-9.]+ *%?$" "a share from 0 to 1, or a percentage: 0.05, 5%";
    MetricValue r"^([-+]?[0-9.eE+-]+|[nN]a[nN]|[-+]?[iI]nf|empty|down)$" "a number, NaN, +Inf, -Inf, empty (no series) or down (no answer)";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (value, millis) in [
            (json!("2m30s"), 150_000),
            (json!("500ms"), 500),
            (json!(4), 4_000),
            (json!("1h"), 3_600_000),
        ] {
            assert_eq!(read::<Span>(value).map(Span::millis), Ok(millis));
        }
        assert_eq!(read::<SpanRange>(json!("1s..3s")), Ok(SpanRange(1_000..=3_000)));
        assert_eq!(read::<SpanRange>(json!("2s")), Ok(SpanRange(2_000..=2_000)));
        for wrong in [json!("soon"), json!(true), json!("-3s")] {
            assert!(read::<Span>(wrong.clone()).is_err(), "{wrong}");
        }
        assert!(read::<SpanRange>(json!("3s..1s")).is_err());
    }

    #[test]
    fn shares_are_numbers_or_percentages() {
        assert_eq!(read::<Share>(json!(0.05)), Ok(Share(0.05)));
        assert_eq!(read::<Share>(json!("5%")), Ok(Share(0.05)));
        for wrong in [json!(5), json!("500%"), json!("x"), json!(-0.1)] {
            assert!(read::<Share>(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
