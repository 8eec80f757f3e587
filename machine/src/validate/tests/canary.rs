//! What is wrong with a strategy and its routers.

use serde_json::json;

use super::{LATER, SERVICES, basic, blue_green, canary, check, problems, with};

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
            "canaryMetadata",
            json!({ "labels": { "app": "b" } }),
            "canary.canaryMetadata.labels[app]: is a label of spec.selector: pods would no longer be found".into(),
        ),
        (
            "stableMetadata",
            json!({ "annotations": { "a b": "c" } }),
            "canary.stableMetadata.annotations[a b]: is no name of an annotation".into(),
        ),
        (
            "replicaProgressThreshold",
            json!({ "type": "Percent", "value": 101 }),
            "canary.replicaProgressThreshold.value: must be a percentage from 0 to 100".into(),
        ),
        (
            "replicaProgressThreshold",
            json!({ "type": "Share", "value": 1 }),
            "canary.replicaProgressThreshold.type: must be Percent or Pods".into(),
        ),
        (
            "minPodsPerReplicaSet",
            json!(-1),
            "canary.minPodsPerReplicaSet: must be greater than or equal to 0".into(),
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
    check(
        with(basic(), &format!("{at}/dynamicStableScale"), json!(true)),
        &["canary.dynamicStableScale: Canary dynamicStableScale can only be used with traffic routing"],
    );
    let delayed = with(canary(), &format!("{at}/scaleDownDelaySeconds"), json!(30));
    check(
        with(delayed, &format!("{at}/dynamicStableScale"), json!(true)),
        &["canary.dynamicStableScale: Canary dynamicStableScale cannot be used with scaleDownDelaySeconds"],
    );
    let affinity = "preferredDuringSchedulingIgnoredDuringExecution";
    check(
        with(canary(), &format!("{at}/antiAffinity"), json!({})),
        &["canary.antiAffinity: AntiAffinity must have exactly one strategy listed"],
    );
    check(
        with(
            canary(),
            &format!("{at}/antiAffinity"),
            json!({ affinity: { "weight": 101 } }),
        ),
        &[&format!(
            "canary.antiAffinity.{affinity}.weight: AntiAffinity weight must be between 1-100"
        )],
    );
}

#[test]
fn what_is_wrong_with_ping_pong() {
    let right = json!({ "pingService": "a", "pongService": "b" });
    check(
        with(basic(), "/spec/strategy/canary/pingPong", right),
        &["canary.pingPong: Ping-pong feature works with the ALB, Istio, and plugin-based traffic routers only"],
    );
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
        check(object, &[&format!("canary.pingPong: {expected}")]);
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
        (
            json!({ "istio": {} }),
            format!("{at}.istio: either VirtualService or VirtualServices must be configured"),
        ),
        (
            json!({ "nginx": { "stableIngress": "web", "stableIngresses": ["web"] } }),
            format!("{at}.nginx: Either StableIngress or StableIngresses must be configured. Both are configured."),
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
            json!({ "istio": { "virtualService": { "name": "web" } }, "maxTrafficWeight": 100 }),
            format!(
                "{at}.maxTrafficWeight: Canary maxTrafficWeight in traffic routing only supported in Nginx and Plugins"
            ),
        ),
        (
            json!({ "plugins": { "argoproj-labs/gatewayAPI": { "httpRoute": "web" } }, "maxTrafficWeight": 0 }),
            format!("{at}.maxTrafficWeight: is 0: set it to a number from 1 to 1000000"),
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
        (
            json!({ "gatewayApi": { "httpRoute": "web", "drainSeconds": -1 } }),
            "gatewayApi.drainSeconds",
        ),
        (
            json!({ "gatewayApi": { "httpRoute": "web", "ackTimeoutSeconds": -1 } }),
            "gatewayApi.ackTimeoutSeconds",
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
fn what_is_wrong_with_blue_green() {
    let same = "This rollout uses the same service for the active and preview services, but two different services are required.";
    let history = "This rollout's revision history limit can not be smaller than the rollout's scale down limit";
    for (field, value, expected) in [
        (
            "previewService",
            json!("web"),
            format!("blueGreen.previewService: {same}"),
        ),
        (
            "activeService",
            json!(""),
            "blueGreen.activeService: Rollout has missing field '.spec.strategy.blueGreen.activeService'".into(),
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
            "previewReplicaCount",
            json!(-1),
            "blueGreen.previewReplicaCount: must be greater than or equal to 0".into(),
        ),
        (
            "autoPromotionSeconds",
            json!(-1),
            "blueGreen.autoPromotionSeconds: must be greater than or equal to 0".into(),
        ),
        (
            "previewMetadata",
            json!({ "labels": { "app": "b" } }),
            "blueGreen.previewMetadata.labels[app]: is a label of spec.selector: pods would no longer be found".into(),
        ),
        (
            "abortScaleDownDelaySeconds",
            json!(-1),
            "blueGreen.abortScaleDownDelaySeconds: must be greater than or equal to 0".into(),
        ),
        (
            "prePromotionAnalysis",
            json!({ "templates": [] }),
            "blueGreen.prePromotionAnalysis.templates: is empty: name at least one AnalysisTemplate".into(),
        ),
        (
            "postPromotionAnalysis",
            json!({ "templates": [] }),
            "blueGreen.postPromotionAnalysis.templates: is empty: name at least one AnalysisTemplate".into(),
        ),
    ] {
        check(
            with(blue_green(), &format!("/spec/strategy/blueGreen/{field}"), value),
            &[&expected],
        );
    }
}
