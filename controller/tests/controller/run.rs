//! The whole controller against an API server in the process: what a standby does, what a stop does, and that one bad object
//! does not hold up another.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use crate::common::{Answer, Asked, Leases, Log, client, context, failure, rollout, until};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use sluice_controller::kinds::Kind;
use sluice_controller::{Config, admin, run_with};
use tokio::sync::oneshot;
use tower::ServiceExt as _;

/// Answers lists by `rollouts` and empty lists, watches by silence, and everything else by `other`.
fn cluster(
    leases: Leases,
    rollouts: Vec<Value>,
    other: impl Fn(&Asked) -> Answer + Send + Sync,
) -> impl Fn(&Asked) -> Answer {
    move |asked| {
        if let Some(answer) = leases.answer(asked) {
            return answer;
        }
        if asked.method != "GET" {
            return other(asked);
        }
        if asked.path.contains("watch=true") {
            return Answer::Never;
        }
        let path = asked.path.split('?').next().unwrap();
        let items = if path == "/apis/argoproj.io/v1alpha1/rollouts" {
            rollouts.clone()
        } else {
            vec![]
        };
        if path.ends_with('s') {
            let version = json!({ "resourceVersion": "100" });
            return Answer::Object(
                200,
                json!({ "kind": "List", "apiVersion": "v1", "metadata": version, "items": items }),
            );
        }
        let name = path.rsplit('/').next().unwrap();
        let found = rollouts.iter().find(|rollout| rollout["metadata"]["name"] == name);
        found.map_or_else(
            || failure(404, "NotFound"),
            |rollout| Answer::Object(200, rollout.clone()),
        )
    }
}

struct Running {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

fn start(client: kube::Client) -> Running {
    let config = Config {
        metrics_bind: None,
        healthz_bind: None,
        ..Config::default()
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        let shutdown = async move { drop(stopped.await) };
        run_with(config, client, shutdown).await.unwrap();
    });
    Running { stop, task }
}

fn writes(log: &Log) -> Vec<String> {
    let writes = log.writes().into_iter().filter(|asked| !asked.path.contains("/leases"));
    writes.map(|asked| format!("{} {}", asked.method, asked.path)).collect()
}

fn named(name: &str, mut rollout: Value) -> Value {
    rollout["metadata"]["name"] = name.into();
    rollout["metadata"]["uid"] = format!("uid-{name}").into();
    rollout.as_object_mut().unwrap().remove("status");
    rollout
}

#[tokio::test]
async fn a_bad_object_does_not_hold_up_its_neighbour_and_a_stop_releases_the_lease() {
    let mut bad = named("bad", rollout(1));
    bad["spec"]["replicas"] = json!({ "this": "is no number" });
    let rollouts = vec![bad, named("good", rollout(2))];
    let leases = Leases::default();
    let accept = |asked: &Asked| {
        let mut object = asked.body.clone();
        object["metadata"]["uid"] = "new".into();
        object["metadata"]["resourceVersion"] = "200".into();
        Answer::Object(201, object)
    };
    let (client, log) = client(cluster(leases.clone(), rollouts, accept));
    let running = start(client);
    let of_good = "PATCH /apis/argoproj.io/v1alpha1/namespaces/ns/rollouts/good/status?fieldManager=sluice-controller";
    until("a commit for the good one", || {
        writes(&log).iter().any(|write| write == of_good)
    })
    .await;
    let about_bad = || {
        let events = log.writes().into_iter().filter(|asked| asked.path.contains("/events"));
        events
            .filter(|asked| asked.body["involvedObject"]["name"] == "bad")
            .collect::<Vec<_>>()
    };
    until("an event about the bad one", || !about_bad().is_empty()).await;
    let message = about_bad()[0].body["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("cannot be decoded") && message.contains("expected i32"),
        "{message}"
    );
    assert!(
        !writes(&log).iter().any(|write| write.contains("rollouts/bad")),
        "{:?}",
        writes(&log)
    );

    assert_ne!(
        leases.get("sluice-controller-lock").unwrap()["spec"]["holderIdentity"],
        ""
    );
    let began = std::time::Instant::now();
    running.stop.send(()).unwrap();
    running.task.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(
        leases.get("sluice-controller-lock").unwrap()["spec"]["holderIdentity"],
        ""
    );
}

#[tokio::test]
async fn a_standby_reads_and_writes_nothing() {
    let leases = Leases::default();
    let theirs = Asked {
        method: "POST".into(),
        path: "/apis/coordination.k8s.io/v1/namespaces/default/leases".into(),
        body: json!({ "metadata": { "name": "sluice-controller-lock" }, "spec": {
            "holderIdentity": "another", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z",
        }}),
    };
    leases.answer(&theirs);
    let refuse = |_: &Asked| failure(500, "InternalError");
    let (client, log) = client(cluster(leases, vec![named("good", rollout(2))], refuse));
    let running = start(client);
    // All kinds are watched, and the Lease has been looked at more than once.
    let count = |part: &str| log.lines().iter().filter(|line| line.contains(part)).count();
    until("watches", || count("watch=true") == Kind::ALWAYS.len() + 1).await;
    until("looks at the Lease", || count("leases/sluice-controller-lock") > 2).await;
    running.stop.send(()).unwrap();
    running.task.await.unwrap();
    assert!(log.writes().is_empty(), "{:?}", log.writes());
}

#[tokio::test]
async fn while_argo_rollouts_is_live_nothing_is_written() {
    let leases = Leases::default();
    let theirs = Asked {
        method: "POST".into(),
        path: "/apis/coordination.k8s.io/v1/namespaces/argo-rollouts/leases".into(),
        body: json!({ "metadata": { "name": "argo-rollouts-controller-lock" }, "spec": {
            "holderIdentity": "argo-rollouts-5d9f", "leaseDurationSeconds": 15,
            "renewTime": jiff::Timestamp::now().to_string(),
        }}),
    };
    leases.answer(&theirs);
    let refuse = |_: &Asked| failure(500, "InternalError");
    let (client, log) = client(cluster(leases, vec![named("good", rollout(2))], refuse));
    let running = start(client);
    let count = |part: &str| log.lines().iter().filter(|line| line.contains(part)).count();
    until("two looks at their Lease", || count("argo-rollouts/leases") > 1).await;
    running.stop.send(()).unwrap();
    running.task.await.unwrap();
    assert!(writes(&log).is_empty(), "{:?}", writes(&log));
}

async fn ask(routes: &axum::Router, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = routes.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn the_admin_pages_tell_what_is_going_on() {
    let (client, _) = client(|asked| {
        let found = asked.path.ends_with("/rollouts/shop");
        if found {
            Answer::Object(200, rollout(10))
        } else {
            failure(404, "NotFound")
        }
    });
    let context = context(client.clone(), &[(Kind::Rollout, rollout(10))]).await;
    let (health, metrics) = (
        admin::health_routes(context.clone()),
        admin::metrics_routes(context.clone()),
    );
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!(ask(&health, path).await, (StatusCode::OK, "ok".to_owned()), "{path}");
    }
    let (status, text) = ask(&metrics, "/debug/plan/ns/shop").await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{text}");
    sluice_controller::reconcile::rollout(&context, &crate::common::key()).await;
    let (status, text) = ask(&metrics, "/debug/plan/ns/shop").await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("\nhold: ") || text.starts_with("trouble: "), "{text}");
    let (_, text) = ask(&metrics, "/metrics").await;
    assert!(
        text.contains("rollout_reconcile_count 0") && text.ends_with("# EOF\n"),
        "{text}"
    );
    let (_, text) = ask(&metrics, "/debug/state").await;
    assert!(text.contains("leading:     true"), "{text}");
    assert_eq!(ask(&metrics, "/healthz").await.0, StatusCode::NOT_FOUND);

    let config = Config {
        metrics_bind: None,
        healthz_bind: None,
        ..Config::default()
    };
    let leadership = sluice_controller::leadership::Leadership::always();
    let (publisher, _sender) = sluice_controller::publish::channel();
    let (fresh, _routes) = sluice_controller::context::Context::new(config, client, leadership, publisher);
    fresh.notices.raise("reading services", "may not be listed");
    let (status, text) = ask(&admin::health_routes(fresh), "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("reading services: may not be listed"), "{text}");
}
