//! What becomes of Services and routes whose Rollout is gone, or is being deleted.
//!
//! Routes go back first, as the traffic must leave the canary, then DestinationRules and Services no longer select a revision:
//! whoever else has pods for them gets the traffic. All that is needed to know is written on the objects themselves, so that it
//! makes no difference when, and by which process, this is found out.
//!
//! The annotations of Services and DestinationRules, by which routes are known to be the Rollout's, are taken away last: only
//! when a look at the routes found nothing of ours on them. So a route that cannot be written keeps no Service from being given
//! back, and is not forgotten.

use serde_json::Value;
use sluice_traffic::{
    MANAGED_BY_ANNOTATION,
    release::{self, Left, Release},
};

use crate::{Effect, Fact, World, references};

/// What there is of a Rollout that is gone.
#[derive(Clone, Debug, Default)]
pub struct Remains {
    /// Name of the Rollout.
    pub rollout: String,
    /// The Services that are annotated as managed by it.
    pub services: Vec<Value>,
    /// All route objects and DestinationRules of its namespace, freshly read.
    pub objects: Vec<Value>,
}

/// What to do next, in this order. One that fails keeps none of the others back. When all of them are carried out, it is to be
/// asked again with what is there then, until there is nothing to do.
pub fn release(remains: &Remains) -> Vec<Effect> {
    let left = Left {
        rollout: &remains.rollout,
        services: remains.services.iter().collect(),
        objects: remains.objects.iter().collect(),
    };
    effects(&left)
}

/// The same for a Rollout that is being deleted, by what it names.
pub(crate) fn of_world(world: &World) -> Vec<Effect> {
    let rollout = world.rollout.metadata.name.as_deref().unwrap_or_default();
    let named = references::references(&world.rollout).services;
    let is_its_own = |name: &String, value: &Value| {
        let manager = value
            .pointer("/metadata/annotations")
            .and_then(|all| all.get(MANAGED_BY_ANNOTATION));
        manager.map_or(named.contains(name), |manager| manager == rollout)
    };
    let services = world
        .services
        .iter()
        .filter_map(|(name, fact)| Some((name, fact.known()?)));
    effects(&Left {
        rollout,
        services: services
            .filter(|(name, value)| is_its_own(name, value))
            .map(|(_, value)| value)
            .collect(),
        objects: world.objects.values().filter_map(Fact::known).collect(),
    })
}

fn effects(left: &Left<'_>) -> Vec<Effect> {
    let routes = release::routes(left);
    let is_marked = !routes.is_empty();
    let objects = routes.into_iter().chain(release::destination_rules(left, is_marked));
    let objects = objects.map(|release| match release {
        Release::Patch { object: route, patch } => Effect::ReleaseRoute { route, patch },
        Release::Delete {
            object: route,
            uid,
            resource_version,
        } => Effect::DeleteRoute {
            route,
            uid,
            resource_version,
        },
    });
    let services = release::services(left, is_marked).into_iter();
    let services = services.map(|(name, patch)| Effect::ReleaseService { name, patch });
    objects.chain(services).collect()
}
