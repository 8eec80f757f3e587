//! Web: any HTTP endpoint that answers with JSON, or with a text.
//!
//! The measured value is what `jsonPath` leads to, or all of the answer. An answer that is no JSON is a text, if no path is
//! asked for. Only the value goes anywhere: the rest of the body, and all of it when something is wrong, is dropped.

use std::time::Duration;

use sluice_crds::WebMetric;

use super::shared::{self, check_url, has_header, invalid, non_empty, refused};
use super::talk::{Once, Talk};
use super::{Context, Found, Provider, ProviderError, json_path, oauth2};
use crate::args::is_open;
use crate::conditions::{MAX_NUMBERS, Reading};
use crate::{HttpRequest, HttpResponse};

/// Time-out where a metric gives none, as in Argo Rollouts.
const DEFAULT_TIMEOUT_SECS: i64 = 10;
const NAME: &str = "web";

impl Provider for WebMetric {
    fn problems(&self) -> Vec<ProviderError> {
        let mut problems = Vec::new();
        problems.extend(method(self).err());
        if !is_open(&self.url) {
            problems.extend(check(self).err());
        }
        problems.extend(body(self).err());
        problems.extend(timeout(self).err());
        problems.extend(headers(self).err());
        problems.extend(path(self).err());
        let authentication = self.authentication.as_ref();
        if let Some(config) = authentication.and_then(|authentication| authentication.oauth2.as_ref()) {
            problems.extend(oauth2::problems(NAME, config));
        }
        for (field, given) in [
            ("sigv4", authentication.is_some_and(|given| given.sigv4.is_some())),
            (
                "basicAuth",
                authentication.is_some_and(|given| given.basic_auth.is_some()),
            ),
        ] {
            if given {
                let field = format!("authentication.{field}");
                problems.push(invalid(
                    NAME,
                    &field,
                    "is not for web metrics: give oauth2, or a header",
                ));
            }
        }
        problems
    }

    fn talk(&self, _context: &Context<'_>) -> Result<Box<dyn Talk>, ProviderError> {
        if let Some(problem) = self.problems().into_iter().next() {
            return Err(problem);
        }
        check(self)?;
        let insecure = self.insecure.unwrap_or(false);
        let request = HttpRequest {
            method: method(self)?,
            url: self.url.clone(),
            headers: headers(self)?,
            body: body(self)?,
            timeout: timeout(self)?,
            insecure,
            body_limit: shared::BODY_LIMIT,
        };
        let path = path(self)?;
        let once = Box::new(Once {
            request,
            read: move |response: &HttpResponse| read(path.as_deref(), response),
        });
        let oauth2 = self.authentication.as_ref().and_then(|given| given.oauth2.as_ref());
        Ok(match oauth2 {
            Some(config) => Box::new(oauth2::WithToken::new(config, insecure, once)),
            None => once,
        })
    }
}

fn check(metric: &WebMetric) -> Result<(), ProviderError> {
    check_url(&metric.url, "https://example.com/health").map_err(|problem| invalid(NAME, "url", &problem))
}

fn method(metric: &WebMetric) -> Result<&'static str, ProviderError> {
    match non_empty(metric.method.as_ref()).unwrap_or("GET") {
        "GET" => Ok("GET"),
        "POST" => Ok("POST"),
        "PUT" => Ok("PUT"),
        _ => Err(invalid(NAME, "method", "must be GET, POST or PUT")),
    }
}

fn body(metric: &WebMetric) -> Result<Option<String>, ProviderError> {
    let text = non_empty(metric.body.as_ref());
    if text.is_some() && metric.json_body.is_some() {
        return Err(invalid(
            NAME,
            "body",
            "use either Body or JSONBody; both cannot exists for WebMetric payload",
        ));
    }
    let body = text
        .map(str::to_owned)
        .or_else(|| metric.json_body.as_ref().map(ToString::to_string));
    if body.is_some() && method(metric).is_ok_and(|method| method == "GET") {
        return Err(invalid(
            NAME,
            "body",
            "Body/JSONBody can only be used with POST or PUT WebMetric Method types",
        ));
    }
    Ok(body)
}

fn headers(metric: &WebMetric) -> Result<Vec<(String, String)>, ProviderError> {
    let mut headers =
        shared::headers(metric.headers.as_ref(), &[]).map_err(|(field, problem)| invalid(NAME, &field, &problem))?;
    let has_token = metric
        .authentication
        .as_ref()
        .is_some_and(|given| given.oauth2.is_some());
    if has_token && has_header(&headers, "authorization") {
        let problem = "and a header Authorization exclude each other";
        return Err(invalid(NAME, "authentication.oauth2", problem));
    }
    if metric.json_body.is_some() && !has_header(&headers, "content-type") {
        headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    }
    Ok(headers)
}

fn timeout(metric: &WebMetric) -> Result<Duration, ProviderError> {
    // As in Argo Rollouts, 0 is as good as absent.
    let secs = metric
        .timeout_seconds
        .filter(|secs| *secs != 0)
        .unwrap_or(DEFAULT_TIMEOUT_SECS);
    shared::timeout(secs).map_err(|problem| invalid(NAME, "timeoutSeconds", &problem))
}

fn path(metric: &WebMetric) -> Result<Option<String>, ProviderError> {
    non_empty(metric.json_path.as_ref())
        .filter(|path| !is_open(path))
        .map(|path| json_path::read(path).map_err(|problem| invalid(NAME, "jsonPath", &problem)))
        .transpose()
}

/// Reads an answer. Nothing of its body is in an error.
fn read(path: Option<&str>, response: &HttpResponse) -> Result<Found, String> {
    if !shared::is_success(response.status) {
        return Err(refused("the server", response.status));
    }
    let value = match (serde_json::from_slice(&response.body), path) {
        (Ok(value), None) => value,
        (Ok(value), Some(path)) => json_path::first(path, &value).ok_or("jsonPath leads to nothing in the answer")?,
        (Err(_), Some(_)) => return Err("the answer is no JSON, and jsonPath looks for something in it".to_owned()),
        (Err(_), None) => match std::str::from_utf8(&response.body) {
            Ok(text) => serde_json::Value::from(text),
            Err(_) => return Err("the answer is neither JSON nor a text".to_owned()),
        },
    };
    let text = value.to_string();
    match Reading::json(value) {
        Some(reading) => Ok(Found { text, reading }),
        None => Err(format!(
            "the answer has more than {MAX_NUMBERS} values: give a jsonPath to the one that is measured"
        )),
    }
}

#[cfg(test)]
mod tests;
