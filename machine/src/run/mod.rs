//! The `AnalysisRun`: which metrics to measure when, and what the measurements say together.
//!
//! ```text
//! RunWorld { run, answers, in_flight, named } ──decide(now)──> RunPlan { commit, measure, events, delete, hold, wake_at }
//! ```
//!
//! Measurements are fire-and-report: the shell starts what `measure` lists, notes it in `in_flight`, and puts the result into
//! `answers`. A crash loses both, and the measurement is simply taken again: the attempt of a [`MeasureKey`] is counted in the
//! run's status, so no result can be recorded twice.
//!
//! # Guarantees
//! - One write to start, then at most one write per round of measurements: results that arrive within [`BATCH`] are written
//!   together. A result that ends the run is written at once.
//! - With nothing new, nothing is written.
//! - A run ends once; what ended is never changed again. `ttlStrategy` deletes it, but never while the status of its living
//!   Rollout names it. A run without owner, or whose owner is gone, goes at its time.
//! - **No evidence is no success.** Differently from Argo Rollouts, a metric whose count is reached, or whose run is
//!   terminated by `spec.terminate`, is Successful only with at least one successful measurement. Otherwise it is Failed if any
//!   measurement failed, else Inconclusive, else Error. (There, `count: 1` with `failureLimit: 1` succeeds on a failure.) A run
//!   that is terminated before any measurement ended is Successful, as there: nobody asked for a verdict any more.
//!
//! - **A dry run decides nothing.** A metric that a rule of `dryRun` names is measured and recorded like the others, and
//!   counted in `dryRunSummary`. It ends no run early and is in no message; the run waits for its end, as in Argo Rollouts.
//!   A run all of whose metrics are dry runs is Successful.

mod schedule;
mod ttl;
mod verdict;

pub use schedule::{ERROR_RETRY, LEAST_WAIT};
pub use ttl::{LOOK_AGAIN, deletion_at, may_delete, named, rollout_of};

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sluice_analysis::metric::{self, Limits};
use sluice_analysis::{Measured, args, template, text};
use sluice_crds::{
    AnalysisPhase, AnalysisRun, AnalysisRunSpec, AnalysisRunStatus, Measurement, Metric, MetricResult, Time,
};

use crate::{Event, EventKind, Fact, Why};

/// How long a result may wait for others of its round, to be written with them.
pub const BATCH: SignedDuration = SignedDuration::from_secs(1);
/// Measurements that are kept of each metric, where `measurementRetention` does not say otherwise: as in Argo Rollouts.
const HISTORY: usize = 10;
/// Most measurements that are kept whatever `measurementRetention` says: each has up to 2 KiB, and the object 1.5 MiB.
const MAX_HISTORY: usize = 100;

/// One measurement of a metric: the result of the same attempt is recorded once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MeasureKey {
    /// Name of the metric.
    pub metric: String,
    /// How many measurements of it are recorded already.
    pub attempt: u32,
}

/// A measurement that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What came out.
    pub measured: Measured,
    /// What the provider has to tell about the metric ([`sluice_analysis::Prepared::metadata`]).
    pub metadata: BTreeMap<String, String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
}

/// Everything that [`decide`] may look at.
#[derive(Clone, Debug, Default)]
pub struct RunWorld {
    /// The run as it was read.
    pub run: AnalysisRun,
    /// Results that may not be recorded yet. Those that are ([`is_recorded`]) have no effect and may be dropped.
    pub answers: BTreeMap<MeasureKey, Taken>,
    /// Measurements that are under way.
    pub in_flight: BTreeSet<MeasureKey>,
    /// The runs that the status of the Rollout names which controls this run ([`named`]). Absent: none controls it, or it is
    /// gone. Matters only for a run with a [`deletion_at`].
    pub named: Fact<BTreeSet<String>>,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunPlan {
    /// To write on the run first.
    pub commit: Option<RunCommit>,
    /// To start after the write succeeded. Names of metrics: the shell finds them with [`metric`].
    pub measure: Vec<MeasureKey>,
    /// To publish after the write succeeded.
    pub events: Vec<Event>,
    /// To delete the run, if [`may_delete`] says so once more on the freshest view. Nothing else is to be done then.
    pub delete: Option<RunDelete>,
    /// Why nothing is written.
    pub hold: Option<RunHold>,
    /// When to decide again if nothing changes before.
    pub wake_at: Option<Timestamp>,
}

/// A write on the run. It has no status subresource: this is a patch of the object.
#[derive(Clone, Debug, PartialEq)]
pub struct RunCommit {
    /// The resourceVersion that it must meet.
    pub resource_version: String,
    /// Merge patch `{"status": {...}}` with explicit nulls, without resourceVersion.
    pub patch: Value,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDelete {
    /// uid that it must have (precondition).
    pub uid: String,
    /// resourceVersion that it must have (precondition).
    pub resource_version: String,
}

/// Why a run waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunHold {
    /// It is being deleted.
    Deleting,
    /// It has ended.
    Ended(AnalysisPhase),
    /// It is to be deleted, and the status of its Rollout names it.
    InUse,
    /// It is to be deleted, and it is not known whether its Rollout needs it.
    OwnerUnknown(Why),
    /// Measurements are under way.
    Measuring,
    /// The next measurement is due later.
    NotDue,
}

/// Decides what to do about a run at `now`.
pub fn decide(now: Timestamp, world: &RunWorld) -> RunPlan {
    let old = world.run.status.clone().unwrap_or_default();
    if world.run.metadata.deletion_timestamp.is_some() {
        return RunPlan::hold(RunHold::Deleting);
    }
    if old.phase.completed() {
        return ttl::ended(now, world, &old.phase);
    }
    let spec = &world.run.spec;
    let mut status = AnalysisRunStatus {
        phase: AnalysisPhase::Running,
        ..old.clone()
    };
    status.started_at = old
        .started_at
        .clone()
        .filter(|at| at.timestamp().is_some())
        .or(Some(now.into()));
    let metrics = match prepare(spec) {
        Ok(metrics) => metrics,
        Err(problems) => {
            status.phase = AnalysisPhase::Error;
            status.message = Some(text::bounded(&format!("Analysis spec invalid: {problems}")));
            status.completed_at = Some(now.into());
            return written(world, &old, &status, Vec::new());
        }
    };
    let pending = pending(world, &old);
    let mut recorded = status.clone();
    for (key, taken) in &pending {
        record(&mut recorded, spec, &key.metric, taken);
    }
    let ended = verdict::assess(&mut recorded, &metrics, spec.terminate.unwrap_or(false), now);
    let waiting_since = pending.values().map(|taken| taken.finished_at.min(now)).min();
    let batch_until = waiting_since.map(|at| at.saturating_add(BATCH).unwrap_or(Timestamp::MAX));
    let under_way = world
        .in_flight
        .iter()
        .any(|key| !is_recorded(&world.run, key) && !pending.contains_key(key));
    if ended {
        return written(world, &old, &recorded, Vec::new());
    }
    let complete = !under_way || batch_until.is_some_and(|until| until <= now);
    let written_now = if complete || pending.is_empty() {
        recorded
    } else {
        start_only(status, &metrics, now)
    };
    let held_back = if complete { None } else { batch_until };
    let due = schedule::due(now, &written_now, &metrics);
    let known = |key: &MeasureKey| world.in_flight.contains(key) || world.answers.contains_key(key);
    let measure: Vec<MeasureKey> = due.now.into_iter().filter(|key| !known(key)).collect();
    let under_way = under_way || !measure.is_empty();
    let mut plan = written(world, &old, &written_now, measure);
    plan.wake_at = [due.next, held_back].into_iter().flatten().min();
    if plan.commit.is_none() {
        plan.hold = Some(if under_way { RunHold::Measuring } else { RunHold::NotDue });
    }
    plan
}

/// What is wrong with the spec of a run, in one text; `None` where it can be measured. A run with problems ends with Error.
pub fn problems(spec: &AnalysisRunSpec) -> Option<String> {
    prepare(spec).err()
}

/// The metric that a key is about.
pub fn metric<'r>(run: &'r AnalysisRun, key: &MeasureKey) -> Option<&'r Metric> {
    run.spec.metrics.iter().find(|metric| metric.name == key.metric)
}

/// Whether the result of a measurement is in the run's status, or will never be.
pub fn is_recorded(run: &AnalysisRun, key: &MeasureKey) -> bool {
    let Some(status) = &run.status else { return false };
    status.phase.completed() || key.attempt < attempt(result(status, &key.metric))
}

impl RunPlan {
    fn hold(hold: RunHold) -> RunPlan {
        RunPlan {
            hold: Some(hold),
            ..RunPlan::default()
        }
    }
}

/// A metric of the run with its arguments filled in (but for secrets) and its limits.
#[derive(Clone, Debug)]
struct Prepared {
    name: String,
    limits: Limits,
    /// Its results are recorded and decide nothing.
    dry_run: bool,
}

/// All metrics, or all problems of the spec.
fn prepare(spec: &AnalysisRunSpec) -> Result<Vec<Prepared>, String> {
    let arguments = spec.args.as_deref().unwrap_or_default();
    let unresolved = |problems: &[args::ArgError]| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        format!("unable to resolve metric arguments: {}", problems.join("; "))
    };
    let open = args::problems(&spec.metrics, arguments);
    if !open.is_empty() {
        return Err(unresolved(&open));
    }
    let resolved: Result<Vec<Metric>, _> = spec
        .metrics
        .iter()
        .map(|metric| args::resolve(metric, arguments, None))
        .collect();
    let resolved = resolved.map_err(|problem| unresolved(&[problem]))?;
    let mut problems: Vec<String> = metric::problems(&resolved).iter().map(ToString::to_string).collect();
    let dry_run = spec.dry_run.as_deref().unwrap_or_default();
    let retention = spec.measurement_retention.as_deref().unwrap_or_default();
    problems.extend(
        template::rule_problems(&resolved, dry_run, retention)
            .iter()
            .map(ToString::to_string),
    );
    let dry = template::dry_metrics(&resolved, dry_run);
    let mut prepared = Vec::new();
    for metric in &resolved {
        match metric::limits(metric) {
            Ok(limits) => prepared.push(Prepared {
                name: metric.name.clone(),
                limits,
                dry_run: dry.contains(&metric.name),
            }),
            // Said above already.
            Err(_) if !problems.is_empty() => {}
            Err(more) => problems.extend(more.iter().map(ToString::to_string)),
        }
    }
    if problems.is_empty() {
        Ok(prepared)
    } else {
        Err(problems.join("; "))
    }
}

/// The results that are to be recorded next: of each metric the one of its next attempt.
fn pending<'w>(world: &'w RunWorld, status: &AnalysisRunStatus) -> BTreeMap<&'w MeasureKey, &'w Taken> {
    let next = |key: &MeasureKey| {
        let result = result(status, &key.metric);
        let open = result.is_none_or(|result| !result.phase.completed());
        open && key.attempt == attempt(result) && metric(&world.run, key).is_some()
    };
    world.answers.iter().filter(|(key, _)| next(key)).collect()
}

/// The status with the start in it and no new result.
fn start_only(mut status: AnalysisRunStatus, metrics: &[Prepared], now: Timestamp) -> AnalysisRunStatus {
    verdict::assess(&mut status, metrics, false, now);
    status
}

fn result<'s>(status: &'s AnalysisRunStatus, metric: &str) -> Option<&'s MetricResult> {
    status
        .metric_results
        .iter()
        .flatten()
        .find(|result| result.name == metric)
}

/// How many measurements of a metric are recorded, errors included.
fn attempt(result: Option<&MetricResult>) -> u32 {
    let Some(result) = result else { return 0 };
    number(result.count).saturating_add(number(result.error)).unsigned_abs()
}

/// A count of the status. Whoever may write the status may write nonsense.
fn number(count: Option<i32>) -> i32 {
    count.unwrap_or(0).max(0)
}

/// Adds a measurement to the results of its metric.
fn record(status: &mut AnalysisRunStatus, spec: &AnalysisRunSpec, metric: &str, taken: &Taken) {
    let results = status.metric_results.get_or_insert_default();
    let at = results
        .iter()
        .position(|result| result.name == metric)
        .unwrap_or_else(|| {
            let phase = AnalysisPhase::Running;
            results.push(MetricResult {
                name: metric.to_owned(),
                phase,
                ..MetricResult::default()
            });
            results.len() - 1
        });
    let result = &mut results[at];
    let phase = match &taken.measured.phase {
        phase if phase.completed() => phase.clone(),
        _ => AnalysisPhase::Error,
    };
    let add = |count: &mut Option<i32>| *count = Some(number(*count).saturating_add(1));
    match phase {
        AnalysisPhase::Successful => add(&mut result.successful),
        AnalysisPhase::Failed => add(&mut result.failed),
        AnalysisPhase::Inconclusive => add(&mut result.inconclusive),
        _ => add(&mut result.error),
    }
    if phase == AnalysisPhase::Error {
        add(&mut result.consecutive_error);
    } else {
        add(&mut result.count);
        result.consecutive_error = None;
    }
    if phase == AnalysisPhase::Successful {
        add(&mut result.consecutive_success);
    } else {
        result.consecutive_success = None;
    }
    if !taken.metadata.is_empty() {
        result.metadata = Some(taken.metadata.clone());
    }
    let measurements = result.measurements.get_or_insert_default();
    // One that another controller began and did not end will not end any more.
    measurements.retain(|measurement| measurement.phase.completed());
    measurements.push(Measurement {
        phase,
        message: taken.measured.message.clone(),
        value: taken.measured.value.clone(),
        started_at: Some(Time::from(taken.started_at)),
        finished_at: Some(Time::from(taken.finished_at)),
        ..Measurement::default()
    });
    let rules = spec.measurement_retention.as_deref().unwrap_or_default();
    let keep = template::retention(metric, rules).unwrap_or(HISTORY).min(MAX_HISTORY);
    measurements.drain(..measurements.len().saturating_sub(keep));
}

/// The plan that writes what changed.
fn written(world: &RunWorld, old: &AnalysisRunStatus, new: &AnalysisRunStatus, measure: Vec<MeasureKey>) -> RunPlan {
    let before = if world.run.status.is_some() {
        json!(old)
    } else {
        json!({})
    };
    let commit = crate::json::diff(&before, &json!(new)).map(|change| RunCommit {
        resource_version: world.run.metadata.resource_version.clone().unwrap_or_default(),
        patch: json!({ "status": change }),
    });
    let hold = (commit.is_none() && new.phase.completed()).then(|| RunHold::Ended(new.phase.clone()));
    RunPlan {
        commit,
        measure,
        events: events(old, new),
        hold,
        // When it is to be deleted is decided when the end is seen.
        ..RunPlan::default()
    }
}

/// One event for each metric that ends and one for the run, with the reasons and texts of Argo Rollouts.
fn events(old: &AnalysisRunStatus, new: &AnalysisRunStatus) -> Vec<Event> {
    let ends = |old: Option<&AnalysisPhase>, new: &AnalysisPhase| new.completed() && old != Some(new);
    let mut events = Vec::new();
    for metric in new.metric_results.iter().flatten() {
        let before = result(old, &metric.name).map(|result| &result.phase);
        if let (true, Some((kind, reason, _))) = (ends(before, &metric.phase), event_kind(&metric.phase)) {
            let message = format!("Metric '{}' Completed. Result: {}", metric.name, metric.phase);
            events.push(Event {
                kind,
                reason,
                message,
                key: format!("metric {}", metric.name),
            });
        }
    }
    if let (true, Some((kind, _, reason))) = (ends(Some(&old.phase), &new.phase), event_kind(&new.phase)) {
        let message = format!("Analysis Completed. Result: {}", new.phase);
        events.push(Event {
            kind,
            reason,
            message,
            key: "run".to_owned(),
        });
    }
    events
}

/// Kind and reasons (of a metric, of a run) of the event that tells of an end.
fn event_kind(phase: &AnalysisPhase) -> Option<(EventKind, &'static str, &'static str)> {
    match phase {
        AnalysisPhase::Successful => Some((EventKind::Normal, "MetricSuccessful", "AnalysisRunSuccessful")),
        AnalysisPhase::Failed => Some((EventKind::Warning, "MetricFailed", "AnalysisRunFailed")),
        AnalysisPhase::Error => Some((EventKind::Warning, "MetricError", "AnalysisRunError")),
        AnalysisPhase::Inconclusive => Some((EventKind::Normal, "MetricInconclusive", "AnalysisRunInconclusive")),
        _ => None,
    }
}

impl std::fmt::Display for RunHold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RunHold::Deleting => f.write_str("the AnalysisRun is being deleted"),
            RunHold::Ended(phase) => write!(f, "the AnalysisRun has ended: {phase}"),
            RunHold::InUse => {
                f.write_str("ttlStrategy would delete the AnalysisRun, and its Rollout's status names it")
            }
            RunHold::OwnerUnknown(why) => {
                write!(
                    f,
                    "ttlStrategy would delete the AnalysisRun; whether its Rollout needs it is not known, because {why}"
                )
            }
            RunHold::Measuring => f.write_str("measurements are under way"),
            RunHold::NotDue => f.write_str("the next measurement is due later"),
        }
    }
}

#[cfg(test)]
mod tests;
