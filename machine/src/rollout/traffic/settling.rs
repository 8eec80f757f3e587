//! Whether changes of routes and Services have reached everybody: acknowledged, and the drain time is over.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sluice_traffic::{Acknowledgement, Moving, routers::service};

use super::{Route, Service, Traffic};
use crate::{Fact, Hold, World, rollout::turn::Turn, routing::Selector};

/// Whether a change of a route or Service has reached everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settling {
    /// Acknowledged, and the drain time is over.
    Settled,
    /// Never acknowledged, and the time-out and the drain time are over: good enough to scale down, not to go on.
    TimedOut(Hold),
    /// Not yet.
    Waiting(Hold),
}

impl Settling {
    /// Whether it has settled. If not, that is what the Rollout waits for.
    pub fn or_hold(self, turn: &mut Turn<'_>) -> bool {
        match self {
            Settling::Settled => true,
            Settling::TimedOut(hold) | Settling::Waiting(hold) => {
                turn.hold(hold);
                false
            }
        }
    }
}

impl<'a> Traffic<'a> {
    /// Whether all routes and Services have settled.
    pub fn settling(&self, turn: &mut Turn<'a>) -> Settling {
        if let Some(problem) = &self.problem {
            return Settling::Waiting(problem.clone());
        }
        let mut worst = Settling::Settled;
        for route in &self.routes {
            worst = worse(worst, self.route_settling(turn, route));
        }
        for service in self.services.values() {
            worst = worse(worst, self.service_settling(turn, service));
        }
        worst
    }

    /// Whether the routes have settled.
    pub fn routes_settling(&self, turn: &mut Turn<'a>) -> Settling {
        let routes = self.routes.iter();
        routes.fold(Settling::Settled, |worst, route| {
            worse(worst, self.route_settling(turn, route))
        })
    }

    pub(super) fn route_settling(&self, turn: &mut Turn<'a>, route: &Route<'a>) -> Settling {
        let what = match &route.observed.acknowledgement {
            Acknowledgement::Acknowledged => {
                let version = route.observed.generation.to_string();
                let seen = turn.acknowledged(&route.object, &version);
                let moved = route
                    .observed
                    .moving
                    .as_ref()
                    .map_or(seen, |moving| seen.max(moving.at));
                return self.draining(turn, route.object.to_string(), moved);
            }
            Acknowledgement::Pending(what) | Acknowledgement::Refused(what) => what.clone(),
        };
        let hold = Hold::NotAcknowledged {
            object: route.object.to_string(),
            what,
        };
        self.timed_out(turn, route.observed.moving.as_ref(), hold)
    }

    /// Whether a Service's ready endpoints are all pods of the revision that it selects, and the drain time is over.
    pub fn service_settling(&self, turn: &mut Turn<'a>, service: &Service<'a>) -> Settling {
        let Some(revision) = &service.selected.revision else {
            // It selects pods of every revision, and does so since before our time.
            return Settling::Settled;
        };
        let moving = service.selected.moving.as_ref();
        let object = service.object();
        if let Selector::Subset(_) = service.selector {
            // A subset has no endpoints that could tell: proxies get the drain time.
            return match moving {
                Some(moving) => self.draining(turn, object.to_string(), moving.at),
                None => Settling::Settled,
            };
        }
        let version = format!(
            "{revision}@{}",
            moving.map_or(Timestamp::UNIX_EPOCH, |moving| moving.at)
        );
        if let Some(seen) = turn.was_acknowledged(&object, &version) {
            return self.draining(turn, object.to_string(), moved_at(turn.world(), service, seen));
        }
        let what = match turn.endpoints(service.name, service.resource_version()) {
            None => "its endpoints are being read".to_owned(),
            Some(Fact::Known(endpoints)) => {
                let own = endpoints.ready.get(revision).copied().unwrap_or(0);
                let others = endpoints.ready.values().sum::<u32>() - own;
                // No endpoints at all tell nothing: the switch may not have been looked at, while no pod was ready.
                if others == 0 && (own > 0 || moving.is_none()) {
                    let seen = turn.acknowledged(&object, &version);
                    return self.draining(turn, object.to_string(), moved_at(turn.world(), service, seen));
                }
                // Neither is remembered: it is another matter when there are pods.
                if let Some(moving) = moving
                    && others + own == 0
                {
                    if self.replicas == 0 {
                        // Nor will there be any.
                        return self.draining(turn, object.to_string(), moving.at);
                    }
                    if turn.now >= self.gives_up(turn, moving) && !has_ready_pods(turn.world(), revision) {
                        // Whoever makes the endpoints has looked by now, and found none. A revision that has broken down must not
                        // keep the next one from taking over.
                        return Settling::Settled;
                    }
                }
                if others == 0 {
                    format!("it has no ready endpoints of revision {revision}")
                } else {
                    format!("{others} ready endpoints are still pods of another revision than {revision}")
                }
            }
            Some(Fact::Absent) => "it has no EndpointSlices".to_owned(),
            Some(Fact::Unknown(why)) => format!("its endpoints are not known: {why}"),
        };
        turn.poll();
        let hold = Hold::NotAcknowledged {
            object: object.to_string(),
            what,
        };
        self.timed_out(turn, moving, hold)
    }

    fn draining(&self, turn: &mut Turn<'a>, object: String, moved: Timestamp) -> Settling {
        let until = moved + self.drain;
        if turn.now >= until {
            turn.memory.contested.remove(&object);
            return Settling::Settled;
        }
        turn.wake(until);
        Settling::Waiting(match turn.memory.contested.get(&object).cloned() {
            Some(manager) => Hold::ForeignWriter { object, manager },
            None => Hold::Draining { object, until },
        })
    }

    /// From when on a change that was not acknowledged is no longer waited for.
    fn gives_up(&self, turn: &Turn<'a>, moving: &Moving) -> Timestamp {
        moving.at + ack_timeout(turn.world()) + self.drain
    }

    fn timed_out(&self, turn: &mut Turn<'a>, moving: Option<&Moving>, hold: Hold) -> Settling {
        let Some(moving) = moving else {
            return Settling::Waiting(hold);
        };
        let until = self.gives_up(turn, moving);
        if turn.now >= until {
            return Settling::TimedOut(hold);
        }
        turn.wake(until);
        Settling::Waiting(hold)
    }
}

/// When the selector last changed as far as proxies are concerned: when its endpoints were first seen to have followed. A
/// selector that we have not switched counts from its last write, where managedFields tell, in whole seconds.
fn moved_at(world: &World, service: &Service<'_>, seen: Timestamp) -> Timestamp {
    match &service.selected.moving {
        // After a restart `seen` is now; a switch that is older than any acknowledgement takes has settled since.
        Some(moving) => seen.min(moving.at + ack_timeout(world)),
        None => service::last_write(service.selector.value())
            .map_or(Timestamp::UNIX_EPOCH, |at| at + SignedDuration::from_secs(1)),
    }
}

fn worse(one: Settling, other: Settling) -> Settling {
    match (&one, &other) {
        (Settling::Waiting(_), _) | (Settling::TimedOut(_), Settling::Settled | Settling::TimedOut(_)) => one,
        _ => other,
    }
}

fn has_ready_pods(world: &World, revision: &str) -> bool {
    let sets = world.replica_sets.known().into_iter().flat_map(BTreeMap::values);
    sets.filter(|set| set.hash == revision).any(|set| set.ready > 0)
}

fn ack_timeout(world: &World) -> SignedDuration {
    let canary = world
        .rollout
        .spec
        .strategy
        .as_ref()
        .and_then(|strategy| strategy.canary.as_ref());
    let gateway = canary.and_then(|canary| canary.traffic_routing.as_ref()?.gateway_api.as_ref());
    let seconds = gateway
        .and_then(|gateway| gateway.ack_timeout_seconds)
        .filter(|_| world.settings.extensions);
    seconds.map_or(world.settings.ack_timeout, |seconds| {
        SignedDuration::from_secs(i64::from(seconds.max(0)))
    })
}
