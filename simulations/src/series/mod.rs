//! What Prometheus would have scraped: counters and histograms of pods and proxies, in the shapes that users have.
//!
//! ```text
//! data plane ──History (requests over time, by pod and by proxy)──> scraped(window) ──> SeriesStore ──> promql
//! ```
//!
//! Nothing is scraped while the simulation runs. Requests flow steadily between two changes, so a short history says how
//! high each counter was at each scrape; a query has the scrapes made that it looks at.
//!
//! Absent: gauges, and metrics of anything but requests. Numbers are whole, as real counters are, and a series begins
//! with its first request: a service that never failed has no series of errors.

// Paces are equal only where they were reckoned alike, and tests compare what is exact.
#![allow(clippy::float_cmp)]

mod history;
mod latency;
mod lines;
mod shapes;

pub(crate) use history::{Behaviour, History, Passage};
pub use latency::Latency;
pub(crate) use lines::scraped;
pub use shapes::metric_names;
