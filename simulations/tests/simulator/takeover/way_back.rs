//! Going back to Argo Rollouts: in the middle of an update all that it needs is there, and nothing is needed that only we know.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::{Value, json};
use sluice_simulations::{Cluster, Command, Key, Kind, Part, Scenario, scenarios};

use super::arrange::STEP_HASH;
use super::{WRITES, finish, paths, rollout, touches_pods, written, wrong_at_the_end};

/// From the end of one controller to the beginning of the next, in milliseconds.
const GAP: u64 = 20_000;

/// The fields of a Rollout's status that Argo Rollouts has.
const STATUS: &[&str] = &[
    "HPAReplicas",
    "abort",
    "abortedAt",
    "availableReplicas",
    "blueGreen",
    "canary",
    "collisionCount",
    "conditions",
    "controllerPause",
    "currentPodHash",
    "currentStepHash",
    "currentStepIndex",
    "duration",
    "message",
    "observedGeneration",
    "pauseConditions",
    "phase",
    "promoteFull",
    "readyReplicas",
    "replicas",
    "restartedAt",
    "selector",
    "stableRS",
    "updatedReplicas",
    "workloadObservedGeneration",
];
const CANARY: &[&str] = &[
    "currentBackgroundAnalysisRunStatus",
    "currentStepAnalysisRunStatus",
    "stablePingPong",
    "weights",
];
const BLUE_GREEN: &[&str] = &[
    "activeSelector",
    "postPromotionAnalysisRunStatus",
    "prePromotionAnalysisRunStatus",
    "previewSelector",
    "scaleUpPreviewCheckPoint",
];
const CONDITIONS: &[&str] = &[
    "Available",
    "Completed",
    "Healthy",
    "InvalidSpec",
    "Paused",
    "Progressing",
    "ReplicaFailure",
];
const REVISION: &str = "rollouts-pod-template-hash";

/// Updates that are stopped in the middle, the second at which they are, and the second at which they would go on by themselves.
fn middles() -> Vec<(Scenario, i64, i64)> {
    let analysed = {
        let mut scenario = scenarios::routed_good();
        scenario.manifests = scenario.manifests.replace("interval: 5s", "interval: 10m");
        scenario
    };
    vec![
        (scenarios::promoted(), 110, 40),
        (scenarios::promoted_fully(), 110, 40),
        (scenarios::scaled(), 140, 40),
        (scenarios::aborted_and_retried(), 200, 20),
        (scenarios::superseded(), 200, 40),
        (analysed, 110, 40),
        (scenarios::blue_green_promoted(), 110, 40),
        (scenarios::blue_green_aborted(), 200, 40),
        (scenarios::blue_green_switched(), 300, 40),
        (scenarios::rolled_back(), 300, 40),
    ]
}

/// The scenario as it is at a second; what was to be typed later is not.
fn stopped(scenario: &Scenario, second: i64) -> Cluster {
    let mut scenario = scenario.clone();
    let limit = SignedDuration::from_secs(second);
    scenario.script.retain(|(at, _)| *at < limit);
    scenario.config.shell.restart = GAP..=GAP;
    scenario.limit = limit;
    let mut cluster = scenario.play(1).cluster;
    cluster.run_until(limit);
    cluster
}

fn keys(object: &Value) -> BTreeSet<&str> {
    object
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| &**key)
        .collect()
}

fn only(what: &str, object: &Value, known: &[&str]) {
    let unknown: Vec<&str> = keys(object).into_iter().filter(|key| !known.contains(key)).collect();
    assert!(unknown.is_empty(), "{what}: Argo Rollouts does not know {unknown:?}");
}

fn is_time(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    text.len() == "2026-01-01T00:00:00Z".len() && text.parse::<jiff::Timestamp>().is_ok()
}

fn check_status(name: &str, cluster: &Cluster) {
    let rollout = rollout(cluster);
    let (spec, status) = (&rollout["spec"], &rollout["status"]);
    only(name, status, STATUS);
    only(name, &status["canary"], CANARY);
    only(name, &status["blueGreen"], BLUE_GREEN);
    let needed = [
        "HPAReplicas",
        "availableReplicas",
        "conditions",
        "currentPodHash",
        "observedGeneration",
        "phase",
        "readyReplicas",
        "replicas",
        "selector",
        "stableRS",
        "updatedReplicas",
    ];
    for field in needed {
        assert!(
            status.get(field).is_some_and(|value| !value.is_null()),
            "{name}: {field} is missing: {status}"
        );
    }
    // A text, as the command line tool parses it.
    let generation = rollout["metadata"]["generation"].to_string();
    assert_eq!(status["observedGeneration"], generation.as_str(), "{name}");
    if spec["strategy"].get("canary").is_some() {
        assert!(
            status["currentStepIndex"].is_u64() && status["currentStepHash"].is_string(),
            "{name}: {status}"
        );
    } else {
        assert!(
            status.get("currentStepIndex").is_none_or(Value::is_null),
            "{name}: {status}"
        );
        let active = cluster.get(Kind::Service, "shop-active").expect("the active Service");
        assert_eq!(
            status["blueGreen"]["activeSelector"], active["spec"]["selector"][REVISION],
            "{name}"
        );
        let preview = cluster.get(Kind::Service, "shop-preview").expect("the preview Service");
        assert_eq!(
            status["blueGreen"]["previewSelector"], preview["spec"]["selector"][REVISION],
            "{name}"
        );
    }
    for pause in status["pauseConditions"].as_array().into_iter().flatten() {
        only(name, pause, &["reason", "startTime"]);
        assert!(
            is_time(&pause["startTime"]) && pause["reason"].is_string(),
            "{name}: {pause}"
        );
        assert_eq!(status["controllerPause"], true, "{name}");
    }
    if status["abort"] == true {
        assert!(is_time(&status["abortedAt"]), "{name}: {status}");
    }
    let conditions = status["conditions"].as_array().expect("a list");
    for condition in conditions {
        let fields = [
            "lastTransitionTime",
            "lastUpdateTime",
            "message",
            "reason",
            "status",
            "type",
        ];
        assert_eq!(keys(condition), BTreeSet::from(fields), "{name}");
        assert!(
            CONDITIONS.contains(&condition["type"].as_str().unwrap_or_default()),
            "{name}: {condition}"
        );
        assert!(
            is_time(&condition["lastUpdateTime"]) && is_time(&condition["lastTransitionTime"]),
            "{name}"
        );
    }
    for type_ in ["Available", "Completed", "Healthy", "Paused", "Progressing"] {
        assert!(
            conditions.iter().any(|condition| condition["type"] == type_),
            "{name}: no {type_}"
        );
    }
    if let Some(weights) = status.pointer("/canary/weights") {
        only(name, weights, &["additional", "canary", "stable", "verified"]);
        for side in ["canary", "stable"] {
            let fields = ["podTemplateHash", "serviceName", "weight"];
            assert_eq!(keys(&weights[side]), BTreeSet::from(fields), "{name}");
        }
    }
}

fn check_sets(name: &str, cluster: &Cluster) {
    let rollout = rollout(cluster);
    let status = &rollout["status"];
    let mut hashes = BTreeSet::new();
    let mut revisions = BTreeSet::new();
    for (key, set) in cluster.store().list(Kind::ReplicaSet) {
        let hash = set["metadata"]["labels"][REVISION].as_str().expect("a hash");
        assert_eq!(&*key.name, format!("shop-{hash}"), "{name}");
        assert_eq!(set["spec"]["selector"]["matchLabels"][REVISION], hash, "{name}");
        assert_eq!(set["spec"]["template"]["metadata"]["labels"][REVISION], hash, "{name}");
        let annotations = &set["metadata"]["annotations"];
        let number = |word: &str| annotations[word].as_str().and_then(|text| text.parse::<u64>().ok());
        assert!(
            number("rollout.argoproj.io/desired-replicas").is_some(),
            "{name}: {annotations}"
        );
        revisions.insert(number("rollout.argoproj.io/revision").expect("a revision"));
        if let Some(deadline) = annotations.get("scale-down-deadline") {
            assert!(is_time(deadline), "{name}: {deadline}");
        }
        let owner = &set["metadata"]["ownerReferences"][0];
        assert_eq!(
            (&owner["kind"], &owner["controller"]),
            (&json!("Rollout"), &json!(true)),
            "{name}"
        );
        hashes.insert(hash.to_owned());
    }
    for field in ["currentPodHash", "stableRS"] {
        assert!(
            hashes.contains(status[field].as_str().unwrap_or_default()),
            "{name}: {field} {status}"
        );
    }
    let latest = revisions.last().map(u64::to_string).unwrap_or_default();
    let annotations = &rollout["metadata"]["annotations"];
    assert_eq!(annotations["rollout.argoproj.io/revision"], latest.as_str(), "{name}");
    for (key, service) in cluster.store().list(Kind::Service) {
        if service["spec"]["selector"].get(REVISION).is_some() {
            let annotations = &service["metadata"]["annotations"];
            assert_eq!(
                annotations["argo-rollouts.argoproj.io/managed-by-rollouts"], "shop",
                "{name}: {key}"
            );
        }
    }
}

fn check_runs(name: &str, cluster: &Cluster) {
    let rollout = rollout(cluster);
    let status = &rollout["status"];
    let index = status["currentStepIndex"].to_string();
    if let Some(named) = status.pointer("/canary/currentStepAnalysisRunStatus") {
        only(name, named, &["message", "name", "status"]);
        let run = cluster
            .get(Kind::AnalysisRun, named["name"].as_str().expect("a name"))
            .expect("it is there");
        let (labels, hash) = (&run["metadata"]["labels"], &status["currentPodHash"]);
        assert_eq!(
            (&labels["rollout-type"], &labels[REVISION]),
            (&json!("Step"), hash),
            "{name}"
        );
        assert_eq!(labels["step-index"], index.as_str(), "{name}");
        let revision = &rollout["metadata"]["annotations"]["rollout.argoproj.io/revision"];
        let expected = format!(
            "shop-{}-{}-{index}",
            hash.as_str().expect("a hash"),
            revision.as_str().expect("a number")
        );
        assert_eq!(named["name"], expected.as_str(), "{name}");
        assert_eq!(run["metadata"]["ownerReferences"][0]["kind"], "Rollout", "{name}");
    }
}

/// Takes away every label and annotation that only we know; tells how many there were.
fn strip(cluster: &mut Cluster) -> usize {
    let mut count = 0;
    for kind in [
        Kind::Rollout,
        Kind::ReplicaSet,
        Kind::Service,
        Kind::HttpRoute,
        Kind::AnalysisRun,
    ] {
        let objects: Vec<(Key, Value)> = cluster
            .store()
            .list(kind)
            .map(|(key, object)| (key.clone(), (**object).clone()))
            .collect();
        for (key, object) in objects {
            for words in ["annotations", "labels"] {
                let ours: Vec<&str> = keys(&object["metadata"][words])
                    .into_iter()
                    .filter(|word| word.contains("sluice.dev/"))
                    .collect();
                for word in ours {
                    let patch = json!({ "metadata": { words: { word: null } } });
                    let command = Command::Patch(key.clone(), Part::Main, Box::new(patch));
                    cluster.command(&command).expect("a patch");
                    count += 1;
                }
            }
        }
    }
    count
}

#[test]
fn in_the_middle_of_an_update_all_that_argo_rollouts_needs_is_there() {
    for (scenario, second, _) in middles() {
        let cluster = stopped(&scenario, second);
        check_status(&scenario.name, &cluster);
        check_sets(&scenario.name, &cluster);
        check_runs(&scenario.name, &cluster);
    }
    let analysed = middles()
        .into_iter()
        .find(|(scenario, ..)| scenario.name == "routed-good");
    let (scenario, second, _) = analysed.expect("one with an analysis");
    let status = rollout(&stopped(&scenario, second))["status"].clone();
    assert!(
        status["canary"]["currentStepAnalysisRunStatus"]["name"].is_string(),
        "{status}"
    );
}

#[test]
fn nothing_that_only_we_know_is_needed_to_go_on() {
    let mut stripped = 0;
    for (scenario, second, still) in middles() {
        let name = &scenario.name;
        let mut cluster = stopped(&scenario, second);
        cluster.crash();
        let before = rollout(&cluster)["status"].clone();
        stripped += strip(&mut cluster);
        if before["currentStepHash"].is_string() {
            let key = Key::new(Kind::Rollout, "default", "shop");
            let patch = json!({ "status": { "currentStepHash": STEP_HASH } });
            cluster
                .command(&Command::Patch(key, Part::Status, Box::new(patch)))
                .expect("a patch");
        }
        let back = cluster.now();
        cluster.run_until(back + SignedDuration::from_secs(still));
        let touched: BTreeSet<String> = written(&cluster, back).flat_map(paths).collect();
        let touched: Vec<&String> = touched.iter().filter(|path| !WRITES.contains(&path.as_str())).collect();
        assert!(touched.is_empty(), "{name}: writes {touched:?}");
        assert!(!touches_pods(&cluster), "{name}");
        finish(&mut cluster).unwrap_or_else(|why| panic!("{name} {why}"));
        assert_eq!(wrong_at_the_end(&cluster), Vec::<String>::new(), "{name}");
    }
    assert!(stripped >= 20, "{stripped} words were ours");
}
