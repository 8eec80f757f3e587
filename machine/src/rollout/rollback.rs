//! Going back to an earlier revision without steps, pauses and analyses.

use sluice_crds::RolloutStatus;

use super::{context::Context, sets, turn::Turn};

/// Whether the update goes back to a revision within `spec.rollbackWindow`: its ReplicaSet is older than the stable one, and
/// fewer than `revisions` ReplicaSets were made between the two.
pub(super) fn is_within_window(context: &Context<'_>, status: &RolloutStatus) -> bool {
    let window = context.rollout.spec.rollback_window.as_ref();
    let revisions = window.and_then(|window| window.revisions).unwrap_or(0);
    let (Some(new), Some(stable)) = (context.new, context.stable(status)) else {
        return false;
    };
    let is_between = |at| at > new.created_at && at < stable.created_at;
    let between = context.sets.iter().filter(|set| is_between(set.created_at)).count();
    new.created_at < stable.created_at && i64::try_from(between).is_ok_and(|between| between < i64::from(revisions))
}

/// Whether the new revision was stable a short while ago: its pods are all there, kept by a scale-down delay that is not over.
pub(super) fn is_still_up(turn: &Turn<'_>, context: &Context<'_>) -> bool {
    context.new.is_some_and(|set| {
        set.available >= context.replicas && sets::deadline(set).is_some_and(|deadline| turn.now < deadline)
    })
}
