//! What can go wrong between the controller and the API server, and when.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use crate::random::{Millis, Random};

/// What happens to one write of the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WriteFault {
    /// The process ends before it sends the write.
    CrashBefore,
    /// The write is applied, and the process ends before the reply reaches it.
    CrashAfter,
    /// The write is not applied, and no reply comes in time.
    TimeoutLost,
    /// The write is applied, and no reply comes in time.
    TimeoutApplied,
    /// 409, although nothing else wrote.
    Conflict,
    /// A status from 500 on; the write is not applied.
    Server(u16),
}

impl std::fmt::Display for WriteFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WriteFault::CrashBefore => f.write_str("the controller crashes before a write"),
            WriteFault::CrashAfter => f.write_str("the controller crashes after a write"),
            WriteFault::TimeoutLost => f.write_str("a write is lost and not answered"),
            WriteFault::TimeoutApplied => f.write_str("a write is applied and not answered"),
            WriteFault::Conflict => f.write_str("a write is answered with a conflict"),
            WriteFault::Server(status) => write!(f, "a write is answered with {status}"),
        }
    }
}

/// What happens to the watch event of one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFault {
    /// It never arrives.
    Lost,
    /// It arrives so much later; later ones of the same kind wait for it.
    Late(SignedDuration),
}

/// Which faults happen.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Faults of single writes, by their number: the first write of the controller is 1.
    pub writes: BTreeMap<u64, WriteFault>,
    /// Faults of single watch events, by the store's revision that the change made.
    pub events: BTreeMap<u64, EventFault>,
    /// Faults that are drawn.
    pub rates: Rates,
    /// When the drawn faults begin, since the start.
    pub from: SignedDuration,
    /// When the drawn faults end; never where absent.
    pub until: Option<SignedDuration>,
}

/// How often faults are drawn: in 1,000 writes, reads or events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// [`WriteFault::CrashBefore`].
    pub crash_before: u32,
    /// [`WriteFault::CrashAfter`].
    pub crash_after: u32,
    /// [`WriteFault::TimeoutLost`].
    pub timeout_lost: u32,
    /// [`WriteFault::TimeoutApplied`].
    pub timeout_applied: u32,
    /// [`WriteFault::Conflict`].
    pub conflict: u32,
    /// [`WriteFault::Server`] with 500, 503 or 504.
    pub server: u32,
    /// A read (an ask, a measurement) fails.
    pub read: u32,
    /// A watch event is late by `slow_by`; later ones of the same kind wait for it.
    pub slow_event: u32,
    /// By how much slow events are late.
    pub slow_by: Option<Millis>,
    /// A watch event is lost. The next list of the kind makes up for it.
    pub lost_event: u32,
    /// Each second, a pod is deleted by somebody else.
    pub pod_killed: u32,
    /// Each second, a node is lost.
    pub node_lost: u32,
}

impl Rates {
    /// A random mixture of faults between controller and API server: each is off in half of all mixtures, so that a frequent
    /// one cannot hide a rare one. Pods and nodes stay whole, so no request may be lost.
    pub fn swarm(random: &mut Random) -> Rates {
        let mut up_to = |limit: u64| {
            if random.below(2) == 0 {
                0
            } else {
                u32::try_from(1 + random.below(limit)).expect("limits are small")
            }
        };
        Rates {
            crash_before: up_to(60),
            crash_after: up_to(60),
            timeout_lost: up_to(100),
            timeout_applied: up_to(100),
            conflict: up_to(200),
            server: up_to(200),
            read: up_to(200),
            slow_event: up_to(200),
            slow_by: Some(200..=8_000),
            lost_event: up_to(30),
            pod_killed: 0,
            node_lost: 0,
        }
    }

    /// The same, and pods are killed and nodes lost.
    pub fn chaos(random: &mut Random) -> Rates {
        let killed = u32::try_from(1 + random.below(60)).expect("limits are small");
        let lost = u32::try_from(random.below(3)).expect("limits are small");
        Rates {
            pod_killed: killed,
            node_lost: lost,
            ..Rates::swarm(random)
        }
    }

    /// The fault of the next write, if any.
    pub(crate) fn draw(&self, random: &mut Random) -> Option<WriteFault> {
        let table = [
            (self.crash_before, WriteFault::CrashBefore),
            (self.crash_after, WriteFault::CrashAfter),
            (self.timeout_lost, WriteFault::TimeoutLost),
            (self.timeout_applied, WriteFault::TimeoutApplied),
            (self.conflict, WriteFault::Conflict),
            (self.server, WriteFault::Server(500)),
        ];
        table
            .into_iter()
            .find(|(rate, _)| random.chance(*rate))
            .map(|(_, fault)| fault)
    }
}

/// The faults of a running simulation.
#[derive(Debug)]
pub(crate) struct FaultState {
    pub(crate) faults: Faults,
    /// Writes that the controller attempted.
    pub(crate) writes: u64,
    /// Whether drawn faults happen now.
    pub(crate) active: bool,
}

impl FaultState {
    pub(crate) fn new(faults: Faults) -> FaultState {
        FaultState {
            active: faults.from.is_zero(),
            faults,
            writes: 0,
        }
    }

    /// Rates that are in force now.
    pub(crate) fn rates(&self) -> Option<&Rates> {
        (self.active && self.faults.rates != Rates::default()).then_some(&self.faults.rates)
    }

    /// What is planned for the watch event of a change.
    pub(crate) fn of_event(&self, revision: u64) -> Option<EventFault> {
        self.faults.events.get(&revision).copied()
    }

    /// Counts a write and tells what goes wrong with it.
    pub(crate) fn of_next_write(&mut self, random: &mut Random) -> Option<WriteFault> {
        self.writes += 1;
        let planned = self.faults.writes.get(&self.writes).copied();
        planned.or_else(|| self.rates().and_then(|rates| rates.draw(random)))
    }
}
