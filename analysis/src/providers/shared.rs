//! What several providers check and build in the same way.

use std::time::Duration;

use jiff::SignedDuration;
use sluice_crds::WebMetricHeader;

use super::ProviderError;
use crate::args::is_open;
use crate::duration;

/// Longest time-out of a request. Prometheus itself gives up after 2 minutes by default.
const MAX_TIMEOUT_SECS: i64 = 300;
/// Largest answer that is read: 1,000 series with twenty labels each have about half of it.
pub(super) const BODY_LIMIT: usize = 1024 * 1024;

/// A problem of a field of a provider: `field` is its path below `provider.NAME`.
pub(super) fn invalid(provider: &str, field: &str, problem: &str) -> ProviderError {
    let path = match field {
        "" => format!("provider.{provider}"),
        field => format!("provider.{provider}.{field}"),
    };
    ProviderError::Invalid {
        path,
        problem: problem.to_owned(),
    }
}

/// A text that is there and not empty.
pub(super) fn non_empty(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

/// What is wrong with the address of a server, to which a path is added.
pub(super) fn check_address(address: &str, example: &str) -> Result<(), String> {
    check_url(address, example)?;
    if address.contains(['?', '#']) {
        return Err("must be scheme, host, port and path only: no spaces, `?`, `#` or `\\`".to_owned());
    }
    Ok(())
}

/// What is wrong with a URL that is asked as it is.
pub(super) fn check_url(url: &str, example: &str) -> Result<(), String> {
    let rest = match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") => rest,
        _ => {
            return Err(format!("must be a URL with http:// or https://, for example {example}"));
        }
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        return Err("must not contain a user name or password: use authentication or a header".to_owned());
    }
    if rest.contains('\\') || rest.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("must be scheme, host, port and path only: no spaces, `?`, `#` or `\\`".to_owned());
    }
    if host.is_empty() || host.starts_with(':') {
        return Err(format!("has no host, for example {example}"));
    }
    Ok(())
}

/// A time-out in seconds.
pub(super) fn timeout(secs: i64) -> Result<Duration, String> {
    match secs {
        1..=MAX_TIMEOUT_SECS => Ok(Duration::from_secs(secs.unsigned_abs())),
        secs => Err(format!(
            "is {secs}, it must be between 1 and {MAX_TIMEOUT_SECS} seconds"
        )),
    }
}

/// The length of a query's time range: a positive duration such as `5m`, of at least a second.
pub(super) fn interval(text: Option<&String>, default: SignedDuration) -> Result<SignedDuration, String> {
    let Some(text) = non_empty(text) else {
        return Ok(default);
    };
    match duration::parse(text) {
        Ok(interval) if interval >= SignedDuration::from_secs(1) => Ok(interval),
        Ok(_) => Err(format!("is `{text}`, it must be at least 1s")),
        Err(error) => Err(error.to_string()),
    }
}

/// Headers that a user gives, checked; `own` are set by the provider. Errors carry the field path below `headers`.
pub(super) fn headers(
    given: Option<&Vec<WebMetricHeader>>,
    own: &[&str],
) -> Result<Vec<(String, String)>, (String, String)> {
    let mut headers = Vec::new();
    for (at, header) in given.into_iter().flatten().enumerate() {
        let (key, value) = (&header.key, &header.value);
        let wrong = |field: &str, problem: &str| Err((format!("headers[{at}].{field}"), problem.to_owned()));
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if !is_open(key) && (key.is_empty() || !key.chars().all(token)) {
            return wrong("key", "is not the name of a header");
        }
        if value.chars().any(|c| c.is_control() && c != '\t') {
            return wrong("value", "must not contain line breaks or control characters");
        }
        let key_lower = key.to_ascii_lowercase();
        if ["host", "content-length", "transfer-encoding", "connection"].contains(&key_lower.as_str())
            || own.contains(&key_lower.as_str())
        {
            return wrong("key", &format!("`{key}` is set by the controller"));
        }
        headers.push((key.clone(), value.clone()));
    }
    Ok(headers)
}

/// Whether the headers have one of this name.
pub(super) fn has_header(headers: &[(String, String)], name: &str) -> bool {
    headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name))
}

/// Text of a server as an error message quotes it, on one line. It is cut where secrets have been taken out of it: a secret
/// that is cut off would still be one.
pub(super) fn quoted(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What an answer says whose status is no success, with a hint where the status alone tells what to look at.
pub(super) fn refused(server: &str, status: u16) -> String {
    let hint = match status {
        401 | 403 => ": check authentication and headers",
        404 => ": is the address right?",
        405 => ": it does not take this method",
        429 => ": too many requests",
        _ => "",
    };
    format!("{server} answered {status}{hint}")
}

/// Whether a status is a success.
pub(super) fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// A number as Go prints it without exponent, which is how Argo Rollouts shows values.
pub(super) fn shown(number: f64) -> String {
    if number == f64::INFINITY {
        "+Inf".to_owned()
    } else if number == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        number.to_string()
    }
}
