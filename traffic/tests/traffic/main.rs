//! Tables and properties of the routers, through the public interface.
#![allow(
    clippy::needless_pass_by_value,
    reason = "a row of a table hands its expectation over"
)]

mod acknowledgement;
mod common;
mod configuration;
mod edits;
mod eff;
mod hostile;
mod managed_rules;
mod properties;
mod service;
mod writers;
