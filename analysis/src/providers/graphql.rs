//! GraphQL over HTTP, as New Relic and `SkyWalking` speak it: a JSON object with a query and its variables is sent, and one
//! with `data`, or with `errors`, comes back.

use std::time::Duration;

use serde_json::{Value, json};

use super::answer;
use super::shared::{self, quoted};
use crate::{HttpRequest, HttpResponse};

/// Most errors of an answer that are shown.
const MAX_ERRORS: usize = 3;

/// A request with a query.
pub(super) fn request(url: String, query: &str, variables: &Value, timeout: Duration) -> HttpRequest {
    let header = |name: &str| (name.to_owned(), "application/json".to_owned());
    HttpRequest {
        method: "POST",
        url,
        headers: vec![header("Content-Type"), header("Accept")],
        body: Some(json!({"query": query, "variables": variables}).to_string()),
        timeout,
        insecure: false,
        body_limit: shared::BODY_LIMIT,
    }
}

/// The data of an answer. Data beside errors are parts of what was asked for, and are no answer.
pub(super) fn data(server: &str, response: &HttpResponse) -> Result<Value, String> {
    let mut answer = answer::json(server, response, said)?;
    if let Some(said) = said(&answer) {
        return Err(format!("{server} refused the query: {}", quoted(&said)));
    }
    match answer.get_mut("data") {
        Some(data) => Ok(data.take()),
        None => Err(format!("the answer of {server} has no data: is the address right?")),
    }
}

/// The errors of an answer; an error without a message is one, too.
fn said(answer: &Value) -> Option<String> {
    let errors = answer.get("errors").filter(|errors| !errors.is_null())?;
    let message = |error: &Value| {
        let text = error.get("message").and_then(Value::as_str);
        text.unwrap_or("an error without a message").to_owned()
    };
    match errors.as_array() {
        Some(errors) if errors.is_empty() => None,
        Some(errors) => Some(
            errors
                .iter()
                .take(MAX_ERRORS)
                .map(message)
                .collect::<Vec<_>>()
                .join("; "),
        ),
        None => Some(message(errors)),
    }
}
