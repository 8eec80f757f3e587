//! Reading a query, and refusing what cannot be answered before anything is evaluated.

use std::time::{Duration, SystemTime};

use promql_parser::label::{MatchOp, Matchers};
use promql_parser::parser::{AtModifier, Expr, LabelModifier, Offset, VectorSelector};
use regex::RegexBuilder;

use super::functions;
use super::store::LOOKBACK_MS;

/// Longest query, in bytes. Those of dashboards have some hundred.
const MAX_LENGTH: usize = 8 * 1024;
/// Deepest nesting.
const MAX_DEPTH: usize = 64;
/// Longest range or offset: ten years.
const MAX_DURATION: Duration = Duration::from_hours(10 * 365 * 24);
/// Largest compiled regular expression, in bytes.
const MAX_REGEX: usize = 1024 * 1024;

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// It is too long.
    #[error("the query has {0} bytes, at most {MAX_LENGTH} are read")]
    TooLong(usize),
    /// It is nested too deeply.
    #[error("the query is nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// It is no PromQL.
    #[error("{0}")]
    Syntax(String),
    /// A function that is not known.
    #[error(
        "the simulator does not know the function {0}: answer this query with --metric NAME=VALUES, or use one of {known}",
        known = functions::names().collect::<Vec<_>>().join(", ")
    )]
    UnknownFunction(String),
    /// Anything else that is not known.
    #[error("the simulator does not know {0}: answer this query with --metric NAME=VALUES")]
    Unsupported(String),
    /// The evaluation would take too long.
    #[error("the query touches more than {0} samples: select less")]
    TooManySamples(usize),
    /// A range query with too many steps.
    #[error("the query has {0} steps, at most {max} are evaluated: take a larger step", max = super::evaluate::MAX_STEPS)]
    TooManySteps(i64),
    /// What it asks for has no answer.
    #[error("{0}")]
    Execution(String),
}

impl QueryError {
    /// Prometheus' name for this kind of error: `bad_data` for what is wrong with the text, else `execution`.
    pub fn category(&self) -> &'static str {
        match self {
            QueryError::TooManySamples(_) | QueryError::Execution(_) => "execution",
            _ => "bad_data",
        }
    }
}

/// The times whose samples a query looks at: open on the left, closed on the right, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Samples at this time and before do not count.
    pub after_ms: i64,
    /// Samples after this time do not count.
    pub until_ms: i64,
}

/// A query that was understood.
#[derive(Clone, Debug)]
pub struct Query {
    pub(super) expr: Expr,
}

impl Query {
    /// Reads a query. Everything that the evaluation does not know is refused here.
    pub fn parse(text: &str) -> Result<Query, QueryError> {
        if text.len() > MAX_LENGTH {
            return Err(QueryError::TooLong(text.len()));
        }
        check_numbers_as_durations(text)?;
        let mut expr = promql_parser::parser::parse(text).map_err(|error: String| read(&error))?;
        admit(&mut expr, 0)?;
        Ok(Query { expr })
    }

    /// The names of the metrics that are selected; `None` stands for a selector that gives no name.
    pub fn metrics(&self) -> Vec<Option<String>> {
        let mut names = Vec::new();
        each_selector(&self.expr, &mut |selector| names.push(name_of(selector)));
        names
    }

    /// The times whose samples are looked at when it is evaluated from `start_ms` to `end_ms`.
    pub fn window(&self, start_ms: i64, end_ms: i64) -> Window {
        let mut window = Window {
            after_ms: i64::MAX,
            until_ms: i64::MIN,
        };
        widen(&self.expr, (start_ms, end_ms), (start_ms, end_ms), &mut window);
        if window.after_ms > window.until_ms {
            // Nothing is selected.
            window = Window {
                after_ms: start_ms,
                until_ms: start_ms,
            };
        }
        window
    }
}

/// The name that a selector demands, where it demands a certain one.
fn name_of(selector: &VectorSelector) -> Option<String> {
    let named = selector.name.clone();
    named.or_else(|| {
        let demanded = selector.matchers.matchers.iter();
        demanded
            .filter(|matcher| matcher.name == super::NAME && matches!(matcher.op, MatchOp::Equal))
            .map(|matcher| matcher.value.clone())
            .next()
    })
}

/// The parser's words, and ours where it meets a function that it does not know itself.
fn read(error: &str) -> QueryError {
    match error
        .strip_prefix("unknown function with name '")
        .and_then(|rest| rest.strip_suffix('\''))
    {
        Some(name) => QueryError::UnknownFunction(name.to_owned()),
        None => QueryError::Syntax(error.to_owned()),
    }
}

/// The parser takes a plain number for a range or an offset and panics where that is no duration (`x[NaN]`, `x offset 1e99`).
fn check_numbers_as_durations(text: &str) -> Result<(), QueryError> {
    let mut rest = text;
    let (mut brackets, mut after_offset) = (0_u32, false);
    while let Some(first) = rest.chars().next() {
        match first {
            '"' | '\'' | '`' => {
                rest = after_string(rest, first);
                continue;
            }
            '#' => {
                rest = rest.find('\n').map_or("", |end| &rest[end..]);
                continue;
            }
            '[' => brackets += 1,
            ']' => brackets = brackets.saturating_sub(1),
            _ => {}
        }
        let word_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
        let length = rest.find(|c: char| !word_part(c)).unwrap_or(rest.len());
        if length == 0 {
            after_offset &= first.is_whitespace() || matches!(first, '+' | '-');
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let word = &rest[..length];
        rest = &rest[length..];
        if (brackets > 0 || after_offset) && is_no_duration(word, rest) {
            return Err(QueryError::Syntax(format!("{word} is not a duration")));
        }
        after_offset = word.eq_ignore_ascii_case("offset");
    }
    Ok(())
}

fn after_string(text: &str, quote: char) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            _ if c == quote => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

/// Whether a word is a number that no duration has. `1e+9` is two words and a sign.
fn is_no_duration(word: &str, rest: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let hexadecimal = lower.strip_prefix("0x").is_some_and(|digits| digits.len() > 8);
    let exponent = lower.ends_with('e') && rest.starts_with(['+', '-']);
    let number = lower.parse::<f64>();
    hexadecimal || exponent || number.is_ok_and(|number| !(0.0..=MAX_DURATION.as_secs_f64()).contains(&number))
}

/// Refuses what the evaluation does not know, and makes regular expressions match as Prometheus' do.
fn admit(expr: &mut Expr, depth: usize) -> Result<(), QueryError> {
    if depth > MAX_DEPTH {
        return Err(QueryError::TooDeep);
    }
    let unsupported = |what: &str| Err(QueryError::Unsupported(what.to_owned()));
    match expr {
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Ok(()),
        Expr::VectorSelector(selector) => admit_selector(selector),
        Expr::MatrixSelector(matrix) => {
            check_duration(matrix.range)?;
            admit_selector(&mut matrix.vs)
        }
        Expr::Subquery(subquery) => {
            check_duration(subquery.range)?;
            subquery.step.map_or(Ok(()), check_duration)?;
            check_offset(subquery.offset.as_ref())?;
            admit(&mut subquery.expr, depth + 1)
        }
        Expr::Paren(paren) => admit(&mut paren.expr, depth + 1),
        Expr::Unary(unary) => admit(&mut unary.expr, depth + 1),
        Expr::Binary(binary) => {
            if let Some(modifier) = &binary.modifier
                && (modifier.fill_values.lhs.is_some() || modifier.fill_values.rhs.is_some())
            {
                return unsupported("fill, fill_left and fill_right");
            }
            if super::binary::operator(binary.op.id()).is_none() {
                return unsupported(&format!("the operator {}", binary.op));
            }
            admit(&mut binary.lhs, depth + 1)?;
            admit(&mut binary.rhs, depth + 1)
        }
        Expr::Aggregate(aggregate) => {
            if super::aggregate::operator(aggregate.op.id()).is_none() {
                return unsupported(&format!("the aggregation {}", aggregate.op));
            }
            if let Some(parameter) = &mut aggregate.param {
                admit(parameter, depth + 1)?;
            }
            admit(&mut aggregate.expr, depth + 1)
        }
        Expr::Call(call) => {
            if functions::find(call.func.name).is_none() {
                return Err(QueryError::UnknownFunction(call.func.name.to_owned()));
            }
            call.args.args.iter_mut().try_for_each(|arg| admit(arg, depth + 1))
        }
        Expr::Extension(_) => unsupported("extensions of PromQL"),
    }
}

fn admit_selector(selector: &mut VectorSelector) -> Result<(), QueryError> {
    check_offset(selector.offset.as_ref())?;
    let Matchers { matchers, or_matchers } = &mut selector.matchers;
    if !or_matchers.is_empty() {
        return Err(QueryError::Unsupported("`or` between matchers".to_owned()));
    }
    if selector.name.is_none() && matchers.iter().all(|matcher| matcher.is_match("")) {
        return Err(QueryError::Syntax(
            "vector selector must contain at least one non-empty matcher".to_owned(),
        ));
    }
    for matcher in matchers {
        if let MatchOp::Re(regex) | MatchOp::NotRe(regex) = &mut matcher.op {
            *regex = anchored(regex.as_str(), &matcher.value)?;
        }
    }
    Ok(())
}

/// A regular expression whose dot matches line breaks too, as those of Prometheus 3 do.
fn anchored(pattern: &str, shown: &str) -> Result<regex::Regex, QueryError> {
    let mut builder = RegexBuilder::new(pattern);
    let built = builder.dot_matches_new_line(true).size_limit(MAX_REGEX).build();
    built.map_err(|_| QueryError::Syntax(format!("the regular expression {shown:?} is too large")))
}

/// The regular expression of a function's argument, which must match the whole text.
pub(super) fn whole(pattern: &str) -> Result<regex::Regex, QueryError> {
    anchored(&format!("^(?:{pattern})$"), pattern)
        .map_err(|_| QueryError::Execution(format!("invalid regular expression: {pattern}")))
}

fn check_duration(duration: Duration) -> Result<(), QueryError> {
    if duration.is_zero() {
        return Err(QueryError::Syntax("duration must be greater than 0".to_owned()));
    }
    check_length(duration)
}

fn check_offset(offset: Option<&Offset>) -> Result<(), QueryError> {
    match offset {
        Some(Offset::Pos(offset) | Offset::Neg(offset)) => check_length(*offset),
        None => Ok(()),
    }
}

fn check_length(duration: Duration) -> Result<(), QueryError> {
    if duration > MAX_DURATION {
        return Err(QueryError::Syntax("a duration is longer than ten years".to_owned()));
    }
    Ok(())
}

/// Milliseconds of a duration that was checked to be short enough.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).expect("a duration that was admitted has at most ten years")
}

pub(super) fn offset_ms(offset: Option<&Offset>) -> i64 {
    match offset {
        Some(Offset::Pos(offset)) => millis(*offset),
        Some(Offset::Neg(offset)) => -millis(*offset),
        None => 0,
    }
}

/// The time at which a selector looks when it is evaluated at `at_ms` in a query from `start_ms` to `end_ms`.
pub(super) fn moment(
    at: Option<&AtModifier>,
    offset: Option<&Offset>,
    at_ms: i64,
    (start_ms, end_ms): (i64, i64),
) -> i64 {
    // A million years: any time beyond selects nothing, and sums of such times still fit.
    const FAR_MS: i64 = 1_000_000 * 366 * 24 * 3600 * 1000;
    let far = |duration: Duration| i64::try_from(duration.as_millis()).map_or(FAR_MS, |millis| millis.min(FAR_MS));
    let base = match at {
        None => at_ms,
        Some(AtModifier::Start) => start_ms,
        Some(AtModifier::End) => end_ms,
        Some(AtModifier::At(time)) => match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => far(after),
            Err(before) => -far(before.duration()),
        },
    };
    base - offset_ms(offset)
}

fn each_selector(expr: &Expr, meet: &mut impl FnMut(&VectorSelector)) {
    match expr {
        Expr::VectorSelector(selector) => meet(selector),
        Expr::MatrixSelector(matrix) => meet(&matrix.vs),
        Expr::Subquery(subquery) => each_selector(&subquery.expr, meet),
        Expr::Paren(paren) => each_selector(&paren.expr, meet),
        Expr::Unary(unary) => each_selector(&unary.expr, meet),
        Expr::Binary(binary) => {
            each_selector(&binary.lhs, meet);
            each_selector(&binary.rhs, meet);
        }
        Expr::Aggregate(aggregate) => {
            if let Some(parameter) = &aggregate.param {
                each_selector(parameter, meet);
            }
            each_selector(&aggregate.expr, meet);
        }
        Expr::Call(call) => call.args.args.iter().for_each(|arg| each_selector(arg, meet)),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

/// Widens `window` to what an expression looks at when it is evaluated at all times of `times`.
fn widen(expr: &Expr, times: (i64, i64), query: (i64, i64), window: &mut Window) {
    let mut look = |selector: &VectorSelector, range_ms: i64| {
        let at = |at_ms| moment(selector.at.as_ref(), selector.offset.as_ref(), at_ms, query);
        window.after_ms = window.after_ms.min(at(times.0) - range_ms);
        window.until_ms = window.until_ms.max(at(times.1));
    };
    match expr {
        Expr::VectorSelector(selector) => look(selector, LOOKBACK_MS),
        Expr::MatrixSelector(matrix) => look(&matrix.vs, millis(matrix.range)),
        Expr::Subquery(subquery) => {
            let at = |at_ms| moment(subquery.at.as_ref(), subquery.offset.as_ref(), at_ms, query);
            let inner = (at(times.0) - millis(subquery.range), at(times.1));
            widen(&subquery.expr, inner, query, window);
        }
        Expr::Paren(paren) => widen(&paren.expr, times, query, window),
        Expr::Unary(unary) => widen(&unary.expr, times, query, window),
        Expr::Binary(binary) => {
            widen(&binary.lhs, times, query, window);
            widen(&binary.rhs, times, query, window);
        }
        Expr::Aggregate(aggregate) => {
            if let Some(parameter) = &aggregate.param {
                widen(parameter, times, query, window);
            }
            widen(&aggregate.expr, times, query, window);
        }
        Expr::Call(call) => call.args.args.iter().for_each(|arg| widen(arg, times, query, window)),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

/// The labels that a modifier names.
pub(super) fn names_in(modifier: &LabelModifier) -> &[String] {
    &modifier.labels().labels
}
