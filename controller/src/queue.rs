//! The work queue: which key to reconcile next.
//!
//! A key is queued once however often it is added, is worked on by one task at a time, and comes back when it was added
//! while it was worked on. Keys may be added for a later time; an earlier time wins. After work on a key it rests for a
//! moment, so that events that come together lead to one more piece of work and not to several.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::object::ObjectName;

/// How long a key rests. A write, its own watch event and the controller that answers to it are some milliseconds apart.
const REST: Duration = Duration::from_millis(20);

/// What is reconciled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A Rollout.
    Rollout(ObjectName),
    /// An AnalysisRun.
    Run(ObjectName),
}

/// The queue as a value: time is an argument.
#[derive(Debug, Default)]
pub struct Line {
    ready: VecDeque<Key>,
    queued: BTreeSet<Key>,
    running: BTreeSet<Key>,
    dirty: BTreeSet<Key>,
    resting: BTreeMap<Key, Instant>,
    wakes: BTreeSet<(Instant, Key)>,
    wake_of: BTreeMap<Key, Instant>,
    closed: bool,
}

/// The queue that tasks share.
#[derive(Debug, Default)]
pub struct Queue {
    line: Mutex<Line>,
    changed: Notify,
}

impl Key {
    /// Namespace and name of the object.
    pub fn name(&self) -> &ObjectName {
        match self {
            Key::Rollout(name) | Key::Run(name) => name,
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Rollout(name) => write!(f, "Rollout {name}"),
            Key::Run(name) => write!(f, "AnalysisRun {name}"),
        }
    }
}

impl Line {
    /// Wants a key reconciled as soon as possible.
    pub fn add(&mut self, key: Key, now: Instant) {
        if self.running.contains(&key) {
            self.dirty.insert(key);
        } else if let Some(until) = self.resting.get(&key).copied().filter(|until| *until > now) {
            self.add_at(key, until);
        } else if self.queued.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    /// Wants a key reconciled at a time, unless it is wanted earlier already.
    pub fn add_at(&mut self, key: Key, at: Instant) {
        if let Some(earlier) = self.wake_of.get(&key).copied() {
            if earlier <= at {
                return;
            }
            self.wakes.remove(&(earlier, key.clone()));
        }
        self.wake_of.insert(key.clone(), at);
        self.wakes.insert((at, key));
    }

    /// The next key to work on. It is running until [`Line::done`]. Its later wake is forgotten: whoever works on it says
    /// anew when it is wanted.
    pub fn take(&mut self, now: Instant) -> Option<Key> {
        while let Some((at, key)) = self.wakes.first().cloned() {
            if at > now {
                break;
            }
            self.wakes.pop_first();
            self.wake_of.remove(&key);
            self.add(key, now);
        }
        self.resting.retain(|_, until| *until > now);
        if self.closed {
            return None;
        }
        let key = self.ready.pop_front()?;
        self.queued.remove(&key);
        if let Some(at) = self.wake_of.remove(&key) {
            self.wakes.remove(&(at, key.clone()));
        }
        self.running.insert(key.clone());
        Some(key)
    }

    /// Work on a key has ended.
    pub fn done(&mut self, key: &Key, now: Instant) {
        self.running.remove(key);
        self.resting.insert(key.clone(), now + REST);
        if self.dirty.remove(key) {
            self.add(key.clone(), now);
        }
    }

    /// When the next key is wanted, where none is ready.
    pub fn next_wake(&self) -> Option<Instant> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// Keys that are ready, and keys that are worked on.
    pub fn depth(&self) -> (usize, usize) {
        (self.ready.len(), self.running.len())
    }
}

impl Queue {
    /// See [`Line::add`].
    pub fn add(&self, key: Key) {
        self.with(|line| line.add(key, Instant::now()));
        self.changed.notify_one();
    }

    /// Adds many.
    pub fn add_all(&self, keys: impl IntoIterator<Item = Key>) {
        let now = Instant::now();
        self.with(|line| keys.into_iter().for_each(|key| line.add(key, now)));
        self.changed.notify_one();
    }

    /// See [`Line::add_at`].
    pub fn add_at(&self, key: Key, at: Instant) {
        self.with(|line| line.add_at(key, at));
        self.changed.notify_one();
    }

    /// See [`Line::done`].
    pub fn done(&self, key: &Key) {
        self.with(|line| line.done(key, Instant::now()));
        self.changed.notify_one();
    }

    /// See [`Line::depth`].
    pub fn depth(&self) -> (usize, usize) {
        self.with(|line| line.depth())
    }

    /// Gives out no more keys: [`Queue::next`] returns `None` from now on.
    pub fn close(&self) {
        self.with(|line| line.closed = true);
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    /// Waits for the next key; `None` once the queue is closed. One task at a time may wait.
    pub async fn next(&self) -> Option<Key> {
        loop {
            let (key, wake, closed) = self.with(|line| (line.take(Instant::now()), line.next_wake(), line.closed));
            if closed || key.is_some() {
                return key;
            }
            match wake {
                Some(at) => {
                    let _ = tokio::time::timeout_at(at.into(), self.changed.notified()).await;
                }
                None => self.changed.notified().await,
            }
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Line) -> T) -> T {
        work(&mut self.line.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn key(name: &str) -> Key {
        Key::Rollout(ObjectName::new("ns", name))
    }

    #[test]
    fn a_key_added_often_is_given_out_once_and_in_order_of_arrival() {
        let (mut line, now) = (Line::default(), Instant::now());
        for name in ["b", "a", "b", "b"] {
            line.add(key(name), now);
        }
        assert_eq!(
            (line.take(now), line.take(now), line.take(now)),
            (Some(key("b")), Some(key("a")), None)
        );
    }

    #[test]
    fn a_running_key_is_not_given_out_again_before_it_is_done_and_has_rested() {
        let (mut line, now) = (Line::default(), Instant::now());
        line.add(key("a"), now);
        assert_eq!(line.take(now), Some(key("a")));
        line.add(key("a"), now);
        line.add(key("a"), now);
        assert_eq!(line.take(now), None, "it is running");
        line.done(&key("a"), now);
        assert_eq!((line.take(now), line.next_wake()), (None, Some(now + REST)), "it rests");
        line.add(key("a"), now + REST / 2);
        assert_eq!(line.take(now + REST / 2), None, "it still rests");
        let later = now + REST;
        assert_eq!(line.take(later), Some(key("a")), "it was added while it ran");
        line.done(&key("a"), later);
        assert_eq!((line.take(later + REST), line.next_wake()), (None, None));
        line.add(key("a"), later + REST);
        assert_eq!(
            line.take(later + REST),
            Some(key("a")),
            "after a rest, work begins at once"
        );
    }

    #[test]
    fn the_earlier_of_two_wakes_wins_and_work_cancels_it() {
        let (mut line, now) = (Line::default(), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        line.add_at(key("a"), after(5));
        line.add_at(key("a"), after(9));
        assert_eq!(line.next_wake(), Some(after(5)));
        line.add_at(key("a"), after(2));
        assert_eq!((line.next_wake(), line.take(after(1))), (Some(after(2)), None));
        assert_eq!((line.take(after(2)), line.next_wake()), (Some(key("a")), None));
        line.done(&key("a"), after(2));
        line.add_at(key("a"), after(5));
        line.add(key("a"), after(3));
        assert_eq!(line.take(after(3)), Some(key("a")));
        line.done(&key("a"), after(3));
        assert_eq!(
            (line.take(after(6)), line.next_wake()),
            (None, None),
            "the wake was for the state before"
        );
    }

    #[test]
    fn a_wake_that_comes_while_the_key_runs_is_kept() {
        let (mut line, now) = (Line::default(), Instant::now());
        line.add(key("a"), now);
        line.take(now);
        line.add_at(key("a"), now);
        assert_eq!(line.take(now), None);
        line.done(&key("a"), now);
        assert_eq!(line.take(now + REST), Some(key("a")));
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_when_a_key_comes_when_a_wake_is_due_and_when_the_queue_closes() {
        let queue = Arc::new(Queue::default());
        let waiter = tokio::spawn({
            let queue = queue.clone();
            async move { (queue.next().await, queue.next().await, queue.next().await) }
        });
        tokio::task::yield_now().await;
        queue.add(key("a"));
        queue.add_at(key("b"), Instant::now());
        tokio::task::yield_now().await;
        queue.close();
        assert_eq!(waiter.await.unwrap(), (Some(key("a")), Some(key("b")), None));
    }
}
