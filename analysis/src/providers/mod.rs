//! One file for each metric provider.
//!
//! A provider turns a metric whose arguments are filled in into an [`HttpRequest`], and the answer into a [`Reading`], which
//! the metric's conditions judge. [`prepare`] does the whole of it for one measurement.

pub mod prometheus;
mod time;

use std::collections::BTreeMap;

use jiff::Timestamp;
use sluice_crds::{AnalysisPhase, Argument, Metric};

use crate::args::{self, Secrets};
use crate::conditions::{Conditions, Reading, Verdict};
use crate::{HttpRequest, HttpResponse, TransportError, text};

/// What a provider may know beside the metric.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Environment variables that providers know, for example `ARGO_ROLLOUTS_PROMETHEUS_ADDRESS`.
    pub variables: BTreeMap<String, String>,
}

/// A measurement as a provider judged it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Successful, Failed, Inconclusive or Error.
    pub phase: AnalysisPhase,
    /// The value as users read it, for example `[0.97]`; at most 1 KiB.
    pub value: Option<String>,
    /// Why, where the phase alone does not say it; at most 1 KiB.
    pub message: Option<String>,
}

/// Why no request can be made from a metric.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The metric's provider, or a field of it, is not served.
    #[error("{0} is not supported yet")]
    Unsupported(String),
    /// Something in the metric is wrong.
    #[error("{path}: {problem}")]
    Invalid {
        /// Field path within the metric.
        path: String,
        /// What is wrong and what would be right.
        problem: String,
    },
}

/// What a provider found in an answer: the value as users read it, and what the conditions see.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The value as users read it, for example `[0.97]`.
    pub text: String,
    /// The value as conditions see it.
    pub reading: Reading,
}

/// A measurement that is ready to be taken. Holds secrets: `Debug` shows the metric's name only.
#[derive(Clone)]
pub struct Prepared {
    /// The request to send.
    pub request: HttpRequest,
    metric: Metric,
    secrets: Secrets,
}

/// Fills in the arguments and makes the request. Where that is not possible, the measurement is over and is an Error.
pub fn prepare(
    now: Timestamp,
    metric: &Metric,
    arguments: &[Argument],
    secrets: Secrets,
    environment: &Environment,
) -> Result<Prepared, Measured> {
    let error = |text: String| Measured::error(&secrets.scrub(&text));
    let resolved = args::resolve(metric, arguments, Some(&secrets)).map_err(|problem| error(problem.to_string()))?;
    let request = request(now, &resolved, environment).map_err(|problem| error(problem.to_string()))?;
    Ok(Prepared {
        request,
        metric: resolved,
        secrets,
    })
}

impl Prepared {
    /// Judges what came back.
    pub fn judge(&self, answer: Result<HttpResponse, TransportError>) -> Measured {
        measure(&self.metric, answer, &self.secrets)
    }

    /// What users may want to know about the metric as it was measured, for `metadata` of its result.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        metadata(&self.metric, &self.secrets)
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared")
            .field("metric", &self.metric.name)
            .finish_non_exhaustive()
    }
}

/// The request that measures `metric` at `now`. The metric's arguments are filled in already.
pub fn request(now: Timestamp, metric: &Metric, environment: &Environment) -> Result<HttpRequest, ProviderError> {
    match (&metric.provider.prometheus, unsupported(metric)) {
        (_, Some(error)) => Err(error),
        (Some(prometheus), None) => prometheus::request(now, prometheus, environment),
        (None, None) => Err(none()),
    }
}

/// Judges an answer by the metric's conditions. Total: whatever came back becomes a phase. No text of the result contains a
/// value of `secrets`.
pub fn measure(metric: &Metric, answer: Result<HttpResponse, TransportError>, secrets: &Secrets) -> Measured {
    let response = match answer {
        Ok(response) => response,
        Err(error) => return Measured::error(&error.to_string()),
    };
    let found = match (&metric.provider.prometheus, unsupported(metric)) {
        (_, Some(error)) => Err(error.to_string()),
        (Some(_), None) => prometheus::read(&response),
        (None, None) => Err(none().to_string()),
    };
    match found {
        Ok(found) => judged(metric, &found, secrets),
        Err(error) => Measured::error(&secrets.scrub(&error)),
    }
}

/// What users may want to know about the metric as it was measured, for `metadata` of its result, under Argo's names.
pub fn metadata(metric: &Metric, secrets: &Secrets) -> BTreeMap<String, String> {
    let query = metric
        .provider
        .prometheus
        .as_ref()
        .and_then(|prometheus| prometheus.query.as_deref());
    let entry = |query: &str| {
        (
            "ResolvedPrometheusQuery".to_owned(),
            text::bounded(&secrets.scrub(query)),
        )
    };
    query.map(entry).into_iter().collect()
}

/// All problems of a metric's provider that show without asking it. Texts with an open `{{...}}` are not looked at.
pub fn problems(metric: &Metric) -> Vec<ProviderError> {
    match (&metric.provider.prometheus, unsupported(metric)) {
        (_, Some(error)) => vec![error],
        (Some(prometheus), None) => prometheus::problems(prometheus),
        (None, None) => vec![none()],
    }
}

/// The names of the providers that a metric gives.
pub fn providers(metric: &Metric) -> Vec<String> {
    match serde_json::to_value(&metric.provider) {
        Ok(serde_json::Value::Object(fields)) => fields.into_iter().map(|(name, _)| name).collect(),
        _ => Vec::new(),
    }
}

impl Measured {
    /// A measurement that could not be taken.
    pub fn error(message: &str) -> Measured {
        Measured {
            phase: AnalysisPhase::Error,
            value: None,
            message: Some(text::bounded(message)),
        }
    }
}

fn judged(metric: &Metric, found: &Found, secrets: &Secrets) -> Measured {
    let conditions = Conditions::parse(metric.success_condition.as_deref(), metric.failure_condition.as_deref());
    let verdict = match conditions {
        Ok(conditions) => conditions.judge(&found.reading).map_err(|error| error.to_string()),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
    };
    let (phase, message) = match verdict {
        Ok(Verdict::Successful) => (AnalysisPhase::Successful, None),
        Ok(Verdict::Failed) => (AnalysisPhase::Failed, None),
        Ok(Verdict::Inconclusive) => (AnalysisPhase::Inconclusive, None),
        Err(message) => (AnalysisPhase::Error, Some(text::bounded(&secrets.scrub(&message)))),
    };
    Measured {
        phase,
        value: Some(text::bounded(&secrets.scrub(&found.text))),
        message,
    }
}

/// The first provider that is given and not served, or a second one.
fn unsupported(metric: &Metric) -> Option<ProviderError> {
    let given = providers(metric);
    if given.len() > 1 {
        let problem = format!("multiple providers specified ({}): give exactly one", given.join(", "));
        return Some(ProviderError::Invalid {
            path: "provider".to_owned(),
            problem,
        });
    }
    let name = given.into_iter().find(|name| name != "prometheus")?;
    Some(ProviderError::Unsupported(format!("provider.{name}")))
}

fn none() -> ProviderError {
    ProviderError::Invalid {
        path: "provider".to_owned(),
        problem: "no provider specified: give one, for example prometheus".to_owned(),
    }
}
