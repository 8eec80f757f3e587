//! Datadog: its API for metrics, version 1 (`/api/v1/query`) and version 2 (`/api/v2/query/scalar`).
//!
//! Version 1 gives a time series: the last value of the first one is measured. Version 2 makes one value of the time range
//! by itself, or one of each group where the query groups by tags. Argo Rollouts asks the same two.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use sluice_crds::DatadogMetric;

use super::account::Account;
use super::shared::{self, invalid, non_empty, quoted};
use super::talk::{Once, Talk};
use super::{Context, Found, Needs, Provider, ProviderError, answer};
use crate::args::is_open;
use crate::{HttpRequest, HttpResponse};

const NAME: &str = "datadog";
const SERVER: &str = "Datadog";
/// The Secret with the account where a metric names none, as in Argo Rollouts.
const SECRET: &str = "datadog";
const API_KEY: &str = "api-key";
const APP_KEY: &str = "app-key";
const ADDRESS: &str = "address";
/// The site of an account that names none.
const SITE: &str = "https://api.datadoghq.com";
/// As in Argo Rollouts.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Length of the time range where a metric gives none, as in Argo Rollouts.
const DEFAULT_INTERVAL: SignedDuration = SignedDuration::from_mins(5);
/// How values become one where a metric does not say it, as in Argo Rollouts.
const DEFAULT_AGGREGATOR: &str = "last";
const AGGREGATORS: [&str; 9] = [
    "avg",
    "min",
    "max",
    "sum",
    "last",
    "percentile",
    "mean",
    "l2norm",
    "area",
];
/// Name of the only query where it has none.
const QUERY: &str = "query";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Provider for DatadogMetric {
    fn problems(&self) -> Vec<ProviderError> {
        let mut problems = Vec::new();
        let version = if self.api_version.as_deref().is_some_and(is_open) {
            None
        } else {
            version(self).map_err(|problem| problems.push(problem)).ok()
        };
        problems.extend(query_problems(self, version));
        if !self.interval.as_deref().is_some_and(is_open) {
            problems.extend(interval(self).err());
        }
        if !self.aggregator.as_deref().is_some_and(is_open) {
            problems.extend(aggregator(self).err());
        }
        if let Some(reference) = &self.secret_ref
            && reference.namespaced == Some(true)
            && non_empty(reference.name.as_ref()).is_none()
        {
            let problem = "secret name is required for namespaced credentials";
            problems.push(invalid(NAME, "secretRef.name", problem));
        }
        problems.extend(account(self).check("secretRef.name").err());
        problems
    }

    fn add_needs(&self, needs: &mut Needs) {
        account(self).add_needs(needs, &[API_KEY, APP_KEY], &[ADDRESS]);
    }

    fn talk(&self, context: &Context<'_>) -> Result<Box<dyn Talk>, ProviderError> {
        if let Some(problem) = self.problems().into_iter().next() {
            return Err(problem);
        }
        let to = context.now.as_second();
        let from = to.saturating_sub(interval(self)?.as_secs());
        let account = account(self);
        let (api, application) = (account.value(context, API_KEY)?, account.value(context, APP_KEY)?);
        let address = account.optional(context, ADDRESS)?;
        let address = account.address(address.as_deref().unwrap_or(SITE), ADDRESS, SITE)?;
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let version = version(self)?;
        let (method, url, body) = match version {
            Version::V1 => ("GET", url(&address, from, to, self), None),
            Version::V2 => {
                let body = body(self, from, to)?;
                ("POST", format!("{address}/api/v2/query/scalar"), Some(body))
            }
        };
        let request = HttpRequest {
            method,
            url,
            headers: vec![
                header("Content-Type", "application/json"),
                header("DD-API-KEY", &api),
                header("DD-APPLICATION-KEY", &application),
            ],
            body,
            timeout: TIMEOUT,
            insecure: false,
            body_limit: shared::BODY_LIMIT,
        };
        let read = match version {
            Version::V1 => read_v1,
            Version::V2 => read_v2,
        };
        Ok(Box::new(Once { request, read }))
    }
}

/// What is wrong with the query or the queries, as far as it shows without the version of the API. The texts are those of
/// Argo Rollouts.
fn query_problems(metric: &DatadogMetric, version: Option<Version>) -> Vec<ProviderError> {
    let has_query = query(metric).is_some();
    let queries = metric.queries.as_ref().map_or(0, std::collections::BTreeMap::len);
    let has_formula = non_empty(metric.formula.as_ref()).is_some();
    let is_v1 = version == Some(Version::V1);
    let mut problems = Vec::new();
    let mut wrong = |field: &str, problem: &str| problems.push(invalid(NAME, field, problem));
    if !has_query && queries == 0 {
        let problem = "Must have either a query or queries. Please review the Analysis Template.";
        wrong("", problem);
    } else if has_query && queries > 0 {
        let problem = "Cannot have both a query and queries. Please review the Analysis Template.";
        wrong("", problem);
    } else if is_v1 && !has_query {
        let problem =
            "Query is empty. API Version v1 only supports using the query parameter in your Analysis Template.";
        wrong("query", problem);
    }
    if has_formula && queries == 0 {
        let problem = "Formula are only valid when queries are set. Please review the Analysis Template.";
        wrong("formula", problem);
    } else if !has_formula && queries > 1 {
        wrong(
            "queries",
            "When multiple queries are provided you must include a formula.",
        );
    }
    if is_v1 && non_empty(metric.aggregator.as_ref()).is_some() {
        let problem = "Aggregator is not supported in v1. Please review the Analysis Template.";
        wrong("aggregator", problem);
    }
    for (name, query) in metric.queries.iter().flatten() {
        if query.trim().is_empty() {
            wrong(&format!("queries.{name}"), "is empty: give a query");
        }
    }
    problems
}

fn query(metric: &DatadogMetric) -> Option<&str> {
    let query = metric.query.as_deref().map(str::trim);
    query.filter(|query| !query.is_empty())
}

fn version(metric: &DatadogMetric) -> Result<Version, ProviderError> {
    match non_empty(metric.api_version.as_ref()) {
        None | Some("v1") => Ok(Version::V1),
        Some("v2") => Ok(Version::V2),
        Some(other) => {
            let problem = format!("is `{}`, it must be v1 or v2", crate::text::excerpt(other));
            Err(invalid(NAME, "apiVersion", &problem))
        }
    }
}

fn interval(metric: &DatadogMetric) -> Result<SignedDuration, ProviderError> {
    shared::interval(metric.interval.as_ref(), DEFAULT_INTERVAL).map_err(|problem| invalid(NAME, "interval", &problem))
}

fn aggregator(metric: &DatadogMetric) -> Result<&str, ProviderError> {
    let aggregator = non_empty(metric.aggregator.as_ref()).unwrap_or(DEFAULT_AGGREGATOR);
    if AGGREGATORS.contains(&aggregator) {
        return Ok(aggregator);
    }
    let problem = format!("must be one of {}", AGGREGATORS.join(", "));
    Err(invalid(NAME, "aggregator", &problem))
}

fn account(metric: &DatadogMetric) -> Account<'_> {
    let reference = metric.secret_ref.as_ref();
    let secret = reference
        .and_then(|reference| non_empty(reference.name.as_ref()))
        .unwrap_or(SECRET);
    Account { provider: NAME, secret }
}

fn url(address: &str, from: i64, to: i64, metric: &DatadogMetric) -> String {
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("from", &from.to_string())
        .append_pair("query", query(metric).unwrap_or_default())
        .append_pair("to", &to.to_string())
        .finish();
    format!("{address}/api/v1/query?{form}")
}

fn body(metric: &DatadogMetric, from: i64, to: i64) -> Result<String, ProviderError> {
    let aggregator = aggregator(metric)?;
    let one = query(metric).map(|query| (QUERY, query));
    let several = metric.queries.iter().flatten();
    let queries = one
        .into_iter()
        .chain(several.map(|(name, query)| (name.as_str(), query.trim())));
    let queries: Vec<Value> = queries
        .map(|(name, query)| json!({"aggregator": aggregator, "data_source": "metrics", "name": name, "query": query}))
        .collect();
    let mut attributes = json!({
        "from": from.saturating_mul(1000), "to": to.saturating_mul(1000), "queries": queries,
    });
    if let Some(formula) = non_empty(metric.formula.as_ref()) {
        attributes["formulas"] = json!([{ "formula": formula.trim() }]);
    }
    Ok(json!({"data": {"type": "scalar_request", "attributes": attributes}}).to_string())
}

/// Datadog's own words: `error` is a text, `errors` a text, or a list of texts or of objects with `title` and `detail`.
fn said(answer: &Value) -> Option<String> {
    let errors = [&answer["error"], &answer["errors"], &answer["data"]["errors"]];
    let texts = |value: &Value| match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Array(errors) if !errors.is_empty() => {
            let text = |error: &Value| {
                let text = error.as_str().or(error["detail"].as_str()).or(error["title"].as_str());
                text.unwrap_or("an error without a text").to_owned()
            };
            Some(errors.iter().map(text).collect::<Vec<_>>().join("; "))
        }
        _ => None,
    };
    errors.into_iter().find_map(texts)
}

fn answered(response: &HttpResponse) -> Result<Value, String> {
    let answer = answer::json(SERVER, response, said)?;
    match said(&answer) {
        Some(said) => Err(format!("Datadog refused the query: {}", quoted(&said))),
        None if answer["status"] == "error" => Err("Datadog refused the query".to_owned()),
        None => Ok(answer),
    }
}

const NOT_A_NUMBER: &str = "the answer of Datadog has a value that is not a number";

/// The last value of the first series. A last value that is null is no value.
fn read_v1(response: &HttpResponse) -> Result<Found, String> {
    let answer = answered(response)?;
    let series = answer["series"]
        .as_array()
        .ok_or("the answer of Datadog has no list of series: is the address right?")?;
    let Some(series) = series.first() else {
        return Ok(answer::nothing("[]"));
    };
    let points = series["pointlist"]
        .as_array()
        .ok_or("the answer of Datadog has a series without points")?;
    match points.last() {
        None => Ok(answer::nothing("[]")),
        Some(point) => match point.as_array().map(Vec::as_slice) {
            Some([_, Value::Null]) => Ok(answer::nothing("null")),
            Some([_, value]) => value.as_f64().map(answer::number).ok_or(NOT_A_NUMBER.to_owned()),
            _ => Err("Datapoint does not have 2 values".to_owned()),
        },
    }
}

/// The value, or the list of the values of all groups. A group without a value has NaN.
fn read_v2(response: &HttpResponse) -> Result<Found, String> {
    let answer = answered(response)?;
    let columns = answer["data"]["attributes"]["columns"]
        .as_array()
        .ok_or("the answer of Datadog has no columns: is the address right?")?;
    let is_group = |column: &&Value| column["type"] == "group";
    let grouped = columns.iter().any(|column| is_group(&column));
    let mut numbers = columns.iter().filter(|column| !is_group(column));
    let Some(column) = numbers.next() else {
        return Ok(answer::nothing("[]"));
    };
    if numbers.next().is_some() {
        return Err("the answer of Datadog has several columns: combine the queries in a formula".to_owned());
    }
    let values = column["values"]
        .as_array()
        .ok_or("the answer of Datadog has a column without values")?;
    let number = |value: &Value| match value {
        Value::Null => Ok(f64::NAN),
        value => value.as_f64().ok_or(NOT_A_NUMBER),
    };
    match (grouped, values.as_slice()) {
        (_, []) => Ok(answer::nothing("[]")),
        (true, values) => answer::numbers(values.iter().map(number).collect::<Result<_, _>>()?),
        (false, [Value::Null]) => Ok(answer::nothing("null")),
        (false, [value]) => Ok(answer::number(number(value)?)),
        (false, _) => Err("the answer of Datadog has several values: aggregate the query".to_owned()),
    }
}

#[cfg(test)]
mod tests;
