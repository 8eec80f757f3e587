//! A Deployment that gives its pods up to the Rollout that took its template (`spec.workloadRef.scaleDown`).
//!
//! It is scaled down once: a note on the Deployment says for which Rollout, so that a person can scale it up again, on the way
//! back, and find it left alone.

use serde_json::{Value, json};
use sluice_crds::RolloutStatus;

use super::{
    context::{Context, is_complete},
    traffic::{Settling, Traffic},
    turn::Turn,
};
use crate::{Effect, Event, EventKind, Fact, workload};

/// Annotation on the Deployment: uid of the Rollout that it was scaled down for.
const DONE_ANNOTATION: &str = "sluice.dev/scaled-down-for";

/// Scales the Deployment down as far as the Rollout's pods have taken over.
pub(super) fn act<'a>(turn: &mut Turn<'a>, context: &Context<'a>, traffic: &Traffic<'a>, status: &RolloutStatus) {
    let Some(reference) = context.rollout.spec.workload_ref.as_ref() else {
        return;
    };
    let (Some(object), Some(Fact::Known(deployment))) =
        (workload::object(context.rollout), workload::fact(context.world))
    else {
        return;
    };
    let mode = reference.scale_down.as_deref().unwrap_or("never");
    let uid = context.rollout.metadata.uid.as_deref().unwrap_or_default();
    let annotation = deployment
        .pointer("/metadata/annotations")
        .and_then(|all| all.get(DONE_ANNOTATION));
    let is_done = annotation.and_then(Value::as_str) == Some(uid);
    if object.kind != "Deployment" || mode == "never" || is_done || turn.is_spent() {
        return;
    }
    let from = size(deployment);
    let has_taken_over = is_complete(context, status)
        && context.replicas > 0
        && context.new_available() >= context.replicas
        && traffic.settling(turn) == Settling::Settled;
    let to = if has_taken_over {
        0
    } else if mode == "progressively" && status.stable_rs.as_deref().unwrap_or_default().is_empty() {
        context.replicas.saturating_sub(context.new_available()).min(from)
    } else {
        return;
    };
    if to == from && !has_taken_over {
        return;
    }
    let mut metadata = json!({ "resourceVersion": deployment.pointer("/metadata/resourceVersion") });
    if has_taken_over {
        metadata["annotations"] = json!({ (DONE_ANNOTATION): uid });
    }
    let message = format!("Scaled down Deployment {} from {from} to {to}", object.name);
    turn.events.push(Event {
        kind: EventKind::Normal,
        reason: "ScalingReplicaSet",
        message,
        key: context.event_key(&format!("{}/{from}/{to}", object.name)),
    });
    turn.effects.push(Effect::ScaleWorkload {
        object,
        replicas: (from, to),
        patch: json!({ "metadata": metadata, "spec": { "replicas": to } }),
    });
}

/// `spec.replicas` of a workload, 1 where absent.
pub(crate) fn size(workload: &Value) -> u32 {
    let replicas = workload.pointer("/spec/replicas").and_then(Value::as_u64);
    replicas.map_or(1, |replicas| u32::try_from(replicas).unwrap_or(u32::MAX))
}
