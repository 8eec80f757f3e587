//! What is wrong with a spec: all problems at once, each with its field path.
//!
//! Texts are those of Argo Rollouts where it has one, because users search for them; the field path comes before. What
//! this version does not serve yet is a problem too: nothing that a user asked for is passed over in silence.
//!
//! ```text
//! rollout ── template      replicas, times, selector, pod template, which strategy
//!    ├────── canary ── routing, steps
//!    └────── blue_green
//!              └── analysis (of every strategy)
//! references               what the spec names, looked up in the World
//! ```

mod analysis;
mod blue_green;
mod canary;
mod checked;
mod references;
mod report;
mod rollout;
mod routing;
mod steps;
mod template;

pub use analysis::analysis_template;
pub use checked::Checked;
pub use references::references;
pub use rollout::rollout;

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

#[cfg(test)]
mod tests;
