//! Effects of a canary with a router: the split follows the steps, the number of stable pods does not.
//!
//! The order is always the same: scale up, wait until available, make the Service select the new pods, wait until its
//! endpoints followed, move the weight, wait until it settled, scale down.

use sluice_crds::{CanaryStrategy, PauseReason, RolloutStatus};

use super::{
    canary,
    context::{Context, is_complete},
    replicas, sets,
    traffic::{Settling, Traffic},
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
    scale_up(turn, context, canary, traffic, status);
    if let Err(hold) = route(turn, context, canary, traffic, status) {
        turn.hold(hold);
    }
    scale_down(turn, context, canary, traffic, status);
}

/// The part of an abort that is safe whatever else is wrong: traffic goes back to stable.
pub(super) fn retreat<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    canary: &CanaryStrategy,
    traffic: &Traffic<'a>,
    status: &RolloutStatus,
) {
    if let Err(hold) = route(turn, context, canary, traffic, status) {
        turn.hold(hold);
    }
}

/// Size of the new revision.
fn new_size(context: &Context<'_>, canary: &CanaryStrategy, status: &RolloutStatus) -> u32 {
    let is_first = status.stable_rs.as_deref().unwrap_or_default().is_empty();
    if is_first || is_complete(context, status) {
        context.replicas
    } else if status.abort == Some(true) {
        // After an abort nothing of the new revision grows; it goes when its delay is over.
        context.new.map_or(0, |set| set.wanted.min(context.replicas))
    } else {
        canary::routed_size(context.replicas, canary, status)
    }
}

/// Size of the stable revision: all pods or, with dynamicStableScale, those for what is left to it of the traffic.
fn stable_size(context: &Context<'_>, canary: &CanaryStrategy, traffic: &Traffic<'_>, status: &RolloutStatus) -> u32 {
    let selects = traffic
        .canary_service()
        .and_then(|service| service.selected.revision.as_deref());
    let is_ours = selects == Some(context.new_hash.as_str());
    // What the canary Service has of another revision goes back to stable first.
    if !canary.dynamic_stable_scale_or_default() || is_complete(context, status) || !is_ours {
        return context.replicas;
    }
    let weight = wanted_weight(context, canary, traffic, status);
    replicas::stable_with_router(
        context.replicas,
        weight,
        canary::total(canary),
        canary::min_pods(canary),
    )
}

fn scale_up<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    canary: &CanaryStrategy,
    traffic: &Traffic<'a>,
    status: &RolloutStatus,
) {
    let size = new_size(context, canary, status);
    let frozen = context.rollout.spec.paused == Some(true);
    match context.new {
        None if frozen || status.abort == Some(true) => {}
        None => sets::create(turn, context, size),
        Some(set) if size > set.wanted && (!frozen || sets::is_resized(context, set)) => {
            sets::scale(turn, context, set, size);
        }
        Some(_) => {}
    }
    let stable_size = stable_size(context, canary, traffic, status);
    if let Some(set) = context.stable(status)
        && set.wanted < stable_size
    {
        sets::scale(turn, context, set, stable_size);
    }
}

/// The share of the canary that the status asks for.
fn wanted_weight(context: &Context<'_>, canary: &CanaryStrategy, traffic: &Traffic<'_>, status: &RolloutStatus) -> u32 {
    if is_complete(context, status) || status.abort == Some(true) {
        0
    } else if status.promote_full == Some(true) {
        // The weight stays until the new revision can carry everything; then it is promoted.
        traffic.canary_weight()
    } else {
        canary::weight(canary, status)
    }
}

fn route<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    canary: &CanaryStrategy,
    traffic: &Traffic<'a>,
    status: &RolloutStatus,
) -> Result<(), Hold> {
    let Some(stable) = context.stable(status) else {
        return Ok(());
    };
    if let Some(foreign) = traffic.foreign(turn, context) {
        turn.hold(foreign);
    }
    if context.rollout.spec.paused == Some(true) && status.abort != Some(true) && !is_complete(context, status) {
        return Ok(());
    }
    switch_stable(turn, context, traffic, stable)?;
    if turn.is_spent() {
        return Ok(());
    }
    let aim = if is_complete(context, status) || status.abort == Some(true) {
        None
    } else {
        context.new
    };
    // The new ReplicaSet is only being made: the canary Service waits for it, so that it is switched once and not twice.
    let is_coming = aim.is_none() && !is_complete(context, status) && status.abort != Some(true);
    let wanted = wanted_weight(context, canary, traffic, status);
    let current = traffic.canary_weight();
    let canary_selects = traffic
        .canary_service()
        .and_then(|service| service.selected.revision.clone());
    let aim_hash = aim.map_or(stable.hash.as_str(), |set| set.hash.as_str());
    let on_target = canary_selects.as_deref() == Some(aim_hash);
    let has_routes = manage_routes(turn, context, canary, traffic, status, on_target && !is_coming)?;
    if turn.is_spent() {
        return Ok(());
    }
    // While the canary Service selects another revision than it should, nothing may be on it.
    let goal = if !on_target || (aim.is_some() && context.new_available() == 0) {
        0
    } else {
        wanted
    };
    if goal <= current && !traffic.is_at(goal) {
        lower(turn, context, canary, traffic, stable, goal, current)?;
    } else if goal > current {
        raise(turn, context, canary, traffic, status, goal)?;
    }
    if !turn.is_spent() && !on_target && !is_coming && traffic.is_at(0) && has_routes {
        switch_canary(turn, context, traffic, stable, aim)?;
    }
    if !turn.is_spent() {
        traffic.refresh(turn)?;
    }
    traffic.problem.clone().map_or(Ok(()), Err)
}

/// Brings the routes of requests to the canary to what the steps ask for; whether they are so. They go at any time, and come
/// only when the canary Service leads to available pods.
fn manage_routes<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    canary: &CanaryStrategy,
    traffic: &Traffic<'a>,
    status: &RolloutStatus,
    on_target: bool,
) -> Result<bool, Hold> {
    let mut wanted = canary::managed_routes(context, canary, status);
    if !on_target || context.new_available() == 0 {
        wanted.clear();
    }
    let is_reachable = match traffic.canary_service() {
        Some(service) if !wanted.is_empty() => traffic.service_settling(turn, service).or_hold(turn),
        _ => wanted.is_empty(),
    };
    traffic.has_managed_routes(turn, &wanted, is_reachable)
}

/// The stable Service selects the stable revision. Its pods must be able to carry everything before.
fn switch_stable<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    traffic: &Traffic<'a>,
    stable: &'a ReplicaSet,
) -> Result<(), Hold> {
    let Some(service) = traffic.stable_service() else {
        return Ok(());
    };
    if service.selected.revision.as_deref() == Some(stable.hash.as_str()) {
        return Ok(());
    }
    let needed = context.replicas;
    if stable.available < needed || !stable.settled {
        let replica_set = stable.name.clone();
        return Err(Hold::StableNotAvailable {
            replica_set,
            available: stable.available,
            needed,
        });
    }
    traffic.switch(turn, context, service.name, &stable.hash)
}

/// Takes weight off the canary: as much as the stable pods can take over, and all of it when the canary has none left.
fn lower<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    canary: &CanaryStrategy,
    traffic: &Traffic<'a>,
    stable: &ReplicaSet,
    goal: u32,
    current: u32,
) -> Result<(), Hold> {
    let limits = replicas::canary_limits(canary, context.replicas);
    let canary_service = traffic
        .canary_service()
        .and_then(|service| service.selected.revision.as_deref());
    let canary_alive = canary_service
        .and_then(|hash| context.set(hash))
        .is_none_or(|set| set.available > 0);
    let total = canary::total(canary);
    let carried = carried_weight(context.replicas, stable.available, limits.unavailable, total);
    // Proxies must have followed the stable Service to the stable pods before it gets more.
    let service_ready = match traffic.stable_service() {
        Some(service) if service.selected.revision.as_deref() != Some(stable.hash.as_str()) => false,
        Some(service) => match traffic.service_settling(turn, service) {
            Settling::Settled | Settling::TimedOut(_) => true,
            Settling::Waiting(hold) => {
                turn.hold(hold);
                false
            }
        },
        None => true,
    };
    let able = if service_ready { carried } else { 0 };
    let target = if canary_alive {
        goal.max(total - able).min(current)
    } else {
        goal
    };
    if !traffic.is_at(target) {
        traffic.set_weight(turn, target)?;
    }
    if target > goal {
        let needed = replicas::carrying(context.replicas, total - goal, total).saturating_sub(limits.unavailable);
        return Err(Hold::StableNotAvailable {
            replica_set: stable.name.clone(),
            available: stable.available,
            needed,
        });
    }
    Ok(())
}

/// The largest share, in parts of `total`, that `available` pods can carry when `replicas` carry everything and `unavailable` may be missing.
fn carried_weight(replicas: u32, available: u32, unavailable: u32, total: u32) -> u32 {
    if replicas == 0 || available >= replicas.saturating_sub(unavailable) && available > 0 {
        return total;
    }
    u32::try_from(u64::from(available) * u64::from(total) / u64::from(replicas))
        .unwrap_or(total)
        .min(total)
}

/// Puts weight on the canary: only when its pods are there, its Service has them as endpoints, and every route can be read.
fn raise<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    canary: &CanaryStrategy,
    traffic: &Traffic<'a>,
    status: &RolloutStatus,
    goal: u32,
) -> Result<(), Hold> {
    if let Some(problem) = &traffic.problem {
        return Err(problem.clone());
    }
    let (Some(new), Some(service)) = (context.new, traffic.canary_service()) else {
        return Ok(());
    };
    let size = canary::routed_size(context.replicas, canary, status);
    let limits = replicas::canary_limits(canary, context.replicas);
    let present = replicas::present(context.replicas, limits.unavailable, goal, canary::total(canary));
    let needed = replicas::enough(canary, size).max(present.min(size)).max(1);
    let (available, settled) = (new.available, new.settled);
    if available < needed || !settled {
        return Err(Hold::NewNotAvailable {
            replica_set: new.name.clone(),
            available,
            needed,
        });
    }
    if let Settling::Waiting(hold) | Settling::TimedOut(hold) = traffic.service_settling(turn, service) {
        return Err(hold);
    }
    if service.is_subset() {
        return traffic.set_weight(turn, goal);
    }
    let Some(ready) = Traffic::ready_endpoints(turn, service, &new.hash) else {
        turn.poll();
        let what = "its endpoints are being read".to_owned();
        return Err(Hold::NotAcknowledged {
            object: format!("Service {}", service.name),
            what,
        });
    };
    if ready < needed {
        turn.poll();
        let what = format!("{ready} of {needed} pods of the new revision are ready endpoints");
        return Err(Hold::NotAcknowledged {
            object: format!("Service {}", service.name),
            what,
        });
    }
    traffic.set_weight(turn, goal)?;
    Ok(())
}

/// The canary Service selects the new revision (stable, where `aim` is none), once no proxy can be sending it weight.
fn switch_canary<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    traffic: &Traffic<'a>,
    stable: &'a ReplicaSet,
    aim: Option<&'a ReplicaSet>,
) -> Result<(), Hold> {
    let Some(service) = traffic.canary_service() else {
        return Ok(());
    };
    if let Settling::Waiting(hold) = traffic.routes_settling(turn) {
        return Err(hold);
    }
    let target = aim.unwrap_or(stable);
    let needed = u32::from(context.replicas > 0);
    if target.available < needed || !target.settled {
        let (replica_set, available) = (target.name.clone(), target.available);
        return Err(match aim {
            Some(_) => Hold::NewNotAvailable {
                replica_set,
                available,
                needed,
            },
            None => Hold::StableNotAvailable {
                replica_set,
                available,
                needed,
            },
        });
    }
    traffic.switch(turn, context, service.name, &target.hash)
}

fn scale_down<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    canary: &CanaryStrategy,
    traffic: &Traffic<'a>,
    status: &RolloutStatus,
) {
    if status.stable_rs.as_deref().unwrap_or_default().is_empty() || turn.is_spent() {
        return;
    }
    let frozen = context.rollout.spec.paused == Some(true);
    if let Some(set) = context.stable(status)
        && (!frozen || sets::is_resized(context, set) || status.abort == Some(true))
    {
        let size = stable_size(context, canary, traffic, status);
        shrink(turn, context, traffic, set, size);
    }
    let complete = is_complete(context, status);
    // Nothing shrinks in a pause that has begun.
    let is_pausing = canary::has_pause(status, &PauseReason::CanaryPauseStep);
    if let Some(set) = context.new.filter(|_| !complete) {
        if status.abort == Some(true) {
            scale_down_aborted(turn, context, canary, traffic, status, set);
        } else if !(frozen || is_pausing) || sets::is_resized(context, set) {
            shrink(turn, context, traffic, set, new_size(context, canary, status));
        }
    }
    let is_dynamic = canary.dynamic_stable_scale_or_default();
    let default = if is_dynamic { 0 } else { 30 };
    let delay = canary
        .scale_down_delay_seconds
        .map_or(default, |seconds| u32::try_from(seconds).unwrap_or(0));
    let kept = canary
        .scale_down_delay_revision_limit
        .map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(0));
    let older = context.older(status);
    for (position, set) in older.into_iter().filter(|set| set.wanted > 0).enumerate() {
        // An intermediate revision goes as soon as no traffic can reach it; a former stable one after its delay.
        let waits = complete && position < kept;
        if !waits || sets::delay_is_over(turn, set, delay) {
            shrink(turn, context, traffic, set, 0);
        }
    }
}

fn scale_down_aborted<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    canary: &CanaryStrategy,
    traffic: &Traffic<'a>,
    status: &RolloutStatus,
    set: &'a ReplicaSet,
) {
    shrink(turn, context, traffic, set, context.replicas);
    if canary.dynamic_stable_scale_or_default() && canary.abort_scale_down_delay_seconds.is_none() {
        // The canary goes as stable comes back: what it may still be getting is all that keeps it.
        shrink(turn, context, traffic, set, 0);
        return;
    }
    let delay = canary
        .abort_scale_down_delay_seconds
        .map_or(30, |seconds| u32::try_from(seconds).unwrap_or(0));
    let keep_for_ever = canary.abort_scale_down_delay_seconds == Some(0);
    let stable_is_back = context
        .stable(status)
        .is_some_and(|stable| stable.available >= context.replicas);
    if set.wanted > 0 && !keep_for_ever && stable_is_back && traffic.is_at(0) && sets::delay_is_over(turn, set, delay) {
        shrink(turn, context, traffic, set, 0);
    }
}

/// Scales a revision down towards `size`, but never below what the traffic that it may still get needs.
pub(super) fn shrink<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    traffic: &Traffic<'a>,
    set: &ReplicaSet,
    size: u32,
) {
    if size >= set.wanted || turn.is_spent() {
        return;
    }
    let needed = traffic.need(turn, &set.hash).pods(context.replicas);
    let size = size.max(needed).min(set.wanted);
    if size < set.wanted {
        sets::scale(turn, context, set, size);
    } else if let Settling::Waiting(hold) | Settling::TimedOut(hold) = traffic.settling(turn) {
        turn.hold(hold);
    }
}
