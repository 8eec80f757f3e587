//! What the results of metrics mean: for each metric, and for the run.

use jiff::Timestamp;
use sluice_analysis::metric::Limits;
use sluice_analysis::text;
use sluice_crds::{AnalysisPhase, AnalysisRunStatus, MetricResult, RunSummary};

use super::{Prepared, number};

/// Brings phases, messages and summary of the status up to date with its results. `true` if the run has ended by that;
/// then it has its phase, its message and its end.
pub(super) fn assess(status: &mut AnalysisRunStatus, metrics: &[Prepared], terminate: bool, now: Timestamp) -> bool {
    for metric in metrics {
        let Some(result) = result_mut(status, &metric.name) else {
            continue;
        };
        result.dry_run = metric.dry_run.then_some(true);
        let phase = metric_phase(&metric.limits, result, terminate);
        enter(result, phase);
    }
    // A metric that ended badly ends the run, whatever the others would still say.
    let bad = |phase: &AnalysisPhase| phase.completed() && *phase != AnalysisPhase::Successful;
    let ending = metrics
        .iter()
        .filter(|metric| !metric.dry_run)
        .any(|metric| super::result(status, &metric.name).is_some_and(|result| bad(&result.phase)));
    if ending {
        for metric in metrics {
            let Some(result) = result_mut(status, &metric.name) else {
                continue;
            };
            if !result.phase.completed() {
                enter(result, AnalysisPhase::Successful);
            }
        }
    }
    status.run_summary = Some(summary(status, metrics, false));
    status.dry_run_summary = Some(summary(status, metrics, true));
    let all_ended = metrics
        .iter()
        .all(|metric| super::result(status, &metric.name).is_some_and(|result| result.phase.completed()));
    if !(all_ended || ending || terminate) {
        return false;
    }
    let (phase, message) = run_phase(status, metrics, terminate);
    status.phase = phase;
    status.message = message.map(|message| text::bounded(&message));
    status.completed_at = Some(now.into());
    true
}

/// The phase of one metric. Its limits are looked at from the worst verdict to the best.
pub(super) fn metric_phase(limits: &Limits, result: &MetricResult, terminate: bool) -> AnalysisPhase {
    if result.phase.completed() {
        return result.phase.clone();
    }
    if number(result.count) == 0 && number(result.error) == 0 {
        return if terminate {
            AnalysisPhase::Successful
        } else {
            AnalysisPhase::Pending
        };
    }
    if let Some((phase, _)) = exceeded(limits, result) {
        return phase;
    }
    if limits
        .consecutive_success
        .is_some_and(|limit| number(result.consecutive_success) >= limit)
    {
        return AnalysisPhase::Successful;
    }
    if limits.count.is_some_and(|count| number(result.count) >= count) {
        return match (limits.consecutive_success, limits.failure) {
            (Some(_), Some(_)) => AnalysisPhase::Inconclusive,
            (Some(_), None) => AnalysisPhase::Failed,
            (None, _) => evidence(result),
        };
    }
    if terminate {
        evidence(result)
    } else {
        AnalysisPhase::Running
    }
}

/// Successful only where something succeeded.
fn evidence(result: &MetricResult) -> AnalysisPhase {
    if number(result.successful) > 0 {
        AnalysisPhase::Successful
    } else if number(result.failed) > 0 {
        AnalysisPhase::Failed
    } else if number(result.inconclusive) > 0 {
        AnalysisPhase::Inconclusive
    } else {
        AnalysisPhase::Error
    }
}

/// The limit that is exceeded, in the words of Argo Rollouts.
fn exceeded(limits: &Limits, result: &MetricResult) -> Option<(AnalysisPhase, String)> {
    let (failed, inconclusive) = (number(result.failed), number(result.inconclusive));
    let errors = number(result.consecutive_error);
    if let Some(limit) = limits.failure.filter(|limit| failed > *limit) {
        return Some((
            AnalysisPhase::Failed,
            format!("failed ({failed}) > failureLimit ({limit})"),
        ));
    }
    if errors > limits.consecutive_error {
        let limit = limits.consecutive_error;
        let reason = format!("consecutiveErrors ({errors}) > consecutiveErrorLimit ({limit})");
        return Some((AnalysisPhase::Error, reason));
    }
    if inconclusive > limits.inconclusive {
        let limit = limits.inconclusive;
        let reason = format!("inconclusive ({inconclusive}) > inconclusiveLimit ({limit})");
        return Some((AnalysisPhase::Inconclusive, reason));
    }
    None
}

/// Why a metric ended as it did, where it did not succeed.
fn reason(limits: &Limits, result: &MetricResult) -> String {
    if let Some((_, reason)) = exceeded(limits, result) {
        return reason;
    }
    let (count, successes) = (number(result.count), number(result.consecutive_success));
    match limits.consecutive_success {
        Some(limit) if limits.count.is_some_and(|limit| count >= limit) => {
            format!("count ({count}) reached with consecutiveSuccess ({successes}) < consecutiveSuccessLimit ({limit})")
        }
        _ => format!(
            "no successful measurement: failed ({}), inconclusive ({}), error ({})",
            number(result.failed),
            number(result.inconclusive),
            number(result.error)
        ),
    }
}

/// A metric that changes its phase has the message of its last measurement, as in Argo Rollouts.
fn enter(result: &mut MetricResult, phase: AnalysisPhase) {
    if result.phase == phase {
        return;
    }
    result.message = result
        .measurements
        .iter()
        .flatten()
        .last()
        .and_then(|last| last.message.clone());
    result.phase = phase;
}

/// The worst of the metrics that count and ended, and why. Of several that are as bad the first says why.
fn run_phase(status: &AnalysisRunStatus, metrics: &[Prepared], terminate: bool) -> (AnalysisPhase, Option<String>) {
    let mut worst: Option<&AnalysisPhase> = None;
    let mut message = terminate.then(|| "Run Terminated".to_owned());
    for metric in metrics.iter().filter(|metric| !metric.dry_run) {
        let Some(result) = super::result(status, &metric.name).filter(|result| result.phase.completed()) else {
            continue;
        };
        if worst.is_some_and(|worst| badness(&result.phase) <= badness(worst)) {
            continue;
        }
        worst = Some(&result.phase);
        if result.phase != AnalysisPhase::Successful {
            let reason = reason(&metric.limits, result);
            let said = result.message.as_deref().filter(|said| !said.is_empty());
            let said = said
                .map(|said| format!(": \"Error Message: {said}\""))
                .unwrap_or_default();
            message = Some(format!(
                "Metric \"{}\" assessed {} due to {reason}{said}",
                metric.name, result.phase
            ));
        }
    }
    (worst.cloned().unwrap_or(AnalysisPhase::Successful), message)
}

/// The order of phases in which the worst one is the run's.
fn badness(phase: &AnalysisPhase) -> u8 {
    match phase {
        AnalysisPhase::Failed => 3,
        AnalysisPhase::Error => 2,
        AnalysisPhase::Inconclusive => 1,
        _ => 0,
    }
}

/// How many metrics ended in which way: of those that count, or of those in dry run.
fn summary(status: &AnalysisRunStatus, metrics: &[Prepared], dry_run: bool) -> RunSummary {
    let mine = || metrics.iter().filter(|metric| metric.dry_run == dry_run);
    let ended = |phase: AnalysisPhase| {
        let count = mine()
            .filter(|m| super::result(status, &m.name).is_some_and(|r| r.phase == phase))
            .count();
        some(count)
    };
    RunSummary {
        count: some(mine().count()),
        successful: ended(AnalysisPhase::Successful),
        failed: ended(AnalysisPhase::Failed),
        inconclusive: ended(AnalysisPhase::Inconclusive),
        error: ended(AnalysisPhase::Error),
    }
}

/// Zero is left out, as Go leaves it out.
fn some(count: usize) -> Option<i32> {
    i32::try_from(count).ok().filter(|count| *count > 0)
}

fn result_mut<'s>(status: &'s mut AnalysisRunStatus, metric: &str) -> Option<&'s mut MetricResult> {
    status
        .metric_results
        .iter_mut()
        .flatten()
        .find(|result| result.name == metric)
}
