//! The controller crashes, or loses an answer, at each of its writes: nothing is lost, no step is skipped or repeated, and
//! the end is the same.

use std::collections::BTreeMap;

use serde_json::Value;
use sluice_simulations::{Faults, Kind, Played, Scenario, WriteFault, library, scenarios};

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

/// A scenario of the library, where what differs from seed to seed is nothing but the crashes.
fn of_library(name: &str) -> Scenario {
    let entries = library::load(&library::folder()).expect("all scenario files can be read");
    let entry = entries.into_iter().find(|entry| entry.name == name);
    entry
        .unwrap_or_else(|| panic!("{name} is not in the library"))
        .prepared
        .scenario
}

#[test]
fn a_crash_at_any_write_of_a_stable_revision_that_follows_the_weight_changes_nothing() {
    check(&of_library("dynamic-stable-scale"), &CRASHES, 1);
    check(&of_library("dynamic-stable-scale-aborted"), &CRASHES, 1);
}

#[test]
fn a_crash_at_any_write_of_services_that_change_roles_changes_nothing() {
    check(&of_library("ping-pong"), &CRASHES, 1);
}

#[test]
fn a_crash_at_any_write_of_header_routes_changes_nothing() {
    check(&of_library("header-route"), &CRASHES, 1);
}

#[test]
fn a_crash_at_any_write_of_a_blue_green_update_with_analyses_changes_nothing() {
    check(&of_library("blue-green-analyses"), &CRASHES, 1);
    check(&of_library("blue-green-post-analysis-fails"), &CRASHES, 1);
}

#[test]
fn a_crash_at_any_write_of_the_takeover_of_a_deployment_changes_nothing() {
    check(&of_library("workload-progressively"), &CRASHES, 1);
}

#[test]
fn a_crash_at_any_write_of_a_restart_changes_nothing() {
    check(&of_library("restarted"), &CRASHES, 1);
}
