//! One observer for the simulator and for real clusters: reads objects as they change and tells how Rollouts move.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

/// Where a Rollout stands, as far as it can be compared between clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stand {
    /// `status.currentStepIndex`.
    pub step: Option<u64>,
    /// The wanted split: `status.canary.weights`, or the revisions that blue-green's Services select.
    pub split: BTreeMap<String, u64>,
    /// `spec.replicas` of its ReplicaSets, by revision.
    pub replicas: BTreeMap<u64, u64>,
    /// `status.phase`.
    pub phase: String,
    /// `status.message`.
    pub reason: String,
}

/// A change of where a Rollout stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When it was seen.
    pub at: Timestamp,
    /// `namespace/name` of the Rollout.
    pub rollout: String,
    /// Where it stands now.
    pub stand: Stand,
}

/// Collects transitions. Feed it with the changes of Rollouts and ReplicaSets in the order of their resourceVersions;
/// other kinds are passed over.
#[derive(Clone, Debug, Default)]
pub struct Observer {
    rollouts: BTreeMap<String, Followed>,
    transitions: Vec<Transition>,
}

#[derive(Clone, Debug, Default)]
struct Followed {
    uid: String,
    status: Value,
    /// By the name of the ReplicaSet: hash, revision, replicas.
    sets: BTreeMap<String, (String, u64, u64)>,
    last: Option<Stand>,
}

impl Observer {
    /// Takes in a change of an object: when it was seen, its kind, the object (for a deletion its last state).
    pub fn see(&mut self, at: Timestamp, kind: &str, object: &Value, deleted: bool) {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        let rollout = match kind {
            "Rollout" => {
                let name = format!("{}/{}", text("namespace"), text("name"));
                if deleted {
                    self.rollouts.remove(&name);
                    return;
                }
                let followed = self.rollouts.entry(name.clone()).or_default();
                text("uid").clone_into(&mut followed.uid);
                followed.status = object["status"].clone();
                name
            }
            "ReplicaSet" => {
                let owners = object["metadata"]["ownerReferences"].as_array();
                let owned_by = |uid: &str| owners.into_iter().flatten().any(|owner| owner["uid"] == uid);
                let owner = self.rollouts.iter_mut().find(|(_, followed)| owned_by(&followed.uid));
                let Some((name, followed)) = owner else { return };
                if deleted {
                    followed.sets.remove(text("name"));
                } else {
                    let revision = object["metadata"]["annotations"]["rollout.argoproj.io/revision"].as_str();
                    let hash = object["metadata"]["labels"]["rollouts-pod-template-hash"]
                        .as_str()
                        .unwrap_or_default();
                    let revision = revision.and_then(|text| text.parse().ok()).unwrap_or(0);
                    let replicas = object["spec"]["replicas"].as_u64().unwrap_or(1);
                    followed
                        .sets
                        .insert(text("name").to_owned(), (hash.to_owned(), revision, replicas));
                }
                name.clone()
            }
            _ => return,
        };
        let followed = self.rollouts.get_mut(&rollout).expect("it was found or made above");
        let stand = followed.stand();
        if followed.last.as_ref() != Some(&stand) {
            followed.last = Some(stand.clone());
            self.transitions.push(Transition { at, rollout, stand });
        }
    }

    /// All transitions so far.
    pub fn transitions(&self) -> &[Transition] {
        &self.transitions
    }

    /// The transitions of one Rollout as lines of text, without times.
    pub fn lines(&self, rollout: &str) -> Vec<String> {
        self.of(rollout).map(std::string::ToString::to_string).collect()
    }

    /// The distinct values of one aspect of a Rollout, in order. What does not depend on which of two independent events
    /// came first can be compared between clusters one aspect at a time.
    pub fn aspect<T: PartialEq>(&self, rollout: &str, aspect: impl Fn(&Stand) -> T) -> Vec<T> {
        let mut values: Vec<T> = self.of(rollout).map(aspect).collect();
        values.dedup();
        values
    }

    fn of(&self, rollout: &str) -> impl Iterator<Item = &Stand> {
        self.transitions
            .iter()
            .filter(move |transition| transition.rollout == rollout)
            .map(|transition| &transition.stand)
    }
}

impl Followed {
    fn stand(&self) -> Stand {
        let status = &self.status;
        let mut replicas = BTreeMap::new();
        for (_, revision, count) in self.sets.values() {
            *replicas.entry(*revision).or_insert(0) += count;
        }
        let text = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
        Stand {
            step: status["currentStepIndex"].as_u64(),
            split: self.split(),
            replicas,
            phase: text("phase"),
            reason: text("message"),
        }
    }

    fn split(&self) -> BTreeMap<String, u64> {
        let mut split = BTreeMap::new();
        let weights = &self.status["canary"]["weights"];
        for role in ["canary", "stable"] {
            if let Some(weight) = weights[role]["weight"].as_u64() {
                split.insert(role.to_owned(), weight);
            }
        }
        for (role, field) in [("active", "activeSelector"), ("preview", "previewSelector")] {
            let hash = self.status["blueGreen"][field].as_str().unwrap_or_default();
            let revision = self
                .sets
                .values()
                .find(|(of, _, _)| !hash.is_empty() && of == hash)
                .map(|(_, revision, _)| *revision);
            if let Some(revision) = revision {
                split.insert(role.to_owned(), revision);
            }
        }
        split
    }
}

impl std::fmt::Display for Stand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.step {
            Some(step) => write!(f, "step {step} |")?,
            None => f.write_str("step - |")?,
        }
        for (role, weight) in &self.split {
            write!(f, " {role} {weight}")?;
        }
        f.write_str(" |")?;
        for (revision, replicas) in &self.replicas {
            write!(f, " r{revision}={replicas}")?;
        }
        write!(f, " | {}", self.phase)?;
        if self.reason.is_empty() {
            Ok(())
        } else {
            write!(f, ": {}", self.reason)
        }
    }
}
