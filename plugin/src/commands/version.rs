//! `version`: of this program and of the API server.

use crate::{
    cluster::Connection,
    text::{Line, Screen, Style},
};

/// Show versions.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kubectl sluice version
  kubectl sluice version --short    # only this program's; calls nobody")]
pub struct Args {
    /// Only the version of this program
    #[arg(long)]
    pub short: bool,
}

/// Runs the command.
pub async fn run(args: Args, connection: &Connection, screen: &mut Screen<'_>) -> anyhow::Result<u8> {
    let own = env!("CARGO_PKG_VERSION");
    if args.short {
        screen.line(format!("v{own}"))?;
        return Ok(0);
    }
    screen.line(format!("kubectl-sluice: v{own}"))?;
    // That a cluster cannot be reached is worth a line and no failure: the question was answered.
    let server = match connection.open().await {
        Ok(cluster) => cluster.read("/version").await.map_err(anyhow::Error::from),
        Err(error) => Err(error),
    };
    match server {
        Ok(version) => {
            let version = version
                .get("gitVersion")
                .and_then(serde_json::Value::as_str)
                .unwrap_or("unknown");
            screen.line(format!("API server: {version}"))?;
        }
        Err(error) => screen.line(Line::styled(Style::Warn, format!("API server: {error:#}")))?,
    }
    Ok(0)
}
