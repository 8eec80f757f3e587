//! Analyses that a Rollout runs, and the metrics of templates.

use std::collections::BTreeSet;

use sluice_crds::{AnalysisTemplateSpec, PodTemplateHashOf, RolloutAnalysis, RolloutAnalysisArgument};

use super::{
    Problem,
    report::{Report, is_empty},
};

const METADATA: &str = "Analyses arguments must refer to valid object metadata supported by downwardAPI";

/// All static problems of an `AnalysisTemplate` or `ClusterAnalysisTemplate`. A template without metrics of its own is
/// right if it names templates that have some.
pub fn analysis_template(spec: &AnalysisTemplateSpec) -> Vec<Problem> {
    let mut report = Report::default();
    let metrics = spec.metrics.as_deref().unwrap_or_default();
    let templates = spec.templates.as_deref().unwrap_or_default();
    if !metrics.is_empty() || templates.is_empty() {
        for problem in sluice_analysis::metric::problems(metrics) {
            report.add(format!("spec.{}", problem.path), problem.problem);
        }
    }
    for (index, reference) in templates.iter().enumerate() {
        let missing = is_empty(reference.template_name.as_ref());
        report.add_if(
            missing,
            format!("spec.templates[{index}].templateName"),
            "name an AnalysisTemplate",
        );
    }
    let mut names = BTreeSet::new();
    for (index, arg) in spec.args.iter().flatten().enumerate() {
        let at = format!("spec.args[{index}]");
        report.add_if(arg.name.is_empty(), format!("{at}.name"), "is empty");
        report.add_if(
            !names.insert(&arg.name),
            format!("{at}.name"),
            "another argument has this name",
        );
        let both = arg.value.is_some() && arg.value_from.is_some();
        report.add_if(both, &at, "has both value and valueFrom: leave one out");
        if let Some(from) = &arg.value_from
            && from.secret_key_ref.is_some() == from.field_ref.is_some()
        {
            report.add(
                format!("{at}.valueFrom"),
                "must have exactly one of secretKeyRef and fieldRef",
            );
        }
    }
    report.found
}

/// An analysis of a Rollout: a step, in the background, before or after a promotion.
pub(super) fn check(report: &mut Report, at: &str, analysis: &RolloutAnalysis) {
    let templates = analysis.templates.as_deref().unwrap_or_default();
    if templates.is_empty() {
        report.add(
            format!("{at}.templates"),
            "is empty: name at least one AnalysisTemplate",
        );
    }
    for (index, reference) in templates.iter().enumerate() {
        let missing = is_empty(reference.template_name.as_ref());
        report.add_if(
            missing,
            format!("{at}.templates[{index}].templateName"),
            "name an AnalysisTemplate",
        );
    }
    check_args(
        report,
        &format!("{at}.args"),
        analysis.args.as_deref().unwrap_or_default(),
    );
    for (index, one) in analysis.measurement_retention.iter().flatten().enumerate() {
        report.not_negative(format!("{at}.measurementRetention[{index}].limit"), Some(one.limit));
    }
}

pub(super) fn check_args(report: &mut Report, at: &str, args: &[RolloutAnalysisArgument]) {
    let mut names = BTreeSet::new();
    for (index, arg) in args.iter().enumerate() {
        let at = format!("{at}[{index}]");
        report.add_if(arg.name.is_empty(), format!("{at}.name"), "is empty");
        report.add_if(
            !names.insert(&arg.name),
            format!("{at}.name"),
            "another argument has this name",
        );
        let Some(from) = &arg.value_from else { continue };
        report.add_if(arg.value.is_some(), &at, "has both value and valueFrom: leave one out");
        if from.field_ref.is_some() == from.pod_template_hash_value.is_some() {
            report.add(
                format!("{at}.valueFrom"),
                "must have exactly one of podTemplateHashValue and fieldRef",
            );
        }
        if let Some(PodTemplateHashOf::Other(text)) = &from.pod_template_hash_value {
            let problem = format!("`{text}` is not a version: use Stable or Latest");
            report.add(format!("{at}.valueFrom.podTemplateHashValue"), problem);
        }
        if let Some(field) = &from.field_ref {
            let path = field.field_path.as_str();
            let wrong = path.is_empty() || (path.starts_with("metadata") && !is_downward_metadata(path));
            report.add_if(wrong, format!("{at}.valueFrom.fieldRef.fieldPath"), METADATA);
        }
    }
}

/// The metadata that pods can ask for by the downward API.
fn is_downward_metadata(path: &str) -> bool {
    let subscript = |field: &str| {
        let key = path
            .strip_prefix(field)
            .and_then(|rest| rest.strip_prefix("['")?.strip_suffix("']"));
        key.is_some_and(|key| !key.is_empty())
    };
    ["metadata.name", "metadata.namespace", "metadata.uid"].contains(&path)
        || subscript("metadata.labels")
        || subscript("metadata.annotations")
}
