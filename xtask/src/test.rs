//! `cargo xtask test`: all tests, the end-to-end ones on the cluster in a box included.

use std::io::{BufRead, BufReader};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};

use xtask::prerequisites;

use crate::{box_build, cargo};

/// Options of `cargo xtask test`.
#[derive(clap::Args, Default)]
pub struct Options {
    /// Only tests whose name contains this text
    filter: Option<String>,
    /// Leave out the tests on the cluster in a box
    #[arg(long)]
    fast: bool,
}

/// Runs the tests and prints the sum of their results as the last line.
pub fn run(options: &Options) -> Result<ExitCode> {
    prerequisites::for_pages()?;
    let mut arguments = vec!["test", "--locked", "--profile", "ci", "--no-fail-fast", "--workspace"];
    if options.fast {
        arguments.extend(["--exclude", "sluice-tests"]);
    } else {
        box_build::run(&box_build::Command::Build)?;
    }
    // The tests' own build also makes the programs that the end-to-end tests start; `build --bins` would compile all
    // dependencies a second time, with the features that only programs need.
    let build = [&arguments[..], &["--no-run"]].concat();
    cargo::step("build", &build)?;
    arguments.extend(options.filter.as_deref());
    eprintln!("==> tests: cargo {}", arguments.join(" "));
    let mut child = cargo::command()
        .args(&arguments)
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo could not be started")?;
    let mut sum = Sum::default();
    let output = child.stdout.take().context("cargo has no output")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        sum.add(&line);
    }
    let status = child.wait()?;
    println!(
        "tests: {} passed, {} failed, {} skipped",
        sum.passed, sum.failed, sum.ignored
    );
    Ok(if status.success() && sum.failed == 0 && sum.passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[derive(Default)]
struct Sum {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Sum {
    /// Adds a line such as `test result: ok. 9 passed; 0 failed; 0 ignored; ...`.
    fn add(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else {
            return;
        };
        let words: Vec<&str> = counts.split([' ', ';']).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let Ok(count) = pair[0].parse::<u64>() else { continue };
            match pair[1] {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_runners_are_added_up() {
        let mut sum = Sum::default();
        sum.add("test result: ok. 9 passed; 1 failed; 2 ignored; 0 measured; 3 filtered out; finished in 0.00s");
        sum.add("test a_test ... ok");
        sum.add("test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        assert_eq!((sum.passed, sum.failed, sum.ignored), (14, 1, 2));
    }
}
