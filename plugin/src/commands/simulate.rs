//! `simulate`: what manifests will do, without a cluster and in virtual time.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::ValueEnum;
use jiff::SignedDuration;
use serde_json::{Value, json};
use sluice_simulations::file::{self, MetricFile, MetricValue, Prepared, ScenarioFile, Span};
use sluice_simulations::report::{self, Report, Tone};

use crate::commands::lint::line as finding_line;
use crate::lint::{self, Severity, Source};
use crate::text::{Line, Screen, Style};

/// Something that takes longer than this says how far it is.
const PATIENCE: Duration = Duration::from_secs(1);

/// See without a cluster what manifests will do.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The very state machine that the controller runs plays with the manifests in a virtual cluster: pods, proxies,
requests and Prometheus are modelled, time is virtual, and the same seed gives the same output.
Without a scenario a new version comes once the first one is Healthy, twice: one that is as good as the first,
and one that answers 5 % of its requests with an error. Where an update waits for a person, the good one is promoted
and the bad one aborted after a minute. A scenario file says what happens instead, and what is
expected of it (see docs/scenarios.md).
Columns: `wanted` is the share of the newest revision that its steps ask for, `routed` the share that proxies send to
it, `acked` the share that the data plane has acknowledged; pods are available/wanted of each revision.

Exit codes:
  0  simulated; with --expect, everything came as expected
  1  the manifests or the scenario are wrong; with --expect, something did not come as expected

Examples:
  kubectl sluice simulate -f manifests/
  kubectl sluice simulate -f manifests/ --metric error-rate=0.001,0.2,0.001
  kubectl sluice simulate -f manifests/ --scenario crash.yaml --seed 7 --expect
  kubectl sluice simulate --scenario crash.yaml -o json
  kubectl sluice simulate -f manifests/ -o html > simulation.html
  helm template chart | kubectl sluice simulate -f -"
)]
pub struct Args {
    /// File or folder; - is the standard input. Takes the place of the manifests of the scenario
    #[arg(short, long = "filename", value_name = "FILE", required_unless_present_any = ["paths", "scenario"], num_args = 1..)]
    pub filename: Vec<PathBuf>,
    /// Further files or folders
    #[arg(value_name = "FILE")]
    pub paths: Vec<PathBuf>,
    /// Scenario file
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// Where chance begins: the same seed gives the same output
    #[arg(long)]
    pub seed: Option<u64>,
    /// Virtual time after which the simulation ends where nothing is at rest before, such as 2h
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub until: Option<Span>,
    /// Answers to a metric, one after the other and the last one again and again: a number, NaN, empty, down
    #[arg(long, value_name = "NAME=VALUES", value_parser = metric)]
    pub metric: Vec<MetricFile>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Form,
    /// Exit code 1 unless everything came as the scenario expects
    #[arg(long)]
    pub expect: bool,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A timeline for people
    #[default]
    Text,
    /// One JSON value: docs/scenarios.md describes it
    Json,
    /// One page for a browser, with plots; write it to a file
    Html,
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text)
}

fn metric(text: &str) -> Result<MetricFile, String> {
    let (name, values) = text
        .split_once('=')
        .ok_or_else(|| "write it as NAME=VALUES, such as error-rate=0.01,0.2".to_owned())?;
    let values = values.split(',').map(|value| MetricValue::parse(value.trim()));
    Ok(MetricFile {
        name: name.to_owned(),
        values: values.collect::<Result<_, _>>()?,
    })
}

/// Runs the command.
pub fn run(args: Args, screen: &mut Screen<'_>) -> anyhow::Result<u8> {
    anyhow::ensure!(
        args.output != Form::Html || !screen.is_terminal(),
        "-o html is a page for a browser, and this is a terminal: write it to a file, such as\n  \
         kubectl sluice simulate -f manifests/ -o html > simulation.html"
    );
    let mut file = match &args.scenario {
        Some(path) => Some(read_scenario(path)?),
        None => None,
    };
    let mut paths: Vec<PathBuf> = args.filename.iter().chain(&args.paths).cloned().collect();
    let mut inline = Vec::new();
    if let (true, Some(file), Some(path)) = (paths.is_empty(), &file, &args.scenario) {
        (paths, inline) = manifests_of(file, path)?;
    }
    let mut sources = lint::read(&paths)?;
    sources.extend(inline);
    let Some(objects) = objects(&sources, screen)? else {
        return Ok(1);
    };
    if let Some(file) = &mut file {
        adjust(file, &args);
    }
    let name = args
        .scenario
        .as_deref()
        .and_then(Path::file_stem)
        .map(|name| name.to_string_lossy());
    let reports = match &file {
        Some(file) => {
            let prepared = prepare(file, name.as_deref().unwrap_or("scenario"), objects)
                .with_context(|| args.scenario.as_deref().unwrap_or(Path::new("")).display().to_string())?;
            vec![play(&prepared, args.seed)?]
        }
        None => good_and_bad(&args, &objects)?,
    };
    match args.output {
        Form::Json => screen.json(&json!({"version": report::VERSION, "simulations": reports}))?,
        // Everything in it is escaped, and it goes to no terminal.
        Form::Html => screen.own(&report::html(&reports))?,
        Form::Text => {
            for (index, report) in reports.iter().enumerate() {
                if index > 0 {
                    screen.line("")?;
                    screen.line("")?;
                }
                screen.lines(report::lines(report).into_iter().map(styled))?;
            }
        }
    }
    Ok(u8::from(args.expect && !reports.iter().all(Report::is_met)))
}

fn read_scenario(path: &Path) -> anyhow::Result<ScenarioFile> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    file::read(&text).with_context(|| path.display().to_string())
}

/// The manifests that a scenario file names, and those that stand in it.
fn manifests_of(file: &ScenarioFile, path: &Path) -> anyhow::Result<(Vec<PathBuf>, Vec<Source>)> {
    anyhow::ensure!(
        !file.manifests.is_empty(),
        "{}: has no manifests: give some with -f, or in the file",
        path.display()
    );
    let folder = path.parent().unwrap_or(Path::new(""));
    let (mut paths, mut objects) = (Vec::new(), Vec::new());
    for entry in &file.manifests {
        match entry {
            Value::String(name) => paths.push(folder.join(name)),
            object => objects.push(object.clone()),
        }
    }
    let source = Source {
        name: path.display().to_string(),
        text: serde_json::to_string(&json!({"kind": "List", "items": objects}))?,
    };
    Ok((paths, if objects.is_empty() { Vec::new() } else { vec![source] }))
}

/// What is asked for on the command line comes before what stands in the file.
fn adjust(file: &mut ScenarioFile, args: &Args) {
    file.until = args.until.or(file.until);
    file.metrics.splice(0..0, args.metric.iter().cloned());
}

/// The objects of the sources; `None` where lint would refuse them, which has been said then.
fn objects(sources: &[Source], screen: &mut Screen<'_>) -> anyhow::Result<Option<Vec<Value>>> {
    let report = lint::lint(sources, false);
    let mut refused = report.findings;
    // A Service or a route that is missing can be made up; what a metric is can not.
    refused.retain(|finding| finding.severity == Severity::Error || is_missing_template(finding));
    for finding in &mut refused {
        finding.severity = Severity::Error;
    }
    if !refused.is_empty() {
        screen.lines(refused.iter().map(finding_line))?;
        let count = refused.len();
        screen.line(Line::styled(
            Style::Bad,
            format!(
                "not simulated: {count} error{} in the manifests",
                if count == 1 { "" } else { "s" }
            ),
        ))?;
        return Ok(None);
    }
    let documents = sources.iter().flat_map(|source| lint::parse(source).0);
    let objects: Vec<Value> = documents.map(|document| document.value).collect();
    anyhow::ensure!(
        objects.iter().any(|object| object["kind"] == "Rollout"),
        "there is no Rollout in the given files"
    );
    Ok(Some(objects))
}

fn is_missing_template(finding: &lint::Finding) -> bool {
    finding.path.ends_with(".templateName") && finding.problem.contains("not found in the given files")
}

fn prepare(file: &ScenarioFile, name: &str, objects: Vec<Value>) -> anyhow::Result<Prepared> {
    Ok(file::prepare(file, name, objects)?)
}

/// Without a scenario: what a good version and what a bad one does.
fn good_and_bad(args: &Args, objects: &[Value]) -> anyhow::Result<Vec<Report>> {
    let mut reports = Vec::new();
    for mut scenario in file::good_and_bad(objects.to_vec())? {
        adjust(&mut scenario, args);
        let name = scenario.name.clone().unwrap_or_default();
        let mut report = play(&prepare(&scenario, &name, objects.to_vec())?, args.seed)?;
        while file::go_on(&mut scenario, &report) {
            report = play(&prepare(&scenario, &name, objects.to_vec())?, args.seed)?;
        }
        reports.push(report);
    }
    Ok(reports)
}

/// Plays a scenario; says on stderr how far it is where that takes longer.
fn play(prepared: &Prepared, seed: Option<u64>) -> anyhow::Result<Report> {
    let (begun, limit) = (Instant::now(), prepared.scenario.limit);
    let (mut told, mut shown) = (begun, false);
    let mut tell = |now: SignedDuration| {
        if told.elapsed() < PATIENCE {
            return;
        }
        told = Instant::now();
        shown = true;
        let end = if std::io::stderr().is_terminal() { "\r" } else { "\n" };
        let at = crate::text::duration(now);
        let of = crate::text::duration(limit);
        // Progress that nobody can read is no reason to stop.
        let _ = write!(
            std::io::stderr(),
            "simulating {}: {at} of at most {of}{end}",
            prepared.scenario.name
        );
    };
    let report = prepared.run(seed, &mut tell).context("a manifest is refused")?;
    if shown && std::io::stderr().is_terminal() {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    Ok(report)
}

fn styled(line: report::Line) -> Line {
    let style = |tone| match tone {
        Tone::Plain => Style::Plain,
        Tone::Dim => Style::Dim,
        Tone::Typed => Style::Busy,
        Tone::Good => Style::Good,
        Tone::Warn => Style::Warn,
        Tone::Bad => Style::Bad,
    };
    let pieces = line.into_iter();
    pieces.fold(Line::default(), |line, (tone, text)| line.then(style(tone), text))
}
