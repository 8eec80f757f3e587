//! The work on one AnalysisRun.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sluice_analysis::Environment;

use crate::kernel::Kernel;
use crate::models::Models;
use crate::shell::rollout::Decided;
use crate::store::Key;

/// A measurement under way: of which run, how long it takes, and what comes back.
pub(super) type Measurement = (Key, SignedDuration, RunResult);

/// The answer to a measurement.
#[derive(Clone, Debug)]
pub(crate) struct RunResult {
    pub(super) at: Timestamp,
}

#[derive(Debug)]
pub(super) struct RunTask {}

impl RunTask {
    /// The work on a run; `None` where it cannot be decoded.
    pub(super) fn new(_object: &Value) -> Option<RunTask> {
        None
    }

    pub(super) fn observe(&mut self, _object: Option<&Value>) -> bool {
        false
    }

    pub(super) fn measured(&mut self, _result: RunResult) {}

    pub(super) fn decide(&mut self, _: &mut Kernel, _: &mut Models, _: &Key, _: &Environment) -> Decided {
        Decided::default()
    }
}
