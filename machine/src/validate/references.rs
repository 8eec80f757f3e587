//! What only other objects can tell: what a Rollout names and is not there, or is not fit, or is refused. Such problems heal
//! when the other object does.

use std::collections::BTreeSet;

use sluice_analysis::template::{self, Flattened};
use sluice_analysis::{args, metric};
use sluice_crds::{Rollout, RolloutAnalysis};
use sluice_traffic::{
    REVISION_LABEL,
    routers::{destination_rule, service},
};

use super::Problem;
use crate::{Answer, Answered, Ask, Fact, TemplateRef, Why, World, hash, references, workload};

/// All problems of the objects that a Rollout names, and what the API server refuses in its pod template. What could not be
/// read is no problem of the spec.
pub fn references(world: &World) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, name) in services(&world.rollout) {
        match world.services.get(name) {
            Some(Fact::Absent) => problems.push(problem(path, format!("service \"{name}\" not found"))),
            Some(Fact::Known(value)) => problems.extend(service_problems(world, path, name, value)),
            Some(Fact::Unknown(_)) | None => {}
        }
    }
    for (path, analysis) in world.rollout.spec.analyses() {
        templates(&mut problems, world, &path, &analysis);
    }
    problems.extend(refusal(world));
    problems.extend(workload_problem(world));
    let namespace = world.rollout.metadata.namespace.as_deref().unwrap_or_default();
    for router in references::routers(&world.rollout) {
        let mut needed = router.sources(namespace);
        if !router.creates_object() {
            needed.push(router.object(namespace));
        }
        let rule = router.destination_rule();
        needed.extend(rule.map(|rule| destination_rule::object(rule, namespace)));
        let missing = needed
            .iter()
            .filter(|object| matches!(world.objects.get(object), Some(Fact::Absent)));
        problems.extend(missing.map(|object| {
            let path = "spec.strategy.canary.trafficRouting";
            problem(path, format!("{object} not found"))
        }));
    }
    problems
}

fn problem(path: impl Into<String>, problem: impl Into<String>) -> Problem {
    Problem {
        path: path.into(),
        problem: problem.into(),
    }
}

/// The Services that a Rollout names, with the field that names each.
fn services(rollout: &Rollout) -> impl Iterator<Item = (&'static str, &str)> {
    let canary = rollout.spec.canary();
    let ping_pong = canary.and_then(|canary| canary.ping_pong.as_ref());
    let blue_green = rollout.spec.blue_green();
    let named = [
        (
            "spec.strategy.canary.stableService",
            canary.and_then(|canary| canary.stable_service.as_ref()),
        ),
        (
            "spec.strategy.canary.canaryService",
            canary.and_then(|canary| canary.canary_service.as_ref()),
        ),
        (
            "spec.strategy.canary.pingPong.pingService",
            ping_pong.map(|services| &services.ping_service),
        ),
        (
            "spec.strategy.canary.pingPong.pongService",
            ping_pong.map(|services| &services.pong_service),
        ),
        (
            "spec.strategy.blueGreen.activeService",
            blue_green.map(|blue_green| &blue_green.active_service),
        ),
        (
            "spec.strategy.blueGreen.previewService",
            blue_green.and_then(|blue_green| blue_green.preview_service.as_ref()),
        ),
    ];
    let named = named
        .into_iter()
        .filter_map(|(field, name)| Some((field, name?.as_str())));
    named.filter(|(_, name)| !name.is_empty())
}

/// A Service must select the pods, and must not belong to another Rollout.
fn service_problems(world: &World, path: &str, name: &str, value: &serde_json::Value) -> Option<Problem> {
    let own = world.rollout.metadata.name.as_deref().unwrap_or_default();
    if service::observe(value).managed_by.is_some_and(|other| other != own) {
        return Some(problem(
            path,
            format!("Service \"{name}\" is managed by another Rollout"),
        ));
    }
    let labels = workload::template(world)?.pointer("/metadata/labels");
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

/// The templates of an analysis must be there and right, those that they name in turn too, and fit together.
fn templates(problems: &mut Vec<Problem>, world: &World, path: &str, analysis: &RolloutAnalysis) {
    let named = analysis.templates.as_deref().unwrap_or_default();
    let mut seen = BTreeSet::new();
    // Only what runs beside the steps may go on for ever.
    let must_end = path != "spec.strategy.canary.analysis";
    let mut all_right = true;
    for (index, reference) in named.iter().enumerate() {
        let path = format!("{path}.templates[{index}].templateName");
        // A template without a name is a problem of the spec alone.
        let mut open: Vec<TemplateRef> = references::template(reference).into_iter().collect();
        while let Some(template) = open.pop() {
            if !seen.insert(template.clone()) {
                continue;
            }
            let Some(Fact::Known(spec)) = world.templates.get(&template) else {
                all_right = false;
                if let Some(Fact::Absent) = world.templates.get(&template) {
                    problems.push(problem(path.clone(), format!("{} not found", shown(&template))));
                }
                continue;
            };
            if must_end {
                let endless = spec
                    .metrics
                    .iter()
                    .flatten()
                    .filter(|metric| metric::is_endless(metric));
                problems.extend(endless.map(|metric| {
                    let text = format!(
                        "{} {} has metric {} which runs indefinitely: give it a count",
                        kind(&template),
                        template.name,
                        metric.name
                    );
                    problem(path.clone(), text)
                }));
            }
            let own = spec.problems();
            all_right &= own.is_empty();
            problems.extend(
                own.iter()
                    .map(|own| problem(path.clone(), format!("{}: {own}", shown(&template)))),
            );
            open.extend(spec.templates.iter().flatten().filter_map(references::template));
        }
    }
    if !all_right || named.is_empty() {
        return;
    }
    let lookup = |cluster_scope: bool, name: &str| world.template_spec(cluster_scope, name);
    let flattened = match template::flatten(named, &lookup) {
        Ok(flattened) => flattened,
        Err(errors) => {
            problems.extend(errors.iter().map(|error| problem(path.to_owned(), error.to_string())));
            return;
        }
    };
    arguments(problems, path, analysis, &flattened);
    let dry_run = analysis.dry_run.as_deref().unwrap_or_default();
    let retention = analysis.measurement_retention.as_deref().unwrap_or_default();
    if let Err(errors) = flattened.with_rules(dry_run, retention) {
        problems.extend(errors.iter().map(|error| problem(path.to_owned(), error.to_string())));
    }
}

/// Every argument of the templates must have a value, and the metrics must use no others.
fn arguments(problems: &mut Vec<Problem>, path: &str, analysis: &RolloutAnalysis, flattened: &Flattened) {
    let given = |name: &str| {
        let mut args = analysis.args.iter().flatten();
        args.any(|arg| arg.name == name && (arg.value.is_some() || arg.value_from.is_some()))
    };
    let path = format!("{path}.args");
    for arg in &flattened.args {
        if arg.value.is_none() && arg.value_from.is_none() && !given(&arg.name) {
            let text = format!("the templates need the argument `{}`: give it a value here", arg.name);
            problems.push(problem(path.clone(), text));
        }
    }
    let names = flattened.args.iter().map(|arg| arg.name.as_str()).collect();
    for metric in &flattened.metrics {
        for error in args::unresolved(metric, &names) {
            let text = format!("metric '{}': {error}: no template declares it", metric.name);
            problems.push(problem(path.clone(), text));
        }
    }
}

fn shown(template: &TemplateRef) -> String {
    let (kind, name) = (kind(template), &template.name);
    format!("{kind} '{name}'")
}

fn kind(template: &TemplateRef) -> &'static str {
    if template.cluster_scope {
        "ClusterAnalysisTemplate"
    } else {
        "AnalysisTemplate"
    }
}

/// The workload must be there, and have a template.
fn workload_problem(world: &World) -> Option<Problem> {
    let object = workload::object(&world.rollout)?;
    let path = "spec.workloadRef.name";
    match workload::fact(world)? {
        Fact::Absent => Some(problem(path, format!("{} \"{}\" not found", object.kind, object.name))),
        Fact::Known(_) if workload::template(world).is_none() => Some(problem(
            path,
            format!("{} \"{}\" has no pod template", object.kind, object.name),
        )),
        Fact::Known(_) | Fact::Unknown(_) => None,
    }
}

/// What the API server says about the pod template. It knows more than we do: all rules of pods, and those of its cluster.
fn refusal(world: &World) -> Option<Problem> {
    // The hash of a template takes a while, and there is rarely an answer to look for.
    let is_refused = |answered: &Answered| matches!(answered.answer, Answer::Defaults(Fact::Unknown(Why::Refused(_))));
    if !world.answers.values().any(is_refused) {
        return None;
    }
    let template = hash::canonical(workload::template(world)?);
    let answered = world.answers.get(&Ask::Defaults { template })?;
    match &answered.answer {
        Answer::Defaults(Fact::Unknown(Why::Refused(message))) => Some(problem(
            "spec.template".to_owned(),
            format!("the API server refuses it: {message}"),
        )),
        _ => None,
    }
}
