//! What holds for all providers: an answer that proves nothing never makes a measurement Successful.
//!
//! One function for each provider gives its silent answers: there are no data in them, or they cannot be read. A condition
//! that holds for anything, none at all, and one that holds for all but one value must all end in Error.

use serde_json::{Value, json};
use sluice_crds::AnalysisPhase;

use super::Environment;
use super::testing::{Answer, account, answer, metric, play};
use crate::TransportError;

/// A provider, and answers of its server that prove nothing.
struct Silence {
    provider: Value,
    /// The Secret with the account, and its values.
    account: (&'static str, Vec<(&'static str, &'static str)>),
    /// Bodies that come with status 200.
    bodies: Vec<&'static str>,
}

fn all() -> Vec<Silence> {
    vec![
        datadog_v1(),
        datadog_v2(),
        new_relic(),
        wavefront(),
        graphite(),
        influxdb(),
        skywalking(),
    ]
}

fn datadog_v1() -> Silence {
    Silence {
        provider: json!({"datadog": {"query": "avg:a{*}"}}),
        account: ("datadog", vec![("api-key", "k"), ("app-key", "l")]),
        bodies: vec![
            r#"{"status":"ok","series":[]}"#,
            r#"{"status":"ok","series":[{"pointlist":[]}]}"#,
            r#"{"status":"ok","series":[{"pointlist":[[1,5.0],[2,null]]}]}"#,
            r#"{"status":"ok","series":[{"pointlist":[[1,"5"]]}]}"#,
            r#"{"status":"ok","series":[{"pointlist":[[1]]}]}"#,
            r#"{"status":"ok","series":[{"pointlist":[[1,5.0],[2,"#,
            r#"{"status":"error","error":"Rate limit","series":[{"pointlist":[[1,5.0]]}]}"#,
            r#"{"status":"ok"}"#,
        ],
    }
}

fn datadog_v2() -> Silence {
    Silence {
        provider: json!({"datadog": {"query": "avg:a{*}", "apiVersion": "v2"}}),
        bodies: vec![
            r#"{"data":{"attributes":{"columns":[]}}}"#,
            r#"{"data":{"attributes":{"columns":[{"type":"number","values":[]}]}}}"#,
            r#"{"data":{"attributes":{"columns":[{"type":"number","values":[null]}]}}}"#,
            r#"{"data":{"attributes":{"columns":[{"type":"group","values":[["a"]]}]}}}"#,
            r#"{"data":{"attributes":{"columns":[{"type":"group","values":[["a"],["b"]]},{"type":"number","values":[1,null]}]}}}"#,
            r#"{"data":{"attributes":{"columns":[{"type":"number","values":["1"]}]}}}"#,
            r#"{"data":{"attributes":{"columns":[{"type":"number","values":[1]}"#,
            r#"{"data":{"attributes":{"columns":[{"type":"number","values":[1]}]},"errors":"partial"}}"#,
            r#"{"data":null}"#,
        ],
        ..datadog_v1()
    }
}

fn new_relic() -> Silence {
    Silence {
        provider: json!({"newRelic": {"query": "SELECT average(duration) FROM Transaction"}}),
        account: ("newrelic", vec![("personal-api-key", "k"), ("account-id", "7")]),
        bodies: vec![
            r#"{"data":{"actor":{"account":{"nrql":{"results":[]}}}}}"#,
            r#"{"data":{"actor":{"account":{"nrql":{"results":[{}]}}}}}"#,
            r#"{"data":{"actor":{"account":{"nrql":{"results":[{"average.duration":null}]}}}}}"#,
            r#"{"data":{"actor":{"account":{"nrql":{"results":[{"a":null},{"a":null}]}}}}}"#,
            r#"{"data":{"actor":{"account":{"nrql":{"results":[{"facet":"x","app":"x","a":null}]}}}}}"#,
            r#"{"data":{"actor":{"account":{"nrql":{"results":[{"facet":["x","y"],"app":"x","env":"y","a":null}]}}}}}"#,
            r#"{"data":{"actor":{"account":{"nrql":{"results":[{"beginTimeSeconds":1,"endTimeSeconds":2,"inspectedCount":0,"a":null}]}}}}}"#,
            r#"{"data":{"actor":{"account":{"nrql":{"results":[5]}}}}}"#,
            r#"{"data":{"actor":{"account":{"nrql":{"results":[{"a":5}"#,
            r#"{"data":{"actor":{"account":{"nrql":null}}},"errors":[{"message":"NRQL Syntax Error"}]}"#,
            r#"{"data":{"actor":{"account":{"nrql":{"results":[{"a":5}]}}}},"errors":[{"message":"partial"}]}"#,
            r#"{"data":null}"#,
        ],
    }
}

fn wavefront() -> Silence {
    Silence {
        provider: json!({"wavefront": {"address": "example.wavefront.com", "query": "ts(a)"}}),
        account: ("wavefront-api-tokens", vec![("example.wavefront.com", "t")]),
        bodies: vec![
            r#"{"query":"ts(a)"}"#,
            r#"{"timeseries":[]}"#,
            r#"{"timeseries":[{"label":"a"}]}"#,
            r#"{"timeseries":[{"data":[]}]}"#,
            r#"{"timeseries":[{"data":[[1767351600,5.0]]}]}"#,
            r#"{"timeseries":[{"data":[[1767355200,5.0]]},{"data":[]}]}"#,
            r#"{"timeseries":[{"data":[[1767355200,null]]}]}"#,
            r#"{"timeseries":[{"data":[[1767355200,"NaN"]]}]}"#,
            r#"{"timeseries":[{"data":[[1767355200,NaN]]}]}"#,
            r#"{"timeseries":[{"data":[[1767355200,5.0]]}"#,
            r#"{"errorType":"QueryExecutionFailed","timeseries":[{"data":[[1767355200,5.0]]}]}"#,
        ],
    }
}

fn graphite() -> Silence {
    Silence {
        provider: json!({"graphite": {"address": "http://graphite", "query": "target=a"}}),
        account: ("none", vec![]),
        bodies: vec![
            "[]",
            r#"[{"target":"a","datapoints":[]}]"#,
            r#"[{"target":"a","datapoints":[[null,1],[null,2]]}]"#,
            r#"[{"target":"a","datapoints":[["NaN",1]]}]"#,
            r#"[{"target":"a","datapoints":[[5,1],[true,2]]}]"#,
            r#"[{"target":"a","datapoints":[[5,1],[6"#,
            r#"[{"target":"a"}]"#,
            "{}",
        ],
    }
}

fn influxdb() -> Silence {
    Silence {
        provider: json!({"influxdb": {"query": "from(bucket: \"b\")"}}),
        account: (
            "influxdb",
            vec![("address", "http://influx"), ("authToken", "t"), ("org", "o")],
        ),
        bodies: vec![
            "\r\n",
            "#datatype,string,long,double\r\n#group,false,false,false\r\n#default,_result,,\r\n,result,table,_value\r\n",
            "#datatype,string,long,double\r\n#default,_result,,\r\n,result,table,_value\r\n,,0,\r\n",
            "#datatype,string,long,double\r\n#default,_result,,\r\n,result,table,_value\r\n,,0,5\r\n,,0,NaN\r\n",
            "#datatype,string,long,double\r\n#default,_result,,\r\n,result,table,_value\r\n,,0,5\r\n,,0,0.0",
            "#datatype,string,long,double\r\n#default,_result,,\r\n,result,table,_value\r\n,,0,5\r\n,,0\r\n",
            "#datatype,string,long,double\r\n#default,_result,,\r\n,result,table,_value\r\n,,0,x\r\n",
            "#datatype,string,long,double\r\n#default,_result,,\r\n,result,table,_time\r\n,,0,5\r\n",
            "#datatype,string,string\r\n#group,true,true\r\n#default,,\r\n,error,reference\r\n,query failed,897\r\n",
            "#datatype,string,long,double\r\n#default,_result,,\r\n,result,table,_value\r\n,,0,5\r\n\r\n\
             #datatype,string,string\r\n#default,,\r\n,error,reference\r\n,query failed,897\r\n",
        ],
    }
}

fn skywalking() -> Silence {
    Silence {
        provider: json!({"skywalking": {"address": "http://oap", "query": "query($duration: Duration!) { a }"}}),
        account: ("none", vec![]),
        bodies: vec![
            r#"{"data":null}"#,
            r#"{"data":{}}"#,
            r#"{"data":{"a":null}}"#,
            r#"{"data":{"a":{"label":null,"values":{"values":[]}}}}"#,
            r#"{"data":{"a":{"values":{"values":[{"value":null}]}}}}"#,
            r#"{"data":{"a":{"results":[{"values":[{"id":"1767355200000","value":null}]}]}}}"#,
            r#"{"data":{"a":{"values":{"values":[{"value":"NaN"}]}}}}"#,
            r#"{"data":{"a":{"values":{"values":[{"value":5}"#,
            r#"{"data":{"a":{"values":{"values":[{"value":5}]}}},"errors":[{"message":"partial"}]}"#,
            r#"{"errors":[{}]}"#,
        ],
    }
}

/// What any server may answer, whatever it is.
fn failures() -> Vec<Answer> {
    let mut failures: Vec<Answer> = [
        TransportError::Timeout,
        TransportError::Connect,
        TransportError::Tls,
        TransportError::Dns,
        TransportError::BodyTooLarge,
        TransportError::Redirect,
    ]
    .into_iter()
    .map(Err)
    .collect();
    for status in [301, 400, 401, 403, 404, 422, 429, 500, 503, 0] {
        failures.push(answer(status, r#"{"message":"no","errors":["no"]}"#));
        failures.push(answer(status, ""));
    }
    for body in ["", "null", "0", "[]", "{}", "\"\"", "<html>", "{\"a\":", "\u{feff}"] {
        failures.push(answer(200, body));
    }
    failures
}

#[test]
fn no_answer_without_evidence_is_a_verdict() {
    for silence in all() {
        let bodies = silence.bodies.iter().map(|body| answer(200, body));
        for answer in bodies.chain(failures()) {
            for condition in ["true", "", "result != 3"] {
                let metric = metric(condition, &silence.provider);
                let account = account(&metric, silence.account.0, &silence.account.1);
                let shown = format!("{condition:?} {:?} {}", answer.as_ref().map(text), silence.provider);
                let played = play(&metric, account, &Environment::default(), vec![answer.clone()]);
                assert_eq!(played.measured.phase, AnalysisPhase::Error, "{shown}");
                assert!(played.measured.message.is_some(), "{shown}: it does not say why");
            }
        }
    }
}

fn text(response: &crate::HttpResponse) -> String {
    format!("{} {}", response.status, String::from_utf8_lossy(&response.body))
}
