//! An API server in the same process, behind the real client: objects by path, merge patches under resourceVersion, lists with
//! label selectors, watches from a script. It keeps what it was asked.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::{Client, client::Body};
use serde_json::{Map, Value, json};
use sluice_plugin::cluster::Cluster;

/// The namespace of all fixtures.
pub const NAMESPACE: &str = "shop";

type Hook = Box<dyn FnMut(&mut BTreeMap<String, Value>) + Send>;

/// The server. Clones are the same server.
#[derive(Clone, Default)]
pub struct Api(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    requests: Vec<(Method, String, Value)>,
    /// Methods and parts of paths that are forbidden.
    forbidden: Vec<(Method, String)>,
    /// Parts of paths that nobody serves.
    unserved: Vec<String>,
    /// Events of the next watches.
    watches: VecDeque<Vec<Value>>,
    /// What is wrong with every object that is to be created.
    refusal: Option<String>,
    /// What somebody else does before the next patches.
    before_patch: VecDeque<Hook>,
    version: u64,
}

impl Api {
    /// A server with objects.
    pub fn with(objects: impl IntoIterator<Item = Value>) -> Api {
        let api = Api::default();
        for object in objects {
            api.put(object);
        }
        api
    }

    /// Puts an object where its kind and name belong.
    pub fn put(&self, mut object: Value) {
        let mut state = self.0.lock().unwrap();
        state.version += 1;
        let version = state.version;
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata
            .entry("resourceVersion")
            .or_insert_with(|| version.to_string().into());
        metadata.entry("uid").or_insert_with(|| format!("uid-{version}").into());
        state.objects.insert(path_of(&object), object);
    }

    /// Removes a Rollout.
    pub fn remove(&self, name: &str) {
        self.0
            .lock()
            .unwrap()
            .objects
            .retain(|path, _| !path.ends_with(&format!("/rollouts/{name}")));
    }

    /// Answers such requests with 403.
    pub fn forbid(&self, method: Method, part: &str) {
        self.0.lock().unwrap().forbidden.push((method, part.to_owned()));
    }

    /// Answers such requests as if nobody served the path.
    pub fn unserve(&self, part: &str) {
        self.0.lock().unwrap().unserved.push(part.to_owned());
    }

    /// Refuses to create anything.
    pub fn refuse(&self, why: &str) {
        self.0.lock().unwrap().refusal = Some(why.to_owned());
    }

    /// The next watch gets these events and then ends.
    pub fn will_see(&self, events: Vec<Value>) {
        self.0.lock().unwrap().watches.push_back(events);
    }

    /// Before the next patch is carried out, somebody else does this.
    pub fn before_patch(&self, hook: impl FnMut(&mut BTreeMap<String, Value>) + Send + 'static) {
        self.0.lock().unwrap().before_patch.push_back(Box::new(hook));
    }

    /// Everything that was written: method, path, body.
    pub fn writes(&self) -> Vec<(String, Value)> {
        let state = self.0.lock().unwrap();
        let writes = state.requests.iter().filter(|(method, ..)| method != Method::GET);
        writes
            .map(|(method, path, body)| (format!("{method} {path}"), body.clone()))
            .collect()
    }

    /// A client of this server.
    pub fn cluster(&self) -> Cluster {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        Cluster::new(Client::new(service, NAMESPACE), NAMESPACE)
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body: Value = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).unwrap()
        };
        let path = parts.uri.path().to_owned();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let full = if query.is_empty() {
            path.clone()
        } else {
            format!("{path}?{query}")
        };
        let mut state = self.0.lock().unwrap();
        state.requests.push((parts.method.clone(), full, body.clone()));
        if state
            .forbidden
            .iter()
            .any(|(method, part)| *method == parts.method && path.contains(part))
        {
            return status(403, "Forbidden", "x is forbidden: User \"me\" cannot do this", None);
        }
        if state.unserved.iter().any(|part| path.contains(part)) {
            return status(
                404,
                "NotFound",
                "the server could not find the requested resource",
                None,
            );
        }
        if query.contains("watch=true") {
            let events = state.watches.pop_front().unwrap_or_default();
            let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
            return Response::new(Body::from(lines.into_bytes()));
        }
        match parts.method {
            Method::GET => state.read(&path, &query),
            Method::PATCH => state.patch(&path, &body),
            Method::POST => state.post(&path, body),
            other => panic!("{other} {path}"),
        }
    }
}

impl State {
    fn read(&self, path: &str, query: &str) -> Response<Body> {
        if let Some(object) = self.objects.get(path) {
            return ok(object);
        }
        let name = path.rsplit('/').next().unwrap();
        let in_all_namespaces = |key: &str| {
            let (group, plural) = path.rsplit_once('/').unwrap();
            let rest = key.strip_prefix(&format!("{group}/namespaces/"));
            rest.is_some_and(|rest| rest.split('/').nth(1) == Some(plural))
        };
        let in_collection =
            |key: &str| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')) || in_all_namespaces(key);
        let selector = query.split('&').find_map(|pair| pair.strip_prefix("labelSelector="));
        let selector = selector.unwrap_or_default().replace("%2F", "/").replace("%3D", "=");
        let items: Vec<&Value> = self
            .objects
            .iter()
            .filter(|(key, _)| in_collection(key))
            .map(|(_, object)| object)
            .collect();
        // A last part that is a plural is a collection, of whatever number of objects.
        if PLURALS.contains(&name) {
            let items: Vec<&Value> = items.into_iter().filter(|item| selects(&selector, item)).collect();
            return ok(&json!({ "kind": "List", "metadata": {}, "items": items }));
        }
        status(404, "NotFound", "not found", Some(name))
    }

    fn patch(&mut self, path: &str, body: &Value) -> Response<Body> {
        if let Some(mut hook) = self.before_patch.pop_front() {
            hook(&mut self.objects);
        }
        let target = path.strip_suffix("/status").unwrap_or(path);
        let name = target.rsplit('/').next().unwrap().to_owned();
        self.version += 1;
        let version = self.version;
        let Some(object) = self.objects.get_mut(target) else {
            return status(404, "NotFound", "not found", Some(&name));
        };
        let wanted = body.pointer("/metadata/resourceVersion");
        if wanted.is_some_and(|wanted| *wanted != object["metadata"]["resourceVersion"]) {
            return status(409, "Conflict", "the object has been modified", Some(&name));
        }
        merge(object, body);
        object["metadata"]["resourceVersion"] = version.to_string().into();
        ok(object)
    }

    fn post(&mut self, path: &str, mut body: Value) -> Response<Body> {
        if path.ends_with("/selfsubjectaccessreviews") {
            let wanted = &body["spec"]["resourceAttributes"];
            let text = |key: &str| wanted[key].as_str().unwrap_or_default().to_owned();
            let right = format!("{} {}/{}", text("verb"), text("resource"), text("subresource"));
            let denied = self
                .forbidden
                .iter()
                .any(|(_, part)| right.trim_end_matches('/') == *part);
            body["status"] = json!({ "allowed": !denied });
        } else if let Some(why) = &self.refusal {
            return status(422, "Invalid", why, None);
        }
        if let Some(prefix) = body["metadata"]["generateName"].as_str() {
            body["metadata"]["name"] = format!("{prefix}x7f2k").into();
        }
        ok(&body)
    }
}

const PLURALS: [&str; 11] = [
    "rollouts",
    "replicasets",
    "analysisruns",
    "analysistemplates",
    "clusteranalysistemplates",
    "pods",
    "leases",
    "endpointslices",
    "deployments",
    "gatewayclasses",
    "services",
];

fn path_of(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
    let root = if version.contains('/') { "/apis" } else { "/api" };
    let plural = match kind {
        "GatewayClass" => "gatewayclasses".to_owned(),
        kind => format!("{}s", kind.to_lowercase()),
    };
    if kind == "Raw" {
        return name.to_owned();
    }
    if ["CustomResourceDefinition", "GatewayClass", "ClusterAnalysisTemplate"].contains(&kind) {
        return format!("{root}/{version}/{plural}/{name}");
    }
    let namespace = object
        .pointer("/metadata/namespace")
        .and_then(Value::as_str)
        .unwrap_or(NAMESPACE);
    format!("{root}/{version}/namespaces/{namespace}/{plural}/{name}")
}

fn selects(selector: &str, object: &Value) -> bool {
    let labels = &object["metadata"]["labels"];
    selector
        .split(',')
        .filter(|part| !part.is_empty())
        .all(|part| match part.split_once('=') {
            Some((key, value)) => labels[key] == value,
            None => !labels[part].is_null(),
        })
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (key, value) in fields {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key], value);
        }
    }
}

fn ok(value: &Value) -> Response<Body> {
    Response::new(Body::from(value.to_string().into_bytes()))
}

fn status(code: u16, reason: &str, message: &str, name: Option<&str>) -> Response<Body> {
    let body = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
        "details": { "name": name.unwrap_or_default() },
    });
    Response::builder()
        .status(code)
        .body(Body::from(body.to_string().into_bytes()))
        .unwrap()
}
