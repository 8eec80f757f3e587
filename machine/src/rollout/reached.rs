//! Whether pods and traffic are where the steps of a canary want them; if not, that is why the Rollout waits.

use sluice_crds::{CanaryStrategy, RolloutStatus};

use super::{
    canary::{routed_size, weight},
    context::Context,
    replicas,
    traffic::{Service, Settling, Traffic},
    turn::Turn,
};
use crate::Hold;

/// Whether the new revision has `size` pods, and as many of them are available as the Rollout asks for; if not, that is why
/// it waits.
pub(super) fn is_available(turn: &mut Turn<'_>, context: &Context<'_>, size: u32) -> bool {
    let needed = context.canary().map_or(size, |canary| replicas::enough(canary, size));
    let available = context.new_available();
    let is = context.new.is_some_and(|set| set.settled && set.wanted >= size) && available >= needed;
    if !is {
        turn.hold(Hold::NewNotAvailable {
            replica_set: context.new_name(),
            available,
            needed,
        });
    }
    is
}

/// Whether the new revision has no more pods than the present step asks for, or than its traffic needs.
fn has_shrunk<'a>(turn: &mut Turn<'a>, context: &Context<'a>, traffic: &Traffic<'a>, size: u32) -> bool {
    let Some(set) = context.new.filter(|set| set.wanted > size) else {
        return true;
    };
    let most = size.max(traffic.need(turn, &set.hash).pods(context.replicas));
    if set.wanted > most {
        let (replica_set, left) = (set.name.clone(), set.wanted - most);
        turn.hold(Hold::OldNotDown { replica_set, left });
    }
    set.wanted <= most
}

/// Whether both revisions have the pods that the present step asks for.
pub(super) fn has_sizes<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    canary: &CanaryStrategy,
    traffic: &Traffic<'a>,
    status: &RolloutStatus,
) -> bool {
    if context.has_router() {
        let size = routed_size(context.replicas, canary, status);
        return is_available(turn, context, size) && has_shrunk(turn, context, traffic, size);
    }
    let size = basic_sizes(context, canary, status).new;
    is_available(turn, context, size)
        && has_shrunk(turn, context, traffic, size)
        && are_others_down(turn, context, canary, status)
}

/// The sizes that the present step asks for without a router.
fn basic_sizes(context: &Context<'_>, canary: &CanaryStrategy, status: &RolloutStatus) -> replicas::Sizes {
    let limits = replicas::canary_limits(canary, context.replicas);
    replicas::basic_desired(context.replicas, weight(canary, status), limits.surge)
}

/// Whether, without a router, the other revisions have no more pods than the present step leaves them.
fn are_others_down(
    turn: &mut Turn<'_>,
    context: &Context<'_>,
    canary: &CanaryStrategy,
    status: &RolloutStatus,
) -> bool {
    // The last stable pod stays while the stable Service selects it.
    let desired = basic_sizes(context, canary, status).stable;
    let kept = desired.max(u32::from(canary.stable_service.is_some()));
    let stable = context
        .stable(status)
        .filter(|set| set.wanted > kept)
        .map(|set| (set, set.wanted - kept));
    let older = || {
        context
            .older(status)
            .into_iter()
            .find(|set| set.available > 0)
            .map(|set| (set, set.available))
    };
    if let Some((set, left)) = stable.or_else(older) {
        turn.hold(Hold::OldNotDown {
            replica_set: set.name.clone(),
            left,
        });
        return false;
    }
    true
}

/// Whether pods and traffic are where the steps so far want them. In a pause nothing moves, so it begins only then: after a
/// step that was skipped, a retry, or an update that follows on another one, there may be something left to be done.
pub(super) fn is_at_rest<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    canary: &CanaryStrategy,
    traffic: &Traffic<'a>,
    status: &RolloutStatus,
) -> bool {
    let size = if context.has_router() {
        routed_size(context.replicas, canary, status)
    } else {
        basic_sizes(context, canary, status).new
    };
    let wanted = context.new.map_or(0, |set| set.wanted);
    if wanted < size {
        turn.hold(Hold::NewNotAvailable {
            replica_set: context.new_name(),
            available: context.new_available(),
            needed: size,
        });
        return false;
    }
    let has_shrunk = has_shrunk(turn, context, traffic, size);
    if context.has_router() {
        return has_shrunk && is_routed(turn, context, traffic, weight(canary, status));
    }
    // Pods that are only kept until the proxies have followed a Service go as soon as they have.
    if wanted > size
        && let Settling::Waiting(hold) = traffic.settling(turn)
    {
        turn.hold(hold);
        return false;
    }
    has_shrunk && are_others_down(turn, context, canary, status)
}

/// Whether the new revision gets `percent` of the traffic, and every proxy knows.
pub(super) fn is_routed<'a>(turn: &mut Turn<'a>, context: &Context<'a>, traffic: &Traffic<'a>, percent: u32) -> bool {
    if let Some(problem) = &traffic.problem {
        turn.hold(problem.clone());
        return false;
    }
    // Weight on a canary Service that still selects an earlier revision is not the new revision's.
    let is_ours = |service: &Service<'_>| service.selected.revision.as_deref() == Some(context.new_hash.as_str());
    if !traffic.is_at(percent) || percent > 0 && !traffic.canary_service().is_some_and(is_ours) {
        return false;
    }
    traffic.settling(turn).or_hold(turn)
}

pub(super) fn is_promotable<'a>(
    turn: &mut Turn<'a>,
    context: &Context<'a>,
    canary: &CanaryStrategy,
    traffic: &Traffic<'a>,
) -> bool {
    if let Some(problem) = &traffic.problem {
        turn.hold(problem.clone());
        return false;
    }
    let limits = replicas::canary_limits(canary, context.replicas);
    // Without a surge the last stable pod stays while the stable Service selects it, and the new revision cannot be complete.
    let keeps_one = !context.has_router() && limits.surge == 0 && canary.stable_service.is_some();
    let needed = if keeps_one {
        context.replicas - limits.unavailable
    } else {
        context.replicas
    };
    is_available(turn, context, needed)
}
