//! Leader election by a Lease: the decisions, as functions. The loop that carries them out is in [`crate::leadership`].
//!
//! Clocks of different machines are never compared. A foreign Lease has expired when *we* have seen the same
//! resourceVersion for its whole duration; our own holds from the moment that our last successful renewal was *sent*.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

/// Durations of leader election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long others wait after the last renewal before they take over.
    pub lease: Duration,
    /// How long after the last renewal the leader goes on deciding. Less than `lease`.
    pub renew_deadline: Duration,
    /// How long the leader waits after a failed renewal before it tries again.
    pub retry: Duration,
}

/// A Lease as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// `spec.holderIdentity`; empty when nobody holds it.
    pub holder: String,
    /// `spec.leaseDurationSeconds`.
    pub duration: Duration,
    /// `spec.leaseTransitions`.
    pub transitions: i64,
    /// resourceVersion.
    pub resource_version: String,
}

/// The Lease and since when we know it in this very state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The Lease; `None` where there is none.
    pub lease: Option<Held>,
    /// When we first saw this resourceVersion.
    pub first_seen: Instant,
}

/// What to do about the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is no Lease: create it.
    Create,
    /// It is ours: renew it.
    Renew,
    /// It is free or has expired: take it over.
    TakeOver,
    /// Somebody else holds it, at least until this time.
    Standby {
        /// When it expires if it is not renewed.
        until: Instant,
    },
}

/// Our hold on the Lease: since when, by two clocks. The monotonic one stands still while a machine sleeps; the wall clock
/// does not, but may be set. The one that is further along counts.
#[derive(Clone, Copy, Debug)]
pub struct Renewed {
    /// When the renewal was sent, by the monotonic clock.
    pub at: Instant,
    /// When the renewal was sent, by the wall clock.
    pub wall: SystemTime,
}

impl Terms {
    /// How often the leader renews. Twice within the renew deadline: one lost renewal is no lost lease, and an idle
    /// controller writes no more than every five seconds by default.
    pub fn renew_interval(&self) -> Duration {
        self.renew_deadline / 2
    }

    /// How often a standby looks. A leader that stopped cleanly is followed within a second, also with long leases.
    pub fn standby_interval(&self) -> Duration {
        (self.retry / 4).clamp(Duration::from_millis(50), Duration::from_millis(500))
    }
}

impl Default for Terms {
    /// The durations that Argo Rollouts has.
    fn default() -> Self {
        Terms {
            lease: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

impl Seen {
    /// What is known after another read at `now`.
    pub fn read(previous: Option<Seen>, lease: Option<Held>, now: Instant) -> Seen {
        let version = |lease: &Option<Held>| lease.as_ref().map(|lease| lease.resource_version.clone());
        match previous {
            Some(previous) if version(&previous.lease) == version(&lease) => previous,
            _ => Seen { lease, first_seen: now },
        }
    }
}

/// What `me` should do about the Lease at `now`.
pub fn evaluate(seen: &Seen, me: &str, now: Instant) -> Step {
    let Some(lease) = &seen.lease else { return Step::Create };
    if lease.holder == me {
        return Step::Renew;
    }
    let until = seen.first_seen + lease.duration;
    if lease.holder.is_empty() || now >= until {
        Step::TakeOver
    } else {
        Step::Standby { until }
    }
}

impl Renewed {
    /// Time since the renewal, by the clock that is further along.
    pub fn age(&self, now: Instant, wall: SystemTime) -> Duration {
        let monotonic = now.saturating_duration_since(self.at);
        // A wall clock that was set back says nothing.
        let by_wall = wall.duration_since(self.wall).unwrap_or_default();
        monotonic.max(by_wall)
    }
}

/// How long a write may take that starts now, so that its answer or its time-out comes before anybody else can hold the
/// Lease; `None` where that is too short to begin with.
pub fn write_budget(age: Duration, terms: &Terms, most: Duration) -> Option<Duration> {
    // One second for the way there: a request that was given up may still be on its way to the API server.
    let margin = Duration::from_secs(1);
    let left = terms.lease.checked_sub(age)?.checked_sub(margin)?;
    (left >= Duration::from_millis(100)).then(|| left.min(most))
}

impl Held {
    /// Reads a Lease object.
    pub fn read(lease: &Value) -> Held {
        let spec = lease.get("spec");
        let number = |key: &str| spec.and_then(|spec| spec.get(key)).and_then(Value::as_i64).unwrap_or(0);
        let text = |pointer: &str| {
            lease
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        Held {
            holder: text("/spec/holderIdentity"),
            duration: Duration::from_secs(u64::try_from(number("leaseDurationSeconds")).unwrap_or(0)),
            transitions: number("leaseTransitions"),
            resource_version: text("/metadata/resourceVersion"),
        }
    }
}

/// The spec that `me` writes when it creates, takes over or renews. `None` for `before` creates.
pub fn spec(before: Option<&Held>, me: &str, terms: &Terms, now: jiff::Timestamp) -> Value {
    let mut spec = json!({
        "holderIdentity": me,
        "leaseDurationSeconds": terms.lease.as_secs().max(1),
        "renewTime": micro_time(now),
    });
    let transitions = before.map_or(0, |before| before.transitions);
    if before.is_none_or(|before| before.holder != me) {
        spec["acquireTime"] = micro_time(now).into();
        spec["leaseTransitions"] = (if before.is_some() { transitions + 1 } else { 0 }).into();
    }
    spec
}

/// The spec that gives the Lease up: nobody holds it, and whoever looks may take it at once.
pub fn released(now: jiff::Timestamp) -> Value {
    json!({ "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": micro_time(now) })
}

/// Kubernetes' `MicroTime`.
fn micro_time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(holder: &str, version: &str) -> Held {
        Held {
            holder: holder.into(),
            duration: Duration::from_secs(15),
            transitions: 3,
            resource_version: version.into(),
        }
    }

    #[test]
    fn who_may_lead_depends_on_holder_and_on_how_long_we_have_seen_it_unrenewed() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let check = |what: &str, lease: Option<Held>, now: Instant, wanted: Step| {
            let seen = Seen {
                lease,
                first_seen: start,
            };
            assert_eq!(evaluate(&seen, "me", now), wanted, "{what}");
        };
        check("no lease", None, after(0), Step::Create);
        check("ours, fresh", Some(held("me", "1")), after(0), Step::Renew);
        check(
            "ours, long expired and never taken",
            Some(held("me", "1")),
            after(99),
            Step::Renew,
        );
        check("released", Some(held("", "1")), after(0), Step::TakeOver);
        check(
            "theirs, fresh",
            Some(held("you", "1")),
            after(0),
            Step::Standby { until: after(15) },
        );
        check(
            "theirs, one second left",
            Some(held("you", "1")),
            after(14),
            Step::Standby { until: after(15) },
        );
        check("theirs, expired", Some(held("you", "1")), after(15), Step::TakeOver);
    }

    #[test]
    fn a_renewal_starts_the_wait_again_and_a_repeated_read_does_not() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let seen = Seen::read(None, Some(held("you", "1")), start);
        let seen = Seen::read(Some(seen), Some(held("you", "1")), after(9));
        assert_eq!(seen.first_seen, start);
        let seen = Seen::read(Some(seen), Some(held("you", "2")), after(10));
        assert_eq!(seen.first_seen, after(10));
        let seen = Seen::read(Some(seen), None, after(11));
        assert_eq!(evaluate(&seen, "me", after(11)), Step::Create);
    }

    #[test]
    fn a_write_must_end_before_the_lease_can() {
        let (terms, most) = (Terms::default(), Duration::from_secs(5));
        let rows = [
            (0, Some(5)),
            (8, Some(5)),
            (9, Some(5)),
            (10, Some(4)),
            (13, Some(1)),
            (14, None),
            (15, None),
            (99, None),
        ];
        for (age, budget) in rows {
            let budget = budget.map(Duration::from_secs);
            assert_eq!(
                write_budget(Duration::from_secs(age), &terms, most),
                budget,
                "after {age} s"
            );
        }
    }

    #[test]
    fn a_process_that_stood_still_notices_by_either_clock() {
        let (at, wall) = (Instant::now(), SystemTime::now());
        let renewed = Renewed { at, wall };
        let seconds = Duration::from_secs;
        assert_eq!(renewed.age(at + seconds(3), wall + seconds(3)), seconds(3));
        assert_eq!(
            renewed.age(at + seconds(20), wall + seconds(3)),
            seconds(20),
            "the wall clock was set back"
        );
        assert_eq!(
            renewed.age(at + seconds(3), wall + seconds(20)),
            seconds(20),
            "the machine slept"
        );
        assert_eq!(renewed.age(at + seconds(3), wall - seconds(20)), seconds(3));
    }

    #[test]
    fn a_takeover_counts_a_transition_and_a_renewal_does_not() {
        let now = "2026-01-02T03:04:05.123456Z".parse().unwrap();
        let terms = Terms::default();
        let renewal = spec(Some(&held("me", "1")), "me", &terms, now);
        assert_eq!(
            renewal,
            json!({ "holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": "2026-01-02T03:04:05.123456Z" })
        );
        let takeover = spec(Some(&held("you", "1")), "me", &terms, now);
        assert_eq!(
            (&takeover["leaseTransitions"], &takeover["acquireTime"]),
            (&json!(4), &renewal["renewTime"])
        );
        assert_eq!(spec(None, "me", &terms, now)["leaseTransitions"], 0);
        let object = json!({ "metadata": { "resourceVersion": "7" }, "spec": takeover });
        assert_eq!(
            Held::read(&object),
            Held {
                transitions: 4,
                ..held("me", "7")
            }
        );
        assert_eq!(Held::read(&json!({ "spec": released(now) })).holder, "");
    }
}
