//! Which parts of the answer a condition names outright.
//!
//! The language reads a field that is not there as `nil`, and `nil != 0` is true: a condition on a misspelt field would judge
//! something that nobody measured. So the paths that a condition writes out (`result.errors`, `result["a.b"][0]`) must lead
//! somewhere.

use serde_json::Value;

use super::scan::Token;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A field of an object.
    Field(String),
    /// An item of a list; below 0 from its end.
    Item(i64),
}

/// The paths below `result` that `tokens` write out, as far as they are constant.
pub(super) fn written(tokens: &[Token<'_>]) -> Vec<Vec<Step>> {
    let mut paths = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let is_member = at > 0 && matches!(tokens[at - 1], Token::Sign("." | "?."));
        if *token != Token::Name("result") || is_member {
            continue;
        }
        let mut steps = Vec::new();
        let mut rest = &tokens[at + 1..];
        while let Some((step, length)) = step(rest) {
            steps.push(step);
            rest = &rest[length..];
        }
        if !steps.is_empty() {
            paths.push(steps);
        }
    }
    paths
}

fn step(tokens: &[Token<'_>]) -> Option<(Step, usize)> {
    match tokens {
        [Token::Sign("."), Token::Name(name), ..] => Some((Step::Field((*name).to_owned()), 2)),
        [Token::Sign("["), Token::Number(number), Token::Sign("]"), ..] => Some((Step::Item(number.parse().ok()?), 3)),
        [
            Token::Sign("["),
            Token::Sign("-"),
            Token::Number(number),
            Token::Sign("]"),
            ..,
        ] => {
            let number: i64 = number.parse().ok()?;
            Some((Step::Item(-number), 4))
        }
        [Token::Sign("["), Token::Text(text), Token::Sign("]"), ..] if !text.contains('\\') => {
            Some((Step::Field(text[1..text.len() - 1].to_owned()), 3))
        }
        _ => None,
    }
}

/// The first path that leads to nothing in `value`, or to null, as it is written.
pub(super) fn absent(paths: &[Vec<Step>], value: &Value) -> Option<String> {
    let leads_nowhere = |path: &&Vec<Step>| {
        let found = path.iter().try_fold(value, |value, step| match step {
            Step::Field(name) => value.get(name),
            Step::Item(at) => {
                let items = value.as_array()?;
                let length = i64::try_from(items.len()).ok()?;
                let at = if *at < 0 { length + at } else { *at };
                items.get(usize::try_from(at).ok()?)
            }
        });
        found.is_none_or(Value::is_null)
    };
    let path = paths.iter().find(leads_nowhere)?;
    let shown = path.iter().map(|step| match step {
        Step::Field(name) if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => format!(".{name}"),
        Step::Field(name) => format!("['{name}']"),
        Step::Item(at) => format!("[{at}]"),
    });
    Some(format!("result{}", shown.collect::<String>()))
}
