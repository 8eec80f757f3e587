//! What the objects say, as far as the oracle needs it. Read from the JSON, by no code of the machine.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::models::Models;
use crate::store::{Change, Happened, Key};

/// A version of a Rollout.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) replicas: u64,
    pub(super) max_unavailable: u64,
    /// Stable or active Service.
    pub(super) stable_service: Option<String>,
    /// Canary or preview Service.
    pub(super) canary_service: Option<String>,
    pub(super) blue_green: bool,
    pub(super) has_router: bool,
    pub(super) dynamic_stable: bool,
    /// Pods of spec.replicas that are enough for a promotion.
    pub(super) enough: u64,
    /// Whether steps say how many pods the canary has.
    pub(super) scales_canary: bool,
    pub(super) steps: Value,
    pub(super) index: u64,
    /// Hash of the stable revision; empty before there is one.
    pub(super) stable: String,
    /// Hash of the present revision.
    pub(super) revision: String,
    pub(super) aborted: bool,
    pub(super) promoted_fully: bool,
    /// The controller has paused at a pause step, and nobody has resumed.
    pub(super) paused_at_step: bool,
    pub(super) paused_since: Option<Timestamp>,
    pub(super) observed_generation: Option<i64>,
    pub(super) generation: i64,
}

impl Facts {
    pub(super) fn of(rollout: &Value) -> Facts {
        let (spec, status) = (&rollout["spec"], &rollout["status"]);
        let (canary, blue_green) = (&spec["strategy"]["canary"], &spec["strategy"]["blueGreen"]);
        let is_blue_green = blue_green.is_object();
        let replicas = spec["replicas"].as_u64().unwrap_or(1);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let steps = canary["steps"].as_array();
        let has = |field: &str| steps.into_iter().flatten().any(|step| step.get(field).is_some());
        let ping_pong = &canary["pingPong"];
        let (stable_service, canary_service) = if is_blue_green {
            (&blue_green["activeService"], &blue_green["previewService"])
        } else if !ping_pong.is_object() {
            (&canary["stableService"], &canary["canaryService"])
        } else if status["canary"]["stablePingPong"] == "pong" {
            (&ping_pong["pongService"], &ping_pong["pingService"])
        } else {
            (&ping_pong["pingService"], &ping_pong["pongService"])
        };
        let pause = status["pauseConditions"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|pause| pause["reason"] == "CanaryPauseStep");
        Facts {
            replicas,
            max_unavailable: max_unavailable(canary, replicas),
            stable_service: text(stable_service),
            canary_service: text(canary_service),
            blue_green: is_blue_green,
            has_router: canary["trafficRouting"].is_object(),
            dynamic_stable: canary["dynamicStableScale"] == true,
            enough: enough(&canary["replicaProgressThreshold"], replicas),
            scales_canary: has("setCanaryScale"),
            steps: canary["steps"].clone(),
            index: status["currentStepIndex"].as_u64().unwrap_or(0),
            stable: text(&status["stableRS"]).unwrap_or_default(),
            revision: text(&status["currentPodHash"]).unwrap_or_default(),
            aborted: status["abort"] == true,
            promoted_fully: status["promoteFull"] == true,
            paused_at_step: status["controllerPause"] == true && pause.is_some(),
            paused_since: pause.and_then(|pause| pause["startTime"].as_str()?.parse().ok()),
            observed_generation: status["observedGeneration"].as_str().and_then(|text| text.parse().ok()),
            generation: rollout["metadata"]["generation"].as_i64().unwrap_or(0),
        }
    }

    /// Between two changes of this, each selector is written at most once.
    pub(super) fn phase_key(&self) -> (&str, &str, u64, bool, bool, bool) {
        (
            &self.revision,
            &self.stable,
            self.index,
            self.aborted,
            self.paused_at_step,
            self.promoted_fully,
        )
    }

    /// Pods for a share of the traffic.
    pub(super) fn capacity(&self, share: Share) -> u64 {
        if share.total == 0 {
            0
        } else {
            (self.replicas * share.weight).div_ceil(share.total)
        }
    }

    /// Available pods that a revision must have before it gets a share of the traffic.
    pub(super) fn needed(&self, share: Share) -> u64 {
        if share.weight == 0 || self.replicas == 0 {
            return 0;
        }
        let capacity = self.capacity(share);
        (capacity * (self.replicas - self.max_unavailable.min(self.replicas)))
            .div_ceil(self.replicas)
            .max(1)
    }

    /// When the pause in force ends by itself; `None` where a person must end it.
    pub(super) fn pause_ends(&self) -> Option<Timestamp> {
        let duration = &self.steps.get(usize::try_from(self.index).ok()?)?["pause"]["duration"];
        let seconds = match duration {
            Value::Number(seconds) => seconds.as_i64()?,
            Value::String(text) => {
                let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
                let factor = match unit {
                    "" | "s" => 1,
                    "m" => 60,
                    "h" => 3600,
                    _ => return None,
                };
                number.parse::<i64>().ok()? * factor
            }
            _ => return None,
        };
        Some(self.paused_since? + SignedDuration::from_secs(seconds))
    }
}

/// A share of the traffic: weight of total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) weight: u64,
    pub(super) total: u64,
}

impl Share {
    pub(super) fn is_more_than(self, other: Share) -> bool {
        self.weight * other.total.max(1) > other.weight * self.total.max(1)
    }
}

/// 25 % where absent, rounded down; 1 where no surge is allowed either.
fn max_unavailable(canary: &Value, replicas: u64) -> u64 {
    let resolve = |value: &Value, up: bool| {
        let percent = match value {
            Value::Number(count) => return count.as_u64().unwrap_or(0),
            Value::String(text) => text.trim_end_matches('%').parse().unwrap_or(25),
            _ => 25,
        };
        let part = replicas * percent;
        if up { part.div_ceil(100) } else { part / 100 }
    };
    match (
        resolve(&canary["maxUnavailable"], false),
        resolve(&canary["maxSurge"], true),
    ) {
        (0, 0) => 1,
        (unavailable, _) => unavailable,
    }
}

/// All pods, or so many of them as a threshold says.
fn enough(threshold: &Value, replicas: u64) -> u64 {
    let Some(value) = threshold["value"].as_u64() else {
        return replicas;
    };
    let pods = if threshold["type"] == "Percent" {
        (replicas * value).div_ceil(100)
    } else {
        value
    };
    pods.min(replicas)
}

/// What is known of ReplicaSets: what their status proved over time.
#[derive(Debug, Default)]
pub(super) struct Sets {
    all: BTreeMap<Key, Set>,
}

#[derive(Debug)]
pub(super) struct Set {
    pub(super) hash: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) wanted: u64,
    /// Since when how many available pods were proven.
    proven: Vec<(Timestamp, u64)>,
    min_ready: SignedDuration,
}

impl Sets {
    pub(super) fn see(&mut self, change: &Change) {
        if change.happened == Happened::Deleted {
            self.all.remove(&change.key);
            return;
        }
        let object = &change.object;
        let (spec, status) = (&object["spec"], &object["status"]);
        let wanted = spec["replicas"].as_u64().unwrap_or(1);
        let observed = status["observedGeneration"] == object["metadata"]["generation"];
        let known = self
            .all
            .get(&change.key)
            .and_then(|set| set.proven.last())
            .map_or(0, |(_, proven)| *proven);
        let counted = status["availableReplicas"].as_u64().unwrap_or(0).min(wanted);
        // Counts from before the last change of the size prove no more than was proven then.
        let proven = if observed { counted } else { counted.min(known) };
        let set = self.all.entry(change.key.clone()).or_insert_with(|| Set {
            hash: object["metadata"]["labels"][super::effective::HASH]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            labels: labels_of(&spec["template"]["metadata"]["labels"]),
            wanted,
            proven: Vec::new(),
            min_ready: SignedDuration::from_secs(spec["minReadySeconds"].as_i64().unwrap_or(0)),
        });
        set.wanted = wanted;
        set.proven.push((change.at, proven));
    }

    /// The ReplicaSets of a namespace.
    pub(super) fn beside<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = (&'a Key, &'a Set)> {
        self.all.iter().filter(move |(set, _)| set.namespace == key.namespace)
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Set> {
        self.all.get(key)
    }
}

impl Set {
    /// The most available pods that the controller may count on: those that there are, or that were proven since `basis`.
    pub(super) fn available(&self, key: &Key, models: &Models, now: Timestamp, basis: Timestamp) -> u64 {
        let proven = self.proven_since(basis).max().unwrap_or(0);
        self.real(key, models, now).max(proven).min(self.wanted)
    }

    /// The most available pods that the controller may have seen since `basis`. What it can be blamed for taking away.
    pub(super) fn seen_available(&self, basis: Timestamp) -> u64 {
        self.proven_since(basis).max().unwrap_or(0).min(self.wanted)
    }

    /// The fewest available pods that the controller may have seen since `basis`.
    pub(super) fn least_available(&self, key: &Key, models: &Models, now: Timestamp, basis: Timestamp) -> u64 {
        let proven = self.proven_since(basis).min().unwrap_or(0);
        self.real(key, models, now).min(proven)
    }

    fn real(&self, key: &Key, models: &Models, now: Timestamp) -> u64 {
        let is_available = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        models
            .pods
            .of_set(key)
            .filter(|(_, pod)| is_available(pod.available_at(self.min_ready)))
            .count() as u64
    }

    /// What was proven at some time that the controller may take for the present: it has seen everything before `basis`.
    fn proven_since(&self, basis: Timestamp) -> impl Iterator<Item = u64> {
        let first = self.proven.iter().rposition(|(at, _)| *at < basis).unwrap_or(0);
        self.proven[first..].iter().map(|(_, proven)| *proven)
    }
}

pub(super) fn labels_of(labels: &Value) -> BTreeMap<String, String> {
    let entries = labels.as_object().into_iter().flatten();
    entries
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn capacity_rounds_up_and_need_leaves_out_what_may_be_unavailable() {
        let facts = |replicas, max_unavailable| Facts {
            replicas,
            max_unavailable,
            ..Facts::default()
        };
        // replicas, maxUnavailable, weight of 100, capacity, needed
        let rows = [
            (10, 0, 25, 3, 3),
            (10, 2, 50, 5, 4),
            (4, 1, 5, 1, 1),
            (4, 4, 50, 2, 1),
            (0, 0, 50, 0, 0),
            (3, 0, 0, 0, 0),
        ];
        for (replicas, unavailable, weight, capacity, needed) in rows {
            let (facts, share) = (facts(replicas, unavailable), Share { weight, total: 100 });
            assert_eq!(
                (facts.capacity(share), facts.needed(share)),
                (capacity, needed),
                "{replicas} {unavailable} {weight}"
            );
        }
    }

    #[test]
    fn limits_are_read_as_the_api_says() {
        let rows = [
            (json!({}), 10, 2),
            (json!({"maxUnavailable": "50%"}), 5, 2),
            (json!({"maxUnavailable": 3}), 5, 3),
            (json!({"maxUnavailable": 0, "maxSurge": 1}), 5, 0),
            (json!({"maxUnavailable": 0, "maxSurge": 0}), 5, 1),
        ];
        for (canary, replicas, expected) in rows {
            assert_eq!(max_unavailable(&canary, replicas), expected, "{canary}");
        }
    }

    #[test]
    fn a_pause_ends_after_its_duration_or_never() {
        let ends = |pause: Value| {
            let rollout = json!({"spec": {"strategy": {"canary": {"steps": [{"pause": pause}]}}}, "status": {"currentStepIndex": 0,
                "controllerPause": true,
                "pauseConditions": [{"reason": "CanaryPauseStep", "startTime": "2026-01-01T00:00:00Z"}]}});
            Facts::of(&rollout).pause_ends().map(|at| at.to_string())
        };
        assert_eq!(ends(json!({"duration": "2m"})).as_deref(), Some("2026-01-01T00:02:00Z"));
        assert_eq!(ends(json!({"duration": 5})).as_deref(), Some("2026-01-01T00:00:05Z"));
        assert_eq!(ends(json!({})), None);
    }
}
