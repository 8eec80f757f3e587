//! Blue-green.

use serde_json::{Value, json};
use sluice_simulations::{Entry, Key, Kind};

use super::arrange::{State, at, hash_of, set, template};
use super::runs::{FAILURE, analysis, run, run_name};

/// Three pods; the preview waits for a person.
fn blue_green(name: impl Into<String>) -> State {
    let strategy = json!({ "blueGreen": {
        "activeService": "shop-active", "previewService": "shop-preview", "autoPromotionEnabled": false,
    } });
    let entry = Entry::Service(Key::new(Kind::Service, "default", "shop-active"));
    State::new(name, 3, strategy, entry)
        .service("shop-active", Some("v1"))
        .service("shop-preview", Some("v2"))
        .status(json!({ "stableRS": hash_of("v1") }))
        .sets([set("v1", 1, 3, 3), set("v2", 2, 3, 3)])
}

fn settings(settings: Value) -> Value {
    json!({ "blueGreen": settings })
}

fn paused(state: State, reason: &str, seconds: i64) -> State {
    let pause = json!([{ "reason": reason, "startTime": at(-seconds) }]);
    state
        .status(json!({ "controllerPause": true, "pauseConditions": pause }))
        .phase("Paused", reason)
}

fn waiting(name: impl Into<String>) -> State {
    paused(blue_green(name), "BlueGreenPause", 20)
}

fn switched(name: impl Into<String>) -> State {
    blue_green(name)
        .service("shop-active", Some("v2"))
        .status(json!({ "stableRS": hash_of("v2") }))
        .phase("Healthy", "")
}

fn aborted(name: impl Into<String>, reason: &str) -> State {
    let message = format!("RolloutAborted: Rollout aborted update to revision 2{reason}");
    blue_green(name)
        .service("shop-preview", Some("v1"))
        .status(json!({ "abort": true, "abortedAt": at(-10) }))
        .phase("Degraded", &message)
}

fn coming_up(name: impl Into<String>) -> State {
    blue_green(name)
        .sets([set("v1", 1, 3, 3), set("v2", 2, 3, 2)])
        .phase("Progressing", "active service cutover pending")
        .quiet(15)
}

fn first() -> Vec<State> {
    vec![
        switched("blue-green: healthy").sets([set("v1", 1, 0, 0), set("v2", 2, 3, 3)]),
        switched("blue-green: healthy without a preview Service")
            .strategy(settings(json!({ "previewService": null })))
            .without("shop-preview")
            .sets([set("v1", 1, 0, 0), set("v2", 2, 3, 3)]),
        switched("blue-green: switched, the old revision in its delay")
            .sets([set("v1", 1, 3, 3).goes(25), set("v2", 2, 3, 3)])
            .quiet(20),
        switched("blue-green: switched, two old revisions in their delays")
            .version("v3")
            .service("shop-active", Some("v3"))
            .service("shop-preview", Some("v3"))
            .status(json!({ "stableRS": hash_of("v3") }))
            .sets([
                set("v1", 1, 3, 3).goes(15),
                set("v2", 2, 3, 3).goes(25),
                set("v3", 3, 3, 3),
            ])
            .quiet(12),
        blue_green("blue-green: initial deploy, one of three pods is ready")
            .version("v1")
            .sets([set("v1", 1, 3, 1)])
            .service("shop-active", None)
            .service("shop-preview", Some("v1"))
            .status(json!({ "stableRS": null }))
            .phase("Progressing", "updated replicas are still becoming available")
            .quiet(15),
        coming_up("blue-green: the preview is coming up"),
        coming_up("blue-green: the preview is coming up and switches by itself")
            .strategy(settings(json!({ "autoPromotionEnabled": null }))),
        coming_up("blue-green: degraded by the deadline")
            .spec(json!({ "progressDeadlineSeconds": 5 }))
            .phase(
                "Degraded",
                &format!(
                    "ProgressDeadlineExceeded: ReplicaSet \"shop-{}\" has timed out progressing.",
                    hash_of("v2")
                ),
            ),
        coming_up("blue-green: paused by a person while the preview is coming up")
            .spec(json!({ "paused": true }))
            .phase("Paused", "manually paused")
            .quiet(15),
        waiting("blue-green: waiting for promotion"),
        waiting("blue-green: waiting for promotion without a preview Service")
            .strategy(settings(json!({ "previewService": null })))
            .without("shop-preview"),
        waiting("blue-green: 20 seconds of the pause are left")
            .strategy(settings(
                json!({ "autoPromotionEnabled": null, "autoPromotionSeconds": 40 }),
            ))
            .quiet(18),
        waiting("blue-green: paused by a person while waiting")
            .spec(json!({ "paused": true }))
            .phase("Paused", "manually paused"),
    ]
}

fn second() -> Vec<State> {
    let preview = settings(json!({ "previewReplicaCount": 1 }));
    let pre = settings(json!({ "autoPromotionEnabled": null, "prePromotionAnalysis": analysis() }));
    let post = settings(json!({ "autoPromotionEnabled": null, "postPromotionAnalysis": analysis() }));
    let named = |field: &str, suffix: &str, phase: &str| json!({ "blueGreen": { field: { "name": run_name(suffix), "status": phase } } });
    let pre_named = |phase: &str| named("prePromotionAnalysisRunStatus", "-pre", phase);
    let failure = format!(": Blue/green post-promotion analysis phase error/failed: {FAILURE}");
    vec![
        waiting("blue-green: a preview of one pod waits for promotion")
            .strategy(preview.clone())
            .sets([set("v1", 1, 3, 3), set("v2", 2, 1, 1)]),
        blue_green("blue-green: promoted, the preview grows to all pods")
            .strategy(preview)
            .sets([set("v1", 1, 3, 3), set("v2", 2, 3, 1)])
            .status(json!({ "controllerPause": true, "blueGreen": { "scaleUpPreviewCheckPoint": true } }))
            .phase("Progressing", "active service cutover pending")
            .quiet(15),
        blue_green("blue-green: the analysis before the promotion is running")
            .strategy(pre.clone())
            .run(run("PrePromotion", "-pre", "Running"))
            .status(pre_named("Running"))
            .phase("Progressing", "active service cutover pending"),
        paused(
            blue_green("blue-green: the analysis before the promotion is inconclusive"),
            "InconclusiveAnalysisRun",
            5,
        )
        .strategy(pre)
        .run(run("PrePromotion", "-pre", "Inconclusive"))
        .status(pre_named("Inconclusive")),
        waiting("blue-green: waiting for promotion after a successful analysis")
            .strategy(settings(json!({ "prePromotionAnalysis": analysis() })))
            .run(run("PrePromotion", "-pre", "Successful"))
            .status(pre_named("Successful")),
        blue_green("blue-green: the analysis after the promotion is running")
            .strategy(post.clone())
            .service("shop-active", Some("v2"))
            .run(run("PostPromotion", "-post", "Running"))
            .status(named("postPromotionAnalysisRunStatus", "-post", "Running"))
            .phase("Progressing", "waiting for analysis to complete"),
        aborted("blue-green: aborted by the analysis after the promotion", &failure)
            .strategy(post)
            .run(run("PostPromotion", "-post", "Failed"))
            .sets([set("v1", 1, 3, 3), set("v2", 2, 3, 3).goes(25)])
            .status(named("postPromotionAnalysisRunStatus", "-post", "Failed"))
            .quiet(20),
        aborted("blue-green: aborted, the preview in its delay", "")
            .sets([set("v1", 1, 3, 3), set("v2", 2, 3, 3).goes(25)])
            .quiet(20),
        aborted("blue-green: aborted, the preview is gone", "").sets([set("v1", 1, 3, 3), set("v2", 2, 0, 0)]),
        waiting("blue-green: a third version waits, the second is gone")
            .version("v3")
            .service("shop-preview", Some("v3"))
            .sets([set("v1", 1, 3, 3), set("v2", 2, 0, 0), set("v3", 3, 3, 3)]),
        waiting("blue-green: rollback to a former revision waits for promotion")
            .version("v1")
            .service("shop-active", Some("v2"))
            .service("shop-preview", Some("v1"))
            .status(json!({ "stableRS": hash_of("v2") }))
            .sets([set("v1", 3, 3, 3), set("v2", 2, 3, 3)]),
        switched("blue-green: rollback within the delay that nobody has seen")
            .sets([set("v1", 1, 3, 3).goes(600), set("v2", 2, 3, 3)])
            .unseen(json!({ "template": template("v1") })),
        waiting("blue-green: scaled up while waiting, nobody has seen it").unseen(json!({ "replicas": 5 })),
        waiting("blue-green: scaled up while waiting, pods are missing")
            .replicas(5)
            .sets([set("v1", 1, 5, 3), set("v2", 2, 5, 5)])
            .quiet(15),
        waiting("blue-green: labels for the roles of pods")
            .strategy(settings(json!({
                "activeMetadata": { "labels": { "role": "active" } },
                "previewMetadata": { "labels": { "role": "preview" } },
            })))
            .sets([set("v1", 1, 3, 3).role("active"), set("v2", 2, 3, 3).role("preview")]),
        waiting("blue-green: pods that keep away from stable")
            .strategy(settings(
                json!({ "antiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {} } }),
            ))
            .sets([set("v1", 1, 3, 3), set("v2", 2, 3, 3).away_from("v1", None)]),
    ]
}

pub fn states() -> Vec<State> {
    [first(), second()].concat()
}
