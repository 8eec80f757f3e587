//! What the user, or the controller, may do.

use futures::{StreamExt, stream};

use super::{Check, Scope, State};
use crate::{cluster::Cluster, resource::Resource};

/// So many questions at the same time.
const AT_ONCE: usize = 8;

/// Whose rights are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Whose {
    /// Those that this plugin needs
    User,
    /// Those that the controller needs (use it with --as)
    Controller,
}

/// What is needed for what.
struct Need {
    group: &'static str,
    plural: &'static str,
    verbs: &'static [&'static str],
    /// What it is needed for; empty where that is everything.
    purpose: &'static str,
    cluster_wide: bool,
}

const fn need(
    group: &'static str,
    plural: &'static str,
    verbs: &'static [&'static str],
    purpose: &'static str,
) -> Need {
    Need {
        group,
        plural,
        verbs,
        purpose,
        cluster_wide: false,
    }
}

const fn cluster_wide(mut need: Need) -> Need {
    need.cluster_wide = true;
    need
}

const WATCHED: &[&str] = &["get", "list", "watch"];

const CONTROLLER: &[Need] = &[
    need("argoproj.io", "rollouts", &["get", "list", "watch", "patch"], ""),
    need("argoproj.io", "rollouts/status", &["patch"], ""),
    need(
        "argoproj.io",
        "analysisruns",
        &["get", "list", "watch", "create", "patch", "delete"],
        "analyses",
    ),
    need("argoproj.io", "analysistemplates", WATCHED, "analyses"),
    cluster_wide(need(
        "argoproj.io",
        "clusteranalysistemplates",
        WATCHED,
        "analyses with cluster-wide templates",
    )),
    need(
        "apps",
        "replicasets",
        &["get", "list", "watch", "create", "patch", "delete"],
        "",
    ),
    need("", "services", &["get", "list", "watch", "patch"], ""),
    need("", "pods", &["list"], "switching Services, canaries with a router"),
    need(
        "discovery.k8s.io",
        "endpointslices",
        &["list"],
        "switching Services, canaries with a router",
    ),
    need(
        "gateway.networking.k8s.io",
        "httproutes",
        &["get", "list", "watch", "patch"],
        "canaries with Gateway API",
    ),
    need("", "events", &["create"], "events"),
    need(
        "coordination.k8s.io",
        "leases",
        &["get", "create", "patch"],
        "leader election",
    ),
    cluster_wide(need(
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        &["get"],
        "telling Argo's CRDs from Sluice's",
    )),
];

const USER: &[Need] = &[
    need("argoproj.io", "rollouts", WATCHED, ""),
    need("argoproj.io", "rollouts", &["patch"], "pause, and for promote after it"),
    need("argoproj.io", "rollouts/status", &["patch"], "promote, abort, retry"),
    need("apps", "replicasets", &["list", "watch"], "revisions in `get`"),
    need("argoproj.io", "analysisruns", &["list", "watch"], "analyses in `get`"),
    need("", "pods", &["list", "watch"], "pods in `get`, and why it waits"),
    need("", "services", &["get"], "why it waits in `get`"),
    need("discovery.k8s.io", "endpointslices", &["list"], "why it waits in `get`"),
    need(
        "gateway.networking.k8s.io",
        "httproutes",
        &["get"],
        "the split in `get`",
    ),
    need("argoproj.io", "analysistemplates", &["get"], "why it waits in `get`"),
    need(
        "apps",
        "replicasets",
        &["create"],
        "why it waits in `get`, for revisions that Argo Rollouts made (only dry-runs)",
    ),
];

/// One line where all is granted, else one for each resource of which something is missing.
pub async fn rights(cluster: &Cluster, scope: &Scope) -> Vec<Check> {
    let (needs, subject) = match scope.whose {
        Whose::User => (USER, "your rights"),
        Whose::Controller => (CONTROLLER, "rights of the controller"),
    };
    let subject = cluster
        .as_user
        .as_ref()
        .map_or_else(|| subject.to_owned(), |user| format!("rights of {user}"));
    let answers = stream::iter(needs).map(|need| missing(cluster, scope, need));
    let answers: Vec<_> = answers.buffered(AT_ONCE).collect().await;
    let mut checks = Vec::new();
    for (need, answer) in needs.iter().zip(answers) {
        match answer {
            Ok(missing) if missing.is_empty() => {}
            Ok(missing) => checks.push(missing_check(&subject, need, &missing, scope)),
            // What keeps one question from being answered keeps all.
            Err(error) => {
                return vec![Check::new(
                    subject,
                    State::Warn,
                    format!("cannot be asked for: {error}"),
                    "",
                )];
            }
        }
    }
    if checks.is_empty() {
        checks.push(Check::ok(subject, format!("all that is needed {}", place(scope))));
    }
    checks
}

fn place(scope: &Scope) -> String {
    match &scope.namespace {
        Some(namespace) => format!("in namespace '{namespace}'"),
        None => "in all namespaces".to_owned(),
    }
}

async fn missing(
    cluster: &Cluster,
    scope: &Scope,
    need: &Need,
) -> Result<Vec<&'static str>, crate::cluster::CallError> {
    let resource = Resource::new(need.group, "", need.plural);
    let namespace = scope
        .namespace
        .as_deref()
        .filter(|_| !need.cluster_wide)
        .unwrap_or_default();
    let mut missing = Vec::new();
    for verb in need.verbs {
        if !cluster.may(verb, &resource, namespace).await? {
            missing.push(*verb);
        }
    }
    Ok(missing)
}

fn missing_check(subject: &str, need: &Need, missing: &[&str], scope: &Scope) -> Check {
    let resource = Resource::new(need.group, "", need.plural);
    let place = if need.cluster_wide {
        "in all namespaces".to_owned()
    } else {
        place(scope)
    };
    let (state, purpose) = match need.purpose {
        "" => (State::Fail, String::new()),
        purpose => (State::Warn, format!(" (needed for {purpose})")),
    };
    let found = format!("may not {} {resource} {place}{purpose}", missing.join(", "));
    let fix = match scope.whose {
        Whose::Controller => "apply Sluice's RBAC manifests, and name its service account with --as".to_owned(),
        Whose::User => format!("have {} on {resource} granted to you", missing.join(", ")),
    };
    Check::new(subject, state, found, fix)
}
