//! The last check before an irreversible effect, on the freshest view.

use jiff::Timestamp;

use crate::{Effect, Hold, World};

/// Whether `effect` may be carried out now: `Err` names the invariant that it would break. `world` is the freshest view that
/// the shell could get; its answers include the endpoints of every Service that the Rollout names.
pub fn check(_now: Timestamp, _world: &World, _effect: &Effect) -> Result<(), Hold> {
    todo!()
}
