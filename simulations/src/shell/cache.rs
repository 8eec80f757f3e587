//! What a process knows of the cluster, and which of its own writes it has not seen yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::store::{Key, Kind, revision_of};

/// How long an event may take before the API server is asked, as in the real shell.
const PATIENCE: SignedDuration = SignedDuration::from_secs(2);

/// Objects by address, never older than they were before.
#[derive(Debug, Default)]
pub(super) struct Cache {
    objects: BTreeMap<Key, Arc<Value>>,
    /// Revisions of deletions: an event from before one must not bring the object back.
    deleted: BTreeMap<Key, u64>,
    /// By task, then by object: which revision we wrote, and when.
    ledger: BTreeMap<Key, BTreeMap<Key, Wrote>>,
    /// Tasks whose writes have all been seen since the last call of [`Cache::now_seen`].
    seen: Vec<Key>,
}

#[derive(Clone, Copy, Debug)]
struct Wrote {
    /// `None`: nobody knows whether it was applied, or it met another version than the one that is known.
    revision: Option<u64>,
    at: Timestamp,
}

/// Whether a task may decide.
pub(super) enum Readiness {
    /// All its writes were seen.
    Ready,
    /// Not yet; at this time the API server is asked.
    Wait(Timestamp),
    /// These objects must be read now.
    Look(Vec<Key>),
}

impl Cache {
    pub(super) fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    pub(super) fn keys(&self, kind: Kind) -> impl Iterator<Item = Key> {
        self.objects.keys().filter(move |key| key.kind == kind).cloned()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects.iter()
    }

    /// The latest revision of an object, or of its end, that is known; 0 where none is.
    pub(super) fn revision(&self, key: &Key) -> u64 {
        let known = self.objects.get(key).map_or(0, |object| revision_of(object));
        known.max(self.deleted.get(key).copied().unwrap_or(0))
    }

    /// Takes over a state of an object, unless a later one is known. Tells whether it was news.
    pub(super) fn put(&mut self, key: &Key, object: &Arc<Value>) -> bool {
        if revision_of(object) <= self.revision(key) {
            return false;
        }
        self.objects.insert(key.clone(), object.clone());
        true
    }

    /// Takes over that an object is gone, unless a later state is known. Tells whether it was news.
    pub(super) fn delete(&mut self, key: &Key, revision: u64) -> bool {
        if self
            .objects
            .get(key)
            .is_some_and(|object| revision_of(object) > revision)
        {
            return false;
        }
        self.deleted.insert(key.clone(), revision);
        self.objects.remove(key).is_some()
    }

    /// Notes a write of a task; `None` where the object must be read before the next decision.
    pub(super) fn wrote(&mut self, task: &Key, object: &Key, revision: Option<u64>, at: Timestamp) {
        self.ledger
            .entry(task.clone())
            .or_default()
            .insert(object.clone(), Wrote { revision, at });
    }

    /// The watch has told of this revision of an object.
    pub(super) fn seen(&mut self, object: &Key, revision: u64) {
        let mut done = Vec::new();
        for (task, entries) in &mut self.ledger {
            if entries
                .get(object)
                .is_some_and(|wrote| wrote.revision.is_some_and(|wrote| wrote <= revision))
            {
                entries.remove(object);
                if entries.is_empty() {
                    done.push(task.clone());
                }
            }
        }
        self.forget(done);
    }

    /// A read from the API server has told of an object.
    pub(super) fn looked(&mut self, task: &Key, object: &Key) {
        let Some(entries) = self.ledger.get_mut(task) else {
            return;
        };
        entries.remove(object);
        if entries.is_empty() {
            self.forget(vec![task.clone()]);
        }
    }

    /// Nothing will be decided for a task any more: nobody waits for what it wrote.
    pub(super) fn forget_task(&mut self, task: &Key) {
        self.ledger.remove(task);
    }

    fn forget(&mut self, done: Vec<Key>) {
        for task in done {
            self.ledger.remove(&task);
            self.seen.push(task);
        }
    }

    /// The tasks that may decide again.
    pub(super) fn now_seen(&mut self) -> Vec<Key> {
        std::mem::take(&mut self.seen)
    }

    pub(super) fn ledger_is_empty(&self) -> bool {
        self.ledger.is_empty()
    }

    /// Whether a task may decide.
    pub(super) fn readiness(&self, task: &Key, now: Timestamp) -> Readiness {
        let Some(entries) = self.ledger.get(task) else {
            return Readiness::Ready;
        };
        let due = |wrote: &Wrote| {
            if wrote.revision.is_none() {
                now
            } else {
                wrote.at + PATIENCE
            }
        };
        let overdue: Vec<Key> = entries
            .iter()
            .filter(|(_, wrote)| due(wrote) <= now)
            .map(|(object, _)| object.clone())
            .collect();
        match entries.values().map(due).min() {
            Some(until) if overdue.is_empty() => Readiness::Wait(until),
            _ => Readiness::Look(overdue),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::START;

    fn object(revision: u64) -> Arc<Value> {
        Arc::new(json!({"metadata": {"resourceVersion": revision.to_string()}}))
    }

    #[test]
    fn an_older_state_never_replaces_a_later_one_nor_brings_back_what_was_deleted() {
        let key = Key::new(Kind::Service, "default", "shop");
        let mut cache = Cache::default();
        assert!(cache.put(&key, &object(5)));
        assert!(!cache.put(&key, &object(4)));
        assert!(!cache.put(&key, &object(5)));
        assert!(!cache.delete(&key, 4));
        assert!(cache.delete(&key, 6));
        assert!(!cache.put(&key, &object(5)));
        assert!(cache.put(&key, &object(7)));
    }

    #[test]
    fn a_task_waits_for_its_own_writes_and_asks_after_two_seconds() {
        let (task, key) = (
            Key::new(Kind::Rollout, "default", "shop"),
            Key::new(Kind::Service, "default", "shop"),
        );
        let mut cache = Cache::default();
        let later = START + SignedDuration::from_secs(2);
        assert!(matches!(cache.readiness(&task, START), Readiness::Ready));
        cache.wrote(&task, &key, Some(7), START);
        assert!(matches!(cache.readiness(&task, START), Readiness::Wait(until) if until == later));
        cache.seen(&key, 6);
        assert!(matches!(cache.readiness(&task, later), Readiness::Look(objects) if objects == [key.clone()]));
        cache.seen(&key, 7);
        assert!(matches!(cache.readiness(&task, later), Readiness::Ready));
        assert_eq!(cache.now_seen(), std::slice::from_ref(&task));
        cache.wrote(&task, &key, None, START);
        assert!(
            matches!(cache.readiness(&task, START), Readiness::Look(_)),
            "an unknown outcome is looked up at once"
        );
    }
}
