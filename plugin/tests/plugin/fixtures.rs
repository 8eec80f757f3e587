//! A shop with a canary between two revisions.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::NAMESPACE;

/// Pod template hash of the first revision.
pub const OLD: &str = "5d8f9c";
/// Pod template hash of the second revision.
pub const NEW: &str = "7b6c4d";
/// What the Rollout's own revisions record of their templates.
const TEMPLATE: &str = "sluice.dev/pod-template";

/// When everything happens.
pub fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// The pod template of a version.
pub fn template(version: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": "backend" } },
        "spec": { "containers": [{
            "name": "backend",
            "image": format!("sluice/backend:{version}"),
            "ports": [{ "name": "http", "containerPort": 5678 }],
        }] },
    })
}

/// A Rollout at a status.
pub fn rollout(strategy: &Value, status: Value) -> Value {
    let mut status = status;
    let counts = json!({ "observedGeneration": "4", "replicas": 5, "updatedReplicas": 1, "readyReplicas": 5, "availableReplicas": 5 });
    for (key, value) in counts.as_object().unwrap() {
        status
            .as_object_mut()
            .unwrap()
            .entry(key.clone())
            .or_insert_with(|| value.clone());
    }
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {
            "name": "backend",
            "namespace": NAMESPACE,
            "uid": "uid-backend",
            "generation": 4,
            "creationTimestamp": "2026-03-01T10:00:00Z",
            "annotations": { "rollout.argoproj.io/revision": "2" },
        },
        "spec": {
            "replicas": 4,
            "selector": { "matchLabels": { "app": "backend" } },
            "template": template("v2"),
            "strategy": strategy,
        },
        "status": status,
    })
}

/// A canary with an HTTPRoute.
pub fn canary() -> Value {
    json!({ "canary": {
        "stableService": "backend-stable",
        "canaryService": "backend-canary",
        "trafficRouting": { "gatewayApi": { "httpRoute": "backend" } },
        "steps": [
            { "setWeight": 25 },
            { "pause": { "duration": "10m" } },
            { "setWeight": 50 },
            { "analysis": { "templates": [{ "templateName": "error-rate" }] } },
        ],
    } })
}

/// Status of the canary at a step.
pub fn at_step(index: i32, phase: &str, message: &str) -> Value {
    let steps = canary();
    json!({
        "phase": phase,
        "message": message,
        "stableRS": OLD,
        "currentPodHash": NEW,
        "currentStepIndex": index,
        "currentStepHash": sluice_machine::hash::of_steps(&steps["canary"]["steps"]),
    })
}

/// Status of the canary in its pause.
pub fn paused() -> Value {
    let mut status = at_step(1, "Paused", "CanaryPauseStep");
    status["controllerPause"] = true.into();
    status["pauseConditions"] = json!([{ "reason": "CanaryPauseStep", "startTime": "2026-03-01T11:55:00Z" }]);
    status
}

/// A ReplicaSet of a revision.
pub fn replica_set(revision: u32, hash: &str, version: &str, wanted: u32, available: u32) -> Value {
    let template = template(version);
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": format!("backend-{hash}"),
            "namespace": NAMESPACE,
            "uid": format!("uid-{hash}"),
            "generation": 1,
            "creationTimestamp": if revision == 1 { "2026-03-01T10:00:00Z" } else { "2026-03-01T11:50:00Z" },
            "labels": { "app": "backend", "rollouts-pod-template-hash": hash },
            "annotations": {
                "rollout.argoproj.io/revision": revision.to_string(),
                "rollout.argoproj.io/desired-replicas": "4",
                (TEMPLATE): sluice_machine::hash::canonical(&template),
            },
            "ownerReferences": [{ "kind": "Rollout", "name": "backend", "uid": "uid-backend", "controller": true }],
        },
        "spec": { "replicas": wanted, "template": template },
        "status": {
            "replicas": wanted,
            "readyReplicas": available,
            "availableReplicas": available,
            "observedGeneration": 1,
        },
    })
}

/// Pods of a revision, and their endpoints behind a Service.
pub fn pods(hash: &str, count: u32, status: &str, service: &str) -> Vec<Value> {
    let name = |index: u32| format!("backend-{hash}-{index}");
    let running = status == "Running";
    let state = if running {
        json!({ "running": {} })
    } else {
        json!({ "waiting": { "reason": status } })
    };
    let pods = (0..count).map(|index| {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name(index),
                "namespace": NAMESPACE,
                "creationTimestamp": "2026-03-01T11:50:00Z",
                "labels": { "app": "backend", "rollouts-pod-template-hash": hash },
                "ownerReferences": [{ "kind": "ReplicaSet", "uid": format!("uid-{hash}"), "controller": true }],
            },
            "spec": { "containers": [{ "name": "backend" }] },
            "status": {
                "phase": if running { "Running" } else { "Pending" },
                "containerStatuses": [{ "ready": running, "restartCount": 0, "state": state }],
            },
        })
    });
    let endpoints: Vec<Value> = (0..count)
        .map(|index| json!({ "conditions": { "ready": running }, "targetRef": { "kind": "Pod", "name": name(index) } }))
        .collect();
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": { "name": format!("{service}-x"), "labels": { "kubernetes.io/service-name": service } },
        "endpoints": endpoints,
    });
    pods.chain([slice]).collect()
}

/// A Service that selects a revision.
pub fn service(name: &str, hash: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "annotations": { "argo-rollouts.argoproj.io/managed-by-rollouts": "backend" },
        },
        "spec": { "selector": { "app": "backend", "rollouts-pod-template-hash": hash } },
    })
}

/// The HTTPRoute with a share for the canary, acknowledged at a generation of 7.
pub fn route(canary: u32, acknowledged: u32) -> Value {
    let condition = |name: &str| json!({ "type": name, "status": "True", "observedGeneration": acknowledged });
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": { "name": "backend", "namespace": NAMESPACE, "generation": 7 },
        "spec": {
            "parentRefs": [{ "name": "web" }],
            "rules": [{ "backendRefs": [
                { "name": "backend-stable", "port": 80, "weight": 100 - canary },
                { "name": "backend-canary", "port": 80, "weight": canary },
            ] }],
        },
        "status": { "parents": [{
            "parentRef": { "name": "web" },
            "controllerName": "example.com/gateway",
            "conditions": [condition("Accepted"), condition("ResolvedRefs")],
        }] },
    })
}

/// The template of the analysis.
pub fn analysis_template() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": { "name": "error-rate", "namespace": NAMESPACE },
        "spec": { "metrics": [{
            "name": "error-rate",
            "successCondition": "result[0] < 0.01",
            "provider": { "prometheus": { "address": "http://prometheus:9090", "query": "up" } },
        }] },
    })
}

/// An AnalysisRun of the second revision.
pub fn run(phase: &str, message: &str) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisRun",
        "metadata": {
            "name": format!("backend-{NEW}-2-3"),
            "namespace": NAMESPACE,
            "creationTimestamp": "2026-03-01T11:58:00Z",
            "labels": { "rollout-type": "Step", "step-index": "3", "rollouts-pod-template-hash": NEW },
            "annotations": { "rollout.argoproj.io/revision": "2" },
            "ownerReferences": [{ "kind": "Rollout", "name": "backend", "uid": "uid-backend", "controller": true }],
        },
        "spec": { "metrics": [] },
        "status": {
            "phase": phase,
            "message": message,
            "metricResults": [
                { "name": "error-rate", "phase": phase, "successful": 3, "failed": 2, "count": 5 },
                { "name": "latency", "phase": "Running", "successful": 1, "error": 1, "count": 1 },
            ],
        },
    })
}

/// The canary in its pause with everything that belongs to it.
pub fn shop() -> Vec<Value> {
    let mut objects = vec![
        rollout(&canary(), paused()),
        replica_set(1, OLD, "v1", 4, 4),
        replica_set(2, NEW, "v2", 1, 1),
        service("backend-stable", OLD),
        service("backend-canary", NEW),
        route(25, 7),
        analysis_template(),
    ];
    objects.extend(pods(OLD, 4, "Running", "backend-stable"));
    objects.extend(pods(NEW, 1, "Running", "backend-canary"));
    objects
}
