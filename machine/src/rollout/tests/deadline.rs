//! The progress deadline: from when it counts, and what is looked at once more before it ends an update.

use super::*;

/// An update to v2 whose only pod is not available, ten minutes after `reason` was written, with a deadline of a minute.
fn stuck(reason: &str) -> Scene {
    let progressing = json!({
        "type": "Progressing", "status": "True", "reason": reason, "message": "",
        "lastUpdateTime": START, "lastTransitionTime": START,
    });
    let scene = scene(5, basic(json!([{ "setWeight": 20 }])))
        .at(600)
        .version("v2")
        .spec(json!({ "progressDeadlineSeconds": 60, "progressDeadlineAbort": true }))
        .set("v1", 1, 5, 5)
        .set("v2", 2, 1, 0)
        .status(stable_on("v1", "v2", 0))
        .status(json!({ "conditions": [progressing] }))
        .status(json!({ "replicas": 6, "updatedReplicas": 1, "readyReplicas": 5, "availableReplicas": 5 }));
    with_steps(scene)
}

fn plan(scene: &Scene) -> Plan {
    decide(scene.now, &scene.world)
}

fn aborts(scene: &Scene) -> bool {
    let commit = plan(scene).commit.expect("something to commit");
    commit.status.is_some_and(|status| status["status"]["abort"] == true)
}

#[test]
#[expect(clippy::large_stack_arrays, reason = "a table of cases")]
fn the_deadline_counts_from_the_last_progress_and_not_from_what_went_before() {
    let retried = json!({ "abortedAt": START, "abort": false });
    for (what, scene, expected) in [
        ("no progress for ten minutes", stuck("ReplicaSetUpdated"), true),
        ("nor since it went on", stuck("RolloutResumed"), true),
        ("spec.paused was taken back a moment ago", stuck("RolloutPaused"), false),
        ("retried a moment ago", stuck("RolloutAborted").status(retried), false),
        (
            "another template after ten quiet minutes",
            stuck("NewReplicaSetAvailable").status(json!({ "currentPodHash": hash_of("v1") })),
            false,
        ),
        (
            "the pod became available while nobody was there to write it down",
            stuck("ReplicaSetUpdated").set("v2", 2, 1, 1),
            false,
        ),
    ] {
        assert_eq!(aborts(&scene), expected, "{what}");
    }
}

#[test]
fn a_revision_that_lost_a_pod_long_after_its_update_gets_the_whole_time() {
    let healthy = |reason| {
        let scene = stuck(reason).version("v1").set("v1", 1, 5, 4);
        let status = json!({ "updatedReplicas": 5, "readyReplicas": 5, "availableReplicas": 5 });
        scene.status(stable_on("v1", "v1", 1)).status(status)
    };
    let reason = |scene: &Scene| {
        let commit = plan(scene).commit.expect("something to commit");
        let status = commit.status.expect("a status");
        let conditions = status["status"]["conditions"].as_array().cloned().expect("conditions");
        let found = conditions
            .into_iter()
            .find(|condition| condition["type"] == "Progressing");
        found.expect("the condition")["reason"].clone()
    };
    assert_eq!(reason(&healthy("NewReplicaSetAvailable")), "ReplicaSetUpdated");
    assert_eq!(reason(&healthy("ReplicaSetUpdated")), "ProgressDeadlineExceeded");
}

#[test]
fn what_the_deadline_ends_is_read_again_first() {
    assert!(plan(&stuck("ReplicaSetUpdated")).confirm, "an abort");
    let told = || stuck("ReplicaSetUpdated").spec(json!({ "progressDeadlineAbort": false }));
    assert!(plan(&told()).confirm, "a condition that says so for the first time");
    let told_before = stuck("ProgressDeadlineExceeded").spec(json!({ "progressDeadlineAbort": false }));
    assert!(!plan(&told_before).confirm, "it says so already");
    assert!(!plan(&stuck("RolloutPaused")).confirm, "nothing has ended");
}
