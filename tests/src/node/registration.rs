//! The Node object and its Lease: what makes the scheduler use the node and the node controller believe in it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{Node, NodeAddress, NodeCondition, NodeStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

use super::NODE;
use crate::inside::HOST_IP;

/// A kubelet's own period.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// After this long without a heartbeat the node counts as lost; a kubelet's own value.
const LEASE_SECONDS: i32 = 40;
/// How long to wait after a failed request.
const PAUSE: Duration = Duration::from_millis(200);

/// Registers the node and renews its Lease for as long as it runs.
pub(super) async fn keep_registered(client: kube::Client) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    loop {
        match nodes.create(&PostParams::default(), &node()).await {
            Ok(_) => break,
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
                let status = json!({"status": node().status});
                nodes
                    .patch_status(NODE, &PatchParams::default(), &Patch::Strategic(status))
                    .await
                    .context("renew the status of the node")?;
                break;
            }
            Err(error) => {
                eprintln!("register the node: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    let leases: Api<Lease> = Api::namespaced(client, "kube-node-lease");
    loop {
        let pause = match beat(&leases).await {
            Ok(()) => HEARTBEAT,
            // The namespace of the leases is made by the API server, a moment after its start.
            Err(error) => {
                eprintln!("heartbeat: {error}");
                PAUSE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn beat(leases: &Api<Lease>) -> Result<(), kube::Error> {
    let renewed = Some(MicroTime(Timestamp::now()));
    let patch = json!({"spec": {"renewTime": renewed}});
    match leases.patch(NODE, &PatchParams::default(), &Patch::Merge(patch)).await {
        Err(kube::Error::Api(status)) if status.reason == "NotFound" => {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(NODE.to_owned()),
                    ..ObjectMeta::default()
                },
                spec: Some(LeaseSpec {
                    holder_identity: Some(NODE.to_owned()),
                    lease_duration_seconds: Some(LEASE_SECONDS),
                    renew_time: renewed,
                    ..LeaseSpec::default()
                }),
            };
            leases.create(&PostParams::default(), &lease).await.map(drop)
        }
        other => other.map(drop),
    }
}

fn node() -> Node {
    let now = Some(Time(Timestamp::now()));
    // Room for whatever the tests ask for: what is scarce here is the machine, not the node.
    let capacity: BTreeMap<String, Quantity> = [("cpu", "1000"), ("memory", "1Ti"), ("pods", "5000")]
        .map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned())))
        .into();
    let labels = [("kubernetes.io/hostname", NODE), ("kubernetes.io/os", "linux")];
    Node {
        metadata: ObjectMeta {
            name: Some(NODE.to_owned()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..ObjectMeta::default()
        },
        status: Some(NodeStatus {
            addresses: Some(vec![NodeAddress {
                type_: "InternalIP".to_owned(),
                address: HOST_IP.to_owned(),
            }]),
            allocatable: Some(capacity.clone()),
            capacity: Some(capacity),
            conditions: Some(vec![NodeCondition {
                type_: "Ready".to_owned(),
                status: "True".to_owned(),
                reason: Some("KubeletReady".to_owned()),
                message: Some("the node of the cluster in a box runs".to_owned()),
                last_heartbeat_time: now.clone(),
                last_transition_time: now,
            }]),
            ..NodeStatus::default()
        }),
        ..Node::default()
    }
}
