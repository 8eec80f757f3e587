//! `cargo xtask ci`: the one check. What it runs is what a change must pass.

use std::process::ExitCode;

use anyhow::Result;

use xtask::prerequisites;

use crate::{box_build, cargo, test, tidy};

/// Runs everything in the order in which it fails fastest.
pub fn run() -> Result<ExitCode> {
    cargo::step("format", &["fmt", "--all", "--check"])?;
    tidy::check()?;
    prerequisites::for_pages()?;
    box_build::run(&box_build::Command::Build)?;
    let lints = [
        "clippy",
        "--locked",
        "--profile",
        "ci",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    cargo::step("lints", &lints)?;
    test::run(&test::Options::default())
}
