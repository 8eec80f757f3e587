//! The end-to-end tests: suites that each run on a cluster in a box of their own, one after the other.
//!
//! `cargo test --profile ci --workspace --test e2e -- canary::` runs one suite.

mod analysis;
mod blue_green;
mod canary;
mod crash;
mod health;
mod plane;
mod promql;
mod quiet;
mod refused;
mod same;
mod updates;

use std::process::ExitCode;

fn main() -> ExitCode {
    sluice_tests::suites(&[
        // First what the others stand on.
        ("plane", plane::suite),
        ("promql", promql::suite),
        ("health", health::suite),
        ("canary", canary::suite),
        ("blue_green", blue_green::suite),
        ("analysis", analysis::suite),
        ("same", same::suite),
        ("updates", updates::suite),
        ("refused", refused::suite),
        ("crash", crash::suite),
        ("quiet", quiet::suite),
    ])
}
