//! PromQL: queries as users write them, evaluated on stored series as Prometheus 3 does. It knows nothing of clusters.
//!
//! ```text
//! text ──Query::parse──> Query ──instant / range──> Value ──to_json──> what the HTTP API answers
//!                                     SeriesStore ──┘
//! ```
//!
//! Parsed by `promql-parser`; everything else is here. Where the rules are: `store` (what a selector sees), `over_time`
//! (rate and its kin), `aggregate`, `binary` (operators and vector matching), `functions`, `quantile`.
//!
//! Absent: native histograms, exemplars, experimental functions, warnings. What is not known is refused by name before
//! anything is evaluated, so that no query is ever answered with a guess.

// PromQL compares numbers exactly, and so do the tests of what is exact.
#![allow(clippy::float_cmp)]

mod aggregate;
mod answer;
mod binary;
mod evaluate;
mod functions;
mod labels;
mod over_time;
mod parse;
mod quantile;
mod special;
mod store;

pub use answer::{Request, RequestError, answer, number_text};
pub use evaluate::{MAX_STEPS, Sample, Series, Value};
pub use functions::names as function_names;
pub use labels::{BUCKET, Labels, NAME};
pub(crate) use over_time::seconds;
pub use parse::{Query, QueryError, Window};
pub use store::{LOOKBACK_MS, MAX_SAMPLES, MAX_SERIES, Point, SeriesStore, StoreError};

#[cfg(test)]
mod tests;
