//! What a schema cannot say: the machine's own validation of Rollouts, and the analyses' of metrics and templates.

use serde::de::DeserializeOwned;
use serde_json::Value;
use sluice_analysis::{metric, template};
use sluice_crds::{AnalysisRunSpec, AnalysisTemplateSpec, DryRun, MeasurementRetention, Metric, Rollout};
use sluice_machine::validate;

use super::Problem;

/// All problems of an object; the error is why it cannot be read.
pub fn problems(kind: &str, object: &Value) -> Result<Vec<Problem>, Problem> {
    Ok(match kind {
        "Rollout" => {
            let problems = validate::rollout(&decode::<Rollout>(object, "")?);
            problems
                .into_iter()
                .map(|found| Problem::error(found.path, found.problem))
                .collect()
        }
        "AnalysisTemplate" | "ClusterAnalysisTemplate" => template_problems(&decode(&object["spec"], "spec")?),
        "AnalysisRun" => run_problems(&decode(&object["spec"], "spec")?),
        // What is not served yet is said, not passed over.
        "Experiment" => vec![Problem::warning(
            "",
            "Experiments are not carried out by this version of Sluice",
        )],
        _ => Vec::new(),
    })
}

fn decode<T: DeserializeOwned>(value: &Value, path: &str) -> Result<T, Problem> {
    serde_json::from_value(value.clone()).map_err(|error| Problem::error(path, format!("cannot be read: {error}")))
}

fn template_problems(spec: &AnalysisTemplateSpec) -> Vec<Problem> {
    let own = validate::analysis_template(spec)
        .into_iter()
        .map(|found| Problem::error(found.path, found.problem));
    // Rules may be for metrics of the templates that this one names.
    let nested = spec.templates.iter().flatten().next().is_some();
    let rules = (!nested).then(|| {
        rules(
            spec.metrics.as_deref(),
            spec.dry_run.as_ref(),
            spec.measurement_retention.as_ref(),
        )
    });
    own.chain(rules.into_iter().flatten()).collect()
}

fn run_problems(spec: &AnalysisRunSpec) -> Vec<Problem> {
    let problem = |found: metric::MetricProblem| Problem::error(format!("spec.{}", found.path), found.problem);
    let own = metric::problems(&spec.metrics).into_iter().map(problem);
    own.chain(rules(
        Some(&spec.metrics),
        spec.dry_run.as_ref(),
        spec.measurement_retention.as_ref(),
    ))
    .collect()
}

fn rules(
    metrics: Option<&[Metric]>,
    dry_run: Option<&Vec<DryRun>>,
    retention: Option<&Vec<MeasurementRetention>>,
) -> Vec<Problem> {
    let dry_run = dry_run.map(Vec::as_slice).unwrap_or_default();
    let retention = retention.map(Vec::as_slice).unwrap_or_default();
    let rules = template::rule_problems(metrics.unwrap_or_default(), dry_run, retention);
    rules
        .into_iter()
        .map(|error| Problem::error("spec", error.to_string()))
        .collect()
}
