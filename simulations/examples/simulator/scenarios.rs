//! Plays the library of scenarios and compares each timeline with the one that is kept: `cargo xtask scenarios [--bless] [NAME ...]`.
//! With `--trace` everything that happens is printed instead.

use std::process::ExitCode;
use std::time::Instant;

use sluice_simulations::{file, library, report};

pub fn run(arguments: &[String]) -> ExitCode {
    let bless = arguments.iter().any(|argument| argument == "--bless");
    let names: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let folder = library::folder();
    let entries = match library::load(&folder) {
        Ok(entries) => entries,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (mut played, mut wrong, mut changed) = (0, 0, 0);
    for entry in entries
        .iter()
        .filter(|entry| names.is_empty() || names.contains(&&entry.name))
    {
        played += 1;
        if arguments.iter().any(|argument| argument == "--trace") {
            let mut scenario = entry.prepared.scenario.clone();
            scenario.config.trace = true;
            print!("{}", scenario.play(entry.prepared.seed).cluster.trace());
            continue;
        }
        let begun = Instant::now();
        let report = match entry.prepared.run(None, &mut |_| ()) {
            Ok(report) => report,
            Err(error) => {
                eprintln!("{}: {error}", entry.name);
                wrong += 1;
                continue;
            }
        };
        let millis = begun.elapsed().as_millis();
        let text = report::text(&report);
        let golden = std::fs::read_to_string(&entry.golden).unwrap_or_default();
        let unmet = report.expectations.iter().filter(|expectation| !expectation.is_met());
        let unmet: Vec<String> = unmet
            .map(|expectation| {
                format!(
                    "  not as expected: {}; came: {}",
                    expectation.expected, expectation.came
                )
            })
            .chain(
                report
                    .violations
                    .iter()
                    .map(|violation| format!("  broken: {violation}")),
            )
            .collect();
        let verdict = if unmet.is_empty() { "ok" } else { "NOT AS EXPECTED" };
        println!("{:<28} {verdict} ({millis} ms)", entry.name);
        for line in &unmet {
            println!("{line}");
        }
        wrong += usize::from(!unmet.is_empty());
        if text != golden {
            changed += 1;
            difference(&golden, &text);
            if bless {
                std::fs::write(&entry.golden, text).expect("a golden can be written");
            }
        }
    }
    if let Some((file, picture)) = library::picture(&entries)
        && std::fs::read_to_string(&file).unwrap_or_default() != picture
    {
        changed += 1;
        println!("{}: the picture is another one", file.display());
        if bless {
            std::fs::write(&file, picture).expect("the picture can be written");
        }
    }
    if bless {
        let schema = serde_json::to_string_pretty(&file::schema()).expect("a schema is JSON") + "\n";
        std::fs::write(folder.with_file_name("scenario.schema.json"), schema).expect("the schema can be written");
    }
    let done = if bless { "written" } else { "not written: --bless does" };
    println!("{played} scenarios: {wrong} not as expected; {changed} timelines and pictures changed ({done})");
    if wrong == 0 && (bless || changed == 0) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Prints the lines that are only in one of two texts, in their order.
fn difference(old: &str, new: &str) {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    // Longest common subsequence: timelines have a hundred lines or two.
    let mut common = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            println!("  - {}", old[i]);
            i += 1;
        } else {
            println!("  + {}", new[j]);
            j += 1;
        }
    }
}
