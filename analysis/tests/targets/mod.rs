//! What is fuzzed: one line for each provider, and the rules that each of its outcomes must keep.

use jiff::Timestamp;
use serde_json::{Value, json};
use sluice_analysis::conditions::{Conditions, Reading, Verdict};
use sluice_analysis::providers::{self, Environment, Measured, Next};
use sluice_analysis::{HttpResponse, Secrets, text};
use sluice_crds::{AnalysisPhase, Metric};

/// A parser and what feeds it.
pub struct Target {
    /// Name of the provider, and of the folder of its corpus.
    pub name: &'static str,
    /// Takes one input and says what came out; an error where a rule is broken.
    pub run: fn(&[u8]) -> Result<String, String>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "prometheus",
        run: |input| provider(&prometheus(), &[&[]], None, input),
    },
    Target {
        name: "web",
        run: |input| provider(&web(&json!({})), &[&[]], None, input),
    },
    Target {
        name: "cloudWatch",
        run: |input| provider(&cloud_watch(), &[&[]], None, input),
    },
    Target {
        name: "kayenta",
        run: |input| provider(&kayenta(), &[&[], &[CONFIGS], &[CONFIGS, BEGUN]], None, input),
    },
    Target {
        name: "datadog",
        run: |input| {
            provider(&datadog(&json!({"query": "q"})), &[&[]], None, input)?;
            let queries = json!({"apiVersion": "v2", "queries": {"a": "q"}, "formula": "a"});
            provider(&datadog(&queries), &[&[]], None, input)
        },
    },
    Target {
        name: "newRelic",
        run: |input| {
            provider(
                &json!({"condition": "result.rate < 5", "newRelic": {"query": "q"}}),
                &[&[]],
                None,
                input,
            )
        },
    },
    Target {
        name: "wavefront",
        run: |input| {
            let wavefront = json!({"address": "w.example.com", "query": "q"});
            provider(
                &json!({"condition": "result < 5", "wavefront": wavefront}),
                &[&[]],
                None,
                input,
            )
        },
    },
    Target {
        name: "graphite",
        run: |input| {
            let graphite = json!({"address": "http://g", "query": "target=a"});
            provider(
                &json!({"condition": "result[0] < 5", "graphite": graphite}),
                &[&[]],
                None,
                input,
            )
        },
    },
    Target {
        name: "influxdb",
        run: |input| {
            provider(
                &json!({"condition": "result[0] < 5", "influxdb": {"query": "q"}}),
                &[&[]],
                None,
                input,
            )
        },
    },
    Target {
        name: "skywalking",
        run: |input| {
            let skywalking = json!({"address": "http://s", "query": "query q($duration: Duration!) { a }"});
            provider(
                &json!({"condition": "result.a < 5", "skywalking": skywalking}),
                &[&[]],
                None,
                input,
            )
        },
    },
    Target {
        name: "oauth2",
        run: |input| provider(&web(&oauth2()), &[&[]], Some(r#"{"value":1}"#), input),
    },
    Target {
        name: "aws",
        run: |input| provider(&prometheus_of_aws(), &[&[]], Some(UP), input),
    },
    Target {
        name: "conditions",
        run: conditions,
    },
];

const CONFIGS: &str = r#"[{"id":"c-1","name":"my-test"}]"#;
const BEGUN: &str = r#"{"canaryExecutionId":"01ABC"}"#;
const UP: &str = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}"#;
const SECRET: &str = "wJalrXUtnFEMI";

/// The providers for which a metric may be measured.
pub fn served_providers() -> Vec<&'static str> {
    let metric = |name: &str| -> Metric {
        let settings = match name {
            "kayenta" => kayenta()[name].clone(),
            "cloudWatch" => cloud_watch()[name].clone(),
            "web" => web(&json!({}))[name].clone(),
            "datadog" | "newRelic" => json!({"query": "q"}),
            "job" => json!({"spec": {"template": {"spec": {}}}}),
            _ => json!({}),
        };
        serde_json::from_value(json!({"name": "m", "provider": {name: settings}})).unwrap()
    };
    let all = [
        "prometheus",
        "web",
        "cloudWatch",
        "kayenta",
        "datadog",
        "newRelic",
        "wavefront",
        "graphite",
        "influxdb",
        "skywalking",
    ];
    let unsupported = |problem: &providers::ProviderError| matches!(problem, providers::ProviderError::Unsupported(_));
    all.into_iter()
        .filter(|name| !providers::problems(&metric(name)).iter().any(unsupported))
        .collect()
}

fn prometheus() -> Value {
    json!({"condition": "result[0] < 5", "prometheus": {"address": "http://p", "query": "up"}})
}

fn prometheus_of_aws() -> Value {
    let sigv4 = json!({"sigv4": {"region": "eu-west-1", "roleArn": "arn:aws:iam::1:role/r"}});
    json!({"condition": "result[0] < 5", "prometheus": {"address": "http://p", "query": "up", "authentication": sigv4}})
}

fn web(authentication: &Value) -> Value {
    json!({"condition": "result < 5", "web": {
        "url": "http://w", "jsonPath": "{$.value}", "authentication": authentication,
    }})
}

fn oauth2() -> Value {
    json!({"oauth2": {"tokenUrl": "http://t", "clientId": "id", "clientSecret": SECRET}})
}

fn cloud_watch() -> Value {
    json!({"condition": "result[0].Values[0] < 5", "cloudWatch": {
        "metricDataQueries": [{"id": "rate", "expression": "1"}],
    }})
}

fn datadog(settings: &Value) -> Value {
    json!({"condition": "result < 5", "datadog": settings})
}

fn kayenta() -> Value {
    let scope = json!({
        "scope": "s", "region": "r", "step": 60, "start": "2026-01-02T10:00:00Z", "end": "2026-01-02T11:00:00Z",
    });
    json!({"condition": "", "kayenta": {
        "address": "http://k", "application": "a", "canaryConfigName": "my-test", "metricsAccountName": "",
        "configurationAccountName": "", "storageAccountName": "", "threshold": {"pass": 90, "marginal": 75},
        "scopes": [{"name": "default", "controlScope": scope, "experimentScope": scope}],
    }})
}

/// Measures with `input` as the answer after each of `before`, and from then on with `after`, or with `input` again.
fn provider(settings: &Value, before: &[&[&str]], after: Option<&str>, input: &[u8]) -> Result<String, String> {
    let mut settings = settings.clone();
    let condition = settings["condition"].take();
    settings.as_object_mut().unwrap().remove("condition");
    let metric = json!({"name": "m", "successCondition": condition, "provider": settings});
    let metric: Metric = serde_json::from_value(metric).unwrap();
    let mut outcomes = String::new();
    for before in before {
        for status in [200, 500] {
            let measured = measure(&metric, before, after, status, input);
            check(&measured, status, after.is_some(), input)?;
            outcomes = format!("{outcomes}{:?}{:?}", measured.phase, measured.message);
        }
    }
    Ok(outcomes)
}

fn measure(metric: &Metric, before: &[&str], after: Option<&str>, status: u16, input: &[u8]) -> Measured {
    let now: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
    let variables = [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_REGION", "eu-west-1"),
    ];
    let environment = Environment {
        variables: variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        web_identity_token: None,
    };
    let needs = providers::needs(metric, &[]);
    let mut secrets = Secrets::default();
    for wanted in needs.secrets {
        secrets.insert(wanted, SECRET.to_owned());
    }
    for wanted in needs.settings {
        let value = match wanted.key.as_str() {
            "account-id" => "1",
            "region" => "us",
            "org" => "o",
            _ => "https://account.example.com",
        };
        secrets.insert_setting(wanted, value.to_owned());
    }
    let (mut measuring, mut next) = match providers::start(now, metric, &[], secrets, &environment) {
        Ok(started) => started,
        Err(measured) => return measured,
    };
    let mut answered = 0;
    loop {
        let (status, body) = match before.get(answered) {
            Some(before) => (200, before.as_bytes()),
            None => match after {
                Some(after) if answered > before.len() => (200, after.as_bytes()),
                _ => (status, input),
            },
        };
        answered += 1;
        next = match next {
            Next::Done(measured) => return measured,
            Next::Send(_) | Next::SendAfter(..) => {
                let body = body.to_vec();
                measuring.hear(now, Ok(HttpResponse { status, body }))
            }
            Next::Run(wish) => panic!("no answer is a Job: {wish:?}"),
        };
    }
}

fn check(measured: &Measured, status: u16, has_after: bool, input: &[u8]) -> Result<(), String> {
    let texts = [&measured.value, &measured.message];
    let rules = [
        (
            "an end",
            matches!(
                measured.phase,
                AnalysisPhase::Successful | AnalysisPhase::Failed | AnalysisPhase::Inconclusive | AnalysisPhase::Error
            ),
        ),
        (
            "a status that is no success is an Error",
            status == 200 || measured.phase == AnalysisPhase::Error,
        ),
        (
            "no success without a number",
            measured.phase != AnalysisPhase::Successful || has_after || input.iter().any(u8::is_ascii_digit),
        ),
        (
            "bounded texts",
            texts
                .iter()
                .all(|text| text.as_ref().is_none_or(|text| text.len() <= text::MAX_BYTES)),
        ),
        (
            "no secret",
            texts
                .iter()
                .all(|text| text.as_ref().is_none_or(|text| !text.contains(SECRET))),
        ),
    ];
    match rules.iter().find(|(_, holds)| !holds) {
        Some((rule, _)) => Err(format!("broken: {rule}: {measured:?}")),
        None => Ok(()),
    }
}

/// The first line is a condition, the rest is JSON, or nothing.
fn conditions(input: &[u8]) -> Result<String, String> {
    let input = String::from_utf8_lossy(input);
    let (source, json) = input.split_once('\n').unwrap_or((&input, ""));
    let conditions = match Conditions::parse(Some(source), None) {
        Ok(conditions) => conditions,
        Err(problems) => return Ok(format!("{problems:?}")),
    };
    let value: Value = serde_json::from_str(json).unwrap_or_else(|_| json!([1, 2, 3]));
    let Some(reading) = Reading::json(value) else {
        return Ok("too large".to_owned());
    };
    let outcome = format!("{:?}", conditions.judge(&reading));
    let succeeds = |reading: &Reading| matches!(conditions.judge(reading), Ok(Verdict::Successful));
    let tests = ["len", "isNil", "default", "nil", "??", "[]"];
    let packed: String = source.split_whitespace().collect();
    if !packed.is_empty() && !tests.iter().any(|test| packed.contains(test)) {
        for nothing in [
            Reading::Numbers(vec![]),
            Reading::Json(json!([])),
            Reading::Json(json!({})),
            Reading::Json(Value::Null),
        ] {
            if succeeds(&nothing) {
                return Err(format!("broken: success on {nothing:?}"));
            }
        }
        // Nothing but comparisons of fields that are not there: no brackets, no choice, no texts.
        let plain = !source.contains(['(', '|', '?', '"', '\'', '`', '!', '/'])
            && source.starts_with("result.")
            && !["or", "not", "in", "contains"].iter().any(|word| source.contains(word));
        if plain && succeeds(&Reading::Json(json!({"zz": 0}))) && !source.contains("zz") {
            return Err("broken: success on fields that are not there".to_owned());
        }
    }
    Ok(outcome)
}
