//! The Rollout machine.

use jiff::Timestamp;

use crate::{Plan, World};

/// Decides what to do for one Rollout. Pure: the same time and World give the same Plan.
pub fn decide(_now: Timestamp, _world: &World) -> Plan {
    todo!()
}
