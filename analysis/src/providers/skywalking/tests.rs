use serde_json::json;

use super::*;
use crate::TransportError;
use crate::providers::testing::{Answer, Played, all_problems, answer, metric, plain, survives_any_answer};

const APDEX: &str = "all(result.service_apdex.values.values, {asFloat(#.value) >= 9900})";

fn asked(condition: &str, skywalking: Value, answer: Answer) -> Played {
    plain(&metric(condition, &json!({ "skywalking": skywalking })), vec![answer])
}

fn measured(condition: &str, answer: Answer) -> Played {
    asked(
        condition,
        json!({"address": "http://oap:12800", "query": "query($duration: Duration!) { a }"}),
        answer,
    )
}

fn apdex(values: &str) -> String {
    format!(r#"{{"data":{{"service_apdex":{{"label":null,"values":{{"values":[{values}]}}}}}}}}"#)
}

#[test]
fn the_query_is_sent_with_the_time_range_in_whole_minutes() {
    let query = "query queryData($duration: Duration!) { a: readMetricsValues(condition: {name: \"x\"}, duration: $duration) }\n";
    for (interval, start) in [
        (None, "2026-01-02 1155"),
        (Some("3m"), "2026-01-02 1157"),
        (Some("24h"), "2026-01-01 1200"),
        (Some("90s"), "2026-01-02 1158"),
    ] {
        let mut skywalking = json!({"address": "https://oap:12800/base/", "query": query});
        if let Some(interval) = interval {
            skywalking["interval"] = json!(interval);
        }
        let played = asked("", skywalking, answer(200, &apdex("{\"value\":1}")));
        let request = &played.requests[0];
        assert_eq!(
            (request.method, request.url.as_str()),
            ("POST", "https://oap:12800/base/graphql")
        );
        assert_eq!(request.timeout.as_secs(), 30);
        let headers: Vec<String> = request
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        assert_eq!(headers, ["Content-Type: application/json", "Accept: application/json"]);
        let body: Value = serde_json::from_str(request.body.as_deref().expect("it has a body")).expect("it is JSON");
        let duration = json!({"start": start, "end": "2026-01-02 1200", "step": "MINUTE"});
        assert_eq!(
            body,
            json!({"query": query.trim(), "variables": {"duration": duration}})
        );
    }
}

#[test]
fn the_data_of_the_answer_are_measured_as_they_are() {
    let empty = "no data: the query returned an empty result (a condition that is to accept this tests for it: \
                 `len(result) == 0`)";
    for (condition, body, expected) in [
        (APDEX, apdex(r#"{"value":10000},{"value":9950}"#), r#"Successful {"service_apdex":{"label":null,"values":{"values":[{"value":10000},{"value":9950}]}}}"#.to_owned()),
        (APDEX, apdex(r#"{"value":10000},{"value":0}"#), r#"Failed {"service_apdex":{"label":null,"values":{"values":[{"value":10000},{"value":0}]}}}"#.to_owned()),
        ("asFloat(result.e.results[0].values[0].value) > 90", r#"{"data":{"e":{"results":[{"values":[{"id":"1","value":"95"}]}]}}}"#.to_owned(), r#"Successful {"e":{"results":[{"values":[{"id":"1","value":"95"}]}]}}"#.to_owned()),
        (APDEX, apdex(""), format!(r#"Error {{"service_apdex":{{"label":null,"values":{{"values":[]}}}}}}: {empty}"#)),
        ("isNil(result)", apdex(""), r#"Successful {"service_apdex":{"label":null,"values":{"values":[]}}}"#.to_owned()),
        (APDEX, apdex(r#"{"value":null}"#), format!(r#"Error {{"service_apdex":{{"label":null,"values":{{"values":[{{"value":null}}]}}}}}}: {empty}"#)),
        ("result.other > 1", apdex(r#"{"value":1}"#), r#"Error {"service_apdex":{"label":null,"values":{"values":[{"value":1}]}}}: no data: the answer has no `result.other` (a condition that is to accept this tests for it: `isNil(result.other)`)"#.to_owned()),
        ("true", r#"{"data":null}"#.to_owned(), format!("Error null: {empty}")),
        ("true", r#"{"data":{"a":"text"}}"#.to_owned(), format!(r#"Error {{"a":"text"}}: {empty}"#)),
        ("true", r#"{"data":{"a":"NaN"}}"#.to_owned(), r#"Error {"a":"NaN"}: no data: the query returned NaN (a condition that is to accept this tests for it: `isNaN(...)`)"#.to_owned()),
        ("true", "{}".to_owned(), "Error: the answer of SkyWalking has no data: is the address right?".to_owned()),
        ("true", apdex("{\"value\":1"), "Error: the answer of SkyWalking is no JSON: is the address right?".to_owned()),
        ("true", r#"{"data":{"a":1},"errors":[{"message":"half"}]}"#.to_owned(), "Error: SkyWalking refused the query: half".to_owned()),
        ("true", r#"{"errors":[{"message":"Validation error (FieldUndefined@[x]) : Field 'x' in type 'Query' is undefined","extensions":{"classification":"ValidationError"}}]}"#.to_owned(), "Error: SkyWalking refused the query: Validation error (FieldUndefined@[x]) : Field 'x' in type 'Query' is undefined".to_owned()),
        ("result.a == 1", r#"{"data":{"a":1},"errors":[]}"#.to_owned(), r#"Successful {"a":1}"#.to_owned()),
    ] {
        assert_eq!(measured(condition, answer(200, &body)).outcome(), expected, "{condition} {body}");
    }
    let many = apdex(&format!("{}{{\"value\":1}}", "{\"value\":1},".repeat(6_000)));
    assert_eq!(
        measured("true", answer(200, &many)).outcome(),
        "Error: the query returned more than 10000 values: aggregate it, or take a shorter time"
    );
}

#[test]
fn other_answers_are_errors() {
    for (status, body, expected) in [
        (
            400,
            r#"{"errors":[{"message":"bad"}]}"#,
            "Error: SkyWalking answered 400: bad",
        ),
        (
            401,
            "",
            "Error: SkyWalking answered 401: check authentication and headers",
        ),
        (404, "<html>", "Error: SkyWalking answered 404: is the address right?"),
        (500, "x", "Error: SkyWalking answered 500"),
        (
            200,
            "<html>",
            "Error: the answer of SkyWalking is no JSON: is the address right?",
        ),
    ] {
        assert_eq!(
            measured("true", answer(status, body)).outcome(),
            expected,
            "{status} {body}"
        );
    }
    assert_eq!(
        measured("true", Err(TransportError::Connect)).outcome(),
        "Error: the connection failed"
    );
}

#[test]
fn what_is_wrong_is_named_with_its_field_path() {
    let address = "provider.skywalking.address: must be a URL with http:// or https://, for example \
                   http://skywalking-oap.istio-system:12800";
    for (skywalking, expected) in [
        (
            json!({}),
            format!("{address}; provider.skywalking.query: is empty: give a GraphQL query"),
        ),
        (json!({"address": "oap:12800", "query": "a"}), address.to_owned()),
        (
            json!({"address": "http://oap?a=b", "query": "a"}),
            "provider.skywalking.address: must be scheme, host, port and path only: no spaces, `?`, `#` or `\\`"
                .to_owned(),
        ),
        (
            json!({"address": "http://u:p@oap", "query": "a"}),
            "provider.skywalking.address: must not contain a user name or password: use authentication or a header"
                .to_owned(),
        ),
        (
            json!({"address": "http://oap", "query": "a", "interval": "soon"}),
            "provider.skywalking.interval: `soon` is not a duration such as `30s`, `5m` or `1h30m`".to_owned(),
        ),
        (
            json!({"address": "http://oap", "query": "a", "interval": "500ms"}),
            "provider.skywalking.interval: is `500ms`, it must be at least 1s".to_owned(),
        ),
        (
            json!({"address": "{{args.a}}", "query": "{{args.q}}", "interval": "{{args.i}}"}),
            String::new(),
        ),
        (json!({"address": "http://oap", "query": "a"}), String::new()),
    ] {
        assert_eq!(
            all_problems(&json!({"skywalking": skywalking})),
            expected,
            "{skywalking}"
        );
    }
}

#[test]
fn every_answer_becomes_a_phase() {
    let words = ["data", "errors", "message", "values", "value", "label"];
    survives_any_answer(&words, |answer| {
        measured("all(result.values, {.value > 1})", answer).measured
    });
}
