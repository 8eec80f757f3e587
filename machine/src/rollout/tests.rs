use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use jiff::Timestamp;
use serde_json::{Value, json};
use sluice_crds::Rollout;
use sluice_traffic::ObjectRef;

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
        routes: BTreeMap::new(),
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
        self.world.routes.insert(route(), Fact::Known(value));
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
    let steps_hash = hash::short(&json!(steps.and_then(|canary| canary.steps.clone())), 0);
    scene.status(json!({ "currentStepHash": steps_hash }))
}

#[test]
fn the_first_version_comes_up_without_steps() {
    let first = || scene(2, basic(json!([{ "setWeight": 50 }, { "pause": {} }])));
    check(
        &first(),
        &expect![[r#"
        currentStepIndex=0
        phase="Progressing"
        message="more replicas need to be updated"
        create 2 pods
        hold: 0 of 2 pods of the new ReplicaSet shop-v1 are available"#]],
    );
    check(
        &first().set("v1", 1, 2, 2),
        &expect![[r#"
        currentStepIndex=2
        stableRS="v1"
        phase="Healthy""#]],
    );
}

#[test]
fn a_canary_without_router_grows_before_stable_shrinks() {
    let steps = json!([{ "setWeight": 50 }, { "pause": {} }]);
    let update = || {
        with_steps(
            scene(2, basic(steps.clone()))
                .version("v2")
                .status(stable_on("v1", "v2", 0)),
        )
    };
    check(
        &update().set("v1", 1, 2, 2),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        create 1 pods
        hold: 0 of 1 pods of the new ReplicaSet shop-v2 are available"#]],
    );
    check(
        &update().set("v1", 1, 2, 2).set("v2", 2, 1, 0),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        hold: 0 of 1 pods of the new ReplicaSet shop-v2 are available"#]],
    );
    check(
        &update().set("v1", 1, 2, 2).set("v2", 2, 1, 1),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        scale shop-v1 2->1
        hold: 1 pods of the old ReplicaSet shop-v1 are still there"#]],
    );
    check(
        &update().set("v1", 1, 1, 1).set("v2", 2, 1, 1),
        &expect![[r#"
        currentStepIndex=1
        phase="Paused"
        message="CanaryPauseStep"
        pauseConditions=[{"reason":"CanaryPauseStep","startTime":"2026-01-01T00:00:00Z"}]"#]],
    );
}

#[test]
fn a_pause_ends_when_its_time_is_over_or_when_it_is_taken_away() {
    let steps = json!([{ "pause": { "duration": "10s" } }, { "pause": {} }]);
    let pause = json!([{ "reason": "CanaryPauseStep", "startTime": START }]);
    let paused = |index: u32| {
        let status = json!({ "pauseConditions": pause, "controllerPause": true });
        let update = with_steps(
            scene(2, basic(steps.clone()))
                .version("v2")
                .status(stable_on("v1", "v2", index)),
        );
        update.status(status).set("v1", 1, 2, 2)
    };
    check(
        &paused(0).at(9),
        &expect![[r#"
        phase="Paused"
        message="CanaryPauseStep"
        create 0 pods
        hold: paused (CanaryPauseStep) until 2026-01-01T00:00:10Z"#]],
    );
    check(
        &paused(0).at(10),
        &expect![[r#"
        currentStepIndex=1
        phase="Paused"
        message="CanaryPauseStep"
        pauseConditions=[{"reason":"CanaryPauseStep","startTime":"2026-01-01T00:00:10Z"}]
        create 0 pods"#]],
    );
    check(
        &paused(1).at(1000),
        &expect![[r#"
        phase="Paused"
        message="CanaryPauseStep"
        create 0 pods
        hold: paused (CanaryPauseStep) until it is promoted"#]],
    );
    check(
        &paused(1).at(1000).status(json!({ "pauseConditions": null })),
        &expect![[r#"
            currentStepIndex=2
            phase="Progressing"
            message="more replicas need to be updated"
            create 1 pods
            hold: 0 of 2 pods of the new ReplicaSet shop-v2 are available"#]],
    );
    check(
        &paused(1).at(1000).spec(json!({ "paused": true })),
        &expect![[r#"
        phase="Paused"
        message="manually paused"
        hold: spec.paused is true: set it to false to go on"#]],
    );
}

#[test]
fn weight_follows_pods_and_endpoints() {
    let steps = json!([{ "setWeight": 25 }, { "setWeight": 50 }, { "pause": {} }]);
    let update = |index: u32, canary: u32| {
        let update = scene(4, routed(steps.clone()))
            .version("v2")
            .status(stable_on("v1", "v2", index));
        with_steps(update).service("stable", Some("v1")).route(canary)
    };
    let on_canary = |scene: Scene| scene.service("canary", Some("v2"));
    let idle = |scene: Scene| scene.service("canary", Some("v1"));
    // The canary comes up; its Service still selects stable.
    check(
        &idle(update(0, 0)).set("v1", 1, 4, 4),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        create 1 pods
        hold: 0 of 1 pods of the new ReplicaSet shop-v2 are available"#]],
    );
    check(
        &idle(update(0, 0)).set("v1", 1, 4, 4).set("v2", 2, 1, 0),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        hold: 0 of 1 pods of the new ReplicaSet shop-v2 are available"#]],
    );
    check(
        &idle(update(0, 0)).set("v1", 1, 4, 4).set("v2", 2, 1, 1),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        switch canary to v2"#]],
    );
    // The Service selects it, and the weight follows.
    check(
        &on_canary(update(0, 0)).set("v1", 1, 4, 4).set("v2", 2, 1, 1),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        split canary 25 stable 75"#]],
    );
    check(
        &on_canary(update(0, 25)).set("v1", 1, 4, 4).set("v2", 2, 1, 1),
        &expect![[r#"
        currentStepIndex=1
        phase="Progressing"
        message="more replicas need to be updated"
        scale shop-v2 1->2
        hold: 1 of 2 pods of the new ReplicaSet shop-v2 are available"#]],
    );
    // The next step needs a second pod first.
    check(
        &on_canary(update(1, 25)).set("v1", 1, 4, 4).set("v2", 2, 1, 1),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        scale shop-v2 1->2
        hold: 1 of 2 pods of the new ReplicaSet shop-v2 are available"#]],
    );
    // A canary without any pod loses its weight at once.
    check(
        &on_canary(update(1, 25)).set("v1", 1, 4, 4).set("v2", 2, 2, 0),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        split canary 0 stable 100
        hold: 0 of 2 pods of the new ReplicaSet shop-v2 are available"#]],
    );
}

#[test]
fn an_abort_gives_stable_what_it_can_carry() {
    let steps = json!([{ "setWeight": 50 }, { "pause": {} }]);
    let aborted = |canary: u32, stable: u32, new: u32| {
        let update = scene(4, routed(steps.clone()))
            .version("v2")
            .status(stable_on("v1", "v2", 1));
        let update = with_steps(update).status(json!({ "abort": true, "abortedAt": START, "currentStepIndex": 0 }));
        let update = update
            .service("stable", Some("v1"))
            .service("canary", Some("v2"))
            .route(canary);
        update.set("v1", 1, 4, stable).set("v2", 2, 2, new)
    };
    check(
        &aborted(50, 4, 2),
        &expect![[r#"
        phase="Degraded"
        message="RolloutAborted: Rollout aborted update to revision 2"
        split canary 0 stable 100
        hold: the update was aborted: retry it, or change the pod template"#]],
    );
    check(
        &aborted(50, 2, 2),
        &expect![[r#"
        phase="Degraded"
        message="RolloutAborted: Rollout aborted update to revision 2"
        hold: 2 of 3 pods of the stable ReplicaSet shop-v1 are available"#]],
    );
    check(
        &aborted(50, 0, 2),
        &expect![[r#"
        phase="Degraded"
        message="RolloutAborted: Rollout aborted update to revision 2"
        hold: 0 of 3 pods of the stable ReplicaSet shop-v1 are available"#]],
    );
    check(
        &aborted(50, 0, 0),
        &expect![[r#"
        phase="Degraded"
        message="RolloutAborted: Rollout aborted update to revision 2"
        split canary 0 stable 100
        hold: the update was aborted: retry it, or change the pod template"#]],
    );
    check(
        &aborted(0, 4, 2),
        &expect![[r#"
        phase="Degraded"
        message="RolloutAborted: Rollout aborted update to revision 2"
        switch canary to v1
        hold: the update was aborted: retry it, or change the pod template"#]],
    );
}

#[test]
fn a_newer_template_takes_over_without_leaving_the_older_canary_short() {
    let steps = json!([{ "setWeight": 50 }, { "pause": {} }]);
    let superseded = |canary: u32, on: &str, new: u32| {
        let update = scene(4, routed(steps.clone()))
            .version("v3")
            .status(stable_on("v1", "v3", 0));
        let update = with_steps(update)
            .service("stable", Some("v1"))
            .service("canary", Some(on))
            .route(canary);
        update.set("v1", 1, 4, 4).set("v2", 2, 2, 2).set("v3", 3, 2, new)
    };
    check(
        &superseded(50, "v2", 0),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        split canary 0 stable 100
        hold: 0 of 2 pods of the new ReplicaSet shop-v3 are available"#]],
    );
    check(
        &superseded(0, "v2", 0),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        scale shop-v2 2->1
        hold: 0 of 2 pods of the new ReplicaSet shop-v3 are available"#]],
    );
    check(
        &superseded(0, "v2", 2),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        switch canary to v3"#]],
    );
    check(
        &superseded(0, "v3", 2),
        &expect![[r#"
        phase="Progressing"
        message="more replicas need to be updated"
        split canary 50 stable 50"#]],
    );
}

#[test]
fn a_complete_update_moves_the_stable_service_first_and_scales_down_last() {
    let steps = json!([{ "setWeight": 100 }]);
    let complete = |stable: &str, canary: u32| {
        let update = scene(4, routed(steps.clone()))
            .version("v2")
            .status(stable_on("v2", "v2", 1));
        let update = with_steps(update)
            .service("stable", Some(stable))
            .service("canary", Some("v2"))
            .route(canary);
        update.set("v1", 1, 4, 4).set("v2", 2, 4, 4)
    };
    check(
        &complete("v1", 100),
        &expect![[r#"
        phase="Healthy"
        switch stable to v2"#]],
    );
    check(
        &complete("v2", 100),
        &expect![[r#"
        phase="Healthy"
        split canary 0 stable 100"#]],
    );
    check(
        &complete("v2", 0),
        &expect![[r#"
        phase="Healthy"
        annotate shop-v1 {"annotations":{"scale-down-deadline":"2026-01-01T00:00:30Z"}}"#]],
    );
}

#[test]
fn a_past_run_is_deleted_only_when_nothing_moves() {
    let complete = |stable: &str, canary: u32| {
        let update = scene(4, routed(json!([{ "setWeight": 100 }])))
            .version("v2")
            .status(stable_on("v2", "v2", 1))
            .spec(json!({ "analysis": { "successfulRunHistoryLimit": 0 } }));
        let update = with_steps(update)
            .service("stable", Some(stable))
            .service("canary", Some("v2"))
            .route(canary);
        update.set("v1", 1, 0, 0).set("v2", 2, 4, 4).past_run("shop-old")
    };
    check(
        &complete("v1", 100),
        &expect![[r#"
        phase="Healthy"
        switch stable to v2"#]],
    );
    check(
        &complete("v2", 100),
        &expect![[r#"
        phase="Healthy"
        split canary 0 stable 100"#]],
    );
    check(
        &complete("v2", 0),
        &expect![[r#"
        phase="Healthy"
        DeleteRun { name: "shop-old", uid: "uid-shop-old" }"#]],
    );
}

#[test]
fn what_is_not_known_holds_and_never_looks_like_a_change() {
    let update = || {
        let mut update = scene(2, basic(json!([{ "setWeight": 50 }])))
            .version("v2")
            .status(stable_on("v1", "v1", 1));
        update.world.answers.clear();
        with_steps(update)
    };
    let mut unknown = update();
    unknown.world.replica_sets = Fact::Unknown(crate::Why::Forbidden);
    check(
        &unknown,
        &expect!["hold: the ReplicaSets: not known, because the controller may not read it"],
    );
    // No ReplicaSet records the template: the API server is asked before a new revision is begun.
    check(
        &update().set("v1", 1, 2, 2),
        &expect![[r#"ask Defaults { template: "2331ee02cabe6778e02dc90a2d93be26ee55d462c532d201927d5f08a3a1c7b9" }"#]],
    );
    let mut failed = update().set("v1", 1, 2, 2);
    let ask = Ask::Defaults {
        template: hash::canonical(&template("v2")),
    };
    let answer = Answer::Defaults(Fact::Unknown(crate::Why::Failed("timed out".to_owned())));
    failed
        .world
        .answers
        .insert(ask.clone(), Answered { at: failed.now, answer });
    check(
        &failed,
        &expect!["hold: the pod template with defaults: not known, because reading it failed: timed out"],
    );
    // What the API server refuses is a problem of the spec; other revisions are not touched.
    let mut refused = update().set("v1", 1, 2, 2);
    let answer = Answer::Defaults(Fact::Unknown(crate::Why::Refused("image: Required value".to_owned())));
    let answered = Answered { at: refused.now, answer };
    refused.world.answers.insert(ask.clone(), answered.clone());
    let invalid = expect![[r#"
        phase="Degraded"
        message="InvalidSpec: The Rollout \"shop\" is invalid: spec.template: the API server refuses it: image: Required value"
        hold: the spec is invalid: spec.template: the API server refuses it: image: Required value"#]];
    check(&refused, &invalid);
    // So is it for the first revision, and after a minute it is asked again: something else may have refused it.
    let mut first = update();
    first.world.rollout.status = None;
    first.world.answers.insert(ask.clone(), answered);
    check(&first, &invalid);
    check(
        &first.at(61),
        &expect![[r#"ask Defaults { template: "2331ee02cabe6778e02dc90a2d93be26ee55d462c532d201927d5f08a3a1c7b9" }"#]],
    );
    let mut same = update().set("v1", 1, 2, 2);
    let answer = Answer::Defaults(Fact::Known(template("v1")));
    same.world.answers.insert(ask, Answered { at: same.now, answer });
    check(
        &same,
        &expect![[r#"
        phase="Healthy"
        annotate shop-v1 {"annotations":{"sluice.dev/pod-template":"2331ee02cabe6778e02dc90a2d93be26ee55d462c532d201927d5f08a3a1c7b9"}}"#]],
    );
    let mut incumbent = update();
    incumbent.world.incumbent = Some("argo-rollouts-abc".to_owned());
    check(
        &incumbent,
        &expect![
            "hold: another controller is live: `argo-rollouts-abc` holds the Lease of Argo Rollouts; stop it first"
        ],
    );
}
