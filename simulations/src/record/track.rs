//! What is kept of one Rollout.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize as _;
use serde_json::Value;
use sluice_crds::Rollout;
use sluice_machine::rollout::canary;

use super::read::{hash_of, measurements, number_of, rounded, share_acknowledged, shortened};
use crate::clock::millis_since_start;
use crate::models::{DataPlane, Models, Rules, Served};
use crate::report::{
    MeasurementReport, Pods, PodsPoint, Position, RevisionReport, RolloutReport, Row, RowKind, RunReport, SplitPoint,
    StepSpan, TrafficSample,
};
use crate::store::{Change, Key, Store, uid_of};

/// Everything that a position is read from.
pub(super) struct Present<'a> {
    pub(super) at: i64,
    pub(super) store: &'a Store,
    pub(super) models: &'a Models,
    pub(super) shares: &'a BTreeMap<Key, f64>,
    pub(super) acknowledged: &'a BTreeMap<Key, Arc<Rules>>,
}

/// One Rollout.
#[derive(Debug, Default)]
pub(super) struct Track {
    pub(super) report: RolloutReport,
    pub(super) uid: String,
    /// The Rollout as it was last written.
    rollout: Option<Rollout>,
    /// By ReplicaSet: index in the report's revisions, and its totals at the last sample.
    pub(super) sets: BTreeMap<Key, (usize, Served)>,
    pub(super) runs: BTreeMap<Key, usize>,
    pub(super) gone: bool,
}

impl Track {
    pub(super) fn see_rollout(&mut self, change: &Change) {
        let at = millis_since_start(change.at);
        uid_of(&change.object).clone_into(&mut self.uid);
        self.report.name = format!("{}/{}", change.key.namespace, change.key.name);
        let Ok(rollout) = Rollout::deserialize(&*change.object) else {
            return;
        };
        let canary = rollout.spec.canary();
        let strategy = if canary.is_some() { "canary" } else { "blueGreen" };
        strategy.clone_into(&mut self.report.strategy);
        let steps = canary.map(canary::steps).unwrap_or_default();
        self.report.steps = steps.iter().map(canary::describe).collect();
        self.rollout = Some(rollout);
        let text = |field: &str| change.object["status"][field].as_str().unwrap_or_default().to_owned();
        let (phase, message) = (text("phase"), text("message"));
        let outcome = &mut self.report.outcome;
        if (&outcome.phase, &outcome.message) == (&phase, &message) {
            return;
        }
        (outcome.phase, outcome.message) = (phase.clone(), message.clone());
        let text = if message.is_empty() {
            phase
        } else {
            format!("{phase}: {message}")
        };
        if !text.is_empty() {
            self.put(at, RowKind::Phase, text);
        }
    }

    pub(super) fn see_set(&mut self, change: &Change) {
        let object = &change.object;
        let revisions = &mut self.report.revisions;
        let (index, _) = *self.sets.entry(change.key.clone()).or_insert_with(|| {
            revisions.push(RevisionReport::default());
            (revisions.len() - 1, Served::default())
        });
        let revision = &mut self.report.revisions[index];
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let number = number_of(object);
        if revision.revision != number && revision.revision > 0 {
            revision.earlier.push(revision.revision);
        }
        revision.revision = number;
        hash_of(object).clone_into(&mut revision.hash);
        text("/spec/template/spec/containers/0/image").clone_into(&mut revision.image);
    }

    pub(super) fn see_run(&mut self, change: &Change) {
        let at = millis_since_start(change.at);
        let runs = &mut self.report.runs;
        let index = *self.runs.entry(change.key.clone()).or_insert_with(|| {
            runs.push(RunReport {
                name: change.key.name.to_string(),
                from_millis: at,
                ..RunReport::default()
            });
            runs.len() - 1
        });
        let taken = measurements(&change.object);
        let known = change.before.as_deref().map(measurements).unwrap_or_default();
        for (metric, measurement) in taken.iter().filter(|taken| !known.contains(taken)) {
            let text = |field: &str| measurement[field].as_str().unwrap_or_default().to_owned();
            let measured = MeasurementReport {
                metric: (*metric).to_owned(),
                at_millis: at,
                value: text("value"),
                verdict: text("phase"),
                message: text("message"),
            };
            let value = if measured.value.is_empty() {
                "no value"
            } else {
                &measured.value
            };
            let mut row = format!("{metric} = {}: {}", shortened(value), measured.verdict);
            if !measured.message.is_empty() {
                row = format!("{row} ({})", measured.message);
            }
            self.put(at, RowKind::Measurement, row);
            self.report.runs[index].measurements.push(measured);
        }
        let run = &mut self.report.runs[index];
        let text = |field: &str| change.object["status"][field].as_str().unwrap_or_default();
        text("phase").clone_into(&mut run.phase);
        text("message").clone_into(&mut run.message);
        let ended = ["Successful", "Failed", "Error", "Inconclusive"].contains(&text("phase"));
        if ended && run.until_millis.is_none() {
            run.until_millis = Some(at);
        }
    }

    pub(super) fn put(&mut self, at_millis: i64, kind: RowKind, text: String) {
        if kind == RowKind::Hold {
            text.clone_into(&mut self.report.outcome.waits);
            if text.is_empty() {
                return;
            }
        }
        let position = self
            .report
            .rows
            .last()
            .map(|row| row.position.clone())
            .unwrap_or_default();
        self.report.rows.push(Row {
            at_millis,
            kind,
            text,
            position,
        });
    }

    /// Takes over where the Rollout stands now.
    pub(super) fn stand(&mut self, at: i64, position: Position) {
        let split = SplitPoint {
            at_millis: at,
            revision: self.report.outcome.newest,
            wanted: position.wanted,
            routed: position.routed,
            acknowledged: position.acknowledged,
        };
        let before = self.report.split.last().copied().unwrap_or_default();
        if (SplitPoint {
            at_millis: at,
            ..before
        }) != split
        {
            self.report.split.push(split);
        }
        let last = self
            .report
            .rows
            .last()
            .map(|row| row.position.clone())
            .unwrap_or_default();
        if last == position {
            return;
        }
        if last.pods != position.pods {
            self.report.pods.push(PodsPoint {
                at_millis: at,
                pods: position.pods.clone(),
            });
        }
        self.report.outcome.weight = position.wanted;
        self.report.outcome.step = position.step;
        match self.report.rows.last_mut().filter(|row| row.at_millis == at) {
            Some(row) => row.position = position,
            None => self.report.rows.push(Row {
                at_millis: at,
                kind: RowKind::Position,
                text: String::new(),
                position,
            }),
        }
    }

    pub(super) fn position(&mut self, key: &Key, present: &Present<'_>) -> Position {
        let Some(rollout) = self.rollout.take() else {
            return Position::default();
        };
        let position = self.position_of(key, &rollout, present);
        self.rollout = Some(rollout);
        position
    }

    fn position_of(&mut self, key: &Key, rollout: &Rollout, present: &Present<'_>) -> Position {
        let status = rollout.status.clone().unwrap_or_default();
        let newest = status.current_pod_hash.as_deref().unwrap_or_default();
        let stable = status.stable_rs.as_deref().unwrap_or_default();
        let number = |hash: &str| {
            let mut revisions = self.report.revisions.iter();
            revisions
                .find(|revision| revision.hash == hash)
                .map(|revision| revision.revision)
        };
        let (newest_number, stable_number) = (number(newest), number(stable));
        let step = status.current_step_index.and_then(|index| u64::try_from(index).ok());
        let blue_green = rollout
            .spec
            .strategy
            .as_ref()
            .and_then(|strategy| strategy.blue_green.as_ref());
        let active = status
            .blue_green
            .as_ref()
            .and_then(|status| status.active_selector.as_deref());
        let wanted = match (rollout.spec.canary(), blue_green) {
            _ if newest.is_empty() => None,
            _ if newest == stable || stable.is_empty() => Some(100.0),
            (_, Some(_)) => active.map(|active| if active == newest { 100.0 } else { 0.0 }),
            _ if status.abort == Some(true) => Some(0.0),
            (Some(canary), _) => Some(f64::from(canary::weight(canary, &status))),
            _ => None,
        };
        let position = Position {
            step,
            wanted: wanted.map(rounded),
            routed: self.routed(newest, present.shares),
            acknowledged: share_acknowledged(key, rollout, newest, present),
            pods: self.pods(present.store),
        };
        self.report.outcome.newest = newest_number;
        self.report.outcome.stable = stable_number;
        let under_way =
            step.filter(|step| newest != stable && !stable.is_empty() && *step < self.report.steps.len() as u64);
        let under_way = under_way.filter(|_| status.abort != Some(true));
        if let Some(revision) = newest_number {
            self.span(present.at, revision, under_way);
        }
        position
    }

    /// Notes at which step the revision under way is.
    fn span(&mut self, at: i64, revision: u64, step: Option<u64>) {
        let open = self.report.spans.last_mut().filter(|span| span.until_millis.is_none());
        let same = open
            .as_ref()
            .is_some_and(|span| Some(span.step) == step && span.revision == revision);
        if same {
            return;
        }
        if let Some(span) = open {
            span.until_millis = Some(at);
        }
        if let Some(step) = step {
            let index = usize::try_from(step).unwrap_or(usize::MAX);
            let text = self.report.steps.get(index).cloned().unwrap_or_default();
            self.report.spans.push(StepSpan {
                revision,
                step,
                text,
                from_millis: at,
                until_millis: None,
            });
        }
    }

    /// The share of the newest revision among the requests that reach pods of this Rollout.
    fn routed(&self, newest: &str, shares: &BTreeMap<Key, f64>) -> Option<f64> {
        let (mut all, mut of_newest) = (0.0, 0.0);
        for (set, (index, _)) in &self.sets {
            let share = shares.get(set).copied().unwrap_or(0.0);
            all += share;
            if self.report.revisions[*index].hash == newest {
                of_newest += share;
            }
        }
        (all > 0.0 && !newest.is_empty()).then(|| rounded(of_newest * 100.0 / all))
    }

    fn pods(&self, store: &Store) -> Vec<Pods> {
        let sets = self.sets.keys().filter_map(|key| store.get(key));
        let mut pods: Vec<Pods> = sets
            .map(|set| Pods {
                revision: number_of(set),
                wanted: set["spec"]["replicas"].as_u64().unwrap_or(1),
                available: set["status"]["availableReplicas"].as_u64().unwrap_or(0),
            })
            .filter(|pods| pods.wanted > 0 || pods.available > 0)
            .collect();
        pods.sort_by_key(|pods| pods.revision);
        pods
    }

    pub(super) fn sample(&mut self, at_millis: i64, seconds: f64, plane: &DataPlane) {
        for (set, (index, last)) in &mut self.sets {
            let served = plane.totals.sets.get(set).copied().unwrap_or_default();
            let latency = plane.latencies.get(set).filter(|_| served != *last);
            let (ok, errors) = (served.ok - last.ok, served.errors - last.errors);
            *last = served;
            let samples = &mut self.report.revisions[*index].samples;
            let idle = |sample: &TrafficSample| sample.per_second == 0.0;
            let requests = ok + errors;
            // Of a time without requests the first and the last sample are kept.
            let quiet = samples.len() >= 2 && samples[samples.len() - 2..].iter().all(idle);
            if requests == 0.0 && quiet {
                samples.pop();
            }
            samples.push(TrafficSample {
                at_millis,
                per_second: rounded(requests / seconds),
                error_rate: (requests > 0.0).then(|| (errors / requests * 1e6).round() / 1e6),
                p50_millis: latency.map(|latency| rounded(latency.p50_ms)),
                p99_millis: latency.map(|latency| rounded(latency.p99_ms)),
            });
        }
    }
}

/// Half as many samples, each of twice the time.
pub(super) fn thin(revision: &mut RevisionReport) {
    let halves = revision.samples.chunks(2).map(|pair| match pair {
        [one, other] => {
            let all = one.per_second + other.per_second;
            let errors = |sample: &TrafficSample| sample.error_rate.unwrap_or(0.0) * sample.per_second;
            TrafficSample {
                per_second: all / 2.0,
                error_rate: (all > 0.0).then(|| (errors(one) + errors(other)) / all),
                ..*other
            }
        }
        _ => pair[0],
    });
    revision.samples = halves.collect();
}
