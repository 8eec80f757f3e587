//! `get analysisrun`: one run, once or until it has ended.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use sluice_crds::AnalysisPhase;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use crate::{
    cli::{Output, write_value},
    cluster::{CallError, Cluster},
    commands::get::notify,
    resource::Resource,
    runs::{self, RunReport},
    text::{Line, Screen, Style},
};

/// Ages move on, and a watch may be forbidden: it is looked at again after this time.
const TICK: Duration = Duration::from_secs(2);
/// Exit code of a run that failed or could not measure.
const FAILED: u8 = 1;
/// Exit code of a run that is for a person to judge, as that of `status` in a pause.
const INCONCLUSIVE: u8 = 3;

/// Options of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the AnalysisRun
    name: String,
    /// Show it again at every change until it has ended
    #[arg(short, long)]
    watch: bool,
    /// End the watch after so many seconds; 0: never
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    timeout_seconds: u32,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t, conflicts_with = "watch")]
    output: Output,
}

/// Runs the command. With a watch, the exit code says how the run ended.
pub async fn run(args: &Args, cluster: &Cluster, screen: &mut Screen<'_>) -> anyhow::Result<u8> {
    if args.watch {
        return watch(args, cluster, screen).await;
    }
    let run = match runs::read(cluster, &args.name).await {
        Ok(run) => run,
        Err(error) => return Err(not_read(cluster, &args.name, error).await),
    };
    let report = RunReport::of(&run);
    if !write_value(screen, args.output, &serde_json::to_value(&report)?)? {
        screen.lines(report.lines(Timestamp::now()))?;
    }
    Ok(0)
}

async fn watch(args: &Args, cluster: &Cluster, screen: &mut Screen<'_>) -> anyhow::Result<u8> {
    let changed = Arc::new(Notify::new());
    // Dropping the set ends the task.
    let mut watches = JoinSet::new();
    watches.spawn(notify(
        cluster.clone(),
        Resource::analysis_runs(),
        "",
        Arc::clone(&changed),
    ));
    let limit = Duration::from_secs(u64::from(args.timeout_seconds));
    let deadline = (!limit.is_zero()).then(|| Instant::now() + limit);
    let mut shown = None;
    loop {
        match runs::read(cluster, &args.name).await {
            Ok(run) => {
                show(screen, &RunReport::of(&run), &mut shown)?;
                if let Some(code) = run.status.and_then(|status| exit_code(&status.phase)) {
                    return Ok(code);
                }
            }
            Err(error) if shown.is_some() && error.may_pass() => {
                screen.line(Line::styled(Style::Bad, error.to_string()))?;
            }
            Err(CallError::NotFound { .. }) if shown.is_some() => {
                screen.line(format!("analysisrun '{}' was deleted", args.name))?;
                return Ok(FAILED);
            }
            Err(error) => return Err(not_read(cluster, &args.name, error).await),
        }
        let tick = Instant::now() + TICK;
        let next = deadline.map_or(tick, |deadline| deadline.min(tick));
        // Either way it is time to look again.
        let _ = timeout_at(next, changed.notified()).await;
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            anyhow::bail!("analysisrun '{}' has not ended within {} s", args.name, limit.as_secs());
        }
    }
}

async fn not_read(cluster: &Cluster, name: &str, error: CallError) -> anyhow::Error {
    runs::failed(cluster, &Resource::analysis_runs(), "analysisrun", name, error).await
}

fn exit_code(phase: &AnalysisPhase) -> Option<u8> {
    match phase {
        AnalysisPhase::Successful => Some(0),
        AnalysisPhase::Failed | AnalysisPhase::Error => Some(FAILED),
        AnalysisPhase::Inconclusive => Some(INCONCLUSIVE),
        _ => None,
    }
}

/// Draws the run, or adds a line where something changed.
fn show(screen: &mut Screen<'_>, report: &RunReport, shown: &mut Option<Line>) -> std::io::Result<()> {
    let line = report.summary();
    if screen.is_terminal() {
        screen.frame(report.lines(Timestamp::now()))?;
    } else if shown.as_ref() != Some(&line) {
        screen.line(line.clone())?;
    }
    *shown = Some(line);
    Ok(())
}
