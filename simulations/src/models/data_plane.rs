//! Proxies that follow routes and endpoints in their own time, and the requests that flow through them.
//!
//! Requests are not played one by one: between two changes the flow is constant, so it is counted as rate times time. A
//! request is lost when the proxy has no endpoint for the Service that it chose, or when the pod that it chose has ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::clock::whole_seconds;
use crate::kernel::{Actor, Kernel};
use crate::models::Models;
use crate::models::endpoints::Backend;
use crate::models::pods::{Pod, PodId, Pods};
use crate::series::{Behaviour, Latency, Passage};
use crate::store::{Key, Kind, Part, Writer};

/// Where requests enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Through an HTTPRoute.
    Route(Key),
    /// Through a Service.
    Service(Key),
}

/// A steady stream of requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// Where they enter.
    pub entry: Entry,
    /// Requests in a second.
    pub per_second: f64,
    /// When they begin.
    pub from: Timestamp,
    /// Changes of their rate, in order.
    pub ramps: Vec<Ramp>,
}

/// A change of a rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Ramp {
    /// When it begins.
    pub at: Timestamp,
    /// How long it takes.
    pub over: SignedDuration,
    /// The rate at its end, in a second.
    pub per_second: f64,
}

impl Flow {
    /// The rate at a time, in a second.
    fn rate(&self, at: Timestamp) -> f64 {
        if at < self.from {
            return 0.0;
        }
        let mut rate = self.per_second;
        for ramp in self.ramps.iter().take_while(|ramp| ramp.at <= at) {
            let (part, whole) = (at.duration_since(ramp.at).as_secs_f64(), ramp.over.as_secs_f64());
            rate = if part >= whole {
                ramp.per_second
            } else {
                rate + (ramp.per_second - rate) * part / whole
            };
        }
        rate
    }

    /// Requests from one time to another. Between two breaks the rate is a straight line.
    pub(super) fn requests(&self, from: Timestamp, until: Timestamp) -> f64 {
        let breaks = self.ramps.iter().flat_map(|ramp| [ramp.at, ramp.at + ramp.over]);
        let mut points: Vec<Timestamp> = breaks.filter(|at| from < *at && *at < until).collect();
        points.push(until);
        points.sort_unstable();
        let (mut sum, mut last) = (0.0, from.max(self.from));
        for point in points.into_iter().filter(|point| *point > self.from) {
            // Just before a break: a change at once counts from it on.
            let middle = last + (point.duration_since(last)) / 2;
            sum += self.rate(middle) * point.duration_since(last).as_secs_f64();
            last = point;
        }
        sum
    }
}

/// Why requests were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LossReason {
    /// The route has no weight at all, or is gone.
    NoRoute,
    /// The Service that was chosen has no ready endpoint.
    NoEndpoint,
    /// The pod that was chosen has ended after it was deleted.
    PodEnded,
    /// The pod that was chosen has crashed, or its node is lost: nobody's fault but the pod's or the node's.
    PodDown,
}

/// Requests that were lost for the same reason at the same place, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// When it began.
    pub from: Timestamp,
    /// When it ended.
    pub until: Timestamp,
    /// Why.
    pub reason: LossReason,
    /// Which Service, or which revision.
    pub place: Arc<str>,
    /// How many requests.
    pub requests: f64,
}

/// Requests that reached a version.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Served {
    /// Answered without an error.
    pub ok: f64,
    /// Answered with an error, by the version itself.
    pub errors: f64,
}

/// What became of all requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// By version (image).
    pub served: BTreeMap<Arc<str>, Served>,
    /// By ReplicaSet.
    pub sets: BTreeMap<Key, Served>,
    /// Lost ones, in the order in which they were lost.
    pub losses: Vec<Loss>,
}

impl Totals {
    /// How many requests were lost by anything but crashed pods and lost nodes.
    pub fn lost(&self) -> f64 {
        let lost = self.losses.iter().filter(|loss| loss.reason != LossReason::PodDown);
        lost.fold(0.0, |sum, loss| sum + loss.requests)
    }
}

/// The backends of each rule of a route with their weights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules(pub(crate) Vec<Vec<(Key, u64)>>);

#[derive(Clone, Debug, Default)]
struct Proxy {
    routes: BTreeMap<Key, Arc<Rules>>,
    endpoints: BTreeMap<Key, Arc<Vec<Backend>>>,
    /// Until when changes of an object are on their way: a later one must not overtake an earlier one.
    under_way: BTreeMap<Key, Timestamp>,
}

/// All proxies and what flows through them.
#[derive(Clone, Debug)]
pub(crate) struct DataPlane {
    proxies: Vec<Proxy>,
    pub(super) traffic: Vec<Flow>,
    since: Timestamp,
    pub(crate) totals: Totals,
    /// How long the pods of each ReplicaSet took to answer when they last did.
    pub(crate) latencies: BTreeMap<Key, Latency>,
}

/// Where a share of the requests ends.
pub(super) enum Fate<'a> {
    Served(PodId, &'a Pod),
    Lost(LossReason, Arc<str>),
}

impl DataPlane {
    pub(crate) fn new(proxies: usize, traffic: Vec<Flow>) -> DataPlane {
        assert!(proxies > 0, "requests need a proxy");
        let proxies = vec![Proxy::default(); proxies];
        DataPlane {
            proxies,
            traffic,
            since: crate::clock::START,
            totals: Totals::default(),
            latencies: BTreeMap::new(),
        }
    }

    /// The share of the requests that reach each ReplicaSet now, of those that reach any.
    pub(crate) fn shares(&self, pods: &Pods) -> BTreeMap<Key, f64> {
        let mut shares: BTreeMap<Key, f64> = BTreeMap::new();
        for flow in &self.traffic {
            self.fates(flow, pods, &mut |_, fate, share| {
                if let Fate::Served(_, pod) = fate {
                    *shares.entry(pod.set.clone()).or_default() += share * flow.per_second;
                }
            });
        }
        shares
    }

    /// Calls `meet` with each way and fate, and with their share of the requests of `flow`.
    pub(super) fn fates<'a>(&self, flow: &Flow, pods: &'a Pods, meet: &mut impl FnMut(Passage<'_>, Fate<'a>, f64)) {
        let of_proxy = 1.0 / count(self.proxies.len());
        for (index, proxy) in self.proxies.iter().enumerate() {
            let way = Passage::through(index);
            match &flow.entry {
                Entry::Service(service) => proxy.through_service(way.to(service), of_proxy, pods, meet),
                Entry::Route(route) => {
                    let rules: &[Vec<(Key, u64)>] = proxy.routes.get(route).map_or(&[], |rules| &rules.0);
                    if rules.is_empty() {
                        meet(way, Fate::Lost(LossReason::NoRoute, route.name.clone()), of_proxy);
                    }
                    for (index, rule) in rules.iter().enumerate() {
                        let way = way.by_rule(index);
                        let of_rule = of_proxy / count(rules.len());
                        let total: u64 = rule.iter().map(|(_, weight)| weight).sum();
                        if total == 0 {
                            meet(way, Fate::Lost(LossReason::NoRoute, route.name.clone()), of_rule);
                        }
                        let backends = rule.iter().enumerate().filter(|(_, (_, weight))| *weight > 0);
                        for (index, (service, weight)) in backends {
                            let way = way.by_backend(index).to(service);
                            proxy.through_service(way, of_rule * share(*weight, total), pods, meet);
                        }
                    }
                }
            }
        }
    }
}

impl Proxy {
    fn through_service<'a>(
        &self,
        way: Passage<'_>,
        part: f64,
        pods: &'a Pods,
        meet: &mut impl FnMut(Passage<'_>, Fate<'a>, f64),
    ) {
        let Some(service) = way.service else { return };
        let backends: &[Backend] = self.endpoints.get(service).map_or(&[], |backends| backends);
        if backends.is_empty() {
            meet(way, Fate::Lost(LossReason::NoEndpoint, service.name.clone()), part);
        }
        for backend in backends {
            let fate = match pods.get(backend.pod) {
                Some(pod) if pod.serving => Fate::Served(backend.pod, pod),
                Some(_) => Fate::Lost(LossReason::PodDown, backend.hash.clone()),
                None => Fate::Lost(LossReason::PodEnded, backend.hash.clone()),
            };
            meet(way.into_pod(backend), fate, part / count(backends.len()));
        }
    }

    /// When a change of an object that is sent now arrives, after those sent before.
    fn arrival(&mut self, kernel: &mut Kernel, key: &Key, lag: &crate::random::Millis) -> Timestamp {
        let at = kernel.clock.now() + kernel.random.millis(lag);
        let last = self.under_way.entry(key.clone()).or_insert(at);
        *last = at.max(*last);
        *last
    }
}

impl Models {
    /// Counts the requests since the last change. To be called before anything changes that requests depend on.
    pub(crate) fn disturb(&mut self, now: Timestamp) {
        let from = self.plane.since;
        self.plane.since = now;
        if now <= from || self.plane.traffic.is_empty() {
            return;
        }
        let strained = self.strained(from, now);
        let mut served: Vec<(PodId, f64, Behaviour)> = Vec::new();
        let mut lost: Vec<(LossReason, Arc<str>, f64)> = Vec::new();
        self.history.alive(from, now, self.pods.iter());
        for flow in &self.plane.traffic {
            let requests = flow.requests(from, now);
            if requests == 0.0 {
                continue;
            }
            let from = from.max(flow.from);
            let seconds = now.duration_since(from).as_secs_f64();
            let (Entry::Route(entry) | Entry::Service(entry)) = &flow.entry;
            self.plane.fates(flow, &self.pods, &mut |way, fate, share| {
                let per_second = requests * share / seconds;
                match fate {
                    Fate::Served(id, pod) => {
                        let usual = || self.config.behaviour(&pod.version, pod.is_first);
                        let behaviour = strained.get(&id).copied().unwrap_or_else(usual);
                        served.push((id, share * requests, behaviour));
                        self.history
                            .pass(entry, way, None, per_second, Some((pod.crashes, behaviour)));
                    }
                    Fate::Lost(reason, place) => {
                        self.history.pass(entry, way, Some(reason), per_second, None);
                        lost.push((reason, place, share * requests));
                    }
                }
            });
            self.history.passed(from, now);
        }
        for (id, requests, behaviour) in served {
            let pod = self.pods.get(id).expect("a pod that serves is there");
            let errors = requests * behaviour.error_rate;
            self.plane.latencies.insert(pod.set.clone(), behaviour.latency);
            let totals = &mut self.plane.totals;
            let of_image = totals.served.entry(pod.version.clone()).or_default();
            let of_set = totals.sets.entry(pod.set.clone()).or_default();
            for count in [of_image, of_set] {
                count.ok += requests - errors;
                count.errors += errors;
            }
        }
        let losses = &mut self.plane.totals.losses;
        for (reason, place, requests) in lost {
            let open = losses
                .iter_mut()
                .rev()
                .find(|loss| loss.reason == reason && loss.place == place);
            match open.filter(|loss| loss.until == from || loss.until == now) {
                Some(loss) => {
                    loss.until = now;
                    loss.requests += requests;
                }
                None => losses.push(Loss {
                    from,
                    until: now,
                    reason,
                    place,
                    requests,
                }),
            }
        }
    }

    pub(crate) fn send_to_proxies(&mut self, kernel: &mut Kernel, service: &Key, backends: &Arc<Vec<Backend>>) {
        for (index, proxy) in self.plane.proxies.iter_mut().enumerate() {
            let at = proxy.arrival(kernel, service, &self.config.proxy_lag);
            let (service, backends) = (service.clone(), backends.clone());
            kernel.clock.at(
                at,
                Actor::ProxyEndpoints {
                    proxy: index,
                    service,
                    backends,
                },
            );
        }
    }

    pub(crate) fn proxy_endpoints(&mut self, now: Timestamp, proxy: usize, service: Key, backends: Arc<Vec<Backend>>) {
        self.disturb(now);
        self.plane.proxies[proxy].endpoints.insert(service, backends);
    }

    pub(crate) fn route_changed(&mut self, kernel: &mut Kernel, key: &Key, object: Option<&Value>) {
        let acknowledged_in = kernel.random.millis(&self.config.acknowledge_lag);
        if object.is_some() && self.config.acknowledges {
            kernel.clock.after(acknowledged_in, Actor::Acknowledge(key.clone()));
        }
        let rules = object.map(|object| Arc::new(rules_of(key, object)));
        for (index, proxy) in self.plane.proxies.iter_mut().enumerate() {
            let at = proxy.arrival(kernel, key, &self.config.proxy_lag) + acknowledged_in;
            proxy.under_way.insert(key.clone(), at);
            kernel.clock.at(
                at,
                Actor::ProxyRoute {
                    proxy: index,
                    route: key.clone(),
                    rules: rules.clone(),
                },
            );
        }
    }

    pub(crate) fn proxy_route(&mut self, now: Timestamp, proxy: usize, route: Key, rules: Option<Arc<Rules>>) {
        self.disturb(now);
        let routes = &mut self.plane.proxies[proxy].routes;
        match rules {
            Some(rules) => drop(routes.insert(route, rules)),
            None => drop(routes.remove(&route)),
        }
    }

    /// Writes the status of a route as it stands.
    pub(crate) fn acknowledge(&mut self, kernel: &mut Kernel, key: &Key) {
        let Some(object) = kernel.store.get(key) else { return };
        let now = kernel.clock.now();
        let missing = rules_of(key, object)
            .0
            .into_iter()
            .flatten()
            .find(|(service, _)| kernel.store.get(service).is_none());
        let generation = &object["metadata"]["generation"];
        let condition = |kind: &str, met: bool, reason: &str, message: &str| {
            json!({"type": kind, "status": if met { "True" } else { "False" }, "reason": reason, "message": message,
                "observedGeneration": generation, "lastTransitionTime": whole_seconds(now).to_string()})
        };
        let resolved = match &missing {
            Some((service, _)) => condition(
                "ResolvedRefs",
                false,
                "BackendNotFound",
                &format!("{service} not found"),
            ),
            None => condition("ResolvedRefs", true, "ResolvedRefs", ""),
        };
        let conditions = json!([condition("Accepted", true, "Accepted", ""), resolved]);
        let parents = object["spec"]["parentRefs"].as_array().into_iter().flatten();
        let parents: Vec<Value> = parents
            .map(|parent| json!({"parentRef": parent, "controllerName": "sluice.dev/virtual-gateway", "conditions": conditions}))
            .collect();
        let patch = json!({"status": {"parents": parents}});
        let written = kernel.store.patch(now, Writer::Cluster, key, Part::Status, &patch);
        debug_assert!(
            written.is_ok(),
            "a patch without preconditions of an object that exists succeeds: {written:?}"
        );
    }
}

/// The backends of each rule: Services with their weights, 1 where none is given.
pub(crate) fn rules_of(route: &Key, object: &Value) -> Rules {
    let backend = |backend: &Value| {
        let namespace = backend["namespace"].as_str().unwrap_or(&route.namespace);
        let service = Key::new(Kind::Service, namespace, backend["name"].as_str()?);
        Some((service, backend["weight"].as_u64().unwrap_or(1)))
    };
    let rules = object["spec"]["rules"].as_array().into_iter().flatten();
    // The requests of a simulation have no headers.
    let asks_for_headers = |rule: &&Value| {
        let matches = rule["matches"].as_array().map_or(&[][..], Vec::as_slice);
        !matches.is_empty() && matches.iter().all(|one| one["headers"].is_array())
    };
    Rules(
        rules
            .filter(|rule| !asks_for_headers(rule))
            .map(|rule| {
                rule["backendRefs"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(backend)
                    .collect()
            })
            .collect(),
    )
}

/// A small count as a divisor.
fn count(count: usize) -> f64 {
    f64::from(u32::try_from(count).expect("a simulation has fewer parts than u32 counts"))
}

#[expect(clippy::cast_precision_loss, reason = "weights are far below 2^52")]
fn share(weight: u64, total: u64) -> f64 {
    weight as f64 / total as f64
}
