//! Pods and the nodes that run them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::kernel::{Actor, Kernel};
use crate::models::Models;
use crate::random::Millis;
use crate::series::Latency;
use crate::shell::PodWrite;
use crate::store::{Key, Kind};

/// A node that stopped answering is noticed after 40 s (the node controller's default grace period).
const NODE_MONITOR_GRACE: SignedDuration = SignedDuration::from_secs(40);
/// Pods of a node that is not ready are evicted after 300 s (the default toleration).
const NODE_EVICTION: SignedDuration = SignedDuration::from_secs(300);
/// A process that crashed is started again after 10 s, then twice as long, up to 5 minutes (the kubelet's back-off).
const CRASH_BACK_OFF: SignedDuration = SignedDuration::from_secs(10);

/// Stands for the first template of a Rollout where the behaviour of versions is looked up.
pub const STABLE: &str = "stable";
/// Stands for all other templates.
pub const NEW: &str = "new";

/// How the pods of a version behave.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// From the pod's creation to its readiness.
    pub start: Millis,
    /// Whether it becomes and stays ready.
    pub health: Health,
    /// Share of its requests that it answers with an error, from 0 to 1.
    pub error_rate: f64,
    /// How long its answers take.
    pub latency: Latency,
    /// Requests in a second that a pod can answer.
    pub capacity: Option<f64>,
    /// What happens beyond that.
    pub overload: Overload,
    /// What is wrong with it later only.
    pub onset: Option<Onset>,
}

/// When and how a version begins to behave differently. The earliest of the conditions counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Onset {
    /// So long after its first pod became ready.
    pub after: Option<SignedDuration>,
    /// While it gets at least this share of the requests, from 0 to 1.
    pub from_share: Option<f64>,
    /// Share of its requests that it answers with an error from then on.
    pub error_rate: f64,
    /// How long its answers take from then on, where that changes.
    pub latency: Option<Latency>,
}

/// What happens to requests beyond the capacity of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overload {
    /// They are answered with an error.
    #[default]
    Errors,
    /// All answers take as many times longer as there are too many.
    Latency,
}

/// Whether pods become and stay ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// They do.
    Good,
    /// They never become ready; a crash at start is seen as this.
    NeverReady,
    /// They become ready and crash after this many milliseconds, again and again.
    CrashesAfter(u64),
    /// So many of them become ready; those that are created later never do.
    OnlyFirst(u32),
}

impl Default for Version {
    fn default() -> Self {
        Version {
            start: 300..=2_000,
            health: Health::Good,
            error_rate: 0.0,
            latency: Latency::default(),
            capacity: None,
            overload: Overload::Errors,
            onset: None,
        }
    }
}

/// Identity of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PodId(u32);

impl PodId {
    /// A number of its own: pods are counted in the order in which they are created.
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

/// A pod from its creation to the end of its process.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) set: Key,
    /// Value of the label `rollouts-pod-template-hash`.
    pub(crate) hash: Arc<str>,
    /// The image of its first container.
    pub(crate) version: Arc<str>,
    /// Whether it has the first template of its Rollout.
    pub(crate) is_first: bool,
    pub(crate) labels: Arc<BTreeMap<String, String>>,
    pub(crate) annotations: Arc<BTreeMap<String, String>>,
    pub(crate) node: usize,
    pub(crate) born: Timestamp,
    pub(crate) ready_since: Option<Timestamp>,
    pub(crate) deleting: bool,
    /// Whether the process answers requests.
    pub(crate) serving: bool,
    /// How often its process has died: each is a process of its own.
    pub(crate) crashes: u32,
}

/// What all pods of a ReplicaSet have in common.
#[derive(Clone, Debug)]
pub(crate) struct PodTemplate {
    pub(crate) hash: Arc<str>,
    pub(crate) version: Arc<str>,
    pub(crate) is_first: bool,
    pub(crate) labels: Arc<BTreeMap<String, String>>,
    pub(crate) annotations: Arc<BTreeMap<String, String>>,
}

/// All pods.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pods {
    all: BTreeMap<PodId, Pod>,
    by_set: BTreeMap<Key, BTreeSet<PodId>>,
    lost_nodes: BTreeSet<usize>,
    next: u32,
    /// The first revision of each owner of ReplicaSets, by its uid.
    pub(crate) first: BTreeMap<String, Arc<str>>,
    /// When the first pod of each version became ready.
    pub(crate) first_ready: BTreeMap<Arc<str>, Timestamp>,
    /// How many pods of each version were created.
    created: BTreeMap<Arc<str>, u32>,
    pub(crate) syncing: BTreeSet<Key>,
}

impl Pods {
    pub(crate) fn get(&self, id: PodId) -> Option<&Pod> {
        self.all.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PodId, &Pod)> {
        self.all.iter().map(|(id, pod)| (*id, pod))
    }

    /// The pods of a ReplicaSet that are not terminating, oldest first.
    pub(crate) fn of_set(&self, set: &Key) -> impl Iterator<Item = (PodId, &Pod)> {
        let ids = self.by_set.get(set).into_iter().flatten();
        ids.filter_map(|id| Some((*id, self.all.get(id)?)))
            .filter(|(_, pod)| !pod.deleting)
    }
}

impl Pod {
    /// Since when the pod counts as available.
    pub(crate) fn available_at(&self, min_ready: SignedDuration) -> Option<Timestamp> {
        (!self.deleting)
            .then_some(self.ready_since?)
            .map(|since| since + min_ready)
    }
}

impl Models {
    pub(crate) fn create_pod(&mut self, kernel: &mut Kernel, set: &Key, template: &PodTemplate) {
        let id = PodId(self.pods.next);
        self.pods.next += 1;
        let nodes: Vec<usize> = (0..self.config.nodes)
            .filter(|node| !self.pods.lost_nodes.contains(node))
            .collect();
        let node = nodes.get(id.0 as usize % nodes.len().max(1)).copied().unwrap_or(0);
        let pod = Pod {
            set: set.clone(),
            hash: template.hash.clone(),
            version: template.version.clone(),
            is_first: template.is_first,
            labels: template.labels.clone(),
            annotations: template.annotations.clone(),
            node,
            born: kernel.clock.now(),
            ready_since: None,
            deleting: false,
            serving: false,
            crashes: 0,
        };
        let version = self
            .config
            .version(&pod.version, pod.is_first)
            .cloned()
            .unwrap_or_default();
        let created = self.pods.created.entry(pod.version.clone()).or_default();
        *created += 1;
        let becomes_ready = match version.health {
            Health::Good | Health::CrashesAfter(_) => true,
            Health::NeverReady => false,
            Health::OnlyFirst(count) => *created <= count,
        };
        if becomes_ready && !nodes.is_empty() {
            let start = kernel.random.millis(&version.start);
            kernel.clock.after(start, Actor::PodReady(id));
        }
        self.pods.all.insert(id, pod);
        self.pods.by_set.entry(set.clone()).or_default().insert(id);
    }

    /// Deletes a pod: it leaves the endpoints soon, and its process ends after a while.
    pub(crate) fn delete_pod(&mut self, kernel: &mut Kernel, id: PodId) {
        let Some(pod) = self.pods.all.get_mut(&id).filter(|pod| !pod.deleting) else {
            return;
        };
        pod.deleting = true;
        let (set, serving) = (pod.set.clone(), pod.serving);
        let linger = if serving {
            kernel.random.millis(&self.config.pod_linger)
        } else {
            SignedDuration::ZERO
        };
        kernel.clock.after(linger, Actor::PodGone(id));
        self.pod_changed(kernel, id, &set);
    }

    /// The pods of a ReplicaSet beside a Rollout, as the API server tells of them.
    pub(crate) fn pods_of(&self, rollout: &Key, set: &str) -> Vec<sluice_machine::Pod> {
        let key = rollout.beside(Kind::ReplicaSet, set);
        let pods = self.pods.of_set(&key);
        pods.map(|(id, pod)| sluice_machine::Pod {
            name: format!("{set}-{}", id.0),
            uid: id.0.to_string(),
            // Times in objects have whole seconds.
            created_at: Timestamp::from_second(pod.born.as_second()).unwrap_or(pod.born),
            ready: pod.ready_since.is_some(),
            deleting: pod.deleting,
            labels: (*pod.labels).clone(),
            annotations: (*pod.annotations).clone(),
        })
        .collect()
    }

    /// Evicts a pod, or changes its labels and annotations.
    pub(crate) fn write_pod(&mut self, kernel: &mut Kernel, write: &PodWrite) {
        let Some(id) = write.uid.parse().ok().map(PodId) else {
            return;
        };
        let Some(patch) = &write.patch else {
            self.disturb(kernel.clock.now());
            return self.delete_pod(kernel, id);
        };
        let Some(pod) = self.pods.all.get_mut(&id) else { return };
        for (name, words) in [("labels", &mut pod.labels), ("annotations", &mut pod.annotations)] {
            let words = Arc::make_mut(words);
            for (key, value) in patch[name].as_object().into_iter().flatten() {
                match value.as_str() {
                    Some(value) => words.insert(key.clone(), value.to_owned()),
                    None => words.remove(key),
                };
            }
        }
        self.pod_endpoints_changed(kernel, id);
    }

    pub(crate) fn pod_ready(&mut self, kernel: &mut Kernel, id: PodId) {
        let now = kernel.clock.now();
        let Some(pod) = self.pods.all.get(&id) else { return };
        if pod.deleting || pod.ready_since.is_some() || self.pods.lost_nodes.contains(&pod.node) {
            return;
        }
        let set = pod.set.clone();
        let version = self
            .config
            .version(&pod.version, pod.is_first)
            .cloned()
            .unwrap_or_default();
        self.disturb(now);
        let pod = self.pods.all.get_mut(&id).expect("it was there a moment ago");
        pod.serving = true;
        pod.ready_since = Some(now);
        let image = pod.version.clone();
        let first = *self.pods.first_ready.entry(image).or_insert(now);
        if let Some(after) = version.onset.and_then(|onset| onset.after).filter(|_| first == now) {
            // What was served before is counted before.
            kernel.clock.after(after, Actor::Onset);
        }
        if let Health::CrashesAfter(after) = version.health {
            kernel.clock.after(millis(after), Actor::PodCrashes(id));
        }
        self.pod_changed(kernel, id, &set);
    }

    pub(crate) fn pod_crashes(&mut self, kernel: &mut Kernel, id: PodId) {
        self.disturb(kernel.clock.now());
        let Some(pod) = self.pods.all.get_mut(&id) else { return };
        pod.serving = false;
        pod.ready_since = None;
        let back_off = CRASH_BACK_OFF * 2_i32.pow(pod.crashes.min(5));
        pod.crashes += 1;
        let set = pod.set.clone();
        kernel
            .clock
            .after(back_off.min(SignedDuration::from_secs(300)), Actor::PodReady(id));
        self.pod_changed(kernel, id, &set);
    }

    pub(crate) fn pod_gone(&mut self, kernel: &mut Kernel, id: PodId) {
        self.disturb(kernel.clock.now());
        let Some(pod) = self.pods.all.remove(&id) else { return };
        if let Some(ids) = self.pods.by_set.get_mut(&pod.set) {
            ids.remove(&id);
        }
    }

    /// A node stops answering: its pods answer no more, and nobody knows yet.
    pub(crate) fn node_lost(&mut self, kernel: &mut Kernel, node: usize) {
        self.disturb(kernel.clock.now());
        self.pods.lost_nodes.insert(node);
        for pod in self.pods.all.values_mut().filter(|pod| pod.node == node) {
            pod.serving = false;
        }
        kernel.clock.after(NODE_MONITOR_GRACE, Actor::NodeNotReady(node));
        kernel.clock.after(NODE_EVICTION, Actor::NodeEvicted(node));
    }

    pub(crate) fn node_not_ready(&mut self, kernel: &mut Kernel, node: usize) {
        for id in self.pods_on(node) {
            let pod = self.pods.all.get_mut(&id).expect("it was listed a moment ago");
            pod.ready_since = None;
            let set = pod.set.clone();
            self.pod_changed(kernel, id, &set);
        }
    }

    pub(crate) fn node_evicted(&mut self, kernel: &mut Kernel, node: usize) {
        for id in self.pods_on(node) {
            self.delete_pod(kernel, id);
        }
    }

    fn pods_on(&self, node: usize) -> Vec<PodId> {
        self.pods
            .iter()
            .filter(|(_, pod)| pod.node == node)
            .map(|(id, _)| id)
            .collect()
    }

    fn pod_changed(&mut self, kernel: &mut Kernel, id: PodId, set: &Key) {
        let lag = kernel.random.millis(&self.config.replica_set_lag);
        self.schedule_replica_set(kernel, set, lag);
        self.pod_endpoints_changed(kernel, id);
    }
}

pub(crate) fn millis(count: u64) -> SignedDuration {
    SignedDuration::from_millis(i64::try_from(count).unwrap_or(i64::MAX))
}
