//! Time expressions of range queries: `now() - duration("5m")`.
//!
//! Argo Rollouts takes the whole expression language here. Served is what its documentation shows: a time, then any number of
//! durations added or subtracted. A time is `now()`, `date("2026-01-02T03:04:05Z")`, `date("2026-01-02")`,
//! `date("2026-01-02 03:04:05")` in UTC, or an RFC 3339 time as it is.

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};

use crate::duration;

/// The time that an expression means at `now`. The error says what is wrong and what would be right.
pub(super) fn evaluate(now: Timestamp, source: &str) -> Result<Timestamp, String> {
    let source = source.trim();
    if let Ok(time) = source.parse() {
        return Ok(time);
    }
    let mut rest = source;
    let mut time = match call(&mut rest)? {
        ("now", "") => now,
        ("date", arguments) => date(arguments)?,
        (name, _) => {
            return Err(format!(
                "`{name}` is no time: use now() or date(\"2026-01-02T03:04:05Z\")"
            ));
        }
    };
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(time);
        }
        let subtract = match rest.chars().next() {
            Some('-') => true,
            Some('+') => false,
            _ => return Err(wrong(rest)),
        };
        rest = rest[1..].trim_start();
        let (name, argument) = call(&mut rest)?;
        if name != "duration" {
            return Err(format!("`{name}` is no duration: use duration(\"5m\")"));
        }
        let length = duration::parse(text(argument)?.0).map_err(|error| error.to_string())?;
        let length = if subtract {
            SignedDuration::ZERO.checked_sub(length)
        } else {
            Some(length)
        };
        time = length
            .and_then(|length| time.checked_add(length).ok())
            .ok_or("the time is out of range")?;
    }
}

/// Takes `name(arguments)` off the front. Arguments are texts, which may hold brackets.
fn call<'s>(rest: &mut &'s str) -> Result<(&'s str, &'s str), String> {
    let source = *rest;
    let (name, tail) = source.split_once('(').ok_or_else(|| wrong(source))?;
    let mut quote = None;
    for (at, c) in tail.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None if c == ')' => {
                *rest = &tail[at + 1..];
                return Ok((name.trim(), tail[..at].trim()));
            }
            _ => {}
        }
    }
    Err(wrong(source))
}

/// A quoted text and what comes after it.
fn text(source: &str) -> Result<(&str, &str), String> {
    let quote = source
        .chars()
        .next()
        .filter(|c| matches!(c, '"' | '\'' | '`'))
        .ok_or_else(|| wrong(source))?;
    source[1..]
        .split_once(quote)
        .map(|(text, tail)| (text, tail.trim()))
        .ok_or_else(|| wrong(source))
}

/// The format and the time zone that Argo's examples give are those that are understood anyway.
fn date(arguments: &str) -> Result<Timestamp, String> {
    let (value, tail) = text(arguments)?;
    if !matches!(
        tail,
        "" | r#", "2006-01-02 15:04:05", "UTC""# | r#","2006-01-02 15:04:05","UTC""#
    ) {
        return Err("date() takes a time in RFC 3339, such as date(\"2026-01-02T03:04:05Z\")".to_owned());
    }
    let civil = || {
        value
            .parse::<DateTime>()
            .ok()?
            .to_zoned(TimeZone::UTC)
            .ok()
            .map(|zoned| zoned.timestamp())
    };
    value
        .parse()
        .ok()
        .or_else(civil)
        .ok_or_else(|| format!("`{}` is no time", crate::text::excerpt(value)))
}

fn wrong(source: &str) -> String {
    let source = crate::text::excerpt(source);
    format!("`{source}` is not understood: use a time such as now(), then durations such as - duration(\"5m\")")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_those_of_the_documented_expressions() {
        let now: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
        for (source, expected) in [
            ("now()", "2026-01-02T12:00:00Z"),
            (" now ( ) ", "2026-01-02T12:00:00Z"),
            ("now() - duration(\"5m\")", "2026-01-02T11:55:00Z"),
            ("now()-duration('1h30m')", "2026-01-02T10:30:00Z"),
            ("now() + duration(`90s`) - duration(\"30s\")", "2026-01-02T12:01:00Z"),
            ("now() - duration(\"-5m\")", "2026-01-02T12:05:00Z"),
            ("2025-12-31T23:00:00Z", "2025-12-31T23:00:00Z"),
            ("2025-12-31T23:00:00+01:00", "2025-12-31T22:00:00Z"),
            (
                "date(\"2023-08-14T00:00:00Z\") + duration(\"1h\")",
                "2023-08-14T01:00:00Z",
            ),
            ("date(\"2023-08-14\")", "2023-08-14T00:00:00Z"),
            ("date(\"2023-08-14 06:00:00\")", "2023-08-14T06:00:00Z"),
            (
                r#"date("2023-08-14 00:00:00", "2006-01-02 15:04:05", "UTC") - duration("1h")"#,
                "2023-08-13T23:00:00Z",
            ),
        ] {
            assert_eq!(evaluate(now, source), Ok(expected.parse().unwrap()), "{source}");
        }
    }

    #[test]
    fn other_expressions_are_refused_with_what_would_be_right() {
        let now = Timestamp::UNIX_EPOCH;
        let unclear = "is not understood: use a time such as now(), then durations such as - duration(\"5m\")";
        for (source, expected) in [
            ("", format!("`` {unclear}")),
            ("5", format!("`5` {unclear}")),
            ("now", format!("`now` {unclear}")),
            ("now(", format!("`now(` {unclear}")),
            ("now() 5", format!("`5` {unclear}")),
            ("now() - ", format!("`` {unclear}")),
            ("now() - duration(5m)", format!("`5m` {unclear}")),
            (
                "now() - duration(\"??\")",
                "`??` is not a duration such as `30s`, `5m` or `1h30m`".to_owned(),
            ),
            ("now() - now()", "`now` is no duration: use duration(\"5m\")".to_owned()),
            (
                "duration(\"5m\")",
                "`duration` is no time: use now() or date(\"2026-01-02T03:04:05Z\")".to_owned(),
            ),
            ("date(\"soon\")", "`soon` is no time".to_owned()),
            (
                "date(\"2023-08-14\", \"2006-01-02\", \"Europe/Zurich\")",
                "date() takes a time in RFC 3339, such as date(\"2026-01-02T03:04:05Z\")".to_owned(),
            ),
        ] {
            assert_eq!(evaluate(now, source), Err(expected), "{source}");
        }
        let many = format!("now(){}", " - duration(\"2562047h\")".repeat(45));
        assert_eq!(evaluate(now, &many), Err("the time is out of range".to_owned()));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}", words in "(now\\(|date\\(|duration\\(|\"|'|\\)|[-+ 0-9hms]){0,12}") {
            let now = Timestamp::UNIX_EPOCH;
            let _ = (evaluate(now, &text), evaluate(now, &words));
        }
    }
}
