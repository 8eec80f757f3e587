//! The environment of a container: what the pod's manifest says, and the address that the node gave the pod.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Container, Pod};
use kube::ResourceExt as _;

use super::NODE;
use crate::inside::HOST_IP;

/// The variables; or what in the manifest this node cannot do.
///
/// `POD_IP` is always there, and `PORT`, when the container names a port: programs must listen on their pod's address, for
/// all pods share one network.
pub(super) fn variables(
    pod: &Pod,
    container: &Container,
    address: Ipv4Addr,
) -> Result<BTreeMap<String, String>, String> {
    let mut variables = BTreeMap::from([
        (
            "PATH".to_owned(),
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        ),
        ("HOSTNAME".to_owned(), pod.name_any()),
    ]);
    if let Some(port) = container.ports.iter().flatten().next() {
        variables.insert("PORT".to_owned(), port.container_port.to_string());
    }
    if container.env_from.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err("envFrom is not supported by the node of the cluster in a box; use env".to_owned());
    }
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            None => variable.value.clone().unwrap_or_default(),
            Some(source) => {
                let path = source.field_ref.as_ref().map(|field| field.field_path.as_str());
                path.and_then(|path| field(pod, path, address)).ok_or_else(|| {
                    format!(
                        "env {}: the node of the cluster in a box takes values from fields only, and not from {}",
                        variable.name,
                        path.unwrap_or("what is no fieldRef")
                    )
                })?
            }
        };
        variables.insert(variable.name.clone(), value);
    }
    variables.insert("POD_IP".to_owned(), address.to_string());
    Ok(variables)
}

fn field(pod: &Pod, path: &str, address: Ipv4Addr) -> Option<String> {
    let keyed = |prefix: &str| path.strip_prefix(prefix)?.strip_suffix("']");
    if let Some(key) = keyed("metadata.labels['") {
        return Some(pod.labels().get(key).cloned().unwrap_or_default());
    }
    if let Some(key) = keyed("metadata.annotations['") {
        return Some(pod.annotations().get(key).cloned().unwrap_or_default());
    }
    match path {
        "metadata.name" => Some(pod.name_any()),
        "metadata.namespace" => pod.namespace(),
        "metadata.uid" => pod.uid(),
        "spec.nodeName" => Some(NODE.to_owned()),
        "spec.serviceAccountName" => pod.spec.as_ref()?.service_account_name.clone(),
        "status.podIP" | "status.podIPs" => Some(address.to_string()),
        "status.hostIP" => Some(HOST_IP.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "web-1", "namespace": "shop", "labels": {"version": "v2"}},
            "spec": {"containers": [{
                "name": "app",
                "ports": [{"containerPort": 7000}],
                "env": [
                    {"name": "VERSION", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['version']"}}},
                    {"name": "ERROR_RATE", "value": "0.05"},
                    {"name": "SELF", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                ],
            }]},
        }))
        .expect("it is a pod")
    }

    fn container(pod: &Pod) -> Container {
        pod.spec.as_ref().expect("it has a spec").containers[0].clone()
    }

    #[test]
    fn variables_come_from_the_manifest_and_the_address_from_the_node() {
        let pod = pod();
        let seen = variables(&pod, &container(&pod), Ipv4Addr::new(10, 77, 1, 9)).expect("all are supported");
        for (name, value) in [
            ("VERSION", "v2"),
            ("ERROR_RATE", "0.05"),
            ("SELF", "10.77.1.9"),
            ("POD_IP", "10.77.1.9"),
            ("PORT", "7000"),
            ("HOSTNAME", "web-1"),
        ] {
            assert_eq!(seen.get(name).map(String::as_str), Some(value), "{name}");
        }
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let pod = pod();
        let mut container = container(&pod);
        container.env = serde_json::from_value(serde_json::json!([
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}
        ]))
        .expect("it is a list of variables");
        let error = variables(&pod, &container, Ipv4Addr::LOCALHOST).expect_err("secrets are not supported");
        assert!(error.contains("SECRET"), "{error}");
    }
}
