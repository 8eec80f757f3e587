//! `status`: wait for an update to end. For pipelines.

use std::{pin::pin, time::Duration};

use futures::TryStreamExt;
use kube::core::WatchEvent;
use sluice_crds::{Rollout, RolloutPhase};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    cluster::{CallError, Cluster, Selector},
    observe, phase,
    resource::Resource,
    text::{Line, Screen},
};

/// Pause before a watch that ended is opened again.
const REOPEN: Duration = Duration::from_millis(500);

/// Exit code of an update that ended well.
const HEALTHY: u8 = 0;
/// Exit code of an update that failed, or did not end in time.
const FAILED: u8 = 1;
/// Exit code of an update that is paused, with --stop-on-pause.
const PAUSED: u8 = 3;

/// Wait for an update to end; the exit code says how it ended.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Prints `Phase - message` at every change and ends when the Rollout is Healthy or Degraded. A Rollout
that is paused is waited for, as with Argo's plugin; --stop-on-pause ends then, too.

Exit codes:
  0  Healthy; with --watch=false also Progressing and Paused
  1  Degraded, not ended within --timeout, or an error
  3  Paused, with --stop-on-pause

Examples:
  kubectl sluice status backend --timeout 10m
  kubectl sluice status backend --watch=false    # the phase at this moment
  kubectl sluice status backend --stop-on-pause  # until a person is needed"
)]
pub struct Args {
    /// Name of the Rollout
    pub name: String,
    /// Wait until the update has ended
    #[arg(short, long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          action = clap::ArgAction::Set)]
    pub watch: bool,
    /// How long to wait: 90s, 10m, 1h; 0: as long as it takes
    #[arg(short, long, default_value = "0", value_name = "TIME", value_parser = duration)]
    pub timeout: Duration,
    /// End also when the Rollout is paused
    #[arg(long)]
    pub stop_on_pause: bool,
}

/// A duration as people write it; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let parsed = sluice_analysis::duration::parse(text)
        .ok()
        .and_then(|parsed| Duration::try_from(parsed).ok());
    parsed.ok_or_else(|| format!("`{text}` is no duration: write for example 90s, 10m or 1h30m"))
}

/// Runs the command.
pub async fn run(args: Args, cluster: &Cluster, screen: &mut Screen<'_>) -> anyhow::Result<u8> {
    if !args.watch {
        let rollout = read(cluster, &args.name).await?;
        let (phase, message) = phase::of(&rollout);
        screen.line(line(&phase, &message))?;
        return Ok(if phase == RolloutPhase::Degraded {
            FAILED
        } else {
            HEALTHY
        });
    }
    // A year is as long as it takes, and no overflow.
    let limit = if args.timeout.is_zero() {
        Duration::from_hours(365 * 24)
    } else {
        args.timeout
    };
    let deadline = Instant::now() + limit;
    match timeout_at(deadline, watch(&args, cluster, screen)).await {
        Ok(ended) => ended,
        Err(_) => anyhow::bail!(
            "rollout '{}' has not ended within {} s",
            args.name,
            args.timeout.as_secs()
        ),
    }
}

async fn watch(args: &Args, cluster: &Cluster, screen: &mut Screen<'_>) -> anyhow::Result<u8> {
    let mut shown = String::new();
    let mut first = true;
    loop {
        match follow(args, cluster, screen, &mut shown).await {
            Ok(Some(code)) => return Ok(code),
            Ok(None) => {}
            // The first call tells whether there is anything to wait for. Later ones may fail for a while.
            Err(Failure::Call(error)) if !first && error.may_pass() => {}
            Err(Failure::Call(error)) => return Err(observe::failed(cluster, &args.name, error).await),
            Err(Failure::Output(error)) => return Err(error.into()),
        }
        first = false;
        sleep(REOPEN).await;
    }
}

enum Failure {
    Call(CallError),
    Output(std::io::Error),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Failure {
        Failure::Call(error)
    }
}

/// Reads the Rollout and follows its changes as long as one watch lasts. Returns the exit code when the update has ended.
async fn follow(
    args: &Args,
    cluster: &Cluster,
    screen: &mut Screen<'_>,
    shown: &mut String,
) -> Result<Option<u8>, Failure> {
    let (resource, namespace) = (Resource::rollouts(), cluster.namespace.as_str());
    let object = cluster.get(&resource, namespace, &args.name).await?;
    let rollout = observe::decode(object)?;
    let version = rollout.metadata.resource_version.clone();
    if let Some(code) = show(args, &rollout, screen, shown).map_err(Failure::Output)? {
        return Ok(Some(code));
    }
    let fields = format!("metadata.name={}", args.name);
    let selector = Selector {
        labels: "",
        fields: &fields,
    };
    let mut events = pin!(
        cluster
            .watch(&resource, namespace, &selector, version.as_deref())
            .await?
    );
    while let Some(event) = events.try_next().await? {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let rollout = observe::decode(object)?;
                if let Some(code) = show(args, &rollout, screen, shown).map_err(Failure::Output)? {
                    return Ok(Some(code));
                }
            }
            // Read again: it is gone, or the watch was too old.
            WatchEvent::Deleted(_) | WatchEvent::Error(_) => break,
            WatchEvent::Bookmark(_) => {}
        }
    }
    Ok(None)
}

/// Shows the phase where it changed. Returns the exit code when there is nothing to wait for any more.
fn show(args: &Args, rollout: &Rollout, screen: &mut Screen<'_>, shown: &mut String) -> std::io::Result<Option<u8>> {
    let (phase, message) = phase::of(rollout);
    let text = format!("{phase} - {message}");
    if *shown != text {
        screen.line(line(&phase, &message))?;
        *shown = text;
    }
    Ok(match phase {
        RolloutPhase::Healthy => Some(HEALTHY),
        RolloutPhase::Degraded => Some(FAILED),
        RolloutPhase::Paused if args.stop_on_pause => Some(PAUSED),
        _ => None,
    })
}

fn line(phase: &RolloutPhase, message: &str) -> Line {
    let (_, style) = phase::symbol(phase.as_str());
    let line = Line::styled(style, phase.to_string());
    if message.is_empty() {
        line
    } else {
        line.then(crate::text::Style::Plain, format!(" - {message}"))
    }
}

async fn read(cluster: &Cluster, name: &str) -> anyhow::Result<Rollout> {
    let object = cluster.get(&Resource::rollouts(), &cluster.namespace, name).await;
    match object.and_then(observe::decode) {
        Ok(rollout) => Ok(rollout),
        Err(error) => Err(observe::failed(cluster, name, error).await),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_or_texts() {
        for (text, seconds) in [("0", 0), ("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "soon", "-5s", "5 apples"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
