//! Effects on ReplicaSets: create, adopt, annotate, scale, delete.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use sluice_crds::{RolloutStatus, Time};
use sluice_traffic::REVISION_LABEL;

use super::{
    affinity,
    context::{Context, REVISION_ANNOTATION, TEMPLATE_ANNOTATION, is_complete, revision_of, template_labels},
    metadata,
    traffic::Traffic,
    turn::Turn,
};
use crate::{Effect, Event, EventKind, Hold, Owner, ReplicaSet, workload};

/// Annotation: `spec.replicas` of the Rollout when the ReplicaSet was last scaled.
const DESIRED_ANNOTATION: &str = "rollout.argoproj.io/desired-replicas";
/// Annotation: when the ReplicaSet is to be scaled to zero (RFC 3339).
const DEADLINE_ANNOTATION: &str = "scale-down-deadline";
/// Label that tells which of several controllers an object belongs to.
const INSTANCE_LABEL: &str = "argo-rollouts.argoproj.io/controller-instance-id";

/// Creates the ReplicaSet of the present template with `replicas` pods.
pub(super) fn create(turn: &mut Turn<'_>, context: &Context<'_>, replicas: u32) {
    let name = context.new_name();
    let mut template = context.template.clone();
    let mut labels = template_labels(&template);
    labels.insert(REVISION_LABEL.to_owned(), context.new_hash.clone());
    template["metadata"]["labels"] = json!(labels);
    let stable = context
        .rollout
        .status
        .as_ref()
        .and_then(|status| status.stable_rs.as_deref());
    if let (Some(rules), Some(stable)) = (context.anti_affinity(), stable.filter(|hash| !hash.is_empty())) {
        affinity::inject(&mut template, rules, stable);
    }
    if let Some(id) = &context.world.settings.instance_id {
        labels.insert(INSTANCE_LABEL.to_owned(), id.clone());
    }
    let mut annotations = json!({
        (REVISION_ANNOTATION): context.revision.to_string(),
        (DESIRED_ANNOTATION): context.replicas.to_string(),
        (TEMPLATE_ANNOTATION): context.checked.template_id,
    });
    metadata::inject(context, &mut template, &mut annotations);
    let mut selector = json!(workload::selector(context.world));
    selector["matchLabels"][REVISION_LABEL] = Value::from(context.new_hash.as_str());
    let object = json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": annotations,
        },
        "spec": {
            "replicas": replicas,
            "minReadySeconds": context.rollout.spec.min_ready_seconds.unwrap_or(0),
            "selector": selector,
            "template": template,
        },
    });
    let message = format!("Created ReplicaSet {name} (revision {})", context.revision);
    turn.events.push(Event {
        kind: EventKind::Normal,
        reason: "NewReplicaSetCreated",
        message,
        key: context.event_key(&name),
    });
    turn.effects.push(Effect::CreateReplicaSet { name, object });
}

/// Brings the metadata of all ReplicaSets up to date: owner of adopted ones, number and template of the present revision.
pub(super) fn tend(turn: &mut Turn<'_>, context: &Context<'_>, status: &RolloutStatus) {
    for set in &context.sets {
        let mut metadata = Map::new();
        if set.owner == Owner::Orphan {
            metadata.insert("ownerReferences".to_owned(), json!([owner_reference(context)]));
        }
        let mut annotations = Map::new();
        let is_new = context.new.is_some_and(|new| new.name == set.name);
        if is_new && revision_of(set) != context.revision {
            annotations.insert(REVISION_ANNOTATION.to_owned(), context.revision.to_string().into());
        }
        if is_new && set.annotations.get(TEMPLATE_ANNOTATION) != Some(&context.checked.template_id) {
            annotations.insert(
                TEMPLATE_ANNOTATION.to_owned(),
                context.checked.template_id.as_str().into(),
            );
        }
        let in_use = (is_new && status.abort != Some(true)) || status.stable_rs.as_deref() == Some(&set.hash);
        if in_use && set.annotations.contains_key(DEADLINE_ANNOTATION) {
            annotations.insert(DEADLINE_ANNOTATION.to_owned(), Value::Null);
        }
        if !annotations.is_empty() {
            metadata.insert("annotations".to_owned(), annotations.into());
        }
        if !metadata.is_empty() {
            patch(turn, set, None, json!({ "metadata": metadata }));
        }
    }
}

/// The owner reference of everything that the Rollout owns.
pub(super) fn owner_reference(context: &Context<'_>) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "name": context.name,
        "uid": context.rollout.metadata.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// Plans a patch. There is one for each ReplicaSet: a second one would meet the resourceVersion that the first has changed.
pub(super) fn patch(turn: &mut Turn<'_>, set: &ReplicaSet, replicas: Option<(u32, u32)>, patch: Value) {
    let earlier = turn.effects.iter_mut().find_map(|effect| match effect {
        Effect::PatchReplicaSet {
            name, replicas, patch, ..
        } if *name == set.name => Some((replicas, patch)),
        _ => None,
    });
    if let Some((earlier_replicas, earlier_patch)) = earlier {
        *earlier_replicas = replicas.or(*earlier_replicas);
        crate::json::overlay(earlier_patch, &patch);
        return;
    }
    turn.effects.push(Effect::PatchReplicaSet {
        name: set.name.clone(),
        uid: set.uid.clone(),
        resource_version: set.resource_version.clone(),
        replicas,
        patch,
    });
}

/// Scales a ReplicaSet. A scale-down is left out when the plan has an irreversible effect already, and a scale-up waits for
/// the end of the scale-down before it.
pub(super) fn scale(turn: &mut Turn<'_>, context: &Context<'_>, set: &ReplicaSet, to: u32) {
    if to == set.wanted || (to < set.wanted && turn.is_spent()) {
        return;
    }
    if to > set.wanted && set.replicas > set.wanted {
        // Its status counts pods that are on their way out. Once it asks for more again, nothing tells them from the others.
        turn.hold(Hold::OldNotDown {
            replica_set: set.name.clone(),
            left: set.replicas - set.wanted,
        });
        return;
    }
    let mut annotations = Map::from_iter([(DESIRED_ANNOTATION.to_owned(), context.replicas.to_string().into())]);
    if to == 0 && set.annotations.contains_key(DEADLINE_ANNOTATION) {
        annotations.insert(DEADLINE_ANNOTATION.to_owned(), Value::Null);
    }
    let body = json!({ "metadata": { "annotations": annotations }, "spec": { "replicas": to } });
    patch(turn, set, Some((set.wanted, to)), body);
    let direction = if to > set.wanted { "up" } else { "down" };
    let message = format!(
        "Scaled {direction} ReplicaSet {} (revision {}) from {} to {to}",
        set.name,
        revision_of(set),
        set.wanted
    );
    let step = context
        .rollout
        .status
        .as_ref()
        .and_then(|status| status.current_step_index)
        .unwrap_or(0);
    let key = context.event_key(&format!("{step}/{}/{}/{to}", set.name, set.wanted));
    turn.events.push(Event {
        kind: EventKind::Normal,
        reason: "ScalingReplicaSet",
        message,
        key,
    });
}

/// Whether the scale-down delay of a ReplicaSet is over. The first time it is asked, the deadline is written on it.
pub(super) fn delay_is_over(turn: &mut Turn<'_>, set: &ReplicaSet, delay_seconds: u32) -> bool {
    if delay_seconds == 0 {
        return true;
    }
    match deadline(set) {
        Some(until) if turn.now >= until => true,
        Some(until) => {
            turn.wake(until);
            turn.hold(Hold::ScaleDownDelay {
                replica_set: set.name.clone(),
                until,
            });
            false
        }
        None => {
            let until = whole_second_up(turn.now + SignedDuration::from_secs(i64::from(delay_seconds)));
            let annotations = json!({ (DEADLINE_ANNOTATION): Time::from(until).to_string() });
            patch(turn, set, None, json!({ "metadata": { "annotations": annotations } }));
            false
        }
    }
}

pub(super) fn deadline(set: &ReplicaSet) -> Option<Timestamp> {
    set.annotations.get(DEADLINE_ANNOTATION)?.parse().ok()
}

/// Whether the Rollout's size has changed since this ReplicaSet was last scaled.
pub(super) fn is_resized(context: &Context<'_>, set: &ReplicaSet) -> bool {
    set.annotations
        .get(DESIRED_ANNOTATION)
        .and_then(|text| text.parse().ok())
        != Some(context.replicas)
}

/// Times in objects have whole seconds; a deadline rounds up, so that no delay is shorter than asked for.
pub(super) fn whole_second_up(at: Timestamp) -> Timestamp {
    let second = at.as_second() + i64::from(at.subsec_nanosecond() > 0);
    Timestamp::from_second(second).unwrap_or(at)
}

/// Deletes the oldest empty ReplicaSet beyond the history limit: never the new, the stable, or one that traffic may reach.
pub(super) fn collect<'a>(turn: &mut Turn<'a>, context: &Context<'a>, traffic: &Traffic<'a>, status: &RolloutStatus) {
    if turn.is_spent() || !is_complete(context, status) {
        return;
    }
    let limit = context
        .rollout
        .spec
        .revision_history_limit
        .map_or(10, |limit| usize::try_from(limit).unwrap_or(0));
    let is_gone = |set: &&ReplicaSet| set.wanted == 0 && set.replicas == 0 && set.owner == Owner::Ours;
    let Some(set) = context.older(status).into_iter().skip(limit).rfind(is_gone) else {
        return;
    };
    if traffic.need(turn, &set.hash).is_nothing() {
        turn.effects.push(Effect::DeleteReplicaSet {
            name: set.name.clone(),
            uid: set.uid.clone(),
            resource_version: set.resource_version.clone(),
        });
    }
}
