//! One table of everything that can be wrong, and one of what is right.

use serde_json::{Value, json};
use sluice_crds::{AnalysisTemplateSpec, Rollout};

use super::{analysis_template, rollout};

/// A right canary: HTTPRoutes, all kinds of steps that are served, analysis beside the steps.
fn canary() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": { "name": "web", "namespace": "shop" },
        "spec": {
            "replicas": 4,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "web", "image": "web:1" }] },
            },
            "strategy": { "canary": {
                "canaryService": "web-canary",
                "stableService": "web-stable",
                "trafficRouting": { "gatewayApi": { "httpRoute": "web" } },
                "analysis": { "templates": [{ "templateName": "errors" }], "startingStep": 1 },
                "steps": [
                    { "setWeight": 5 },
                    { "pause": { "duration": "10m" } },
                    { "setCanaryScale": { "weight": 50 } },
                    { "analysis": { "templates": [{ "templateName": "errors" }] } },
                ],
            } },
        },
    })
}

/// A right canary without routes.
fn basic() -> Value {
    with(
        canary(),
        "/spec/strategy/canary",
        json!({ "steps": [{ "setWeight": 20 }, { "pause": {} }] }),
    )
}

/// A right blue-green.
fn blue_green() -> Value {
    let strategy = json!({ "blueGreen": { "activeService": "web", "previewService": "web-preview" } });
    with(canary(), "/spec/strategy", strategy)
}

/// The object with another value at a place; `null` takes the place away. `-` after a list appends.
fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a place has a name");
    let parent = object
        .pointer_mut(parent)
        .unwrap_or_else(|| panic!("nothing at {parent}"));
    match parent {
        Value::Object(map) if value.is_null() => {
            map.remove(key);
        }
        Value::Object(map) => {
            map.insert(key.to_owned(), value);
        }
        Value::Array(list) if key == "-" => list.push(value),
        Value::Array(list) => list[key.parse::<usize>().expect("a place in a list is a number")] = value,
        other => panic!("{other} has no places"),
    }
    object
}

fn problems(object: Value) -> Vec<String> {
    let object: Rollout = serde_json::from_value(object).expect("the CRD admits it");
    rollout(&object).iter().map(ToString::to_string).collect()
}

/// Exactly these problems, each as `path: text`, with `spec.strategy.` left out before `canary` and `blueGreen`.
#[track_caller]
fn check(object: Value, expected: &[&str]) {
    let found: Vec<_> = problems(object)
        .iter()
        .map(|problem| problem.replace("spec.strategy.canary", "canary"))
        .collect();
    let found: Vec<_> = found
        .iter()
        .map(|problem| problem.replace("spec.strategy.blueGreen", "blueGreen"))
        .collect();
    assert_eq!(found, expected);
}

const STEP: &str = "Step must have one of the following set: experiment, setWeight, setCanaryScale, plugin or pause";
const SERVICES: &str = "Canary service and Stable service must to be set to use Traffic Routing";
const LATER: &str = "is not supported yet by this version of Sluice";

#[test]
fn right_rollouts_have_no_problem() {
    check(canary(), &[]);
    check(basic(), &[]);
    check(blue_green(), &[]);
    let plugin = json!({ "plugins": { "argoproj-labs/gatewayAPI": { "httpRoute": "web", "namespace": "shop" } } });
    check(with(canary(), "/spec/strategy/canary/trafficRouting", plugin), &[]);
    let background = json!({
        "templates": [{ "templateName": "errors", "clusterScope": true }],
        "args": [
            { "name": "a", "value": "" },
            { "name": "b", "valueFrom": { "podTemplateHashValue": "Latest" } },
            { "name": "c", "valueFrom": { "fieldRef": { "fieldPath": "metadata.labels['region']" } } },
            { "name": "d", "valueFrom": { "fieldRef": { "fieldPath": "status.canary.weights.canary.weight" } } },
        ],
        "analysisRunMetadata": { "labels": { "team": "shop" } },
    });
    check(with(canary(), "/spec/strategy/canary/analysis", background), &[]);
}

#[test]
fn values_that_ask_for_nothing_are_no_problem() {
    let canary_rows = [
        ("dynamicStableScale", json!(false)),
        ("canaryMetadata", json!({})),
        ("stableMetadata", json!({ "labels": {} })),
        ("maxSurge", json!("25")),
        ("maxUnavailable", json!("0%")),
        ("maxSurge", json!(0)),
        ("scaleDownDelaySeconds", json!(0)),
        ("abortScaleDownDelaySeconds", json!(0)),
        ("scaleDownDelayRevisionLimit", json!(2)),
        ("minPodsPerReplicaSet", json!(2)),
        ("steps", json!([])),
        (
            "steps",
            json!([{ "setWeight": 0 }, { "setWeight": 100 }, { "pause": { "duration": 0 } }]),
        ),
        (
            "steps",
            json!([{ "pause": { "duration": "90" } }, { "setCanaryScale": { "matchTrafficWeight": true } }]),
        ),
    ];
    for (field, value) in canary_rows {
        check(with(canary(), &format!("/spec/strategy/canary/{field}"), value), &[]);
    }
    let spec_rows = [
        ("paused", json!(true)),
        ("rollbackWindow", json!({})),
        ("replicas", json!(0)),
        ("revisionHistoryLimit", json!(0)),
        ("progressDeadlineAbort", json!(true)),
        ("analysis", json!({ "successfulRunHistoryLimit": 0 })),
    ];
    for (field, value) in spec_rows {
        check(with(canary(), &format!("/spec/{field}"), value), &[]);
    }
    for (field, value) in [
        ("autoPromotionEnabled", json!(false)),
        ("autoPromotionSeconds", json!(0)),
        ("scaleDownDelaySeconds", json!(60)),
        ("scaleDownDelayRevisionLimit", json!(10)),
        ("maxUnavailable", json!("50%")),
        ("activeMetadata", json!({})),
    ] {
        check(
            with(blue_green(), &format!("/spec/strategy/blueGreen/{field}"), value),
            &[],
        );
    }
}

#[test]
fn a_restart_that_was_carried_out_is_no_problem_and_a_new_one_is() {
    let asked = with(canary(), "/spec/restartAt", json!("2026-01-31T12:00:00Z"));
    check(asked.clone(), &[&format!("spec.restartAt: restartAt {LATER}")]);
    let done = with(asked, "/status", json!({ "restartedAt": "2026-01-31T12:00:00Z" }));
    check(done, &[]);
}

#[test]
fn what_is_wrong_beside_the_strategy() {
    let negative = "must be greater than or equal to 0";
    for (field, value, expected) in [
        ("replicas", json!(-1), format!("spec.replicas: {negative}")),
        (
            "minReadySeconds",
            json!(-1),
            format!("spec.minReadySeconds: {negative}"),
        ),
        (
            "revisionHistoryLimit",
            json!(-1),
            format!("spec.revisionHistoryLimit: {negative}"),
        ),
        (
            "analysis",
            json!({ "successfulRunHistoryLimit": -1 }),
            format!("spec.analysis.successfulRunHistoryLimit: {negative}"),
        ),
        (
            "analysis",
            json!({ "unsuccessfulRunHistoryLimit": -5 }),
            format!("spec.analysis.unsuccessfulRunHistoryLimit: {negative}"),
        ),
        (
            "minReadySeconds",
            json!(600),
            "spec.progressDeadlineSeconds: must be greater than minReadySeconds".into(),
        ),
        (
            "progressDeadlineSeconds",
            json!(0),
            "spec.progressDeadlineSeconds: must be greater than minReadySeconds".into(),
        ),
        (
            "selector",
            json!(null),
            "spec.selector: Rollout has missing field '.spec.selector'".into(),
        ),
        (
            "selector",
            json!({}),
            "spec.selector: empty selector is invalid for deployment".into(),
        ),
        (
            "template",
            json!(null),
            "spec.template: Rollout has missing field '.spec.template'".into(),
        ),
        (
            "strategy",
            json!(null),
            "spec.strategy: Rollout has missing field '.spec.strategy.canary or .spec.strategy.blueGreen'".into(),
        ),
        (
            "strategy",
            json!({}),
            "spec.strategy: Rollout has missing field '.spec.strategy.canary or .spec.strategy.blueGreen'".into(),
        ),
        (
            "strategy",
            json!({ "canary": {}, "blueGreen": { "activeService": "web" } }),
            "spec.strategy: Multiple Strategies can not be listed".into(),
        ),
        (
            "rollbackWindow",
            json!({ "revisions": 3 }),
            format!("spec.rollbackWindow: rollbackWindow {LATER}"),
        ),
    ] {
        check(with(canary(), &format!("/spec/{field}"), value), &[&expected]);
    }
}

#[test]
fn what_is_wrong_with_selector_and_template() {
    let labels = "spec.template.metadata.labels";
    for (place, value, expected) in [
        ("selector/matchLabels/app", json!("shop"), format!("{labels}: `selector` does not match template `labels`")),
        ("selector/matchLabels/app", json!("a b"), "spec.selector.matchLabels[app]: `a b` is no value of a label (invalid label selector)".into()),
        (
            "selector/matchExpressions",
            json!([{ "key": "app", "operator": "in", "values": ["web"] }]),
            "spec.selector.matchExpressions[0].operator: `in` is not a valid label selector operator: use In, NotIn, Exists or DoesNotExist (invalid label selector)".into(),
        ),
        (
            "selector/matchExpressions",
            json!([{ "key": "app", "operator": "In" }]),
            "spec.selector.matchExpressions[0].values: must be specified when `operator` is 'In' or 'NotIn' (invalid label selector)".into(),
        ),
        (
            "selector/matchExpressions",
            json!([{ "key": "app", "operator": "Exists", "values": ["web"] }]),
            "spec.selector.matchExpressions[0].values: may not be specified when `operator` is 'Exists' or 'DoesNotExist' (invalid label selector)".into(),
        ),
        (
            "selector/matchExpressions",
            json!([{ "key": "-app", "operator": "DoesNotExist" }]),
            "spec.selector.matchExpressions[0].key: is no label name such as app.kubernetes.io/name (invalid label selector)".into(),
        ),
        ("template/metadata", json!({}), format!("{labels}: `selector` does not match template `labels`")),
        ("template/metadata/labels", json!("web"), format!("{labels}: must be a map of texts")),
        ("template/metadata/labels/port", json!(80), format!("{labels}[port]: 80 with this key is not a label that a pod can have")),
        ("template/spec", json!(null), "spec.template.spec: is missing: it must say which containers to run".into()),
        ("template/spec/containers", json!([]), "spec.template.spec.containers: Required value: there must be at least one container".into()),
        ("template/spec/containers/0", json!({ "name": "web" }), "spec.template.spec.containers[0].image: Required value".into()),
        (
            "template/spec/containers/-",
            json!({ "name": "web", "image": "side:1" }),
            "spec.template.spec.containers[1].name: Duplicate value: another container has this name".into(),
        ),
        (
            "template/spec/restartPolicy",
            json!("Never"),
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"".into(),
        ),
        (
            "template/spec/activeDeadlineSeconds",
            json!(5),
            "spec.template.spec.activeDeadlineSeconds: activeDeadlineSeconds in ReplicaSet is not Supported".into(),
        ),
    ] {
        // A label that does not fit the expressions is not what these rows are about.
        let mut found = problems(with(canary(), &format!("/spec/{place}"), value));
        if place.starts_with("selector/matchExpressions") {
            found.retain(|problem| !problem.contains("does not match"));
        }
        if place == "selector/matchLabels/app" && found.len() > 1 {
            found.retain(|problem| !problem.contains("does not match"));
        }
        assert_eq!(found, [expected], "{place}");
    }
}

#[test]
fn what_is_wrong_with_a_reference_to_a_workload() {
    let reference = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" });
    let both = with(canary(), "/spec/workloadRef", reference.clone());
    let later = format!("spec.workloadRef: workloadRef {LATER}");
    check(
        both,
        &[
            "spec.template: template must be empty for workload reference rollout",
            &later,
        ],
    );
    let mut only = with(canary(), "/spec/workloadRef", reference);
    only = with(with(only, "/spec/template", json!(null)), "/spec/selector", json!(null));
    check(only.clone(), &[&later]);
    let other = with(
        only,
        "/spec/workloadRef",
        json!({ "apiVersion": "apps/v1", "kind": "DaemonSet" }),
    );
    check(
        other,
        &[
            "spec.workloadRef.kind: workload of type apps/v1/DaemonSet is not supported",
            "spec.workloadRef.name: is missing: name the workload",
            &later,
        ],
    );
}

#[test]
fn what_is_wrong_with_a_canary() {
    let same = "This rollout uses the same service for the stable and canary services, but two different services are required.";
    let number = "must be a number of pods such as 1, or a percentage such as \"25%\"";
    for (field, value, expected) in [
        (
            "stableService",
            json!("web-canary"),
            format!("canary.stableService: {same}"),
        ),
        (
            "canaryService",
            json!(null),
            format!("canary.canaryService: {SERVICES}"),
        ),
        ("stableService", json!(""), format!("canary.stableService: {SERVICES}")),
        ("maxSurge", json!("a lot"), format!("canary.maxSurge: {number}")),
        ("maxSurge", json!("25%%"), format!("canary.maxSurge: {number}")),
        (
            "maxUnavailable",
            json!("1.5"),
            format!("canary.maxUnavailable: {number}"),
        ),
        (
            "maxUnavailable",
            json!(-1),
            "canary.maxUnavailable: must be greater than or equal to 0".into(),
        ),
        (
            "maxSurge",
            json!("-5%"),
            "canary.maxSurge: must be greater than or equal to 0".into(),
        ),
        (
            "scaleDownDelaySeconds",
            json!(-1),
            "canary.scaleDownDelaySeconds: must be greater than or equal to 0".into(),
        ),
        (
            "abortScaleDownDelaySeconds",
            json!(-1),
            "canary.abortScaleDownDelaySeconds: must be greater than or equal to 0".into(),
        ),
        (
            "minPodsPerReplicaSet",
            json!(-1),
            "canary.minPodsPerReplicaSet: must be greater than or equal to 0".into(),
        ),
        (
            "dynamicStableScale",
            json!(true),
            format!("canary.dynamicStableScale: dynamicStableScale {LATER}"),
        ),
        (
            "canaryMetadata",
            json!({ "labels": { "a": "b" } }),
            format!("canary.canaryMetadata: canaryMetadata {LATER}"),
        ),
        (
            "stableMetadata",
            json!({ "annotations": { "a": "b" } }),
            format!("canary.stableMetadata: stableMetadata {LATER}"),
        ),
        (
            "replicaProgressThreshold",
            json!({ "type": "Percent", "value": 90 }),
            format!("canary.replicaProgressThreshold: replicaProgressThreshold {LATER}"),
        ),
        (
            "antiAffinity",
            json!({ "requiredDuringSchedulingIgnoredDuringExecution": {} }),
            format!("canary.antiAffinity: antiAffinity {LATER}"),
        ),
    ] {
        check(
            with(canary(), &format!("/spec/strategy/canary/{field}"), value),
            &[&expected],
        );
    }
    let both_zero = with(
        with(canary(), "/spec/strategy/canary/maxSurge", json!(0)),
        "/spec/strategy/canary/maxUnavailable",
        json!("0%"),
    );
    check(
        both_zero,
        &["canary.maxSurge: MaxSurge and MaxUnavailable both can not be zero"],
    );
}

#[test]
fn what_is_wrong_with_several_fields_of_a_canary_together() {
    let at = "/spec/strategy/canary";
    check(
        with(basic(), &format!("{at}/scaleDownDelaySeconds"), json!(0)),
        &["canary.scaleDownDelaySeconds: Canary scaleDownDelaySeconds can only be used with traffic routing"],
    );
    let later = format!("canary.dynamicStableScale: dynamicStableScale {LATER}");
    check(
        with(basic(), &format!("{at}/dynamicStableScale"), json!(true)),
        &[
            "canary.dynamicStableScale: Canary dynamicStableScale can only be used with traffic routing",
            &later,
        ],
    );
    let delayed = with(canary(), &format!("{at}/scaleDownDelaySeconds"), json!(30));
    check(
        with(delayed, &format!("{at}/dynamicStableScale"), json!(true)),
        &[
            "canary.dynamicStableScale: Canary dynamicStableScale cannot be used with scaleDownDelaySeconds",
            &later,
        ],
    );
    let affinity = "preferredDuringSchedulingIgnoredDuringExecution";
    let later = format!("canary.antiAffinity: antiAffinity {LATER}");
    check(
        with(canary(), &format!("{at}/antiAffinity"), json!({})),
        &[
            "canary.antiAffinity: AntiAffinity must have exactly one strategy listed",
            &later,
        ],
    );
    check(
        with(
            canary(),
            &format!("{at}/antiAffinity"),
            json!({ affinity: { "weight": 101 } }),
        ),
        &[
            &format!("canary.antiAffinity.{affinity}.weight: AntiAffinity weight must be between 1-100"),
            &later,
        ],
    );
}

#[test]
fn what_is_wrong_with_ping_pong() {
    let later = format!("canary.pingPong: pingPong {LATER}");
    let router = "canary.pingPong: Ping-pong feature works with the ALB, Istio, and plugin-based traffic routers only";
    for (value, expected) in [
        (
            json!({ "pingService": "a", "pongService": "" }),
            "Ping service and Pong service must to be set to use Ping-Pong feature",
        ),
        (
            json!({ "pingService": "a", "pongService": "a" }),
            "This rollout uses the same service for the ping and pong services, but two different services are required.",
        ),
    ] {
        let object = with(canary(), "/spec/strategy/canary/pingPong", value);
        check(object, &[&format!("canary.pingPong: {expected}"), router, &later]);
    }
    let alb = with(
        canary(),
        "/spec/strategy/canary/trafficRouting",
        json!({ "alb": { "servicePort": 80 } }),
    );
    check(
        with(
            alb,
            "/spec/strategy/canary/pingPong",
            json!({ "pingService": "a", "pongService": "b" }),
        ),
        &[
            "canary.trafficRouting.alb.rootService: Root service field is required for the configuration with ALB and ping-pong feature enabled",
            &format!("canary.trafficRouting.alb: alb {LATER}"),
            &later,
        ],
    );
}

#[test]
fn what_is_wrong_with_traffic_routing() {
    let at = "canary.trafficRouting";
    for (value, expected) in [
        (
            json!({}),
            format!("{at}: names no router: set gatewayApi, or leave trafficRouting out"),
        ),
        (json!({ "istio": {} }), format!("{at}.istio: istio {LATER}")),
        (
            json!({ "nginx": { "stableIngress": "web" } }),
            format!("{at}.nginx: nginx {LATER}"),
        ),
        (
            json!({ "alb": { "servicePort": 80 } }),
            format!("{at}.alb: alb {LATER}"),
        ),
        (json!({ "smi": {} }), format!("{at}.smi: smi {LATER}")),
        (
            json!({ "ambassador": { "mappings": [] } }),
            format!("{at}.ambassador: ambassador {LATER}"),
        ),
        (json!({ "appMesh": {} }), format!("{at}.appMesh: appMesh {LATER}")),
        (
            json!({ "traefik": { "weightedTraefikServiceName": "w" } }),
            format!("{at}.traefik: traefik {LATER}"),
        ),
        (json!({ "apisix": {} }), format!("{at}.apisix: apisix {LATER}")),
        (
            json!({ "plugins": { "acme/mesh": {} } }),
            format!("{at}.plugins[acme/mesh]: plugin acme/mesh {LATER}"),
        ),
        (
            json!({ "gatewayApi": { "httpRoute": "web" }, "maxTrafficWeight": 100 }),
            format!(
                "{at}.maxTrafficWeight: Canary maxTrafficWeight in traffic routing only supported in Nginx and Plugins"
            ),
        ),
        (
            json!({ "plugins": { "argoproj-labs/gatewayAPI": { "httpRoute": "web" } }, "maxTrafficWeight": 1000 }),
            format!("{at}.maxTrafficWeight: maxTrafficWeight {LATER}"),
        ),
        (
            json!({ "gatewayApi": { "httpRoute": "web", "drainSeconds": -1 } }),
            format!("{at}.gatewayApi.drainSeconds: must be greater than or equal to 0"),
        ),
    ] {
        check(
            with(canary(), "/spec/strategy/canary/trafficRouting", value),
            &[&expected],
        );
    }
}

#[test]
fn problems_of_the_gateway_api_name_its_fields() {
    for (value, path) in [
        (json!({ "gatewayApi": {} }), "gatewayApi.httpRoute"),
        (
            json!({ "gatewayApi": { "httpRoute": "Not A Name" } }),
            "gatewayApi.httpRoute",
        ),
        (
            json!({ "gatewayApi": { "httpRoute": "web", "namespace": "other" } }),
            "gatewayApi.namespace",
        ),
        (
            json!({ "plugins": { "argoproj-labs/gatewayAPI": { "grpcRoute": "web" } } }),
            "plugins[argoproj-labs/gatewayAPI].grpcRoute",
        ),
        (
            json!({ "plugins": { "argoproj-labs/gatewayAPI": { "httpRoute": "web", "namespace": "other" } } }),
            "plugins[argoproj-labs/gatewayAPI].namespace",
        ),
        (
            json!({ "plugins": { "argoproj-labs/gatewayAPI": "web" } }),
            "plugins[argoproj-labs/gatewayAPI]",
        ),
    ] {
        let found = problems(with(canary(), "/spec/strategy/canary/trafficRouting", value));
        let expected = format!("spec.strategy.canary.trafficRouting.{path}: ");
        assert!(
            found.iter().any(|problem| problem.starts_with(&expected)),
            "{path}: {found:#?}"
        );
    }
}

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
        (
            json!({ "analysis": { "templates": [{ "templateName": "a" }], "dryRun": [{ "metricName": "x" }] } }),
            format!("{at}.analysis.dryRun: dryRun {LATER}"),
        ),
        (
            json!({ "analysis": { "templates": [{ "templateName": "a" }], "measurementRetention": [{ "metricName": "x", "limit": 1 }] } }),
            format!("{at}.analysis.measurementRetention: measurementRetention {LATER}"),
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
    let no_routes = no_routes.replace("spec.strategy.canary", "canary");
    check(
        with(
            basic(),
            "/spec/strategy/canary/steps/-",
            json!({ "setHeaderRoute": { "name": "r" } }),
        ),
        &[
            &format!("{header}: SetHeaderRoute requires TrafficRouting, supports Istio and ALB and Apisix"),
            &format!("{header}: {no_routes}"),
            &format!("{header}: setHeaderRoute {LATER}"),
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
            &format!("{mirror}: setMirrorRoute {LATER}"),
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
    let later = format!("{header}: setHeaderRoute {LATER}");
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
            format!("{header}.name: Steps define a route that does not exist in canary.trafficRouting.managedRoutes"),
        ),
    ] {
        check(
            with(base.clone(), "/spec/strategy/canary/steps/-", step),
            &[&expected, &later],
        );
    }
    let later = format!("{mirror}: setMirrorRoute {LATER}");
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
        check(
            with(base.clone(), "/spec/strategy/canary/steps/-", step),
            &[&expected, &later],
        );
    }
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
fn what_is_wrong_with_blue_green() {
    let same = "This rollout uses the same service for the active and preview services, but two different services are required.";
    let history = "This rollout's revision history limit can not be smaller than the rollout's scale down limit";
    let run = json!({ "templates": [{ "templateName": "errors" }] });
    for (field, value, expected) in [
        (
            "previewService",
            json!("web"),
            format!("blueGreen.previewService: {same}"),
        ),
        (
            "activeService",
            json!(""),
            "blueGreen.activeService: Rollout has missing field '.blueGreen.activeService'".into(),
        ),
        (
            "scaleDownDelayRevisionLimit",
            json!(11),
            format!("blueGreen.scaleDownDelayRevisionLimit: {history}"),
        ),
        (
            "scaleDownDelaySeconds",
            json!(-1),
            "blueGreen.scaleDownDelaySeconds: must be greater than or equal to 0".into(),
        ),
        (
            "abortScaleDownDelaySeconds",
            json!(-1),
            "blueGreen.abortScaleDownDelaySeconds: must be greater than or equal to 0".into(),
        ),
        (
            "previewReplicaCount",
            json!(1),
            format!("blueGreen.previewReplicaCount: previewReplicaCount {LATER}"),
        ),
        (
            "autoPromotionSeconds",
            json!(30),
            format!("blueGreen.autoPromotionSeconds: autoPromotionSeconds {LATER}"),
        ),
        (
            "prePromotionAnalysis",
            run.clone(),
            format!("blueGreen.prePromotionAnalysis: prePromotionAnalysis {LATER}"),
        ),
        (
            "postPromotionAnalysis",
            run,
            format!("blueGreen.postPromotionAnalysis: postPromotionAnalysis {LATER}"),
        ),
        (
            "activeMetadata",
            json!({ "labels": { "a": "b" } }),
            format!("blueGreen.activeMetadata: activeMetadata {LATER}"),
        ),
        (
            "previewMetadata",
            json!({ "labels": { "a": "b" } }),
            format!("blueGreen.previewMetadata: previewMetadata {LATER}"),
        ),
        (
            "antiAffinity",
            json!({ "requiredDuringSchedulingIgnoredDuringExecution": {} }),
            format!("blueGreen.antiAffinity: antiAffinity {LATER}"),
        ),
    ] {
        check(
            with(blue_green(), &format!("/spec/strategy/blueGreen/{field}"), value),
            &[&expected],
        );
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let mut object = with(canary(), "/spec/replicas", json!(-1));
    object = with(object, "/spec/selector", json!(null));
    object = with(object, "/spec/strategy/canary/steps/0", json!({ "setWeight": 200 }));
    object = with(
        object,
        "/spec/strategy/canary/steps/1",
        json!({ "pause": { "duration": "soon" } }),
    );
    object = with(
        object,
        "/spec/strategy/canary/pingPong",
        json!({ "pingService": "a", "pongService": "b" }),
    );
    check(
        object,
        &[
            "spec.replicas: must be greater than or equal to 0",
            "spec.selector: Rollout has missing field '.spec.selector'",
            "canary.pingPong: Ping-pong feature works with the ALB, Istio, and plugin-based traffic routers only",
            "canary.steps[0].setWeight: SetWeight needs to be between 0 and 100",
            "canary.steps[1].pause.duration: Duration needs to be greater than 0",
            &format!("canary.pingPong: pingPong {LATER}"),
        ],
    );
}

#[test]
fn an_empty_rollout_has_problems_and_no_panic() {
    let found =
        problems(json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {}, "spec": {} }));
    assert_eq!(found.len(), 3, "{found:#?}");
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
fn providers_that_are_not_served_are_named() {
    for (provider, name) in [
        (json!({ "web": { "url": "http://x" } }), "web"),
        (json!({ "datadog": { "query": "x" } }), "datadog"),
        (json!({ "job": { "spec": {} } }), "job"),
        (json!({ "plugin": { "acme/metric": {} } }), "plugin"),
    ] {
        let spec = json!({ "metrics": [{ "name": "errors", "provider": provider }] });
        let spec: AnalysisTemplateSpec = serde_json::from_value(spec).expect("the CRD admits it");
        let found: Vec<_> = analysis_template(&spec).iter().map(ToString::to_string).collect();
        let named = |problem: &String| {
            problem.starts_with("spec.metrics[0]") && problem.contains(name) && problem.contains("not supported yet")
        };
        assert!(found.iter().any(named), "{name}: {found:#?}");
    }
}
