//! The project's own small HTTP backend: what runs in the pods of the end-to-end tests and of the examples.
//!
//! Every path is answered with the version, in the header `X-Version` and in the body; `/healthz` says whether it is ready;
//! `/metrics` counts requests by status code and version, and measures their time. How it behaves is set by environment
//! variables, so that one program is the good version, the bad one and the one that crashes.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The port when `PORT` is not set.
pub const DEFAULT_PORT: u16 = 5678;

/// Upper bounds of the histogram in seconds: fine around the few milliseconds that a healthy answer takes.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// How one backend behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Behaviour {
    /// `VERSION`: what it calls itself; `unknown` when not set.
    pub version: String,
    /// `ERROR_RATE`, 0 to 1: the share of requests that are answered with status 500, evenly spread.
    pub error_rate: f64,
    /// `LATENCY` such as `5ms`: how long each answer is held back.
    pub latency: Duration,
    /// `START_DELAY`: how long it takes before it listens.
    pub start_delay: Duration,
    /// `CRASH_AFTER`: when it ends by itself, with exit code 1.
    pub crash_after: Option<Duration>,
    /// `POD_IP` and `PORT`: where it listens; any address and 5678 when not set.
    pub listen: SocketAddr,
}

impl Behaviour {
    /// Reads it from variables; the error names the variable, its value and what would be right.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let duration = |name: &str| {
            let parse = |text: String| {
                humantime::parse_duration(&text).with_context(|| format!("{name}={text:?}: expected a time like 5ms"))
            };
            variable(name).filter(|text| !text.is_empty()).map(parse).transpose()
        };
        let error_rate = parsed(&variable, "ERROR_RATE", 0.0, "a share from 0 to 1")?;
        ensure!(
            (0.0..=1.0).contains(&error_rate),
            "ERROR_RATE={error_rate}: expected a share from 0 to 1"
        );
        let address = parsed(&variable, "POD_IP", IpAddr::V4(Ipv4Addr::UNSPECIFIED), "an address")?;
        let port = parsed(&variable, "PORT", DEFAULT_PORT, "a port")?;
        Ok(Self {
            version: variable("VERSION").unwrap_or_else(|| "unknown".to_owned()),
            error_rate,
            latency: duration("LATENCY")?.unwrap_or_default(),
            start_delay: duration("START_DELAY")?.unwrap_or_default(),
            crash_after: duration("CRASH_AFTER")?,
            listen: SocketAddr::new(address, port),
        })
    }
}

fn parsed<T>(variable: &impl Fn(&str) -> Option<String>, name: &str, default: T, expected: &str) -> Result<T>
where
    T: FromStr,
    T::Err: Display,
{
    match variable(name).filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .map_err(|error| anyhow!("{name}={text:?}: {error}; expected {expected}")),
    }
}

/// Serves until SIGTERM: then no new connection is accepted, requests under way are answered, and it returns.
pub async fn serve(behaviour: Behaviour) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
    if let Some(life) = behaviour.crash_after {
        tokio::spawn(async move {
            tokio::time::sleep(life).await;
            eprintln!("crashing after {life:?}, as CRASH_AFTER says");
            std::process::exit(1);
        });
    }
    tokio::select! {
        () = tokio::time::sleep(behaviour.start_delay) => {}
        _ = terminate.recv() => return Ok(()),
    }
    let listener = TcpListener::bind(behaviour.listen)
        .await
        .with_context(|| format!("listen on {}", behaviour.listen))?;
    eprintln!("version {} listens on {}", behaviour.version, behaviour.listen);
    let stop = async move {
        terminate.recv().await;
    };
    axum::serve(listener, router(behaviour)?)
        .with_graceful_shutdown(stop)
        .await
        .context("serve")
}

/// The routes of a backend, without a listener.
pub fn router(behaviour: Behaviour) -> Result<Router> {
    let header = HeaderValue::from_str(&behaviour.version)
        .with_context(|| format!("VERSION={:?}: expected what a header can hold", behaviour.version))?;
    let mut registry = Registry::default();
    let requests = Family::<Labels, Counter>::default();
    let durations =
        Family::<VersionLabel, Histogram, fn() -> Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
    registry.register("http_requests", "Requests answered", requests.clone());
    registry.register(
        "http_request_duration_seconds",
        "Time to answer a request",
        durations.clone(),
    );
    let version = behaviour.version.clone();
    // A version that answered nothing yet has counters that say so, not none at all.
    let [ok, failed] = ["200", "500"].map(|code| {
        requests.get_or_create_owned(&Labels {
            code,
            version: version.clone(),
        })
    });
    let duration = durations.get_or_create_owned(&VersionLabel { version });
    let backend = Arc::new(Backend {
        behaviour,
        header,
        seen: AtomicU64::new(0),
        registry,
        ok,
        failed,
        duration,
    });
    Ok(Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(metrics))
        .fallback(answer)
        .with_state(backend))
}

struct Backend {
    behaviour: Behaviour,
    header: HeaderValue,
    seen: AtomicU64,
    registry: Registry,
    ok: Counter,
    failed: Counter,
    duration: Histogram,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    code: &'static str,
    version: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct VersionLabel {
    version: String,
}

async fn answer(State(backend): State<Arc<Backend>>) -> Response {
    let started = Instant::now();
    if !backend.behaviour.latency.is_zero() {
        tokio::time::sleep(backend.behaviour.latency).await;
    }
    let number = backend.seen.fetch_add(1, Ordering::Relaxed);
    let fails = is_failure(number, backend.behaviour.error_rate);
    let (status, counter) = if fails {
        (StatusCode::INTERNAL_SERVER_ERROR, &backend.failed)
    } else {
        (StatusCode::OK, &backend.ok)
    };
    counter.inc();
    backend.duration.observe(started.elapsed().as_secs_f64());
    let body = format!("{}\n", backend.behaviour.version);
    (status, [("x-version", backend.header.clone())], body).into_response()
}

/// Whether the request with this number (from 0) is one of those that fail: after n requests, `floor(n * rate)` have.
#[expect(clippy::cast_precision_loss, reason = "a backend sees far fewer than 2^52 requests")]
fn is_failure(number: u64, rate: f64) -> bool {
    // The small term keeps 0.1 * 10, which is a little below 1 in binary, from being late by one request.
    let failed_after = |count: u64| (count as f64 * rate + 1e-9).floor();
    failed_after(number + 1) > failed_after(number)
}

async fn metrics(State(backend): State<Arc<Backend>>) -> Response {
    let mut body = String::new();
    match text::encode(&mut body, &backend.registry) {
        Ok(()) => (
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            body,
        )
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_spread_evenly_and_their_share_is_exact() {
        for (rate, of, want) in [
            (0.0, 1000, 0),
            (0.05, 1000, 50),
            (0.1, 10, 1),
            (0.001, 1000, 1),
            (1.0, 7, 7),
        ] {
            let failures: Vec<u64> = (0..of).filter(|number| is_failure(*number, rate)).collect();
            assert_eq!(failures.len(), want, "{rate} of {of}: {failures:?}");
        }
        let gaps: Vec<u64> = (0..100).filter(|number| is_failure(*number, 0.25)).collect();
        assert!(gaps.windows(2).all(|pair| pair[1] - pair[0] == 4), "{gaps:?}");
    }

    #[test]
    fn a_wrong_variable_is_named_with_what_would_be_right() {
        let rows = [
            ("ERROR_RATE", "2", "a share from 0 to 1"),
            ("ERROR_RATE", "many", "a share from 0 to 1"),
            ("LATENCY", "5", "a time like 5ms"),
            ("PORT", "99999", "a port"),
            ("POD_IP", "here", "an address"),
        ];
        for (name, value, hint) in rows {
            let error = Behaviour::from_variables(|asked| (asked == name).then(|| value.to_owned()))
                .expect_err("the value is wrong");
            let text = format!("{error:#}");
            assert!(text.contains(name) && text.contains(hint), "{name}={value}: {text}");
        }
    }

    #[tokio::test]
    async fn a_request_is_answered_with_the_version_and_counted() {
        let behaviour = Behaviour::from_variables(|name| match name {
            "VERSION" => Some("v2".to_owned()),
            "ERROR_RATE" => Some("0.5".to_owned()),
            _ => None,
        })
        .expect("the values are right");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound").to_string();
        let routes = router(behaviour).expect("the version fits into a header");
        let server = tokio::spawn(async move { axum::serve(listener, routes).await });
        let mut statuses = Vec::new();
        for _ in 0..4 {
            let answer = crate::http::get(&address, "/any/path").await.expect("it answers");
            assert_eq!(
                (answer.header("x-version"), answer.body.as_slice()),
                (Some("v2"), b"v2\n".as_slice())
            );
            statuses.push(answer.status);
        }
        assert_eq!(statuses, [200, 500, 200, 500]);
        let metrics = crate::http::get(&address, "/metrics").await.expect("it answers");
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        for line in [
            "http_requests_total{code=\"200\",version=\"v2\"} 2",
            "http_requests_total{code=\"500\",version=\"v2\"} 2",
            "http_request_duration_seconds_count{version=\"v2\"} 4",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        server.abort();
    }
}
