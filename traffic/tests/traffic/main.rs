//! Tables and properties of the routers, through the public interface.
#![allow(
    clippy::needless_pass_by_value,
    reason = "a row of a table hands its expectation over"
)]
#![allow(clippy::too_many_lines, reason = "a table is as long as it has rows")]
#![allow(
    clippy::needless_raw_string_hashes,
    reason = "expectations are written by expect-test"
)]
#![allow(clippy::doc_markdown, reason = "kinds of Kubernetes stand in most sentences")]

mod acknowledgement;
mod common;
mod configuration;
mod destination_rule;
mod edits;
mod eff;
mod hostile;
mod ingress;
mod istio_and_nginx;
mod managed_routes;
mod managed_rules;
mod more_properties;
mod properties;
mod release;
mod service;
mod virtual_service;
mod writers;
