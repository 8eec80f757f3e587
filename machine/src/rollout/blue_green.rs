//! Blue-green: the new revision is brought up in full beside the old one, then the active Service is switched.

use jiff::SignedDuration;
use sluice_crds::{
    AnalysisPhase, BlueGreenStatus, BlueGreenStrategy, PauseCondition, PauseReason, RolloutStatus, Time,
};

use super::{
    canary::{has_pause, take_full_promotion_of_aborted},
    context::{Context, is_complete},
    deadline, restart, rollback, routed,
    runs::{self, Role},
    sets::{self, whole_second_up},
    traffic::{Settling, Traffic},
    turn::Turn,
};
use crate::{EventKind, Hold, ReplicaSet};

/// Moves the status on. The order: the preview is up, the analysis before the promotion, the pause, all pods, the switch, the
/// analysis after it.
pub(super) fn advance<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    blue_green: &BlueGreenStrategy,
    traffic: &Traffic<'a>,
    status: &mut RolloutStatus,
) {
    reset_if_changed(turn, context, status);
    if is_complete(context, status) {
        clear(status);
        runs::forget(status);
        status.abort = None;
        status.aborted_at = None;
        return;
    }
    let first = is_first(status);
    if first {
        status.abort = None;
    }
    take_commands(turn, context, status);
    if status.abort == Some(true) {
        turn.hold_otherwise(Hold::Aborted);
        return;
    }
    if context.rollout.spec.paused == Some(true) {
        turn.hold(Hold::PausedByUser);
        return;
    }
    if let Some(reason) = runs::verdict(turn, context, status) {
        abort(turn, context, status, &reason);
        return;
    }
    if deadline::aborts(turn, context, status) && !first {
        let reason = format!("ReplicaSet {:?} has timed out progressing.", context.new_name());
        abort(turn, context, status, &reason);
        return;
    }
    if is_lost(context, traffic, status) {
        let reason = format!(
            "ReplicaSet {:?} has lost all its pods after the switch.",
            context.new_name()
        );
        abort(turn, context, status, &reason);
        return;
    }
    if !is_active(context, traffic) && !is_preview_done(turn, context, blue_green, traffic, status) {
        return;
    }
    if is_up(turn, context, context.replicas)
        && is_switched(turn, context, traffic)
        && is_verified(turn, context, blue_green, status)
    {
        let why = if first {
            "Initial deploy"
        } else if status.promote_full == Some(true) {
            "Full promotion requested"
        } else {
            "Completed blue-green update"
        };
        promote(turn, context, status, why);
    }
}

/// Whether there has never been a stable revision.
fn is_first(status: &RolloutStatus) -> bool {
    status.stable_rs.as_deref().unwrap_or_default().is_empty()
}

/// Whether neither pauses nor analyses hold the update up: there is no other version to fall back on, or somebody said so.
fn skips_checks(status: &RolloutStatus) -> bool {
    is_first(status) || status.promote_full == Some(true)
}

fn reset_if_changed(turn: &mut Turn<'_>, context: &Context<'_>, status: &mut RolloutStatus) {
    if status.current_pod_hash.as_deref() == Some(context.new_hash.as_str()) {
        return;
    }
    clear(status);
    runs::forget(status);
    status.abort = None;
    status.aborted_at = None;
    status.current_pod_hash = Some(context.new_hash.clone());
    status.current_step_hash = None;
    status.current_step_index = None;
    if !is_first(status)
        && !is_complete(context, status)
        && (rollback::is_still_up(turn, context) || rollback::is_within_window(context, status))
    {
        status.promote_full = Some(true);
        let message = "Rollback to active ReplicaSets".to_owned();
        turn.event(EventKind::Normal, "SkipSteps", message, context.event_key("rollback"));
    }
    if restart::due(turn, context, status).is_some() {
        // The new pods are young enough.
        status.restarted_at.clone_from(&context.rollout.spec.restart_at);
    }
    let message = format!("Rollout updated to revision {}", context.revision);
    turn.event(
        EventKind::Normal,
        "RolloutUpdated",
        message,
        context.event_key("updated"),
    );
}

/// Takes off the pauses, and what was promoted.
fn clear(status: &mut RolloutStatus) {
    status.pause_conditions = None;
    status.controller_pause = None;
    status.promote_full = None;
    if let Some(blue_green) = &mut status.blue_green {
        blue_green.scale_up_preview_check_point = None;
    }
}

fn take_commands(turn: &mut Turn<'_>, context: &Context<'_>, status: &mut RolloutStatus) {
    take_full_promotion_of_aborted(status);
    if status.abort == Some(true) && status.aborted_at.is_none() {
        abort(turn, context, status, "");
    } else if status.abort != Some(true) && status.aborted_at.is_some() {
        status.aborted_at = None;
        runs::forget(status);
        let message = format!("Retrying revision {}", context.revision);
        turn.event(
            EventKind::Normal,
            "RolloutRetry",
            message,
            context.event_key(&format!("retry/{}", turn.now)),
        );
    }
    if status.promote_full == Some(true) && status.abort != Some(true) {
        status.pause_conditions = None;
        status.controller_pause = None;
        runs::forget(status);
    }
}

fn abort(turn: &mut Turn<'_>, context: &Context<'_>, status: &mut RolloutStatus, reason: &str) {
    clear(status);
    status.abort = Some(true);
    status.aborted_at = Some(Time::from(turn.now));
    let message = super::conditions::abort_message(context, reason);
    turn.event(
        EventKind::Warning,
        "RolloutAborted",
        message.clone(),
        context.event_key(&format!("abort/{}", turn.now)),
    );
    turn.abort_message = Some(message);
    turn.hold_otherwise(Hold::Aborted);
}

fn promote(turn: &mut Turn<'_>, context: &Context<'_>, status: &mut RolloutStatus, why: &str) {
    clear(status);
    runs::forget(status);
    status.stable_rs = Some(context.new_hash.clone());
    let message = format!(
        "Rollout completed update to revision {} ({}): {why}",
        context.revision, context.new_hash
    );
    turn.event(
        EventKind::Normal,
        "RolloutCompleted",
        message,
        context.event_key("completed"),
    );
}

/// Pods of the new revision: `previewReplicaCount` until everything that comes before the switch is done.
fn new_size(context: &Context<'_>, blue_green: &BlueGreenStrategy, status: &RolloutStatus) -> u32 {
    let check_point = status
        .blue_green
        .as_ref()
        .and_then(|status| status.scale_up_preview_check_point);
    let is_preview = !is_complete(context, status) && !skips_checks(status) && check_point != Some(true);
    match blue_green.preview_replica_count {
        Some(count) if is_preview => u32::try_from(count).unwrap_or(0),
        _ => context.replicas,
    }
}

/// Whether `needed` pods of the new revision are available.
fn is_up(turn: &mut Turn<'_>, context: &Context<'_>, needed: u32) -> bool {
    let available = context.new_available();
    let up = context.new.is_some_and(|set| set.settled && set.wanted >= needed) && available >= needed;
    if !up {
        turn.hold(Hold::NewNotAvailable {
            replica_set: context.new_name(),
            available,
            needed,
        });
    }
    up
}

/// Whether the active Service selects the new revision.
fn is_active(context: &Context<'_>, traffic: &Traffic<'_>) -> bool {
    let active = traffic.stable_service();
    active.and_then(|service| service.selected.revision.as_deref()) == Some(context.new_hash.as_str())
}

/// Whether everything that comes before the switch is done.
fn is_preview_done<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    blue_green: &BlueGreenStrategy,
    traffic: &Traffic<'a>,
    status: &mut RolloutStatus,
) -> bool {
    if skips_checks(status) {
        return true;
    }
    let size = new_size(context, blue_green, status);
    if !is_up(turn, context, size) {
        return false;
    }
    if blue_green.pre_promotion_analysis.is_some() && !is_passed(status, Role::PrePromotion) {
        // What is judged is what the preview Service shows.
        if is_shown(turn, context, traffic, size) {
            runs::name_one(turn, context, status, Role::PrePromotion);
            hold_for_run(turn, context, status, Role::PrePromotion);
        }
        return false;
    }
    if pauses(blue_green) && !is_pause_over(turn, context, blue_green, status) {
        return false;
    }
    if size < context.replicas {
        let blue_green = status.blue_green.get_or_insert_with(BlueGreenStatus::default);
        blue_green.scale_up_preview_check_point = Some(true);
    }
    true
}

/// Whether the preview Service, where there is one, shows the new revision to everybody.
fn is_shown<'a>(turn: &mut Turn<'a>, context: &Context<'a>, traffic: &Traffic<'a>, size: u32) -> bool {
    let Some(preview) = traffic.canary_service().filter(|_| size > 0) else {
        return true;
    };
    if preview.selected.revision.as_deref() != Some(context.new_hash.as_str()) {
        return false;
    }
    match traffic.service_settling(turn, preview) {
        Settling::Settled | Settling::TimedOut(_) => true,
        Settling::Waiting(hold) => {
            turn.hold(hold);
            false
        }
    }
}

/// Whether a run was successful; or inconclusive, and a person has ended the pause that followed.
fn is_passed(status: &RolloutStatus, role: Role) -> bool {
    let paused = has_pause(status, &PauseReason::InconclusiveAnalysisRun);
    role.named(status).is_some_and(|run| match run.status {
        AnalysisPhase::Successful => true,
        AnalysisPhase::Inconclusive => !paused,
        _ => false,
    })
}

/// Says that a run is what the update waits for.
fn hold_for_run(turn: &mut Turn<'_>, context: &Context<'_>, status: &RolloutStatus, role: Role) {
    if has_pause(status, &PauseReason::InconclusiveAnalysisRun) {
        turn.hold(Hold::Paused {
            reason: PauseReason::InconclusiveAnalysisRun.to_string(),
            until: None,
        });
    } else {
        runs::phase(turn, context, status, role);
    }
}

/// Whether the analysis after the switch, where there is one, has found nothing wrong.
fn is_verified(
    turn: &mut Turn<'_>,
    context: &Context<'_>,
    blue_green: &BlueGreenStrategy,
    status: &mut RolloutStatus,
) -> bool {
    if blue_green.post_promotion_analysis.is_none() || skips_checks(status) || is_passed(status, Role::PostPromotion) {
        return true;
    }
    runs::name_one(turn, context, status, Role::PostPromotion);
    hold_for_run(turn, context, status, Role::PostPromotion);
    false
}

/// Whether the new revision got the traffic and lost all its pods, while stable could carry it. To switch back and, when the
/// pods are there again, forth would go on for ever with pods that crash.
fn is_lost(context: &Context<'_>, traffic: &Traffic<'_>, status: &RolloutStatus) -> bool {
    let active = traffic
        .stable_service()
        .and_then(|service| service.selected.revision.as_deref());
    active == Some(context.new_hash.as_str())
        && context.replicas > 0
        && context.new_available() == 0
        && context
            .stable(status)
            .is_some_and(|set| set.available >= floor(context))
}

/// Whether there is a pause before the switch. `autoPromotionEnabled: false` means never without a person, whatever
/// autoPromotionSeconds says.
fn pauses(blue_green: &BlueGreenStrategy) -> bool {
    blue_green.auto_promotion_enabled == Some(false) || blue_green.auto_promotion_seconds_or_default() > 0
}

/// Whether the pause before the switch was there and is over: a person promotes by Argo's patch, which takes the pause
/// condition away and leaves controllerPause, or autoPromotionSeconds do.
fn is_pause_over(
    turn: &mut Turn<'_>,
    context: &Context<'_>,
    blue_green: &BlueGreenStrategy,
    status: &mut RolloutStatus,
) -> bool {
    let paused = status.pause_conditions.iter().flatten().next();
    let Some(pause) = paused else {
        if status.controller_pause == Some(true) {
            return true;
        }
        let start_time = Time::from(whole_second_up(turn.now));
        status.pause_conditions = Some(vec![PauseCondition {
            reason: PauseReason::BlueGreenPause,
            start_time,
        }]);
        status.controller_pause = Some(true);
        let message = "Rollout is paused (BlueGreenPause)".to_owned();
        turn.event(EventKind::Normal, "RolloutPaused", message, context.event_key("pause"));
        return is_pause_over(turn, context, blue_green, status);
    };
    if blue_green.auto_promotion_enabled == Some(false) {
        turn.hold(Hold::AwaitingPromotion);
        return false;
    }
    let delay = SignedDuration::from_secs(i64::from(blue_green.auto_promotion_seconds_or_default()));
    let until = pause.start_time.timestamp().map(|start| start + delay);
    match until {
        Some(until) if turn.now >= until => {
            status.pause_conditions = None;
            true
        }
        _ => {
            if let Some(until) = until {
                turn.wake(until);
            }
            let reason = pause.reason.to_string();
            turn.hold(Hold::Paused { reason, until });
            false
        }
    }
}

/// Whether nothing that comes before the switch is left to wait for, by the status that is committed before it.
pub(super) fn is_released(context: &Context<'_>, blue_green: &BlueGreenStrategy, status: &RolloutStatus) -> bool {
    if is_complete(context, status) || skips_checks(status) {
        return true;
    }
    let paused = status.pause_conditions.iter().flatten().next().is_some();
    let is_tested = blue_green.pre_promotion_analysis.is_none() || is_passed(status, Role::PrePromotion);
    let is_resumed = !pauses(blue_green) || status.controller_pause == Some(true);
    is_tested && is_resumed && !paused && new_size(context, blue_green, status) >= context.replicas
}

/// Whether the active Service selects the new revision and its endpoints have followed.
fn is_switched<'a>(turn: &mut Turn<'a>, context: &Context<'a>, traffic: &Traffic<'a>) -> bool {
    let Some(active) = traffic.stable_service() else {
        if let Some(problem) = &traffic.problem {
            turn.hold(problem.clone());
        }
        return false;
    };
    if active.selected.revision.as_deref() != Some(context.new_hash.as_str()) {
        return false;
    }
    traffic.service_settling(turn, active).or_hold(turn)
}

/// Plans everything that this strategy does outside of the status.
pub(super) fn act<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    blue_green: &BlueGreenStrategy,
    traffic: &Traffic<'a>,
    status: &RolloutStatus,
) {
    scale_up(turn, context, blue_green, status);
    select(turn, context, blue_green, traffic, status);
    scale_down(turn, context, blue_green, traffic, status);
}

/// The part of an abort that is safe whatever else is wrong: traffic goes back to stable.
pub(super) fn retreat<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    blue_green: &BlueGreenStrategy,
    traffic: &Traffic<'a>,
    status: &RolloutStatus,
) {
    select(turn, context, blue_green, traffic, status);
}

fn scale_up(turn: &mut Turn<'_>, context: &Context<'_>, blue_green: &BlueGreenStrategy, status: &RolloutStatus) {
    let size = new_size(context, blue_green, status);
    let aborted = status.abort == Some(true);
    let frozen = context.rollout.spec.paused == Some(true);
    match context.new {
        None if frozen || aborted => {}
        None => sets::create(turn, context, size),
        Some(set) if set.wanted < size && !aborted && (!frozen || sets::is_resized(context, set)) => {
            sets::scale(turn, context, set, size);
        }
        Some(_) => {}
    }
    if let Some(set) = context.stable(status)
        && set.wanted < context.replicas
    {
        sets::scale(turn, context, set, context.replicas);
    }
}

/// Which revision the active Service is to select: the new one as soon as nothing holds it back. Until then it stays where it
/// is, also on a revision that was superseded in its switch: one that carries the traffic needs no second switch.
fn active_aim<'a>(
    context: &Context<'a>,
    blue_green: &BlueGreenStrategy,
    traffic: &Traffic<'a>,
    status: &RolloutStatus,
) -> Option<&'a ReplicaSet> {
    let stable = context.stable(status);
    if status.abort == Some(true) || context.rollout.spec.paused == Some(true) {
        return stable;
    }
    let released = is_released(context, blue_green, status);
    let up = context
        .new
        .filter(|set| set.settled && set.available >= context.replicas);
    if released && up.is_some() {
        return up;
    }
    let is_new = |set: &ReplicaSet| set.hash == context.new_hash;
    let present = traffic
        .stable_service()
        .filter(|service| service.is_as_written() && !is_complete(context, status))
        .and_then(|service| context.set(service.selected.revision.as_deref()?))
        .filter(|set| {
            set.available
                >= if is_new(set) {
                    context.replicas.min(1)
                } else {
                    floor(context)
                }
        });
    present.or(stable)
}

/// Available pods that can carry everything; at least one where there are to be any.
fn floor(context: &Context<'_>) -> u32 {
    let floor = context.replicas.saturating_sub(super::allowed_unavailable(context));
    floor.max(context.replicas.min(1))
}

fn select<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    blue_green: &BlueGreenStrategy,
    traffic: &Traffic<'a>,
    status: &RolloutStatus,
) {
    if let Some(problem) = &traffic.problem {
        turn.hold(problem.clone());
    }
    if let Some(foreign) = traffic.foreign(turn, context) {
        turn.hold(foreign);
    }
    let is_over = status.abort == Some(true) || is_complete(context, status);
    if context.rollout.spec.paused == Some(true) && !is_over {
        return;
    }
    let active_aim = active_aim(context, blue_green, traffic, status);
    if let (Some(service), Some(aim)) = (traffic.stable_service(), active_aim)
        && service.selected.revision.as_deref() != Some(aim.hash.as_str())
    {
        let back = status.abort == Some(true) || is_complete(context, status);
        let floor = context
            .replicas
            .saturating_sub(if back { super::allowed_unavailable(context) } else { 0 });
        let needed = floor.max(u32::from(context.replicas > 0));
        if aim.available >= needed {
            if let Err(hold) = traffic.switch(turn, context, service.name, &aim.hash) {
                turn.hold(hold);
            }
        } else {
            let replica_set = aim.name.clone();
            turn.hold(Hold::StableNotAvailable {
                replica_set,
                available: aim.available,
                needed,
            });
        }
    }
    let Some(service) = traffic.canary_service() else {
        return;
    };
    // While the new ReplicaSet is only being made, the preview Service waits for it, so that it is switched once.
    let preview_aim = if status.abort == Some(true) {
        context.stable(status)
    } else {
        context.new
    };
    if let Some(aim) = preview_aim
        && !turn.is_spent()
        && context.rollout.spec.paused != Some(true)
        && service.selected.revision.as_deref() != Some(aim.hash.as_str())
        && (aim.available > 0 || context.replicas == 0)
        && let Err(hold) = traffic.switch(turn, context, service.name, &aim.hash)
    {
        turn.hold(hold);
    }
}

fn scale_down<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    blue_green: &BlueGreenStrategy,
    traffic: &Traffic<'a>,
    status: &RolloutStatus,
) {
    let seconds = |seconds: Option<i32>| seconds.map_or(30, |seconds| u32::try_from(seconds).unwrap_or(0));
    let complete = is_complete(context, status);
    if let Some(set) = context.stable(status) {
        routed::shrink(turn, context, traffic, set, context.replicas);
    }
    if let Some(set) = context.new.filter(|_| !complete) {
        let frozen = context.rollout.spec.paused == Some(true) && !sets::is_resized(context, set);
        if status.abort != Some(true) && !frozen {
            routed::shrink(turn, context, traffic, set, new_size(context, blue_green, status));
        } else {
            routed::shrink(
                turn,
                context,
                traffic,
                set,
                context.replicas.max(new_size(context, blue_green, status)),
            );
        }
        let delay = seconds(blue_green.abort_scale_down_delay_seconds);
        let keep_for_ever = blue_green.abort_scale_down_delay_seconds == Some(0);
        let active_is_back = traffic
            .stable_service()
            .is_some_and(|service| service.selected.revision.as_deref() != Some(&set.hash));
        let goes = status.abort == Some(true) && !keep_for_ever && active_is_back && set.wanted > 0;
        if goes && sets::delay_is_over(turn, set, delay) {
            routed::shrink(turn, context, traffic, set, 0);
        }
    }
    let delay = seconds(blue_green.scale_down_delay_seconds);
    let kept = blue_green
        .scale_down_delay_revision_limit
        .map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(0));
    let older = context.older(status);
    for (position, set) in older.into_iter().filter(|set| set.wanted > 0).enumerate() {
        let waits = complete && position < kept;
        if !waits || sets::delay_is_over(turn, set, delay) {
            routed::shrink(turn, context, traffic, set, 0);
        }
    }
}
