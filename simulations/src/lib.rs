//! The virtual cluster: the pure machines of Sluice run in it as they run in a real one, in virtual time and from a seed.
//! An API server, pods, proxies, traffic and metrics are modelled; the controller's shell is played with all that can go
//! wrong; safety is checked after each write. The same seed gives the same trace, byte for byte.
//!
//! ```text
//! Config (seed, models, faults) ──> Cluster ──run──> Observer (transitions), Totals (requests), Violations, trace
//!            scenario: manifests + commands at times ──┘
//! ```
//!
//! `promql` answers queries on the series that `series` makes of the traffic: what Prometheus would have scraped.
//!
//! Absent here: real clocks, threads, sockets, chance that does not come from the seed, and maps without an order.

// The names of the published algorithm, of a stream that is no iterator, and of closures that say what they look up.
#![allow(
    clippy::many_single_char_names,
    clippy::should_implement_trait,
    clippy::redundant_closure_call,
    clippy::similar_names,
    clippy::struct_excessive_bools,
    clippy::unused_self,
    clippy::needless_for_each,
    clippy::return_self_not_must_use
)]

mod clean;
mod clock;
mod cluster;
mod commands;
mod faults;
pub mod file;
mod kernel;
pub mod library;
mod models;
mod observer;
pub mod promql;
mod random;
mod record;
pub mod report;
mod safety;
mod scenario;
pub mod scenarios;
pub mod series;
mod shell;
mod similar;
mod store;

pub use clean::{acts, clean};
pub use clock::START;
pub use cluster::{Cluster, Config, Rest};
pub use commands::Command;
pub use faults::{EventFault, Faults, Rates, WriteFault};
pub use models::{
    Entry, Flow, Health, Loss, LossReason, MetricAnswer, MetricModel, MetricRule, MetricSource, ModelConfig, Onset,
    Outage, Overload, Ramp, Served, Totals, Version,
};
pub use observer::{Observer, Stand, Transition};
pub use random::{Millis, Random};
pub use safety::Violation;
pub use scenario::{Played, Scenario};
pub use shell::ShellConfig;
pub use similar::similar;
pub use store::{ApiError, Change, Happened, Key, Kind, Part, Preconditions, Store, Writer, key_of};
