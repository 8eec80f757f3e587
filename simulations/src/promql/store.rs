//! Series as they were scraped: samples in the order of time, and marks where a series ended.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::Labels;

/// Most samples in a store: far above what a window of a few hours of a few hundred series holds.
pub const MAX_SAMPLES: usize = 5_000_000;
/// Most series in a store.
pub const MAX_SERIES: usize = 50_000;
/// A series without a sample for this long has no present value (Prometheus' default, `--query.lookback-delta`).
pub const LOOKBACK_MS: i64 = 5 * 60 * 1000;
/// The mark that a scrape no longer found a series: one certain NaN, which is not the NaN that a program computes.
const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// A value at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// The value.
    pub value: f64,
}

impl Point {
    /// The mark that a scrape at this time no longer found the series.
    pub fn stale(at_ms: i64) -> Point {
        Point {
            at_ms,
            value: f64::from_bits(STALE_BITS),
        }
    }

    /// Whether it is such a mark.
    pub fn is_stale(&self) -> bool {
        self.value.to_bits() == STALE_BITS
    }
}

/// Why a sample was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Samples of a series come in the order of time.
    #[error("a sample at {at_ms} ms comes after one at {last_ms} ms")]
    OutOfOrder {
        /// The time of the sample.
        at_ms: i64,
        /// The time of the newest sample before.
        last_ms: i64,
    },
    /// A bound is reached.
    #[error("there are more than {0} series")]
    TooManySeries(usize),
    /// A bound is reached.
    #[error("there are more than {0} samples")]
    TooManySamples(usize),
}

/// Series and their samples.
#[derive(Clone, Debug, Default)]
pub struct SeriesStore {
    series: BTreeMap<Labels, Vec<Point>>,
    samples: usize,
}

impl SeriesStore {
    /// Adds a sample, later than all of the same series.
    pub fn append(&mut self, labels: &Labels, at_ms: i64, value: f64) -> Result<(), StoreError> {
        self.insert(labels.clone(), vec![Point { at_ms, value }])
    }

    /// Notes that a scrape no longer found a series: from here on it has no value.
    pub fn end(&mut self, labels: &Labels, at_ms: i64) -> Result<(), StoreError> {
        self.insert(labels.clone(), vec![Point::stale(at_ms)])
    }

    /// Adds samples in the order of time, later than all of the same series.
    pub fn insert(&mut self, labels: Labels, mut added: Vec<Point>) -> Result<(), StoreError> {
        if added.is_empty() {
            return Ok(());
        }
        if self.samples + added.len() > MAX_SAMPLES {
            return Err(StoreError::TooManySamples(MAX_SAMPLES));
        }
        let count = self.series.len();
        let points = match self.series.entry(labels) {
            Entry::Vacant(_) if count >= MAX_SERIES => return Err(StoreError::TooManySeries(MAX_SERIES)),
            Entry::Vacant(entry) => entry.insert(Vec::new()),
            Entry::Occupied(entry) => entry.into_mut(),
        };
        let times = points.last().into_iter().chain(&added);
        if let Some(pair) = times
            .collect::<Vec<_>>()
            .windows(2)
            .find(|pair| pair[0].at_ms >= pair[1].at_ms)
        {
            return Err(StoreError::OutOfOrder {
                at_ms: pair[1].at_ms,
                last_ms: pair[0].at_ms,
            });
        }
        self.samples += added.len();
        points.append(&mut added);
        Ok(())
    }

    /// All series in the order of their labels.
    pub fn iter(&self) -> impl Iterator<Item = (&Labels, &[Point])> {
        self.series.iter().map(|(labels, points)| (labels, &**points))
    }
}

/// The value of a series at a time: the newest of the last five minutes, unless the series ended since.
pub(super) fn value_at(points: &[Point], at_ms: i64) -> Option<Point> {
    let newer = points.partition_point(|point| point.at_ms <= at_ms);
    let newest = points[..newer].last()?;
    // Left-open, as Prometheus 3 has it: a sample exactly as old as the lookback does not count.
    (newest.at_ms > at_ms - LOOKBACK_MS && !newest.is_stale()).then_some(*newest)
}

/// The samples of a series within a range that is open on the left and closed on the right.
pub(super) fn values_within(points: &[Point], after_ms: i64, until_ms: i64) -> Vec<Point> {
    let from = points.partition_point(|point| point.at_ms <= after_ms);
    let to = points.partition_point(|point| point.at_ms <= until_ms);
    let within = points.get(from..to).unwrap_or_default().iter();
    within.filter(|point| !point.is_stale()).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(rows: &[(i64, f64)]) -> Vec<Point> {
        rows.iter()
            .map(|(at_ms, value)| Point {
                at_ms: *at_ms,
                value: *value,
            })
            .collect()
    }

    #[test]
    fn a_value_holds_for_five_minutes_or_until_the_series_ends() {
        let mut points = points(&[(1_000, 1.0), (2_000, 0.0), (3_000, f64::NAN)]);
        points[1] = Point::stale(2_000);
        let value = |at_ms| value_at(&points, at_ms).map(|point| point.value.to_string());
        let rows = [
            (999, None),
            (1_000, Some("1")),
            (1_999, Some("1")),
            (2_000, None),
            (3_000, Some("NaN")),
            (302_999, Some("NaN")),
            (303_000, None),
        ];
        for (at_ms, want) in rows {
            assert_eq!(value(at_ms).as_deref(), want, "at {at_ms}");
        }
    }

    #[test]
    fn a_range_is_open_on_the_left() {
        let points = points(&[(1_000, 1.0), (2_000, 2.0), (3_000, 3.0)]);
        let within = |after, until| values_within(&points, after, until).len();
        assert_eq!(within(1_000, 3_000), 2);
        assert_eq!(within(999, 2_999), 2);
        assert_eq!(within(3_000, 1_000), 0);
    }

    #[test]
    fn samples_come_in_the_order_of_time() {
        let mut store = SeriesStore::default();
        let up = Labels::of_metric("up");
        store.append(&up, 5, 1.0).unwrap();
        let error = store.append(&up, 5, 2.0).unwrap_err();
        assert_eq!(error.to_string(), "a sample at 5 ms comes after one at 5 ms");
    }
}
