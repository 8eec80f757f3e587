//! What Prometheus answers, and what becomes of it.

use proptest::prelude::*;

use super::*;

#[test]
fn answers_are_read_by_the_documented_format() {
    let matrix = success(
        "matrix",
        r#"[{"metric":{"__name__":"up","job":"prometheus"},"values":[[1435781430.781,"11"],[1435781445.781,"12"]]},
            {"metric":{"__name__":"up","job":"node"},"values":[[1435781430.781,"13.5"],[1435781445.781,"14"]]}]"#,
    );
    let warned = r#"{"status":"success","warnings":["a warning"],"infos":["i"],"data":{"resultType":"scalar","result":[1,"1"]}}"#;
    let no_data = "(a condition that is to accept this tests for it:";
    for (condition, body, expected) in [
        ("result[0] >= 0.95", vector(&["0.97"]), "Successful [0.97]".to_owned()),
        ("result[0] >= 0.95", vector(&["0.94"]), "Failed [0.94]".to_owned()),
        (
            "result[0] >= 0.95",
            vector(&["1e-7", "2e20"]),
            "Failed [0.0000001,200000000000000000000]".to_owned(),
        ),
        (
            "all(result, # < 1)",
            vector(&["0.1", "0.2"]),
            "Successful [0.1,0.2]".to_owned(),
        ),
        (
            "result >= 0.9",
            success("scalar", r#"[1435781451.781,"0.97"]"#),
            "Successful 0.97".to_owned(),
        ),
        ("result == 1", warned.to_owned(), "Successful 1".to_owned()),
        (
            "all(result, # > 10)",
            matrix.clone(),
            "Successful [11,12,13.5,14]".to_owned(),
        ),
        ("len(result) == 4", matrix, "Successful [11,12,13.5,14]".to_owned()),
        (
            "result[0] > 1",
            vector(&[]),
            format!("Error []: no data: the query returned an empty result {no_data} `len(result) == 0`)"),
        ),
        ("len(result) == 0", vector(&[]), "Successful []".to_owned()),
        (
            "result[0] > 1",
            success("matrix", "[]"),
            format!("Error []: no data: the query returned an empty result {no_data} `len(result) == 0`)"),
        ),
        (
            "result[0] > 1",
            vector(&["NaN"]),
            format!("Error [NaN]: no data: the query returned NaN {no_data} `isNaN(...)`)"),
        ),
        ("isNaN(result[0])", vector(&["NaN"]), "Successful [NaN]".to_owned()),
        (
            "isInf(result[0]) && isInf(result[1])",
            vector(&["+Inf", "-Inf"]),
            "Successful [+Inf,-Inf]".to_owned(),
        ),
        (
            "result >= 0.95",
            vector(&["1"]),
            "Error [1]: successCondition: Invalid operands for operator >= (`result` is a list of 1)".to_owned(),
        ),
        (
            "reslt > 1",
            vector(&["1"]),
            "Error [1]: successCondition: unknown name `reslt`: the answer of the query is called `result`".to_owned(),
        ),
        (
            "true",
            success("string", r#"[1435781451.781,"text"]"#),
            "Error: the query returned a text: it must return numbers".to_owned(),
        ),
        (
            "true",
            success("cube", "[]"),
            "Error: Prometheus metric type not supported".to_owned(),
        ),
    ] {
        assert_eq!(outcome(condition, answer(200, &body)), expected, "{body}");
    }
}

#[test]
fn answers_that_are_none_are_errors_that_say_so() {
    let not_prometheus = "Error: the answer is not that of a Prometheus query: is the address right?";
    let not_a_number =
        "Error: the answer of Prometheus has a sample that is not a number (native histograms are not supported)";
    let bad_query = r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:4: parse error:\nunexpected <EOF>"}"#;
    for (status, body, expected) in [
        (200, String::new(), not_prometheus),
        (200, "<html>".to_owned(), not_prometheus),
        (200, "[]".to_owned(), not_prometheus),
        (200, "{\"status\":1}".to_owned(), not_prometheus),
        (200, format!("{}{}", "[".repeat(5000), "]".repeat(5000)), not_prometheus),
        (
            200,
            r#"{"status":"success"}"#.to_owned(),
            "Error: the answer of Prometheus has no data",
        ),
        (
            200,
            success("vector", "{}"),
            "Error: the answer of Prometheus has no list of series",
        ),
        (200, success("vector", "[1]"), not_a_number),
        (200, success("vector", r#"[{"value":[1]}]"#), not_a_number),
        (200, success("vector", r#"[{"value":[1,2]}]"#), not_a_number),
        (200, success("vector", r#"[{"value":[1,"x"]}]"#), not_a_number),
        (
            200,
            success("vector", r#"[{"histogram":[1,{"count":"5"}]}]"#),
            not_a_number,
        ),
        (200, success("matrix", r#"[{"values":{}}]"#), not_a_number),
        (200, success("scalar", "null"), not_a_number),
        (
            200,
            bad_query.to_owned(),
            "Error: Prometheus answered 200 (bad_data): invalid parameter \"query\": 1:4: parse error: unexpected <EOF>",
        ),
        (
            400,
            bad_query.to_owned(),
            "Error: Prometheus answered 400 (bad_data): invalid parameter \"query\": 1:4: parse error: unexpected <EOF>",
        ),
        (400, "nonsense".to_owned(), "Error: Prometheus answered 400"),
        (
            401,
            "Unauthorized".to_owned(),
            "Error: Prometheus answered 401: check authentication and headers",
        ),
        (
            403,
            "x".to_owned(),
            "Error: Prometheus answered 403: check authentication and headers",
        ),
        (
            404,
            "404 page not found".to_owned(),
            "Error: Prometheus answered 404: is the address that of a Prometheus API, without /api/v1?",
        ),
        (405, String::new(), "Error: Prometheus answered 405: it takes no POST"),
        (302, vector(&["1"]), "Error: Prometheus answered 302"),
        (
            503,
            r#"{"status":"error","errorType":"timeout","error":"query timed out in expression evaluation"}"#.to_owned(),
            "Error: Prometheus answered 503 (timeout): query timed out in expression evaluation",
        ),
        (0, String::new(), "Error: Prometheus answered 0"),
    ] {
        assert_eq!(outcome("true", answer(status, &body)), expected, "{status} {body}");
    }
    for (error, expected) in [
        (TransportError::Timeout, "Error: no answer within the time-out"),
        (TransportError::Connect, "Error: the connection failed"),
        (
            TransportError::BodyTooLarge,
            "Error: the response body is larger than the limit",
        ),
    ] {
        assert_eq!(outcome("true", Err(error)), expected);
    }
}

#[test]
fn too_many_series_or_values_are_an_error_and_the_most_that_is_allowed_is_not() {
    let series = |count| vector(&vec!["1"; count]);
    let values = |count| {
        let values = vec!["[1,\"1\"]"; count].join(",");
        success("matrix", &format!(r#"[{{"values":[{values}]}}]"#))
    };
    let condition = "all(result, # == 1)";
    assert!(outcome(condition, answer(200, &series(MAX_SERIES))).starts_with("Successful [1,1,"));
    assert_eq!(
        outcome(condition, answer(200, &series(MAX_SERIES + 1))),
        "Error: the query returned 1001 series, at most 1000 are read: aggregate it"
    );
    assert!(outcome(condition, answer(200, &values(MAX_NUMBERS))).starts_with("Successful [1,1,"));
    assert_eq!(
        outcome(condition, answer(200, &values(MAX_NUMBERS + 1))),
        "Error: the query returned 10001 values, at most 10000 are read: take a larger step"
    );
}

#[test]
fn a_long_value_is_cut_where_it_is_stored_and_not_where_it_is_judged() {
    let metric = Metric {
        success_condition: Some("len(result) == 900".to_owned()),
        ..metric(&json!({"query": "up"}))
    };
    let measured = measure(
        &metric,
        answer(200, &vector(&["0.123456789"; 900])),
        &Secrets::default(),
    );
    assert_eq!(measured.phase, sluice_crds::AnalysisPhase::Successful);
    let value = measured.value.unwrap();
    assert!(
        value.len() <= text::MAX_BYTES && value.starts_with("[0.123456789,") && value.ends_with('…'),
        "{value}"
    );
}

#[test]
fn no_secret_is_in_what_was_measured() {
    let mut secrets = Secrets::default();
    secrets.insert(
        SecretRef {
            name: "s".to_owned(),
            key: "k".to_owned(),
        },
        "hunter2\"".to_owned(),
    );
    let metric = Metric {
        success_condition: Some("result[0] == 'hunter2\"' || result[0] >= 'x'".to_owned()),
        ..metric(&json!({"query": "up{token='hunter2\"'}"}))
    };
    let echo =
        r#"{"status":"error","errorType":"bad_data","error":"cannot parse up{token='hunter2\"'} at \"hunter2\\\"\""}"#;
    let measured = measure(&metric, answer(400, echo), &secrets);
    let expected = "Prometheus answered 400 (bad_data): cannot parse up{token='*****'} at \"*****\"";
    assert_eq!(measured.message.as_deref(), Some(expected));
    let long = format!(r#"{{"status":"error","error":"{}hunter2\""}}"#, "x".repeat(574));
    let measured = measure(&metric, answer(400, &long), &secrets);
    assert!(
        !measured.message.unwrap().contains("hunt"),
        "a secret that is cut off is still one"
    );
    let cut = format!(r#"{{"status":"error","error":"{}hunter2\""}}"#, "x".repeat(1000));
    let measured = measure(&metric, answer(400, &cut), &secrets);
    assert!(
        !measured.message.unwrap().contains("hun"),
        "nor where the text itself is cut"
    );
    let (measuring, _) = providers::start(now(), &metric, &[], secrets, &environment()).unwrap();
    assert_eq!(measuring.metadata()["ResolvedPrometheusQuery"], "up{token='*****'}");
}

#[test]
fn a_measurement_is_prepared_with_arguments_and_secrets_or_is_an_error() {
    let raw = json!({
        "query": "up{app='{{args.app}}'}", "address": "http://p",
        "headers": [{"key": "Authorization", "value": "Bearer {{args.token}}"}],
    });
    let args = serde_json::from_value::<Vec<sluice_crds::Argument>>(json!([
        {"name": "app", "value": "shop"},
        {"name": "token", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]))
    .unwrap();
    let mut secrets = Secrets::default();
    let start =
        |secrets: &Secrets| providers::start(now(), &metric(&raw), &args, secrets.clone(), &Environment::default());
    let error = start(&secrets).unwrap_err();
    assert_eq!(
        error.message.as_deref(),
        Some("args.token: Secret `s` with key `k` could not be read")
    );

    let reference = SecretRef {
        name: "s".to_owned(),
        key: "k".to_owned(),
    };
    secrets.insert(reference.clone(), "hunter2".to_owned());
    let (mut measuring, next) = start(&secrets).unwrap();
    let providers::Next::Send(request) = next else {
        panic!("a request comes first: {next:?}")
    };
    assert_eq!(request.headers[1].1, "Bearer hunter2");
    assert_eq!(request.body.as_deref(), Some("query=up%7Bapp%3D%27shop%27%7D"));
    assert_eq!(measuring.metadata()["ResolvedPrometheusQuery"], "up{app='shop'}");
    let next = measuring.hear(now(), answer(200, &vector(&["0.97"])));
    let providers::Next::Done(measured) = next else {
        panic!("one answer is enough: {next:?}")
    };
    assert_eq!(measured.phase, sluice_crds::AnalysisPhase::Successful);
    assert!(!format!("{measuring:?}").contains("hunter2"));

    secrets.insert(reference, "hunter2\nX: y".to_owned());
    let error = start(&secrets).unwrap_err();
    let expected = "provider.prometheus.headers[0].value: must not contain line breaks or control characters";
    assert_eq!(error.message.as_deref(), Some(expected));
}

fn json_like() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"status\"",
        "\"success\"",
        "\"error\"",
        "\"data\"",
        "\"resultType\"",
        "\"vector\"",
        "\"matrix\"",
        "\"scalar\"",
        "\"result\"",
        "\"value\"",
        "\"values\"",
        "1",
        "\"1\"",
        "\"NaN\"",
        "null",
        "1e999",
        "\\",
    ]);
    prop::collection::vec(word, 0..20).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn every_answer_becomes_a_phase(
        status in any::<u16>(),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        soup in json_like(),
        result in json_like(),
        kind in prop::sample::select(vec!["vector", "matrix", "scalar", "string", "x"]),
    ) {
        let metric = metric(&json!({"query": "up"}));
        for body in [bytes, soup.into_bytes(), success(kind, &result).into_bytes()] {
            let measured = measure(&metric, Ok(HttpResponse { status, body }), &Secrets::default());
            prop_assert!(measured.phase.completed());
            let texts = measured.value.into_iter().chain(measured.message);
            prop_assert!(texts.into_iter().all(|text| text.len() <= text::MAX_BYTES));
        }
    }

    #[test]
    fn numbers_survive_the_way_from_answer_to_value(number in any::<f64>()) {
        let found = read(&answer(200, &vector(&[&format!("{number:e}")])).unwrap()).unwrap();
        let expected = if number.is_nan() { "[NaN]".to_owned() } else { found.text.clone() };
        prop_assert_eq!(&found.text, &expected);
        let Reading::Numbers(numbers) = found.reading else { panic!("a vector is a list") };
        prop_assert!(numbers[0].to_bits() == number.to_bits() || (numbers[0].is_nan() && number.is_nan()));
        let shown: f64 = found.text.trim_matches(['[', ']']).parse().unwrap();
        prop_assert!(shown.to_bits() == number.to_bits() || (shown.is_nan() && number.is_nan()));
    }
}
