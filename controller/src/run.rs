//! Running: all tasks of the process, from the first watch to the last write.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::admin::{self, BindError};
use crate::api::{self, READ_TIMEOUT};
use crate::config::Config;
use crate::context::Context;
use crate::give_back;
use crate::kinds::Kind;
use crate::leadership::{self, Candidacy, Leadership};
use crate::metrics::Gauges;
use crate::object::ObjectName;
use crate::publish;
use crate::queue::Key;
use crate::{reconcile, runs, watch as watches};

/// How long reconciles that are under way may go on after the order to stop. A write takes five seconds at most.
const FINISH: Duration = Duration::from_secs(6);

/// How long events that wait to be sent may take after that.
const FLUSH: Duration = Duration::from_secs(1);

/// Why the controller could not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no cluster to work with.
    #[error("no cluster is configured: run in a pod, set KUBECONFIG or give --kubeconfig")]
    Kubeconfig(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The client cannot be built from the configuration.
    #[error("the cluster's configuration cannot be used")]
    Client(#[source] kube::Error),
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// Runs the controller until `shutdown` is ready: then no new decision is made, writes under way end, the Lease is released.
pub async fn run(mut config: Config, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
    // An error says that a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kube = kube_config(&config).await?;
    let url = kube.cluster_url.clone();
    let client = Client::try_from(kube).map_err(RunError::Client)?;
    let is_namespaced = config.watched_namespace.is_some();
    config
        .addresses
        .api_servers
        .extend(api_servers(&client, &url, is_namespaced).await);
    run_with(config, client, shutdown).await
}

/// The same with a client.
pub async fn run_with(config: Config, client: Client, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
    let leadership = if config.leader_elect {
        Leadership::elected(config.terms)
    } else {
        Leadership::always()
    };
    let (publisher, sender) = publish::channel();
    let (context, routes) = Context::new(config, client, leadership, publisher);
    let gauges: Arc<dyn Gauges> = context.clone();
    context.metrics.describe(&gauges);
    serve(&context).await?;

    let mut background = JoinSet::new();
    for kind in Kind::ALWAYS {
        background.spawn(watches::watch(context.clone(), kind));
    }
    background.spawn(watches::watch_definitions(context.clone()));
    background.spawn(watch_routes(context.clone(), routes));
    background.spawn(sender.run(context.clone()));
    background.spawn(follow_leadership(context.clone()));
    background.spawn(give_back::look_for_rules(context.clone()));
    background.spawn({
        let context = context.clone();
        async move {
            let changed = || context.queue.add_all(context.cache.all_keys());
            context.lookout.keep(&context.client, &context.notices, changed).await;
        }
    });
    let (stop, stopped) = watch::channel(false);
    let campaign = tokio::spawn(campaign(context.clone(), stopped));
    let dispatch = tokio::spawn(dispatch(context.clone()));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "started");

    shutdown.await;
    tracing::info!("stopping: no new decisions are made");
    context.queue.close();
    if tokio::time::timeout(FINISH, dispatch).await.is_err() {
        tracing::warn!("some work did not end in time");
    }
    let _ = tokio::time::timeout(FLUSH, context.publisher.flush()).await;
    stop.send_replace(true);
    let _ = tokio::time::timeout(FINISH, campaign).await;
    background.shutdown().await;
    tracing::info!("stopped");
    Ok(())
}

async fn kube_config(config: &Config) -> Result<kube::Config, RunError> {
    let mut kube = match &config.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|error| RunError::Kubeconfig(error.into()))?;
            kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .map_err(|error| RunError::Kubeconfig(error.into()))?
        }
        None => kube::Config::infer()
            .await
            .map_err(|error| RunError::Kubeconfig(error.into()))?,
    };
    // What is sent again, and when, is decided here and not by the client.
    kube.default_retry = false;
    kube.connect_timeout = Some(Duration::from_secs(5));
    Ok(kube)
}

/// Where the API server can be reached: as we do, as pods do, and where it listens itself, as far as it tells.
async fn api_servers(client: &Client, url: &http::Uri, is_namespaced: bool) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    let default_port = if url.scheme_str() == Some("http") { 80 } else { 443 };
    let of_pods = std::env::var("KUBERNETES_SERVICE_HOST").ok().zip(
        std::env::var("KUBERNETES_SERVICE_PORT")
            .ok()
            .and_then(|port| port.parse().ok()),
    );
    let ours = url
        .host()
        .map(|host| (host.to_owned(), url.port_u16().unwrap_or(default_port)));
    for (host, port) in ours.into_iter().chain(of_pods) {
        let host = host.trim_matches(['[', ']']);
        servers.extend(tokio::net::lookup_host((host, port)).await.into_iter().flatten());
    }
    if is_namespaced {
        // It has no rights in the namespace of the Service `kubernetes`.
        return servers;
    }
    let path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dkubernetes";
    let slices: Value = api::call(client, api::get(path), READ_TIMEOUT)
        .await
        .unwrap_or_default();
    for slice in slices["items"].as_array().into_iter().flatten() {
        let ports = slice["ports"].as_array().into_iter().flatten();
        let ports: Vec<u16> = ports
            .filter_map(|port| port["port"].as_u64()?.try_into().ok())
            .collect();
        let endpoints = slice["endpoints"].as_array().into_iter().flatten();
        let addresses = endpoints
            .filter_map(|endpoint| endpoint["addresses"].as_array())
            .flatten();
        for address in addresses.filter_map(|address| address.as_str()?.parse::<IpAddr>().ok()) {
            servers.extend(ports.iter().map(|port| SocketAddr::new(address, *port)));
        }
    }
    servers
}

async fn serve(context: &Arc<Context>) -> Result<(), BindError> {
    if let Some(address) = context.config.metrics_bind {
        let bound = admin::serve(address, admin::metrics_routes(context.clone())).await?;
        tracing::info!(%bound, "serving metrics");
    }
    if let Some(address) = context.config.healthz_bind {
        let bound = admin::serve(address, admin::health_routes(context.clone())).await?;
        tracing::info!(%bound, "serving health");
    }
    Ok(())
}

async fn watch_routes(context: Arc<Context>, mut wanted: mpsc::UnboundedReceiver<Kind>) {
    let mut running = JoinSet::new();
    while let Some(kind) = wanted.recv().await {
        tracing::info!(%kind, "a Rollout names this kind: watching it from now on");
        running.spawn(watches::watch(context.clone(), kind));
    }
}

async fn campaign(context: Arc<Context>, stop: watch::Receiver<bool>) {
    let config = &context.config;
    if !config.leader_elect {
        return;
    }
    let name = match &config.instance_id {
        Some(id) => format!("sluice-controller-lock-{id}"),
        None => "sluice-controller-lock".to_owned(),
    };
    let namespace = config
        .own_namespace
        .as_deref()
        .unwrap_or(context.client.default_namespace());
    let candidacy = Candidacy {
        lease: ObjectName::new(namespace, name),
        me: leadership::identity(),
        terms: config.terms,
    };
    context
        .leadership
        .campaign(&context.client, &candidacy, &context.notices, stop)
        .await;
}

/// Everything is looked at when leadership is won: a standby decided nothing.
async fn follow_leadership(context: Arc<Context>) {
    let mut changes = context.leadership.changes();
    loop {
        if *changes.borrow_and_update() {
            context.queue.add_all(context.cache.all_keys());
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Gives out keys until the queue is closed, then waits for those that are worked on.
async fn dispatch(context: Arc<Context>) {
    let permits = Arc::new(Semaphore::new(context.config.concurrency.max(1)));
    let mut running = JoinSet::new();
    loop {
        let permit = permits
            .clone()
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        while running.try_join_next().is_some() {}
        let Some(key) = context.queue.next().await else { break };
        let context = context.clone();
        running.spawn(async move {
            work(&context, &key).await;
            context.queue.done(&key);
            drop(permit);
        });
    }
    while running.join_next().await.is_some() {}
}

/// One reconcile. A panic in it is counted and keeps only this object back.
async fn work(context: &Arc<Context>, key: &Key) {
    let started = Instant::now();
    let span = tracing::info_span!("reconcile", object = %key);
    let reconcile = async {
        match key {
            Key::Rollout(_) => reconcile::rollout(context, key).await,
            Key::Run(_) => runs::run(context, key).await,
        }
    };
    let result = AssertUnwindSafe(reconcile.instrument(span.clone()))
        .catch_unwind()
        .await;
    let metrics = &context.metrics;
    let (histogram, errors) = match key {
        Key::Rollout(_) => (&metrics.rollout_reconcile, &metrics.rollout_errors),
        Key::Run(_) => (&metrics.run_reconcile, &metrics.run_errors),
    };
    histogram.observe(started.elapsed().as_secs_f64());
    match result {
        Ok(true) => {}
        Ok(false) => {
            errors.inc();
        }
        Err(panic) => {
            errors.inc();
            metrics.panics.inc();
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            let text = text
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            span.in_scope(|| {
                tracing::error!(
                    text,
                    "a defect in the controller: this object is left alone for a while"
                );
            });
            context.known(key, |known| {
                known.trouble = Some(format!("a defect in the controller: {text}"));
            });
            context.back_off(key);
        }
    }
}
