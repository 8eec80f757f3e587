//! Rollouts that are gone: what they managed is given back, also by a process that has never seen them.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::common::{Answer, Asked, client, context, failure, key, rollout, stored};
use serde_json::{Value, json};
use sluice_controller::cache::Change;
use sluice_controller::context::Context;
use sluice_controller::kinds::Kind;
use sluice_controller::{reconcile, watch};

const SERVICE: &str = "/api/v1/namespaces/ns/services/";
const ROUTES: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/ns/httproutes";

fn service(name: &str, version: u64) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": name, "namespace": "ns", "uid": name, "resourceVersion": version.to_string(),
            "annotations": { "argo-rollouts.argoproj.io/managed-by-rollouts": "shop" },
        },
        "spec": { "selector": { "app": "shop", "rollouts-pod-template-hash": "a" } },
    })
}

fn route() -> Value {
    let record = json!({
        "at": "2026-03-01T12:00:00Z",
        "to": { "total": 100, "parts": { "stable/a": 80, "canary/b": 20 } },
        "rest": { "stable": "stable" },
    });
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {
            "name": "shop", "namespace": "ns", "uid": "route", "resourceVersion": "30",
            "annotations": { "moving.sluice.dev/canary": record.to_string() },
        },
        "spec": { "rules": [{ "backendRefs": [{ "name": "stable", "weight": 80 }, { "name": "canary", "weight": 20 }] }] },
    })
}

/// Objects by their paths.
type Objects = Arc<Mutex<BTreeMap<String, Value>>>;

/// An API server with these objects, by path, that keeps what is patched. Writes on what `refused` names fail.
fn server(refused: &'static str) -> (impl Fn(&Asked) -> Answer + Send + Sync, Objects) {
    let objects = BTreeMap::from([
        (format!("{SERVICE}stable"), service("stable", 20)),
        (format!("{SERVICE}canary"), service("canary", 21)),
        (format!("{ROUTES}/shop"), route()),
    ]);
    let objects = Arc::new(Mutex::new(objects));
    let kept = objects.clone();
    let answer = move |asked: &Asked| {
        let mut objects = objects.lock().unwrap();
        let path = asked.path.split('?').next().unwrap();
        if asked.method == "GET" && path == ROUTES {
            let items: Vec<&Value> = objects
                .iter()
                .filter(|(at, _)| at.starts_with(path))
                .map(|(_, it)| it)
                .collect();
            return Answer::Object(200, json!({ "items": items }));
        }
        let Some(object) = objects.get_mut(path) else {
            return failure(404, "NotFound");
        };
        if asked.method == "PATCH" {
            if path.ends_with(refused) {
                return failure(403, "Forbidden");
            }
            let version = &object["metadata"]["resourceVersion"];
            if asked.body["metadata"]["resourceVersion"] != *version {
                return failure(409, "Conflict");
            }
            let next = version.as_str().unwrap().parse::<u64>().unwrap() + 100;
            sluice_machine::json::merge(object, &asked.body);
            object["metadata"]["resourceVersion"] = next.to_string().into();
        }
        Answer::Object(200, object.clone())
    };
    (answer, kept)
}

/// The watch of Services tells of what was written.
fn tell(context: &Context, objects: &Mutex<BTreeMap<String, Value>>) {
    let services: Vec<Value> = objects
        .lock()
        .unwrap()
        .values()
        .filter(|it| it["kind"] == "Service")
        .cloned()
        .collect();
    for service in services {
        watch::take_in(context, &Kind::Service, Change::Applied(stored(&service)));
    }
    context.ledger().forget(&key());
}

fn services() -> Vec<(Kind, Value)> {
    vec![
        (Kind::Service, service("stable", 20)),
        (Kind::Service, service("canary", 21)),
    ]
}

#[tokio::test]
async fn the_route_comes_first_and_the_marks_on_services_go_last() {
    let (answer, objects) = server("nothing");
    let (client, log) = client(answer);
    let context = context(client, &services()).await;
    assert!(
        context.cache.all_keys().contains(&key()),
        "whoever begins to lead looks for it"
    );
    log.clear();
    assert!(reconcile::rollout(&context, &key()).await);
    let written = |log: &crate::common::Log| -> Vec<(String, bool)> {
        let marks = |asked: &Asked| asked.body["metadata"].get("annotations").is_some();
        let name = |asked: &Asked| {
            asked
                .path
                .split('?')
                .next()
                .unwrap()
                .rsplit('/')
                .next()
                .unwrap()
                .to_owned()
        };
        log.writes().iter().map(|asked| (name(asked), marks(asked))).collect()
    };
    let names = |list: &[(&str, bool)]| {
        list.iter()
            .map(|(name, marks)| ((*name).to_owned(), *marks))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        written(&log),
        names(&[("shop", true), ("canary", false), ("stable", false)])
    );
    tell(&context, &objects);
    log.clear();
    assert!(reconcile::rollout(&context, &key()).await);
    assert_eq!(written(&log), names(&[("canary", true), ("stable", true)]));
    tell(&context, &objects);
    log.clear();
    assert!(reconcile::rollout(&context, &key()).await);
    assert_eq!(log.lines(), Vec::<String>::new(), "nothing of it is left");
    assert!(!context.cache.all_keys().contains(&key()));
    let objects = objects.lock().unwrap();
    for service in ["stable", "canary"] {
        assert_eq!(
            objects[&format!("{SERVICE}{service}")]["spec"]["selector"],
            json!({ "app": "shop" })
        );
    }
    let route = &objects[&format!("{ROUTES}/shop")];
    let backends = json!([{ "name": "stable", "weight": 100 }, { "name": "canary", "weight": 0 }]);
    assert_eq!(route["spec"]["rules"][0]["backendRefs"], backends);
}

#[tokio::test]
async fn a_route_that_cannot_be_written_keeps_no_service_back_and_is_not_forgotten() {
    let (answer, objects) = server("httproutes/shop");
    let (client, _) = client(answer);
    let context = context(client, &services()).await;
    for _ in 0..3 {
        assert!(!reconcile::rollout(&context, &key()).await);
        tell(&context, &objects);
    }
    let objects = objects.lock().unwrap();
    let service = &objects[&format!("{SERVICE}stable")];
    assert_eq!(service["spec"]["selector"], json!({ "app": "shop" }));
    assert_eq!(
        service["metadata"]["annotations"]["argo-rollouts.argoproj.io/managed-by-rollouts"],
        "shop"
    );
}

#[tokio::test]
async fn a_rollout_that_is_only_not_listed_yet_keeps_its_services() {
    let (client, log) = client(|asked| {
        if asked.path.contains("/rollouts/shop") {
            Answer::Object(200, rollout(10))
        } else {
            failure(404, "NotFound")
        }
    });
    let context = context(client, &services()).await;
    assert!(reconcile::rollout(&context, &key()).await);
    assert_eq!(log.writes(), []);
}
