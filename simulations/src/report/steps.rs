//! A step of a canary in a few words.

use sluice_crds::CanaryStep;
use sluice_machine::rollout::canary;

/// For example `analysis: error-rate`.
pub(crate) fn describe(step: &CanaryStep) -> String {
    let name = canary::name(step);
    if let Some(analysis) = &step.analysis {
        let templates = analysis.templates.iter().flatten();
        let names: Vec<&str> = templates
            .filter_map(|template| template.template_name.as_deref())
            .collect();
        return format!("{name}: {}", names.join(", "));
    }
    let Some(scale) = &step.set_canary_scale else {
        return name;
    };
    match (scale.replicas, scale.weight, scale.match_traffic_weight) {
        (_, _, Some(true)) => format!("{name}: as the weight asks for"),
        (Some(replicas), _, _) => format!("{name}: {replicas} pods"),
        (None, Some(weight), _) => format!("{name}: {weight} % of the pods"),
        (None, None, _) => name,
    }
}
