//! What is asked of Prometheus.

use super::*;

fn made(prometheus: &Value) -> Result<HttpRequest, String> {
    let metric = metric(prometheus);
    let prometheus = metric.provider.prometheus.as_ref().unwrap();
    request(now(), prometheus, &environment()).map_err(|error| error.to_string())
}

#[test]
fn an_instant_query_is_a_form_without_a_time() {
    let request = made(&json!({"address": "http://p:9090/", "query": "sum(rate(x{a=\"b&c\"}[5m])) > 1"})).unwrap();
    assert_eq!(request.method, "POST");
    assert_eq!(request.url, "http://p:9090/api/v1/query");
    assert_eq!(
        request.body.as_deref(),
        Some("query=sum%28rate%28x%7Ba%3D%22b%26c%22%7D%5B5m%5D%29%29+%3E+1")
    );
    assert_eq!(
        request.headers,
        [(
            "Content-Type".to_owned(),
            "application/x-www-form-urlencoded".to_owned()
        )]
    );
    assert_eq!(
        (request.timeout, request.insecure, request.body_limit),
        (Duration::from_secs(30), false, 1 << 20)
    );
}

#[test]
fn a_range_query_has_start_end_and_step_in_seconds() {
    let range = json!({"start": "now() - duration(\"5m\")", "end": "now()", "step": "1m"});
    let request = made(&json!({"address": "http://p/prefix", "query": "up", "rangeQuery": range})).unwrap();
    assert_eq!(request.url, "http://p/prefix/api/v1/query_range");
    assert_eq!(
        request.body.as_deref(),
        Some("query=up&start=1767354900.250&end=1767355200.250&step=60.000")
    );
}

#[test]
fn address_timeout_tls_headers_and_authentication_come_from_the_metric() {
    let request = made(&json!({
        "query": "up", "timeout": 40, "insecure": true,
        "headers": [{"key": "X-Scope-OrgID", "value": "tenant_a"}],
        "authentication": {"basicAuth": {"username": "Aladdin", "password": "open sesame"}},
    }))
    .unwrap();
    assert_eq!(request.url, "http://from-env:9090/api/v1/query");
    assert_eq!((request.timeout, request.insecure), (Duration::from_secs(40), true));
    // The example of RFC 7617.
    let expected = [
        ("X-Scope-OrgID", "tenant_a"),
        ("Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
    ];
    let headers: Vec<_> = request.headers[1..]
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(headers, expected);

    let bearer = made(&json!({"query": "up", "headers": [{"key": "Authorization", "value": "Bearer abc"}]})).unwrap();
    assert_eq!(bearer.headers[1], ("Authorization".to_owned(), "Bearer abc".to_owned()));
    assert!(!format!("{bearer:?}").contains("abc"));
}

#[test]
fn what_is_wrong_is_named_with_its_field_path() {
    let range = |start: &str, end: &str, step: &str| json!({"query": "up", "rangeQuery": {"start": start, "end": end, "step": step}});
    let header = |key: &str, value: &str| json!({"query": "up", "headers": [{"key": key, "value": value}]});
    let address = |address: &str| json!({"query": "up", "address": address});
    let basic = |basic: Value| json!({"query": "up", "authentication": {"basicAuth": basic}});
    for (prometheus, expected) in [
        (json!({}), "query: is empty: give a PromQL query"),
        (json!({"query": " \n"}), "query: is empty: give a PromQL query"),
        (
            address("p:9090"),
            "address: must be a URL with http:// or https://, for example http://prometheus.monitoring:9090",
        ),
        (
            address("ftp://p"),
            "address: must be a URL with http:// or https://, for example http://prometheus.monitoring:9090",
        ),
        (
            address("http://"),
            "address: has no host, for example http://prometheus.monitoring:9090",
        ),
        (
            address("http://:9090"),
            "address: has no host, for example http://prometheus.monitoring:9090",
        ),
        (
            address("http://u:p@host"),
            "address: must not contain a user name or password: use authentication or a header",
        ),
        (
            address("http://p/?x=1"),
            "address: must be scheme, host, port and path only: no spaces, `?`, `#` or `\\`",
        ),
        (
            address("http://p\nx"),
            "address: must be scheme, host, port and path only: no spaces, `?`, `#` or `\\`",
        ),
        (
            json!({"query": "up", "timeout": 0}),
            "timeout: is 0, it must be between 1 and 300 seconds",
        ),
        (
            json!({"query": "up", "timeout": -1}),
            "timeout: is -1, it must be between 1 and 300 seconds",
        ),
        (
            json!({"query": "up", "timeout": 301}),
            "timeout: is 301, it must be between 1 and 300 seconds",
        ),
        (header("", "x"), "headers[0].key: is not the name of a header"),
        (header("A b", "x"), "headers[0].key: is not the name of a header"),
        (
            header("A", "x\r\nB: y"),
            "headers[0].value: must not contain line breaks or control characters",
        ),
        (header("Host", "x"), "headers[0].key: `Host` is set by the controller"),
        (
            basic(json!({"password": "x"})),
            "authentication.basicAuth.username: is empty",
        ),
        (
            basic(json!({"username": "a:b"})),
            "authentication.basicAuth.username: must not contain a colon",
        ),
        (
            range("", "now()", "1m"),
            "rangeQuery.start: is empty: give for example now()",
        ),
        (
            range("now()", "", "1m"),
            "rangeQuery.end: is empty: give for example now()",
        ),
        (
            range("now()", "now() - duration(\"1m\")", "1m"),
            "rangeQuery: start is later than end",
        ),
        (
            range("now()", "now()", ""),
            "rangeQuery.step: is empty: give a duration such as 1m",
        ),
        (range("now()", "now()", "0s"), "rangeQuery.step: must be at least 1ms"),
        (
            range("now()", "now()", "??"),
            "rangeQuery.step: `??` is not a duration such as `30s`, `5m` or `1h30m`",
        ),
    ] {
        let expected = format!("provider.prometheus.{expected}");
        assert_eq!(made(&prometheus), Err(expected.clone()), "{prometheus}");
        let problems: Vec<_> = providers::problems(&metric(&prometheus))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(problems, [expected]);
    }
    let both = json!({
        "query": "up", "headers": [{"key": "authorization", "value": "x"}],
        "authentication": {"basicAuth": {"username": "a"}},
    });
    let expected = "provider.prometheus.authentication.basicAuth: and a header Authorization exclude each other";
    assert_eq!(made(&both), Err(expected.to_owned()));
}

#[test]
fn without_any_address_the_variable_is_named() {
    let metric = metric(&json!({"query": "up"}));
    let expected = "provider.prometheus.address: no address: give one, or set ARGO_ROLLOUTS_PROMETHEUS_ADDRESS for the \
                    controller";
    assert_eq!(plain(&metric, vec![]).measured.message.as_deref(), Some(expected));
    assert_eq!(providers::problems(&metric), []);
}

#[test]
fn what_is_not_served_is_named() {
    let plugin = "provider.plugin: there is no interface for plugins: serve the value over HTTP and use provider.web, or \
                  compute it in a Job (provider.job)";
    for (provider, expected) in [
        (json!({"plugin": {"a/b": {}}}), plugin),
        (
            json!({}),
            "provider: no provider specified: give one, for example prometheus",
        ),
        (
            json!({"prometheus": {"query": "up"}, "web": {"url": "http://x"}}),
            "provider: multiple providers specified (prometheus, web): give exactly one",
        ),
    ] {
        let metric = providers::testing::metric("", &provider);
        assert_eq!(
            plain(&metric, vec![]).measured.message.as_deref(),
            Some(expected),
            "{provider}"
        );
        let problems: Vec<String> = providers::problems(&metric).iter().map(ToString::to_string).collect();
        assert_eq!(problems, [expected], "{provider}");
    }
}
