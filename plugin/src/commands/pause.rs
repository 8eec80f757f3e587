//! `pause`: stop updates where they are.

use crate::{cluster::Cluster, commands::each, observe, patch, text::Screen};

/// Stop updates where they are.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The Rollout stays as it is, with its present split of the traffic, until it is promoted.

Examples:
  kubectl sluice pause backend
  kubectl sluice promote backend    # goes on"
)]
pub struct Args {
    /// Names of the Rollouts
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
}

/// Runs the command.
pub async fn run(args: Args, cluster: &Cluster, screen: &mut Screen<'_>) -> anyhow::Result<u8> {
    each(cluster, &args.names, screen, pause).await
}

async fn pause(cluster: &Cluster, name: &str) -> anyhow::Result<String> {
    match patch::send(cluster, name, None, Some(&patch::pause())).await {
        Ok(_) => Ok(format!("rollout '{name}' paused")),
        Err(error) => Err(observe::failed(cluster, name, error).await),
    }
}
