//! A World that is built up row by row, and plans in a few words.

mod deadline;
mod decisions;
mod deleted;
mod kept;
mod named;
mod replicas;
mod runs;
mod switches;
mod takeover;
mod updates;

use std::collections::BTreeMap;

use expect_test::Expect;
use jiff::Timestamp;
use serde_json::{Value, json};
use sluice_crds::Rollout;
use sluice_traffic::{Dest, Moving, ObjectRef, Split, routers::service};

use crate::{Answer, Answered, Ask, Effect, Endpoints, Fact, Owner, Plan, ReplicaSet, Settings, World, decide, hash};

const START: &str = "2026-01-01T00:00:00Z";
const ROUTE: &str = "gateway.networking.k8s.io/v1";

/// A World that is built up row by row.
struct Scene {
    world: World,
    now: Timestamp,
}

fn template(version: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": "shop" } },
        "spec": { "containers": [{ "name": "shop", "image": format!("shop:{version}") }] },
    })
}

fn scene(replicas: u32, strategy: Value) -> Scene {
    let rollout: Rollout = serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": { "name": "shop", "namespace": "web", "uid": "u1", "resourceVersion": "100", "generation": 1 },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "shop" } },
            "template": template("v1"),
            "strategy": strategy,
        },
    }))
    .expect("a fixture");
    let world = World {
        rollout,
        replica_sets: Fact::Known(BTreeMap::new()),
        services: BTreeMap::new(),
        objects: BTreeMap::new(),
        templates: BTreeMap::new(),
        runs: Fact::Known(BTreeMap::new()),
        answers: BTreeMap::new(),
        incumbent: None,
        settings: Settings::default(),
        memory: crate::Memory::default(),
    };
    Scene {
        world,
        now: START.parse().expect("a time"),
    }
}

fn basic(steps: Value) -> Value {
    json!({ "canary": { "maxSurge": 1, "maxUnavailable": 0, "steps": steps } })
}

fn routed(steps: Value) -> Value {
    json!({ "canary": {
        "stableService": "stable",
        "canaryService": "canary",
        "trafficRouting": { "plugins": { "argoproj-labs/gatewayAPI": { "httpRoute": "shop", "namespace": "web" } } },
        "steps": steps,
    } })
}

fn blue_green() -> Value {
    json!({ "blueGreen": { "activeService": "stable", "previewService": "canary" } })
}

/// The pod template hash that a version gets.
fn hash_of(version: &str) -> String {
    hash::short(&template(version), 0)
}

impl Scene {
    fn at(mut self, seconds: i64) -> Self {
        let start: Timestamp = START.parse().expect("a time");
        self.now = start + jiff::SignedDuration::from_secs(seconds);
        self
    }

    fn version(mut self, version: &str) -> Self {
        self.world.rollout.spec.template = Some(template(version));
        let ask = Ask::Defaults {
            template: hash::canonical(&template(version)),
        };
        let answer = Answer::Defaults(Fact::Known(template(version)));
        self.world.answers.insert(ask, Answered { at: self.now, answer });
        self
    }

    fn spec(mut self, patch: Value) -> Self {
        let mut object = json!(self.world.rollout);
        crate::json::merge(&mut object, &json!({ "spec": patch }));
        self.world.rollout = serde_json::from_value(object).expect("a Rollout");
        self
    }

    fn status(mut self, status: Value) -> Self {
        let mut object = json!(self.world.rollout);
        crate::json::merge(&mut object, &json!({ "status": status }));
        self.world.rollout = serde_json::from_value(object).expect("a Rollout");
        self
    }

    /// A ReplicaSet of a version with so many pods wanted and available.
    fn set(mut self, version: &str, revision: u32, wanted: u32, available: u32) -> Self {
        let hash = hash_of(version);
        let name = format!("shop-{hash}");
        let annotations = BTreeMap::from([
            ("rollout.argoproj.io/revision".to_owned(), revision.to_string()),
            (
                "sluice.dev/pod-template".to_owned(),
                hash::canonical(&template(version)),
            ),
            ("rollout.argoproj.io/desired-replicas".to_owned(), wanted.to_string()),
        ]);
        let set = ReplicaSet {
            uid: format!("uid-{version}"),
            resource_version: "50".to_owned(),
            created_at: START.parse().expect("a time"),
            owner: Owner::Ours,
            hash,
            template: template(version),
            annotations,
            wanted,
            replicas: wanted,
            ready: available,
            available,
            settled: true,
            deleting: false,
            name: name.clone(),
        };
        if let Fact::Known(sets) = &mut self.world.replica_sets {
            sets.insert(name, set);
        }
        self
    }

    fn service(mut self, name: &str, version: Option<&str>) -> Self {
        let mut selector = json!({ "app": "shop" });
        let mut ready = BTreeMap::new();
        if let Some(version) = version {
            selector["rollouts-pod-template-hash"] = hash_of(version).into();
            ready.insert(hash_of(version), 10);
        }
        let value = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": name, "namespace": "web", "resourceVersion": "7" },
            "spec": { "selector": selector },
        });
        self.world.services.insert(name.to_owned(), Fact::Known(value));
        let ask = Ask::Endpoints {
            service: name.to_owned(),
            resource_version: "7".to_owned(),
        };
        let answer = Answer::Endpoints(Fact::Known(Endpoints { ready }));
        self.world.answers.insert(ask, Answered { at: self.now, answer });
        self
    }

    /// A Service that we have made to select a version some seconds after the start; its endpoints are read as these.
    fn switched(mut self, name: &str, version: &str, seconds: i64, ready: &[(&str, u32)]) -> Self {
        self = self.service(name, None);
        let Some(Fact::Known(value)) = self.world.services.get_mut(name) else {
            unreachable!("it was put there a moment ago");
        };
        let dest = Dest {
            service: name.to_owned(),
            revision: hash_of(version),
        };
        let start: Timestamp = START.parse().expect("a time");
        let moving = Moving {
            at: start + jiff::SignedDuration::from_secs(seconds),
            to: Split {
                total: 100,
                parts: BTreeMap::from([(dest, 100)]),
            },
            from: Vec::new(),
            rest: None,
        };
        let patch = service::edit(value, &hash_of(version), "shop", &moving).expect("a Service that can be switched");
        crate::json::merge(value, &patch.expect("it selects another version"));
        let ready = ready
            .iter()
            .map(|(version, count)| (hash_of(version), *count))
            .collect();
        let ask = Ask::Endpoints {
            service: name.to_owned(),
            resource_version: "7".to_owned(),
        };
        let answer = Answer::Endpoints(Fact::Known(Endpoints { ready }));
        self.world.answers.insert(ask, Answered { at: self.now, answer });
        self
    }

    /// Before it was switched, a Service selected this version.
    fn switched_from(mut self, name: &str, version: &str) -> Self {
        let Some(Fact::Known(value)) = self.world.services.get_mut(name) else {
            unreachable!("it was switched");
        };
        let record = &mut value["metadata"]["annotations"]["sluice.dev/moving"];
        let mut moving: Value = serde_json::from_str(record.as_str().expect("a text")).expect("a record");
        let dest = format!("{name}/{}", hash_of(version));
        moving["from"] = json!([{ "total": 100, "parts": { (dest): 100 } }]);
        *record = moving.to_string().into();
        self
    }

    /// A run of an earlier update, which was successful.
    fn past_run(mut self, name: &str) -> Self {
        let run = crate::Run {
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            resource_version: "60".to_owned(),
            created_at: START.parse().expect("a time"),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            phase: sluice_crds::AnalysisPhase::Successful,
            message: None,
            terminating: false,
        };
        if let Fact::Known(runs) = &mut self.world.runs {
            runs.insert(name.to_owned(), run);
        }
        self
    }

    fn route(mut self, canary: u32) -> Self {
        let parent = json!({ "name": "gateway" });
        let met = |type_: &str| json!({ "type": type_, "status": "True", "observedGeneration": 3, "reason": "", "message": "" });
        let value = json!({
            "apiVersion": ROUTE, "kind": "HTTPRoute",
            "metadata": { "name": "shop", "namespace": "web", "resourceVersion": "9", "generation": 3 },
            "spec": {
                "parentRefs": [parent],
                "rules": [{ "backendRefs": [
                    { "name": "stable", "port": 80, "weight": 100 - canary },
                    { "name": "canary", "port": 80, "weight": canary },
                ] }],
            },
            "status": { "parents": [{
                "parentRef": parent, "controllerName": "example.com/gateway",
                "conditions": [met("Accepted"), met("ResolvedRefs")],
            }] },
        });
        self.world.objects.insert(route(), Fact::Known(value));
        // Acknowledged long ago.
        self.world
            .memory
            .acknowledged
            .insert(route(), ("3".to_owned(), Timestamp::UNIX_EPOCH));
        self
    }
}

fn route() -> ObjectRef {
    ObjectRef {
        api_version: ROUTE.to_owned(),
        kind: "HTTPRoute".to_owned(),
        namespace: "web".to_owned(),
        name: "shop".to_owned(),
    }
}

/// A plan in a few words.
fn describe(plan: &Plan) -> String {
    let mut text = Vec::new();
    text.extend(plan.asks.iter().map(|ask| format!("ask {ask:?}")));
    if let Some(status) = plan.commit.as_ref().and_then(|commit| commit.status.as_ref()) {
        let status = &status["status"];
        let fields = [
            "currentStepIndex",
            "stableRS",
            "phase",
            "message",
            "abort",
            "abortedAt",
            "pauseConditions",
        ];
        for field in fields.iter().filter(|field| status.get(**field).is_some()) {
            text.push(format!("{field}={}", status[*field]));
        }
    }
    for effect in &plan.effects {
        text.push(match effect {
            Effect::CreateReplicaSet { object, .. } => format!("create {} pods", object["spec"]["replicas"]),
            Effect::PatchReplicaSet {
                name,
                replicas: Some((from, to)),
                ..
            } => format!("scale {name} {from}->{to}"),
            Effect::PatchReplicaSet { name, patch, .. } => format!("annotate {name} {}", patch["metadata"]),
            Effect::SwitchService { name, revision, .. } => format!("switch {name} to {revision}"),
            Effect::SetSplit { split, .. } => {
                let parts = split
                    .parts
                    .iter()
                    .map(|(dest, weight)| format!("{} {weight}", dest.service));
                format!("split {}", parts.collect::<Vec<_>>().join(" "))
            }
            other => format!("{other:?}"),
        });
    }
    if let Some(hold) = &plan.hold {
        text.push(format!("hold: {hold}"));
    }
    let mut text = text.join("\n");
    for version in ["v1", "v2", "v3"] {
        text = text.replace(&hash_of(version), version);
    }
    text
}

fn check(scene: &Scene, expected: &Expect) {
    let plan = decide(scene.now, &scene.world);
    assert_eq!(
        plan,
        decide(scene.now, &scene.world),
        "the same World gives the same Plan"
    );
    expected.assert_eq(&describe(&plan));
}

fn stable_on(version: &str, current: &str, index: u32) -> Value {
    json!({ "stableRS": hash_of(version), "currentPodHash": hash_of(current), "currentStepIndex": index })
}

/// The status knows the steps that the spec has.
fn with_steps(scene: Scene) -> Scene {
    let steps = scene
        .world
        .rollout
        .spec
        .strategy
        .as_ref()
        .and_then(|strategy| strategy.canary.as_ref());
    let steps_hash = hash::of_steps(&json!(steps.and_then(|canary| canary.steps.clone())));
    scene.status(json!({ "currentStepHash": steps_hash }))
}
