//! The way into the namespaces: a program starts itself again as PID 1 of namespaces of its own, and everything that it
//! starts there ends with it.
//!
//! Guarantees: when the outer program is back from [`enter`] or is gone, whatever ended it, no process of the inner world
//! lives and its state is gone. Three things make that so: the inner program is PID 1, whose end takes every process of a PID
//! namespace with it; it ends when its standard input closes, which happens when the outer program dies in any way; and its
//! state is on a file system that exists in its mount namespace only. The outer program looks afterwards, and fails if it
//! finds a process nevertheless.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::forward::{self, Forward};
use anyhow::{Context as _, Result, bail, ensure};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use xtask::prerequisites;
use xtask::programs::{self, Programs};

/// The address of the node, and of everything that is bound to one address only.
pub const HOST_IP: &str = "10.77.0.1";
/// How many bits of [`HOST_IP`] are the network: every address of it is local inside, without being added one by one.
pub const NETWORK_BITS: u8 = 16;

/// Set in the inner program: the folder of its state.
const STATE: &str = "SLUICE_BOX_INSIDE_STATE";
/// Set in the inner program: the folder of its logs.
const LOGS: &str = "SLUICE_BOX_INSIDE_LOGS";
/// Set in the inner program: the name that [`enter`] was called with.
const NAME: &str = "SLUICE_BOX_INSIDE_NAME";
/// A file in the folder of the logs by which the inner program names its PID namespace to the outer one.
const NAMESPACE: &str = ".namespace";

/// How long the inner program may go on after the outer one was told to end, or died.
pub const TIME_TO_END: Duration = Duration::from_secs(2);

/// The exit code of a program that was told to end: 128 and the number of SIGINT.
pub const INTERRUPTED: u8 = 130;

/// What the inner program knows about where it is.
#[derive(Debug, Clone)]
pub struct Inside {
    /// An empty folder in memory, gone with the namespaces.
    pub state: PathBuf,
    /// One log file per component; kept when the run fails.
    pub logs: PathBuf,
    /// The programs of the cluster in a box.
    pub programs: Programs,
    /// Turns true when the outer program wants the inner one to end.
    end: watch::Receiver<bool>,
}

impl Inside {
    /// Returns when the outer program was told to end. The body then has [`TIME_TO_END`] to return.
    pub async fn ended(&self) {
        // An error means that the thread that watches the outer program is gone, which it never is.
        let _ = self.end.clone().wait_for(|end| *end).await;
    }
}

/// Runs `body` inside. Called by the outer program, this starts the same program again in namespaces of its own, with the
/// same arguments, and returns that one's exit code; called by the inner one, it prepares the network and runs `body`.
///
/// `name` names the folder of logs that a failed run leaves, `target/box-logs/<name>`.
pub fn enter(name: &str, body: impl FnOnce(&Inside) -> ExitCode) -> ExitCode {
    enter_forwarding(name, &[], body)
}

/// Like [`enter`], and connections to the given ports of the outer 127.0.0.1 come out inside.
pub fn enter_forwarding(name: &str, forwards: &[Forward], body: impl FnOnce(&Inside) -> ExitCode) -> ExitCode {
    let result = match (std::env::var_os(STATE), std::env::var_os(LOGS)) {
        (Some(state), Some(logs)) => prepare(state.into(), logs.into()).map(|inside| body(&inside)),
        _ => start(name, forwards),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Whether this is the inner program.
pub fn is_inside() -> bool {
    std::env::var_os(STATE).is_some()
}

/// The name with which this program was entered; nothing in the outer program.
pub fn name() -> Option<String> {
    std::env::var(NAME).ok()
}

/// Where a program of this workspace is that is built beside this one.
pub fn built_program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("find the path of this program")?;
    // Test programs are in a folder below the one with the workspace's programs.
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .with_context(|| {
            format!(
                "no program {name} beside {}: build it with cargo build --bin {name}",
                own.display()
            )
        })
}

/// Cargo's target folder, in which this program was built.
pub fn target_folder() -> Result<PathBuf> {
    let own = std::env::current_exe().context("find the path of this program")?;
    let tagged = own.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    Ok(tagged.map_or_else(std::env::temp_dir, Path::to_path_buf))
}

// ---- the outer program

fn start(name: &str, forwards: &[Forward]) -> Result<ExitCode> {
    prerequisites::for_run()?;
    programs::build(&mut |line| eprintln!("box: {line}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the outer program")?;
    let kept = target_folder()?.join("box-logs").join(name);
    // Several runs of one program may be under way; each has a folder of its own until it is over.
    let logs = kept.with_file_name(format!("{name}.{}", std::process::id()));
    let state = std::env::temp_dir().join(format!("sluice-box-{name}-{}", std::process::id()));
    for folder in [&logs, &state] {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    let ended = runtime.block_on(supervise(name, &logs, &state, forwards));
    let left = processes_left(&logs);
    fs::remove_dir(&state).with_context(|| format!("remove {}", state.display()))?;
    let left = left?;
    if !left.is_empty() {
        eprintln!("error: processes outlived their namespace: {left:?}");
    }
    let code = ended?;
    if matches!(code, 0 | INTERRUPTED) && left.is_empty() {
        fs::remove_dir_all(&logs).with_context(|| format!("remove {}", logs.display()))?;
        return Ok(ExitCode::from(code));
    }
    if kept.exists() {
        fs::remove_dir_all(&kept).with_context(|| format!("remove {}", kept.display()))?;
    }
    fs::rename(&logs, &kept).with_context(|| format!("keep the logs in {}", kept.display()))?;
    eprintln!("the logs of each component are in {}", kept.display());
    Ok(ExitCode::from(code.max(1)))
}

/// Runs the inner program to its end, or ends it when this program is told to end; its exit code.
async fn supervise(name: &str, logs: &Path, state: &Path, forwards: &[Forward]) -> Result<u8> {
    let own = std::env::current_exe().context("find the path of this program")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("watch for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
    let mut child = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ])
        .arg(own)
        .args(std::env::args_os().skip(1))
        .env(NAME, name)
        .env(STATE, state)
        .env(LOGS, logs)
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("start unshare")?;
    let lifeline = child.stdin.take();
    let forwarding = async {
        if forwards.is_empty() {
            return std::future::pending().await;
        }
        forward::run(first_process(logs).await?, forwards).await
    };
    let interrupted = tokio::select! {
        status = child.wait() => return Ok(exit_code(status.context("wait for the inner program")?)),
        Err(error) = forwarding => {
            // It also ends when the namespace does; then that is what matters.
            drop(lifeline);
            let status = child.wait().await.context("wait for the inner program")?;
            return if status.code() == Some(INTERRUPTED.into()) { Err(error) } else { Ok(exit_code(status)) };
        }
        _ = interrupt.recv() => INTERRUPTED,
        _ = terminate.recv() => INTERRUPTED,
    };
    drop(lifeline);
    child.wait().await.context("wait for the inner program")?;
    Ok(interrupted)
}

fn exit_code(status: std::process::ExitStatus) -> u8 {
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(101)
}

/// The id, as it is seen outside, of the first process of the namespace, once there is one.
async fn first_process(logs: &Path) -> Result<u32> {
    let give_up = Instant::now() + Duration::from_mins(1);
    loop {
        let first = processes_left(logs)?.into_iter().find(|id| {
            let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
            // The ids of a process in all its namespaces, the innermost last.
            status
                .lines()
                .any(|line| line.starts_with("NSpid:") && line.split_whitespace().next_back() == Some("1"))
        });
        if let Some(id) = first {
            return Ok(id);
        }
        ensure!(
            Instant::now() < give_up,
            "the inner program did not start within a minute"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The ids of the processes that are still in the PID namespace of the inner program.
fn processes_left(logs: &Path) -> Result<Vec<u32>> {
    let file = logs.join(NAMESPACE);
    let Ok(namespace) = fs::read_to_string(&file) else {
        return Ok(Vec::new()); // it never came so far as to start anything
    };
    let processes = fs::read_dir("/proc").context("read /proc")?;
    Ok(processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|id| {
            fs::read_link(format!("/proc/{id}/ns/pid")).is_ok_and(|link| link.to_string_lossy() == namespace.as_str())
        })
        .collect())
}

// ---- the inner program

fn prepare(state: PathBuf, logs: PathBuf) -> Result<Inside> {
    ensure!(
        std::process::id() == 1,
        "{STATE} is set, but this program is not the first of a PID namespace; unset it"
    );
    let end = end_with_the_outer_program();
    let namespace = fs::read_link("/proc/self/ns/pid").context("read the PID namespace")?;
    fs::write(logs.join(NAMESPACE), namespace.to_string_lossy().as_bytes()).context("write the PID namespace")?;
    tool(
        "mount",
        &["-t", "tmpfs", "-o", "mode=700", "sluice-box", &state.to_string_lossy()],
    )?;
    tool("ip", &["link", "set", "lo", "up"])?;
    tool(
        "ip",
        &["address", "add", &format!("{HOST_IP}/{NETWORK_BITS}"), "dev", "lo"],
    )?;
    let programs = programs::build(&mut |line| eprintln!("box: {line}"))?;
    // The first crypto provider that is installed serves every TLS client of the process; a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(Inside {
        state,
        logs,
        programs,
        end,
    })
}

/// Ends this process, and with it the namespace, soon after the outer program closes our standard input, as it does by
/// dying. What is returned turns true at once.
fn end_with_the_outer_program() -> watch::Receiver<bool> {
    let (told, end) = watch::channel(false);
    std::thread::spawn(move || {
        let mut sink = [0; 64];
        while std::io::stdin().read(&mut sink).is_ok_and(|read| read > 0) {}
        told.send_replace(true);
        std::thread::sleep(TIME_TO_END);
        std::process::exit(INTERRUPTED.into());
    });
    end
}

fn tool(program: &str, args: &[&str]) -> Result<()> {
    let output = std::process::Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {program}"))?;
    if !output.status.success() {
        bail!(
            "{program} {}: {}: {}",
            args.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    /// Not a test: the program that the tests below run. It enters, starts a process that nobody waits for, and stays, or
    /// leaves when there is a file `leave` in its logs.
    #[test]
    #[ignore = "the tests below run it"]
    fn stays_inside() {
        let code = enter("stays-inside", |inside| {
            let sleep = Command::new("sleep").arg("1000").spawn();
            assert!(sleep.is_ok(), "{sleep:?}");
            fs::write(inside.logs.join("there"), "").expect("the folder is there");
            while !inside.logs.join("leave").exists() {
                std::thread::sleep(Duration::from_millis(10));
            }
            ExitCode::SUCCESS
        });
        // The inner program must not go on with the test harness, nor the outer one hide how it went.
        std::process::exit((code != ExitCode::SUCCESS).into());
    }

    struct Held {
        outer: Child,
        logs: PathBuf,
    }

    fn held() -> Held {
        let outer = Command::new(std::env::current_exe().expect("this program has a path"))
            .args([
                "inside::tests::stays_inside",
                "--exact",
                "--ignored",
                "--nocapture",
                "--quiet",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("this program can be started");
        let folder = target_folder().expect("this program has a path").join("box-logs");
        let logs = folder.join(format!("stays-inside.{}", outer.id()));
        eventually("the inner program is there", || logs.join("there").exists());
        assert_eq!(
            processes_left(&logs).expect("/proc is there").len(),
            2,
            "the inner program and its child"
        );
        Held { outer, logs }
    }

    fn eventually(what: &str, condition: impl Fn() -> bool) {
        let give_up = Instant::now() + Duration::from_mins(1);
        while !condition() {
            assert!(Instant::now() < give_up, "waited a minute: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn nothing_is_left_when_the_body_returns_before_its_processes() {
        let mut held = held();
        fs::write(held.logs.join("leave"), "").expect("the folder is there");
        let status = held.outer.wait().expect("it ends");
        assert!(status.success(), "{status}");
        assert!(!held.logs.exists(), "the logs of a good run are removed");
    }

    #[test]
    fn nothing_is_left_when_the_outer_program_is_told_to_end() {
        let mut held = held();
        let id = i32::try_from(held.outer.id()).expect("ids are small");
        let id = rustix::process::Pid::from_raw(id).expect("it is not 0");
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it runs");
        held.outer.wait().expect("it ends");
        assert!(
            !held.logs.exists(),
            "it was told to end: that is no failure whose logs are needed"
        );
    }

    #[test]
    fn nothing_is_left_when_the_outer_program_is_killed() {
        let mut held = held();
        held.outer.kill().expect("it runs");
        held.outer.wait().expect("it ends");
        eventually("no process is left", || {
            processes_left(&held.logs).expect("/proc is there").is_empty()
        });
        fs::remove_dir_all(&held.logs).expect("it is there");
        let state = std::env::temp_dir().join(format!("sluice-box-stays-inside-{}", held.outer.id()));
        fs::remove_dir(state).expect("it is there and empty: its content was in memory");
    }
}
