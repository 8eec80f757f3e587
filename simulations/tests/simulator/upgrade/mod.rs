//! Upgrades: what an earlier version left in a cluster is read by this one, and nothing is written.
//!
//! In the folder of a version is the state of a cluster, byte for byte, in each phase of an update. The newest folder is that of
//! this version. Files of a version that was released never change: a change of what is stored gets a new folder, and the old
//! ones are read by every later version.

use std::fs;
use std::path::PathBuf;

use jiff::SignedDuration;
use serde_json::Value;
use sluice_simulations::{Change, Cluster, Config, Kind, Scenario, Writer, scenarios};

/// The folder of this version.
const VERSION: &str = "0.1";

/// Kinds whose objects outlive the controller.
const KINDS: [Kind; 6] = [
    Kind::Rollout,
    Kind::ReplicaSet,
    Kind::Service,
    Kind::HttpRoute,
    Kind::AnalysisTemplate,
    Kind::AnalysisRun,
];

/// A phase of an update.
struct Moment {
    name: &'static str,
    /// What the Rollout's status says in it: phase, and whether the update is aborted.
    says: (&'static str, bool),
    scenario: Scenario,
    /// Seconds since the start.
    at: i64,
    /// Seconds for which nothing is due.
    quiet: i64,
}

fn moments() -> Vec<Moment> {
    let moment = |name, says, scenario, at, quiet| Moment {
        name,
        says,
        scenario,
        at,
        quiet,
    };
    vec![
        moment("canary-new", ("Healthy", false), scenarios::promoted(), 50, 600),
        moment("canary-paused", ("Paused", false), scenarios::promoted(), 110, 600),
        moment(
            "canary-pausing-for-a-time",
            ("Paused", false),
            scenarios::promoted(),
            132,
            5,
        ),
        moment(
            "canary-analysed",
            ("Progressing", false),
            scenarios::routed_good(),
            70,
            1,
        ),
        moment(
            "canary-aborted",
            ("Degraded", true),
            scenarios::aborted_and_retried(),
            200,
            600,
        ),
        moment("canary-updated", ("Healthy", false), scenarios::promoted(), 400, 600),
        moment(
            "canary-before-scale-down",
            ("Healthy", false),
            scenarios::promoted_fully(),
            135,
            5,
        ),
        moment("basic-healthy", ("Healthy", false), scenarios::basic(), 300, 600),
        moment("basic-degraded", ("Degraded", true), scenarios::basic_bad(), 300, 600),
        moment(
            "blue-green-healthy",
            ("Healthy", false),
            scenarios::blue_green_promoted(),
            50,
            600,
        ),
        moment(
            "blue-green-waiting",
            ("Paused", false),
            scenarios::blue_green_promoted(),
            110,
            600,
        ),
        moment(
            "blue-green-before-scale-down",
            ("Healthy", false),
            scenarios::blue_green_switched(),
            80,
            5,
        ),
        moment(
            "blue-green-aborted",
            ("Degraded", true),
            scenarios::blue_green_aborted(),
            200,
            600,
        ),
    ]
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/simulator/upgrade")
}

/// All objects as they are in a moment, when this version has brought the cluster there.
fn left(moment: &Moment) -> Vec<Value> {
    let mut scenario = moment.scenario.clone();
    scenario.limit = SignedDuration::from_secs(moment.at);
    let cluster = scenario.play(1).cluster;
    let object = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            // It counts all writes in the cluster.
            metadata.remove("resourceVersion");
        }
        object
    };
    let of_kind = |kind| cluster.store().list(kind).map(|(_, value)| object(value));
    KINDS.into_iter().flat_map(of_kind).collect()
}

/// What a controller of this version writes when it comes up in such a cluster, and the cluster afterwards.
fn taken_up(moment: &Moment, objects: &[Value]) -> (Vec<Change>, Cluster) {
    let mut config = Config {
        seed: 1,
        ..moment.scenario.config.clone()
    };
    let arrives = u64::try_from(moment.at * 1_000).expect("a time after the start");
    config.shell.restart = arrives..=arrives;
    let mut cluster = Cluster::new(config);
    cluster.crash();
    cluster.restore(objects).expect("objects of a cluster");
    cluster.run_until(SignedDuration::from_secs(moment.at + moment.quiet));
    let changes = cluster.store().log().iter();
    let ours = changes.filter(|change| matches!(change.by, Writer::Controller(_)));
    (ours.cloned().collect(), cluster)
}

fn text(objects: &[Value]) -> String {
    serde_json::to_string_pretty(objects).expect("JSON") + "\n"
}

#[test]
fn this_version_leaves_the_state_that_is_kept() {
    let mut differs = Vec::new();
    for moment in moments() {
        let objects = left(&moment);
        let status = &objects[0]["status"];
        let says = (status["phase"].as_str().unwrap_or_default(), status["abort"] == true);
        assert_eq!(says, moment.says, "{}", moment.name);
        let file = folder().join(VERSION).join(format!("{}.json", moment.name));
        let kept = fs::read_to_string(&file).unwrap_or_default();
        if kept != text(&objects) {
            if std::env::var_os("SLUICE_BLESS").is_some() {
                fs::write(&file, text(&objects)).expect("the folder of this version is there");
            }
            differs.push(moment.name);
        }
    }
    assert!(
        differs.is_empty(),
        "what is stored in the cluster has changed: {differs:?}. If version {VERSION} was released, make a new folder beside its own. \
         With SLUICE_BLESS=1 this test writes the files"
    );
}

#[test]
fn what_each_version_left_is_read_and_nothing_is_written() {
    let mut versions = 0;
    for version in fs::read_dir(folder()).expect("the folder of this test") {
        let version = version.expect("a folder that can be read").path();
        if !version.is_dir() {
            continue;
        }
        versions += 1;
        for moment in moments() {
            let file = version.join(format!("{}.json", moment.name));
            let kept = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let objects: Vec<Value> = serde_json::from_str(&kept).expect("JSON");
            let (writes, cluster) = taken_up(&moment, &objects);
            let written: Vec<String> = writes.iter().map(|change| change.key.to_string()).collect();
            assert!(written.is_empty(), "{}: {written:?} are written", file.display());
            assert!(cluster.decisions() > 0, "{}: nothing was decided", file.display());
            assert!(
                cluster.violations().is_empty(),
                "{}: {:?}",
                file.display(),
                cluster.violations()
            );
        }
    }
    assert!(versions > 0, "there is no state to read");
}
