//! What several providers read in the same way.

use serde_json::Value;

use super::Found;
use super::shared::{self, quoted, shown};
use crate::HttpResponse;
use crate::conditions::{MAX_NUMBERS, Reading};

/// The JSON of an answer. `said` finds the server's own words in it where it refuses.
pub(super) fn json(server: &str, response: &HttpResponse, said: fn(&Value) -> Option<String>) -> Result<Value, String> {
    let answer: Option<Value> = serde_json::from_slice(&response.body).ok();
    if !shared::is_success(response.status) {
        let said = answer.as_ref().and_then(said);
        return Err(refused(server, response.status, said.as_deref()));
    }
    answer.ok_or_else(|| format!("the answer of {server} is no JSON: is the address right?"))
}

/// What an answer says whose status is no success, with the server's own words where it has any.
pub(super) fn refused(server: &str, status: u16, said: Option<&str>) -> String {
    match said {
        Some(said) => format!("{server} answered {status}: {}", quoted(said)),
        None => shared::refused(server, status),
    }
}

/// One number.
pub(super) fn number(number: f64) -> Found {
    Found {
        text: shown(number),
        reading: Reading::Number(number),
    }
}

/// A list of numbers.
pub(super) fn numbers(numbers: Vec<f64>) -> Result<Found, String> {
    if numbers.len() > MAX_NUMBERS {
        return Err(too_many(numbers.len()));
    }
    let texts: Vec<String> = numbers.iter().copied().map(shown).collect();
    Ok(Found {
        text: format!("[{}]", texts.join(",")),
        reading: Reading::Numbers(numbers),
    })
}

/// No data: an error, unless a condition looks for it. `text` is what there was instead.
pub(super) fn nothing(text: &str) -> Found {
    Found {
        text: text.to_owned(),
        reading: Reading::Json(Value::Null),
    }
}

/// Anything that JSON can say.
pub(super) fn value(value: Value) -> Result<Found, String> {
    let text = value.to_string();
    match Reading::json(value) {
        Some(reading) => Ok(Found { text, reading }),
        None => Err(format!(
            "the query returned more than {MAX_NUMBERS} values: aggregate it, or take a shorter time"
        )),
    }
}

/// The error of a query with too many numbers.
pub(super) fn too_many(count: usize) -> String {
    format!("the query returned {count} values, at most {MAX_NUMBERS} are read: aggregate it, or take a shorter time")
}
