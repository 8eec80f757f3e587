//! What `get rollout` shows, as a value: the same for people and for programs.

mod render;
mod revisions;
mod traffic;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use sluice_crds::CanaryStrategy;
use sluice_machine::{Plan, rollout::canary};

use crate::{explain, observe::Observation, phase, text};

pub use render::{render, summary};
pub use revisions::{PodView, RevisionView, RunView, SetView};
pub use traffic::{RouteView, ServiceView, set_weight};

/// A Rollout with everything that belongs to it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// Healthy, Progressing, Paused or Degraded.
    pub phase: String,
    /// Why it is in its phase.
    pub message: String,
    /// `Canary` or `BlueGreen`.
    pub strategy: String,
    /// Index of the present step, as the status has it, where there are steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// The steps of a canary.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepView>,
    /// Share of the new revision in percent that the steps ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_weight: Option<u32>,
    /// Share of the new revision in percent: on the routes, or of the available pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual_weight: Option<u32>,
    /// Images of the pods, each with the roles of the revisions that run it.
    pub images: BTreeMap<String, Vec<String>>,
    /// Numbers of pods.
    pub replicas: Replicas,
    /// The routes that split the traffic.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteView>,
    /// The Services and what they select.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceView>,
    /// Why it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<WaitView>,
    /// What the controller would do now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<String>,
    /// Revisions, newest first.
    pub revisions: Vec<RevisionView>,
    /// What could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A step of a canary.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepView {
    /// What it does.
    pub step: String,
    /// `done`, `current` or `pending`.
    pub state: &'static str,
}

/// Numbers of pods, as the status has them.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replicas {
    /// `spec.replicas`.
    pub desired: i32,
    /// Pods that exist.
    pub current: i32,
    /// Pods of the present template.
    pub updated: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Pods that are available.
    pub available: i32,
}

/// Why a Rollout waits.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitView {
    /// The reason in one word, for programs, such as `new-not-available`.
    pub hold: String,
    /// The reason in a sentence.
    pub reason: String,
    /// When it is looked at again if nothing changes before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Puts together what was observed and decided.
pub fn view(observation: &Observation, plan: &Plan, now: Timestamp) -> View {
    let rollout = &observation.world.rollout;
    let (phase, message) = phase::of(rollout);
    let status = rollout.status.clone().unwrap_or_default();
    let count = |count: Option<i32>| count.unwrap_or(0);
    let routes = traffic::routes(&observation.world, plan, now);
    let canary = rollout.spec.canary();
    let revisions = revisions::revisions(observation);
    View {
        name: rollout.metadata.name.clone().unwrap_or_default(),
        namespace: rollout.metadata.namespace.clone().unwrap_or_default(),
        created_at: rollout.metadata.creation_timestamp.as_ref().map(|time| time.0),
        phase: phase.to_string(),
        message,
        strategy: match (canary, rollout.spec.blue_green()) {
            (Some(_), _) => "Canary",
            (None, Some(_)) => "BlueGreen",
            (None, None) => "none",
        }
        .to_owned(),
        step: canary
            .filter(|canary| !canary::steps(canary).is_empty())
            .map(|canary| canary::index(canary, &status)),
        steps: canary.map(|canary| steps(canary, observation)).unwrap_or_default(),
        set_weight: canary.map(|canary| traffic::set_weight(canary, &status)),
        actual_weight: canary.map(|_| traffic::actual_weight(&observation.world, &routes)),
        images: revisions::images(observation),
        replicas: Replicas {
            desired: rollout.spec.replicas_or_default(),
            current: count(status.replicas),
            updated: count(status.updated_replicas),
            ready: count(status.ready_replicas),
            available: count(status.available_replicas),
        },
        services: traffic::services(&observation.world, &revisions),
        routes,
        waits: plan.hold.as_ref().map(|hold| WaitView {
            hold: hold.kind().to_owned(),
            reason: text::whole_seconds(&hold.to_string()),
            until: plan.wake_at,
        }),
        next: explain::next(plan),
        revisions,
        notes: notes(observation),
    }
}

fn notes(observation: &Observation) -> Vec<String> {
    let unknown = |what: &str, why: Option<&sluice_machine::Why>| why.map(|why| format!("{what} are not shown: {why}"));
    let world = &observation.world;
    let extension = world
        .rollout
        .spec
        .canary()
        .and_then(|canary| canary.traffic_routing.as_ref()?.gateway_api.as_ref());
    let pruned = (extension.is_some() && !world.settings.extensions).then(|| {
        "the cluster has Argo's CRDs: fields that Sluice adds may be lost (`kubectl sluice check`)".to_owned()
    });
    [
        unknown("ReplicaSets", why(&world.replica_sets)),
        unknown("AnalysisRuns", why(&world.runs)),
        unknown("pods", why(&observation.pods)),
        pruned,
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn why<T>(fact: &sluice_machine::Fact<T>) -> Option<&sluice_machine::Why> {
    match fact {
        sluice_machine::Fact::Unknown(why) => Some(why),
        _ => None,
    }
}

fn steps(canary: &CanaryStrategy, observation: &Observation) -> Vec<StepView> {
    let status = observation.world.rollout.status.clone().unwrap_or_default();
    let current = canary::index(canary, &status);
    let aborted = status.abort == Some(true);
    let state = |index: usize| match index.cmp(&current) {
        std::cmp::Ordering::Less => "done",
        std::cmp::Ordering::Equal if !aborted => "current",
        _ => "pending",
    };
    let steps = canary::steps(canary).iter().enumerate();
    steps
        .map(|(index, step)| StepView {
            step: canary::describe(step),
            state: state(index),
        })
        .collect()
}
