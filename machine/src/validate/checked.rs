//! What is worked out once for each generation of a spec.

use std::sync::Arc;

use serde_json::Value;
use sluice_crds::Rollout;

use super::Problem;
use crate::hash;

/// What follows from the spec of a Rollout alone. The API server counts a new generation whenever a spec changes, so it holds
/// for one generation of one Rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// uid and generation that it is about; `None` where the Rollout has none.
    about: Option<(String, i64)>,
    /// Identity of the pod template: [`hash::canonical`].
    pub template_id: String,
    /// All static problems: [`super::rollout`].
    pub problems: Vec<Problem>,
}

impl Checked {
    /// Works it out, unless `known` is about this very spec.
    pub fn new(rollout: &Rollout, known: Option<&Arc<Checked>>) -> Arc<Checked> {
        let metadata = &rollout.metadata;
        let about = metadata.uid.clone().zip(metadata.generation);
        match known {
            Some(known) if known.about == about && about.is_some() => known.clone(),
            _ => Arc::new(Checked {
                about,
                template_id: hash::canonical(rollout.spec.template.as_ref().unwrap_or(&Value::Null)),
                problems: super::rollout(rollout),
            }),
        }
    }
}
