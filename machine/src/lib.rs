//! The state machines of Sluice: functions from what is known to what is to be done.
//!
//! [`decide`] takes the time and a [`World`] (what the shell observed) and returns a [`Plan`]: what to ask, what to commit to
//! the Rollout's status, which effects to carry out in which order, which events to publish, and, where nothing is to be
//! done, the reason. The controller, the simulator and `kubectl sluice` call the same function.
//!
//! ```text
//! World ──decide(now)──> Plan { asks, commit, effects, events, hold, wake_at, confirm, memory }
//! effect + fresh World ──guards::check(now)──> Ok, or the Hold that forbids it
//! Services and routes of a Rollout that is gone ──release──> effects that give them back
//! AnalysisRun + answers ──run::decide(now)──> measurements to start, status to commit
//! ```
//!
//! Absent here: clocks, randomness, clients, sockets, async, and maps without an order.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod guards;
pub mod hash;
pub mod json;
mod plan;
pub mod read;
pub mod references;
mod release;
pub mod rollout;
pub mod routing;
pub mod run;
pub mod run_spec;
pub mod validate;
pub mod workload;
mod world;

pub use plan::{Commit, Effect, Event, EventKind, Hold, Plan};
pub use release::{Remains, release};
pub use rollout::decide;
pub use world::{
    Answer, Answered, Ask, Endpoints, Fact, Memory, Owner, Pod, ReplicaSet, Run, Settings, Template, TemplateRef, Why,
    World,
};
