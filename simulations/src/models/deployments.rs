//! The Deployment controller, as far as a migration needs it: one ReplicaSet of the present template has the pods. A new
//! template replaces all pods at once; how Deployments roll is not what is simulated here.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::kernel::{Actor, Kernel};
use crate::models::Models;
use crate::store::{Key, Kind, Part, Writer, uid_of};

/// The label by which a Deployment tells its ReplicaSets apart.
const HASH_LABEL: &str = "pod-template-hash";

impl Models {
    /// The controller will look at the Deployment after its usual lag.
    pub(crate) fn schedule_deployment(&mut self, kernel: &mut Kernel, key: &Key) {
        let lag: SignedDuration = kernel.random.millis(&self.config.replica_set_lag);
        kernel.clock.after(lag, Actor::Deployment(key.clone()));
    }
}

/// One look: makes the ReplicaSet of the template, and gives every ReplicaSet its size.
pub(crate) fn sync(kernel: &mut Kernel, key: &Key) {
    let Some(object) = kernel.store.get(key).cloned() else {
        return;
    };
    let spec = &object["spec"];
    // Not the hash that a Rollout gives the same template: the two name their ReplicaSets alike.
    let hash = sluice_machine::hash::short(&json!({"deployment": spec["template"]}), 0);
    let name = format!("{}-{hash}", key.name);
    let replicas = spec["replicas"].as_u64().unwrap_or(1);
    let now = kernel.clock.now();
    let present = key.beside(Kind::ReplicaSet, &name);
    if kernel.store.get(&present).is_none() {
        let made = kernel
            .store
            .create(now, Writer::Cluster, replica_set(key, &object, &name, &hash));
        debug_assert!(made.is_ok(), "a ReplicaSet under a free name can be made: {made:?}");
    }
    for set in kernel.store.dependents(uid_of(&object)) {
        let wanted = if set == present { replicas } else { 0 };
        if kernel
            .store
            .get(&set)
            .is_some_and(|set| set["spec"]["replicas"] != wanted)
        {
            let patch = json!({"spec": {"replicas": wanted}});
            let written = kernel.store.patch(now, Writer::Cluster, &set, Part::Main, &patch);
            debug_assert!(written.is_ok(), "a patch without preconditions succeeds: {written:?}");
        }
    }
}

fn replica_set(key: &Key, deployment: &Value, name: &str, hash: &str) -> Value {
    let mut template = deployment["spec"]["template"].clone();
    template["metadata"]["labels"][HASH_LABEL] = json!(hash);
    let mut selector = deployment["spec"]["selector"].clone();
    selector["matchLabels"][HASH_LABEL] = json!(hash);
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": name, "namespace": &*key.namespace, "labels": template["metadata"]["labels"],
            "ownerReferences": [{
                "apiVersion": key.kind.api_version(), "kind": key.kind.name(), "name": &*key.name,
                "uid": uid_of(deployment), "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {"replicas": deployment["spec"]["replicas"], "selector": selector, "template": template},
    })
}
