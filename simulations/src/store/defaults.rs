//! What the API server adds to objects that leave it out. Only what the machines could come to see.

use serde_json::{Value, json};

use super::Kind;

/// Fills in the defaults of a kind.
pub(crate) fn fill(kind: Kind, object: &mut Value) {
    match kind {
        Kind::ReplicaSet | Kind::Deployment => {
            let spec = &mut object["spec"];
            put(spec, "replicas", json!(1));
            pod_template(&mut spec["template"]);
            if object.get("status").is_none() {
                object["status"] = json!({"replicas": 0});
            }
        }
        Kind::Service => {
            let spec = &mut object["spec"];
            put(spec, "type", json!("ClusterIP"));
            put(spec, "sessionAffinity", json!("None"));
            put(spec, "internalTrafficPolicy", json!("Cluster"));
            for port in list(spec, "ports") {
                put(port, "protocol", json!("TCP"));
                let target = port["port"].clone();
                put(port, "targetPort", target);
            }
        }
        Kind::HttpRoute => http_route(&mut object["spec"]),
        _ => {}
    }
}

/// Fills in the defaults of a pod template.
pub(crate) fn pod_template(template: &mut Value) {
    let spec = &mut template["spec"];
    put(spec, "restartPolicy", json!("Always"));
    put(spec, "terminationGracePeriodSeconds", json!(30));
    put(spec, "dnsPolicy", json!("ClusterFirst"));
    put(spec, "schedulerName", json!("default-scheduler"));
    put(spec, "securityContext", json!({}));
    if let Some(name) = spec.get("serviceAccountName").cloned() {
        put(spec, "serviceAccount", name);
    }
    for lists in ["containers", "initContainers"] {
        for container in list(spec, lists) {
            fill_container(container);
        }
    }
}

fn fill_container(container: &mut Value) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    let moving_tag = !image.contains('@') && last.split_once(':').is_none_or(|(_, tag)| tag == "latest");
    put(
        container,
        "imagePullPolicy",
        json!(if moving_tag { "Always" } else { "IfNotPresent" }),
    );
    put(container, "terminationMessagePath", json!("/dev/termination-log"));
    put(container, "terminationMessagePolicy", json!("File"));
    put(container, "resources", json!({}));
    for port in list(container, "ports") {
        put(port, "protocol", json!("TCP"));
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.get_mut(probe).filter(|probe| probe.is_object()) else {
            continue;
        };
        for (field, value) in [
            ("timeoutSeconds", 1),
            ("periodSeconds", 10),
            ("successThreshold", 1),
            ("failureThreshold", 3),
        ] {
            put(probe, field, json!(value));
        }
        if let Some(get) = probe.get_mut("httpGet") {
            put(get, "scheme", json!("HTTP"));
        }
    }
}

fn http_route(spec: &mut Value) {
    for parent in list(spec, "parentRefs") {
        put(parent, "group", json!("gateway.networking.k8s.io"));
        put(parent, "kind", json!("Gateway"));
    }
    for rule in list(spec, "rules") {
        put(rule, "matches", json!([{"path": {"type": "PathPrefix", "value": "/"}}]));
        for backend in list(rule, "backendRefs") {
            put(backend, "group", json!(""));
            put(backend, "kind", json!("Service"));
            put(backend, "weight", json!(1));
        }
    }
}

fn put(object: &mut Value, field: &str, value: Value) {
    if object.is_null() {
        *object = json!({});
    }
    if let Value::Object(fields) = object {
        fields.entry(field).or_insert(value);
    }
}

fn list<'a>(object: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    object
        .get_mut(field)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_template_gets_what_a_server_adds_and_keeps_what_it_says() {
        let mut template = json!({"spec": {"containers": [
            {"name": "a", "image": "shop:v2", "ports": [{"containerPort": 8080}]},
            {"name": "b", "image": "shop", "imagePullPolicy": "Never"},
            {"name": "c", "image": "host:5000/shop"},
        ], "dnsPolicy": "Default"}});
        pod_template(&mut template);
        let containers = &template["spec"]["containers"];
        assert_eq!(containers[0]["imagePullPolicy"], "IfNotPresent");
        assert_eq!(containers[0]["ports"][0]["protocol"], "TCP");
        assert_eq!(containers[0]["resources"], json!({}));
        assert_eq!(containers[1]["imagePullPolicy"], "Never");
        assert_eq!(containers[2]["imagePullPolicy"], "Always");
        assert_eq!(template["spec"]["dnsPolicy"], "Default");
        assert_eq!(template["spec"]["restartPolicy"], "Always");
        let once = template.clone();
        pod_template(&mut template);
        assert_eq!(template, once, "defaults must be stable");
    }
}
