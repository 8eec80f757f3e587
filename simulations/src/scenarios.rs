//! The scenarios that every change of the machines must pass.

use crate::commands::Command;
use crate::models::Health;
use crate::scenario::Scenario;

const IMAGE: &str = "shop:v1";

fn rollout(replicas: u32, extra: &str, strategy: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {{name: shop, namespace: default}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: shop}}}}
  template:
    metadata: {{labels: {{app: shop}}}}
    spec: {{containers: [{{name: shop, image: \"{IMAGE}\", ports: [{{containerPort: 8080}}]}}]}}
{extra}  strategy:
{strategy}"
    )
}

fn service(name: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: default}}
spec: {{selector: {{app: shop}}, ports: [{{port: 80, targetPort: 8080}}]}}
"
    )
}

const ROUTE: &str = "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: default}
spec:
  parentRefs: [{name: gateway}]
  rules:
  - backendRefs: [{name: shop-stable, port: 80, weight: 100}, {name: shop-canary, port: 80, weight: 0}]
";

/// Fails when more than 1 % of the answers of the new version are errors.
const TEMPLATE: &str = "---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: errors, namespace: default}
spec:
  args: [{name: hash}]
  metrics:
  - name: error-rate
    interval: 5s
    count: 3
    successCondition: result[0] < 0.01
    provider:
      prometheus:
        address: http://prometheus.test
        query: error_rate{hash=\"{{args.hash}}\"}
";

const ANALYSIS: &str = "{analysis: {templates: [{templateName: errors}], args: [{name: hash, valueFrom: {podTemplateHashValue: Latest}}]}}";

fn routed(replicas: u32, extra: &str, steps: &str) -> String {
    let strategy = format!(
        "    canary:
      stableService: shop-stable
      canaryService: shop-canary
      trafficRouting: {{plugins: {{argoproj-labs/gatewayAPI: {{httpRoute: shop, namespace: default}}}}}}
      steps: [{steps}]
"
    );
    [
        &rollout(replicas, extra, &strategy),
        &service("shop-stable"),
        &service("shop-canary"),
        ROUTE,
        TEMPLATE,
    ]
    .map(str::to_owned)
    .concat()
}

fn set_image(image: &str) -> Command {
    Command::SetImage("shop".to_owned(), image.to_owned())
}

fn shop() -> String {
    "shop".to_owned()
}

/// A canary by replicas alone, with two steps.
pub fn basic() -> Scenario {
    let strategy = "    canary:
      maxSurge: 1
      maxUnavailable: 0
      steps: [{setWeight: 50}, {pause: {duration: 10s}}, {setWeight: 75}]
";
    let manifests = rollout(4, "", strategy) + &service("shop");
    Scenario::new("basic", manifests)
        .through_service("shop")
        .at(60, set_image("shop:v2"))
}

/// The same with a version that never becomes ready, aborted by the progress deadline.
pub fn basic_bad() -> Scenario {
    let strategy = "    canary:
      maxSurge: 1
      maxUnavailable: 0
      steps: [{setWeight: 50}, {pause: {duration: 10s}}]
";
    let extra = "  progressDeadlineSeconds: 60\n  progressDeadlineAbort: true\n";
    let manifests = rollout(4, extra, strategy) + &service("shop");
    let scenario = Scenario::new("basic-bad", manifests)
        .through_service("shop")
        .at(60, set_image("shop:v2"));
    scenario.health("shop:v2", Health::NeverReady)
}

fn stepped(name: &str) -> Scenario {
    let steps = [5, 25, 50]
        .map(|weight| format!("{{setWeight: {weight}}}, {ANALYSIS}"))
        .join(", ");
    Scenario::new(name, routed(4, "", &steps))
        .through_route("shop")
        .at(60, set_image("shop:v2"))
}

/// 5, 25, 50, 100 % through an HTTPRoute, each judged by an analysis that finds nothing.
pub fn routed_good() -> Scenario {
    stepped("routed-good").error_rate("shop:v2", 0.001)
}

/// The same with a version that answers 5 % with errors.
pub fn routed_bad() -> Scenario {
    stepped("routed-bad").error_rate("shop:v2", 0.05)
}

fn paused(name: &str) -> Scenario {
    let steps = "{setWeight: 20}, {pause: {}}, {setWeight: 60}, {pause: {duration: 20s}}";
    Scenario::new(name, routed(5, "", steps))
        .through_route("shop")
        .at(60, set_image("shop:v2"))
}

/// A pause without an end, promoted by a person.
pub fn promoted() -> Scenario {
    paused("promoted").at(120, Command::Promote(shop()))
}

/// All steps skipped by a person.
pub fn promoted_fully() -> Scenario {
    paused("promoted-fully").at(120, Command::PromoteFull(shop()))
}

/// Aborted while paused, tried again later, and promoted.
pub fn aborted_and_retried() -> Scenario {
    let scenario = paused("aborted-and-retried")
        .at(120, Command::Abort(shop()))
        .at(240, Command::Retry(shop()));
    scenario.at(300, Command::Promote(shop()))
}

/// A third version comes while the second is at 20 %.
pub fn superseded() -> Scenario {
    paused("superseded")
        .at(120, set_image("shop:v3"))
        .at(240, Command::Promote(shop()))
}

/// The stable version is set again while the second is at 20 %.
pub fn rolled_back() -> Scenario {
    paused("rolled-back").at(120, set_image(IMAGE))
}

/// More, then fewer pods while the second version is at 20 %.
pub fn scaled() -> Scenario {
    let scenario = paused("scaled")
        .at(100, Command::Scale(shop(), 10))
        .at(150, Command::Scale(shop(), 3));
    scenario.at(200, Command::Promote(shop()))
}

/// A version that crashes again and again is aborted by the progress deadline.
pub fn crash_loop() -> Scenario {
    let extra = "  minReadySeconds: 10\n  progressDeadlineSeconds: 90\n  progressDeadlineAbort: true\n";
    let steps = "{setWeight: 20}, {pause: {duration: 20s}}";
    let scenario = Scenario::new("crash-loop", routed(5, extra, steps)).through_route("shop");
    scenario
        .at(60, set_image("shop:v2"))
        .health("shop:v2", Health::CrashesAfter(3_000))
}

fn blue_green(name: &str, settings: &str) -> Scenario {
    let strategy = format!("    blueGreen: {{activeService: shop-active, previewService: shop-preview{settings}}}\n");
    let manifests = rollout(3, "", &strategy) + &service("shop-active") + &service("shop-preview");
    Scenario::new(name, manifests)
        .through_service("shop-active")
        .at(60, set_image("shop:v2"))
}

/// Blue-green that switches by itself.
pub fn blue_green_switched() -> Scenario {
    blue_green("blue-green-switched", "")
}

/// Blue-green that a person promotes.
pub fn blue_green_promoted() -> Scenario {
    blue_green("blue-green-promoted", ", autoPromotionEnabled: false").at(120, Command::Promote(shop()))
}

/// Blue-green that is aborted before the switch.
pub fn blue_green_aborted() -> Scenario {
    blue_green("blue-green-aborted", ", autoPromotionEnabled: false").at(120, Command::Abort(shop()))
}

/// Blue-green, switched and then set back to the first version.
pub fn blue_green_rolled_back() -> Scenario {
    blue_green("blue-green-rolled-back", "").at(75, set_image(IMAGE))
}

/// All of them.
pub fn all() -> Vec<Scenario> {
    vec![
        basic(),
        basic_bad(),
        routed_good(),
        routed_bad(),
        promoted(),
        promoted_fully(),
        aborted_and_retried(),
        superseded(),
        rolled_back(),
        scaled(),
        crash_loop(),
        blue_green_switched(),
        blue_green_promoted(),
        blue_green_aborted(),
        blue_green_rolled_back(),
    ]
}
