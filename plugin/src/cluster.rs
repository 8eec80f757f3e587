//! Calls to the API server, and what went wrong with them in words that say what would be right.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use futures::{Stream, StreamExt};
use http::{Method, Request};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
    core::{Status, WatchEvent},
};
use serde_json::{Value, json};

use crate::{
    files::{Files, Found},
    resource::Resource,
};

/// A call that takes longer has failed: a person waits for it.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// So many objects come with one call; the API server is asked for the rest.
const PAGE: usize = 500;
/// A watch is opened anew after this time, so that a connection that died unnoticed does not go on for ever.
const WATCH_SECONDS: u32 = 240;

/// How to reach a cluster, as kubectl's own options say it.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Connection {
    /// Namespace of the objects; by default that of the kubeconfig's context
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Context of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Path of the kubeconfig; by default $KUBECONFIG or ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<std::path::PathBuf>,
    /// User to act as, for example system:serviceaccount:sluice:sluice-controller
    #[arg(long = "as", global = true, value_name = "USER")]
    pub as_user: Option<String>,
}

/// An API server or what files have of one, and the namespace that is meant where none is named.
#[derive(Clone)]
pub struct Cluster {
    source: Source,
    /// Namespace of the objects that commands are about.
    pub namespace: String,
    /// Address of the API server, where it is known.
    pub address: String,
    /// User that the calls are made as, where it is not the one of the kubeconfig.
    pub as_user: Option<String>,
}

#[derive(Clone)]
enum Source {
    Server(Client),
    Files(Arc<Files>),
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The object is not there.
    #[error("{what} not found")]
    NotFound {
        /// Resource, name and namespace.
        what: String,
    },
    /// The kind is not there.
    #[error("this cluster has no {resource}: is its CRD installed? (`kubectl sluice check` says more)")]
    NotInstalled {
        /// The resource.
        resource: Resource,
    },
    /// The user may not do this.
    #[error("you may not {right}{why}")]
    Forbidden {
        /// Verb, resource and namespace.
        right: String,
        /// More than that the right is missing, where there is more.
        why: String,
    },
    /// Somebody else changed the object in between.
    #[error("{what} was changed by somebody else at the same moment")]
    Conflict {
        /// Resource, name and namespace.
        what: String,
    },
    /// The API server refused or failed.
    #[error("{what}: the API server answered {code}: {message}")]
    Refused {
        /// What was called.
        what: String,
        /// HTTP status.
        code: u16,
        /// Its message.
        message: String,
    },
    /// There was no answer.
    #[error("{what}: no answer from the API server: {message}")]
    Unreachable {
        /// What was called.
        what: String,
        /// What happened.
        message: String,
    },
    /// The files that stand for a cluster do not tell.
    #[error("the files do not tell: {what}")]
    NotInFiles {
        /// What was called.
        what: String,
    },
    /// What came back is not what it should be.
    #[error("{what}: {message}")]
    Undecodable {
        /// What was read.
        what: String,
        /// Where and how it is wrong.
        message: String,
    },
}

/// What a call is about, for its error.
#[derive(Clone, Copy)]
struct About<'a> {
    verb: &'a str,
    resource: &'a Resource,
    namespace: &'a str,
    name: &'a str,
}

impl Connection {
    /// Reads the kubeconfig and makes a client. Nothing is called yet.
    pub async fn open(&self) -> anyhow::Result<Cluster> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let mut config = match &self.kubeconfig {
            Some(path) => Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?,
            None if self.context.is_some() => Config::from_kubeconfig(&options).await?,
            None => Config::infer()
                .await
                .context("no cluster is known: name a file with --kubeconfig or $KUBECONFIG")?,
        };
        config.default_retry = false;
        config.connect_timeout = Some(Duration::from_secs(10));
        if let Some(user) = &self.as_user {
            config.auth_info.impersonate = Some(user.clone());
        }
        let namespace = self
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let address = config.cluster_url.to_string();
        let mut cluster = Cluster::new(Client::try_from(config)?, &namespace);
        cluster.address = address;
        cluster.as_user.clone_from(&self.as_user);
        Ok(cluster)
    }
}

impl Cluster {
    /// A cluster behind a client.
    pub fn new(client: Client, namespace: &str) -> Cluster {
        Cluster::from(Source::Server(client), namespace)
    }

    /// Files in the place of a cluster: they can be read from, and nothing else.
    pub fn offline(files: Files, namespace: &str) -> Cluster {
        Cluster::from(Source::Files(Arc::new(files)), namespace)
    }

    fn from(source: Source, namespace: &str) -> Cluster {
        Cluster {
            source,
            namespace: namespace.to_owned(),
            address: String::new(),
            as_user: None,
        }
    }

    /// One object.
    pub async fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Result<Value, CallError> {
        let about = About::new("get", resource, namespace, name);
        if let Source::Files(files) = &self.source {
            return match files.get(resource, namespace, name) {
                Found::Object(object) => Ok(object),
                Found::Absent => Err(CallError::NotFound { what: about.object() }),
                Found::Nothing => Err(about.not_in_files()),
            };
        }
        let request = Request::builder().uri(resource.path(namespace, name));
        self.call(request, Vec::new(), about).await
    }

    /// All objects of a namespace (empty: of all namespaces) that a label selector matches.
    pub async fn list(&self, resource: &Resource, namespace: &str, labels: &str) -> Result<Vec<Value>, CallError> {
        let about = About::new("list", resource, namespace, "");
        if let Source::Files(files) = &self.source {
            let found = files.list(resource, namespace, labels);
            return found.ok_or_else(|| about.not_in_files());
        }
        let mut objects = Vec::new();
        let mut proceed = String::new();
        loop {
            let query = query(&[
                ("limit", &PAGE.to_string()),
                ("labelSelector", labels),
                ("continue", &proceed),
            ]);
            let request = Request::builder().uri(format!("{}?{query}", resource.path(namespace, "")));
            let mut page = self.call(request, Vec::new(), about).await?;
            if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
                objects.extend(items);
            }
            match page.pointer("/metadata/continue").and_then(Value::as_str) {
                Some(next) if !next.is_empty() => next.clone_into(&mut proceed),
                _ => return Ok(objects),
            }
        }
    }

    /// Merge patch of an object or of one of its subresources. Returns the object as it is then.
    pub async fn patch(
        &self,
        resource: &Resource,
        (namespace, name): (&str, &str),
        subresource: Option<&str>,
        patch: &Value,
    ) -> Result<Value, CallError> {
        let part = subresource.map(|part| format!("/{part}")).unwrap_or_default();
        let target = Resource {
            plural: format!("{}{part}", resource.plural),
            ..resource.clone()
        };
        let about = About::new("patch", &target, namespace, name);
        let request = Request::builder()
            .method(Method::PATCH)
            .uri(format!("{}{part}", resource.path(namespace, name)))
            .header("Content-Type", "application/merge-patch+json");
        self.call(request, patch.to_string().into_bytes(), about).await
    }

    /// Creates an object, or asks what would be created.
    pub async fn create(
        &self,
        resource: &Resource,
        namespace: &str,
        object: &Value,
        dry_run: bool,
    ) -> Result<Value, CallError> {
        let about = About::new("create", resource, namespace, "");
        let all = if dry_run { "?dryRun=All" } else { "" };
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{all}", resource.path(namespace, "")))
            .header("Content-Type", "application/json");
        self.call(request, object.to_string().into_bytes(), about).await
    }

    /// Reads a path that is no object, such as `/version`.
    pub async fn read(&self, path: &str) -> Result<Value, CallError> {
        let resource = Resource::new("", "", path);
        let about = About::new("read", &resource, "", "");
        self.call(Request::builder().uri(path), Vec::new(), about).await
    }

    /// Whether the user may do something, by the API server's own word.
    pub async fn may(&self, verb: &str, resource: &Resource, namespace: &str, name: &str) -> Result<bool, CallError> {
        let (plural, subresource) = resource.plural.split_once('/').unwrap_or((&resource.plural, ""));
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": {
                "verb": verb,
                "group": resource.group,
                "resource": plural,
                "subresource": subresource,
                "namespace": namespace,
                "name": name,
            }},
        });
        let answer = self.create(&Resource::own_access_reviews(), "", &review, false).await?;
        Ok(answer.pointer("/status/allowed").and_then(Value::as_bool) == Some(true))
    }

    /// Changes of the objects of a namespace from now on, or from a resourceVersion on. Without one, the objects that are
    /// there come first. The stream ends after a while; whoever wants more opens it again.
    pub async fn watch(
        &self,
        resource: &Resource,
        namespace: &str,
        selector: &Selector<'_>,
        from: Option<&str>,
    ) -> Result<impl Stream<Item = Result<WatchEvent<Value>, CallError>> + Send + use<>, CallError> {
        let about = About::new("watch", resource, namespace, "");
        let query = query(&[
            ("watch", "true"),
            ("timeoutSeconds", &WATCH_SECONDS.to_string()),
            ("labelSelector", selector.labels),
            ("fieldSelector", selector.fields),
            ("resourceVersion", from.unwrap_or_default()),
        ]);
        let request = Request::builder()
            .uri(format!("{}?{query}", resource.path(namespace, "")))
            .body(Vec::new())
            .map_err(|error| about.unreachable(&error))?;
        let client = self.client(about)?;
        let opened = tokio::time::timeout(CALL_TIMEOUT, client.request_events::<Value>(request)).await;
        let events = opened
            .map_err(|_| about.unreachable(&"timed out"))?
            .map_err(|error| about.failed(&error))?;
        let what = about.to_string();
        Ok(events.map(move |event| {
            event.map_err(|error| CallError::Unreachable {
                what: what.clone(),
                message: chain(&error),
            })
        }))
    }

    fn client(&self, about: About<'_>) -> Result<&Client, CallError> {
        match &self.source {
            Source::Server(client) => Ok(client),
            Source::Files(_) => Err(about.not_in_files()),
        }
    }

    async fn call(&self, request: http::request::Builder, body: Vec<u8>, about: About<'_>) -> Result<Value, CallError> {
        let request = request.body(body).map_err(|error| about.unreachable(&error))?;
        let client = self.client(about)?;
        match tokio::time::timeout(CALL_TIMEOUT, client.request(request)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(about.failed(&error)),
            Err(_) => Err(about.unreachable(&format!("none within {} s", CALL_TIMEOUT.as_secs()))),
        }
    }
}

/// Which objects of a namespace are meant. Empty: all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selector<'a> {
    /// Label selector.
    pub labels: &'a str,
    /// Field selector.
    pub fields: &'a str,
}

impl CallError {
    /// Whether the object or its kind is not there.
    pub fn is_absent(&self) -> bool {
        matches!(self, CallError::NotFound { .. } | CallError::NotInstalled { .. })
    }

    /// Whether trying again later may help.
    pub fn may_pass(&self) -> bool {
        match self {
            CallError::Unreachable { .. } => true,
            CallError::Refused { code, .. } => *code == 429 || *code >= 500 || *code == 410,
            _ => false,
        }
    }
}

impl<'a> About<'a> {
    fn new(verb: &'a str, resource: &'a Resource, namespace: &'a str, name: &'a str) -> About<'a> {
        About {
            verb,
            resource,
            namespace,
            name,
        }
    }

    fn failed(&self, error: &kube::Error) -> CallError {
        match error {
            kube::Error::Api(status) => self.refused(status),
            kube::Error::SerdeError(error) => CallError::Undecodable {
                what: self.to_string(),
                message: error.to_string(),
            },
            other => self.unreachable(&chain(other)),
        }
    }

    fn refused(&self, status: &Status) -> CallError {
        // A path that nobody serves is answered without naming an object.
        let names_object = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
        let what = self.object();
        match status.code {
            404 if names_object && !self.name.is_empty() => CallError::NotFound { what },
            404 => CallError::NotInstalled {
                resource: self.resource.clone(),
            },
            401 => CallError::Refused {
                what: self.to_string(),
                code: 401,
                message: "who you are was not accepted: log in again".to_owned(),
            },
            403 => CallError::Forbidden {
                right: self.to_string(),
                why: denial(&status.message),
            },
            409 => CallError::Conflict { what },
            code => CallError::Refused {
                what: self.to_string(),
                code,
                message: status.message.clone(),
            },
        }
    }

    fn unreachable(&self, error: &dyn std::fmt::Display) -> CallError {
        CallError::Unreachable {
            what: self.to_string(),
            message: error.to_string(),
        }
    }

    fn not_in_files(&self) -> CallError {
        CallError::NotInFiles { what: self.to_string() }
    }

    fn object(&self) -> String {
        let place = if self.namespace.is_empty() {
            String::new()
        } else {
            format!(" in namespace '{}'", self.namespace)
        };
        format!("{} '{}'{place}", self.resource, self.name)
    }
}

impl std::fmt::Display for About<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        match (self.namespace, self.verb) {
            ("", "list" | "watch") => f.write_str(" in all namespaces"),
            ("", _) => Ok(()),
            (namespace, _) => write!(f, " in namespace '{namespace}'"),
        }
    }
}

/// What a 403 says where it is not simply that a right is missing: a quota is used up, a webhook objects.
fn denial(message: &str) -> String {
    let plain = message.is_empty() || (message.contains("User \"") && message.contains("cannot"));
    if plain { String::new() } else { format!(": {message}") }
}

/// An error with what caused it, each cause once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn query(pairs: &[(&str, &str)]) -> String {
    let escaped = |text: &str| -> String {
        let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let one = |byte: u8| {
            if keep(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        };
        text.bytes().map(one).collect()
    };
    let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
    pairs
        .map(|(key, value)| format!("{key}={}", escaped(value)))
        .collect::<Vec<_>>()
        .join("&")
}
