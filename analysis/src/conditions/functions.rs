//! The functions of conditions, and how much work they may do.
//!
//! Every function that the library has is either replaced here, or called with a measured amount of work, or refused by the
//! scan. Bodies (`all(result, {..})`) are run here and not by the library, so that each pass is counted.

use std::sync::{
    LazyLock, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use expr::{Context, ContextProvider, Environment, Error, Program, Value};

use super::{NoData, steps};

/// Functions of the library whose result is at most a few times as large as their arguments, and our own.
pub(super) const FUNCTIONS: &[&str] = &[
    "abs",
    "asFloat",
    "asInt",
    "ceil",
    "concat",
    "default",
    "first",
    "flatten",
    "float",
    "floor",
    "fromJSON",
    "get",
    "hasPrefix",
    "hasSuffix",
    "indexOf",
    "int",
    "isInf",
    "isNaN",
    "isNil",
    "keys",
    "last",
    "lastIndexOf",
    "len",
    "lower",
    "max",
    "mean",
    "median",
    "min",
    "reverse",
    "round",
    "sort",
    "split",
    "string",
    "take",
    "toJSON",
    "trim",
    "trimPrefix",
    "trimSuffix",
    "type",
    "upper",
    "values",
];

/// Functions that run a body for each item.
const WITH_BODY: &[&str] = &[
    "all",
    "any",
    "count",
    "filter",
    "find",
    "findIndex",
    "findLast",
    "findLastIndex",
    "map",
    "none",
    "one",
    "reduce",
    "sortBy",
    "sum",
];

/// Most work for one evaluation: one unit is about one value copied, some ten nanoseconds. It lets a body of twenty tokens
/// run over 1,000 series a hundred times, and ends the worst condition within a fraction of a second.
const WORK: u64 = 2_000_000;
/// Largest value that a function may return, in the units of [`weight`]; the largest answer has 10,001.
const MAX_WEIGHT: u64 = 20_000;

pub(super) fn takes_predicate(name: &str) -> bool {
    WITH_BODY.contains(&name)
}

/// What is left of the work that an evaluation may do, and what it missed in the answer.
pub(super) struct Meter {
    left: AtomicU64,
    missed: OnceLock<NoData>,
}

impl Meter {
    pub(super) fn new() -> Meter {
        Meter {
            left: AtomicU64::new(WORK),
            missed: OnceLock::new(),
        }
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    /// The first part of the answer that the condition needed and that is not there.
    pub(super) fn missed(&self) -> Option<&NoData> {
        self.missed.get()
    }

    /// Ends the evaluation, since a part of the answer is not there.
    pub(super) fn miss(&self, what: NoData) -> Error {
        self.missed.get_or_init(|| what);
        error("a part of the answer is not there")
    }

    /// Takes `units`; `false` where not so many are left. Nothing is left from then on.
    fn take(&self, units: u64) -> bool {
        let left = self.left.load(Ordering::Relaxed).saturating_sub(units);
        self.left.store(left, Ordering::Relaxed);
        left > 0
    }

    fn charge(&self, units: u64) -> expr::Result<()> {
        if self.take(units) {
            Ok(())
        } else {
            Err(error("it does too much work"))
        }
    }
}

/// The variables of a condition: `result`, and in a body `#`, `#index` and `#acc`. Each reading of one is work.
pub(super) struct Scope<'a> {
    meter: &'a Meter,
    parent: Option<&'a dyn ContextProvider>,
    variables: Vec<(&'static str, Value, u64)>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(meter: &'a Meter, result: Value) -> Scope<'a> {
        let weight = weight(&result);
        Scope {
            meter,
            parent: None,
            variables: vec![("result", result, weight)],
        }
    }
}

impl ContextProvider for Scope<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        match self.variables.iter().find(|(name, ..)| *name == key) {
            Some((_, value, weight)) => self.meter.take(*weight).then_some(value),
            None => self.parent.and_then(|parent| parent.get(key)),
        }
    }

    /// Only `$env` needs this, and the scan refuses it.
    fn to_context(&self) -> Context {
        Context::default()
    }
}

/// The environment of one evaluation. `pass` is the work of running the condition's text once, beside copying values.
pub(super) fn environment(meter: &Meter, pass: u64) -> Environment<'_> {
    static LIBRARY: LazyLock<Environment<'static>> = LazyLock::new(Environment::new);
    let mut environment = Environment::new();
    for &name in FUNCTIONS {
        environment.add_function(name, move |call| {
            meter.charge(1 + call.args.iter().map(weight).sum::<u64>())?;
            if call.predicate.is_some() {
                return Err(error(&format!("{name}() takes no body")));
            }
            let value = match own(name, &call.args) {
                Some(value) => value?,
                None => LIBRARY.eval_func(call.ctx, name, call.args, None)?,
            };
            let weight = weight(&value);
            if weight > MAX_WEIGHT {
                return Err(error(&format!("{name}() returns too large a value")));
            }
            meter.charge(weight)?;
            Ok(value)
        });
    }
    for &name in steps::FUNCTIONS {
        environment.add_function(name, move |call| {
            meter.charge(1 + call.args.iter().map(weight).sum::<u64>())?;
            steps::call(meter, name, call.args)
        });
    }
    for &name in WITH_BODY {
        environment.add_function(name, move |call| {
            let body = Body {
                program: call.predicate,
                ctx: call.ctx,
                env: call.env,
                meter,
                pass,
            };
            with_body(name, call.args, &body)
        });
    }
    environment
}

/// About how many values must be copied to copy this one.
pub(super) fn weight(value: &Value) -> u64 {
    match value {
        Value::String(text) => 1 + text.len() as u64 / 16,
        Value::Bytes(bytes) => 1 + bytes.len() as u64 / 16,
        Value::Array(values) => 1 + values.iter().map(weight).sum::<u64>(),
        Value::Map(map) => {
            1 + map
                .iter()
                .map(|(key, value)| 1 + key.len() as u64 / 16 + weight(value))
                .sum::<u64>()
        }
        Value::KeyedMap(map) => 1 + map.iter().map(|(key, value)| weight(key) + weight(value)).sum::<u64>(),
        Value::Integer(_) | Value::Bool(_) | Value::Float(_) | Value::Nil => 1,
    }
}

/// The functions that Argo Rollouts adds to the language.
fn own(name: &str, args: &[Value]) -> Option<expr::Result<Value>> {
    let one = || match args {
        [value] => Ok(value),
        _ => Err(error(&format!("{name}() takes one value"))),
    };
    Some(match name {
        "isNil" => one().map(|value| Value::Bool(value.is_nil())),
        "isNaN" => one()
            .and_then(|value| number(name, value))
            .map(|value| Value::Bool(value.is_nan())),
        "isInf" => one()
            .and_then(|value| number(name, value))
            .map(|value| Value::Bool(value.is_infinite())),
        "asFloat" => one().and_then(as_float),
        "asInt" => one().and_then(as_int),
        "default" => match args {
            [Value::Nil, fallback] => Ok(fallback.clone()),
            [value, _] => Ok(value.clone()),
            _ => Err(error("default() takes a value and what stands for it where it is nil")),
        },
        _ => return None,
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the language compares integers with floats in the same way"
)]
fn number(name: &str, value: &Value) -> expr::Result<f64> {
    match value {
        Value::Float(value) => Ok(*value),
        Value::Integer(value) => Ok(*value as f64),
        _ => Err(error(&format!("{name}() takes a number"))),
    }
}

fn as_float(value: &Value) -> expr::Result<Value> {
    match value {
        Value::String(text) => text
            .parse()
            .map(Value::Float)
            .map_err(|_| error("asFloat() takes a number as text")),
        value => number("asFloat", value).map(Value::Float),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "what does not fit ends at the largest integer"
)]
fn as_int(value: &Value) -> expr::Result<Value> {
    match value {
        Value::Integer(value) => Ok(Value::Integer(*value)),
        Value::Float(value) if value.is_finite() => Ok(Value::Integer(*value as i64)),
        Value::String(text) => text
            .parse()
            .map(Value::Integer)
            .map_err(|_| error("asInt() takes an integer as text")),
        _ => Err(error("asInt() takes a number or an integer as text")),
    }
}

/// What runs for each item.
struct Body<'a> {
    program: Option<&'a Program>,
    ctx: &'a dyn ContextProvider,
    env: &'a Environment<'a>,
    meter: &'a Meter,
    pass: u64,
}

impl Body<'_> {
    fn run(&self, item: &Value, index: usize, acc: Option<Value>) -> expr::Result<Value> {
        let Some(program) = self.program else {
            return Err(error("a body such as `{# > 1}` is missing"));
        };
        self.meter.charge(self.pass)?;
        let mut variables = vec![("#", item.clone(), weight(item)), ("#index", Value::from(index), 1)];
        if let Some(acc) = acc {
            let weight = weight(&acc);
            variables.push(("#acc", acc, weight));
        }
        let scope = Scope {
            meter: self.meter,
            parent: Some(self.ctx),
            variables,
        };
        let value = self.env.run(program, &scope)?;
        self.meter.charge(weight(&value))?;
        Ok(value)
    }

    fn test(&self, item: &Value, index: usize) -> expr::Result<bool> {
        let value = match self.program {
            Some(_) => self.run(item, index, None)?,
            None => item.clone(),
        };
        value
            .as_bool()
            .ok_or_else(|| error("a body must be true or false for each item"))
    }

    /// The first item for which the body is `wanted`; those after it are not looked at.
    fn find<'v>(
        &self,
        items: impl Iterator<Item = (usize, &'v Value)>,
        wanted: bool,
    ) -> expr::Result<Option<(usize, &'v Value)>> {
        for (index, item) in items {
            if self.test(item, index)? == wanted {
                return Ok(Some((index, item)));
            }
        }
        Ok(None)
    }

    /// The items for which the body is true.
    fn filter(&self, items: &[Value]) -> expr::Result<Vec<Value>> {
        let mut kept = Vec::new();
        for (index, item) in items.iter().enumerate() {
            if self.test(item, index)? {
                kept.push(item.clone());
            }
        }
        Ok(kept)
    }

    /// What the body makes of each item; at most [`MAX_WEIGHT`] together.
    fn map(&self, items: &[Value]) -> expr::Result<Vec<Value>> {
        let mut total = 0;
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let value = self.run(item, index, None)?;
            total += weight(&value);
            if total > MAX_WEIGHT {
                return Err(error("map() returns too large a value"));
            }
            values.push(value);
        }
        Ok(values)
    }
}

fn with_body(name: &str, args: Vec<Value>, body: &Body<'_>) -> expr::Result<Value> {
    body.meter.charge(1 + args.iter().map(weight).sum::<u64>())?;
    let mut args = args.into_iter();
    let (Some(Value::Array(items)), option, None) = (args.next(), args.next(), args.next()) else {
        return Err(error(&format!("{name}() takes a list first")));
    };
    if option.is_some() && !matches!(name, "reduce" | "sortBy") {
        return Err(error(&format!("{name}() takes a list and a body")));
    }
    let index = |found: Option<(usize, &Value)>| Value::Integer(found.map_or(-1, |(at, _)| at.cast_signed() as i64));
    let item = |found: Option<(usize, &Value)>| found.map_or(Value::Nil, |(_, item)| item.clone());
    let forward = || items.iter().enumerate();
    Ok(match name {
        "all" => Value::Bool(body.find(forward(), false)?.is_none()),
        "any" => Value::Bool(body.find(forward(), true)?.is_some()),
        "none" => Value::Bool(body.find(forward(), true)?.is_none()),
        "one" => Value::Bool(body.filter(&items)?.len() == 1),
        "count" => Value::from(body.filter(&items)?.len()),
        "filter" => Value::Array(body.filter(&items)?),
        "map" => Value::Array(body.map(&items)?),
        "find" => item(body.find(forward(), true)?),
        "findIndex" => index(body.find(forward(), true)?),
        "findLast" => item(body.find(forward().rev(), true)?),
        "findLastIndex" => index(body.find(forward().rev(), true)?),
        "sum" if body.program.is_none() => sum(&items)?,
        "sum" => sum(&body.map(&items)?)?,
        "reduce" => reduce(&items, option, body)?,
        "sortBy" => sort_by(items, option.as_ref(), body)?,
        _ => return Err(error(&format!("{name}() is not served"))),
    })
}

fn sum(items: &[Value]) -> expr::Result<Value> {
    if let Some(total) = items.iter().try_fold(0_i64, |total, item| {
        item.as_integer().map(|item| total.wrapping_add(item))
    }) {
        return Ok(Value::Integer(total));
    }
    let mut total = 0.0;
    for item in items {
        total += number("sum", item)?;
    }
    Ok(Value::Float(total))
}

fn reduce(items: &[Value], initial: Option<Value>, body: &Body<'_>) -> expr::Result<Value> {
    let skip = usize::from(initial.is_none());
    let Some(mut acc) = initial.or_else(|| items.first().cloned()) else {
        return Err(error("reduce() of an empty list needs an initial value"));
    };
    for (index, item) in items.iter().enumerate().skip(skip) {
        acc = body.run(item, index, Some(acc))?;
        if weight(&acc) > MAX_WEIGHT {
            return Err(error("reduce() builds too large a value"));
        }
    }
    Ok(acc)
}

fn sort_by(items: Vec<Value>, order: Option<&Value>, body: &Body<'_>) -> expr::Result<Value> {
    let descending = match order {
        None => false,
        Some(Value::String(order)) if order == "asc" => false,
        Some(Value::String(order)) if order == "desc" => true,
        Some(_) => return Err(error("sortBy() sorts in the order \"asc\" or \"desc\"")),
    };
    let mut keyed = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        keyed.push((number("sortBy", &body.run(&item, index, None)?)?, item));
    }
    keyed.sort_by(|(a, _), (b, _)| if descending { b.total_cmp(a) } else { a.total_cmp(b) });
    Ok(Value::Array(keyed.into_iter().map(|(_, item)| item).collect()))
}

pub(super) fn error(text: &str) -> Error {
    Error::ExprError(text.to_owned())
}
