//! Requests that are made, and answers that are read.

mod answers;
mod requests;

use serde_json::json;
use sluice_crds::Metric;

use super::*;
use crate::args::{SecretRef, Secrets};
use crate::providers::{self, measure};
use crate::{TransportError, text};

fn metric(prometheus: &Value) -> Metric {
    let metric = json!({"name": "m", "successCondition": "result[0] >= 0.95", "provider": {"prometheus": prometheus}});
    serde_json::from_value(metric).unwrap()
}

fn now() -> Timestamp {
    "2026-01-02T12:00:00.25Z".parse().unwrap()
}

fn environment() -> Environment {
    Environment {
        variables: [(ADDRESS_VARIABLE.to_owned(), "http://from-env:9090".to_owned())].into(),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it is what measure() takes")]
fn answer(status: u16, body: &str) -> Result<HttpResponse, TransportError> {
    Ok(HttpResponse {
        status,
        body: body.as_bytes().to_vec(),
    })
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

fn outcome(condition: &str, answer: Result<HttpResponse, TransportError>) -> String {
    let metric = Metric {
        success_condition: Some(condition.to_owned()),
        ..metric(&json!({"query": "up"}))
    };
    let measured = measure(&metric, answer, &Secrets::default());
    let value = measured.value.map(|value| format!(" {value}")).unwrap_or_default();
    let message = measured
        .message
        .map(|message| format!(": {message}"))
        .unwrap_or_default();
    format!("{}{value}{message}", measured.phase)
}
