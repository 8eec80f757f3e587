//! Random specs, worlds, commands and answers: whatever happens, no write breaks a safety invariant, the machine soon has
//! nothing more to do when nothing but its own writes happens, the cluster comes to rest, and an abort ends with stable
//! carrying everything that its pods can carry.
//!
//! One case is one Rollout's life in a virtual cluster: brought up, updated, disturbed by a few random commands and, in half of
//! the cases, by random faults, then left alone until nothing happens any more. The oracle is the simulator's; it shares no
//! code with the machine or its guards. `SLUICE_CASES` sets the number of cases, `SLUICE_SEED` plays a single one and
//! prints everything that happened.

mod case;
mod ending;
mod mutations;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sluice_simulations::Played;

use self::case::{Case, case};
use self::ending::wrong;

/// Cases of an ordinary run: what two cores play in about a minute. The long run is
/// `SLUICE_CASES=100000 cargo test --profile ci --workspace --test simulator random_clusters`.
const CASES: u64 = if cfg!(debug_assertions) { 500 } else { 10_000 };
/// In so many cases each kind of thing must have come up together with each command in `OFTEN` cases. In fewer it must have
/// come up at all; below `FEWEST` that says nothing.
const LONG: u64 = 100_000;
const OFTEN: u64 = 100;
const FEWEST: u64 = 5_000;

/// How often things came up together: (command, thing) -> cases.
type Coverage = BTreeMap<(&'static str, String), u32>;

#[test]
fn no_write_breaks_an_invariant_and_everything_comes_to_rest() {
    let single = std::env::var("SLUICE_SEED")
        .ok()
        .and_then(|text| text.parse::<u64>().ok());
    let cases = std::env::var("SLUICE_CASES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(CASES);
    let seeds = single.map_or(0..cases, |seed| seed..seed + 1);
    let next = AtomicU64::new(seeds.start);
    let (failures, coverage) = (Mutex::new(Vec::new()), Mutex::new(Coverage::new()));
    let decisions = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut covered = Coverage::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let mut case = case(seed);
                    case.scenario.config.trace = single.is_some();
                    let played = case.scenario.play(seed);
                    print!("{}", played.cluster.trace());
                    decisions.fetch_add(played.cluster.decisions(), Ordering::Relaxed);
                    if let Some(wrong) = wrong(&case, &played) {
                        failures.lock().expect("no thread panics with it").push((seed, wrong));
                    }
                    note(&mut covered, &case, &played);
                }
                let mut all = coverage.lock().expect("no thread panics with it");
                for (what, count) in covered {
                    *all.entry(what).or_default() += count;
                }
            });
        }
    });
    let mut failures = failures.into_inner().expect("all threads are done");
    failures.sort();
    // One seed for each kind of failure: numbers and names aside, what is the same is shown once.
    let mut kinds = BTreeMap::new();
    for (seed, wrong) in &failures {
        let kind: String = wrong
            .chars()
            .filter(|letter| !letter.is_ascii_digit())
            .take(60)
            .collect();
        kinds.entry(kind).or_insert((wrong, Vec::new())).1.push(seed);
    }
    for (wrong, seeds) in kinds.values() {
        println!(
            "SLUICE_SEED={} cargo test --profile ci --workspace --test simulator random_clusters: {wrong} (all seeds: {seeds:?})",
            seeds[0]
        );
    }
    let count = seeds.end - seeds.start;
    println!("{count} cases, {} decisions", decisions.into_inner());
    assert!(failures.is_empty(), "{} of {count} cases are wrong", failures.len());
    if single.is_none() && cases >= FEWEST {
        let often = if cases >= LONG { OFTEN } else { 1 };
        assert_coverage(&coverage.into_inner().expect("all threads are done"), often);
    }
}

fn note(seen: &mut Coverage, case: &Case, played: &Played) {
    let mut commands = case.commands.clone();
    commands.sort_unstable();
    commands.dedup();
    let things = played
        .cluster
        .coverage()
        .chain(case.steps.iter().map(|step| format!("step {step}")));
    let mut things: Vec<String> = things.collect();
    things.sort();
    things.dedup();
    for command in commands {
        for thing in &things {
            *seen.entry((command, thing.clone())).or_default() += 1;
        }
    }
}

/// Every effect, hold and step kind has come up together with each of the commands that change the course of an update.
fn assert_coverage(coverage: &Coverage, often: u64) {
    let mut rare = Vec::new();
    for command in ["abort", "retry", "promote", "supersede"] {
        for thing in EXPECTED {
            let count = coverage.get(&(command, (*thing).to_owned())).copied().unwrap_or(0);
            println!("{count:>7} {command:>9} with {thing}");
            if u64::from(count) < often {
                rare.push(format!("{command} with {thing}: {count}"));
            }
        }
    }
    assert!(rare.is_empty(), "seen in less than {often} cases: {rare:?}");
}

/// Everything that a virtual cluster can bring about. Holds on what this one never does (kinds that are missing, a live
/// incumbent, a deleted Rollout, foreign writers, specs that are invalid, routes that cannot be read) have tests of their own.
const EXPECTED: &[&str] = &[
    "effect create-replicaset",
    "effect scale-up",
    "effect scale-down",
    "effect annotate-replicaset",
    "effect delete-replicaset",
    "effect switch-service",
    "effect set-split",
    "effect create-run",
    "effect terminate-run",
    "effect evict-pod",
    "effect patch-pod",
    "hold paused-by-user",
    "hold paused",
    "hold new-not-available",
    "hold stable-not-available",
    "hold old-not-down",
    "hold not-acknowledged",
    "hold draining",
    "hold analysis-running",
    "hold awaiting-promotion",
    "hold scale-down-delay",
    "hold aborted",
    "hold restarting",
    "step setWeight",
    "step pause",
    "step pause until promoted",
    "step analysis",
    "step setCanaryScale",
];
