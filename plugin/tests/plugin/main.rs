//! Tests of the plugin against an API server in the same process, and against manifests.

#![allow(clippy::unwrap_used)]

mod api;
mod commands;
mod examples;
mod fixtures;
mod get;
mod lint;
mod preflight;
mod status;
