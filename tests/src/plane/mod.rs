//! One plane: control plane, node, proxy and Prometheus, started together and ready when [`Plane::start`] returns.
//!
//! ```text
//! etcd, kube-apiserver, prometheus ──> kube-controller-manager, kube-scheduler, node, CRDs ──> traefik
//!         (at once)                            (when the API server is ready)              (its CRDs are there)
//! ```
//!
//! Nothing is slept for: each part has a condition by which it is ready, a time by which it must be, and an error that
//! says which part did not come up and how its log ends.

pub mod component;
mod control;
mod credentials;
mod definitions;
mod prometheus;
mod traefik;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Namespace, Node, ServiceAccount};
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use xtask::programs::Programs;

pub use component::Component;
pub use credentials::User;

use crate::audit::AuditLog;
use crate::client::Client;
use crate::inside::{self, Inside};

/// The ports of a plane; fixed, because each plane has a network of its own. Pods stay away from them.
pub mod ports {
    /// The API server, TLS, on 127.0.0.1.
    pub const API_SERVER: u16 = 6443;
    /// Traefik's entry point `web`; the port of a Gateway's listener.
    pub const WEB: u16 = 8000;
    /// Traefik's API and metrics, on 127.0.0.1.
    pub const TRAEFIK: u16 = 8080;
    /// Prometheus, on 127.0.0.1.
    pub const PROMETHEUS: u16 = 9090;
    /// What the project's backend listens on, on the address of its pod.
    pub const BACKEND: u16 = 5678;
}

/// How long any part may take to become ready. Measured: 5 s on two idle cores; builds beside it make it much slower.
const READY_WITHIN: Duration = Duration::from_mins(2);

/// What is in a plane and how it behaves.
#[derive(Debug, Clone)]
pub struct PlaneConfig {
    /// Traefik, or no proxy.
    pub traefik: bool,
    /// How long Traefik collects changes before it applies them. Traefik's own default is 2 s.
    pub traefik_throttle: Duration,
    /// Prometheus, or none.
    pub prometheus: bool,
    /// Custom resource definitions beside the Gateway API's, as YAML files. Missing folders are an error.
    pub definitions: Vec<PathBuf>,
    /// How the node behaves.
    pub node: NodeConfig,
}

impl Default for PlaneConfig {
    fn default() -> Self {
        Self {
            traefik: true,
            traefik_throttle: Duration::from_millis(10),
            prometheus: true,
            definitions: own_definitions(),
            node: NodeConfig::default(),
        }
    }
}

/// How the node behaves. A pod can say otherwise by annotations, see [`crate::node`].
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// How long a container takes to start. Not shorter than about half a second, or the revisions of a Rollout are
    /// created within one second of each other, which their timestamps cannot tell apart.
    pub start_delay: Duration,
    /// When set, a deleted pod is only told to end this long after it left the endpoints of all Services.
    pub end_after_endpoints: Option<Duration>,
    /// Programs for images, beside the backend's: image name without tag, and the program's path.
    pub images: Vec<(String, PathBuf)>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            start_delay: Duration::from_millis(600),
            end_after_endpoints: None,
            images: Vec::new(),
        }
    }
}

/// The generated CRDs of Sluice, where they are in this tree.
fn own_definitions() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .with_file_name("crds")
        .join("yaml");
    if folder.is_dir() { vec![folder] } else { Vec::new() }
}

/// A running plane. Its processes end with the namespace, not with this value.
#[derive(Debug)]
pub struct Plane {
    /// The administrator's client.
    pub client: Client,
    /// What was asked of the API server, and by whom.
    pub audit: AuditLog,
    /// How long each part took to become ready, counted from the start of all.
    pub start_times: Vec<(String, Duration)>,
    /// How the plane was started.
    pub config: PlaneConfig,
    inside: Inside,
    components: Mutex<Vec<Component>>,
}

/// What the parts of the start share.
struct Start {
    inside: Inside,
    config: PlaneConfig,
    began: Instant,
    times: Mutex<Vec<(String, Duration)>>,
    components: Mutex<Vec<Component>>,
}

impl Plane {
    /// Starts every part and returns when all are ready.
    pub async fn start(inside: &Inside, config: PlaneConfig) -> Result<Self> {
        credentials::write(&inside.state)?;
        let start = Start {
            inside: inside.clone(),
            config,
            began: Instant::now(),
            times: Mutex::default(),
            components: Mutex::default(),
        };
        start.run(control::etcd(inside)?)?;
        start.run(control::api_server(inside)?)?;
        let (client, ()) = tokio::try_join!(control::api_server_ready(&start), prometheus::start(&start))?;
        tokio::try_join!(
            control::controllers(&start, &client),
            control::scheduler(&start),
            start.node(&client),
            async {
                definitions::install(&start, &client).await?;
                traefik::start(&start, &client).await
            },
        )?;
        let Start {
            inside,
            config,
            times,
            components,
            ..
        } = start;
        let audit = AuditLog::new(inside.logs.join("audit.log"), client.clone());
        let start_times = times.into_inner().unwrap_or_default();
        Ok(Self {
            client,
            audit,
            start_times,
            config,
            inside,
            components,
        })
    }

    /// The programs of the cluster in a box.
    pub fn programs(&self) -> &Programs {
        &self.inside.programs
    }

    /// A folder for state, gone with the plane.
    pub fn state(&self) -> &Path {
        &self.inside.state
    }

    /// The folder with one log per component, kept when the run fails.
    pub fn logs(&self) -> &Path {
        &self.inside.logs
    }

    /// The path of a kubeconfig for this user.
    pub fn kubeconfig(&self, user: User) -> PathBuf {
        credentials::kubeconfig(&self.inside.state, user)
    }

    /// Starts a program of the test's own beside the plane, with its log among the others.
    pub fn component(
        &self,
        name: &str,
        program: &Path,
        arguments: &[String],
        environment: &[(&str, &str)],
    ) -> Result<component::Component> {
        component::Component::start(&self.inside, name, program, arguments, environment)
    }

    /// Writes a kubeconfig for this user, and the certificate that it names, into a folder that is there outside, too. The
    /// API server is at this port of 127.0.0.1.
    pub fn write_kubeconfig(&self, user: User, folder: &Path, port: u16) -> Result<()> {
        let authority = folder.join(credentials::files::AUTHORITY);
        fs::copy(self.inside.state.join(credentials::files::AUTHORITY), &authority)
            .with_context(|| format!("write {}", authority.display()))?;
        let file = folder.join("kubeconfig");
        fs::write(&file, credentials::kubeconfig_text(user.name(), &authority, port))
            .with_context(|| format!("write {}", file.display()))
    }

    /// A client for this user.
    pub async fn client_of(&self, user: User) -> Result<Client> {
        Client::connect(&self.kubeconfig(user)).await
    }

    /// The ids of the plane's processes by the names of the components.
    pub fn process_ids(&self) -> Vec<(String, u32)> {
        let components = self
            .components
            .lock()
            .expect("no thread panics while it holds this lock");
        components
            .iter()
            .map(|component| (component.name.clone(), component.id()))
            .collect()
    }

    /// One sentence for each component that is no longer running.
    pub fn dead_components(&self) -> Vec<String> {
        let mut components = self
            .components
            .lock()
            .expect("no thread panics while it holds this lock");
        components.iter_mut().filter_map(Component::death).collect()
    }

    /// Makes a Kubernetes namespace for one test and waits until pods can be created in it.
    pub async fn namespace(&self, name: &str) -> Result<()> {
        let object = Namespace {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..Default::default()
            },
            ..Default::default()
        };
        let namespaces: Api<Namespace> = Api::all(self.client.kube());
        namespaces
            .create(&PostParams::default(), &object)
            .await
            .with_context(|| format!("create namespace {name}"))?;
        // Pods are refused until the controller manager has made this account.
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.kube(), name);
        self.client
            .wait_for(&accounts, "default", "the account for pods", READY_WITHIN, |found| {
                found.is_some()
            })
            .await?;
        Ok(())
    }
}

impl Start {
    /// Takes a started component into the plane.
    fn run(&self, component: Component) -> Result<()> {
        self.components
            .lock()
            .ok()
            .context("a part of the start panicked")?
            .push(component);
        Ok(())
    }

    /// Notes that a part became ready now.
    fn ready(&self, part: &str) {
        if let Ok(mut times) = self.times.lock() {
            times.push((part.to_owned(), self.began.elapsed()));
        }
    }

    /// Waits until `check` is true; the error names `component`, says how it ended if it did, and shows its log's end.
    async fn until_ready<F>(&self, component: &str, mut check: impl FnMut() -> F) -> Result<()>
    where
        F: Future<Output = Result<bool>>,
    {
        let give_up = Instant::now() + READY_WITHIN;
        let mut last = anyhow::anyhow!("it was never ready");
        loop {
            match check().await {
                Ok(true) => {
                    self.ready(component);
                    return Ok(());
                }
                Ok(false) => {}
                Err(error) => last = error,
            }
            let (death, log) = self.state_of(component)?;
            if death.is_some() || Instant::now() > give_up {
                let why =
                    death.unwrap_or_else(|| format!("{component} was not ready within {} s", READY_WITHIN.as_secs()));
                return Err(last).with_context(|| format!("{why}; its log ends:\n{log}"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How a component ended, if it did, and how its log ends.
    fn state_of(&self, component: &str) -> Result<(Option<String>, String)> {
        let mut components = self.components.lock().ok().context("a part of the start panicked")?;
        let own = components.iter_mut().find(|other| other.name == component);
        Ok(own.map(|own| (own.death(), own.log_tail())).unwrap_or_default())
    }

    async fn node(&self, client: &Client) -> Result<()> {
        let mut arguments = vec![
            format!(
                "--kubeconfig={}",
                credentials::kubeconfig(&self.inside.state, User::Node).display()
            ),
            format!("--logs={}", self.inside.logs.join("pods").display()),
            format!("--start-delay-ms={}", self.config.node.start_delay.as_millis()),
            format!(
                "--image=sluice/backend={}",
                inside::built_program("sluice-backend")?.display()
            ),
        ];
        fs::create_dir_all(self.inside.logs.join("pods")).context("create the folder for the logs of pods")?;
        if let Some(delay) = self.config.node.end_after_endpoints {
            arguments.push(format!("--end-after-endpoints-ms={}", delay.as_millis()));
        }
        for (image, program) in &self.config.node.images {
            arguments.push(format!("--image={image}={}", program.display()));
        }
        let program = inside::built_program("sluice-node")?;
        self.run(Component::start(&self.inside, "node", &program, &arguments, &[])?)?;
        let nodes: Api<Node> = Api::all(client.kube());
        self.until_ready("node", || async {
            let Some(node) = nodes.get_opt(crate::node::NODE).await? else {
                return Ok(false);
            };
            Ok(node.spec.and_then(|spec| spec.taints).unwrap_or_default().is_empty())
        })
        .await
    }
}
