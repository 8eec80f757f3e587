//! One decision while it is being made: what it needs to ask, what it found to do, and the earliest reason to wait.

use jiff::{SignedDuration, Timestamp};
use sluice_traffic::ObjectRef;

use crate::{Answer, Ask, Effect, Endpoints, Event, EventKind, Fact, Hold, Memory, Pod, ReplicaSet, Why, World};

/// An answer is used for this long; then the question is asked again.
const FRESH: SignedDuration = SignedDuration::from_millis(400);
/// What the API server refused is asked again after this time: a quota or a webhook may have refused it, and not the template.
const REFUSED: SignedDuration = SignedDuration::from_secs(60);
/// A question that was not answered is asked again after this time.
const UNANSWERED: SignedDuration = SignedDuration::from_secs(2);
/// While endpoints have not followed a change, they are read this often.
const POLL: SignedDuration = SignedDuration::from_millis(500);

pub(super) struct Turn<'a> {
    pub now: Timestamp,
    world: &'a World,
    pub asks: Vec<Ask>,
    pub effects: Vec<Effect>,
    /// Of the effects.
    pub events: Vec<Event>,
    /// Of what the status says anew: published with the commit that says so, and not before.
    pub news: Vec<Event>,
    pub memory: Memory,
    /// See [`crate::Plan::confirm`].
    pub confirm: bool,
    /// Text of the condition when this decision aborted the update.
    pub abort_message: Option<String>,
    wake_at: Option<Timestamp>,
    hold: Option<Hold>,
    otherwise: Option<Hold>,
}

impl<'a> Turn<'a> {
    pub fn new(now: Timestamp, world: &'a World) -> Self {
        Turn {
            now,
            world,
            asks: Vec::new(),
            effects: Vec::new(),
            events: Vec::new(),
            news: Vec::new(),
            memory: world.memory.clone(),
            confirm: false,
            abort_message: None,
            wake_at: None,
            hold: None,
            otherwise: None,
        }
    }

    pub fn world(&self) -> &'a World {
        self.world
    }

    /// Notes why the Rollout waits. The first reason is the one that is shown: callers go from cause to consequence.
    pub fn hold(&mut self, hold: Hold) {
        self.hold.get_or_insert(hold);
    }

    /// Notes why the Rollout waits where nothing more exact is found.
    pub fn hold_otherwise(&mut self, hold: Hold) {
        self.otherwise.get_or_insert(hold);
    }

    pub fn holds(&self) -> Option<&Hold> {
        self.hold.as_ref().or(self.otherwise.as_ref())
    }

    /// Asks to be woken at `at` at the latest.
    pub fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    pub fn wakes_at(&self) -> Option<Timestamp> {
        self.wake_at
    }

    /// Tells of a change of the status. Each version of the Rollout is changed once, so the same may be told again later.
    pub fn event(&mut self, kind: EventKind, reason: &'static str, message: String, key: String) {
        let version = self.world.rollout.metadata.resource_version.as_deref();
        let key = format!("{key}@{}", version.unwrap_or_default());
        self.news.push(Event {
            kind,
            reason,
            message,
            key,
        });
    }

    /// Whether an irreversible effect is planned already: there is at most one in a plan.
    pub fn is_spent(&self) -> bool {
        self.effects.iter().any(Effect::is_irreversible)
    }

    fn answer(&mut self, ask: Ask) -> Option<&'a Answer> {
        let world = self.world;
        let fresh = world
            .answers
            .get(&ask)
            .filter(|answered| answered.at.duration_until(self.now) <= FRESH);
        if let Some(answered) = fresh {
            return Some(&answered.answer);
        }
        if !self.asks.contains(&ask) {
            self.asks.push(ask);
        }
        None
    }

    /// The template with the API server's defaults; `None` when it had to be asked for.
    pub fn defaults(&mut self, template: &str) -> Option<&'a Fact<serde_json::Value>> {
        // The template is part of the question: an answer never becomes stale.
        let ask = Ask::Defaults {
            template: template.to_owned(),
        };
        if let Some(answered) = self.world.answers.get(&ask)
            && let Answer::Defaults(fact) = &answered.answer
        {
            let until = answered.at + REFUSED;
            match fact {
                Fact::Known(_) => return Some(fact),
                Fact::Unknown(Why::Refused(_)) if self.now < until => {
                    self.wake(until);
                    return Some(fact);
                }
                _ => {}
            }
        }
        match self.answer(ask)? {
            Answer::Defaults(fact) => {
                self.wake(self.now + UNANSWERED);
                Some(fact)
            }
            Answer::Endpoints(_) | Answer::Pods(_) => None,
        }
    }

    /// The ready endpoints of a Service; `None` when they had to be asked for.
    pub fn endpoints(&mut self, service: &str, resource_version: &str) -> Option<&'a Fact<Endpoints>> {
        let ask = Ask::Endpoints {
            service: service.to_owned(),
            resource_version: resource_version.to_owned(),
        };
        match self.answer(ask)? {
            Answer::Endpoints(fact) => Some(fact),
            Answer::Defaults(_) | Answer::Pods(_) => None,
        }
    }

    /// The pods of a ReplicaSet; `None` when they had to be asked for.
    pub fn pods(&mut self, set: &ReplicaSet) -> Option<&'a Fact<Vec<Pod>>> {
        let ask = Ask::Pods {
            replica_set: set.name.clone(),
            resource_version: set.resource_version.clone(),
        };
        match self.answer(ask)? {
            Answer::Pods(fact) => Some(fact),
            Answer::Defaults(_) | Answer::Endpoints(_) => None,
        }
    }

    pub fn poll(&mut self) {
        self.wake(self.now + POLL);
    }

    /// When `object` was first seen acknowledged at `version`: now, if it is the first time.
    pub fn acknowledged(&mut self, object: &ObjectRef, version: &str) -> Timestamp {
        match self.memory.acknowledged.get(object) {
            Some((seen, at)) if seen == version => *at,
            _ => {
                self.memory
                    .acknowledged
                    .insert(object.clone(), (version.to_owned(), self.now));
                self.now
            }
        }
    }

    /// Whether `object` has been seen acknowledged at `version`.
    pub fn was_acknowledged(&self, object: &ObjectRef, version: &str) -> Option<Timestamp> {
        self.memory
            .acknowledged
            .get(object)
            .filter(|(seen, _)| seen == version)
            .map(|(_, at)| *at)
    }
}
