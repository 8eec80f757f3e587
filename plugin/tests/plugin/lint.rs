//! `lint`: bad manifests and what is said about them.

use std::fmt::Write;

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use sluice_plugin::lint::{Source, lint};

/// A Rollout that has no problems but those that an edit makes.
fn good() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": { "name": "x" },
        "spec": {
            "replicas": 4,
            "selector": { "matchLabels": { "app": "x" } },
            "template": {
                "metadata": { "labels": { "app": "x" } },
                "spec": { "containers": [{
                    "name": "x",
                    "image": "x:1",
                    "ports": [{ "containerPort": 80 }],
                    "readinessProbe": { "httpGet": { "path": "/", "port": 80 } },
                    "lifecycle": { "preStop": { "sleep": { "seconds": 3 } } },
                }] },
            },
            "strategy": { "canary": { "steps": [{ "setWeight": 25 }, { "pause": { "duration": "1m" } }, { "setWeight": 50 }] } },
        },
    })
}

/// The Rollout with a router, and all that it names.
fn routed() -> Vec<Value> {
    let mut rollout = good();
    rollout["spec"]["strategy"]["canary"]["stableService"] = "x-stable".into();
    rollout["spec"]["strategy"]["canary"]["canaryService"] = "x-canary".into();
    rollout["spec"]["strategy"]["canary"]["trafficRouting"] = json!({ "gatewayApi": { "httpRoute": "x" } });
    rollout["spec"]["strategy"]["canary"]["steps"] = json!([
        { "setWeight": 25 },
        { "analysis": { "templates": [{ "templateName": "errors" }], "args": [{ "name": "limit", "value": "1" }] } },
    ]);
    let service = |name: &str| json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": name }, "spec": { "selector": { "app": "x" } } });
    let backend = |name: &str, weight: u32| json!({ "name": name, "port": 80, "weight": weight });
    let route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": { "name": "x" },
        "spec": { "parentRefs": [{ "name": "g" }], "rules": [{ "backendRefs": [backend("x-stable", 100), backend("x-canary", 0)] }] },
    });
    let template = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": { "name": "errors" },
        "spec": {
            "args": [{ "name": "limit" }],
            "metrics": [{
                "name": "errors",
                "successCondition": "result[0] < {{args.limit}}",
                "provider": { "prometheus": { "query": "up" } },
            }],
        },
    });
    vec![rollout, service("x-stable"), service("x-canary"), route, template]
}

fn findings(objects: &[Value], strict: bool) -> String {
    let text: String = objects.iter().map(|object| format!("---\n{object}\n")).collect();
    let report = lint(
        &[Source {
            name: "f".to_owned(),
            text,
        }],
        strict,
    );
    let mut lines = String::new();
    for finding in report.findings {
        let (object, path) = (finding.object, finding.path);
        writeln!(
            lines,
            "{} {object} {}: {path}: {}",
            finding.document, finding.severity, finding.problem
        )
        .unwrap();
    }
    lines
}

/// The Rollout with one field set to something else.
fn check(pointer: &str, value: Value, wanted: Expect) {
    let mut object = good();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = object.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(list) => list[field.parse::<usize>().unwrap()] = value,
        other => other[field] = value,
    }
    wanted.assert_eq(&findings(&[object], false));
}

#[test]
fn good_manifests_have_no_problems() {
    assert_eq!(findings(&[good()], true), "");
    assert_eq!(findings(&routed(), true), "");
}

#[test]
fn fields_that_do_not_exist_are_named_with_what_was_meant() {
    check(
        "/spec/replica",
        3.into(),
        expect![[r#"
        1 Rollout/x error: spec.replica: is no field here and would be dropped; did you mean `replicas`?
    "#]],
    );
    check(
        "/spec/strategy/canary/steps/0",
        json!({ "setWeigth": 25 }),
        expect![[r#"
            1 Rollout/x error: spec.strategy.canary.steps[0].setWeigth: is no field here and would be dropped; did you mean `setWeight`?
        "#]],
    );
    check(
        "/spec/strategy/canary/steps/1",
        json!({ "pause": { "time": "1m" } }),
        expect![[r#"
        1 Rollout/x error: spec.strategy.canary.steps[1].pause.time: is no field here and would be dropped; fields are duration
    "#]],
    );
    check(
        "/spec/strategy/bluegreen",
        json!({ "activeService": "a" }),
        expect![[r#"
        1 Rollout/x error: spec.strategy.bluegreen: is no field here and would be dropped; did you mean `blueGreen`?
    "#]],
    );
    check(
        "/spec/template/spec/container",
        json!([]),
        expect![[r#"
            1 Rollout/x warning: spec.template.spec.container: is no field that Kubernetes 1.33 has here; did you mean `containers`?
        "#]],
    );
    check(
        "/spec/template/spec/containers/0/readynessProbe",
        json!({}),
        expect![[r#"
            1 Rollout/x warning: spec.template.spec.containers[0].readynessProbe: is no field that Kubernetes 1.33 has here; did you mean `readinessProbe`?
        "#]],
    );
    check(
        "/stpec",
        json!({}),
        expect![[r#"
        1 Rollout/x error: stpec: is no field here and would be dropped; did you mean `spec`?
    "#]],
    );
    check("/metadata/labels", json!({ "anything": "goes" }), expect![[""]]);
    check(
        "/spec/template/spec/nodeSelector",
        json!({ "anything": "goes" }),
        expect![[""]],
    );
}

#[test]
fn values_of_the_wrong_type_are_named() {
    check(
        "/spec/replicas",
        "3".into(),
        expect![[r#"
            1 Rollout/x error: spec.replicas: is the text `3`, must be an integer
        "#]],
    );
    check(
        "/spec/strategy/canary/steps/0",
        json!({ "setWeight": "a lot" }),
        expect![[r#"
            1 Rollout/x error: spec.strategy.canary.steps[0].setWeight: is the text `a lot`, must be an integer
        "#]],
    );
    check(
        "/spec/strategy/canary/steps",
        json!({ "setWeight": 5 }),
        expect![[r#"
        1 Rollout/x error: spec.strategy.canary.steps: is an object, must be a list
    "#]],
    );
    check(
        "/spec/strategy/canary/maxSurge",
        json!(true),
        expect![[r#"
        1 Rollout/x error: spec.strategy.canary.maxSurge: is true, must be an integer or a text
    "#]],
    );
    check("/spec/strategy/canary/maxSurge", json!("25%"), expect![[""]]);
    check(
        "/spec/template",
        "x".into(),
        expect![[r#"
            1 Rollout/x error: spec.template: is the text `x`, must be an object
        "#]],
    );
    check(
        "/spec/template/spec/containers/0/ports/0/containerPort",
        "80".into(),
        expect![[r#"
        1 Rollout/x error: spec.template.spec.containers[0].ports[0].containerPort: is the text `80`, must be an integer
    "#]],
    );
    check(
        "/spec/template/spec/containers/0/resources",
        json!({ "limits": { "cpu": 1 } }),
        expect![[""]],
    );
    check(
        "/metadata/name",
        Value::Null,
        expect![[r#"
        1 Rollout/ error: metadata.name: is missing: an object needs a name
    "#]],
    );
    check(
        "/apiVersion",
        "argoproj.io/v1".into(),
        expect![[r#"
        1 Rollout/x error: apiVersion: is `argoproj.io/v1`, must be `argoproj.io/v1alpha1`
    "#]],
    );
    check(
        "/kind",
        "Rolout".into(),
        expect![[r#"
        1 Rolout/x error: kind: `Rolout` is none of this API: AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate, Experiment, Rollout
    "#]],
    );
}

#[test]
fn what_the_machine_refuses_is_refused() {
    check(
        "/spec/strategy",
        json!({}),
        expect![[r#"
        1 Rollout/x error: spec.strategy: Rollout has missing field '.spec.strategy.canary or .spec.strategy.blueGreen'
    "#]],
    );
    check(
        "/spec/strategy/canary/steps/0",
        json!({ "setWeight": 120 }),
        expect![[r#"
            1 Rollout/x error: spec.strategy.canary.steps[0].setWeight: SetWeight needs to be between 0 and 100
        "#]],
    );
    check(
        "/spec/strategy/canary/steps/1",
        json!({ "pause": { "duration": "soon" } }),
        expect![[r#"
        1 Rollout/x error: spec.strategy.canary.steps[1].pause.duration: Duration needs to be greater than 0
    "#]],
    );
    check(
        "/spec/selector",
        json!({ "matchLabels": { "app": "y" } }),
        expect![[r#"
        1 Rollout/x error: spec.template.metadata.labels: `selector` does not match template `labels`
    "#]],
    );
    check(
        "/spec/strategy/canary/trafficRouting",
        json!({ "smi": { "rootService": "x" } }),
        expect![[r#"
        1 Rollout/x error: spec.strategy.canary.canaryService: Canary service and Stable service must to be set to use Traffic Routing
        1 Rollout/x error: spec.strategy.canary.stableService: Canary service and Stable service must to be set to use Traffic Routing
        1 Rollout/x error: spec.strategy.canary.trafficRouting.smi: smi is not supported yet by this version of Sluice
    "#]],
    );
}

#[test]
fn all_problems_of_all_documents_are_reported_at_once() {
    let mut one = good();
    one["spec"]["strategy"]["canary"]["steps"][0] = json!({ "setWeight": 101 });
    one["spec"]["progressDeadlineSeconds"] = (-5).into();
    one["spec"]["paussed"] = true.into();
    let two = json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate", "metadata": { "name": "t" }, "spec": { "metrics": [
        { "name": "a", "count": 3, "provider": { "prometheus": { "query": "up" } } },
        { "name": "a", "successCondition": "result[0] <", "provider": {} },
    ] } });
    let three = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "passed over" }, "spec": { "nonsense": 1 } });
    expect![[r#"
        1 Rollout/x error: spec.paussed: is no field here and would be dropped; did you mean `paused`?
        1 Rollout/x error: spec.progressDeadlineSeconds: must be greater than or equal to 0
        1 Rollout/x error: spec.progressDeadlineSeconds: must be greater than minReadySeconds
        1 Rollout/x error: spec.strategy.canary.steps[0].setWeight: SetWeight needs to be between 0 and 100
        2 AnalysisTemplate/t error: spec.metrics[0]: interval must be specified when count > 1
        2 AnalysisTemplate/t error: spec.metrics[1]: duplicate name 'a'
        2 AnalysisTemplate/t error: spec.metrics[1].provider: no provider specified: give one, for example prometheus
        2 AnalysisTemplate/t error: spec.metrics[1].successCondition: syntax: something is missing at the end
    "#]]
    .assert_eq(&findings(&[one, two, three], false));
}

#[test]
fn a_field_of_the_wrong_type_hides_no_other_problem() {
    let mut object = good();
    object["metadata"] = json!({});
    object["spec"]["replicas"] = "3".into();
    object["spec"]["selector"]["matchLabels"]["tier"] = 5.into();
    object["spec"]["strategy"]["canary"]["steps"] = json!([{ "setWeight": "x" }, "pause", { "setWeight": 101 }]);
    object["spec"]["template"]["spec"]["containers"][0]["lifecycle"] = json!(null);
    expect![[r#"
        1 Rollout/ error: metadata.name: is missing: an object needs a name
        1 Rollout/ error: spec.replicas: is the text `3`, must be an integer
        1 Rollout/ error: spec.selector.matchLabels.tier: is 5, must be a text (put it in quotes)
        1 Rollout/ error: spec.strategy.canary.steps[0].setWeight: is the text `x`, must be an integer
        1 Rollout/ error: spec.strategy.canary.steps[1]: is the text `pause`, must be an object
        1 Rollout/ error: spec.strategy.canary.steps[2].setWeight: SetWeight needs to be between 0 and 100
        1 Rollout/ warning: spec.template.spec.containers[0].lifecycle.preStop: is missing: without a pause (`preStop: {sleep: {seconds: 3}}`) a pod that is stopped still gets requests from proxies that do not know it yet, and they fail
    "#]].assert_eq(&findings(&[object], false));
}

#[test]
fn objects_that_are_named_must_be_there_and_fit() {
    let all = routed();
    let check = |what: &str, strict: bool, edit: &dyn Fn(&mut Vec<Value>), wanted: Expect| {
        let mut objects = all.clone();
        edit(&mut objects);
        wanted.assert_eq(&format!("{what}\n{}", findings(&objects, strict)));
    };
    check(
        "nothing else given",
        false,
        &|all| all.truncate(1),
        expect![[r#"
            nothing else given
            1 Rollout/x warning: spec.strategy.canary.canaryService: service "x-canary" not found in the given files
            1 Rollout/x warning: spec.strategy.canary.stableService: service "x-stable" not found in the given files
            1 Rollout/x warning: spec.strategy.canary.steps[1].analysis.templates[0].templateName: AnalysisTemplate 'errors' not found in the given files
            1 Rollout/x warning: spec.strategy.canary.trafficRouting: HTTPRoute x not found in the given files
        "#]],
    );
    check(
        "nothing else given, strict",
        true,
        &|all| all.truncate(1),
        expect![[r#"
            nothing else given, strict
            1 Rollout/x error: spec.strategy.canary.canaryService: service "x-canary" not found in the given files
            1 Rollout/x error: spec.strategy.canary.stableService: service "x-stable" not found in the given files
            1 Rollout/x error: spec.strategy.canary.steps[1].analysis.templates[0].templateName: AnalysisTemplate 'errors' not found in the given files
            1 Rollout/x error: spec.strategy.canary.trafficRouting: HTTPRoute x not found in the given files
        "#]],
    );
    check(
        "a Service of other pods",
        false,
        &|all| all[1]["spec"]["selector"] = json!({ "app": "y" }),
        expect![[r#"
        a Service of other pods
        1 Rollout/x error: spec.strategy.canary.stableService: Service "x-stable" has unmatch label "app" in rollout
    "#]],
    );
    check(
        "a Service of another namespace",
        false,
        &|all| {
            all[0]["metadata"]["namespace"] = "one".into();
            all[1]["metadata"]["namespace"] = "two".into();
        },
        expect![[r#"
        a Service of another namespace
        1 Rollout/x warning: spec.strategy.canary.stableService: service "x-stable" not found in the given files
    "#]],
    );
    check(
        "a route without the canary",
        false,
        &|all| {
            all[3]["spec"]["rules"][0]["backendRefs"].as_array_mut().unwrap().pop();
        },
        expect![[r#"
        a route without the canary
        1 Rollout/x error: spec.strategy.canary.trafficRouting: HTTPRoute x: spec.rules[0].backendRefs: has the stable Service `x-stable` and not the canary Service: add a backendRef `x-canary` with weight 0
    "#]],
    );
    check(
        "an argument that nobody gives",
        false,
        &|all| {
            all[0]["spec"]["strategy"]["canary"]["steps"][1]["analysis"]["args"] =
                json!([{ "name": "limmit", "value": "1" }]);
        },
        expect![[r#"
        an argument that nobody gives
        1 Rollout/x error: spec.strategy.canary.steps[1].analysis.args: the templates need the argument `limit`: give it a value here
        1 Rollout/x warning: spec.strategy.canary.steps[1].analysis.args[0].name: no template has the argument `limmit`: it has no effect
    "#]],
    );
    check(
        "the same object twice",
        false,
        &|all| all.push(all[4].clone()),
        expect![[r#"
        the same object twice
        6 AnalysisTemplate/errors warning: metadata.name: has the same name as document 5 of f: one of them replaces the other
    "#]],
    );
}

#[test]
fn manifests_that_work_and_lose_requests_are_warned_about() {
    check(
        "/spec/template/spec/containers/0",
        json!({ "name": "x", "image": "x:1" }),
        expect![[r#"
        1 Rollout/x warning: spec.template.spec.containers[0].lifecycle.preStop: is missing: without a pause (`preStop: {sleep: {seconds: 3}}`) a pod that is stopped still gets requests from proxies that do not know it yet, and they fail
        1 Rollout/x warning: spec.template.spec.containers[0].readinessProbe: is missing: a pod without it gets requests as soon as its process has started
    "#]],
    );
    check(
        "/spec/template/spec/terminationGracePeriodSeconds",
        3.into(),
        expect![[r#"
        1 Rollout/x warning: spec.template.spec.containers[0].lifecycle.preStop.sleep.seconds: is 3 s, and the pod is killed after 3 s: raise terminationGracePeriodSeconds
    "#]],
    );
    check(
        "/spec/template/spec/containers",
        json!([
            { "name": "proxy", "image": "p:1" },
            { "name": "x", "image": "x:1", "ports": [{ "containerPort": 80 }] },
        ]),
        expect![[r#"
        1 Rollout/x warning: spec.template.spec.containers[1].lifecycle.preStop: is missing: without a pause (`preStop: {sleep: {seconds: 3}}`) a pod that is stopped still gets requests from proxies that do not know it yet, and they fail
        1 Rollout/x warning: spec.template.spec.containers[1].readinessProbe: is missing: a pod without it gets requests as soon as its process has started
    "#]],
    );
    check(
        "/spec/replicas",
        1.into(),
        expect![[r#"
        1 Rollout/x warning: spec.strategy.canary.steps[0].setWeight: is 25, and 1 of 2 pods get 50 %: without trafficRouting the pods are the split, so raise replicas, or use a router
    "#]],
    );
    let steps = json!([
        { "setCanaryScale": { "replicas": 1 } },
        { "setWeight": 50 },
        { "setCanaryScale": { "matchTrafficWeight": true } },
        { "setWeight": 75 },
    ]);
    let mut objects = routed();
    objects[0]["spec"]["strategy"]["canary"]["steps"] = steps;
    expect![[r#"
        1 Rollout/x warning: spec.strategy.canary.steps[1]: the canary gets 50 % of the traffic with 1 of 4 pods, and 2 would carry it: raise setCanaryScale, or end it with `matchTrafficWeight: true`
    "#]].assert_eq(&findings(&objects, false));
    objects[0]["spec"]["strategy"]["canary"]["steps"] = json!([
        { "analysis": { "templates": [{ "templateName": "errors" }], "args": [{ "name": "limit", "value": "1" }] } },
        { "setWeight": 50 },
    ]);
    expect![[r#"
        1 Rollout/x warning: spec.strategy.canary.steps[0].analysis: runs before the new version has any pods or traffic: put a setWeight or setCanaryScale before it
    "#]].assert_eq(&findings(&objects, false));
    objects[0]["spec"]["strategy"]["canary"]["steps"] = json!([]);
    expect![[r#"
        1 Rollout/x warning: spec.strategy.canary.steps: is empty: the new version gets all traffic at once, and trafficRouting has nothing to do
    "#]].assert_eq(&findings(&objects, false));
}
