//! How Sluice measures and judges: metric providers, conditions, arguments, templates.
//!
//! A provider turns a metric into an HTTP request *value*; somebody else sends it; the provider turns the response into a
//! [`Measured`] value with a phase. Conditions decide success and failure, arguments fill `{{args.x}}`, templates become the
//! spec of a run.
//!
//! ```text
//! templates + Rollout ──flatten, run_spec──> AnalysisRunSpec
//! Metric + args + secrets ──providers::start──> Measuring, Next::Send(request)   ...sent by the shell or the simulator...
//! Measuring + HttpResponse | TransportError ──hear──> Next::Send(request) | Next::Done(Measured { phase, value, message })
//! ```
//!
//! Absent here: sockets, clocks, randomness, Kubernetes clients, and the counting of measurements (that is the analysis
//! run machine in `sluice-machine`).

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod args;
pub mod conditions;
pub mod duration;
pub mod http;
pub mod metric;
pub mod providers;
pub mod template;
pub mod text;

pub use args::{SecretRef, Secrets};
pub use http::{HttpRequest, HttpResponse, TransportError};
pub use providers::{Environment, Found, JobWish, Measured, Measuring, Needs, Next, ProviderError};
