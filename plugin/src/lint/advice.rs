//! What works and may still lose requests, or not do what it seems to.

use serde_json::Value;
use sluice_crds::{CanaryStrategy, Rollout};
use sluice_machine::rollout::{canary, replicas};

use super::{Problem, present};

/// Warnings about a Rollout. Without its number of pods nothing is said about shares of them.
pub fn problems(object: &Value, has_replicas: bool) -> Vec<Problem> {
    let mut problems = pod_problems(object);
    if let Ok(rollout) = serde_json::from_value::<Rollout>(object.clone()) {
        let replicas = u32::try_from(rollout.spec.replicas_or_default()).unwrap_or(0);
        if let Some(canary) = rollout.spec.canary() {
            if has_replicas {
                problems.extend(scale_problems(canary, replicas));
                problems.extend(ratio_problems(canary, replicas));
            }
            problems.extend(order_problems(canary));
        }
    }
    problems
}

/// Pods get requests until every proxy knows that they go, and before they are ready if nobody asks whether they are.
fn pod_problems(rollout: &Value) -> Vec<Problem> {
    let containers = present(rollout, "/spec/template/spec/containers").and_then(Value::as_array);
    let containers: Vec<(usize, &Value)> = containers.into_iter().flatten().enumerate().collect();
    let with_ports = |(_, container): &&(usize, &Value)| {
        container
            .get("ports")
            .and_then(Value::as_array)
            .is_some_and(|ports| !ports.is_empty())
    };
    let serving: Vec<&(usize, &Value)> = match containers.iter().filter(with_ports).collect::<Vec<_>>() {
        none if none.is_empty() => containers.iter().take(1).collect(),
        some => some,
    };
    let mut problems = Vec::new();
    for (index, container) in serving {
        let path = format!("spec.template.spec.containers[{index}]");
        if present(container, "/readinessProbe").is_none() {
            let text = "is missing: a pod without it gets requests as soon as its process has started";
            problems.push(Problem::warning(format!("{path}.readinessProbe"), text));
        }
        if present(container, "/lifecycle/preStop").is_none() {
            let text = "is missing: without a pause (`preStop: {sleep: {seconds: 3}}`) a pod that is stopped still gets \
                        requests from proxies that do not know it yet, and they fail";
            problems.push(Problem::warning(format!("{path}.lifecycle.preStop"), text));
        }
    }
    problems.extend(grace_problem(rollout, &containers));
    problems
}

/// A pause before the end that is longer than the pod has.
fn grace_problem(rollout: &Value, containers: &[(usize, &Value)]) -> Option<Problem> {
    let grace =
        present(rollout, "/spec/template/spec/terminationGracePeriodSeconds").map_or(Some(30), Value::as_u64)?;
    let pauses = containers.iter().filter_map(|(index, container)| {
        Some((
            *index,
            present(container, "/lifecycle/preStop/sleep/seconds")?.as_u64()?,
        ))
    });
    let (index, seconds) = pauses.max_by_key(|(_, seconds)| *seconds)?;
    (seconds >= grace).then(|| {
        let text =
            format!("is {seconds} s, and the pod is killed after {grace} s: raise terminationGracePeriodSeconds");
        Problem::warning(
            format!("spec.template.spec.containers[{index}].lifecycle.preStop.sleep.seconds"),
            text,
        )
    })
}

/// A canary that is scaled for less than the share of the traffic that it gets.
fn scale_problems(canary: &CanaryStrategy, replicas: u32) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (mut weight, mut pods) = (0, None);
    let total = canary::total(canary);
    let of_total = if total == 100 {
        "%".to_owned()
    } else {
        format!("of {total}")
    };
    for (index, step) in canary.steps.iter().flatten().enumerate() {
        if let Some(scale) = &step.set_canary_scale {
            let share = scale
                .weight
                .map(|weight| replicas::carrying(replicas, u32::try_from(weight).unwrap_or(0), total));
            pods = match (scale.replicas, scale.match_traffic_weight) {
                (_, Some(true)) => None,
                (Some(count), _) => Some(u32::try_from(count).unwrap_or(0)),
                (None, _) => share,
            };
        }
        if let Some(set) = step.set_weight {
            weight = u32::try_from(set).unwrap_or(0);
        }
        let needed = replicas::carrying(replicas, weight, total);
        let moves = step.set_weight.is_some() || step.set_canary_scale.is_some();
        if let Some(pods) = pods.filter(|pods| moves && *pods < needed) {
            let text = format!(
                "the canary gets {weight} {of_total} of the traffic with {pods} of {replicas} pods, and {needed} would carry it: \
                 raise setCanaryScale, or end it with `matchTrafficWeight: true`"
            );
            problems.push(Problem::warning(format!("spec.strategy.canary.steps[{index}]"), text));
        }
    }
    problems
}

/// Without a router the split is that of the pods: few pods have few splits.
fn ratio_problems(canary: &CanaryStrategy, replicas: u32) -> Vec<Problem> {
    if canary.traffic_routing.is_some() || replicas == 0 {
        return Vec::new();
    }
    let limits = replicas::limits(canary.max_surge.as_ref(), canary.max_unavailable.as_ref(), replicas);
    let steps = canary.steps.iter().flatten().enumerate();
    let steps = steps.filter_map(|(index, step)| Some((index, u32::try_from(step.set_weight?).ok()?)));
    let steps = steps.filter(|(_, weight)| *weight <= 100);
    let far = steps.filter_map(|(index, weight)| {
        let sizes = replicas::basic_desired(replicas, weight, limits.surge);
        let actual = (sizes.new * 100).checked_div(sizes.new + sizes.stable)?;
        (actual.abs_diff(weight) >= 10).then(|| {
            let text = format!(
                "is {weight}, and {} of {} pods get {actual} %: without trafficRouting the pods are the split, so raise \
                 replicas, or use a router",
                sizes.new,
                sizes.new + sizes.stable
            );
            Problem::warning(format!("spec.strategy.canary.steps[{index}].setWeight"), text)
        })
    });
    far.collect()
}

/// Steps that never change the traffic, or end where nobody decides.
fn order_problems(canary: &CanaryStrategy) -> Vec<Problem> {
    let steps = canary.steps.as_deref().unwrap_or_default();
    let path = "spec.strategy.canary.steps";
    let mut problems = Vec::new();
    if canary.traffic_routing.is_some() && steps.is_empty() {
        let text = "is empty: the new version gets all traffic at once, and trafficRouting has nothing to do";
        problems.push(Problem::warning(path, text));
    }
    let first_weight = steps
        .iter()
        .position(|step| step.set_weight.is_some_and(|weight| weight > 0));
    let scaled = steps.iter().position(|step| step.set_canary_scale.is_some());
    let first_analysis = steps.iter().position(|step| step.analysis.is_some());
    if let Some(analysis) = first_analysis
        && first_weight.is_none_or(|weight| weight > analysis)
        && scaled.is_none_or(|scale| scale > analysis)
    {
        let text = "runs before the new version has any pods or traffic: put a setWeight or setCanaryScale before it";
        problems.push(Problem::warning(format!("{path}[{analysis}].analysis"), text));
    }
    problems
}
