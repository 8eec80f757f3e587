//! What is worked out once for each generation of a spec.

use std::sync::Arc;

use serde_json::Value;

use super::Problem;
use crate::{Fact, World, hash, workload};

/// What follows from the spec of a Rollout and its workload alone. The API server counts a new generation whenever a spec
/// changes, so it holds for one generation of one Rollout, and of its workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// uid and generation that it is about, and resourceVersion of the workload; `None` where the Rollout has none.
    about: Option<(String, i64, Option<String>)>,
    /// Identity of the pod template: [`hash::canonical`].
    pub template_id: String,
    /// All static problems: [`super::rollout`].
    pub problems: Vec<Problem>,
}

impl Checked {
    /// Works it out, unless what is remembered is about this very spec.
    pub fn new(world: &World) -> Arc<Checked> {
        let metadata = &world.rollout.metadata;
        let workload = workload::fact(world).and_then(Fact::known);
        let version = workload.and_then(|workload| workload.pointer("/metadata/resourceVersion")?.as_str());
        let about = metadata.uid.clone().zip(metadata.generation);
        let about = about.map(|(uid, generation)| (uid, generation, version.map(str::to_owned)));
        match &world.memory.checked {
            Some(known) if known.about == about && about.is_some() => known.clone(),
            _ => Arc::new(Checked {
                about,
                template_id: hash::canonical(workload::template(world).unwrap_or(&Value::Null)),
                problems: super::rollout(&world.rollout),
            }),
        }
    }
}
