//! Who may do what on a plane: a certificate authority, one token per user, one kubeconfig per user.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};

use super::ports;
use crate::inside::HOST_IP;

/// Who a client is. Tokens are the users' names: nobody is kept out of a plane but by its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// May do everything; the tests themselves.
    Admin,
    /// The node; may do everything.
    Node,
    /// kube-controller-manager; may do everything.
    ControllerManager,
    /// kube-scheduler; may do everything.
    Scheduler,
    /// Traefik; may do everything.
    Traefik,
    /// Prometheus; may do everything.
    Prometheus,
    /// Sluice's controller: `User` `sluice-controller`, which may do what the test's role bindings give it.
    Controller,
    /// Another user without any right of its own: `User` `somebody`.
    Somebody,
}

impl User {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Admin,
        Self::Node,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Traefik,
        Self::Prometheus,
        Self::Controller,
        Self::Somebody,
    ];

    /// The name by which the API server, role bindings and the audit log know the user.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Node => "box-node",
            Self::ControllerManager => "box-controller-manager",
            Self::Scheduler => "box-scheduler",
            Self::Traefik => "box-traefik",
            Self::Prometheus => "box-prometheus",
            Self::Controller => "sluice-controller",
            Self::Somebody => "somebody",
        }
    }

    fn may_do_everything(self) -> bool {
        !matches!(self, Self::Controller | Self::Somebody)
    }
}

/// Files that the components are given, below the folder of the state.
pub(super) mod files {
    pub const AUTHORITY: &str = "ca.crt";
    pub const CERTIFICATE: &str = "server.crt";
    pub const KEY: &str = "server.key";
    pub const ACCOUNT_KEY: &str = "service-accounts.key";
    pub const ACCOUNT_PUBLIC_KEY: &str = "service-accounts.pub";
    pub const TOKENS: &str = "tokens.csv";
}

/// The path of the kubeconfig of a user.
pub(super) fn kubeconfig(state: &Path, user: User) -> PathBuf {
    state.join(format!("kubeconfig-{}", user.name()))
}

/// Writes all of it.
pub(super) fn write(state: &Path) -> Result<()> {
    let save = |name: &str, text: String| {
        let file = state.join(name);
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))
    };
    let authority_key = KeyPair::generate().context("make the key of the authority")?;
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name = name("sluice-box-ca");
    save(
        files::AUTHORITY,
        authority
            .self_signed(&authority_key)
            .context("make the authority")?
            .pem(),
    )?;

    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().context("make the key of the API server")?;
    let hosts = ["127.0.0.1", HOST_IP, "localhost", "kubernetes.default.svc"].map(str::to_owned);
    let mut server = CertificateParams::new(hosts).context("name the API server")?;
    server.distinguished_name = name("kube-apiserver");
    save(
        files::CERTIFICATE,
        server
            .signed_by(&key, &issuer)
            .context("sign the API server's certificate")?
            .pem(),
    )?;
    save(files::KEY, key.serialize_pem())?;
    let accounts = KeyPair::generate().context("make the key of service accounts")?;
    save(files::ACCOUNT_KEY, accounts.serialize_pem())?;
    save(files::ACCOUNT_PUBLIC_KEY, accounts.public_key_pem())?;

    let mut tokens = String::new();
    for user in User::ALL {
        let groups = if user.may_do_everything() {
            ",\"system:masters\""
        } else {
            ""
        };
        let name = user.name();
        writeln!(tokens, "{name},{name},{name}{groups}").context("write the tokens")?;
        let file = kubeconfig(state, user);
        let text = kubeconfig_text(name, &state.join(files::AUTHORITY), ports::API_SERVER);
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    }
    save(files::TOKENS, tokens)
}

/// The text of a kubeconfig, also for an API server that is forwarded to another port of this machine.
pub(crate) fn kubeconfig_text(user: &str, authority: &Path, port: u16) -> String {
    format!(
        r"apiVersion: v1
kind: Config
clusters:
- name: box
  cluster:
    server: https://127.0.0.1:{port}
    certificate-authority: {}
users:
- name: {user}
  user:
    token: {user}
contexts:
- name: box
  context:
    cluster: box
    user: {user}
    namespace: default
current-context: box
",
        authority.display()
    )
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}
