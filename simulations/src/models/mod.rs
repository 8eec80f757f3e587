//! The rest of the cluster: pods and their controllers, Services and proxies, traffic and metrics.

mod behaviour;
mod data_plane;
mod deployments;
mod endpoints;
mod metrics;
mod pods;
mod replica_sets;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;

use crate::kernel::Kernel;
use crate::random::Millis;
use crate::series::History;
use crate::store::{Change, Happened, Kind};

pub(crate) use data_plane::{DataPlane, Rules, rules_of};
pub use data_plane::{Entry, Flow, Loss, LossReason, Ramp, Served, Totals};
pub(crate) use deployments::sync as sync_deployment;
pub(crate) use endpoints::{Backend, EndpointSlices};
pub use metrics::{MetricAnswer, MetricModel, MetricRule, MetricSource, Outage};
pub use pods::{Health, NEW, Onset, Overload, STABLE, Version};
pub(crate) use pods::{Pod, PodId, Pods};

/// How the modelled parts of the cluster behave. All times are in milliseconds and drawn anew each time.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    /// From a change of a ReplicaSet or its pods to the ReplicaSet controller's look at it.
    pub replica_set_lag: Millis,
    /// From a change of a Service or its pods to new EndpointSlices.
    pub endpoints_lag: Millis,
    /// From the deletion of a pod to the end of its process. Requests that a proxy still sends there are served until then.
    pub pod_linger: Millis,
    /// From a change of a route to its status, which comes before the proxies follow (as Traefik and Istio do).
    pub acknowledge_lag: Millis,
    /// From the status of a route, and from new EndpointSlices, to the proxies that follow.
    pub proxy_lag: Millis,
    /// Number of proxies; each follows in its own time.
    pub proxies: usize,
    /// Whether routes ever get a status.
    pub acknowledges: bool,
    /// Number of nodes.
    pub nodes: usize,
    /// How the pods of an image behave. For images that are not named, [`STABLE`] and [`NEW`] are looked up, which stand for
    /// the first template of a Rollout and for all others; then the default counts.
    pub versions: BTreeMap<String, Version>,
    /// The requests that users send.
    pub traffic: Vec<Flow>,
    /// What the metric server answers.
    pub metrics: MetricModel,
}

impl Default for ModelConfig {
    fn default() -> Self {
        ModelConfig {
            replica_set_lag: 5..=50,
            endpoints_lag: 20..=200,
            // Longer than the slowest way of an endpoint to a proxy, as a preStop hook in a sound cluster is.
            pod_linger: 4_000..=5_000,
            acknowledge_lag: 15..=60,
            // Measured on Traefik with its default throttle: up to 3 s.
            proxy_lag: 50..=2_900,
            proxies: 2,
            acknowledges: true,
            nodes: 3,
            versions: BTreeMap::new(),
            traffic: Vec::new(),
            metrics: MetricModel::default(),
        }
    }
}

/// All models together.
#[derive(Debug)]
pub(crate) struct Models {
    pub(crate) config: ModelConfig,
    pub(crate) pods: Pods,
    pub(crate) slices: EndpointSlices,
    pub(crate) plane: DataPlane,
    /// What the metric server scrapes.
    pub(crate) history: History,
    /// How many answers each metric got that has a list of them.
    pub(crate) answered: BTreeMap<String, usize>,
}

impl Models {
    pub(crate) fn new(config: ModelConfig) -> Models {
        let plane = DataPlane::new(config.proxies, config.traffic.clone());
        Models {
            config,
            pods: Pods::default(),
            slices: EndpointSlices::default(),
            plane,
            history: History::default(),
            answered: BTreeMap::new(),
        }
    }

    /// Reacts to a change in the store.
    pub(crate) fn see(&mut self, kernel: &mut Kernel, change: &Change) {
        let alive = change.happened != Happened::Deleted;
        match change.key.kind {
            Kind::ReplicaSet => self.schedule_replica_set(kernel, &change.key, SignedDuration::ZERO),
            Kind::Deployment => self.schedule_deployment(kernel, &change.key),
            Kind::Service => self.service_changed(kernel, &change.key, alive.then_some(&*change.object)),
            Kind::HttpRoute => {
                let generation = |object: &Arc<serde_json::Value>| object["metadata"]["generation"].as_i64();
                if !alive || change.before.as_ref().and_then(generation) != generation(&change.object) {
                    self.route_changed(kernel, &change.key, alive.then_some(&*change.object));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
