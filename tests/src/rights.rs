//! The rights of `deploy/`, given to a user of a plane: what the end-to-end tests need is what users grant, and no more.
//!
//! Every controller of the tests has these rights and no others, so that one which is missing shows; [`compare`] finds one
//! that nobody uses.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::audit::Request;
use crate::client::documents;
use crate::plane::{Plane, User};

/// The namespace in which a controller of the whole cluster has its Lease.
pub const OWN_NAMESPACE: &str = "sluice";

/// Rights that are granted although no run uses them, and why.
pub const ARGUED: [(&[&str], &str); 4] = [
    (
        &["get analysisruns.argoproj.io"],
        "read only when the name of a run is taken already, or when a watch shows a write of ours later than after two \
         seconds: neither can be brought about on an API server that is well",
    ),
    (
        &["update rollouts/finalizers.argoproj.io"],
        "asked for by the admission plugin OwnerReferencesPermissionEnforcement, which is off unless the API server is told; \
         OpenShift has it on",
    ),
    (
        &[
            "create ingresses.networking.k8s.io",
            "delete ingresses.networking.k8s.io",
            "get ingresses.networking.k8s.io",
            "list ingresses.networking.k8s.io",
            "patch ingresses.networking.k8s.io",
            "watch ingresses.networking.k8s.io",
        ],
        "used by the suite `updates`, whose controller has the same rights; these are compared in other suites",
    ),
    (
        &[
            "get destinationrules.networking.istio.io",
            "get virtualservices.networking.istio.io",
            "list virtualservices.networking.istio.io",
            "patch destinationrules.networking.istio.io",
            "patch virtualservices.networking.istio.io",
            "watch destinationrules.networking.istio.io",
            "watch virtualservices.networking.istio.io",
        ],
        "the same verbs as those of HTTPRoutes, which are used; there is no Istio here",
    ),
];

/// What a namespaced controller asks for in vain, as deploy/namespaced.yaml says: what is left out there.
const MISSED: [&str; 3] = [
    "list clusteranalysistemplates.argoproj.io",
    "list customresourcedefinitions.apiextensions.k8s.io",
    "get leases.coordination.k8s.io argo-rollouts-controller-lock in argo-rollouts",
];

/// One verb on one kind: of all objects or of one, everywhere or in one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    verb: String,
    group: String,
    kind: String,
    name: Option<String>,
    namespace: Option<String>,
}

impl Right {
    /// Whether the request is made by this right.
    pub fn covers(&self, request: &Request) -> bool {
        self.verb == request.verb
            && self.group == request.group
            && self.kind == request.kind()
            && self.name.as_ref().is_none_or(|name| *name == request.name)
            && self.namespace.as_ref().is_none_or(|space| *space == request.namespace)
    }
}

/// `get leases.coordination.k8s.io some-name`; where the right is valid is left out.
impl fmt::Display for Right {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}.{}", self.verb, self.kind, self.group)?;
        self.name.as_ref().map_or(Ok(()), |name| write!(out, " {name}"))
    }
}

/// Gives a user the rights of a controller for one namespace, or for the whole cluster.
pub async fn grant(plane: &Plane, user: User, namespace: Option<&str>) -> Result<()> {
    for document in manifest(namespace)? {
        if let Some(object) = for_user(document, user) {
            let own = namespace.unwrap_or(OWN_NAMESPACE);
            plane.client.apply(own, &object.to_string()).await?;
        }
    }
    Ok(())
}

/// Gives a user what a controller needs beside that to run Jobs.
pub async fn grant_jobs(plane: &Plane, user: User) -> Result<()> {
    for document in documents(&text("jobs.yaml")?)? {
        if let Some(object) = for_user(document, user) {
            plane.client.apply(OWN_NAMESPACE, &object.to_string()).await?;
        }
    }
    Ok(())
}

/// The rights of a controller for one namespace, or for the whole cluster.
pub fn granted(namespace: Option<&str>) -> Result<Vec<Right>> {
    let mut rights = Vec::new();
    for role in manifest(namespace)? {
        let space = match role["kind"].as_str() {
            Some("ClusterRole") => None,
            Some("Role") => Some(
                role["metadata"]["namespace"]
                    .as_str()
                    .context("a namespace")?
                    .to_owned(),
            ),
            _ => continue,
        };
        for rule in role["rules"].as_array().context("rules")? {
            rights.extend(rights_of(rule, space.as_ref())?);
        }
    }
    Ok(rights)
}

fn rights_of(rule: &Value, space: Option<&String>) -> Result<Vec<Right>> {
    let texts = |field: &str| -> Result<Vec<String>> {
        serde_json::from_value(rule[field].clone()).with_context(|| format!("{field} of {rule}"))
    };
    let names = match rule.get("resourceNames") {
        Some(_) => texts("resourceNames")?.into_iter().map(Some).collect(),
        None => vec![None],
    };
    let mut rights = Vec::new();
    for group in texts("apiGroups")? {
        for kind in texts("resources")? {
            for verb in texts("verbs")? {
                rights.extend(names.iter().map(|name| Right {
                    verb: verb.clone(),
                    group: group.clone(),
                    kind: kind.clone(),
                    name: name.clone(),
                    namespace: space.cloned(),
                }));
            }
        }
    }
    Ok(rights)
}

/// Compares, both ways, what a manifest grants with the requests of controllers that have its rights, each for one of
/// `namespaces`, or for the whole cluster where there are none. Fails for a request that is not covered, and for a right that
/// no request needed and for which [`ARGUED`] has no reason, or needs none any more.
pub fn compare(requests: &[Request], namespaces: &[&str]) -> Result<()> {
    let mut rights = Vec::new();
    for space in namespaces {
        rights.extend(granted(Some(space))?);
    }
    if namespaces.is_empty() {
        rights = granted(None)?;
    }
    // What is no object, such as the list of kinds that are served, is open to everybody.
    let about_objects = requests.iter().filter(|request| !request.resource.is_empty());
    let (covered, others): (Vec<&Request>, Vec<&Request>) =
        about_objects.partition(|request| rights.iter().any(|right| right.covers(request)));
    let is_missed = |request: &&&Request| !namespaces.is_empty() && MISSED.iter().any(|text| missed(request, text));
    let uncovered: BTreeSet<String> = others
        .iter()
        .filter(|request| !is_missed(request))
        .map(|request| request.what())
        .collect();
    ensure!(uncovered.is_empty(), "asked for and not granted: {uncovered:?}");
    let refused: Vec<&&Request> = covered.iter().filter(|request| request.code == 403).collect();
    ensure!(refused.is_empty(), "granted and yet refused: {refused:?}");

    let used: BTreeSet<String> = rights
        .iter()
        .filter(|right| covered.iter().any(|request| right.covers(request)))
        .map(ToString::to_string)
        .collect();
    let all: BTreeSet<String> = rights.iter().map(ToString::to_string).collect();
    let unused: BTreeSet<&str> = all.difference(&used).map(String::as_str).collect();
    let argued: BTreeSet<&str> = ARGUED.iter().flat_map(|(rights, _)| rights.iter().copied()).collect();
    println!(
        "  {} rights, {} used, {} argued for",
        all.len(),
        used.len(),
        argued.len()
    );
    ensure!(
        unused == argued,
        "granted and not used: {:?}; argued for and not needed: {:?}",
        unused.difference(&argued),
        argued.difference(&unused)
    );
    Ok(())
}

/// Whether a refused request is the one that the text describes.
fn missed(request: &Request, text: &str) -> bool {
    let plain = format!("{} {}.{}", request.verb, request.kind(), request.group);
    let full = format!("{plain} {} in {}", request.name, request.namespace);
    request.code == 403 && (plain == text || full == text)
}

fn manifest(namespace: Option<&str>) -> Result<Vec<Value>> {
    let file = if namespace.is_some() {
        "namespaced.yaml"
    } else {
        "cluster.yaml"
    };
    documents(&text(file)?.replace(": NAMESPACE\n", &format!(": {}\n", namespace.unwrap_or_default())))
}

/// A file of `deploy/`.
fn text(file: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .with_file_name("deploy")
        .join(file);
    fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

/// Namespaces and roles as they are, bindings for the user instead of the account, nothing else.
fn for_user(mut object: Value, user: User) -> Option<Value> {
    match object["kind"].as_str()? {
        "Namespace" | "ClusterRole" | "Role" => Some(object),
        "ClusterRoleBinding" | "RoleBinding" => {
            let name = format!("{}-{}", object["metadata"]["name"].as_str()?, user.name());
            object["metadata"]["name"] = name.into();
            let group = "rbac.authorization.k8s.io";
            object["subjects"] = json!([{ "apiGroup": group, "kind": "User", "name": user.name() }]);
            Some(object)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request as if by this right.
    fn request(right: &Right) -> Request {
        let (resource, subresource) = right.kind.split_once('/').unwrap_or((&right.kind, ""));
        Request {
            verb: right.verb.clone(),
            user: User::Controller.name().to_owned(),
            agent: String::new(),
            group: right.group.clone(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: right.namespace.clone().unwrap_or_default(),
            name: right.name.clone().unwrap_or_default(),
            code: 200,
            at: String::new(),
            dry_run: false,
        }
    }

    /// Requests by all rights but those that are argued for.
    fn requests(namespace: Option<&str>) -> Vec<Request> {
        let rights = granted(namespace).expect("the manifests can be read");
        let is_argued = |right: &&Right| {
            ARGUED
                .iter()
                .any(|(argued, _)| argued.contains(&right.to_string().as_str()))
        };
        rights.iter().filter(|right| !is_argued(right)).map(request).collect()
    }

    #[test]
    fn a_right_too_many_and_one_too_few_are_found() {
        for (namespace, namespaces) in [(None, [].as_slice()), (Some("shop"), ["shop"].as_slice())] {
            let mut all = requests(namespace);
            compare(&all, namespaces).expect("everything is used");

            let first = all.remove(0);
            let error = compare(&all, namespaces)
                .expect_err("one right is not used")
                .to_string();
            assert!(
                error.contains("granted and not used") && error.contains(&first.what()),
                "{error}"
            );

            all.push(Request {
                verb: "update".to_owned(),
                ..first.clone()
            });
            let error = compare(&all, namespaces).expect_err("no right covers it").to_string();
            assert!(error.contains("not granted") && error.contains("update"), "{error}");
        }
    }

    #[test]
    fn a_right_that_is_argued_for_and_used_needs_no_argument() {
        let mut all = requests(None);
        let used = granted(None).expect("the manifests can be read");
        let used = used
            .iter()
            .find(|right| right.to_string() == ARGUED[0].0[0])
            .expect("it is granted");
        all.push(request(used));
        let error = compare(&all, &[])
            .expect_err("the argument is no longer true")
            .to_string();
        assert!(
            error.contains("argued for and not needed") && error.contains(ARGUED[0].0[0]),
            "{error}"
        );
    }

    #[test]
    fn a_namespaced_controller_is_refused_what_is_left_out_and_nothing_else() {
        let mut all = requests(Some("shop"));
        let lease = all
            .iter()
            .find(|request| request.name == "argo-rollouts-controller-lock")
            .expect("it is granted");
        let elsewhere = Request {
            namespace: "argo-rollouts".to_owned(),
            code: 403,
            ..lease.clone()
        };
        all.push(elsewhere.clone());
        compare(&all, &["shop"]).expect("it may be refused");
        all.push(Request { code: 200, ..elsewhere });
        assert!(
            compare(&all, &["shop"]).is_err(),
            "where it is not refused, there is another role"
        );
    }
}
