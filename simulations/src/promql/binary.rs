//! Operators between numbers and vectors, and how series of two vectors find each other.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use promql_parser::parser::token::{
    T_ADD, T_ATAN2, T_DIV, T_EQLC, T_GTE, T_GTR, T_LAND, T_LOR, T_LSS, T_LTE, T_LUNLESS, T_MOD, T_MUL, T_NEQ, T_POW,
    T_SUB, TokenId,
};
use promql_parser::parser::{BinModifier, LabelModifier, VectorMatchCardinality};

use super::evaluate::Sample;
use super::parse::{QueryError, names_in};
use super::{Labels, NAME};

/// A number, or a vector.
pub(super) enum Operand {
    Number(f64),
    Vector(Vec<Sample>),
}

/// What an operator does.
#[derive(Clone, Copy)]
pub(super) enum Operator {
    /// Two numbers become a third one.
    Arithmetic(fn(f64, f64) -> f64),
    /// Lets the left side through where it holds, or says whether it holds.
    Comparison(fn(&f64, &f64) -> bool),
    /// Of sets of series.
    Set(Set),
}

/// What is kept of the left side, and what is added of the right side.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    And,
    Or,
    Unless,
}

pub(super) fn operator(token: TokenId) -> Option<Operator> {
    Some(match token {
        T_ADD => Operator::Arithmetic(|a, b| a + b),
        T_SUB => Operator::Arithmetic(|a, b| a - b),
        T_MUL => Operator::Arithmetic(|a, b| a * b),
        T_DIV => Operator::Arithmetic(|a, b| a / b),
        T_MOD => Operator::Arithmetic(|a, b| a % b),
        T_POW => Operator::Arithmetic(f64::powf),
        T_ATAN2 => Operator::Arithmetic(f64::atan2),
        T_EQLC => Operator::Comparison(f64::eq),
        T_NEQ => Operator::Comparison(f64::ne),
        T_GTR => Operator::Comparison(f64::gt),
        T_LSS => Operator::Comparison(f64::lt),
        T_GTE => Operator::Comparison(f64::ge),
        T_LTE => Operator::Comparison(f64::le),
        T_LAND => Operator::Set(Set::And),
        T_LOR => Operator::Set(Set::Or),
        T_LUNLESS => Operator::Set(Set::Unless),
        _ => return None,
    })
}

/// The result of an operator.
pub(super) fn combine(
    operator: Operator,
    modifier: Option<&BinModifier>,
    left: Operand,
    right: Operand,
) -> Result<Operand, QueryError> {
    let returns_bool = modifier.is_some_and(|modifier| modifier.return_bool);
    let matching = Matching::new(modifier);
    match (left, right) {
        (Operand::Number(a), Operand::Number(b)) => match operator {
            Operator::Arithmetic(compute) => Ok(Operand::Number(compute(a, b))),
            Operator::Comparison(holds) => Ok(Operand::Number(one_if(holds(&a, &b)))),
            Operator::Set(_) => Err(QueryError::Syntax("and, or, unless are between vectors".to_owned())),
        },
        (Operand::Vector(vector), Operand::Number(number)) => Ok(Operand::Vector(with_number(
            operator,
            returns_bool,
            vector,
            number,
            false,
        ))),
        (Operand::Number(number), Operand::Vector(vector)) => Ok(Operand::Vector(with_number(
            operator,
            returns_bool,
            vector,
            number,
            true,
        ))),
        (Operand::Vector(left), Operand::Vector(right)) => match operator {
            Operator::Set(set) => Ok(Operand::Vector(matching.of_sets(set, left, right))),
            _ => matching
                .of_pairs(operator, returns_bool, left, right)
                .map(Operand::Vector),
        },
    }
}

fn one_if(condition: bool) -> f64 {
    if condition { 1.0 } else { 0.0 }
}

/// Whether the result of an operator is a computed value, which has no name.
fn loses_name(operator: Operator, returns_bool: bool) -> bool {
    returns_bool || matches!(operator, Operator::Arithmetic(_))
}

/// The value of an operator, where there is one. A comparison that filters keeps the left value.
fn outcome(operator: Operator, returns_bool: bool, a: f64, b: f64) -> Option<f64> {
    match operator {
        Operator::Arithmetic(compute) => Some(compute(a, b)),
        Operator::Comparison(holds) if returns_bool => Some(one_if(holds(&a, &b))),
        Operator::Comparison(holds) => holds(&a, &b).then_some(a),
        Operator::Set(_) => None,
    }
}

fn with_number(
    operator: Operator,
    returns_bool: bool,
    vector: Vec<Sample>,
    number: f64,
    number_is_left: bool,
) -> Vec<Sample> {
    let compute = |sample: Sample| {
        let (a, b) = if number_is_left {
            (number, sample.value)
        } else {
            (sample.value, number)
        };
        let mut value = outcome(operator, returns_bool, a, b)?;
        if number_is_left && !returns_bool && matches!(operator, Operator::Comparison(_)) {
            // A comparison that filters lets the vector's value through, on whichever side it stands.
            value = sample.value;
        }
        let lost = loses_name(operator, returns_bool);
        let labels = if lost {
            sample.labels.without_name()
        } else {
            sample.labels
        };
        Some(Sample::new(labels, value))
    };
    vector.into_iter().filter_map(compute).collect()
}

/// Which side may have several series for one of the other side.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Many {
    Neither,
    Left,
    Right,
}

/// How series of two vectors find each other.
struct Matching<'a> {
    /// The labels that must be equal, or all but these.
    by: Option<&'a LabelModifier>,
    many: Many,
    /// Labels that the side with several series takes over from the other.
    taken_over: &'a [String],
}

impl<'a> Matching<'a> {
    fn new(modifier: Option<&'a BinModifier>) -> Matching<'a> {
        let (many, taken_over): (Many, &[String]) = match modifier.map(|modifier| &modifier.card) {
            Some(VectorMatchCardinality::ManyToOne(labels)) => (Many::Left, &labels.labels),
            Some(VectorMatchCardinality::OneToMany(labels)) => (Many::Right, &labels.labels),
            _ => (Many::Neither, &[]),
        };
        Matching {
            by: modifier.and_then(|modifier| modifier.matching.as_ref()),
            many,
            taken_over,
        }
    }

    fn names(&self, name: &str) -> bool {
        let named = |by| names_in(by).iter().any(|named| named == name);
        self.by.is_some_and(named)
    }

    fn is_on(&self) -> bool {
        matches!(self.by, Some(LabelModifier::Include(_)))
    }

    /// What two series must have in common. The name of the metric counts only where `on` names it.
    fn key(&self, labels: &Labels) -> Labels {
        if self.is_on() {
            labels.filtered(|name| self.names(name))
        } else {
            labels.filtered(|name| name != NAME && !self.names(name))
        }
    }

    fn of_sets(&self, set: Set, left: Vec<Sample>, right: Vec<Sample>) -> Vec<Sample> {
        let keys =
            |vector: &[Sample]| -> BTreeSet<Labels> { vector.iter().map(|sample| self.key(&sample.labels)).collect() };
        match set {
            Set::And | Set::Unless => {
                let there = keys(&right);
                let wanted = set == Set::And;
                let kept = left.into_iter();
                kept.filter(|sample| there.contains(&self.key(&sample.labels)) == wanted)
                    .collect()
            }
            Set::Or => {
                let there = keys(&left);
                let added = right.into_iter();
                let added = added.filter(|sample| !there.contains(&self.key(&sample.labels)));
                left.into_iter().chain(added).collect()
            }
        }
    }

    fn of_pairs(
        &self,
        operator: Operator,
        returns_bool: bool,
        left: Vec<Sample>,
        right: Vec<Sample>,
    ) -> Result<Vec<Sample>, QueryError> {
        if left.is_empty() || right.is_empty() {
            return Ok(Vec::new());
        }
        // From here on, the side that may have several series is the first.
        let swapped = self.many == Many::Right;
        let (several, single) = if swapped { (right, left) } else { (left, right) };
        let partners = self.partners(single, if swapped { "left" } else { "right" })?;
        let mut results = BTreeSet::new();
        let mut combined = Vec::new();
        for sample in several {
            let key = self.key(&sample.labels);
            let Some(partner) = partners.get(&key) else { continue };
            let labels = self.result(loses_name(operator, returns_bool), &sample.labels, &partner.labels);
            let distinct = (self.many != Many::Neither).then(|| labels.clone());
            if !results.insert((key, distinct)) {
                return Err(self.ambiguous());
            }
            let (a, b) = if swapped {
                (partner.value, sample.value)
            } else {
                (sample.value, partner.value)
            };
            combined.extend(outcome(operator, returns_bool, a, b).map(|value| Sample::new(labels, value)));
        }
        Ok(combined)
    }

    /// The series of the side that has one for each key.
    fn partners(&self, single: Vec<Sample>, side: &str) -> Result<BTreeMap<Labels, Sample>, QueryError> {
        let mut partners = BTreeMap::new();
        for sample in single {
            match partners.entry(self.key(&sample.labels)) {
                Entry::Vacant(entry) => {
                    entry.insert(sample);
                }
                Entry::Occupied(entry) => {
                    let other: &Sample = entry.get();
                    let problem = format!(
                        "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}]; \
                         many-to-many matching not allowed: matching labels must be unique on one side",
                        entry.key(),
                        sample.labels,
                        other.labels,
                    );
                    return Err(QueryError::Execution(problem));
                }
            }
        }
        Ok(partners)
    }

    fn ambiguous(&self) -> QueryError {
        let hint = match self.many {
            Many::Neither => "many-to-one matching must be explicit (group_left/group_right)",
            Many::Left | Many::Right => "grouping labels must ensure unique matches",
        };
        QueryError::Execution(format!("multiple matches for labels: {hint}"))
    }

    fn result(&self, loses_name: bool, labels: &Labels, partner: &Labels) -> Labels {
        let mut result = if loses_name {
            labels.without_name()
        } else {
            labels.clone()
        };
        if self.many == Many::Neither {
            let on = self.is_on();
            result = result.filtered(|name| self.names(name) == on);
        }
        for name in self.taken_over {
            result.set(name, partner.value(name));
        }
        result
    }
}
