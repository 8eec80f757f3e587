use serde_json::json;

use super::*;
use crate::TransportError;
use crate::providers::Environment;
use crate::providers::testing::{Answer, Played, account, all_problems, answer, metric, play, survives_any_answer};

const HOST: &str = "example.wavefront.com";

fn asked(condition: &str, wavefront: Value, values: &[(&str, &str)], answers: Vec<Answer>) -> Played {
    let metric = metric(condition, &json!({ "wavefront": wavefront }));
    let account = account(&metric, SECRET, values);
    play(&metric, account, &Environment::default(), answers)
}

fn measured(condition: &str, answer: Answer) -> Played {
    let wavefront = json!({"address": HOST, "query": "ts(a)"});
    asked(condition, wavefront, &[(HOST, "hunter2")], vec![answer])
}

fn series(data: &[&str]) -> String {
    let series: Vec<String> = data
        .iter()
        .map(|data| format!(r#"{{"label":"a","host":"h","tags":{{}},"data":[{data}]}}"#))
        .collect();
    format!(
        r#"{{"query":"ts(a)","name":"ts(a)","timeseries":[{}],"granularity":1,"hostsUsed":[],"warnings":"w"}}"#,
        series.join(",")
    )
}

#[test]
fn the_value_at_the_time_of_the_measurement_is_asked_for() {
    let query = "sum(rate(5m, ts(\"istio.requestcount.count\", response_code!=500 and service=\"shop\")))\n";
    let wavefront = json!({"address": HOST, "query": query});
    let values = [("other.wavefront.com", "no"), (HOST, "hunter2\n")];
    let played = asked(
        "",
        wavefront,
        &values,
        vec![answer(200, &series(&["[1767355200,1.0]"]))],
    );
    let request = &played.requests[0];
    assert_eq!(
        (request.method, request.url.as_str()),
        (
            "GET",
            "https://example.wavefront.com/api/v2/chart/api?q=sum%28rate%285m%2C+ts%28%22istio.requestcount.count%22%2C+\
             response_code%21%3D500+and+service%3D%22shop%22%29%29%29&s=1767355200000&e=1767355200000&g=s&p=1&i=true"
        )
    );
    let headers: Vec<String> = request
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    assert_eq!(headers, ["Accept: application/json", "Authorization: Bearer hunter2"]);
    assert_eq!((&request.body, request.timeout.as_secs()), (&None, 30));

    let missing = asked(
        "",
        json!({"address": HOST, "query": "ts(a)"}),
        &[("other.wavefront.com", "no")],
        vec![],
    );
    assert_eq!(
        missing.outcome(),
        "Error: provider.wavefront: Secret `wavefront-api-tokens` with key `example.wavefront.com` could not be read in the \
         namespace of the run"
    );
}

#[test]
fn one_series_is_a_number_and_several_are_a_list() {
    let empty = "no data: the query returned an empty result (a condition that is to accept this tests for it: \
                 `len(result) == 0`)";
    let nan = "no data: the query returned NaN (a condition that is to accept this tests for it: `isNaN(...)`)";
    let wrong = "Error: the answer of Wavefront has a point that is not a time and a number";
    for (condition, body, expected) in [
        (
            "result >= 0.95",
            series(&["[1767355200,0.97]"]),
            "Successful 0.97".to_owned(),
        ),
        ("result >= 0.95", series(&["[1767355200,0.9]"]), "Failed 0.9".to_owned()),
        (
            "result == 2",
            series(&["[1767355000,1],[1767355190,2],[1767355300,3]"]),
            "Successful 2".to_owned(),
        ),
        ("result == 1", series(&["[1767354301,1]"]), "Successful 1".to_owned()),
        ("result == 1", series(&["[1767354300,1]"]), format!("Error []: {empty}")),
        ("result == 1", series(&["[1767351600,1]"]), format!("Error []: {empty}")),
        ("result == 1", series(&["[1767358800,1]"]), format!("Error []: {empty}")),
        (
            "all(result, # < 3)",
            series(&["[1767355200,1]", "[1767355199,2]"]),
            "Successful [1,2]".to_owned(),
        ),
        (
            "all(result, # < 3)",
            series(&["[1767355200,1]", "[1767351600,2]"]),
            format!("Error [1,NaN]: {nan}"),
        ),
        (
            "isNaN(result[1]) && result[0] == 1",
            series(&["[1767355200,1]", ""]),
            "Successful [1,NaN]".to_owned(),
        ),
        ("result >= 0", series(&[]), format!("Error []: {empty}")),
        (
            "result >= 0",
            r#"{"query":"ts(a)"}"#.to_owned(),
            format!("Error []: {empty}"),
        ),
        (
            "default(result, 0) >= 0",
            r#"{"query":"ts(a)"}"#.to_owned(),
            "Successful []".to_owned(),
        ),
        (
            "result >= 0",
            series(&[r#"[1767355200,"NaN"]"#]),
            format!("Error NaN: {nan}"),
        ),
        ("true", series(&["[1767355200,null]"]), wrong.to_owned()),
        ("true", series(&["[1767355200]"]), wrong.to_owned()),
        ("true", series(&["5"]), wrong.to_owned()),
        (
            "true",
            r#"{"timeseries":[{"data":5}]}"#.to_owned(),
            "Error: the answer of Wavefront has a series without data".to_owned(),
        ),
        (
            "true",
            r#"{"timeseries":[5]}"#.to_owned(),
            "Error: the answer of Wavefront has a series without data".to_owned(),
        ),
        (
            "true",
            r#"{"timeseries":{}}"#.to_owned(),
            "Error: the answer of Wavefront has no list of series: is the address right?".to_owned(),
        ),
        (
            "true",
            "[]".to_owned(),
            "Error: the answer of Wavefront has no list of series: is the address right?".to_owned(),
        ),
        (
            "true",
            series(&["[1767355200,1.0],[17673552"]),
            "Error: the answer of Wavefront is no JSON: is the address right?".to_owned(),
        ),
        (
            "true",
            series(&["[1767355200,NaN]"]),
            "Error: the answer of Wavefront is no JSON: is the address right?".to_owned(),
        ),
        (
            "true",
            series(&vec!["[1767355200,1]"; 10_001]),
            "Error: the query returned 10001 values, at most 10000 are read: aggregate it, or take a shorter time"
                .to_owned(),
        ),
    ] {
        let shown = crate::text::bounded(&body);
        assert_eq!(
            measured(condition, answer(200, &body)).outcome(),
            expected,
            "{condition} {shown}"
        );
    }
}

#[test]
fn refusals_carry_wavefronts_own_words_and_no_token() {
    for (status, body, expected) in [
        (
            200,
            r#"{"query":"ts(a)","errorType":"QueryExecutionFailed","errorMessage":"Terminating Query to save resources"}"#,
            "Error: Wavefront refused the query: Terminating Query to save resources",
        ),
        (
            200,
            r#"{"errorType":"QuerySyntaxError"}"#,
            "Error: Wavefront refused the query: QuerySyntaxError",
        ),
        (
            200,
            r#"{"errorType":5}"#,
            "Error: Wavefront refused the query: it does not say why",
        ),
        (
            400,
            r#"{"status":{"result":"ERROR","message":"Invalid query hunter2","code":400}}"#,
            "Error: Wavefront answered 400: Invalid query *****",
        ),
        (
            401,
            r#"{"message":"Unauthorized","code":401}"#,
            "Error: Wavefront answered 401: Unauthorized",
        ),
        (
            401,
            "",
            "Error: Wavefront answered 401: check authentication and headers",
        ),
        (404, "<html>", "Error: Wavefront answered 404: is the address right?"),
        (429, "{}", "Error: Wavefront answered 429: too many requests"),
        (503, "down", "Error: Wavefront answered 503"),
        (
            200,
            "",
            "Error: the answer of Wavefront is no JSON: is the address right?",
        ),
    ] {
        assert_eq!(
            measured("true", answer(status, body)).outcome(),
            expected,
            "{status} {body}"
        );
    }
    assert_eq!(
        measured("true", Err(TransportError::Tls)).outcome(),
        "Error: the TLS handshake failed"
    );
}

#[test]
fn what_is_wrong_is_named_with_its_field_path() {
    let address = "provider.wavefront.address: must be a host without https://, for example example.wavefront.com: it is also \
                   the key of the token in Secret `wavefront-api-tokens`";
    for (wavefront, expected) in [
        (
            json!({}),
            format!("{address}; provider.wavefront.query: is empty: give a query such as ts(...)"),
        ),
        (
            json!({"address": "https://example.wavefront.com", "query": "a"}),
            address.to_owned(),
        ),
        (
            json!({"address": "example.wavefront.com/x", "query": "a"}),
            address.to_owned(),
        ),
        (
            json!({"address": "u@example.wavefront.com", "query": "a"}),
            address.to_owned(),
        ),
        (
            json!({"address": "example.wavefront.com:80", "query": "a"}),
            address.to_owned(),
        ),
        (
            json!({"address": HOST, "query": " "}),
            "provider.wavefront.query: is empty: give a query such as ts(...)".to_owned(),
        ),
        (json!({"address": "{{args.a}}", "query": "{{args.q}}"}), String::new()),
        (json!({"address": HOST, "query": "a"}), String::new()),
    ] {
        assert_eq!(all_problems(&json!({"wavefront": wavefront})), expected, "{wavefront}");
    }
}

#[test]
fn every_answer_becomes_a_phase() {
    let words = [
        "timeseries",
        "data",
        "errorType",
        "errorMessage",
        "status",
        "message",
        "label",
    ];
    survives_any_answer(&words, |answer| measured("result < 1", answer).measured);
}
