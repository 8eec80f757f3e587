//! Watches a cluster while it runs and keeps what a report tells.

mod read;
mod track;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use sluice_machine::EventKind;

use crate::clock::{START, millis_since_start};
use crate::kernel::Kernel;
use crate::models::{Models, Rules};
use crate::report::{RolloutReport, RowKind};
use crate::store::{Change, Happened, Key, Kind, owner_uids};

use read::is_acknowledged;
pub(crate) use read::{lost, shortened};
use track::{Present, Track, thin};

/// At most so many samples are kept; beyond it every other one goes, and samples are taken half as often.
const MOST_SAMPLES: usize = 2_000;

/// Something that happened and that no object tells of.
#[derive(Clone, Debug)]
pub(crate) struct Happening {
    /// The Rollout that it concerns; all where absent.
    pub(crate) rollout: Option<Key>,
    pub(crate) kind: RowKind,
    pub(crate) text: String,
}

/// What was recorded.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    tracks: BTreeMap<Key, Track>,
    /// The rules of each route as they were last acknowledged.
    acknowledged: BTreeMap<Key, Arc<Rules>>,
    /// How many events were taken over.
    events: usize,
    changed: bool,
    samples: usize,
    /// A sample is taken at every so many ticks.
    every: u32,
    tick: u32,
    sampled_at: Option<Timestamp>,
}

impl Recorder {
    pub(crate) fn new() -> Recorder {
        Recorder {
            every: 1,
            ..Recorder::default()
        }
    }

    /// Takes in a change of an object.
    pub(crate) fn see(&mut self, change: &Change) {
        self.changed = true;
        let alive = change.happened != Happened::Deleted;
        match change.key.kind {
            Kind::Rollout => {
                let track = self.tracks.entry(change.key.clone()).or_default();
                track.gone = !alive;
                track.see_rollout(change);
            }
            Kind::ReplicaSet if alive => {
                if let Some(track) = self.owner(&change.object) {
                    track.see_set(change);
                }
            }
            Kind::AnalysisRun if alive => {
                if let Some(track) = self.owner(&change.object) {
                    track.see_run(change);
                }
            }
            Kind::HttpRoute if is_acknowledged(&change.object) => {
                let rules = crate::models::rules_of(&change.key, &change.object);
                self.acknowledged.insert(change.key.clone(), Arc::new(rules));
            }
            _ => {}
        }
    }

    fn owner(&mut self, object: &Value) -> Option<&mut Track> {
        let owners: BTreeSet<&str> = owner_uids(object).collect();
        self.tracks
            .values_mut()
            .find(|track| owners.contains(track.uid.as_str()))
    }

    /// Something in the models changed that no object tells of.
    pub(crate) fn touch(&mut self) {
        self.changed = true;
    }

    /// Puts down all that happened at this moment.
    pub(crate) fn close(&mut self, kernel: &mut Kernel, models: &Models) {
        let at = millis_since_start(kernel.clock.now());
        let happenings = kernel.happenings.as_mut().map(std::mem::take).unwrap_or_default();
        // Why it waits comes after what was done.
        let (waits, others): (Vec<Happening>, Vec<Happening>) = happenings
            .into_iter()
            .partition(|happening| happening.kind == RowKind::Hold);
        self.put(at, others);
        for (_, key, event) in &kernel.events[self.events..] {
            let kind = match event.kind {
                EventKind::Normal => RowKind::Event,
                EventKind::Warning => RowKind::Warning,
            };
            let track = self
                .tracks
                .iter_mut()
                .find(|(rollout, track)| *rollout == key || track.runs.contains_key(key));
            if let Some((_, track)) = track {
                track.put(at, kind, format!("{}: {}", event.reason, event.message));
            }
        }
        self.events = kernel.events.len();
        self.put(at, waits);
        if std::mem::take(&mut self.changed) {
            let present = Present {
                at,
                store: &kernel.store,
                models,
                shares: &models.plane.shares(&models.pods),
                acknowledged: &self.acknowledged,
            };
            for (key, track) in self.tracks.iter_mut().filter(|(_, track)| !track.gone) {
                let position = track.position(key, &present);
                track.stand(at, position);
            }
        }
    }

    fn put(&mut self, at: i64, happenings: Vec<Happening>) {
        for happening in happenings {
            for (key, track) in &mut self.tracks {
                if happening.rollout.as_ref().is_none_or(|rollout| rollout == key) {
                    track.put(at, happening.kind, happening.text.clone());
                }
            }
        }
    }

    /// A tick of the clock of samples: what was served since the last one.
    pub(crate) fn sample(&mut self, now: Timestamp, models: &Models) {
        self.tick += 1;
        if self.tick < self.every {
            return;
        }
        self.tick = 0;
        let since = self.sampled_at.replace(now).unwrap_or(START);
        let seconds = now.duration_since(since).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        for track in self.tracks.values_mut() {
            track.sample(millis_since_start(now), seconds, &models.plane);
        }
        self.samples += 1;
        if self.samples > MOST_SAMPLES {
            self.samples = 0;
            self.every *= 2;
            for track in self.tracks.values_mut() {
                track.report.revisions.iter_mut().for_each(thin);
                let left = track.report.revisions.iter().map(|revision| revision.samples.len());
                self.samples = self.samples.max(left.max().unwrap_or(0));
            }
        }
    }

    /// The Rollouts as a report has them.
    pub(crate) fn rollouts(&self, models: &Models) -> Vec<RolloutReport> {
        let finished = |track: &Track| {
            let mut report = track.report.clone();
            for (set, (index, _)) in &track.sets {
                let served = models.plane.totals.sets.get(set).copied().unwrap_or_default();
                let revision = &mut report.revisions[*index];
                (revision.ok, revision.errors) = (served.ok, served.errors);
            }
            report.revisions.sort_by_key(|revision| revision.revision);
            report
        };
        self.tracks.values().map(finished).collect()
    }
}
