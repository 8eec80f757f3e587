//! What every actor works with: the clock, the store, chance, and the trace.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use sluice_machine::Event;

use crate::clock::{Clock, millis_since_start};
use crate::commands::Command;
use crate::faults::{FaultState, Faults};
use crate::models::{Backend, PodId, Rules};
use crate::random::Random;
use crate::record::Happening;
use crate::report::RowKind;
use crate::shell::Step;
use crate::store::{Key, Kind, Store};

/// What is due at some time.
#[derive(Clone, Debug)]
pub(crate) enum Actor {
    /// The ReplicaSet controller looks at a ReplicaSet.
    ReplicaSet(Key),
    /// The Deployment controller looks at a Deployment.
    Deployment(Key),
    /// A pod's process starts to serve and becomes ready.
    PodReady(PodId),
    /// A pod's process dies and will be started again.
    PodCrashes(PodId),
    /// A terminating pod's process ends.
    PodGone(PodId),
    /// The control plane notices that a node is lost.
    NodeNotReady(usize),
    /// The pods of a lost node are evicted.
    NodeEvicted(usize),
    /// The EndpointSlice controller looks at a Service.
    Endpoints(Key),
    /// A proxy takes over the endpoints of a Service.
    ProxyEndpoints {
        proxy: usize,
        service: Key,
        backends: Arc<Vec<Backend>>,
    },
    /// The gateway's controller writes the status of a route.
    Acknowledge(Key),
    /// A proxy takes over the rules of a route.
    ProxyRoute {
        proxy: usize,
        route: Key,
        rules: Option<Arc<Rules>>,
    },
    /// The garbage collector looks at the dependents of an owner that is gone.
    Collect(String),
    /// The events of a kind up to a revision reach a controller process.
    Deliver {
        process: usize,
        epoch: u32,
        kind: Kind,
        revision: u64,
    },
    /// A controller process goes on.
    Process { process: usize, epoch: u32, step: Step },
    /// A controller process starts again.
    Restart(usize),
    /// Somebody types a command.
    Command(Box<Command>),
    /// A second passes for the faults of pods and nodes.
    Chaos,
    /// It is counted how soon the machine has nothing more to do.
    Probe,
    /// A version begins to behave differently.
    Onset,
    /// The recorder takes a sample.
    Sample,
    /// Faults begin.
    FaultsBegin,
    /// Faults end: from here on the cluster must converge.
    FaultsEnd,
}

/// Clock, store, chance and trace in one hand.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) clock: Clock<Actor>,
    pub(crate) store: Store,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) faults: FaultState,
    /// Kinds of effects and holds that plans had.
    pub(crate) coverage: BTreeSet<(&'static str, &'static str)>,
    /// How often the machines were asked to decide.
    pub(crate) decisions: u64,
    /// Events that were published, in order, each once: their names are a hash of what they say.
    pub(crate) events: Vec<(Timestamp, Key, Event)>,
    event_names: BTreeSet<(Key, Event)>,
    /// What the recorder has not taken over yet; kept only where something is recorded.
    pub(crate) happenings: Option<Vec<Happening>>,
}

impl Kernel {
    pub(crate) fn new(seed: u64, traced: bool, faults: Faults) -> Kernel {
        Kernel {
            clock: Clock::new(),
            store: Store::default(),
            random: Random::new(seed),
            trace: Trace {
                lines: traced.then(String::new),
            },
            faults: FaultState::new(faults),
            coverage: BTreeSet::new(),
            decisions: 0,
            events: Vec::new(),
            event_names: BTreeSet::new(),
            happenings: None,
        }
    }

    /// A copy at the same time in which nothing is scheduled and no fault happens.
    pub(crate) fn frozen(&self) -> Kernel {
        let mut copy = Kernel::new(0, false, Faults::default());
        copy.clock.advance_to(self.clock.now());
        copy.store = self.store.frozen();
        copy
    }

    /// Stores an event, unless it is there already.
    pub(crate) fn publish(&mut self, key: &Key, event: Event) {
        if self.event_names.insert((key.clone(), event.clone())) {
            self.note(|| format!("event {key} {}: {}", event.reason, event.message));
            self.events.push((self.clock.now(), key.clone(), event));
        }
    }

    /// Tells the recorder of something, if there is one. Without a Rollout it concerns all of them.
    pub(crate) fn happens(&mut self, rollout: Option<&Key>, kind: RowKind, text: impl FnOnce() -> String) {
        if let Some(happenings) = &mut self.happenings {
            happenings.push(Happening {
                rollout: rollout.cloned(),
                kind,
                text: text(),
            });
        }
    }

    /// Adds a line to the trace; the text is made only if there is a trace.
    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.trace.lines {
            let millis = millis_since_start(self.clock.now());
            writeln!(lines, "{:>6}.{:03} {}", millis / 1000, millis % 1000, text()).expect("a String takes every text");
        }
    }
}

/// Everything that happened, line by line: the same seed gives the same bytes.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) lines: Option<String>,
}
