//! Functions of the samples of one series within a range: rate and its kin, and `..._over_time`.

// All functions of the table have the same type.
#![allow(clippy::unnecessary_wraps)]

use super::quantile::{count, of_values};
use super::store::Point;

/// The samples of one series within a range, and where the range lies.
#[derive(Clone, Debug)]
pub(super) struct Span {
    /// Not empty, in the order of time.
    pub(super) points: Vec<Point>,
    /// The range is open here.
    pub(super) after_ms: i64,
    /// The range is closed here.
    pub(super) until_ms: i64,
    /// When the query is evaluated.
    pub(super) now_ms: i64,
    /// The other argument of functions that have one.
    pub(super) parameter: f64,
}

/// Samples are taken to cover the range up to its end where the end is at most this many average distances away.
const NEAR: f64 = 1.1;

pub(super) fn rate(span: &Span) -> Option<f64> {
    Some(extrapolated(span, true)? / seconds(span.until_ms - span.after_ms))
}

pub(super) fn increase(span: &Span) -> Option<f64> {
    extrapolated(span, true)
}

pub(super) fn delta(span: &Span) -> Option<f64> {
    extrapolated(span, false)
}

/// By how much a series rose over the whole range. It is known between the first and the last sample only, and
/// extrapolated as Prometheus documents it (commit "promql: Fix extrapolation of rate", B. Rabenstein, and the comments on
/// `extrapolatedRate` since): up to each end of the range where samples come near it, else half an average distance of
/// samples beyond the outermost one. A counter is never extrapolated below zero. A counter that falls has restarted at zero.
fn extrapolated(span: &Span, counter: bool) -> Option<f64> {
    let [first, .., last] = *span.points else { return None };
    let mut rise = last.value - first.value;
    if counter {
        let resets = span.points.windows(2).filter(|pair| pair[1].value < pair[0].value);
        rise += resets.map(|pair| pair[0].value).sum::<f64>();
    }
    let sampled = seconds(last.at_ms - first.at_ms);
    let distance = sampled / count(span.points.len() - 1);
    let reach = |gap: f64| if gap >= distance * NEAR { distance / 2.0 } else { gap };
    let mut before = reach(seconds(first.at_ms - span.after_ms));
    let after = reach(seconds(span.until_ms - last.at_ms));
    if counter && rise > 0.0 && first.value >= 0.0 {
        before = before.min(sampled * (first.value / rise));
    }
    Some(rise * ((sampled + before + after) / sampled))
}

/// The rise per second between the last two samples.
pub(super) fn irate(span: &Span) -> Option<f64> {
    let [.., before, last] = *span.points else { return None };
    let restarted = last.value < before.value;
    let rise = if restarted {
        last.value
    } else {
        last.value - before.value
    };
    Some(rise / seconds(last.at_ms - before.at_ms))
}

/// The difference of the last two samples.
pub(super) fn idelta(span: &Span) -> Option<f64> {
    let [.., before, last] = *span.points else { return None };
    Some(last.value - before.value)
}

/// The slope per second of the straight line that fits the samples best.
pub(super) fn deriv(span: &Span) -> Option<f64> {
    Some(fitted_line(span, span.points.first()?.at_ms)?.0)
}

/// Where that line is `parameter` seconds from now.
pub(super) fn predict_linear(span: &Span) -> Option<f64> {
    let (slope, now) = fitted_line(span, span.now_ms)?;
    Some(slope * span.parameter + now)
}

/// Slope per second, and value at `origin_ms`, of the line of least squares.
fn fitted_line(span: &Span, origin_ms: i64) -> Option<(f64, f64)> {
    let [first, .., _] = *span.points else { return None };
    if span.points.iter().all(|point| point.value == first.value) {
        let constant = if first.value.is_infinite() {
            f64::NAN
        } else {
            first.value
        };
        return Some((if constant.is_nan() { f64::NAN } else { 0.0 }, constant));
    }
    let xy = || {
        span.points
            .iter()
            .map(|point| (seconds(point.at_ms - origin_ms), point.value))
    };
    let n = count(span.points.len());
    let sum_x = sum(xy().map(|(x, _)| x));
    let sum_y = sum(xy().map(|(_, y)| y));
    let covariance = sum(xy().map(|(x, y)| x * y)) - sum_x * sum_y / n;
    let variance = sum(xy().map(|(x, _)| x * x)) - sum_x * sum_x / n;
    let slope = covariance / variance;
    Some((slope, sum_y / n - slope * sum_x / n))
}

pub(super) fn sum_over_time(span: &Span) -> Option<f64> {
    Some(sum(values(span)))
}

pub(super) fn avg_over_time(span: &Span) -> Option<f64> {
    Some(mean(values(span)))
}

pub(super) fn min_over_time(span: &Span) -> Option<f64> {
    values(span).reduce(|least, value| if value < least || least.is_nan() { value } else { least })
}

pub(super) fn max_over_time(span: &Span) -> Option<f64> {
    values(span).reduce(|most, value| if value > most || most.is_nan() { value } else { most })
}

pub(super) fn count_over_time(span: &Span) -> Option<f64> {
    Some(count(span.points.len()))
}

pub(super) fn present_over_time(_: &Span) -> Option<f64> {
    Some(1.0)
}

pub(super) fn last_over_time(span: &Span) -> Option<f64> {
    span.points.last().map(|point| point.value)
}

pub(super) fn quantile_over_time(span: &Span) -> Option<f64> {
    Some(of_values(span.parameter, &mut values(span).collect::<Vec<_>>()))
}

pub(super) fn stddev_over_time(span: &Span) -> Option<f64> {
    Some(variance(values(span)).sqrt())
}

pub(super) fn stdvar_over_time(span: &Span) -> Option<f64> {
    Some(variance(values(span)))
}

/// How often the value changed; from NaN to NaN is no change.
pub(super) fn changes(span: &Span) -> Option<f64> {
    let changed = |pair: &&[Point]| {
        let [before, after] = [pair[0].value, pair[1].value];
        before != after && !(before.is_nan() && after.is_nan())
    };
    Some(count(span.points.windows(2).filter(changed).count()))
}

/// How often the value fell.
pub(super) fn resets(span: &Span) -> Option<f64> {
    let fell = |pair: &&[Point]| pair[1].value < pair[0].value;
    Some(count(span.points.windows(2).filter(fell).count()))
}

fn values(span: &Span) -> impl Iterator<Item = f64> + Clone {
    span.points.iter().map(|point| point.value)
}

/// A sum that does not depend on the size of what came before (Neumaier 1974).
pub(super) fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0_f64, 0.0_f64);
    for value in values {
        let next = sum + value;
        if next.is_infinite() {
            lost = 0.0;
        } else if sum.abs() >= value.abs() {
            lost += (sum - next) + value;
        } else {
            lost += (value - next) + sum;
        }
        sum = next;
    }
    if sum.is_infinite() { sum } else { sum + lost }
}

/// The mean, also of numbers whose sum is too large for a number.
pub(super) fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = count(values.clone().count());
    let direct = sum(values.clone());
    if direct.is_infinite() && values.clone().all(f64::is_finite) {
        return sum(values.map(|value| value / n));
    }
    direct / n
}

/// The variance of a population (Welford 1962).
pub(super) fn variance(values: impl Iterator<Item = f64>) -> f64 {
    let (mut n, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        n += 1.0;
        let difference = value - mean;
        mean += difference / n;
        squares += difference * (value - mean);
    }
    squares / n
}

/// Milliseconds as seconds. Spans of a query are far below 2^52 ms.
#[expect(clippy::cast_precision_loss, reason = "spans are bounded when a query is read")]
pub(crate) fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples at seconds, within a range of seconds.
    fn span(rows: &[(i64, f64)], after: i64, until: i64) -> Span {
        let point = |(at, value): &(i64, f64)| Point {
            at_ms: at * 1000,
            value: *value,
        };
        Span {
            points: rows.iter().map(point).collect(),
            after_ms: after * 1000,
            until_ms: until * 1000,
            now_ms: until * 1000,
            parameter: 0.5,
        }
    }

    #[test]
    fn a_rise_is_extrapolated_as_far_as_samples_come_near() {
        type Row<'a> = (&'a str, &'a [(i64, f64)], f64);
        let rows: [Row<'_>; 6] = [
            ("up to both ends", &[(5, 50.0), (15, 60.0), (25, 70.0)], 30.0),
            ("half a distance to a far end", &[(5, 50.0), (10, 55.0)], 12.5),
            ("not below zero", &[(5, 1.0), (15, 11.0), (25, 21.0)], 26.0),
            (
                "a counter that restarted",
                &[(5, 50.0), (15, 60.0), (25, 5.0)],
                15.0 * 30.0 / 20.0,
            ),
            ("a counter that stands", &[(5, 7.0), (25, 7.0)], 0.0),
            ("a single sample", &[(5, 7.0)], f64::NAN),
        ];
        for (what, points, want) in rows {
            let found = increase(&span(points, 0, 30)).unwrap_or(f64::NAN);
            assert!(
                (found - want).abs() < 1e-9 || found.is_nan() && want.is_nan(),
                "{what}: {found}"
            );
        }
        let halved = span(&[(5, 50.0), (15, 60.0), (25, 50.0)], 0, 30);
        assert_eq!(delta(&halved), Some(0.0));
        assert_eq!(rate(&span(rows[0].1, 0, 30)), Some(1.0));
    }

    #[test]
    fn the_last_two_samples_decide_where_it_says_so() {
        let fallen = span(&[(0, 9.0), (10, 50.0), (20, 5.0)], 0, 30);
        assert_eq!(irate(&fallen), Some(0.5));
        assert_eq!(idelta(&fallen), Some(-45.0));
        assert_eq!(irate(&span(&[(0, 9.0)], 0, 30)), None);
    }

    #[test]
    fn a_line_is_fitted() {
        let line = span(&[(0, 1.0), (10, 21.0), (20, 41.0)], 0, 30);
        assert_eq!(deriv(&line), Some(2.0));
        // 61 at 30 s, and half a second further.
        assert_eq!(predict_linear(&line), Some(62.0));
        assert_eq!(deriv(&span(&[(0, 3.0), (9, 3.0)], 0, 30)), Some(0.0));
    }

    #[test]
    fn sums_keep_what_is_small_and_means_do_not_overflow() {
        assert_eq!(sum([1e100, 1.0, -1e100].into_iter()), 1.0);
        assert_eq!(mean([f64::MAX, f64::MAX].into_iter()), f64::MAX);
        assert_eq!(mean([f64::INFINITY, 1.0].into_iter()), f64::INFINITY);
        assert_eq!(variance([1.0, 3.0].into_iter()), 1.0);
    }
}
