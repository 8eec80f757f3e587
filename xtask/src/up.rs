//! `cargo xtask up`: a cluster in a box for a person. Builds what it needs, then hands over to `sluice-box`.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use xtask::{prerequisites, programs};

/// What runs in the cluster or is used beside it.
const PACKAGES: [&str; 3] = ["sluice-tests", "sluice-controller", "kubectl-sluice"];

/// How the cluster is started.
#[derive(Args)]
pub struct Options {
    /// What is passed on: `cargo xtask up -- --help` explains it
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Builds and starts it; this process becomes the cluster's own, so that Ctrl-C and exit codes are not passed on twice.
pub fn run(options: &Options) -> Result<ExitCode> {
    prerequisites::for_run()?;
    programs::build(&mut |line| eprintln!("box: {line}"))?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask has a parent folder")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(&cargo);
    build.current_dir(root).args(["build", "--bins"]);
    for package in PACKAGES {
        build.args(["--package", package]);
    }
    let status = build.status().context("start cargo build")?;
    ensure!(status.success(), "cargo build: {status}");
    let error = Command::new(cargo)
        .current_dir(root)
        .args([
            "run",
            "--quiet",
            "--package",
            "sluice-tests",
            "--bin",
            "sluice-box",
            "--",
            "up",
        ])
        .args(&options.rest)
        .exec();
    Err(error).context("start cargo run --package sluice-tests --bin sluice-box")
}
