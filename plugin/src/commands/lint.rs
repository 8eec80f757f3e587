//! `lint`: checks manifests without a cluster.

use std::path::PathBuf;

use crate::{
    cli::{Output, write_value},
    lint::{self, Finding, Report, Severity},
    text::{Line, Screen, Style},
};

/// Check manifests without a cluster.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "All problems are reported: fields that do not exist, wrong types, contradictions, and objects that
do not fit each other. Services, routes and templates that are named and not among the files are
warnings; with --strict they are errors. Other kinds in the files are passed over.

Exit codes:
  0  no errors (warnings do not count)
  1  errors

Examples:
  kubectl sluice lint -f rollout.yaml
  kubectl sluice lint -f manifests/ --strict
  helm template chart | kubectl sluice lint -f - -o json"
)]
pub struct Args {
    /// File or folder; - is the standard input
    #[arg(short, long = "filename", value_name = "FILE", required_unless_present = "paths", num_args = 1..)]
    pub filename: Vec<PathBuf>,
    /// Further files or folders
    #[arg(value_name = "FILE")]
    pub paths: Vec<PathBuf>,
    /// What is named must be among the files
    #[arg(long)]
    pub strict: bool,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Runs the command.
pub fn run(args: Args, screen: &mut Screen<'_>) -> anyhow::Result<u8> {
    let paths: Vec<PathBuf> = args.filename.into_iter().chain(args.paths).collect();
    let sources = lint::read(&paths)?;
    let report = lint::lint(&sources, args.strict);
    if !write_value(screen, args.output, &serde_json::to_value(&report)?)? {
        screen.lines(report.findings.iter().map(line))?;
        screen.line(summary(&report))?;
    }
    Ok(u8::from(report.count(Severity::Error) > 0))
}

/// A finding for people.
pub fn line(finding: &Finding) -> Line {
    let style = match finding.severity {
        Severity::Error => Style::Bad,
        Severity::Warning => Style::Warn,
    };
    let place = format!("{}:{}", finding.file, finding.document);
    let object = if finding.object.is_empty() {
        String::new()
    } else {
        format!(" {}", finding.object)
    };
    let path = if finding.path.is_empty() {
        String::new()
    } else {
        format!("{} ", finding.path)
    };
    Line::styled(Style::Dim, place)
        .then(Style::Plain, format!("{object} "))
        .then(style, format!("{}: ", finding.severity))
        .then(Style::Plain, format!("{path}{}", finding.problem))
}

fn summary(report: &Report) -> Line {
    let (errors, warnings) = (report.count(Severity::Error), report.count(Severity::Warning));
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let text = format!(
        "{}, {} in {} of {}",
        counted(errors, "error"),
        counted(warnings, "warning"),
        counted(report.objects, "object"),
        counted(report.files, "file")
    );
    match (errors, report.objects) {
        (0, 0) => Line::styled(
            Style::Warn,
            format!("{text}: there is no Rollout and no analysis in them"),
        ),
        (0, _) => Line::styled(Style::Good, text),
        _ => Line::styled(Style::Bad, text),
    }
}
