//! Each look into the answer goes through a function of our own, which knows when there is nothing.
//!
//! The language reads a field that is not there as `nil`, and `nil != 0` is true: a condition on a misspelt field would judge
//! something that nobody measured; and `all` of an empty list is true. So a condition is written anew before it is compiled:
//!
//! ```text
//! result.errors[0] < 5         (result | __at("errors", ..) | __at(0, ..) | __full(..)) < 5
//! all(result, {.x > 1})        all((result | __full(..)), {(# | __at("x", ..) | __full(..)) > 1})
//! len(result.errors) == 0      len((result | __at("errors", ..))) == 0
//! (result?.errors ?? 0) < 5    ((result | __maybe("errors")) ?? 0) < 5
//! ```
//!
//! `__at` and `__full` end the evaluation where there is nothing. A look that is itself a test for that gets what is there:
//! before `??`, beside `== nil` or `!= nil`, in `isNil` and `default`; and for empty lists in `len` and beside `== []`.
//!
//! `__same` ends the evaluation where a number is compared with a text, or the like: `result != "500"` is true of the number 500.

use expr::Value;

use super::functions::{Meter, error, takes_predicate};
use super::scan::Token;
use super::{NoData, scan};

/// A part of a value that must be there: value, key, how the look is written.
const AT: &str = "__at";
/// A part of a value that need not be there: value, key.
const MAYBE: &str = "__maybe";
/// A value that must be there and not be an empty list or object: value, how the look is written.
const FULL: &str = "__full";
/// A value that is compared with a literal, which must be of its kind: value, literal.
const SAME: &str = "__same";
/// Users cannot call these: the scan does not know them.
pub(super) const FUNCTIONS: &[&str] = &[AT, MAYBE, FULL, SAME];
/// Functions that return nil where there is nothing to return.
const MAY_BE_NIL: &[&str] = &[
    "find", "findLast", "first", "fromJSON", "get", "last", "max", "min", "reduce",
];
/// Functions of one value that say what is there.
const TESTS: &[&str] = &["isNil", "default"];

/// A condition as it is compiled.
pub(super) struct Written {
    pub source: String,
    /// It looks whether there is an answer at all.
    pub tests_empty: bool,
    /// It has `.field` for `#.field`, which the library does not understand.
    pub has_short_items: bool,
}

/// Writes a condition anew.
pub(super) fn write(tokens: &[Token<'_>]) -> Written {
    let mut writer = Writer {
        tokens,
        tests_empty: false,
        has_short_items: false,
    };
    let source = writer.group(0, tokens.len());
    Written {
        source,
        tests_empty: writer.tests_empty,
        has_short_items: writer.has_short_items,
    }
}

/// What a look accepts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// What is there and not empty.
    Full,
    /// What is there.
    There,
    /// Anything.
    Any,
}

struct Writer<'t, 's> {
    tokens: &'t [Token<'s>],
    tests_empty: bool,
    has_short_items: bool,
}

/// One step into a value.
enum Step {
    /// To what has this key, as it is compiled.
    Key(String),
    /// To a part of a list, as it is compiled.
    Slice(String),
}

impl Writer<'_, '_> {
    /// The tokens from `from` up to `to`, which are whole in brackets.
    fn group(&mut self, from: usize, to: usize) -> String {
        let mut text = String::new();
        let mut at = from;
        while at < to {
            if self.begins_value(at) {
                let (value, end) = self.value(at, to);
                text.push_str(&value);
                at = end;
            } else {
                text.push_str(self.tokens[at].text());
                at += 1;
            }
            text.push(' ');
        }
        text
    }

    fn begins_value(&self, at: usize) -> bool {
        match self.tokens[at] {
            Token::Sign(".") => matches!(self.tokens.get(at + 1), Some(Token::Name(_))),
            Token::Sign(sign) => matches!(sign, "(" | "[" | "{"),
            token => !token.is_operator(),
        }
    }

    /// The value that begins at `at`, with all steps into it, and where it ends.
    fn value(&mut self, at: usize, to: usize) -> (String, usize) {
        let tokens = self.tokens;
        let name = tokens[at].text();
        let is_call = matches!(self.tokens[at], Token::Name(_)) && self.is(at + 1, "(");
        let (base, base_end) = match self.tokens[at] {
            Token::Sign(".") => {
                self.has_short_items = true;
                ("#".to_owned(), at)
            }
            Token::Sign(_) => self.brackets(at, to),
            _ if is_call => {
                let (arguments, end) = self.arguments(name, at, to);
                (format!("{name}({arguments})"), end)
            }
            Token::Text(_) => (literal(name), at + 1),
            _ => (name.to_owned(), at + 1),
        };
        let mut steps = Vec::new();
        let mut end = base_end;
        while let Some((step, step_end)) = self.step(end, to) {
            steps.push((step, step_end));
            end = step_end;
        }
        let look = self.look(at, end);
        let is_answer = self.tokens[at] == Token::Name("result");
        self.tests_empty |= is_answer && look != Look::Full;

        let mut text = match (is_call && name == "get", look) {
            (true, Look::Any) => base.replacen("get", MAYBE, 1),
            (true, _) => {
                let arguments = base.strip_prefix("get").unwrap_or(&base).trim_end_matches(')');
                format!("{AT}{arguments}, {})", self.shown(at, base_end))
            }
            (false, _) => base,
        };
        // What a pipe leads to is part of a longer value, which takes no brackets here.
        let is_piped = self.is_piped(at);
        for (step, step_end) in &steps {
            match step {
                Step::Key(key) if look == Look::Any => text = format!("{text} | {MAYBE}({key})"),
                Step::Key(key) => text = format!("{text} | {AT}({key}, {})", self.shown(at, *step_end)),
                Step::Slice(range) if is_piped => text = format!("{text}[{range}]"),
                Step::Slice(range) => text = format!("({text})[{range}]"),
            }
        }
        let may_be_nothing = !steps.is_empty()
            || is_answer
            || self.tokens[at] == Token::Name("#")
            || (is_call && MAY_BE_NIL.contains(&name));
        if may_be_nothing && look == Look::Full {
            text = format!("{text} | {FULL}({})", self.shown(at, end));
            if let Some(literal) = self.compared(at, end) {
                text = format!("{text} | {SAME}({literal})");
            }
        }
        if may_be_nothing && !is_piped {
            text = format!("({text})");
        }
        (text, end)
    }

    /// The brackets that open at `at`, and where they end.
    fn brackets(&mut self, at: usize, to: usize) -> (String, usize) {
        let close = self.close(at, to);
        let inner = self.group(at + 1, close);
        let closing = self.tokens.get(close).map_or("", Token::text);
        (
            format!("{}{inner}{closing}", self.tokens[at].text()),
            (close + 1).min(to),
        )
    }

    /// The arguments of the function at `at`, and where the call ends. A body gets braces: the library knows a body without them
    /// only where it is the last argument and has a `#`.
    fn arguments(&mut self, name: &str, at: usize, to: usize) -> (String, usize) {
        let close = self.close(at + 1, to);
        let body = takes_predicate(name).then_some(usize::from(!self.is_piped(at)));
        let first = at + 2;
        let (mut text, mut from, mut count, mut depth) = (String::new(), first, 0_usize, 0_usize);
        for at in first..=close {
            let sign = self.tokens.get(at).map_or("", Token::text);
            match sign {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
            if at == close || (sign == "," && depth == 0) {
                let argument = self.group(from, at);
                if body == Some(count) && from < at && !self.is(from, "{") {
                    text = format!("{text}{{{argument}}}");
                } else {
                    text.push_str(&argument);
                }
                if at < close {
                    text.push_str(", ");
                }
                (from, count) = (at + 1, count + 1);
            }
        }
        (text, (close + 1).min(to))
    }

    fn is_piped(&self, at: usize) -> bool {
        at > 0 && self.is(at - 1, "|")
    }

    /// Where the brackets end that open at `at`.
    fn close(&self, at: usize, to: usize) -> usize {
        let mut depth = 0_usize;
        for (at, token) in self.tokens.iter().enumerate().take(to).skip(at) {
            match token.text() {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return at;
            }
        }
        to
    }

    /// A step that begins at `at`, and where it ends.
    fn step(&mut self, at: usize, to: usize) -> Option<(Step, usize)> {
        if at >= to {
            return None;
        }
        let optional = usize::from(self.is(at, "?.") && self.is(at + 1, "["));
        match (
            self.tokens.get(at + optional).copied()?,
            self.tokens.get(at + 1).copied(),
        ) {
            (Token::Sign("." | "?."), Some(Token::Name(name))) => Some((Step::Key(format!("\"{name}\"")), at + 2)),
            (Token::Sign("["), _) => {
                let open = at + optional;
                let close = self.close(open, to);
                let step = match self.colon(open + 1, close) {
                    Some(colon) => {
                        let (start, end) = (self.group(open + 1, colon), self.group(colon + 1, close));
                        Step::Slice(format!("{start}:{end}"))
                    }
                    None => Step::Key(self.group(open + 1, close)),
                };
                Some((step, (close + 1).min(to)))
            }
            _ => None,
        }
    }

    /// The colon of a slice; that of `a ? b : c` is none.
    fn colon(&self, from: usize, to: usize) -> Option<usize> {
        let (mut depth, mut questions) = (0_usize, 0_usize);
        for at in from..to {
            match self.tokens[at].text() {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                "?" if depth == 0 => questions += 1,
                ":" if depth == 0 && questions == 0 => return Some(at),
                ":" if depth == 0 => questions -= 1,
                _ => {}
            }
        }
        None
    }

    /// What the look from `at` up to `end` accepts: that depends on what stands beside it.
    fn look(&self, at: usize, end: usize) -> Look {
        let before = |count: usize| {
            at.checked_sub(count)
                .and_then(|at| self.tokens.get(at))
                .map_or("", Token::text)
        };
        let after = |count: usize| self.tokens.get(end + count).map_or("", Token::text);
        let begins = matches!(
            before(1),
            "" | "(" | "[" | "{" | "," | "&&" | "||" | "and" | "or" | "?" | ":" | "|"
        );
        let ends = |text: &str| {
            matches!(
                text,
                "" | ")" | "]" | "}" | "," | "&&" | "||" | "and" | "or" | "?" | ":" | "|"
            )
        };
        let equals = |text: &str| matches!(text, "==" | "!=");
        // The only argument, or the first one; behind a pipe it would be the second one.
        let is_first = before(1) == "(" && before(3) != "|";
        let tested = (is_first && TESTS.contains(&before(2)) && matches!(after(0), ")" | ","))
            || (after(0) == "|" && TESTS.contains(&after(1)))
            || (begins && equals(after(0)) && after(1) == "nil" && ends(after(2)));
        let other_begins = matches!(
            before(3),
            "" | "(" | "[" | "{" | "," | "&&" | "||" | "and" | "or" | "?" | ":"
        );
        let tested_backwards = equals(before(1)) && before(2) == "nil" && other_begins && ends(after(0));
        if tested || tested_backwards || after(0) == "??" {
            Look::Any
        } else if (is_first && before(2) == "len" && after(0) == ")")
            || (after(0) == "|" && after(1) == "len")
            || (begins && equals(after(0)) && after(1) == "[" && after(2) == "]" && ends(after(3)))
        {
            Look::There
        } else {
            Look::Full
        }
    }

    /// The literal with which the value from `at` up to `end` is compared for equality.
    fn compared(&self, at: usize, end: usize) -> Option<String> {
        let constant = |at: usize| match *self.tokens.get(at)? {
            Token::Text(text) => Some(literal(text)),
            Token::Number(text) | Token::Name(text @ ("true" | "false")) => Some(text.to_owned()),
            _ => None,
        };
        let equals = |at: usize| self.is(at, "==") || self.is(at, "!=");
        if equals(end) {
            constant(end + 1)
        } else if at >= 2 && equals(at - 1) {
            constant(at - 2)
        } else {
            None
        }
    }

    fn is(&self, at: usize, sign: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.text() == sign)
    }

    /// The look from `at` up to `end` as the user wrote it, as a text of the language.
    fn shown(&self, at: usize, end: usize) -> String {
        let item = if self.is(at, ".") { "#" } else { "" };
        let text: String = self.tokens[at..end].iter().map(Token::text).collect();
        format!("`{item}{}`", crate::text::excerpt(&text.replace('`', "'")))
    }
}

/// A text as the library reads it rightly: it does not know all escapes, and reads `\\n` as a new line. A raw text has none.
fn literal(text: &str) -> String {
    let raw = scan::unquoted(text).replace('`', "` + \"`\" + `");
    if raw.contains("` + ") {
        format!("(`{raw}`)")
    } else {
        format!("`{raw}`")
    }
}

/// Runs one of [`FUNCTIONS`].
pub(super) fn call(meter: &Meter, name: &str, arguments: Vec<Value>) -> expr::Result<Value> {
    let mut arguments = arguments.into_iter();
    let value = arguments.next().unwrap_or_default();
    if name == FULL {
        let shown = text(arguments.next());
        return match &value {
            Value::Nil => Err(meter.miss(absent(shown))),
            Value::Array(items) if items.is_empty() => Err(meter.miss(nothing(shown))),
            Value::Map(fields) if fields.is_empty() => Err(meter.miss(nothing(shown))),
            _ => Ok(value),
        };
    }
    if name == SAME {
        let other = arguments.next().unwrap_or_default();
        let (kind, other) = (kind(&value), kind(&other));
        return if kind == other {
            Ok(value)
        } else {
            Err(error(&format!("{kind} is compared with {other}")))
        };
    }
    let key = arguments.next().ok_or_else(|| error("get() takes a value and a key"))?;
    let shown = arguments.next();
    if arguments.next().is_some() {
        return Err(error("get() takes a value and a key"));
    }
    match part(value, &key)? {
        Some(part) => Ok(part),
        None if name == MAYBE => Ok(Value::Nil),
        None => Err(meter.miss(absent(text(shown)))),
    }
}

fn text(shown: Option<Value>) -> String {
    match shown {
        Some(Value::String(text)) => text,
        _ => String::new(),
    }
}

fn absent(shown: String) -> NoData {
    NoData::Absent(shown)
}

fn nothing(shown: String) -> NoData {
    if shown == "result" {
        NoData::Empty
    } else {
        NoData::Nothing(shown)
    }
}

/// The part of a value that has this key; none where it is not there or null. What can have no such part is an error.
fn part(value: Value, key: &Value) -> expr::Result<Option<Value>> {
    let found = match (value, key) {
        (Value::Nil, _) => None,
        (Value::Map(mut fields), Value::String(name)) => fields.swap_remove(name),
        (Value::Array(mut items), key) => {
            let at = index(key).ok_or_else(|| error("an item of a list is named by an integer"))?;
            let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let at = if at < 0 { at.checked_add(length) } else { Some(at) };
            at.and_then(|at| usize::try_from(at).ok())
                .filter(|at| *at < items.len())
                .map(|at| items.swap_remove(at))
        }
        (value, key) => {
            let shown = match key {
                Value::String(name) => format!("`{}`", crate::text::excerpt(name)),
                _ => "items".to_owned(),
            };
            return Err(error(&format!("{} has no {shown}", kind(&value))));
        }
    };
    Ok(found.filter(|found| !found.is_nil()))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Bool(_) => "true or false",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        _ => "an object",
    }
}

/// A whole number, which an answer has as floating point.
#[expect(
    clippy::cast_possible_truncation,
    reason = "it has no fraction, and what does not fit is no index"
)]
fn index(key: &Value) -> Option<i64> {
    match key {
        Value::Integer(at) => Some(*at),
        Value::Float(at) if at.fract() == 0.0 => Some(*at as i64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_the_language_does() {
        for (text, expected) in [
            ("'a'", "`a`"),
            (r#""\n\\n\'\"\u00e9\/""#, "`\n\\n'\"é/`"),
            ("`\\n`", "`\\n`"),
            ("'a`b'", "(`a` + \"`\" + `b`)"),
        ] {
            assert_eq!(literal(text), expected, "{text}");
        }
    }

    fn written(source: &str) -> String {
        let (tokens, _) = scan::scan(source).unwrap_or_else(|problem| panic!("{source}: {problem}"));
        write(&tokens).source.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn looks_are_written_as_calls() {
        for (source, expected) in [
            ("1 + .5 < 1e-3", "1 + .5 < 1e-3"),
            ("result < 1", "(result | __full(`result`)) < 1"),
            (
                "-result[0] < 1",
                "- (result | __at(0 , `result[0]`) | __full(`result[0]`)) < 1",
            ),
            ("len(result) == 0", "len((result) ) == 0"),
            ("isNil(result.a)", "isNil((result | __maybe(\"a\")) )"),
            ("(result?.a ?? 0) < 1", "((result | __maybe(\"a\")) ?? 0 ) < 1"),
            (
                "get(result, 'a') == nil",
                "(__maybe((result | __full(`result`)) , `a` )) == nil",
            ),
            (
                "get(result, 'a') == 1",
                "(__at((result | __full(`result`)) , `a` , `get(result,'a')`) | __full(`get(result,'a')`) | __same(1)) == 1",
            ),
            (
                "result | get('a') == 1",
                "(result | __full(`result`)) | __at(`a` , `get('a')`) | __full(`get('a')`) | __same(1) == 1",
            ),
            (
                "any(result, .x > 1)",
                "any((result | __full(`result`)) , {(# | __at(\"x\", `#.x`) | __full(`#.x`)) > 1 })",
            ),
            (
                "result[1:][0] < 1",
                "((result)[1 :] | __at(0 , `result[1:][0]`) | __full(`result[1:][0]`)) < 1",
            ),
        ] {
            assert_eq!(written(source), expected, "{source}");
        }
    }

    #[test]
    fn a_look_is_a_test_only_where_nil_cannot_go_elsewhere() {
        for (source, look) in [
            ("result.a == nil", "__maybe"),
            ("1 > 2 || nil != result.a", "__maybe"),
            ("default(result.a, 1) < 2", "__maybe"),
            ("result.a | default(1) < 2", "__maybe"),
            ("result.a | isNil()", "__maybe"),
            ("3 != result.a != nil", "__at"),
            ("!result.a == nil", "__at"),
            ("nil != result.a != 3", "__at"),
            ("1 | default(result.a) != 3", "__at"),
            ("default(1, result.a) != 3", "__at"),
            ("isNil(result.a + 1)", "__at"),
            ("type(result.a) != 'int'", "__at"),
            ("result.a in [nil]", "__at"),
        ] {
            assert!(
                written(source).contains(&format!("{look}(\"a\"")),
                "{source}: {}",
                written(source)
            );
        }
    }
}
