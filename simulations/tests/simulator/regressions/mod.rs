//! Faults that controllers of this kind have had, each played and its outcome named. The oracle looks at every write besides.
//!
//! By the numbers of the project's list of such faults:
//!
//! | number | what | where |
//! | --- | --- | --- |
//! | 1 | a crash between the last weight and the selector while stable is small | `crash_points`: `dynamic-stable-scale` |
//! | 2 | the data plane follows late | scenario `data-plane-slow` |
//! | 3 | a third version while stable is small | scenario `dynamic-stable-scale-superseded` |
//! | 4, 17, 18 | stable or new pods that do not start | [`broken`] |
//! | 5, 6, 7, 8 | commands at the wrong time | [`commands`] |
//! | 9, 10, 11 | events that come late or never, and others who write | [`events`], [`deadline`] |
//! | 19, 20, 21, 22, 25 | objects that somebody or something else has changed or left | [`objects`] |
//! | 24, 26 | sizes that change at step boundaries, and a canary without pods | [`sizes`] |
//!
//! 19 also has states that earlier versions left (`upgrade`), 22 the scenario `gitops-reapplies` for the weights of a route.

mod broken;
mod commands;
mod deadline;
mod events;
mod objects;
mod sizes;

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Value, json};
use sluice_simulations::{Change, Command, Key, Kind, Part, Played, Scenario, Writer};

/// Two pauses: one for a person, one for a time.
const STEPS: &str = "{setWeight: 20}, {pause: {}}, {setWeight: 60}, {pause: {duration: 20s}}";
/// The end of an update to the second version with 5 pods and [`STEPS`].
const UPDATED: &str = "step 4 | canary 0 stable 100 | r1=0 r2=5 | Healthy";
/// Aborts a minute after the last progress.
const DEADLINE: &str = "  progressDeadlineSeconds: 60\n  progressDeadlineAbort: true\n";

/// The Rollout `shop`, its Services and its route. `spec` are lines of its spec.
fn manifests(replicas: u32, spec: &str, strategy: &str) -> String {
    let mut manifests = format!(
        "apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {{name: shop, namespace: default}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: shop}}}}
  template:
    metadata: {{labels: {{app: shop}}}}
    spec: {{containers: [{{name: shop, image: \"shop:v1\", ports: [{{containerPort: 8080}}]}}]}}
{spec}  strategy:
    {strategy}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: shop, namespace: default}}
spec:
  parentRefs: [{{name: gateway}}]
  rules:
  - backendRefs: [{{name: shop-stable, port: 80, weight: 100}}, {{name: shop-canary, port: 80, weight: 0}}]
"
    );
    for name in ["shop-stable", "shop-canary"] {
        manifests = format!(
            "{manifests}---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: default}}
spec: {{selector: {{app: shop}}, ports: [{{port: 80, targetPort: 8080}}]}}
"
        );
    }
    manifests
}

/// A canary with a router. `settings` are more fields of its strategy.
fn canary(settings: &str, steps: &str) -> String {
    format!(
        "canary: {{stableService: shop-stable, canaryService: shop-canary, steps: [{steps}], \
         trafficRouting: {{plugins: {{argoproj-labs/gatewayAPI: {{httpRoute: shop, namespace: default}}}}}}{settings}}}"
    )
}

fn blue_green(settings: &str) -> String {
    format!("blueGreen: {{activeService: shop-stable, previewService: shop-canary{settings}}}")
}

/// A Rollout with a router and 5 pods, updated to the second version after a minute.
fn updated(name: &str, spec: &str, settings: &str, steps: &str) -> Scenario {
    let scenario = Scenario::new(name, manifests(5, spec, &canary(settings, steps)));
    scenario.through_route("shop").at(60, set_image("shop:v2"))
}

fn shop() -> String {
    "shop".to_owned()
}

fn set_image(image: &str) -> Command {
    Command::SetImage(shop(), image.to_owned())
}

fn rollout() -> Key {
    Key::new(Kind::Rollout, "default", "shop")
}

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// Plays a scenario that must come to rest and break nothing.
fn play(scenario: &Scenario, seed: u64) -> Played {
    let played = scenario.play(seed);
    let context = format!("{} seed {seed}", scenario.name);
    assert!(played.settled, "{context} does not settle: {}", played.last());
    assert_eq!(played.cluster.violations(), [], "{context}");
    played
}

/// The same, and no request is lost.
fn play_without_loss(scenario: &Scenario, seed: u64) -> Played {
    let played = play(scenario, seed);
    let totals = played.cluster.totals();
    assert!(
        totals.lost() == 0.0,
        "{} seed {seed} loses requests: {:?}",
        scenario.name,
        totals.losses
    );
    played
}

/// Everything that the controller has written from some time on, oldest first.
fn ours_from(played: &Played, from: SignedDuration) -> impl Iterator<Item = &Change> {
    let log = played.cluster.store().log().iter();
    log.filter(move |change| matches!(change.by, Writer::Controller(_)) && since_start(change) >= from)
}

fn ours(played: &Played) -> impl Iterator<Item = &Change> {
    ours_from(played, SignedDuration::ZERO)
}

fn since_start(change: &Change) -> SignedDuration {
    change.at.duration_since(sluice_simulations::START)
}

/// Whether a change is one of the field at a JSON pointer.
fn changes(change: &Change, pointer: &str) -> bool {
    let before = change.before.as_deref().and_then(|object| object.pointer(pointer));
    before != change.object.pointer(pointer)
}

/// How often the Rollout entered the pause of a step.
fn pauses_entered(played: &Played, step: u64) -> usize {
    let is_in = |object: &Value| {
        let status = &object["status"];
        status["controllerPause"] == true && status["currentStepIndex"] == step && status["pauseConditions"].is_array()
    };
    ours(played)
        .filter(|change| change.key == rollout())
        .filter(|change| is_in(&change.object) && !change.before.as_deref().is_some_and(is_in))
        .count()
}

/// The ReplicaSet of a revision.
fn set_of(played: &Played, revision: u64) -> Key {
    let number = revision.to_string();
    let mut sets = played.cluster.store().list(Kind::ReplicaSet);
    let found = sets.find(|(_, set)| set["metadata"]["annotations"]["rollout.argoproj.io/revision"] == number.as_str());
    found.expect("a ReplicaSet of this revision").0.clone()
}

/// Each size that the controller gave a ReplicaSet from some time on.
fn sizes_from(played: &Played, set: &Key, from: SignedDuration) -> Vec<u64> {
    ours_from(played, from)
        .filter(|change| change.key == *set && changes(change, "/spec/replicas"))
        .map(|change| change.object["spec"]["replicas"].as_u64().unwrap_or(1))
        .collect()
}

/// Each weight of the canary Service on the route from some time on, whoever wrote it.
fn weights_from(played: &Played, from: SignedDuration) -> Vec<u64> {
    let log = played.cluster.store().log().iter();
    log.filter(|change| change.key.kind == Kind::HttpRoute && since_start(change) >= from)
        .map(|change| weight(&change.object))
        .collect()
}

fn weight(route: &Value) -> u64 {
    let backends = route["spec"]["rules"][0]["backendRefs"].as_array();
    let mut backends = backends.into_iter().flatten();
    let canary = backends.find(|backend| backend["name"] == "shop-canary");
    canary.map_or(0, |canary| canary["weight"].as_u64().unwrap_or(1))
}

/// A merge patch of an object itself by kubectl.
fn patch(key: &Key, change: Value) -> Command {
    Command::Patch(key.clone(), Part::Main, Box::new(change))
}
