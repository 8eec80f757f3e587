//! Which other objects a Rollout names.

use std::collections::BTreeSet;

use sluice_crds::Rollout;
use sluice_traffic::{ObjectRef, Router};

use crate::TemplateRef;

/// The names that the shell must look up before it can decide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Services.
    pub services: BTreeSet<String>,
    /// Route objects.
    pub routes: BTreeSet<ObjectRef>,
    /// Analysis templates. Those may name further ones, which the shell looks up too.
    pub templates: BTreeSet<TemplateRef>,
}

/// Reads the names off a Rollout. Wrong specs name what can be made out.
pub fn references(_rollout: &Rollout) -> References {
    todo!()
}

/// The routers of a Rollout, in the order in which they are written; empty without traffic routing or where it is invalid.
pub fn routers(_rollout: &Rollout) -> Vec<Router> {
    todo!()
}
