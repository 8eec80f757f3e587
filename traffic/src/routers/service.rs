//! The selector of a Service: all its traffic goes to the revision whose pod template hash the selector names.

use serde_json::Value;

use crate::Moving;

/// What a Service's selector says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// The revision that the selector names; `None` where it names none (it then selects pods of every revision).
    pub revision: Option<String>,
    /// The switch that we last wrote on this Service, if any.
    pub moving: Option<Moving>,
    /// The Rollout that the Service is annotated as managed by.
    pub managed_by: Option<String>,
    /// The field manager, other than ours, that last wrote the spec, where managedFields tell.
    pub foreign_manager: Option<String>,
}

/// Reads a Service.
pub fn observe(_service: &Value) -> Selected {
    todo!()
}

/// The merge patch that makes the selector name `revision`, records `moving` and the managing Rollout, with the Service's
/// resourceVersion in it. `None` when the selector and the annotation `managed-by` already are so.
pub fn edit(_service: &Value, _revision: &str, _rollout: &str, _moving: &Moving) -> Option<Value> {
    todo!()
}
