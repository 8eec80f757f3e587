//! The controller's configuration, as values. The binary makes it from flags.

use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::SignedDuration;
use sluice_analysis::Environment;

use crate::addresses::Policy;
use crate::failpoint::Failpoint;
use crate::lease::Terms;

/// Everything that can be set.
#[derive(Debug)]
pub struct Config {
    /// A kubeconfig file; where it is `None`, `KUBECONFIG`, `~/.kube/config` or the cluster that the process runs in.
    pub kubeconfig: Option<PathBuf>,
    /// The only namespace to serve, or all of them.
    pub watched_namespace: Option<String>,
    /// The namespace that the controller itself lives in, for its Lease; where it is `None`, that of the client.
    pub own_namespace: Option<String>,
    /// Serves only objects with this instance id; without it only objects that have none.
    pub instance_id: Option<String>,
    /// Whether several replicas elect one that decides.
    pub leader_elect: bool,
    /// Durations of the election.
    pub terms: Terms,
    /// How long proxies may lag behind an acknowledged change.
    pub drain: SignedDuration,
    /// After this time a change that was never acknowledged no longer holds back scale-downs (`drain` is added).
    pub ack_timeout: SignedDuration,
    /// Address of `/metrics` and `/debug`; not served where it is `None`.
    pub metrics_bind: Option<SocketAddr>,
    /// Address of `/healthz`, `/livez` and `/readyz`; not served where it is `None`.
    pub healthz_bind: Option<SocketAddr>,
    /// Objects that are reconciled at the same time, at most.
    pub concurrency: usize,
    /// What metric providers may know: environment variables such as `ARGO_ROLLOUTS_PROMETHEUS_ADDRESS`.
    pub environment: Environment,
    /// Which addresses measurements may go to.
    pub addresses: Policy,
    /// Certificate authorities that measurements trust beside those of the system.
    pub authorities: Vec<reqwest::Certificate>,
    /// Whether metrics may run Jobs.
    pub enable_jobs: bool,
    /// Test only.
    pub failpoint: Option<Failpoint>,
}

impl Default for Config {
    fn default() -> Self {
        let settings = sluice_machine::Settings::default();
        Config {
            kubeconfig: None,
            watched_namespace: None,
            own_namespace: None,
            instance_id: None,
            leader_elect: true,
            terms: Terms::default(),
            drain: settings.drain,
            ack_timeout: settings.ack_timeout,
            metrics_bind: Some(SocketAddr::from(([0, 0, 0, 0], 8090))),
            healthz_bind: Some(SocketAddr::from(([0, 0, 0, 0], 8080))),
            // Reconciles wait for the API server most of the time; sixteen keep two cores busy and one API server calm.
            concurrency: 16,
            environment: Environment::default(),
            enable_jobs: false,
            addresses: Policy {
                loopback: true,
                ..Policy::default()
            },
            authorities: Vec::new(),
            failpoint: None,
        }
    }
}
