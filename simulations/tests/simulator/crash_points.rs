//! The controller crashes, or loses an answer, at each of its writes: nothing is lost, no step is skipped or repeated, and
//! the end is the same.

use std::collections::BTreeMap;

use serde_json::Value;
use sluice_simulations::{Faults, Kind, Played, Scenario, WriteFault, scenarios};

const ROLLOUT: &str = "default/shop";

/// What must be the same however the way went: steps in their order, and the end.
#[derive(Debug, PartialEq)]
struct Way {
    steps: Vec<Option<u64>>,
    end: String,
    route: Value,
    runs: Vec<String>,
}

fn way(played: &Played) -> Way {
    let steps = played.cluster.observer().aspect(ROLLOUT, |stand| stand.step);
    let route = played.cluster.get(Kind::HttpRoute, "shop");
    let runs = played.cluster.store().list(Kind::AnalysisRun);
    Way {
        steps,
        end: played.last(),
        route: route.map_or(Value::Null, |route| route["spec"].clone()),
        runs: runs
            .map(|(key, run)| format!("{} {}", key.name, run["status"]["phase"]))
            .collect(),
    }
}

fn check(scenario: &Scenario, faults: &[WriteFault], seed: u64) {
    let reference = scenario.play(seed);
    let expected = way(&reference);
    let writes = reference.cluster.writes();
    assert!(writes > 10, "{}: there is something to interrupt", scenario.name);
    for write in 1..=writes {
        for fault in faults {
            let context = format!("{} seed {seed}, {fault:?} at write {write}", scenario.name);
            let faults = Faults {
                writes: BTreeMap::from([(write, *fault)]),
                ..Faults::default()
            };
            let played = scenario.clone().faults(faults).play(seed);
            assert!(played.settled, "{context}: does not settle: {}", played.last());
            assert_eq!(played.cluster.violations(), [], "{context}");
            assert!(
                played.cluster.totals().lost() == 0.0,
                "{context}: {:?}",
                played.cluster.totals().losses
            );
            assert_eq!(way(&played), expected, "{context}");
        }
    }
}

const CRASHES: [WriteFault; 2] = [WriteFault::CrashBefore, WriteFault::CrashAfter];
const DOUBTS: [WriteFault; 2] = [WriteFault::TimeoutLost, WriteFault::TimeoutApplied];

#[test]
fn a_crash_before_or_after_any_write_of_a_good_canary_changes_nothing() {
    check(&scenarios::routed_good(), &CRASHES, 1);
}

#[test]
fn an_answer_that_is_lost_at_any_write_of_a_good_canary_changes_nothing() {
    check(&scenarios::routed_good(), &DOUBTS, 1);
}

#[test]
fn a_crash_at_any_write_of_a_blue_green_switch_changes_nothing() {
    check(&scenarios::blue_green_switched(), &CRASHES, 1);
}

#[test]
fn a_crash_at_any_write_of_an_abort_and_a_retry_changes_nothing() {
    check(&scenarios::aborted_and_retried(), &CRASHES, 1);
}

#[test]
fn a_crash_at_any_write_of_a_canary_by_replicas_changes_nothing() {
    check(&scenarios::basic(), &CRASHES, 1);
}
