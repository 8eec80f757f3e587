//! Which controllers live, and where they send their queries.

use jiff::Timestamp;
use serde_json::Value;
use sluice_analysis::providers::prometheus::ADDRESS_VARIABLE;
use sluice_crds::names::ARGO_LEASE;

use super::{Check, SLUICE_LEASE, SLUICE_NAMESPACE, Scope, State};
use crate::{
    cluster::{CallError, Cluster},
    observe::{ARGO_NAMESPACE, lease_holder, metadata},
    resource::Resource,
    text,
};

/// A Lease of a controller, or that it cannot be told.
enum Found {
    Leases(Vec<Value>),
    Unknown(CallError),
}

/// The Leases of a name, in all namespaces where they may be listed, else where they are by default.
async fn leases(cluster: &Cluster, scope: &Scope, base: &str, namespace: &str) -> Found {
    let name = scope.lease(base);
    match cluster.list(&Resource::leases(), "", "").await {
        Ok(leases) => Found::Leases(
            leases
                .into_iter()
                .filter(|lease| metadata(lease, "name") == Some(&name))
                .collect(),
        ),
        Err(_) => match cluster.get(&Resource::leases(), namespace, &name).await {
            Ok(lease) => Found::Leases(vec![lease]),
            Err(CallError::NotFound { .. }) => Found::Leases(Vec::new()),
            Err(error) => Found::Unknown(error),
        },
    }
}

/// Argo's own controller: while it lives, Sluice holds everything.
pub async fn argo(cluster: &Cluster, scope: &Scope) -> Check {
    let subject = "Argo Rollouts";
    let leases = match leases(cluster, scope, ARGO_LEASE, ARGO_NAMESPACE).await {
        Found::Leases(leases) => leases,
        Found::Unknown(error) => return Check::new(subject, State::Warn, format!("not known: {error}"), ""),
    };
    let now = Timestamp::now();
    let live = leases.iter().find_map(|lease| Some((lease, lease_holder(lease, now)?)));
    match live {
        Some((lease, holder)) => {
            let namespace = metadata(lease, "namespace").unwrap_or(ARGO_NAMESPACE);
            let found =
                format!("its controller is live (`{holder}` in namespace '{namespace}'): Sluice holds everything");
            let fix = format!("kubectl -n {namespace} scale deployment argo-rollouts --replicas=0");
            Check::new(subject, State::Warn, found, fix)
        }
        None if leases.is_empty() => Check::ok(subject, "its controller does not run here"),
        None => Check::ok(subject, "its controller has stopped (its Lease has expired)"),
    }
}

/// Sluice's own controller.
pub async fn sluice(cluster: &Cluster, scope: &Scope) -> Check {
    let subject = "Sluice";
    let leases = match leases(cluster, scope, SLUICE_LEASE, SLUICE_NAMESPACE).await {
        Found::Leases(leases) => leases,
        Found::Unknown(error) => return Check::new(subject, State::Warn, format!("not known: {error}"), ""),
    };
    let now = Timestamp::now();
    let live = leases.iter().find_map(|lease| Some((lease, lease_holder(lease, now)?)));
    if let Some((lease, holder)) = live {
        let namespace = metadata(lease, "namespace").unwrap_or_default();
        return Check::ok(
            subject,
            format!("its controller is live (leader `{holder}` in namespace '{namespace}')"),
        );
    }
    let renewed = leases
        .iter()
        .filter_map(|lease| lease.pointer("/spec/renewTime")?.as_str()?.parse().ok());
    let found = match renewed.max() {
        Some(at) => format!(
            "its controller does not run: its Lease was last renewed at {}",
            text::time(at)
        ),
        None => "its controller does not run here (or runs without --leader-elect)".to_owned(),
    };
    Check::new(
        subject,
        State::Warn,
        found,
        "start it, or look at its log; until then nothing moves",
    )
}

/// What is known of the controller's environment.
enum Address {
    /// The address of Prometheus in it.
    Set(String),
    /// There is none in it.
    Unset,
    /// It is not known, and why.
    Unknown(String),
}

/// The address of Prometheus for templates that name none.
pub async fn prometheus(cluster: &Cluster, scope: &Scope) -> Check {
    let subject = "Prometheus";
    let address = address(cluster).await;
    if let Address::Set(address) = address {
        return Check::ok(subject, format!("templates without an address use {address}"));
    }
    let open = match without_address(cluster, scope).await {
        Ok(open) if open.is_empty() => return Check::ok(subject, "no template needs an address of the controller"),
        Ok(open) => open.join(", "),
        Err(error) => return Check::new(subject, State::Warn, format!("not known: {error}"), ""),
    };
    let why = match address {
        Address::Unknown(why) => format!("the controller's environment is not known: {why}"),
        _ => "there is none in the controller's environment".to_owned(),
    };
    let found = format!("template {open} has no address, and {why}");
    let fix = format!("make sure that the controller has {ADDRESS_VARIABLE}, or set `address` in the template");
    Check::new(subject, State::Warn, found, fix)
}

/// `ARGO_ROLLOUTS_PROMETHEUS_ADDRESS` of Sluice's controller.
async fn address(cluster: &Cluster) -> Address {
    let mut deployments = cluster.list(&Resource::deployments(), "", "").await;
    if deployments.is_err() {
        deployments = cluster.list(&Resource::deployments(), SLUICE_NAMESPACE, "").await;
    }
    let deployments = match deployments {
        Ok(deployments) => deployments,
        Err(error) => return Address::Unknown(error.to_string()),
    };
    let is_ours = |one: &&Value| metadata(one, "name").is_some_and(|name| name.contains("sluice-controller"));
    let ours: Vec<&Value> = deployments.iter().filter(is_ours).collect();
    if ours.is_empty() {
        return Address::Unknown("there is no Deployment sluice-controller".to_owned());
    }
    let containers = ours
        .iter()
        .filter_map(|one| one.pointer("/spec/template/spec/containers")?.as_array())
        .flatten();
    let variables = containers
        .filter_map(|container| container.get("env")?.as_array())
        .flatten();
    let mut addresses = variables.filter(|variable| variable["name"] == ADDRESS_VARIABLE);
    let address = addresses
        .find_map(|variable| variable.get("value")?.as_str())
        .filter(|value| !value.is_empty());
    address.map_or(Address::Unset, |address| Address::Set(address.to_owned()))
}

/// Names of templates with a query to Prometheus and no address.
async fn without_address(cluster: &Cluster, scope: &Scope) -> Result<Vec<String>, CallError> {
    let namespace = scope.namespace.as_deref().unwrap_or_default();
    let mut templates = cluster.list(&Resource::templates(), namespace, "").await?;
    // Not everybody may read what belongs to the whole cluster.
    templates.extend(
        cluster
            .list(&Resource::cluster_templates(), "", "")
            .await
            .unwrap_or_default(),
    );
    let is_open = |template: &&Value| {
        let metrics = template
            .pointer("/spec/metrics")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let mut queries = metrics.filter_map(|metric| metric.pointer("/provider/prometheus"));
        queries.any(|query| {
            query
                .get("address")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .is_empty()
        })
    };
    Ok(templates
        .iter()
        .filter(is_open)
        .filter_map(|template| metadata(template, "name"))
        .map(str::to_owned)
        .collect())
}
