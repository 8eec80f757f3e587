//! `get rollout`: everything about one Rollout, once or at every change. `get analysisrun` is its neighbour's.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::TryStreamExt;
use jiff::Timestamp;
use sluice_machine::Plan;
use sluice_traffic::REVISION_LABEL;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

use crate::{
    cli::{Output, write_value},
    cluster::{CallError, Cluster, Selector},
    commands::get_run,
    explain::{Recollection, explain},
    observe::{self, Observation, observe},
    resource::Resource,
    text::{Line, Screen, Style},
    view::{View, render, summary, view},
};

/// Ages and waits move on, and routes are not watched: everything is looked at again after this time.
const TICK: Duration = Duration::from_secs(1);
/// Changes come in bursts; they are shown together.
const BURST: Duration = Duration::from_millis(200);
/// Pause before a watch that ended is opened again.
const REOPEN: Duration = Duration::from_millis(500);

/// Show a Rollout or an AnalysisRun.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kubectl sluice get rollout backend
  kubectl sluice get rollout backend -w
  kubectl sluice get ro backend -n shop -o json
  kubectl sluice get analysisrun gate -w")]
pub struct Args {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, clap::Subcommand)]
enum Kind {
    /// Show a Rollout
    #[command(
        visible_alias = "ro",
        alias = "rollouts",
        after_help = "What it waits for is found by the controller's own state machine, from what you may read in the
cluster; settings of the controller are taken to be the defaults. With -w the view is drawn again at every
change; where the output is no terminal, a line is added for each change.

Examples:
  kubectl sluice get rollout backend
  kubectl sluice get rollout backend -w --timeout-seconds 600
  kubectl sluice get rollout backend -o yaml"
    )]
    Rollout(Rollout),
    /// Show an AnalysisRun
    #[command(
        name = "analysisrun",
        visible_alias = "ar",
        alias = "analysisruns",
        after_help = "With -w it is shown at every change until it has ended. The exit code is then 0 for Successful, 1 for Failed
and Error, 3 for Inconclusive.

Examples:
  kubectl sluice get analysisrun gate
  kubectl sluice get ar gate -w --timeout-seconds 600"
    )]
    Run(get_run::Args),
}

#[derive(Debug, clap::Args)]
struct Rollout {
    /// Name of the Rollout
    name: String,
    /// Draw it again at every change
    #[arg(short, long)]
    watch: bool,
    /// End the watch after so many seconds; 0: never
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    timeout_seconds: u32,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t, conflicts_with = "watch")]
    output: Output,
}

/// Runs the command.
pub async fn run(args: Args, cluster: &Cluster, screen: &mut Screen<'_>) -> anyhow::Result<u8> {
    let args = match args.kind {
        Kind::Rollout(args) => args,
        Kind::Run(args) => return get_run::run(&args, cluster, screen).await,
    };
    if args.watch {
        return watch(&args, cluster, screen).await;
    }
    let (view, now) = match look(cluster, &args.name, &mut Recollection::default()).await {
        Ok(looked) => looked,
        Err(error) => return Err(observe::failed(cluster, &args.name, error).await),
    };
    if !write_value(screen, args.output, &serde_json::to_value(&view)?)? {
        screen.lines(render(&view, now))?;
    }
    Ok(0)
}

/// Looks once.
async fn look(cluster: &Cluster, name: &str, recollection: &mut Recollection) -> Result<(View, Timestamp), CallError> {
    let mut observation: Observation = observe(cluster, name).await?;
    // After the reads: they may have taken a while.
    let now = Timestamp::now();
    let plan: Plan = explain(cluster, &mut observation, recollection, now).await;
    Ok((view(&observation, &plan, now), now))
}

async fn watch(args: &Rollout, cluster: &Cluster, screen: &mut Screen<'_>) -> anyhow::Result<u8> {
    let changed = Arc::new(Notify::new());
    // Dropping the set ends the tasks.
    let mut watches = JoinSet::new();
    let labelled = [Resource::replica_sets(), Resource::pods()].map(|resource| (resource, REVISION_LABEL));
    let plain = [Resource::rollouts(), Resource::analysis_runs()].map(|resource| (resource, ""));
    for (resource, labels) in plain.into_iter().chain(labelled) {
        watches.spawn(notify(cluster.clone(), resource, labels, Arc::clone(&changed)));
    }
    let limit = Duration::from_secs(u64::from(args.timeout_seconds));
    let deadline = (!limit.is_zero()).then(|| Instant::now() + limit);
    let mut recollection = Recollection::default();
    let mut shown = None;
    loop {
        match look(cluster, &args.name, &mut recollection).await {
            Ok((view, now)) => show(screen, &view, now, &mut shown)?,
            Err(error) if shown.is_some() && error.may_pass() => {
                let line = Line::styled(Style::Bad, error.to_string());
                screen.line(line)?;
            }
            Err(CallError::NotFound { .. }) if shown.is_some() => {
                screen.line(format!("rollout '{}' was deleted", args.name))?;
                return Ok(1);
            }
            Err(error) => return Err(observe::failed(cluster, &args.name, error).await),
        }
        let tick = Instant::now() + TICK;
        let next = deadline.map_or(tick, |deadline| deadline.min(tick));
        let burst = async {
            changed.notified().await;
            sleep(BURST).await;
        };
        // Either way it is time to look again.
        let _ = timeout_at(next, burst).await;
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(0);
        }
    }
}

/// Draws the view, or adds a line where something changed.
fn show(screen: &mut Screen<'_>, view: &View, now: Timestamp, shown: &mut Option<Line>) -> std::io::Result<()> {
    let line = summary(view);
    if screen.is_terminal() {
        screen.frame(render(view, now))?;
    } else if shown.as_ref() != Some(&line) {
        let at = Line::from(format!("{}  ", crate::text::time(now)));
        screen.line(at.join(line.clone()))?;
    }
    *shown = Some(line);
    Ok(())
}

/// Tells of every change of the objects of one kind. Ends where they may not be watched: the tick shows changes, too.
pub(super) async fn notify(cluster: Cluster, resource: Resource, labels: &'static str, changed: Arc<Notify>) {
    loop {
        let selector = Selector { labels, fields: "" };
        let opened = cluster.watch(&resource, &cluster.namespace, &selector, None).await;
        match opened {
            Ok(events) => {
                let mut events = pin!(events);
                while let Ok(Some(_)) = events.try_next().await {
                    changed.notify_one();
                }
            }
            Err(error) if error.may_pass() => {}
            Err(_) => return,
        }
        sleep(REOPEN).await;
    }
}
