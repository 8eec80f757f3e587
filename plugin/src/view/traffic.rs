//! The split of the traffic: what is wanted, what the routes say, and what the data plane has acknowledged.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use sluice_crds::{CanaryStrategy, RolloutStatus};
use sluice_machine::{Answer, Ask, Fact, Hold, Plan, World, references, rollout::canary, routing::Objects};
use sluice_traffic::{Acknowledgement, Observed, Router, Weights, registry::Pair, routers::service};

use super::RevisionView;
use crate::text;

/// A route object and the share of the canary on it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteView {
    /// Kind, namespace and name.
    pub object: String,
    /// Share of the canary in percent that is wanted; absent where the present one is to stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<u32>,
    /// Share of the canary in percent on each rule that is managed, in the object's order.
    pub routed: Vec<u32>,
    /// `yes`, `draining`, `pending`, `refused` or `unknown`.
    pub acknowledged: &'static str,
    /// What is missing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// A Service of the Rollout.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceView {
    /// Name.
    pub name: String,
    /// `stable`, `canary`, `active` or `preview`.
    pub role: &'static str,
    /// What it selects: a revision, or what could not be read.
    pub selects: String,
    /// Ready endpoints of each revision, where they were looked up.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub endpoints: String,
}

/// What the steps ask for, as Argo's plugin counts it: a finished update has everything.
pub fn set_weight(canary: &CanaryStrategy, status: &RolloutStatus) -> u32 {
    if is_complete(status) {
        canary::total(canary)
    } else if status.abort == Some(true) {
        0
    } else {
        canary::weight(canary, status)
    }
}

/// The share of the new revision: of a finished update all; else the largest on the routes; else of the available pods.
pub fn actual_weight(world: &World, routes: &[RouteView]) -> u32 {
    let status = world.rollout.status.clone().unwrap_or_default();
    let canary = world.rollout.spec.canary();
    if is_complete(&status) {
        return canary.map_or(100, canary::total);
    }
    if canary.is_some_and(|canary| canary.traffic_routing.is_some()) {
        let written = || {
            status
                .canary
                .as_ref()?
                .weights
                .as_ref()
                .map(|weights| weights.canary.weight)
        };
        let greatest = routes.iter().flat_map(|route| route.routed.iter().copied()).max();
        return greatest.or_else(|| u32::try_from(written()?).ok()).unwrap_or(0);
    }
    let Some(sets) = world.replica_sets.known() else {
        return 0;
    };
    let new = status.current_pod_hash.as_deref().unwrap_or_default();
    let all: u32 = sets.values().map(|set| set.available).sum();
    let of_new: u32 = sets
        .values()
        .filter(|set| set.hash == new)
        .map(|set| set.available)
        .sum();
    (of_new * 100).checked_div(all).unwrap_or(0)
}

fn is_complete(status: &RolloutStatus) -> bool {
    status.stable_rs.is_some() && status.stable_rs == status.current_pod_hash
}

/// The share of the canary Service that is wanted on the routes.
fn wanted(world: &World) -> Option<u32> {
    let (canary, status) = (world.rollout.spec.canary()?, world.rollout.status.as_ref()?);
    if is_complete(status) || status.abort == Some(true) {
        return Some(0);
    }
    let first = status.stable_rs.as_deref().unwrap_or_default().is_empty();
    (!first && status.promote_full != Some(true)).then(|| canary::weight(canary, status))
}

/// All route objects that the Rollout names.
pub fn routes(world: &World, plan: &Plan, now: Timestamp) -> Vec<RouteView> {
    let pair = references::pair(&world.rollout);
    references::routers(&world.rollout)
        .iter()
        .map(|router| route(world, plan, now, router, pair))
        .collect()
}

fn route(world: &World, plan: &Plan, now: Timestamp, router: &Router, pair: Pair<'_>) -> RouteView {
    let object = router.object(world.rollout.metadata.namespace.as_deref().unwrap_or_default());
    let mut view = RouteView {
        object: object.to_string(),
        wanted: wanted(world),
        routed: Vec::new(),
        acknowledged: "unknown",
        detail: String::new(),
    };
    let objects = match Objects::read(world, router) {
        Ok(objects) => objects,
        Err(Hold::Missing { .. }) => {
            "it does not exist".clone_into(&mut view.detail);
            return view;
        }
        Err(hold) => {
            view.detail = match hold {
                Hold::Unknown { why, .. } => why.to_string(),
                other => other.to_string(),
            };
            return view;
        }
    };
    let observed = match router.observe(objects.seen(), pair) {
        Ok(observed) => observed,
        Err(problem) => {
            view.detail = format!("{}: {}", problem.path, problem.problem);
            return view;
        }
    };
    let total = world.rollout.spec.canary().map_or(100, canary::total);
    let managed = observed.managed.iter();
    view.routed = managed.map(|weights| share(weights, pair, total)).collect();
    let seen = plan.memory.acknowledged.get(&object).map(|(_, at)| *at);
    (view.acknowledged, view.detail) = acknowledged(world, &observed, seen, now);
    view
}

fn acknowledged(world: &World, observed: &Observed, seen: Option<Timestamp>, now: Timestamp) -> (&'static str, String) {
    match &observed.acknowledgement {
        Acknowledgement::Pending(what) => ("pending", what.clone()),
        Acknowledgement::Refused(why) => ("refused", why.clone()),
        Acknowledgement::Acknowledged => {
            let written = observed.moving.as_ref().map(|moving| moving.at);
            match seen.max(written).map(|at| at + drain(world)) {
                Some(until) if now < until => (
                    "draining",
                    format!(
                        "proxies get {} more to follow",
                        text::duration(now.duration_until(until))
                    ),
                ),
                _ => ("yes", String::new()),
            }
        }
    }
}

/// How long proxies may lag behind an acknowledged change.
fn drain(world: &World) -> SignedDuration {
    let canary = world.rollout.spec.canary();
    let gateway = canary.and_then(|canary| canary.traffic_routing.as_ref()?.gateway_api.as_ref());
    let seconds = gateway
        .filter(|_| world.settings.extensions)
        .and_then(|gateway| gateway.drain_seconds);
    seconds.map_or(world.settings.drain, |seconds| {
        SignedDuration::from_secs(i64::from(seconds.max(0)))
    })
}

/// The canary's part of what goes to the two Services, in parts of `total`, rounded up.
fn share(weights: &Weights, pair: Pair<'_>, total: u32) -> u32 {
    let ours = weights
        .by_service
        .iter()
        .filter(|(name, _)| [pair.stable, pair.canary].contains(&name.as_str()));
    let ours = Weights {
        by_service: ours.map(|(name, weight)| (name.clone(), *weight)).collect(),
    };
    ours.parts_of(pair.canary, total)
}

/// The Services that the Rollout names.
pub fn services(world: &World, revisions: &[RevisionView]) -> Vec<ServiceView> {
    let pair = references::pair(&world.rollout);
    let named = if world.rollout.spec.blue_green().is_some() {
        [("active", pair.stable), ("preview", pair.canary)]
    } else {
        [("stable", pair.stable), ("canary", pair.canary)]
    };
    named
        .into_iter()
        .filter(|(_, name)| !name.is_empty())
        .map(|(role, name)| service(world, revisions, role, name.to_owned()))
        .collect()
}

fn service(world: &World, revisions: &[RevisionView], role: &'static str, name: String) -> ServiceView {
    let called = |hash: &str| {
        let number = revisions
            .iter()
            .find(|revision| revision.sets.iter().any(|set| set.hash == hash));
        number.map_or_else(
            || hash.to_owned(),
            |revision| format!("{hash} (revision {})", revision.number),
        )
    };
    let selects = match world.services.get(&name) {
        Some(Fact::Known(value)) => match service::observe(value).revision {
            Some(hash) => called(&hash),
            None => "pods of every revision".to_owned(),
        },
        Some(Fact::Unknown(why)) => why.to_string(),
        Some(Fact::Absent) | None => "it does not exist".to_owned(),
    };
    let answer = world
        .answers
        .iter()
        .find_map(|(ask, answered)| match (ask, &answered.answer) {
            (Ask::Endpoints { service, .. }, Answer::Endpoints(fact)) if *service == name => Some(fact),
            _ => None,
        });
    let endpoints = match answer {
        Some(Fact::Known(endpoints)) if endpoints.ready.is_empty() => "no ready endpoints".to_owned(),
        Some(Fact::Known(endpoints)) => {
            let each = endpoints.ready.iter().map(|(hash, count)| match hash.as_str() {
                "" => format!("{count} of no revision"),
                hash => format!("{count} of {hash}"),
            });
            format!("ready endpoints: {}", each.collect::<Vec<_>>().join(", "))
        }
        Some(Fact::Absent) => "no EndpointSlices".to_owned(),
        Some(Fact::Unknown(why)) => format!("endpoints: {why}"),
        None => String::new(),
    };
    ServiceView {
        name,
        role,
        selects,
        endpoints,
    }
}
