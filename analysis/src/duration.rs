//! Durations as Go writes them, which is how users of this API write intervals.

use jiff::SignedDuration;

/// Parses a duration such as `30s`, `5m`, `1h30m`, `1.5h` or `-2m`. Without a unit only `0` is a duration.
pub fn parse(text: &str) -> Result<SignedDuration, DurationError> {
    let wrong = || DurationError(text.chars().take(64).collect());
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(SignedDuration::ZERO);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number_len = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(number_len);
        let unit_len = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let part = nanoseconds(number, unit).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = tail;
    }
    // The range of Go's durations: about 292 years.
    let total = i64::try_from(if negative { -total } else { total }).map_err(|_| wrong())?;
    Ok(SignedDuration::from_nanos(total))
}

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration such as `30s`, `5m` or `1h30m`")]
pub struct DurationError(String);

/// `None` for an unknown unit, no digits, two dots, or more digits than fit.
fn nanoseconds(number: &str, unit: &str) -> Option<i128> {
    let unit: i128 = match unit {
        "ns" => 1,
        // Micro sign and the Greek letter mu.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 || whole.len() > 19 || fraction.contains('.') {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Digits beyond the fifteenth are less than a nanosecond of any unit.
    let fraction = &fraction[..fraction.len().min(15)];
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    Some(whole * unit + fraction * unit / scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("1h2m3s4ms", 3_723_004),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("1.s", 1_000),
            ("-2m", -120_000),
            ("+2m", 120_000),
            ("1500us", 1),
            ("2000\u{b5}s", 2),
            ("0.000000000000000000001h", 0),
        ] {
            assert_eq!(parse(text).map(|duration| duration.as_millis()), Ok(millis), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_an_example() {
        for text in [
            "",
            "-",
            "5",
            "s",
            ".s",
            "1..5s",
            "1 h",
            "1h ",
            "5min",
            "1d",
            "h1",
            "9999999999999999999h",
            "é",
            "1é",
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert_eq!(
                error,
                format!("`{text}` is not a duration such as `30s`, `5m` or `1h30m`")
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}", number in "[0-9.hms]{0,40}") {
            let _ = (parse(&text), parse(&number));
        }

        #[test]
        fn whole_parts_add_up(hours in 0..1000_i64, minutes in 0..1000_i64, seconds in 0..1000_i64) {
            let expected = SignedDuration::from_secs(hours * 3600 + minutes * 60 + seconds);
            prop_assert_eq!(parse(&format!("{hours}h{minutes}m{seconds}s")), Ok(expected));
        }
    }
}
