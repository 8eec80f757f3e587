//! What we wrote and have not seen yet.
//!
//! A decision on a cache that lags behind our own last write is a decision about the past: it repeats the write, or undoes
//! it. So for every write the ledger keeps the resourceVersion that the API server answered with, and nothing is decided for
//! a Rollout until the cache holds that version or a later one, or the object was deleted, or, after [`PATIENCE`], a quorum
//! read has told. A write whose outcome is not known (a time-out) asks for that read at once.
//!
//! # Assumptions
//! resourceVersions of one resource are numbers that grow with every write, which Kubernetes promises since 1.35 and etcd
//! always did.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::kinds::Kind;
use crate::object::ObjectName;
use crate::queue::Key;

/// How long a watch event may take before the API server is asked. Events take milliseconds; the slowest healthy ones seen
/// on loaded API servers take about a second.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// An object of any kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectId {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: ObjectName,
}

/// What is known of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// The object has this uid and had this version when our write was done.
    Version {
        /// uid.
        uid: String,
        /// resourceVersion.
        version: u64,
    },
    /// The object with this uid is deleted, or will be.
    Deleted {
        /// uid.
        uid: String,
    },
    /// Nobody knows whether the write was applied, or it met another version than the cache holds.
    Unknown,
}

/// Whether a decision may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The caches have seen all our writes.
    Ready,
    /// Not yet; a quorum read is due at this time if nothing comes before.
    Wait(Instant),
    /// These objects must be read from the API server now.
    Look(Vec<ObjectId>),
}

/// All writes that have not been seen yet, by the key on whose behalf they were made.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: BTreeMap<Key, BTreeMap<ObjectId, (Wrote, Instant)>>,
}

impl Ledger {
    /// Notes a write.
    pub fn wrote(&mut self, key: &Key, object: ObjectId, wrote: Wrote, now: Instant) {
        self.entries
            .entry(key.clone())
            .or_default()
            .insert(object, (wrote, now));
    }

    /// Whether the caches have caught up. `seen` gives uid and version of an object in the cache.
    pub fn readiness(
        &mut self,
        key: &Key,
        now: Instant,
        seen: impl Fn(&ObjectId) -> Option<(String, u64)>,
    ) -> Readiness {
        let Some(entries) = self.entries.get_mut(key) else {
            return Readiness::Ready;
        };
        entries.retain(|object, (wrote, _)| !is_seen(wrote, seen(object)));
        if entries.is_empty() {
            self.entries.remove(key);
            return Readiness::Ready;
        }
        let due = |wrote: &Wrote, at: Instant| if *wrote == Wrote::Unknown { now } else { at + PATIENCE };
        let overdue: Vec<ObjectId> = entries
            .iter()
            .filter(|(_, (wrote, at))| due(wrote, *at) <= now)
            .map(|(object, _)| object.clone())
            .collect();
        if overdue.is_empty() {
            let until = entries
                .values()
                .map(|(wrote, at)| due(wrote, *at))
                .min()
                .expect("there is an entry");
            return Readiness::Wait(until);
        }
        Readiness::Look(overdue)
    }

    /// The watch said that an object is gone.
    pub fn deleted(&mut self, object: &ObjectId, uid: &str) {
        for entries in self.entries.values_mut() {
            let gone = entries.get(object).is_some_and(|(wrote, _)| match wrote {
                Wrote::Version { uid: ours, .. } | Wrote::Deleted { uid: ours } => ours == uid,
                Wrote::Unknown => false,
            });
            if gone {
                entries.remove(object);
            }
        }
        self.entries.retain(|_, entries| !entries.is_empty());
    }

    /// A quorum read has told about an object, and the cache holds what it told.
    pub fn looked(&mut self, key: &Key, object: &ObjectId) {
        if let Some(entries) = self.entries.get_mut(key) {
            entries.remove(object);
            if entries.is_empty() {
                self.entries.remove(key);
            }
        }
    }

    /// Forgets all about a key, whose object is gone.
    pub fn forget(&mut self, key: &Key) {
        self.entries.remove(key);
    }

    /// How many writes have not been seen yet.
    pub fn len(&self) -> usize {
        self.entries.values().map(BTreeMap::len).sum()
    }

    /// Whether all writes have been seen.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn is_seen(wrote: &Wrote, seen: Option<(String, u64)>) -> bool {
    match wrote {
        Wrote::Version { version, .. } => seen.is_some_and(|(_, cached)| cached >= *version),
        Wrote::Deleted { uid } => seen.is_none_or(|(cached, _)| cached != *uid),
        Wrote::Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::Rollout(ObjectName::new("ns", "shop"))
    }

    fn object(name: &str) -> ObjectId {
        ObjectId {
            kind: Kind::ReplicaSet,
            name: ObjectName::new("ns", name),
        }
    }

    fn version(version: u64) -> Wrote {
        Wrote::Version {
            uid: "u1".into(),
            version,
        }
    }

    /// What the ledger says about one write after `after`, when the cache holds `cached`.
    fn check(wrote: &Wrote, cached: Option<(&str, u64)>, after: Duration, wanted: &str) {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        ledger.wrote(&key(), object("a"), wrote.clone(), start);
        let cached = cached.map(|(uid, version)| (uid.to_owned(), version));
        let said = match ledger.readiness(&key(), start + after, |_| cached.clone()) {
            Readiness::Ready => "ready",
            Readiness::Wait(until) => {
                assert_eq!(until, start + PATIENCE);
                "wait"
            }
            Readiness::Look(objects) => {
                assert_eq!(objects, [object("a")]);
                "look"
            }
        };
        assert_eq!(said, wanted, "{wrote:?} with {cached:?} in the cache, after {after:?}");
        assert_eq!(ledger.is_empty(), wanted == "ready");
    }

    #[test]
    fn a_decision_waits_until_the_cache_has_seen_the_write() {
        let (early, late) = (Duration::from_millis(1999), PATIENCE);
        check(&version(10), Some(("u1", 9)), early, "wait");
        check(&version(10), Some(("u1", 9)), late, "look");
        check(&version(10), Some(("u1", 10)), early, "ready");
        check(&version(10), Some(("u1", 11)), late, "ready");
        check(&version(10), Some(("u2", 12)), early, "ready");
        check(&version(10), None, early, "wait");
        check(&version(10), None, late, "look");
        check(&version(100), Some(("u1", 99)), early, "wait");
        check(&Wrote::Deleted { uid: "u1".into() }, Some(("u1", 12)), early, "wait");
        check(&Wrote::Deleted { uid: "u1".into() }, Some(("u1", 12)), late, "look");
        check(&Wrote::Deleted { uid: "u1".into() }, Some(("u2", 12)), early, "ready");
        check(&Wrote::Deleted { uid: "u1".into() }, None, early, "ready");
        check(&Wrote::Unknown, Some(("u1", 12)), Duration::ZERO, "look");
        check(&Wrote::Unknown, None, Duration::ZERO, "look");
    }

    #[test]
    fn a_deletion_that_the_watch_told_ends_the_wait_for_that_uid_only() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        ledger.wrote(&key(), object("a"), version(10), now);
        ledger.deleted(&object("a"), "u0");
        assert_eq!(ledger.len(), 1);
        ledger.deleted(&object("b"), "u1");
        assert_eq!(ledger.len(), 1);
        ledger.deleted(&object("a"), "u1");
        assert_eq!(ledger.readiness(&key(), now, |_| None), Readiness::Ready);
    }

    #[test]
    fn a_quorum_read_ends_the_wait_and_other_keys_never_waited() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        ledger.wrote(&key(), object("a"), Wrote::Unknown, now);
        ledger.wrote(&key(), object("b"), version(3), now);
        let other = Key::Rollout(ObjectName::new("ns", "other"));
        assert_eq!(ledger.readiness(&other, now, |_| None), Readiness::Ready);
        ledger.looked(&key(), &object("a"));
        assert_eq!(ledger.readiness(&key(), now, |_| None), Readiness::Wait(now + PATIENCE));
        ledger.looked(&key(), &object("b"));
        assert_eq!(ledger.readiness(&key(), now, |_| None), Readiness::Ready);
    }

    #[test]
    fn the_last_write_of_an_object_counts() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        ledger.wrote(&key(), object("a"), version(10), now);
        ledger.wrote(&key(), object("a"), version(12), now);
        let at = |version| move |_: &ObjectId| Some(("u1".to_owned(), version));
        assert_eq!(ledger.readiness(&key(), now, at(11)), Readiness::Wait(now + PATIENCE));
        assert_eq!(ledger.readiness(&key(), now, at(12)), Readiness::Ready);
    }
}
