//! Plays all scenarios for many seeds and tells what went wrong and how fast it went:
//! `soak 1 200 [none|faults|chaos] [scenario]`.

#![allow(clippy::cast_precision_loss, reason = "counts for people to read")]

use std::collections::BTreeMap;
use std::time::Instant;

use jiff::SignedDuration;
use sluice_simulations::scenarios;

pub fn run(arguments: &[String]) {
    let number = |index: usize, default: u64| {
        arguments
            .get(index)
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let (from, to) = (number(0, 1), number(1, 50));
    let mode = arguments.get(2).map_or("", String::as_str);
    let until = SignedDuration::from_secs(200);
    let only = arguments.get(3);
    let begun = Instant::now();
    let (mut played, mut decisions, mut writes) = (0_u64, 0, 0);
    let mut wrong: BTreeMap<String, (u32, u64)> = BTreeMap::new();
    let mut ends: BTreeMap<(String, String), (u32, u64)> = BTreeMap::new();
    for mut scenario in scenarios::all() {
        if only.is_some_and(|only| *only != scenario.name) {
            continue;
        }
        scenario.config.observe = mode.is_empty();
        for seed in from..=to {
            let result = match mode {
                "faults" => scenario.play_with_faults(seed, until),
                "chaos" => scenario.play_with_chaos(seed, until),
                _ => scenario.play(seed),
            };
            played += 1;
            decisions += result.cluster.decisions();
            writes += result.cluster.writes();
            let mut note = |what: String| {
                let entry = wrong.entry(format!("{} {what}", scenario.name)).or_insert((0, seed));
                entry.0 += 1;
            };
            if !result.settled {
                note("does not settle".to_owned());
            }
            if result.cluster.totals().lost() > 0.0 && mode != "chaos" {
                note(format!(
                    "loses requests: {:?}",
                    result.cluster.totals().losses.first().map(|loss| loss.reason)
                ));
            }
            let mut seen = std::collections::BTreeSet::new();
            for violation in result.cluster.violations() {
                if seen.insert((violation.invariant, &violation.why)) {
                    note(format!("{}: {}", violation.invariant, violation.why));
                }
            }
            ends.entry((
                scenario.name.clone(),
                format!("{} {}", result.phase(), result.status("/currentStepIndex")),
            ))
            .or_insert((0, seed))
            .0 += 1;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{played} played in {seconds:.1} s: {:.2} ms each",
        seconds * 1000.0 / played as f64
    );
    println!(
        "{decisions} decisions, {:.0} in a minute; {writes} writes",
        decisions as f64 * 60.0 / seconds
    );
    for ((scenario, end), (count, seed)) in ends {
        println!("{count:>6} (seed {seed}) {scenario} ends {end}");
    }
    for (what, (count, seed)) in wrong {
        println!("{count:>6} (first seed {seed}) {what}");
    }
}
