//! Labels and annotations that pods have while they play a role: canary and stable, or preview and active.
//!
//! They are part of the ReplicaSet's template, for pods that come, and written on the pods that are there. Which of them are
//! ours is recorded on the ReplicaSet, in Argo Rollouts' own annotation, so that they can be taken off again.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sluice_crds::{PodTemplateMetadata, RolloutStatus};

use super::{context::Context, sets, turn::Turn};
use crate::{Effect, Fact, Pod, ReplicaSet};

/// Annotation on a ReplicaSet: the labels and annotations that its template has for its role, as JSON.
const ANNOTATION: &str = "rollout.argoproj.io/ephemeral-metadata";

type Words = BTreeMap<String, String>;

/// What a role adds to pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RoleMetadata {
    labels: Words,
    annotations: Words,
}

impl RoleMetadata {
    fn new(metadata: Option<&PodTemplateMetadata>) -> RoleMetadata {
        let words = |words: Option<&Words>| words.cloned().unwrap_or_default();
        RoleMetadata {
            labels: words(metadata.and_then(|metadata| metadata.labels.as_ref())),
            annotations: words(metadata.and_then(|metadata| metadata.annotations.as_ref())),
        }
    }

    /// What a ReplicaSet records.
    fn recorded(set: &ReplicaSet) -> RoleMetadata {
        let text = set.annotations.get(ANNOTATION).map_or("", String::as_str);
        let metadata: Option<PodTemplateMetadata> = serde_json::from_str(text).ok();
        RoleMetadata::new(metadata.as_ref())
    }

    fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.annotations.is_empty()
    }

    /// The value of the annotation; `null` takes it away.
    fn record(&self) -> Value {
        if self.is_empty() {
            return Value::Null;
        }
        let mut fields = Map::new();
        for (name, words) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            if !words.is_empty() {
                fields.insert(name.to_owned(), json!(words));
            }
        }
        Value::String(Value::Object(fields).to_string())
    }

    /// Merge patch of metadata that has `former` into one that has this.
    fn patch(&self, former: &RoleMetadata) -> Value {
        let words = |now: &Words, former: &Words| {
            let gone = former.keys().filter(|key| !now.contains_key(*key));
            let gone = gone.map(|key| (key.clone(), Value::Null));
            let new = now.iter().map(|(key, value)| (key.clone(), json!(value)));
            Value::Object(gone.chain(new).collect())
        };
        json!({
            "labels": words(&self.labels, &former.labels),
            "annotations": words(&self.annotations, &former.annotations),
        })
    }

    /// Whether a pod has all of this and nothing that only `former` has.
    fn is_on(&self, pod: &Pod, former: &RoleMetadata) -> bool {
        let fits = |has: &Words, now: &Words, former: &Words| {
            now.iter().all(|(key, value)| has.get(key) == Some(value))
                && former
                    .iter()
                    .all(|(key, value)| now.contains_key(key) || has.get(key) != Some(value))
        };
        fits(&pod.labels, &self.labels, &former.labels)
            && fits(&pod.annotations, &self.annotations, &former.annotations)
    }
}

/// What the pods of the stable revision have, or those of the new one before it is stable.
fn of_role(context: &Context<'_>, is_stable: bool) -> RoleMetadata {
    let metadata = match (context.canary(), context.blue_green()) {
        (Some(canary), _) if is_stable => canary.stable_metadata.as_ref(),
        (Some(canary), _) => canary.canary_metadata.as_ref(),
        (None, Some(blue_green)) if is_stable => blue_green.active_metadata.as_ref(),
        (None, blue_green) => blue_green.and_then(|blue_green| blue_green.preview_metadata.as_ref()),
    };
    RoleMetadata::new(metadata)
}

/// Puts what the new revision's role asks for into its template, and the record of it among the ReplicaSet's annotations.
pub(super) fn inject(context: &Context<'_>, template: &mut Value, annotations: &mut Value) {
    let stable = context
        .rollout
        .status
        .as_ref()
        .and_then(|status| status.stable_rs.as_deref());
    let role = of_role(context, stable.unwrap_or_default().is_empty());
    if role.is_empty() {
        return;
    }
    crate::json::merge(template, &json!({ "metadata": role.patch(&RoleMetadata::default()) }));
    annotations[ANNOTATION] = role.record();
}

/// Takes what a ReplicaSet records as ours off a template.
pub(super) fn strip(set: &ReplicaSet, template: &mut Value) {
    let recorded = RoleMetadata::recorded(set);
    for (name, words) in [("labels", &recorded.labels), ("annotations", &recorded.annotations)] {
        let Some(all) = template
            .pointer_mut(&format!("/metadata/{name}"))
            .and_then(Value::as_object_mut)
        else {
            continue;
        };
        all.retain(|key, _| !words.contains_key(key));
        if all.is_empty()
            && let Some(metadata) = template.pointer_mut("/metadata").and_then(Value::as_object_mut)
        {
            metadata.shift_remove(name);
        }
    }
}

/// Brings the pods and templates of the new and the stable revision to what their roles ask for.
pub(super) fn act(turn: &mut Turn<'_>, context: &Context<'_>, status: &RolloutStatus) {
    let stable = status.stable_rs.as_deref().unwrap_or_default();
    for set in &context.sets {
        let is_stable = set.hash == stable;
        if !is_stable && set.hash != context.new_hash {
            continue;
        }
        let role = of_role(context, is_stable || stable.is_empty());
        let recorded = RoleMetadata::recorded(set);
        let record = role.record();
        if role.is_empty() && recorded.is_empty() {
            turn.memory.dressed.remove(&set.name);
            continue;
        }
        if recorded == role && turn.memory.dressed.get(&set.name) == record.as_str().map(str::to_owned).as_ref() {
            continue;
        }
        // The pods come first: the record tells what is to be taken off them.
        let pods = match turn.pods(set) {
            None => continue,
            Some(Fact::Known(pods)) => pods,
            Some(_) => {
                turn.poll();
                continue;
            }
        };
        let bare: Vec<&Pod> = pods
            .iter()
            .filter(|pod| !pod.deleting && !role.is_on(pod, &recorded))
            .collect();
        turn.effects.extend(bare.iter().map(|pod| Effect::PatchPod {
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            patch: json!({ "metadata": role.patch(&recorded) }),
        }));
        if recorded != role {
            let patch = json!({
                "metadata": { "annotations": { (ANNOTATION): record } },
                "spec": { "template": { "metadata": role.patch(&recorded) } },
            });
            sets::patch(turn, set, None, patch);
        } else if bare.is_empty()
            && let Value::String(record) = record
        {
            turn.memory.dressed.insert(set.name.clone(), record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(labels: &[(&str, &str)]) -> RoleMetadata {
        let words = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        RoleMetadata {
            labels: words.collect(),
            annotations: Words::new(),
        }
    }

    fn pod(labels: &[(&str, &str)]) -> Pod {
        Pod {
            name: "p".to_owned(),
            uid: "u".to_owned(),
            created_at: jiff::Timestamp::UNIX_EPOCH,
            ready: true,
            deleting: false,
            labels: role(labels).labels,
            annotations: Words::new(),
        }
    }

    #[test]
    fn a_change_of_role_takes_off_what_only_the_former_role_has() {
        let (canary, stable) = (
            role(&[("role", "canary"), ("trial", "yes")]),
            role(&[("role", "stable")]),
        );
        let patch = stable.patch(&canary);
        assert_eq!(patch["labels"], json!({ "trial": null, "role": "stable" }));
        let before = pod(&[("app", "shop"), ("role", "canary"), ("trial", "yes")]);
        assert!(canary.is_on(&before, &RoleMetadata::default()));
        assert!(!stable.is_on(&before, &canary));
        assert!(stable.is_on(&pod(&[("app", "shop"), ("role", "stable")]), &canary));
        assert!(!stable.is_on(&pod(&[("role", "stable"), ("trial", "yes")]), &canary));
    }

    #[test]
    fn the_record_is_read_as_it_was_written() {
        let canary = role(&[("role", "canary")]);
        assert_eq!(canary.record(), json!(r#"{"labels":{"role":"canary"}}"#));
        assert_eq!(role(&[]).record(), Value::Null);
    }
}
