//! `promote`: go on from a pause, skip the present step, or skip all that is left.

use std::time::Duration;

use serde_json::Value;
use sluice_crds::Rollout;

use crate::{
    cluster::{CallError, Cluster},
    observe,
    patch::{self, Promotion},
    resource::Resource,
    text::Screen,
};

/// The status is written often; a write in between is no reason to give up while the update stands where it stood.
const ATTEMPTS: usize = 10;
/// How long the controller may take to see a spec that was just changed, in tenths of a second.
const OBSERVED_WITHIN: usize = 50;

/// Go on from a pause, or skip the present step.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A Rollout that is paused goes on. One that is not paused skips its present step: a running analysis
is ended, a weight is not waited for. Nothing is skipped when the Rollout moves on by itself at the same moment.
With --full all steps, pauses and analyses that are left are skipped; pods must still be available.

Examples:
  kubectl sluice promote backend
  kubectl sluice promote backend --full
  kubectl sluice promote backend -n shop"
)]
pub struct Args {
    /// Name of the Rollout
    pub name: String,
    /// Skip all steps, pauses and analyses that are left
    #[arg(long)]
    pub full: bool,
}

/// Runs the command.
pub async fn run(args: Args, cluster: &Cluster, screen: &mut Screen<'_>) -> anyhow::Result<u8> {
    let message = promote(cluster, &args.name, args.full).await?;
    screen.line(message)?;
    Ok(0)
}

async fn promote(cluster: &Cluster, name: &str, full: bool) -> anyhow::Result<String> {
    let mut rollout = observed(cluster, name).await?;
    let position = patch::position(&rollout);
    for _ in 0..ATTEMPTS {
        let (status, spec) = match patch::promotion(&rollout, full) {
            Promotion::Patch { status, spec } => (status, spec),
            Promotion::Nothing(why) => return Ok(format!("rollout '{name}' has nothing to promote: {why}")),
            Promotion::Refused(why) => anyhow::bail!("rollout '{name}' cannot be promoted: {why}"),
        };
        let status = status.map(|status| guarded(status, &rollout));
        match patch::send(cluster, name, status.as_ref(), spec.as_ref()).await {
            Ok(_) => {
                let fully = if full { "fully " } else { "" };
                return Ok(format!("rollout '{name}' {fully}promoted"));
            }
            Err(CallError::Conflict { .. }) => {}
            Err(error) => return Err(observe::failed(cluster, name, error).await),
        }
        rollout = read(cluster, name).await?;
        if patch::position(&rollout) != position {
            anyhow::bail!(
                "rollout '{name}' moved on at the same moment, and nothing was promoted: look where it is now \
                 (`kubectl sluice get rollout {name}`) and promote it again if you still want to"
            );
        }
    }
    anyhow::bail!("rollout '{name}' is being written all the time, and nothing was promoted: try again")
}

/// The patch for this very state of the Rollout: a step that was counted from another state would be skipped unseen.
fn guarded(mut patch: Value, rollout: &Rollout) -> Value {
    if let Some(version) = &rollout.metadata.resource_version {
        patch["metadata"] = serde_json::json!({ "resourceVersion": version });
    }
    patch
}

async fn read(cluster: &Cluster, name: &str) -> anyhow::Result<Rollout> {
    let object = cluster.get(&Resource::rollouts(), &cluster.namespace, name).await;
    match object.and_then(observe::decode) {
        Ok(rollout) => Ok(rollout),
        Err(error) => Err(observe::failed(cluster, name, error).await),
    }
}

/// The Rollout, once the controller has seen its present spec.
async fn observed(cluster: &Cluster, name: &str) -> anyhow::Result<Rollout> {
    for _ in 0..OBSERVED_WITHIN {
        let rollout = read(cluster, name).await?;
        if patch::is_observed(&rollout) {
            return Ok(rollout);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!(
        "the controller has not seen the latest change of rollout '{name}', so that it is not clear what would be \
         promoted: does the controller run? (`kubectl sluice check`)"
    )
}
