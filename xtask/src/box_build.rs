//! `cargo xtask box build`: the programs of the cluster in a box, built once per version.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use xtask::{prerequisites, programs};

/// What to do with the programs of the cluster in a box.
#[derive(Subcommand)]
pub enum Command {
    /// Build what is not built yet (about 10 minutes the first time, nothing afterwards)
    Build,
    /// Print the cache folder, which can be kept between runs or thrown away
    Cache,
}

/// Runs the command.
pub fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Build => {
            prerequisites::for_run()?;
            let built = programs::build(&mut |line| eprintln!("box: {line}"))?;
            eprintln!("box: ready");
            let all = [
                built.plane,
                built.prometheus,
                built.traefik,
                built.gateway_crds,
                built.health,
            ];
            for path in all {
                println!("{}", path.display());
            }
        }
        Command::Cache => println!("{}", programs::cache_folder()?.display()),
    }
    Ok(ExitCode::SUCCESS)
}
