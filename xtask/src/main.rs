//! `cargo xtask`: the developer commands of Sluice. Each subcommand has a file of its own.

mod box_build;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The developer commands of Sluice.
#[derive(Parser)]
#[command(name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The programs of the cluster in a box
    #[command(subcommand)]
    Box(box_build::Command),
    /// Start a cluster in a box to play with, and stop it with Ctrl-C
    Up(up::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Box(command) => box_build::run(&command),
        Command::Up(options) => up::run(&options),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
