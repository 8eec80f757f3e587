//! `abort`: take updates back.

use crate::{
    cluster::Cluster,
    commands::{each, idle},
    observe, patch,
    text::Screen,
};

/// Take updates back: all traffic to the stable revision.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "An aborted Rollout is Degraded until it is retried or its pod template is changed.

Examples:
  kubectl sluice abort backend
  kubectl sluice abort backend frontend -n shop"
)]
pub struct Args {
    /// Names of the Rollouts
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
}

/// Runs the command.
pub async fn run(args: Args, cluster: &Cluster, screen: &mut Screen<'_>) -> anyhow::Result<u8> {
    each(cluster, &args.names, screen, abort).await
}

async fn abort(cluster: &Cluster, name: &str) -> anyhow::Result<String> {
    match patch::send(cluster, name, Some(&patch::abort()), None).await {
        Ok(object) => Ok(format!("rollout '{name}' aborted{}", idle(&object))),
        Err(error) => Err(observe::failed(cluster, name, error).await),
    }
}
