//! Which ReplicaSet is which revision.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;
use sluice_crds::{AntiAffinity, BlueGreenStrategy, CanaryStrategy, Rollout, RolloutStatus};
use sluice_traffic::REVISION_LABEL;

use super::{affinity, conditions, metadata, turn::Turn};
use crate::{Ask, Fact, Hold, ReplicaSet, Why, World, hash, validate::Checked, workload};

/// Annotation on a ReplicaSet: identity of the Rollout's pod template that it runs ([`hash::canonical`]).
pub const TEMPLATE_ANNOTATION: &str = "sluice.dev/pod-template";
/// Annotation with the number of a revision, on ReplicaSets and on the Rollout.
pub const REVISION_ANNOTATION: &str = "rollout.argoproj.io/revision";

/// What is known about the Rollout in this decision.
pub(super) struct Context<'a> {
    pub world: &'a World,
    pub rollout: &'a Rollout,
    pub name: &'a str,
    pub namespace: &'a str,
    /// `spec.replicas`, 1 where absent.
    pub replicas: u32,
    /// The pod template, its own or its workload's; `null` where there is none.
    pub template: &'a Value,
    /// All ReplicaSets, oldest revision first.
    pub sets: Vec<&'a ReplicaSet>,
    /// The ReplicaSet of the present template, once it exists.
    pub new: Option<&'a ReplicaSet>,
    /// Its pod template hash, or the one that it will get.
    pub new_hash: String,
    /// What follows from the spec alone.
    pub checked: Arc<Checked>,
    /// Number that the present revision has or gets.
    pub revision: u64,
    /// How often the name of a new ReplicaSet was found to be taken.
    pub collisions: i32,
}

impl<'a> Context<'a> {
    /// Finds the revisions. `Ok(None)` when something had to be asked first.
    pub fn resolve(turn: &mut Turn<'a>, world: &'a World) -> Result<Option<Context<'a>>, Hold> {
        let rollout = &world.rollout;
        let sets = match &world.replica_sets {
            Fact::Known(sets) => sets,
            Fact::Absent => return Err(unknown("the ReplicaSets", Why::Syncing)),
            Fact::Unknown(why) => return Err(unknown("the ReplicaSets", why.clone())),
        };
        let status = rollout.status.as_ref();
        if let Some(Fact::Unknown(why)) = workload::fact(world) {
            return Err(unknown("the workload of spec.workloadRef", why.clone()));
        }
        let template = workload::template(world).unwrap_or(&Value::Null);
        let checked = Checked::new(world);
        turn.memory.checked = Some(checked.clone());
        let template_id = &checked.template_id;
        let mut sets: Vec<&ReplicaSet> = sets.values().filter(|set| !set.deleting).collect();
        sets.sort_by_key(|set| (revision_of(set), set.created_at, &set.name));
        let current = status.and_then(|status| status.current_pod_hash.as_deref());
        let new = match recorded(&sets, template_id, status) {
            Some(set) => Some(set),
            // Without a template nothing new can begin: what was the present revision still is.
            None if template.is_null() => sets.iter().copied().find(|set| Some(set.hash.as_str()) == current),
            None if sets.is_empty() && !was_refused(world, &checked) => None,
            None => match turn.defaults(template_id) {
                None => return Ok(None),
                Some(Fact::Known(defaults)) => sets.iter().copied().find(|set| same_template(set, defaults)),
                // `validate` makes a problem of it, so that no revision is begun.
                Some(Fact::Unknown(Why::Refused(_))) => None,
                Some(Fact::Absent) => {
                    return Err(unknown(
                        "the pod template with defaults",
                        Why::Failed("no answer".to_owned()),
                    ));
                }
                Some(Fact::Unknown(why)) => return Err(unknown("the pod template with defaults", why.clone())),
            },
        };
        let name = rollout.metadata.name.as_deref().unwrap_or_default();
        let recorded_collisions = status.and_then(|status| status.collision_count).unwrap_or(0);
        let (new_hash, collisions) = match new {
            Some(set) => {
                turn.memory.taken.clear();
                (set.hash.clone(), recorded_collisions)
            }
            None => free_hash(world, name, template, recorded_collisions),
        };
        let highest = sets.iter().map(|set| revision_of(set)).max().unwrap_or(0);
        let revision = match new {
            Some(set) if revision_of(set) == highest && highest > 0 => highest,
            _ => highest + 1,
        };
        Ok(Some(Context {
            world,
            rollout,
            name,
            namespace: rollout.metadata.namespace.as_deref().unwrap_or_default(),
            replicas: rollout
                .spec
                .replicas
                .map_or(1, |replicas| u32::try_from(replicas).unwrap_or(0)),
            template,
            sets,
            new,
            new_hash,
            checked,
            revision,
            collisions,
        }))
    }

    /// The ReplicaSet with a pod template hash.
    pub fn set(&self, hash: &str) -> Option<&'a ReplicaSet> {
        self.sets
            .iter()
            .copied()
            .find(|set| !hash.is_empty() && set.hash == hash)
    }

    /// The stable ReplicaSet, by the status.
    pub fn stable(&self, status: &RolloutStatus) -> Option<&'a ReplicaSet> {
        self.set(status.stable_rs.as_deref().unwrap_or_default())
    }

    /// ReplicaSets that are neither the new nor the stable one, newest revision first.
    pub fn older(&self, status: &RolloutStatus) -> Vec<&'a ReplicaSet> {
        let stable = status.stable_rs.as_deref().unwrap_or_default();
        self.sets
            .iter()
            .rev()
            .copied()
            .filter(|set| set.hash != self.new_hash && set.hash != stable)
            .collect()
    }

    pub fn canary(&self) -> Option<&'a CanaryStrategy> {
        self.rollout.spec.canary()
    }

    pub fn blue_green(&self) -> Option<&'a BlueGreenStrategy> {
        self.rollout.spec.blue_green()
    }

    /// How pods of the new revision keep away from those of the stable one.
    pub fn anti_affinity(&self) -> Option<&'a AntiAffinity> {
        match (self.canary(), self.blue_green()) {
            (Some(canary), _) => canary.anti_affinity.as_ref(),
            (None, blue_green) => blue_green?.anti_affinity.as_ref(),
        }
    }

    /// Whether a router splits the traffic (and not the number of pods).
    pub fn has_router(&self) -> bool {
        self.canary().is_some_and(|canary| canary.traffic_routing.is_some())
    }

    /// Available pods of the new revision.
    pub fn new_available(&self) -> u32 {
        self.new.map_or(0, |set| set.available)
    }

    /// Name of the new ReplicaSet, also before it exists.
    pub fn new_name(&self) -> String {
        self.new
            .map_or_else(|| format!("{}-{}", self.name, self.new_hash), |set| set.name.clone())
    }

    /// Key of an event: what tells this occurrence from later ones.
    pub fn event_key(&self, detail: &str) -> String {
        format!("{}/{detail}", self.revision)
    }
}

/// Whether the update is over (or was undone): the present template is the stable one.
pub(super) fn is_complete(context: &Context<'_>, status: &RolloutStatus) -> bool {
    status.stable_rs.as_deref() == Some(context.new_hash.as_str())
}

/// Whether the API server refused this template, or may have told so to an earlier process: the status tells of an invalid
/// spec then, and nothing else is wrong with it.
fn was_refused(world: &World, checked: &Checked) -> bool {
    let ask = Ask::Defaults {
        template: checked.template_id.clone(),
    };
    let was_invalid = world.rollout.status.as_ref().is_some_and(conditions::is_invalid);
    world.answers.contains_key(&ask) || was_invalid && checked.problems.is_empty()
}

/// The hash of a template whose ReplicaSet has no name that is known to be taken, and the number of collisions that led to it.
fn free_hash(world: &World, rollout: &str, template: &Value, recorded: i32) -> (String, i32) {
    let mut collisions = recorded.max(0);
    loop {
        let hash = hash::short(template, collisions.unsigned_abs());
        let replica_set = format!("{rollout}-{hash}");
        if !world.memory.taken.contains(&replica_set) {
            return (hash, collisions);
        }
        collisions += 1;
    }
}

pub(super) fn revision_of(set: &ReplicaSet) -> u64 {
    set.annotations
        .get(REVISION_ANNOTATION)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

fn unknown(what: &str, why: Why) -> Hold {
    Hold::Unknown {
        what: what.to_owned(),
        why,
    }
}

/// The ReplicaSet that records this template. Of several, the one that the status calls current, then stable, then the oldest.
fn recorded<'a>(sets: &[&'a ReplicaSet], template_id: &str, status: Option<&RolloutStatus>) -> Option<&'a ReplicaSet> {
    let is = |hash: Option<&String>, set: &ReplicaSet| hash.is_some_and(|hash| *hash == set.hash);
    sets.iter()
        .copied()
        .filter(|set| {
            set.annotations
                .get(TEMPLATE_ANNOTATION)
                .is_some_and(|recorded| recorded == template_id)
        })
        .max_by_key(|set| {
            let current = is(status.and_then(|status| status.current_pod_hash.as_ref()), set);
            let stable = is(status.and_then(|status| status.stable_rs.as_ref()), set);
            (current, stable, std::cmp::Reverse((set.created_at, set.name.clone())))
        })
}

/// Whether a ReplicaSet's template equals one with defaults; what we add is left aside: the hash label, labels and
/// annotations of a role, the anti-affinity.
fn same_template(set: &ReplicaSet, other: &Value) -> bool {
    let strip = |template: &Value| {
        let mut template = template.clone();
        metadata::strip(set, &mut template);
        if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            labels.remove(REVISION_LABEL);
        }
        affinity::strip(&mut template);
        hash::canonical(&template)
    };
    strip(&set.template) == strip(other)
}

/// Labels of the pod template.
pub(super) fn template_labels(template: &Value) -> BTreeMap<String, String> {
    let labels = template.pointer("/metadata/labels").and_then(Value::as_object);
    labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}
