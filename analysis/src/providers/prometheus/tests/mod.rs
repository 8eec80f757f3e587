//! Requests that are made, and answers that are read.

mod answers;
mod requests;

use serde_json::json;
use sluice_crds::Metric;

use super::*;
use crate::args::{SecretRef, Secrets};
use crate::providers::testing::{Answer, Played, answer, now, plain, play};
use crate::providers::{self, Measured};
use crate::{TransportError, text};

fn metric(prometheus: &Value) -> Metric {
    providers::testing::metric("result[0] >= 0.95", &json!({"prometheus": prometheus}))
}

fn environment() -> Environment {
    Environment {
        variables: [(ADDRESS_VARIABLE.to_owned(), "http://from-env:9090".to_owned())].into(),
        web_identity_token: None,
    }
}

/// A measurement with one answer.
fn measure(metric: &Metric, answer: Answer, secrets: &Secrets) -> Measured {
    one(metric, answer, secrets).measured
}

fn one(metric: &Metric, answer: Answer, secrets: &Secrets) -> Played {
    play(metric, (Vec::new(), secrets.clone()), &environment(), vec![answer])
}

fn success(result_type: &str, result: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"{result_type}","result":{result}}}}}"#)
}

fn vector(values: &[&str]) -> String {
    let series = |value: &&str| format!(r#"{{"metric":{{"pod":"a"}},"value":[1435781451.781,"{value}"]}}"#);
    success(
        "vector",
        &format!("[{}]", values.iter().map(series).collect::<Vec<_>>().join(",")),
    )
}

fn outcome(condition: &str, answer: Answer) -> String {
    let metric = Metric {
        success_condition: Some(condition.to_owned()),
        ..metric(&json!({"query": "up"}))
    };
    one(&metric, answer, &Secrets::default()).outcome()
}
