//! Commands that change Rollouts, lists, and what is said when something goes wrong.

use clap::Parser;
use expect_test::{Expect, expect};
use http::Method;
use serde_json::{Value, json};
use sluice_plugin::{
    cli::{Cli, Command},
    commands,
    text::Screen,
};

use crate::{
    api::{Api, NAMESPACE},
    fixtures::*,
};

/// Runs a command line against a server. Returns the exit code and what was written; errors as `error: ...` with code 1.
pub async fn run(api: &Api, words: &str) -> (u8, String) {
    let words = std::iter::once("kubectl-sluice").chain(words.split(' '));
    let command = Cli::try_parse_from(words).unwrap().command;
    let cluster = api.cluster();
    let mut out = Vec::new();
    let screen = &mut Screen::new(&mut out, false, true);
    let result = match command {
        Command::Get(args) => commands::get::run(args, &cluster, screen).await,
        Command::List(args) => commands::list::run(args, &cluster, screen).await,
        Command::Status(args) => commands::status::run(args, &cluster, screen).await,
        Command::Promote(args) => commands::promote::run(args, &cluster, screen).await,
        Command::Abort(args) => commands::abort::run(args, &cluster, screen).await,
        Command::Retry(args) => commands::retry::run(args, &cluster, screen).await,
        Command::Pause(args) => commands::pause::run(args, &cluster, screen).await,
        Command::Create(args) => commands::create::run(args, &cluster, screen).await,
        Command::Terminate(args) => commands::terminate::run(args, &cluster, screen).await,
        Command::Check(args) => commands::check::run(args, &cluster, screen).await,
        other => panic!("{other:?} needs no cluster"),
    };
    let mut text = String::from_utf8(out).unwrap();
    let code = result.unwrap_or_else(|error| {
        text.push_str(&format!("error: {error:#}\n"));
        1
    });
    (code, text)
}

fn path(rest: &str) -> String {
    format!("PATCH /apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/rollouts/{rest}")
}

/// The Rollout with a resourceVersion.
fn versioned(mut rollout: Value, version: &str) -> Value {
    rollout["metadata"]["resourceVersion"] = version.into();
    rollout
}

async fn check(words: &str, api: &Api, writes: Vec<(String, Value)>, output: Expect) {
    let (_, text) = run(api, words).await;
    output.assert_eq(&text);
    assert_eq!(api.writes(), writes, "{words}");
}

#[tokio::test]
async fn commands_are_the_patches_of_argos_plugin() {
    let running = || Api::with([versioned(rollout(&canary(), at_step(0, "Progressing", "")), "70")]);
    let status = |patch: Value| vec![(path("backend/status"), patch)];
    check(
        "abort backend",
        &running(),
        status(json!({ "status": { "abort": true } })),
        expect![["rollout 'backend' aborted\n"]],
    )
    .await;
    for words in ["retry backend", "retry rollout backend", "retry ro backend"] {
        let patch = status(json!({ "status": { "abort": false } }));
        check(words, &running(), patch, expect![["rollout 'backend' retried\n"]]).await;
    }
    for (words, done) in [("abort backend", "aborted"), ("retry backend", "retried")] {
        let mut over = at_step(2, "Healthy", "");
        over["stableRS"] = over["currentPodHash"].clone();
        let (_, text) = run(&Api::with([versioned(rollout(&canary(), over), "70")]), words).await;
        assert_eq!(text, format!("rollout 'backend' {done} (no update was under way)\n"));
    }
    check(
        "pause backend",
        &running(),
        vec![(path("backend"), json!({ "spec": { "paused": true } }))],
        expect![["rollout 'backend' paused\n"]],
    )
    .await;
    let guard = json!({ "resourceVersion": "70" });
    check(
        "promote backend",
        &running(),
        status(json!({ "metadata": guard, "status": { "pauseConditions": null, "currentStepIndex": 1 } })),
        expect![["rollout 'backend' promoted\n"]],
    )
    .await;
    check(
        "promote backend",
        &Api::with([versioned(rollout(&canary(), paused()), "70")]),
        status(json!({ "metadata": guard, "status": { "pauseConditions": null } })),
        expect![["rollout 'backend' promoted\n"]],
    )
    .await;
    check(
        "promote backend --full",
        &running(),
        status(json!({ "metadata": guard, "status": { "promoteFull": true } })),
        expect![["rollout 'backend' fully promoted\n"]],
    )
    .await;
}

#[tokio::test]
async fn both_pauses_are_ended_by_one_promotion_status_first() {
    let mut both = rollout(&canary(), paused());
    both["spec"]["paused"] = true.into();
    let api = Api::with([versioned(both, "70")]);
    let status = json!({ "metadata": { "resourceVersion": "70" }, "status": { "pauseConditions": null } });
    let writes = vec![
        (path("backend/status"), status),
        (path("backend"), json!({ "spec": { "paused": false } })),
    ];
    check(
        "promote backend",
        &api,
        writes,
        expect![["rollout 'backend' promoted\n"]],
    )
    .await;
}

#[tokio::test]
async fn without_a_status_subresource_one_patch_of_the_object_does_it() {
    let mut both = rollout(&canary(), paused());
    both["spec"]["paused"] = true.into();
    let api = Api::with([versioned(both, "70")]);
    api.unserve("/status");
    let status = json!({ "metadata": { "resourceVersion": "70" }, "status": { "pauseConditions": null } });
    let mut unified = status.clone();
    unified["spec"] = json!({ "paused": false });
    let writes = vec![(path("backend/status"), status), (path("backend"), unified)];
    check(
        "promote backend",
        &api,
        writes,
        expect![["rollout 'backend' promoted\n"]],
    )
    .await;
}

#[tokio::test]
async fn a_rollout_that_moves_on_at_the_same_moment_loses_no_step() {
    let api = Api::with([versioned(rollout(&canary(), at_step(0, "Progressing", "")), "70")]);
    api.before_patch(|objects| {
        let object = objects.values_mut().next().unwrap();
        object["status"]["currentStepIndex"] = 1.into();
        object["metadata"]["resourceVersion"] = "71".into();
    });
    let (code, text) = run(&api, "promote backend").await;
    assert_eq!(code, 1);
    expect![[r#"
        error: rollout 'backend' moved on at the same moment, and nothing was promoted: look where it is now (`kubectl sluice get rollout backend`) and promote it again if you still want to
    "#]].assert_eq(&text);
    assert_eq!(api.writes().len(), 1, "nothing is sent after the conflict");
}

#[tokio::test]
async fn a_write_that_moves_nothing_does_not_stop_a_promotion() {
    let api = Api::with([versioned(rollout(&canary(), at_step(0, "Progressing", "")), "70")]);
    for version in ["71", "72"] {
        api.before_patch(move |objects| {
            let object = objects.values_mut().next().unwrap();
            object["status"]["readyReplicas"] = 3.into();
            object["metadata"]["resourceVersion"] = version.into();
        });
    }
    let (code, text) = run(&api, "promote backend").await;
    assert_eq!((code, text.as_str()), (0, "rollout 'backend' promoted\n"));
    let versions: Vec<Value> = api
        .writes()
        .iter()
        .map(|(_, patch)| patch["metadata"]["resourceVersion"].clone())
        .collect();
    assert_eq!(versions, ["70", "71", "72"]);
}

#[tokio::test]
async fn what_is_not_there_is_looked_for_nearby() {
    let named = |name: &str, namespace: &str| {
        let mut object = rollout(&canary(), paused());
        object["metadata"]["name"] = name.into();
        object["metadata"]["namespace"] = namespace.into();
        object
    };
    let here = Api::with([
        named("backend", NAMESPACE),
        named("frontend", NAMESPACE),
        named("payments", "other"),
    ]);
    let rows = [
        (
            "get rollout bakend",
            expect![[r#"
            error: there is no rollout 'bakend' in namespace 'shop'; did you mean 'backend'?
        "#]],
        ),
        (
            "status backend-v2",
            expect![[r#"
            error: there is no rollout 'backend-v2' in namespace 'shop'; did you mean 'backend'?
        "#]],
        ),
        (
            "promote payments",
            expect![[r#"
            error: there is no rollout 'payments' in namespace 'shop'; there is one in namespace 'other'
        "#]],
        ),
        (
            "abort zzz",
            expect![[r#"
            error: there is no rollout 'zzz' in namespace 'shop'
        "#]],
        ),
        (
            "abort backend zzz",
            expect![[r#"
            rollout 'backend' aborted
            error: there is no rollout 'zzz' in namespace 'shop'
        "#]],
        ),
    ];
    for (words, wanted) in rows {
        let (code, text) = run(&here, words).await;
        assert_eq!(code, 1, "{words}");
        wanted.assert_eq(&text);
    }
    let (_, text) = run(&Api::default(), "pause backend").await;
    expect![[r#"
        error: there is no rollout 'backend' in namespace 'shop'; there is none at all
    "#]]
    .assert_eq(&text);
}

#[tokio::test]
async fn a_right_that_is_missing_is_named() {
    let api = Api::with(shop());
    api.forbid(Method::PATCH, "/status");
    let (code, text) = run(&api, "abort backend").await;
    assert_eq!(code, 1);
    expect![[r#"
        error: you may not patch rollouts/status.argoproj.io in namespace 'shop'
    "#]]
    .assert_eq(&text);
    let api = Api::with(shop());
    api.forbid(Method::GET, "rollouts");
    let (_, text) = run(&api, "list rollouts -A").await;
    expect![[r#"
        error: you may not list rollouts.argoproj.io in all namespaces
    "#]]
    .assert_eq(&text);
    let api = Api::default();
    api.unserve("argoproj.io");
    let (_, text) = run(&api, "list rollouts").await;
    expect![[r#"
        error: this cluster has no rollouts.argoproj.io: is its CRD installed? (`kubectl sluice check` says more)
    "#]]
    .assert_eq(&text);
}

#[tokio::test]
async fn lists_have_a_line_for_each() {
    let mut green = rollout(
        &json!({ "blueGreen": { "activeService": "a" } }),
        json!({ "phase": "Healthy", "stableRS": NEW, "currentPodHash": NEW }),
    );
    green["metadata"]["name"] = "a-blue-green-one".into();
    let mut other = rollout(&canary(), at_step(4, "Healthy", ""));
    other["metadata"]["namespace"] = "other".into();
    other["status"]["stableRS"] = NEW.into();
    let api = Api::with([rollout(&canary(), paused()), green, other]);
    let (code, text) = run(&api, "list rollouts").await;
    assert_eq!(code, 0);
    expect![[r#"
        NAME              STRATEGY   STATUS   STEP  SET-WEIGHT  READY  DESIRED  UP-TO-DATE  AVAILABLE
        a-blue-green-one  BlueGreen  Healthy  -     -           5/4    4        1           5
        backend           Canary     Paused   1/4   25          5/4    4        1           5
    "#]]
    .assert_eq(&text);
    let (_, text) = run(&api, "list ro -A").await;
    expect![[r#"
        NAMESPACE  NAME              STRATEGY   STATUS   STEP  SET-WEIGHT  READY  DESIRED  UP-TO-DATE  AVAILABLE
        other      backend           Canary     Healthy  4/4   100         5/4    4        1           5
        shop       a-blue-green-one  BlueGreen  Healthy  -     -           5/4    4        1           5
        shop       backend           Canary     Paused   1/4   25          5/4    4        1           5
    "#]]
    .assert_eq(&text);
    let (_, text) = run(&api, "list rollouts -o json").await;
    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(list[1]["setWeight"], 25, "{list}");
    let (_, text) = run(&Api::default(), "list rollouts").await;
    expect![[r#"
        there are no rollouts in namespace 'shop'
    "#]]
    .assert_eq(&text);
}

#[tokio::test]
async fn watching_without_a_terminal_adds_a_line_for_each_change() {
    let api = Api::with(shop());
    let (code, text) = run(&api, "get rollout backend -w --timeout-seconds 2").await;
    assert_eq!(code, 0);
    // Three looks, and nothing changed but the time.
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1, "{text}");
    let (_, line) = lines[0].split_once("  ").unwrap();
    assert!(
        line.starts_with("॥ Paused - CanaryPauseStep; step 1/4; weight 25 wanted, 25 actual"),
        "{line}"
    );
}
