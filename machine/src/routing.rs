//! What was read for the routers of a Rollout, and what selects the pods of each side of its split.

use serde_json::Value;
use sluice_traffic::{
    ObjectRef, Router, Seen,
    routers::{
        destination_rule,
        service::{self, Selected},
    },
};

use crate::{Fact, Hold, Why, World, references};

/// What was read for a router.
#[derive(Clone, Debug)]
pub struct Objects<'w> {
    /// The router's object; `None` where it is absent and the router's own to create.
    pub object: Option<&'w Value>,
    /// Its sources; `None` where one is not there, or could not be read.
    pub sources: Vec<Option<&'w Value>>,
}

impl<'w> Objects<'w> {
    /// Reads them from the World. Fails with why the router cannot be worked with.
    pub fn read(world: &'w World, router: &Router) -> Result<Objects<'w>, Hold> {
        let namespace = world.rollout.metadata.namespace.as_deref().unwrap_or_default();
        let object = router.object(namespace);
        let object = match world.objects.get(&object) {
            Some(Fact::Known(value)) => Some(value),
            Some(Fact::Absent) if router.creates_object() => None,
            Some(Fact::Absent) => {
                return Err(Hold::Missing {
                    what: object.to_string(),
                });
            }
            Some(Fact::Unknown(why)) => return Err(unknown(&object, why.clone())),
            None => return Err(unknown(&object, Why::Syncing)),
        };
        let known = |source: &ObjectRef| world.objects.get(source).and_then(Fact::known);
        Ok(Objects {
            object,
            sources: router.sources(namespace).iter().map(known).collect(),
        })
    }

    /// As routers take it.
    pub fn seen(&self) -> Seen<'_> {
        Seen {
            object: self.object,
            sources: &self.sources,
        }
    }
}

/// What selects the pods of one side of the split.
#[derive(Clone, Copy, Debug)]
pub enum Selector<'w> {
    /// A Service.
    Service(&'w Value),
    /// A subset of this DestinationRule.
    Subset(&'w Value),
}

impl<'w> Selector<'w> {
    /// The object.
    pub fn value(self) -> &'w Value {
        match self {
            Selector::Service(value) | Selector::Subset(value) => value,
        }
    }

    /// What it selects, under the name that it has in the pair.
    pub fn observe(self, name: &str) -> Selected {
        match self {
            Selector::Service(value) => service::observe(value),
            Selector::Subset(value) => destination_rule::observe(value, name),
        }
    }
}

/// The DestinationRule whose subsets are the pair, where one is configured.
pub fn destination_rule(world: &World) -> Option<ObjectRef> {
    let namespace = world.rollout.metadata.namespace.as_deref().unwrap_or_default();
    references::routers(&world.rollout)
        .iter()
        .find_map(|router| Some(destination_rule::object(router.destination_rule()?, namespace)))
}

/// What selects the pods of a name in the pair. `None` where it was not looked up.
pub fn selector<'w>(world: &'w World, name: &str) -> Option<Fact<Selector<'w>>> {
    let (fact, make): (_, fn(&'w Value) -> Selector<'w>) = match destination_rule(world) {
        Some(rule) => (world.objects.get(&rule)?, Selector::Subset),
        None => (world.services.get(name)?, Selector::Service),
    };
    Some(match fact {
        Fact::Known(value) => Fact::Known(make(value)),
        Fact::Absent => Fact::Absent,
        Fact::Unknown(why) => Fact::Unknown(why.clone()),
    })
}

fn unknown(object: &ObjectRef, why: Why) -> Hold {
    Hold::Unknown {
        what: object.to_string(),
        why,
    }
}
