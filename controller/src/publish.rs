//! Publishing: events for people, in the core/v1 form that `kubectl describe` shows.
//!
//! Best effort: an event never holds up a decision, and one that the API server does not take is counted and dropped. The
//! name of an event is a hash of what it says about what, so that the same event is published once, also across restarts.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use kube::Client;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use sluice_crds::Rollout;
use sluice_machine::{Event, EventKind, hash};
use tokio::sync::mpsc;

use crate::api::{self, CallError};
use crate::context::Context;
use crate::metrics::EventLabels;
use crate::object::ObjectName;

/// Events that may wait to be sent. A burst of a thousand Rollouts that each take a step at once fits in.
const QUEUE: usize = 2048;

/// Events that are remembered, about a hundred bytes each.
const RECENT: usize = 1024;

/// Events that are sent at the same time.
const CONCURRENCY: usize = 4;

/// The longest message that is published, in bytes.
const MAX_MESSAGE: usize = 1024;

/// An event may take this long to be stored before it is given up.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// The object that an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Involved {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: ObjectName,
    /// Its uid.
    pub uid: String,
}

/// Takes events to be sent.
#[derive(Debug)]
pub struct Publisher {
    queue: mpsc::Sender<(ObjectName, Value)>,
    recent: Mutex<Recent>,
}

/// Names of the last events, so that an event that a plan repeats costs no request.
#[derive(Debug, Default)]
struct Recent {
    in_order: VecDeque<String>,
    names: BTreeSet<String>,
}

/// Sends events.
#[derive(Debug)]
pub struct Sender {
    queue: mpsc::Receiver<(ObjectName, Value)>,
}

impl Involved {
    /// A Rollout.
    pub fn rollout(rollout: &Rollout) -> Involved {
        let metadata = &rollout.metadata;
        let name = ObjectName::new(
            metadata.namespace.clone().unwrap_or_default(),
            metadata.name.clone().unwrap_or_default(),
        );
        Involved {
            kind: "Rollout",
            name,
            uid: metadata.uid.clone().unwrap_or_default(),
        }
    }
}

/// A queue of events: one end takes them, the other sends them.
pub fn channel() -> (Publisher, Sender) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let publisher = Publisher {
        queue: sender,
        recent: Mutex::default(),
    };
    (publisher, Sender { queue: receiver })
}

impl Publisher {
    /// Publishes an event, some time soon or never.
    pub fn publish(&self, context: &Context, about: &Involved, event: &Event) {
        let object = object(about, event, Timestamp::now());
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if !self.recent.lock().unwrap_or_else(PoisonError::into_inner).add(name) {
            return;
        }
        if about.kind == "Rollout" {
            let labels = EventLabels {
                r#type: match event.kind {
                    EventKind::Normal => "Normal",
                    EventKind::Warning => "Warning",
                },
                reason: event.reason,
            };
            context.metrics.rollout_events.get_or_create(&labels).inc();
        }
        let collection = ObjectName::new(about.name.namespace.as_str(), "");
        if self.queue.try_send((collection, object)).is_err() {
            context.metrics.events_lost.inc();
        }
    }

    /// Waits until all events have been taken out of the queue.
    pub async fn flush(&self) {
        while self.queue.capacity() < self.queue.max_capacity() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

impl Recent {
    /// Adds a name; `false` where it is there already. The oldest name makes room.
    fn add(&mut self, name: String) -> bool {
        if !self.names.insert(name.clone()) {
            return false;
        }
        self.in_order.push_back(name);
        if self.in_order.len() > RECENT
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.names.remove(&oldest);
        }
        true
    }
}

impl Sender {
    /// Sends events until all publishers are gone.
    pub async fn run(self, context: std::sync::Arc<Context>) {
        let events = futures::stream::unfold(self.queue, async |mut queue| queue.recv().await.map(|one| (one, queue)));
        let context = &context;
        futures::StreamExt::for_each_concurrent(events, CONCURRENCY, async |(collection, object)| {
            match send(&context.client, &collection, &object).await {
                // It was published before: that is what the name is for.
                Ok(()) | Err(CallError::AlreadyExists) => {
                    context.metrics.events.inc();
                    context.notices.clear("publishing events");
                }
                Err(error) => {
                    context.metrics.events_lost.inc();
                    if let CallError::Forbidden(message) = error {
                        let text = format!("grant create on events, as deploy/cluster.yaml does ({message})");
                        context.notices.raise("publishing events", text);
                    }
                }
            }
        })
        .await;
    }
}

async fn send(client: &Client, collection: &ObjectName, object: &Value) -> Result<(), CallError> {
    let path = format!("/api/v1/namespaces/{}/events", collection.namespace);
    let request = api::metadata_only(api::post(&path, object));
    api::call::<IgnoredAny>(client, request, TIMEOUT).await.map(drop)
}

/// The Event object. Its name depends on the object that it is about and on what the event says, on nothing else.
fn object(about: &Involved, event: &Event, now: Timestamp) -> Value {
    let kind = match event.kind {
        EventKind::Normal => "Normal",
        EventKind::Warning => "Warning",
    };
    let message = truncate(&event.message, MAX_MESSAGE);
    let identity = json!([about.uid, kind, event.reason, event.message, event.key]);
    let digest = hash::canonical(&identity);
    // A name has at most 253 characters.
    let name = format!("{}.{}", truncate(&about.name.name, 230), &digest[..16]);
    let at = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": name, "namespace": about.name.namespace },
        "involvedObject": {
            "apiVersion": format!("{}/{}", sluice_crds::GROUP, sluice_crds::VERSION),
            "kind": about.kind,
            "namespace": about.name.namespace,
            "name": about.name.name,
            "uid": about.uid,
        },
        "type": kind,
        "reason": event.reason,
        "message": message,
        "count": 1,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "source": { "component": api::FIELD_MANAGER },
        "reportingComponent": api::FIELD_MANAGER,
        "reportingInstance": "",
    })
}

/// The longest beginning of a text that has at most `most` bytes.
fn truncate(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn involved(uid: &str) -> Involved {
        Involved {
            kind: "Rollout",
            name: ObjectName::new("shop", "web"),
            uid: uid.into(),
        }
    }

    fn event(reason: &'static str, message: &str, key: &str) -> Event {
        Event {
            kind: EventKind::Normal,
            reason,
            message: message.into(),
            key: key.into(),
        }
    }

    fn name(about: &Involved, event: &Event, at: &str) -> String {
        object(about, event, at.parse().unwrap())["metadata"]["name"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn the_same_event_has_the_same_name_whenever_it_is_published_and_another_one_has_not() {
        let first = name(
            &involved("u1"),
            &event("Paused", "at step 1", "r1/1"),
            "2026-01-02T03:04:05Z",
        );
        assert_eq!(
            first,
            name(
                &involved("u1"),
                &event("Paused", "at step 1", "r1/1"),
                "2027-01-02T03:04:05Z"
            )
        );
        assert_eq!(first.len(), "web.".len() + 16);
        let others = [
            (involved("u2"), event("Paused", "at step 1", "r1/1")),
            (involved("u1"), event("Resumed", "at step 1", "r1/1")),
            (involved("u1"), event("Paused", "at step 2", "r1/1")),
            (involved("u1"), event("Paused", "at step 1", "r2/1")),
            (
                involved("u1"),
                Event {
                    kind: EventKind::Warning,
                    ..event("Paused", "at step 1", "r1/1")
                },
            ),
        ];
        for (about, event) in others {
            assert_ne!(
                first,
                name(&about, &event, "2026-01-02T03:04:05Z"),
                "{about:?} {event:?}"
            );
        }
    }

    #[test]
    fn a_repeated_event_is_noticed_until_many_others_came() {
        let mut recent = Recent::default();
        assert!(recent.add("a".into()));
        assert!(!recent.add("a".into()));
        for number in 0..RECENT {
            assert!(recent.add(number.to_string()));
        }
        assert_eq!((recent.names.len(), recent.in_order.len()), (RECENT, RECENT));
        assert!(recent.add("a".into()));
    }

    #[test]
    fn long_messages_are_cut_between_characters_and_still_tell_events_apart() {
        let (long, longer) = ("ü".repeat(600), "ü".repeat(601));
        let at: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let (one, other) = (
            object(&involved("u"), &event("R", &long, ""), at),
            object(&involved("u"), &event("R", &longer, ""), at),
        );
        assert_eq!(one["message"].as_str().unwrap().len(), 1024);
        assert_eq!(one["message"], other["message"]);
        assert_ne!(one["metadata"]["name"], other["metadata"]["name"]);
        assert_eq!(truncate("aü", 2), "a");
    }
}
