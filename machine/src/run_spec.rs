//! The spec of an AnalysisRun, from the templates and arguments that a Rollout names.

use serde_json::Value;
use sluice_crds::RolloutAnalysis;

use crate::{Hold, World};

/// Builds the spec. Fails with the reason to wait: a template that is missing, an argument that cannot be resolved.
pub fn build(_world: &World, _analysis: &RolloutAnalysis, _stable: &str, _latest: &str) -> Result<Value, Hold> {
    todo!()
}
