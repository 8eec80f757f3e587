//! AnalysisRuns beside and without Rollouts: gates, runs that are deleted at their time, and names that are taken.

use jiff::SignedDuration;
use serde_json::{Value, json};
use sluice_simulations::{Cluster, Command, Config, Key, Kind, MetricAnswer, Part};

fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// A cluster whose metric `error-rate` is always the same.
fn cluster(error_rate: f64) -> Cluster {
    let mut config = Config::new(1);
    let answers = vec![MetricAnswer::Value(error_rate)];
    config.models.metrics.named.insert("error-rate".to_owned(), answers);
    Cluster::new(config)
}

fn metric() -> Value {
    json!({
        "name": "error-rate", "interval": "10s", "count": 3, "successCondition": "result[0] < 0.01",
        "provider": { "prometheus": { "query": "error_rate" } },
    })
}

/// A run that a person or a pipeline makes.
fn gate(ttl: &Value) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": { "name": "gate", "namespace": "default" },
        "spec": { "metrics": [metric()], "ttlStrategy": ttl },
    })
}

const ROLLOUT: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: shop, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: {containers: [{name: shop, image: "shop:v1"}]}
  strategy:
    canary:
      steps:
      - setWeight: 50
      - analysis: {templates: [{templateName: errors}]}
      - pause: {}
"#;

fn template() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate",
        "metadata": { "name": "errors", "namespace": "default" },
        "spec": { "metrics": [metric()] },
    })
}

/// Name and phase of each run.
fn runs(cluster: &Cluster) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let runs = cluster.store().list(Kind::AnalysisRun);
    runs.map(|(_, run)| (text(&run["metadata"]["name"]), text(&run["status"]["phase"])))
        .collect()
}

#[test]
fn a_run_without_a_rollout_is_a_gate() {
    for (error_rate, phase) in [(0.0, "Successful"), (0.5, "Failed")] {
        let mut cluster = cluster(error_rate);
        cluster.apply(&gate(&json!(null))).expect("it is valid");
        assert!(cluster.run_until_settled(secs(600)));
        assert_eq!(runs(&cluster), [("gate".to_owned(), phase.to_owned())]);
        assert!(cluster.now() < secs(60), "{:?}", cluster.now());
    }
}

#[test]
fn a_run_without_a_rollout_is_deleted_at_its_time() {
    for (error_rate, gone_at) in [(0.0, 20 + 100), (0.5, 300)] {
        let mut cluster = cluster(error_rate);
        let ttl = json!({ "secondsAfterSuccess": 100, "secondsAfterFailure": 300 });
        cluster.apply(&gate(&ttl)).expect("it is valid");
        cluster.run_until(secs(gone_at - 2));
        assert_eq!(runs(&cluster).len(), 1, "{error_rate}");
        cluster.run_until(secs(gone_at + 5));
        assert_eq!(runs(&cluster), [], "{error_rate}");
    }
}

#[test]
fn a_run_that_its_rollout_names_is_kept_past_its_time_and_then_goes() {
    let mut cluster = cluster(0.0);
    cluster.apply(&template()).expect("it is valid");
    cluster.apply_yaml(ROLLOUT).expect("it is valid");
    // The run in the background has ended long before the update has: its status goes on naming it.
    let background = json!({ "spec": { "strategy": { "canary": {
        "analysis": { "templates": [{ "templateName": "errors" }] },
        "steps": [{ "setWeight": 50 }, { "pause": {} }],
    } } } });
    let rollout = Key::new(Kind::Rollout, "default", "shop");
    cluster.command_at(secs(20), Command::Patch(rollout, Part::Main, Box::new(background)));
    cluster.command_at(secs(60), Command::SetImage("shop".to_owned(), "shop:v2".to_owned()));
    cluster.run_until(secs(120));
    let [(name, phase)] = &runs(&cluster)[..] else {
        panic!("{:?}", runs(&cluster));
    };
    assert_eq!(phase, "Successful");
    let run = Key::new(Kind::AnalysisRun, "default", name);
    let ttl = json!({ "spec": { "ttlStrategy": { "secondsAfterCompletion": 10 } } });
    cluster
        .command(&Command::Patch(run, Part::Main, Box::new(ttl)))
        .expect("it is valid");
    cluster.run_until(secs(600));
    assert_eq!(runs(&cluster).len(), 1, "the status names it");
    cluster
        .command(&Command::Promote("shop".to_owned()))
        .expect("it is paused");
    cluster.run_until(secs(800));
    assert_eq!(runs(&cluster), [], "{}", cluster.trace());
    assert_eq!(cluster.violations(), []);
}

#[test]
fn a_run_of_somebody_else_under_the_name_of_ours_decides_nothing() {
    // The same cluster twice: the first one tells what the run is called.
    let arrange = || {
        let mut cluster = cluster(0.0);
        cluster.apply(&template()).expect("it is valid");
        cluster.apply_yaml(ROLLOUT).expect("it is valid");
        cluster.command_at(secs(60), Command::SetImage("shop".to_owned(), "shop:v2".to_owned()));
        cluster
    };
    let mut first = arrange();
    first.run_until(secs(120));
    let (name, _) = runs(&first).pop().expect("the step has made one");
    let mut cluster = arrange();
    let mut foreign = gate(&json!(null));
    foreign["metadata"]["name"] = name.clone().into();
    foreign["spec"]["metrics"][0]["successCondition"] = "result[0] > 1".into();
    cluster.apply(&foreign).expect("it is valid");
    cluster.run_until(secs(300));
    let expected = [(name.clone(), "Failed"), (format!("{name}.1"), "Successful")];
    assert_eq!(runs(&cluster), expected.map(|(name, phase)| (name, phase.to_owned())));
    let status = &cluster.get(Kind::Rollout, "shop").expect("it is there")["status"];
    assert_eq!(status["currentStepIndex"], 2, "{status}");
    assert_eq!(cluster.violations(), []);
}
