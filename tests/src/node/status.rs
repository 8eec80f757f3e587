//! The status of a pod, as a kubelet would write it.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::container::Change;
use crate::inside::HOST_IP;

/// What is known of a pod.
#[derive(Debug, Clone)]
pub(super) struct PodState {
    uid: String,
    generation: Option<i64>,
    address: Ipv4Addr,
    restarts: bool,
    started: Timestamp,
    ready: (bool, Timestamp),
    containers: Vec<ContainerState>,
}

#[derive(Debug, Clone)]
struct ContainerState {
    name: String,
    image: String,
    ready: bool,
    starts: u32,
    state: State,
    last: Option<State>,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Waiting {
        reason: &'static str,
        message: String,
    },
    Running {
        since: Timestamp,
    },
    Terminated {
        code: i32,
        since: Timestamp,
        until: Timestamp,
    },
}

impl PodState {
    pub(super) fn new(pod: &Pod, address: Ipv4Addr, now: Timestamp) -> Self {
        let containers = pod
            .spec
            .iter()
            .flat_map(|spec| &spec.containers)
            .map(|container| ContainerState {
                name: container.name.clone(),
                image: container.image.clone().unwrap_or_default(),
                ready: false,
                starts: 0,
                state: State::Waiting {
                    reason: "ContainerCreating",
                    message: String::new(),
                },
                last: None,
            });
        let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
        Self {
            uid: pod.uid().unwrap_or_default(),
            generation: pod.metadata.generation,
            address,
            restarts: policy.is_none_or(|policy| policy == "Always"),
            started: now,
            ready: (false, now),
            containers: containers.collect(),
        }
    }

    pub(super) fn apply(&mut self, index: usize, change: Change, now: Timestamp) {
        let Some(container) = self.containers.get_mut(index) else {
            return;
        };
        match change {
            Change::Waiting { reason, message } => container.state = State::Waiting { reason, message },
            Change::Running => {
                container.starts += 1;
                if let State::Terminated { .. } = container.state {
                    container.last = Some(container.state.clone());
                }
                container.state = State::Running { since: now };
            }
            Change::Ready(ready) => container.ready = ready,
            Change::Ended { code } => {
                container.ready = false;
                let since = if let State::Running { since } = container.state {
                    since
                } else {
                    now
                };
                let ended = State::Terminated {
                    code,
                    since,
                    until: now,
                };
                // It stays visible also while the container waits for its next start.
                container.last = (container.starts > 0).then(|| ended.clone());
                container.state = ended;
            }
        }
        let ready = self.containers.iter().all(|container| container.ready);
        if ready != self.ready.0 {
            self.ready = (ready, now);
        }
    }

    /// The patch of the pod's status; the uid makes it fail on another pod of the same name.
    pub(super) fn patch(&self) -> Value {
        let ip = self.address.to_string();
        let unready: Vec<&str> = self
            .containers
            .iter()
            .filter(|one| !one.ready)
            .map(|one| one.name.as_str())
            .collect();
        let condition = |kind: &str, status: bool, since: Timestamp| {
            let mut value = json!({"type": kind, "status": if status { "True" } else { "False" },
                "lastTransitionTime": seconds(since), "reason": null, "message": null});
            if !status {
                value["reason"] = json!("ContainersNotReady");
                value["message"] = json!(format!("containers with unready status: {unready:?}"));
            }
            if let Some(generation) = self.generation {
                value["observedGeneration"] = json!(generation);
            }
            value
        };
        json!({
            "metadata": {"uid": self.uid},
            "status": {
                "phase": self.phase(),
                "hostIP": HOST_IP,
                "hostIPs": [{"ip": HOST_IP}],
                "podIP": ip,
                "podIPs": [{"ip": ip}],
                "startTime": seconds(self.started),
                "conditions": [
                    condition("PodReadyToStartContainers", true, self.started),
                    condition("Initialized", true, self.started),
                    condition("ContainersReady", self.ready.0, self.ready.1),
                    condition("Ready", self.ready.0, self.ready.1),
                ],
                "containerStatuses": self.containers.iter().map(ContainerState::status).collect::<Vec<_>>(),
            },
        })
    }

    fn phase(&self) -> &'static str {
        let codes: Option<Vec<i32>> = self.containers.iter().map(ContainerState::final_code).collect();
        match codes {
            Some(codes) if !self.restarts && codes.iter().all(|code| *code == 0) => "Succeeded",
            Some(_) if !self.restarts => "Failed",
            _ if self.containers.iter().all(|container| container.starts > 0) => "Running",
            _ => "Pending",
        }
    }
}

impl ContainerState {
    fn final_code(&self) -> Option<i32> {
        if let State::Terminated { code, .. } = self.state {
            Some(code)
        } else {
            None
        }
    }

    fn status(&self) -> Value {
        json!({
            "name": self.name,
            "image": self.image,
            "imageID": "",
            "ready": self.ready,
            "started": matches!(self.state, State::Running { .. }),
            "restartCount": self.starts.saturating_sub(1),
            "state": self.state.value(),
            "lastState": self.last.as_ref().filter(|last| **last != self.state).map_or_else(|| json!({}), State::value),
        })
    }
}

impl State {
    fn value(&self) -> Value {
        match self {
            Self::Waiting { reason, message } if message.is_empty() => json!({"waiting": {"reason": reason}}),
            Self::Waiting { reason, message } => json!({"waiting": {"reason": reason, "message": message}}),
            Self::Running { since } => json!({"running": {"startedAt": seconds(*since)}}),
            Self::Terminated { code, since, until } => json!({"terminated": {
                "exitCode": code,
                "reason": if *code == 0 { "Completed" } else { "Error" },
                "startedAt": seconds(*since),
                "finishedAt": seconds(*until),
            }}),
        }
    }
}

/// Kubernetes writes whole seconds.
fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(policy: &str) -> PodState {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"uid": "u-1"},
            "spec": {"restartPolicy": policy, "containers": [{"name": "app", "image": "a:1"}, {"name": "side"}]},
        }))
        .expect("it is a pod");
        PodState::new(&pod, Ipv4Addr::new(10, 77, 1, 2), Timestamp::UNIX_EPOCH)
    }

    /// Phase, readiness, restarts and the kind of state of the first container.
    fn summary(state: &PodState) -> (String, String, u64, String) {
        let patch = state.patch();
        let status = &patch["status"];
        let first = &status["containerStatuses"][0];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let kind = first["state"]
            .as_object()
            .and_then(|map| map.keys().next().cloned())
            .unwrap_or_default();
        (
            text(&status["phase"]),
            text(&status["conditions"][3]["status"]),
            first["restartCount"].as_u64().unwrap_or(99),
            kind,
        )
    }

    #[test]
    fn a_pod_goes_from_pending_to_ready_through_a_crash() {
        let mut state = state("Always");
        let now = Timestamp::UNIX_EPOCH;
        let steps = [
            (0, Change::Running, ("Pending", "False", 0, "running")),
            (0, Change::Ready(true), ("Pending", "False", 0, "running")),
            (1, Change::Running, ("Running", "False", 0, "running")),
            (1, Change::Ready(true), ("Running", "True", 0, "running")),
            (0, Change::Ended { code: 1 }, ("Running", "False", 0, "terminated")),
            (
                0,
                Change::Waiting {
                    reason: "CrashLoopBackOff",
                    message: String::new(),
                },
                ("Running", "False", 0, "waiting"),
            ),
            (0, Change::Running, ("Running", "False", 1, "running")),
            (0, Change::Ready(true), ("Running", "True", 1, "running")),
        ];
        for (step, (index, change, (phase, ready, restarts, kind))) in steps.into_iter().enumerate() {
            state.apply(index, change, now);
            assert_eq!(
                summary(&state),
                (phase.to_owned(), ready.to_owned(), restarts, kind.to_owned()),
                "step {step}"
            );
        }
        let last = state.patch()["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"].clone();
        assert_eq!(last, 1);
    }

    #[test]
    fn a_pod_that_is_not_restarted_succeeds_or_fails() {
        for (codes, want) in [([0, 0], "Succeeded"), ([0, 3], "Failed")] {
            let mut state = state("Never");
            for (index, code) in codes.into_iter().enumerate() {
                state.apply(index, Change::Running, Timestamp::UNIX_EPOCH);
                state.apply(index, Change::Ended { code }, Timestamp::UNIX_EPOCH);
            }
            assert_eq!(summary(&state).0, want, "{codes:?}");
        }
    }
}
