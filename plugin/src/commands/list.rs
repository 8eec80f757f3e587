//! `list rollouts`: one line for each.

use serde_json::{Value, json};
use sluice_crds::Rollout;
use sluice_machine::rollout::canary;

use crate::{
    cli::{Output, write_value},
    cluster::Cluster,
    commands::list_runs,
    observe, phase,
    text::{Line, Screen, Style, table},
    view,
};

/// List Rollouts or AnalysisRuns.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kubectl sluice list rollouts
  kubectl sluice list rollouts -A
  kubectl sluice list ro -o json
  kubectl sluice list analysisruns")]
pub struct Args {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, clap::Subcommand)]
enum Kind {
    /// List Rollouts
    #[command(visible_alias = "ro", alias = "rollout")]
    Rollouts(Rollouts),
    /// List AnalysisRuns
    #[command(name = "analysisruns", visible_alias = "ar", alias = "analysisrun")]
    Runs(list_runs::Args),
}

#[derive(Debug, clap::Args)]
struct Rollouts {
    /// Of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Runs the command.
pub async fn run(args: Args, cluster: &Cluster, screen: &mut Screen<'_>) -> anyhow::Result<u8> {
    let args = match args.kind {
        Kind::Rollouts(args) => args,
        Kind::Runs(args) => return list_runs::run(&args, cluster, screen).await,
    };
    let namespace = if args.all_namespaces {
        ""
    } else {
        cluster.namespace.as_str()
    };
    let (rollouts, undecodable) = observe::rollouts(cluster, namespace).await?;
    let rows: Vec<Row> = rollouts.iter().map(Row::of).collect();
    let value: Value = rows.iter().map(Row::value).collect();
    if !write_value(screen, args.output, &value)? {
        if rows.is_empty() && undecodable.is_empty() {
            let place = if namespace.is_empty() {
                "any namespace".to_owned()
            } else {
                format!("namespace '{namespace}'")
            };
            screen.line(format!("there are no rollouts in {place}"))?;
        } else {
            screen.lines(table(&text(&rows, args.all_namespaces)))?;
        }
        for error in &undecodable {
            screen.line(Line::styled(Style::Bad, error.to_string()))?;
        }
    }
    Ok(u8::from(!undecodable.is_empty()))
}

struct Row {
    namespace: String,
    name: String,
    strategy: &'static str,
    phase: String,
    step: Option<(usize, usize)>,
    set_weight: Option<u32>,
    ready: i32,
    desired: i32,
    updated: i32,
    available: i32,
}

impl Row {
    fn of(rollout: &Rollout) -> Row {
        let status = rollout.status.clone().unwrap_or_default();
        let canary = rollout.spec.canary();
        let steps = canary.filter(|canary| !canary::steps(canary).is_empty());
        Row {
            namespace: rollout.metadata.namespace.clone().unwrap_or_default(),
            name: rollout.metadata.name.clone().unwrap_or_default(),
            strategy: match (canary, rollout.spec.blue_green()) {
                (Some(_), _) => "Canary",
                (None, Some(_)) => "BlueGreen",
                (None, None) => "none",
            },
            phase: phase::of(rollout).0.to_string(),
            step: steps.map(|canary| (canary::index(canary, &status), canary::steps(canary).len())),
            set_weight: canary.map(|canary| view::set_weight(canary, &status)),
            ready: status.ready_replicas.unwrap_or(0),
            desired: rollout.spec.replicas_or_default(),
            updated: status.updated_replicas.unwrap_or(0),
            available: status.available_replicas.unwrap_or(0),
        }
    }

    fn value(&self) -> Value {
        json!({
            "namespace": self.namespace,
            "name": self.name,
            "strategy": self.strategy,
            "phase": self.phase,
            "step": self.step.map(|(index, _)| index),
            "steps": self.step.map(|(_, count)| count),
            "setWeight": self.set_weight,
            "ready": self.ready,
            "desired": self.desired,
            "upToDate": self.updated,
            "available": self.available,
        })
    }

    fn cells(&self) -> Vec<Line> {
        let (_, style) = phase::symbol(&self.phase);
        let step = self
            .step
            .map_or_else(|| "-".to_owned(), |(index, count)| format!("{index}/{count}"));
        vec![
            self.name.as_str().into(),
            self.strategy.into(),
            Line::styled(style, self.phase.clone()),
            step.into(),
            self.set_weight
                .map_or_else(|| "-".to_owned(), |weight| weight.to_string())
                .into(),
            format!("{}/{}", self.ready, self.desired).into(),
            self.desired.to_string().into(),
            self.updated.to_string().into(),
            self.available.to_string().into(),
        ]
    }
}

fn text(rows: &[Row], with_namespace: bool) -> Vec<Vec<Line>> {
    let heading = [
        "NAME",
        "STRATEGY",
        "STATUS",
        "STEP",
        "SET-WEIGHT",
        "READY",
        "DESIRED",
        "UP-TO-DATE",
        "AVAILABLE",
    ];
    let heading = heading.map(Line::from).to_vec();
    let with = |namespace: &str, cells: Vec<Line>| {
        let namespace = with_namespace.then(|| Line::from(namespace));
        namespace.into_iter().chain(cells).collect()
    };
    let rows = rows.iter().map(|row| with(&row.namespace, row.cells()));
    std::iter::once(with("NAMESPACE", heading)).chain(rows).collect()
}
