//! Canaries with an HTTPRoute.

use serde_json::{Value, json};
use sluice_simulations::{Entry, Key, Kind};

use super::arrange::{Set, State, at, hash_of, set, template};
use super::runs::{FAILURE, analysis, run, run_name};

fn weight(percent: u32) -> Value {
    json!({ "setWeight": percent })
}

fn pause() -> Value {
    json!({ "pause": {} })
}

fn pause_for(duration: &str) -> Value {
    json!({ "pause": { "duration": duration } })
}

/// Five pods, 20 %, a pause without an end, 60 %, a pause with one.
fn routed(name: impl Into<String>) -> State {
    let strategy = json!({ "canary": {
        "stableService": "shop-stable",
        "canaryService": "shop-canary",
        "trafficRouting": { "plugins": { "argoproj-labs/gatewayAPI": { "httpRoute": "shop", "namespace": "default" } } },
        "steps": [weight(20), pause(), weight(60), pause_for("2m")],
    } });
    let entry = Entry::Route(Key::new(Kind::HttpRoute, "default", "shop"));
    State::new(name, 5, strategy, entry)
        .service("shop-stable", Some("v1"))
        .service("shop-canary", Some("v2"))
        .status(json!({ "stableRS": hash_of("v1") }))
}

/// Other steps, and the present one.
fn at_step(state: State, steps: Value, index: u32) -> State {
    state
        .strategy(json!({ "canary": { "steps": steps } }))
        .status(json!({ "currentStepIndex": index }))
}

/// Stable and canary as they are at a weight of five pods.
fn pods(canary: u32, ready: u32) -> [Set; 2] {
    [set("v1", 1, 5, 5), set("v2", 2, canary, ready)]
}

/// In a pause that began so long ago.
fn paused(state: State, reason: &str, seconds: i64) -> State {
    let pause = json!([{ "reason": reason, "startTime": at(-seconds) }]);
    state
        .status(json!({ "controllerPause": true, "pauseConditions": pause }))
        .phase("Paused", reason)
}

fn in_pause(state: State) -> State {
    paused(state, "CanaryPauseStep", 20)
}

/// At 20 %, in the pause without an end.
fn at_twenty(name: impl Into<String>) -> State {
    in_pause(
        routed(name)
            .sets(pods(1, 1))
            .route(20)
            .status(json!({ "currentStepIndex": 1 })),
    )
}

fn aborted(name: impl Into<String>, reason: &str) -> State {
    let message = format!("RolloutAborted: Rollout aborted update to revision 2{reason}");
    routed(name)
        .sets([set("v1", 1, 5, 5), set("v2", 2, 0, 0)])
        .service("shop-canary", Some("v1"))
        .route(0)
        .status(json!({ "abort": true, "abortedAt": at(-10), "currentStepIndex": 0 }))
        .phase("Degraded", &message)
}

fn in_analysis(name: impl Into<String>, phase: &str) -> State {
    let state = routed(name).sets(pods(1, 1)).route(20);
    let status = json!({ "name": run_name("-1"), "status": phase });
    at_step(state, json!([weight(20), { "analysis": analysis() }, weight(60)]), 1)
        .run(run("Step", "-1", phase))
        .status(json!({ "canary": { "currentStepAnalysisRunStatus": status } }))
        .phase("Progressing", "more replicas need to be updated")
}

fn healthy(name: impl Into<String>) -> State {
    routed(name)
        .sets([set("v1", 1, 0, 0), set("v2", 2, 5, 5)])
        .service("shop-stable", Some("v2"))
        .route(0)
        .status(json!({ "stableRS": hash_of("v2"), "currentStepIndex": 4 }))
        .phase("Healthy", "")
}

fn finished() -> Vec<State> {
    vec![
        healthy("healthy after the first version")
            .version("v1")
            .sets([set("v1", 1, 5, 5)])
            .service("shop-stable", Some("v1"))
            .service("shop-canary", Some("v1"))
            .status(json!({ "stableRS": hash_of("v1") })),
        healthy("healthy after an update"),
        healthy("healthy, the old revision in its scale-down delay")
            .sets([set("v1", 1, 5, 5).goes(25), set("v2", 2, 5, 5)])
            .quiet(20),
        healthy("healthy, two old revisions in their scale-down delays")
            .version("v3")
            .sets([
                set("v1", 1, 5, 5).goes(15),
                set("v2", 2, 5, 5).goes(25),
                set("v3", 3, 5, 5),
            ])
            .service("shop-stable", Some("v3"))
            .service("shop-canary", Some("v3"))
            .status(json!({ "stableRS": hash_of("v3") }))
            .quiet(12),
        healthy("healthy after a rollback to stable")
            .version("v1")
            .sets([
                set("v1", 3, 5, 5).annotated("rollout.argoproj.io/revision-history", "1"),
                set("v2", 2, 0, 0),
            ])
            .service("shop-stable", Some("v1"))
            .service("shop-canary", Some("v1"))
            .status(json!({ "stableRS": hash_of("v1") })),
        healthy("healthy, with no replicas")
            .replicas(0)
            .sets([set("v1", 1, 0, 0), set("v2", 2, 0, 0)])
            .requests_from(100_000),
    ]
}

fn beginning() -> Vec<State> {
    let initial = |name: &str, ready| {
        routed(name)
            .version("v1")
            .sets([set("v1", 1, 5, ready)])
            .service("shop-stable", None)
            .service("shop-canary", None)
            .route(0)
            .status(json!({ "stableRS": null, "currentStepIndex": 0, "canary": { "weights": null } }))
            .phase("Progressing", "updated replicas are still becoming available")
            .quiet(15)
            .requests_from(if ready > 0 { -15 } else { 60 })
    };
    let mut states = vec![
        initial("initial deploy, two of five pods are ready", 2),
        initial("initial deploy, no pod is ready", 0),
    ];
    // The canary's pods are coming, its weight has not moved yet.
    for (percent, wanted, ready) in [(5, 1, 0), (20, 2, 0), (20, 2, 1), (50, 5, 2), (80, 8, 7), (100, 10, 4)] {
        let name = format!("mid-step to {percent} %, {ready} of {wanted} canary pods are ready");
        let state = routed(name)
            .replicas(10)
            .sets([set("v1", 1, 10, 10), set("v2", 2, wanted, ready)])
            .service("shop-canary", Some(if ready > 0 { "v2" } else { "v1" }))
            .route(0);
        let message = "more replicas need to be updated";
        let message = if wanted == 10 {
            "waiting for all steps to complete"
        } else {
            message
        };
        states.push(
            at_step(state, json!([weight(percent), pause()]), 0)
                .phase("Progressing", message)
                .quiet(15),
        );
    }
    // From one weight to the next.
    for (from, to, wanted, ready) in [(20, 60, 6, 3), (60, 90, 9, 6)] {
        let name = format!("mid-step from {from} to {to} %, {ready} of {wanted} canary pods are ready");
        let state = routed(name)
            .replicas(10)
            .sets([set("v1", 1, 10, 10), set("v2", 2, wanted, ready)])
            .route(from);
        let steps = json!([weight(from), pause_for("10s"), weight(to), pause()]);
        states.push(
            at_step(state, steps, 2)
                .phase("Progressing", "more replicas need to be updated")
                .quiet(15),
        );
    }
    states.extend([
        at_step(
            routed("the last step is done, two pods are missing")
                .sets(pods(5, 3))
                .route(60),
            json!([weight(60)]),
            1,
        )
        .phase("Progressing", "waiting for all steps to complete")
        .quiet(15),
        routed("promoted in full, two pods are missing")
            .sets(pods(5, 3))
            .route(20)
            .status(json!({ "promoteFull": true, "currentStepIndex": 4 }))
            .phase("Progressing", "waiting for all steps to complete")
            .quiet(15),
        routed("without steps, two pods are missing")
            .sets(pods(5, 3))
            .route(0)
            .strategy(json!({ "canary": { "steps": null } }))
            .phase("Progressing", "waiting for all steps to complete")
            .quiet(15),
        routed("degraded by the deadline, the canary pod is slow")
            .sets(pods(1, 0))
            .service("shop-canary", Some("v1"))
            .route(0)
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

fn pausing() -> Vec<State> {
    let mut states = Vec::new();
    for (percent, wanted) in [(1, 1), (10, 1), (25, 3), (50, 5), (75, 8), (99, 10), (100, 10)] {
        let state = routed(format!("paused until promoted at {percent} %"))
            .replicas(10)
            .sets([set("v1", 1, 10, 10), set("v2", 2, wanted, wanted)])
            .route(percent);
        states.push(in_pause(at_step(
            state,
            json!([weight(percent), pause(), weight(100)]),
            1,
        )));
    }
    for (duration, left) in [("30s", 10), ("2m", 100), ("1h", 3580)] {
        let state = routed(format!("in a pause of {duration}, of which {left} s are left"))
            .sets(pods(2, 2))
            .route(40);
        let steps = json!([weight(40), pause_for(duration), weight(80)]);
        states.push(in_pause(at_step(state, steps, 1)).quiet(left.min(60) - 2));
    }
    let seconds = at_step(
        routed("in a pause of 45 seconds as a number")
            .sets(pods(1, 1))
            .route(20),
        json!([weight(20), { "pause": { "duration": 45 } }]),
        1,
    );
    states.extend([
        in_pause(seconds).quiet(20),
        at_twenty("paused by a person in a pause")
            .spec(json!({ "paused": true }))
            .phase("Paused", "manually paused"),
        routed("paused by a person in a step, the canary pod is missing")
            .sets(pods(1, 0))
            .service("shop-canary", Some("v1"))
            .route(0)
            .status(json!({ "currentStepIndex": 0 }))
            .spec(json!({ "paused": true }))
            .phase("Paused", "manually paused")
            .quiet(15),
        at_twenty("paused, with a step hash of nine letters").status(json!({ "currentStepHash": "b7d54c68f" })),
        at_twenty("paused, with a step hash of eight letters").status(json!({ "currentStepHash": "b7d54c68" })),
    ]);
    states
}

fn going_back() -> Vec<State> {
    let undone = || {
        at_twenty("rollback to a former revision, paused at 20 %")
            .version("v1")
            .sets([
                set("v1", 3, 1, 1).annotated("rollout.argoproj.io/revision-history", "1"),
                set("v2", 2, 5, 5),
            ])
            .service("shop-stable", Some("v2"))
            .service("shop-canary", Some("v1"))
            .status(json!({ "stableRS": hash_of("v2") }))
    };
    let failed = ": Step-based analysis phase error/failed: ";
    vec![
        aborted("aborted, the canary is gone", ""),
        aborted("aborted, the canary in its delay", "")
            .sets([set("v1", 1, 5, 5), set("v2", 2, 1, 1).goes(25)])
            .quiet(20),
        aborted("aborted at 60 %, the canary in its delay", "")
            .sets([set("v1", 1, 5, 5), set("v2", 2, 3, 3).goes(25)])
            .quiet(20),
        aborted("aborted, the canary is kept for ever", "")
            .sets(pods(1, 1))
            .strategy(json!({ "canary": { "abortScaleDownDelaySeconds": 0 } })),
        aborted("aborted by an analysis", &format!("{failed}{FAILURE}"))
            .strategy(json!({ "canary": { "steps": [weight(20), { "analysis": analysis() }, weight(60)] } }))
            .run(run("Step", "-1", "Failed"))
            .status(json!({ "canary": { "currentStepAnalysisRunStatus": {
                "name": run_name("-1"), "status": "Failed", "message": FAILURE,
            } } })),
        aborted(
            "aborted by the deadline",
            &format!(": ReplicaSet \"shop-{}\" has timed out progressing.", hash_of("v2")),
        )
        .spec(json!({ "progressDeadlineAbort": true })),
        undone(),
        undone()
            .named("rollback to a former revision, the canary pod is missing")
            .sets([
                set("v1", 3, 1, 0).annotated("rollout.argoproj.io/revision-history", "1"),
                set("v2", 2, 5, 5),
            ])
            .service("shop-canary", Some("v2"))
            .route(0)
            .status(json!({ "currentStepIndex": 0, "pauseConditions": null, "controllerPause": null }))
            .phase("Progressing", "more replicas need to be updated")
            .quiet(15),
        at_twenty("rollback to stable that nobody has seen").unseen(json!({ "template": template("v1") })),
        at_twenty("a third version that nobody has seen").unseen(json!({ "template": template("v3") })),
    ]
}

fn analyses() -> Vec<State> {
    let background = |phase: &str| {
        at_twenty(format!("paused, a background analysis is {phase}"))
            .strategy(json!({ "canary": { "analysis": analysis() } }))
            .run(run("Background", "", phase))
            .status(json!({ "canary": { "currentBackgroundAnalysisRunStatus": { "name": run_name(""), "status": phase } } }))
    };
    vec![
        in_analysis("an analysis is running", "Running"),
        in_analysis("an analysis was successful, nobody has seen it", "Running")
            .run(run("Step", "-1", "Successful"))
            .quiet(0),
        paused(
            in_analysis("an analysis is inconclusive", "Inconclusive"),
            "InconclusiveAnalysisRun",
            5,
        ),
        background("Running"),
        background("Successful"),
        in_analysis("the second attempt of an analysis is running", "Running")
            .run(run("Step", "-1.1", "Running"))
            .run(run("Step", "-1", "Failed"))
            .status(json!({ "canary": { "currentStepAnalysisRunStatus": { "name": run_name("-1.1") } } })),
    ]
}

fn sizes() -> Vec<State> {
    let dynamic = |percent: u32| {
        let canary = percent / 10;
        let state = routed(format!("stable follows the weight, paused at {percent} %"))
            .replicas(10)
            .sets([set("v1", 1, 10 - canary, 10 - canary), set("v2", 2, canary, canary)])
            .strategy(json!({ "canary": { "dynamicStableScale": true } }))
            .route(percent);
        in_pause(at_step(state, json!([weight(percent), pause(), weight(100)]), 1))
    };
    let scaled = routed("setCanaryScale, paused without weight")
        .sets(pods(3, 3))
        .route(0);
    let scale = json!([{ "setCanaryScale": { "replicas": 3 } }, pause(), { "setCanaryScale": { "matchTrafficWeight": true } }, weight(40)]);
    let least = routed("minPodsPerReplicaSet, paused at 5 %")
        .sets(pods(2, 2))
        .strategy(json!({ "canary": { "minPodsPerReplicaSet": 2 } }))
        .route(5);
    vec![
        dynamic(20),
        dynamic(70),
        in_pause(at_step(scaled, scale, 1)),
        in_pause(at_step(least, json!([weight(5), pause()]), 1)),
        at_twenty("scaled up in a pause, stable pods are missing")
            .replicas(10)
            .sets([set("v1", 1, 10, 6), set("v2", 2, 2, 2)])
            .quiet(15),
        at_twenty("scaled down in a pause")
            .replicas(3)
            .sets([set("v1", 1, 3, 3), set("v2", 2, 1, 1)]),
        at_twenty("scaled up in a pause, nobody has seen it").unseen(json!({ "replicas": 8 })),
        at_twenty("scaled down in a pause, nobody has seen it").unseen(json!({ "replicas": 3 })),
        at_twenty("a third version paused at 20 %, the second is gone")
            .version("v3")
            .sets([set("v1", 1, 5, 5), set("v2", 2, 0, 0), set("v3", 3, 1, 1)])
            .service("shop-canary", Some("v3")),
        routed("a third version begins, the canary Service is still the second's")
            .version("v3")
            .sets([set("v1", 1, 5, 5), set("v2", 2, 1, 1), set("v3", 3, 1, 0)])
            .route(0)
            .status(json!({ "currentStepIndex": 0 }))
            .phase("Progressing", "more replicas need to be updated")
            .quiet(15),
    ]
}

fn templates() -> Vec<State> {
    let rich = json!({
        "metadata": { "labels": { "app": "shop" }, "annotations": { "team": "shop" } },
        "spec": {
            "serviceAccountName": "shop",
            "initContainers": [{ "name": "init", "image": "tools" }],
            "volumes": [{ "name": "tmp", "emptyDir": {} }],
            "containers": [{
                "name": "shop", "image": "shop:v2",
                "ports": [{ "containerPort": 8080 }, { "containerPort": 53, "protocol": "UDP" }],
                "env": [{ "name": "A", "value": "<b>&" }],
                "resources": { "requests": { "cpu": "100m" } },
                "readinessProbe": { "httpGet": { "path": "/", "port": 8080 } },
                "livenessProbe": { "tcpSocket": { "port": 8080 }, "periodSeconds": 5 },
                "volumeMounts": [{ "name": "tmp", "mountPath": "/tmp" }],
            }],
        },
    });
    let roles = json!({ "canary": {
        "canaryMetadata": { "labels": { "role": "canary" } },
        "stableMetadata": { "labels": { "role": "stable" } },
    } });
    let apart = |rules: Value| json!({ "canary": { "antiAffinity": rules } });
    let preferred = json!({ "preferredDuringSchedulingIgnoredDuringExecution": { "weight": 7 } });
    let required = json!({ "requiredDuringSchedulingIgnoredDuringExecution": {} });
    vec![
        at_twenty("a template with all that gets defaults").template(rich),
        at_twenty("labels for the roles of pods")
            .sets([set("v1", 1, 5, 5).role("stable"), set("v2", 2, 1, 1).role("canary")])
            .strategy(roles),
        at_twenty("pods that prefer to keep away from stable")
            .sets([set("v1", 1, 5, 5), set("v2", 2, 1, 1).away_from("v1", Some(7))])
            .strategy(apart(preferred)),
        at_twenty("pods that must keep away from stable")
            .sets([set("v1", 1, 5, 5), set("v2", 2, 1, 1).away_from("v1", None)])
            .strategy(apart(required)),
        healthy("healthy, with the labels of stable")
            .sets([set("v1", 1, 0, 0).role("stable"), set("v2", 2, 5, 5).role("stable")])
            .strategy(json!({ "canary": {
                "canaryMetadata": { "labels": { "role": "canary" } },
                "stableMetadata": { "labels": { "role": "stable" } },
            } })),
    ]
}

pub fn states() -> Vec<State> {
    [
        finished(),
        beginning(),
        pausing(),
        going_back(),
        analyses(),
        sizes(),
        templates(),
    ]
    .concat()
}
