//! `cargo xtask tidy`: rules that no compiler checks. Sizes of files, arrows between crates, purity, documentation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::CommandFactory as _;

use crate::docs;

/// Longest source file, in lines. Past that there is usually a second idea in it.
const LONGEST_FILE: usize = 600;

/// Which of our crates each crate may depend on. `tests` may depend on all, and nobody but `tests` on `controller`.
const ARROWS: &[(&str, &[&str])] = &[
    ("crds", &[]),
    ("analysis", &["sluice-crds"]),
    ("traffic", &["sluice-crds"]),
    ("machine", &["sluice-crds", "sluice-analysis", "sluice-traffic"]),
    (
        "controller",
        &["sluice-crds", "sluice-analysis", "sluice-traffic", "sluice-machine"],
    ),
    (
        "simulations",
        &["sluice-crds", "sluice-analysis", "sluice-traffic", "sluice-machine"],
    ),
    (
        "plugin",
        &[
            "sluice-crds",
            "sluice-analysis",
            "sluice-traffic",
            "sluice-machine",
            "sluice-simulations",
        ],
    ),
];

/// Crates that must not know clocks, clients or runtimes.
const PURE: &[&str] = &["crds", "analysis", "traffic", "machine"];
const IMPURE_DEPENDENCIES: &[&str] = &["tokio", "reqwest", "axum", "rand", "futures", "hyper"];

/// Checks everything and names all that is wrong.
pub fn check() -> Result<()> {
    let root = root()?;
    let mut problems = Vec::new();
    let files = tracked(&root)?;
    for file in &files {
        check_file(&root, file, &mut problems);
    }
    let cli = crate::Cli::command();
    let subcommands = cli.get_subcommands().map(|command| command.get_name().to_owned());
    docs::check(&root, &files, subcommands.collect(), &mut problems)?;
    for (crate_name, allowed) in ARROWS {
        check_arrows(&root, crate_name, allowed, &mut problems)?;
    }
    for crate_name in PURE {
        check_purity(&root, crate_name, &mut problems)?;
    }
    if problems.is_empty() {
        eprintln!("==> tidy: done");
        return Ok(());
    }
    for problem in &problems {
        eprintln!("tidy: {problem}");
    }
    bail!("{} things are not tidy", problems.len())
}

pub fn root() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask has no parent folder")?;
    Ok(root.to_owned())
}

fn tracked(root: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git could not be started")?;
    if !output.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let files = String::from_utf8(output.stdout)?
        .lines()
        .map(PathBuf::from)
        .collect::<Vec<_>>();
    Ok(files.into_iter().filter(|file| root.join(file).is_file()).collect())
}

fn check_file(root: &Path, file: &Path, problems: &mut Vec<String>) {
    let shown = file.display();
    let Ok(text) = fs::read_to_string(root.join(file)) else {
        problems.push(format!("{shown} is not text: binaries are built, not committed"));
        return;
    };
    if file.extension().is_some_and(|extension| extension == "rs") {
        let lines = text.lines().count();
        if lines > LONGEST_FILE {
            problems.push(format!(
                "{shown} has {lines} lines; split it, {LONGEST_FILE} are the most"
            ));
        }
        let only_tests = file
            .file_stem()
            .is_some_and(|name| name.to_string_lossy().ends_with("tests"));
        if !only_tests && !text.starts_with("//!") {
            problems.push(format!("{shown} does not begin with a module comment (//!)"));
        }
    }
}

fn manifest(root: &Path, crate_name: &str) -> Result<Vec<(String, String)>> {
    let path = root.join(crate_name).join("Cargo.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut section = String::new();
    let mut entries = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            name.trim_end_matches(']').clone_into(&mut section);
        } else if let Some(key) = line.split(['.', '=', ' ']).next().filter(|key| !key.is_empty()) {
            entries.push((section.clone(), key.to_owned()));
        }
    }
    Ok(entries)
}

fn check_arrows(root: &Path, crate_name: &str, allowed: &[&str], problems: &mut Vec<String>) -> Result<()> {
    for (section, dependency) in manifest(root, crate_name)? {
        let ours = dependency.starts_with("sluice-") || dependency == "kubectl-sluice";
        if ours && section == "dependencies" && !allowed.contains(&dependency.as_str()) {
            problems.push(format!(
                "{crate_name} must not depend on {dependency} (ARCHITECTURE.md, arrows)"
            ));
        }
    }
    Ok(())
}

fn check_purity(root: &Path, crate_name: &str, problems: &mut Vec<String>) -> Result<()> {
    for (section, dependency) in manifest(root, crate_name)? {
        if section == "dependencies" && IMPURE_DEPENDENCIES.contains(&dependency.as_str()) {
            problems.push(format!("{crate_name} is pure and must not depend on {dependency}"));
        }
    }
    let library = root.join(crate_name).join("src/lib.rs");
    let text = fs::read_to_string(&library).with_context(|| format!("{} cannot be read", library.display()))?;
    if !text.contains("#![deny(clippy::disallowed_methods, clippy::disallowed_types)]") {
        problems.push(format!(
            "{crate_name}/src/lib.rs does not switch on the bans of clippy.toml"
        ));
    }
    Ok(())
}
