//! Analyses, and their runs as Argo Rollouts leaves them.

use serde_json::{Value, json};

use super::arrange::{at, hash_of};

/// What the analyses of the states measure.
pub const TEMPLATE: &str = "
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: errors, namespace: default}
spec:
  args: [{name: hash}]
  metrics:
  - name: error-rate
    interval: 60s
    count: 3
    successCondition: result[0] < 0.01
    provider: {prometheus: {address: http://prometheus.test, query: 'error_rate{hash=\"{{args.hash}}\"}'}}
";

/// An analysis of the template above.
pub fn analysis() -> Value {
    json!({
        "templates": [{ "templateName": "errors" }],
        "args": [{ "name": "hash", "valueFrom": { "podTemplateHashValue": "Latest" } }],
    })
}

/// A run of Argo Rollouts for the version `v2`: `kind` as its label says, `suffix` of its name, in a phase.
pub fn run(kind: &str, suffix: &str, phase: &str) -> Value {
    let mut labels = json!({ "rollout-type": kind, "rollouts-pod-template-hash": hash_of("v2") });
    if kind == "Step" {
        labels["step-index"] = suffix
            .trim_start_matches('-')
            .split('.')
            .next()
            .unwrap_or_default()
            .into();
    }
    let mut run = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": {
            "name": run_name(suffix), "namespace": "default", "labels": labels,
            "annotations": { "rollout.argoproj.io/revision": "2" },
        },
        "spec": {
            "args": [{ "name": "hash", "value": hash_of("v2") }],
            "metrics": [{
                "name": "error-rate", "interval": "60s", "count": 3, "successCondition": "result[0] < 0.01",
                "provider": { "prometheus": {
                    "address": "http://prometheus.test", "query": "error_rate{hash=\"{{args.hash}}\"}",
                } },
            }],
        },
    });
    if phase == "Pending" {
        return run;
    }
    let (verdict, value) = match phase {
        "Running" | "Successful" => ("Successful", "[0]"),
        other => (other, "[0.5]"),
    };
    let count = if phase == "Successful" { 3 } else { 1 };
    let measurement = json!({ "phase": verdict, "value": value, "startedAt": at(-5), "finishedAt": at(-5) });
    let mut result = json!({ "name": "error-rate", "phase": phase, "count": count, "measurements": [measurement] });
    result[verdict.to_lowercase()] = count.into();
    let mut summary = json!({ "count": 1 });
    if phase != "Running" {
        summary[verdict.to_lowercase()] = 1.into();
    }
    run["status"] = json!({
        "phase": phase, "startedAt": at(-6), "metricResults": [result], "runSummary": summary, "dryRunSummary": {},
    });
    if phase != "Running" {
        run["status"]["completedAt"] = at(-5).into();
    }
    if phase == "Failed" {
        run["status"]["message"] = FAILURE.into();
    }
    run
}

/// What a run says that failed.
pub const FAILURE: &str = "Metric \"error-rate\" assessed Failed due to failed (1) > failureLimit (0)";

pub fn run_name(suffix: &str) -> String {
    format!("shop-{}-2{suffix}", hash_of("v2"))
}
