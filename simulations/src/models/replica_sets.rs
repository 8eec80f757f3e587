//! The ReplicaSet controller: asynchronous, and its status lags behind what it does.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value, json};
use sluice_traffic::REVISION_LABEL;

use crate::kernel::{Actor, Kernel};
use crate::models::Models;
use crate::models::pods::{Pod, PodId, PodTemplate};
use crate::store::{Key, Part, Writer, owner_uids};

impl Models {
    /// The controller will look at the ReplicaSet, `extra` beyond its usual lag.
    pub(crate) fn schedule_replica_set(&mut self, kernel: &mut Kernel, key: &Key, extra: SignedDuration) {
        if self.pods.syncing.insert(key.clone()) {
            let lag = kernel.random.millis(&self.config.replica_set_lag);
            kernel.clock.after(lag + extra, Actor::ReplicaSet(key.clone()));
        }
    }

    /// One look: creates or deletes pods, then writes the status that it had counted before.
    pub(crate) fn sync_replica_set(&mut self, kernel: &mut Kernel, key: &Key) {
        self.pods.syncing.remove(key);
        let Some(object) = kernel.store.get(key).cloned() else {
            let orphans: Vec<PodId> = self.pods.of_set(key).map(|(id, _)| id).collect();
            orphans.into_iter().for_each(|id| self.delete_pod(kernel, id));
            return;
        };
        let status = self.count(kernel, key, &object);
        let wanted = usize::try_from(object["spec"]["replicas"].as_u64().unwrap_or(1)).unwrap_or(usize::MAX);
        let mut pods: Vec<(PodId, Rank)> = self.pods.of_set(key).map(|(id, pod)| (id, rank(pod))).collect();
        if pods.len() < wanted {
            let template = self.pod_template(&object);
            for _ in pods.len()..wanted {
                self.create_pod(kernel, key, &template);
            }
            self.schedule_replica_set(kernel, key, SignedDuration::ZERO);
        } else if pods.len() > wanted {
            pods.sort_by_key(|(id, rank)| (*rank, *id));
            for (id, _) in pods.drain(..).skip(wanted).collect::<Vec<_>>() {
                self.delete_pod(kernel, id);
            }
        }
        let patch = json!({"status": status});
        let written = kernel
            .store
            .patch(kernel.clock.now(), Writer::Cluster, key, Part::Status, &patch);
        debug_assert!(
            written.is_ok(),
            "a patch without preconditions of an object that exists succeeds: {written:?}"
        );
    }

    /// The counts of now; where a pod will become available by itself, another look is scheduled for then.
    fn count(&mut self, kernel: &mut Kernel, key: &Key, object: &Value) -> Value {
        let now = kernel.clock.now();
        let min_ready = SignedDuration::from_secs(object["spec"]["minReadySeconds"].as_i64().unwrap_or(0));
        let (mut total, mut ready, mut available, mut next) = (0, 0, 0, None);
        for (_, pod) in self.pods.of_set(key) {
            total += 1;
            ready += u32::from(pod.ready_since.is_some());
            match pod.available_at(min_ready) {
                Some(at) if at <= now => available += 1,
                Some(at) => next = Some(next.map_or(at, |next: jiff::Timestamp| next.min(at))),
                None => {}
            }
        }
        if let Some(next) = next {
            // Not through `schedule_replica_set`: an earlier look must stay possible.
            kernel.clock.at(next, Actor::ReplicaSet(key.clone()));
        }
        let nonzero = |count: u32| if count == 0 { Value::Null } else { json!(count) };
        json!({
            "replicas": total, "fullyLabeledReplicas": nonzero(total), "readyReplicas": nonzero(ready),
            "availableReplicas": nonzero(available), "observedGeneration": object["metadata"]["generation"],
        })
    }
}

/// Pods with the lowest rank are deleted last: ready ones before others, then older ones before younger ones.
type Rank = (bool, jiff::Timestamp);

fn rank(pod: &Pod) -> Rank {
    (pod.ready_since.is_none(), pod.born)
}

impl Models {
    fn pod_template(&mut self, set: &Value) -> PodTemplate {
        let template = &set["spec"]["template"];
        let words = |name: &str| -> BTreeMap<String, String> {
            let words = template["metadata"][name].as_object().into_iter().flatten();
            words
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect()
        };
        let labels = words("labels");
        let image = template["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
        let hash: Arc<str> = labels.get(REVISION_LABEL).map_or("", String::as_str).into();
        let owner = owner_uids(set).next().unwrap_or_default().to_owned();
        let first = self.pods.first.entry(owner).or_insert_with(|| hash.clone());
        PodTemplate {
            is_first: *first == hash,
            hash,
            version: image.into(),
            labels: Arc::new(labels),
            annotations: Arc::new(words("annotations")),
        }
    }
}
