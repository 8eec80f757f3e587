//! The settings of each metric provider.

mod authentication;
mod cloud_watch;
mod datadog;
mod job;
mod kayenta;
mod prometheus;
mod queries;
mod web;

pub use authentication::*;
pub use cloud_watch::*;
pub use datadog::*;
pub use job::*;
pub use kayenta::*;
pub use prometheus::*;
pub use queries::*;
pub use web::*;
