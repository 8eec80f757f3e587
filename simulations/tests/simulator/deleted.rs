//! A Rollout is deleted in any phase: Services and routes are as the user wrote them, whatever happens to the controller.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sluice_simulations::{Command, Faults, Key, Kind, Played, Scenario, WriteFault, library, scenarios};

/// Seconds after which the update begins.
const UPDATE: i64 = 60;
/// Seconds after which all is over, or is like what was before.
const OVER: i64 = 200;

fn of_library(name: &str) -> Scenario {
    let entries = library::load(&library::folder()).expect("all scenario files can be read");
    let entry = entries.into_iter().find(|entry| entry.name == name);
    entry
        .unwrap_or_else(|| panic!("{name} is not in the library"))
        .prepared
        .scenario
}

fn delete() -> Command {
    Command::Delete(Key::new(Kind::Rollout, "default", "shop"))
}

/// The Services and routes of a cluster, without what the API server writes.
fn written(played: &Played) -> BTreeMap<String, Value> {
    let store = played.cluster.store();
    let objects = [Kind::Service, Kind::HttpRoute]
        .into_iter()
        .flat_map(|kind| store.list(kind));
    let by_user = |object: &Value| {
        let mut object = object.clone();
        object.as_object_mut().expect("an object").remove("status");
        let metadata = object["metadata"].as_object_mut().expect("metadata");
        for field in [
            "resourceVersion",
            "generation",
            "managedFields",
            "uid",
            "creationTimestamp",
        ] {
            metadata.remove(field);
        }
        object
    };
    objects
        .map(|(key, object)| (key.to_string(), by_user(object)))
        .collect()
}

/// What the user applied, as it is where no controller runs.
fn applied(scenario: &Scenario) -> BTreeMap<String, Value> {
    let mut alone = scenario.clone();
    alone.config.controllers = 0;
    alone.config.models.traffic.clear();
    alone.script.clear();
    written(&alone.play(1))
}

/// The weights of a route that the two Services of a pingPong have, the greater one first: which of the two it is depends on
/// the updates before.
fn without_turns(mut objects: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    for object in objects.values_mut() {
        for rule in object
            .pointer_mut("/spec/rules")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            let backends = rule["backendRefs"].as_array_mut().expect("backends");
            let mut weights: Vec<u64> = backends
                .iter()
                .filter_map(|backend| backend["weight"].as_u64())
                .collect();
            weights.sort_unstable();
            for (backend, weight) in backends.iter_mut().zip(weights.into_iter().rev()) {
                backend["weight"] = json!(weight);
            }
        }
    }
    objects
}

fn check(context: &str, played: &Played, expected: &BTreeMap<String, Value>, has_turns: bool) {
    assert!(played.settled, "{context}: does not settle");
    assert_eq!(played.cluster.violations(), [], "{context}");
    let mut found = written(played);
    if has_turns {
        found = without_turns(found);
    }
    assert_eq!(&found, expected, "{context}");
    let left = played.cluster.store().list(Kind::ReplicaSet).count();
    assert_eq!(left, 0, "{context}: the ReplicaSets were collected");
}

/// Deletes the Rollout at each second of a scenario.
fn at_each_second(scenario: &Scenario, has_turns: bool) {
    let mut expected = applied(scenario);
    if has_turns {
        expected = without_turns(expected);
    }
    let end = scenario.play(1).cluster.now().as_secs().min(OVER);
    let mut moved = 0;
    for second in (1..10).chain(UPDATE..end) {
        let played = scenario.clone().at(second, delete()).play(1);
        let is_moved = played.cluster.coverage().any(|what| what == "effect release-route");
        moved += u32::from(is_moved);
        let context = format!("{}: deleted after {second} s", scenario.name);
        check(&context, &played, &expected, has_turns);
    }
    assert!(
        expected.len() < 3 || moved > 10,
        "{}: routes were given back in {moved} cases",
        scenario.name
    );
}

#[test]
fn a_rollout_that_is_deleted_in_any_second_of_a_canary_leaves_the_route_as_it_was() {
    at_each_second(&scenarios::routed_good(), false);
    at_each_second(&scenarios::aborted_and_retried(), false);
}

#[test]
fn a_rollout_that_is_deleted_in_any_second_takes_its_header_routes_away() {
    at_each_second(&of_library("header-route"), false);
    at_each_second(&of_library("header-route-aborted"), false);
}

#[test]
fn a_rollout_with_services_that_change_roles_leaves_everything_with_one_of_them() {
    at_each_second(&of_library("ping-pong"), true);
}

#[test]
fn a_rollout_that_is_deleted_in_any_second_of_a_blue_green_update_leaves_its_services_as_they_were() {
    at_each_second(&scenarios::blue_green_switched(), false);
}

#[test]
fn a_crash_or_a_lost_answer_at_any_write_around_the_deletion_changes_nothing() {
    let faults = [
        WriteFault::CrashBefore,
        WriteFault::CrashAfter,
        WriteFault::TimeoutLost,
        WriteFault::TimeoutApplied,
        WriteFault::Conflict,
        WriteFault::Server(500),
    ];
    for (scenario, second) in [(scenarios::routed_good(), 85), (of_library("header-route"), 80)] {
        let expected = applied(&scenario);
        let scenario = scenario.at(second, delete());
        let writes = scenario.play(1).cluster.writes();
        // Those before the last ones are of the update.
        for write in writes - 8..=writes {
            for fault in faults {
                let faults = Faults {
                    writes: BTreeMap::from([(write, fault)]),
                    ..Faults::default()
                };
                let played = scenario.clone().faults(faults).play(1);
                let context = format!("{}: {fault:?} at write {write} of {writes}", scenario.name);
                check(&context, &played, &expected, false);
            }
        }
    }
}

#[test]
fn what_was_deleted_while_no_controller_ran_is_given_back_by_the_next_one() {
    let scenario = scenarios::routed_good();
    let expected = applied(&scenario);
    for second in [75, 85, 95, 105] {
        // It is away for half a second at least.
        let played = scenario
            .clone()
            .at(second, Command::Crash(0))
            .at(second, delete())
            .play(1);
        check(&format!("deleted after {second} s"), &played, &expected, false);
    }
}
