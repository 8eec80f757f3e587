//! Sluice's controller as a process of a plane.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::inside;
use crate::plane::component::Component;
use crate::plane::{Plane, User, ports};
use crate::process::{Usage, usage};
use crate::rights::{OWN_NAMESPACE, grant};
use crate::{http, wait_until};

/// How a controller is started.
#[derive(Debug, Clone)]
pub struct ControllerConfig {
    /// Its name in logs; several controllers of one plane need several names.
    pub name: String,
    /// Who it is; the user is given the rights of `deploy/`, see [`crate::rights`].
    pub user: User,
    /// The only namespace that it serves, or all of them.
    pub namespace: Option<String>,
    /// Whether it takes part in an election.
    pub leader_elect: bool,
    /// Ports of health and metrics on 127.0.0.1.
    pub ports: (u16, u16),
    /// Further flags.
    pub flags: Vec<String>,
    /// `SLUICE_FAILPOINT`, where it is to die.
    pub failpoint: Option<String>,
}

impl ControllerConfig {
    /// The only controller of a namespace.
    pub fn of(namespace: &str) -> Self {
        Self {
            name: format!("controller-{namespace}"),
            user: User::Controller,
            namespace: Some(namespace.to_owned()),
            leader_elect: false,
            ports: (8081, 8090),
            flags: Vec::new(),
            failpoint: None,
        }
    }
}

impl ControllerConfig {
    /// The only controller of the whole cluster.
    pub fn cluster_wide() -> Self {
        Self {
            name: "controller".to_owned(),
            namespace: None,
            ..Self::of("all")
        }
    }
}

/// A running controller. It is killed when the value is dropped.
#[derive(Debug)]
pub struct Controller {
    component: Component,
    config: ControllerConfig,
}

impl Controller {
    /// Starts it and waits until it is ready.
    pub async fn start(plane: &Plane, config: ControllerConfig) -> Result<Self> {
        let mut controller = Self::launch(plane, config).await?;
        controller.ready().await?;
        Ok(controller)
    }

    /// Starts it without waiting.
    pub async fn launch(plane: &Plane, config: ControllerConfig) -> Result<Self> {
        grant(plane, config.user, config.namespace.as_deref()).await?;
        let program = inside::built_program("sluice-controller")?;
        let kubeconfig = plane.kubeconfig(config.user).display().to_string();
        let mut arguments = vec![
            "--kubeconfig".to_owned(),
            kubeconfig,
            format!("--healthz-bind=127.0.0.1:{}", config.ports.0),
            format!("--metrics-bind=127.0.0.1:{}", config.ports.1),
            format!("--leader-elect={}", config.leader_elect),
        ];
        if let Some(namespace) = &config.namespace {
            arguments.extend(["--namespaced".to_owned(), format!("--namespace={namespace}")]);
        }
        arguments.extend(config.flags.iter().cloned());
        // Where its Lease is, as its Deployment says it.
        let own = config.namespace.as_deref().unwrap_or(OWN_NAMESPACE);
        let prometheus = format!("http://127.0.0.1:{}", ports::PROMETHEUS);
        let mut environment = vec![
            ("POD_NAMESPACE", own),
            ("ARGO_ROLLOUTS_PROMETHEUS_ADDRESS", prometheus.as_str()),
        ];
        environment.extend(
            config
                .failpoint
                .as_deref()
                .map(|failpoint| ("SLUICE_FAILPOINT", failpoint)),
        );
        let component = plane.component(&config.name, &program, &arguments, &environment)?;
        Ok(Self { component, config })
    }

    /// Waits until `/readyz` says so.
    pub async fn ready(&mut self) -> Result<()> {
        let address = format!("127.0.0.1:{}", self.config.ports.0);
        let component = &mut self.component;
        let what = format!("{} to be ready", component.name);
        let answer = wait_until(&what, Duration::from_mins(1), || {
            let death = component.death();
            let address = address.clone();
            async move {
                ensure!(death.is_none(), "{}", death.unwrap_or_default());
                Ok((http::get(&address, "/readyz").await?.status == 200).then_some(()))
            }
        });
        let answer = answer.await;
        answer.with_context(|| format!("the end of its log:\n{}", self.component.log_tail()))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.component.id()
    }

    /// What it has used so far.
    pub fn usage(&self) -> Result<Usage> {
        usage(self.id())
    }

    /// The text of a page of its metrics server.
    pub async fn page(&self, path: &str) -> Result<String> {
        let answer = http::get(&format!("127.0.0.1:{}", self.config.ports.1), path).await?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Waits until it has decided about a Rollout, `namespace/name`, has nothing left to do and nothing to come back for.
    pub async fn calm(&self, rollout: &str, within: Duration) -> Result<()> {
        let what = format!("nothing to do for {rollout}");
        wait_until(&what, within, || async {
            let plan = self.page(&format!("/debug/plan/{rollout}")).await?;
            let busy = ["trouble:", "wakes:", "effect:", "no plan"];
            let calm = plan.starts_with("decided:")
                && !busy.iter().any(|word| plan.lines().any(|line| line.starts_with(word)));
            ensure!(
                calm,
                "the plan is\n{}",
                plan.lines().take(6).collect::<Vec<_>>().join("\n")
            );
            Ok(Some(()))
        })
        .await
    }

    /// Sends SIGTERM and waits for the end, which must be in good order.
    pub async fn stop(mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let ended = tokio::time::timeout(Duration::from_secs(20), self.component.ended()).await;
        let status = ended.context("the controller did not end within 20 s of SIGTERM")??;
        ensure!(
            status.success(),
            "the controller ended with {status}:\n{}",
            self.component.log_tail()
        );
        Ok(())
    }

    /// Kills it, as a crash does.
    pub async fn kill(mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.component.ended().await?;
        Ok(())
    }

    /// Waits until it dies at its failpoint.
    pub async fn dies(&mut self, within: Duration) -> Result<()> {
        let failpoint = self.config.failpoint.clone().context("it has no failpoint")?;
        let ended = tokio::time::timeout(within, self.component.ended()).await;
        let log = self.component.log_tail();
        let status =
            ended.with_context(|| format!("{failpoint} was not met within {} s:\n{log}", within.as_secs()))??;
        // A panic has the same exit code, so the last words count too.
        let last = log
            .lines()
            .rev()
            .take(3)
            .any(|line| line.contains("failpoint: the process ends here"));
        ensure!(
            status.code() == Some(101) && last,
            "it ended with {status}, not at its failpoint {failpoint}:\n{log}"
        );
        Ok(())
    }

    /// Waits until it leads, as it says itself.
    pub async fn leads(&self, within: Duration) -> Result<()> {
        let what = format!("{} to lead", self.config.name);
        wait_until(&what, within, || async {
            Ok(self
                .page("/debug/state")
                .await?
                .contains("leading:     true")
                .then_some(()))
        })
        .await
    }

    /// Sends any signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("a process id")?;
        kill_process(id, signal).context("send a signal to the controller")
    }

    /// How it ended, if it did.
    pub fn death(&mut self) -> Option<String> {
        self.component.death()
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        self.component.log_tail()
    }
}
