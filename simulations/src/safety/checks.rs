//! What must be true of writes on ReplicaSets, Services and routes.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::safety::effective::{HASH, rules_of, selects, share};
use crate::safety::facts::{Facts, Set, Share, labels_of};
use crate::safety::{History, Safety, Write};
use crate::store::{Happened, Key, Kind};

/// Invariants that a write breaks, and why.
pub(super) type Broken = Vec<(&'static str, String)>;

impl Write<'_> {
    fn available(&self, key: &Key, set: &Set) -> u64 {
        set.available(key, self.models, self.now, self.basis)
    }
}

/// Adds a violation if a predicate is broken for every version of the Rollout that the controller could have known.
fn require(
    broken: &mut Broken,
    versions: &[Facts],
    invariant: &'static str,
    problem: impl Fn(&Facts) -> Option<String>,
) {
    let problems: Vec<String> = versions.iter().map_while(&problem).collect();
    if problems.len() == versions.len()
        && let Some(why) = problems.into_iter().next_back()
    {
        broken.push((invariant, why));
    }
}

impl Safety {
    pub(super) fn check_set(&self, write: &Write<'_>, broken: &mut Broken) {
        let (key, object) = (&write.change.key, &write.change.object);
        let Some(rollout) = self.rollout_of_set(object) else {
            return;
        };
        let history = &self.rollouts[&rollout];
        let versions = history.since(write.basis);
        let Some(set) = self.sets.get(key) else { return };
        let wanted = match write.change.happened {
            Happened::Added => return,
            Happened::Modified => object["spec"]["replicas"].as_u64().unwrap_or(1),
            Happened::Deleted => {
                require(broken, &versions, "S15", |facts| {
                    let named = facts.stable == set.hash || facts.revision == set.hash;
                    (named || set.wanted > 0).then(|| format!("{key} is deleted although it is in use"))
                });
                0
            }
        };
        if let Some(before) = &write.change.before
            && without_metadata(&before["spec"]["template"]) != without_metadata(&object["spec"]["template"])
        {
            broken.push(("S11", format!("the template of {key} is changed")));
        }
        if wanted < set.wanted {
            self.check_lowered(write, set, wanted, &versions, broken);
        } else if wanted > set.wanted {
            require(broken, &versions, "S9", |facts| {
                let scaled = history
                    .replicas_at_abort
                    .is_some_and(|replicas| replicas != facts.replicas);
                let aborted = facts.aborted && facts.revision == set.hash && facts.stable != set.hash;
                (aborted && !scaled)
                    .then(|| format!("{key} of the aborted revision grows from {} to {wanted}", set.wanted))
            });
        }
        if wanted != set.wanted {
            check_paused(history, &versions, broken, |facts| {
                (facts.revision == set.hash)
                    .then(|| format!("{key} is scaled from {} to {wanted} in a pause", set.wanted))
            });
        }
    }

    fn check_lowered(&self, write: &Write<'_>, set: &Set, wanted: u64, versions: &[Facts], broken: &mut Broken) {
        let key = &write.change.key;
        let before = set.seen_available(write.basis);
        let after = before.min(wanted);
        self.check_reachable(write, versions, broken, &|other, set| {
            if other == key {
                (before, after)
            } else {
                (write.available(other, set), write.available(other, set))
            }
        });
        require(broken, versions, "S3", |facts| {
            if !facts.has_router && !facts.blue_green {
                let floor = facts.replicas.saturating_sub(facts.max_unavailable);
                let total: u64 = self
                    .sets
                    .beside(key)
                    .map(|(other, set)| {
                        if other == key {
                            after
                        } else {
                            write.available(other, set)
                        }
                    })
                    .sum();
                return (total < floor && after < before)
                    .then(|| format!("{key} to {wanted}: {total} pods would be available, {floor} are needed"));
            }
            if facts.scales_canary && facts.stable != set.hash {
                return None;
            }
            let share = self.largest_share(write, set)?;
            let capacity = facts.capacity(share);
            (capacity > wanted).then(|| {
                format!(
                    "{key} to {wanted}: it may still get {}/{} of the traffic, which needs {capacity}",
                    share.weight, share.total
                )
            })
        });
        require(broken, versions, "S4", |facts| {
            let floor = (facts.has_router && !facts.dynamic_stable) || facts.blue_green;
            (floor && facts.stable == set.hash && wanted < facts.replicas)
                .then(|| format!("{key} is stable and is lowered to {wanted} of {}", facts.replicas))
        });
    }

    /// The largest share that a revision may be getting. Services that select pods of all revisions do not count.
    fn largest_share(&self, write: &Write<'_>, set: &Set) -> Option<Share> {
        let leads = |service: &Key| {
            let selectors = self.effective.live_selectors(service, write.now, write.basis);
            selectors
                .iter()
                .any(|selector| selector.contains_key(HASH) && selects(selector, &set.labels))
        };
        let rules = self.effective.live_rules(write.now, write.basis);
        let shares = rules
            .iter()
            .flat_map(|rules| rules.iter())
            .map(|rule| share(rule, leads));
        shares
            .filter(|share| share.weight > 0)
            .reduce(|a, b| if b.is_more_than(a) { b } else { a })
    }

    /// S1: every Service that may get requests leads to an available pod. `available` tells before and after the write.
    fn check_reachable(
        &self,
        write: &Write<'_>,
        versions: &[Facts],
        broken: &mut Broken,
        available: &dyn Fn(&Key, &Set) -> (u64, u64),
    ) {
        let mut checked = std::collections::BTreeSet::new();
        for rules in self.effective.live_rules(write.now, write.basis) {
            for (service, _) in rules.iter().flatten().filter(|(_, weight)| *weight > 0) {
                if !checked.insert(service.clone()) {
                    continue;
                }
                for selector in self.effective.live_selectors(service, write.now, write.basis) {
                    let selected = self
                        .sets
                        .beside(service)
                        .filter(|(_, set)| selects(&selector, &set.labels));
                    let (before, after) = selected
                        .map(|(key, set)| available(key, set))
                        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
                    require(broken, versions, "S1", |facts| {
                        (facts.replicas > 0 && after == 0 && before > 0)
                            .then(|| format!("{} leaves {service} without an available pod", write.change.key))
                    });
                }
            }
        }
    }

    pub(super) fn check_service(&self, write: &Write<'_>, broken: &mut Broken) {
        let (key, object) = (&write.change.key, &write.change.object);
        let Some(before) = &write.change.before else { return };
        let selector = labels_of(&object["spec"]["selector"]);
        if selector == labels_of(&before["spec"]["selector"]) {
            return;
        }
        // What a Rollout no longer names, or has left behind, may be given back: then it leads to pods of every revision.
        let annotations = labels_of(&object["metadata"]["annotations"]);
        let manager = annotations.get("argo-rollouts.argoproj.io/managed-by-rollouts");
        let is_left = manager.is_none_or(|name| !self.rollouts.contains_key(&key.beside(Kind::Rollout, name)));
        let is_given_back = !selector.contains_key(HASH) && is_left;
        let Some(rollout) = self.rollout_of_service(key) else {
            if is_given_back {
                return;
            }
            return broken.push(("S6", format!("{key} belongs to no Rollout")));
        };
        let history = &self.rollouts[&rollout];
        let versions = history.since(write.basis);
        let hash = selector.get(HASH).cloned().unwrap_or_default();
        require(broken, &versions, "S6", |facts| {
            let stable = facts.stable_service.as_deref() == Some(&*key.name) && !facts.blue_green;
            let allowed = hash == facts.stable || (hash == facts.revision && (!stable || facts.stable.is_empty()));
            (!allowed).then(|| {
                format!(
                    "{key} is made to select {hash}; stable is {}, present is {}",
                    facts.stable, facts.revision
                )
            })
        });
        if history.switches.get(key).is_some_and(|count| *count > 0) && !self.is_retreat(write) {
            broken.push(("S6", format!("the selector of {key} is written twice in one phase")));
        }
        self.check_switched(write, &selector, &versions, broken);
    }

    /// Whether a switch leaves a revision that could not carry the traffic: that its pods went is nobody's fault.
    pub(super) fn is_retreat(&self, write: &Write<'_>) -> bool {
        let Some(rollout) = self.rollout_of_service(&write.change.key) else {
            return false;
        };
        let everything = Share { weight: 1, total: 1 };
        let needed = self.rollouts[&rollout].now().needed(everything);
        self.left_available(write).is_some_and(|available| available < needed)
    }

    /// The fewest available pods that the controller may have seen behind a Service before the switch.
    fn left_available(&self, write: &Write<'_>) -> Option<u64> {
        let before = write.change.before.as_ref()?;
        let selector = labels_of(&before["spec"]["selector"]);
        let left = self.sets.beside(&write.change.key);
        let left = left.filter(|(_, set)| selects(&selector, &set.labels));
        Some(
            left.map(|(key, set)| set.least_available(key, write.models, write.now, write.basis))
                .sum(),
        )
    }

    /// S1 and S2 of a switch: the revision that the Service leads to now must carry what the Service may get.
    fn check_switched(
        &self,
        write: &Write<'_>,
        selector: &BTreeMap<String, String>,
        versions: &[Facts],
        broken: &mut Broken,
    ) {
        let key = &write.change.key;
        let selected: Vec<(&Key, &Set)> = self
            .sets
            .beside(key)
            .filter(|(_, set)| selects(selector, &set.labels))
            .collect();
        let available: u64 = selected.iter().map(|(key, set)| write.available(key, set)).sum();
        // To leave a revision that could not carry the traffic for one that carries no less is no loss.
        let is_no_loss = self.is_retreat(write) && self.left_available(write).is_some_and(|left| left <= available);
        for rules in self.effective.live_rules(write.now, write.basis) {
            for rule in rules
                .iter()
                .filter(|rule| rule.iter().any(|(service, weight)| service == key && *weight > 0))
            {
                let leads = |service: &Key| {
                    let selectors = self.effective.live_selectors(service, write.now, write.basis);
                    service == key
                        || selectors.iter().any(|other| {
                            selected
                                .iter()
                                .any(|(_, set)| other.contains_key(HASH) && selects(other, &set.labels))
                        })
                };
                let share = share(rule, leads);
                let others = self.others_available(write, rule, &selected);
                require(broken, versions, "S1", |facts| {
                    (facts.replicas > 0 && available == 0 && others > 0)
                        .then(|| format!("{key} is switched to a revision without available pods"))
                });
                require(broken, versions, "S2", |facts| {
                    let needed = if facts.aborted || facts.stable.is_empty() {
                        1
                    } else {
                        facts.needed(share)
                    };
                    (available < needed && available > 0 && !is_no_loss).then(|| {
                        format!("{key} is switched to {available} available pods for {}/{} of the traffic, which needs {needed}", share.weight, share.total)
                    })
                });
            }
        }
    }

    /// Available pods of all other revisions to which the Services of a rule lead.
    fn others_available(&self, write: &Write<'_>, rule: &[(Key, u64)], selected: &[(&Key, &Set)]) -> u64 {
        let Some((first, _)) = rule.first() else { return 0 };
        let reached = |set: &Set| {
            rule.iter().any(|(service, _)| {
                let selectors = self.effective.live_selectors(service, write.now, write.basis);
                selectors.iter().any(|selector| selects(selector, &set.labels))
            })
        };
        let others = self
            .sets
            .beside(first)
            .filter(|(key, set)| selected.iter().all(|(one, _)| one != key) && reached(set));
        others.map(|(key, set)| write.available(key, set)).sum()
    }

    pub(super) fn check_route(&self, write: &Write<'_>, broken: &mut Broken) {
        let (key, object) = (&write.change.key, &write.change.object);
        let Some(before) = &write.change.before else { return };
        if masked(before) != masked(object) {
            broken.push(("S5", format!("{key}: more than weights and our annotations is changed")));
        }
        let (old, new) = (rules_of(key, before), rules_of(key, object));
        if old == new {
            return;
        }
        let rollout = new
            .iter()
            .flatten()
            .find_map(|(service, _)| self.rollout_of_service(service));
        let Some(rollout) = rollout else {
            if !is_given_back(before, object, &new) {
                broken.push(("S5", format!("{key} belongs to no Rollout")));
            }
            return;
        };
        let history = &self.rollouts[&rollout];
        let versions = history.since(write.basis);
        for (rule, before) in new.iter().zip(old.iter().map(Some).chain(std::iter::repeat(None))) {
            if before.is_some_and(|before| before == rule) {
                continue;
            }
            for (set_key, set) in self.sets.beside(key) {
                let leads = |service: &Key| {
                    let selectors = self.effective.live_selectors(service, write.now, write.basis);
                    selectors
                        .iter()
                        .any(|selector| selector.contains_key(HASH) && selects(selector, &set.labels))
                };
                let (from, to) = (share(before.map_or(&[][..], Vec::as_slice), leads), share(rule, leads));
                if to.is_more_than(from) {
                    self.check_raised(write, (set_key, set), rule, to, &versions, broken);
                }
            }
        }
        check_paused(history, &versions, broken, |facts| {
            let excused = history.disturbed_in_pause || self.has_lost_canary(write, facts);
            (!excused).then(|| format!("{key}: weights are changed in a pause"))
        });
    }

    /// Whether the canary Service leads to a revision that has lost all its pods: whatever is done about it then, or when they
    /// are back, is no fault.
    pub(super) fn has_lost_canary(&self, write: &Write<'_>, facts: &Facts) -> bool {
        let Some(name) = &facts.canary_service else {
            return false;
        };
        let service = write.change.key.beside(Kind::Service, name);
        let selectors = self.effective.live_selectors(&service, write.now, write.basis);
        let Some(selector) = selectors.last() else { return false };
        let mut led_to = self
            .sets
            .beside(&service)
            .filter(|(_, set)| selects(selector, &set.labels) && set.wanted > 0)
            .peekable();
        led_to.peek().is_some()
            && led_to.all(|(key, set)| set.least_available(key, write.models, write.now, write.basis) == 0)
    }

    /// S1, S2 and S9 of a revision whose weight rises.
    fn check_raised(
        &self,
        write: &Write<'_>,
        (set_key, set): (&Key, &Set),
        rule: &[(Key, u64)],
        to: Share,
        versions: &[Facts],
        broken: &mut Broken,
    ) {
        let available = write.available(set_key, set);
        let others = self.others_available(write, rule, &[(set_key, set)]);
        require(broken, versions, "S1", |facts| {
            (facts.replicas > 0 && available == 0 && others > 0)
                .then(|| format!("{set_key} gets {}/{} without available pods", to.weight, to.total))
        });
        require(broken, versions, "S2", |facts| {
            let canary = facts.stable != set.hash;
            let needed = if facts.scales_canary && canary {
                1
            } else {
                facts.needed(to)
            };
            // Whoever leaves a revision without pods has nowhere better to go.
            let is_short = available < needed && available > 0 && others > 0;
            (is_short && !self.has_lost_canary(write, facts)).then(|| {
                format!(
                    "{set_key} gets {}/{} of the traffic with {available} available pods, {needed} are needed",
                    to.weight, to.total
                )
            })
        });
        require(broken, versions, "S9", |facts| {
            (facts.aborted && facts.revision == set.hash && facts.stable != set.hash)
                .then(|| format!("{set_key} of the aborted revision gets {}/{}", to.weight, to.total))
        });
    }
}

/// S10: in a pause that nobody has ended, nothing of the canary moves, unless spec.replicas was changed.
/// Whether a route whose Rollout is gone loses a record of ours, and with it the splits of our making.
fn is_given_back(before: &Value, object: &Value, rules: &[Vec<(Key, u64)>]) -> bool {
    let records = |object: &Value| {
        let annotations = labels_of(&object["metadata"]["annotations"]);
        annotations
            .keys()
            .filter(|name| name.starts_with("moving.sluice.dev/"))
            .count()
    };
    let is_whole = |rule: &Vec<(Key, u64)>| rule.iter().filter(|(_, weight)| *weight > 0).count() <= 1;
    records(object) < records(before) && rules.iter().all(is_whole)
}

fn check_paused(
    history: &History,
    versions: &[Facts],
    broken: &mut Broken,
    problem: impl Fn(&Facts) -> Option<String>,
) {
    require(broken, versions, "S10", |facts| {
        let scaled = history.resized_in_pause
            || history
                .replicas_at_pause
                .is_some_and(|replicas| replicas != facts.replicas);
        let superseded = facts.observed_generation != Some(facts.generation);
        (facts.paused_at_step && !facts.aborted && !facts.promoted_fully && !scaled && !superseded)
            .then(|| problem(facts))
            .flatten()
    });
}

/// A pod template without its labels and annotations, which may change for pods that change their role.
fn without_metadata(template: &Value) -> Value {
    template.get("spec").cloned().unwrap_or(Value::Null)
}

/// A route without what the controller may change.
fn masked(route: &Value) -> Value {
    let mut route = route.clone();
    // Rules that steps have added are recorded in an annotation.
    let records: Vec<String> = labels_of(&route["metadata"]["annotations"])
        .into_iter()
        .filter(|(name, _)| name.starts_with("managed-routes.sluice.dev/"))
        .map(|(_, record)| record)
        .collect();
    if let Some(rules) = route["spec"]["rules"].as_array_mut() {
        rules.retain(|rule| {
            let name = rule["name"].as_str().map(|name| format!("\"{name}\""));
            !name.is_some_and(|name| records.iter().any(|record| record.contains(&name)))
        });
    }
    if let Some(metadata) = route["metadata"].as_object_mut() {
        for field in ["resourceVersion", "generation", "managedFields"] {
            metadata.remove(field);
        }
        let mut empty = false;
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations
                .retain(|name, _| !name.contains("sluice.dev/") && !name.starts_with("argo-rollouts.argoproj.io/"));
            empty = annotations.is_empty();
        }
        if empty {
            metadata.remove("annotations");
        }
    }
    for rule in route["spec"]["rules"].as_array_mut().into_iter().flatten() {
        for backend in rule["backendRefs"].as_array_mut().into_iter().flatten() {
            if let Some(backend) = backend.as_object_mut() {
                backend.remove("weight");
            }
        }
    }
    route
}
