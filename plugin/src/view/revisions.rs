//! Revisions with their ReplicaSets, pods and AnalysisRuns.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sluice_crds::{AnalysisRun, RolloutStatus, names};
use sluice_machine::{ReplicaSet, Run};

use crate::observe::{Observation, Pod};

/// A revision.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionView {
    /// Its number; 0 where there is none.
    pub number: u64,
    /// Its ReplicaSets: one, but for those that other controllers left.
    pub sets: Vec<SetView>,
    /// Its AnalysisRuns, newest first.
    pub runs: Vec<RunView>,
}

/// A ReplicaSet.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SetView {
    /// Name.
    pub name: String,
    /// Pod template hash.
    pub hash: String,
    /// Its roles: stable, canary, active, preview.
    pub roles: Vec<&'static str>,
    /// Healthy, Progressing, Degraded or ScaledDown.
    pub phase: &'static str,
    /// Pods that are wanted.
    pub desired: u32,
    /// Pods that are ready.
    pub ready: u32,
    /// Pods that are available.
    pub available: u32,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it is scaled down to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_down_at: Option<Timestamp>,
    /// Its pods.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<PodView>,
}

/// A pod.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodView {
    /// Name.
    pub name: String,
    /// One word, as kubectl shows it.
    pub status: String,
    /// Ready containers and containers, `1/1`.
    pub ready: String,
    /// How often containers were restarted.
    pub restarts: i64,
    /// When it was created.
    pub created_at: Timestamp,
}

/// An AnalysisRun.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    /// Name.
    pub name: String,
    /// Pending, Running, Successful, Failed, Error or Inconclusive.
    pub phase: String,
    /// Measurements of all metrics that ended in each way.
    pub successful: i32,
    /// Failed measurements.
    pub failed: i32,
    /// Inconclusive measurements.
    pub inconclusive: i32,
    /// Attempts that could not measure.
    pub error: i32,
    /// Why it is in its phase.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When it was created.
    pub created_at: Timestamp,
}

/// All revisions, newest first.
pub fn revisions(observation: &Observation) -> Vec<RevisionView> {
    let world = &observation.world;
    let status = world.rollout.status.clone().unwrap_or_default();
    let mut by_number: BTreeMap<u64, RevisionView> = BTreeMap::new();
    let entry = |by_number: &mut BTreeMap<u64, RevisionView>, number: u64| {
        by_number.entry(number).or_insert_with(|| RevisionView {
            number,
            sets: Vec::new(),
            runs: Vec::new(),
        });
    };
    for set in world.replica_sets.known().into_iter().flat_map(BTreeMap::values) {
        let number = number(&set.annotations);
        entry(&mut by_number, number);
        if let Some(revision) = by_number.get_mut(&number) {
            revision.sets.push(set_view(set, &status, observation));
        }
    }
    for run in world.runs.known().into_iter().flat_map(BTreeMap::values) {
        let hash = run.labels.get(names::label::POD_TEMPLATE_HASH);
        let of_set = by_number
            .values()
            .find(|revision| revision.sets.iter().any(|set| Some(&set.hash) == hash));
        let number = match number(&run.annotations) {
            0 => of_set.map_or(0, |revision| revision.number),
            number => number,
        };
        entry(&mut by_number, number);
        if let Some(revision) = by_number.get_mut(&number) {
            revision.runs.push(run_view(run, observation.runs.get(&run.name)));
        }
    }
    let mut revisions: Vec<RevisionView> = by_number.into_values().rev().collect();
    for revision in &mut revisions {
        revision
            .runs
            .sort_by(|one, other| (other.created_at, &other.name).cmp(&(one.created_at, &one.name)));
    }
    revisions
}

fn number(annotations: &BTreeMap<String, String>) -> u64 {
    annotations
        .get(names::annotation::REVISION)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

fn set_view(set: &ReplicaSet, status: &RolloutStatus, observation: &Observation) -> SetView {
    let pods: Vec<&Pod> = observation
        .pods
        .known()
        .into_iter()
        .flat_map(BTreeMap::values)
        .collect();
    let pods: Vec<&Pod> = pods.into_iter().filter(|pod| pod.owner == set.uid).collect();
    let deadline = set.annotations.get(names::annotation::SCALE_DOWN_DEADLINE);
    SetView {
        name: set.name.clone(),
        hash: set.hash.clone(),
        roles: roles(&set.hash, status, observation.world.rollout.spec.blue_green().is_some()),
        phase: phase(set, &pods),
        desired: set.wanted,
        ready: set.ready,
        available: set.available,
        created_at: set.created_at,
        scale_down_at: deadline.and_then(|text| text.parse().ok()).filter(|_| set.wanted > 0),
        pods: pods.into_iter().map(pod_view).collect(),
    }
}

/// What a revision is at present. A revision that is fully rolled out is stable and no canary.
fn roles(hash: &str, status: &RolloutStatus, is_blue_green: bool) -> Vec<&'static str> {
    let is = |other: Option<&str>| !hash.is_empty() && other == Some(hash);
    let stable = is(status.stable_rs.as_deref());
    let current = is(status.current_pod_hash.as_deref());
    let selectors = status.blue_green.as_ref();
    let active = is(selectors.and_then(|status| status.active_selector.as_deref()));
    let preview = is(selectors.and_then(|status| status.preview_selector.as_deref()));
    let all = [
        ("stable", stable),
        ("canary", current && !stable && !is_blue_green),
        ("active", is_blue_green && active),
        ("preview", is_blue_green && preview && !active),
    ];
    all.into_iter().filter(|(_, is)| *is).map(|(role, _)| role).collect()
}

fn phase(set: &ReplicaSet, pods: &[&Pod]) -> &'static str {
    let failing = |pod: &&&Pod| {
        !matches!(
            pod.status.as_str(),
            "Running" | "Pending" | "Terminating" | "Succeeded" | "Completed"
        )
    };
    match (set.wanted, set.replicas) {
        (0, 0) => "ScaledDown",
        _ if pods.iter().any(|pod| failing(&pod)) => "Degraded",
        (wanted, replicas) if set.available >= wanted && replicas == wanted => "Healthy",
        _ => "Progressing",
    }
}

fn pod_view(pod: &Pod) -> PodView {
    PodView {
        name: pod.name.clone(),
        status: pod.status.clone(),
        ready: format!("{}/{}", pod.ready, pod.containers),
        restarts: pod.restarts,
        created_at: pod.created_at,
    }
}

fn run_view(run: &Run, details: Option<&AnalysisRun>) -> RunView {
    let results = details.and_then(|run| run.status.as_ref()?.metric_results.as_ref());
    let results = || results.into_iter().flatten();
    RunView {
        name: run.name.clone(),
        phase: run.phase.to_string(),
        successful: results().filter_map(|result| result.successful).sum(),
        failed: results().filter_map(|result| result.failed).sum(),
        inconclusive: results().filter_map(|result| result.inconclusive).sum(),
        error: results().filter_map(|result| result.error).sum(),
        message: run.message.clone().unwrap_or_default(),
        created_at: run.created_at,
    }
}

/// The images of all revisions that have pods, or a role, with their roles.
pub fn images(observation: &Observation) -> BTreeMap<String, Vec<String>> {
    let world = &observation.world;
    let status = world.rollout.status.clone().unwrap_or_default();
    let is_blue_green = world.rollout.spec.blue_green().is_some();
    let mut images: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for set in world.replica_sets.known().into_iter().flat_map(BTreeMap::values) {
        if set.wanted == 0 && set.replicas == 0 {
            continue;
        }
        let containers = set.template.pointer("/spec/containers").and_then(Value::as_array);
        let named = containers
            .into_iter()
            .flatten()
            .filter_map(|container| container.get("image")?.as_str());
        for image in named {
            images
                .entry(image.to_owned())
                .or_default()
                .extend(roles(&set.hash, &status, is_blue_green));
        }
    }
    let owned = |roles: BTreeSet<&str>| roles.into_iter().map(str::to_owned).collect();
    images.into_iter().map(|(image, roles)| (image, owned(roles))).collect()
}
