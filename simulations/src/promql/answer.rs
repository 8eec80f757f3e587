//! Prometheus' HTTP API: what a request asks for, and the answer as JSON.

use serde_json::{Value as Json, json};

use super::over_time::seconds;
use super::{Labels, Point, Query, QueryError, SeriesStore, StoreError, Value, Window};

/// A query with its times, as a request of the HTTP API gives them.
#[derive(Clone, Debug)]
pub enum Request {
    /// `/api/v1/query`.
    Instant {
        /// The query.
        query: Query,
        /// When it is evaluated.
        at_ms: i64,
    },
    /// `/api/v1/query_range`.
    Range {
        /// The query.
        query: Query,
        /// The first step.
        start_ms: i64,
        /// No step is after this.
        end_ms: i64,
        /// From one step to the next.
        step_ms: i64,
    },
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The path is not one of the two.
    #[error("the simulator answers /api/v1/query and /api/v1/query_range only, not {0}")]
    NotFound(String),
    /// A parameter is missing or wrong.
    #[error("invalid parameter {name:?}: {problem}")]
    Parameter {
        /// Which one.
        name: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The query.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The series that it looks at.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RequestError {
    /// The status code of the answer.
    pub fn status(&self) -> u16 {
        match self {
            RequestError::NotFound(_) => 404,
            RequestError::Parameter { .. } => 400,
            RequestError::Query(error) if error.category() == "bad_data" => 400,
            RequestError::Query(_) | RequestError::Store(_) => 422,
        }
    }

    /// The body of the answer.
    pub fn to_json(&self) -> Json {
        let kind = match self {
            RequestError::NotFound(_) => "not_found",
            RequestError::Parameter { .. } => "bad_data",
            RequestError::Query(error) => error.category(),
            RequestError::Store(_) => "execution",
        };
        json!({"status": "error", "errorType": kind, "error": self.to_string()})
    }
}

impl Request {
    /// Reads a request: its URL, and the form in its body or in the URL. Times are seconds since 1970; an instant query
    /// without a time is evaluated `now_ms`.
    pub fn read(url: &str, body: Option<&str>, now_ms: i64) -> Result<Request, RequestError> {
        let (path, in_url) = url.split_once('?').unwrap_or((url, ""));
        let form: Vec<(String, String)> = form_urlencoded::parse(body.unwrap_or_default().as_bytes())
            .into_owned()
            .chain(form_urlencoded::parse(in_url.as_bytes()).into_owned())
            .collect();
        let find = |name: &str| {
            form.iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        let query = || Ok::<_, RequestError>(Query::parse(find("query").unwrap_or_default())?);
        let time = |name| {
            let missing = || RequestError::Parameter {
                name,
                problem: "it is missing".to_owned(),
            };
            millis_of(name, find(name).ok_or_else(missing)?)
        };
        if path.ends_with("/api/v1/query") {
            let at_ms = if find("time").is_some() { time("time")? } else { now_ms };
            Ok(Request::Instant { query: query()?, at_ms })
        } else if path.ends_with("/api/v1/query_range") {
            Ok(Request::Range {
                query: query()?,
                start_ms: time("start")?,
                end_ms: time("end")?,
                step_ms: time("step")?,
            })
        } else {
            Err(RequestError::NotFound(path.to_owned()))
        }
    }

    /// The names of the metrics that are selected; `None` stands for a selector that gives no name.
    pub fn metrics(&self) -> Vec<Option<String>> {
        match self {
            Request::Instant { query, .. } | Request::Range { query, .. } => query.metrics(),
        }
    }

    /// The times whose samples are looked at.
    pub fn window(&self) -> Window {
        match self {
            Request::Instant { query, at_ms } => query.window(*at_ms, *at_ms),
            Request::Range {
                query,
                start_ms,
                end_ms,
                ..
            } => query.window(*start_ms, *end_ms),
        }
    }
}

/// The body of the answer to a request.
pub fn answer(store: &SeriesStore, request: &Request) -> Result<Json, RequestError> {
    let (value, at_ms) = match request {
        Request::Instant { query, at_ms } => (query.instant(store, *at_ms)?, *at_ms),
        Request::Range {
            query,
            start_ms,
            end_ms,
            step_ms,
        } => (query.range(store, *start_ms, *end_ms, *step_ms)?, *end_ms),
    };
    Ok(json!({"status": "success", "data": value.to_json(at_ms)}))
}

impl Value {
    /// As the HTTP API writes it: type and result. `at_ms` is when it was evaluated.
    pub fn to_json(&self, at_ms: i64) -> Json {
        let pair = |at_ms: i64, text: &str| match at_ms % 1000 {
            0 => json!([at_ms / 1000, text]),
            _ => json!([seconds(at_ms), text]),
        };
        let number = |point: &Point| pair(point.at_ms, &number_text(point.value));
        match self {
            Value::Scalar(value) => json!({"resultType": "scalar", "result": pair(at_ms, &number_text(*value))}),
            Value::Text(text) => json!({"resultType": "string", "result": pair(at_ms, text)}),
            Value::Vector(samples) => {
                let samples = samples.iter().map(|sample| {
                    json!({"metric": labels_json(&sample.labels), "value": pair(at_ms, &number_text(sample.value))})
                });
                json!({"resultType": "vector", "result": samples.collect::<Vec<_>>()})
            }
            Value::Matrix(series) => {
                let series = series.iter().map(|series| {
                    let points: Vec<Json> = series.points.iter().map(number).collect();
                    json!({"metric": labels_json(&series.labels), "values": points})
                });
                json!({"resultType": "matrix", "result": series.collect::<Vec<_>>()})
            }
        }
    }
}

fn labels_json(labels: &Labels) -> Json {
    labels
        .iter()
        .map(|(name, value)| (name.to_owned(), Json::from(value)))
        .collect()
}

/// A number as Prometheus writes it: never with an exponent.
pub fn number_text(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}

/// Seconds since 1970, or a number of seconds, as milliseconds.
fn millis_of(name: &'static str, text: &str) -> Result<i64, RequestError> {
    /// Far enough for any time that a simulation has, and small enough to reckon with.
    const MOST_SECONDS: f64 = 1e12;
    let seconds: Option<f64> = text.parse().ok();
    match seconds.filter(|seconds| seconds.abs() < MOST_SECONDS) {
        #[expect(clippy::cast_possible_truncation, reason = "the bound is checked")]
        Some(seconds) => Ok((seconds * 1000.0).round() as i64),
        None => Err(RequestError::Parameter {
            name,
            problem: format!("cannot parse {text:?} as a number of seconds"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_prometheus_does() {
        let rows = [
            (0.05, "0.05"),
            (1.0, "1"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (1e21, "1000000000000000000000"),
            (2.5e-7, "0.00000025"),
        ];
        for (value, text) in rows {
            assert_eq!(number_text(value), text);
        }
    }

    #[test]
    fn requests_are_read_from_the_url_or_the_body() {
        let read = |url: &str, body| Request::read(url, body, 7_000);
        let now = read("http://p:9090/api/v1/query", Some("query=up%7Bjob%3D%22a%22%7D")).unwrap();
        assert!(matches!(&now, Request::Instant { at_ms: 7_000, .. }));
        assert_eq!(now.metrics(), [Some("up".to_owned())]);
        let range = read("http://p/api/v1/query_range?query=up&start=1.5&end=3&step=0.5", None).unwrap();
        assert!(matches!(
            range,
            Request::Range {
                start_ms: 1_500,
                end_ms: 3_000,
                step_ms: 500,
                ..
            }
        ));
        let problems = [
            ("/api/v1/query?query=up&time=x", 400),
            ("/api/v1/query?query=up(", 400),
            ("/api/v1/query_range?query=up&start=1&end=2", 400),
            ("/api/v1/labels", 404),
        ];
        for (url, status) in problems {
            assert_eq!(read(url, None).unwrap_err().status(), status, "{url}");
        }
    }
}
