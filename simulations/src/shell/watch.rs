//! How the process learns of changes: lists, and events that come late or never.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::faults::EventFault;
use crate::kernel::{Actor, Kernel};
use crate::shell::{Process, WATCHED};
use crate::store::{Change, Happened, Key, Kind};

impl Process {
    /// Lists everything that is watched.
    pub(super) fn list_all(&mut self, kernel: &mut Kernel) {
        let mut changed = Vec::new();
        self.lost.clear();
        for kind in WATCHED {
            self.cursors.insert(kind, kernel.store.log().len());
            let listed: BTreeMap<Key, _> = kernel
                .store
                .list(kind)
                .map(|(key, object)| (key.clone(), object.clone()))
                .collect();
            let vanished: Vec<Key> = self.cache.keys(kind).filter(|key| !listed.contains_key(key)).collect();
            for key in vanished {
                self.cache.delete(&key, kernel.store.revision());
                changed.push(key);
            }
            for (key, object) in listed {
                if self.cache.put(&key, &object) {
                    changed.push(key);
                }
            }
        }
        changed.iter().for_each(|key| self.changed(kernel, key));
    }

    /// Sends the event of a change on its way.
    pub(crate) fn schedule_event(&mut self, kernel: &mut Kernel, change: &Change) {
        if !self.alive || !WATCHED.contains(&change.key.kind) {
            return;
        }
        let mut lag = kernel.random.millis(&self.config.watch);
        if let Some(rates) = kernel.faults.rates() {
            let (slow, by) = (rates.slow_event, rates.slow_by.clone());
            if let Some(by) = by.filter(|_| kernel.random.chance(slow)) {
                lag += kernel.random.millis(&by);
            }
        }
        if let Some(EventFault::Late(by)) = kernel.faults.of_event(change.revision) {
            lag += by;
        }
        let at = kernel.clock.now() + lag;
        let arrival = self.arrivals.entry(change.key.kind).or_insert(at);
        *arrival = at.max(*arrival);
        let (process, epoch, kind, revision) = (self.number, self.epoch, change.key.kind, change.revision);
        kernel.clock.at(
            *arrival,
            Actor::Deliver {
                process,
                epoch,
                kind,
                revision,
            },
        );
    }

    /// Takes over the events of a kind up to a revision.
    pub(crate) fn deliver(&mut self, kernel: &mut Kernel, kind: Kind, revision: u64) {
        let cursor = self.cursors.entry(kind).or_insert(0);
        let mut delivered = Vec::new();
        while let Some(change) = kernel
            .store
            .log()
            .get(*cursor)
            .filter(|change| change.revision <= revision)
        {
            *cursor += 1;
            if change.key.kind == kind {
                delivered.push(change.clone());
            }
        }
        let lost = kernel.faults.rates().map_or(0, |rates| rates.lost_event);
        for change in delivered {
            let is_lost = kernel.faults.of_event(change.revision) == Some(EventFault::Lost);
            if kernel.random.chance(lost) || is_lost {
                kernel.note(|| format!("controller-{} loses an event of {}", self.number, change.key));
                let known = self.cache.revision(&change.key);
                let event = (change.at, change.revision);
                let first = self.lost.entry(change.key).or_insert(event);
                if first.1 <= known {
                    *first = event;
                }
                continue;
            }
            let news = match change.happened {
                Happened::Deleted => self.cache.delete(&change.key, change.revision),
                Happened::Added | Happened::Modified => self.cache.put(&change.key, &change.object),
            };
            self.cache.seen(&change.key, change.revision);
            if news {
                self.changed(kernel, &change.key);
            }
            self.rouse_those_who_wait(kernel);
        }
    }

    /// Since when events may be missing: the time of the oldest one that has not arrived, or got lost without a later state.
    pub(super) fn seen_until(&self, kernel: &Kernel) -> Timestamp {
        let log = kernel.store.log();
        let missing = |kind: Kind| {
            let cursor = self.cursors.get(&kind).copied().unwrap_or(0);
            log[cursor.min(log.len())..]
                .iter()
                .find(|change| change.key.kind == kind)
                .map(|change| change.at)
        };
        let lost = self.lost.iter();
        let lost = lost.filter(|(key, (_, revision))| self.cache.revision(key) < *revision);
        WATCHED
            .into_iter()
            .filter_map(missing)
            .chain(lost.map(|(_, (at, _))| *at))
            .min()
            .unwrap_or(kernel.clock.now())
    }
}
