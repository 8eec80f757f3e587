//! What is simulated where nobody says what happens: a good version and a bad one.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::Deserialize as _;
use serde_json::Value;
use sluice_crds::Rollout;

use super::types::{ActionFile, ScenarioFile, TrafficFile, VersionFile};
use super::values::{Share, Span};
use super::{FileError, complete, prepare};
use crate::report::{Report, RolloutReport};
use crate::store::{Key, key_of};

/// Share of errors of the first version and of a good one: nobody is perfect.
const GOOD: f64 = 0.001;
/// Share of errors of a bad one.
const BAD: f64 = 0.05;
/// Name of the scenario with a good version.
const GOOD_NAME: &str = "good";
/// A person decides so long after the update began to wait.
const DECIDES_AFTER: SignedDuration = SignedDuration::from_mins(1);
/// An update that still waits after so many lines waits for something else.
const MOST_LINES: usize = 100;
/// Requests in a second.
const RATE: f64 = 100.0;
/// Requests come so long before the new version does.
const LEAD: SignedDuration = SignedDuration::from_secs(30);
/// A first version that is not Healthy by then does not keep the new one from coming.
const PATIENCE: SignedDuration = SignedDuration::from_mins(30);

/// Two scenarios for manifests. All Rollouts get a new version at the same time, once the first one is at rest.
pub fn good_and_bad(objects: Vec<Value>) -> Result<[ScenarioFile; 2], FileError> {
    let ready = ready(objects.clone())?;
    let completed = complete(objects);
    let image = |key: &Key| {
        let is_meant = |object: &&Value| key_of(object).as_ref() == Ok(key);
        let object = completed.objects.iter().find(is_meant);
        let rollout = object.and_then(|object| Rollout::deserialize(object).ok());
        let workload = rollout.and_then(|rollout| super::complete::workload(&completed.objects, &rollout));
        let image = workload
            .or(object)
            .and_then(|object| object.pointer("/spec/template/spec/containers/0/image")?.as_str());
        format!("{}-new", image.unwrap_or("image"))
    };
    let scenario = |name: &str, error_rate: f64, description: &str| ScenarioFile {
        name: Some(name.to_owned()),
        description: description.to_owned(),
        traffic: Some(vec![TrafficFile {
            through: None,
            rate: RATE,
            from: Some(Span(ready)),
            ramps: Vec::new(),
        }]),
        versions: BTreeMap::from([version("stable", GOOD), version("new", error_rate)]),
        script: completed
            .rollouts
            .iter()
            .map(|(key, _)| ActionFile {
                at: Span(ready + LEAD),
                rollout: Some(format!("{}/{}", key.namespace, key.name)),
                image: Some(image(key)),
                ..ActionFile::default()
            })
            .collect(),
        ..ScenarioFile::default()
    };
    Ok([
        scenario(
            GOOD_NAME,
            GOOD,
            "A new version that answers 0.1 % of its requests with an error, as the stable one does.",
        ),
        scenario(
            "bad",
            BAD,
            "A new version that answers 5 % of its requests with an error.",
        ),
    ])
}

/// Adds what a person types where a Rollout waits for one in the end: a good version is promoted, a bad one aborted, both after a
/// minute. Tells whether there was anything to type; the scenario is then to be played again.
pub fn go_on(scenario: &mut ScenarioFile, report: &Report) -> bool {
    let is_good = scenario.name.as_deref() == Some(GOOD_NAME);
    let verb = if is_good { "promote" } else { "abort" };
    let seconds = report.end_millis / 10_000 * 10 + DECIDES_AFTER.as_secs();
    let waits = |rollout: &&RolloutReport| report.settled && rollout.outcome.phase == "Paused";
    let names: Vec<&str> = report
        .rollouts
        .iter()
        .filter(waits)
        .map(|rollout| rollout.name.as_str())
        .collect();
    if names.is_empty() || scenario.script.len() > MOST_LINES {
        return false;
    }
    for name in names {
        let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
        let place = if namespace == "default" {
            String::new()
        } else {
            format!(" -n {namespace}")
        };
        scenario.script.push(ActionFile {
            at: Span(SignedDuration::from_secs(seconds)),
            typed: Some(format!("kubectl sluice {verb} {name}{place}")),
            ..ActionFile::default()
        });
    }
    true
}

fn version(name: &str, error_rate: f64) -> (String, VersionFile) {
    let version = VersionFile {
        error_rate: Share(error_rate),
        ..VersionFile::default()
    };
    (name.to_owned(), version)
}

/// When the first version is at rest, in tens of seconds.
fn ready(objects: Vec<Value>) -> Result<SignedDuration, FileError> {
    let file = ScenarioFile {
        until: Some(Span(PATIENCE)),
        traffic: Some(Vec::new()),
        ..ScenarioFile::default()
    };
    let mut scenario = prepare(&file, "ready", objects)?.scenario;
    scenario.config.record = false;
    // A manifest that is refused is refused again, and said, when the scenario is played.
    let at = scenario
        .try_play(1, &mut |_| ())
        .map_or(0, |played| played.cluster.now().as_secs());
    Ok(SignedDuration::from_secs((at / 10 + 1) * 10))
}
