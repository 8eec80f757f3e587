//! `completion`: scripts by which shells complete commands.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::{cli::Cli, text::Screen};

/// Write a completion script for a shell.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The script completes `kubectl-sluice`. For `kubectl sluice <TAB>`, put an executable file
kubectl_complete-sluice on the PATH as kubectl's documentation of plugins describes.

Examples:
  kubectl sluice completion bash > /etc/bash_completion.d/kubectl-sluice
  kubectl sluice completion zsh > \"${fpath[1]}/_kubectl-sluice\"
  kubectl sluice completion fish > ~/.config/fish/completions/kubectl-sluice.fish"
)]
pub struct Args {
    /// The shell
    pub shell: Shell,
}

/// Runs the command.
pub fn run(args: &Args, screen: &mut Screen<'_>) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "kubectl-sluice", &mut script);
    screen.own(&String::from_utf8_lossy(&script))?;
    Ok(0)
}
