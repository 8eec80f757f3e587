//! Giving back what a Rollout managed that is gone: its Services, its routes, its DestinationRule.
//!
//! What is to be done follows from what is on the objects ([`sluice_machine::release`]), so that a crash loses nothing: after a
//! restart Services and DestinationRules, which name the Rollout, lead here again. Routes do not name it and are not watched for
//! this. They are listed when there is something to give back, in one namespace, which is rare.

use std::sync::Arc;
use std::time::Instant;

use kube::Client;
use serde::Deserialize;
use sluice_machine::{Remains, release};

use crate::api::{self, CallError};
use crate::backoff::{self, Delays};
use crate::context::Context;
use crate::execute::{self, Failure};
use crate::incumbent::Incumbent;
use crate::kinds::Kind;
use crate::ledger::{ObjectId, PATIENCE};
use crate::object::ObjectName;
use crate::queue::Key;
use crate::reconcile::{MAX_SLEEP, STARTING_POLL, give_up};
use crate::watch;

/// DestinationRules that are read at once in the search at the start.
const PAGE: u32 = 500;

/// Gives back what a Rollout managed that is gone: whoever else has pods for its Services, such as the Deployment that it took
/// over from, gets their traffic before the Rollout's own pods end. `false` says that something failed; it is tried again.
pub async fn give_back(context: &Context, key: &Key) -> bool {
    let rollout = key.name();
    let services = context.cache.managed(&Kind::Service, rollout);
    if services.is_empty() && context.cache.managed(&Kind::destination_rule(), rollout).is_empty() {
        context.forget(key);
        return true;
    }
    let wait = match context.lookout.state() {
        Incumbent::Nobody => None,
        Incumbent::Unknown => Some(STARTING_POLL),
        Incumbent::Live(_) => Some(MAX_SLEEP),
    };
    if let Some(wait) = wait {
        context.queue.add_at(key.clone(), Instant::now() + wait);
        return true;
    }
    let id = ObjectId {
        kind: Kind::Rollout,
        name: rollout.clone(),
    };
    // A Rollout that is not in the cache may only not have been listed yet.
    let objects = match watch::refresh(context, &id).await {
        Ok(None) => routes(&context.client, &rollout.namespace).await,
        Ok(Some(_)) => return true,
        Err(source) => Err(source),
    };
    let objects = match objects {
        Ok(objects) => objects,
        Err(source) => {
            let what = "reading what a Rollout that is gone has left behind".to_owned();
            return give_up(context, key, &Failure { what, source });
        }
    };
    let effects = release(&Remains {
        rollout: rollout.name.clone(),
        services: services.iter().map(|service| service.value()).collect(),
        objects,
    });
    if effects.is_empty() {
        context.forget(key);
        return true;
    }
    let mut failed = None;
    for effect in &effects {
        if let Err(source) = execute::give_back(context, key, effect).await {
            let what = execute::describe(effect);
            failed.get_or_insert(Failure { what, source });
        }
    }
    if let Some(failure) = failed {
        return give_up(context, key, &failure);
    }
    // Once more, when the caches have seen it: the last look finds nothing.
    context.known(key, |known| known.delays = None);
    context.queue.add(key.clone());
    context.queue.add_at(key.clone(), Instant::now() + PATIENCE);
    true
}

async fn routes(client: &Client, namespace: &str) -> Result<Vec<serde_json::Value>, CallError> {
    let kinds = Kind::routes();
    let lists = kinds.iter().map(|kind| api::list(client, kind, namespace));
    let lists = futures::future::try_join_all(lists).await?;
    Ok(lists.into_iter().flatten().collect())
}

/// Looks once, at the start, whether any DestinationRule is annotated as managed by a Rollout. If so they are watched from then
/// on, as one may be left by a Rollout that was deleted while no controller ran. Without one, nothing of Istio is watched until
/// a Rollout names it.
pub async fn look_for_rules(context: Arc<Context>) {
    let mut delays = Delays::watch(backoff::seed("destination rules"));
    loop {
        match has_managed_rule(&context).await {
            Ok(true) => return context.want_route(&Kind::destination_rule()),
            // Not installed, or not to be read: then none was written either.
            Ok(false) | Err(CallError::NotFound(_) | CallError::Forbidden(_)) => return,
            Err(error) => {
                tracing::debug!(%error, "DestinationRules cannot be listed");
                tokio::time::sleep(delays.next_delay()).await;
            }
        }
    }
}

async fn has_managed_rule(context: &Context) -> Result<bool, CallError> {
    #[derive(Deserialize)]
    struct List {
        #[serde(default)]
        metadata: ListMetadata,
        #[serde(default)]
        items: Vec<kube::core::PartialObjectMeta>,
    }
    #[derive(Default, Deserialize)]
    struct ListMetadata {
        #[serde(default)]
        r#continue: Option<String>,
    }
    let namespace = context.config.watched_namespace.as_deref().unwrap_or_default();
    let path = Kind::destination_rule().path(&ObjectName::new(namespace, ""));
    let mut from = String::new();
    loop {
        let page = format!("{path}?limit={PAGE}{from}");
        let list: List = api::call(&context.client, api::get_metadata_list(&page), api::READ_TIMEOUT).await?;
        let mut annotations = list.items.iter().filter_map(|item| item.metadata.annotations.as_ref());
        if annotations.any(|all| all.contains_key(sluice_traffic::MANAGED_BY_ANNOTATION)) {
            return Ok(true);
        }
        match list.metadata.r#continue.filter(|token| !token.is_empty()) {
            Some(token) => from = format!("&continue={}", api::query_escape(&token)),
            None => return Ok(false),
        }
    }
}
