//! `cargo xtask deny`: licences, bans and sources of what we depend on, by cargo-deny.

use std::process::ExitCode;

use anyhow::Result;

use crate::cargo;

/// Installs cargo-deny where it is missing, and runs it. Advisories need their database, which cargo-deny fetches itself.
pub fn run() -> Result<ExitCode> {
    let installed = cargo::command()
        .args(["deny", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !installed {
        cargo::step("install cargo-deny", &["install", "--locked", "cargo-deny"])?;
    }
    cargo::step("deny", &["deny", "check", "bans", "licenses", "sources"])?;
    Ok(ExitCode::SUCCESS)
}
