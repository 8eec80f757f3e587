//! The progress deadline.

use jiff::{SignedDuration, Timestamp};
use sluice_crds::RolloutStatus;

use super::{
    canary,
    conditions::{self, PROGRESSING},
    context::{Context, is_complete},
    publish, runs, sets,
    turn::Turn,
};

/// Reasons of the condition `Progressing` while nothing has to progress. Who leaves such a state, by another template, a retry, the
/// end of a pause, or the loss of a pod, has the whole time, however long it lasted.
const AT_REST: [&str; 3] = ["NewReplicaSetAvailable", "RolloutPaused", "RolloutAborted"];

/// When the deadline is over if nothing progresses; `None` while it does not count: the update is over, aborted or paused, the
/// present step is an analysis or a pause that has begun, an analysis of a promotion is running, or a scale-down delay is running.
pub(super) fn at(context: &Context<'_>, status: &RolloutStatus) -> Option<Timestamp> {
    let healthy = is_complete(context, status) && context.new_available() >= context.replicas;
    let paused = context.rollout.spec.paused == Some(true) || status.pause_conditions.iter().flatten().next().is_some();
    if healthy || paused || status.abort == Some(true) {
        return None;
    }
    if let Some(canary) = context.canary() {
        let step = canary::steps(canary).get(canary::index(canary, status));
        let has_begun = status.controller_pause == Some(true);
        let waits = step.is_some_and(|step| {
            step.pause.is_some() && has_begun || step.analysis.is_some() || step.experiment.is_some()
        });
        if waits && status.stable_rs.is_some() && !is_complete(context, status) {
            return None;
        }
    }
    if context.blue_green().is_some() && runs::is_waiting(status) {
        return None;
    }
    if context
        .sets
        .iter()
        .any(|set| set.wanted > 0 && sets::deadline(set).is_some())
    {
        return None;
    }
    let progressing = conditions::find(context.rollout.status.as_ref()?, PROGRESSING)?;
    if AT_REST.contains(&progressing.reason.as_str()) {
        return None;
    }
    let seconds = context.rollout.spec.progress_deadline_seconds.unwrap_or(600);
    Some(progressing.last_update_time.timestamp()? + SignedDuration::from_secs(i64::from(seconds)))
}

/// Whether the deadline is over.
pub(super) fn is_over(turn: &mut Turn<'_>, context: &Context<'_>, status: &RolloutStatus) -> bool {
    match at(context, status) {
        Some(at) if turn.now >= at => true,
        Some(at) => {
            turn.wake(at);
            false
        }
        None => false,
    }
}

/// Whether the deadline is over and the update is to be aborted for it. Progress that the status does not tell of yet, because
/// nobody was there to write it, is progress.
pub(super) fn aborts(turn: &mut Turn<'_>, context: &Context<'_>, status: &RolloutStatus) -> bool {
    let aborts = context.rollout.spec.progress_deadline_abort == Some(true)
        && is_over(turn, context, status)
        && !conditions::has_progressed(context, &publish::counted(context, status));
    turn.confirm |= aborts;
    aborts
}
