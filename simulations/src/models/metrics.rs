//! A metric server: answers the requests of metric providers in the format of Prometheus.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sluice_analysis::{HttpRequest, HttpResponse, Measured, TransportError};
use sluice_crds::AnalysisPhase;

use crate::clock::START;
use crate::models::Models;
use crate::promql::{self, RequestError, SeriesStore};
use crate::random::Millis;
use crate::series::scraped;
use crate::store::Store;

/// From one scrape to the next, where nothing else is said. Real servers scrape every 15 to 60 s; their analyses last longer.
const SCRAPE_INTERVAL: SignedDuration = SignedDuration::from_secs(5);

/// What the metric server answers.
#[derive(Clone, Debug)]
pub struct MetricModel {
    /// The first rule whose text occurs in the query answers it. A query that no rule answers is evaluated on the series
    /// that Prometheus would have scraped.
    pub rules: Vec<MetricRule>,
    /// From one scrape to the next.
    pub scrape_interval: SignedDuration,
    /// Answers to metrics by their name, one after the other and the last one again and again. They come before the rules.
    pub named: BTreeMap<String, Vec<MetricAnswer>>,
    /// Times in which everything is answered in the same way. They come before all else.
    pub outages: Vec<Outage>,
    /// From the request to the answer.
    pub latency: Millis,
}

/// A time in which every request is answered in the same way.
#[derive(Clone, Debug)]
pub struct Outage {
    /// When it begins, since the start.
    pub from: SignedDuration,
    /// When it ends; never where absent.
    pub until: Option<SignedDuration>,
    /// The answer.
    pub answer: MetricAnswer,
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
    /// The query is PromQL and is evaluated on the series that Prometheus would have scraped.
    Series,
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
                contains: "success_rate{".to_owned(),
                source: MetricSource::SuccessRate,
            },
            MetricRule {
                contains: "error_rate{".to_owned(),
                source: MetricSource::ErrorRate,
            },
        ];
        MetricModel {
            rules,
            scrape_interval: SCRAPE_INTERVAL,
            named: BTreeMap::new(),
            outages: Vec::new(),
            latency: 5..=50,
        }
    }
}

impl Models {
    /// The answer to a request for a metric that is sent now.
    pub(crate) fn measure(
        &mut self,
        now: Timestamp,
        store: &Store,
        metric: &str,
        request: &HttpRequest,
    ) -> Result<HttpResponse, TransportError> {
        self.disturb(now);
        if let Some(answer) = self.prescribed(now.duration_since(START), metric) {
            return respond(answer, now);
        }
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
            None | Some(MetricSource::Series) => return Ok(self.evaluate(now, store, request)),
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

    /// How a Job of a metric ends that is started now. A value other than 0 is that of its exit: it failed.
    pub(crate) fn job(&mut self, now: Timestamp, metric: &str) -> Measured {
        self.disturb(now);
        let phase = match self.prescribed(now.duration_since(START), metric) {
            None | Some(MetricAnswer::Value(0.0)) => AnalysisPhase::Successful,
            Some(MetricAnswer::Value(_)) => AnalysisPhase::Failed,
            Some(_) => AnalysisPhase::Error,
        };
        Measured {
            phase,
            value: None,
            message: None,
        }
    }

    /// The answer of a Prometheus that has scraped all pods and proxies.
    fn evaluate(&self, now: Timestamp, store: &Store, request: &HttpRequest) -> HttpResponse {
        let read = promql::Request::read(&request.url, request.body.as_deref(), now.as_millisecond());
        let answer = read.and_then(|read| promql::answer(&self.scraped_for(now, store, &read)?, &read));
        let (status, body) = match answer {
            Ok(body) => (200, body),
            Err(error) => (error.status(), error.to_json()),
        };
        HttpResponse {
            status,
            body: body.to_string().into_bytes(),
        }
    }

    /// The value of a query now.
    pub(crate) fn query(&mut self, now: Timestamp, store: &Store, text: &str) -> Result<promql::Value, RequestError> {
        self.disturb(now);
        let (query, at_ms) = (promql::Query::parse(text)?, now.as_millisecond());
        let read = promql::Request::Instant {
            query: query.clone(),
            at_ms,
        };
        let series = self.scraped_for(now, store, &read)?;
        Ok(query.instant(&series, at_ms)?)
    }

    /// The series that a request looks at, as far as they have been scraped.
    fn scraped_for(&self, now: Timestamp, store: &Store, read: &promql::Request) -> Result<SeriesStore, RequestError> {
        let mut window = read.window();
        window.until_ms = window.until_ms.min(now.as_millisecond());
        let interval = self.config.metrics.scrape_interval;
        Ok(scraped(&self.history, store, interval, &read.metrics(), window)?)
    }

    /// The answer that does not depend on the query, where there is one.
    fn prescribed(&mut self, since_start: SignedDuration, metric: &str) -> Option<MetricAnswer> {
        let model = &self.config.metrics;
        let during =
            |outage: &&Outage| outage.from <= since_start && outage.until.is_none_or(|until| since_start < until);
        if let Some(outage) = model.outages.iter().find(during) {
            return Some(outage.answer.clone());
        }
        let answers = model.named.get(metric)?;
        let count = self.answered.entry(metric.to_owned()).or_default();
        let answer = answers.get(*count).or_else(|| answers.last()).cloned();
        *count += 1;
        answer
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
    let sample = |value: String| json!([{"metric": {}, "value": [promql::seconds(now.as_millisecond()), value]}]);
    let vector = |result: serde_json::Value| {
        let body = json!({"status": "success", "data": {"resultType": "vector", "result": result}});
        Ok(HttpResponse {
            status: 200,
            body: body.to_string().into_bytes(),
        })
    };
    match answer {
        MetricAnswer::Value(value) => vector(sample(promql::number_text(value))),
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
}
