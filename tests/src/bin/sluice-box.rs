//! A cluster in a box for a person: what `cargo xtask up` starts. It runs the plane, Sluice's controller, an example and a
//! little traffic, until Ctrl-C; the ports of its API server, proxy and Prometheus are forwarded to this machine.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};
use sluice_tests::forward::{self, Forward};
use sluice_tests::inside::{self, INTERRUPTED, Inside};
use sluice_tests::plane::{User, ports};
use sluice_tests::{Controller, ControllerConfig, Load, LoadConfig, Plane, PlaneConfig, wait_until};

/// A Kubernetes cluster without containers, in private namespaces of one program.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start it, with Sluice and an example, and stop it with Ctrl-C
    Up(Up),
    /// Accept connections on standard input's listener and connect them to an address (used by `up`)
    #[command(hide = true)]
    Forward {
        /// Where to
        to: SocketAddr,
    },
}

#[derive(Args)]
struct Up {
    /// Requests per second that the example gets; 0 for none
    #[arg(long, default_value_t = 20)]
    rate: u32,
    /// Start the cluster only, without controller and example
    #[arg(long)]
    empty: bool,
    /// Folder for the kubeconfig and the programs to use, made anew and removed at the end [default: .box]
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// The example that is applied, and the host that its route serves.
const EXAMPLE: &str = "examples/canary-httproute";
const HOST: &str = "backend.test";
/// How long the example may take until it serves.
const SOON: Duration = Duration::from_mins(2);

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Up(options) => up(&options),
        Command::Forward { to } => run(async { forward::serve(to).await.map(|never| match never {}) }),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(body: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?
        .block_on(body)
}

/// The folder of the repository, where the person types the commands that are printed.
fn repository() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("this crate is in a folder of the repository")
}

fn up(options: &Up) -> Result<ExitCode> {
    let folder = match &options.folder {
        Some(folder) => std::path::absolute(folder).context("find the folder")?,
        None => repository()?.join(".box"),
    };
    if inside::is_inside() {
        return Ok(inside::enter("up", |inside| {
            run(until_ended(inside, options, &folder)).unwrap_or_else(|error| {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            })
        }));
    }
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let lock = File::create(folder.join("lock")).context("create .box/lock")?;
    if lock.try_lock().is_err() {
        bail!(
            "another cluster in a box is up in {}; stop that one first",
            folder.display()
        );
    }
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let forwards = [ports::API_SERVER, ports::WEB, ports::PROMETHEUS]
        .map(|port| Forward::listen(port, local(port)))
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    let chosen = forwards
        .iter()
        .map(|forward| Ok(forward.port()?.to_string()))
        .collect::<Result<Vec<_>>>()?;
    fs::write(folder.join("ports"), chosen.join("\n")).context("write .box/ports")?;
    let code = inside::enter_forwarding("up", &forwards, |_| ExitCode::FAILURE);
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    // To be told to end is how this ends well.
    Ok(if code == ExitCode::from(INTERRUPTED) {
        ExitCode::SUCCESS
    } else {
        code
    })
}

/// Inside: starts everything, says what to type, and stays.
async fn until_ended(inside: &Inside, options: &Up, folder: &Path) -> Result<ExitCode> {
    tokio::select! {
        result = stay(inside, options, folder) => result,
        () = inside.ended() => Ok(ExitCode::from(INTERRUPTED)),
    }
}

async fn stay(inside: &Inside, options: &Up, folder: &Path) -> Result<ExitCode> {
    eprintln!("starting the cluster in a box ...");
    let plane = Plane::start(inside, PlaneConfig::default()).await?;
    let ports = write_access(&plane, folder)?;
    let mut controller = None;
    let mut load = None;
    if !options.empty {
        eprintln!("starting Sluice and {EXAMPLE} ...");
        controller = Some(Controller::start(&plane, ControllerConfig::cluster_wide()).await?);
        let traffic = example(&plane, options.rate).await?;
        load = traffic;
    }
    say(&mut io::stdout().lock(), &instructions(&ports, options, folder, inside))?;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut dead = plane.dead_components();
        dead.extend(controller.as_mut().and_then(Controller::death));
        if !dead.is_empty() {
            drop(load);
            bail!("{}", dead.join("; "));
        }
    }
}

/// Prints a text. Whoever has read enough may close our output: that is no reason to end the cluster.
fn say(output: &mut impl io::Write, text: &str) -> Result<()> {
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("print what to type"),
        _ => Ok(()),
    }
}

/// Applies the example and waits until it serves; the traffic goes on while the value lives.
async fn example(plane: &Plane, rate: u32) -> Result<Option<Load>> {
    let folder = repository()?.join(EXAMPLE);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .with_context(|| format!("read {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    for file in files {
        plane.client.apply_file("default", &file).await?;
    }
    let probe = Load::start(LoadConfig::new(HOST, rate.max(10)))?;
    wait_until("the example to serve", SOON, || async {
        let seen = probe.so_far();
        let last = seen.records().iter().rev().take(10);
        Ok((last.filter(|record| record.version.is_some()).count() == 10).then_some(()))
    })
    .await?;
    Ok((rate > 0).then_some(probe))
}

/// The ports of this machine that lead inside.
struct Ports {
    api_server: u16,
    web: u16,
    prometheus: u16,
}

/// Writes a kubeconfig and links the programs that a person needs.
fn write_access(plane: &Plane, folder: &Path) -> Result<Ports> {
    let text = fs::read_to_string(folder.join("ports")).context("read .box/ports")?;
    let numbers = text
        .lines()
        .map(str::parse)
        .collect::<Result<Vec<u16>, _>>()
        .context("read .box/ports")?;
    let [api_server, web, prometheus] = numbers[..] else {
        bail!(".box/ports has {} lines", numbers.len())
    };
    plane.write_kubeconfig(User::Admin, folder, api_server)?;
    let programs = folder.join("bin");
    if programs.exists() {
        fs::remove_dir_all(&programs).context("remove .box/bin of a cluster that was killed")?;
    }
    fs::create_dir_all(&programs).context("create .box/bin")?;
    let mut links = vec![("kubectl", plane.programs().kubectl.clone())];
    if let Ok(plugin) = inside::built_program("kubectl-sluice") {
        links.push(("kubectl-sluice", plugin));
    }
    for (name, program) in links {
        std::os::unix::fs::symlink(program, programs.join(name)).with_context(|| format!("link .box/bin/{name}"))?;
    }
    Ok(Ports {
        api_server,
        web,
        prometheus,
    })
}

fn instructions(ports: &Ports, options: &Up, folder: &Path, inside: &Inside) -> String {
    let Ports {
        api_server,
        web,
        prometheus,
    } = ports;
    let cluster = format!(
        "
The cluster in a box is up. In another terminal, in this folder:

    export KUBECONFIG={0}/kubeconfig PATH={0}/bin:$PATH
    kubectl get pods

  API server  https://127.0.0.1:{api_server}
  proxy       http://127.0.0.1:{web}
  Prometheus  http://127.0.0.1:{prometheus}
  logs        {1}
",
        folder.display(),
        inside.logs.display()
    );
    let example = if options.empty {
        String::new()
    } else {
        format!(
            "
The Rollout `backend` of {EXAMPLE} serves version v1 at {} requests per second:

    curl -i -H 'Host: {HOST}' http://127.0.0.1:{web}/
    kubectl sluice get rollout backend

Roll out a version, good or bad, and watch:

    sed 's/v1$/v2/' {EXAMPLE}/rollout.yaml | kubectl apply -f -
    sed 's/v1$/v3/; /ERROR_RATE/{{n;s/0/0.05/}}' {EXAMPLE}/rollout.yaml | kubectl apply -f -
    kubectl sluice get rollout backend -w
",
            options.rate
        )
    };
    format!("{cluster}{example}\nCtrl-C ends all of it.\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(io::ErrorKind);

    impl io::Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn a_closed_output_is_no_error_and_a_full_disk_is_one() {
        assert!(say(&mut Failing(io::ErrorKind::BrokenPipe), "what to type").is_ok());
        assert!(say(&mut Failing(io::ErrorKind::StorageFull), "what to type").is_err());
        let mut output = Vec::new();
        say(&mut output, "what to type").expect("memory takes it");
        assert_eq!(output, b"what to type");
    }
}
