//! The canary's way through its steps: which status comes next.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sluice_crds::{
    AnalysisPhase, CanaryStatus, CanaryStep, CanaryStrategy, IntOrString, PauseCondition, PauseReason, PingPongType,
    RolloutStatus, Time,
};
use sluice_traffic::ManagedRoute;

use super::{
    context::{Context, is_complete},
    deadline,
    reached::{has_sizes, is_at_rest, is_available, is_promotable, is_routed},
    replicas::canary_with_router,
    restart, rollback, runs,
    sets::whole_second_up,
    traffic::Traffic,
    turn::Turn,
};
use crate::{EventKind, Hold, hash};

/// Steps of a canary, or none.
pub fn steps(canary: &CanaryStrategy) -> &[CanaryStep] {
    canary.steps.as_deref().unwrap_or_default()
}

/// Number of steps as the status counts them.
fn step_count(canary: &CanaryStrategy) -> i32 {
    i32::try_from(steps(canary).len()).unwrap_or(i32::MAX)
}

/// Hash of the steps: a change of the steps starts them anew.
fn step_hash(canary: &CanaryStrategy) -> String {
    hash::of_steps(&json!(canary.steps))
}

/// The index of the present step, `len` when all are done. An index that somebody set out of range counts as done.
pub fn index(canary: &CanaryStrategy, status: &RolloutStatus) -> usize {
    let count = steps(canary).len();
    status.current_step_index.map_or(count, |index| {
        usize::try_from(index).map_or(0, |index| index.min(count))
    })
}

/// What all the traffic is in the weights of the steps: `trafficRouting.maxTrafficWeight`, 100 by default.
pub fn total(canary: &CanaryStrategy) -> u32 {
    u32::try_from(canary.max_traffic_weight_or_default())
        .unwrap_or(100)
        .max(1)
}

/// The weight, in parts of [`total`], that the steps ask for at the present one: the nearest setWeight, 0 before the first,
/// everything after the last step.
pub fn weight(canary: &CanaryStrategy, status: &RolloutStatus) -> u32 {
    let index = index(canary, status);
    let (steps, total) = (steps(canary), total(canary));
    if index >= steps.len() {
        return total;
    }
    let nearest = steps[..=index].iter().rev().find_map(|step| step.set_weight);
    nearest.map_or(0, |weight| u32::try_from(weight).unwrap_or(0).min(total))
}

/// Pods that a revision has at least, unless it has none.
pub fn min_pods(canary: &CanaryStrategy) -> u32 {
    u32::try_from(canary.min_pods_per_replica_set_or_default()).unwrap_or(1)
}

/// Pods that the steps ask for at the present one, with a router.
pub fn routed_size(replicas: u32, canary: &CanaryStrategy, status: &RolloutStatus) -> u32 {
    let min_pods = min_pods(canary);
    let index = index(canary, status);
    let steps = steps(canary);
    let total = total(canary);
    let by_weight = |weight| canary_with_router(replicas, weight, total, min_pods);
    if index >= steps.len() || status.promote_full == Some(true) {
        return replicas;
    }
    let scale = steps[..=index]
        .iter()
        .rev()
        .find_map(|step| step.set_canary_scale.as_ref());
    match scale.filter(|scale| scale.match_traffic_weight != Some(true)) {
        Some(scale) => match (scale.replicas, scale.weight) {
            (Some(count), _) => u32::try_from(count).unwrap_or(0),
            (None, Some(weight)) => by_weight(u32::try_from(weight).unwrap_or(0).min(total)),
            (None, None) => by_weight(weight(canary, status)),
        },
        None => by_weight(weight(canary, status)),
    }
}

/// The routes of requests to the canary that the steps up to the present one ask for; none while the canary is not on trial.
pub(super) fn managed_routes(
    context: &Context<'_>,
    canary: &CanaryStrategy,
    status: &RolloutStatus,
) -> Vec<ManagedRoute> {
    let is_over = is_complete(context, status) || status.abort == Some(true) || status.promote_full == Some(true);
    let routing = canary.traffic_routing.as_ref();
    let names: Vec<String> = routing
        .and_then(|routing| routing.managed_routes.as_ref())
        .into_iter()
        .flatten()
        .map(|route| route.name.clone())
        .collect();
    if is_over || names.is_empty() {
        return Vec::new();
    }
    let (index, steps) = (index(canary, status), steps(canary));
    let so_far: Vec<Value> = steps.iter().take(index + 1).map(|step| json!(step)).collect();
    // `validate` names the problems of steps.
    ManagedRoute::after(&so_far, &names).unwrap_or_default()
}

fn has_managed_routes<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    canary: &CanaryStrategy,
    traffic: &Traffic<'a>,
    status: &RolloutStatus,
) -> bool {
    let wanted = managed_routes(context, canary, status);
    match traffic.has_managed_routes(turn, &wanted, false) {
        Ok(true) => {}
        Ok(false) => return false,
        Err(hold) => {
            turn.hold(hold);
            return false;
        }
    }
    traffic.settling(turn).or_hold(turn)
}

/// Moves the status on. Everything that a person, a timer or a measurement may have brought about is looked at in this order:
/// another template, the first version ever, commands, analyses, the deadline, the present step.
pub(super) fn advance<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    canary: &CanaryStrategy,
    traffic: &Traffic<'a>,
    status: &mut RolloutStatus,
) {
    reset_if_changed(turn, context, canary, status);
    if is_complete(context, status) {
        settle_complete(canary, status);
        return;
    }
    if status.stable_rs.as_deref().unwrap_or_default().is_empty() {
        status.abort = None;
        if is_available(turn, context, context.replicas) {
            promote(turn, context, canary, status, "Initial deploy");
        }
        return;
    }
    take_commands(turn, context, canary, status);
    if status.abort == Some(true) {
        turn.hold_otherwise(Hold::Aborted);
        return;
    }
    if context.rollout.spec.paused == Some(true) {
        turn.hold(Hold::PausedByUser);
        return;
    }
    if let Some(reason) = runs::verdict(turn, context, status) {
        abort(turn, context, canary, status, &reason);
        return;
    }
    if deadline::aborts(turn, context, status) {
        let reason = format!("ReplicaSet {:?} has timed out progressing.", context.new_name());
        abort(turn, context, canary, status, &reason);
        return;
    }
    take_step(turn, context, canary, traffic, status);
}

/// A new template or other steps start the update anew; the stable template ends it at once.
fn reset_if_changed(turn: &mut Turn<'_>, context: &Context<'_>, canary: &CanaryStrategy, status: &mut RolloutStatus) {
    let step_hash = step_hash(canary);
    let same_template = status.current_pod_hash.as_deref() == Some(context.new_hash.as_str());
    // A hash of another length was written by another controller: accepted as long as the index fits.
    let recorded = status.current_step_hash.as_deref().unwrap_or_default();
    let same_steps =
        recorded == step_hash || (same_template && !recorded.is_empty() && recorded.len() != step_hash.len());
    if same_template && same_steps {
        status.current_step_hash = Some(step_hash);
        return;
    }
    let first = status.current_pod_hash.is_none();
    status.pause_conditions = None;
    status.controller_pause = None;
    status.abort = None;
    status.aborted_at = None;
    status.promote_full = None;
    runs::forget(status);
    status.current_pod_hash = Some(context.new_hash.clone());
    status.current_step_hash = Some(step_hash);
    status.current_step_index = (step_count(canary) > 0).then_some(0);
    if is_complete(context, status) {
        status.current_step_index = (step_count(canary) > 0).then(|| step_count(canary));
        if !same_template && !first {
            let message = "Rollback to stable ReplicaSets".to_owned();
            turn.event(EventKind::Normal, "SkipSteps", message, context.event_key("stable"));
        }
    } else if rollback::is_within_window(context, status) {
        // What is skipped is what a full promotion skips; pods and traffic are waited for as ever.
        status.promote_full = Some(true);
        let message = "Rollback to active ReplicaSets within RollbackWindow".to_owned();
        turn.event(EventKind::Normal, "SkipSteps", message, context.event_key("rollback"));
    }
    if restart::due(turn, context, status).is_some() {
        // The new pods are young enough.
        status.restarted_at.clone_from(&context.rollout.spec.restart_at);
    }
    if !same_template {
        let message = format!("Rollout updated to revision {}", context.revision);
        turn.event(
            EventKind::Normal,
            "RolloutUpdated",
            message,
            context.event_key("updated"),
        );
    }
}

/// Commands on an update that is over have nothing to act on; they are taken off again.
fn settle_complete(canary: &CanaryStrategy, status: &mut RolloutStatus) {
    status.abort = None;
    status.aborted_at = None;
    status.promote_full = None;
    status.pause_conditions = None;
    status.controller_pause = None;
    runs::forget(status);
    status.current_step_index = (step_count(canary) > 0).then(|| step_count(canary));
}

fn take_commands(turn: &mut Turn<'_>, context: &Context<'_>, canary: &CanaryStrategy, status: &mut RolloutStatus) {
    take_full_promotion_of_aborted(status);
    if status.abort == Some(true) && status.aborted_at.is_none() {
        abort(turn, context, canary, status, "");
    } else if status.abort != Some(true) && status.aborted_at.is_some() {
        status.aborted_at = None;
        status.current_step_index = (step_count(canary) > 0).then_some(0);
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
        status.current_step_index = (step_count(canary) > 0).then(|| step_count(canary));
        runs::forget(status);
    }
}

/// An abort takes `promoteFull` off. Where it is there again, somebody has asked for the aborted version after all.
pub(super) fn take_full_promotion_of_aborted(status: &mut RolloutStatus) {
    if status.promote_full == Some(true) && status.aborted_at.is_some() {
        status.abort = None;
    }
}

/// Takes the update back. `reason` is empty where a person asked for it.
fn abort(
    turn: &mut Turn<'_>,
    context: &Context<'_>,
    canary: &CanaryStrategy,
    status: &mut RolloutStatus,
    reason: &str,
) {
    status.abort = Some(true);
    status.aborted_at = Some(Time::from(turn.now));
    status.promote_full = None;
    status.pause_conditions = None;
    status.controller_pause = None;
    status.current_step_index = (step_count(canary) > 0).then_some(0);
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

fn promote(turn: &mut Turn<'_>, context: &Context<'_>, canary: &CanaryStrategy, status: &mut RolloutStatus, why: &str) {
    let is_first = status.stable_rs.as_deref().unwrap_or_default().is_empty();
    status.stable_rs = Some(context.new_hash.clone());
    settle_complete(canary, status);
    if canary.ping_pong.is_some() {
        let status = status.canary.get_or_insert_with(CanaryStatus::default);
        let is_pong = status.stable_ping_pong == Some(PingPongType::Pong);
        let stays = if is_pong {
            PingPongType::Pong
        } else {
            PingPongType::Ping
        };
        let turns = if is_pong {
            PingPongType::Ping
        } else {
            PingPongType::Pong
        };
        status.stable_ping_pong = Some(if is_first { stays } else { turns });
    }
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

fn take_step<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    canary: &CanaryStrategy,
    traffic: &Traffic<'a>,
    status: &mut RolloutStatus,
) {
    let (index, steps) = (index(canary, status), steps(canary));
    let Some(step) = steps.get(index) else {
        promote_if_ready(turn, context, canary, traffic, status);
        return;
    };
    if is_done(turn, context, canary, traffic, status, step) {
        let next = i32::try_from(index + 1).unwrap_or(i32::MAX);
        let message = format!("Rollout step {}/{} completed ({})", index + 1, steps.len(), name(step));
        turn.event(
            EventKind::Normal,
            "RolloutStepCompleted",
            message,
            context.event_key(&format!("step/{index}")),
        );
        status.current_step_index = Some(next);
        status.pause_conditions = None;
        status.controller_pause = None;
        if let Some(canary) = &mut status.canary {
            canary.current_step_analysis_run_status = None;
        }
        if index + 1 == steps.len() {
            // The last step and the promotion are one commit where nothing is left to wait for.
            promote_if_ready(turn, context, canary, traffic, status);
            return;
        }
    }
    enter(turn, context, canary, traffic, status);
}

fn promote_if_ready<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    canary: &CanaryStrategy,
    traffic: &Traffic<'a>,
    status: &mut RolloutStatus,
) {
    if has_pause(status, &PauseReason::InconclusiveAnalysisRun) || !is_promotable(turn, context, canary, traffic) {
        return;
    }
    let why = if status.promote_full == Some(true) {
        "Full promotion requested".to_owned()
    } else {
        format!("Completed all {} canary steps", steps(canary).len())
    };
    promote(turn, context, canary, status, &why);
}

/// What a step needs in the status while it is under way. Level-triggered: it also holds for an index that a command set.
fn enter<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    canary: &CanaryStrategy,
    traffic: &Traffic<'a>,
    status: &mut RolloutStatus,
) {
    let step = steps(canary).get(index(canary, status));
    let pauses = step.is_some_and(|step| step.pause.is_some());
    if pauses && status.controller_pause != Some(true) && is_at_rest(turn, context, canary, traffic, status) {
        let start_time = Time::from(whole_second_up(turn.now));
        status.pause_conditions = Some(vec![PauseCondition {
            reason: PauseReason::CanaryPauseStep,
            start_time,
        }]);
        status.controller_pause = Some(true);
        let message = "Rollout is paused (CanaryPauseStep)".to_owned();
        let key = context.event_key(&format!("pause/{}", index(canary, status)));
        turn.event(EventKind::Normal, "RolloutPaused", message, key);
    }
    runs::name_current(turn, context, canary, status);
}

pub(super) fn has_pause(status: &RolloutStatus, reason: &PauseReason) -> bool {
    status
        .pause_conditions
        .iter()
        .flatten()
        .any(|pause| pause.reason == *reason)
}

fn is_done<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    canary: &CanaryStrategy,
    traffic: &Traffic<'a>,
    status: &RolloutStatus,
    step: &CanaryStep,
) -> bool {
    if has_pause(status, &PauseReason::InconclusiveAnalysisRun) {
        turn.hold(Hold::Paused {
            reason: PauseReason::InconclusiveAnalysisRun.to_string(),
            until: None,
        });
        return false;
    }
    if step.set_weight.is_some() {
        let percent = weight(canary, status);
        return has_sizes(turn, context, canary, traffic, status)
            && (!context.has_router() || is_routed(turn, context, traffic, percent));
    }
    if step.set_canary_scale.is_some() {
        return has_sizes(turn, context, canary, traffic, status);
    }
    if step.set_header_route.is_some() || step.set_mirror_route.is_some() {
        return has_managed_routes(turn, context, canary, traffic, status);
    }
    if let Some(pause) = &step.pause {
        return pause_is_over(turn, status, pause.duration.as_ref());
    }
    if step.analysis.is_some() {
        return runs::step_phase(turn, context, canary, status) == Some(AnalysisPhase::Successful);
    }
    // `validate` refuses steps that are not served; nothing may be skipped silently.
    turn.hold(Hold::InvalidSpec {
        problems: format!("a step that is not supported: {}", name(step)),
    });
    false
}

fn pause_is_over(turn: &mut Turn<'_>, status: &RolloutStatus, duration: Option<&IntOrString>) -> bool {
    if status.controller_pause != Some(true) {
        return false;
    }
    let Some(pause) = status
        .pause_conditions
        .iter()
        .flatten()
        .find(|pause| pause.reason == PauseReason::CanaryPauseStep)
    else {
        // A person took the pause condition away: the pause is over.
        return true;
    };
    let until = duration
        .and_then(pause_duration)
        .zip(pause.start_time.timestamp())
        .map(|(duration, start)| start + duration);
    match until {
        Some(until) if turn.now >= until => return true,
        Some(until) => turn.wake(until),
        None => {}
    }
    turn.hold(Hold::Paused {
        reason: pause.reason.to_string(),
        until,
    });
    false
}

/// Duration of a pause: seconds, or a text like `30`, `10s`, `1m30s`, `1h`. `None` where it is none of these.
pub fn pause_duration(duration: &IntOrString) -> Option<SignedDuration> {
    match duration {
        IntOrString::Int(seconds) => Some(SignedDuration::from_secs(i64::from(*seconds))),
        IntOrString::String(text) => match text.parse::<i64>() {
            Ok(seconds) => Some(SignedDuration::from_secs(seconds)),
            Err(_) => sluice_analysis::duration::parse(text).ok(),
        },
    }
}

/// A step as events and people name it: `setWeight: 20`.
pub fn name(step: &CanaryStep) -> String {
    if let Some(weight) = step.set_weight {
        return format!("setWeight: {weight}");
    }
    if let Some(pause) = &step.pause {
        return match &pause.duration {
            None => "pause".to_owned(),
            Some(IntOrString::Int(seconds)) => format!("pause: {seconds}s"),
            Some(IntOrString::String(text)) => format!("pause: {text}"),
        };
    }
    let names = [
        (step.set_canary_scale.is_some(), "setCanaryScale"),
        (step.analysis.is_some(), "analysis"),
        (step.experiment.is_some(), "experiment"),
        (step.set_header_route.is_some(), "setHeaderRoute"),
        (step.set_mirror_route.is_some(), "setMirrorRoute"),
        (step.plugin.is_some(), "plugin"),
    ];
    names
        .into_iter()
        .find(|(is, _)| *is)
        .map_or("invalid", |(_, name)| name)
        .to_owned()
}

/// A step in a few more words than [`name`]: also which templates an analysis has, and what a scale asks for.
pub fn describe(step: &CanaryStep) -> String {
    let name = name(step);
    if let Some(analysis) = &step.analysis {
        let templates = analysis.templates.iter().flatten();
        let names: Vec<&str> = templates
            .filter_map(|template| template.template_name.as_deref())
            .collect();
        return format!("{name}: {}", names.join(", "));
    }
    let Some(scale) = &step.set_canary_scale else {
        return name;
    };
    match (scale.replicas, scale.weight, scale.match_traffic_weight) {
        (_, _, Some(true)) => format!("{name}: as the weight asks for"),
        (Some(replicas), _, _) => format!("{name}: {replicas} pods"),
        (None, Some(weight), _) => format!("{name}: {weight} % of the pods"),
        (None, None, _) => name,
    }
}

/// When the present pause ends by itself.
pub fn pause_ends(canary: &CanaryStrategy, status: &RolloutStatus) -> Option<Timestamp> {
    let pause = steps(canary).get(index(canary, status))?.pause.as_ref()?;
    let started = status
        .pause_conditions
        .iter()
        .flatten()
        .next()?
        .start_time
        .timestamp()?;
    Some(started + pause_duration(pause.duration.as_ref()?)?)
}
