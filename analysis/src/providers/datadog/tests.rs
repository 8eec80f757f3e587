use std::ops::Add;

use serde_json::json;

use super::*;
use crate::TransportError;
use crate::providers::Environment;
use crate::providers::testing::{account, all_problems, answer, metric, play, survives_any_answer};

const KEYS: [(&str, &str); 2] = [("api-key", "api-hunter2"), ("app-key", "app-hunter3")];

fn measured(
    condition: &str,
    datadog: Value,
    answer: crate::providers::testing::Answer,
) -> crate::providers::testing::Played {
    let metric = metric(condition, &json!({ "datadog": datadog }));
    let account = account(&metric, SECRET, &KEYS);
    play(&metric, account, &Environment::default(), vec![answer])
}

fn v1() -> Value {
    json!({"query": "avg:a{*}"})
}

fn v2() -> Value {
    json!({"query": "avg:a{*}", "apiVersion": "v2"})
}

fn columns(columns: &str) -> String {
    format!(r#"{{"data":{{"id":"0","type":"scalar_response","attributes":{{"columns":[{columns}]}}}}}}"#)
}

fn values(values: &str) -> String {
    columns(&format!(
        r#"{{"name":"query","type":"number","values":[{values}],"meta":{{"unit":null}}}}"#
    ))
}

#[test]
fn version_1_is_asked_with_the_query_and_the_time_range_in_the_url() {
    let query = "moving_rollup(sum:errors{service:shop}.as_count(), 60, 'sum') / sum:all{*}\n";
    let played = measured(
        "",
        json!({"query": query, "interval": "10m"}),
        answer(200, r#"{"status":"ok","series":[{"pointlist":[[1767355200000,0.5]]}]}"#),
    );
    let request = &played.requests[0];
    assert_eq!(
        (request.method, request.url.as_str()),
        (
            "GET",
            "https://api.datadoghq.com/api/v1/query?from=1767354600&query=moving_rollup%28sum%3Aerrors%7Bservice%3Ashop%7D\
             .as_count%28%29%2C+60%2C+%27sum%27%29+%2F+sum%3Aall%7B*%7D&to=1767355200"
        )
    );
    assert_eq!((request.body.as_deref(), request.timeout.as_secs()), (None, 10));
    let headers: Vec<String> = request
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    assert_eq!(
        headers,
        [
            "Content-Type: application/json",
            "DD-API-KEY: api-hunter2",
            "DD-APPLICATION-KEY: app-hunter3"
        ]
    );
}

#[test]
fn version_2_is_asked_for_a_scalar() {
    let ask = |datadog: Value| {
        let played = measured("", datadog, answer(200, &values("1")));
        let request = &played.requests[0];
        assert_eq!(
            (request.method, request.url.as_str()),
            ("POST", "https://api.datadoghq.com/api/v2/query/scalar")
        );
        let body = request.body.as_deref().unwrap_or_default();
        serde_json::from_str::<Value>(body).expect("it is JSON")
    };
    assert_eq!(
        ask(v2()),
        json!({"data": {"type": "scalar_request", "attributes": {
            "from": 1_767_354_900_000_i64, "to": 1_767_355_200_000_i64,
            "queries": [{"aggregator": "last", "data_source": "metrics", "name": "query", "query": "avg:a{*}"}],
        }}})
    );
    let several = json!({
        "apiVersion": "v2", "interval": "1h", "aggregator": "sum",
        "queries": {"b": "sum:all{*}", "a": "sum:errors{*}"}, "formula": "a / b",
    });
    assert_eq!(
        ask(several),
        json!({"data": {"type": "scalar_request", "attributes": {
            "from": 1_767_351_600_000_i64, "to": 1_767_355_200_000_i64,
            "queries": [
                {"aggregator": "sum", "data_source": "metrics", "name": "a", "query": "sum:errors{*}"},
                {"aggregator": "sum", "data_source": "metrics", "name": "b", "query": "sum:all{*}"},
            ],
            "formulas": [{"formula": "a / b"}],
        }}})
    );
}

#[test]
fn the_account_is_a_secret_in_the_namespace_of_the_run() {
    let play = |datadog: Value, secret: &str, values: &[(&str, &str)]| {
        let metric = metric("", &json!({ "datadog": datadog }));
        let account = account(&metric, secret, values);
        let answers = match values.len() {
            0 | 1 => vec![],
            _ => vec![answer(200, &self::values("1"))],
        };
        play(&metric, account, &Environment::default(), answers)
    };
    let own = json!({"query": "a", "apiVersion": "v2", "secretRef": {"name": "mine", "namespaced": true}});
    let values = [
        ("api-key", "hunter4\n"),
        ("app-key", "hunter3"),
        ("address", "https://api.datadoghq.eu/"),
    ];
    let played = play(own.clone(), "mine", &values);
    assert_eq!(played.requests[0].url, "https://api.datadoghq.eu/api/v2/query/scalar");
    assert_eq!(
        played.requests[0].headers[1].1, "hunter4",
        "a line break at the end belongs to the file"
    );

    assert_eq!(
        play(own.clone(), "datadog", &KEYS[..1]).outcome(),
        "Error: provider.datadog: Secret `mine` with key `api-key` could not be read in the namespace of the run"
    );
    assert_eq!(
        play(v2(), "datadog", &KEYS[..1]).outcome(),
        "Error: provider.datadog: Secret `datadog` with key `app-key` could not be read in the namespace of the run"
    );
    let bad = |values: &[(&str, &str)]| {
        let metric = metric("", &json!({ "datadog": v2() }));
        crate::providers::testing::play(
            &metric,
            account(&metric, SECRET, values),
            &Environment::default(),
            vec![],
        )
        .outcome()
    };
    assert_eq!(
        bad(&[("api-key", "hunter2\r\nX: y"), ("app-key", "hunter3")]),
        "Error: provider.datadog: Secret `datadog` with key `api-key` has line breaks or control characters in it"
    );
    assert_eq!(
        bad(&[
            ("api-key", "hunter2"),
            ("app-key", "hunter3"),
            ("address", "file:///etc/passwd")
        ]),
        "Error: provider.datadog: Secret `datadog` with key `address` must be a URL with http:// or https://, for example \
         https://api.datadoghq.com"
    );
}

#[test]
fn version_1_measures_the_last_value_of_the_first_series() {
    let no_data = "no data: the query returned an empty result (a condition that is to accept this tests for it: \
                   `len(result) == 0`)";
    let series =
        |points: &str| format!(r#"{{"status":"ok","res_type":"time_series","series":[{{"pointlist":[{points}]}}]}}"#);
    for (condition, body, expected) in [
        (
            "result < 0.001",
            series("[1,0.002],[2,0.0003332881882246533]"),
            "Successful 0.0003332881882246533".to_owned(),
        ),
        (
            "result < 0.001",
            series("[1,0.0002],[2,0.006]"),
            "Failed 0.006".to_owned(),
        ),
        (
            "default(result, 0) < 0.05",
            series("[1,0.006]"),
            "Successful 0.006".to_owned(),
        ),
        ("result < 0.05", series(""), format!("Error []: {no_data}")),
        (
            "result < 0.05",
            r#"{"status":"ok","series":[]}"#.to_owned(),
            format!("Error []: {no_data}"),
        ),
        ("default(result, 0) < 0.05", series(""), "Successful []".to_owned()),
        ("default(result, 1) < 0.05", series(""), "Failed []".to_owned()),
        (
            "result < 0.05",
            series("[1,0.01],[2,null]"),
            format!("Error null: {no_data}"),
        ),
        ("true", series("[1,0.01],[2,\"0\"]"), format!("Error: {NOT_A_NUMBER}")),
        (
            "true",
            series("[1]"),
            "Error: Datapoint does not have 2 values".to_owned(),
        ),
        (
            "true",
            series("5"),
            "Error: Datapoint does not have 2 values".to_owned(),
        ),
        (
            "true",
            r#"{"status":"ok","series":[{}]}"#.to_owned(),
            "Error: the answer of Datadog has a series without points".to_owned(),
        ),
        (
            "true",
            r#"{"status":"ok","series":{}}"#.to_owned(),
            "Error: the answer of Datadog has no list of series: is the address right?".to_owned(),
        ),
        (
            "true",
            r#"{"status":"error","error":"Rate limit of 1 requests in 10 seconds reached"}"#.to_owned(),
            "Error: Datadog refused the query: Rate limit of 1 requests in 10 seconds reached".to_owned(),
        ),
        (
            "true",
            r#"{"status":"error","series":[]}"#.to_owned(),
            "Error: Datadog refused the query".to_owned(),
        ),
        (
            "true",
            series("[1,0.5"),
            "Error: the answer of Datadog is no JSON: is the address right?".to_owned(),
        ),
    ] {
        assert_eq!(
            measured(condition, v1(), answer(200, &body)).outcome(),
            expected,
            "{condition} {body}"
        );
    }
}

#[test]
fn version_2_measures_a_number_or_a_list_with_one_of_each_group() {
    let groups = |groups: &str, values: &str| {
        columns(&format!(
            r#"{{"name":"env","type":"group","values":[{groups}]}},{{"name":"a","type":"number","values":[{values}]}}"#
        ))
    };
    let no_data = "no data: the query returned an empty result (a condition that is to accept this tests for it: \
                   `len(result) == 0`)";
    for (condition, body, expected) in [
        ("result < 0.001", values("0.0006332881882246533"), "Successful 0.0006332881882246533".to_owned()),
        ("result < 0.001", values("0.006"), "Failed 0.006".to_owned()),
        ("default(result, 0) < 0.05", values(""), "Successful []".to_owned()),
        ("default(result, 0) < 0.05", values("null"), "Successful null".to_owned()),
        ("result < 0.05", values(""), format!("Error []: {no_data}")),
        ("result < 0.05", values("null"), format!("Error null: {no_data}")),
        ("result < 0.05", columns(""), format!("Error []: {no_data}")),
        ("max(result) < 0.05", groups(r#"["prod"],["dev"]"#, "0.01,0.02"), "Successful [0.01,0.02]".to_owned()),
        ("all(result, # < 0.05)", groups(r#"["prod"],["dev"]"#, "0.01,0.2"), "Failed [0.01,0.2]".to_owned()),
        ("len(result) == 1", groups(r#"["prod"]"#, "0.01"), "Successful [0.01]".to_owned()),
        ("result[0] < 1", groups(r#"["prod"],["dev"]"#, "0.01,null"), "Error [0.01,NaN]: no data: the query returned NaN (a condition that is to accept this tests for it: `isNaN(...)`)".to_owned()),
        ("true", values("\"1\""), format!("Error: {NOT_A_NUMBER}")),
        ("true", values("1,2"), "Error: the answer of Datadog has several values: aggregate the query".to_owned()),
        ("true", columns(r#"{"values":[1]},{"values":[2]}"#), "Error: the answer of Datadog has several columns: combine the queries in a formula".to_owned()),
        ("true", columns(r#"{"values":"invalid"}"#), "Error: the answer of Datadog has a column without values".to_owned()),
        ("true", r#"{"data":{"attributes":{}}}"#.to_owned(), "Error: the answer of Datadog has no columns: is the address right?".to_owned()),
        ("true", r#"{"data":{"errors":"bad\nquery"}}"#.to_owned(), "Error: Datadog refused the query: bad query".to_owned()),
        ("true", groups("", &"1,".repeat(10_000).add("1")), "Error: the query returned 10001 values, at most 10000 are read: aggregate it, or take a shorter time".to_owned()),
    ] {
        let shown = crate::text::bounded(&body);
        assert_eq!(measured(condition, v2(), answer(200, &body)).outcome(), expected, "{condition} {shown}");
    }
}

#[test]
fn refusals_carry_datadogs_own_words_and_no_key() {
    for (status, body, expected) in [
        (
            400,
            r#"{"errors":[{"status":"400","title":"Bad Request","detail":"no such metric"},{"title":"b"},{}]}"#,
            "Error: Datadog answered 400: no such metric; b; an error without a text",
        ),
        (
            400,
            r#"{"status":"error","error":"error message"}"#,
            "Error: Datadog answered 400: error message",
        ),
        (
            401,
            r#"{"errors": ["No authenticated user."]}"#,
            "Error: Datadog answered 401: No authenticated user.",
        ),
        (
            403,
            r#"{"errors":["Forbidden","api-hunter2"]}"#,
            "Error: Datadog answered 403: Forbidden; *****",
        ),
        (403, "", "Error: Datadog answered 403: check authentication and headers"),
        (404, "<html>", "Error: Datadog answered 404: is the address right?"),
        (
            429,
            r#"{"errors":[]}"#,
            "Error: Datadog answered 429: too many requests",
        ),
        (500, "oops", "Error: Datadog answered 500"),
        (
            200,
            "",
            "Error: the answer of Datadog is no JSON: is the address right?",
        ),
    ] {
        for datadog in [v1(), v2()] {
            assert_eq!(
                measured("true", datadog, answer(status, body)).outcome(),
                expected,
                "{status} {body}"
            );
        }
    }
    let played = measured("true", v2(), Err(TransportError::Timeout));
    assert_eq!(played.outcome(), "Error: no answer within the time-out");
}

#[test]
fn what_is_wrong_is_named_with_its_field_path_and_argos_text() {
    let review = "Please review the Analysis Template.";
    for (datadog, expected) in [
        (json!({}), format!("provider.datadog: Must have either a query or queries. {review}")),
        (json!({"query": "a", "queries": {"a": "b"}, "apiVersion": "v2"}), format!("provider.datadog: Cannot have both a query and queries. {review}")),
        (json!({"queries": {"a": "b"}}), "provider.datadog.query: Query is empty. API Version v1 only supports using the query parameter in your Analysis Template.".to_owned()),
        (json!({"query": "a", "formula": "a"}), format!("provider.datadog.formula: Formula are only valid when queries are set. {review}")),
        (json!({"queries": {"a": "b", "c": "d"}, "apiVersion": "v2"}), "provider.datadog.queries: When multiple queries are provided you must include a formula.".to_owned()),
        (json!({"query": "a", "aggregator": "sum"}), format!("provider.datadog.aggregator: Aggregator is not supported in v1. {review}")),
        (json!({"query": "a", "apiVersion": "v3"}), "provider.datadog.apiVersion: is `v3`, it must be v1 or v2".to_owned()),
        (json!({"query": "a", "apiVersion": "v2", "aggregator": "median"}), "provider.datadog.aggregator: must be one of avg, min, max, sum, last, percentile, mean, l2norm, area".to_owned()),
        (json!({"query": "a", "interval": "5"}), "provider.datadog.interval: `5` is not a duration such as `30s`, `5m` or `1h30m`".to_owned()),
        (json!({"query": "a", "interval": "0s"}), "provider.datadog.interval: is `0s`, it must be at least 1s".to_owned()),
        (json!({"query": "a", "secretRef": {"namespaced": true}}), "provider.datadog.secretRef.name: secret name is required for namespaced credentials".to_owned()),
        (json!({"query": "a", "secretRef": {"name": "../b"}}), "provider.datadog.secretRef.name: is not the name of a Secret: lower-case letters, digits, `-` and `.`".to_owned()),
        (json!({"queries": {"a": " "}, "apiVersion": "v2"}), "provider.datadog.queries.a: is empty: give a query".to_owned()),
        (
            json!({"formula": "a", "apiVersion": "x", "interval": "y"}),
            format!(
                "provider.datadog.apiVersion: is `x`, it must be v1 or v2; provider.datadog: Must have either a query or queries. \
                 {review}; provider.datadog.formula: Formula are only valid when queries are set. {review}; \
                 provider.datadog.interval: `y` is not a duration such as `30s`, `5m` or `1h30m`"
            ),
        ),
        (json!({"query": "{{args.q}}", "apiVersion": "{{args.v}}", "interval": "{{args.i}}", "aggregator": "{{args.a}}", "secretRef": {"name": "{{args.s}}"}}), String::new()),
        (json!({"query": "a"}), String::new()),
        (json!({"queries": {"a": "b"}, "apiVersion": "v2"}), String::new()),
    ] {
        assert_eq!(all_problems(&json!({"datadog": datadog})), expected, "{datadog}");
    }
}

#[test]
fn a_name_that_no_secret_has_is_not_asked_for() {
    for name in ["../b", "a/b", "a?b", "A", "a_b", ".", "-a", "{{args.a}}"] {
        let metric = metric("", &json!({"datadog": {"query": "a", "secretRef": {"name": name}}}));
        assert_eq!(crate::providers::needs(&metric, &[]), Needs::default(), "{name}");
    }
}

#[test]
fn every_answer_becomes_a_phase() {
    let words = [
        "status",
        "error",
        "errors",
        "ok",
        "series",
        "pointlist",
        "data",
        "attributes",
        "columns",
        "type",
        "group",
        "values",
    ];
    for datadog in [v1(), v2()] {
        survives_any_answer(&words, |answer| {
            measured("result < 1", datadog.clone(), answer).measured
        });
    }
}
