//! Tests of the plugin against an API server in the same process, and against manifests.

#![allow(clippy::unwrap_used)]
// The expected texts are written by the tests themselves (UPDATE_EXPECT=1), always with hashes.
#![allow(clippy::needless_raw_string_hashes)]
// Fixtures are made to be read: values are passed as they are written, names stand without backticks.
#![allow(
    clippy::needless_pass_by_value,
    clippy::doc_markdown,
    clippy::format_collect,
    clippy::format_push_string
)]

mod api;
mod browser;
mod commands;
mod examples;
mod explain;
mod fixtures;
mod get;
mod lint;
mod preflight;
mod runs;
mod simulate;
mod status;
