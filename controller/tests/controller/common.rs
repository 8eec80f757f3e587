//! An API server in the process: it answers by a function and remembers what it was asked.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test; and not every test uses all of this"
)]

use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use sluice_controller::cache::Change;
use sluice_controller::config::Config;
use sluice_controller::context::Context;
use sluice_controller::kinds::Kind;
use sluice_controller::leadership::Leadership;
use sluice_controller::object::{ObjectName, Stored};
use sluice_controller::queue::Key;
use sluice_controller::{publish, watch};

/// What was asked: method, path with query, body.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub body: Value,
}

/// What is answered: a status and an object, or nothing at all.
pub enum Answer {
    Object(u16, Value),
    Never,
}

/// The requests so far.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<Asked>>>);

impl Log {
    /// All requests, as `METHOD path`.
    pub fn lines(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .map(|asked| format!("{} {}", asked.method, asked.path))
            .collect()
    }

    /// The requests that are no reads.
    pub fn writes(&self) -> Vec<Asked> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .filter(|asked| asked.method != "GET")
            .cloned()
            .collect()
    }

    /// Forgets what was.
    pub fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

/// A client of a server that answers by `answer`.
pub fn client(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> (Client, Log) {
    let log = Log::default();
    let (answer, requests) = (Arc::new(answer), log.clone());
    let service = tower::service_fn(move |request: Request<Body>| {
        let (answer, requests) = (answer.clone(), requests.clone());
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await.unwrap().to_bytes();
            let asked = Asked {
                method: parts.method.to_string(),
                path: parts.uri.path_and_query().unwrap().to_string(),
                body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            };
            requests.0.lock().unwrap().push(asked.clone());
            match answer(&asked) {
                Answer::Object(status, object) => {
                    let body = Body::from(object.to_string().into_bytes());
                    let response = Response::builder()
                        .status(StatusCode::from_u16(status).unwrap())
                        .body(body);
                    Ok::<_, std::convert::Infallible>(response.unwrap())
                }
                Answer::Never => std::future::pending().await,
            }
        }
    });
    (Client::new(service, "default"), log)
}

/// A failure as the API server words it.
pub fn failure(code: u16, reason: &str) -> Answer {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure",
        "code": code, "reason": reason, "message": format!("{reason}, says the test"),
    });
    Answer::Object(code, status)
}

/// A context whose caches hold `objects` and nothing else, which leads and knows of no other controller.
pub async fn context(client: Client, objects: &[(Kind, Value)]) -> Arc<Context> {
    context_with(client, objects, Leadership::always()).await
}

pub async fn context_with(client: Client, objects: &[(Kind, Value)], leadership: Arc<Leadership>) -> Arc<Context> {
    let config = Config {
        metrics_bind: None,
        healthz_bind: None,
        ..Config::default()
    };
    let (publisher, _sender) = publish::channel();
    let (context, _routes) = Context::new(config, client, leadership, publisher);
    for kind in Kind::ALWAYS {
        watch::take_in(&context, &kind, Change::ListBegins);
        for (_, object) in objects.iter().filter(|(of, _)| *of == kind) {
            watch::take_in(&context, &kind, Change::Listed(stored(object)));
        }
        watch::take_in(&context, &kind, Change::ListEnds);
    }
    context.set_extensions(true);
    context
        .lookout
        .look_again(
            &context.client,
            &context.notices,
            &mut std::collections::BTreeMap::new(),
        )
        .await;
    context
}

pub fn stored(object: &Value) -> Arc<Stored> {
    Arc::new(Stored::pack(object.clone(), true).unwrap())
}

pub fn key() -> Key {
    Key::Rollout(ObjectName::new("ns", "shop"))
}

/// The Rollout `ns/shop` with 2 replicas and no routes, stable and current at revision `new`.
pub fn rollout(version: u64) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {
            "name": "shop", "namespace": "ns", "uid": "r1", "generation": 2, "resourceVersion": version.to_string(),
        },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app": "shop" } },
            "template": {
                "metadata": { "labels": { "app": "shop" } },
                "spec": { "containers": [{ "name": "shop", "image": "shop:2" }] },
            },
            "strategy": { "canary": {} },
        },
        "status": { "stableRS": "new", "currentPodHash": "new" },
    })
}

/// The `ReplicaSet` `ns/shop-<hash>`.
pub fn replica_set(hash: &str, version: u64, replicas: u32, owner: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": format!("shop-{hash}"), "namespace": "ns", "uid": format!("s-{hash}"), "generation": 1,
            "resourceVersion": version.to_string(),
            "labels": { "app": "shop", "rollouts-pod-template-hash": hash },
            "ownerReferences": [{
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "shop", "uid": owner, "controller": true,
            }],
        },
        "spec": { "replicas": replicas },
        "status": {
            "observedGeneration": 1,
            "replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas,
        },
    })
}

/// A store of Leases that checks resourceVersions as the API server does.
#[derive(Clone, Default)]
pub struct Leases(Arc<Mutex<std::collections::BTreeMap<String, Value>>>);

impl Leases {
    /// One Lease of the namespace `default`.
    pub fn get(&self, name: &str) -> Option<Value> {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/default/leases/{name}");
        self.0.lock().unwrap().get(&path).cloned()
    }

    /// Answers requests about Leases and `None` to all others.
    pub fn answer(&self, asked: &Asked) -> Option<Answer> {
        let path = asked.path.split('?').next().unwrap();
        if !path.contains("/leases") {
            return None;
        }
        let mut leases = self.0.lock().unwrap();
        let answer = match asked.method.as_str() {
            "GET" => match leases.get(path) {
                Some(lease) => Answer::Object(200, lease.clone()),
                None => failure(404, "NotFound"),
            },
            "POST" => {
                let path = format!("{path}/{}", asked.body["metadata"]["name"].as_str().unwrap());
                let mut lease = asked.body.clone();
                lease["metadata"]["resourceVersion"] = "1".into();
                match leases.entry(path) {
                    Entry::Occupied(_) => failure(409, "AlreadyExists"),
                    Entry::Vacant(place) => Answer::Object(201, place.insert(lease).clone()),
                }
            }
            _ => {
                let lease = leases.get_mut(path).unwrap();
                let version = lease["metadata"]["resourceVersion"].clone();
                if asked.body["metadata"]["resourceVersion"] == version {
                    sluice_machine::json::merge(lease, &asked.body);
                    let next = version.as_str().unwrap().parse::<u64>().unwrap() + 1;
                    lease["metadata"]["resourceVersion"] = next.to_string().into();
                    Answer::Object(200, lease.clone())
                } else {
                    failure(409, "Conflict")
                }
            }
        };
        Some(answer)
    }
}

/// Waits until something is so. A test that waits for what never comes is ended by its own time-out.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(30), wait).await;
    assert!(ended.is_ok(), "waited in vain: {what}");
}
