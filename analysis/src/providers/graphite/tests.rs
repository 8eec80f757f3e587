use serde_json::json;

use super::*;
use crate::TransportError;
use crate::providers::testing::{Answer, Played, all_problems, answer, metric, plain, survives_any_answer};

fn asked(condition: &str, graphite: Value, answer: Answer) -> Played {
    plain(&metric(condition, &json!({ "graphite": graphite })), vec![answer])
}

fn measured(condition: &str, answer: Answer) -> Played {
    asked(
        condition,
        json!({"address": "http://graphite", "query": "target=a"}),
        answer,
    )
}

fn points(points: &str) -> String {
    format!(r#"[{{"target":"a","tags":{{"name":"a"}},"datapoints":[{points}]}}]"#)
}

#[test]
fn the_query_is_the_query_string_of_the_request() {
    for (query, expected) in [
        ("target=app.numUsers", "target=app.numUsers&format=json"),
        (
            "target=a.b&from=-5min&until=now",
            "target=a.b&from=-5min&until=now&format=json",
        ),
        ("target=a&format=png&target=b", "target=a&target=b&format=json"),
        ("?target=a", "target=a&format=json"),
        ("target=a%20b+c", "target=a+b+c&format=json"),
        (
            "target=summarize(\n    asPercent(\n      sum(stats.{A,B}.*.count)),\n  '5min'\n)\n",
            "target=summarize%28+asPercent%28+sum%28stats.%7BA%2CB%7D.*.count%29%29%2C+%275min%27+%29&format=json",
        ),
        (
            "target=seriesByTag('name=a')",
            "target=seriesByTag%28%27name%3Da%27%29&format=json",
        ),
        ("target=a#b", "target=a%23b&format=json"),
    ] {
        let graphite = json!({"address": "https://graphite.example.com:9090/base/", "query": query});
        let played = asked("", graphite, answer(200, &points("[1,2]")));
        let request = &played.requests[0];
        assert_eq!(
            request.url,
            format!("https://graphite.example.com:9090/base/render?{expected}")
        );
        assert_eq!(
            (request.method, &request.body, request.timeout.as_secs()),
            ("GET", &None, 10)
        );
        assert_eq!(request.headers, [("Accept".to_owned(), "application/json".to_owned())]);
    }
}

#[test]
fn the_values_of_the_first_target_are_measured_without_nulls() {
    let empty = "no data: the query returned an empty result (a condition that is to accept this tests for it: \
                 `len(result) == 0`)";
    let not_a_number = "Error: the answer of Graphite has a datapoint that is not a number";
    for (condition, body, expected) in [
        ("result[0] >= 90.000000", points("[99.5,1]"), "Successful [99.5]".to_owned()),
        ("result[0] >= 90.000000", points("[9.5,1],[99,2]"), "Failed [9.5,99]".to_owned()),
        ("len(result) == 2", points("[null,1],[5,2],[null,3],[6.25,4]"), "Successful [5,6.25]".to_owned()),
        ("result[0] == 5", points(r#"["5",1]"#), "Successful [5]".to_owned()),
        ("result[0] == 1", r#"[{"target":"a","datapoints":[[1,1]]},{"target":"b","datapoints":[[2,1]]}]"#.to_owned(), "Successful [1]".to_owned()),
        ("result[0] >= 0", points("[null,1]"), format!("Error []: {empty}")),
        ("result[0] >= 0", points(""), format!("Error []: {empty}")),
        ("result[0] >= 0", "[]".to_owned(), format!("Error []: {empty}")),
        ("len(result) == 0", "[]".to_owned(), "Successful []".to_owned()),
        ("result[0] >= 0", points(r#"["NaN",1]"#), "Error [NaN]: no data: the query returned NaN (a condition that is to accept this tests for it: `isNaN(...)`)".to_owned()),
        ("true", points("[1,1],[true,2]"), not_a_number.to_owned()),
        ("true", points(r#"["x",1]"#), not_a_number.to_owned()),
        ("true", points("[1]"), not_a_number.to_owned()),
        ("true", points("1"), not_a_number.to_owned()),
        ("true", r#"[{"target":"a"}]"#.to_owned(), "Error: the answer of Graphite has a target without datapoints".to_owned()),
        ("true", "[7]".to_owned(), "Error: the answer of Graphite has a target without datapoints".to_owned()),
        ("true", "{}".to_owned(), "Error: the answer of Graphite is no list of targets: is the address right?".to_owned()),
        ("true", points("[1,1],[2"), "Error: the answer of Graphite is no JSON: is the address right?".to_owned()),
        ("true", points(&format!("{}[1,1]", "[1,1],".repeat(10_000))), "Error: the query returned 10001 values, at most 10000 are read: aggregate it, or take a shorter time".to_owned()),
    ] {
        let shown = crate::text::bounded(&body);
        assert_eq!(measured(condition, answer(200, &body)).outcome(), expected, "{condition} {shown}");
    }
}

#[test]
fn other_answers_are_errors_with_graphites_own_words() {
    for (status, body, expected) in [
        (
            400,
            "Invalid target:\n'a('",
            "Error: Graphite answered 400: Invalid target: 'a('",
        ),
        (400, "<html><body>bad</body></html>", "Error: Graphite answered 400"),
        (
            401,
            "",
            "Error: Graphite answered 401: check authentication and headers",
        ),
        (404, "<html>", "Error: Graphite answered 404: is the address right?"),
        (500, "<!DOCTYPE html>", "Error: Graphite answered 500"),
        (503, "timeout", "Error: Graphite answered 503: timeout"),
        (
            200,
            "",
            "Error: the answer of Graphite is no JSON: is the address right?",
        ),
        (
            200,
            "No Data",
            "Error: the answer of Graphite is no JSON: is the address right?",
        ),
    ] {
        assert_eq!(
            measured("true", answer(status, body)).outcome(),
            expected,
            "{status} {body}"
        );
    }
    assert_eq!(
        measured("true", Err(TransportError::BodyTooLarge)).outcome(),
        "Error: the response body is larger than the limit"
    );
}

#[test]
fn what_is_wrong_is_named_with_its_field_path() {
    let address = "provider.graphite.address: must be a URL with http:// or https://, for example http://graphite.example.com:9090";
    let query = "provider.graphite.query: has no target: write target=..., and for example &from=-10min behind it";
    for (graphite, expected) in [
        (json!({}), format!("{address}; {query}")),
        (json!({"query": "target=a"}), address.to_owned()),
        (
            json!({"address": "graphite:9090", "query": "target=a"}),
            address.to_owned(),
        ),
        (
            json!({"address": "http://g#x", "query": "target=a"}),
            "provider.graphite.address: must be scheme, host, port and path only: no spaces, `?`, `#` or `\\`"
                .to_owned(),
        ),
        (json!({"address": "http://g"}), query.to_owned()),
        (
            json!({"address": "http://g", "query": "sumSeries(a.*)"}),
            query.to_owned(),
        ),
        (
            json!({"address": "http://g", "query": "target=&from=-5min"}),
            query.to_owned(),
        ),
        (json!({"address": "{{args.a}}", "query": "{{args.q}}"}), String::new()),
        (json!({"address": "http://g", "query": "target=a"}), String::new()),
    ] {
        assert_eq!(all_problems(&json!({"graphite": graphite})), expected, "{graphite}");
    }
}

#[test]
fn every_answer_becomes_a_phase() {
    let words = ["target", "datapoints", "tags"];
    survives_any_answer(&words, |answer| measured("result[0] < 1", answer).measured);
}
