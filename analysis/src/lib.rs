//! How Sluice measures and judges: metric providers, conditions, arguments.
//!
//! A provider turns a metric into an HTTP request *value*; somebody else sends it; the provider turns the response into a
//! [`Measured`] value with a phase. Conditions decide success and failure, arguments fill `{{args.x}}`.
//!
//! ```text
//! Metric + args ──resolve──> Metric ──request──> HttpRequest   ...sent by the shell or the simulator...
//! Metric + HttpResponse | TransportError ──measure──> Measured { phase, value, message }
//! ```
//!
//! Absent here: sockets, clocks, randomness, Kubernetes clients, and the counting of measurements (that is the analysis
//! run machine in `sluice-machine`).

pub mod args;
pub mod conditions;
pub mod http;
pub mod providers;

pub use http::{HttpRequest, HttpResponse, TransportError};
pub use providers::{Environment, Measured, ProviderError, measure, request};
