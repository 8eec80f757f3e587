//! Watches: from the API server into the caches, and from there to the queue.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use sluice_crds::names::annotation;
use sluice_machine::Why;

use crate::backoff::{self, Delays};
use crate::cache::Change;
use crate::context::Context;
use crate::kinds::Kind;
use crate::metrics::KindLabel;
use crate::object::{Object, Stored};

/// Objects in one page of a list: a page of large objects is the highest wave of memory that a start makes.
const PAGE_SIZE: u32 = 100;

/// Definitions often carry a second copy of themselves in an annotation, some hundred kilobytes each.
const DEFINITIONS_PAGE_SIZE: u32 = 10;

/// As many interruptions in a row are worth a word: with the delays between them they take about two seconds.
const LASTING: u32 = 3;

/// How often a kind is tried again that is not installed or may not be read, at the latest.
const RECHECK: Duration = Duration::from_mins(1);

/// Watches one kind for as long as the process lives.
pub async fn watch(context: Arc<Context>, kind: Kind) {
    if kind.keeps_managers() {
        run::<true>(&context, &kind).await;
    } else {
        run::<false>(&context, &kind).await;
    }
}

async fn run<const MANAGERS: bool>(context: &Context, kind: &Kind) {
    let resource = kind.resource();
    let client = context.client.clone();
    let namespace = context.config.watched_namespace.as_deref();
    let api: Api<Object<MANAGERS>> = match namespace.filter(|_| !kind.is_cluster_scoped()) {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let config = watcher::Config {
        label_selector: kind.labels(context.config.instance_id.as_deref()),
        page_size: Some(PAGE_SIZE),
        ..watcher::Config::default()
    };
    let mut delays = Delays::watch(backoff::seed(&kind.label()));
    let mut failures = 0;
    loop {
        let mut events = std::pin::pin!(watcher::watcher(api.clone(), config.clone()));
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    if matches!(event, Event::InitDone) {
                        context.notices.clear(&about(kind));
                        context.notices.answered();
                    }
                    if !matches!(event, Event::Init) {
                        delays.reset();
                        failures = 0;
                    }
                    take_in(context, kind, change(event));
                }
                Err(error) => {
                    failures += 1;
                    context
                        .metrics
                        .watch_errors
                        .get_or_create(&KindLabel { kind: kind.label() })
                        .inc();
                    let trouble = Trouble::of(&error);
                    report(context, kind, &trouble, failures);
                    if pause(context, delays.next_delay().min(RECHECK)).await {
                        // An API server takes a moment from the definition to the first answer.
                        delays.reset();
                    }
                    if trouble.unknown().is_some() {
                        // Only a new list makes the kind known again.
                        break;
                    }
                }
            }
        }
    }
}

/// What is wrong with a watch.
enum Trouble {
    NotInstalled,
    Forbidden(String),
    /// No answer, or none that tells anything.
    Unanswered(String),
    /// An answer that will be another one soon: the server is starting, busy, or has forgotten where we were.
    Passing(String),
}

impl Trouble {
    fn of(error: &watcher::Error) -> Trouble {
        let status = match error {
            watcher::Error::InitialListFailed(kube::Error::Api(status))
            | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            | watcher::Error::WatchFailed(kube::Error::Api(status))
            | watcher::Error::WatchError(status) => status,
            watcher::Error::InitialListFailed(error) => return Trouble::Unanswered(crate::api::chain(error)),
            // It was read before, so this is an interruption; if it lasts, the next list fails.
            error => return Trouble::Passing(crate::api::chain(error)),
        };
        match status.code {
            404 => Trouble::NotInstalled,
            401 | 403 => Trouble::Forbidden(status.message.clone()),
            code => Trouble::Passing(format!("status {code}: {}", status.message)),
        }
    }

    /// Why nothing is known of the kind any more. An interruption leaves the cache as it is: old, and not unknown.
    fn unknown(&self) -> Option<Why> {
        match self {
            Trouble::NotInstalled => Some(Why::NotInstalled),
            Trouble::Forbidden(_) => Some(Why::Forbidden),
            Trouble::Unanswered(_) | Trouble::Passing(_) => None,
        }
    }
}

/// Says what is wrong with a watch and puts it into the cache.
fn report(context: &Context, kind: &Kind, trouble: &Trouble, failures: u32) {
    let name = kind.label();
    let resource = kind.resource();
    match trouble {
        Trouble::NotInstalled => {
            let how = if resource.group == sluice_crds::GROUP {
                "apply the CRDs of Sluice (crds/yaml)"
            } else {
                "install the CRDs of this API, or take it out of the Rollouts that name it"
            };
            context
                .notices
                .raise(&about(kind), format!("the CRD {name} is not installed: {how}"));
        }
        // A namespaced controller is not meant to have this right; a Rollout that needs it says so itself.
        Trouble::Forbidden(_) if kind.is_cluster_scoped() && context.config.watched_namespace.is_some() => {}
        Trouble::Forbidden(message) => {
            let text = format!(
                "may not be listed and watched: grant get, list and watch on {} in API group \"{}\", as \
                 deploy/cluster.yaml does ({message})",
                resource.plural, resource.group
            );
            context.notices.raise(&about(kind), text);
        }
        Trouble::Unanswered(text) => context.notices.unanswered(text),
        Trouble::Passing(text) if failures >= LASTING => context.notices.raise(&about(kind), text.as_str()),
        Trouble::Passing(text) => tracing::debug!(%kind, text, "a watch was interrupted"),
    }
    if let Some(why) = trouble.unknown() {
        take_in(context, kind, Change::Failed(why));
    }
}

fn change<const MANAGERS: bool>(event: Event<Object<MANAGERS>>) -> Change {
    match event {
        Event::Init => Change::ListBegins,
        Event::InitApply(object) => Change::Listed(object.stored),
        Event::InitDone => Change::ListEnds,
        Event::Apply(object) => Change::Applied(object.stored),
        Event::Delete(object) => Change::Deleted(object.stored),
    }
}

/// Puts a change into the cache and its consequences into ledger and queue.
pub fn take_in(context: &Context, kind: &Kind, change: Change) {
    let consequences = context.cache.change(kind, change);
    context.take_consequences(consequences);
}

fn about(kind: &Kind) -> String {
    format!("reading {}", kind.label())
}

/// Waits, but not longer than until a CRD was installed or changed, which it answers with `true`.
async fn pause(context: &Context, delay: Duration) -> bool {
    tokio::time::timeout(delay, context.installed.notified()).await.is_ok()
}

/// Watches the definitions of kinds, metadata only: an installed kind is noticed at once, and the marker on ours tells
/// whether the fields that Sluice adds survive. Where definitions may not be watched, kinds are tried every minute.
pub async fn watch_definitions(context: Arc<Context>) {
    let api: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(context.client.clone());
    let mut delays = Delays::watch(backoff::seed("definitions"));
    let config = watcher::Config {
        page_size: Some(DEFINITIONS_PAGE_SIZE),
        ..watcher::Config::default()
    };
    let mut events = std::pin::pin!(watcher::watcher(api, config));
    let rollouts = Kind::Rollout.label();
    let mut marked = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => marked = false,
            Ok(Event::InitApply(definition)) => {
                if definition.metadata.name.as_deref() == Some(&rollouts) {
                    marked = has_marker(&definition.metadata);
                }
            }
            Ok(Event::InitDone) => {
                context.set_extensions(marked);
                context.installed.notify_waiters();
                delays.reset();
            }
            Ok(Event::Apply(definition)) => {
                if definition.metadata.name.as_deref() == Some(&rollouts) {
                    context.set_extensions(has_marker(&definition.metadata));
                }
                context.installed.notify_waiters();
            }
            Ok(Event::Delete(_)) => context.installed.notify_waiters(),
            Err(error) => {
                tracing::debug!(%error, "definitions of kinds cannot be watched");
                context.definitions_failed(&error);
                tokio::time::sleep(delays.next_delay()).await;
            }
        }
    }
}

fn has_marker(metadata: &kube::core::ObjectMeta) -> bool {
    let annotations = metadata.annotations.as_ref();
    annotations
        .and_then(|all| all.get(annotation::EXTENSIONS))
        .is_some_and(|value| value == annotation::EXTENSIONS_V1)
}

/// Reads one object from the API server and puts what it told into the cache. Returns the object, if there is one.
pub async fn refresh(
    context: &Context,
    id: &crate::ledger::ObjectId,
) -> Result<Option<Arc<Stored>>, crate::api::CallError> {
    let read = crate::api::read(&context.client, &id.kind, &id.name).await?;
    let stored = match read {
        Some(object) => Some(Arc::new(Stored::pack(object, id.kind.keeps_managers()).ok_or_else(
            || crate::api::CallError::Unreadable(format!("{} {} has no name or uid", id.kind, id.name)),
        )?)),
        None => None,
    };
    let consequences = context.cache.overlay(id, stored.clone());
    context.take_consequences(consequences);
    Ok(stored)
}
