//! A restart: every pod that is older than `spec.restartAt` is evicted, a few at a time.
//!
//! Evictions go through the API, which keeps PodDisruptionBudgets. Beyond that, `maxUnavailable` pods of spec.replicas may be
//! missing at a time (one at least), and of a revision that has several pods and may be getting traffic one always stays.

use jiff::{SignedDuration, Timestamp};
use sluice_crds::{RolloutStatus, Time};

use super::{context::Context, traffic::Traffic, turn::Turn};
use crate::{Effect, Fact, Hold, Pod, ReplicaSet};

/// How often it is looked whether another pod may go, if nothing else happens.
const AGAIN: SignedDuration = SignedDuration::from_secs(5);

/// The restart that is asked for, due and not yet done.
pub(super) fn due<'r>(turn: &Turn<'_>, context: &Context<'r>, status: &RolloutStatus) -> Option<&'r Time> {
    let at = pending(context, status)?;
    at.timestamp().filter(|due| *due <= turn.now).map(|_| at)
}

fn pending<'r>(context: &Context<'r>, status: &RolloutStatus) -> Option<&'r Time> {
    let at = context.rollout.spec.restart_at.as_ref();
    at.filter(|at| status.restarted_at.as_ref() != Some(at))
}

/// Evicts the next pod, or notes that the restart is done.
pub(super) fn act<'a>(turn: &mut Turn<'a>, context: &Context<'a>, traffic: &Traffic<'a>, status: &mut RolloutStatus) {
    let Some(at) = pending(context, status) else { return };
    let Some(time) = at.timestamp() else { return };
    if turn.now < time {
        turn.wake(time);
        return;
    }
    let mut found = Vec::new();
    let mut is_complete = true;
    for set in context.sets.iter().filter(|set| set.wanted > 0 || set.replicas > 0) {
        // A pod is not older than its ReplicaSet, whose time has whole seconds.
        if set.created_at > time {
            found.push((*set, None));
            continue;
        }
        match turn.pods(set) {
            None => is_complete = false,
            Some(Fact::Known(pods)) => found.push((*set, Some(pods))),
            Some(Fact::Absent) => found.push((*set, None)),
            Some(Fact::Unknown(why)) => {
                let what = format!("the pods of ReplicaSet {}", set.name);
                let why = why.clone();
                turn.wake(turn.now + AGAIN);
                turn.hold(Hold::Unknown { what, why });
                return;
            }
        }
    }
    if !is_complete {
        return;
    }
    let old = |pods: &&Vec<Pod>| pods.iter().filter(|pod| pod.created_at < time).count();
    let left: usize = found.iter().filter_map(|(_, pods)| *pods).map(|pods| old(&pods)).sum();
    if left == 0 {
        status.restarted_at = Some(at.clone());
        return;
    }
    turn.hold_otherwise(Hold::Restarting { left });
    if !turn.is_spent()
        && let Some((set, pod)) = next(turn, context, traffic, time, &found)
    {
        // Otherwise the ReplicaSets tell when there are pods to spare again.
        turn.wake(turn.now + AGAIN);
        turn.effects.push(Effect::EvictPod {
            replica_set: set.name.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            ready: pod.ready,
        });
    }
}

/// The next pod to go: one that is not available, or one that can be spared.
fn next<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    traffic: &Traffic<'a>,
    time: Timestamp,
    found: &[(&'a ReplicaSet, Option<&'a Vec<Pod>>)],
) -> Option<(&'a ReplicaSet, &'a Pod)> {
    // A count of the status may be older than the pods, and a pod that is ready may not be available yet.
    let available = |set: &ReplicaSet, pods: Option<&Vec<Pod>>| {
        let ready = pods.map(|pods| pods.iter().filter(|pod| pod.ready && !pod.deleting).count());
        let ready = ready.map_or(u32::MAX, |count| u32::try_from(count).unwrap_or(u32::MAX));
        set.available.min(ready)
    };
    let total: u32 = found.iter().map(|(set, pods)| available(set, *pods)).sum();
    let spare = super::allowed_unavailable(context).max(1);
    let floor = context.replicas.saturating_sub(spare);
    for (set, pods) in found {
        let own = available(set, *pods);
        let needed = traffic.need(turn, &set.hash).pods(context.replicas).min(set.wanted);
        let kept = needed
            .saturating_sub(spare)
            .max(u32::from(needed > 0 && set.wanted > 1));
        let can_go = total > floor && own > kept;
        let old = pods
            .iter()
            .copied()
            .flatten()
            .filter(|pod| pod.created_at < time && !pod.deleting);
        if let Some(pod) = old
            .filter(|pod| !pod.ready || can_go)
            .min_by_key(|pod| (pod.ready, &pod.name))
        {
            return Some((set, pod));
        }
    }
    None
}
