//! One pod, from the moment the scheduler gave it to the node until its object is deleted.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt as _};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

use super::container::{Change, Run};
use super::status::PodState;
use super::{Context, END_AFTER_ENDPOINTS, annotated};

/// How long to wait after a failed request.
const PAUSE: Duration = Duration::from_millis(200);
/// A pod's grace period when it names none; the API server's default.
const GRACE_SECONDS: i64 = 30;

/// Runs a pod. `updates` holds its newest version, and nothing when its object is gone.
pub(super) async fn run(context: Arc<Context>, pod: Arc<Pod>, updates: watch::Receiver<Option<Arc<Pod>>>) {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return; // it ran under an earlier node process
    }
    let address = context.addresses.lock().ok().and_then(|mut addresses| addresses.take());
    let Some(address) = address else {
        eprintln!("pod {}: all addresses are taken", pod.name_any());
        return;
    };
    let (changes, received) = mpsc::unbounded_channel();
    let (stop, stopped) = watch::channel(None);
    let state = PodState::new(&pod, address, Timestamp::now());
    let mut worker = Worker {
        context: Arc::clone(&context),
        pod: Arc::clone(&pod),
        state,
        published: Value::Null,
        containers: JoinSet::new(),
        stopper: None,
        stop: Arc::new(stop),
    };
    let spec = pod.spec.as_ref();
    if spec.is_some_and(|spec| spec.init_containers.as_ref().is_some_and(|list| !list.is_empty())) {
        let message = "the node of the cluster in a box runs no init containers".to_owned();
        worker.state.apply(
            0,
            Change::Waiting {
                reason: "CreateContainerConfigError",
                message,
            },
            Timestamp::now(),
        );
    } else {
        for (index, container) in spec.iter().flat_map(|spec| &spec.containers).enumerate() {
            let run = Run {
                context: Arc::clone(&context),
                pod: Arc::clone(&pod),
                index,
                container: container.clone(),
                address,
                changes: changes.clone(),
                stop: stopped.clone(),
            };
            worker.containers.spawn(run.until_ended());
        }
    }
    worker.until_gone(updates, received).await;
    drop(worker); // and with it its processes, before their address can go to another pod
    if let Ok(mut addresses) = context.addresses.lock() {
        addresses.give_back(address);
    }
}

struct Worker {
    context: Arc<Context>,
    pod: Arc<Pod>,
    state: PodState,
    /// The patch that the API server has taken last.
    published: Value,
    containers: JoinSet<()>,
    /// The task that tells the containers to end, once the pod is deleted.
    stopper: Option<AbortHandle>,
    stop: Arc<watch::Sender<Option<Instant>>>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(stopper) = &self.stopper {
            stopper.abort();
        }
    }
}

impl Worker {
    async fn until_gone(
        &mut self,
        mut updates: watch::Receiver<Option<Arc<Pod>>>,
        mut changes: mpsc::UnboundedReceiver<(usize, Change)>,
    ) {
        loop {
            let newest = updates.borrow_and_update().clone();
            match newest {
                None => return,
                Some(pod) if pod.metadata.deletion_timestamp.is_some() => self.begin_to_end(&pod),
                Some(_) => {}
            }
            if !self.publish().await {
                return;
            }
            if self.stopper.is_some() && self.containers.is_empty() && changes.is_empty() {
                return self.delete().await;
            }
            tokio::select! {
                Some((index, change)) = changes.recv() => {
                    self.state.apply(index, change, Timestamp::now());
                    while let Ok((index, change)) = changes.try_recv() {
                        self.state.apply(index, change, Timestamp::now());
                    }
                }
                Some(_) = self.containers.join_next() => {}
                newer = updates.changed() => {
                    if newer.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Once: tells the containers to end, at once or when the pod has left the endpoints.
    fn begin_to_end(&mut self, pod: &Pod) {
        if self.stopper.is_some() {
            return;
        }
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(GRACE_SECONDS);
        let stop_by = Instant::now() + Duration::from_secs(u64::try_from(grace).unwrap_or(0));
        let delay = annotated(pod, END_AFTER_ENDPOINTS).or(self.context.config.end_after_endpoints);
        let (context, stop, uid) = (
            Arc::clone(&self.context),
            Arc::clone(&self.stop),
            pod.uid().unwrap_or_default(),
        );
        let task = tokio::spawn(async move {
            if let Some(delay) = delay {
                let left = async {
                    context.endpoints.left_by(&uid).await;
                    tokio::time::sleep(delay).await;
                };
                let _ = timeout_at(stop_by, left).await; // the grace period ends the wait
            }
            stop.send_replace(Some(stop_by));
        });
        self.stopper = Some(task.abort_handle());
    }

    /// Writes the status if it changed; whether the pod is still there.
    async fn publish(&mut self) -> bool {
        let patch = self.state.patch();
        if patch == self.published {
            return true;
        }
        let name = self.pod.name_any();
        let there = insist(&name, || async {
            self.api()
                .patch_status(&name, &PatchParams::default(), &Patch::Strategic(&patch))
                .await
                .map(drop)
        })
        .await;
        self.published = patch;
        there
    }

    /// Deletes the object of the pod, all of whose processes have ended.
    async fn delete(&self) {
        let name = self.pod.name_any();
        let parameters = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: self.pod.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        insist(&name, || async {
            self.api().delete(&name, &parameters).await.map(drop)
        })
        .await;
    }

    fn api(&self) -> Api<Pod> {
        Api::namespaced(self.context.client.clone(), &self.pod.namespace().unwrap_or_default())
    }
}

/// Repeats a request until it is answered; whether the pod is still there.
async fn insist<F>(name: &str, request: impl Fn() -> F) -> bool
where
    F: Future<Output = Result<(), kube::Error>>,
{
    loop {
        match request().await {
            Ok(()) => return true,
            // Not there, or another pod of the same name.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => return false,
            Err(error) => {
                eprintln!("pod {name}: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
