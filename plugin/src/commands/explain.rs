//! `explain`: why a Rollout waits, what happens next if nothing changes, and what a person can do.

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::json;

use crate::{
    cli::{Output, write_value},
    cluster::Cluster,
    explain::{Moment, Recollection, advice, explain, foresee, next, waits},
    files::Files,
    observe::{self, observe},
    text::{Line, Screen, Style, duration, time},
};

/// Why a Rollout waits, and what happens next if nothing changes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The controller's own state machine is asked, about now and about the next time at which it would look again by
itself. Settings of the controller are taken to be the defaults. Nothing is changed.

With -f the objects come from files, as kubectl wrote them down; what they do not have is not known. The time is that of now.

Examples:
  kubectl sluice explain rollout backend
  kubectl sluice explain ro backend -n shop -o json
  kubectl get rollout,rs,svc,endpointslice,pod,httproute,analysistemplate,analysisrun -o yaml > dump.yaml
  kubectl sluice explain rollout backend -f dump.yaml"
)]
pub struct Args {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, clap::Subcommand)]
enum Kind {
    /// Explain a Rollout
    #[command(
        visible_alias = "ro",
        alias = "rollouts",
        after_help = "Examples:
  kubectl sluice explain rollout backend"
    )]
    Rollout(Rollout),
}

#[derive(Debug, clap::Args)]
struct Rollout {
    /// Name of the Rollout
    name: String,
    /// Files or folders with the objects, in the place of a cluster; - is the standard input
    #[arg(short, long = "filename", value_name = "FILE", num_args = 1..)]
    filename: Vec<PathBuf>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

impl Args {
    /// The files that are named in the place of a cluster, with the namespace of the Rollout in them.
    pub fn files(&self) -> anyhow::Result<Option<(Files, String)>> {
        let Kind::Rollout(rollout) = &self.kind;
        if rollout.filename.is_empty() {
            return Ok(None);
        }
        let files = Files::read(&rollout.filename)?;
        let namespace = files.namespace_of(&rollout.name);
        Ok(Some((files, namespace.unwrap_or_else(|| "default".to_owned()))))
    }
}

/// Runs the command.
pub async fn run(args: Args, cluster: &Cluster, screen: &mut Screen<'_>) -> anyhow::Result<u8> {
    let Kind::Rollout(args) = args.kind;
    let mut observation = match observe(cluster, &args.name).await {
        Ok(observation) => observation,
        Err(error) => return Err(observe::failed(cluster, &args.name, error).await),
    };
    // After the reads: they may have taken a while.
    let now = Timestamp::now();
    let plan = explain(cluster, &mut observation, &mut Recollection::default(), now).await;
    let moments = foresee(cluster, &observation, &plan).await;
    let status = observation.world.rollout.status.clone().unwrap_or_default();
    let phase = status.phase.map(|phase| phase.to_string()).unwrap_or_default();
    let message = status.message.unwrap_or_default();
    let value = json!({
        "name": args.name, "phase": phase, "message": message,
        "waits": plan.hold.as_ref().map(waits),
        "now": next(&plan),
        "then": moments.iter().map(moment_value).collect::<Vec<_>>(),
        "advice": plan.hold.as_ref().and_then(|hold| advice(hold, &args.name)),
    });
    if write_value(screen, args.output, &value)? {
        return Ok(0);
    }
    let title = if message.is_empty() {
        phase
    } else {
        format!("{phase}: {message}")
    };
    screen.line(Line::from(format!("rollout '{}' is ", args.name)).then(Style::Busy, title))?;
    match &plan.hold {
        Some(hold) => screen.line(entry("waits", waits(hold)))?,
        None => screen.line(entry("waits", "for nothing".to_owned()))?,
    }
    for effect in next(&plan) {
        screen.line(entry("now", effect))?;
    }
    if moments.is_empty() && plan.effects.is_empty() && plan.commit.is_none() {
        let text = "nothing happens by itself: it goes on when an object or a pod changes";
        screen.line(entry("then", text.to_owned()))?;
    }
    for moment in &moments {
        let after = duration(now.duration_until(moment.at));
        screen.line(entry("then", format!("in {after}, at {}:", time(moment.at))))?;
        screen.lines(told(moment).into_iter().map(|text| entry("", text)))?;
    }
    if let Some(advice) = plan.hold.as_ref().and_then(|hold| advice(hold, &args.name)) {
        screen.line(entry("you can", advice))?;
    }
    Ok(0)
}

fn entry(name: &str, text: String) -> Line {
    Line::styled(Style::Dim, name).column(7).then(Style::Plain, text)
}

/// What happens at a moment, one line each.
fn told(moment: &Moment) -> Vec<String> {
    let mut told: Vec<String> = moment.events.iter().chain(&moment.effects).cloned().collect();
    told.extend(moment.waits.as_ref().map(|hold| format!("then it waits: {hold}")));
    if told.is_empty() {
        told.push("it looks again".to_owned());
    }
    told
}

fn moment_value(moment: &Moment) -> serde_json::Value {
    json!({"at": time(moment.at), "events": moment.events, "effects": moment.effects, "waits": moment.waits})
}
