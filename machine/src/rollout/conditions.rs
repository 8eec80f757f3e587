//! Conditions, phase and message, as users' tools read them.

use sluice_crds::{RolloutCondition, RolloutPhase, RolloutStatus, Time};

use super::{
    context::{Context, TEMPLATE_ANNOTATION, is_complete},
    deadline, restart,
    turn::Turn,
};
use crate::{Hold, ReplicaSet};

pub(super) const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const PAUSED: &str = "Paused";
const COMPLETED: &str = "Completed";
const HEALTHY: &str = "Healthy";
const INVALID_SPEC: &str = "InvalidSpec";

pub(super) fn find<'s>(status: &'s RolloutStatus, type_: &str) -> Option<&'s RolloutCondition> {
    status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == type_)
}

/// Whether the spec was found to be invalid.
pub(super) fn is_invalid(status: &RolloutStatus) -> bool {
    find(status, INVALID_SPEC).is_some()
}

/// Text of an abort, with the reason where it was not a person.
pub(super) fn abort_message(context: &Context<'_>, reason: &str) -> String {
    let text = format!("Rollout aborted update to revision {}", context.revision);
    if reason.is_empty() {
        text
    } else {
        format!("{text}: {reason}")
    }
}

/// Writes the conditions that follow from `status` and the pods. `problems` is the text of an invalid spec.
pub(super) fn publish(turn: &mut Turn<'_>, context: &Context<'_>, status: &mut RolloutStatus, problems: Option<&str>) {
    let now = Time::from(turn.now);
    let mut board = Board {
        now,
        conditions: status.conditions.take().unwrap_or_default(),
    };
    let complete = is_complete(context, status) && context.new_available() >= context.replicas && context.new.is_some();
    let finished = is_complete(context, status);
    board.flag(
        AVAILABLE,
        carrying(context, status).is_some_and(|available| available >= context.replicas),
        "AvailableReason",
        "Rollout has minimum availability",
        "Rollout does not have minimum availability",
    );
    board.progressing(turn, context, status, complete);
    board.flag(
        COMPLETED,
        finished,
        "RolloutCompleted",
        "RolloutCompleted",
        "RolloutCompleted",
    );
    let paused = status.pause_conditions.iter().flatten().next().is_some() || context.rollout.spec.paused == Some(true);
    board.flag(
        PAUSED,
        paused,
        "RolloutPaused",
        "Rollout is paused",
        "Rollout is not paused",
    );
    // Whoever waits for it waits for the phase of this name, too.
    let restarting = restart::due(turn, context, status).is_some();
    board.flag(
        HEALTHY,
        complete && !restarting && problems.is_none(),
        "RolloutHealthy",
        "Rollout is healthy",
        "Rollout is not healthy",
    );
    match problems {
        Some(problems) => {
            let message = format!("The Rollout {:?} is invalid: {problems}", context.name);
            board.set(INVALID_SPEC, "True", "InvalidSpec", &message, false);
        }
        None => board.conditions.retain(|condition| condition.type_ != INVALID_SPEC),
    }
    status.conditions = Some(board.conditions);
    let (phase, message) = phase(turn, context, status);
    let message = with_trouble(message, turn.holds());
    status.phase = Some(phase);
    status.message = (!message.is_empty()).then_some(message);
}

/// Available pods of the revisions that carry the traffic: all of a canary, the active one of blue-green, where there is one.
fn carrying(context: &Context<'_>, status: &RolloutStatus) -> Option<u32> {
    if context.blue_green().is_none() {
        return Some(context.sets.iter().map(|set| set.available).sum());
    }
    let active = status.blue_green.as_ref()?.active_selector.as_deref()?;
    context.set(active).map(|set| set.available)
}

struct Board {
    now: Time,
    conditions: Vec<RolloutCondition>,
}

impl Board {
    fn flag(&mut self, type_: &str, is: bool, reason: &str, yes: &str, no: &str) {
        self.set(
            type_,
            if is { "True" } else { "False" },
            reason,
            if is { yes } else { no },
            false,
        );
    }

    /// Sets a condition. The times move only when something else does, or when there was progress.
    fn set(&mut self, type_: &str, value: &str, reason: &str, message: &str, progressed: bool) {
        let old = self.conditions.iter_mut().find(|condition| condition.type_ == type_);
        let Some(condition) = old else {
            self.conditions.push(RolloutCondition {
                type_: type_.to_owned(),
                status: value.to_owned(),
                last_update_time: self.now.clone(),
                last_transition_time: self.now.clone(),
                reason: reason.to_owned(),
                message: message.to_owned(),
            });
            return;
        };
        if condition.status != value {
            value.clone_into(&mut condition.status);
            condition.last_transition_time = self.now.clone();
            condition.last_update_time = self.now.clone();
        }
        if condition.reason != reason || condition.message != message || progressed {
            reason.clone_into(&mut condition.reason);
            message.clone_into(&mut condition.message);
            condition.last_update_time = self.now.clone();
        }
    }

    fn progressing(&mut self, turn: &mut Turn<'_>, context: &Context<'_>, status: &RolloutStatus, complete: bool) {
        let set = context.new_name();
        let old = self.conditions.iter().find(|condition| condition.type_ == PROGRESSING);
        let old_reason = old.map(|condition| condition.reason.clone()).unwrap_or_default();
        let old_message = old.map(|condition| condition.message.clone()).unwrap_or_default();
        if status.abort == Some(true) {
            // The reason of an abort is only known when it happens: later the condition itself keeps it.
            let kept = (old_reason == "RolloutAborted").then_some(old_message);
            let message = turn
                .abort_message
                .clone()
                .or(kept)
                .unwrap_or_else(|| abort_message(context, ""));
            self.set(PROGRESSING, "False", "RolloutAborted", &message, false);
        } else if complete {
            let message = format!("ReplicaSet \"{set}\" has successfully progressed.");
            self.set(PROGRESSING, "True", "NewReplicaSetAvailable", &message, false);
        } else if status.pause_conditions.iter().flatten().next().is_some() || context.rollout.spec.paused == Some(true)
        {
            self.set(PROGRESSING, "Unknown", "RolloutPaused", "Rollout is paused", false);
        } else {
            let progressed = has_progressed(context, status);
            if !progressed && deadline::is_over(turn, context, status) {
                turn.confirm |= old_reason != "ProgressDeadlineExceeded";
                let message = format!("ReplicaSet \"{set}\" has timed out progressing.");
                self.set(PROGRESSING, "False", "ProgressDeadlineExceeded", &message, false);
            } else if progressed || old_reason != "ProgressDeadlineExceeded" {
                let (reason, verb) = match (context.new, old_reason.as_str()) {
                    (None, _) => ("NewReplicaSetCreated", "has been created"),
                    (Some(_), "RolloutPaused") => ("RolloutResumed", "is progressing"),
                    (Some(_), _) => ("ReplicaSetUpdated", "is progressing"),
                };
                let message = format!("ReplicaSet \"{set}\" {verb}.");
                self.set(PROGRESSING, "True", reason, &message, progressed);
            }
        }
    }
}

/// Whether the counts in the status say something else than ours: of blue-green, Argo Rollouts counts the active revision
/// alone. Our counts are written before the ReplicaSet records its template.
pub(super) fn has_counts_of_argo(context: &Context<'_>) -> bool {
    let is_recorded = |set: &ReplicaSet| set.annotations.contains_key(TEMPLATE_ANNOTATION);
    context.blue_green().is_some() && context.new.is_some_and(|set| !is_recorded(set))
}

/// Whether counts or the step moved towards the goal since the status was written.
pub(super) fn has_progressed(context: &Context<'_>, status: &RolloutStatus) -> bool {
    let Some(old) = context.rollout.status.as_ref() else {
        return true;
    };
    let more = |new: Option<i32>, old: Option<i32>| new.unwrap_or(0) > old.unwrap_or(0);
    let is_same_count = !has_counts_of_argo(context);
    let old_pods = |status: &RolloutStatus| status.replicas.unwrap_or(0) - status.updated_replicas.unwrap_or(0);
    old.current_pod_hash != status.current_pod_hash
        || old.current_step_index != status.current_step_index
        || old.stable_rs != status.stable_rs
        || old.abort != status.abort
        || more(status.updated_replicas, old.updated_replicas)
        || is_same_count && more(status.ready_replicas, old.ready_replicas)
        || is_same_count && more(status.available_replicas, old.available_replicas)
        || old_pods(status) < old_pods(old)
}

/// The phase and its message: the first rule that fits. The texts are those that `kubectl argo rollouts status` users know.
fn phase(turn: &Turn<'_>, context: &Context<'_>, status: &RolloutStatus) -> (RolloutPhase, String) {
    let reasons = status.conditions.iter().flatten();
    if let Some(invalid) = find(status, INVALID_SPEC) {
        return (RolloutPhase::Degraded, format!("InvalidSpec: {}", invalid.message));
    }
    for condition in reasons {
        if condition.reason == "RolloutAborted" || condition.reason == "ProgressDeadlineExceeded" {
            return (
                RolloutPhase::Degraded,
                format!("{}: {}", condition.reason, condition.message),
            );
        }
    }
    if context.rollout.spec.paused == Some(true) {
        return (RolloutPhase::Paused, "manually paused".to_owned());
    }
    if let Some(pause) = status.pause_conditions.iter().flatten().next() {
        return (RolloutPhase::Paused, pause.reason.to_string());
    }
    let progressing = |text: &str| (RolloutPhase::Progressing, text.to_owned());
    if restart::due(turn, context, status).is_some() {
        return progressing("rollout is restarting");
    }
    let number = |count: Option<i32>| u32::try_from(count.unwrap_or(0)).unwrap_or(0);
    let (replicas, updated) = (number(status.replicas), number(status.updated_replicas));
    if updated < context.replicas {
        return progressing("more replicas need to be updated");
    }
    if context.new_available() < updated {
        return progressing("updated replicas are still becoming available");
    }
    if context.blue_green().is_some() {
        let active = status
            .blue_green
            .as_ref()
            .and_then(|status| status.active_selector.as_deref());
        if active != Some(context.new_hash.as_str()) {
            return progressing("active service cutover pending");
        }
        if !is_complete(context, status) {
            return progressing("waiting for analysis to complete");
        }
    } else {
        if !context.has_router() && replicas > updated {
            return progressing("old replicas are pending termination");
        }
        if !is_complete(context, status) {
            return progressing("waiting for all steps to complete");
        }
    }
    (RolloutPhase::Healthy, String::new())
}

/// Adds why the Rollout waits where that is not part of its ordinary course.
fn with_trouble(message: String, hold: Option<&Hold>) -> String {
    if message.starts_with("InvalidSpec") {
        return message;
    }
    let trouble = match hold {
        Some(
            hold @ (Hold::Unknown { .. }
            | Hold::Missing { .. }
            | Hold::InvalidSpec { .. }
            | Hold::RouteProblem { .. }
            | Hold::ForeignWriter { .. }
            | Hold::Refused { .. }),
        ) => hold.to_string(),
        _ => return message,
    };
    if message.is_empty() {
        trouble
    } else {
        format!("{message}: {trouble}")
    }
}
