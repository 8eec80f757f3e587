//! Whether the documentation speaks of what there is: links, paths, commands, tests, and the names that users look up in it.
//!
//! Absent here: whether a sentence is true. Only names are compared, with files and with the text of the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};

/// Folders whose paths are checked wherever a page names them.
const FOLDERS: &[&str] = &["docs/", "examples/", "deploy/"];

/// Names that a page must list.
struct List {
    /// The sources that have them.
    sources: &'static [&'static str],
    /// The name that a line of a source gives away.
    find: fn(&str) -> Option<&str>,
    /// The page.
    page: &'static str,
}

const LISTS: &[List] = &[
    List {
        sources: &["machine/src/plan.rs"],
        find: hold,
        page: "docs/concepts.md",
    },
    List {
        sources: &["controller/src/metrics.rs", "controller/src/admin.rs"],
        find: metric,
        page: "docs/operations.md",
    },
];

/// The page that says of everything which test shows it.
const TESTED: &str = "docs/compatibility.md";
/// The library of scenarios, and the suites on real components.
const SCENARIOS: &str = "simulations/scenarios";
const SUITES: &str = "tests/tests/e2e";

/// What a page may name.
struct Known {
    /// Everything that is tracked, and the folders of it.
    paths: BTreeSet<PathBuf>,
    /// What comes before a subcommand, and the subcommands that there are.
    commands: Vec<(&'static str, BTreeSet<String>)>,
}

/// Checks all pages among `files` and adds what is wrong. `xtask` are the subcommands of `cargo xtask`.
pub fn check(root: &Path, files: &[PathBuf], xtask: BTreeSet<String>, problems: &mut Vec<String>) -> Result<()> {
    let paths: BTreeSet<PathBuf> = files
        .iter()
        .flat_map(|file| file.ancestors())
        .map(Path::to_owned)
        .collect();
    // The plugin has one file for each command.
    let plugin = files.iter().filter(|file| file.starts_with("plugin/src/commands"));
    let plugin = plugin.filter_map(|file| Some(file.file_stem()?.to_string_lossy().into_owned()));
    let known = Known {
        commands: vec![("kubectl sluice ", plugin.collect()), ("cargo xtask ", xtask)],
        paths,
    };
    for file in files.iter().filter(|file| is_page(file)) {
        let text = read(root, file)?;
        problems.extend(known.problems(file, &text, |other| read(root, other).unwrap_or_default()));
    }
    for List { sources, find, page } in LISTS {
        let text = read(root, Path::new(page))?;
        for source in *sources {
            let code = read(root, Path::new(source))?;
            let missing = code.lines().filter_map(find).filter(|name| !lists(&text, name));
            problems.extend(missing.map(|name| format!("{page} does not list `{name}` of {source}")));
        }
    }
    let mut tests = BTreeSet::new();
    for file in files {
        let is_code = file.extension().is_some_and(|extension| extension == "rs");
        let code = if is_code { read(root, file)? } else { String::new() };
        tests.extend(tests_of(file, &code));
    }
    problems.extend(missing_tests(TESTED, &read(root, Path::new(TESTED))?, &tests));
    Ok(())
}

fn read(root: &Path, file: &Path) -> Result<String> {
    fs::read_to_string(root.join(file)).with_context(|| format!("{} cannot be read", file.display()))
}

fn is_page(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "md")
}

impl Known {
    /// Everything in a page that leads nowhere. `read` gives the text of another page.
    fn problems(&self, page: &Path, text: &str, read: impl Fn(&Path) -> String) -> Vec<String> {
        let mut problems = Vec::new();
        let mut fenced = false;
        for (index, line) in text.lines().enumerate() {
            let mut add = |problem: String| problems.push(format!("{}:{}: {problem}", page.display(), index + 1));
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
            }
            if !fenced {
                for target in links(line) {
                    self.check_link(page, target, &read).into_iter().for_each(&mut add);
                }
            }
            for path in paths(line).filter(|path| !self.paths.contains(Path::new(path.trim_end_matches('/')))) {
                add(format!("there is no {path}"));
            }
            for (program, subcommands) in &self.commands {
                for name in words_after(line, program).filter(|name| !subcommands.contains(*name)) {
                    add(format!("`{program}{name}` is no command"));
                }
            }
        }
        problems
    }

    fn check_link(&self, page: &Path, target: &str, read: impl Fn(&Path) -> String) -> Option<String> {
        if target.contains("://") || target.starts_with("mailto:") {
            return None;
        }
        let (path, heading) = target.split_once('#').unwrap_or((target, ""));
        let path = if path.is_empty() {
            page.to_owned()
        } else {
            plain(&page.with_file_name("").join(path))
        };
        if !self.paths.contains(&path) {
            return Some(format!("the link {target} leads nowhere"));
        }
        let has_heading = || read(&path).lines().any(|line| anchor(line).as_deref() == Some(heading));
        (!heading.is_empty() && is_page(&path) && !has_heading())
            .then(|| format!("the link {target} names no heading of {}", path.display()))
    }
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
        plain
    })
}

/// The targets of the links in a line.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next())
}

/// The anchor of a heading, as GitHub makes it; `None` where the line is none.
fn anchor(line: &str) -> Option<String> {
    let title = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?;
    let kept = title.trim().chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        letter if letter.is_alphanumeric() || letter == '-' || letter == '_' => Some(letter.to_ascii_lowercase()),
        _ => None,
    });
    Some(kept.collect())
}

/// The paths in a line that begin with one of [`FOLDERS`].
fn paths(line: &str) -> impl Iterator<Item = &str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_./-".contains(letter);
    line.split(move |letter| !is_part(letter))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)))
}

/// The words that follow on a text in a line, where they could be subcommands.
fn words_after<'l>(line: &'l str, text: &'static str) -> impl Iterator<Item = &'l str> {
    let is_part = |letter: char| letter.is_ascii_lowercase() || letter == '-';
    line.split(text)
        .skip(1)
        .filter_map(move |rest| rest.split(|letter| !is_part(letter)).next())
        .filter(|word| !word.is_empty() && !word.starts_with('-'))
}

/// Whether a page has a name as code, with nothing or labels after it.
fn lists(page: &str, name: &str) -> bool {
    page.contains(&format!("`{name}`")) || page.contains(&format!("`{name}{{"))
}

/// The kind of hold that a line of `Hold::kind` names.
fn hold(line: &str) -> Option<&str> {
    let (_, rest) = line.trim().strip_prefix("Hold::")?.split_once("=> \"")?;
    rest.strip_suffix("\",")
}

/// The name of a metric that a line registers or describes. Counters get their ending from the format.
fn metric(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once('"')?;
    let (name, _) = rest.split_once('"')?;
    let prefixes = ["sluice_", "rollout_", "analysis_run_", "process_"];
    let is_name = name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
    (is_name && prefixes.iter().any(|prefix| name.starts_with(prefix))).then_some(name)
}

/// The tests of a file, as a page names them without their modules: `machine NAME`, `scenario NAME`, `e2e SUITE`.
fn tests_of(file: &Path, code: &str) -> Vec<String> {
    let mut parts = file.iter().map(|part| part.to_string_lossy());
    let folder = parts.next().unwrap_or_default();
    let functions = code.lines().filter_map(function);
    let mut tests: Vec<String> = functions.map(|name| format!("{folder} {name}")).collect();
    let stem = |name: &Path| name.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    if file.parent() == Some(Path::new(SCENARIOS)) && file.extension().is_some_and(|extension| extension == "yaml") {
        tests.push(format!("scenario {}", stem(file)));
    }
    // A suite is a file or a folder.
    let suite = file.strip_prefix(SUITES).ok().and_then(|rest| rest.iter().next());
    if let Some(suite) = suite.filter(|suite| *suite != "main.rs") {
        tests.push(format!("e2e {}", stem(Path::new(suite))));
    }
    tests
}

/// The name of the private function that begins in a line.
fn function(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let rest = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?;
    rest.split_once('(').map(|(name, _)| name)
}

/// What the tables of a page name as tests and is none. The last cell of a row has the tests, each as code, or the word none.
fn missing_tests(page: &str, text: &str, known: &BTreeSet<String>) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let cells = line.strip_prefix('|').and_then(|row| row.strip_suffix('|'));
        let Some((_, cell)) = cells.and_then(|cells| cells.rsplit_once('|')) else {
            continue;
        };
        let cell = cell.trim();
        if ["shown by", "---", "none"].contains(&cell) {
            continue;
        }
        let mut add = |problem: String| problems.push(format!("{page}:{}: {problem}", index + 1));
        let named: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            add("the row names no test and does not say none".to_owned());
        }
        let is_known = |test: &str| {
            let name = |path: &str| path.rsplit("::").next().unwrap_or_default().to_owned();
            let split = test.split_once(' ');
            split.is_some_and(|(folder, path)| known.contains(&format!("{folder} {}", name(path))))
        };
        for test in named.into_iter().filter(|test| !is_known(test)) {
            add(format!("there is no test `{test}`"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let files = ["README.md", "docs/a.md", "docs/b.md", "examples/basic/rollout.yaml"];
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Known {
            paths: files
                .iter()
                .flat_map(|file| Path::new(file).ancestors())
                .map(Path::to_owned)
                .collect(),
            commands: vec![
                ("kubectl sluice ", names(&["get", "lint"])),
                ("cargo xtask ", names(&["up"])),
            ],
        }
    }

    #[test]
    fn what_leads_nowhere_is_found_and_nothing_else() {
        let check = |page: &str, text: &str, wanted: &[&str]| {
            let other = |_: &Path| "# Title\n## Why a Rollout `waits`\n".to_owned();
            assert_eq!(known().problems(Path::new(page), text, other), wanted, "{text}");
        };
        check(
            "README.md",
            "[a](docs/a.md), [b](docs/b.md#why-a-rollout-waits), [c](https://x.test/d.md)",
            &[],
        );
        check(
            "docs/a.md",
            "[b](b.md) [up](../README.md) [all](../examples) [here](#title)",
            &[],
        );
        check(
            "docs/a.md",
            "\n[c](c.md)",
            &["docs/a.md:2: the link c.md leads nowhere"],
        );
        check(
            "docs/a.md",
            "[b](b.md#gone)",
            &["docs/a.md:1: the link b.md#gone names no heading of docs/b.md"],
        );
        check(
            "README.md",
            "```\narray[0](docs/c)\n```",
            &["README.md:2: there is no docs/c"],
        );
        check("README.md", "see docs/a.md, `examples/basic` and docs/.", &[]);
        check("README.md", "of https://x.test/docs/c.md and ../docs/c.md", &[]);
        check(
            "README.md",
            "  kubectl sluice get rollout x; `cargo xtask up`; `kubectl sluice` explains",
            &[],
        );
        check(
            "README.md",
            "kubectl sluice NAME, kubectl sluice --help, cargo xtask -- up",
            &[],
        );
        check(
            "README.md",
            "    kubectl sluice undo x | cargo xtask down",
            &[
                "README.md:1: `kubectl sluice undo` is no command",
                "README.md:1: `cargo xtask down` is no command",
            ],
        );
    }

    #[test]
    fn names_are_found_in_sources_and_pages() {
        assert_eq!(
            hold("            Hold::Missing { .. } => \"missing\","),
            Some("missing")
        );
        assert_eq!(
            hold("            Hold::Missing { what } => write!(f, \"{what}\"),"),
            None
        );
        assert_eq!(
            metric("        it.register(\"sluice_panics\", \"Panics\", x);"),
            Some("sluice_panics")
        );
        assert_eq!(
            metric("            (\"rollout_info\", \"One for each\"),"),
            Some("rollout_info")
        );
        assert_eq!(metric("    for line in [\"sluice_leader 1.0\"] {"), None);
        assert!(lists("| `missing` | it is not there |", "missing"));
        assert!(lists("`sluice_writes{kind}`", "sluice_writes"));
        assert!(!lists("something is missing", "missing"));
    }

    #[test]
    fn a_table_names_only_tests_that_there_are() {
        let files = [
            (
                "machine/src/rollout/tests.rs",
                "#[test]\nfn it_waits() {\n    fn inner() {}\n",
            ),
            ("plugin/tests/plugin/get.rs", "    async fn it_is_shown() {"),
            ("plugin/src/cli.rs", "pub fn parse() {}\n// fn gone() {}"),
            ("simulations/scenarios/good.yaml", ""),
            ("simulations/scenarios/manifests/basic.yaml", ""),
            ("tests/tests/e2e/updates.rs", ""),
            ("tests/tests/e2e/same/mod.rs", ""),
            ("tests/tests/e2e/main.rs", ""),
        ];
        let known: BTreeSet<String> = files
            .iter()
            .flat_map(|(file, code)| tests_of(Path::new(file), code))
            .collect();
        let check = |cell: &str, wanted: &[&str]| {
            let page = format!("| field | served | shown by |\n| --- | --- | --- |\n| `a` | yes | {cell} |\n");
            let wanted: Vec<String> = wanted.iter().map(|problem| format!("a.md:3: {problem}")).collect();
            assert_eq!(missing_tests("a.md", &page, &known), wanted, "{cell}");
        };
        check("none", &[]);
        check("`machine rollout::tests::it_waits`, `plugin get::it_is_shown`", &[]);
        check("`scenario good`, `e2e updates`, `e2e same`", &[]);
        check("see above", &["the row names no test and does not say none"]);
        check(
            "`machine rollout::tests::it_wait`",
            &["there is no test `machine rollout::tests::it_wait`"],
        );
        check(
            "`e2e updates`, `plugin rollout::tests::it_waits`",
            &["there is no test `plugin rollout::tests::it_waits`"],
        );
        for wrong in [
            "it_waits",
            "plugin cli::parse",
            "plugin cli::gone",
            "scenario bad",
            "scenario basic",
            "e2e main",
        ] {
            check(&format!("`{wrong}`"), &[&format!("there is no test `{wrong}`")]);
        }
        let text = "Not a table: `machine nothing`\n\n    | a | yes | `machine nothing` |\n";
        assert_eq!(missing_tests("a.md", text, &known), Vec::<String>::new());
    }
}
