//! Every version that an object, or each object of a kind, had while a test looked, without a gap: the judge of what
//! happened in between.
//!
//! A condition that is waited for may come and go unseen between two looks. A watch from a known resourceVersion shows each
//! write, and continues where it ended when its connection ends; where the server no longer has what follows, that is an
//! error and not a gap.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use futures::{StreamExt as _, pin_mut};
use kube::api::{DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::Value;
use tokio::task::AbortHandle;

use crate::{Plane, wait_until};

/// One version of the object.
#[derive(Debug, Clone)]
pub struct Version {
    /// When it was seen.
    pub at: Instant,
    /// The object.
    pub object: Value,
    /// Whether this is the last version of an object that is gone.
    pub deleted: bool,
}

/// The versions of one object, or of all objects of a kind, since the watch began. The watch ends with this value.
#[derive(Debug)]
pub struct History {
    seen: Arc<Mutex<Seen>>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct Seen {
    versions: Vec<Version>,
    gap: Option<String>,
}

impl History {
    /// Begins with the present version.
    pub async fn start(plane: &Plane, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<Self> {
        let api = plane.client.api(api_version, kind, namespace).await?;
        let first = api
            .get(name)
            .await
            .with_context(|| format!("read {kind} {namespace}/{name}"))?;
        let version = first.resource_version().context("an object has a resourceVersion")?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        seen.lock()
            .expect("no thread panics while it holds this lock")
            .push(&first, false);
        let params = WatchParams::default().fields(&format!("metadata.name={name}"));
        let task = tokio::spawn(follow(api, params, version, Arc::clone(&seen))).abort_handle();
        Ok(Self { seen, task })
    }

    /// Follows all objects of a kind in a namespace. There must be none yet.
    pub async fn of_kind(plane: &Plane, api_version: &str, kind: &str, namespace: &str) -> Result<Self> {
        let api = plane.client.api(api_version, kind, namespace).await?;
        let list = api.list(&ListParams::default()).await;
        let list = list.with_context(|| format!("list {kind} in {namespace}"))?;
        ensure!(
            list.items.is_empty(),
            "there is a {kind} in {namespace} before the watch begins"
        );
        let version = list.metadata.resource_version.context("a list has a resourceVersion")?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let task = tokio::spawn(follow(api, WatchParams::default(), version, Arc::clone(&seen))).abort_handle();
        Ok(Self { seen, task })
    }

    /// The objects that exist, as they were seen last, by name.
    pub fn present(&self) -> Result<BTreeMap<String, Value>> {
        let seen = self.seen.lock().expect("no thread panics while it holds this lock");
        if let Some(gap) = &seen.gap {
            bail!("the watch has a gap: {gap}");
        }
        let mut last: BTreeMap<&str, &Version> = BTreeMap::new();
        for version in &seen.versions {
            last.insert(version.object["metadata"]["name"].as_str().unwrap_or_default(), version);
        }
        let present = last.into_iter().filter(|(_, version)| !version.deleted);
        Ok(present
            .map(|(name, version)| (name.to_owned(), version.object.clone()))
            .collect())
    }

    /// All versions so far, the oldest first.
    pub fn versions(&self) -> Result<Vec<Version>> {
        let seen = self.seen.lock().expect("no thread panics while it holds this lock");
        match &seen.gap {
            Some(gap) => bail!("the watch has a gap: {gap}"),
            None => Ok(seen.versions.clone()),
        }
    }

    /// The values that `what` gave, without those that repeat the one before.
    pub fn distinct<T: PartialEq>(&self, what: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>> {
        let versions = self.versions()?;
        let mut values: Vec<T> = versions.iter().filter_map(|version| what(&version.object)).collect();
        values.dedup();
        Ok(values)
    }

    /// Waits for the first version that was seen after `mark` and fulfils `condition`; when it was seen.
    pub async fn first_after(
        &self,
        what: &str,
        mark: Instant,
        within: std::time::Duration,
        condition: impl Fn(&Value) -> bool,
    ) -> Result<Instant> {
        wait_until(what, within, || async {
            let versions = self.versions()?;
            let mut later = versions.iter().filter(|version| version.at >= mark);
            Ok(later
                .find(|version| condition(&version.object))
                .map(|version| version.at))
        })
        .await
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    fn push(&mut self, object: &DynamicObject, deleted: bool) {
        match serde_json::to_value(object) {
            Ok(object) => self.versions.push(Version {
                at: Instant::now(),
                object,
                deleted,
            }),
            Err(error) => self.gap = Some(error.to_string()),
        }
    }
}

async fn follow(api: Api<DynamicObject>, params: WatchParams, mut version: String, seen: Arc<Mutex<Seen>>) {
    loop {
        let events = match api.watch(&params, &version).await {
            Ok(events) => events,
            Err(error) => return note_gap(&seen, error.to_string()),
        };
        pin_mut!(events);
        // An error or the end of the stream is no gap: the next watch begins where this one ended.
        while let Some(Ok(event)) = events.next().await {
            let deleted = matches!(event, WatchEvent::Deleted(_));
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) => {
                    version = object.resource_version().unwrap_or(version);
                    let mut seen = seen.lock().expect("no thread panics while it holds this lock");
                    seen.push(&object, deleted);
                }
                WatchEvent::Bookmark(bookmark) => version = bookmark.metadata.resource_version,
                WatchEvent::Error(error) => return note_gap(&seen, error.message),
            }
        }
    }
}

fn note_gap(seen: &Mutex<Seen>, why: String) {
    seen.lock().expect("no thread panics while it holds this lock").gap = Some(why);
}
