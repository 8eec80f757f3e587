//! The `argoproj.io/v1alpha1` API that Sluice serves: Rollout, `AnalysisTemplate`, `ClusterAnalysisTemplate`,
//! `AnalysisRun` and Experiment, every field of spec and status, as Rust types and as CRD manifests.
//! An object that the CRDs admit can be decoded and encoded again without losing anything: absent stays absent, an
//! explicit zero, `false` or empty list stays explicit, and what is not ours to understand stays JSON.
//! Doc comments on the types become the text of `kubectl explain`, so they are written for users of the API.
//!
//! ```text
//!   rollout/  analysis/  experiment.rs     the kinds, one file per part of a kind
//!        \        |        /
//!      time, raw, open_string, meta        what they are made of
//!              crd.rs  ->  yaml/           the manifests, generated
//!      names.rs  defaults.rs               labels, annotations, reasons; documented default values
//! ```
//!
//! Absent here: a client, a clock, validation (the machine's), and any behaviour.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]
// The comments on the types are read in a terminal, where backticks around every field and kind are noise.
#![allow(clippy::doc_markdown)]

mod open_string;

pub mod analysis;
pub mod crd;
pub mod defaults;
pub mod experiment;
pub mod meta;
pub mod names;
pub mod raw;
pub mod rollout;
pub mod time;
pub mod yaml;

pub use analysis::*;
pub use experiment::*;
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
pub use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
pub use meta::*;
pub use rollout::*;
pub use time::Time;

/// The API group of all kinds of this crate.
pub const GROUP: &str = "argoproj.io";
/// The version of all kinds of this crate.
pub const VERSION: &str = "v1alpha1";
