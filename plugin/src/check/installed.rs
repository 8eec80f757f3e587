//! The API server, the CRDs, and the kinds of routes.

use serde_json::Value;
use sluice_crds::crd::all_crds_json;

use super::{Check, State};
use crate::{
    cluster::{CallError, Cluster},
    observe::has_extensions,
    resource::Resource,
};

/// How to install the CRDs.
const APPLY: &str = "kubectl apply --server-side -f crds/yaml/";

/// The API server and its version.
pub async fn server(cluster: &Cluster) -> Check {
    let place = if cluster.address.is_empty() {
        String::new()
    } else {
        format!(" at {}", cluster.address)
    };
    match cluster.read("/version").await {
        Ok(version) => {
            let number = version
                .get("gitVersion")
                .and_then(Value::as_str)
                .unwrap_or("of an unknown version");
            Check::ok("API server", format!("{number}{place}"))
        }
        Err(error) => Check::new(
            "API server",
            State::Fail,
            format!("{error}{place}"),
            "look at the kubeconfig and its context (`kubectl config view --minify`), and whether you are logged in",
        ),
    }
}

/// The five kinds, and whether they have the fields that Sluice adds.
pub async fn definitions(cluster: &Cluster) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut readable = true;
    for crd in all_crds_json() {
        let name = crd
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        match cluster.get(&Resource::definitions(), "", name).await {
            Ok(definition) => checks.push(definition_check(name, &definition)),
            Err(CallError::NotFound { .. }) => {
                checks.push(Check::new(
                    format!("CRD {name}"),
                    State::Fail,
                    "is not installed",
                    APPLY,
                ));
            }
            Err(error @ CallError::Forbidden { .. }) => {
                readable = false;
                checks.push(Check::new(format!("CRD {name}"), State::Warn, error.to_string(), ""));
            }
            Err(error) => checks.push(Check::new(format!("CRD {name}"), State::Fail, error.to_string(), "")),
        }
    }
    if readable {
        return checks;
    }
    // Anybody may ask which kinds there are.
    vec![served(cluster).await]
}

fn definition_check(name: &str, definition: &Value) -> Check {
    let subject = format!("CRD {name}");
    let versions = definition
        .pointer("/spec/versions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let serves = |version: &Value| version["name"] == "v1alpha1" && version["served"] == true;
    if !versions.clone().any(serves) {
        return Check::new(subject, State::Fail, "does not serve the version v1alpha1", APPLY);
    }
    let conditions = definition
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let mut established = conditions.filter(|condition| condition["type"] == "Established");
    if established.any(|condition| condition["status"] != "True") {
        return Check::new(
            subject,
            State::Fail,
            "is not established",
            format!("kubectl describe crd {name}"),
        );
    }
    if has_extensions(definition) {
        Check::ok(subject, "is Sluice's: extensions are on")
    } else {
        let found =
            "is Argo's: fields that Sluice adds (such as trafficRouting.gatewayApi) are dropped by the API server";
        Check::new(
            subject,
            State::Warn,
            found,
            format!("{APPLY} (Argo's own fields all stay)"),
        )
    }
}

/// The kinds, by discovery.
async fn served(cluster: &Cluster) -> Check {
    let subject = "CRDs";
    let served = match cluster.read("/apis/argoproj.io/v1alpha1").await {
        Ok(list) => resource_names(&list),
        Err(error) if error.is_absent() => Vec::new(),
        Err(error) => return Check::new(subject, State::Fail, error.to_string(), ""),
    };
    let wanted = all_crds_json();
    let wanted = wanted
        .iter()
        .filter_map(|crd| crd.pointer("/spec/names/plural")?.as_str());
    let missing: Vec<&str> = wanted
        .filter(|plural| !served.iter().any(|name| name == plural))
        .collect();
    if missing.is_empty() {
        let found = "are installed; you may not read them, so that it is not known whether they are Sluice's";
        Check::new(
            subject,
            State::Warn,
            found,
            "ask somebody with the right to get customresourcedefinitions",
        )
    } else {
        Check::new(
            subject,
            State::Fail,
            format!("{} not installed", missing.join(", ")),
            APPLY,
        )
    }
}

fn resource_names(list: &Value) -> Vec<String> {
    let resources = list.get("resources").and_then(Value::as_array).into_iter().flatten();
    resources
        .filter_map(|resource| resource.get("name")?.as_str())
        .map(str::to_owned)
        .collect()
}

/// The kinds of routes that Sluice can write.
pub async fn routers(cluster: &Cluster) -> Check {
    let subject = "Gateway API";
    let kinds = match cluster.read("/apis/gateway.networking.k8s.io/v1").await {
        Ok(list) => resource_names(&list),
        Err(error) if error.is_absent() => Vec::new(),
        Err(error) => return Check::new(subject, State::Warn, error.to_string(), ""),
    };
    if !kinds.iter().any(|name| name == "httproutes") {
        let found =
            "HTTPRoute (v1) is not installed: canaries without a router and blue-green work, trafficRouting does not";
        return Check::new(
            subject,
            State::Warn,
            found,
            "install Gateway API 1.0 or newer and a gateway controller",
        );
    }
    match cluster.list(&Resource::gateway_classes(), "", "").await {
        Ok(classes) => {
            let accepted: Vec<&str> = classes
                .iter()
                .filter(|class| is_accepted(class))
                .filter_map(name)
                .collect();
            if accepted.is_empty() {
                let found = "HTTPRoute is installed, and no GatewayClass is accepted by a controller";
                Check::new(
                    subject,
                    State::Warn,
                    found,
                    "install a gateway controller and a GatewayClass for it",
                )
            } else {
                Check::ok(
                    subject,
                    format!("HTTPRoute is installed; GatewayClass {}", accepted.join(", ")),
                )
            }
        }
        Err(error) => Check::ok(subject, format!("HTTPRoute is installed (GatewayClasses: {error})")),
    }
}

fn name(object: &Value) -> Option<&str> {
    object.pointer("/metadata/name")?.as_str()
}

fn is_accepted(class: &Value) -> bool {
    let conditions = class
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    conditions
        .into_iter()
        .any(|condition| condition["type"] == "Accepted" && condition["status"] == "True")
}
