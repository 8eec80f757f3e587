//! The functions that are known: one line each. What is not in this table is refused when a query is read.

use super::over_time::{self as range, Span};

/// What a function does with its arguments.
#[derive(Clone, Copy)]
pub(super) enum Function {
    /// Each value of a vector becomes another one; the name of the metric is lost.
    Each(fn(f64) -> f64),
    /// The samples of a series within a range become a value, or none.
    Range(fn(&Span) -> Option<f64>),
    /// The same with a number: before the range, or after it.
    RangeAndNumber(fn(&Span) -> Option<f64>),
    /// The same, and the name of the metric is kept: the value is a sample.
    Pick(fn(&Span) -> Option<f64>),
    /// Anything else; `evaluate` and `special` know how.
    Special(Special),
}

/// Functions that are like no other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    Absent,
    AbsentOverTime,
    Clamp,
    ClampMax,
    ClampMin,
    HistogramQuantile,
    LabelJoin,
    LabelReplace,
    Pi,
    Round,
    Scalar,
    Sort,
    SortDesc,
    Time,
    Timestamp,
    Vector,
}

const TABLE: &[(&str, Function)] = &[
    ("abs", Function::Each(f64::abs)),
    ("absent", Function::Special(Special::Absent)),
    ("absent_over_time", Function::Special(Special::AbsentOverTime)),
    ("avg_over_time", Function::Range(range::avg_over_time)),
    ("ceil", Function::Each(f64::ceil)),
    ("changes", Function::Range(range::changes)),
    ("clamp", Function::Special(Special::Clamp)),
    ("clamp_max", Function::Special(Special::ClampMax)),
    ("clamp_min", Function::Special(Special::ClampMin)),
    ("count_over_time", Function::Range(range::count_over_time)),
    ("delta", Function::Range(range::delta)),
    ("deriv", Function::Range(range::deriv)),
    ("exp", Function::Each(f64::exp)),
    ("floor", Function::Each(f64::floor)),
    ("histogram_quantile", Function::Special(Special::HistogramQuantile)),
    ("idelta", Function::Range(range::idelta)),
    ("increase", Function::Range(range::increase)),
    ("irate", Function::Range(range::irate)),
    ("label_join", Function::Special(Special::LabelJoin)),
    ("label_replace", Function::Special(Special::LabelReplace)),
    ("last_over_time", Function::Pick(range::last_over_time)),
    ("ln", Function::Each(f64::ln)),
    ("log10", Function::Each(f64::log10)),
    ("log2", Function::Each(f64::log2)),
    ("max_over_time", Function::Range(range::max_over_time)),
    ("min_over_time", Function::Range(range::min_over_time)),
    ("pi", Function::Special(Special::Pi)),
    ("predict_linear", Function::RangeAndNumber(range::predict_linear)),
    ("present_over_time", Function::Range(range::present_over_time)),
    (
        "quantile_over_time",
        Function::RangeAndNumber(range::quantile_over_time),
    ),
    ("rate", Function::Range(range::rate)),
    ("resets", Function::Range(range::resets)),
    ("round", Function::Special(Special::Round)),
    ("scalar", Function::Special(Special::Scalar)),
    ("sgn", Function::Each(sign)),
    ("sort", Function::Special(Special::Sort)),
    ("sort_desc", Function::Special(Special::SortDesc)),
    ("sqrt", Function::Each(f64::sqrt)),
    ("stddev_over_time", Function::Range(range::stddev_over_time)),
    ("stdvar_over_time", Function::Range(range::stdvar_over_time)),
    ("sum_over_time", Function::Range(range::sum_over_time)),
    ("time", Function::Special(Special::Time)),
    ("timestamp", Function::Special(Special::Timestamp)),
    ("vector", Function::Special(Special::Vector)),
];

/// The names of all functions that are known, in the order of the alphabet.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, _)| *name)
}

pub(super) fn find(name: &str) -> Option<Function> {
    let at = TABLE.binary_search_by_key(&name, |(name, _)| *name).ok()?;
    Some(TABLE[at].1)
}

/// Zero stays what it is, and so does NaN.
fn sign(value: f64) -> f64 {
    if value > 0.0 {
        1.0
    } else if value < 0.0 {
        -1.0
    } else {
        value
    }
}

/// Rounds to the nearest multiple of `step`; halves upwards.
pub(super) fn round(value: f64, step: f64) -> f64 {
    // By the inverse, because steps are mostly 0.1 or 0.01, whose inverses are exact.
    let inverse = 1.0 / step;
    (value * inverse + 0.5).floor() / inverse
}

/// The nearest value within bounds; NaN stays NaN, and bounds that are NaN make NaN.
pub(super) fn clamp(value: f64, least: f64, most: f64) -> f64 {
    if value.is_nan() || least.is_nan() || most.is_nan() {
        return f64::NAN;
    }
    value.min(most).max(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_so_that_it_can_be_searched() {
        assert!(TABLE.is_sorted_by(|(a, _), (b, _)| a < b));
        for name in names() {
            assert!(find(name).is_some(), "{name}");
        }
        assert!(find("histogram_fraction").is_none());
    }

    #[test]
    fn numbers_are_rounded_and_bounded() {
        assert_eq!(round(2.5, 1.0), 3.0);
        assert_eq!(round(-2.5, 1.0), -2.0);
        assert_eq!(round(0.1234, 0.01), 0.12);
        assert_eq!(clamp(5.0, 0.0, 1.0), 1.0);
        assert!(clamp(f64::NAN, 0.0, 1.0).is_nan());
        assert_eq!([sign(-3.0), sign(0.0), sign(0.5)], [-1.0, 0.0, 1.0]);
    }
}
