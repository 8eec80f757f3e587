//! The Sluice controller: the shell around the machines of `sluice-machine`.
//!
//! It watches the objects that Rollouts are about, asks the machine what to do, and does that: first the commit to the
//! Rollout's status, then the effects in order, each irreversible one only after the guards agreed on what was read afresh.
//! It decides nothing itself. What it must know about is time, connections, failures, and other controllers.
//!
//! ```text
//! watch ──> cache ──> queue ──> reconcile: catch up (ledger) ─> observe ─> decide ─> ask ─> execute ─> publish
//!            ^                                                                                │
//!            └───────────────────── watch events, quorum reads ──────────── API server <──────┘
//! leadership, incumbent: who may decide at all          admin, metrics, notices: what is going on
//! ```
//!
//! Absent here: rules about weights, replicas, steps or verdicts; watches of Pods, Secrets or ConfigMaps; finalizers;
//! server-side apply; retries inside of a call.

#![allow(
    clippy::doc_markdown,
    reason = "kinds of Kubernetes are words of these texts, not code"
)]

mod action;
pub mod addresses;
pub mod admin;
pub mod analysis_gauges;
pub mod api;
pub mod ask;
pub mod backoff;
pub mod cache;
pub mod config;
pub mod context;
pub mod execute;
pub mod failpoint;
pub mod give_back;
pub mod incumbent;
mod jobs;
pub mod kinds;
pub mod leadership;
pub mod lease;
pub mod ledger;
pub mod measure;
pub mod metrics;
pub mod notices;
pub mod object;
pub mod observe;
pub mod publish;
pub mod queue;
pub mod reconcile;
pub mod run;
pub mod runs;
pub mod secrets;
pub mod send;
pub mod turns;
pub mod watch;

pub use config::Config;
pub use run::{RunError, run, run_with};
