//! The binary `sluice-controller`: reads flags, sets up logs, runs the library.

#![allow(clippy::doc_markdown, reason = "doc comments of flags are what --help prints")]

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::{ArgAction, Parser, ValueEnum};
use ipnet::IpNet;
use jiff::SignedDuration;
use sluice_analysis::Environment;
use sluice_analysis::providers::VARIABLES;
use sluice_controller::addresses::Policy;
use sluice_controller::failpoint::{self, Failpoint};
use sluice_controller::lease::Terms;
use sluice_controller::{Config, run};
use tokio::signal::unix::{SignalKind, signal};

/// Progressive delivery for Kubernetes: takes new versions from 0 % to 100 % of the traffic in steps, and back when they are
/// bad. Serves the API of Argo Rollouts.
#[derive(Debug, Parser)]
#[command(name = "sluice-controller", version)]
struct Flags {
    /// A kubeconfig file, instead of KUBECONFIG, ~/.kube/config or the cluster that this runs in.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// Serve only this namespace.
    #[arg(long, short = 'n')]
    namespace: Option<String>,
    /// Serve only the namespace of --namespace, or the own one.
    #[arg(long)]
    namespaced: bool,
    /// Serve only objects whose label argo-rollouts.argoproj.io/controller-instance-id has this value.
    #[arg(long)]
    instance_id: Option<String>,
    /// Elect one of several replicas that decides.
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    leader_elect: bool,
    /// How long others wait after the leader's last renewal before they take over.
    #[arg(long, default_value = "15s", value_parser = humantime::parse_duration)]
    leader_election_lease_duration: Duration,
    /// How long after its last renewal the leader goes on deciding. Less than the lease duration.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    leader_election_renew_deadline: Duration,
    /// How long the leader waits after a failed renewal.
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
    leader_election_retry_period: Duration,
    /// How long proxies may lag behind a route that was acknowledged.
    #[arg(long, default_value = "3s", value_parser = humantime::parse_duration)]
    drain: Duration,
    /// After this time, and the drain time, a route change that nobody acknowledged no longer holds back scale-downs.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    ack_timeout: Duration,
    /// Port of /metrics and /debug/plan/NAMESPACE/NAME.
    #[arg(long = "metricsPort", default_value_t = 8090)]
    metrics_port: u16,
    /// Port of /healthz, /livez and /readyz.
    #[arg(long = "healthzPort", default_value_t = 8080)]
    healthz_port: u16,
    /// Address and port of /metrics, instead of --metricsPort on all addresses.
    #[arg(long)]
    metrics_bind: Option<SocketAddr>,
    /// Address and port of /healthz, instead of --healthzPort on all addresses.
    #[arg(long)]
    healthz_bind: Option<SocketAddr>,
    /// Rollouts and AnalysisRuns that are worked on at the same time.
    #[arg(long = "rollout-threads", default_value_t = 16)]
    concurrency: usize,
    /// Let metrics be measured on addresses of this machine. The default is yes, but no in a pod.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    allow_loopback_providers: Option<bool>,
    /// A network or an address that metrics may be measured on, whatever else is refused: loopback, link-local addresses and
    /// the API server. May be given several times.
    #[arg(long, value_name = "CIDR", value_parser = network)]
    provider_allow: Vec<IpNet>,
    /// A file with certificate authorities (PEM) that metrics trust beside those of the system.
    #[arg(long, value_name = "FILE")]
    provider_ca_file: Option<PathBuf>,
    /// Let metrics run Jobs (provider.job), under the service account that a Namespace names in its annotation
    /// sluice.dev/job-service-account. Needs the rights of deploy/jobs.yaml.
    #[arg(long)]
    enable_job_provider: bool,
    /// error, warn, info, debug or trace, or directives such as `info,sluice_controller=debug`.
    #[arg(long, default_value = "info")]
    loglevel: String,
    /// How logs are written.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    logformat: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    set_up_logs(&flags)?;
    let config = config(&flags)?;
    // Two threads: decisions take microseconds, and everything else waits for a network.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        run(config, shutdown).await?;
        Ok(())
    })
}

fn config(flags: &Flags) -> anyhow::Result<Config> {
    let terms = Terms {
        lease: flags.leader_election_lease_duration,
        renew_deadline: flags.leader_election_renew_deadline,
        retry: flags.leader_election_retry_period,
    };
    anyhow::ensure!(
        terms.lease > terms.renew_deadline && terms.renew_deadline > terms.retry && !terms.retry.is_zero(),
        "--leader-election-lease-duration must be longer than --leader-election-renew-deadline, and that longer than \
         --leader-election-retry-period, for example 15s, 10s and 2s"
    );
    let own_namespace = std::env::var("POD_NAMESPACE")
        .ok()
        .filter(|namespace| !namespace.is_empty());
    let watched_namespace = match (&flags.namespace, flags.namespaced) {
        (Some(namespace), _) => Some(namespace.clone()),
        (None, true) => {
            let own = own_namespace.clone().or_else(service_account_namespace);
            Some(own.context("--namespaced needs --namespace, or POD_NAMESPACE in the environment")?)
        }
        (None, false) => None,
    };
    let failpoint = match std::env::var(failpoint::VARIABLE) {
        Ok(text) => Some(Failpoint::parse(&text).map_err(anyhow::Error::msg)?),
        Err(_) => None,
    };
    let variables = VARIABLES
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    let in_a_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let all = |port| SocketAddr::from(([0, 0, 0, 0], port));
    Ok(Config {
        kubeconfig: flags.kubeconfig.clone(),
        watched_namespace,
        own_namespace,
        instance_id: flags.instance_id.clone().filter(|id| !id.is_empty()),
        leader_elect: flags.leader_elect,
        terms,
        drain: SignedDuration::try_from(flags.drain).context("--drain is too long")?,
        ack_timeout: SignedDuration::try_from(flags.ack_timeout).context("--ack-timeout is too long")?,
        metrics_bind: Some(flags.metrics_bind.unwrap_or_else(|| all(flags.metrics_port))),
        healthz_bind: Some(flags.healthz_bind.unwrap_or_else(|| all(flags.healthz_port))),
        concurrency: flags.concurrency,
        environment: Environment {
            variables: variables.collect(),
            web_identity_token: None,
        },
        addresses: Policy {
            loopback: flags.allow_loopback_providers.unwrap_or(!in_a_pod),
            allowed: flags.provider_allow.clone(),
            ..Policy::default()
        },
        authorities: flags
            .provider_ca_file
            .as_deref()
            .map(authorities)
            .transpose()?
            .unwrap_or_default(),
        enable_jobs: flags.enable_job_provider,
        failpoint,
    })
}

/// A network (`10.0.0.0/8`) or one address.
fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    text.parse()
        .or(address)
        .map_err(|_| format!("`{text}` is neither a network such as 10.0.0.0/8 nor an address"))
}

fn authorities(file: &Path) -> anyhow::Result<Vec<reqwest::Certificate>> {
    let about = || format!("--provider-ca-file {}", file.display());
    let pem = std::fs::read(file).with_context(about)?;
    let authorities = reqwest::Certificate::from_pem_bundle(&pem).with_context(about)?;
    anyhow::ensure!(!authorities.is_empty(), "{} has no certificate", about());
    Ok(authorities)
}

fn service_account_namespace() -> Option<String> {
    let text = std::fs::read_to_string("/var/run/secrets/kubernetes.io/serviceaccount/namespace").ok()?;
    Some(text.trim().to_owned())
}

fn set_up_logs(flags: &Flags) -> anyhow::Result<()> {
    // The client logs each failed request as an error of its own; what it means is said where it is dealt with.
    let directives = format!("{},kube_client::client::builder=off", flags.loglevel);
    let filter = tracing_subscriber::EnvFilter::try_new(directives).with_context(|| {
        format!(
            "--loglevel {}: for example info, or warn,sluice_controller=debug",
            flags.loglevel
        )
    })?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    match flags.logformat {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_argo_rollouts_are_understood() {
        let flags = Flags::parse_from([
            "sluice-controller",
            "--namespaced",
            "--namespace=shop",
            "--instance-id=blue",
            "--leader-elect=false",
            "--metricsPort=9090",
            "--healthzPort",
            "9091",
            "--loglevel=debug",
            "--logformat=json",
            "--leader-election-lease-duration=30s",
        ]);
        let config = config(&flags).unwrap();
        assert_eq!(config.watched_namespace.as_deref(), Some("shop"));
        assert_eq!(config.instance_id.as_deref(), Some("blue"));
        assert!(!config.leader_elect);
        assert_eq!(config.metrics_bind, Some("0.0.0.0:9090".parse().unwrap()));
        assert_eq!(config.healthz_bind, Some("0.0.0.0:9091".parse().unwrap()));
        assert_eq!(config.terms.lease, Duration::from_secs(30));
    }

    #[test]
    fn a_lease_that_is_shorter_than_its_renewal_is_refused() {
        let flags = Flags::parse_from(["sluice-controller", "--leader-election-lease-duration=5s"]);
        let message = config(&flags).unwrap_err().to_string();
        assert!(message.contains("for example 15s, 10s and 2s"), "{message}");
    }
}
