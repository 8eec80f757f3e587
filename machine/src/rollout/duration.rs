//! How long an update takes, and how it ended (`status.duration`).

use jiff::Timestamp;
use sluice_crds::{CompletionStatus, RolloutDuration, RolloutStatus, Time};

use super::{
    canary,
    context::{Context, is_complete, revision_of},
    turn::Turn,
};

/// Brings `status.duration` up to date with what else is new in the status.
pub(super) fn track(turn: &Turn<'_>, context: &Context<'_>, status: &mut RolloutStatus) {
    let empty = RolloutStatus::default();
    let old = context.rollout.status.as_ref().unwrap_or(&empty);
    let now = || Time::from(turn.now);
    if old.current_pod_hash != status.current_pod_hash {
        status.duration = Some(RolloutDuration {
            rollout_started_at: Some(now()),
            ..RolloutDuration::default()
        });
    }
    let end = end(context, old, status);
    let waits_for_a_person = waits_for_a_person(context, status);
    // What Argo Rollouts or an earlier version began without it ends without it.
    let Some(duration) = &mut status.duration else { return };
    if old.aborted_at.is_some() && status.aborted_at.is_none() && end.is_none() {
        duration.finished_at = None;
        duration.completion_status = None;
    }
    if let Some(end) = end {
        duration.finished_at = Some(now());
        duration.completion_status = Some(end);
    }
    let began = duration.manual_pause_started_at.as_ref().and_then(Time::timestamp);
    match (began, waits_for_a_person) {
        (None, true) => duration.manual_pause_started_at = Some(now()),
        (Some(began), false) => {
            let total = duration.total_manual_pause_duration_seconds.unwrap_or(0);
            duration.total_manual_pause_duration_seconds = Some(total + whole_seconds(began, turn.now));
            duration.manual_pause_started_at = None;
        }
        _ => {}
    }
}

/// How the update ended with this status, if it did.
fn end(context: &Context<'_>, old: &RolloutStatus, status: &RolloutStatus) -> Option<CompletionStatus> {
    if status.aborted_at.is_some() && old.aborted_at.is_none() {
        return Some(CompletionStatus::Aborted);
    }
    let was_complete = old.stable_rs.as_deref() == Some(context.new_hash.as_str());
    let was_present = old.current_pod_hash == status.current_pod_hash;
    if !is_complete(context, status) || was_complete && was_present {
        return None;
    }
    // A template that is older than the stable one was there before; the stable one itself needed no steps.
    let stable = context.stable(old);
    let goes_back = context.new.zip(stable).is_some_and(|(new, stable)| {
        new.created_at < stable.created_at || was_complete && revision_of(new) <= revision_of(stable)
    });
    let is_fast = old.promote_full == Some(true) || was_complete;
    Some(match (goes_back || was_complete, is_fast) {
        (true, true) => CompletionStatus::FastRolledBack,
        (true, false) => CompletionStatus::RolledBack,
        (false, true) => CompletionStatus::FastPromoted,
        (false, false) => CompletionStatus::Promoted,
    })
}

/// Whether the update is paused and nothing but a person ends the pause.
fn waits_for_a_person(context: &Context<'_>, status: &RolloutStatus) -> bool {
    if is_complete(context, status) || status.abort == Some(true) {
        return false;
    }
    let paused = status.pause_conditions.iter().flatten().next().is_some();
    let ends = match (context.canary(), context.blue_green()) {
        (Some(canary), _) => canary::pause_ends(canary, status).is_some(),
        (None, Some(blue_green)) => {
            blue_green.auto_promotion_enabled != Some(false) && blue_green.auto_promotion_seconds_or_default() > 0
        }
        (None, None) => false,
    };
    context.rollout.spec.paused == Some(true) || paused && !ends
}

fn whole_seconds(from: Timestamp, to: Timestamp) -> i64 {
    from.duration_until(to).as_secs().max(0)
}
