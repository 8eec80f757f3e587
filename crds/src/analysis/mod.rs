//! Analyses: what is measured (`template`, `metric`, `providers`) and what came out (`run`).

mod argument;
mod metric;
mod providers;
mod run;
mod template;

pub use argument::*;
pub use metric::*;
pub use providers::*;
pub use run::*;
pub use template::*;
