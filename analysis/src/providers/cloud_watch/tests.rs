use proptest::prelude::*;
use serde_json::{Value, json};

use crate::args::Secrets;
use crate::providers::testing::{Row, answer, metric, play};
use crate::providers::{Environment, problems};
use crate::{HttpRequest, HttpResponse, TransportError};

const CONDITION: &str = "result[0].Values[0] < 0.01";

fn environment() -> Environment {
    let variables = [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI"),
        ("AWS_REGION", "eu-west-1"),
    ];
    Environment {
        variables: variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        web_identity_token: None,
    }
}

/// The example of Argo Rollouts' documentation: a rate of two sums.
fn rate() -> Value {
    let sum = |id: &str| {
        json!({
            "id": id, "returnData": false,
            "metricStat": {
                "metric": {
                    "namespace": "app", "metricName": id, "dimensions": [{"name": "Pod", "value": "canary"}],
                },
                "period": 300, "stat": "Sum", "unit": "Count",
            },
        })
    };
    json!({"cloudWatch": {
        "interval": "15m",
        "metricDataQueries": [{"id": "rate", "expression": "errors / requests"}, sum("errors"), sum("requests")],
    }})
}

/// An answer with one result of the query `rate`.
fn values(status: &str, values: &Value) -> String {
    json!({"MetricDataResults": [
        {"Id": "rate", "Label": "rate", "StatusCode": status, "Timestamps": [1_767_355_200], "Values": values},
    ]})
    .to_string()
}

fn row(about: &'static str, condition: &str, answers: &[(u16, String)], expected: &str) -> Row {
    Row {
        about,
        metric: metric(condition, &rate()),
        environment: environment(),
        answers: answers.iter().map(|(status, body)| answer(*status, body)).collect(),
        expected: expected.to_owned(),
        evidence: !expected.starts_with("Error"),
    }
}

/// Every class of answers.
#[expect(clippy::too_many_lines, reason = "it is a table")]
pub(in crate::providers) fn rows() -> Vec<Row> {
    let one = |about, condition, status: u16, body: &str, expected| {
        row(about, condition, &[(status, body.to_owned())], expected)
    };
    let complete = |given: Value| values("Complete", &given);
    let refusal = |kind: &str, message: &str| json!({"__type": kind, "message": message}).to_string();
    let empty = "no data: the answer has nothing in";
    let no_list = "the answer is not that of CloudWatch GetMetricData";
    let mut rows = vec![
        one(
            "good",
            CONDITION,
            200,
            &complete(json!([0.005, 0.5])),
            "Successful [[0.005,0.5]]",
        ),
        one("bad", CONDITION, 200, &complete(json!([0.5])), "Failed [[0.5]]"),
        one("zero", CONDITION, 200, &complete(json!([0])), "Successful [[0]]"),
        one(
            "all values",
            "all(result[0].Values, {# <= 0.01})",
            200,
            &complete(json!([0.005, 0.01])),
            "Successful [[0.005,0.01]]",
        ),
        one(
            "its other fields",
            "result[0].Id == 'rate' && result[0].StatusCode == 'Complete'",
            200,
            &complete(json!([1.5])),
            "Successful [[1.5]]",
        ),
        one(
            "no value",
            CONDITION,
            200,
            &complete(json!([])),
            "Error [[]]: no data: the answer has no `result[0].Values[0]` (a condition that is to accept this tests for \
             it: `isNil(result[0].Values[0])`)",
        ),
        one(
            "no value, and a condition that is true of everything",
            "all(result[0].Values, {# <= 0.01})",
            200,
            &complete(json!([])),
            &format!(
                "Error [[]]: {empty} `result[0].Values` (a condition that is to accept this tests for it: \
                 `len(result[0].Values) == 0`)"
            ),
        ),
        one(
            "no value, accepted",
            "len(result[0].Values) == 0 || result[0].Values[0] < 0.01",
            200,
            &complete(json!([])),
            "Successful [[]]",
        ),
        one(
            "no value, not accepted",
            "len(result[0].Values) > 0 && result[0].Values[0] < 0.01",
            200,
            &complete(json!([])),
            "Failed [[]]",
        ),
        one(
            "no result at all",
            CONDITION,
            200,
            r#"{"MetricDataResults":[]}"#,
            "Error []: no data: the query returned an empty result (a condition that is to accept this tests for it: \
             `len(result) == 0`)",
        ),
        one(
            "NaN",
            CONDITION,
            200,
            &complete(json!(["NaN"])),
            "Error [[\"NaN\"]]: no data: the query returned NaN (a condition that is to accept this tests for it: \
             `isNaN(...)`)",
        ),
        one(
            "infinity",
            CONDITION,
            200,
            &complete(json!(["Infinity"])),
            "Error [[\"Infinity\"]]: no data: the query returned an infinite number (a condition that is to accept this \
             tests for it: `isInf(...)`)",
        ),
        one(
            "null among the values",
            CONDITION,
            200,
            &complete(json!([null])),
            "Error: the query `rate` has a value that is no number",
        ),
        one(
            "a text among the values",
            CONDITION,
            200,
            &complete(json!(["0.001"])),
            "Error: the query `rate` has a value that is no number",
        ),
        one(
            "values of the wrong type",
            CONDITION,
            200,
            &complete(json!({"a": 1})),
            &format!("Error: {no_list}"),
        ),
        one(
            "partial data",
            CONDITION,
            200,
            &values("PartialData", &json!([0.001])),
            "Error: CloudWatch calls the data of the query `rate` PartialData",
        ),
        one(
            "internal error",
            CONDITION,
            200,
            &values("InternalError", &json!([0.001])),
            "Error: CloudWatch calls the data of the query `rate` InternalError",
        ),
        one(
            "forbidden",
            CONDITION,
            200,
            &values("Forbidden", &json!([0.001])),
            "Error: CloudWatch calls the data of the query `rate` Forbidden",
        ),
        one(
            "no state",
            CONDITION,
            200,
            r#"{"MetricDataResults":[{"Id":"rate","Values":[0.001]}]}"#,
            "Error: CloudWatch does not say whether the data of the query `rate` are complete",
        ),
        one(
            "messages about the whole answer",
            CONDITION,
            200,
            &json!({
                "MetricDataResults": [{"Id": "rate", "StatusCode": "Complete", "Values": [0.001]}],
                "Messages": [{"Code": "MaxMetricsExceeded", "Value": "too many\nmetrics"}],
            })
            .to_string(),
            "Error: CloudWatch did not answer in full: MaxMetricsExceeded too many metrics",
        ),
        one(
            "the result of another query",
            CONDITION,
            200,
            r#"{"MetricDataResults":[{"Id":"other","StatusCode":"Complete","Values":[0.001]}]}"#,
            "Error: CloudWatch has no result for the query `rate`",
        ),
        one(
            "a query that is wrong",
            CONDITION,
            400,
            &refusal(
                "com.amazonaws.cloudwatch#InvalidParameterValueException",
                "bad\texpression",
            ),
            "Error: CloudWatch answered 400 (InvalidParameterValueException): bad expression",
        ),
        one(
            "no permission",
            CONDITION,
            400,
            &refusal("AccessDeniedException", "User: arn:aws:iam::1:x is not"),
            "Error: CloudWatch answered 400 (AccessDeniedException)",
        ),
        one(
            "a wrong signature, whose message quotes what was signed",
            CONDITION,
            403,
            &refusal("InvalidSignatureException", "canonical x-amz-security-token:t"),
            "Error: CloudWatch answered 403 (InvalidSignatureException)",
        ),
        one(
            "too many requests",
            CONDITION,
            400,
            &refusal("ThrottlingException", "Rate exceeded"),
            "Error: CloudWatch answered 400 (ThrottlingException)",
        ),
        one(
            "not found",
            CONDITION,
            404,
            "<html>",
            "Error: CloudWatch answered 404: is the address right?",
        ),
        one(
            "a server that is down",
            CONDITION,
            503,
            "",
            "Error: CloudWatch answered 503",
        ),
        one(
            "a gateway",
            CONDITION,
            502,
            &complete(json!([0.001])),
            "Error: CloudWatch answered 502",
        ),
        one("garbage", CONDITION, 200, "<xml/>", &format!("Error: {no_list}")),
        one("nothing", CONDITION, 200, "", &format!("Error: {no_list}")),
        one("an empty object", CONDITION, 200, "{}", &format!("Error: {no_list}")),
        one(
            "half an answer",
            CONDITION,
            200,
            &complete(json!([0.001]))[..40],
            &format!("Error: {no_list}"),
        ),
    ];
    for error in [TransportError::Timeout, TransportError::Redirect] {
        let mut row = row("no answer", CONDITION, &[], &format!("Error: {error}"));
        row.answers = vec![Err(error)];
        rows.push(row);
    }
    rows
}

#[test]
fn every_class_of_answers_has_its_verdict() {
    for row in rows() {
        row.check();
    }
}

fn played(provider: &Value, answers: &[String]) -> crate::providers::testing::Played {
    play(
        &metric(CONDITION, provider),
        (Vec::new(), Secrets::default()),
        &environment(),
        answers.iter().map(|body| answer(200, body)).collect(),
    )
}

#[test]
fn the_question_is_that_of_get_metric_data_and_it_is_signed() {
    let played = played(&rate(), &[values("Complete", &json!([0.001]))]);
    assert_eq!(played.outcome(), "Successful [[0.001]]");
    let HttpRequest {
        method,
        url,
        headers,
        body,
        insecure,
        ..
    } = &played.requests[0];
    assert_eq!(
        (*method, url.as_str(), *insecure),
        ("POST", "https://monitoring.eu-west-1.amazonaws.com/", false)
    );
    let header = |wanted: &str| &headers.iter().find(|(name, _)| name == wanted).unwrap().1;
    assert_eq!(header("Content-Type"), "application/x-amz-json-1.0");
    assert_eq!(header("X-Amz-Target"), "GraniteServiceVersion20100801.GetMetricData");
    let scope = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/eu-west-1/monitoring/aws4_request, ";
    assert!(
        header("authorization").starts_with(scope),
        "{}",
        header("authorization")
    );
    assert!(header("authorization").contains("SignedHeaders=content-type;host;x-amz-date;x-amz-target,"));
    let stat = |name: &str| {
        json!({
            "Metric": {"Namespace": "app", "MetricName": name, "Dimensions": [{"Name": "Pod", "Value": "canary"}]},
            "Period": 300, "Stat": "Sum", "Unit": "Count",
        })
    };
    // 2026-01-02T12:00:00Z and a quarter of an hour before it.
    let expected = json!({
        "StartTime": 1_767_354_300, "EndTime": 1_767_355_200,
        "MetricDataQueries": [
            {"Id": "rate", "Expression": "errors / requests"},
            {"Id": "errors", "MetricStat": stat("errors"), "ReturnData": false},
            {"Id": "requests", "MetricStat": stat("requests"), "ReturnData": false},
        ],
    });
    assert_eq!(
        serde_json::from_str::<Value>(body.as_deref().unwrap()).unwrap(),
        expected
    );
}

#[test]
fn periods_may_be_texts_and_the_interval_is_five_minutes() {
    let provider = json!({"cloudWatch": {"metricDataQueries": [
        {"id": "rate", "expression": "SELECT AVG(x) FROM y", "label": "l", "period": "60", "returnData": true},
    ]}});
    let played = played(&provider, &[values("Complete", &json!([0.001]))]);
    let body: Value = serde_json::from_str(played.requests[0].body.as_deref().unwrap()).unwrap();
    assert_eq!(
        body,
        json!({
            "StartTime": 1_767_354_900, "EndTime": 1_767_355_200,
            "MetricDataQueries": [
                {"Id": "rate", "Expression": "SELECT AVG(x) FROM y", "Label": "l", "Period": 60, "ReturnData": true},
            ],
        })
    );
}

fn page(status: &str, number: f64, token: Option<&str>) -> String {
    let mut page: Value = serde_json::from_str(&values(status, &json!([number]))).unwrap();
    if let Some(token) = token {
        page["NextToken"] = json!(token);
    }
    page.to_string()
}

#[test]
fn pages_are_put_together_and_the_state_of_the_last_one_holds() {
    let pages = [page("PartialData", 0.001, Some("t1")), page("Complete", 0.5, None)];
    let first = played(&rate(), &pages);
    assert_eq!(first.outcome(), "Successful [[0.001,0.5]]");
    let tokens: Vec<Value> = first
        .requests
        .iter()
        .map(|request| serde_json::from_str::<Value>(request.body.as_deref().unwrap()).unwrap()["NextToken"].clone())
        .collect();
    assert_eq!(tokens, [Value::Null, json!("t1")]);
    let pages = [page("PartialData", 0.001, Some("t1")), page("PartialData", 0.001, None)];
    let expected = "Error: CloudWatch calls the data of the query `rate` PartialData";
    assert_eq!(played(&rate(), &pages).outcome(), expected);
    // A server that never comes to an end.
    let pages: Vec<String> = (0..5).map(|_| page("PartialData", 0.001, Some("again"))).collect();
    let expected = "Error: the answer of CloudWatch has more than 5 pages: take a longer period or a shorter interval";
    assert_eq!(played(&rate(), &pages).outcome(), expected);
}

#[test]
fn what_is_wrong_is_named_with_its_field_path() {
    let good = json!({"id": "a", "expression": "1"});
    for (cloud_watch, expected) in [
        (
            json!({"metricDataQueries": []}),
            "metricDataQueries: is empty: give at least one query",
        ),
        (
            json!({"metricDataQueries": [{"id": "a", "expression": "1", "returnData": false}]}),
            "metricDataQueries: no query returns data: leave returnData out in one of them",
        ),
        (
            json!({"metricDataQueries": [{"expression": "1"}]}),
            "metricDataQueries[0].id: is empty: each query needs a name of its own",
        ),
        (
            json!({"metricDataQueries": [{"id": "a"}]}),
            "metricDataQueries[0]: give one of expression and metricStat",
        ),
        (
            json!({"metricDataQueries": [{"id": "a", "expression": "1", "metricStat": {}}]}),
            "metricDataQueries[0]: give one of expression and metricStat",
        ),
        (
            json!({"metricDataQueries": [
                {"id": "a", "metricStat": {"metric": {"metricName": "m"}, "period": "5m", "stat": "Sum"}},
            ]}),
            "metricDataQueries[0].metricStat.period: is `5m`, it must be seconds, for example 300",
        ),
        (
            json!({"metricDataQueries": [{"id": "a", "expression": "1", "period": 0}]}),
            "metricDataQueries[0].period: is `0`, it must be seconds, for example 300",
        ),
        (
            json!({"interval": "soon", "metricDataQueries": [good]}),
            "interval: `soon` is not a duration such as `30s`, `5m` or `1h30m`",
        ),
        (
            json!({"interval": "{{args.i}}", "metricDataQueries": [
                {"id": "a", "expression": "1", "period": "{{args.p}}"},
            ]}),
            "",
        ),
    ] {
        let found = problems(&metric("", &json!({ "cloudWatch": cloud_watch })));
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        let expected: Vec<String> = match expected {
            "" => vec![],
            expected => vec![format!("provider.cloudWatch.{expected}")],
        };
        assert_eq!(found, expected, "{cloud_watch}");
    }
    let stat =
        json!({"cloudWatch": {"metricDataQueries": [{"id": "a", "metricStat": {}}, {"id": "a", "expression": "1"}]}});
    let found: Vec<String> = problems(&metric("", &stat)).iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "provider.cloudWatch.metricDataQueries[0].id: is the id of another query too",
            "provider.cloudWatch.metricDataQueries[0].metricStat.metric.metricName: is empty",
            "provider.cloudWatch.metricDataQueries[0].metricStat.stat: is empty: give for example Sum",
            "provider.cloudWatch.metricDataQueries[0].metricStat.period: is empty: give seconds",
            "provider.cloudWatch.metricDataQueries[1].id: is the id of another query too",
        ]
    );
}

#[test]
fn without_a_region_it_is_said_what_is_missing() {
    let played = play(
        &metric(CONDITION, &rate()),
        (Vec::new(), Secrets::default()),
        &Environment::default(),
        vec![],
    );
    assert_eq!(
        played.outcome(),
        "Error: provider.cloudWatch: no region: give one, or set AWS_REGION for the controller"
    );
}

proptest! {
    #[test]
    fn any_bytes_make_a_phase(status in prop_oneof![Just(200_u16), any::<u16>()], body in any::<Vec<u8>>()) {
        let answers = vec![Ok(HttpResponse { status, body })];
        let metric = metric(CONDITION, &rate());
        let played = play(&metric, (Vec::new(), Secrets::default()), &environment(), answers);
        prop_assert!(played.outcome().starts_with("Error"));
    }

    #[test]
    fn one_value_is_judged_as_plain_comparison_does(number in -1e9..1e9_f64) {
        let outcome = played(&rate(), &[values("Complete", &json!([number]))]).outcome();
        let expected = if number < 0.01 { "Successful" } else { "Failed" };
        prop_assert!(outcome.starts_with(expected), "{}", outcome);
    }
}
