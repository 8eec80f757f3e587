//! `check`: looks at a cluster before it is relied on.

use crate::{
    check::{self, Check, Scope, State, Whose},
    cli::{Output, write_value},
    cluster::Cluster,
    text::{Line, Screen, Style},
};

/// Check a cluster: API server, CRDs, rights, other controllers, routers.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each line is ok, warn (works in part, or cannot be told) or fail, and says how to mend it.
With --as a service account, the rights that the controller needs are looked for.

Exit codes:
  0  nothing failed
  1  something failed

Examples:
  kubectl sluice check
  kubectl sluice check --as system:serviceaccount:sluice:sluice-controller
  kubectl sluice check --only-namespace shop -o json"
)]
pub struct Args {
    /// Whose rights to look for; by default the controller's with --as a service account, else the user's
    #[arg(long, value_enum)]
    pub rights: Option<Whose>,
    /// Look for rights in this namespace only, for a controller that serves no other
    #[arg(long, value_name = "NAME")]
    pub only_namespace: Option<String>,
    /// Instance id of the controller, where several share the cluster
    #[arg(long, value_name = "ID")]
    pub instance_id: Option<String>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Runs the command.
pub async fn run(args: Args, cluster: &Cluster, screen: &mut Screen<'_>) -> anyhow::Result<u8> {
    let is_account = cluster
        .as_user
        .as_ref()
        .is_some_and(|user| user.starts_with("system:serviceaccount:"));
    let whose = args
        .rights
        .unwrap_or(if is_account { Whose::Controller } else { Whose::User });
    let namespace = match whose {
        Whose::User => Some(args.only_namespace.unwrap_or_else(|| cluster.namespace.clone())),
        Whose::Controller => args.only_namespace,
    };
    let scope = Scope {
        whose,
        namespace,
        instance_id: args.instance_id,
    };
    let checks = check::check(cluster, &scope).await;
    if !write_value(screen, args.output, &serde_json::to_value(&checks)?)? {
        let width = checks
            .iter()
            .map(|check| check.subject.chars().count())
            .max()
            .unwrap_or(0);
        screen.lines(checks.iter().flat_map(|check| lines(check, width)))?;
    }
    Ok(u8::from(checks.iter().any(|check| check.state == State::Fail)))
}

fn lines(check: &Check, width: usize) -> Vec<Line> {
    let (word, style) = match check.state {
        State::Ok => ("ok", Style::Good),
        State::Warn => ("warn", Style::Warn),
        State::Fail => ("fail", Style::Bad),
    };
    let subject = Line::from(check.subject.as_str()).column(width);
    let mut lines = vec![
        Line::styled(style, word)
            .column(4)
            .join(subject)
            .then(Style::Plain, check.found.clone()),
    ];
    if !check.fix.is_empty() {
        let indent = Line::default().column(4).join(Line::default().column(width));
        lines.push(indent.then(Style::Dim, format!("to mend: {}", check.fix)));
    }
    lines
}
