//! The language as it is served: `language.txt` has a row for each operator, each function and each form found in the field.

use super::{outcome, reading_of};

/// Rows `CONDITION => OUTCOME`; `result = JSON` says what the rows below it judge.
const ROWS: &str = include_str!("language.txt");

#[test]
fn each_row_of_the_table_has_its_outcome() {
    let mut reading = None;
    let mut rows = 0;
    let mut wrong = String::new();
    for (at, line) in ROWS
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    {
        if let Some(json) = line.strip_prefix("result = ") {
            reading = Some(reading_of(json));
            continue;
        }
        let (condition, expected) = line
            .split_once(" => ")
            .unwrap_or_else(|| panic!("line {}: no row", at + 1));
        let reading = reading.as_ref().expect("a result comes first");
        let found = outcome(condition.trim(), "", reading);
        if found != expected {
            wrong = format!("{wrong}line {}: {condition}\n  {found}\n  {expected}\n", at + 1);
        }
        rows += 1;
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(rows > 250, "{rows} rows were read");
}

/// What the controller refuses, `lint` refuses too, before anything runs.
#[test]
fn what_is_refused_here_is_a_problem_of_the_metric() {
    for line in ROWS.lines().filter(|line| !line.starts_with('#')) {
        let Some((condition, expected)) = line.split_once(" => ") else {
            continue;
        };
        let metric = serde_json::json!({
            "name": "m", "successCondition": condition.trim(), "provider": {"web": {"url": "http://x"}},
        });
        let metric = serde_json::from_value(metric).expect("it is a metric");
        let problems = crate::metric::problems(&[metric]);
        let is_refused = expected.starts_with("invalid");
        assert_eq!(problems.is_empty(), !is_refused, "{condition}: {problems:?}");
    }
}
