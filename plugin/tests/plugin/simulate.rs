//! `simulate`: what a person sees, what is refused, and the exit code.

use std::path::{Path, PathBuf};

use clap::Parser;
use serde_json::Value;
use sluice_plugin::cli::{Cli, Command};
use sluice_plugin::commands::simulate;
use sluice_plugin::text::Screen;

const ROLLOUT: &str = "
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: shop}
spec:
  replicas: 4
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: {containers: [{name: shop, image: 'shop:v1'}]}
  strategy:
    canary:
      stableService: shop-stable
      canaryService: shop-canary
      trafficRouting: {plugins: {argoproj-labs/gatewayAPI: {httpRoute: shop, namespace: default}}}
      steps:
      - setWeight: 20
      - analysis: {templates: [{templateName: errors}]}
";

const TEMPLATE: &str = "
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: errors}
spec:
  metrics:
  - name: error-rate
    interval: 5s
    count: 3
    successCondition: result[0] < 0.01
    provider: {prometheus: {address: 'http://prometheus.test', query: 'up'}}
";

/// A folder of its own that is removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(test: &str, files: &[(&str, &str)]) -> Folder {
        let folder = std::env::temp_dir().join(format!("sluice-simulate-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
        Folder(folder)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs the command; its exit code and what it writes, or the error.
pub fn run(arguments: &[&str]) -> Result<(u8, String), String> {
    run_on(arguments, false)
}

/// The same with a terminal as its output, or not.
pub fn run_on(arguments: &[&str], terminal: bool) -> Result<(u8, String), String> {
    let words = ["kubectl-sluice", "simulate"].iter().chain(arguments);
    let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
    let Command::Simulate(args) = cli.command else {
        panic!("{arguments:?} is another command")
    };
    let mut out = Vec::new();
    let code =
        simulate::run(args, &mut Screen::new(&mut out, terminal, false)).map_err(|error| format!("{error:#}"))?;
    Ok((code, String::from_utf8(out).unwrap()))
}

fn row<'t>(text: &'t str, part: &str) -> &'t str {
    let found = text.lines().find(|line| line.contains(part));
    found.unwrap_or_else(|| panic!("no line has `{part}`:\n{text}"))
}

#[test]
fn without_a_scenario_a_good_version_goes_through_and_a_bad_one_is_taken_back() {
    let folder = Folder::new("default", &[("rollout.yaml", ROLLOUT), ("template.yaml", TEMPLATE)]);
    let metric = ["--metric", "error-rate=0.001"];
    let path = folder.path("");
    let (code, text) = run(&[&["-f", path.as_str()][..], &metric[..]].concat()).unwrap();
    assert_eq!(code, 0);
    row(&text, "note: made up: Service shop-stable, which Rollout shop names");
    row(&text, "note: made up: HTTPRoute shop, which Rollout shop names");
    row(&text, "measured error-rate = [0.001]: Successful");
    let (good, bad) = text.split_once("\nbad (seed 1").expect("both are shown");
    assert!(row(good, "outcome").contains("Healthy"), "{good}");
    assert!(row(good, "revision 2 (shop:v1-new)").contains("(0.1 %)"), "{good}");
    // The answers are given, so that the bad version goes through as well: its errors are told all the same.
    assert!(row(bad, "outcome").contains("Healthy"), "{bad}");
    assert!(row(bad, "revision 2 (shop:v1-new)").contains("(5 %)"), "{bad}");
    let (_, text) = run(&["-f", &folder.path(""), "--metric", "error-rate=0.001,0.2"]).unwrap();
    assert!(row(&text, "outcome").contains("Degraded"), "{text}");
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_others() {
    let folder = Folder::new("seed", &[("all.yaml", &format!("{ROLLOUT}{TEMPLATE}"))]);
    let file = folder.path("all.yaml");
    let play = |seed: &str| run(&["-f", &file, "--seed", seed, "-o", "json"]).unwrap().1;
    assert_eq!(play("7"), play("7"));
    assert_ne!(play("7"), play("8"));
}

#[test]
fn json_has_the_curves_that_plots_need() {
    let folder = Folder::new("json", &[("all.yaml", &format!("{ROLLOUT}{TEMPLATE}"))]);
    let (_, text) = run(&["-f", &folder.path("all.yaml"), "--metric", "error-rate=0", "-o", "json"]).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["version"], 1);
    let rollout = &value["simulations"][1]["rollouts"][0];
    assert_eq!(rollout["name"], "default/shop");
    assert_eq!(rollout["outcome"]["phase"], "Healthy");
    let length = |field: &str| rollout[field].as_array().map_or(0, Vec::len);
    assert!(length("rows") > 20 && length("split") > 3 && length("pods") > 3 && length("spans") == 2);
    let of_new = &rollout["revisions"][1]["samples"];
    let rates = of_new
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|sample| sample["errorRate"].as_f64());
    let rates: Vec<f64> = rates.collect();
    assert!(
        !rates.is_empty() && rates.iter().all(|rate| (rate - 0.05).abs() < 1e-6),
        "{rates:?}"
    );
}

#[test]
fn what_lint_refuses_is_refused_with_the_same_words() {
    let wrong = ROLLOUT.replace("setWeight: 20", "setWeight: 200");
    let folder = Folder::new(
        "refused",
        &[("wrong.yaml", &format!("{wrong}{TEMPLATE}")), ("alone.yaml", ROLLOUT)],
    );
    let (code, text) = run(&["-f", &folder.path("wrong.yaml")]).unwrap();
    assert_eq!(code, 1);
    row(&text, "spec.strategy.canary.steps[0].setWeight");
    row(&text, "not simulated: 1 error in the manifests");
    // A template says what a metric is: it cannot be made up.
    let (code, text) = run(&["-f", &folder.path("alone.yaml")]).unwrap();
    assert_eq!(code, 1);
    row(&text, "AnalysisTemplate 'errors' not found in the given files");
    row(&text, "not simulated: 1 error in the manifests");
}

#[test]
fn a_scenario_is_a_test() {
    let scenario = |phase: &str| {
        format!(
            "manifests: [all.yaml]\nscript: [{{at: 1m, image: 'shop:v2'}}]\nmetrics: [{{name: error-rate, values: [0]}}]\nexpect: [{{phase: {phase}}}]\n"
        )
    };
    let files = [
        ("all.yaml", format!("{ROLLOUT}{TEMPLATE}")),
        ("met.yaml", scenario("Healthy")),
        ("unmet.yaml", scenario("Degraded")),
    ];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let folder = Folder::new("expect", &files);
    let (code, text) = run(&["--scenario", &folder.path("met.yaml"), "--expect"]).unwrap();
    assert_eq!(code, 0);
    row(&text, "as expected: is Healthy in the end");
    let (code, text) = run(&["--scenario", &folder.path("unmet.yaml"), "--expect"]).unwrap();
    assert_eq!(code, 1);
    row(&text, "NOT AS EXPECTED: is Degraded in the end; came: Healthy");
    let (code, _) = run(&["--scenario", &folder.path("unmet.yaml")]).unwrap();
    assert_eq!(code, 0, "without --expect nothing is asked");
}

#[test]
fn mistakes_in_a_scenario_name_the_field_and_what_was_meant() {
    let check = |text: &str, expected: &str| {
        let folder = Folder::new(
            "mistakes",
            &[("all.yaml", &format!("{ROLLOUT}{TEMPLATE}")), ("s.yaml", text)],
        );
        let error = run(&["-f", &folder.path("all.yaml"), "--scenario", &folder.path("s.yaml")]);
        let error = error.expect_err(text);
        assert!(error.contains(expected), "{text}: {error}");
    };
    check("scrip: []", "scrip: `scrip` is no field here; did you mean `script`?");
    check(
        "versions: {new: {errorrate: 5%}}",
        "versions.new.errorrate: `errorrate` is no field here; did you mean `errorRate`?",
    );
    check(
        "script: [{at: soon, image: x}]",
        "script[0].at: `soon` is no span of time: write it as `2m30s`, `1h` or `500ms`",
    );
    check(
        "script: [{at: 1m}]",
        "script[0]: does nothing: give it one of type, image, patch, apply, killPod, loseNode, killController",
    );
    check(
        "script: [{at: 1m, rollout: shp, image: x}]",
        "Rollout shp is not among the manifests; did you mean `default/shop`?",
    );
    check("until: [", "is no YAML: ");
}

#[test]
fn every_example_is_simulated_good_and_bad() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    for name in ["canary-basic", "canary-httproute", "blue-green"] {
        let (_, text) = run(&["-f", &examples.join(name).display().to_string()]).unwrap();
        let outcomes: Vec<&str> = text.lines().filter(|line| line.starts_with("  outcome")).collect();
        assert_eq!(outcomes.len(), 2, "{name}");
        assert!(outcomes[0].contains("Healthy"), "{name}: {text}");
        assert!(outcomes[1].contains("Degraded"), "{name}: {text}");
        assert!(!text.contains("broken invariant"), "{name}: {text}");
        assert_eq!(text.matches("no request was lost").count(), 2, "{name}: {text}");
    }
}
