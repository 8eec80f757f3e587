//! The safety oracle: what must be true of every write of the controller, judged on the true state of the cluster.
//!
//! It shares no code with the machine or its guards. A write is blamed only if it was wrong by everything that the controller
//! could have known: a predicate is broken when it is broken for each version of the Rollout, and with the most pods that
//! were available, since the time up to which the controller had seen everything.

mod checks;
mod effective;
mod facts;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::models::{Entry, ModelConfig, Models};
use crate::store::{Change, Happened, Key, Kind, Store, Writer};

use effective::{Effective, HASH};
use facts::{Facts, Sets, labels_of};

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When.
    pub at: Timestamp,
    /// Which, for example `S1`.
    pub invariant: &'static str,
    /// Why.
    pub why: String,
}

/// The oracle and what it remembers.
#[derive(Debug)]
pub(crate) struct Safety {
    effective: Effective,
    sets: Sets,
    rollouts: BTreeMap<Key, History>,
    violations: Vec<Violation>,
}

/// What was the case with a Rollout.
#[derive(Debug, Default)]
struct History {
    versions: Vec<(Timestamp, Arc<Value>)>,
    /// Since the phase last changed: how often each Service's selector was written by us.
    switches: BTreeMap<Key, u32>,
    /// In the pause in force the canary has lost all its pods, or somebody else has changed the weights or a selector.
    disturbed_in_pause: bool,
    /// Pauses that were entered since the last new revision or retry: revision and step.
    pauses: BTreeSet<(String, u64)>,
    /// `spec.replicas` was changed in the pause in force, if only to be changed back.
    resized_in_pause: bool,
    /// `spec.replicas` when the pause in force or the abort in force began.
    replicas_at_pause: Option<u64>,
    replicas_at_abort: Option<u64>,
}

/// Why something that is not to happen was right.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Excuse {
    /// The revision that a Service selected could not carry the traffic.
    Retreat,
    /// The canary of this Rollout has lost all its pods in a pause.
    LostInPause(Key),
}

/// One write of the controller and what it could have known.
struct Write<'a> {
    now: Timestamp,
    basis: Timestamp,
    change: &'a Change,
    models: &'a Models,
    store: &'a Store,
}

impl Safety {
    pub(crate) fn new(config: &ModelConfig, ack_timeout: SignedDuration) -> Safety {
        let direct = config.traffic.iter().filter_map(|flow| match &flow.entry {
            Entry::Service(service) => Some(service.clone()),
            Entry::Route(_) => None,
        });
        let bound = SignedDuration::from_millis(i64::try_from(*config.proxy_lag.end()).unwrap_or(i64::MAX));
        let ack_timeout = (!config.acknowledges).then_some(ack_timeout);
        Safety {
            effective: Effective::new(bound, ack_timeout, direct.collect()),
            sets: Sets::default(),
            rollouts: BTreeMap::new(),
            violations: Vec::new(),
        }
    }

    pub(crate) fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// The EndpointSlices of a Service follow its selector.
    pub(crate) fn selector_acknowledged(&mut self, now: Timestamp, service: &Key) {
        self.effective.selector_acknowledged(now, service);
    }

    /// Takes in a change. Writes of the controller, those with a `basis`, are judged.
    pub(crate) fn see(&mut self, store: &Store, models: &Models, change: &Change, basis: Option<Timestamp>) {
        let now = change.at;
        let mut broken = Vec::new();
        let mut excused = None;
        if let Some(basis) = basis {
            let write = Write {
                now,
                basis,
                change,
                models,
                store,
            };
            match change.key.kind {
                Kind::ReplicaSet => self.check_set(&write, &mut broken),
                Kind::Service => self.check_service(&write, &mut broken),
                Kind::HttpRoute => self.check_route(&write, &mut broken),
                Kind::Rollout => self.check_rollout(&write, &mut broken),
                Kind::AnalysisRun => Safety::check_run(&write, &mut broken),
                _ => {}
            }
            excused = self.excuse(&write);
        }
        self.violations
            .extend(broken.into_iter().map(|(invariant, why)| Violation {
                at: now,
                invariant,
                why,
            }));
        self.remember(change, excused);
    }

    /// What the environment made necessary about a Service or a route, if it did.
    fn excuse(&self, write: &Write<'_>) -> Option<Excuse> {
        match write.change.key.kind {
            Kind::Service => self.is_retreat(write).then_some(Excuse::Retreat),
            Kind::HttpRoute => {
                let lost = |(key, history): (&Key, &History)| {
                    let facts = history.now();
                    (facts.paused_at_step && self.has_lost_canary(write, &facts)).then(|| key.clone())
                };
                self.rollouts.iter().find_map(lost).map(Excuse::LostInPause)
            }
            _ => None,
        }
    }

    fn remember(&mut self, change: &Change, excused: Option<Excuse>) {
        if let Some(Excuse::LostInPause(rollout)) = &excused
            && let Some(history) = self.rollouts.get_mut(rollout)
        {
            history.disturbed_in_pause = true;
        }
        if change.key.kind == Kind::HttpRoute
            && !matches!(change.by, Writer::Controller(_))
            && let Some(before) = &change.before
            && before["spec"]["rules"] != change.object["spec"]["rules"]
        {
            self.rollouts
                .values_mut()
                .for_each(|history| history.disturbed_in_pause = true);
        }
        if change.key.kind == Kind::Service
            && !matches!(change.by, Writer::Controller(_))
            && let Some(before) = &change.before
            && before["spec"]["selector"] != change.object["spec"]["selector"]
            && let Some(rollout) = self.rollout_of_service(&change.key)
            && let Some(history) = self.rollouts.get_mut(&rollout)
        {
            // It has to be written once more, and until then the canary may be without its pods.
            history.switches.remove(&change.key);
            history.disturbed_in_pause = true;
        }
        match change.key.kind {
            Kind::ReplicaSet => self.sets.see(change),
            Kind::Service | Kind::HttpRoute => self.effective.see(change),
            Kind::Rollout if change.happened == Happened::Deleted => drop(self.rollouts.remove(&change.key)),
            Kind::Rollout => self.rollouts.entry(change.key.clone()).or_default().see(change),
            _ => {}
        }
        if let (Kind::Service, Writer::Controller(_), Some(before)) = (change.key.kind, change.by, &change.before)
            && before["spec"]["selector"] != change.object["spec"]["selector"]
            && excused != Some(Excuse::Retreat)
            && let Some(rollout) = self.rollout_of_service(&change.key)
        {
            let history = self.rollouts.get_mut(&rollout).expect("it was found a moment ago");
            // Back to stable while the new revision is not ready, and then to the new one, are two steps of one update.
            let facts = history.now();
            let back =
                facts.blue_green && labels_of(&change.object["spec"]["selector"]).get(HASH) == Some(&facts.stable);
            if !back {
                *history.switches.entry(change.key.clone()).or_insert(0) += 1;
            }
        }
    }

    /// The Rollout that names a Service.
    fn rollout_of_service(&self, service: &Key) -> Option<Key> {
        let names = |history: &History| {
            let facts = history.now();
            [&facts.stable_service, &facts.canary_service]
                .into_iter()
                .any(|name| name.as_deref() == Some(&*service.name))
        };
        let beside = |key: &Key| key.namespace == service.namespace;
        self.rollouts
            .iter()
            .find(|(key, history)| beside(key) && names(history))
            .map(|(key, _)| key.clone())
    }

    /// The Rollout that owns a ReplicaSet.
    fn rollout_of_set(&self, set: &Value) -> Option<Key> {
        let owners: Vec<&str> = crate::store::owner_uids(set).collect();
        let owns = |history: &History| {
            history
                .versions
                .last()
                .is_some_and(|(_, object)| owners.contains(&crate::store::uid_of(object)))
        };
        self.rollouts
            .iter()
            .find(|(_, history)| owns(history))
            .map(|(key, _)| key.clone())
    }
}

impl History {
    fn see(&mut self, change: &Change) {
        let (before, after) = (
            self.versions.last().map(|(_, object)| Facts::of(object)),
            Facts::of(&change.object),
        );
        if before
            .as_ref()
            .is_none_or(|before| before.phase_key() != after.phase_key())
        {
            self.switches.clear();
        }
        let was = |test: fn(&Facts) -> bool| before.as_ref().is_some_and(test);
        let is_resized = before.as_ref().is_some_and(|before| before.replicas != after.replicas);
        let retried = was(|facts| facts.aborted) && !after.aborted;
        let other = before
            .as_ref()
            .is_some_and(|before| before.revision != after.revision || before.steps != after.steps);
        if retried || other {
            self.pauses.clear();
        }
        if after.paused_at_step && !was(|facts| facts.paused_at_step) {
            self.pauses.insert((after.revision.clone(), after.index));
        }
        self.disturbed_in_pause &= after.paused_at_step;
        self.resized_in_pause &= after.paused_at_step;
        self.resized_in_pause |= after.paused_at_step && was(|facts| facts.paused_at_step) && is_resized;
        keep_since(&mut self.replicas_at_pause, after.paused_at_step, after.replicas);
        keep_since(&mut self.replicas_at_abort, after.aborted, after.replicas);
        self.versions.push((change.at, change.object.clone()));
    }

    fn now(&self) -> Facts {
        self.versions
            .last()
            .map(|(_, object)| Facts::of(object))
            .unwrap_or_default()
    }

    /// All that was the case with the Rollout from `basis` on.
    fn since(&self, basis: Timestamp) -> Vec<Facts> {
        let first = self.versions.iter().rposition(|(at, _)| *at < basis).unwrap_or(0);
        self.versions[first..]
            .iter()
            .map(|(_, object)| Facts::of(object))
            .collect()
    }
}

/// Remembers the value of when something began, for as long as it lasts.
fn keep_since(kept: &mut Option<u64>, lasts: bool, value: u64) {
    *kept = lasts.then(|| kept.unwrap_or(value));
}
