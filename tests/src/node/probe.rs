//! Readiness probes, made as a kubelet makes them.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::container::Exec;
use crate::http::Connection;

/// How often a container that has just started is asked before its own period begins, and how long apart. A program needs
/// some milliseconds to listen; a whole period of waiting for that would only make every test slower.
const FIRST_TRIES: u32 = 20;
const FIRST_PAUSE: Duration = Duration::from_millis(25);

/// Probes for ever and tells `changed` each time the container becomes ready or stops being it. A container without a
/// probe is ready at once.
pub(super) async fn watch_readiness(
    container: &Container,
    address: Ipv4Addr,
    exec: &Exec,
    mut changed: impl FnMut(bool),
) -> Infallible {
    let Some(probe) = &container.readiness_probe else {
        changed(true);
        return std::future::pending().await;
    };
    let number =
        |value: Option<i32>, default: u64| value.and_then(|value| u64::try_from(value).ok()).unwrap_or(default);
    let attempt = async || {
        let limit = Duration::from_secs(number(probe.timeout_seconds, 1).max(1));
        timeout(limit, once(probe, container, address, exec))
            .await
            .unwrap_or(false)
    };
    let period = Duration::from_secs(number(probe.period_seconds, 10).max(1));
    let mut tally = Tally {
        ready: false,
        successes: 0,
        failures: 0,
        success_threshold: number(probe.success_threshold, 1).max(1),
        failure_threshold: number(probe.failure_threshold, 3).max(1),
    };
    tokio::time::sleep(Duration::from_secs(number(probe.initial_delay_seconds, 0))).await;
    let mut tries = 0;
    loop {
        let success = attempt().await;
        if let Some(ready) = tally.count(success) {
            changed(ready);
        }
        tries = if success { FIRST_TRIES } else { tries + 1 };
        tokio::time::sleep(if tries < FIRST_TRIES { FIRST_PAUSE } else { period }).await;
    }
}

/// The thresholds: so many successes in a row make it ready, so many failures in a row not ready.
struct Tally {
    ready: bool,
    successes: u64,
    failures: u64,
    success_threshold: u64,
    failure_threshold: u64,
}

impl Tally {
    /// The new state, when it changed.
    fn count(&mut self, success: bool) -> Option<bool> {
        if success {
            (self.successes, self.failures) = (self.successes + 1, 0);
        } else {
            (self.successes, self.failures) = (0, self.failures + 1);
        }
        let ready = if self.ready {
            self.failures < self.failure_threshold
        } else {
            self.successes >= self.success_threshold
        };
        (std::mem::replace(&mut self.ready, ready) != ready).then_some(ready)
    }
}

async fn once(probe: &Probe, container: &Container, address: Ipv4Addr, exec: &Exec) -> bool {
    if let Some(get) = &probe.http_get {
        let Some(port) = port(container, &get.port) else {
            return false;
        };
        return http(SocketAddr::from((address, port)), get.path.as_deref()).await;
    }
    if let Some(socket) = &probe.tcp_socket {
        let Some(port) = port(container, &socket.port) else {
            return false;
        };
        return TcpStream::connect((address, port)).await.is_ok();
    }
    if let Some(action) = &probe.exec {
        return exec.run(action.command.as_deref().unwrap_or_default()).await;
    }
    false // gRPC is not made here
}

/// A GET request; statuses 200 to 399 are a success.
pub(super) async fn http(to: SocketAddr, path: Option<&str>) -> bool {
    let path = path.filter(|path| !path.is_empty()).unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let Ok(mut connection) = Connection::open(to, None).await else {
        return false;
    };
    let answer = connection.get(&to.to_string(), &format!("{slash}{path}"), true).await;
    answer.is_ok_and(|answer| (200..400).contains(&answer.status))
}

/// A port by its number, or by its name among the container's ports.
pub(super) fn port(container: &Container, port: &IntOrString) -> Option<u16> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => name.parse().ok().or_else(|| {
            let named = container
                .ports
                .iter()
                .flatten()
                .find(|own| own.name.as_deref() == Some(name.as_str()))?;
            Some(named.container_port)
        })?,
    };
    u16::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_counted_in_a_row() {
        let mut tally = Tally {
            ready: false,
            successes: 0,
            failures: 0,
            success_threshold: 2,
            failure_threshold: 3,
        };
        let rows = [
            (true, None),
            (false, None),
            (true, None),
            (true, Some(true)),
            (false, None),
            (false, None),
            (true, None),
            (false, None),
            (false, None),
            (false, Some(false)),
            (true, None),
            (true, Some(true)),
        ];
        for (step, (success, want)) in rows.into_iter().enumerate() {
            assert_eq!(tally.count(success), want, "step {step}");
        }
    }

    #[test]
    fn a_port_is_found_by_number_and_name() {
        let container: Container = serde_json::from_value(serde_json::json!({
            "name": "app", "ports": [{"name": "http", "containerPort": 5678}]
        }))
        .expect("it is a container");
        let rows = [
            (IntOrString::Int(80), Some(80)),
            (IntOrString::String("http".to_owned()), Some(5678)),
            (IntOrString::String("8080".to_owned()), Some(8080)),
            (IntOrString::String("grpc".to_owned()), None),
            (IntOrString::Int(70_000), None),
        ];
        for (given, want) in rows {
            assert_eq!(port(&container, &given), want, "{given:?}");
        }
    }
}
