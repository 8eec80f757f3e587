//! The manifests under deploy/: they grant what the code uses and nothing that it must never have, and their pods are
//! admitted where Pod Security is restricted.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sluice_controller::kinds::Kind;

fn manifests(file: &str) -> Vec<Value> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("deploy")
        .join(file);
    let text = std::fs::read_to_string(path).unwrap();
    text.split("\n---\n")
        .map(|document| serde_saphyr::from_str(document).unwrap())
        .collect()
}

/// The rights that the roles of a file grant, as `verb resource.group`.
fn rights(file: &str) -> BTreeSet<String> {
    let strings = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
    let mut rights = BTreeSet::new();
    for rule in manifests(file)
        .iter()
        .filter_map(|object| object["rules"].as_array())
        .flatten()
    {
        for (group, resource) in strings(&rule["apiGroups"]).iter().flat_map(|group| {
            strings(&rule["resources"])
                .into_iter()
                .map(move |resource| (group.clone(), resource))
        }) {
            for verb in strings(&rule["verbs"]) {
                let named = if rule["resourceNames"].is_null() {
                    ""
                } else {
                    " (named)"
                };
                rights.insert(format!("{verb} {resource}.{group}{named}"));
            }
        }
    }
    rights
}

fn watched() -> Vec<Kind> {
    // Once a Rollout names one.
    let named = [
        ("gateway.networking.k8s.io/v1", "HTTPRoute"),
        ("networking.k8s.io/v1", "Ingress"),
        ("networking.istio.io/v1", "VirtualService"),
        ("networking.istio.io/v1", "DestinationRule"),
        ("apps/v1", "Deployment"),
    ];
    let named = named.map(|(api_version, kind)| Kind::Route {
        api_version: api_version.into(),
        kind: kind.into(),
    });
    Kind::ALWAYS.into_iter().chain(named).collect()
}

#[test]
fn what_the_code_reads_and_writes_is_granted_and_nothing_more() {
    for (file, cluster) in [("cluster.yaml", true), ("namespaced.yaml", false)] {
        let mut wanted: BTreeSet<String> = [
            "patch rollouts.argoproj.io",
            "patch rollouts/status.argoproj.io",
            "update rollouts/finalizers.argoproj.io",
            "create replicasets.apps",
            "patch replicasets.apps",
            "delete replicasets.apps",
            "patch services.",
            "patch httproutes.gateway.networking.k8s.io",
            "create ingresses.networking.k8s.io",
            "patch ingresses.networking.k8s.io",
            "delete ingresses.networking.k8s.io",
            "patch virtualservices.networking.istio.io",
            "patch destinationrules.networking.istio.io",
            "patch deployments.apps",
            "patch pods.",
            "create pods/eviction.",
            "create analysisruns.argoproj.io",
            "patch analysisruns.argoproj.io",
            "delete analysisruns.argoproj.io",
            "list endpointslices.discovery.k8s.io",
            "list pods.",
            "create events.",
            "create leases.coordination.k8s.io",
            "get leases.coordination.k8s.io (named)",
            "patch leases.coordination.k8s.io (named)",
        ]
        .map(str::to_owned)
        .into();
        for kind in watched()
            .into_iter()
            .filter(|kind| cluster || !kind.is_cluster_scoped())
        {
            let resource = kind.resource();
            // Templates are never written, so they are never read again before or after a write.
            let is_template = matches!(kind, Kind::Template | Kind::ClusterTemplate);
            let verbs = ["list", "watch"].into_iter().chain((!is_template).then_some("get"));
            wanted.extend(verbs.map(|verb| format!("{verb} {}.{}", resource.plural, resource.group)));
        }
        if cluster {
            wanted
                .extend(["list", "watch"].map(|verb| format!("{verb} customresourcedefinitions.apiextensions.k8s.io")));
        }
        assert_eq!(rights(file), wanted, "{file}");
    }
}

#[test]
fn a_namespaced_installation_has_nothing_outside_of_its_namespace() {
    for object in manifests("namespaced.yaml") {
        let kind = object["kind"].as_str().unwrap();
        assert!(!kind.starts_with("Cluster"), "{kind}");
        assert_eq!(object["metadata"]["namespace"], "NAMESPACE", "{kind}");
    }
}

#[test]
fn pods_are_admitted_where_pod_security_is_restricted() {
    for file in ["cluster.yaml", "namespaced.yaml"] {
        let objects = manifests(file);
        let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{file}");
        assert_eq!(
            pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault",
            "{file}"
        );
        for field in ["hostNetwork", "hostPID", "hostIPC", "volumes"] {
            assert!(pod[field].is_null(), "{file}: {field}");
        }
        for container in pod["containers"].as_array().unwrap() {
            let context = json!({
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
            });
            assert_eq!(container["securityContext"], context, "{file}");
        }
    }
}

#[test]
fn people_get_the_rights_on_all_kinds_that_they_have_with_argo_rollouts() {
    let roles = manifests("aggregate-roles.yaml");
    let names: Vec<&str> = roles
        .iter()
        .map(|role| role["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["admin", "edit", "view"].map(|who| format!("argo-rollouts-aggregate-to-{who}"))
    );
    for (role, who) in roles.iter().zip(["admin", "edit", "view"]) {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{who}");
        assert_eq!(role["metadata"]["labels"], json!({ label: "true" }));
        let verbs: Vec<String> = serde_json::from_value(role["rules"][0]["verbs"].clone()).unwrap();
        assert_eq!(verbs.contains(&"patch".to_owned()), who != "view", "{who}");
    }
}
