//! How routes and Services are when the Rollout no longer moves them.

use sluice_traffic::{Rest, Split, routers::service};

use super::{Route, Traffic};
use crate::{Effect, rollout::turn::Turn};

impl<'a> Traffic<'a> {
    /// How a route is to be given back should the Rollout be deleted with this split on it; `None` where the split is as it
    /// should be at rest. With pingPong that is so wherever one of the two has everything.
    pub(super) fn rest(&self, route: &Route<'a>, to: &Split) -> Option<Rest> {
        let weights = to.weights();
        let is_whole = |name: &str| weights.share_of(name) == 10_000;
        let is_at_rest = is_whole(self.stable) || (self.is_ping_pong && is_whole(self.canary));
        (!is_at_rest).then(|| Rest {
            stable: self.stable.to_owned(),
            rules: route.router.rules().to_vec(),
        })
    }

    /// Gives back a Service that the Rollout no longer names, once its update is over.
    pub fn release(&self, turn: &mut Turn<'a>) {
        let named = [self.stable, self.canary];
        let former = self.services.values().filter(|service| !named.contains(&service.name));
        for service in former {
            if let Some(patch) = service::release(service.selector.value()).filter(|_| !turn.is_spent()) {
                let name = service.name.to_owned();
                turn.effects.push(Effect::ReleaseService { name, patch });
            }
        }
    }
}
