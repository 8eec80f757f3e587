//! Taking over from Argo Rollouts, and going back to it.
//!
//! A cluster is arranged as Argo Rollouts leaves it. Then our controller comes up. For as long as nothing could rightly move, it
//! must write nothing but what [`WRITES`] lists: no pod, no ReplicaSet's template or size, no Service, no route. Then people
//! do what is left to do, and it must end healthy without a lost request. The states are in a file for each strategy.

mod arrange;
mod basic;
mod blue_green;
mod routed;
mod runs;
mod way_back;

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::Value;
use sluice_simulations::{Change, Cluster, Command, Happened, Kind, START, Writer};

use arrange::{ARRIVES, State};

/// All that is written while nothing could rightly move: which revision a ReplicaSet runs, in our words; the hash of the steps;
/// and counts that Argo Rollouts defines differently (it counts the canary for an autoscaler, and of blue-green the active
/// revision alone).
const WRITES: &[&str] = &[
    "ReplicaSet metadata.annotations sluice.dev/pod-template",
    "Rollout status.HPAReplicas",
    "Rollout status.availableReplicas",
    "Rollout status.currentStepHash",
    "Rollout status.message",
    "Rollout status.readyReplicas",
];

/// Whether a write may be made while nothing could rightly move. What an update waits for may be said in other words.
fn is_allowed(state: &State, path: &str) -> bool {
    WRITES.contains(&path) && (path != "Rollout status.message" || state.is_progressing())
}

fn states() -> Vec<State> {
    [routed::states(), basic::states(), blue_green::states()].concat()
}

fn shop() -> String {
    "shop".to_owned()
}

fn rollout(cluster: &Cluster) -> Value {
    let rollout = cluster.get(Kind::Rollout, "shop").expect("the Rollout is there");
    (**rollout).clone()
}

/// What the controller wrote since a time.
fn written(cluster: &Cluster, since: SignedDuration) -> impl Iterator<Item = &Change> {
    let changes = cluster.store().log().iter();
    changes.filter(move |change| matches!(change.by, Writer::Controller(_)) && change.at >= START + since)
}

/// The kind and the path of all that a write changes.
fn paths(change: &Change) -> BTreeSet<String> {
    let kind = change.key.kind.name();
    let mut found = BTreeSet::new();
    match (&change.before, change.happened) {
        (Some(before), Happened::Modified) => differ(&mut found, kind, "", before, &change.object),
        (_, happened) => {
            found.insert(format!("{kind} {happened:?}"));
        }
    }
    found
}

fn differ(found: &mut BTreeSet<String>, kind: &str, path: &str, before: &Value, after: &Value) {
    let by_server = [
        "metadata.resourceVersion",
        "metadata.managedFields",
        "metadata.generation",
    ];
    if before == after || by_server.contains(&path) {
        return;
    }
    let inner = |name: &str| match path {
        "" => name.to_owned(),
        "metadata.annotations" => format!("{path} {name}"),
        _ => format!("{path}.{name}"),
    };
    if path == "status.conditions" {
        let named = |list: &Value, type_: &Value| {
            let mut list = list.as_array().into_iter().flatten();
            list.find(|condition| condition["type"] == *type_).cloned()
        };
        for condition in before.as_array().into_iter().chain(after.as_array()).flatten() {
            let type_ = &condition["type"];
            let (before, after) = (named(before, type_), named(after, type_));
            let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
            differ(found, kind, &inner(type_.as_str().unwrap_or_default()), &before, &after);
        }
        return;
    }
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        found.insert(format!("{kind} {path}"));
        return;
    };
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let (old, new) = (
            old.get(name).unwrap_or(&Value::Null),
            new.get(name).unwrap_or(&Value::Null),
        );
        differ(found, kind, &inner(name), old, new);
    }
}

/// Effects on pods leave no trace in the store.
fn touches_pods(cluster: &Cluster) -> bool {
    cluster
        .coverage()
        .any(|what| what == "effect patch-pod" || what == "effect evict-pod")
}

/// Does what is left for a person to do until it is healthy: promotes what waits for it, retries what was aborted.
fn finish(cluster: &mut Cluster) -> Result<(), String> {
    for _ in 0..16 {
        let limit = cluster.now() + SignedDuration::from_hours(2);
        let settled = cluster.run_until_settled(limit);
        let rollout = rollout(cluster);
        let status = &rollout["status"];
        let command = if status["phase"] == "Healthy" && settled {
            return Ok(());
        } else if rollout["spec"]["paused"] == true || status["pauseConditions"].is_array() {
            Command::Promote(shop())
        } else if status["abort"] == true {
            Command::Retry(shop())
        } else {
            return Err(format!("is stuck (settled: {settled}): {status}"));
        };
        cluster.command(&command).map_err(|error| error.to_string())?;
    }
    Err(format!("never ends: {}", rollout(cluster)["status"]))
}

/// What is wrong at the end.
fn wrong_at_the_end(cluster: &Cluster) -> Vec<String> {
    let mut wrong: Vec<String> = Vec::new();
    for violation in cluster.violations() {
        wrong.push(format!(
            "{} at {}: {}",
            violation.invariant, violation.at, violation.why
        ));
    }
    if cluster.totals().lost() > 0.0 {
        wrong.push(format!("loses requests: {:?}", cluster.totals().losses));
    }
    wrong
}

/// What is wrong with the end of a state: every pod is one of the revision that was asked for, which has its old name.
fn wrong_with_pods(state: &State, cluster: &Cluster) -> Vec<String> {
    let rollout = rollout(cluster);
    let (replicas, stable) = (&rollout["spec"]["replicas"], &rollout["status"]["stableRS"]);
    let mut wrong = Vec::new();
    for (key, set) in cluster.store().list(Kind::ReplicaSet) {
        let is_stable = set["metadata"]["labels"]["rollouts-pod-template-hash"] == *stable;
        let wanted = &set["spec"]["replicas"];
        if is_stable && wanted != replicas || !is_stable && wanted != 0 {
            wrong.push(format!("{key} has {wanted} pods of {replicas}"));
        }
        let image = &set["spec"]["template"]["spec"]["containers"][0]["image"];
        if is_stable && *image != rollout["spec"]["template"]["spec"]["containers"][0]["image"] {
            wrong.push(format!("{key} with {image} is stable"));
        }
    }
    let named = state.set_names();
    let made: Vec<String> = cluster
        .store()
        .list(Kind::ReplicaSet)
        .map(|(key, _)| key.name.to_string())
        .collect();
    let extra = made.iter().filter(|name| !named.contains(name)).count();
    if extra != usize::from(state.begins_a_version()) {
        wrong.push(format!("{made:?} were {named:?}"));
    }
    wrong
}

/// Plays a state; tells what is wrong, and what was written while nothing could rightly move.
fn play(state: &State, extensions: bool) -> (Vec<String>, BTreeSet<String>) {
    let mut cluster = state.arrange(extensions);
    let arrival = SignedDuration::from_secs(ARRIVES);
    cluster.run_until(arrival + SignedDuration::from_secs(state.quiet));
    let mut wrong = Vec::new();
    let mut written_paths = BTreeSet::new();
    if state.quiet > 0 {
        written_paths = written(&cluster, arrival).flat_map(paths).collect();
        wrong.extend(
            written_paths
                .iter()
                .filter(|path| !is_allowed(state, path))
                .map(|path| format!("writes {path}")),
        );
        if touches_pods(&cluster) {
            wrong.push("touches pods".to_owned());
        }
    }
    if let Err(why) = finish(&mut cluster) {
        wrong.push(why);
    }
    wrong.extend(wrong_at_the_end(&cluster));
    wrong.extend(wrong_with_pods(state, &cluster));
    (wrong, written_paths)
}

fn check(states: &[State]) {
    let mut problems = Vec::new();
    for state in states {
        for extensions in [true, false] {
            let (wrong, _) = play(state, extensions);
            let which = if extensions { "our CRDs" } else { "Argo's CRDs" };
            problems.extend(
                wrong
                    .into_iter()
                    .map(|wrong| format!("{} ({which}): {wrong}", state.name)),
            );
        }
    }
    assert!(problems.is_empty(), "{}:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn canaries_with_a_route_are_taken_over_without_a_move() {
    check(&routed::states());
}

#[test]
fn canaries_by_pods_are_taken_over_without_a_move() {
    check(&basic::states());
}

#[test]
fn blue_green_is_taken_over_without_a_move() {
    check(&blue_green::states());
}

#[test]
fn there_are_many_states_and_each_has_a_name() {
    let states = states();
    let names: BTreeSet<&str> = states.iter().map(|state| &*state.name).collect();
    assert_eq!(names.len(), states.len(), "two states have the same name");
    let still = states.iter().filter(|state| state.quiet > 0).count();
    assert!(
        states.len() >= 90 && still >= 80,
        "{} states, {still} of them at rest",
        states.len()
    );
}

#[test]
fn each_write_that_is_allowed_is_made_in_some_state() {
    let made: BTreeSet<String> = states().iter().flat_map(|state| play(state, true).1).collect();
    let allowed: BTreeSet<String> = WRITES.iter().map(|&path| path.to_owned()).collect();
    assert_eq!(made, allowed);
}
