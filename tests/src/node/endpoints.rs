//! Which pods get traffic: a watch on all `EndpointSlice`s, and the wait for a pod to have left them.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, pin_mut};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt as _};
use tokio::sync::watch;

/// The uids of the pods that are ready in a slice, by the uid of the slice; nothing before the first list.
type Slices = Option<BTreeMap<String, BTreeSet<String>>>;

/// What all slices say now.
pub(super) struct Endpoints(watch::Receiver<Slices>);

impl Endpoints {
    /// Watches for as long as the runtime runs.
    pub(super) fn watch(client: kube::Client) -> Self {
        let (sender, receiver) = watch::channel(Slices::None);
        tokio::spawn(async move {
            let events = watcher(Api::<EndpointSlice>::all(client), watcher::Config::default());
            pin_mut!(events);
            let mut listed = BTreeMap::new();
            while let Some(event) = events.next().await {
                match event {
                    Ok(Event::Apply(slice)) => sender.send_modify(|slices| {
                        slices
                            .get_or_insert_default()
                            .insert(slice.uid().unwrap_or_default(), ready(&slice));
                    }),
                    Ok(Event::Delete(slice)) => sender.send_modify(|slices| {
                        slices.get_or_insert_default().remove(&slice.uid().unwrap_or_default());
                    }),
                    Ok(Event::Init) => listed.clear(),
                    Ok(Event::InitApply(slice)) => {
                        listed.insert(slice.uid().unwrap_or_default(), ready(&slice));
                    }
                    Ok(Event::InitDone) => {
                        sender.send_replace(Some(std::mem::take(&mut listed)));
                    }
                    Err(error) => eprintln!("watch endpoints: {error}"),
                }
            }
        });
        Self(receiver)
    }

    /// Returns when no slice lists the pod with this uid as ready.
    pub(super) async fn left_by(&self, uid: &str) {
        let mut slices = self.0.clone();
        let gone = |slices: &Slices| {
            slices
                .as_ref()
                .is_some_and(|all| !all.values().any(|pods| pods.contains(uid)))
        };
        // An error means that the watch has ended, which it only does with the node.
        let _ = slices.wait_for(gone).await;
    }
}

fn ready(slice: &EndpointSlice) -> BTreeSet<String> {
    let ready = slice.endpoints.iter().filter(|endpoint| {
        // A missing condition means ready, says the API.
        endpoint
            .conditions
            .as_ref()
            .and_then(|conditions| conditions.ready)
            .unwrap_or(true)
    });
    ready
        .filter_map(|endpoint| endpoint.target_ref.as_ref()?.uid.clone())
        .collect()
}
