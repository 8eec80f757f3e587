//! The last check before an irreversible effect, on the freshest view.
//!
//! The plan was made from caches; between then and now pods may have died and somebody else may have written. A guard looks
//! only at the effect and at what is true now. It does not know why the effect was planned.

use jiff::Timestamp;
use sluice_crds::Rollout;
use sluice_traffic::{Split, registry::Pair};

use crate::{
    Effect, Fact, Hold, ReplicaSet, World, references,
    rollout::{
        canary::{self, routed_size},
        replicas::{self, canary_limits, carrying},
    },
    routing::{self, Objects},
};

/// Whether `effect` may be carried out now: `Err` names the invariant that it would break. `world` is the freshest view that
/// the shell could get.
pub fn check(now: Timestamp, world: &World, effect: &Effect) -> Result<(), Hold> {
    let _ = now;
    if world.incumbent.is_some() {
        return refuse("S13", "another controller is live for the same objects");
    }
    match effect {
        Effect::CreateReplicaSet { .. }
        | Effect::CreateRun { .. }
        | Effect::TerminateRun { .. }
        | Effect::PatchPod { .. }
        | Effect::PatchReplicaSet { replicas: None, .. } => Ok(()),
        Effect::DeleteRun { name, .. } => {
            let status = world.rollout.status.as_ref();
            if status.is_some_and(|status| status.runs().any(|run| run.name == *name)) {
                refuse("S15", "the status names this AnalysisRun")
            } else {
                Ok(())
            }
        }
        Effect::PatchReplicaSet {
            name,
            replicas: Some((_, to)),
            ..
        } => match find(world, name) {
            Some(set) if *to < set.wanted => check_scale_down(world, set, *to),
            Some(_) => Ok(()),
            None => refuse("S15", "the ReplicaSet is not there, or is not ours"),
        },
        Effect::ScaleWorkload { replicas: (_, to), .. } => check_workload(world, *to),
        Effect::EvictPod { replica_set, ready, .. } => match find(world, replica_set) {
            Some(set) if *ready && set.wanted > 1 && set.available <= 1 => {
                refuse("S1", "it is the last available pod of several")
            }
            Some(_) => Ok(()),
            None => refuse("S15", "the ReplicaSet is not there, or is not ours"),
        },
        Effect::DeleteReplicaSet { name, .. } => match find(world, name) {
            Some(set) if set.wanted > 0 || set.replicas > 0 => refuse("S15", "the ReplicaSet has pods"),
            Some(set) if is_stable(world, set) => refuse("S4", "it is the stable ReplicaSet"),
            Some(set) => check_scale_down(world, set, 0),
            None => Ok(()),
        },
        Effect::SwitchService { name, revision, .. }
        | Effect::SwitchSubset {
            subset: name, revision, ..
        } => check_switch(world, name, revision),
        Effect::ReleaseService { name, .. } => {
            if !is_deleting(world) && references::references(&world.rollout).services.contains(name) {
                refuse("S6", format!("the Rollout names Service {name}"))
            } else {
                Ok(())
            }
        }
        Effect::ReleaseRoute { route, .. } | Effect::DeleteRoute { route, .. } => {
            if is_deleting(world) {
                Ok(())
            } else {
                refuse("S5", format!("the Rollout of {route} is not being deleted"))
            }
        }
        Effect::SetSplit { split, .. } | Effect::CreateRoute { split, .. } => check_split(world, split),
        Effect::SetManagedRoutes { names, .. } => check_managed_routes(world, names),
    }
}

fn refuse(invariant: &'static str, why: impl Into<String>) -> Result<(), Hold> {
    Err(Hold::Refused {
        invariant,
        why: why.into(),
    })
}

/// What all the traffic is in the weights of the steps.
fn total(world: &World) -> u32 {
    world.rollout.spec.canary().map_or(100, canary::total)
}

/// What the Services that are meant get of a split, in parts of `whole`, rounded up.
fn parts(weights: &[(String, u32)], is_meant: impl Fn(&str) -> bool, whole: u32) -> u32 {
    let sum =
        |weights: &mut dyn Iterator<Item = &(String, u32)>| weights.map(|(_, weight)| u64::from(*weight)).sum::<u64>();
    let all = sum(&mut weights.iter());
    let share = sum(&mut weights.iter().filter(|(name, _)| is_meant(name)));
    let parts = (share * u64::from(whole)).div_ceil(all.max(1));
    u32::try_from(parts).unwrap_or(whole)
}

fn share_text(weight: u32, whole: u32) -> String {
    match whole {
        100 => format!("{weight} %"),
        _ => format!("{weight} of {whole}"),
    }
}

fn is_deleting(world: &World) -> bool {
    world.rollout.metadata.deletion_timestamp.is_some()
}

fn find<'w>(world: &'w World, name: &str) -> Option<&'w ReplicaSet> {
    world.replica_sets.known()?.get(name)
}

fn by_hash<'w>(world: &'w World, hash: &str) -> Option<&'w ReplicaSet> {
    world.replica_sets.known()?.values().find(|set| set.hash == hash)
}

fn is_stable(world: &World, set: &ReplicaSet) -> bool {
    let status = world.rollout.status.as_ref();
    !set.hash.is_empty() && status.and_then(|status| status.stable_rs.as_ref()) == Some(&set.hash)
}

fn replicas(rollout: &Rollout) -> u32 {
    rollout
        .spec
        .replicas
        .map_or(1, |replicas| u32::try_from(replicas).unwrap_or(0))
}

/// S1, S3, S4: what a revision may get now, by the objects as they stand, must be carried by what is left of it.
fn check_scale_down(world: &World, set: &ReplicaSet, to: u32) -> Result<(), Hold> {
    let all = replicas(&world.rollout);
    let pair = references::pair(&world.rollout);
    let has_router = !references::routers(&world.rollout).is_empty();
    let canary = world.rollout.spec.canary();
    let is_dynamic = canary.is_some_and(sluice_crds::CanaryStrategy::dynamic_stable_scale_or_default);
    if is_stable(world, set) && has_router && !is_dynamic && to < all {
        return refuse("S4", format!("stable would have {to} pods of {all}"));
    }
    check_total(world, set, to)?;
    let mut reaching = Vec::new();
    for name in [pair.stable, pair.canary].into_iter().filter(|name| !name.is_empty()) {
        match routing::selector(world, name) {
            Some(Fact::Known(selector)) => {
                let selected = selector.observe(name);
                if selected.revision.as_ref().is_none_or(|revision| *revision == set.hash) {
                    reaching.push(name);
                }
            }
            Some(Fact::Absent) => {}
            Some(Fact::Unknown(_)) | None => return refuse("S3", format!("{name} could not be read")),
        }
    }
    if reaching.is_empty() {
        return Ok(());
    }
    if to == 0 && all > 0 {
        return refuse("S1", format!("Service {} selects this revision", reaching[0]));
    }
    let strategy = world.rollout.spec.strategy.as_ref();
    let is_blue_green = strategy.is_some_and(|strategy| strategy.blue_green.is_some());
    if is_blue_green && reaching.contains(&pair.stable) && to < all {
        return refuse(
            "S3",
            format!("the active Service selects it, and it would have {to} pods of {all}"),
        );
    }
    for weights in observed(world, pair)? {
        let whole = total(world);
        let share = parts(&weights, |name| reaching.contains(&name), whole);
        let needed = carrying(all, share, whole);
        if needed > to {
            let text = share_text(share, whole);
            return refuse(
                "S3",
                format!("{text} of the traffic needs {needed} pods, {to} would be left"),
            );
        }
    }
    Ok(())
}

/// S3 without a router, where traffic follows the pods: enough of them are left in all.
fn check_total(world: &World, set: &ReplicaSet, to: u32) -> Result<(), Hold> {
    let strategy = world.rollout.spec.strategy.as_ref();
    let canary = strategy.and_then(|strategy| strategy.canary.as_ref());
    let Some(canary) = canary.filter(|canary| canary.traffic_routing.is_none()) else {
        return Ok(());
    };
    let all = replicas(&world.rollout);
    let limits = canary_limits(canary, all);
    let sets = world.replica_sets.known().into_iter().flat_map(|sets| sets.values());
    let others: u32 = sets
        .filter(|other| other.name != set.name)
        .map(|other| other.available)
        .sum();
    let (left, floor) = (others + set.available.min(to), all.saturating_sub(limits.unavailable));
    if to < set.available && left < floor {
        return refuse(
            "S3",
            format!("{left} pods would be available in all, {floor} are needed"),
        );
    }
    Ok(())
}

/// S3 between a Deployment and the Rollout that takes over from it: together they have enough pods.
fn check_workload(world: &World, to: u32) -> Result<(), Hold> {
    let all = replicas(&world.rollout);
    let sets = world.replica_sets.known().into_iter().flat_map(|sets| sets.values());
    let available: u32 = sets.map(|set| set.available).sum();
    if available + to < all {
        return refuse(
            "S3",
            format!("{available} pods of the Rollout and {to} of the Deployment would be left of {all}"),
        );
    }
    Ok(())
}

/// Weights of the pair in every managed rule of every route.
fn observed(world: &World, pair: Pair<'_>) -> Result<Vec<Vec<(String, u32)>>, Hold> {
    let mut all = Vec::new();
    for router in references::routers(&world.rollout) {
        let objects = Objects::read(world, &router).map_err(|hold| Hold::Refused {
            invariant: "S3",
            why: hold.to_string(),
        })?;
        match router.observe(objects.seen(), pair) {
            Ok(observed) => all.extend(observed.managed.into_iter().map(|weights| {
                let ours = weights
                    .by_service
                    .into_iter()
                    .filter(|(name, _)| name == pair.stable || name == pair.canary);
                ours.collect()
            })),
            Err(problem) => {
                return Err(Hold::Refused {
                    invariant: "S3",
                    why: problem.to_string(),
                });
            }
        }
    }
    Ok(all)
}

/// S1, S6: a Service only goes to the stable or the present revision, and only to one with available pods.
fn check_switch(world: &World, name: &str, revision: &str) -> Result<(), Hold> {
    let status = world.rollout.status.clone().unwrap_or_default();
    let known = [&status.stable_rs, &status.current_pod_hash];
    if !known.into_iter().flatten().any(|hash| hash == revision) {
        return refuse(
            "S6",
            format!("{revision} is neither the stable nor the present revision"),
        );
    }
    if status.abort == Some(true) && status.stable_rs.as_deref() != Some(revision) {
        return refuse("S9", "the update was aborted in the meantime");
    }
    let available = by_hash(world, revision).map_or(0, |set| set.available);
    if available == 0 && replicas(&world.rollout) > 0 {
        return refuse(
            "S1",
            format!("revision {revision} has no available pods for Service {name}"),
        );
    }
    let needed = needed_behind(world, name);
    // To leave a revision that can carry no more is no loss.
    if available < needed && available < selected_available(world, name) {
        return refuse(
            "S2",
            format!("revision {revision} has {available} available pods for Service {name}, which needs {needed}"),
        );
    }
    Ok(())
}

/// Available pods that a revision must have before `name` selects it: as many as carry everything where it is the stable or
/// the active Service.
fn needed_behind(world: &World, name: &str) -> u32 {
    let strategy = world.rollout.spec.strategy.as_ref();
    let is_canary = strategy.is_some_and(|strategy| strategy.canary.is_some());
    match references::pair(&world.rollout).stable {
        stable if stable != name => 0,
        _ if is_canary => needed_for(world, false, total(world)),
        _ => replicas(&world.rollout),
    }
}

/// Available pods of the revision that a Service selects now; 0 where it selects none.
fn selected_available(world: &World, name: &str) -> u32 {
    selected(world, name)
        .and_then(|revision| by_hash(world, &revision))
        .map_or(0, |set| set.available)
}

/// S1, S2, S9: who gets more traffic must have pods for it, and an aborted revision gets no more.
fn check_split(world: &World, split: &Split) -> Result<(), Hold> {
    let pair = references::pair(&world.rollout);
    let status = world.rollout.status.clone().unwrap_or_default();
    let before = observed(world, pair)?;
    let whole = total(world);
    let share = |weights: &[(String, u32)], name: &str| parts(weights, |service| service == name, whole);
    let after: Vec<(String, u32)> = split.weights().by_service.into_iter().collect();
    let raised = |name: &str| before.iter().any(|weights| share(&after, name) > share(weights, name));
    if status.abort == Some(true)
        && raised(pair.canary)
        && before
            .iter()
            .all(|weights| share(&after, pair.canary) > share(weights, pair.canary))
    {
        return refuse("S9", "the update was aborted and its weight would rise");
    }
    let others_dead = |name: &str| {
        let other = if name == pair.canary { pair.stable } else { pair.canary };
        selected(world, other).is_some_and(|hash| by_hash(world, &hash).is_none_or(|set| set.available == 0))
    };
    for name in [pair.stable, pair.canary] {
        let weight = share(&after, name);
        let text = share_text(weight, whole);
        if weight == 0 || !raised(name) || replicas(&world.rollout) == 0 {
            continue;
        }
        let available = match selected(world, name) {
            Some(hash) => by_hash(world, &hash).map_or(0, |set| set.available),
            None => return Ok(()),
        };
        if available == 0 && !others_dead(name) {
            return refuse(
                "S1",
                format!("Service {name} has no available pods and would get {text}"),
            );
        }
        let needed = needed_for(world, name == pair.canary, weight);
        if available < needed && !others_dead(name) {
            return refuse(
                "S2",
                format!("Service {name} would get {text} with {available} of {needed} pods"),
            );
        }
    }
    Ok(())
}

/// S1: routes of requests to the canary are there only while it has pods.
fn check_managed_routes(world: &World, names: &[String]) -> Result<(), Hold> {
    if names.is_empty() {
        return Ok(());
    }
    let pair = references::pair(&world.rollout);
    let status = world.rollout.status.as_ref();
    if status.is_some_and(|status| status.abort == Some(true)) {
        return refuse("S9", "the update was aborted in the meantime");
    }
    if selected_available(world, pair.canary) == 0 {
        return refuse(
            "S1",
            format!("Service {} has no available pods for {}", pair.canary, names.join(", ")),
        );
    }
    Ok(())
}

/// Pods that must be available before a Service gets `weight` parts of the total. A canary that the steps size by setCanaryScale needs what they
/// ask for; after an abort stable gets what it can carry, which the plan has worked out.
fn needed_for(world: &World, is_canary: bool, weight: u32) -> u32 {
    let status = world.rollout.status.clone().unwrap_or_default();
    let strategy = world.rollout.spec.strategy.clone().unwrap_or_default();
    let Some(canary) = strategy.canary else { return 1 };
    let all = replicas(&world.rollout);
    let limits = canary_limits(&canary, all);
    let full = replicas::present(all, limits.unavailable, weight, canary::total(&canary)).max(1);
    if is_canary {
        full.min(routed_size(all, &canary, &status).max(1))
    } else {
        full
    }
}

/// The revision that a Service or subset selects; `None` where it selects pods of every revision, or cannot be read.
fn selected(world: &World, name: &str) -> Option<String> {
    routing::selector(world, name)?.known()?.observe(name).revision
}
