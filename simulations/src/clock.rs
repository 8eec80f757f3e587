//! Virtual time: a queue of what happens next. Nothing here reads a real clock.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

/// When every simulation begins: 2026-01-01T00:00:00Z.
pub const START: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// The present and what is due later. What is due at the same time happens in the order in which it was scheduled.
#[derive(Clone, Debug)]
pub(crate) struct Clock<A> {
    now: Timestamp,
    queue: BTreeMap<(Timestamp, u64), A>,
    sequence: u64,
}

impl<A> Clock<A> {
    pub(crate) fn new() -> Clock<A> {
        Clock {
            now: START,
            queue: BTreeMap::new(),
            sequence: 0,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// Schedules `action` after a delay; a negative one counts as none.
    pub(crate) fn after(&mut self, delay: SignedDuration, action: A) {
        self.at(self.now + delay, action);
    }

    /// Schedules `action` at a time, or now where that has passed.
    pub(crate) fn at(&mut self, at: Timestamp, action: A) {
        self.queue.insert((at.max(self.now), self.sequence), action);
        self.sequence += 1;
    }

    /// When the next action is due.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Moves to the next action that is due at `limit` or before it.
    pub(crate) fn pop(&mut self, limit: Timestamp) -> Option<A> {
        if self.next_at()? > limit {
            return None;
        }
        let ((at, _), action) = self.queue.pop_first()?;
        self.now = at;
        Some(action)
    }

    /// How many actions are scheduled.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// All actions that are scheduled, in order.
    pub(crate) fn scheduled(&self) -> impl Iterator<Item = &A> {
        self.queue.values()
    }

    /// Moves to `at`, where nothing is due before.
    pub(crate) fn advance_to(&mut self, at: Timestamp) {
        assert!(
            self.next_at().is_none_or(|next| next >= at),
            "an action that is due must not be skipped"
        );
        self.now = self.now.max(at);
    }
}

/// The time as the API writes it: whole seconds.
pub(crate) fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).expect("the seconds of a timestamp are a timestamp")
}

/// Milliseconds since the start of the simulation.
pub(crate) fn millis_since_start(at: Timestamp) -> i64 {
    at.as_millisecond() - START.as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_come_in_the_order_of_their_time_and_then_of_their_scheduling() {
        let mut clock = Clock::new();
        let secs = SignedDuration::from_secs;
        clock.after(secs(2), "late");
        clock.after(secs(1), "first");
        clock.after(secs(1), "second");
        clock.after(secs(-5), "at once");
        let limit = START + secs(1);
        let order: Vec<_> = std::iter::from_fn(|| clock.pop(limit)).collect();
        assert_eq!(order, ["at once", "first", "second"]);
        assert_eq!(clock.now(), limit);
        assert_eq!(clock.next_at(), Some(START + secs(2)));
    }

    #[test]
    fn time_starts_where_the_documentation_says() {
        assert_eq!(START.to_string(), "2026-01-01T00:00:00Z");
    }
}
