//! What is wrong with steps, analyses and templates of analyses.

use serde_json::{Value, json};
use sluice_crds::AnalysisTemplateSpec;

use super::{LATER, STEP, basic, canary, check, with};
use crate::validate::analysis_template;

#[test]
fn what_is_wrong_with_steps() {
    let at = "canary.steps[4]";
    let positive = format!("{at}.pause.duration: Duration needs to be greater than 0");
    let one_of_scale =
        format!("{at}.setCanaryScale: must have exactly one of weight, replicas and matchTrafficWeight: true");
    for (step, expected) in [
        (json!({}), format!("{at}: {STEP}")),
        (
            json!({ "setWeight": 20, "pause": {} }),
            format!("{at}: {STEP}; this step has setWeight and pause: make a step of each"),
        ),
        (
            json!({ "setWeight": 20, "setCanaryScale": { "replicas": 1 } }),
            format!("{at}: {STEP}; this step has setWeight and setCanaryScale: make a step of each"),
        ),
        (
            json!({ "setWeight": -1 }),
            format!("{at}.setWeight: SetWeight needs to be between 0 and 100"),
        ),
        (
            json!({ "setWeight": 101 }),
            format!("{at}.setWeight: SetWeight needs to be between 0 and 100"),
        ),
        (json!({ "pause": { "duration": -1 } }), positive.clone()),
        (json!({ "pause": { "duration": "-10s" } }), positive.clone()),
        (json!({ "pause": { "duration": "soon" } }), positive.clone()),
        (json!({ "pause": { "duration": "" } }), positive),
        (json!({ "setCanaryScale": {} }), one_of_scale.clone()),
        (
            json!({ "setCanaryScale": { "matchTrafficWeight": false } }),
            one_of_scale.clone(),
        ),
        (
            json!({ "setCanaryScale": { "weight": 5, "replicas": 1 } }),
            one_of_scale,
        ),
        (
            json!({ "setCanaryScale": { "replicas": -1 } }),
            format!("{at}.setCanaryScale.replicas: must be greater than or equal to 0"),
        ),
        (
            json!({ "plugin": { "name": "acme/step" } }),
            format!("{at}.plugin: plugin {LATER}"),
        ),
        (
            json!({ "experiment": { "templates": [] } }),
            format!("{at}.experiment: experiment {LATER}"),
        ),
        (
            json!({ "analysis": {} }),
            format!("{at}.analysis.templates: is empty: name at least one AnalysisTemplate"),
        ),
        (
            json!({ "analysis": { "templates": [{}] } }),
            format!("{at}.analysis.templates[0].templateName: name an AnalysisTemplate"),
        ),
    ] {
        check(with(canary(), "/spec/strategy/canary/steps/-", step), &[&expected]);
    }
    check(
        with(
            basic(),
            "/spec/strategy/canary/steps/-",
            json!({ "setCanaryScale": { "weight": 10 } }),
        ),
        &["canary.steps[2].setCanaryScale: SetCanaryScale requires TrafficRouting to be set"],
    );
}

#[test]
fn what_is_wrong_with_header_and_mirror_routes() {
    let no_match = "StringMatch value missed, match value must have one of the following: exact, regex, prefix";
    let many = "StringMatch match value must have exactly one of the following: exact, regex, prefix";
    let no_routes = "Rollout has missing field 'spec.strategy.canary.trafficRouting.managedRoutes'";
    let header = "canary.steps[2].setHeaderRoute";
    let mirror = "canary.steps[2].setMirrorRoute";
    let matching = |value: Value| json!({ "setHeaderRoute": { "name": "r", "match": [{ "headerName": "h", "headerValue": value }] } });
    check(
        with(
            basic(),
            "/spec/strategy/canary/steps/-",
            json!({ "setHeaderRoute": { "name": "r" } }),
        ),
        &[
            &format!("{header}: SetHeaderRoute requires TrafficRouting, supports Istio and ALB and Apisix"),
            &format!("{header}: {no_routes}"),
        ],
    );
    check(
        with(
            basic(),
            "/spec/strategy/canary/steps/-",
            json!({ "setMirrorRoute": { "name": "r" } }),
        ),
        &[
            &format!("{mirror}: SetMirrorRoute requires TrafficRouting, supports Istio and Plugins"),
            &format!("{mirror}: {no_routes}"),
        ],
    );
    let plugin = json!({
        "plugins": { "argoproj-labs/gatewayAPI": { "httpRoute": "web" } },
        "managedRoutes": [{ "name": "r" }],
    });
    let base = with(canary(), "/spec/strategy/canary/trafficRouting", plugin);
    let base = with(
        base,
        "/spec/strategy/canary/steps",
        json!([{ "setWeight": 1 }, { "setWeight": 2 }]),
    );
    for (step, expected) in [
        (
            matching(json!({})),
            format!("{header}.match[0].headerValue: {no_match}"),
        ),
        (
            matching(json!({ "exact": "a", "regex": "b" })),
            format!("{header}.match[0].headerValue: {many}"),
        ),
        (
            json!({ "setHeaderRoute": { "name": "other" } }),
            format!(
                "{header}.name: Steps define a route that does not exist in spec.strategy.canary.trafficRouting.managedRoutes"
            ),
        ),
    ] {
        check(with(base.clone(), "/spec/strategy/canary/steps/-", step), &[&expected]);
    }
    let alb = json!({ "alb": { "servicePort": 80 }, "managedRoutes": [{ "name": "r" }] });
    let alb = with(base.clone(), "/spec/strategy/canary/trafficRouting", alb);
    check(
        with(alb, "/spec/strategy/canary/steps/-", matching(json!({ "prefix": "a" }))),
        &[
            &format!("canary.trafficRouting.alb: alb {LATER}"),
            &format!(
                "{header}.match[0].headerValue: SetHeaderRoute match value invalid. ALB supports 'exact' value only"
            ),
        ],
    );
    for (part, expected) in [
        (json!({ "method": {} }), format!("{mirror}.match[0].method: {no_match}")),
        (
            json!({ "path": { "exact": "/", "prefix": "/" } }),
            format!("{mirror}.match[0].path: {many}"),
        ),
        (
            json!({ "headers": { "x": {} } }),
            format!("{mirror}.match[0].headers[x]: {no_match}"),
        ),
    ] {
        let step = json!({ "setMirrorRoute": { "name": "r", "match": [part] } });
        check(with(base.clone(), "/spec/strategy/canary/steps/-", step), &[&expected]);
    }
}

#[test]
fn header_and_mirror_routes_need_routers_that_have_them() {
    let nginx = json!({ "nginx": { "stableIngress": "web" }, "managedRoutes": [{ "name": "r" }] });
    let base = with(canary(), "/spec/strategy/canary/trafficRouting", nginx);
    let base = with(
        base,
        "/spec/strategy/canary/steps",
        json!([{ "setHeaderRoute": { "name": "r" } }]),
    );
    check(
        base,
        &[
            "canary.steps[0].setHeaderRoute: SetHeaderRoute requires TrafficRouting, supports Istio and ALB and Apisix",
            "canary.steps[0].setHeaderRoute: an Ingress has no such routes: take the step out, or use another router",
        ],
    );
}

#[test]
fn what_is_wrong_with_experiment_steps() {
    let template = json!({ "name": "a", "specRef": "canary", "weight": 5 });
    let experiment = json!({ "experiment": { "templates": [template] } });
    check(
        with(basic(), "/spec/strategy/canary/steps/-", experiment.clone()),
        &[
            "canary.steps[2].experiment.templates[0].weight: Experiment template weight cannot be set unless TrafficRouting is enabled",
            &format!("canary.steps[2].experiment: experiment {LATER}"),
        ],
    );
    check(
        with(canary(), "/spec/strategy/canary/steps/-", experiment),
        &[
            "canary.steps[4].experiment.templates[0].weight: Experiment template weight is only available for TrafficRouting with SMI, ALB, Istio and Plugins at this time",
            &format!("canary.steps[4].experiment: experiment {LATER}"),
        ],
    );
}

#[test]
fn what_is_wrong_with_arguments() {
    let at = "canary.analysis.args[0]";
    let metadata = "Analyses arguments must refer to valid object metadata supported by downwardAPI";
    let field = |path: &str| json!([{ "name": "a", "valueFrom": { "fieldRef": { "fieldPath": path } } }]);
    for (args, expected) in [
        (json!([{ "name": "" }]), format!("{at}.name: is empty")),
        (
            json!([{ "name": "a" }, { "name": "a" }]),
            "canary.analysis.args[1].name: another argument has this name".into(),
        ),
        (
            json!([{ "name": "a", "value": "1", "valueFrom": { "podTemplateHashValue": "Stable" } }]),
            format!("{at}: has both value and valueFrom: leave one out"),
        ),
        (
            json!([{ "name": "a", "valueFrom": {} }]),
            format!("{at}.valueFrom: must have exactly one of podTemplateHashValue and fieldRef"),
        ),
        (
            json!([{ "name": "a", "valueFrom": { "podTemplateHashValue": "Canary" } }]),
            format!("{at}.valueFrom.podTemplateHashValue: `Canary` is not a version: use Stable or Latest"),
        ),
        (
            field("metadata.generation"),
            format!("{at}.valueFrom.fieldRef.fieldPath: {metadata}"),
        ),
        (
            field("metadata.labels['']"),
            format!("{at}.valueFrom.fieldRef.fieldPath: {metadata}"),
        ),
        (field(""), format!("{at}.valueFrom.fieldRef.fieldPath: {metadata}")),
    ] {
        let analysis = json!({ "templates": [{ "templateName": "errors" }], "args": args });
        check(with(canary(), "/spec/strategy/canary/analysis", analysis), &[&expected]);
    }
    let negative = with(canary(), "/spec/strategy/canary/analysis/startingStep", json!(-1));
    check(
        negative,
        &["canary.analysis.startingStep: must be greater than or equal to 0"],
    );
}

#[test]
fn what_is_wrong_with_a_template_of_analyses() {
    let metric = |extra: Value| {
        let mut metric = json!({ "name": "errors", "provider": { "prometheus": { "query": "up" } } });
        metric
            .as_object_mut()
            .expect("an object")
            .extend(extra.as_object().expect("an object").clone());
        json!({ "metrics": [metric] })
    };
    let at = "spec.metrics[0]";
    for (spec, expected) in [
        (metric(json!({})), vec![]),
        (json!({ "templates": [{ "templateName": "other" }] }), vec![]),
        (json!({}), vec!["spec.metrics: no metrics specified".to_owned()]),
        (
            json!({ "templates": [{}] }),
            vec!["spec.templates[0].templateName: name an AnalysisTemplate".to_owned()],
        ),
        (
            metric(json!({ "count": 3 })),
            vec![format!("{at}: interval must be specified when count > 1")],
        ),
        (
            metric(json!({ "failureLimit": -2 })),
            vec![format!("{at}: failureLimit must be >= 0, or -1 to be disabled")],
        ),
        (
            metric(json!({ "inconclusiveLimit": -1 })),
            vec![format!("{at}: inconclusiveLimit must be >= 0")],
        ),
        (
            metric(json!({ "consecutiveErrorLimit": -1 })),
            vec![format!("{at}: consecutiveErrorLimit must be >= 0")],
        ),
        (
            metric(json!({ "consecutiveSuccessLimit": -1 })),
            vec![format!("{at}: consecutiveSuccessLimit must be >= 0")],
        ),
        (
            json!({ "metrics": metric(json!({}))["metrics"], "args": [{ "name": "a" }, { "name": "a" }] }),
            vec!["spec.args[1].name: another argument has this name".to_owned()],
        ),
        (
            json!({ "metrics": metric(json!({}))["metrics"], "args": [{ "name": "a", "valueFrom": {} }] }),
            vec!["spec.args[0].valueFrom: must have exactly one of secretKeyRef and fieldRef".to_owned()],
        ),
    ] {
        let spec: AnalysisTemplateSpec = serde_json::from_value(spec).expect("the CRD admits it");
        let found: Vec<_> = analysis_template(&spec).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn what_a_template_asks_for_and_is_not_served_is_named() {
    let spec = json!({ "metrics": [{ "name": "errors", "provider": { "plugin": { "acme/metric": {} } } }] });
    let spec: AnalysisTemplateSpec = serde_json::from_value(spec).expect("the CRD admits it");
    let found: Vec<_> = analysis_template(&spec).iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].starts_with("spec.metrics[0]: provider.plugin: there is no interface"),
        "{found:#?}"
    );
}
