//! A metric server: answers the requests of metric providers in the format of Prometheus.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sluice_analysis::{HttpRequest, HttpResponse, TransportError};

use crate::clock::{START, millis_since_start};
use crate::models::Models;
use crate::random::Millis;
use crate::store::Store;

/// What the metric server answers.
#[derive(Clone, Debug)]
pub struct MetricModel {
    /// The first rule whose text occurs in the query answers it.
    pub rules: Vec<MetricRule>,
    /// From the request to the answer.
    pub latency: Millis,
}

/// Answers to some queries.
#[derive(Clone, Debug)]
pub struct MetricRule {
    /// Text that occurs in the query; empty for every query.
    pub contains: String,
    /// Where the answer comes from.
    pub source: MetricSource,
}

/// Where an answer comes from.
#[derive(Clone, Debug)]
pub enum MetricSource {
    /// The share of errors among the requests that the revision answered whose hash occurs in the query, or all revisions
    /// where none does. No requests, no data.
    ErrorRate,
    /// One minus the error rate.
    SuccessRate,
    /// Always the same.
    Fixed(MetricAnswer),
    /// A function of the query and of the time since the start.
    Function(fn(&str, SignedDuration) -> MetricAnswer),
}

/// An answer of the metric server.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricAnswer {
    /// A vector with one sample.
    Value(f64),
    /// An empty vector.
    Empty,
    /// A body of this text with status 200.
    Body(String),
    /// An empty body with this status.
    Status(u16),
    /// No answer at all.
    Failure(TransportError),
}

impl Default for MetricModel {
    fn default() -> Self {
        let rules = vec![
            MetricRule {
                contains: "success".to_owned(),
                source: MetricSource::SuccessRate,
            },
            MetricRule {
                contains: String::new(),
                source: MetricSource::ErrorRate,
            },
        ];
        MetricModel { rules, latency: 5..=50 }
    }
}

impl Models {
    /// The answer to a request that is sent now.
    pub(crate) fn measure(
        &mut self,
        now: Timestamp,
        store: &Store,
        request: &HttpRequest,
    ) -> Result<HttpResponse, TransportError> {
        self.disturb(now);
        let query = percent_decoded(&format!(
            "{}\n{}",
            request.url,
            request.body.as_deref().unwrap_or_default()
        ));
        let rule = self
            .config
            .metrics
            .rules
            .iter()
            .find(|rule| query.contains(&rule.contains));
        let answer = match rule.map(|rule| &rule.source) {
            None => MetricAnswer::Empty,
            Some(MetricSource::Fixed(answer)) => answer.clone(),
            Some(MetricSource::Function(function)) => function(&query, now.duration_since(START)),
            Some(MetricSource::ErrorRate) => self
                .error_rate(store, &query)
                .map_or(MetricAnswer::Empty, MetricAnswer::Value),
            Some(MetricSource::SuccessRate) => self
                .error_rate(store, &query)
                .map_or(MetricAnswer::Empty, |rate| MetricAnswer::Value(1.0 - rate)),
        };
        respond(answer, now)
    }

    fn error_rate(&self, store: &Store, query: &str) -> Option<f64> {
        let mut sets = store.list(crate::store::Kind::ReplicaSet);
        let asked = sets.find_map(|(_, set)| {
            let hash = set["metadata"]["labels"][sluice_traffic::REVISION_LABEL].as_str()?;
            let image = set["spec"]["template"]["spec"]["containers"][0]["image"].as_str()?;
            (!hash.is_empty() && query.contains(hash)).then_some(image)
        });
        let served = &self.plane.totals.served;
        let (ok, errors) = served
            .iter()
            .filter(|(image, _)| asked.is_none_or(|asked| asked == &***image))
            .fold((0.0, 0.0), |(ok, errors), (_, served)| {
                (ok + served.ok, errors + served.errors)
            });
        (ok + errors > 0.0).then(|| errors / (ok + errors))
    }
}

fn respond(answer: MetricAnswer, now: Timestamp) -> Result<HttpResponse, TransportError> {
    let sample = |value: String| json!([{"metric": {}, "value": [seconds(now), value]}]);
    let vector = |result: serde_json::Value| {
        let body = json!({"status": "success", "data": {"resultType": "vector", "result": result}});
        Ok(HttpResponse {
            status: 200,
            body: body.to_string().into_bytes(),
        })
    };
    match answer {
        MetricAnswer::Value(value) => vector(sample(prometheus_float(value))),
        MetricAnswer::Empty => vector(json!([])),
        MetricAnswer::Body(text) => Ok(HttpResponse {
            status: 200,
            body: text.into_bytes(),
        }),
        MetricAnswer::Status(status) => Ok(HttpResponse {
            status,
            body: Vec::new(),
        }),
        MetricAnswer::Failure(error) => Err(error),
    }
}

fn seconds(now: Timestamp) -> f64 {
    let millis = u32::try_from(millis_since_start(now)).unwrap_or(u32::MAX);
    f64::from(u32::try_from(START.as_second()).expect("2026 is before 2106")) + f64::from(millis) / 1000.0
}

/// A number as Prometheus writes it.
fn prometheus_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 {
            "+Inf".to_owned()
        } else {
            "-Inf".to_owned()
        }
    } else {
        value.to_string()
    }
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (b'+', _) => {
                decoded.push(b' ');
                at += 1;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_as_they_were_meant() {
        assert_eq!(percent_decoded("a%20b+c%7Bx%3D%22y%22%7D 100%"), "a b c{x=\"y\"} 100%");
    }

    #[test]
    fn numbers_are_written_as_prometheus_does() {
        let rows = [
            (0.05, "0.05"),
            (1.0, "1"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (value, text) in rows {
            assert_eq!(prometheus_float(value), text);
        }
    }
}
