use serde_json::json;

use super::*;
use crate::TransportError;
use crate::providers::Environment;
use crate::providers::testing::{Answer, Played, account, all_problems, answer, metric, play, survives_any_answer};

const KEYS: [(&str, &str); 3] = [
    ("address", "http://influx:8086/"),
    ("authToken", "hunter2"),
    ("org", "my örg"),
];

fn asked(condition: &str, influxdb: Value, secret: &str, values: &[(&str, &str)], answers: Vec<Answer>) -> Played {
    let metric = metric(condition, &json!({ "influxdb": influxdb }));
    let account = account(&metric, secret, values);
    play(&metric, account, &Environment::default(), answers)
}

fn measured(condition: &str, answer: Answer) -> Played {
    let query = json!({"query": "from(bucket: \"b\")"});
    asked(condition, query, SECRET, &KEYS, vec![answer])
}

/// A table as `InfluxDB` writes it, with values of one type.
fn table(kind: &str, values: &[&str]) -> String {
    let mut text = format!(
        "#group,false,false,true,true,false,false,true\r\n\
         #datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,{kind},string\r\n\
         #default,_result,,,,,,\r\n\
         ,result,table,_start,_stop,_time,_value,_field\r\n"
    );
    for value in values {
        text.push_str(",,0,2026-01-02T11:45:00Z,2026-01-02T12:00:00Z,2026-01-02T11:59:00Z,");
        text.push_str(value);
        text.push_str(",f\r\n");
    }
    text + "\r\n"
}

#[test]
fn the_query_is_sent_with_the_account_of_the_secret() {
    let query = "from(bucket: \"app_istio\")\n  |> range(start: -15m)\n";
    let influxdb = json!({"query": query, "profile": "my-influxdb"});
    let played = asked(
        "",
        influxdb,
        "my-influxdb",
        &KEYS,
        vec![answer(200, &table("double", &["1"]))],
    );
    let request = &played.requests[0];
    assert_eq!(
        (request.method, request.url.as_str()),
        ("POST", "http://influx:8086/api/v2/query?org=my+%C3%B6rg")
    );
    let headers: Vec<String> = request
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    assert_eq!(
        headers,
        [
            "Content-Type: application/json",
            "Accept: application/csv",
            "Authorization: Token hunter2"
        ]
    );
    assert_eq!(request.timeout.as_secs(), 30);
    let body: Value = serde_json::from_str(request.body.as_deref().expect("it has a body")).expect("it is JSON");
    assert_eq!(
        body,
        json!({
            "query": query.trim(), "type": "flux",
            "dialect": {"header": true, "delimiter": ",", "commentPrefix": "#", "annotations": ["datatype", "group", "default"]},
        })
    );
    for (missing, expected) in [
        (0, "key `address` could not be read in the namespace of the run"),
        (1, "key `authToken` could not be read in the namespace of the run"),
        (2, "key `org` could not be read in the namespace of the run"),
    ] {
        let mut values = KEYS.to_vec();
        values.remove(missing);
        let played = asked("", json!({"query": "a"}), SECRET, &values, vec![]);
        assert_eq!(
            played.outcome(),
            format!("Error: provider.influxdb: Secret `influxdb` with {expected}")
        );
    }
    let values = [("address", "influx:8086"), KEYS[1], KEYS[2]];
    let played = asked("", json!({"query": "a"}), SECRET, &values, vec![]);
    assert_eq!(
        played.outcome(),
        "Error: provider.influxdb: Secret `influxdb` with key `address` must be a URL with http:// or https://, for example \
         http://influxdb.monitoring:8086"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn the_values_of_all_rows_of_all_tables_are_measured() {
    let empty = "no data: the query returned an empty result (a condition that is to accept this tests for it: \
                 `len(result) == 0`)";
    let nan = "no data: the query returned NaN (a condition that is to accept this tests for it: `isNaN(...)`)";
    let two = table("double", &["0.5", "1.5"]) + &table("long", &["7"]);
    let defaults = "#datatype,string,long,double\r\n#group,false,false,false\r\n#default,_result,,4\r\n,result,table,_value\r\n,,0,\r\n,,1,5\r\n";
    let bare = ",result,table,_value\n,_result,0,1.5\n,_result,0,2\n";
    for (condition, body, expected) in [
        (
            "result[0] <= 0.01",
            table("double", &["0.005"]),
            "Successful [0.005]".to_owned(),
        ),
        (
            "result[0] <= 0.01",
            table("double", &["0.05"]),
            "Failed [0.05]".to_owned(),
        ),
        ("len(result) == 3", two, "Successful [0.5,1.5,7]".to_owned()),
        (
            "result[0] == 3",
            table("unsignedLong", &["3"]),
            "Successful [3]".to_owned(),
        ),
        (
            "result[0] == 4 && result[1] == 5",
            defaults.to_owned(),
            "Successful [4,5]".to_owned(),
        ),
        ("result[1] == 2", bare.to_owned(), "Successful [1.5,2]".to_owned()),
        (
            "result[0] == 'a,\"b'",
            table("string", &["\"a,\"\"b\""]),
            r#"Successful ["a,\"b"]"#.to_owned(),
        ),
        (
            "result[0] && !result[1]",
            table("boolean", &["true", "false"]),
            "Successful [true,false]".to_owned(),
        ),
        ("result[0] <= 1", "\r\n".to_owned(), format!("Error []: {empty}")),
        ("result[0] <= 1", String::new(), format!("Error []: {empty}")),
        ("result[0] <= 1", table("double", &[]), format!("Error []: {empty}")),
        ("len(result) == 0", String::new(), "Successful []".to_owned()),
        (
            "result[0] <= 1",
            table("double", &["0.5", ""]),
            format!("Error [0.5,NaN]: {nan}"),
        ),
        (
            "result[0] <= 1",
            table("double", &["0.5", "NaN"]),
            format!("Error [0.5,NaN]: {nan}"),
        ),
        (
            "isInf(result[0])",
            table("double", &["+Inf"]),
            "Successful [+Inf]".to_owned(),
        ),
        (
            "result[0] != 1",
            table("boolean", &["true"]) + &table("double", &["NaN"]),
            format!("Error [true,\"NaN\"]: {nan}"),
        ),
        (
            "true",
            table("double", &["x"]),
            "Error: the answer of InfluxDB has a value that is no double".to_owned(),
        ),
        (
            "true",
            table("boolean", &["1"]),
            "Error: the answer of InfluxDB has a value that is no boolean".to_owned(),
        ),
        (
            "true",
            table("double", &["0.5"]).trim_end().to_owned(),
            "Error: the answer of InfluxDB is cut off".to_owned(),
        ),
        (
            "true",
            table("double", &["0.5"]) + ",,0\r\n",
            "Error: the answer of InfluxDB is cut off".to_owned(),
        ),
        (
            "true",
            "#datatype,string,long,double\r\n,result,table,mean\r\n,,0,1\r\n".to_owned(),
            "Error: the query returned a table without a column _value: keep or make one".to_owned(),
        ),
        (
            "true",
            "<html>\n".to_owned(),
            "Error: the answer of InfluxDB is no table: is the address right?".to_owned(),
        ),
        (
            "true",
            "{\"a\":1}".to_owned(),
            "Error: the answer of InfluxDB is no table: is the address right?".to_owned(),
        ),
        (
            "true",
            table("double", &vec!["1"; 10_001]),
            "Error: the query returned more than 10000 values: aggregate it, or take a shorter time".to_owned(),
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
fn an_error_in_the_middle_of_an_answer_is_the_answer() {
    let error = "#datatype,string,string\r\n#group,true,true\r\n#default,,\r\n,error,reference\r\n\
                 ,\"failed to create physical plan: invalid time bounds\",897\r\n";
    let said = "Error: InfluxDB refused the query: failed to create physical plan: invalid time bounds";
    assert_eq!(measured("true", answer(200, error)).outcome(), said);
    let both = table("double", &["0.5"]) + error;
    assert_eq!(measured("true", answer(200, &both)).outcome(), said);
    let bare = ",result,table,_value\n,_result,0,1.5\n\n,error,reference\n,hunter2,\n";
    assert_eq!(
        measured("true", answer(200, bare)).outcome(),
        "Error: InfluxDB refused the query: *****"
    );
}

#[test]
fn refusals_carry_influxdbs_own_words() {
    for (status, body, expected) in [
        (
            403,
            r#"{"error":"Flux query service disabled"}"#,
            "Error: InfluxDB answered 403: Flux query service disabled",
        ),
        (
            400,
            r#"{"code":"invalid","message":"compilation failed: error @1:1-1:5: undefined identifier fro"}"#,
            "Error: InfluxDB answered 400: compilation failed: error @1:1-1:5: undefined identifier fro",
        ),
        (
            401,
            r#"{"code":"unauthorized","message":"unauthorized access"}"#,
            "Error: InfluxDB answered 401: unauthorized access",
        ),
        (
            403,
            "",
            "Error: InfluxDB answered 403: check authentication and headers",
        ),
        (
            404,
            r#"{"code":"not found","message":"organization name \"my org\" not found"}"#,
            "Error: InfluxDB answered 404: organization name \"my org\" not found",
        ),
        (
            404,
            "404 page not found",
            "Error: InfluxDB answered 404: is the address right?",
        ),
        (429, "{}", "Error: InfluxDB answered 429: too many requests"),
        (500, "x", "Error: InfluxDB answered 500"),
    ] {
        assert_eq!(
            measured("true", answer(status, body)).outcome(),
            expected,
            "{status} {body}"
        );
    }
    assert_eq!(
        measured("true", Err(TransportError::Redirect)).outcome(),
        "Error: the server answered with a redirect, which is not followed"
    );
    let bytes = Ok(HttpResponse {
        status: 200,
        body: vec![b',', 0xff, b'\n'],
    });
    assert_eq!(
        measured("true", bytes).outcome(),
        "Error: the answer of InfluxDB is no table: is the address right?"
    );
}

#[test]
fn what_is_wrong_is_named_with_its_field_path() {
    let name = "provider.influxdb.profile: is not the name of a Secret: lower-case letters, digits, `-` and `.`";
    for (influxdb, expected) in [
        (
            json!({}),
            "provider.influxdb.query: is empty: give a Flux query".to_owned(),
        ),
        (
            json!({"query": "\n"}),
            "provider.influxdb.query: is empty: give a Flux query".to_owned(),
        ),
        (json!({"query": "a", "profile": "a/../b"}), name.to_owned()),
        (
            json!({"profile": "A"}),
            format!("provider.influxdb.query: is empty: give a Flux query; {name}"),
        ),
        (json!({"query": "{{args.q}}", "profile": "{{args.p}}"}), String::new()),
        (json!({"query": "a", "profile": "my-influxdb.2"}), String::new()),
    ] {
        assert_eq!(all_problems(&json!({"influxdb": influxdb})), expected, "{influxdb}");
    }
}

#[test]
fn every_answer_becomes_a_phase() {
    let words = [
        "#datatype",
        "#group",
        "#default",
        ",result,table,_value",
        "result",
        "table",
        "_value",
        "double",
        "long",
        "error",
        "reference",
        ",error,reference",
    ];
    survives_any_answer(&words, |answer| measured("result[0] < 1", answer).measured);
}
