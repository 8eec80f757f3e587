//! etcd and the three Kubernetes servers: one program, four processes.

use std::fs;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use tokio::net::TcpStream;

use super::credentials::{self, User, files};
use super::{Component, Start, ports};
use crate::client::Client;
use crate::inside::{HOST_IP, Inside};

/// The ports that only this file needs.
const ETCD: u16 = 2379;
const ETCD_PEERS: u16 = 2380;
const CONTROLLER_MANAGER: u16 = 10257;
const SCHEDULER: u16 = 10259;

/// What is logged of every request: who, what, when, how it went; no bodies.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
";

pub(super) fn etcd(inside: &Inside) -> Result<Component> {
    let arguments = [
        format!("--data-dir={}", inside.state.join("etcd").display()),
        format!("--client-url=http://127.0.0.1:{ETCD}"),
        format!("--peer-url=http://127.0.0.1:{ETCD_PEERS}"),
    ];
    plane(inside, "etcd", &arguments)
}

pub(super) fn api_server(inside: &Inside) -> Result<Component> {
    let state = |name: &str| inside.state.join(name).display().to_string();
    let policy = inside.state.join("audit-policy.yaml");
    fs::write(&policy, AUDIT_POLICY).with_context(|| format!("write {}", policy.display()))?;
    let arguments = [
        format!("--etcd-servers=http://127.0.0.1:{ETCD}"),
        // There is no default route inside, so the server could not find out its own address.
        "--bind-address=127.0.0.1".to_owned(),
        format!("--advertise-address={HOST_IP}"),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--secure-port={}", ports::API_SERVER),
        format!("--tls-cert-file={}", state(files::CERTIFICATE)),
        format!("--tls-private-key-file={}", state(files::KEY)),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        format!("--token-auth-file={}", state(files::TOKENS)),
        "--authorization-mode=RBAC,Node".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", state(files::ACCOUNT_PUBLIC_KEY)),
        format!("--service-account-signing-key-file={}", state(files::ACCOUNT_KEY)),
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", inside.logs.join("audit.log").display()),
    ];
    plane(inside, "kube-apiserver", &arguments)
}

/// Waits for the API server and returns the administrator's client.
pub(super) async fn api_server_ready(start: &Start) -> Result<Client> {
    let client = Client::connect(&credentials::kubeconfig(&start.inside.state, User::Admin)).await?;
    start
        .until_ready("kube-apiserver", || client.api_server_is_ready())
        .await?;
    Ok(client)
}

pub(super) async fn controllers(start: &Start, client: &Client) -> Result<()> {
    let name = "kube-controller-manager";
    let kubeconfig = credentials::kubeconfig(&start.inside.state, User::ControllerManager);
    let state = |name: &str| start.inside.state.join(name).display().to_string();
    let arguments = [
        format!("--kubeconfig={}", kubeconfig.display()),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={CONTROLLER_MANAGER}"),
        "--leader-elect=false".to_owned(),
        "--kube-api-qps=2000".to_owned(),
        "--kube-api-burst=4000".to_owned(),
        format!("--root-ca-file={}", state(files::AUTHORITY)),
        format!("--service-account-private-key-file={}", state(files::ACCOUNT_KEY)),
    ];
    start.run(plane(&start.inside, name, &arguments)?)?;
    // Its work is the proof: it makes this account in every namespace.
    let accounts: Api<ServiceAccount> = Api::namespaced(client.kube(), "default");
    start
        .until_ready(name, || async { Ok(accounts.get_opt("default").await?.is_some()) })
        .await
}

pub(super) async fn scheduler(start: &Start) -> Result<()> {
    let name = "kube-scheduler";
    let kubeconfig = credentials::kubeconfig(&start.inside.state, User::Scheduler);
    let arguments = [
        format!("--kubeconfig={}", kubeconfig.display()),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={SCHEDULER}"),
        "--leader-elect=false".to_owned(),
        "--kube-api-qps=2000".to_owned(),
        "--kube-api-burst=4000".to_owned(),
    ];
    start.run(plane(&start.inside, name, &arguments)?)?;
    // Pods wait for it without harm, so a listener is proof enough.
    start
        .until_ready(name, || async {
            Ok(TcpStream::connect(("127.0.0.1", SCHEDULER)).await.is_ok())
        })
        .await
}

fn plane(inside: &Inside, component: &str, arguments: &[String]) -> Result<Component> {
    let arguments: Vec<String> = std::iter::once(component.to_owned())
        .chain(arguments.iter().cloned())
        .collect();
    Component::start(inside, component, &inside.programs.plane, &arguments, &[])
}
