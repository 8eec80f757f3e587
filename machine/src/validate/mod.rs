//! What is wrong with a spec: all problems at once, each with its field path.

mod references;

use sluice_crds::Rollout;

pub use references::references;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Field path, for example `spec.strategy.canary.steps[2].setWeight`.
    pub path: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.problem)
    }
}

/// All static problems of a Rollout.
pub fn rollout(_rollout: &Rollout) -> Vec<Problem> {
    Vec::new()
}
