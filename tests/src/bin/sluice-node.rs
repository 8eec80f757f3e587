//! The node of the cluster in a box as a program; see `sluice_tests::node`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use sluice_tests::Client;
use sluice_tests::node::{self, Config};

/// A Kubernetes node that runs pods as processes.
#[derive(Parser)]
struct Options {
    /// How to reach the API server
    #[arg(long)]
    kubeconfig: PathBuf,
    /// Folder for the logs of containers
    #[arg(long)]
    logs: PathBuf,
    /// IMAGE=PROGRAM: the program that stands for an image, whose name is given without tag
    #[arg(long = "image", value_parser = image)]
    images: Vec<(String, PathBuf)>,
    /// How long a container takes to start
    #[arg(long, default_value_t = 600)]
    start_delay_ms: u64,
    /// Tell a deleted pod to end only this long after it left the endpoints
    #[arg(long)]
    end_after_endpoints_ms: Option<u64>,
    /// The first pause between restarts of a container that crashes; it doubles
    #[arg(long, default_value_t = 1000)]
    restart_pause_ms: u64,
}

fn image(text: &str) -> Result<(String, PathBuf), String> {
    let (image, program) = text.split_once('=').ok_or("expected IMAGE=PROGRAM")?;
    if !Path::new(program).is_file() {
        return Err(format!("{program} is not a file"));
    }
    Ok((image.to_owned(), program.into()))
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    // The only one in this process; a second call would be the error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::connect(&options.kubeconfig)
        .await
        .context("reach the API server")?;
    let config = Config {
        images: options.images.into_iter().collect(),
        logs: options.logs,
        start_delay: Duration::from_millis(options.start_delay_ms),
        end_after_endpoints: options.end_after_endpoints_ms.map(Duration::from_millis),
        restart_pause: Duration::from_millis(options.restart_pause_ms),
    };
    node::run(client.kube(), config).await
}
