//! `list analysisruns`: one line for each.

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    cli::{Output, write_value},
    cluster::{CallError, Cluster},
    phase,
    resource::Resource,
    runs::{self, RunReport},
    text::{self, Line, Screen, Style, table},
};

/// Options of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Runs the command.
pub async fn run(args: &Args, cluster: &Cluster, screen: &mut Screen<'_>) -> anyhow::Result<u8> {
    let namespace = if args.all_namespaces {
        ""
    } else {
        cluster.namespace.as_str()
    };
    let objects = cluster.list(&Resource::analysis_runs(), namespace, "").await?;
    let (good, bad): (Vec<_>, Vec<_>) = objects.into_iter().map(runs::decode).partition(Result::is_ok);
    let reports: Vec<RunReport> = good.iter().flatten().map(RunReport::of).collect();
    let undecodable: Vec<CallError> = bad.into_iter().filter_map(Result::err).collect();
    let value: Value = serde_json::to_value(&reports)?;
    if !write_value(screen, args.output, &value)? {
        if reports.is_empty() && undecodable.is_empty() {
            let place = if namespace.is_empty() {
                "any namespace".to_owned()
            } else {
                format!("namespace '{namespace}'")
            };
            screen.line(format!("there are no analysisruns in {place}"))?;
        } else {
            screen.lines(table(&rows(&reports, args.all_namespaces, Timestamp::now())))?;
        }
        for error in &undecodable {
            screen.line(Line::styled(Style::Bad, error.to_string()))?;
        }
    }
    Ok(u8::from(!undecodable.is_empty()))
}

fn rows(reports: &[RunReport], with_namespace: bool, now: Timestamp) -> Vec<Vec<Line>> {
    let heading = ["NAME", "STATUS", "OF", "METRICS", "AGE"].map(Line::from).to_vec();
    let with = |namespace: &str, cells: Vec<Line>| -> Vec<Line> {
        let namespace = with_namespace.then(|| Line::from(namespace));
        namespace.into_iter().chain(cells).collect()
    };
    let rows = reports.iter().map(|report| with(&report.namespace, cells(report, now)));
    std::iter::once(with("NAMESPACE", heading)).chain(rows).collect()
}

fn cells(report: &RunReport, now: Timestamp) -> Vec<Line> {
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let (_, style) = phase::symbol(&report.phase);
    let ended = report
        .metrics
        .iter()
        .filter(|metric| !["Pending", "Running"].contains(&metric.phase.as_str()));
    vec![
        report.name.as_str().into(),
        Line::styled(style, report.phase.clone()),
        or_dash(report.owner.clone()).into(),
        format!("{}/{}", ended.count(), report.metrics.len()).into(),
        or_dash(report.created_at.map(|at| text::age(at, now)).unwrap_or_default()).into(),
    ]
}
