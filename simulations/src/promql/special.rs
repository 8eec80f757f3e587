//! Functions that are like no other: of labels, of absence, of histograms, of time.

use std::collections::BTreeMap;

use promql_parser::label::MatchOp;
use promql_parser::parser::{Expr, VectorSelector};

use super::evaluate::{Evaluation, Sample, Value, each, sorted, strip, unique};
use super::functions::{Special, clamp, round};
use super::over_time::seconds;
use super::parse::{QueryError, whole};
use super::quantile::{Bucket, of_buckets};
use super::{BUCKET, Labels, NAME};

impl Evaluation<'_> {
    pub(super) fn special(&self, special: Special, args: &[&Expr], at_ms: i64) -> Result<Value, QueryError> {
        let argument = |index: usize| {
            let argument = args.get(index).copied();
            argument.ok_or_else(|| QueryError::Syntax("an argument is missing".to_owned()))
        };
        let vector = |index| self.samples(argument(index)?, at_ms);
        let number = |index| self.number(argument(index)?, at_ms);
        let text = |index| text_of(argument(index)?);
        let samples = match special {
            Special::Time => return Ok(Value::Scalar(seconds(at_ms))),
            Special::Pi => return Ok(Value::Scalar(std::f64::consts::PI)),
            Special::Scalar => {
                let only = match &*vector(0)? {
                    [only] => only.value,
                    _ => f64::NAN,
                };
                return Ok(Value::Scalar(only));
            }
            Special::Vector => vec![Sample::new(Labels::default(), number(0)?)],
            Special::Absent => absent(argument(0)?, vector(0)?.is_empty()),
            Special::AbsentOverTime => absent(argument(0)?, self.spans(argument(0)?, at_ms)?.is_empty()),
            Special::Clamp if number(2)? < number(1)? => Vec::new(),
            Special::Clamp => {
                let (least, most) = (number(1)?, number(2)?);
                each(vector(0)?, |value| clamp(value, least, most))?
            }
            Special::ClampMin => {
                let least = number(1)?;
                each(vector(0)?, |value| clamp(value, least, f64::INFINITY))?
            }
            Special::ClampMax => {
                let most = number(1)?;
                each(vector(0)?, |value| clamp(value, f64::NEG_INFINITY, most))?
            }
            Special::Round => {
                let step = if args.len() > 1 { number(1)? } else { 1.0 };
                each(vector(0)?, |value| round(value, step))?
            }
            Special::Sort => sorted(vector(0)?, false),
            Special::SortDesc => sorted(vector(0)?, true),
            Special::Timestamp => self.timestamps(argument(0)?, at_ms)?,
            Special::HistogramQuantile => histogram_quantile(number(0)?, vector(1)?)?,
            Special::LabelReplace => label_replace(vector(0)?, [text(1)?, text(2)?, text(3)?, text(4)?])?,
            Special::LabelJoin => {
                let from = (3..args.len()).map(text).collect::<Result<Vec<_>, _>>()?;
                label_join(vector(0)?, text(1)?, text(2)?, &from)?
            }
        };
        Ok(Value::Vector(samples))
    }

    /// When each value was scraped; for values that were computed, the time of the evaluation.
    fn timestamps(&self, expr: &Expr, at_ms: i64) -> Result<Vec<Sample>, QueryError> {
        let timed = |labels: &Labels, at_ms| Sample::new(labels.without_name(), seconds(at_ms));
        let samples = if let Expr::VectorSelector(selector) = strip(expr) {
            let found = self.select(selector, at_ms)?;
            found.iter().map(|(labels, point)| timed(labels, point.at_ms)).collect()
        } else {
            let found = self.samples(expr, at_ms)?;
            found.iter().map(|sample| timed(&sample.labels, at_ms)).collect()
        };
        unique(samples)
    }
}

fn text_of(expr: &Expr) -> Result<&str, QueryError> {
    match strip(expr) {
        Expr::StringLiteral(text) => Ok(&text.val),
        _ => Err(QueryError::Syntax("a text was expected".to_owned())),
    }
}

/// One value, 1, where there is nothing, with the labels that the selector demands.
fn absent(expr: &Expr, is_absent: bool) -> Vec<Sample> {
    let demanded = match expr {
        Expr::VectorSelector(selector) => demanded_labels(selector),
        Expr::MatrixSelector(matrix) => demanded_labels(&matrix.vs),
        _ => Labels::default(),
    };
    if is_absent {
        vec![Sample::new(demanded, 1.0)]
    } else {
        Vec::new()
    }
}

/// Labels whose value a selector names once; those that it names several times or otherwise are not known.
fn demanded_labels(selector: &VectorSelector) -> Labels {
    let mut labels = Labels::default();
    let matchers = &selector.matchers.matchers;
    for matcher in matchers.iter().filter(|matcher| matcher.name != NAME) {
        let once = matchers.iter().filter(|other| other.name == matcher.name).count() == 1;
        if once && matches!(matcher.op, MatchOp::Equal) {
            labels.set(&matcher.name, &matcher.value);
        }
    }
    labels
}

fn histogram_quantile(q: f64, vector: Vec<Sample>) -> Result<Vec<Sample>, QueryError> {
    let mut histograms: BTreeMap<Labels, Vec<Bucket>> = BTreeMap::new();
    for sample in vector {
        // A series without a bound is no bucket, and is passed over.
        if let Ok(upper) = sample.labels.value(BUCKET).parse() {
            let histogram = histograms
                .entry(sample.labels.filtered(|name| name != BUCKET))
                .or_default();
            histogram.push(Bucket {
                upper,
                count: sample.value,
            });
        }
    }
    let histograms = histograms.into_iter();
    unique(
        histograms
            .map(|(labels, mut buckets)| Sample::new(labels.without_name(), of_buckets(q, &mut buckets)))
            .collect(),
    )
}

fn label_replace(vector: Vec<Sample>, [to, replacement, from, pattern]: [&str; 4]) -> Result<Vec<Sample>, QueryError> {
    let pattern = whole(pattern)?;
    check_label(to, "label_replace")?;
    let replaced = vector.into_iter().map(|mut sample| {
        if let Some(found) = pattern.captures(sample.labels.value(from)) {
            let mut value = String::new();
            found.expand(replacement, &mut value);
            sample.labels.set(to, &value);
        }
        sample
    });
    unique(replaced.collect())
}

fn label_join(vector: Vec<Sample>, to: &str, separator: &str, from: &[&str]) -> Result<Vec<Sample>, QueryError> {
    check_label(to, "label_join")?;
    let joined = vector.into_iter().map(|mut sample| {
        let values: Vec<&str> = from.iter().map(|name| sample.labels.value(name)).collect();
        let value = values.join(separator);
        sample.labels.set(to, &value);
        sample
    });
    unique(joined.collect())
}

fn check_label(name: &str, function: &str) -> Result<(), QueryError> {
    if name.is_empty() {
        return Err(QueryError::Execution(format!(
            "invalid label name in {function}(): it is empty"
        )));
    }
    Ok(())
}
