//! `cargo xtask crds`: the CRD manifests in `crds/yaml/`, written anew.

use std::process::ExitCode;

use anyhow::Result;

use crate::cargo;

/// Writes them. A test of the crate `sluice-crds` fails while they are stale.
pub fn run() -> Result<ExitCode> {
    cargo::step("crds", &["run", "--package", "sluice-crds", "--example", "write_crds"])?;
    Ok(ExitCode::SUCCESS)
}
