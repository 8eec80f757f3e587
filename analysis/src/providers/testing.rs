//! What the tests of all providers share: a measurement is played with answers that are given beforehand.

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use sluice_crds::{Argument, Metric};

use super::{Environment, Measured, Next, needs, start};
use crate::args::{SecretRef, Secrets};
use crate::{HttpRequest, HttpResponse, TransportError};

/// What somebody answers to a request.
pub(super) type Answer = Result<HttpResponse, TransportError>;

/// The requests of a measurement, and what came out.
pub(super) struct Played {
    pub requests: Vec<HttpRequest>,
    pub measured: Measured,
}

impl Played {
    /// `PHASE VALUE: MESSAGE`, as far as they are there.
    pub fn outcome(&self) -> String {
        let Measured { phase, value, message } = &self.measured;
        let value = value.as_ref().map(|value| format!(" {value}")).unwrap_or_default();
        let message = message.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
        format!("{phase}{value}{message}")
    }
}

/// The time of all tests.
pub(super) fn now() -> Timestamp {
    "2026-01-02T12:00:00.25Z".parse().expect("it is a time")
}

/// A metric with one provider.
pub(super) fn metric(condition: &str, provider: &Value) -> Metric {
    let metric = json!({"name": "m", "successCondition": condition, "provider": provider});
    serde_json::from_value(metric).expect("it is a metric")
}

/// An answer with a body.
#[expect(clippy::unnecessary_wraps, reason = "it is what a measurement hears")]
pub(super) fn answer(status: u16, body: &str) -> Answer {
    Ok(HttpResponse {
        status,
        body: body.as_bytes().to_vec(),
    })
}

/// Arguments that come from keys of the Secret `s`, and their values.
pub(super) fn from_secret(values: &[(&str, &str)]) -> (Vec<Argument>, Secrets) {
    let argument =
        |(name, _): &(&str, &str)| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": "s", "key": name}}});
    let arguments: Vec<Argument> = values
        .iter()
        .map(argument)
        .map(|argument| serde_json::from_value(argument).expect("it is an argument"))
        .collect();
    let needs = needs(&metric("", &json!({})), &arguments);
    let mut secrets = Secrets::default();
    for wanted in needs.secrets {
        let value = values
            .iter()
            .find(|(name, _)| *name == wanted.key)
            .expect("it is wanted")
            .1;
        secrets.insert(wanted, value.to_owned());
    }
    (arguments, secrets)
}

/// What is read of the Secret `secret` with these values for a metric: the keys that it asks for, and no others.
pub(super) fn account(metric: &Metric, secret: &str, values: &[(&str, &str)]) -> (Vec<Argument>, Secrets) {
    let needs = needs(metric, &[]);
    let mut secrets = Secrets::default();
    let value = |wanted: &SecretRef| {
        let value = values.iter().find(|(key, _)| *key == wanted.key)?;
        (wanted.name == secret).then(|| value.1.to_owned())
    };
    for wanted in needs.secrets {
        if let Some(value) = value(&wanted) {
            secrets.insert(wanted, value);
        }
    }
    for wanted in needs.settings {
        if let Some(value) = value(&wanted) {
            secrets.insert_setting(wanted, value);
        }
    }
    (Vec::new(), secrets)
}

/// The problems of a metric with this provider, on one line.
pub(super) fn all_problems(provider: &Value) -> String {
    let problems = super::problems(&metric("", provider));
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Whatever a server answers, a measurement ends with a phase and bounded texts: bytes, pieces of JSON and of CSV in any
/// order, and JSON of any shape, all with the words of the provider.
pub(super) fn survives_any_answer(words: &[&'static str], play: impl Fn(Answer) -> Measured) {
    let config = proptest::test_runner::Config::with_cases(1024);
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let status = prop_oneof![4 => Just(200), 1 => any::<u16>()];
    let answers = (status, prop_oneof![bytes(), soup(words), shaped(words)]);
    let result = runner.run(&answers, |(status, body)| {
        let measured = play(Ok(HttpResponse { status, body }));
        prop_assert!(measured.phase.completed());
        let texts = measured.value.into_iter().chain(measured.message);
        prop_assert!(texts.into_iter().all(|text| text.len() <= crate::text::MAX_BYTES));
        Ok(())
    });
    if let Err(problem) = result {
        panic!("{problem}");
    }
}

fn bytes() -> BoxedStrategy<Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200).boxed()
}

fn soup(words: &[&'static str]) -> BoxedStrategy<Vec<u8>> {
    let signs = [
        "{", "}", "[", "]", ",", ":", "\"", "\r\n", "\n", "#", "1", "\"1\"", "\"NaN\"", "null", "1e999", "\\", "é",
    ];
    let quoted = words.iter().map(|word| format!("\"{word}\""));
    let plain = words.iter().map(|word| (*word).to_owned());
    let all: Vec<String> = signs
        .iter()
        .map(|sign| (*sign).to_owned())
        .chain(quoted)
        .chain(plain)
        .collect();
    let soup = prop::collection::vec(prop::sample::select(all), 0..30);
    soup.prop_map(|words| words.concat().into_bytes()).boxed()
}

fn shaped(words: &[&'static str]) -> BoxedStrategy<Vec<u8>> {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<f64>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        prop::sample::select(words.clone()).prop_map(Value::String),
        prop::sample::select(vec!["NaN", "+Inf", "1", ""]).prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(6, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map(prop::sample::select(words.clone()), inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    value.prop_map(|value| value.to_string().into_bytes()).boxed()
}

/// Plays a measurement. Each request gets the next answer; there must be one for each, and none left.
pub(super) fn play(
    metric: &Metric,
    (arguments, secrets): (Vec<Argument>, Secrets),
    environment: &Environment,
    answers: Vec<Answer>,
) -> Played {
    let mut requests = Vec::new();
    let mut answers = answers.into_iter();
    let measured = match start(now(), metric, &arguments, secrets, environment) {
        Err(measured) => measured,
        Ok((mut measuring, mut next)) => loop {
            match next {
                Next::Done(measured) => break measured,
                Next::Run(wish) => panic!("no answer is a Job: {wish:?}"),
                Next::Send(request) | Next::SendAfter(_, request) => {
                    requests.push(request);
                    let answer = answers.next().expect("there is an answer to each request");
                    next = measuring.hear(now(), answer);
                }
            }
        },
    };
    assert_eq!(answers.count(), 0, "an answer is left after {}", requests.len());
    Played { requests, measured }
}

/// The same without arguments, secrets and environment.
pub(super) fn plain(metric: &Metric, answers: Vec<Answer>) -> Played {
    play(
        metric,
        (Vec::new(), Secrets::default()),
        &Environment::default(),
        answers,
    )
}

/// One class of answers, and what a measurement makes of it.
pub(super) struct Row {
    /// What is special about it.
    pub about: &'static str,
    pub metric: Metric,
    pub environment: Environment,
    pub answers: Vec<Answer>,
    /// As [`Played::outcome`] says it.
    pub expected: String,
    /// Whether the answers have a value that may be judged. Without one a measurement must not be successful.
    pub evidence: bool,
}

impl Row {
    /// Plays it and compares.
    pub fn check(self) {
        let played = play(
            &self.metric,
            (Vec::new(), Secrets::default()),
            &self.environment,
            self.answers,
        );
        assert_eq!(played.outcome(), self.expected, "{}", self.about);
        assert!(
            self.evidence || !played.outcome().starts_with("Successful"),
            "{}: successful without evidence",
            self.about
        );
    }
}
