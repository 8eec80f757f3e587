//! `terminate analysisrun`: end runs early.

use serde_json::json;

use crate::{cluster::Cluster, commands::each, resource::Resource, runs, text::Screen};

/// End AnalysisRuns early.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kubectl sluice terminate analysisrun gate
  kubectl sluice terminate ar gate-one gate-two -n shop")]
pub struct Args {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, clap::Subcommand)]
enum Kind {
    /// End AnalysisRuns early
    #[command(
        name = "analysisrun",
        visible_alias = "ar",
        alias = "analysisruns",
        after_help = "A run that is ended is judged by what it has measured: Successful with one good measurement and no limit
exceeded, and also before its first measurement.

Examples:
  kubectl sluice terminate analysisrun gate"
    )]
    Run(Runs),
}

#[derive(Debug, clap::Args)]
struct Runs {
    /// Names of the AnalysisRuns
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// Runs the command.
pub async fn run(args: Args, cluster: &Cluster, screen: &mut Screen<'_>) -> anyhow::Result<u8> {
    let Kind::Run(args) = args.kind;
    each(cluster, &args.names, screen, terminate).await
}

async fn terminate(cluster: &Cluster, name: &str) -> anyhow::Result<String> {
    let resource = Resource::analysis_runs();
    let patch = json!({ "spec": { "terminate": true } });
    let place = (cluster.namespace.as_str(), name);
    let object = match cluster.patch(&resource, place, None, &patch).await {
        Ok(object) => object,
        Err(error) => return Err(runs::failed(cluster, &resource, "analysisrun", name, error).await),
    };
    let phase = runs::decode(object)?.status.unwrap_or_default().phase;
    let over = if phase.completed() {
        format!(" (it had ended before: {phase})")
    } else {
        String::new()
    };
    Ok(format!("analysisrun '{name}' terminated{over}"))
}
