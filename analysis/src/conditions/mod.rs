//! Conditions: what makes a measurement successful or failed.
//!
//! A condition is an expression in the language of expr-lang.org over `result`, what the query returned: a number, a
//! list of numbers, or what JSON can say. The functions `asInt`, `asFloat`, `isNaN`, `isInf`, `isNil` and `default` are those
//! of Argo Rollouts.
//!
//! # Guarantees
//! - Parsing and judging end, soon, on any source and any answer, and never panic: source, tokens, nesting, values and work
//!   are bounded, and what could grow without bound (`let`, ranges, maps, `repeat`, `replace`, dates) is refused by name.
//! - **Missing data is never a verdict.** An empty answer, NaN and infinity prove nothing, neither success nor failure, unless
//!   an expression itself looks for them: `len`, `isNil`, `default`, `nil` or `??` for the empty answer, `isNaN` for NaN,
//!   `isInf` for infinity. Otherwise judging is an error ([`Problem::NoData`]), whatever the expression would say. Each part of
//!   the answer that is looked at (`result.errors`, `.errors` in a body) must be there too, and must not be an empty list,
//!   unless that very look is such a test (`steps.rs`). This is stricter than Argo Rollouts, where `result[0] < 0.05` fails on
//!   NaN and a metric without conditions succeeds on nothing.
//!
//! # Verdicts
//! | success condition | failure condition | verdict |
//! | --- | --- | --- |
//! | unset | unset | Successful |
//! | true / false | unset | Successful / Failed |
//! | unset | true / false | Failed / Successful |
//! | any | true | Failed |
//! | true / false | false | Successful / Inconclusive |

mod functions;
mod scan;
mod steps;

use expr::{Program, Value};

use crate::text;

/// Most numbers in an answer: 1,000 series, or a range with some thousand steps.
pub const MAX_NUMBERS: usize = 10_000;

/// What a query returned, as conditions see it under the name `result`.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// One number.
    Number(f64),
    /// A list of numbers, at most [`MAX_NUMBERS`].
    Numbers(Vec<f64>),
    /// Anything else that JSON can say, with at most [`MAX_NUMBERS`] values in it. All numbers are floating point, as in Argo
    /// Rollouts.
    Json(serde_json::Value),
}

/// What the conditions say of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is good.
    Successful,
    /// It is bad.
    Failed,
    /// It is neither.
    Inconclusive,
}

/// The two conditions of a metric, parsed.
#[derive(Clone, Debug)]
pub struct Conditions {
    success: Option<Condition>,
    failure: Option<Condition>,
}

/// Which condition cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", field.map(|field| format!("{field}: ")).unwrap_or_default())]
pub struct ConditionError {
    /// `successCondition` or `failureCondition`; none where it is about both.
    pub field: Option<&'static str>,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The source is too long.
    #[error("it is {bytes} bytes long, at most {limit} are served")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The source is too complex.
    #[error("it is too complex: at most {limit} {what}")]
    TooComplex {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The language has it, conditions do not.
    #[error("{0} is not available in conditions")]
    NotServed(String),
    /// A variable that does not exist.
    #[error("unknown name `{0}`: the answer of the query is called `result`")]
    UnknownName(String),
    /// It cannot be parsed.
    #[error("syntax: {0}")]
    Syntax(String),
    /// It cannot be evaluated for this answer.
    #[error("{0}")]
    Evaluation(String),
    /// It is neither true nor false.
    #[error("it must be true or false, but is {0}")]
    NotBoolean(String),
    /// It does too much work for an answer of this size.
    #[error("it does too much work for this answer")]
    TooMuchWork,
    /// There is nothing to judge, and no expression that would look for that.
    #[error("no data: {0}")]
    NoData(NoData),
}

/// How data are missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoData {
    /// No number at all.
    #[error("the query returned an empty result (a condition that is to accept this tests for it: `len(result) == 0`)")]
    Empty,
    /// A number is NaN.
    #[error("the query returned NaN (a condition that is to accept this tests for it: `isNaN(...)`)")]
    NaN,
    /// A number is infinite.
    #[error("the query returned an infinite number (a condition that is to accept this tests for it: `isInf(...)`)")]
    Infinite,
    /// A part of the answer that a condition looks at is not there.
    #[error("the answer has no `{0}` (a condition that is to accept this tests for it: `isNil({0})`)")]
    Absent(String),
    /// A part of the answer that a condition looks at is an empty list or object.
    #[error("the answer has nothing in `{0}` (a condition that is to accept this tests for it: `len({0}) == 0`)")]
    Nothing(String),
}

impl Conditions {
    /// Parses both conditions. An empty text is an unset condition. All problems are reported.
    pub fn parse(success: Option<&str>, failure: Option<&str>) -> Result<Conditions, Vec<ConditionError>> {
        let mut problems = Vec::new();
        let mut parse =
            |field, source: Option<&str>| match source.filter(|source| !source.is_empty()).map(Condition::parse) {
                None => None,
                Some(Ok(condition)) => Some(condition),
                Some(Err(problem)) => {
                    problems.push(ConditionError {
                        field: Some(field),
                        problem,
                    });
                    None
                }
            };
        let success = parse("successCondition", success);
        let failure = parse("failureCondition", failure);
        if problems.is_empty() {
            Ok(Conditions { success, failure })
        } else {
            Err(problems)
        }
    }

    /// Judges a reading.
    pub fn judge(&self, reading: &Reading) -> Result<Verdict, ConditionError> {
        if let Some(missing) = self.missing(reading) {
            return Err(ConditionError {
                field: None,
                problem: Problem::NoData(missing),
            });
        }
        let holds = |field, condition: &Option<Condition>| match condition {
            None => Ok(None),
            Some(condition) => condition.holds(reading).map(Some).map_err(|problem| ConditionError {
                field: (!matches!(problem, Problem::NoData(_))).then_some(field),
                problem,
            }),
        };
        let success = holds("successCondition", &self.success)?;
        let failure = holds("failureCondition", &self.failure)?;
        Ok(match (success, failure) {
            (_, Some(true)) | (Some(false), None) => Verdict::Failed,
            (Some(true) | None, _) => Verdict::Successful,
            (Some(false), Some(false)) => Verdict::Inconclusive,
        })
    }

    /// What is missing in the reading as a whole that no condition looks for.
    fn missing(&self, reading: &Reading) -> Option<NoData> {
        let tested = |test: fn(&Condition) -> bool| [&self.success, &self.failure].into_iter().flatten().any(test);
        let numbers = reading.numbers();
        if reading.is_empty() && !tested(|condition| condition.tests_empty) {
            Some(NoData::Empty)
        } else if numbers.iter().any(|number| number.is_nan()) && !tested(|condition| condition.facts.tests_nan) {
            Some(NoData::NaN)
        } else if numbers.iter().any(|number| number.is_infinite())
            && !tested(|condition| condition.facts.tests_infinite)
        {
            Some(NoData::Infinite)
        } else {
            None
        }
    }
}

impl Reading {
    /// A JSON value as a reading; `None` where it has too many values in it.
    pub fn json(value: serde_json::Value) -> Option<Reading> {
        (count(&value) <= MAX_NUMBERS).then_some(match value.as_f64() {
            Some(number) => Reading::Number(number),
            None => Reading::Json(value),
        })
    }

    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        match self {
            Reading::Numbers(numbers) => numbers.is_empty(),
            Reading::Json(serde_json::Value::Null) => true,
            Reading::Json(serde_json::Value::Array(items)) => items.is_empty(),
            Reading::Json(serde_json::Value::Object(fields)) => fields.is_empty(),
            Reading::Json(serde_json::Value::String(text)) => text.is_empty(),
            Reading::Number(_) | Reading::Json(_) => false,
        }
    }

    /// All numbers in it. JSON has no NaN and no infinity; servers write them as texts, which `asFloat` reads again.
    fn numbers(&self) -> Vec<f64> {
        match self {
            Reading::Number(number) => vec![*number],
            Reading::Numbers(numbers) => numbers.clone(),
            Reading::Json(value) => {
                let mut numbers = Vec::new();
                add_unusual(value, &mut numbers);
                numbers
            }
        }
    }

    fn value(&self) -> Value {
        match self {
            Reading::Number(number) => Value::Float(*number),
            Reading::Numbers(numbers) => Value::Array(numbers.iter().copied().map(Value::Float).collect()),
            Reading::Json(value) => of_json(value),
        }
    }

    /// What `result` is, for people who wrote a condition for something else.
    fn describe(&self) -> String {
        match self {
            Reading::Number(_) => "`result` is a number".to_owned(),
            Reading::Numbers(numbers) => format!("`result` is a list of {}", numbers.len()),
            Reading::Json(value) => match value {
                serde_json::Value::Null => "`result` is nil".to_owned(),
                serde_json::Value::Bool(_) => "`result` is true or false".to_owned(),
                serde_json::Value::Number(_) => "`result` is a number".to_owned(),
                serde_json::Value::String(_) => "`result` is a text".to_owned(),
                serde_json::Value::Array(items) => format!("`result` is a list of {}", items.len()),
                serde_json::Value::Object(_) => "`result` is an object".to_owned(),
            },
        }
    }
}

/// How many values there are in a value, itself included.
fn count(value: &serde_json::Value) -> usize {
    1 + match value {
        serde_json::Value::Array(items) => items.iter().map(count).sum(),
        serde_json::Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// Adds the numbers that are not finite, which JSON has as texts only.
fn add_unusual(value: &serde_json::Value, numbers: &mut Vec<f64>) {
    match value {
        serde_json::Value::String(text) => {
            numbers.extend(text.trim().parse::<f64>().ok().filter(|number| !number.is_finite()));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| add_unusual(item, numbers)),
        serde_json::Value::Object(fields) => fields.values().for_each(|item| add_unusual(item, numbers)),
        _ => {}
    }
}

fn of_json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Value::String(text.clone()),
        serde_json::Value::Array(items) => Value::Array(items.iter().map(of_json).collect()),
        serde_json::Value::Object(fields) => Value::Map(
            fields
                .iter()
                .map(|(key, value)| (key.clone(), of_json(value)))
                .collect(),
        ),
    }
}

#[derive(Clone, Debug)]
struct Condition {
    program: Program,
    facts: scan::Facts,
    /// It looks whether there is an answer at all.
    tests_empty: bool,
}

impl Condition {
    fn parse(source: &str) -> Result<Condition, Problem> {
        let (tokens, facts) = scan::scan(source)?;
        let written = steps::write(&tokens);
        // What is wrong is said of the user's own text, as far as the library understands it.
        if !written.has_short_items {
            expr::compile(source).map_err(|error| Problem::Syntax(syntax(source, &error)))?;
        }
        let program = expr::compile(&written.source).map_err(|_| Problem::Syntax("not understood".to_owned()))?;
        Ok(Condition {
            program,
            facts,
            tests_empty: written.tests_empty,
        })
    }

    fn holds(&self, reading: &Reading) -> Result<bool, Problem> {
        let meter = functions::Meter::new();
        let environment = functions::environment(&meter, self.facts.tokens as u64);
        let scope = functions::Scope::new(&meter, reading.value());
        let value = environment.run(&self.program, &scope);
        if meter.is_used_up() {
            return Err(Problem::TooMuchWork);
        }
        if let Some(missed) = meter.missed() {
            return Err(Problem::NoData(missed.clone()));
        }
        match value {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(value) => Err(Problem::NotBoolean(shown(&value))),
            Err(error) => Err(Problem::Evaluation(text::bounded(&format!(
                "{} ({})",
                one_line(&error),
                reading.describe()
            )))),
        }
    }
}

/// Where the source cannot be read. The library draws this over several lines, after `--> LINE:COLUMN`, and names its own
/// grammar rules, which say nothing to a user.
fn syntax(source: &str, error: &expr::Error) -> String {
    let drawing = error.to_string();
    let place = drawing
        .trim_start()
        .strip_prefix("--> ")
        .and_then(|rest| rest.lines().next());
    let Some((line, column)) = place.and_then(|place| place.trim().split_once(':')) else {
        return text::bounded(&one_line(error));
    };
    let rest = match (line.parse::<usize>(), column.parse::<usize>()) {
        (Ok(line), Ok(column)) if line > 0 && column > 0 => source
            .lines()
            .nth(line - 1)
            .unwrap_or_default()
            .chars()
            .skip(column - 1)
            .collect::<String>(),
        _ => String::new(),
    };
    if rest.is_empty() {
        "something is missing at the end".to_owned()
    } else {
        text::bounded(&format!(
            "not understood from line {line}, column {column} on: `{rest}`"
        ))
    }
}

fn one_line(error: &expr::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Integer(_) | Value::Float(_) | Value::Nil => value.to_string(),
        Value::String(_) => "text".to_owned(),
        Value::Array(values) => format!("a list of {}", values.len()),
        _ => "something else".to_owned(),
    }
}

#[cfg(test)]
mod tests;
