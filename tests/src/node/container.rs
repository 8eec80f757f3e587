//! One container: a process that is started, probed, started again when it ends, and stopped with the pod.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};
use kube::ResourceExt as _;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::{Context, START_DELAY, annotated, environment, probe};

/// What a container's process is given at least between SIGTERM and SIGKILL, also when its hook used up the grace period;
/// a kubelet's own value.
const SHORTEST_GRACE: Duration = Duration::from_secs(2);
/// How much longer than a start a failed pull takes: a registry says no more slowly than a cached image starts.
const PULL_DELAY: Duration = Duration::from_secs(1);
/// The pause before the next pull; a kubelet's is 10 s and doubles, which no test wants to wait for.
const PULL_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause between restarts; a kubelet's own value.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// What happened to a container.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    /// It waits for something, with the reason that the API knows.
    Waiting { reason: &'static str, message: String },
    /// Its process was started.
    Running,
    /// Its readiness probe changed its mind.
    Ready(bool),
    /// Its process ended with this code (128 and the signal's number when a signal ended it).
    Ended { code: i32 },
}

/// Where changes go: the index of the container among those of its pod, and the change.
pub(super) type Changes = mpsc::UnboundedSender<(usize, Change)>;

/// Until when the processes of a pod must have ended, once it is to end.
pub(super) type StopBy = watch::Receiver<Option<Instant>>;

/// One container of one pod.
pub(super) struct Run {
    pub context: Arc<Context>,
    pub pod: Arc<Pod>,
    pub index: usize,
    pub container: Container,
    pub address: Ipv4Addr,
    pub changes: Changes,
    pub stop: StopBy,
}

/// How programs are started in a container.
pub(super) struct Exec {
    variables: BTreeMap<String, String>,
    log: PathBuf,
}

impl Run {
    /// Runs the container until it has ended for good or was stopped.
    pub(super) async fn until_ended(mut self) {
        let delay = annotated(&self.pod, START_DELAY).unwrap_or(self.context.config.start_delay);
        let image = self.container.image.clone().unwrap_or_default();
        let Some(program) = self.context.config.images.get(without_tag(&image)).cloned() else {
            return self.never_pulled(&image, delay).await;
        };
        let variables = match environment::variables(&self.pod, &self.container, self.address) {
            Ok(variables) => variables,
            Err(message) => {
                self.tell(Change::Waiting {
                    reason: "CreateContainerConfigError",
                    message,
                });
                self.stopped().await;
                return;
            }
        };
        let exec = Exec {
            variables,
            log: self.log_file(),
        };
        if self.pause(delay).await.is_break() {
            return;
        }
        let mut restarts = 0;
        loop {
            let Some(code) = self.process(&program, &exec).await else {
                return;
            };
            if !self.restarts_after(code) {
                return;
            }
            if restarts > 0 {
                let pause = (self.context.config.restart_pause * 2_u32.pow(restarts.min(16) - 1)).min(LONGEST_PAUSE);
                let message = format!("back-off {}s restarting failed container", pause.as_secs());
                self.tell(Change::Waiting {
                    reason: "CrashLoopBackOff",
                    message,
                });
                if self.pause(pause).await.is_break() {
                    return;
                }
            }
            restarts += 1;
        }
    }

    /// Runs one process; its exit code, or nothing when it was stopped.
    async fn process(&mut self, program: &Path, exec: &Exec) -> Option<i32> {
        let mut child = match exec.spawn(program, self.container.args.as_deref().unwrap_or_default()) {
            Ok(child) => child,
            Err(error) => {
                let message = format!("{}: {error}", program.display());
                self.tell(Change::Waiting {
                    reason: "RunContainerError",
                    message,
                });
                return Some(128); // what a kubelet records for a program that cannot be started
            }
        };
        self.tell(Change::Running);
        let (changes, index) = (self.changes.clone(), self.index);
        let tell_ready = move |ready| drop(changes.send((index, Change::Ready(ready))));
        let mut stop = self.stop.clone();
        let stop_by = tokio::select! {
            status = child.wait() => {
                let code = exit_code(status);
                self.tell(Change::Ended { code });
                return Some(code);
            }
            never = probe::watch_readiness(&self.container, self.address, exec, tell_ready) => match never {},
            stop_by = stop_time(&mut stop) => stop_by,
        };
        let code = self.end(child, exec, stop_by).await;
        self.tell(Change::Ended { code });
        None
    }

    /// The hook, SIGTERM, the grace period, SIGKILL.
    async fn end(&self, mut child: Child, exec: &Exec, stop_by: Instant) -> i32 {
        let hook = self
            .container
            .lifecycle
            .as_ref()
            .and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        if let Some(hook) = hook {
            tokio::select! {
                status = child.wait() => return exit_code(status),
                _ = timeout_at(stop_by, self.pre_stop(hook, exec)) => {}
            }
        }
        if let Some(id) = child
            .id()
            .and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()))
        {
            // An error means that it ended meanwhile.
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        let kill_at = stop_by.max(Instant::now() + SHORTEST_GRACE);
        if let Ok(status) = timeout_at(kill_at, child.wait()).await {
            return exit_code(status);
        }
        let _ = child.start_kill(); // an error means that it ended meanwhile
        exit_code(child.wait().await)
    }

    async fn pre_stop(&self, hook: &LifecycleHandler, exec: &Exec) {
        if let Some(sleep) = &hook.sleep {
            tokio::time::sleep(Duration::from_secs(sleep.seconds.try_into().unwrap_or(0))).await;
        } else if let Some(get) = &hook.http_get {
            if let Some(port) = probe::port(&self.container, &get.port) {
                probe::http(SocketAddr::from((self.address, port)), get.path.as_deref()).await;
            }
        } else if let Some(action) = &hook.exec {
            exec.run(action.command.as_deref().unwrap_or_default()).await;
        }
    }

    /// What becomes of an image that no program stands for.
    async fn never_pulled(mut self, image: &str, delay: Duration) {
        if self.pause(delay + PULL_DELAY).await.is_break() {
            return;
        }
        loop {
            let message = format!("no program stands for image {image:?} on the node of the cluster in a box");
            self.tell(Change::Waiting {
                reason: "ErrImagePull",
                message,
            });
            if self.pause(PULL_PAUSE).await.is_break() {
                return;
            }
            let message = format!("Back-off pulling image {image:?}");
            self.tell(Change::Waiting {
                reason: "ImagePullBackOff",
                message,
            });
            if self.pause(PULL_PAUSE * 2).await.is_break() {
                return;
            }
        }
    }

    fn restarts_after(&self, code: i32) -> bool {
        match self.pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()) {
            Some("Never") => false,
            Some("OnFailure") => code != 0,
            _ => true,
        }
    }

    fn log_file(&self) -> PathBuf {
        let namespace = self.pod.namespace().unwrap_or_default();
        let name = format!("{namespace}_{}_{}.log", self.pod.name_any(), self.container.name);
        self.context.config.logs.join(name)
    }

    fn tell(&self, change: Change) {
        let _ = self.changes.send((self.index, change)); // nobody listens when the pod is gone
    }

    /// Waits; breaks when the pod is to end.
    async fn pause(&mut self, time: Duration) -> std::ops::ControlFlow<()> {
        tokio::select! {
            () = tokio::time::sleep(time) => std::ops::ControlFlow::Continue(()),
            () = self.stopped() => std::ops::ControlFlow::Break(()),
        }
    }

    async fn stopped(&mut self) {
        stop_time(&mut self.stop).await;
    }
}

impl Exec {
    /// Runs a command beside the container's process, as a hook or a probe does; whether it succeeded.
    pub(super) async fn run(&self, command: &[String]) -> bool {
        let Some((program, arguments)) = command.split_first() else {
            return false;
        };
        match self.spawn(Path::new(program), arguments) {
            Ok(mut child) => child.wait().await.is_ok_and(|status| status.success()),
            Err(_) => false,
        }
    }

    fn spawn(&self, program: &Path, arguments: &[String]) -> std::io::Result<Child> {
        if let Some(folder) = self.log.parent() {
            fs::create_dir_all(folder)?;
        }
        let log = File::options().create(true).append(true).open(&self.log)?;
        Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(&self.variables)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
    }
}

async fn stop_time(stop: &mut StopBy) -> Instant {
    match stop.wait_for(Option::is_some).await {
        Ok(time) => time.unwrap_or_else(Instant::now),
        Err(_) => Instant::now(), // the pod's task is gone, and with it the pod
    }
}

fn exit_code(status: std::io::Result<ExitStatus>) -> i32 {
    status.map_or(128, |status| {
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
    })
}

/// `registry:5000/a/b` of `registry:5000/a/b:v1@sha256:..`.
fn without_tag(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_by_its_name_without_tag_and_digest() {
        let rows = [
            ("sluice/backend:v1", "sluice/backend"),
            ("sluice/backend", "sluice/backend"),
            ("registry:5000/a/b", "registry:5000/a/b"),
            ("registry:5000/a/b:v1@sha256:00ff", "registry:5000/a/b"),
            ("", ""),
        ];
        for (image, want) in rows {
            assert_eq!(without_tag(image), want, "{image:?}");
        }
    }
}
