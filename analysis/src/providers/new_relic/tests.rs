use serde_json::json;

use super::*;
use crate::TransportError;
use crate::providers::Environment;
use crate::providers::testing::{Answer, Played, account, all_problems, answer, metric, play, survives_any_answer};

const KEYS: [(&str, &str); 2] = [("personal-api-key", "NRAK-hunter2"), ("account-id", "1234")];

fn asked(condition: &str, new_relic: Value, secret: &str, values: &[(&str, &str)], answers: Vec<Answer>) -> Played {
    let metric = metric(condition, &json!({ "newRelic": new_relic }));
    let account = account(&metric, secret, values);
    play(&metric, account, &Environment::default(), answers)
}

fn measured(condition: &str, answer: Answer) -> Played {
    let query = json!({"query": "SELECT count(*) FROM Transaction"});
    asked(condition, query, SECRET, &KEYS, vec![answer])
}

fn results(results: &str) -> String {
    format!(r#"{{"data":{{"actor":{{"account":{{"nrql":{{"results":{results}}}}}}}}}}}"#)
}

#[test]
fn nerdgraph_is_asked_with_the_query_as_a_variable() {
    let nrql = "FROM Transaction SELECT percentage(count(*), WHERE code != 500) as \"successRate\"\n";
    let played = asked(
        "",
        json!({"query": nrql}),
        SECRET,
        &KEYS,
        vec![answer(200, &results("[{\"a\":1}]"))],
    );
    let request = &played.requests[0];
    assert_eq!(
        (request.method, request.url.as_str()),
        ("POST", "https://api.newrelic.com/graphql")
    );
    assert_eq!(request.timeout.as_secs(), 30);
    let headers: Vec<String> = request
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    assert_eq!(
        headers,
        [
            "Content-Type: application/json",
            "Accept: application/json",
            "API-Key: NRAK-hunter2"
        ]
    );
    let body: Value = serde_json::from_str(request.body.as_deref().expect("it has a body")).expect("it is JSON");
    assert_eq!(
        body,
        json!({
            "query": "query($account: Int!, $nrql: Nrql!) { actor { account(id: $account) { nrql(query: $nrql) { results } } } }",
            "variables": {"account": 1234, "nrql": nrql.trim()},
        })
    );

    let played = asked(
        "",
        json!({"query": "SELECT 1", "timeout": 60}),
        SECRET,
        &KEYS,
        vec![answer(200, &results("[{\"a\":1}]"))],
    );
    let request = &played.requests[0];
    assert_eq!(request.timeout.as_secs(), 70, "New Relic gives up first and says so");
    let body: Value = serde_json::from_str(request.body.as_deref().expect("it has a body")).expect("it is JSON");
    assert_eq!(
        body["variables"],
        json!({"account": 1234, "nrql": "SELECT 1", "timeout": 60})
    );
    assert!(
        body["query"]
            .as_str()
            .is_some_and(|query| query.contains("nrql(query: $nrql, timeout: $timeout)")),
        "{body}"
    );
}

#[test]
fn region_and_address_come_from_the_secret() {
    for (values, expected) in [
        (vec![("region", "us")], "https://api.newrelic.com/graphql"),
        (vec![("region", "EU\n")], "https://api.eu.newrelic.com/graphql"),
        (vec![("region", "jp")], "https://api.jp.newrelic.com/graphql"),
        (vec![("region", "staging")], "https://staging-api.newrelic.com/graphql"),
        (
            vec![
                ("region", "eu"),
                ("base-url-rest", "https://proxy/rest"),
                ("base-url-nerdgraph", "https://proxy/nerd/graphql"),
            ],
            "https://proxy/nerd/graphql",
        ),
    ] {
        let all: Vec<_> = KEYS.into_iter().chain(values).collect();
        let query = json!({"query": "SELECT 1", "profile": "other"});
        let played = asked("", query, "other", &all, vec![answer(200, &results("[{\"a\":1}]"))]);
        assert_eq!(played.requests[0].url, expected);
    }
    for (values, expected) in [
        (
            vec![],
            "Secret `newrelic` with key `personal-api-key` could not be read in the namespace of the run",
        ),
        (
            vec![KEYS[0]],
            "Secret `newrelic` with key `account-id` could not be read in the namespace of the run",
        ),
        (
            vec![KEYS[0], ("account-id", "1; x")],
            "Secret `newrelic` with key `account-id` is no number of an account",
        ),
        (
            vec![KEYS[0], KEYS[1], ("region", "mars")],
            "Secret `newrelic` with key `region` must be us, eu, jp or staging",
        ),
        (
            vec![KEYS[0], KEYS[1], ("base-url-nerdgraph", "https://u:p@x")],
            "Secret `newrelic` with key `base-url-nerdgraph` must not contain a user name or password: use authentication or a header",
        ),
    ] {
        let played = asked("", json!({"query": "SELECT 1"}), SECRET, &values, vec![]);
        assert_eq!(played.outcome(), format!("Error: provider.newRelic: {expected}"));
    }
}

#[test]
fn one_result_is_a_map_and_several_are_a_list() {
    let empty = "no data: the query returned an empty result (a condition that is to accept this tests for it: \
                 `len(result) == 0`)";
    for (condition, body, expected) in [
        ("result.successRate >= 0.95", results(r#"[{"successRate":99.5}]"#), r#"Successful {"successRate":99.5}"#.to_owned()),
        ("result.successRate >= 0.95", results(r#"[{"successRate":0.5}]"#), r#"Failed {"successRate":0.5}"#.to_owned()),
        ("result['average.duration'] < 1", results(r#"[{"average.duration":0.2}]"#), r#"Successful {"average.duration":0.2}"#.to_owned()),
        ("all(result, #.count < 5)", results(r#"[{"facet":"a","count":1},{"facet":"b","count":2}]"#), r#"Successful [{"facet":"a","count":1},{"facet":"b","count":2}]"#.to_owned()),
        ("result.a == 0", results(r#"[{"a":0,"b":null}]"#), r#"Successful {"a":0,"b":null}"#.to_owned()),
        ("result.b != 3", results(r#"[{"a":0,"b":null}]"#), "Error {\"a\":0,\"b\":null}: no data: the answer has no `result.b` (a condition that is to accept this tests for it: `isNil(result.b)`)".to_owned()),
        ("result.a < 5", results(r#"[{"a":null}]"#), format!(r#"Error {{"a":null}}: {empty}"#)),
        ("isNil(result)", results(r#"[{"a":null}]"#), r#"Successful {"a":null}"#.to_owned()),
        ("result.a < 5", results("[]"), format!("Error []: {empty}")),
        ("result.a < 5", results("[{}]"), format!("Error {{}}: {empty}")),
        ("result.a < 5", results(r#"[{"a":"NaN"}]"#), "Error {\"a\":\"NaN\"}: no data: the query returned NaN (a condition that is to accept this tests for it: `isNaN(...)`)".to_owned()),
        ("true", results("[1]"), "Error: the answer of New Relic has a result that is no map".to_owned()),
        ("true", results("{}"), "Error: the answer of New Relic has no results: does the account exist, and may the key read it?".to_owned()),
        ("true", r#"{"data":{"actor":{"account":null}}}"#.to_owned(), "Error: the answer of New Relic has no results: does the account exist, and may the key read it?".to_owned()),
        ("true", r#"{"other":1}"#.to_owned(), "Error: the answer of New Relic has no data: is the address right?".to_owned()),
        ("true", results(r#"[{"a":1"#), "Error: the answer of New Relic is no JSON: is the address right?".to_owned()),
    ] {
        assert_eq!(measured(condition, answer(200, &body)).outcome(), expected, "{condition} {body}");
    }
    let many = format!("[{}{{\"a\":1}}]", "{\"a\":1},".repeat(6_000));
    assert_eq!(
        measured("true", answer(200, &results(&many))).outcome(),
        "Error: the query returned more than 10000 values: aggregate it, or take a shorter time"
    );
}

#[test]
fn refusals_carry_new_relics_own_words_and_no_key() {
    let syntax = r#"{"data":{"actor":{"account":{"nrql":null}}},"errors":[{"message":"NRQL Syntax Error: Error at line 1 position 8, unexpected 'FORM'","path":["actor","account","nrql"]}]}"#;
    for (status, body, expected) in [
        (
            200,
            syntax,
            "Error: New Relic refused the query: NRQL Syntax Error: Error at line 1 position 8, unexpected 'FORM'",
        ),
        (
            200,
            r#"{"errors":[{"message":"a"},{},{"message":"NRAK-hunter2"},{"message":"d"}]}"#,
            "Error: New Relic refused the query: a; an error without a message; *****",
        ),
        (
            200,
            r#"{"errors":{"message":"odd"}}"#,
            "Error: New Relic refused the query: odd",
        ),
        (
            400,
            r#"{"errors":[{"message":"bad"}]}"#,
            "Error: New Relic answered 400: bad",
        ),
        (
            401,
            "",
            "Error: New Relic answered 401: check authentication and headers",
        ),
        (
            403,
            "<html>",
            "Error: New Relic answered 403: check authentication and headers",
        ),
        (429, "{}", "Error: New Relic answered 429: too many requests"),
        (502, "bad gateway", "Error: New Relic answered 502"),
        (
            200,
            "",
            "Error: the answer of New Relic is no JSON: is the address right?",
        ),
    ] {
        assert_eq!(
            measured("true", answer(status, body)).outcome(),
            expected,
            "{status} {body}"
        );
    }
    assert_eq!(
        measured("true", Err(TransportError::Dns)).outcome(),
        "Error: the host name does not resolve"
    );
}

#[test]
fn what_is_wrong_is_named_with_its_field_path() {
    for (new_relic, expected) in [
        (
            json!({"query": " \n"}),
            "provider.newRelic.query: is empty: give a NRQL query",
        ),
        (
            json!({"query": "a", "timeout": 0}),
            "provider.newRelic.timeout: is 0, it must be between 1 and 120 seconds",
        ),
        (
            json!({"query": "a", "timeout": 121}),
            "provider.newRelic.timeout: is 121, it must be between 1 and 120 seconds",
        ),
        (
            json!({"query": "a", "profile": "A/b"}),
            "provider.newRelic.profile: is not the name of a Secret: lower-case letters, digits, `-` and `.`",
        ),
        (
            json!({"query": "", "timeout": -1, "profile": "-"}),
            "provider.newRelic.query: is empty: give a NRQL query; provider.newRelic.timeout: is -1, it must be between 1 and 120 seconds; \
             provider.newRelic.profile: is not the name of a Secret: lower-case letters, digits, `-` and `.`",
        ),
        (json!({"query": "{{args.q}}", "profile": "{{args.p}}"}), ""),
        (json!({"query": "a"}), ""),
    ] {
        assert_eq!(all_problems(&json!({"newRelic": new_relic})), expected, "{new_relic}");
    }
}

#[test]
fn every_answer_becomes_a_phase() {
    let words = [
        "data", "actor", "account", "nrql", "results", "errors", "message", "count",
    ];
    survives_any_answer(&words, |answer| measured("result.count < 1", answer).measured);
}
