//! AnalysisRuns: making, ending, showing and listing them.

use expect_test::{Expect, expect};
use http::Method;
use serde_json::{Value, json};

use crate::{
    api::{Api, NAMESPACE},
    commands::run,
};

fn metric(name: &str) -> Value {
    json!({ "name": name, "count": 1, "provider": { "prometheus": { "address": "http://p", "query": "up{{args.service}}" } } })
}

fn template(kind: &str, name: &str, spec: Value) -> Value {
    json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec })
}

/// A template that names one of the cluster.
fn templates() -> [Value; 2] {
    let own = json!({
        "args": [{ "name": "service" }, { "name": "window", "value": "5m" }],
        "metrics": [metric("errors")],
        "dryRun": [{ "metricName": "errors" }],
        "templates": [{ "templateName": "base", "clusterScope": true }],
    });
    let base = json!({ "args": [{ "name": "service" }], "metrics": [metric("latency")] });
    [
        template("AnalysisTemplate", "web", own),
        template("ClusterAnalysisTemplate", "base", base),
    ]
}

/// A run with a status.
fn analysis_run(name: &str, status: Value) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": { "name": name, "namespace": NAMESPACE, "creationTimestamp": "2026-03-01T12:00:00Z" },
        "spec": { "metrics": [metric("errors"), metric("latency")], "dryRun": [{ "metricName": "latency" }] },
        "status": status,
    })
}

fn running() -> Value {
    let measurement = json!({ "phase": "Successful", "value": "[0.5]" });
    json!({ "phase": "Running", "metricResults": [
        { "name": "errors", "phase": "Running", "count": 1, "successful": 1, "measurements": [measurement] },
    ] })
}

fn ended(phase: &str) -> Value {
    let failed = json!({ "phase": "Failed", "value": "[7]" });
    let broken = json!({ "phase": "Error", "message": "the connection failed" });
    json!({
        "phase": phase, "message": "Metric \"errors\" assessed Failed due to failed (1) > failureLimit (0)",
        "runSummary": { "count": 1, "failed": 1 }, "dryRunSummary": { "count": 1, "error": 1 },
        "metricResults": [
            { "name": "errors", "phase": "Failed", "count": 2, "successful": 1, "failed": 1, "measurements": [failed] },
            { "name": "latency", "phase": "Error", "error": 5, "dryRun": true, "measurements": [broken] },
        ],
    })
}

const CREATE: &str = "POST /apis/argoproj.io/v1alpha1/namespaces/shop/analysisruns";

async fn check(api: &Api, words: &str, code: u8, output: Expect) {
    let (ended, text) = run(api, words).await;
    output.assert_eq(&text);
    assert_eq!(ended, code, "{words}");
}

#[tokio::test]
async fn a_run_is_made_of_a_template_and_those_that_it_names() {
    let api = Api::with(templates());
    let words = "create analysisrun --from web -a service=shop --instance-id blue";
    check(&api, words, 0, expect![["analysisrun.argoproj.io/web-x7f2k created\n"]]).await;
    let wanted = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": {
            "namespace": "shop", "generateName": "web-",
            "labels": { "argo-rollouts.argoproj.io/controller-instance-id": "blue" },
        },
        "spec": {
            "metrics": [metric("errors"), metric("latency")],
            "args": [{ "name": "service", "value": "shop" }, { "name": "window", "value": "5m" }],
            "dryRun": [{ "metricName": "errors" }],
        },
    });
    assert_eq!(api.writes(), [(CREATE.to_owned(), wanted)]);
}

#[tokio::test]
async fn a_run_has_the_name_that_is_asked_for() {
    for (words, name, made) in [
        ("--global --from base --name gate", json!({ "name": "gate" }), "gate"),
        (
            "--global --from base --generate-name gate-",
            json!({ "generateName": "gate-" }),
            "gate-x7f2k",
        ),
    ] {
        let api = Api::with(templates());
        let words = format!("create ar {words} -a service=shop");
        let (code, text) = run(&api, &words).await;
        assert_eq!((code, text), (0, format!("analysisrun.argoproj.io/{made} created\n")));
        let mut metadata = name;
        metadata["namespace"] = "shop".into();
        assert_eq!(api.writes()[0].1["metadata"], metadata);
    }
}

#[tokio::test]
async fn a_template_in_a_file_may_name_others_in_the_cluster() {
    let folder = std::env::temp_dir().join(format!("sluice-create-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("template.json");
    let [own, base] = templates();
    std::fs::write(&file, own.to_string()).unwrap();
    let api = Api::with([base.clone()]);
    let words = format!("create analysisrun --from-file {} -a service=x", file.display());
    let made = run(&api, &words).await;
    std::fs::write(&file, base.to_string()).unwrap();
    let wrong_kind = run(&api, &words).await;
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(made, (0, "analysisrun.argoproj.io/web-x7f2k created\n".to_owned()));
    assert_eq!(api.writes()[0].1["spec"]["metrics"].as_array().unwrap().len(), 2);
    let wanted = format!(
        "error: {} has not exactly one AnalysisTemplate with a name\n",
        file.display()
    );
    assert_eq!(wrong_kind, (1, wanted));
}

#[tokio::test]
async fn what_is_wrong_is_said_before_a_run_is_made() {
    let api = Api::with(templates());
    api.put(template(
        "AnalysisTemplate",
        "wrong",
        json!({ "args": [{ "name": "a" }, { "name": "b" }], "metrics": [metric("errors")], "templates": [{ "templateName": "gone" }] }),
    ));
    api.put(template(
        "AnalysisTemplate",
        "typo",
        json!({ "args": [{ "name": "a" }, { "name": "b" }], "metrics": [metric("errors")] }),
    ));
    let from = |rest: &str| format!("create analysisrun --from {rest}");
    check(
        &api,
        &from("wep -a service=x"),
        1,
        expect![["error: there is no AnalysisTemplate 'wep' in namespace 'shop'; did you mean 'web'?\n"]],
    )
    .await;
    check(
        &api,
        &from("web --global"),
        1,
        expect![["error: there is no ClusterAnalysisTemplate 'web'\n"]],
    )
    .await;
    check(
        &api,
        &from("wrong"),
        1,
        expect![["error: there is no AnalysisTemplate 'gone' in namespace 'shop'\n"]],
    )
    .await;
    check(
        &api,
        &from("typo"),
        1,
        expect![["error: argument `a` has no value: give it one with -a a=VALUE; argument `b` has no value: give it one with -a b=VALUE\n"]],
    )
    .await;
    check(
        &api,
        &from("typo -a c=1"),
        1,
        expect![["error: the template has no argument `c`; it has: a, b\n"]],
    )
    .await;
    check(
        &api,
        &from("typo -a a=1 -a a=2"),
        1,
        expect![["error: argument `a` is given twice\n"]],
    )
    .await;
    check(
        &api,
        &from("typo -a a=1 -a b=2"),
        1,
        expect![["error: the run would end with Error: unable to resolve metric arguments: failed to resolve {{args.service}}\n"]],
    )
    .await;
    assert_eq!(api.writes(), []);
    api.forbid(Method::POST, "analysisruns");
    let (code, text) = run(&api, &from("web -a service=x")).await;
    assert_eq!(code, 1);
    assert!(
        text.starts_with("error: you may not create analysisruns.argoproj.io"),
        "{text}"
    );
}

#[tokio::test]
async fn a_run_is_ended_by_the_patch_of_argos_plugin() {
    let api = Api::with([analysis_run("gate", running()), analysis_run("over", ended("Failed"))]);
    check(
        &api,
        "terminate analysisrun gate over gat",
        1,
        expect![[r#"
            analysisrun 'gate' terminated
            analysisrun 'over' terminated (it had ended before: Failed)
            error: there is no analysisrun 'gat' in namespace 'shop'; did you mean 'gate'?
        "#]],
    )
    .await;
    let patch = |name: &str| {
        let path = format!("PATCH /apis/argoproj.io/v1alpha1/namespaces/shop/analysisruns/{name}");
        (path, json!({ "spec": { "terminate": true } }))
    };
    assert_eq!(api.writes(), [patch("gate"), patch("over"), patch("gat")]);
}

#[tokio::test]
async fn a_run_is_shown_with_all_its_metrics() {
    let api = Api::with([analysis_run("gate", ended("Failed")), analysis_run("new", json!(null))]);
    check(
        &api,
        "get analysisrun gate",
        0,
        expect![[r#"
        Name:          gate
        Namespace:     shop
        Status:        ✖ Failed
        Message:       Metric "errors" assessed Failed due to failed (1) > failureLimit (0)
        Metrics:       1: 1 Failed
        Dry runs:      1: 1 Error

        METRIC   STATUS    DRY-RUN  GOOD  BAD  UNCLEAR  ERROR  VALUE
        errors   ✖ Failed  -        1     1    0        0      [7]
        latency  ⚠ Error   yes      0     0    0        5
        latency: the connection failed
    "#]],
    )
    .await;
    check(
        &api,
        "get ar new",
        0,
        expect![[r#"
        Name:          new
        Namespace:     shop
        Status:        ◌ Pending

        METRIC   STATUS     DRY-RUN  GOOD  BAD  UNCLEAR  ERROR  VALUE
        errors   ◌ Pending  -        0     0    0        0
        latency  ◌ Pending  yes      0     0    0        0
    "#]],
    )
    .await;
    check(
        &api,
        "get ar gone",
        1,
        expect![[r#"
        error: there is no analysisrun 'gone' in namespace 'shop'
    "#]],
    )
    .await;
    let (_, text) = run(&api, "get analysisrun gate -o json").await;
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&value["phase"], &value["metrics"][1]["dryRun"]),
        (&json!("Failed"), &json!(true))
    );
}

#[tokio::test]
async fn runs_are_listed_with_what_they_belong_to() {
    let mut owned = analysis_run("shop-1", running());
    owned["metadata"]["ownerReferences"] = json!([
        { "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "shop", "uid": "u", "controller": true },
    ]);
    owned["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
    let mut other = analysis_run("gate", ended("Failed"));
    other["metadata"]["namespace"] = "other".into();
    other["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
    let api = Api::with([owned, other]);
    check(
        &api,
        "list analysisruns",
        0,
        expect![[r#"
        NAME    STATUS   OF            METRICS  AGE
        shop-1  Running  Rollout shop  0/2      -
    "#]],
    )
    .await;
    check(
        &api,
        "list ar -A",
        0,
        expect![[r#"
        NAMESPACE  NAME    STATUS   OF            METRICS  AGE
        other      gate    Failed   -             2/2      -
        shop       shop-1  Running  Rollout shop  0/2      -
    "#]],
    )
    .await;
    check(
        &Api::default(),
        "list ar",
        0,
        expect![["there are no analysisruns in namespace 'shop'\n"]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_with_the_run_and_says_how_by_its_exit_code() {
    for (phase, code) in [("Successful", 0), ("Failed", 1), ("Error", 1), ("Inconclusive", 3)] {
        let api = Api::with([analysis_run("gate", running())]);
        let later = api.clone();
        tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_secs(30)).await;
            later.put(analysis_run("gate", ended(phase)));
        });
        let (ended, text) = run(&api, "get analysisrun gate -w").await;
        assert_eq!(ended, code, "{phase}: {text}");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].contains("Running") && lines[1].contains(phase), "{text}");
    }
    let api = Api::with([analysis_run("gate", running())]);
    let (code, text) = run(&api, "get analysisrun gate -w --timeout-seconds 60").await;
    assert_eq!(code, 1);
    assert!(
        text.ends_with("error: analysisrun 'gate' has not ended within 60 s\n"),
        "{text}"
    );
}
