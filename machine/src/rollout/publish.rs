//! The rest of the status: what the pods and routes are like; and the commit that writes it.

use serde_json::{Map, Value, json};
use sluice_crds::{BlueGreenStatus, CanaryStatus, Rollout, RolloutStatus, TrafficWeights, WeightDestination};
use sluice_traffic::REVISION_LABEL;

use super::{
    conditions,
    context::{Context, REVISION_ANNOTATION},
    traffic::Traffic,
    turn::Turn,
};
use crate::{Commit, ReplicaSet, json, workload};

/// Annotation on the Rollout: generation of its workload, which command lines compare with the status.
const WORKLOAD_ANNOTATION: &str = "rollout.argoproj.io/workload-generation";

/// Fills in the counts, weights, selectors, conditions and the phase.
pub(super) fn describe(
    turn: &mut Turn<'_>,
    context: &Context<'_>,
    traffic: &Traffic<'_>,
    status: &mut RolloutStatus,
    problems: Option<&str>,
) {
    *status = counted(context, status);
    describe_scale(context, traffic, status);
    status.observed_generation = context
        .rollout
        .metadata
        .generation
        .map(|generation| generation.to_string());
    status.collision_count = (context.collisions > 0).then_some(context.collisions);
    status.workload_observed_generation = workload_generation(context);
    if context.has_router() {
        describe_weights(turn, context, traffic, status);
    }
    if context.blue_green().is_some() {
        let selected = |service: Option<&super::traffic::Service<'_>>| {
            service.and_then(|service| service.selected.revision.clone())
        };
        let blue_green = status.blue_green.get_or_insert_with(BlueGreenStatus::default);
        blue_green.active_selector = selected(traffic.stable_service());
        blue_green.preview_selector = selected(traffic.canary_service());
    }
    conditions::publish(turn, context, status, problems);
}

/// The status with the numbers of pods as they are.
pub(super) fn counted(context: &Context<'_>, status: &RolloutStatus) -> RolloutStatus {
    let sum = |count: fn(&ReplicaSet) -> u32| Some(number(context.sets.iter().map(|set| count(set)).sum()));
    RolloutStatus {
        replicas: sum(|set| set.replicas),
        ready_replicas: sum(|set| set.ready),
        available_replicas: sum(|set| set.available),
        updated_replicas: Some(number(context.new.map_or(0, |set| set.replicas))),
        ..status.clone()
    }
}

/// What the scale subresource shows. An autoscaler whose metric is as it should be sets spec.replicas to the number that it finds
/// here, so pods beyond spec.replicas must not be counted: the canary's would be there for good.
fn describe_scale(context: &Context<'_>, traffic: &Traffic<'_>, status: &mut RolloutStatus) {
    let selector = workload::selector(context.world).as_deref().map(selector_text);
    let total: u32 = context.sets.iter().map(|set| set.replicas).sum();
    let active = traffic
        .stable_service()
        .and_then(|service| service.selected.revision.as_deref());
    let (replicas, selector) = match active.filter(|_| context.blue_green().is_some()) {
        // The preview's pods have no load, and would make the active ones' look small.
        Some(hash) => (
            context.set(hash).map_or(0, |set| set.replicas),
            selector.map(|selector| format!("{selector},{REVISION_LABEL}={hash}")),
        ),
        None => (total.min(context.replicas), selector),
    };
    status.hpa_replicas = Some(number(replicas));
    status.selector = selector;
}

fn number(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn describe_weights(turn: &mut Turn<'_>, context: &Context<'_>, traffic: &Traffic<'_>, status: &mut RolloutStatus) {
    let (Some(stable), Some(canary)) = (traffic.stable_service(), traffic.canary_service()) else {
        return;
    };
    if traffic.problem.is_some() || status.stable_rs.is_none() {
        return;
    }
    let weight = traffic.canary_weight();
    let destination = |service: &super::traffic::Service<'_>, weight: u32| WeightDestination {
        weight: number(weight),
        service_name: Some(service.name.to_owned()),
        pod_template_hash: service.selected.revision.clone(),
    };
    let weights = TrafficWeights {
        canary: destination(canary, weight),
        stable: destination(stable, traffic.total().saturating_sub(weight)),
        additional: None,
        verified: None,
    };
    let canary_status = status.canary.get_or_insert_with(CanaryStatus::default);
    let before = canary_status.weights.as_ref().map(|weights| weights.canary.weight);
    if before.is_some_and(|before| before != weights.canary.weight) {
        let message = format!("Traffic weight updated from {} to {weight}", before.unwrap_or(0));
        let generation = traffic.routes.first().map_or(0, |route| route.observed.generation);
        let key = context.event_key(&format!("weight/{weight}/{generation}"));
        turn.event(crate::EventKind::Normal, "TrafficWeightUpdated", message, key);
    }
    canary_status.weights = Some(weights);
}

fn selector_text(selector: &sluice_crds::LabelSelector) -> String {
    let labels = selector
        .match_labels
        .iter()
        .flatten()
        .map(|(key, value)| format!("{key}={value}"));
    let expressions = selector.match_expressions.iter().flatten().map(|expression| {
        let values = expression.values.as_deref().unwrap_or_default().join(",");
        match expression.operator.as_str() {
            "In" => format!("{} in ({values})", expression.key),
            "NotIn" => format!("{} notin ({values})", expression.key),
            "DoesNotExist" => format!("!{}", expression.key),
            _ => expression.key.clone(),
        }
    });
    labels.chain(expressions).collect::<Vec<_>>().join(",")
}

/// The commit that turns the Rollout's status into `status`; `None` when there is nothing to write, or when only counts
/// changed and the last commit was a moment ago (then the plan wakes up when it is due).
pub(super) fn commit(turn: &mut Turn<'_>, context: &Context<'_>, status: &RolloutStatus) -> Option<Commit> {
    let rollout = context.rollout;
    let object = object_patch(context);
    let empty = RolloutStatus::default();
    let old = rollout.status.as_ref().unwrap_or(&empty);
    let is_soft = object.is_none() && old != status && hard(old) == hard(status);
    let may_wait = is_soft && !conditions::has_counts_of_argo(context);
    if let Some(since) = turn.memory.stale_since.filter(|_| may_wait) {
        let due = since + context.world.settings.count_interval;
        if turn.now < due {
            turn.wake(due);
            return None;
        }
    }
    // Two statuses may differ and be the same when they are written.
    let patch = (old != status)
        .then(|| json::diff(&json!(old), &json!(status)))
        .flatten();
    if object.is_none() && patch.is_none() {
        turn.memory.stale_since = None;
        return None;
    }
    if may_wait && turn.memory.stale_since.is_none() {
        turn.memory.stale_since = Some(turn.now);
        turn.wake(turn.now + context.world.settings.count_interval);
        return None;
    }
    turn.memory.stale_since = None;
    Some(Commit {
        resource_version: resource_version(rollout),
        object,
        status: patch.map(|patch| json!({ "status": patch })),
    })
}

pub(super) fn resource_version(rollout: &Rollout) -> String {
    rollout.metadata.resource_version.clone().unwrap_or_default()
}

/// What a decision depends on. The rest are counts and texts: they may be a second late.
fn hard(status: &RolloutStatus) -> RolloutStatus {
    let mut status = status.clone();
    status.replicas = None;
    status.updated_replicas = None;
    status.ready_replicas = None;
    status.available_replicas = None;
    status.hpa_replicas = None;
    status.selector = None;
    status.message = None;
    status.conditions = None;
    if let Some(blue_green) = &mut status.blue_green {
        blue_green.active_selector = None;
        blue_green.preview_selector = None;
    }
    if let Some(canary) = &mut status.canary {
        canary.weights = None;
    }
    for run in status.runs_mut().flatten() {
        run.status = sluice_crds::AnalysisPhase::default();
        run.message = None;
    }
    status
}

/// Generation of the workload that the pod template is taken from.
fn workload_generation(context: &Context<'_>) -> Option<String> {
    let workload = workload::fact(context.world)?.known()?;
    let generation = workload.pointer("/metadata/generation")?.as_i64()?;
    Some(generation.to_string())
}

/// `spec.replicas` where it is absent (as Argo Rollouts does), the number of the present revision, and the generation of the
/// workload.
fn object_patch(context: &Context<'_>) -> Option<Value> {
    let mut patch = Map::new();
    if context.rollout.spec.replicas.is_none() {
        patch.insert("spec".to_owned(), json!({ "replicas": 1 }));
    }
    let revision = context.revision.to_string();
    let written = |name: &str| context.rollout.metadata.annotations.as_ref()?.get(name);
    let mut annotations = Map::new();
    if written(REVISION_ANNOTATION) != Some(&revision) {
        annotations.insert(REVISION_ANNOTATION.to_owned(), revision.into());
    }
    if let Some(generation) = workload_generation(context)
        && written(WORKLOAD_ANNOTATION) != Some(&generation)
    {
        annotations.insert(WORKLOAD_ANNOTATION.to_owned(), generation.into());
    }
    if !annotations.is_empty() {
        patch.insert("metadata".to_owned(), json!({ "annotations": annotations }));
    }
    (!patch.is_empty()).then(|| Value::Object(patch))
}
