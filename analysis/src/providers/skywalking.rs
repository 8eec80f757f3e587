//! Apache `SkyWalking`: a GraphQL query of the user, with the time range as its variable `$duration`.
//!
//! What the query returned is measured as it is: `data` of the answer.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde_json::{Value, json};
use sluice_crds::SkyWalkingMetric;

use super::shared::{self, check_address, invalid, non_empty};
use super::talk::{Once, Talk};
use super::{Context, Found, Provider, ProviderError, answer, graphql};
use crate::HttpResponse;
use crate::args::is_open;

const NAME: &str = "skywalking";
const SERVER: &str = "SkyWalking";
/// As in Argo Rollouts.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Length of the time range where a metric gives none, as in Argo Rollouts.
const DEFAULT_INTERVAL: SignedDuration = SignedDuration::from_mins(5);
const EXAMPLE: &str = "http://skywalking-oap.istio-system:12800";

impl Provider for SkyWalkingMetric {
    fn problems(&self) -> Vec<ProviderError> {
        let mut problems = Vec::new();
        if !self.address.as_deref().is_some_and(is_open) {
            problems.extend(address(self).err());
        }
        problems.extend(query(self).err());
        if !self.interval.as_deref().is_some_and(is_open) {
            problems.extend(interval(self).err());
        }
        problems
    }

    fn talk(&self, context: &Context<'_>) -> Result<Box<dyn Talk>, ProviderError> {
        let interval = interval(self)?;
        let start = context
            .now
            .checked_sub(interval)
            .map_err(|_| invalid(NAME, "interval", "is too long"))?;
        let duration = json!({"start": minute(start), "end": minute(context.now), "step": "MINUTE"});
        let url = format!("{}/graphql", address(self)?);
        let request = graphql::request(url, query(self)?, &json!({ "duration": duration }), TIMEOUT);
        Ok(Box::new(Once { request, read }))
    }
}

fn address(metric: &SkyWalkingMetric) -> Result<&str, ProviderError> {
    let address = metric.address.as_deref().unwrap_or_default().trim();
    check_address(address, EXAMPLE).map_err(|problem| invalid(NAME, "address", &problem))?;
    Ok(address.trim_end_matches('/'))
}

fn query(metric: &SkyWalkingMetric) -> Result<&str, ProviderError> {
    let query = non_empty(metric.query.as_ref()).map(str::trim).unwrap_or_default();
    if query.is_empty() {
        return Err(invalid(NAME, "query", "is empty: give a GraphQL query"));
    }
    Ok(query)
}

fn interval(metric: &SkyWalkingMetric) -> Result<SignedDuration, ProviderError> {
    shared::interval(metric.interval.as_ref(), DEFAULT_INTERVAL).map_err(|problem| invalid(NAME, "interval", &problem))
}

/// A minute as `SkyWalking` writes it, in UTC: `2026-01-02 1155`.
fn minute(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H%M").to_string()
}

/// The data of an answer. `SkyWalking` measures in numbers: without one, it knows nothing.
fn read(response: &HttpResponse) -> Result<Found, String> {
    let data = graphql::data(SERVER, response)?;
    if !has_number(&data) {
        return Ok(answer::nothing(&data.to_string()));
    }
    answer::value(data)
}

/// Whether there is a number anywhere in a value, be it in a text. The `id` of a value is the time that it is for.
fn has_number(value: &Value) -> bool {
    match value {
        Value::Number(_) => true,
        Value::String(text) => text.trim().parse::<f64>().is_ok(),
        Value::Array(items) => items.iter().any(has_number),
        Value::Object(fields) => fields.iter().any(|(name, value)| name != "id" && has_number(value)),
        Value::Null | Value::Bool(_) => false,
    }
}

#[cfg(test)]
mod tests;
