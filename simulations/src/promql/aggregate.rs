//! Aggregations: many series become one for each group, or the outstanding ones of each group are picked.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use promql_parser::parser::LabelModifier;
use promql_parser::parser::token::{
    T_AVG, T_BOTTOMK, T_COUNT, T_COUNT_VALUES, T_GROUP, T_MAX, T_MIN, T_QUANTILE, T_STDDEV, T_STDVAR, T_SUM, T_TOPK,
    TokenId,
};

use super::evaluate::Sample;
use super::over_time::{mean, sum, variance};
use super::parse::{QueryError, names_in};
use super::quantile::{count, of_values};
use super::{Labels, NAME, number_text};

/// What is done with each group.
#[derive(Clone, Copy)]
pub(super) enum Operator {
    /// Its values become one.
    Reduce(fn(&[f64]) -> f64),
    /// Its quantile at the parameter.
    Quantile,
    /// The largest ones, as many as the parameter says.
    Top,
    /// The smallest ones.
    Bottom,
    /// How many series have each value; the parameter is the label for the value.
    CountValues,
}

pub(super) fn operator(token: TokenId) -> Option<Operator> {
    Some(match token {
        T_AVG => Operator::Reduce(|values| mean(values.iter().copied())),
        T_COUNT => Operator::Reduce(|values| count(values.len())),
        T_GROUP => Operator::Reduce(|_| 1.0),
        T_MAX => Operator::Reduce(|values| extreme(values, |value, most| value > most)),
        T_MIN => Operator::Reduce(|values| extreme(values, |value, least| value < least)),
        T_STDDEV => Operator::Reduce(|values| variance(values.iter().copied()).sqrt()),
        T_STDVAR => Operator::Reduce(|values| variance(values.iter().copied())),
        T_SUM => Operator::Reduce(|values| sum(values.iter().copied())),
        T_QUANTILE => Operator::Quantile,
        T_TOPK => Operator::Top,
        T_BOTTOMK => Operator::Bottom,
        T_COUNT_VALUES => Operator::CountValues,
        _ => return None,
    })
}

/// The value that beats all others. NaN is beaten by every number.
fn extreme(values: &[f64], beats: fn(f64, f64) -> bool) -> f64 {
    let better = |best: f64, value: f64| {
        if beats(value, best) || best.is_nan() {
            value
        } else {
            best
        }
    };
    values.iter().copied().reduce(better).unwrap_or(f64::NAN)
}

/// The parameter of an aggregation.
pub(super) enum Parameter {
    None,
    Number(f64),
    Text(String),
}

/// The aggregation of a vector, in the order of the groups' labels; picked series in the order of their values.
pub(super) fn aggregate(
    operator: Operator,
    modifier: Option<&LabelModifier>,
    parameter: &Parameter,
    vector: Vec<Sample>,
) -> Result<Vec<Sample>, QueryError> {
    let number = match parameter {
        Parameter::Number(number) => *number,
        Parameter::None | Parameter::Text(_) => f64::NAN,
    };
    let mut groups: BTreeMap<Labels, Vec<Sample>> = BTreeMap::new();
    for mut sample in vector {
        if let (Operator::CountValues, Parameter::Text(label)) = (operator, parameter) {
            let text = number_text(sample.value);
            sample.labels.set(label, &text);
            let group = group_of(modifier, &sample.labels).with(label, &text);
            groups.entry(group).or_default().push(sample);
        } else {
            groups
                .entry(group_of(modifier, &sample.labels))
                .or_default()
                .push(sample);
        }
    }
    let values = |group: &[Sample]| group.iter().map(|sample| sample.value).collect::<Vec<_>>();
    let one_each = |reduce: &dyn Fn(Vec<f64>) -> f64| {
        let reduced = groups
            .iter()
            .map(|(labels, group)| Sample::new(labels.clone(), reduce(values(group))));
        reduced.collect()
    };
    Ok(match operator {
        Operator::Reduce(reduce) => one_each(&|values| reduce(&values)),
        Operator::Quantile => one_each(&|mut values| of_values(number, &mut values)),
        Operator::CountValues => one_each(&|values| count(values.len())),
        Operator::Top => pick(groups, wanted(number)?, |a, b| b.total_cmp(&a)),
        Operator::Bottom => pick(groups, wanted(number)?, |a, b| a.total_cmp(&b)),
    })
}

fn group_of(modifier: Option<&LabelModifier>, labels: &Labels) -> Labels {
    let named = |name: &str| modifier.is_some_and(|modifier| names_in(modifier).iter().any(|named| named == name));
    match modifier {
        None => Labels::default(),
        Some(LabelModifier::Include(_)) => labels.filtered(named),
        Some(LabelModifier::Exclude(_)) => labels.filtered(|name| name != NAME && !named(name)),
    }
}

/// How many series are picked of each group.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast rounds down, and what it gets is between 1 and 2^32"
)]
fn wanted(parameter: f64) -> Result<usize, QueryError> {
    if parameter < 1.0 {
        Ok(0)
    } else if parameter <= f64::from(u32::MAX) {
        Ok(parameter as usize)
    } else {
        let shown = number_text(parameter);
        Err(QueryError::Execution(format!(
            "topk and bottomk cannot pick {shown} series"
        )))
    }
}

fn pick(groups: BTreeMap<Labels, Vec<Sample>>, wanted: usize, order: impl Fn(f64, f64) -> Ordering) -> Vec<Sample> {
    let mut picked = Vec::new();
    for (_, mut group) in groups {
        sort_by_value(&mut group, &order);
        group.truncate(wanted);
        picked.append(&mut group);
    }
    picked
}

/// Sorts by value; NaN comes last whatever the order.
pub(super) fn sort_by_value(vector: &mut [Sample], order: impl Fn(f64, f64) -> Ordering) {
    vector.sort_by(|a, b| {
        let by_nan = a.value.is_nan().cmp(&b.value.is_nan());
        by_nan.then_with(|| order(a.value, b.value))
    });
}
