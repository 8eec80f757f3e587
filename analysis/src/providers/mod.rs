//! One file for each metric provider.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sluice_crds::{AnalysisPhase, Metric};

use crate::{HttpRequest, HttpResponse, TransportError};

/// What a provider may know beside the metric.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Environment variables that providers know, for example `ARGO_ROLLOUTS_PROMETHEUS_ADDRESS`.
    pub variables: BTreeMap<String, String>,
}

/// A measurement as a provider judged it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Successful, Failed, Inconclusive or Error.
    pub phase: AnalysisPhase,
    /// The value as users read it, for example `[0.97]`; at most 1 KiB.
    pub value: Option<String>,
    /// Why, where the phase alone does not say it; at most 1 KiB.
    pub message: Option<String>,
}

/// Why no request can be made from a metric.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The metric's provider is not served.
    #[error("provider {0} is not supported yet")]
    Unsupported(String),
    /// Something in the metric is wrong.
    #[error("{path}: {problem}")]
    Invalid {
        /// Field path within the metric.
        path: String,
        /// What is wrong and what would be right.
        problem: String,
    },
}

/// The request that measures `metric` at `now`. The metric's arguments are resolved already.
pub fn request(_now: Timestamp, _metric: &Metric, _environment: &Environment) -> Result<HttpRequest, ProviderError> {
    todo!()
}

/// Judges an answer by the metric's conditions. Total: whatever came back becomes a phase.
pub fn measure(_metric: &Metric, _answer: Result<HttpResponse, TransportError>) -> Measured {
    todo!()
}
