//! The library of scenarios: each comes out as it expects and gives the timeline that is kept, quickly, and always the same.

use std::time::{Duration, Instant};

use sluice_simulations::library::{self, Entry};
use sluice_simulations::report::{self, Report};

/// No scenario may take longer, so that people try another one.
const PATIENCE: Duration = Duration::from_millis(200);

fn entries() -> Vec<Entry> {
    library::load(&library::folder()).expect("all scenario files can be read")
}

fn play(entry: &Entry) -> Report {
    entry
        .prepared
        .run(None, &mut |_| ())
        .unwrap_or_else(|error| panic!("{}: a manifest is refused: {error}", entry.name))
}

#[test]
fn every_scenario_comes_out_as_it_expects_and_gives_its_timeline() {
    let entries = entries();
    assert!(entries.len() >= 30, "{} scenarios are no library", entries.len());
    let mut problems = Vec::new();
    for entry in &entries {
        let report = play(entry);
        assert!(report.expectations.len() > 1, "{}: expects nothing", entry.name);
        for expectation in report.expectations.iter().filter(|expectation| !expectation.is_met()) {
            problems.push(format!(
                "{}: {}; came: {}",
                entry.name, expectation.expected, expectation.came
            ));
        }
        for violation in &report.violations {
            problems.push(format!("{}: {violation}", entry.name));
        }
        let golden = std::fs::read_to_string(&entry.golden).unwrap_or_default();
        if report::text(&report) != golden {
            problems.push(format!("{}: the timeline is not the one that is kept", entry.name));
        }
    }
    assert!(
        problems.is_empty(),
        "`cargo xtask scenarios` shows the differences, with --bless it writes them:\n{}",
        problems.join("\n")
    );
}

#[test]
fn the_picture_of_the_documentation_is_fresh() {
    let (file, picture) = library::picture(&entries()).expect("the pictured scenario is in the library");
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == picture,
        "`cargo xtask scenarios --bless` writes {} anew",
        file.display()
    );
}

#[test]
fn no_scenario_takes_longer_than_a_fifth_of_a_second() {
    for entry in &entries() {
        let (begun, ran) = (Instant::now(), time_on_processor());
        play(entry);
        // Other programs on the machine are not the scenario's fault.
        let on_processor = time_on_processor()
            .zip(ran)
            .map(|(now, begun)| now.saturating_sub(begun));
        let took = on_processor.unwrap_or_else(|| begun.elapsed());
        assert!(took < PATIENCE, "{} takes {} ms", entry.name, took.as_millis());
    }
}

/// How long this thread has run; only Linux tells it: the first number of `schedstat`, in nanoseconds.
fn time_on_processor() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}

#[test]
fn every_scenario_gives_the_same_bytes_alone_and_beside_others() {
    let bytes = |entry: &Entry| serde_json::to_string(&play(entry)).expect("a report is JSON");
    let alone: Vec<String> = entries().iter().map(bytes).collect();
    let beside: Vec<std::thread::JoinHandle<Vec<String>>> = (0..3)
        .map(|_| std::thread::spawn(move || entries().iter().map(bytes).collect()))
        .collect();
    for handle in beside {
        let again = handle.join().expect("no scenario panics");
        for ((entry, one), other) in entries().iter().zip(&alone).zip(&again) {
            assert!(one == other, "{}: the same seed gives other bytes", entry.name);
        }
    }
}

#[test]
fn another_seed_keeps_what_is_expected() {
    for entry in &entries() {
        for seed in [2, 3] {
            let report = entry
                .prepared
                .run(Some(seed), &mut |_| ())
                .expect("manifests are accepted");
            assert_eq!(report.violations, Vec::<String>::new(), "{} seed {seed}", entry.name);
            let lost = report.lost_requests();
            assert!(lost < 0.5, "{} seed {seed}: {lost} requests are lost", entry.name);
        }
    }
}

#[test]
fn the_schema_of_scenario_files_is_fresh() {
    let kept = std::fs::read_to_string(library::folder().with_file_name("scenario.schema.json")).unwrap_or_default();
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap_or_default();
    assert!(
        kept == sluice_simulations::file::schema(),
        "`cargo xtask scenarios --bless` writes it anew"
    );
}
