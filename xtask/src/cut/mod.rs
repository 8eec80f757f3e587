//! `cargo xtask cut`: whether the tests that docs/compatibility.md names fail when their feature is cut out.
//!
//! Works on a copy of the tree under `target/cut`. Each row changes one place of the sources; the test of the row must pass before
//! and fail after it.

mod rows;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{cargo, tidy};

/// Options of `cargo xtask cut`.
#[derive(clap::Args)]
pub struct Options {
    /// Only rows whose feature contains this text
    feature: Option<String>,
}

/// One feature and how to cut it out.
struct Cut {
    feature: &'static str,
    file: &'static str,
    /// Text that stands once in the file.
    from: &'static str,
    to: &'static str,
    /// Package and test.
    test: (&'static str, &'static str),
}

/// How a test ended.
#[derive(PartialEq)]
enum Ended {
    Passed,
    Failed,
}

/// Plays the rows.
pub fn run(options: &Options) -> Result<ExitCode> {
    let wanted = |cut: &&Cut| {
        options
            .feature
            .as_ref()
            .is_none_or(|text| cut.feature.contains(text.as_str()))
    };
    let rows: Vec<&Cut> = rows::ROWS.iter().filter(wanted).collect();
    if rows.is_empty() {
        bail!(
            "no feature has such a name; there are: {}",
            rows::ROWS.iter().map(|cut| cut.feature).collect::<Vec<_>>().join(", ")
        );
    }
    let root = tidy::root()?;
    let tree = root.join("target/cut/tree");
    copy(&root, &tree)?;
    let mut survived = 0;
    for (number, cut) in rows.iter().enumerate() {
        let started = Instant::now();
        let caught = is_caught(&tree, cut).with_context(|| format!("the row of {}", cut.feature))?;
        survived += usize::from(!caught);
        println!(
            "{}/{} {}: {} after {} s ({} {})",
            number + 1,
            rows.len(),
            cut.feature,
            if caught { "caught" } else { "NOT CAUGHT" },
            started.elapsed().as_secs(),
            cut.test.0,
            cut.test.1
        );
    }
    println!("{} of {} cuts are caught", rows.len() - survived, rows.len());
    Ok(if survived == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn is_caught(tree: &Path, cut: &Cut) -> Result<bool> {
    if play(tree, cut)? == Ended::Failed {
        bail!("its test fails without the cut");
    }
    let file = tree.join(cut.file);
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", cut.file))?;
    let places = text.matches(cut.from).count();
    if places != 1 {
        bail!("the text to cut stands {places} times in {}:\n{}", cut.file, cut.from);
    }
    fs::write(&file, text.replace(cut.from, cut.to))?;
    let ended = play(tree, cut);
    fs::write(&file, text)?;
    Ok(ended? == Ended::Failed)
}

/// Builds and runs the test of a row. Fails where it cannot be built, or where there is no such test.
fn play(tree: &Path, cut: &Cut) -> Result<Ended> {
    let (package, test) = cut.test;
    let cargo = |arguments: &[&str]| {
        let mut command = cargo::command();
        command
            .current_dir(tree)
            .env("CARGO_TARGET_DIR", tree.with_file_name("build"));
        // What is cut out leaves names behind that nobody uses.
        command.env("RUSTFLAGS", "-A warnings");
        command
            .args(["test", "--locked", "--quiet", "--package", package, "--tests"])
            .args(arguments);
        command
    };
    let built = cargo(&["--no-run"]).output().context("cargo could not be started")?;
    if !built.status.success() {
        bail!("it cannot be built:\n{}", String::from_utf8_lossy(&built.stderr));
    }
    let output = cargo(&["--no-fail-fast", "--", "--exact", test])
        .output()
        .context("cargo could not be started")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let count = |what: &str| printed.matches(what).count();
    match (count("1 passed;"), count("1 failed;")) {
        (1, 0) => Ok(Ended::Passed),
        (0, 1) => Ok(Ended::Failed),
        _ => bail!("there is no test {test} in {package}, or several:\n{printed}"),
    }
}

/// Copies what git tracks. Files that are as they were keep their times, so that little is built anew.
fn copy(root: &Path, tree: &Path) -> Result<()> {
    let output = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root)
        .output()
        .context("running git")?;
    let names = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    let files: Vec<PathBuf> = names.split_terminator('\0').map(PathBuf::from).collect();
    if files.is_empty() {
        bail!("git lists no files in {}", root.display());
    }
    for file in files.iter().filter(|file| root.join(file).is_file()) {
        let (from, to) = (root.join(file), tree.join(file));
        let bytes = fs::read(&from).with_context(|| format!("reading {}", from.display()))?;
        if fs::read(&to).is_ok_and(|present| present == bytes) {
            continue;
        }
        fs::create_dir_all(to.parent().context("a file has a folder")?)?;
        fs::write(&to, bytes).with_context(|| format!("writing {}", to.display()))?;
    }
    Ok(())
}
