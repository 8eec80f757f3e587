//! What only other objects can tell.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use sluice_crds::AnalysisTemplateSpec;
use sluice_traffic::ObjectRef;

use super::{canary, with};
use crate::{Answer, Answered, Ask, Fact, Memory, Settings, TemplateRef, Why, World, hash, validate::references};

const AT: &str = "spec.strategy.canary";

fn service(labels: Value, annotations: Value) -> Fact<Value> {
    Fact::Known(json!({ "metadata": { "annotations": annotations }, "spec": { "selector": labels } }))
}

fn route() -> ObjectRef {
    ObjectRef {
        api_version: "gateway.networking.k8s.io/v1".to_owned(),
        kind: "HTTPRoute".to_owned(),
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
    }
}

fn errors(cluster_scope: bool, name: &str) -> TemplateRef {
    TemplateRef {
        cluster_scope,
        name: name.to_owned(),
    }
}

fn metrics(names: &[&str]) -> Value {
    let metrics = names
        .iter()
        .map(|name| json!({ "name": name, "provider": { "prometheus": { "query": "up" } } }));
    json!({ "metrics": metrics.collect::<Vec<_>>() })
}

/// Everything is there and right.
fn world() -> World {
    let ours = || service(json!({ "app": "web" }), json!({}));
    World {
        rollout: serde_json::from_value(canary()).expect("the CRD admits it"),
        replica_sets: Fact::Known(BTreeMap::new()),
        services: BTreeMap::from([("web-canary".to_owned(), ours()), ("web-stable".to_owned(), ours())]),
        objects: BTreeMap::from([(route(), Fact::Known(json!({})))]),
        templates: BTreeMap::new(),
        runs: Fact::Known(BTreeMap::new()),
        answers: BTreeMap::new(),
        incumbent: None,
        settings: Settings::default(),
        memory: Memory::default(),
    }
    .template("errors", metrics(&["errors"]))
}

impl World {
    fn template(mut self, name: &str, spec: Value) -> World {
        let spec: AnalysisTemplateSpec = serde_json::from_value(spec).expect("the CRD admits it");
        self.templates.insert(errors(false, name), Fact::Known(spec.into()));
        self
    }

    fn service(mut self, name: &str, fact: Fact<Value>) -> World {
        self.services.insert(name.to_owned(), fact);
        self
    }

    /// The Rollout with another value at a place.
    fn changed(mut self, pointer: &str, value: Value) -> World {
        let object = with(json!(self.rollout), pointer, value);
        self.rollout = serde_json::from_value(object).expect("the CRD admits it");
        self
    }

    fn answered(mut self, fact: Fact<Value>) -> World {
        let template = hash::canonical(self.rollout.spec.template.as_ref().expect("it has one"));
        let answered = Answered {
            at: Timestamp::UNIX_EPOCH,
            answer: Answer::Defaults(fact),
        };
        self.answers.insert(Ask::Defaults { template }, answered);
        self
    }
}

#[track_caller]
fn check(world: &World, expected: &[String]) {
    let found: Vec<String> = references(world).iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
}

#[test]
fn what_is_there_and_fits_is_no_problem() {
    check(&world(), &[]);
    let nested = json!({ "templates": [{ "templateName": "more" }] });
    check(
        &world().template("errors", nested).template("more", metrics(&["more"])),
        &[],
    );
    check(&world().answered(Fact::Known(json!({}))), &[]);
}

#[test]
fn what_could_not_be_read_is_no_problem_of_the_spec() {
    let unknown = || Fact::Unknown(Why::Forbidden);
    let mut world = world().service("web-canary", unknown()).answered(unknown());
    world.objects.insert(route(), Fact::Unknown(Why::NotInstalled));
    world
        .templates
        .insert(errors(false, "errors"), Fact::Unknown(Why::Syncing));
    check(&world, &[]);
}

#[test]
fn services_must_be_there_select_the_pods_and_be_nobody_elses() {
    let others = json!({ "argo-rollouts.argoproj.io/managed-by-rollouts": "other" });
    for (fact, problem) in [
        (Fact::Absent, "service \"web-canary\" not found"),
        (
            service(json!({ "app": "other" }), json!({})),
            "Service \"web-canary\" has unmatch label \"app\" in rollout",
        ),
        (
            service(json!({ "app": "web" }), others),
            "Service \"web-canary\" is managed by another Rollout",
        ),
    ] {
        check(
            &world().service("web-canary", fact),
            &[format!("{AT}.canaryService: {problem}")],
        );
    }
}

#[test]
fn routes_must_be_there() {
    let mut world = world();
    world.objects.insert(route(), Fact::Absent);
    check(&world, &[format!("{AT}.trafficRouting: HTTPRoute shop/web not found")]);
}

#[test]
fn templates_must_be_there_and_right() {
    // The Rollout names it in the background and in a step.
    let both = |problem: &str| {
        ["analysis", "steps[3].analysis"]
            .map(|analysis| format!("{AT}.{analysis}.templates[0].templateName: {problem}"))
    };
    let mut absent = world();
    absent.templates.insert(errors(false, "errors"), Fact::Absent);
    check(&absent, &both("AnalysisTemplate 'errors' not found"));
    let twice = "AnalysisTemplate 'errors': spec.metrics[1]: duplicate name 'a'";
    check(&world().template("errors", metrics(&["a", "a"])), &both(twice));
    let mut nested = world().template(
        "errors",
        json!({ "templates": [{ "templateName": "more", "clusterScope": true }] }),
    );
    nested.templates.insert(errors(true, "more"), Fact::Absent);
    check(&nested, &both("ClusterAnalysisTemplate 'more' not found"));
    nested.templates.insert(
        errors(true, "more"),
        Fact::Known(AnalysisTemplateSpec::default().into()),
    );
    check(
        &nested,
        &both("ClusterAnalysisTemplate 'more': spec.metrics: no metrics specified"),
    );
}

#[test]
fn templates_must_fit_together() {
    let both = |field: &str, problem: &str| {
        ["analysis", "steps[3].analysis"].map(|analysis| format!("{AT}.{analysis}{field}: {problem}"))
    };
    let mut spec = metrics(&["a"]);
    spec["templates"] = json!([{ "templateName": "more" }]);
    let same = world().template("errors", spec).template("more", metrics(&["a"]));
    check(&same, &both("", "two metrics have the same name 'a'"));
    let mut spec = metrics(&["a"]);
    spec["args"] = json!([{ "name": "url" }, { "name": "share", "value": "5" }]);
    let asks = world().template("errors", spec);
    check(
        &asks,
        &both(".args", "the templates need the argument `url`: give it a value here"),
    );
    let args = json!([{ "name": "url", "value": "http://web" }]);
    let background = json!({ "templates": [{ "templateName": "errors" }], "args": args });
    let given = asks
        .changed("/spec/strategy/canary/analysis", background.clone())
        .changed("/spec/strategy/canary/steps/3/analysis", background);
    check(&given, &[]);
}

#[test]
fn every_argument_needs_a_value_and_a_template_that_declares_it() {
    let mut spec = metrics(&["a", "b"]);
    spec["args"] = json!([{ "name": "url" }, { "name": "share" }]);
    spec["metrics"][0]["provider"]["prometheus"]["query"] = json!("{{args.url}} {{args.none}} {{args.typo}}");
    spec["metrics"][1]["interval"] = json!("{{args.none}}");
    let analysis = json!({ "templates": [{ "templateName": "errors" }], "args": [{ "name": "url" }] });
    let world = world()
        .template("errors", spec)
        .changed("/spec/strategy/canary/analysis", analysis)
        .changed("/spec/strategy/canary/steps", json!([{ "setWeight": 5 }]));
    let all = [
        "the templates need the argument `url`: give it a value here",
        "the templates need the argument `share`: give it a value here",
        "metric 'a': failed to resolve {{args.none}}: no template declares it",
        "metric 'a': failed to resolve {{args.typo}}: no template declares it",
        "metric 'b': failed to resolve {{args.none}}: no template declares it",
    ];
    check(&world, &all.map(|problem| format!("{AT}.analysis.args: {problem}")));
}

#[test]
fn rules_must_be_regular_expressions_for_metrics_of_the_analysis() {
    let analysis = |rules: Value| {
        let mut analysis = json!({ "templates": [{ "templateName": "errors" }] });
        crate::json::merge(&mut analysis, &rules);
        world()
            .changed("/spec/strategy/canary/analysis", analysis)
            .changed("/spec/strategy/canary/steps", json!([{ "setWeight": 5 }]))
    };
    check(&analysis(json!({ "dryRun": [{ "metricName": "err" }] })), &[]);
    check(&analysis(json!({ "dryRun": [{ "metricName": ".*" }] })), &[]);
    let wrong = analysis(json!({
        "dryRun": [{ "metricName": "^rate" }, { "metricName": "(" }],
        "measurementRetention": [{ "metricName": "rate", "limit": 5 }],
    }));
    let all = [
        "dryRun[0]: Rule didn't match any metric name(s)",
        "dryRun[1].metricName is not a regular expression of at most 10 KiB",
        "measurementRetention[0]: Rule didn't match any metric name(s)",
    ];
    check(&wrong, &all.map(|problem| format!("{AT}.analysis: {problem}")));
    let twice = analysis(json!({ "dryRun": [{ "metricName": "err" }, { "metricName": "err" }] }));
    check(
        &twice,
        &[format!(
            "{AT}.analysis: two Dry-Run metric rules have the same name 'err'"
        )],
    );
}

#[test]
fn what_the_api_server_refuses_is_a_problem_of_the_pod_template() {
    let refused = Fact::Unknown(Why::Refused(
        "spec.template.spec.containers[0].image: Required value".to_owned(),
    ));
    check(
        &world().answered(refused.clone()),
        &[
            "spec.template: the API server refuses it: spec.template.spec.containers[0].image: Required value"
                .to_owned(),
        ],
    );
    let mended = world()
        .answered(refused)
        .changed("/spec/template/spec/containers/0/image", json!("web:2"));
    check(&mended, &[]);
}

#[test]
fn a_metric_without_end_may_run_in_the_background_alone() {
    let metric = json!({ "name": "a", "interval": "10s", "provider": { "prometheus": { "query": "up" } } });
    let world = world().template("errors", json!({ "metrics": [metric] }));
    let expected = "AnalysisTemplate errors has metric a which runs indefinitely: give it a count";
    check(
        &world,
        &[format!("{AT}.steps[3].analysis.templates[0].templateName: {expected}")],
    );
}
