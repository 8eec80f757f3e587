//! What the user, or the controller, may do.

use futures::{StreamExt, stream};

use super::{Check, SLUICE_LEASE, SLUICE_NAMESPACE, Scope, State};
use crate::{
    cluster::{CallError, Cluster},
    observe::ARGO_NAMESPACE,
    resource::Resource,
};

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

/// Where a right is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the namespaces that are served.
    Served,
    /// For objects without a namespace.
    Cluster,
    /// In the controller's own namespace, on its Lease.
    OwnLease,
    /// On the Lease of Argo's own controller.
    ArgoLease,
}

/// A right and what it is needed for.
struct Need {
    group: &'static str,
    plural: &'static str,
    verbs: &'static str,
    /// Empty where it is needed for everything.
    purpose: &'static str,
    place: Place,
}

const fn need(group: &'static str, plural: &'static str, verbs: &'static str, purpose: &'static str) -> Need {
    Need {
        group,
        plural,
        verbs,
        purpose,
        place: Place::Served,
    }
}

impl Need {
    const fn on(mut self, place: Place) -> Need {
        self.place = place;
        self
    }

    fn resource(&self) -> Resource {
        Resource::new(self.group, "", self.plural)
    }
}

const ARGO: &str = "argoproj.io";
const LEASES: &str = "coordination.k8s.io";
const WATCHED: &str = "list watch";
const MADE: &str = "get list watch create patch delete";
const SWITCHING: &str = "switching Services, and canaries with a router";

/// The rights that deploy/ grants: a test holds the two together.
const CONTROLLER: &[Need] = &[
    need(ARGO, "rollouts", "get list watch patch", ""),
    need(ARGO, "rollouts/status", "patch", ""),
    need(
        ARGO,
        "rollouts/finalizers",
        "update",
        "creating ReplicaSets on OpenShift",
    ),
    need(ARGO, "analysisruns", MADE, "analyses"),
    need(ARGO, "analysistemplates", WATCHED, "analyses"),
    need(
        ARGO,
        "clusteranalysistemplates",
        WATCHED,
        "analyses with templates of the cluster",
    )
    .on(Place::Cluster),
    need("apps", "replicasets", MADE, ""),
    need("", "services", "get list watch patch", ""),
    need("", "pods", "list", SWITCHING),
    need("", "pods", "patch", "labels of canary and stable on pods"),
    need("", "pods/eviction", "create", "restarts"),
    need("apps", "deployments", "get list watch patch", "workloadRef"),
    need("discovery.k8s.io", "endpointslices", "list", SWITCHING),
    need(
        "gateway.networking.k8s.io",
        "httproutes",
        "get list watch patch",
        "canaries with Gateway API",
    ),
    need("networking.k8s.io", "ingresses", MADE, "canaries with ingress-nginx"),
    need(
        "networking.istio.io",
        "virtualservices",
        "get list watch patch",
        "canaries with Istio",
    ),
    need(
        "networking.istio.io",
        "destinationrules",
        "get list watch patch",
        "canaries with Istio and subsets",
    ),
    need("", "events", "create", "events"),
    need(LEASES, "leases", "create get patch", "leader election").on(Place::OwnLease),
    need(LEASES, "leases", "get", "telling whether Argo's own controller is live").on(Place::ArgoLease),
    need(
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        "list watch",
        "telling Argo's CRDs from Sluice's",
    )
    .on(Place::Cluster),
];

const USER: &[Need] = &[
    need(ARGO, "rollouts", "get list watch", ""),
    need(ARGO, "rollouts", "patch", "pause, and for promote after it"),
    need(ARGO, "rollouts/status", "patch", "promote, abort, retry"),
    need("apps", "replicasets", "list watch", "revisions in `get`"),
    need(ARGO, "analysisruns", "list watch", "analyses in `get`"),
    need("", "pods", "list watch", "pods in `get`, and why it waits"),
    need("", "services", "get", "why it waits in `get`"),
    need("discovery.k8s.io", "endpointslices", "list", "why it waits in `get`"),
    need("gateway.networking.k8s.io", "httproutes", "get", "the split in `get`"),
    need(ARGO, "analysistemplates", "get", "why it waits in `get`"),
    need(
        "apps",
        "replicasets",
        "create",
        "why it waits in `get`, where Argo Rollouts made the revisions (dry-runs only)",
    ),
];

/// One line where all is granted, else one for each resource of which something is missing.
pub async fn rights(cluster: &Cluster, scope: &Scope) -> Vec<Check> {
    let (needs, subject) = match scope.whose {
        Whose::User => (USER, "your rights"),
        Whose::Controller => (CONTROLLER, "rights of the controller"),
    };
    let user = cluster.as_user.as_ref();
    let subject = user.map_or_else(|| subject.to_owned(), |user| format!("rights of {user}"));
    let answers = stream::iter(needs).map(|need| missing(cluster, scope, need));
    let answers: Vec<_> = answers.buffered(AT_ONCE).collect().await;
    let mut checks = Vec::new();
    for (need, answer) in needs.iter().zip(answers) {
        match answer {
            Ok(missing) if missing.is_empty() => {}
            Ok(missing) => checks.push(missing_check(&subject, need, &missing, cluster, scope)),
            // What keeps one question from being answered keeps all.
            Err(error) => {
                let found = format!("cannot be asked for: {error}");
                return vec![Check::new(subject, State::Warn, found, "")];
            }
        }
    }
    if checks.is_empty() {
        checks.push(Check::ok(subject, format!("all that is needed {}", served(scope))));
    }
    checks
}

async fn missing(cluster: &Cluster, scope: &Scope, need: &Need) -> Result<Vec<&'static str>, CallError> {
    let (namespace, name) = place(cluster, scope, need.place);
    let mut missing = Vec::new();
    for verb in need.verbs.split(' ') {
        // A right to create is never one for a name.
        let name = if verb == "create" { "" } else { &name };
        if !cluster.may(verb, &need.resource(), &namespace, name).await? {
            missing.push(verb);
        }
    }
    Ok(missing)
}

/// Namespace and name of what a right is needed on; empty for all.
fn place(cluster: &Cluster, scope: &Scope, place: Place) -> (String, String) {
    match place {
        Place::Served => (scope.namespace.clone().unwrap_or_default(), String::new()),
        Place::Cluster => (String::new(), String::new()),
        Place::OwnLease => {
            let account = cluster
                .as_user
                .as_deref()
                .and_then(|user| user.strip_prefix("system:serviceaccount:"));
            let own = account
                .and_then(|account| account.split_once(':'))
                .map_or(SLUICE_NAMESPACE, |(own, _)| own);
            (own.to_owned(), scope.lease(SLUICE_LEASE))
        }
        Place::ArgoLease => (ARGO_NAMESPACE.to_owned(), scope.lease(sluice_crds::names::ARGO_LEASE)),
    }
}

fn served(scope: &Scope) -> String {
    match &scope.namespace {
        Some(namespace) => format!("in namespace '{namespace}'"),
        None => "in all namespaces".to_owned(),
    }
}

fn missing_check(subject: &str, need: &Need, missing: &[&str], cluster: &Cluster, scope: &Scope) -> Check {
    let resource = need.resource();
    let (state, purpose) = match need.purpose {
        "" => (State::Fail, String::new()),
        purpose => (State::Warn, format!(" (needed for {purpose})")),
    };
    let place = match (need.place, place(cluster, scope, need.place)) {
        (Place::Served, _) => served(scope),
        (Place::Cluster, _) => "in the cluster".to_owned(),
        (_, (namespace, name)) => format!("'{name}' in namespace '{namespace}'"),
    };
    let found = format!("may not {} {resource} {place}{purpose}", missing.join(", "));
    let fix = match scope.whose {
        Whose::Controller => "apply deploy/cluster.yaml or deploy/namespaced.yaml".to_owned(),
        Whose::User => format!("have {} on {resource} granted to you", missing.join(", ")),
    };
    Check::new(subject, state, found, fix)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::lint::{Source, parse};

    #[test]
    fn the_controllers_rights_are_those_that_its_manifests_grant() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/cluster.yaml");
        let text = std::fs::read_to_string(path).unwrap();
        let (documents, findings) = parse(&Source {
            name: path.to_owned(),
            text,
        });
        assert_eq!(findings, []);
        let list = |value: &Value, key: &str| -> Vec<String> {
            let texts = value[key].as_array().into_iter().flatten();
            texts.map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        let mut granted = BTreeSet::new();
        let rules = documents
            .iter()
            .filter_map(|document| document.value.get("rules")?.as_array())
            .flatten();
        for rule in rules {
            for (group, resource) in list(rule, "apiGroups")
                .iter()
                .zip(std::iter::repeat(list(rule, "resources")))
            {
                let pairs = resource
                    .iter()
                    .flat_map(|resource| list(rule, "verbs").into_iter().map(move |verb| (resource, verb)));
                granted.extend(pairs.map(|(resource, verb)| format!("{verb} {resource}.{group}")));
            }
        }
        let needed = CONTROLLER.iter().flat_map(|need| {
            need.verbs
                .split(' ')
                .map(|verb| format!("{verb} {}.{}", need.plural, need.group))
        });
        assert_eq!(needed.collect::<BTreeSet<_>>(), granted);
    }
}
