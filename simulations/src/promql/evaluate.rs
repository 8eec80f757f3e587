//! The evaluation of a query: at one time, or at each step of a range of times.

use std::cell::Cell;
use std::collections::BTreeMap;

use promql_parser::parser::{AggregateExpr, BinaryExpr, Call, Expr, MatrixSelector, SubqueryExpr, VectorSelector};

use super::aggregate::{self, Parameter, sort_by_value};
use super::binary::{self, Operand};
use super::functions::{self, Function};
use super::over_time::Span;
use super::parse::{Query, QueryError, millis, moment};
use super::store::{value_at, values_within};
use super::{Labels, NAME, Point, SeriesStore};

/// Most steps of a range query (Prometheus' own bound).
pub const MAX_STEPS: i64 = 11_000;
/// Most samples and series that an evaluation looks at.
const MAX_TOUCHED: usize = 10_000_000;
/// The step of a subquery that gives none: Prometheus' default interval of evaluation.
const SUBQUERY_STEP_MS: i64 = 60_000;

/// A value of a series at the time of the evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Which series.
    pub labels: Labels,
    /// Its value.
    pub value: f64,
}

impl Sample {
    pub(super) fn new(labels: Labels, value: f64) -> Sample {
        Sample { labels, value }
    }
}

/// Values of a series over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Which series.
    pub labels: Labels,
    /// In the order of time.
    pub points: Vec<Point>,
}

/// What a query evaluates to.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Scalar(f64),
    /// A text.
    Text(String),
    /// One value for each series: in the order of the labels, or as the query sorted them.
    Vector(Vec<Sample>),
    /// Values over time for each series, in the order of the labels.
    Matrix(Vec<Series>),
}

impl Query {
    /// The value at a time.
    pub fn instant(&self, store: &SeriesStore, at_ms: i64) -> Result<Value, QueryError> {
        Evaluation::new(store, at_ms, at_ms).value(&self.expr, at_ms)
    }

    /// The values from `start_ms` to `end_ms`, both inclusive, at each `step_ms`.
    pub fn range(&self, store: &SeriesStore, start_ms: i64, end_ms: i64, step_ms: i64) -> Result<Value, QueryError> {
        if step_ms <= 0 || end_ms < start_ms {
            let problem = "a range needs a step above 0 and an end that is not before its start";
            return Err(QueryError::Syntax(problem.to_owned()));
        }
        let steps = (end_ms - start_ms) / step_ms + 1;
        if steps > MAX_STEPS {
            return Err(QueryError::TooManySteps(steps));
        }
        let evaluation = Evaluation::new(store, start_ms, end_ms);
        let series = evaluation.stepped(&self.expr, start_ms, end_ms, step_ms)?;
        Ok(Value::Matrix(series))
    }
}

/// One evaluation and what it has cost so far.
pub(super) struct Evaluation<'a> {
    store: &'a SeriesStore,
    /// Start and end of the query, for `@ start()` and `@ end()`.
    query: (i64, i64),
    touched: Cell<usize>,
}

impl<'a> Evaluation<'a> {
    fn new(store: &'a SeriesStore, start_ms: i64, end_ms: i64) -> Evaluation<'a> {
        Evaluation {
            store,
            query: (start_ms, end_ms),
            touched: Cell::new(0),
        }
    }

    fn touch(&self, count: usize) -> Result<(), QueryError> {
        self.touched.set(self.touched.get() + count);
        if self.touched.get() > MAX_TOUCHED {
            return Err(QueryError::TooManySamples(MAX_TOUCHED));
        }
        Ok(())
    }

    /// The values of an expression at each step, by series.
    fn stepped(&self, expr: &Expr, start_ms: i64, end_ms: i64, step_ms: i64) -> Result<Vec<Series>, QueryError> {
        let mut series: BTreeMap<Labels, Vec<Point>> = BTreeMap::new();
        let mut at_ms = start_ms;
        while at_ms <= end_ms {
            let samples = match self.value(expr, at_ms)? {
                Value::Vector(samples) => samples,
                Value::Scalar(value) => vec![Sample::new(Labels::default(), value)],
                Value::Text(_) | Value::Matrix(_) => {
                    let problem = "a range query must be of a number or of one value for each series";
                    return Err(QueryError::Syntax(problem.to_owned()));
                }
            };
            self.touch(samples.len() + 1)?;
            for Sample { labels, value } in samples {
                series.entry(labels).or_default().push(Point { at_ms, value });
            }
            at_ms += step_ms;
        }
        let series = series.into_iter();
        Ok(series.map(|(labels, points)| Series { labels, points }).collect())
    }

    fn value(&self, expr: &Expr, at_ms: i64) -> Result<Value, QueryError> {
        match expr {
            Expr::NumberLiteral(number) => Ok(Value::Scalar(number.val)),
            Expr::StringLiteral(text) => Ok(Value::Text(text.val.clone())),
            Expr::Paren(paren) => self.value(&paren.expr, at_ms),
            Expr::VectorSelector(selector) => {
                let found = self.select(selector, at_ms)?;
                let samples = found
                    .into_iter()
                    .map(|(labels, point)| Sample::new(labels, point.value));
                Ok(Value::Vector(samples.collect()))
            }
            Expr::MatrixSelector(_) | Expr::Subquery(_) => {
                let spans = self.spans(expr, at_ms)?.into_iter();
                let series = spans.map(|(labels, span)| Series {
                    labels,
                    points: span.points,
                });
                Ok(Value::Matrix(series.collect()))
            }
            Expr::Unary(unary) => match self.value(&unary.expr, at_ms)? {
                Value::Scalar(number) => Ok(Value::Scalar(-number)),
                value => each(vector(value)?, |value| -value).map(Value::Vector),
            },
            Expr::Binary(binary) => self.binary(binary, at_ms),
            Expr::Aggregate(aggregate) => self.aggregate(aggregate, at_ms).map(Value::Vector),
            Expr::Call(call) => self.call(call, at_ms),
            Expr::Extension(_) => Err(QueryError::Unsupported("extensions of PromQL".to_owned())),
        }
    }

    /// The series that a selector names, and their values.
    pub(super) fn select(&self, selector: &VectorSelector, at_ms: i64) -> Result<Vec<(Labels, Point)>, QueryError> {
        let at_ms = moment(selector.at.as_ref(), selector.offset.as_ref(), at_ms, self.query);
        let mut found = Vec::new();
        for (labels, points) in self.store.iter() {
            self.touch(1)?;
            if selects(selector, labels) {
                found.extend(value_at(points, at_ms).map(|point| (labels.clone(), point)));
            }
        }
        Ok(found)
    }

    /// The samples of a range for each series that has any.
    pub(super) fn spans(&self, expr: &Expr, at_ms: i64) -> Result<Vec<(Labels, Span)>, QueryError> {
        match expr {
            Expr::Paren(paren) => self.spans(&paren.expr, at_ms),
            Expr::MatrixSelector(matrix) => self.spans_of_selector(matrix, at_ms),
            Expr::Subquery(subquery) => self.spans_of_subquery(subquery, at_ms),
            _ => Err(QueryError::Syntax("a range such as [5m] was expected".to_owned())),
        }
    }

    fn spans_of_selector(&self, matrix: &MatrixSelector, at_ms: i64) -> Result<Vec<(Labels, Span)>, QueryError> {
        let selector = &matrix.vs;
        let until_ms = moment(selector.at.as_ref(), selector.offset.as_ref(), at_ms, self.query);
        let after_ms = until_ms - millis(matrix.range);
        let mut found = Vec::new();
        for (labels, points) in self.store.iter().filter(|(labels, _)| selects(selector, labels)) {
            let points = values_within(points, after_ms, until_ms);
            self.touch(1 + points.len())?;
            if !points.is_empty() {
                let span = Span {
                    points,
                    after_ms,
                    until_ms,
                    now_ms: at_ms,
                    parameter: f64::NAN,
                };
                found.push((labels.clone(), span));
            }
        }
        Ok(found)
    }

    /// The steps of a subquery are multiples of its step, so that they do not move with the time of the evaluation.
    fn spans_of_subquery(&self, subquery: &SubqueryExpr, at_ms: i64) -> Result<Vec<(Labels, Span)>, QueryError> {
        let until_ms = moment(subquery.at.as_ref(), subquery.offset.as_ref(), at_ms, self.query);
        let after_ms = until_ms - millis(subquery.range);
        let step_ms = subquery.step.map_or(SUBQUERY_STEP_MS, millis).max(1);
        let steps = (until_ms - after_ms) / step_ms;
        if steps > MAX_STEPS {
            return Err(QueryError::TooManySteps(steps));
        }
        let first_ms = (after_ms.div_euclid(step_ms) + 1) * step_ms;
        let series = self.stepped(&subquery.expr, first_ms, until_ms, step_ms)?;
        let span = |points| Span {
            points,
            after_ms,
            until_ms,
            now_ms: at_ms,
            parameter: f64::NAN,
        };
        Ok(series.into_iter().map(|one| (one.labels, span(one.points))).collect())
    }

    fn binary(&self, expr: &BinaryExpr, at_ms: i64) -> Result<Value, QueryError> {
        let operand = |expr: &Expr| match self.value(expr, at_ms)? {
            Value::Scalar(number) => Ok(Operand::Number(number)),
            value => vector(value).map(Operand::Vector),
        };
        let (left, right) = (operand(&expr.lhs)?, operand(&expr.rhs)?);
        let operator = binary::operator(expr.op.id())
            .ok_or_else(|| QueryError::Unsupported(format!("the operator {}", expr.op)))?;
        match binary::combine(operator, expr.modifier.as_ref(), left, right)? {
            Operand::Number(number) => Ok(Value::Scalar(number)),
            Operand::Vector(vector) => unique(vector).map(Value::Vector),
        }
    }

    fn aggregate(&self, expr: &AggregateExpr, at_ms: i64) -> Result<Vec<Sample>, QueryError> {
        let operator = aggregate::operator(expr.op.id())
            .ok_or_else(|| QueryError::Unsupported(format!("the aggregation {}", expr.op)))?;
        let parameter = match &expr.param {
            None => Parameter::None,
            Some(parameter) => match self.value(parameter, at_ms)? {
                Value::Scalar(number) => Parameter::Number(number),
                Value::Text(text) => Parameter::Text(text),
                Value::Vector(_) | Value::Matrix(_) => {
                    let problem = format!("the parameter of {} must be a number or a text", expr.op);
                    return Err(QueryError::Syntax(problem));
                }
            },
        };
        let values = vector(self.value(&expr.expr, at_ms)?)?;
        aggregate::aggregate(operator, expr.modifier.as_ref(), &parameter, values)
    }

    fn call(&self, call: &Call, at_ms: i64) -> Result<Value, QueryError> {
        let args: Vec<&Expr> = call.args.args.iter().map(|arg| &**arg).collect();
        let unknown = || QueryError::UnknownFunction(call.func.name.to_owned());
        let argument = |index: usize| args.get(index).copied().ok_or_else(unknown);
        let (function, range, number) = match functions::find(call.func.name).ok_or_else(unknown)? {
            Function::Special(special) => return self.special(special, &args, at_ms),
            Function::Each(function) => {
                let values = vector(self.value(argument(0)?, at_ms)?)?;
                return each(values, function).map(Value::Vector);
            }
            Function::Pick(function) => {
                let spans = self.spans(argument(0)?, at_ms)?.into_iter();
                let picked = spans.filter_map(|(labels, span)| Some(Sample::new(labels, function(&span)?)));
                return Ok(Value::Vector(picked.collect()));
            }
            Function::Range(function) => (function, argument(0)?, None),
            Function::RangeAndNumber(function) => {
                let ranged = |expr: &&Expr| matches!(strip(expr), Expr::MatrixSelector(_) | Expr::Subquery(_));
                let (ranges, numbers): (Vec<&Expr>, Vec<&Expr>) = args.iter().copied().partition(ranged);
                let [range, number] = [ranges.first(), numbers.first()];
                (function, *range.ok_or_else(unknown)?, number.copied())
            }
        };
        let parameter = number.map_or(Ok(f64::NAN), |number| self.number(number, at_ms))?;
        let mut samples = Vec::new();
        for (labels, mut span) in self.spans(range, at_ms)? {
            span.parameter = parameter;
            samples.extend(function(&span).map(|value| Sample::new(labels.without_name(), value)));
        }
        unique(samples).map(Value::Vector)
    }

    pub(super) fn number(&self, expr: &Expr, at_ms: i64) -> Result<f64, QueryError> {
        match self.value(expr, at_ms)? {
            Value::Scalar(number) => Ok(number),
            _ => Err(QueryError::Syntax("a number was expected".to_owned())),
        }
    }

    pub(super) fn samples(&self, expr: &Expr, at_ms: i64) -> Result<Vec<Sample>, QueryError> {
        vector(self.value(expr, at_ms)?)
    }
}

/// An expression without the brackets around it.
pub(super) fn strip(expr: &Expr) -> &Expr {
    match expr {
        Expr::Paren(paren) => strip(&paren.expr),
        _ => expr,
    }
}

/// Whether a selector names a series. A label that is absent has an empty value.
fn selects(selector: &VectorSelector, labels: &Labels) -> bool {
    let named = selector.name.as_deref().is_none_or(|name| labels.value(NAME) == name);
    let mut matchers = selector.matchers.matchers.iter();
    named && matchers.all(|matcher| matcher.is_match(labels.value(&matcher.name)))
}

fn vector(value: Value) -> Result<Vec<Sample>, QueryError> {
    match value {
        Value::Vector(samples) => Ok(samples),
        _ => Err(QueryError::Syntax("one value for each series was expected".to_owned())),
    }
}

/// Each value of a vector computed anew. What is computed has lost the name of its metric.
pub(super) fn each(vector: Vec<Sample>, compute: impl Fn(f64) -> f64) -> Result<Vec<Sample>, QueryError> {
    let computed = vector.into_iter();
    unique(
        computed
            .map(|sample| Sample::new(sample.labels.without_name(), compute(sample.value)))
            .collect(),
    )
}

/// The same vector, if no two of its series have the same labels. Its order is kept.
pub(super) fn unique(vector: Vec<Sample>) -> Result<Vec<Sample>, QueryError> {
    let mut labels: Vec<&Labels> = vector.iter().map(|sample| &sample.labels).collect();
    labels.sort_unstable();
    if let Some([twice, _]) = labels.array_windows().find(|[before, after]| before == after) {
        let problem = format!("the result has several series with the same labels {twice}");
        return Err(QueryError::Execution(problem));
    }
    Ok(vector)
}

/// Sorted by value, the smallest first; NaN last.
pub(super) fn sorted(mut vector: Vec<Sample>, descending: bool) -> Vec<Sample> {
    if descending {
        sort_by_value(&mut vector, |a, b| b.total_cmp(&a));
    } else {
        sort_by_value(&mut vector, |a, b| a.total_cmp(&b));
    }
    vector
}
