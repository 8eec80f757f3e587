//! The main function of a test program that runs inside: it starts one plane, runs its tests one after the other and
//! prints what `cargo test` prints.
//!
//! One after the other, because the tests measure traffic on the same few cores. Each test gets what it wants from the
//! plane under names of its own.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use futures::FutureExt as _;

use crate::inside::{self, Inside};
use crate::plane::{Plane, PlaneConfig};

/// A test that takes longer hangs; it is far above what any test needs, and below what a person waits for.
const LONGEST_TEST: Duration = Duration::from_mins(10);

/// A boxed test body.
pub type TestFuture = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// What tests share: started once, before the first of them.
pub trait Shared: Send + Sync + 'static {
    /// What has died meanwhile, if anything.
    fn dead_components(&self) -> Vec<String>;
}

impl Shared for Plane {
    fn dead_components(&self) -> Vec<String> {
        Plane::dead_components(self)
    }
}

/// One test: a name that is a sentence, and what it does with a plane, or with what else the tests share. Made by the
/// macro [`tests!`](crate::tests).
pub struct Test<S = Plane> {
    /// The name by which it is printed and chosen, after that of its suite.
    pub name: &'static str,
    /// The body.
    pub run: fn(Arc<S>) -> TestFuture,
}

/// A list of [`Test`]s from async functions `fn(Arc<Plane>) -> anyhow::Result<()>`.
#[macro_export]
macro_rules! tests {
    ($($function:path),* $(,)?) => {
        vec![$($crate::Test { name: stringify!($function), run: |plane| Box::pin($function(plane)) }),*]
    };
}

/// A suite of tests that share a plane, or something else: its name, and what runs it by [`main`] or [`main_with`].
pub type Suite = (&'static str, fn() -> ExitCode);

/// Runs suites one after the other, each inside on its own; inside, only the one that was entered. Fails if one fails.
pub fn suites(suites: &[Suite]) -> ExitCode {
    let entered = inside::name();
    let mut worst = ExitCode::SUCCESS;
    for (name, suite) in suites {
        if entered.as_deref().is_none_or(|entered| entered == *name) {
            let code = suite();
            if code != ExitCode::SUCCESS {
                worst = code;
            }
        }
    }
    worst
}

/// Runs the tests that the command line chooses, inside, on one plane. `suite` is the first part of the tests' names, and
/// names the folder of logs of a failed run.
pub fn main(suite: &str, config: PlaneConfig, tests: Vec<Test>) -> ExitCode {
    main_with(suite, async |inside| Plane::start(inside, config).await, tests)
}

/// The same on something else than a plane.
pub fn main_with<S: Shared>(
    suite: &str,
    start: impl AsyncFnOnce(&Inside) -> Result<S>,
    tests: Vec<Test<S>>,
) -> ExitCode {
    let choice = Choice::from_args(std::env::args().skip(1));
    let (chosen, others): (Vec<Test<S>>, Vec<Test<S>>) = tests
        .into_iter()
        .partition(|test| choice.takes(&full_name(suite, test.name)));
    if choice.list {
        for test in &chosen {
            println!("{}: test", full_name(suite, test.name));
        }
        return ExitCode::SUCCESS;
    }
    if chosen.is_empty() {
        println!(
            "\nrunning 0 tests\n\n{}\n",
            Tally {
                filtered_out: others.len(),
                ..Tally::default()
            }
            .line()
        );
        return ExitCode::SUCCESS;
    }
    inside::enter(suite, |inside| run(inside, suite, start, &chosen, others.len()))
}

/// The name by which a test is printed and chosen.
fn full_name(suite: &str, test: &str) -> String {
    format!("{suite}::{test}")
}

/// What the command line asks for, in the words of the ordinary test programs.
#[derive(Debug, Default, PartialEq)]
struct Choice {
    filters: Vec<String>,
    skips: Vec<String>,
    exact: bool,
    list: bool,
    /// Ordinary test programs run only ignored tests then; there are none here.
    ignored_only: bool,
}

impl Choice {
    fn from_args(args: impl Iterator<Item = String>) -> Self {
        let mut choice = Self::default();
        let mut args = args;
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--list" => choice.list = true,
                "--exact" => choice.exact = true,
                "--ignored" => choice.ignored_only = true,
                "--skip" => choice.skips.extend(args.next()),
                // Options with a value that mean nothing here: output is never captured, tests are never parallel.
                "--test-threads" | "--format" | "--color" | "--logfile" | "-Z" => drop(args.next()),
                _ if arg.starts_with('-') => {}
                _ => choice.filters.push(arg),
            }
        }
        choice
    }

    fn takes(&self, name: &str) -> bool {
        let matches = |filter: &String| {
            if self.exact {
                name == filter
            } else {
                name.contains(filter.as_str())
            }
        };
        !self.ignored_only
            && (self.filters.is_empty() || self.filters.iter().any(matches))
            && !self.skips.iter().any(matches)
    }
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: Vec<String>,
    filtered_out: usize,
    took: Duration,
}

impl Tally {
    fn line(&self) -> String {
        format!(
            "test result: {}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s",
            if self.failed.is_empty() { "ok" } else { "FAILED" },
            self.passed,
            self.failed.len(),
            self.filtered_out,
            self.took.as_secs_f64()
        )
    }
}

fn run<S: Shared>(
    inside: &Inside,
    suite: &str,
    start: impl AsyncFnOnce(&Inside) -> Result<S>,
    tests: &[Test<S>],
    filtered_out: usize,
) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: start the runtime of the tests: {error}");
            return ExitCode::FAILURE;
        }
    };
    let all = async {
        tokio::select! {
            code = one_after_the_other(inside, suite, start, tests, filtered_out) => code,
            () = inside.ended() => ExitCode::from(inside::INTERRUPTED),
        }
    };
    runtime.block_on(all)
}

async fn one_after_the_other<S: Shared>(
    inside: &Inside,
    suite: &str,
    start: impl AsyncFnOnce(&Inside) -> Result<S>,
    tests: &[Test<S>],
    filtered_out: usize,
) -> ExitCode {
    let started = Instant::now();
    println!(
        "\nrunning {} test{}",
        tests.len(),
        if tests.len() == 1 { "" } else { "s" }
    );
    let shared = match start(inside).await {
        Ok(shared) => Arc::new(shared),
        Err(error) => {
            eprintln!("error: what the tests run on did not start: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let mut tally = Tally {
        filtered_out,
        ..Tally::default()
    };
    for test in tests {
        let name = full_name(suite, test.name);
        match one(test, Arc::clone(&shared)).await {
            Ok(()) => {
                println!("test {name} ... ok");
                tally.passed += 1;
            }
            Err(error) => {
                println!("test {name} ... FAILED");
                let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
                eprintln!("---- {name}\n{}\n", chain.join("\nbecause: "));
                tally.failed.push(name);
            }
        }
    }
    tally.took = started.elapsed();
    if !tally.failed.is_empty() {
        println!("\nfailures:\n    {}", tally.failed.join("\n    "));
    }
    println!("\n{}\n", tally.line());
    if tally.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(101)
    }
}

async fn one<S: Shared>(test: &Test<S>, shared: Arc<S>) -> Result<()> {
    // Unwind safe: after a panic nothing but what is shared is used, and that is processes and immutable values.
    let body = AssertUnwindSafe((test.run)(Arc::clone(&shared))).catch_unwind();
    let result = tokio::time::timeout(LONGEST_TEST, body)
        .await
        .with_context(|| format!("still running after {} s", LONGEST_TEST.as_secs()))?;
    let outcome = result.unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().cloned();
        let message = message.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(anyhow!(
            "panicked: {}",
            message.unwrap_or_else(|| "with a value that is not text".to_owned())
        ))
    });
    // A component that died makes the strangest failures and the emptiest successes: say so first.
    match shared.dead_components() {
        dead if dead.is_empty() => outcome,
        dead => match outcome {
            Ok(()) => Err(anyhow!("{}", dead.join("; "))),
            Err(error) => Err(error.context(dead.join("; "))),
        },
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    fn choice(line: &str) -> Choice {
        Choice::from_args(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_command_line_chooses_as_for_ordinary_tests() {
        let rows = [
            ("", "a_canary_is_promoted", true),
            ("canary", "a_canary_is_promoted", true),
            ("blue", "a_canary_is_promoted", false),
            ("blue canary", "a_canary_is_promoted", true),
            ("--exact canary", "a_canary_is_promoted", false),
            ("--exact a_canary_is_promoted", "a_canary_is_promoted", true),
            ("--skip canary", "a_canary_is_promoted", false),
            ("--nocapture --test-threads 1 canary", "a_canary_is_promoted", true),
            ("--test-threads=1", "a_canary_is_promoted", true),
            ("--ignored", "a_canary_is_promoted", false),
        ];
        for (line, name, want) in rows {
            assert_eq!(choice(line).takes(name), want, "{line:?} on {name}");
        }
        assert!(choice("--list --format terse").list);
    }

    #[test]
    fn the_closing_line_is_the_one_that_tools_read() {
        let tally = Tally {
            passed: 3,
            failed: vec!["canary::x".to_owned()],
            filtered_out: 2,
            took: Duration::from_millis(1250),
        };
        assert_eq!(
            tally.line(),
            "test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 2 filtered out; finished in 1.25s"
        );
    }
}
