//! EndpointSlices: which ready pods a Service has, some time after the fact.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use sluice_traffic::REVISION_LABEL;

use crate::kernel::{Actor, Kernel};
use crate::models::Models;
use crate::models::pods::{Pod, PodId};
use crate::store::Key;

/// A ready endpoint: the pod and its revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Backend {
    pub(crate) pod: PodId,
    pub(crate) hash: Arc<str>,
}

/// The slices of all Services.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndpointSlices {
    services: BTreeMap<Key, Slice>,
    syncing: BTreeSet<Key>,
}

#[derive(Clone, Debug)]
struct Slice {
    selector: Selector,
    backends: Arc<Vec<Backend>>,
    /// When the slices were last made, and by which selector.
    made: Option<(Timestamp, Selector)>,
}

/// Labels that a pod must have. An empty one selects nothing.
pub(crate) type Selector = Arc<BTreeMap<String, String>>;

pub(crate) fn selects(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

pub(crate) fn selector_of(service: &Value) -> Selector {
    let entries = service["spec"]["selector"].as_object().into_iter().flatten();
    Arc::new(
        entries
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect(),
    )
}

impl EndpointSlices {
    /// The ready endpoints of a Service as its slices have them.
    pub(crate) fn backends(&self, service: &Key) -> &[Backend] {
        self.services.get(service).map_or(&[], |slice| &slice.backends)
    }

    /// The revision that the slices of a Service follow, as its selector had it when they were made.
    pub(crate) fn revision(&self, service: &Key) -> Option<&str> {
        let (_, selector) = self.services.get(service)?.made.as_ref()?;
        selector.get(REVISION_LABEL).map(String::as_str)
    }
}

impl Models {
    pub(crate) fn service_changed(&mut self, kernel: &mut Kernel, key: &Key, object: Option<&Value>) {
        let selector = object.map(selector_of).unwrap_or_default();
        let slice = self.slices.services.entry(key.clone()).or_insert_with(|| Slice {
            selector: Selector::default(),
            backends: Arc::default(),
            made: None,
        });
        if slice.made.is_none() || slice.selector != selector {
            slice.selector = selector;
            self.schedule_endpoints(kernel, key.clone());
        }
    }

    pub(crate) fn pod_endpoints_changed(&mut self, kernel: &mut Kernel, id: PodId) {
        let Some(pod) = self.pods.get(id) else { return };
        let concerned = |(key, slice): (&Key, &Slice)| {
            (key.namespace == pod.set.namespace && selects(&slice.selector, &pod.labels)).then(|| key.clone())
        };
        let concerned: Vec<Key> = self.slices.services.iter().filter_map(concerned).collect();
        for key in concerned {
            self.schedule_endpoints(kernel, key);
        }
    }

    fn schedule_endpoints(&mut self, kernel: &mut Kernel, key: Key) {
        if self.slices.syncing.insert(key.clone()) {
            let lag = kernel.random.millis(&self.config.endpoints_lag);
            kernel.clock.after(lag, Actor::Endpoints(key));
        }
    }

    /// Makes the slices of a Service from its pods of now and sends them on their way to the proxies. From now on they follow
    /// its present selector.
    pub(crate) fn sync_endpoints(&mut self, kernel: &mut Kernel, key: &Key) {
        self.slices.syncing.remove(key);
        let Some(slice) = self.slices.services.get_mut(key) else {
            return;
        };
        let ready = |pod: &Pod| !pod.deleting && pod.ready_since.is_some();
        let backends: Vec<Backend> = self
            .pods
            .iter()
            .filter(|(_, pod)| {
                ready(pod) && pod.set.namespace == key.namespace && selects(&slice.selector, &pod.labels)
            })
            .map(|(pod_id, pod)| Backend {
                pod: pod_id,
                hash: pod.hash.clone(),
            })
            .collect();
        slice.made = Some((kernel.clock.now(), slice.selector.clone()));
        if *slice.backends != backends {
            slice.backends = Arc::new(backends);
            let backends = slice.backends.clone();
            self.history.endpoints(kernel.clock.now(), key, &backends);
            self.send_to_proxies(kernel, key, &backends);
        }
    }
}
