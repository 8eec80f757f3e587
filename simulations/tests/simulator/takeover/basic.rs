//! Canaries by the number of pods.

use serde_json::{Value, json};
use sluice_simulations::{Entry, Key, Kind};

use super::arrange::{Set, State, at, hash_of, set, template};
use super::runs::{analysis, run, run_name};

/// Four pods, one more at a time: 50 %, a pause without an end, 75 %.
fn basic(name: impl Into<String>) -> State {
    let strategy = json!({ "canary": {
        "maxSurge": 1,
        "maxUnavailable": 0,
        "steps": [{ "setWeight": 50 }, { "pause": {} }, { "setWeight": 75 }],
    } });
    let entry = Entry::Service(Key::new(Kind::Service, "default", "shop"));
    State::new(name, 4, strategy, entry)
        .service("shop", None)
        .status(json!({ "stableRS": hash_of("v1") }))
}

fn steps(state: State, steps: Value, index: u32) -> State {
    state
        .strategy(json!({ "canary": { "steps": steps } }))
        .status(json!({ "currentStepIndex": index }))
}

fn pods(stable: u32, canary: u32, ready: u32) -> [Set; 2] {
    [set("v1", 1, stable, stable), set("v2", 2, canary, ready)]
}

fn paused(state: State, reason: &str, seconds: i64) -> State {
    let pause = json!([{ "reason": reason, "startTime": at(-seconds) }]);
    state
        .status(json!({ "controllerPause": true, "pauseConditions": pause }))
        .phase("Paused", reason)
}

fn at_half(name: impl Into<String>) -> State {
    paused(
        basic(name).sets(pods(2, 2, 2)).status(json!({ "currentStepIndex": 1 })),
        "CanaryPauseStep",
        20,
    )
}

fn healthy(name: impl Into<String>) -> State {
    basic(name)
        .sets([set("v1", 1, 0, 0), set("v2", 2, 4, 4)])
        .status(json!({ "stableRS": hash_of("v2"), "currentStepIndex": 3 }))
        .phase("Healthy", "")
}

fn aborted(name: impl Into<String>) -> State {
    basic(name)
        .sets(pods(4, 0, 0))
        .status(json!({ "abort": true, "abortedAt": at(-10), "currentStepIndex": 0 }))
        .phase("Degraded", "RolloutAborted: Rollout aborted update to revision 2")
}

/// On the way to a weight, while a pod starts.
fn moving(percent: u32, stable: u32, canary: u32, ready: u32) -> State {
    let name = format!("mid-step to {percent} % by pods, {stable} stable, {ready} of {canary} canary pods are ready");
    steps(
        basic(name).sets(pods(stable, canary, ready)),
        json!([{ "setWeight": percent }, { "pause": {} }]),
        0,
    )
    .phase("Progressing", "more replicas need to be updated")
    .quiet(15)
}

fn stepping() -> Vec<State> {
    let mut states = vec![
        moving(25, 4, 1, 0),
        moving(50, 4, 1, 0),
        moving(50, 3, 2, 1),
        moving(75, 3, 2, 1),
        moving(75, 2, 3, 2),
        moving(100, 2, 3, 2),
    ];
    for (percent, stable, canary) in [(25, 3, 1), (50, 2, 2), (75, 1, 3)] {
        let state = basic(format!("paused until promoted at {percent} % by pods")).sets(pods(stable, canary, canary));
        let state = steps(state, json!([{ "setWeight": percent }, { "pause": {} }]), 1);
        states.push(paused(state, "CanaryPauseStep", 20));
    }
    let timed = steps(
        basic("in a timed pause by pods").sets(pods(3, 1, 1)),
        json!([{ "setWeight": 25 }, { "pause": { "duration": "1m" } }]),
        1,
    );
    states.extend([
        paused(timed, "CanaryPauseStep", 20).quiet(30),
        steps(
            basic("without steps by pods, one starts").sets(pods(2, 3, 2)),
            Value::Null,
            0,
        )
        .status(json!({ "currentStepIndex": null }))
        .phase("Progressing", "more replicas need to be updated")
        .quiet(15),
        at_half("paused by a person in a pause by pods")
            .spec(json!({ "paused": true }))
            .phase("Paused", "manually paused"),
        moving(50, 4, 1, 0)
            .named("paused by a person while a pod starts")
            .spec(json!({ "paused": true }))
            .phase("Paused", "manually paused")
            .quiet(15),
        basic("degraded by the deadline by pods")
            .sets(pods(4, 1, 0))
            .status(json!({ "currentStepIndex": 0 }))
            .spec(json!({ "progressDeadlineSeconds": 5 }))
            .phase(
                "Degraded",
                &format!(
                    "ProgressDeadlineExceeded: ReplicaSet \"shop-{}\" has timed out progressing.",
                    hash_of("v2")
                ),
            )
            .quiet(15),
    ]);
    states
}

fn others() -> Vec<State> {
    let initial = basic("initial deploy by pods, three of four are ready")
        .version("v1")
        .sets([set("v1", 1, 4, 3)])
        .status(json!({ "stableRS": null, "currentStepIndex": 0 }))
        .phase("Progressing", "updated replicas are still becoming available")
        .quiet(15);
    let in_analysis = steps(
        basic("an analysis is running by pods").sets(pods(2, 2, 2)),
        json!([{ "setWeight": 50 }, { "analysis": analysis() }]),
        1,
    );
    vec![
        healthy("healthy by pods"),
        healthy("healthy by pods after the first version")
            .version("v1")
            .sets([set("v1", 1, 4, 4)])
            .status(json!({ "stableRS": hash_of("v1") })),
        initial,
        aborted("aborted by pods"),
        aborted("aborted by pods, the last stable pod starts")
            .sets([set("v1", 1, 4, 3), set("v2", 2, 1, 1)])
            .quiet(15),
        in_analysis
            .run(run("Step", "-1", "Running"))
            .status(json!({ "canary": { "currentStepAnalysisRunStatus": { "name": run_name("-1"), "status": "Running" } } }))
            .phase("Progressing", "more replicas need to be updated"),
        at_half("scaled up in a pause by pods, pods are missing")
            .replicas(6)
            .sets([set("v1", 1, 3, 3), set("v2", 2, 3, 2)])
            .quiet(15),
        at_half("scaled up in a pause by pods, nobody has seen it").unseen(json!({ "replicas": 8 })),
        at_half("scaled down in a pause by pods, nobody has seen it").unseen(json!({ "replicas": 2 })),
        basic("a third version begins while the second has pods")
            .version("v3")
            .sets([set("v1", 1, 2, 2), set("v2", 2, 2, 2), set("v3", 3, 1, 0)])
            .status(json!({ "currentStepIndex": 0 }))
            .phase("Progressing", "more replicas need to be updated")
            .quiet(15),
        basic("rollback to stable by pods, a pod starts")
            .version("v1")
            .sets([set("v1", 3, 3, 2), set("v2", 2, 2, 2)])
            .status(json!({ "currentStepIndex": 3 }))
            .phase("Progressing", "more replicas need to be updated")
            .quiet(15),
        at_half("rollback to stable by pods that nobody has seen").unseen(json!({ "template": template("v1") })),
        at_half("by pods, with Services of both revisions")
            .strategy(json!({ "canary": { "stableService": "shop-stable", "canaryService": "shop-canary" } }))
            .service("shop-stable", Some("v1"))
            .service("shop-canary", Some("v2")),
        at_half("by pods, without a surge").strategy(json!({ "canary": { "maxSurge": 0, "maxUnavailable": 1 } })),
        at_half("by pods, labels for their roles")
            .sets([set("v1", 1, 2, 2).role("stable"), set("v2", 2, 2, 2).role("canary")])
            .strategy(json!({ "canary": {
                "canaryMetadata": { "labels": { "role": "canary" } },
                "stableMetadata": { "labels": { "role": "stable" } },
            } })),
        at_half("by pods, that keep away from stable")
            .sets([set("v1", 1, 2, 2), set("v2", 2, 2, 2).away_from("v1", None)])
            .strategy(json!({ "canary": { "antiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {} } } })),
    ]
}

pub fn states() -> Vec<State> {
    [stepping(), others()].concat()
}
