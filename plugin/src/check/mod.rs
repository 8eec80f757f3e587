//! Looks at a cluster before it is relied on: what is there, what is missing, and how to mend it.

mod controllers;
mod installed;
mod rights;

use serde::Serialize;

use crate::cluster::Cluster;

pub use rights::Whose;

/// Name of the Lease that Sluice's leader holds; with an instance id, `-` and the id follow.
const SLUICE_LEASE: &str = "sluice-controller-lock";
/// Where Sluice's manifests install its controller.
const SLUICE_NAMESPACE: &str = "sluice";

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Works, but not all of it, or cannot be told.
    Warn,
    /// Sluice cannot work.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was looked at.
    pub subject: String,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub found: String,
    /// How to mend it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fix: String,
}

/// What to look for.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Whose rights are asked for.
    pub whose: Whose,
    /// The only namespace that the controller is to serve, or all.
    pub namespace: Option<String>,
    /// Instance id of the controller, where several share the cluster.
    pub instance_id: Option<String>,
}

impl Scope {
    /// Name of a controller's Lease.
    fn lease(&self, base: &str) -> String {
        match &self.instance_id {
            Some(id) => format!("{base}-{id}"),
            None => base.to_owned(),
        }
    }
}

impl Check {
    fn new(subject: impl Into<String>, state: State, found: impl Into<String>, fix: impl Into<String>) -> Check {
        Check {
            subject: subject.into(),
            state,
            found: found.into(),
            fix: fix.into(),
        }
    }

    fn ok(subject: impl Into<String>, found: impl Into<String>) -> Check {
        Check::new(subject, State::Ok, found, "")
    }
}

/// Looks at everything. Without an API server there is nothing else to look at.
pub async fn check(cluster: &Cluster, scope: &Scope) -> Vec<Check> {
    let server = installed::server(cluster).await;
    let reachable = server.state != State::Fail;
    let mut checks = vec![server];
    if !reachable {
        return checks;
    }
    checks.extend(installed::definitions(cluster).await);
    checks.extend(rights::rights(cluster, scope).await);
    checks.push(controllers::argo(cluster, scope).await);
    checks.push(controllers::sluice(cluster, scope).await);
    checks.push(installed::routers(cluster).await);
    checks.push(controllers::prometheus(cluster, scope).await);
    checks
}
