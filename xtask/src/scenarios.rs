//! `cargo xtask scenarios`: the library of scenarios, played and compared with the timelines that are kept.

use std::process::ExitCode;

use anyhow::Result;

use crate::cargo;

/// Options of `cargo xtask scenarios`.
#[derive(clap::Args)]
pub struct Options {
    /// Only these scenarios
    names: Vec<String>,
    /// Write the timelines, the schema of scenario files and docs/canary.svg anew; read the difference first
    #[arg(long)]
    bless: bool,
}

/// Plays them. A test of the crate `sluice-simulations` fails while a timeline is not what is kept.
pub fn run(options: &Options) -> Result<ExitCode> {
    let mut arguments = vec![
        "run",
        "--profile",
        "ci",
        "--package",
        "sluice-simulations",
        "--example",
        "simulator",
        "--",
        "scenarios",
    ];
    if options.bless {
        arguments.push("--bless");
    }
    arguments.extend(options.names.iter().map(String::as_str));
    cargo::step("scenarios", &arguments)?;
    Ok(ExitCode::SUCCESS)
}
