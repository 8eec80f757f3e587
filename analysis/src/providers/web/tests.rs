use serde_json::{Value, json};

use crate::TransportError;
use crate::providers::testing::{answer, from_secret, metric, plain, play};
use crate::providers::{Environment, problems};
use crate::{HttpRequest, HttpResponse};

fn outcome(condition: &str, web: Value, status: u16, body: &str) -> String {
    let mut web = web;
    web["url"] = json!("http://app/health");
    plain(&metric(condition, &json!({"web": web})), vec![answer(status, body)]).outcome()
}

#[test]
fn the_value_is_what_the_path_leads_to() {
    let no_path = json!({});
    let path = |path: &str| json!({ "jsonPath": path });
    for (condition, web, body, expected) in [
        ("result == true", path("{$.ok}"), r#"{"ok":true}"#, "Successful true"),
        ("result", path("{$.ok}"), r#"{"ok":false}"#, "Failed false"),
        (
            "result.ok && result.code < 5",
            path("{$.data}"),
            r#"{"data":{"ok":true,"code":3}}"#,
            r#"Successful {"ok":true,"code":3}"#,
        ),
        ("result < 5", path("{$.n}"), r#"{"n":7.5}"#, "Failed 7.5"),
        (
            "result == 'green'",
            path("{$.state}"),
            r#"{"state":"green"}"#,
            r#"Successful "green""#,
        ),
        (
            "asFloat(result) < 5",
            path("{$.n}"),
            r#"{"n":"4.5"}"#,
            r#"Successful "4.5""#,
        ),
        (
            "len(result) == 2 && result[1] == 2",
            path("{$.list}"),
            r#"{"list":[1,2]}"#,
            "Successful [1,2]",
        ),
        (
            "result.status == 'UP'",
            no_path.clone(),
            r#"{"status":"UP"}"#,
            r#"Successful {"status":"UP"}"#,
        ),
        ("result == 'OK'", no_path.clone(), "OK", r#"Successful "OK""#),
        (
            "result contains 'ready'",
            no_path.clone(),
            "all ready\n",
            r#"Successful "all ready\n""#,
        ),
        ("result > 1", no_path.clone(), "12", "Successful 12"),
        (
            "any(result, {#.state == 'bad'})",
            no_path.clone(),
            r#"[{"state":"ok"},{"state":"bad"}]"#,
            r#"Successful [{"state":"ok"},{"state":"bad"}]"#,
        ),
        (
            "result['a.b'] == 1",
            no_path.clone(),
            r#"{"a.b":1}"#,
            r#"Successful {"a.b":1}"#,
        ),
    ] {
        assert_eq!(outcome(condition, web, 200, body), expected, "{condition} {body}");
    }
}

#[test]
fn an_answer_without_the_value_is_an_error_and_never_a_verdict() {
    let path = json!({"jsonPath": "{$.data}"});
    let empty = "no data: the query returned an empty result (a condition that is to accept this tests for it: \
                 `len(result) == 0`)";
    for (condition, web, status, body, expected) in [
        ("true", path.clone(), 200, r#"{"other":1}"#, "Error: jsonPath leads to nothing in the answer".to_owned()),
        ("true", path.clone(), 200, "no json", "Error: the answer is no JSON, and jsonPath looks for something in it".to_owned()),
        ("true", path.clone(), 200, r#"{"data":"#, "Error: the answer is no JSON, and jsonPath looks for something in it".to_owned()),
        ("true", path.clone(), 200, r#"{"data":null}"#, format!("Error null: {empty}")),
        ("result != 3", path.clone(), 200, r#"{"data":[]}"#, format!("Error []: {empty}")),
        ("result != 3", path.clone(), 200, r#"{"data":{}}"#, format!("Error {{}}: {empty}")),
        ("isNil(result)", path.clone(), 200, r#"{"data":null}"#, "Successful null".to_owned()),
        (
            "result.errors != 3", path.clone(), 200, r#"{"data":{"x":1}}"#,
            "Error {\"x\":1}: no data: the answer has no `result.errors` (a condition that is to accept this tests for it: \
             `isNil(result.errors)`)".to_owned(),
        ),
        (
            "result[1]['a b'] != 3", path.clone(), 200, r#"{"data":[{"a b":1}]}"#,
            "Error [{\"a b\":1}]: no data: the answer has no `result[1]` (a condition that is to accept this tests \
             for it: `isNil(result[1])`)".to_owned(),
        ),
        (
            "asFloat(result) < 5 || true", path.clone(), 200, r#"{"data":"NaN"}"#,
            "Error \"NaN\": no data: the query returned NaN (a condition that is to accept this tests for it: `isNaN(...)`)"
                .to_owned(),
        ),
        (
            "asFloat(result.x) > 5 || true", path.clone(), 200, r#"{"data":{"x":"+Inf"}}"#,
            "Error {\"x\":\"+Inf\"}: no data: the query returned an infinite number (a condition that is to accept this \
             tests for it: `isInf(...)`)".to_owned(),
        ),
        ("result > 5", path, 200, r#"{"data":"text"}"#, "Error \"text\": successCondition: cannot compare".to_owned()),
        ("true", json!({}), 200, "", format!("Error \"\": {empty}")),
        ("true", json!({}), 404, r#"{"secret":1}"#, "Error: the server answered 404: is the address right?".to_owned()),
        ("true", json!({}), 401, "", "Error: the server answered 401: check authentication and headers".to_owned()),
        ("true", json!({}), 503, "down", "Error: the server answered 503".to_owned()),
    ] {
        let found = outcome(condition, web, status, body);
        if expected.ends_with("cannot compare") {
            assert!(found.starts_with("Error \"text\": successCondition: "), "{found}");
        } else {
            assert_eq!(found, expected, "{condition} {body}");
        }
    }
    let web = json!({"web": {"url": "http://x"}});
    let bytes = Ok(HttpResponse {
        status: 200,
        body: vec![0xff, 0xfe],
    });
    let played = plain(&metric("true", &web), vec![bytes]);
    assert_eq!(played.outcome(), "Error: the answer is neither JSON nor a text");
    let many = format!("[{}1]", "1,".repeat(10_000));
    let played = plain(&metric("true", &web), vec![answer(200, &many)]);
    let expected = "Error: the answer has more than 10000 values: give a jsonPath to the one that is measured";
    assert_eq!(played.outcome(), expected);
    let played = plain(&metric("true", &web), vec![Err(TransportError::Tls)]);
    assert_eq!(played.outcome(), "Error: the TLS handshake failed");
}

#[test]
fn method_headers_bodies_and_times_come_from_the_metric() {
    let web = json!({"web": {
        "url": "https://app/api?x={{args.x}}", "method": "POST", "jsonBody": {"key": "{{args.x}}", "n": [1]},
        "headers": [{"key": "X-Token", "value": "{{args.x}}"}], "timeoutSeconds": 40, "insecure": true,
    }});
    let played = play(
        &metric("", &web),
        from_secret(&[("x", "hunter2")]),
        &Environment::default(),
        vec![answer(200, r#"{"echo":"hunter2"}"#)],
    );
    assert_eq!(played.outcome(), r#"Successful {"echo":"*****"}"#);
    let HttpRequest {
        method,
        url,
        headers,
        body,
        timeout,
        insecure,
        ..
    } = &played.requests[0];
    assert_eq!(
        (*method, url.as_str(), *insecure),
        ("POST", "https://app/api?x=hunter2", true)
    );
    assert_eq!(body.as_deref(), Some(r#"{"key":"hunter2","n":[1]}"#));
    assert_eq!(timeout.as_secs(), 40);
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        *headers,
        [header("X-Token", "hunter2"), header("Content-Type", "application/json")]
    );

    let played = plain(
        &metric("", &json!({"web": {"url": "http://x"}})),
        vec![answer(200, "1")],
    );
    let request = &played.requests[0];
    assert_eq!((request.method, request.timeout.as_secs()), ("GET", 10));
    assert_eq!((&request.headers, &request.body), (&vec![], &None));
    let put = json!({"web": {"url": "http://x", "method": "PUT", "body": "text"}});
    let played = plain(&metric("", &put), vec![answer(201, "1")]);
    assert_eq!(
        (played.requests[0].method, played.requests[0].body.as_deref()),
        ("PUT", Some("text"))
    );
}

#[test]
fn what_is_wrong_is_named_with_its_field_path() {
    for (web, expected) in [
        (
            json!({"url": ""}),
            "url: must be a URL with http:// or https://, for example https://example.com/health",
        ),
        (
            json!({"url": "file:///etc/passwd"}),
            "url: must be a URL with http:// or https://, for example https://example.com/health",
        ),
        (
            json!({"url": "http://u:p@x/"}),
            "url: must not contain a user name or password: use authentication or a header",
        ),
        (json!({"url": "http://x?a=u@b"}), ""),
        (
            json!({"url": "http://x", "method": "DELETE"}),
            "method: must be GET, POST or PUT",
        ),
        (
            json!({"url": "http://x", "body": "a"}),
            "body: Body/JSONBody can only be used with POST or PUT WebMetric Method types",
        ),
        (
            json!({"url": "http://x", "method": "POST", "body": "a", "jsonBody": {}}),
            "body: use either Body or JSONBody; both cannot exists for WebMetric payload",
        ),
        (
            json!({"url": "http://x", "timeoutSeconds": 301}),
            "timeoutSeconds: is 301, it must be between 1 and 300 seconds",
        ),
        (
            json!({"url": "http://x", "headers": [{"key": "Host", "value": "y"}]}),
            "headers[0].key: `Host` is set by the controller",
        ),
        (
            json!({"url": "http://x", "jsonPath": "{$[}"}),
            "jsonPath: `{$[}` is not a JSON path, for example {$.data.errors}",
        ),
        (
            json!({"url": "http://x", "authentication": {"sigv4": {}}}),
            "authentication.sigv4: is not for web metrics: give oauth2, or a header",
        ),
        (
            json!({"url": "http://x", "authentication": {"oauth2": {"clientId": "a", "clientSecret": "b"}}}),
            "authentication.oauth2.tokenUrl: is empty",
        ),
        (
            json!({
                "url": "http://x", "headers": [{"key": "authorization", "value": "y"}],
                "authentication": {"oauth2": {"clientId": "a", "clientSecret": "b", "tokenUrl": "http://t"}},
            }),
            "authentication.oauth2: and a header Authorization exclude each other",
        ),
        (json!({"url": "http://{{args.x}}", "jsonPath": "{{args.y}}"}), ""),
    ] {
        let found = problems(&metric("", &json!({ "web": web })));
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        let expected = if expected.is_empty() {
            vec![]
        } else {
            vec![format!("provider.web.{expected}")]
        };
        assert_eq!(found, expected, "{web}");
    }
}
