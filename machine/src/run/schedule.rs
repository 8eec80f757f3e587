//! Which measurements are due.

use jiff::{SignedDuration, Timestamp};
use sluice_analysis::metric::Limits;
use sluice_crds::{AnalysisPhase, AnalysisRunStatus, MetricResult, Time};

use super::{MeasureKey, Prepared, attempt, number, result};

/// How long after an error a measurement is tried again, whatever the interval is: as in Argo Rollouts.
pub const ERROR_RETRY: SignedDuration = SignedDuration::from_secs(10);

/// Shortest time between two measurements: an interval of nothing would keep the controller busy for ever.
pub const LEAST_WAIT: SignedDuration = SignedDuration::from_secs(1);

/// Measurements by when they are due.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// Now.
    pub now: Vec<MeasureKey>,
    /// The first that is due later.
    pub next: Option<Timestamp>,
}

/// What is due at `now` by the status that is being written.
pub(super) fn due(now: Timestamp, status: &AnalysisRunStatus, metrics: &[Prepared]) -> Due {
    let started_at = status.started_at.as_ref().and_then(Time::timestamp).unwrap_or(now);
    let mut due = Due::default();
    for metric in metrics {
        let result = result(status, &metric.name);
        let Some(at) = due_at(now, started_at, &metric.limits, result) else {
            continue;
        };
        if at <= now {
            due.now.push(MeasureKey {
                metric: metric.name.clone(),
                attempt: attempt(result),
            });
        } else {
            due.next = Some(due.next.map_or(at, |next| next.min(at)));
        }
    }
    due
}

/// When the next measurement of a metric is due; `None` where there is none to come.
fn due_at(now: Timestamp, started_at: Timestamp, limits: &Limits, result: Option<&MetricResult>) -> Option<Timestamp> {
    // A time that lies further ahead than the wait itself was written by a clock that is not to be trusted.
    let after = |at: Timestamp, wait: SignedDuration| {
        let until = at.saturating_add(wait).unwrap_or(Timestamp::MAX);
        if at > now.saturating_add(wait).unwrap_or(Timestamp::MAX) {
            now
        } else {
            until
        }
    };
    let first = after(started_at, limits.initial_delay);
    let Some(result) = result else { return Some(first) };
    if result.phase.completed() || limits.count.is_some_and(|count| number(result.count) >= count) {
        return None;
    }
    let last = result
        .measurements
        .iter()
        .flatten()
        .rfind(|measurement| measurement.phase.completed());
    let Some(last) = last else { return Some(first) };
    let wait = match &last.phase {
        AnalysisPhase::Error => ERROR_RETRY,
        _ => limits.interval.unwrap_or(ERROR_RETRY).max(LEAST_WAIT),
    };
    let finished_at = last.finished_at.as_ref().and_then(Time::timestamp);
    Some(finished_at.map_or(now, |at| after(at, wait)))
}
