//! Running cargo as a step with a name and a time.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// Runs cargo with these arguments; fails when it does.
pub fn step(name: &str, arguments: &[&str]) -> Result<()> {
    eprintln!("==> {name}: cargo {}", arguments.join(" "));
    let started = Instant::now();
    let status = command()
        .args(arguments)
        .status()
        .context("cargo could not be started")?;
    eprintln!(
        "==> {name}: {} after {} s",
        if status.success() { "done" } else { "failed" },
        started.elapsed().as_secs()
    );
    if !status.success() {
        bail!("{name} failed");
    }
    Ok(())
}

/// The cargo that runs this program.
pub fn command() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
