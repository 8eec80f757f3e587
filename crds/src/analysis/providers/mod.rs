//! The settings of each metric provider.

mod authentication;
mod prometheus;
mod web;

pub use authentication::*;
pub use prometheus::*;
pub use web::*;
