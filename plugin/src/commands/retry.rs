//! `retry`: begin aborted updates again.

use crate::{
    cluster::Cluster,
    commands::{each, idle},
    observe, patch,
    text::Screen,
};

/// Begin aborted updates again.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "The update starts again with its first step, and its analyses are run anew.

Examples:
  kubectl sluice retry backend
  kubectl sluice retry rollout backend frontend"
)]
pub struct Args {
    #[command(subcommand)]
    kind: Option<Kind>,
    #[command(flatten)]
    names: Option<Names>,
}

#[derive(Debug, clap::Subcommand)]
enum Kind {
    /// Rollouts; the word may be left out
    #[command(visible_alias = "ro", alias = "rollouts")]
    Rollout(Names),
}

#[derive(Debug, clap::Args)]
struct Names {
    /// Names of the Rollouts
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// Runs the command.
pub async fn run(args: Args, cluster: &Cluster, screen: &mut Screen<'_>) -> anyhow::Result<u8> {
    let names = match (args.kind, args.names) {
        (Some(Kind::Rollout(names)), _) | (None, Some(names)) => names.names,
        (None, None) => anyhow::bail!("name the rollouts to retry, for example `kubectl sluice retry backend`"),
    };
    each(cluster, &names, screen, retry).await
}

async fn retry(cluster: &Cluster, name: &str) -> anyhow::Result<String> {
    match patch::send(cluster, name, Some(&patch::retry()), None).await {
        Ok(object) => Ok(format!("rollout '{name}' retried{}", idle(&object))),
        Err(error) => Err(observe::failed(cluster, name, error).await),
    }
}
