//! Graphite: its render API, with the answer as JSON.
//!
//! The query is the query string of the request as users of Graphite write it: `target=...&from=-10min`. It is decoded and
//! encoded again, with `format=json`. All values of the first target are measured, without those that are null.

use std::time::Duration;

use serde_json::Value;
use sluice_crds::GraphiteMetric;

use super::shared::{self, check_address, invalid, non_empty};
use super::talk::{Once, Talk};
use super::{Context, Found, Provider, ProviderError, answer};
use crate::args::is_open;
use crate::{HttpRequest, HttpResponse};

const NAME: &str = "graphite";
const SERVER: &str = "Graphite";
/// As in Argo Rollouts.
const TIMEOUT: Duration = Duration::from_secs(10);
const EXAMPLE: &str = "http://graphite.example.com:9090";

impl Provider for GraphiteMetric {
    fn problems(&self) -> Vec<ProviderError> {
        let mut problems = Vec::new();
        if !self.address.as_deref().is_some_and(is_open) {
            problems.extend(address(self).err());
        }
        if !self.query.as_deref().is_some_and(is_open) {
            problems.extend(query(self).err());
        }
        problems
    }

    fn talk(&self, _context: &Context<'_>) -> Result<Box<dyn Talk>, ProviderError> {
        let request = HttpRequest {
            method: "GET",
            url: format!("{}/render?{}", address(self)?, query(self)?),
            headers: vec![("Accept".to_owned(), "application/json".to_owned())],
            body: None,
            timeout: TIMEOUT,
            insecure: false,
            body_limit: shared::BODY_LIMIT,
        };
        Ok(Box::new(Once { request, read }))
    }
}

fn address(metric: &GraphiteMetric) -> Result<&str, ProviderError> {
    let address = metric.address.as_deref().unwrap_or_default().trim();
    check_address(address, EXAMPLE).map_err(|problem| invalid(NAME, "address", &problem))?;
    Ok(address.trim_end_matches('/'))
}

/// The query string of the request. White space of any length, such as line breaks, is one space.
fn query(metric: &GraphiteMetric) -> Result<String, ProviderError> {
    let query = non_empty(metric.query.as_ref()).unwrap_or_default();
    let query = query.split_whitespace().collect::<Vec<_>>().join(" ");
    let pairs = form_urlencoded::parse(query.trim_start_matches('?').as_bytes());
    let pairs: Vec<_> = pairs.filter(|(name, _)| name != "format").collect();
    if !pairs.iter().any(|(name, value)| name == "target" && !value.is_empty()) {
        let problem = "has no target: write target=..., and for example &from=-10min behind it";
        return Err(invalid(NAME, "query", problem));
    }
    Ok(form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .append_pair("format", "json")
        .finish())
}

/// Graphite's own words are a text. A page of HTML is none.
fn refused(response: &HttpResponse) -> String {
    let text = std::str::from_utf8(&response.body).unwrap_or_default().trim();
    let said = Some(text).filter(|text| !text.is_empty() && !text.starts_with('<'));
    answer::refused(SERVER, response.status, said)
}

/// The values of the first target.
fn read(response: &HttpResponse) -> Result<Found, String> {
    if !shared::is_success(response.status) {
        return Err(refused(response));
    }
    let answer = answer::json(SERVER, response, |_| None)?;
    let targets = answer
        .as_array()
        .ok_or("the answer of Graphite is no list of targets: is the address right?")?;
    let Some(target) = targets.first() else {
        return answer::numbers(Vec::new());
    };
    let points = target["datapoints"]
        .as_array()
        .ok_or("the answer of Graphite has a target without datapoints")?;
    let values = points.iter().map(point).collect::<Result<Vec<_>, _>>()?;
    answer::numbers(values.into_iter().flatten().collect())
}

/// The value of `[value, time]`; none where it is null. Some servers write numbers as texts.
fn point(point: &Value) -> Result<Option<f64>, String> {
    let number = match point.as_array().map(Vec::as_slice) {
        Some([Value::Null, _]) => return Ok(None),
        Some([Value::String(text), _]) => text.parse().ok(),
        Some([value, _]) => value.as_f64(),
        _ => None,
    };
    number
        .map(Some)
        .ok_or_else(|| "the answer of Graphite has a datapoint that is not a number".to_owned())
}

#[cfg(test)]
mod tests;
