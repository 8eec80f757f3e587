//! The spec of an AnalysisRun, from the templates and arguments that a Rollout names.

use serde_json::{Value, json};
use sluice_analysis::{args, template};
use sluice_crds::RolloutAnalysis;

use crate::{Fact, Hold, TemplateRef, World};

/// Builds the spec. Fails with the reason to wait: a template that is missing, an argument that cannot be resolved.
/// `stable` and `latest` are the pod template hashes that arguments may name.
pub fn build(world: &World, analysis: &RolloutAnalysis, stable: &str, latest: &str) -> Result<Value, Hold> {
    for (reference, fact) in &world.templates {
        if let Fact::Unknown(why) = fact {
            return Err(Hold::Unknown {
                what: describe(reference),
                why: why.clone(),
            });
        }
    }
    let lookup = |cluster_scope: bool, name: &str| world.template_spec(cluster_scope, name);
    let references = analysis.templates.as_deref().unwrap_or_default();
    let flattened = template::flatten(references, &lookup).map_err(|problems| problem(&problems))?;
    let rollout = json!(world.rollout);
    let given = analysis.args.as_deref().unwrap_or_default();
    let supplied =
        args::resolve_rollout_args(&rollout, given, stable, latest).map_err(|problems| problem(&problems))?;
    let dry_run = analysis.dry_run.as_deref().unwrap_or_default();
    let retention = analysis.measurement_retention.as_deref().unwrap_or_default();
    let spec = template::run_spec(flattened, &supplied, dry_run, retention, Some(&rollout));
    spec.map(|spec| json!(spec)).map_err(|problems| problem(&problems))
}

fn describe(reference: &TemplateRef) -> String {
    let kind = if reference.cluster_scope {
        "ClusterAnalysisTemplate"
    } else {
        "AnalysisTemplate"
    };
    format!("{kind} {}", reference.name)
}

fn problem<E: ToString>(problems: &[E]) -> Hold {
    let problems = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    Hold::InvalidSpec {
        problems: format!("analysis: {problems}"),
    }
}
