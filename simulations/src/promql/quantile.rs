//! Quantiles of values, and of the buckets of a classic histogram.

/// Differences between neighbouring buckets below this share are noise of floating point numbers.
const NOISE: f64 = 1e-12;

/// The `q`-quantile of values: between two of them, in proportion (Hyndman and Fan 1996, definition 7). Sorts the values;
/// NaN counts as the smallest.
pub(super) fn of_values(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if let Some(outside) = outside(q) {
        return outside;
    }
    values.sort_by(|a, b| b.is_nan().cmp(&a.is_nan()).then(a.total_cmp(b)));
    let last = values.len() - 1;
    let rank = q * count(last);
    let below = index(rank).min(last);
    let above = (below + 1).min(last);
    let weight = rank - rank.floor();
    values[below] * (1.0 - weight) + values[above] * weight
}

/// A bucket of a classic histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    /// Its upper bound, inclusive.
    pub(super) upper: f64,
    /// How many observations are at or below that bound.
    pub(super) count: f64,
}

/// The `q`-quantile of a classic histogram, as the documentation of `histogram_quantile` describes it: observations are
/// taken to be spread evenly within their bucket, the lowest bucket begins at 0 where its bound is positive, and in the
/// highest one the bound before counts. Without a bucket `+Inf`, with fewer than two, or without observations: NaN.
pub(super) fn of_buckets(q: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if let Some(outside) = outside(q) {
        return outside;
    }
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    if buckets.last().is_none_or(|last| last.upper != f64::INFINITY) {
        return f64::NAN;
    }
    buckets.dedup_by(|later, kept| {
        let same = later.upper == kept.upper;
        if same {
            kept.count += later.count;
        }
        same
    });
    make_monotonic(buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if last == 0 || observations == 0.0 {
        return f64::NAN;
    }
    let rank = q * observations;
    let hit = buckets[..last].partition_point(|bucket| !bucket.count.ge(&rank));
    if hit == last {
        return buckets[last - 1].upper;
    }
    if hit == 0 && buckets[0].upper <= 0.0 {
        return buckets[0].upper;
    }
    let (start, before) = match hit {
        0 => (0.0, 0.0),
        _ => (buckets[hit - 1].upper, buckets[hit - 1].count),
    };
    let Bucket { upper, count } = buckets[hit];
    start + (upper - start) * ((rank - before) / (count - before))
}

/// Buckets are cumulative. One that has less than the one before it, or differs by noise only, gets what that one has.
fn make_monotonic(buckets: &mut [Bucket]) {
    let mut before = buckets[0].count;
    for bucket in &mut buckets[1..] {
        if bucket.count < before || nearly_equal(before, bucket.count) {
            bucket.count = before;
        } else {
            before = bucket.count;
        }
    }
}

fn nearly_equal(a: f64, b: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < NOISE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < NOISE
}

fn outside(q: f64) -> Option<f64> {
    if q < 0.0 {
        Some(f64::NEG_INFINITY)
    } else if q > 1.0 {
        Some(f64::INFINITY)
    } else {
        None
    }
}

/// A count as a number: exact, as far as memory reaches.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(super) fn count(count: usize) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank is not negative, and the cast rounds down as is wanted"
)]
fn index(rank: f64) -> usize {
    rank as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_between_the_values_in_proportion() {
        let rows = [
            (0.0, 1.0),
            (0.5, 2.5),
            (0.25, 1.75),
            (1.0, 4.0),
            (-0.1, f64::NEG_INFINITY),
            (1.1, f64::INFINITY),
        ];
        for (q, want) in rows {
            assert_eq!(of_values(q, &mut [4.0, 1.0, 3.0, 2.0]), want, "{q}");
        }
        assert!(of_values(0.5, &mut []).is_nan());
    }

    #[test]
    fn a_quantile_of_buckets_is_found_within_its_bucket() {
        let buckets = |rows: &[(f64, f64)]| -> Vec<Bucket> {
            rows.iter()
                .map(|(upper, count)| Bucket {
                    upper: *upper,
                    count: *count,
                })
                .collect()
        };
        let latency = [(0.1, 50.0), (0.2, 90.0), (f64::INFINITY, 100.0)];
        // By hand: rank 70 is half way from 50 to 90, so half way from 0.1 to 0.2.
        for (q, want) in [(0.7, 0.15), (0.25, 0.05), (0.95, 0.2), (0.0, 0.0)] {
            let found = of_buckets(q, &mut buckets(&latency));
            assert!((found - want).abs() < 1e-12, "{q}: {found}");
        }
        for without in [&latency[..2], &latency[2..], &[]] {
            assert!(of_buckets(0.5, &mut buckets(without)).is_nan());
        }
        let decreasing = [(0.1, 50.0), (0.2, 40.0), (f64::INFINITY, 100.0)];
        assert_eq!(of_buckets(0.5, &mut buckets(&decreasing)), 0.1);
    }
}
