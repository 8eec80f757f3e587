//! Talking to the API server in tests: apply manifests as a person does, read anything, wait for what must become true.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use futures::{StreamExt as _, pin_mut};
use kube::api::{DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::ApiResource;
use kube::discovery::{self, Scope};
use kube::runtime::watcher;
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;

/// The field manager of [`Client::apply`].
pub const MANAGER: &str = "sluice-tests";

/// A client for one user.
#[derive(Clone)]
pub struct Client {
    kube: kube::Client,
    /// What discovery said, by `apiVersion/kind`: asked for once each.
    kinds: Arc<Mutex<BTreeMap<String, (ApiResource, Scope)>>>,
}

impl Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// Reads a kubeconfig; no request is made.
    pub async fn connect(kubeconfig: &Path) -> Result<Self> {
        let file = Kubeconfig::read_from(kubeconfig).with_context(|| format!("read {}", kubeconfig.display()))?;
        let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .with_context(|| format!("use {}", kubeconfig.display()))?;
        // A test that hides a failed request behind another one proves nothing.
        config.default_retry = false;
        let kube = kube::Client::try_from(config).context("make a client")?;
        Ok(Self {
            kube,
            kinds: Arc::default(),
        })
    }

    /// The client of kube, for typed use.
    pub fn kube(&self) -> kube::Client {
        self.kube.clone()
    }

    /// Whether `/readyz` says ok.
    pub async fn api_server_is_ready(&self) -> Result<bool> {
        let request = kube_request("/readyz")?;
        let answer = self.kube.request_text(request).await.context("ask /readyz")?;
        Ok(answer == "ok")
    }

    /// Applies every document of a YAML text by server-side apply, in order; objects that name no namespace go to
    /// `namespace`. Returns what the API server made of them.
    pub async fn apply(&self, namespace: &str, yaml: &str) -> Result<Vec<DynamicObject>> {
        let mut applied = Vec::new();
        for document in documents(yaml)? {
            let object: DynamicObject =
                serde_json::from_value(document).context("a document has no apiVersion, kind and metadata")?;
            applied.push(self.apply_object(namespace, &object).await?);
        }
        Ok(applied)
    }

    /// Applies a YAML file as [`Client::apply`] does.
    pub async fn apply_file(&self, namespace: &str, file: &Path) -> Result<Vec<DynamicObject>> {
        let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        self.apply(namespace, &text)
            .await
            .with_context(|| format!("apply {}", file.display()))
    }

    async fn apply_object(&self, namespace: &str, object: &DynamicObject) -> Result<DynamicObject> {
        let types = object.types.as_ref().context("a document has no apiVersion and kind")?;
        let own = object.namespace();
        let api = self
            .api(&types.api_version, &types.kind, own.as_deref().unwrap_or(namespace))
            .await?;
        let name = object.name_any();
        api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(object))
            .await
            .with_context(|| format!("apply {} {name}", types.kind))
    }

    /// Reads any object as JSON.
    pub async fn read(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<Value> {
        let api = self.api(api_version, kind, namespace).await?;
        let object = api
            .get(name)
            .await
            .with_context(|| format!("read {kind} {namespace}/{name}"))?;
        serde_json::to_value(object).with_context(|| format!("read {kind} {namespace}/{name}"))
    }

    /// Changes any object by a JSON merge patch.
    pub async fn patch(&self, api_version: &str, kind: &str, namespace: &str, name: &str, patch: &Value) -> Result<()> {
        let api = self.api(api_version, kind, namespace).await?;
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .with_context(|| format!("patch {kind} {namespace}/{name}"))?;
        Ok(())
    }

    /// Deletes any object, in the background as kubectl does.
    pub async fn delete(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<()> {
        let api = self.api(api_version, kind, namespace).await?;
        api.delete(name, &DeleteParams::background())
            .await
            .with_context(|| format!("delete {kind} {namespace}/{name}"))?;
        Ok(())
    }

    /// The untyped interface of a kind, by discovery; the namespace counts for namespaced kinds only.
    pub async fn api(&self, api_version: &str, kind: &str, namespace: &str) -> Result<Api<DynamicObject>> {
        let key = format!("{api_version}/{kind}");
        let mut kinds = self.kinds.lock().await;
        if !kinds.contains_key(&key) {
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            let (resource, capabilities) =
                discovery::pinned_kind(&self.kube, &GroupVersionKind::gvk(group, version, kind))
                    .await
                    .with_context(|| format!("the API server serves no {kind} of {api_version}"))?;
            kinds.insert(key.clone(), (resource, capabilities.scope));
        }
        let (resource, scope) = &kinds[&key];
        Ok(match scope {
            Scope::Namespaced => Api::namespaced_with(self.kube(), namespace, resource),
            Scope::Cluster => Api::all_with(self.kube(), resource),
        })
    }

    /// Waits on a watch until the object fulfils `condition` (`None`: it does not exist) and returns it as it then was.
    /// The error says `what` was waited for and how the object looked last.
    pub async fn wait_for<K>(
        &self,
        api: &Api<K>,
        name: &str,
        what: &str,
        within: Duration,
        condition: impl Fn(Option<&K>) -> bool,
    ) -> Result<Option<K>>
    where
        K: Resource + Clone + DeserializeOwned + Serialize + Debug + Send + 'static,
    {
        let mut last = None;
        let mut failure = None;
        let watch = async {
            let objects = watcher::watch_object(api.clone(), name);
            pin_mut!(objects);
            while let Some(seen) = objects.next().await {
                match seen {
                    Ok(object) if condition(object.as_ref()) => return Some(object),
                    Ok(object) => last = object,
                    Err(error) => failure = Some(error), // the watch begins again by itself
                }
            }
            None
        };
        if let Ok(Some(object)) = tokio::time::timeout(within, watch).await {
            return Ok(object);
        }
        let looked = match (&last, failure) {
            (Some(object), _) => serde_json::to_string_pretty(object).unwrap_or_else(|error| error.to_string()),
            (None, Some(error)) => format!("the watch failed: {error}"),
            (None, None) => "it does not exist".to_owned(),
        };
        bail!(
            "waited {} s for {what} of {name}; it was last:\n{looked}",
            within.as_secs()
        );
    }
}

/// Waits until `check` gives a value, for conditions that have no events. The error says `what` was waited for and the
/// last error of `check`, if it had one.
pub async fn wait_until<T, F>(what: &str, within: Duration, mut check: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let give_up = Instant::now() + within;
    let mut last = None;
    loop {
        match check().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
        if Instant::now() > give_up {
            let message = format!("waited {} s for {what}", within.as_secs());
            return Err(last.map_or_else(|| anyhow!(message.clone()), |error| error.context(message.clone())));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The documents of a YAML text that are not empty.
pub fn documents(yaml: &str) -> Result<Vec<Value>> {
    // The definitions of the Gateway API are larger than what the parser takes from strangers.
    let options = serde_saphyr::options! { budget: None };
    let values: Vec<Value> =
        serde_saphyr::from_multiple_with_options(yaml, options).map_err(|error| anyhow!("no valid YAML: {error}"))?;
    Ok(values.into_iter().filter(|value| !value.is_null()).collect())
}

fn kube_request(path: &str) -> Result<axum::http::Request<Vec<u8>>> {
    axum::http::Request::get(path)
        .body(Vec::new())
        .with_context(|| format!("make a request for {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_documents_are_left_out() {
        let found = documents("---\na: 1\n---\n---\nb: [2]\n").expect("it is valid");
        assert_eq!(found, [serde_json::json!({"a": 1}), serde_json::json!({"b": [2]})]);
        assert!(documents("a: [").is_err());
    }
}
