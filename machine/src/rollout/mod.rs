//! The Rollout machine, as a recipe: find the revisions, read the traffic, move the status on, act on the status, describe
//! what is, commit.

mod affinity;
mod basic;
mod blue_green;
pub mod canary;
mod conditions;
mod context;
mod deadline;
mod duration;
mod metadata;
mod migration;
mod publish;
mod reached;
pub mod replicas;
mod restart;
mod rollback;
mod routed;
mod runs;
mod sets;
#[cfg(test)]
mod tests;
mod traffic;
mod turn;

use jiff::Timestamp;

use self::{context::Context, traffic::Traffic, turn::Turn};
use crate::{Commit, Effect, Hold, Plan, World, references, release, validate};

pub use context::{REVISION_ANNOTATION, TEMPLATE_ANNOTATION};

/// Decides what to do for one Rollout. Pure: the same time and World give the same Plan.
pub fn decide(now: Timestamp, world: &World) -> Plan {
    let memory = world.memory.clone();
    if let Some(holder) = &world.incumbent {
        return Plan::hold(memory, Hold::IncumbentAlive { holder: holder.clone() });
    }
    if world.rollout.metadata.deletion_timestamp.is_some() {
        // Until it is gone its pods end one after the other: what is moved goes back before them.
        let next = release::of_world(world).into_iter().next();
        return Plan {
            effects: next.into_iter().collect(),
            ..Plan::hold(memory, Hold::Deleting)
        };
    }
    let mut turn = Turn::new(now, world);
    match Context::resolve(&mut turn, world) {
        Ok(Some(context)) => {
            let mut problems = context.checked.problems.clone();
            problems.extend(validate::references(world));
            if problems.is_empty() {
                decide_valid(turn, &context)
            } else {
                let problems = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                decide_invalid(turn, &context, problems)
            }
        }
        Ok(None) => asked(turn),
        Err(hold) => {
            turn.hold(hold);
            finish(turn, None)
        }
    }
}

fn decide_valid<'a>(mut turn: Turn<'a>, context: &Context<'a>) -> Plan {
    let mut traffic = Traffic::read(context, context.rollout.status.as_ref());
    let mut status = context.rollout.status.clone().unwrap_or_default();
    if let Some(canary) = context.canary() {
        canary::advance(&mut turn, context, canary, &traffic, &mut status);
        if traffic.pair() != references::pair_by(context.rollout, Some(&status)) {
            // With the promotion the two Services change their names.
            traffic = Traffic::read(context, Some(&status));
        }
    } else if let Some(blue_green) = context.blue_green() {
        blue_green::advance(&mut turn, context, blue_green, &traffic, &mut status);
    }
    sets::tend(&mut turn, context, &status);
    metadata::act(&mut turn, context, &status);
    runs::act(&mut turn, context, &status);
    if let Some(canary) = context.canary() {
        if context.has_router() {
            routed::act(&mut turn, context, canary, &traffic, &status);
        } else {
            basic::act(&mut turn, context, canary, &traffic, &status);
        }
    } else if let Some(blue_green) = context.blue_green() {
        blue_green::act(&mut turn, context, blue_green, &traffic, &status);
    }
    if context::is_complete(context, &status) {
        traffic.release(&mut turn);
    }
    restart::act(&mut turn, context, &traffic, &mut status);
    migration::act(&mut turn, context, &traffic, &status);
    sets::collect(&mut turn, context, &traffic, &status);
    runs::collect(&mut turn, context, &status);
    if !turn.asks.is_empty() {
        return asked(turn);
    }
    duration::track(&turn, context, &mut status);
    publish::describe(&mut turn, context, &traffic, &mut status, None);
    let commit = publish::commit(&mut turn, context, &status);
    finish(turn, commit)
}

/// An invalid spec stops progress. It stops neither an abort nor keeping stable at its size.
fn decide_invalid<'a>(mut turn: Turn<'a>, context: &Context<'a>, problems: String) -> Plan {
    turn.hold(Hold::InvalidSpec {
        problems: problems.clone(),
    });
    let traffic = Traffic::read(context, context.rollout.status.as_ref());
    let mut status = context.rollout.status.clone().unwrap_or_default();
    if status.abort == Some(true) && status.aborted_at.is_none() {
        status.aborted_at = Some(sluice_crds::Time::from(turn.now));
        status.promote_full = None;
        status.pause_conditions = None;
        status.controller_pause = None;
    }
    let aborted = status.abort == Some(true);
    if let Some(canary) = context.canary().filter(|_| aborted && !context.has_router()) {
        // Here the traffic follows the pods: they are what goes back.
        basic::act(&mut turn, context, canary, &traffic, &status);
    } else if let Some(set) = context.stable(&status)
        && set.wanted < context.replicas
    {
        sets::scale(&mut turn, context, set, context.replicas);
    }
    if aborted {
        match (context.canary(), context.blue_green()) {
            (Some(canary), _) if context.has_router() => routed::retreat(&mut turn, context, canary, &traffic, &status),
            (None, Some(blue_green)) => blue_green::retreat(&mut turn, context, blue_green, &traffic, &status),
            _ => {}
        }
    }
    if !turn.asks.is_empty() {
        return asked(turn);
    }
    publish::describe(&mut turn, context, &traffic, &mut status, Some(&problems));
    let commit = publish::commit(&mut turn, context, &status);
    finish(turn, commit)
}

/// Pods of `spec.replicas` that may be unavailable.
fn allowed_unavailable(context: &Context<'_>) -> u32 {
    let (surge, unavailable) = match (context.canary(), context.blue_green()) {
        (Some(canary), _) => (canary.max_surge.as_ref(), canary.max_unavailable.as_ref()),
        (None, Some(blue_green)) => (None, blue_green.max_unavailable.as_ref()),
        (None, None) => (None, None),
    };
    replicas::limits(surge, unavailable, context.replicas).unavailable
}

fn asked(turn: Turn<'_>) -> Plan {
    let wake_at = turn.wakes_at();
    Plan {
        asks: turn.asks,
        hold: None,
        wake_at,
        memory: turn.memory,
        ..Plan::default()
    }
}

fn finish(turn: Turn<'_>, commit: Option<Commit>) -> Plan {
    let (hold, wake_at) = (turn.holds().cloned(), turn.wakes_at());
    debug_assert!(
        turn.effects
            .iter()
            .filter(|effect| Effect::is_irreversible(effect))
            .count()
            <= 1
    );
    let news = commit.as_ref().map_or_else(Vec::new, |_| turn.news);
    let events = news.into_iter().chain(turn.events).collect();
    Plan {
        asks: Vec::new(),
        commit,
        effects: turn.effects,
        events,
        hold,
        wake_at,
        confirm: turn.confirm,
        memory: turn.memory,
    }
}
