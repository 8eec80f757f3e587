use proptest::prelude::*;
use serde_json::{Value, json};

use crate::args::Secrets;
use crate::providers::testing::{Answer, Played, Row, answer, metric, now, plain};
use crate::providers::{Environment, MAX_REQUESTS, Next, problems, start};
use crate::{HttpResponse, TransportError};

/// The example of Argo Rollouts' documentation.
fn provider() -> Value {
    let scope = |hash: &str| {
        json!({
            "scope": format!("app=guestbook and rollouts-pod-template-hash={hash}"), "region": "default", "step": 60,
            "start": "2026-01-02T10:00:00Z", "end": "2026-01-02T11:00:00Z",
        })
    };
    json!({"kayenta": {
        "address": "https://kayenta.example.com/", "application": "guest book", "canaryConfigName": "my-test",
        "metricsAccountName": "metrics", "configurationAccountName": "configs", "storageAccountName": "results",
        "threshold": {"pass": 90, "marginal": 75},
        "scopes": [{"name": "default", "controlScope": scope("old"), "experimentScope": scope("new")}],
    }})
}

const CONFIGS: &str = r#"[{"id":"other","name":"x"},{"id":"c-1","name":"my-test","applications":["guest book"]}]"#;
const BEGUN: &str = r#"{"canaryExecutionId":"01ABC"}"#;
const RUNNING: &str = r#"{"complete":false,"status":"running","stageStatus":{"judge":"not_started"}}"#;

/// A result with this score.
fn scored(score: &Value) -> String {
    json!({
        "complete": true, "status": "succeeded",
        "result": {"judgeResult": {"score": {"score": score, "classification": "Pass"}}},
    })
    .to_string()
}

fn row(about: &'static str, answers: Vec<Answer>, expected: &str) -> Row {
    Row {
        about,
        metric: metric("", &provider()),
        environment: Environment::default(),
        answers,
        expected: expected.to_owned(),
        evidence: !expected.starts_with("Error"),
    }
}

/// Every class of answers, to each of the three requests.
#[expect(clippy::too_many_lines, reason = "it is a table")]
pub(in crate::providers) fn rows() -> Vec<Row> {
    let config = |about, status, body: &str, expected: &str| row(about, vec![answer(status, body)], expected);
    let begin = |about, status, body: &str, expected: &str| {
        row(about, vec![answer(200, CONFIGS), answer(status, body)], expected)
    };
    let result = |about, status, body: &str, expected: &str| {
        let answers = vec![
            answer(200, CONFIGS),
            answer(200, BEGUN),
            answer(200, RUNNING),
            answer(status, body),
        ];
        row(about, answers, expected)
    };
    let spring = r#"{"timestamp":1,"status":400,"error":"Bad Request","message":"Unable to\nresolve account x."}"#;
    let foreign = "Error: the answer is not that of Kayenta: is the address right?";
    let mut rows = vec![
        result("a pass", 200, &scored(&json!(95.5)), "Successful 95.5"),
        result("just a pass", 200, &scored(&json!(90)), "Successful 90"),
        result("not quite a pass", 200, &scored(&json!(89.99)), "Inconclusive 89.99"),
        result("just marginal", 200, &scored(&json!(75)), "Inconclusive 75"),
        result("a failure", 200, &scored(&json!(74.9)), "Failed 74.9"),
        result("zero", 200, &scored(&json!(0)), "Failed 0"),
        result(
            "no score",
            200,
            &scored(&Value::Null),
            "Error: the judgement of Kayenta has no score",
        ),
        result(
            "NaN",
            200,
            &scored(&json!("NaN")),
            "Error: the judgement of Kayenta has no score",
        ),
        result(
            "a score as text",
            200,
            &scored(&json!("99")),
            "Error: the judgement of Kayenta has no score",
        ),
        result(
            "a score out of range",
            200,
            &scored(&json!(1000)),
            "Error: the score of Kayenta is 1000, it must be between 0 and 100",
        ),
        result(
            "no data",
            200,
            r#"{"complete":true,"status":"succeeded","result":{"judgeResult":{"score":{"score":100.0,"classification":"Nodata"}}}}"#,
            "Error: Kayenta had no data to judge",
        ),
        result(
            "an empty result",
            200,
            r#"{"complete":true,"status":"succeeded","result":{}}"#,
            "Error: the judgement of Kayenta has no score",
        ),
        result(
            "no result",
            200,
            r#"{"complete":true,"status":"succeeded"}"#,
            "Error: the judgement of Kayenta has no result",
        ),
        result(
            "a judgement that failed, with a score of an earlier stage",
            200,
            r#"{"complete":true,"status":"terminal","result":{"judgeResult":{"score":{"score":100.0}}}}"#,
            "Error: the judgement of Kayenta ended as terminal",
        ),
        result("neither complete nor not", 200, r#"{"status":"succeeded"}"#, foreign),
        result("complete as text", 200, r#"{"complete":"true"}"#, foreign),
        result("garbage", 200, "<html>", foreign),
        result("half an answer", 200, &scored(&json!(99))[..50], foreign),
        result(
            "an expired judgement",
            404,
            r#"{"message":"No pipeline found"}"#,
            "Error: Kayenta answered 404: No pipeline found",
        ),
        result(
            "a server that is down",
            503,
            &scored(&json!(99)),
            "Error: Kayenta answered 503",
        ),
        config(
            "no configuration",
            200,
            "[]",
            "Error: Kayenta has no configuration `my-test` for this application",
        ),
        config(
            "two configurations",
            200,
            r#"[{"id":"a","name":"my-test"},{"id":"b","name":"my-test"}]"#,
            "Error: Kayenta has several configurations `my-test`",
        ),
        config(
            "an id that leads elsewhere",
            200,
            r#"[{"id":"../credentials","name":"my-test"}]"#,
            "Error: `../credentials` of Kayenta is no id",
        ),
        config(
            "an id that leads upwards",
            200,
            r#"[{"id":"..","name":"my-test"}]"#,
            "Error: `..` of Kayenta is no id",
        ),
        config("an object for a list", 200, "{}", foreign),
        config("nothing", 200, "", foreign),
        config(
            "no permission",
            403,
            "",
            "Error: Kayenta answered 403: check authentication and headers",
        ),
        config(
            "an unknown account",
            400,
            spring,
            "Error: Kayenta answered 400: Unable to resolve account x.",
        ),
        begin(
            "a refusal",
            400,
            spring,
            "Error: Kayenta answered 400: Unable to resolve account x.",
        ),
        begin("no id", 200, "{}", foreign),
        begin(
            "an id that is none",
            200,
            r#"{"canaryExecutionId":""}"#,
            "Error: `` of Kayenta is no id",
        ),
        begin("an id of the wrong type", 200, r#"{"canaryExecutionId":7}"#, foreign),
        begin(
            "a server error",
            500,
            r#"{"message":""}"#,
            "Error: Kayenta answered 500",
        ),
    ];
    for before in [
        vec![],
        vec![answer(200, CONFIGS)],
        vec![answer(200, CONFIGS), answer(200, BEGUN)],
    ] {
        let answers = before.into_iter().chain([Err(TransportError::Timeout)]).collect();
        rows.push(row("no answer", answers, "Error: no answer within the time-out"));
    }
    rows
}

#[test]
fn every_class_of_answers_has_its_verdict() {
    for row in rows() {
        row.check();
    }
}

fn played(provider: &Value) -> Played {
    let answers = vec![
        answer(200, CONFIGS),
        answer(200, BEGUN),
        answer(200, RUNNING),
        answer(200, &scored(&json!(99))),
    ];
    plain(&metric("", provider), answers)
}

#[test]
fn a_configuration_is_looked_up_a_judgement_begun_and_its_result_asked_for() {
    let played = played(&provider());
    assert_eq!(played.outcome(), "Successful 99");
    let shown: Vec<String> = played
        .requests
        .iter()
        .map(|request| format!("{} {}", request.method, request.url))
        .collect();
    assert_eq!(
        shown,
        [
            "GET https://kayenta.example.com/canaryConfig?application=guest+book&configurationAccountName=configs",
            "POST https://kayenta.example.com/canary/c-1?application=guest+book&metricsAccountName=metrics\
             &configurationAccountName=configs&storageAccountName=results",
            "GET https://kayenta.example.com/canary/01ABC?storageAccountName=results",
            "GET https://kayenta.example.com/canary/01ABC?storageAccountName=results",
        ]
    );
    let scope = |hash: &str| {
        json!({
            "scope": format!("app=guestbook and rollouts-pod-template-hash={hash}"), "region": "default", "step": 60,
            "start": "2026-01-02T10:00:00Z", "end": "2026-01-02T11:00:00Z",
        })
    };
    let body: Value = serde_json::from_str(played.requests[1].body.as_deref().unwrap()).unwrap();
    assert_eq!(
        body,
        json!({
            "scopes": {"default": {"controlScope": scope("old"), "experimentScope": scope("new")}},
            "thresholds": {"pass": 90, "marginal": 75},
        })
    );
    let json_type = ("Content-Type".to_owned(), "application/json".to_owned());
    assert!(played.requests[1].headers.contains(&json_type));
    assert!(played.requests.iter().all(|request| request.timeout.as_secs() == 15));
}

#[test]
fn empty_accounts_are_not_sent_and_a_range_without_an_end_ends_now() {
    let mut provider = provider();
    provider["kayenta"]["metricsAccountName"] = json!("");
    provider["kayenta"]["configurationAccountName"] = json!("");
    provider["kayenta"]["scopes"][0]["experimentScope"]["end"] = json!("");
    let played = played(&provider);
    assert_eq!(
        played.requests[0].url,
        "https://kayenta.example.com/canaryConfig?application=guest+book&configurationAccountName=results"
    );
    assert_eq!(
        played.requests[1].url,
        "https://kayenta.example.com/canary/c-1?application=guest+book&configurationAccountName=results\
         &storageAccountName=results"
    );
    let body: Value = serde_json::from_str(played.requests[1].body.as_deref().unwrap()).unwrap();
    assert_eq!(
        body["scopes"]["default"]["experimentScope"]["end"],
        "2026-01-02T12:00:00.25Z"
    );
}

#[test]
fn the_result_is_asked_for_every_15_seconds_and_not_for_ever() {
    let metric = metric("", &provider());
    let (mut measuring, mut next) =
        start(now(), &metric, &[], Secrets::default(), &Environment::default()).expect("it begins");
    let mut pauses = 0;
    let measured = loop {
        let body = match &next {
            Next::Send(request) if request.method == "POST" => BEGUN,
            Next::Send(_) => CONFIGS,
            Next::SendAfter(after, _) => {
                assert_eq!(after.as_secs(), 15);
                pauses += 1;
                RUNNING
            }
            Next::Run(wish) => panic!("{wish:?}"),
            Next::Done(measured) => break measured.clone(),
        };
        next = measuring.hear(now(), answer(200, body));
    };
    assert_eq!(pauses, MAX_REQUESTS - 2);
    assert_eq!(
        measured.message.as_deref(),
        Some("the provider has no result yet: it is given up")
    );
    assert_eq!(measured.phase, sluice_crds::AnalysisPhase::Error);
}

#[test]
fn what_is_wrong_is_named_with_its_field_path() {
    let example = "must be a URL with http:// or https://, for example https://kayenta.example.com";
    for (pointer, value, expected) in [
        ("/address", json!(""), format!("address: {example}")),
        ("/application", json!(""), "application: is empty".to_owned()),
        ("/canaryConfigName", json!(""), "canaryConfigName: is empty".to_owned()),
        (
            "/threshold/pass",
            json!(0),
            "threshold.pass: is 0, it must be between 1 and 100".to_owned(),
        ),
        (
            "/threshold/pass",
            json!(101),
            "threshold.pass: is 101, it must be between 1 and 100".to_owned(),
        ),
        (
            "/threshold/marginal",
            json!(91),
            "threshold.marginal: is 91, it must be between 0 and pass".to_owned(),
        ),
        ("/scopes", json!([]), "scopes: is empty: give at least one".to_owned()),
        (
            "/scopes/0/name",
            json!(""),
            "scopes[0].name: is empty: give for example default".to_owned(),
        ),
        (
            "/scopes/0/controlScope/step",
            json!(0),
            "scopes[0].controlScope.step: is 0, it must be at least 1 second".to_owned(),
        ),
        (
            "/scopes/0/experimentScope/scope",
            json!(""),
            "scopes[0].experimentScope.scope: is empty".to_owned(),
        ),
        (
            "/scopes/0/experimentScope/start",
            json!(""),
            "scopes[0].experimentScope.start: is empty: give a time such as 2026-01-02T03:04:05Z, for example by \
             {{args.start-time}}"
                .to_owned(),
        ),
        (
            "/scopes/0/experimentScope/end",
            json!("soon"),
            "scopes[0].experimentScope.end: `soon` is no time such as 2026-01-02T03:04:05Z".to_owned(),
        ),
        (
            "/scopes/0/experimentScope/end",
            json!("2026-01-02T10:00:00Z"),
            "scopes[0].experimentScope.end: must be later than start".to_owned(),
        ),
        (
            "/scopes/0/experimentScope/end",
            json!("{{args.end-time}}"),
            String::new(),
        ),
    ] {
        let mut provider = provider();
        *provider["kayenta"].pointer_mut(pointer).unwrap() = value;
        let found = problems(&metric("", &provider));
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        let expected: Vec<String> = match expected.as_str() {
            "" => vec![],
            expected => vec![format!("provider.kayenta.{expected}")],
        };
        assert_eq!(found, expected, "{pointer}");
    }
}

proptest! {
    #[test]
    fn any_bytes_make_a_phase(before in 0..3_usize, status in prop_oneof![Just(200_u16), any::<u16>()], body in any::<Vec<u8>>()) {
        let mut answers = vec![answer(200, CONFIGS), answer(200, BEGUN)];
        answers.truncate(before);
        answers.push(Ok(HttpResponse { status, body }));
        let outcome = plain(&metric("", &provider()), answers).outcome();
        prop_assert!(outcome.starts_with("Error"), "{}", outcome);
    }

    #[test]
    fn the_thresholds_make_the_verdict(score in 0.0..=100.0_f64, pass in 1..=100_i32, below in 0..=100_i32) {
        let marginal = below.min(pass);
        let mut provider = provider();
        provider["kayenta"]["threshold"] = json!({"pass": pass, "marginal": marginal});
        let answers = vec![answer(200, CONFIGS), answer(200, BEGUN), answer(200, &scored(&json!(score)))];
        let outcome = plain(&metric("", &provider), answers).outcome();
        // As in Argo Rollouts, which cuts the score to an integer first.
        let whole = score.trunc();
        let expected = if whole >= f64::from(pass) { "Successful" } else if whole >= f64::from(marginal) { "Inconclusive" } else { "Failed" };
        prop_assert!(outcome.starts_with(expected), "{} {}", outcome, expected);
    }
}
