//! The command line.

use clap::{Parser, Subcommand, ValueEnum};

use crate::{
    cluster::{Cluster, Connection},
    commands,
    text::Screen,
};

/// Progressive delivery for Kubernetes: look at Rollouts, move them, check manifests and clusters
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-sluice",
    bin_name = "kubectl sluice",
    version,
    max_term_width = 120,
    disable_help_subcommand = true,
    after_help = "Examples:
  kubectl sluice get rollout backend -w       # watch an update, and why it waits
  kubectl sluice status backend               # wait until it is Healthy; exit code 1 when it is Degraded
  kubectl sluice promote backend              # go on to the next step
  kubectl sluice abort backend                # take the update back
  kubectl sluice lint -f manifests/           # check manifests without a cluster
  kubectl sluice simulate -f manifests/       # see what they will do, without a cluster
  kubectl sluice check                        # check a cluster before relying on it"
)]
pub struct Cli {
    /// How to reach the cluster.
    #[command(flatten)]
    pub connection: Connection,
    /// No colours, also on a terminal
    #[arg(long, global = true)]
    pub no_color: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a Rollout: revisions, pods, analysis, traffic, and why it waits; or an AnalysisRun
    Get(commands::get::Args),
    /// Why a Rollout waits, and what happens next if nothing changes
    Explain(commands::explain::Args),
    /// List Rollouts or AnalysisRuns
    List(commands::list::Args),
    /// Wait for an update to end; the exit code says how it ended
    Status(commands::status::Args),
    /// Go on from a pause, or skip the present step
    Promote(commands::promote::Args),
    /// Take updates back: all traffic to the stable revision
    Abort(commands::abort::Args),
    /// Begin aborted updates again
    Retry(commands::retry::Args),
    /// Stop updates where they are
    Pause(commands::pause::Args),
    /// Make an AnalysisRun from a template
    Create(commands::create::Args),
    /// End AnalysisRuns early
    Terminate(commands::terminate::Args),
    /// Check manifests without a cluster
    Lint(commands::lint::Args),
    /// See without a cluster what manifests will do
    Simulate(commands::simulate::Args),
    /// Check a cluster: API server, CRDs, rights, other controllers, routers
    Check(commands::check::Args),
    /// Show versions
    Version(commands::version::Args),
    /// Write a completion script for a shell
    Completion(commands::completion::Args),
}

/// Form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// One JSON value
    Json,
    /// One YAML document
    Yaml,
}

impl Cli {
    /// Whether colours are welcome (see <https://no-color.org>).
    pub fn wants_colour(&self) -> bool {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        !self.no_color && !set("NO_COLOR") && !dumb
    }
}

/// Runs a command. Returns the exit code; errors are for code 1.
pub async fn run(cli: Cli, screen: &mut Screen<'_>) -> anyhow::Result<u8> {
    let connection = &cli.connection;
    match cli.command {
        Command::Get(args) => commands::get::run(args, &connection.open().await?, screen).await,
        Command::Explain(args) => {
            let cluster = match args.files()? {
                Some((files, namespace)) => {
                    Cluster::offline(files, connection.namespace.as_ref().unwrap_or(&namespace))
                }
                None => connection.open().await?,
            };
            // Its future holds two worlds.
            Box::pin(commands::explain::run(args, &cluster, screen)).await
        }
        Command::List(args) => commands::list::run(args, &connection.open().await?, screen).await,
        Command::Status(args) => commands::status::run(args, &connection.open().await?, screen).await,
        Command::Promote(args) => commands::promote::run(args, &connection.open().await?, screen).await,
        Command::Abort(args) => commands::abort::run(args, &connection.open().await?, screen).await,
        Command::Retry(args) => commands::retry::run(args, &connection.open().await?, screen).await,
        Command::Pause(args) => commands::pause::run(args, &connection.open().await?, screen).await,
        Command::Create(args) => commands::create::run(args, &connection.open().await?, screen).await,
        Command::Terminate(args) => commands::terminate::run(args, &connection.open().await?, screen).await,
        Command::Lint(args) => commands::lint::run(args, screen),
        Command::Simulate(args) => commands::simulate::run(args, screen),
        Command::Check(args) => commands::check::run(args, &connection.open().await?, screen).await,
        Command::Version(args) => commands::version::run(args, connection, screen).await,
        Command::Completion(args) => commands::completion::run(&args, screen),
    }
}

/// Writes a value as JSON or YAML. `false` where text was asked for.
pub fn write_value(screen: &mut Screen<'_>, output: Output, value: &serde_json::Value) -> anyhow::Result<bool> {
    match output {
        Output::Text => return Ok(false),
        Output::Json => screen.json(value)?,
        Output::Yaml => screen.yaml(value)?,
    }
    Ok(true)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_every_command_has_examples() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        for sub in command.get_subcommands() {
            let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("kubectl sluice"), "`{}` shows no example", sub.get_name());
        }
    }

    #[test]
    fn completion_scripts_are_for_the_name_that_shells_see() {
        for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
            let cli = Cli::try_parse_from(["kubectl-sluice", "completion", shell]).unwrap();
            let Command::Completion(args) = cli.command else {
                panic!("{shell}")
            };
            let mut out = Vec::new();
            commands::completion::run(&args, &mut Screen::new(&mut out, false, false)).unwrap();
            let script = String::from_utf8(out).unwrap();
            assert!(
                script.contains("kubectl-sluice") && script.contains("promote") && script.contains("from-file"),
                "{shell}"
            );
        }
    }

    #[test]
    fn command_lines_that_users_of_argos_plugin_type_are_understood() {
        let rows = [
            "get rollout backend -w",
            "get ro backend -n shop --no-color",
            "get rollout backend --timeout-seconds 5 -w",
            "explain rollout backend -n shop",
            "list rollouts -A",
            "list ro",
            "status backend --watch=false",
            "status backend -w --timeout 60s",
            "status backend -t 5m",
            "promote backend --full",
            "abort one two",
            "retry rollout backend",
            "retry backend",
            "retry ro one two",
            "pause backend",
            "get analysisrun gate",
            "get ar gate -w --timeout-seconds 60",
            "list analysisruns -A",
            "list ar -o json",
            "terminate analysisrun gate",
            "terminate ar one two",
            "create analysisrun --from errors -a service=shop -a window=5m",
            "create analysisrun --from-file t.yaml --name gate --instance-id blue",
            "create ar --global --from errors --generate-name gate- --argument a=b",
            "lint -f a.yaml",
            "lint -f a.yaml -f b -o json --strict",
            "lint a.yaml b.yaml",
            "simulate -f a.yaml",
            "simulate -f manifests --scenario s.yaml --seed 7 --until 2h -o json --expect",
            "simulate --metric error-rate=0.01,0.2,NaN a.yaml",
            "check --as system:serviceaccount:sluice:sluice-controller",
            "version --short",
            "completion bash",
            "--context other --kubeconfig /x get rollout backend",
        ];
        for row in rows {
            let words = std::iter::once("kubectl-sluice").chain(row.split(' '));
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{row}: {error}");
            }
        }
        for row in [
            "get backend",
            "explain backend",
            "simulate",
            "abort",
            "lint",
            "promote",
            "status",
            "list",
            "create analysisrun",
            "create analysisrun --from a --from-file b",
            "create analysisrun --from a -a b",
            "create analysisrun --from a --name b --generate-name c",
            "terminate analysisrun",
        ] {
            let words = std::iter::once("kubectl-sluice").chain(row.split(' '));
            assert!(Cli::try_parse_from(words).is_err(), "{row} was understood");
        }
    }
}
