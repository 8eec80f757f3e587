//! Traefik: the proxy of the plane, with the Gateway API from the start. Its API tells exactly when a change is in force.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use super::credentials::{self, User};
use super::{Component, Plane, Start, ports};
use crate::client::Client;
use crate::http;
use crate::inside::HOST_IP;

/// The class that Gateways name to be served by this Traefik, and the Gateway that tests share.
const GATEWAY: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: traefik}
spec: {controllerName: traefik.io/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: box, namespace: default}
spec:
  gatewayClassName: traefik
  listeners:
  - {name: web, protocol: HTTP, port: 8000, allowedRoutes: {namespaces: {from: All}}}
";

const INGRESS_CLASS: &str = "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: nginx}
spec: {controller: k8s.io/ingress-nginx}
";

pub(super) async fn start(start: &Start, client: &Client) -> Result<()> {
    if !start.config.traefik {
        return Ok(());
    }
    client.apply("default", GATEWAY).await.context("create the Gateway")?;
    client
        .apply("default", INGRESS_CLASS)
        .await
        .context("create the IngressClass")?;
    let api = ports::TRAEFIK;
    let throttle = start.config.traefik_throttle.as_millis();
    let arguments = [
        format!("--entrypoints.web.address=:{}", ports::WEB),
        format!("--entrypoints.traefik.address=127.0.0.1:{api}"),
        "--api.insecure=true".to_owned(),
        "--ping=true".to_owned(),
        "--global.checknewversion=false".to_owned(),
        "--global.sendanonymoususage=false".to_owned(),
        format!("--providers.providersthrottleduration={throttle}ms"),
        "--providers.kubernetesgateway=true".to_owned(),
        "--providers.kubernetesgateway.experimentalchannel=true".to_owned(),
        format!("--providers.kubernetesgateway.statusaddress.ip={HOST_IP}"),
        // It honours the annotations of ingress-nginx, canary Ingresses included.
        "--providers.kubernetesingressnginx=true".to_owned(),
        "--providers.kubernetesingressnginx.httpentrypoint=web".to_owned(),
        "--metrics.prometheus=true".to_owned(),
        "--metrics.prometheus.addrouterslabels=true".to_owned(),
        "--metrics.prometheus.addserviceslabels=true".to_owned(),
        "--metrics.prometheus.buckets=0.005,0.01,0.025,0.05,0.1,0.25,0.5,1,2.5,5".to_owned(),
    ];
    let kubeconfig = credentials::kubeconfig(&start.inside.state, User::Traefik)
        .display()
        .to_string();
    let environment = [("KUBECONFIG", kubeconfig.as_str())];
    start.run(Component::start(
        &start.inside,
        "traefik",
        &start.inside.programs.traefik,
        &arguments,
        &environment,
    )?)?;
    start
        .until_ready("traefik", || async {
            let ping = http::get(&format!("127.0.0.1:{api}"), "/ping").await?;
            // The provider is at work when the Gateway's status says so; the ping answers earlier.
            Ok(ping.status == 200 && gateway_is_programmed(client).await?)
        })
        .await
}

async fn gateway_is_programmed(client: &Client) -> Result<bool> {
    let gateway = client
        .read("gateway.networking.k8s.io/v1", "Gateway", "default", "box")
        .await?;
    let conditions = gateway["status"]["conditions"].as_array();
    Ok(conditions.is_some_and(|all| {
        all.iter()
            .any(|one| one["type"] == "Programmed" && one["status"] == "True")
    }))
}

impl Plane {
    /// The weights that Traefik has in force for the route whose weighted service has this text in its name, by the name of
    /// the Kubernetes Service; empty while there is none. Exact, unlike the status of a route, which comes too early.
    pub async fn traefik_weights(&self, namespace: &str, route: &str) -> Result<BTreeMap<String, u64>> {
        let answer = http::get(
            &format!("127.0.0.1:{}", ports::TRAEFIK),
            "/api/http/services?per_page=10000",
        )
        .await?;
        let services: Vec<serde_json::Value> =
            serde_json::from_slice(&answer.body).context("read the services of Traefik")?;
        let prefix = format!("httproute-{namespace}-{route}-");
        let weighted = services.iter().filter(|service| {
            let name = service["name"].as_str().unwrap_or_default();
            name.starts_with(&prefix) && name.contains("-wrr@")
        });
        let mut weights = BTreeMap::new();
        for part in weighted
            .filter_map(|service| service["weighted"]["services"].as_array())
            .flatten()
        {
            let marker = format!("-svc-{namespace}-");
            let name = part["name"].as_str().unwrap_or_default();
            if let Some((_, rest)) = name.split_once(&marker) {
                let service = rest.rsplit_once('-').map_or(rest, |(service, _)| service);
                weights.insert(service.to_owned(), part["weight"].as_u64().unwrap_or(1));
            }
        }
        Ok(weights)
    }
}
