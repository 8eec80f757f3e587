//! What a machine must have before a cluster in a box can be built and run, and before all tests can: checked first and named
//! all at once.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

/// One thing that must be there.
struct Prerequisite {
    /// What is looked for, as a person would call it.
    what: &'static str,
    /// Whether it is there and works.
    present: fn() -> bool,
    /// How to get it.
    remedy: &'static str,
}

const BUILD: &[Prerequisite] = &[
    Prerequisite {
        what: "go (1.26 or newer)",
        present: go_is_new_enough,
        remedy: "install it from https://go.dev/dl (the golang package of most distributions is too old)",
    },
    Prerequisite {
        what: "python3 with pip",
        present: || succeeds("python3", ["-m", "pip", "--version"]),
        remedy: "install it, on Debian and Ubuntu: apt-get install python3-pip",
    },
];

const RUN: &[Prerequisite] = &[
    Prerequisite {
        what: "ip",
        present: || on_path("ip").is_some(),
        remedy: "install it, on Debian and Ubuntu: apt-get install iproute2",
    },
    Prerequisite {
        what: "unshare and nsenter",
        present: || on_path("unshare").is_some() && on_path("nsenter").is_some(),
        remedy: "install them, on Debian and Ubuntu: apt-get install util-linux",
    },
    Prerequisite {
        what: "user, network and PID namespaces",
        present: namespaces_work,
        remedy: "allow them: sysctl -w user.max_user_namespaces=10000; on Ubuntu 24.04 and newer also \
                 sysctl -w kernel.apparmor_restrict_unprivileged_userns=0; in a container also a seccomp profile \
                 that admits unshare and mount",
    },
];

const BROWSER: &[Prerequisite] = &[Prerequisite {
    what: "chromium",
    present: || on_path(CHROMIUM).is_some(),
    remedy: "install it, on Debian: apt-get install --no-install-recommends chromium",
}];
const CHROMIUM: &str = "chromium";

/// Everything that building the programs needs; the error names each missing thing and what to do about it.
pub fn for_build() -> Result<()> {
    check("the cluster in a box needs", BUILD)
}

/// Everything that running a plane needs; the error names each missing thing and what to do about it.
pub fn for_run() -> Result<()> {
    check("the cluster in a box needs", RUN)
}

/// The browser in which tests open the pages that `simulate -o html` writes. Where it is missing, root has it installed by
/// `apt-get`, so that the one check needs no preparation on a fresh machine; otherwise the error says how to get it.
pub fn for_pages() -> Result<()> {
    if on_path(CHROMIUM).is_none() && on_path("apt-get").is_some() && is_root() {
        eprintln!("==> chromium is missing: installing it with apt-get");
        // A fresh machine has no lists of packages yet. Whether it worked is what the check sees.
        apt_get(&["update"]);
        apt_get(&["install", "-y", "--no-install-recommends", CHROMIUM]);
    }
    check("the tests of pages need", BROWSER)
}

fn apt_get(arguments: &[&str]) {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    if !status.is_ok_and(|status| status.success()) {
        eprintln!("apt-get {} failed", arguments.join(" "));
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Where a program is found on the search path, or nothing.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

fn check(need: &str, list: &[Prerequisite]) -> Result<()> {
    let missing: Vec<String> = list
        .iter()
        .filter(|item| !(item.present)())
        .map(|item| format!("  {}: {}", item.what, item.remedy))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("{need} what is not here:\n{}", missing.join("\n"));
}

fn succeeds<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> bool {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn go_is_new_enough() -> bool {
    // `go env GOVERSION` outside of a module, so that no toolchain line of a go.mod makes it download another one.
    let Ok(output) = Command::new("go")
        .args(["env", "GOVERSION"])
        .current_dir(std::env::temp_dir())
        .stderr(Stdio::null())
        .output()
    else {
        return false;
    };
    output.status.success() && go_version(&String::from_utf8_lossy(&output.stdout)).is_some_and(|have| have >= (1, 26))
}

/// Major and minor of `go1.26.8`, also with a suffix such as `go1.27rc1`.
fn go_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().strip_prefix("go")?.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor: String = parts.next()?.chars().take_while(char::is_ascii_digit).collect();
    Some((major, minor.parse().ok()?))
}

fn namespaces_work() -> bool {
    on_path("unshare").is_none() // named by its own line
        || succeeds("unshare", ["--user", "--map-root-user", "--net", "--pid", "--fork", "--mount-proc", "true"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_go_version_is_read_with_and_without_a_suffix() {
        let rows = [
            ("go1.26.8\n", Some((1, 26))),
            ("go1.27rc1", Some((1, 27))),
            ("go1.9", Some((1, 9))),
            ("devel +abc", None),
            ("", None),
        ];
        for (text, want) in rows {
            assert_eq!(go_version(text), want, "{text:?}");
        }
    }

    #[test]
    fn every_missing_thing_is_named_with_its_remedy_at_once() {
        let list = [
            Prerequisite {
                what: "alpha",
                present: || false,
                remedy: "install alpha",
            },
            Prerequisite {
                what: "beta",
                present: || true,
                remedy: "install beta",
            },
            Prerequisite {
                what: "gamma",
                present: || false,
                remedy: "install gamma",
            },
        ];
        let message = check("this needs", &list).expect_err("two are missing").to_string();
        assert!(
            message.contains("alpha: install alpha") && message.contains("gamma: install gamma"),
            "{message}"
        );
        assert!(!message.contains("beta"), "{message}");
        assert!(message.starts_with("this needs what is not here"), "{message}");
    }
}
