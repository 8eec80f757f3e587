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

use anyhow::{Context as _, Result, bail, ensure};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
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
/// A file in the folder of the logs by which the inner program names its PID namespace to the outer one.
const NAMESPACE: &str = ".namespace";

/// What the inner program knows about where it is.
#[derive(Debug, Clone)]
pub struct Inside {
    /// An empty folder in memory, gone with the namespaces.
    pub state: PathBuf,
    /// One log file per component; kept when the run fails.
    pub logs: PathBuf,
    /// The programs of the cluster in a box.
    pub programs: Programs,
}

/// Runs `body` inside. Called by the outer program, this starts the same program again in namespaces of its own, with the
/// same arguments, and returns that one's exit code; called by the inner one, it prepares the network and runs `body`.
///
/// `name` names the folder of logs that a failed run leaves, `target/box-logs/<name>`.
pub fn enter(name: &str, body: impl FnOnce(&Inside) -> ExitCode) -> ExitCode {
    let result = match (std::env::var_os(STATE), std::env::var_os(LOGS)) {
        (Some(state), Some(logs)) => prepare(state.into(), logs.into()).map(|inside| body(&inside)),
        _ => start(name),
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

fn start(name: &str) -> Result<ExitCode> {
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
    let ended = runtime.block_on(supervise(&logs, &state));
    let left = processes_left(&logs);
    fs::remove_dir(&state).with_context(|| format!("remove {}", state.display()))?;
    let left = left?;
    if !left.is_empty() {
        eprintln!("error: processes outlived their namespace: {left:?}");
    }
    let code = ended?;
    if code == 0 && left.is_empty() {
        fs::remove_dir_all(&logs).with_context(|| format!("remove {}", logs.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    if kept.exists() {
        fs::remove_dir_all(&kept).with_context(|| format!("remove {}", kept.display()))?;
    }
    fs::rename(&logs, &kept).with_context(|| format!("keep the logs in {}", kept.display()))?;
    eprintln!("the logs of each component are in {}", kept.display());
    Ok(ExitCode::from(if code == 0 { 1 } else { code }))
}

/// Runs the inner program to its end, or ends it when this program is told to end; its exit code.
async fn supervise(logs: &Path, state: &Path) -> Result<u8> {
    let own = std::env::current_exe().context("find the path of this program")?;
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
        .env(STATE, state)
        .env(LOGS, logs)
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("start unshare")?;
    let lifeline = child.stdin.take();
    let mut interrupt = signal(SignalKind::interrupt()).context("watch for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
    let status = tokio::select! {
        status = child.wait() => status,
        _ = interrupt.recv() => { drop(lifeline); child.wait().await }
        _ = terminate.recv() => { drop(lifeline); child.wait().await }
    }
    .context("wait for the inner program")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(101))
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
    end_with_the_outer_program();
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
    Ok(Inside { state, logs, programs })
}

/// Ends this process, and with it the namespace, when the outer program closes our standard input, as it does by dying.
fn end_with_the_outer_program() {
    std::thread::spawn(|| {
        let mut sink = [0; 64];
        while std::io::stdin().read(&mut sink).is_ok_and(|read| read > 0) {}
        std::process::exit(130);
    });
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
