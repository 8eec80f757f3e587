//! What a load has seen, and the questions that tests ask of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// How one request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A whole answer with this status.
    Answered(u16),
    /// No connection, or it ended before the answer did.
    Broken(String),
    /// No whole answer in time.
    TimedOut,
}

impl Outcome {
    /// Whether a user would call it a failure: no answer, a late one, or a status of 500 and above.
    pub fn is_failure(&self) -> bool {
        !matches!(self, Self::Answered(status) if *status < 500)
    }
}

/// One request.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its place in the order of sending, from 0.
    pub number: u32,
    /// When it was sent.
    pub sent: Instant,
    /// How long it took.
    pub took: Duration,
    /// Whether it could use a connection that was open before.
    pub kept_alive: bool,
    /// Whether it did.
    pub reused: bool,
    /// The version that answered; none when it was not a backend that did.
    pub version: Option<Arc<str>>,
    /// How it ended.
    pub outcome: Outcome,
}

/// Requests in the order of sending.
#[derive(Debug, Clone, Default)]
pub struct Traffic {
    records: Vec<Record>,
}

impl Traffic {
    /// Brings records into the order of sending.
    pub fn new(mut records: Vec<Record>) -> Self {
        records.sort_by_key(|record| record.number);
        Self { records }
    }

    /// All requests.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The requests that were sent at `mark` or later.
    #[must_use]
    pub fn after(&self, mark: Instant) -> Self {
        self.only(|record| record.sent >= mark)
    }

    /// The requests that were sent before `mark`.
    #[must_use]
    pub fn before(&self, mark: Instant) -> Self {
        self.only(|record| record.sent < mark)
    }

    /// The requests that failed.
    pub fn failures(&self) -> Vec<&Record> {
        self.records
            .iter()
            .filter(|record| record.outcome.is_failure())
            .collect()
    }

    /// How many requests each version answered; those that no version answered are under the empty name.
    pub fn by_version(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for record in &self.records {
            *counts
                .entry(record.version.as_deref().unwrap_or_default().to_owned())
                .or_default() += 1;
        }
        counts
    }

    /// All but the last `count` requests.
    #[must_use]
    pub fn without_last(&self, count: usize) -> Self {
        let records = &self.records[..self.records.len().saturating_sub(count)];
        Self {
            records: records.to_vec(),
        }
    }

    /// The share that a version has of each `window` consecutive requests, wherever the window begins; empty where there is
    /// not one whole window.
    #[expect(clippy::cast_precision_loss, reason = "a window has thousands of requests, not 2^52")]
    pub fn shares(&self, version: &str, window: usize) -> Vec<f64> {
        let window = window.max(1);
        let is_own = |record: &Record| usize::from(record.version.as_deref() == Some(version));
        let mut own = 0;
        let mut shares = Vec::new();
        for (index, record) in self.records.iter().enumerate() {
            own += is_own(record);
            if index >= window {
                own -= is_own(&self.records[index - window]);
            }
            if index + 1 >= window {
                shares.push(own as f64 / window as f64);
            }
        }
        shares
    }

    /// The versions that answered during each `step` since the first request, with their counts.
    pub fn timeline(&self, step: Duration) -> Vec<BTreeMap<String, usize>> {
        let mut steps: Vec<BTreeMap<String, usize>> = Vec::new();
        let Some(first) = self.records.first() else {
            return steps;
        };
        for record in &self.records {
            let index = record.sent.duration_since(first.sent).as_nanos() / step.as_nanos().max(1);
            let index = usize::try_from(index).unwrap_or(usize::MAX - 1);
            steps.resize(steps.len().max(index + 1), BTreeMap::new());
            *steps[index]
                .entry(record.version.as_deref().unwrap_or_default().to_owned())
                .or_default() += 1;
        }
        steps
    }

    /// Fails with details when any request failed, or when there was none at all.
    pub fn assert_no_failure(&self) -> Result<()> {
        ensure!(
            !self.records.is_empty(),
            "no request was sent, so it proves nothing that none failed"
        );
        if self.failures().is_empty() {
            return Ok(());
        }
        bail!("{self}");
    }

    /// Fails unless there were at least so many requests per second, half of them free to use a kept connection and most of
    /// those on one, the others each on a connection of its own.
    pub fn assert_mix(&self, least_rate: u32) -> Result<()> {
        let (Some(first), Some(last)) = (self.records.first(), self.records.last()) else {
            bail!("no request was sent");
        };
        let count = self.records.len();
        let took = last.sent.duration_since(first.sent);
        ensure!(
            count as u128 * 1000 >= u128::from(least_rate) * took.as_millis(),
            "{count} requests in {took:.1?} are fewer than {least_rate} per second"
        );
        let of_kind = |kind: fn(&Record) -> bool| self.records.iter().filter(|record| kind(record)).count();
        let (kept, reused) = (of_kind(|record| record.kept_alive), of_kind(|record| record.reused));
        ensure!(
            kept.abs_diff(count - kept) <= 1,
            "{kept} of {count} requests could use a kept connection, not half of them"
        );
        ensure!(
            reused * 10 >= kept * 9 && reused <= kept,
            "{reused} of the {kept} requests that could use a kept connection did"
        );
        Ok(())
    }

    /// Fails when the share of a version differs by more than `tolerance` from `want` in any `window` consecutive
    /// requests, or when there is not one whole window.
    pub fn assert_share(&self, version: &str, want: f64, tolerance: f64, window: usize) -> Result<()> {
        let shares = self.shares(version, window);
        ensure!(
            !shares.is_empty(),
            "{} requests are less than one window of {window}",
            self.records.len()
        );
        let off = |share: &f64| (share - want).abs();
        let worst = shares
            .iter()
            .enumerate()
            .max_by(|(_, a), (_, b)| off(a).total_cmp(&off(b)));
        let (at, worst) = worst.context("there is a window")?;
        ensure!(
            // A share is a number of requests: what is left is rounding.
            off(worst) <= tolerance + 1e-9,
            "version {version} should have {want} ± {tolerance}, and has {worst:.4} of {window} requests from number {at} on"
        );
        Ok(())
    }

    fn only(&self, keep: impl Fn(&Record) -> bool) -> Self {
        Self {
            records: self.records.iter().filter(|record| keep(record)).cloned().collect(),
        }
    }
}

/// Counts by version, then every kind of failure with its count and its first case.
impl fmt::Display for Traffic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failures = self.failures();
        write!(
            out,
            "{} requests, {} failed; by version {:?}",
            self.records.len(),
            failures.len(),
            self.by_version()
        )?;
        let Some(first) = self.records.first() else {
            return Ok(());
        };
        let mut kinds: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
        for record in failures {
            let version = record.version.as_deref().unwrap_or("no version");
            let kind = match &record.outcome {
                Outcome::Answered(status) => format!("status {status} from {version}"),
                Outcome::Broken(error) => format!("broken ({error})"),
                Outcome::TimedOut => "no answer in time".to_owned(),
            };
            kinds.entry(kind).or_default().push(record);
        }
        for (kind, records) in kinds {
            let at = records[0].sent.duration_since(first.sent).as_secs_f64();
            let kept = records.iter().filter(|record| record.kept_alive).count();
            write!(
                out,
                "\n  {} x {kind}; {kept} on kept connections; first after {at:.3} s",
                records.len()
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(outcomes: impl IntoIterator<Item = (&'static str, Outcome)>) -> Traffic {
        let began = Instant::now();
        let records = outcomes
            .into_iter()
            .enumerate()
            .map(|(number, (version, outcome))| Record {
                number: u32::try_from(number).expect("few records"),
                sent: began + Duration::from_millis(number as u64),
                took: Duration::from_millis(1),
                kept_alive: number % 2 == 0,
                reused: number % 2 == 0,
                version: (!version.is_empty()).then(|| Arc::from(version)),
                outcome,
            });
        // In the order of answers, which is not that of sending.
        let mut records: Vec<Record> = records.collect();
        records.reverse();
        Traffic::new(records)
    }

    fn ok(version: &'static str) -> (&'static str, Outcome) {
        (version, Outcome::Answered(200))
    }

    #[test]
    fn every_kind_of_failure_counts_and_nothing_else() {
        let rows = [
            (Outcome::Answered(200), false),
            (Outcome::Answered(404), false),
            (Outcome::Answered(499), false),
            (Outcome::Answered(500), true),
            (Outcome::Answered(503), true),
            (Outcome::Broken("reset".to_owned()), true),
            (Outcome::TimedOut, true),
        ];
        for (outcome, want) in rows {
            assert_eq!(
                traffic([("", outcome.clone())]).assert_no_failure().is_err(),
                want,
                "{outcome:?}"
            );
        }
        assert!(traffic([]).assert_no_failure().is_err(), "nothing sent proves nothing");
    }

    #[test]
    fn shares_are_taken_of_every_window() {
        let seen = traffic((0..25).map(|number| ok(if number % 10 == 0 { "v2" } else { "v1" })));
        assert_eq!(seen.shares("v2", 10), [0.1; 16]);
        seen.assert_share("v2", 0.1, 0.01, 10).expect("each window has one");
        // Each of two halves has one, and what is between them has two.
        let seen = traffic((0..20).map(|number| ok(if number == 9 || number == 10 { "v2" } else { "v1" })));
        assert!(seen.assert_share("v2", 0.1, 0.01, 10).is_err());
        assert_eq!(seen.without_last(10).shares("v2", 10), [0.1]);
        assert!(seen.assert_share("v2", 0.12, 0.01, 10).is_err());
        assert!(seen.assert_share("v2", 0.1, 0.01, 100).is_err(), "not one whole window");
    }

    #[test]
    fn too_few_requests_and_too_few_kept_connections_are_seen() {
        // One request in a millisecond.
        let seen = traffic((0..100).map(|_| ok("v1")));
        seen.assert_mix(1000).expect("it is enough");
        assert!(seen.assert_mix(1100).is_err(), "too few in the time");
        for (what, spoil) in [
            ("no reuse", (|record| record.reused = false) as fn(&mut Record)),
            ("nothing but kept ones", |record| record.kept_alive = true),
        ] {
            let mut records = seen.records().to_vec();
            records.iter_mut().for_each(spoil);
            assert!(Traffic::new(records).assert_mix(1000).is_err(), "{what}");
        }
        assert!(traffic([]).assert_mix(1).is_err(), "nothing sent proves nothing");
    }

    #[test]
    fn a_mark_divides_traffic_and_a_timeline_shows_it() {
        let seen = traffic((0..10).map(|number| ok(if number < 6 { "v1" } else { "v2" })));
        let mark = seen.records()[4].sent;
        assert_eq!(
            (seen.before(mark).records().len(), seen.after(mark).records().len()),
            (4, 6)
        );
        let steps = seen.timeline(Duration::from_millis(5));
        let want: [BTreeMap<String, usize>; 2] = [
            [("v1".to_owned(), 5)].into(),
            [("v1".to_owned(), 1), ("v2".to_owned(), 4)].into(),
        ];
        assert_eq!(steps, want);
    }

    #[test]
    fn the_summary_says_what_failed_where() {
        let seen = traffic([ok("v1"), ("v2", Outcome::Answered(500)), ("", Outcome::TimedOut)]).to_string();
        assert!(seen.starts_with("3 requests, 2 failed"), "{seen}");
        assert!(
            seen.contains("1 x status 500 from v2") && seen.contains("1 x no answer in time"),
            "{seen}"
        );
    }
}
