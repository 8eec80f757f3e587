//! What a Rollout names and is not there, or is not fit. Such problems heal when the object appears.

use sluice_crds::{AnalysisTemplateRef, Rollout};
use sluice_traffic::{REVISION_LABEL, routers::service};

use super::Problem;
use crate::{Fact, World, references};

/// All problems of the objects that a Rollout names. What could not be read is no problem of the spec.
pub fn references(world: &World) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, name) in services(&world.rollout) {
        match world.services.get(&name) {
            Some(Fact::Absent) => problems.push(problem(path, format!("service \"{name}\" not found"))),
            Some(Fact::Known(value)) => problems.extend(service_problems(&world.rollout, path, &name, value)),
            Some(Fact::Unknown(_)) | None => {}
        }
    }
    for (path, reference) in templates(&world.rollout) {
        let Some(template) = references::template(reference) else {
            problems.push(problem(path, "name an AnalysisTemplate"));
            continue;
        };
        if let Some(Fact::Absent) = world.templates.get(&template) {
            let kind = if template.cluster_scope {
                "ClusterAnalysisTemplate"
            } else {
                "AnalysisTemplate"
            };
            problems.push(problem(path, format!("{kind} '{}' not found", template.name)));
        }
    }
    let namespace = world.rollout.metadata.namespace.as_deref().unwrap_or_default();
    for router in references::routers(&world.rollout) {
        let object = router.object(namespace);
        if let Some(Fact::Absent) = world.routes.get(&object) {
            let path = "spec.strategy.canary.trafficRouting".to_owned();
            problems.push(problem(path, format!("{object} not found")));
        }
    }
    problems
}

fn problem(path: String, problem: impl Into<String>) -> Problem {
    Problem {
        path,
        problem: problem.into(),
    }
}

/// The Services that a Rollout names, with the field that names each.
fn services(rollout: &Rollout) -> Vec<(String, String)> {
    let strategy = rollout.spec.strategy.clone().unwrap_or_default();
    let mut named = Vec::new();
    if let Some(canary) = strategy.canary {
        named.push(("canary.stableService", canary.stable_service));
        named.push(("canary.canaryService", canary.canary_service));
    }
    if let Some(blue_green) = strategy.blue_green {
        named.push(("blueGreen.activeService", Some(blue_green.active_service)));
        named.push(("blueGreen.previewService", blue_green.preview_service));
    }
    let named = named
        .into_iter()
        .filter_map(|(field, name)| Some((format!("spec.strategy.{field}"), name?)));
    named.filter(|(_, name)| !name.is_empty()).collect()
}

/// A Service must select the pods, and must not belong to another Rollout.
fn service_problems(rollout: &Rollout, path: String, name: &str, value: &serde_json::Value) -> Option<Problem> {
    let own = rollout.metadata.name.as_deref().unwrap_or_default();
    if service::observe(value).managed_by.is_some_and(|other| other != own) {
        return Some(problem(
            path,
            format!("Service \"{name}\" is managed by another Rollout"),
        ));
    }
    let labels = rollout.spec.template.as_ref()?.pointer("/metadata/labels");
    let selector = value.pointer("/spec/selector")?.as_object()?;
    let unfit = selector.iter().find(|(key, wanted)| {
        key.as_str() != REVISION_LABEL && labels.and_then(|labels| labels.get(key.as_str())) != Some(wanted)
    });
    unfit.map(|(key, _)| {
        problem(
            path,
            format!("Service \"{name}\" has unmatch label \"{key}\" in rollout"),
        )
    })
}

/// The templates that a Rollout names, with the field that names each.
fn templates(rollout: &Rollout) -> Vec<(String, &AnalysisTemplateRef)> {
    let canary = rollout
        .spec
        .strategy
        .as_ref()
        .and_then(|strategy| strategy.canary.as_ref());
    let Some(canary) = canary else { return Vec::new() };
    let mut lists = Vec::new();
    if let Some(analysis) = &canary.analysis {
        lists.push(("spec.strategy.canary.analysis".to_owned(), &analysis.templates));
    }
    for (index, step) in canary.steps.iter().flatten().enumerate() {
        if let Some(analysis) = &step.analysis {
            lists.push((
                format!("spec.strategy.canary.steps[{index}].analysis"),
                &analysis.templates,
            ));
        }
    }
    let entries = lists.into_iter().flat_map(|(path, list)| {
        let list = list.iter().flatten().enumerate();
        list.map(move |(index, reference)| (format!("{path}.templates[{index}].templateName"), reference))
    });
    entries.collect()
}
