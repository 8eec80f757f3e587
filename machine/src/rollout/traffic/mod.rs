//! Where traffic goes, may still go, and is to go.
//!
//! `Eff`, in reliability terms: every split that some proxy may still be applying. It is made of what the objects say now and,
//! until the last change has settled, of what they said before (the `moving` record on the object itself).

mod rest;
mod settling;

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use sluice_crds::RolloutStatus;
use sluice_traffic::{
    Dest, ManagedRoute, Moving, ObjectRef, Observed, Router, RouterProblem, Split, Weights, eff,
    registry::Pair,
    routers::{destination_rule, service},
};

pub(super) use settling::Settling;

use super::{context::Context, turn::Turn};
use crate::{
    Effect, Event, EventKind, Fact, Hold, references,
    routing::{self, Objects, Selector},
};

/// One router's object.
pub(super) struct Route<'a> {
    pub router: Router,
    pub object: ObjectRef,
    pub objects: Objects<'a>,
    pub observed: Observed,
}

/// One Service, or subset of a DestinationRule, that the Rollout names.
pub(super) struct Service<'a> {
    pub name: &'a str,
    pub selector: Selector<'a>,
    pub selected: service::Selected,
}

impl Service<'_> {
    fn object(&self) -> ObjectRef {
        let (kind, name) = match self.selector {
            Selector::Service(_) => ("Service", self.name.to_owned()),
            Selector::Subset(rule) => {
                let rule = rule["metadata"]["name"].as_str().unwrap_or_default();
                ("DestinationRule", format!("{rule}/{}", self.name))
            }
        };
        let value = self.selector.value();
        ObjectRef {
            api_version: value["apiVersion"].as_str().unwrap_or("v1").to_owned(),
            kind: kind.to_owned(),
            namespace: value["metadata"]["namespace"].as_str().unwrap_or_default().to_owned(),
            name,
        }
    }

    /// Whether it is a subset, behind which no endpoints can be seen.
    pub fn is_subset(&self) -> bool {
        matches!(self.selector, Selector::Subset(_))
    }

    fn resource_version(&self) -> &str {
        self.selector.value()["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default()
    }

    /// Whether it selects what we wrote last; also true where we never wrote.
    pub fn is_as_written(&self) -> bool {
        self.selected.moving.as_ref().is_none_or(|moving| {
            let written = moving.to.parts.keys().next().map(|dest| dest.revision.as_str());
            written == self.selected.revision.as_deref()
        })
    }
}

/// All routes and Services of a Rollout that can be worked with, and why the others cannot.
pub(super) struct Traffic<'a> {
    pub routes: Vec<Route<'a>>,
    pub services: BTreeMap<&'a str, Service<'a>>,
    /// Why a route or Service cannot be worked with. While there is one, no weight is raised and nothing is scaled down.
    pub problem: Option<Hold>,
    stable: &'a str,
    canary: &'a str,
    /// The two Services change roles with each update.
    is_ping_pong: bool,
    /// All traffic goes to the one revision that the active Service selects.
    is_blue_green: bool,
    /// What all the traffic is in the weights of the steps.
    total: u32,
    /// `spec.replicas`.
    replicas: u32,
    drain: SignedDuration,
}

/// Pods that a revision needs for the traffic that it may get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Need {
    /// Its largest share of the split, in parts of `total`, rounded up.
    pub weight: u32,
    /// What the share is a part of.
    pub total: u32,
    /// Whether anything at all may reach it, for example through a preview Service or a rule that is not managed.
    pub any: bool,
}

impl Need {
    /// Whether no traffic may reach the revision, and nothing may begin to.
    pub fn is_nothing(self) -> bool {
        self.weight == 0 && !self.any
    }

    /// Pods that it takes at least when `replicas` carry everything.
    pub fn pods(self, replicas: u32) -> u32 {
        let share = super::replicas::carrying(replicas, self.weight, self.total);
        if self.any && replicas > 0 { share.max(1) } else { share }
    }
}

impl<'a> Traffic<'a> {
    /// Reads routes and Services. With pingPong `status` tells which Service is which.
    pub fn read(context: &Context<'a>, status: Option<&RolloutStatus>) -> Traffic<'a> {
        let pair = references::pair_by(context.rollout, status);
        let mut traffic = Traffic {
            routes: Vec::new(),
            services: BTreeMap::new(),
            problem: None,
            stable: pair.stable,
            canary: pair.canary,
            is_ping_pong: context.canary().is_some_and(|canary| canary.ping_pong.is_some()),
            is_blue_green: context.canary().is_none(),
            total: context.canary().map_or(100, super::canary::total),
            replicas: context.replicas,
            drain: drain(context),
        };
        for name in [pair.stable, pair.canary].into_iter().filter(|name| !name.is_empty()) {
            let what = || match routing::destination_rule(context.world) {
                Some(rule) => rule.to_string(),
                None => format!("Service {name}"),
            };
            match routing::selector(context.world, name) {
                Some(Fact::Known(selector)) => {
                    let selected = selector.observe(name);
                    traffic.services.insert(
                        name,
                        Service {
                            name,
                            selector,
                            selected,
                        },
                    );
                }
                Some(Fact::Absent) => traffic.trouble(Hold::Missing { what: what() }),
                Some(Fact::Unknown(why)) => traffic.trouble(Hold::Unknown { what: what(), why }),
                None => traffic.trouble(Hold::Unknown {
                    what: what(),
                    why: crate::Why::Syncing,
                }),
            }
        }
        // What an earlier spec named may still get traffic from somewhere.
        for (name, fact) in &context.world.services {
            let Fact::Known(value) = fact else { continue };
            let selected = service::observe(value);
            if !traffic.services.contains_key(name.as_str()) && selected.managed_by.as_deref() == Some(context.name) {
                let selector = Selector::Service(value);
                traffic.services.insert(
                    name,
                    Service {
                        name,
                        selector,
                        selected,
                    },
                );
            }
        }
        for router in references::routers(context.rollout) {
            traffic.read_route(context, router);
        }
        traffic
    }

    fn read_route(&mut self, context: &Context<'a>, router: Router) {
        let object = router.object(context.namespace);
        let problem = |problem: RouterProblem| Hold::RouteProblem {
            problem: problem.to_string(),
        };
        let objects = match Objects::read(context.world, &router) {
            Ok(objects) => objects,
            Err(hold) => return self.trouble(hold),
        };
        let uid = context.rollout.metadata.uid.as_deref().unwrap_or_default();
        if let Some(foreign) = objects.object.and_then(|value| router.owner_problem(value, uid)) {
            return self.trouble(problem(foreign));
        }
        match router.observe(objects.seen(), self.pair()) {
            Ok(observed) => self.routes.push(Route {
                router,
                object,
                objects,
                observed,
            }),
            Err(found) => self.trouble(problem(found)),
        }
    }

    fn trouble(&mut self, hold: Hold) {
        self.problem.get_or_insert(hold);
    }

    pub fn pair(&self) -> Pair<'a> {
        Pair {
            stable: self.stable,
            canary: self.canary,
        }
    }

    pub fn stable_service(&self) -> Option<&Service<'a>> {
        self.services.get(self.stable)
    }

    pub fn canary_service(&self) -> Option<&Service<'a>> {
        self.services.get(self.canary)
    }

    /// The canary Service's largest share over all managed rules, in parts of the total, rounded up; 0 without routes.
    pub fn canary_weight(&self) -> u32 {
        self.managed()
            .map(|weights| self.share(weights, self.canary))
            .max()
            .unwrap_or(0)
    }

    /// Whether every managed rule of every route has exactly `weight` parts of the total on the canary Service.
    pub fn is_at(&self, weight: u32) -> bool {
        let wanted = self.weights(weight);
        self.managed()
            .all(|weights| self.only_pair(weights).same_shares(&wanted))
    }

    fn managed(&self) -> impl Iterator<Item = &Weights> {
        self.routes.iter().flat_map(|route| route.observed.managed.iter())
    }

    /// What all the traffic is in the weights of the steps.
    pub fn total(&self) -> u32 {
        self.total
    }

    fn weights(&self, weight: u32) -> Weights {
        let parts = [(self.canary, weight), (self.stable, self.total.saturating_sub(weight))];
        Weights {
            by_service: parts
                .into_iter()
                .map(|(name, weight)| (name.to_owned(), weight))
                .collect(),
        }
    }

    fn only_pair(&self, weights: &Weights) -> Weights {
        let is_ours = |name: &str| name == self.stable || name == self.canary;
        let ours = weights.by_service.iter().filter(|(name, _)| is_ours(name));
        Weights {
            by_service: ours.map(|(name, weight)| (name.clone(), *weight)).collect(),
        }
    }

    /// Share of a Service among the two that we split between, in parts of the total, rounded up.
    fn share(&self, weights: &Weights, service: &str) -> u32 {
        self.only_pair(weights).parts_of(service, self.total)
    }

    /// Every split of the managed rules that a proxy may be applying on one route.
    fn possible_weights(&self, turn: &mut Turn<'a>, route: &Route<'a>) -> Vec<Weights> {
        let settled = !matches!(self.route_settling(turn, route), Settling::Waiting(_));
        let managed = Observed {
            unmanaged: Vec::new(),
            ..route.observed.clone()
        };
        let mut possible = eff::possible(&managed, settled);
        if !settled && route.observed.moving.is_none() {
            // The record is gone, perhaps with a foreign write: what was before is not known, so everything is possible.
            possible.extend([self.weights(0), self.weights(self.total)]);
        }
        possible
    }

    /// Every revision that a Service may be sending its traffic to; the empty name stands for pods of any revision.
    fn possible_revisions(&self, turn: &mut Turn<'a>, service: &Service<'a>) -> BTreeSet<String> {
        let selected = &service.selected;
        let settled = !matches!(self.service_settling(turn, service), Settling::Waiting(_));
        let mut possible = eff::possible_revisions(
            service.name,
            selected.revision.as_deref(),
            selected.moving.as_ref(),
            settled,
        );
        if !settled && selected.moving.is_none() {
            // The record is gone: what was before is not known.
            possible.insert(String::new());
        }
        possible
    }

    /// What a revision may be getting: the largest share over everything that is possible. With a read that failed, all.
    pub fn need(&self, turn: &mut Turn<'a>, hash: &str) -> Need {
        if self.problem.is_some() {
            return Need {
                weight: self.total,
                total: self.total,
                any: true,
            };
        }
        let mut need = Need {
            total: self.total,
            ..Need::default()
        };
        let reaching: Vec<&str> = self
            .services
            .values()
            .filter(|service| {
                let revisions = self.possible_revisions(turn, service);
                revisions.iter().any(|revision| revision.is_empty() || revision == hash)
            })
            .map(|service| service.name)
            .collect();
        for route in &self.routes {
            for weights in self.possible_weights(turn, route) {
                let shares = reaching.iter().map(|name| self.share(&weights, name)).sum::<u32>();
                need.weight = need.weight.max(shares.min(self.total));
            }
        }
        if self.is_blue_green && reaching.contains(&self.stable) {
            need.weight = self.total;
        }
        // Whoever uses a Service by its name, or by a rule that is not managed, must find somebody behind it.
        need.any = !reaching.is_empty();
        need
    }

    /// Ready endpoints of `hash` behind a Service; `None` while they are being asked for or cannot be read.
    pub fn ready_endpoints(turn: &mut Turn<'a>, service: &Service<'a>, hash: &str) -> Option<u32> {
        let endpoints = turn.endpoints(service.name, service.resource_version())?.known()?;
        Some(endpoints.ready.get(hash).copied().unwrap_or(0))
    }

    /// Sets the first route whose managed rules are not at `weight`.
    pub fn set_weight(&self, turn: &mut Turn<'a>, weight: u32) -> Result<(), Hold> {
        for route in &self.routes {
            let wanted = self.weights(weight);
            if route
                .observed
                .managed
                .iter()
                .all(|weights| self.only_pair(weights).same_shares(&wanted))
            {
                continue;
            }
            if self.write(turn, route, &wanted)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Makes route objects of our own that are not there yet, and brings what they copy up to date. Weights stay.
    pub fn refresh(&self, turn: &mut Turn<'a>) -> Result<(), Hold> {
        let weight = self.canary_weight();
        for route in &self.routes {
            let is_stale = route.objects.object.is_none() || route.observed.outdated;
            if is_stale && !turn.is_spent() {
                self.write(turn, route, &self.weights(weight))?;
            }
        }
        Ok(())
    }

    /// Writes the weights of one route; whether there was anything to write.
    fn write(&self, turn: &mut Turn<'a>, route: &Route<'a>, wanted: &Weights) -> Result<bool, Hold> {
        let split = self.split(wanted);
        let moving = self.next_moving(turn, route, split.clone());
        let (router, seen, pair) = (&route.router, route.objects.seen(), self.pair());
        let problem = |problem: RouterProblem| Hold::RouteProblem {
            problem: problem.to_string(),
        };
        let effect = if route.objects.object.is_some() {
            let patch = router.edit(seen, pair, wanted, &moving).map_err(problem)?;
            patch.map(|patch| Effect::SetSplit {
                route: route.object.clone(),
                split,
                patch,
            })
        } else {
            Some(Effect::CreateRoute {
                route: route.object.clone(),
                split,
                object: router.create(seen, pair, wanted, &moving).map_err(problem)?,
            })
        };
        let wrote = effect.is_some();
        turn.effects.extend(effect);
        Ok(wrote)
    }

    /// The record for the next write on a route, after which it has the split `to`.
    fn next_moving(&self, turn: &mut Turn<'a>, route: &Route<'a>, to: Split) -> Moving {
        let before = route.observed.managed.iter();
        let before: Vec<Split> = before.map(|weights| self.split(&self.only_pair(weights))).collect();
        let settled = self.route_settling(turn, route) == Settling::Settled;
        let rest = self.rest(route, &to);
        let moving = eff::next_moving(turn.now, to, route.observed.moving.as_ref(), &before, settled);
        Moving { rest, ..moving }
    }

    /// Whether every route has exactly these routes of requests to the canary before the user's rules; if not, and where
    /// `may_write`, the next one is brought there.
    pub fn has_managed_routes(
        &self,
        turn: &mut Turn<'a>,
        wanted: &[ManagedRoute],
        may_write: bool,
    ) -> Result<bool, Hold> {
        for route in &self.routes {
            let split = route
                .observed
                .managed
                .first()
                .map_or_else(Weights::default, Clone::clone);
            let moving = self.next_moving(turn, route, self.split(&split));
            let seen = route.objects.seen();
            if seen.object.is_none() && wanted.is_empty() {
                continue;
            }
            let edit = route.router.edit_managed_routes(seen, self.pair(), wanted, &moving);
            let Some(patch) = edit.map_err(|problem| Hold::RouteProblem {
                problem: problem.to_string(),
            })?
            else {
                continue;
            };
            if may_write && !turn.is_spent() {
                turn.effects.push(Effect::SetManagedRoutes {
                    route: route.object.clone(),
                    names: wanted.iter().map(|route| route.name.clone()).collect(),
                    patch,
                });
            }
            return Ok(false);
        }
        Ok(true)
    }

    fn split(&self, weights: &Weights) -> Split {
        let dest = |name: &String| {
            let service = self.services.get(name.as_str());
            let revision = service
                .and_then(|service| service.selected.revision.clone())
                .unwrap_or_default();
            Dest {
                service: name.clone(),
                revision,
            }
        };
        let parts = weights
            .by_service
            .iter()
            .map(|(name, weight)| (dest(name), *weight))
            .collect();
        Split {
            total: weights.total(),
            parts,
        }
    }

    /// Makes a Service select a revision.
    pub fn switch(&self, turn: &mut Turn<'a>, context: &Context<'a>, name: &str, revision: &str) -> Result<(), Hold> {
        let Some(service) = self.services.get(name) else {
            return Ok(());
        };
        let dest = |revision: &str| Split {
            total: 100,
            parts: BTreeMap::from([(
                Dest {
                    service: name.to_owned(),
                    revision: revision.to_owned(),
                },
                100,
            )]),
        };
        let selected = &service.selected;
        let before = [dest(selected.revision.as_deref().unwrap_or_default())];
        let settled = self.service_settling(turn, service) == Settling::Settled;
        let moving = eff::next_moving(turn.now, dest(revision), selected.moving.as_ref(), &before, settled);
        let value = service.selector.value();
        let edit = match service.selector {
            Selector::Service(_) => service::edit(value, revision, context.name, &moving),
            Selector::Subset(_) => destination_rule::edit(value, name, revision, context.name, &moving),
        };
        let Some(patch) = edit.map_err(|problem| Hold::RouteProblem {
            problem: problem.to_string(),
        })?
        else {
            return Ok(());
        };
        let from = selected.revision.as_deref().unwrap_or_default();
        let what = match service.selector {
            Selector::Service(_) => "selector for service",
            Selector::Subset(_) => "labels of subset",
        };
        turn.events.push(Event {
            kind: EventKind::Normal,
            reason: "SwitchService",
            message: format!("Switched {what} '{name}' from '{from}' to '{revision}'"),
            key: context.event_key(&format!("{name}/{from}/{revision}/{}", turn.now)),
        });
        let revision = revision.to_owned();
        turn.effects
            .push(match (service.selector, routing::destination_rule(context.world)) {
                (Selector::Subset(_), Some(object)) => Effect::SwitchSubset {
                    object,
                    subset: name.to_owned(),
                    revision,
                    patch,
                },
                _ => Effect::SwitchService {
                    name: name.to_owned(),
                    revision,
                    patch,
                },
            });
        Ok(())
    }

    /// Somebody else's write on a route or Service since our own last one. It is told at once, and remembered until our answer has
    /// settled.
    pub fn foreign(&self, turn: &mut Turn<'a>, context: &Context<'a>) -> Option<Hold> {
        let (object, version, manager) = self.find_foreign()?;
        let object = object.to_string();
        let key = context.event_key(&format!("{object}/{version}"));
        let who = manager.as_deref().unwrap_or("an unknown writer");
        turn.events.push(Event {
            kind: EventKind::Warning,
            reason: "ForeignWriter",
            message: format!("{object} was changed by {who} since our own last write"),
            key,
        });
        turn.memory.contested.insert(object.clone(), manager.clone());
        Some(Hold::ForeignWriter { object, manager })
    }

    /// The object, which version of it, and who wrote it.
    fn find_foreign(&self) -> Option<(ObjectRef, String, Option<String>)> {
        let routes = self.routes.iter().find_map(|route| {
            let wanted = route.observed.moving.as_ref()?.to.weights();
            let mut weights = route.observed.managed.iter();
            let kept = weights.all(|weights| self.only_pair(weights).same_shares(&wanted));
            // Unlike the resourceVersion, it does not count what a gateway says of the route.
            let version = route.objects.object?["metadata"]["generation"].to_string();
            (!kept).then(|| (route.object.clone(), version, route.observed.foreign_manager.clone()))
        });
        routes.or_else(|| {
            let foreign = self.services.values().find(|service| !service.is_as_written())?;
            Some((
                foreign.object(),
                foreign.resource_version().to_owned(),
                foreign.selected.foreign_manager.clone(),
            ))
        })
    }
}

fn gateway<'a>(context: &Context<'a>) -> Option<&'a sluice_crds::GatewayApiRouting> {
    context.canary()?.traffic_routing.as_ref()?.gateway_api.as_ref()
}

fn drain(context: &Context<'_>) -> SignedDuration {
    let seconds = gateway(context)
        .and_then(|gateway| gateway.drain_seconds)
        .filter(|_| context.world.settings.extensions);
    seconds.map_or(context.world.settings.drain, |seconds| {
        SignedDuration::from_secs(i64::from(seconds.max(0)))
    })
}
