//! `cargo xtask fuzz`: the fuzz test of `analysis/tests/fuzz.rs`, for longer than in a plain test.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::cargo;

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub struct Options {
    /// How long, all targets together
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Where the mutations begin; by default another one each time
    #[arg(long)]
    seed: Option<u64>,
    /// Only this target, for example cloudWatch
    #[arg(long)]
    target: Option<String>,
}

/// Runs it. Inputs that break a rule are in `analysis/corpus/` afterwards.
pub fn run(options: &Options) -> Result<ExitCode> {
    if !(options.minutes > 0.0 && options.minutes.is_finite()) {
        bail!("--minutes must be more than 0");
    }
    let seed = match options.seed {
        Some(seed) => seed,
        None => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
    };
    let arguments = [
        "test",
        "--locked",
        "--profile",
        "ci",
        "-p",
        "sluice-analysis",
        "--test",
        "fuzz",
        "--",
        "--nocapture",
    ];
    eprintln!("==> cargo {}", arguments.join(" "));
    let mut command = cargo::command();
    command
        .args(arguments)
        .env("SLUICE_FUZZ_SECONDS", (options.minutes * 60.0).to_string())
        .env("SLUICE_FUZZ_SEED", seed.to_string());
    if let Some(target) = &options.target {
        command.env("SLUICE_FUZZ_TARGET", target);
    }
    let status = command.status().context("cargo could not be started")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
