//! `get rollout`: what is shown, and why it waits.

use expect_test::{Expect, expect};
use http::Method;
use serde_json::{Value, json};
use sluice_plugin::{
    explain::{Recollection, explain},
    observe::observe,
    text::Screen,
    view::{View, render, view},
};

use crate::{
    api::{Api, NAMESPACE},
    fixtures::*,
};

async fn look(api: &Api) -> View {
    let cluster = api.cluster();
    let mut observation = observe(&cluster, "backend").await.unwrap();
    let plan = explain(&cluster, &mut observation, &mut Recollection::default(), now()).await;
    view(&observation, &plan, now())
}

fn shown(view: &View) -> String {
    let mut out = Vec::new();
    Screen::new(&mut out, false, true).lines(render(view, now())).unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn a_canary_in_a_pause_is_shown_with_all_that_belongs_to_it() {
    expect![[r#"
        Name:            backend
        Namespace:       shop
        Status:          ॥ Paused
        Message:         CanaryPauseStep
        Strategy:        Canary
          Step:          1/4
          SetWeight:     25
          ActualWeight:  25
        Images:          sluice/backend:v1 (stable)
                         sluice/backend:v2 (canary)
        Replicas:
          Desired:       4
          Current:       5
          Updated:       1
          Ready:         5
          Available:     5
        Canary's share:           WANTED  ROUTED  ACKNOWLEDGED
          HTTPRoute shop/backend  25 %    25 %    yes
        Services:
          backend-stable  stable  selects 5d8f9c (revision 1)
          backend-canary  canary  selects 7b6c4d (revision 2)
        Waits:           paused (CanaryPauseStep) until 2026-03-01T12:05:00Z
                         looked at again in 5m, at 2026-03-01T12:05:00Z, or at a change
        Steps:
          ✔  1 setWeight: 25
          ▶  2 pause: 10m
             3 setWeight: 50
             4 analysis: error-rate

        NAME                         KIND        STATUS     AGE   INFO
        ⟳ backend                    Rollout     ॥ Paused   120m
        ├──# revision:2
        │  └──⧉ backend-7b6c4d       ReplicaSet  ✔ Healthy  10m   canary, ready:1/1, available:1
        │     └──□ backend-7b6c4d-0  Pod         ✔ Running  10m   ready:1/1
        └──# revision:1
           └──⧉ backend-5d8f9c       ReplicaSet  ✔ Healthy  120m  stable, ready:4/4, available:4
              ├──□ backend-5d8f9c-0  Pod         ✔ Running  10m   ready:1/1
              ├──□ backend-5d8f9c-1  Pod         ✔ Running  10m   ready:1/1
              ├──□ backend-5d8f9c-2  Pod         ✔ Running  10m   ready:1/1
              └──□ backend-5d8f9c-3  Pod         ✔ Running  10m   ready:1/1
    "#]]
    .assert_eq(&shown(&look(&Api::with(shop())).await));
}

#[tokio::test]
async fn an_aborted_canary_says_why() {
    let mut status = at_step(
        0,
        "Degraded",
        "RolloutAborted: Rollout aborted update to revision 2: error-rate failed",
    );
    status["abort"] = true.into();
    status["abortedAt"] = "2026-03-01T11:59:00Z".into();
    let api = Api::with(shop());
    api.put(rollout(&canary(), status));
    api.put(run(
        "Failed",
        "Metric \"error-rate\" assessed Failed due to failed (2) > failureLimit (1)",
    ));
    api.put(route(0, 7));
    let mut new = replica_set(2, NEW, "v2", 1, 1);
    new["metadata"]["annotations"]["scale-down-deadline"] = "2026-03-01T12:00:25Z".into();
    api.put(new);
    expect![[r#"
        Name:            backend
        Namespace:       shop
        Status:          ✖ Degraded
        Message:         RolloutAborted: Rollout aborted update to revision 2: error-rate failed
        Strategy:        Canary
          Step:          0/4
          SetWeight:     0
          ActualWeight:  0
        Images:          sluice/backend:v1 (stable)
                         sluice/backend:v2 (canary)
        Replicas:
          Desired:       4
          Current:       5
          Updated:       1
          Ready:         5
          Available:     5
        Canary's share:           WANTED  ROUTED  ACKNOWLEDGED
          HTTPRoute shop/backend  0 %     0 %     yes
        Services:
          backend-stable  stable  selects 5d8f9c (revision 1)
          backend-canary  canary  selects 7b6c4d (revision 2)  ready endpoints: 1 of 7b6c4d
        Waits:           the update was aborted: retry it, or change the pod template
        Next:            make Service backend-canary select revision 5d8f9c
                         if that stays so, look whether the controller runs: kubectl sluice check
        Steps:
             1 setWeight: 25
             2 pause: 10m
             3 setWeight: 50
             4 analysis: error-rate

        NAME                         KIND         STATUS      AGE   INFO
        ⟳ backend                    Rollout      ✖ Degraded  120m
        ├──# revision:2
        │  ├──⧉ backend-7b6c4d       ReplicaSet   ✔ Healthy   10m   canary, ready:1/1, available:1, delay:25s
        │  │  └──□ backend-7b6c4d-0  Pod          ✔ Running   10m   ready:1/1
        │  └──α backend-7b6c4d-2-3   AnalysisRun  ✖ Failed    2m    ✔ 4, ✖ 2, ⚠ 1, Metric "error-rate" assessed Failed due to failed (2) > failureLimit (1)
        └──# revision:1
           └──⧉ backend-5d8f9c       ReplicaSet   ✔ Healthy   120m  stable, ready:4/4, available:4
              ├──□ backend-5d8f9c-0  Pod          ✔ Running   10m   ready:1/1
              ├──□ backend-5d8f9c-1  Pod          ✔ Running   10m   ready:1/1
              ├──□ backend-5d8f9c-2  Pod          ✔ Running   10m   ready:1/1
              └──□ backend-5d8f9c-3  Pod          ✔ Running   10m   ready:1/1
    "#]].assert_eq(&shown(&look(&api).await));
}

/// The line of the reason, and what the controller would do.
async fn check(what: &str, api: Api, wanted: Expect) {
    let view = look(&api).await;
    let waits = view.waits.map_or_else(
        || "nothing".to_owned(),
        |waits| format!("{}: {}", waits.hold, waits.reason),
    );
    let next = view
        .next
        .iter()
        .map(|next| format!("\n  next: {next}"))
        .collect::<String>();
    wanted.assert_eq(&format!("{what}: {waits}{next}"));
}

#[tokio::test]
async fn the_reason_to_wait_is_that_of_the_controllers_own_machine() {
    let at = |index: i32| {
        rollout(
            &canary(),
            at_step(index, "Progressing", "more replicas need to be updated"),
        )
    };
    let changed = |objects: Vec<Value>| {
        let api = Api::with(shop());
        for object in objects {
            api.put(object);
        }
        api
    };

    check(
        "a timed pause",
        changed(vec![]),
        expect!["a timed pause: paused: paused (CanaryPauseStep) until 2026-03-01T12:05:00Z"],
    )
    .await;

    let mut lagging = vec![at(0), replica_set(2, NEW, "v2", 1, 0)];
    lagging.extend(pods(NEW, 1, "ImagePullBackOff", "backend-canary"));
    check(
        "pods that do not start",
        changed(lagging),
        expect![[r#"
            pods that do not start: new-not-available: 0 of 1 pods of the new ReplicaSet backend-7b6c4d are available
              next: set HTTPRoute shop/backend to backend-canary 0 / backend-stable 100"#]],
    )
    .await;

    check("a route that is not acknowledged", changed(vec![at(0), route(25, 6)]), expect!["a route that is not acknowledged: not-acknowledged: HTTPRoute shop/backend is not acknowledged: Gateway shop/web: example.com/gateway has seen generation 6 and not yet 7 (Accepted)"]).await;

    let mut moved = route(25, 7);
    let moving = json!({ "at": "2026-03-01T11:59:58.123456789Z", "to": { "total": 100, "parts": { "backend-stable/5d8f9c": 75, "backend-canary/7b6c4d": 25 } }, "from": [] });
    moved["metadata"]["annotations"] = json!({ "moving.sluice.dev/backend-canary": moving.to_string() });
    check("a route that proxies still follow", changed(vec![at(0), moved]), expect!["a route that proxies still follow: draining: HTTPRoute shop/backend was acknowledged; proxies get until 2026-03-01T12:00:01Z to follow"]).await;

    check("a Service whose endpoints lag", changed(vec![at(2), replica_set(2, NEW, "v2", 2, 2)]), expect!["a Service whose endpoints lag: not-acknowledged: Service backend-canary is not acknowledged: 1 of 2 pods of the new revision are ready endpoints"]).await;

    let mut grown = vec![at(2), replica_set(2, NEW, "v2", 2, 2)];
    grown.extend(pods(NEW, 2, "Running", "backend-canary"));
    check(
        "a weight that is to be written",
        changed(grown),
        expect![[r#"
        a weight that is to be written: nothing
          next: set HTTPRoute shop/backend to backend-canary 50 / backend-stable 50"#]],
    )
    .await;

    let mut by_user = rollout(&canary(), at_step(0, "Paused", "manually paused"));
    by_user["spec"]["paused"] = true.into();
    check(
        "a pause by a user",
        changed(vec![by_user]),
        expect!["a pause by a user: paused-by-user: spec.paused is true: set it to false to go on"],
    )
    .await;

    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": "argo-rollouts-controller-lock", "namespace": "argo-rollouts" },
        "spec": { "holderIdentity": "argo-1", "leaseDurationSeconds": 15, "renewTime": "2999-01-01T00:00:00.000000Z" },
    });
    check("Argo's own controller", changed(vec![lease]), expect!["Argo's own controller: incumbent-alive: another controller is live: `argo-1` holds the Lease of Argo Rollouts; stop it first"]).await;
}

#[tokio::test]
async fn a_missing_right_is_named_where_it_is_missed() {
    let step = || rollout(&canary(), at_step(0, "Progressing", ""));
    let without = |method: Method, part: &str| {
        let api = Api::with(shop());
        api.put(step());
        api.forbid(method, part);
        api
    };
    check("routes", without(Method::GET, "httproutes"), expect!["routes: unknown: HTTPRoute shop/backend: not known, because reading it failed: you may not get httproutes.gateway.networking.k8s.io in namespace 'shop'"]).await;
    check("endpoints", without(Method::GET, "endpointslices"), expect!["endpoints: not-acknowledged: Service shop/backend-canary is not acknowledged: its endpoints are not known: reading it failed: you may not list endpointslices.discovery.k8s.io in namespace 'shop'"]).await;
    check("ReplicaSets", without(Method::GET, "replicasets"), expect!["ReplicaSets: unknown: the ReplicaSets: not known, because reading it failed: you may not list replicasets.apps in namespace 'shop'"]).await;
    let pods = without(Method::GET, "/pods");
    let notes = look(&pods).await.notes;
    expect!["pods are not shown: reading it failed: you may not list pods in namespace 'shop'"]
        .assert_eq(&notes.join("\n"));

    // Revisions of Argo Rollouts record no template: the API server is asked what the defaults make of it.
    let foreign = without(Method::POST, "replicasets");
    for (revision, hash, version, count) in [(1, OLD, "v1", 4), (2, NEW, "v2", 1)] {
        let mut set = replica_set(revision, hash, version, count, count);
        set["metadata"]["annotations"]
            .as_object_mut()
            .unwrap()
            .remove("sluice.dev/pod-template");
        foreign.put(set);
    }
    check("dry-run", foreign, expect!["dry-run: unknown: the pod template with defaults: not known, because reading it failed: you may not create replicasets.apps in namespace 'shop'"]).await;
}

#[tokio::test]
async fn a_revision_that_records_no_template_is_recognised_by_a_dry_run() {
    let api = Api::with(shop());
    for (revision, hash, version, count) in [(1, OLD, "v1", 4), (2, NEW, "v2", 1)] {
        let mut set = replica_set(revision, hash, version, count, count);
        set["metadata"]["annotations"]
            .as_object_mut()
            .unwrap()
            .remove("sluice.dev/pod-template");
        api.put(set);
    }
    let view = look(&api).await;
    assert_eq!(view.waits.unwrap().hold, "paused");
    let writes = api.writes();
    let wanted = format!("POST /apis/apps/v1/namespaces/{NAMESPACE}/replicasets?dryRun=All");
    assert_eq!(
        writes.iter().map(|(call, _)| call.as_str()).collect::<Vec<_>>(),
        [wanted]
    );
    assert_eq!(writes[0].1["spec"]["template"], template("v2"));
    assert_eq!(writes[0].1["metadata"], json!({ "generateName": "sluice-defaults-" }));

    let (cluster, mut recollection) = (api.cluster(), Recollection::default());
    for _ in 0..3 {
        let mut observation = observe(&cluster, "backend").await.unwrap();
        explain(&cluster, &mut observation, &mut recollection, now()).await;
    }
    assert_eq!(api.writes().len(), 2, "whoever goes on looking asks once");
}

#[tokio::test]
async fn a_pod_template_that_the_api_server_refuses_is_the_reason() {
    let api = Api::with(shop());
    let mut changed = rollout(&canary(), at_step(0, "Progressing", ""));
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "sluice/backend:v9".into();
    api.put(changed);
    api.refuse("admission webhook \"images\" denied the request: v9 is not signed");
    check("refused", api, expect![[r#"refused: invalid-spec: the spec is invalid: spec.template: the API server refuses it: admission webhook "images" denied the request: v9 is not signed"#]]).await;
}

#[tokio::test]
async fn blue_green_shows_what_each_service_selects() {
    let strategy = json!({ "blueGreen": {
        "activeService": "backend-stable", "previewService": "backend-canary", "autoPromotionEnabled": false,
    } });
    let status = json!({
        "phase": "Paused", "message": "BlueGreenPause", "stableRS": OLD, "currentPodHash": NEW, "controllerPause": true,
        "pauseConditions": [{ "reason": "BlueGreenPause", "startTime": "2026-03-01T11:55:00Z" }],
        "blueGreen": { "activeSelector": OLD, "previewSelector": NEW },
    });
    let mut objects = vec![
        rollout(&strategy, status),
        replica_set(1, OLD, "v1", 4, 4),
        replica_set(2, NEW, "v2", 4, 4),
        service("backend-stable", OLD),
        service("backend-canary", NEW),
    ];
    objects.extend(pods(OLD, 4, "Running", "backend-stable"));
    objects.extend(pods(NEW, 4, "Running", "backend-canary"));
    let api = Api::with(objects);
    api.forbid(Method::GET, "/pods");
    // The status has no conditions yet and counts of a while ago: they are written a second later.
    expect![[r#"
        Name:            backend
        Namespace:       shop
        Status:          ॥ Paused
        Message:         BlueGreenPause
        Strategy:        BlueGreen
        Images:          sluice/backend:v1 (active, stable)
                         sluice/backend:v2 (preview)
        Replicas:
          Desired:       4
          Current:       5
          Updated:       1
          Ready:         5
          Available:     5
        Services:
          backend-stable  active   selects 5d8f9c (revision 1)
          backend-canary  preview  selects 7b6c4d (revision 2)
        Waits:           waiting for promotion (autoPromotionEnabled is false)
                         looked at again in 1s, at 2026-03-01T12:00:01Z, or at a change

        NAME                    KIND        STATUS     AGE   INFO
        ⟳ backend               Rollout     ॥ Paused   120m
        ├──# revision:2
        │  └──⧉ backend-7b6c4d  ReplicaSet  ✔ Healthy  10m   preview, ready:4/4, available:4
        └──# revision:1
           └──⧉ backend-5d8f9c  ReplicaSet  ✔ Healthy  120m  stable,active, ready:4/4, available:4

        note: pods are not shown: reading it failed: you may not list pods in namespace 'shop'
    "#]]
    .assert_eq(&shown(&look(&api).await));
}

#[tokio::test]
async fn messages_of_others_cannot_act_on_the_terminal() {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}";
    let api = Api::with(shop());
    api.put(rollout(&canary(), at_step(0, "Progressing", evil)));
    api.put(run("Failed", evil));
    let mut set = replica_set(2, NEW, "v2", 1, 1);
    set["spec"]["template"]["spec"]["containers"][0]["image"] = evil.into();
    api.put(set);
    let mut out = Vec::new();
    Screen::new(&mut out, true, false)
        .lines(render(&look(&api).await, now()))
        .unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("owned"), "the rest of the text is shown");
    let acting: Vec<char> = text
        .chars()
        .filter(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}')
        .collect();
    assert!(acting.is_empty(), "{acting:?}");
}

#[tokio::test]
async fn programs_get_the_same_as_json() {
    let view = serde_json::to_value(look(&Api::with(shop())).await).unwrap();
    assert_eq!(view["phase"], "Paused");
    assert_eq!(view["waits"]["hold"], "paused");
    assert_eq!(view["routes"][0]["routed"], json!([25]));
    assert_eq!(view["revisions"][0]["sets"][0]["roles"], json!(["canary"]));
    assert_eq!(view["steps"][1], json!({ "step": "pause: 10m", "state": "current" }));
}
