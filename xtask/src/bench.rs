//! `cargo xtask bench`: what the controller costs, on the cluster in a box, or how fast the simulator is.

use std::process::ExitCode;

use anyhow::Result;

use crate::{box_build, cargo};

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Options {
    /// Number of Rollouts
    #[arg(long, default_value_t = 200)]
    rollouts: u32,
    /// Number of updates of all of them; the table has the median
    #[arg(long, default_value_t = 3)]
    updates: u32,
    /// Measure the simulator instead: decisions in a minute, and how long a day takes
    #[arg(long)]
    simulator: bool,
}

/// Builds what is measured as it is shipped, and measures it.
pub fn run(options: &Options) -> Result<ExitCode> {
    if options.simulator {
        let arguments = [
            "run",
            "--release",
            "--package",
            "sluice-simulations",
            "--example",
            "simulator",
            "--",
            "bench",
        ];
        cargo::step("bench", &arguments)?;
        return Ok(ExitCode::SUCCESS);
    }
    box_build::run(&box_build::Command::Build)?;
    let programs = [
        "build",
        "--locked",
        "--release",
        "-p",
        "sluice-controller",
        "-p",
        "sluice-tests",
        "--bins",
    ];
    cargo::step("programs", &programs)?;
    let (rollouts, updates) = (options.rollouts.to_string(), options.updates.to_string());
    let arguments = [
        "run",
        "--release",
        "-p",
        "sluice-tests",
        "--bin",
        "sluice-bench",
        "--",
        "--rollouts",
        &rollouts,
        "--updates",
        &updates,
    ];
    cargo::step("bench", &arguments)?;
    Ok(ExitCode::SUCCESS)
}
