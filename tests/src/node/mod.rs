//! The node of the cluster in a box: it runs the pods that the scheduler gives it as plain processes, each on an address
//! of its own.
//!
//! ```text
//! watch pods ──> one task per pod ──> one task per container: image -> program, start, probe, restart, stop
//!                  │  ^                        │
//!                  │  └──── changes ───────────┘
//!                  └─> status of the pod
//! ```
//!
//! What a kubelet does and this does too: readiness probes are really made; a deleted pod gets its preStop hook, SIGTERM
//! and, after its grace period, SIGKILL; a crashed container is started again, ever more slowly; an unknown image becomes
//! `ErrImagePull` and `ImagePullBackOff`; the node's Lease is renewed.
//!
//! Absent here: images, volumes, limits, init containers (a pod with one is refused), liveness and startup probes (not
//! made), `$(NAME)` in arguments. A restarted node starts all its pods' containers again.
//!
//! A pod's annotations can change how it is run: [`START_DELAY`], [`END_AFTER_ENDPOINTS`].

mod container;
mod endpoints;
mod environment;
mod pod;
mod probe;
mod registration;
mod status;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt as _};
use tokio::sync::watch;

use endpoints::Endpoints;

/// The name of the node.
pub const NODE: &str = "box";
/// Annotation of a pod: how long its containers take to start, such as `2s`.
pub const START_DELAY: &str = "box.sluice.dev/start-delay";
/// Annotation of a pod: when it is deleted, it is only told to end this long after it left the endpoints of all Services.
pub const END_AFTER_ENDPOINTS: &str = "box.sluice.dev/end-after-endpoints";

/// How the node behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// Image names without tag, and the programs that they stand for.
    pub images: BTreeMap<String, PathBuf>,
    /// A folder that gets one log per container.
    pub logs: PathBuf,
    /// How long a container takes to start.
    pub start_delay: Duration,
    /// How long after it left the endpoints a deleted pod is told to end; nothing: at once.
    pub end_after_endpoints: Option<Duration>,
    /// The first pause before a crashed container is started again after its first, immediate restart; it doubles.
    pub restart_pause: Duration,
}

/// What all pods of the node share.
struct Context {
    config: Config,
    client: kube::Client,
    endpoints: Endpoints,
    addresses: Mutex<Addresses>,
}

/// Runs the node until it fails to watch for good, or is ended.
pub async fn run(client: kube::Client, config: Config) -> Result<()> {
    let endpoints = Endpoints::watch(client.clone());
    let context = Arc::new(Context {
        config,
        client: client.clone(),
        endpoints,
        addresses: Mutex::new(Addresses::new()),
    });
    let mut workers = Workers {
        context,
        known: BTreeMap::new(),
    };
    // The watch is under way before pods can come, so that none waits for it.
    let pods: Api<Pod> = Api::all(client.clone());
    let assigned = watcher::Config::default().fields(&format!("spec.nodeName={NODE}"));
    let events = watcher(pods, assigned);
    pin_mut!(events);
    let heart = tokio::spawn(registration::keep_registered(client));
    let mut listed = BTreeSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(pod)) => workers.seen(pod),
            Ok(Event::Delete(pod)) => workers.gone(&pod.uid().unwrap_or_default()),
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(pod)) => {
                listed.extend(pod.uid());
                workers.seen(pod);
            }
            Ok(Event::InitDone) => workers.only(&listed),
            Err(error) => eprintln!("watch pods: {error}"),
        }
        if heart.is_finished() {
            break;
        }
    }
    heart.await.context("keep the node registered")?
}

/// The tasks of the pods, by uid. A task gets each version of its pod, and nothing when the pod is gone.
struct Workers {
    context: Arc<Context>,
    known: BTreeMap<String, watch::Sender<Option<Arc<Pod>>>>,
}

impl Workers {
    fn seen(&mut self, pod: Pod) {
        let Some(uid) = pod.uid() else { return };
        let pod = Arc::new(pod);
        if let Some(worker) = self.known.get(&uid) {
            worker.send_replace(Some(pod));
            return;
        }
        let (sender, receiver) = watch::channel(Some(Arc::clone(&pod)));
        self.known.insert(uid, sender);
        tokio::spawn(pod::run(Arc::clone(&self.context), pod, receiver));
    }

    fn gone(&mut self, uid: &str) {
        if let Some(worker) = self.known.remove(uid) {
            worker.send_replace(None);
        }
    }

    /// After a list: pods that are not in it are gone.
    fn only(&mut self, listed: &BTreeSet<String>) {
        let vanished: Vec<String> = self
            .known
            .keys()
            .filter(|uid| !listed.contains(*uid))
            .cloned()
            .collect();
        for uid in vanished {
            self.gone(&uid);
        }
    }
}

/// The addresses of pods: 10.77.1.1 to 10.77.249.254, the longest unused first, so that no proxy still knows the last
/// holder of an address that a new pod gets.
struct Addresses {
    free: VecDeque<Ipv4Addr>,
}

impl Addresses {
    fn new() -> Self {
        let free = (1..250).flat_map(|third| (1..255).map(move |fourth| Ipv4Addr::new(10, 77, third, fourth)));
        Self { free: free.collect() }
    }

    fn take(&mut self) -> Option<Ipv4Addr> {
        self.free.pop_front()
    }

    fn give_back(&mut self, address: Ipv4Addr) {
        self.free.push_back(address);
    }
}

/// A time in an annotation of a pod; what cannot be read is as if it were not there, and is said in the node's log.
fn annotated(pod: &Pod, name: &str) -> Option<Duration> {
    let text = pod.annotations().get(name)?;
    match humantime::parse_duration(text) {
        Ok(duration) => Some(duration),
        Err(error) => {
            eprintln!(
                "pod {}: annotation {name}={text:?}: {error}; expected a time like 2s",
                pod.name_any()
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_not_used_again_while_others_are_free() {
        let mut addresses = Addresses::new();
        let first = addresses.take().expect("all are free");
        assert_eq!(first, Ipv4Addr::new(10, 77, 1, 1));
        addresses.give_back(first);
        for _ in 0..60_000 {
            let next = addresses.take().expect("one is given back for each that is taken");
            assert_ne!(next, first);
            addresses.give_back(next);
        }
    }
}
