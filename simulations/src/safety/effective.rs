//! What proxies may be applying now, at worst: every generation of a route and every selector of a Service that has not been
//! replaced for long enough.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::safety::facts::{Share, labels_of};
use crate::store::{Change, Happened, Key, Kind, Writer};

/// The label that tells revisions apart.
pub(super) const HASH: &str = "rollouts-pod-template-hash";

/// Routes and selectors with what came before them.
#[derive(Debug)]
pub(super) struct Effective {
    /// How long a proxy may lag behind an acknowledgement.
    bound: SignedDuration,
    /// Where routes are never acknowledged: after how long that stops to hold back.
    ack_timeout: Option<SignedDuration>,
    /// Services that carry requests without a route.
    direct: Vec<Key>,
    routes: BTreeMap<Key, Vec<Generation<Rules>>>,
    selectors: BTreeMap<Key, Vec<Generation<BTreeMap<String, String>>>>,
}

/// The rules of a route: Services and their weights.
pub(super) type Rules = Vec<Vec<(Key, u64)>>;

#[derive(Debug)]
struct Generation<T> {
    value: Arc<T>,
    /// For routes, `metadata.generation`.
    number: i64,
    written: Timestamp,
    foreign: bool,
    /// When something later was acknowledged.
    replaced: Option<Timestamp>,
}

impl Effective {
    pub(super) fn new(bound: SignedDuration, ack_timeout: Option<SignedDuration>, direct: Vec<Key>) -> Effective {
        Effective {
            bound,
            ack_timeout,
            direct,
            routes: BTreeMap::new(),
            selectors: BTreeMap::new(),
        }
    }

    pub(super) fn see(&mut self, change: &Change) {
        let foreign = !matches!(change.by, Writer::Controller(_));
        if change.happened == Happened::Deleted {
            self.routes.remove(&change.key);
            self.selectors.remove(&change.key);
        } else if change.key.kind == Kind::HttpRoute {
            self.see_route(change, foreign);
        } else {
            let selector = labels_of(&change.object["spec"]["selector"]);
            let generations = self.selectors.entry(change.key.clone()).or_default();
            if generations.last().is_none_or(|last| *last.value != selector) {
                generations.push(Generation {
                    value: Arc::new(selector),
                    number: 0,
                    written: change.at,
                    foreign,
                    replaced: None,
                });
            }
        }
    }

    fn see_route(&mut self, change: &Change, foreign: bool) {
        let number = change.object["metadata"]["generation"].as_i64().unwrap_or(0);
        let generations = self.routes.entry(change.key.clone()).or_default();
        if generations.last().is_none_or(|last| last.number != number) {
            let value = Arc::new(rules_of(&change.key, &change.object));
            generations.push(Generation {
                value,
                number,
                written: change.at,
                foreign,
                replaced: None,
            });
            if let Some(timeout) = self.ack_timeout {
                let before = generations.len() - 1;
                for earlier in &mut generations[..before] {
                    earlier.replaced.get_or_insert(change.at + timeout);
                }
            }
        }
        let parents = change.object["status"]["parents"].as_array().into_iter().flatten();
        let conditions = parents.flat_map(|parent| parent["conditions"].as_array().into_iter().flatten());
        let acknowledged = conditions
            .filter_map(|condition| condition["observedGeneration"].as_i64())
            .min();
        for earlier in generations
            .iter_mut()
            .filter(|earlier| acknowledged.is_some_and(|number| earlier.number < number))
        {
            earlier.replaced.get_or_insert(change.at);
        }
    }

    pub(super) fn selector_acknowledged(&mut self, now: Timestamp, service: &Key) {
        let Some(generations) = self.selectors.get_mut(service) else {
            return;
        };
        let before = generations.len().saturating_sub(1);
        for earlier in &mut generations[..before] {
            earlier.replaced.get_or_insert(now);
        }
    }

    /// All sets of rules that some proxy may be applying; a Service that carries requests without a route is a rule of its
    /// own. What others have written since `basis` is left out.
    pub(super) fn live_rules(&self, now: Timestamp, basis: Timestamp) -> Vec<Arc<Rules>> {
        let routes = self
            .routes
            .values()
            .flat_map(|generations| live(generations, now, basis, self.bound));
        let direct = self
            .direct
            .iter()
            .map(|service| Arc::new(vec![vec![(service.clone(), 1)]]));
        routes.chain(direct).collect()
    }

    /// All selectors of a Service that some proxy may be following.
    pub(super) fn live_selectors(
        &self,
        service: &Key,
        now: Timestamp,
        basis: Timestamp,
    ) -> Vec<Arc<BTreeMap<String, String>>> {
        self.selectors
            .get(service)
            .map(|generations| live(generations, now, basis, self.bound).collect())
            .unwrap_or_default()
    }
}

fn live<T>(
    generations: &[Generation<T>],
    now: Timestamp,
    basis: Timestamp,
    bound: SignedDuration,
) -> impl Iterator<Item = Arc<T>> {
    let unseen = move |generation: &Generation<T>| generation.foreign && generation.written >= basis;
    generations
        .iter()
        .filter(move |generation| {
            !unseen(generation) && generation.replaced.is_none_or(|replaced| replaced + bound > now)
        })
        .map(|generation| generation.value.clone())
}

/// The backends of each rule of a route.
pub(super) fn rules_of(route: &Key, object: &Value) -> Rules {
    let mut rules = Vec::new();
    for rule in object["spec"]["rules"].as_array().into_iter().flatten() {
        let mut backends = Vec::new();
        for backend in rule["backendRefs"].as_array().into_iter().flatten() {
            let namespace = backend["namespace"].as_str().unwrap_or(&route.namespace);
            let name = backend["name"].as_str().unwrap_or_default();
            backends.push((
                Key::new(Kind::Service, namespace, name),
                backend["weight"].as_u64().unwrap_or(1),
            ));
        }
        rules.push(backends);
    }
    rules
}

/// The share that a revision gets of a rule, if each Service in `reaching` leads to it.
pub(super) fn share(rule: &[(Key, u64)], reaching: impl Fn(&Key) -> bool) -> Share {
    let total = rule.iter().map(|(_, weight)| weight).sum();
    let weight = rule
        .iter()
        .filter(|(service, _)| reaching(service))
        .map(|(_, weight)| weight)
        .sum();
    Share { weight, total }
}

/// Whether a selector selects pods with these labels. An empty one selects nothing.
pub(super) fn selects(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}
