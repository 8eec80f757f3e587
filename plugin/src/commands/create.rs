//! `create analysisrun`: from templates in the cluster or in a file to a run.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use anyhow::bail;
use serde_json::json;
use sluice_analysis::args::ArgError;
use sluice_analysis::template::{self, TemplateError};
use sluice_crds::{AnalysisRunSpec, AnalysisTemplateRef, AnalysisTemplateSpec, Argument};

use crate::{
    cluster::{CallError, Cluster},
    files::{Files, Found},
    observe::metadata,
    resource::Resource,
    runs,
    text::Screen,
};

/// Label that tells which of several controllers an object belongs to.
const INSTANCE_LABEL: &str = "argo-rollouts.argoproj.io/controller-instance-id";
/// Most templates that one template may lead to.
const MAX_TEMPLATES: usize = 100;

/// Make an AnalysisRun from a template.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kubectl sluice create analysisrun --from error-rate -a service=shop
  kubectl sluice create ar --from-file template.yaml --name gate")]
pub struct Args {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, clap::Subcommand)]
enum Kind {
    /// Make an AnalysisRun from a template
    #[command(
        name = "analysisrun",
        visible_alias = "ar",
        after_help = "The run needs no Rollout: it is a gate for a pipeline. Everything that is wrong with it is said before it is made.

Examples:
  kubectl sluice create analysisrun --from error-rate -a service=shop -a window=5m
  kubectl sluice create analysisrun --global --from error-rate --name gate
  kubectl sluice create analysisrun --from-file template.yaml --generate-name gate-
  kubectl sluice get analysisrun gate -w      # wait for it; the exit code says how it ended"
    )]
    Run(Run),
}

#[derive(Debug, clap::Args)]
struct Run {
    /// Name of an AnalysisTemplate in the cluster
    #[arg(
        long,
        value_name = "TEMPLATE",
        required_unless_present = "from_file",
        conflicts_with = "from_file"
    )]
    from: Option<String>,
    /// File with an AnalysisTemplate; `-` is the standard input
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    /// It is a ClusterAnalysisTemplate
    #[arg(long)]
    global: bool,
    /// Name of the run
    #[arg(long, conflicts_with = "generate_name")]
    name: Option<String>,
    /// Beginning of the name of the run; by default the template's name
    #[arg(long, value_name = "PREFIX")]
    generate_name: Option<String>,
    /// Value of an argument of the template
    #[arg(short = 'a', long = "argument", value_name = "NAME=VALUE", value_parser = argument)]
    arguments: Vec<Argument>,
    /// Instance id of the controller that is to serve the run
    #[arg(long, value_name = "ID")]
    instance_id: Option<String>,
}

fn argument(text: &str) -> Result<Argument, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok(Argument {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            value_from: None,
        }),
        _ => Err("arguments must be in the form NAME=VALUE".to_owned()),
    }
}

/// Runs the command.
pub async fn run(args: Args, cluster: &Cluster, screen: &mut Screen<'_>) -> anyhow::Result<u8> {
    let Kind::Run(args) = args.kind;
    let files = args
        .from_file
        .as_ref()
        .map(|file| Files::read(std::slice::from_ref(file)));
    let files = files.transpose()?.unwrap_or_else(|| Files::new([]));
    let root = match (&args.from, &args.from_file) {
        (Some(name), _) => name.clone(),
        (None, Some(file)) => match files.only(&resource(args.global)) {
            Some(name) => name,
            None => bail!(
                "{} has not exactly one {} with a name",
                file.display(),
                kind(args.global)
            ),
        },
        (None, None) => bail!("one of --from or --from-file must be specified"),
    };
    let templates = templates(cluster, &files, args.global, &root).await?;
    let spec = spec(&templates, args.global, &root, &args.arguments)?;
    if let Some(problems) = sluice_machine::run::problems(&spec) {
        bail!("the run would end with Error: {problems}");
    }
    let mut object = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisRun",
        "metadata": { "namespace": cluster.namespace },
        "spec": spec,
    });
    match (&args.name, &args.generate_name) {
        (Some(name), _) => object["metadata"]["name"] = name.as_str().into(),
        (None, Some(prefix)) => object["metadata"]["generateName"] = prefix.as_str().into(),
        (None, None) => object["metadata"]["generateName"] = format!("{root}-").into(),
    }
    if let Some(id) = &args.instance_id {
        object["metadata"]["labels"] = json!({ (INSTANCE_LABEL): id });
    }
    let made = cluster
        .create(&Resource::analysis_runs(), &cluster.namespace, &object, false)
        .await?;
    screen.line(format!(
        "analysisrun.argoproj.io/{} created",
        metadata(&made, "name").unwrap_or_default()
    ))?;
    Ok(0)
}

fn resource(cluster_scope: bool) -> Resource {
    if cluster_scope {
        Resource::cluster_templates()
    } else {
        Resource::templates()
    }
}

fn kind(cluster_scope: bool) -> &'static str {
    if cluster_scope {
        "ClusterAnalysisTemplate"
    } else {
        "AnalysisTemplate"
    }
}

type Templates = BTreeMap<(bool, String), AnalysisTemplateSpec>;

/// The template and those that it leads to: from the file where it has them, else from the cluster.
async fn templates(cluster: &Cluster, files: &Files, global: bool, root: &str) -> anyhow::Result<Templates> {
    let mut found = Templates::new();
    let mut open = VecDeque::from([(global, root.to_owned())]);
    while let Some((scope, name)) = open.pop_front() {
        if found.contains_key(&(scope, name.clone())) {
            continue;
        }
        if found.len() >= MAX_TEMPLATES {
            bail!("{} '{root}' leads to more than {MAX_TEMPLATES} templates", kind(global));
        }
        let (resource, namespace) = (resource(scope), if scope { "" } else { cluster.namespace.as_str() });
        let read = match files.get(&resource, "", &name) {
            Found::Object(object) => Ok(object),
            Found::Absent | Found::Nothing => cluster.get(&resource, namespace, &name).await,
        };
        let mut object = match read {
            Ok(object) => object,
            Err(error) => return Err(runs::failed(cluster, &resource, kind(scope), &name, error).await),
        };
        let spec: AnalysisTemplateSpec =
            serde_json::from_value(object["spec"].take()).map_err(|error| CallError::Undecodable {
                what: format!("{} '{name}'", kind(scope)),
                message: error.to_string(),
            })?;
        let named = spec.templates.iter().flatten();
        open.extend(named.filter_map(|reference| {
            let scope = reference.cluster_scope.unwrap_or(false);
            Some((scope, reference.template_name.clone().filter(|name| !name.is_empty())?))
        }));
        found.insert((scope, name), spec);
    }
    Ok(found)
}

fn spec(templates: &Templates, global: bool, root: &str, given: &[Argument]) -> anyhow::Result<AnalysisRunSpec> {
    let reference = AnalysisTemplateRef {
        template_name: Some(root.to_owned()),
        cluster_scope: Some(global),
    };
    let lookup = |scope: bool, name: &str| templates.get(&(scope, name.to_owned()));
    let flattened = template::flatten(&[reference], &lookup).map_err(|errors| said(&errors))?;
    let known: Vec<&str> = flattened.args.iter().map(|arg| arg.name.as_str()).collect();
    let mut names = Vec::new();
    for arg in given {
        if !known.contains(&arg.name.as_str()) {
            let all = if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            };
            bail!("the template has no argument `{}`; it has: {all}", arg.name);
        }
        if names.contains(&&arg.name) {
            bail!("argument `{}` is given twice", arg.name);
        }
        names.push(&arg.name);
    }
    template::run_spec(flattened, given, &[], &[], None).map_err(|errors| said(&errors))
}

/// All problems, an argument without a value with what to do about it.
fn said(errors: &[TemplateError]) -> anyhow::Error {
    let text = |error: &TemplateError| match error {
        TemplateError::Arg(ArgError::NoValue(name)) => {
            format!("argument `{name}` has no value: give it one with -a {name}=VALUE")
        }
        other => other.to_string(),
    };
    anyhow::anyhow!("{}", errors.iter().map(text).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_names_and_values() {
        let parsed = |text: &str| argument(text).map(|arg| (arg.name, arg.value));
        let pair = |name: &str, value: &str| Ok((name.to_owned(), Some(value.to_owned())));
        assert_eq!(parsed("a=b"), pair("a", "b"));
        assert_eq!(parsed("a=b=c"), pair("a", "b=c"));
        assert_eq!(parsed("a="), pair("a", ""));
        for text in ["a", "=b", ""] {
            assert_eq!(
                parsed(text),
                Err("arguments must be in the form NAME=VALUE".to_owned()),
                "{text}"
            );
        }
    }
}
