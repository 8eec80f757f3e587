//! `cargo xtask`: the developer commands of Sluice. Each subcommand has a file of its own.

mod bench;
mod box_build;
mod cargo;
mod ci;
mod crds;
mod cut;
mod deny;
mod docs;
mod fuzz;
mod scenarios;
mod test;
mod tidy;
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
    /// Everything that a change must pass: format, tidy, lints, all tests
    Ci,
    /// All tests, the end-to-end ones included; the last line is the sum of the results
    Test(test::Options),
    /// Rules that no compiler checks: sizes of files, arrows between crates, purity, names in documentation
    Tidy,
    /// What the controller costs, on the cluster in a box: the table of docs/performance.md
    Bench(bench::Options),
    /// Licences, bans and sources of the dependencies (installs cargo-deny where it is missing)
    Deny,
    /// Cut features out of a copy of the tree and see that the tests of docs/compatibility.md fail (some minutes)
    Cut(cut::Options),
    /// Mutated answers and conditions for the parsers, for as long as wanted
    Fuzz(fuzz::Options),
    /// Write the CRD manifests anew
    Crds,
    /// Play the library of scenarios and compare the timelines
    Scenarios(scenarios::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Box(command) => box_build::run(&command),
        Command::Up(options) => up::run(&options),
        Command::Ci => ci::run(),
        Command::Test(options) => test::run(&options),
        Command::Tidy => tidy::check().map(|()| ExitCode::SUCCESS),
        Command::Bench(options) => bench::run(&options),
        Command::Deny => deny::run(),
        Command::Cut(options) => cut::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Crds => crds::run(),
        Command::Scenarios(options) => scenarios::run(&options),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
