//! Effects of a canary without a router: traffic follows the number of pods.

use sluice_crds::{CanaryStrategy, RolloutStatus};

use super::{
    canary,
    context::{Context, is_complete},
    replicas::{self, Count, Limits, Sizes},
    sets,
    traffic::Traffic,
    turn::Turn,
};
use crate::{Hold, ReplicaSet};

/// Plans everything that this strategy does outside of the status.
pub(super) fn act<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    canary: &CanaryStrategy,
    traffic: &Traffic<'a>,
    status: &RolloutStatus,
) {
    let limits = replicas::canary_limits(canary, context.replicas);
    select(turn, context, traffic, status, limits);
    let stable = context.stable(status).filter(|set| set.hash != context.new_hash);
    let older = context.older(status);
    let older_wanted = older.iter().map(|set| set.wanted).sum();
    let desired = desired(context, canary, status, limits.surge);
    let next = replicas::basic_next(
        context.replicas,
        limits,
        desired,
        count(stable),
        count(context.new),
        older_wanted,
    );
    // An abort moves the traffic back also in a pause by the user, and the traffic follows the pods.
    let frozen = context.rollout.spec.paused == Some(true) && status.abort != Some(true);
    match context.new {
        None if frozen || status.abort == Some(true) => {}
        None => sets::create(turn, context, next.new),
        Some(set) if !frozen || sets::is_resized(context, set) => resize(turn, context, traffic, set, next.new),
        Some(_) => {}
    }
    if let Some(set) = stable.filter(|set| !frozen || sets::is_resized(context, set)) {
        resize(turn, context, traffic, set, next.stable);
    }
    // Counts of an older spec would make good pods look like bad ones.
    if frozen || older.iter().any(|set| !set.settled) {
        return;
    }
    let counts: Vec<Count> = older.iter().map(|set| count(Some(*set))).collect();
    if let Some((index, size)) =
        replicas::drain_older(context.replicas, limits, count(stable), count(context.new), &counts)
    {
        resize(turn, context, traffic, older[index], size);
    }
}

fn desired(context: &Context<'_>, canary: &CanaryStrategy, status: &RolloutStatus, surge: u32) -> Sizes {
    let is_first = status.stable_rs.as_deref().unwrap_or_default().is_empty();
    if is_first || is_complete(context, status) {
        Sizes {
            stable: 0,
            new: context.replicas,
        }
    } else if status.abort == Some(true) {
        Sizes {
            stable: context.replicas,
            new: 0,
        }
    } else {
        replicas::basic_desired(context.replicas, canary::weight(canary, status), surge)
    }
}

fn count(set: Option<&ReplicaSet>) -> Count {
    set.map_or(Count::default(), |set| Count {
        wanted: set.wanted,
        // Counts of an older spec do not allow anything to shrink.
        available: if set.settled { set.available } else { 0 },
        idle: if set.settled { set.wanted - set.available } else { 0 },
    })
}

fn resize<'a>(turn: &mut Turn<'a>, context: &Context<'a>, traffic: &Traffic<'a>, set: &ReplicaSet, size: u32) {
    if size > set.wanted {
        sets::scale(turn, context, set, size);
    } else {
        super::routed::shrink(turn, context, traffic, set, size);
    }
}

/// The stable and the canary Service, where the Rollout names them, select the stable and the new revision.
fn select<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    traffic: &Traffic<'a>,
    status: &RolloutStatus,
    limits: Limits,
) {
    let Some(stable) = context.stable(status) else { return };
    if let Some(problem) = &traffic.problem {
        turn.hold(problem.clone());
    }
    // While the new ReplicaSet is only being made, the canary Service waits for it, so that it is switched once.
    let canary_aim = if status.abort == Some(true) {
        Some(stable)
    } else {
        context.new
    };
    // Whoever uses the stable Service sends it everything.
    let everything = context.replicas.saturating_sub(limits.unavailable);
    for (service, aim, least) in [
        (traffic.stable_service(), Some(stable), everything),
        (traffic.canary_service(), canary_aim, 1),
    ] {
        let (Some(service), Some(aim)) = (service, aim) else {
            continue;
        };
        if turn.is_spent() || service.selected.revision.as_deref() == Some(aim.hash.as_str()) {
            continue;
        }
        // The first time, a Service goes from all pods to one revision: that must be complete then.
        let needed = if service.selected.revision.is_none() {
            aim.wanted
        } else {
            least.max(1)
        };
        if aim.settled && aim.available >= needed && aim.wanted > 0 {
            if let Err(hold) = traffic.switch(turn, context, service.name, &aim.hash) {
                turn.hold(hold);
            }
        } else if aim.wanted > 0 {
            let replica_set = aim.name.clone();
            turn.hold(Hold::NewNotAvailable {
                replica_set,
                available: aim.available,
                needed,
            });
        }
    }
}
