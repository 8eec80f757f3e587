//! The parts of a Rollout that do not depend on its strategy.

use sluice_crds::{Rollout, RolloutSpec, WorkloadRef, defaults};

use super::{Problem, blue_green, canary, report::Report, template};

/// All static problems of a Rollout: those that show without looking at other objects.
pub fn rollout(rollout: &Rollout) -> Vec<Problem> {
    let mut report = Report::default();
    let spec = &rollout.spec;
    name(&mut report, rollout);
    numbers(&mut report, spec);
    match &spec.workload_ref {
        None => template::check(&mut report, spec),
        Some(reference) => workload_ref(&mut report, spec, reference),
    }
    strategy(&mut report, rollout);
    report.found
}

/// The longest name of a Rollout. Names of its objects begin with it, and they may have 253 characters: the hash, the number of
/// the revision, the step and the attempt of a run come after it.
const LONGEST_NAME: usize = 220;

fn name(report: &mut Report, rollout: &Rollout) {
    let length = rollout.metadata.name.as_deref().unwrap_or_default().len();
    if length > LONGEST_NAME {
        let problem =
            format!("has {length} characters, at most {LONGEST_NAME} leave room for the names of ReplicaSets");
        report.add("metadata.name", problem);
    }
}

fn numbers(report: &mut Report, spec: &RolloutSpec) {
    report.not_negative("spec.replicas", spec.replicas);
    report.not_negative("spec.minReadySeconds", spec.min_ready_seconds);
    report.not_negative("spec.revisionHistoryLimit", spec.revision_history_limit);
    let window = spec.rollback_window.as_ref();
    report.not_negative(
        "spec.rollbackWindow.revisions",
        window.and_then(|window| window.revisions),
    );
    report.not_negative("spec.progressDeadlineSeconds", spec.progress_deadline_seconds);
    if spec.progress_deadline_seconds_or_default() <= spec.min_ready_seconds_or_default() {
        report.add("spec.progressDeadlineSeconds", "must be greater than minReadySeconds");
    }
    let limits = spec.analysis.clone().unwrap_or_default();
    report.not_negative(
        "spec.analysis.successfulRunHistoryLimit",
        limits.successful_run_history_limit,
    );
    report.not_negative(
        "spec.analysis.unsuccessfulRunHistoryLimit",
        limits.unsuccessful_run_history_limit,
    );
    if spec.restart_at.as_ref().is_some_and(|at| at.timestamp().is_none()) {
        report.add("spec.restartAt", "must be a time such as 2026-01-31T12:00:00Z");
    }
}

fn workload_ref(report: &mut Report, spec: &RolloutSpec, reference: &WorkloadRef) {
    let filled = |value: &serde_json::Value| value.as_object().is_none_or(|map| !map.is_empty());
    if spec.template.as_ref().is_some_and(filled) {
        report.add("spec.template", "template must be empty for workload reference rollout");
    }
    let api_version = reference.api_version.as_deref().unwrap_or_default();
    let kind = reference.kind.as_deref().unwrap_or_default();
    let known = [
        ("apps/v1", "Deployment"),
        ("apps/v1", "ReplicaSet"),
        ("v1", "PodTemplate"),
    ];
    if !known.contains(&(api_version, kind)) {
        let problem = format!("workload of type {api_version}/{kind} is not supported");
        report.add("spec.workloadRef.kind", problem);
    }
    let mode = reference.scale_down.as_deref().unwrap_or("never");
    report.add_if(
        !["never", "onsuccess", "progressively", ""].contains(&mode),
        "spec.workloadRef.scaleDown",
        "must be never, onsuccess or progressively",
    );
    report.add_if(
        reference.name.as_ref().is_none_or(String::is_empty),
        "spec.workloadRef.name",
        "is missing: name the workload",
    );
}

fn strategy(report: &mut Report, rollout: &Rollout) {
    let spec = &rollout.spec;
    match (spec.canary(), spec.blue_green()) {
        (None, None) => report.add(
            "spec.strategy",
            "Rollout has missing field '.spec.strategy.canary or .spec.strategy.blueGreen'",
        ),
        (Some(_), Some(_)) => report.add("spec.strategy", "Multiple Strategies can not be listed"),
        _ => {}
    }
    if let Some(canary) = spec.canary() {
        canary::check(report, canary, spec.selector.as_ref(), &rollout.metadata);
    }
    if let Some(blue_green) = spec.blue_green() {
        let history = spec.revision_history_limit.unwrap_or(defaults::REVISION_HISTORY_LIMIT);
        blue_green::check(report, blue_green, spec.selector.as_ref(), history);
    }
}
