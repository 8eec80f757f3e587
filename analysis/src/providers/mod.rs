//! One file for each metric provider.
//!
//! A provider turns a metric whose arguments are filled in into requests, and what comes back into a [`Found`], which the
//! metric's conditions judge. [`start`] begins one measurement; whoever holds it sends what it asks for and tells it what came
//! back ([`Measuring::hear`]) until it is done:
//!
//! ```text
//! start ──> Next::Send(request) ──hear(answer)──> Next::Send ... ──hear──> Next::Done(Measured)
//! ```
//!
//! Nothing of a measurement is kept anywhere else: after a crash it is taken again from its beginning.

mod account;
mod answer;
mod aws;
mod cloud_watch;
mod datadog;
mod graphite;
mod graphql;
mod influxdb;
pub mod job;
mod json_path;
mod kayenta;
mod new_relic;
mod oauth2;
pub mod prometheus;
mod shared;
mod skywalking;
mod talk;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod time;
mod wavefront;
mod web;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sluice_crds::{AnalysisPhase, Argument, Metric, MetricProvider};

use crate::args::{self, SecretRef, Secrets};
use crate::conditions::{Conditions, Reading, Verdict};
use crate::{HttpRequest, HttpResponse, TransportError, text};
pub use job::JobWish;
use talk::{Say, Talk};

/// Most requests of one measurement: Kayenta is asked every 15 s for up to an hour.
const MAX_REQUESTS: usize = 250;

/// What a provider may know beside the metric.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Environment variables that providers know, for example `ARGO_ROLLOUTS_PROMETHEUS_ADDRESS`: those of [`VARIABLES`].
    pub variables: BTreeMap<String, String>,
    /// What stands in the file that `AWS_WEB_IDENTITY_TOKEN_FILE` names, read for this measurement. A secret.
    pub web_identity_token: Option<String>,
}

/// Names of the environment variables that providers look at.
pub const VARIABLES: &[&str] = &[
    prometheus::ADDRESS_VARIABLE,
    aws::ACCESS_KEY,
    aws::SECRET_KEY,
    aws::SESSION_TOKEN,
    aws::REGION,
    aws::DEFAULT_REGION,
    aws::ROLE,
    aws::ROLE_SESSION,
    WEB_IDENTITY_TOKEN_FILE,
];
/// The environment variable with the path of the token for AWS.
pub const WEB_IDENTITY_TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";

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
    #[error("{0}")]
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

/// What must be read of Secrets in the run's namespace before a measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Values that are shown nowhere.
    pub secrets: BTreeSet<SecretRef>,
    /// Values beside them that are no secrets, such as the address of a service.
    pub settings: BTreeSet<SecretRef>,
}

/// What a measurement needs next.
#[derive(Debug)]
pub enum Next {
    /// Send a request, and tell what came back.
    Send(HttpRequest),
    /// Send a request after some time, and tell what came back.
    SendAfter(Duration, HttpRequest),
    /// Run a Job to its end; that is the measurement.
    Run(JobWish),
    /// It is over.
    Done(Measured),
}

/// A measurement under way. Holds secrets: `Debug` shows the metric's name only.
pub struct Measuring {
    metric: Metric,
    secrets: Secrets,
    talk: Box<dyn Talk>,
    requests: usize,
}

/// What must be read before `metric` can be measured.
pub fn needs(metric: &Metric, arguments: &[Argument]) -> Needs {
    let mut needs = Needs::default();
    if metric.provider.job.is_none() {
        needs.secrets = args::secret_refs(arguments);
    }
    if let Ok(metric) = args::resolve(metric, arguments, None)
        && let Ok(provider) = provider(&metric)
    {
        provider.add_needs(&mut needs);
    }
    needs
}

/// Fills in the arguments and begins a measurement. Where that is not possible, the measurement is over and is an Error.
pub fn start(
    now: Timestamp,
    metric: &Metric,
    arguments: &[Argument],
    secrets: Secrets,
    environment: &Environment,
) -> Result<(Measuring, Next), Measured> {
    let error = |text: String| Measured::error(&secrets.scrub(&text));
    // A Job is stored where others read it: it gets references to Secrets.
    let values = metric.provider.job.is_none().then_some(&secrets);
    let resolved = args::resolve(metric, arguments, values).map_err(|problem| error(problem.to_string()))?;
    let talk = provider(&resolved)
        .and_then(|provider| {
            provider.talk(&Context {
                now,
                arguments,
                environment,
                secrets: &secrets,
            })
        })
        .map_err(|problem| error(problem.to_string()))?;
    let mut measuring = Measuring {
        metric: resolved,
        secrets,
        talk,
        requests: 0,
    };
    let said = measuring.talk.start(now);
    let next = measuring.next(said);
    Ok((measuring, next))
}

impl Measuring {
    /// Takes in what came back and says what comes next. Total: whatever it is, the measurement goes on or ends.
    pub fn hear(&mut self, now: Timestamp, answer: Result<HttpResponse, TransportError>) -> Next {
        match answer {
            Err(error) => Next::Done(Measured::error(&error.to_string())),
            Ok(response) => {
                let said = self.talk.hear(now, &response);
                self.next(said)
            }
        }
    }

    /// What users may want to know about the metric as it was measured, for `metadata` of its result, under Argo's names.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let shown = |(name, text): (&str, &str)| (name.to_owned(), text::bounded(&self.secrets.scrub(text)));
        provider(&self.metric)
            .ok()
            .and_then(Provider::query)
            .map(shown)
            .into_iter()
            .collect()
    }

    fn next(&mut self, said: Result<Say, String>) -> Next {
        self.requests += 1;
        let measured = match said {
            Err(text) => Measured::error(&text),
            Ok(Say::Send(_) | Say::SendAfter(..)) if self.requests > MAX_REQUESTS => {
                Measured::error("the provider has no result yet: it is given up")
            }
            Ok(Say::Send(request)) => return Next::Send(request),
            Ok(Say::SendAfter(after, request)) => return Next::SendAfter(after, request),
            Ok(Say::Run(wish)) => return Next::Run(wish),
            Ok(Say::Found(found)) => judged(&self.metric, &found),
            Ok(Say::Judged { phase, value, message }) => Measured { phase, value, message },
        };
        Next::Done(self.shown(measured))
    }

    /// A measurement as it may be seen: without secrets, and not too long.
    fn shown(&self, measured: Measured) -> Measured {
        let hidden = self.talk.hidden();
        let clean = |text: String| {
            let text = hidden
                .iter()
                .filter(|hidden| !hidden.is_empty())
                .fold(text, |text, hidden| text.replace(hidden, args::HIDDEN));
            text::bounded(&self.secrets.scrub(&text))
        };
        Measured {
            phase: measured.phase,
            value: measured.value.map(clean),
            message: measured.message.map(clean),
        }
    }
}

impl std::fmt::Debug for Measuring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Measuring")
            .field("metric", &self.metric.name)
            .finish_non_exhaustive()
    }
}

/// All problems of a metric's provider that show without asking it. Texts with an open `{{...}}` are not looked at.
pub fn problems(metric: &Metric) -> Vec<ProviderError> {
    match provider(metric) {
        Ok(provider) => provider.problems(),
        Err(problem) => vec![problem],
    }
}

/// The names of the providers that a metric gives.
pub fn names(metric: &Metric) -> Vec<String> {
    match serde_json::to_value(&metric.provider) {
        Ok(Value::Object(fields)) => fields.into_iter().map(|(name, _)| name).collect(),
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

fn judged(metric: &Metric, found: &Found) -> Measured {
    let conditions = Conditions::parse(metric.success_condition.as_deref(), metric.failure_condition.as_deref());
    let verdict = match conditions {
        Ok(conditions) => conditions.judge(&found.reading).map_err(|error| error.to_string()),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
    };
    let (phase, message) = match verdict {
        Ok(Verdict::Successful) => (AnalysisPhase::Successful, None),
        Ok(Verdict::Failed) => (AnalysisPhase::Failed, None),
        Ok(Verdict::Inconclusive) => (AnalysisPhase::Inconclusive, None),
        Err(message) => (AnalysisPhase::Error, Some(message)),
    };
    Measured {
        phase,
        value: Some(found.text.clone()),
        message,
    }
}

/// What a provider is given for one measurement.
struct Context<'c> {
    now: Timestamp,
    arguments: &'c [Argument],
    environment: &'c Environment,
    secrets: &'c Secrets,
}

/// What every provider can do. The metric's arguments are filled in, but for those of Secrets where it is only checked.
trait Provider {
    /// All problems that show without asking anybody. Texts with an open `{{...}}` are not looked at.
    fn problems(&self) -> Vec<ProviderError>;

    /// Adds what must be read of Secrets beside the metric's arguments.
    fn add_needs(&self, _needs: &mut Needs) {}

    /// The query as it is sent, under the name that it has in a result's metadata.
    fn query(&self) -> Option<(&'static str, &str)> {
        None
    }

    /// Begins a measurement.
    fn talk(&self, context: &Context<'_>) -> Result<Box<dyn Talk>, ProviderError>;
}

/// The one provider of a metric.
fn provider(metric: &Metric) -> Result<&dyn Provider, ProviderError> {
    let invalid = |problem: String| ProviderError::Invalid {
        path: "provider".to_owned(),
        problem,
    };
    let given = names(metric);
    if given.len() > 1 {
        let given = given.join(", ");
        return Err(invalid(format!(
            "multiple providers specified ({given}): give exactly one"
        )));
    }
    let MetricProvider {
        prometheus,
        web,
        job,
        datadog,
        new_relic,
        wavefront,
        graphite,
        influxdb,
        skywalking,
        cloud_watch,
        kayenta,
        ..
    } = &metric.provider;
    let known: [Option<&dyn Provider>; 11] = [
        prometheus.as_ref().map(|metric| metric as &dyn Provider),
        web.as_ref().map(|metric| metric as &dyn Provider),
        job.as_ref().map(|metric| metric as &dyn Provider),
        datadog.as_ref().map(|metric| metric as &dyn Provider),
        new_relic.as_ref().map(|metric| metric as &dyn Provider),
        wavefront.as_ref().map(|metric| metric as &dyn Provider),
        graphite.as_ref().map(|metric| metric as &dyn Provider),
        influxdb.as_ref().map(|metric| metric as &dyn Provider),
        skywalking.as_ref().map(|metric| metric as &dyn Provider),
        cloud_watch.as_ref().map(|metric| metric as &dyn Provider),
        kayenta.as_ref().map(|metric| metric as &dyn Provider),
    ];
    if let Some(provider) = known.into_iter().flatten().next() {
        return Ok(provider);
    }
    match given.first().map(String::as_str) {
        None => Err(invalid(
            "no provider specified: give one, for example prometheus".to_owned(),
        )),
        Some("plugin") => Err(ProviderError::Unsupported(
            "provider.plugin: there is no interface for plugins: serve the value over HTTP and use provider.web, or compute \
             it in a Job (provider.job)"
                .to_owned(),
        )),
        Some(other) => Err(ProviderError::Unsupported(format!(
            "provider.{other} is not supported yet"
        ))),
    }
}
