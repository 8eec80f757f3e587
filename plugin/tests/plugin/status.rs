//! `status`: what is printed, and how it ends.

use serde_json::{Value, json};

use crate::{api::Api, commands::run, fixtures::*};

fn in_phase(phase: &str, message: &str) -> Value {
    let mut status = at_step(1, phase, message);
    if phase == "Paused" {
        status = paused();
    }
    rollout(&canary(), status)
}

fn modified(object: Value) -> Value {
    json!({ "type": "MODIFIED", "object": object })
}

#[tokio::test]
async fn the_exit_code_says_how_it_ended() {
    let rows = [
        ("status backend", "Healthy", 0),
        ("status backend", "Degraded", 1),
        ("status backend --stop-on-pause", "Paused", 3),
        ("status backend --watch=false", "Healthy", 0),
        ("status backend --watch=false", "Degraded", 1),
        ("status backend --watch=false", "Paused", 0),
        ("status backend --watch=false", "Progressing", 0),
    ];
    for (words, phase, wanted) in rows {
        let api = Api::with([in_phase(phase, "")]);
        let (code, text) = run(&api, words).await;
        assert_eq!(code, wanted, "{words} on {phase}: {text}");
        assert!(text.starts_with(phase), "{text}");
    }
}

#[tokio::test]
async fn each_change_of_the_phase_is_one_line_until_the_end() {
    let api = Api::with([in_phase("Progressing", "more replicas need to be updated")]);
    let progressing = in_phase("Progressing", "more replicas need to be updated");
    api.will_see(vec![
        modified(progressing.clone()),
        modified(in_phase("Paused", "")),
        modified(progressing),
        json!({ "type": "BOOKMARK", "object": { "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": { "resourceVersion": "99" } } }),
        modified(in_phase("Degraded", "RolloutAborted: error-rate failed")),
        modified(in_phase("Healthy", "")),
    ]);
    let (code, text) = run(&api, "status backend").await;
    assert_eq!(code, 1);
    let wanted = "Progressing - more replicas need to be updated\n\
                  Paused - CanaryPauseStep\n\
                  Progressing - more replicas need to be updated\n\
                  Degraded - RolloutAborted: error-rate failed\n";
    assert_eq!(text, wanted);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_is_opened_again() {
    let api = Api::with([in_phase("Progressing", "")]);
    api.will_see(vec![]);
    api.will_see(vec![json!({ "type": "ERROR", "object": { "kind": "Status", "code": 410, "reason": "Expired", "message": "too old" } })]);
    api.will_see(vec![modified(in_phase("Healthy", ""))]);
    let (code, text) = run(&api, "status backend").await;
    assert_eq!((code, text.as_str()), (0, "Progressing\nHealthy\n"));
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_when_the_time_is_over() {
    let api = Api::with([in_phase("Progressing", "")]);
    let (code, text) = run(&api, "status backend --timeout 90s").await;
    assert_eq!(code, 1);
    assert_eq!(
        text,
        "Progressing\nerror: rollout 'backend' has not ended within 90 s\n"
    );
}

#[tokio::test(start_paused = true)]
async fn a_status_of_the_spec_before_does_not_end_the_wait() {
    let mut stale = in_phase("Healthy", "");
    stale["metadata"]["generation"] = 5.into();
    let api = Api::with([stale]);
    let (code, text) = run(&api, "status backend --timeout 5s").await;
    assert_eq!(code, 1);
    assert!(
        text.starts_with("Progressing - waiting for rollout spec update to be observed\n"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_is_deleted_meanwhile_is_an_error() {
    let api = Api::with([in_phase("Progressing", "")]);
    let other = api.clone();
    api.will_see(vec![
        json!({ "type": "DELETED", "object": in_phase("Progressing", "") }),
    ]);
    let waiting = run(&api, "status backend");
    let deleting = async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        other.remove("backend");
    };
    let ((code, text), ()) = futures::join!(waiting, deleting);
    assert_eq!(code, 1);
    assert!(
        text.contains("there is no rollout 'backend' in namespace 'shop'"),
        "{text}"
    );
}
