//! How fast the simulator is: `cargo xtask bench --simulator`.
//!
//! Time is that of the processor where the system tells it (Linux), so that other programs do not slow it down. Decisions are counted, of Rollouts and of analysis runs, while the library of scenarios is played on one thread. Safety is
//! checked after each write, as always; nothing is recorded for a report, unless `--record` is given.

#![allow(clippy::cast_precision_loss, reason = "counts for people to read")]

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use sluice_simulations::{Command, Scenario, library, scenarios};

/// How long the library is played at least.
const AT_LEAST: Duration = Duration::from_secs(5);
/// The goals: decisions in a minute on one core, and the longest that a day may take.
const DECISIONS: f64 = 1_000_000.0;
const DAY: Duration = Duration::from_secs(2);

pub fn run(arguments: &[String]) {
    let record = arguments.iter().any(|argument| argument == "--record");
    let entries = library::load(&library::folder()).expect("the library can be read");
    let begun = Stopwatch::new();
    let (mut decisions, mut played, mut seed) = (0_u64, 0_u64, 0_u64);
    while begun.elapsed() < AT_LEAST {
        seed += 1;
        for entry in &entries {
            let mut scenario = entry.prepared.scenario.clone();
            scenario.config.record = record;
            scenario.config.observe = false;
            decisions += scenario.play(seed).cluster.decisions();
            played += 1;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let per_minute = decisions as f64 * 60.0 / seconds;
    println!(
        "{played} scenarios in {seconds:.1} s, {:.1} ms each",
        seconds * 1000.0 / played as f64
    );
    println!(
        "{per_minute:.0} decisions a minute on one core (goal: {DECISIONS:.0}): {}",
        verdict(per_minute >= DECISIONS)
    );
    let begun = Stopwatch::new();
    let played = day().play(1);
    let took = begun.elapsed();
    println!(
        "a day of virtual time, an update every hour: {:.2} s, {} decisions, {} writes (goal: {} s): {}",
        took.as_secs_f64(),
        played.cluster.decisions(),
        played.cluster.writes(),
        DAY.as_secs(),
        verdict(took <= DAY)
    );
}

/// Measures the time of this thread on the processor, or of the wall where the system does not tell.
struct Stopwatch {
    begun: Instant,
    ran: Option<Duration>,
}

impl Stopwatch {
    fn new() -> Stopwatch {
        Stopwatch {
            begun: Instant::now(),
            ran: ran(),
        }
    }

    fn elapsed(&self) -> Duration {
        let on_processor = ran().zip(self.ran).map(|(now, begun)| now.saturating_sub(begun));
        on_processor.unwrap_or_else(|| self.begun.elapsed())
    }
}

/// How long this thread has run, by the first number of `schedstat`, which is in nanoseconds.
fn ran() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}

/// An update every hour, each through six steps and three analyses.
fn day() -> Scenario {
    let mut scenario = scenarios::routed_good();
    scenario.script.clear();
    scenario.config.observe = false;
    for hour in 0..24 {
        let image = format!("shop:v{}", hour + 2);
        scenario = scenario.at(3600 * hour + 60, Command::SetImage("shop".to_owned(), image));
    }
    scenario.limit = SignedDuration::from_hours(24);
    scenario
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
