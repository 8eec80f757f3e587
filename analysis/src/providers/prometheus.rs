//! Prometheus: instant and range queries of its HTTP API, version 1.
//!
//! Queries are sent as POST with a form body, as Prometheus' own client does: long queries do not fit every URL, and the
//! query stays out of access logs. The time of an instant query is not sent: the server's own clock says what is newest.
//! A range query gives one list of all values of all series, as Argo Rollouts has it.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use sluice_crds::{Authentication, BasicAuth, PrometheusMetric, PrometheusRangeQuery};

use super::shared::{self, check_address, has_header, non_empty, quoted, shown};
use super::talk::{Once, Talk};
use super::{Context, Environment, Found, Provider, ProviderError, aws, oauth2, time};
use crate::args::is_open;
use crate::conditions::{MAX_NUMBERS, Reading};
use crate::{HttpRequest, HttpResponse, duration};

/// Environment variable with the address where a metric gives none.
pub const ADDRESS_VARIABLE: &str = "ARGO_ROLLOUTS_PROMETHEUS_ADDRESS";
/// Most series in an answer. A query that returns more was meant to be aggregated.
pub const MAX_SERIES: usize = 1_000;
/// Time-out where a metric gives none, as in Argo Rollouts.
const DEFAULT_TIMEOUT_SECS: i64 = 30;
const EXAMPLE: &str = "http://prometheus.monitoring:9090";

impl Provider for PrometheusMetric {
    fn problems(&self) -> Vec<ProviderError> {
        let mut problems = Vec::new();
        if let Some(address) = non_empty(self.address.as_ref()).filter(|address| !is_open(address)) {
            problems.extend(checked(address).err());
        }
        problems.extend(query(self).err());
        problems.extend(timeout(self).err());
        problems.extend(headers(self).err());
        problems.extend(self.authentication.iter().flat_map(authentication_problems));
        if let Some(range) = &self.range_query
            && ![&range.start, &range.end, &range.step]
                .into_iter()
                .flatten()
                .any(|text| is_open(text))
        {
            problems.extend(range_form(Timestamp::UNIX_EPOCH, range).err());
        }
        problems
    }

    fn query(&self) -> Option<(&'static str, &str)> {
        Some(("ResolvedPrometheusQuery", self.query.as_deref()?))
    }

    fn talk(&self, context: &Context<'_>) -> Result<Box<dyn Talk>, ProviderError> {
        let authentication = self.authentication.as_ref();
        if let Some(problem) = authentication.and_then(|given| authentication_problems(given).into_iter().next()) {
            return Err(problem);
        }
        let request = request(context.now, self, context.environment)?;
        let insecure = request.insecure;
        let once = Box::new(Once { request, read });
        let Some(authentication) = authentication else {
            return Ok(once);
        };
        if let Some(config) = &authentication.oauth2 {
            return Ok(Box::new(oauth2::WithToken::new(config, insecure, once)));
        }
        match &authentication.sigv4 {
            Some(config) => {
                let account = aws::Account {
                    region: non_empty(config.region.as_ref()),
                    role: non_empty(config.role_arn.as_ref()),
                };
                let signed = aws::Signed::new("aps", account, context.environment, once);
                let signed = signed.map_err(|problem| invalid("authentication.sigv4", &problem))?;
                Ok(Box::new(signed))
            }
            None => Ok(once),
        }
    }
}

/// The request of an instant query, or of a range query that ends at or before `now`. It has no signature and no token yet.
fn request(now: Timestamp, metric: &PrometheusMetric, environment: &Environment) -> Result<HttpRequest, ProviderError> {
    let configured = environment.variables.get(ADDRESS_VARIABLE).map(String::as_str);
    let configured = configured.filter(|address| !address.is_empty());
    let Some(address) = non_empty(metric.address.as_ref()).or(configured) else {
        let problem = format!("no address: give one, or set {ADDRESS_VARIABLE} for the controller");
        return Err(invalid("address", &problem));
    };
    checked(address)?;
    let mut form = vec![("query", query(metric)?.to_owned())];
    let path = match &metric.range_query {
        None => "query",
        Some(range) => {
            form.extend(range_form(now, range)?);
            "query_range"
        }
    };
    Ok(HttpRequest {
        method: "POST",
        url: format!("{}/api/v1/{path}", address.trim_end_matches('/')),
        headers: headers(metric)?,
        body: Some(
            form_urlencoded::Serializer::new(String::new())
                .extend_pairs(form)
                .finish(),
        ),
        timeout: timeout(metric)?,
        insecure: metric.insecure.unwrap_or(false),
        body_limit: shared::BODY_LIMIT,
    })
}

/// Reads an answer. The error says why it is none; texts in it come from the server and are bounded.
pub fn read(response: &HttpResponse) -> Result<Found, String> {
    let answer: Option<Answer> = serde_json::from_slice(&response.body).ok();
    if !(200..300).contains(&response.status) {
        return Err(refused(response.status, answer.as_ref()));
    }
    let answer = answer.ok_or("the answer is not that of a Prometheus query: is the address right?")?;
    if answer.status != "success" {
        return Err(refused(response.status, Some(&answer)));
    }
    let data = answer.data.ok_or("the answer of Prometheus has no data")?;
    match data.result_type.as_str() {
        "scalar" => {
            let number = sample(&data.result)?;
            Ok(Found {
                text: shown(number),
                reading: Reading::Number(number),
            })
        }
        "vector" => {
            let numbers = series(&data.result)?.iter().map(|series| sample(&series["value"]));
            list(numbers.collect::<Result<_, _>>()?)
        }
        "matrix" => {
            let mut numbers = Vec::new();
            for series in series(&data.result)? {
                let values = series["values"].as_array().ok_or(NOT_A_NUMBER)?;
                for value in values {
                    numbers.push(sample(value)?);
                }
            }
            list(numbers)
        }
        "string" => Err("the query returned a text: it must return numbers".to_owned()),
        _ => Err("Prometheus metric type not supported".to_owned()),
    }
}

const NOT_A_NUMBER: &str =
    "the answer of Prometheus has a sample that is not a number (native histograms are not supported)";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status: String,
    data: Option<Data>,
    error_type: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    #[serde(default)]
    result: Value,
}

/// An error answer, with Prometheus' own words where it has any: they say what is wrong with a query.
fn refused(status: u16, answer: Option<&Answer>) -> String {
    let said = answer.and_then(|answer| {
        let text = answer.error.as_deref()?;
        Some(format!(
            " ({}): {}",
            quoted(answer.error_type.as_deref().unwrap_or("no error type")),
            quoted(text)
        ))
    });
    let hint = match status {
        401 | 403 => ": check authentication and headers",
        404 => ": is the address that of a Prometheus API, without /api/v1?",
        405 => ": it takes no POST",
        _ => "",
    };
    format!(
        "Prometheus answered {status}{}",
        said.unwrap_or_else(|| hint.to_owned())
    )
}

fn series(result: &Value) -> Result<&Vec<Value>, String> {
    let series = result
        .as_array()
        .ok_or("the answer of Prometheus has no list of series")?;
    if series.len() > MAX_SERIES {
        return Err(format!(
            "the query returned {} series, at most {MAX_SERIES} are read: aggregate it",
            series.len()
        ));
    }
    Ok(series)
}

/// The number of a sample `[time, "number"]`.
fn sample(value: &Value) -> Result<f64, String> {
    let Some([_, Value::String(text)]) = value.as_array().map(Vec::as_slice) else {
        return Err(NOT_A_NUMBER.to_owned());
    };
    text.parse().map_err(|_| NOT_A_NUMBER.to_owned())
}

fn list(numbers: Vec<f64>) -> Result<Found, String> {
    if numbers.len() > MAX_NUMBERS {
        let count = numbers.len();
        return Err(format!(
            "the query returned {count} values, at most {MAX_NUMBERS} are read: take a larger step"
        ));
    }
    let texts: Vec<String> = numbers.iter().copied().map(shown).collect();
    Ok(Found {
        text: format!("[{}]", texts.join(",")),
        reading: Reading::Numbers(numbers),
    })
}

fn query(metric: &PrometheusMetric) -> Result<&str, ProviderError> {
    let query = metric.query.as_deref().filter(|query| !query.trim().is_empty());
    query.ok_or_else(|| invalid("query", "is empty: give a PromQL query"))
}

fn checked(address: &str) -> Result<(), ProviderError> {
    check_address(address, EXAMPLE).map_err(|problem| invalid("address", &problem))
}

fn timeout(metric: &PrometheusMetric) -> Result<Duration, ProviderError> {
    shared::timeout(metric.timeout.unwrap_or(DEFAULT_TIMEOUT_SECS)).map_err(|problem| invalid("timeout", &problem))
}

fn headers(metric: &PrometheusMetric) -> Result<Vec<(String, String)>, ProviderError> {
    let own = ["content-type"];
    let given = shared::headers(metric.headers.as_ref(), &own).map_err(|(field, problem)| invalid(&field, &problem))?;
    let form = (
        "Content-Type".to_owned(),
        "application/x-www-form-urlencoded".to_owned(),
    );
    let mut headers: Vec<_> = std::iter::once(form).chain(given).collect();
    let Some(authentication) = &metric.authentication else {
        return Ok(headers);
    };
    for (name, given) in ways(authentication) {
        if given && has_header(&headers, "authorization") {
            let field = format!("authentication.{name}");
            return Err(invalid(&field, "and a header Authorization exclude each other"));
        }
    }
    if let Some(basic) = &authentication.basic_auth {
        headers.push(("Authorization".to_owned(), basic_authorization(basic)?));
    }
    Ok(headers)
}

/// The ways to prove who asks, and which of them are given.
fn ways(authentication: &Authentication) -> [(&'static str, bool); 3] {
    [
        ("basicAuth", authentication.basic_auth.is_some()),
        ("oauth2", authentication.oauth2.is_some()),
        ("sigv4", authentication.sigv4.is_some()),
    ]
}

fn authentication_problems(authentication: &Authentication) -> Vec<ProviderError> {
    let mut problems = Vec::new();
    let given = ways(authentication)
        .into_iter()
        .filter(|(_, given)| *given)
        .map(|(name, _)| name);
    let given: Vec<&str> = given.collect();
    if given.len() > 1 {
        let problem = format!("has {}: give one of them", given.join(" and "));
        problems.push(invalid("authentication", &problem));
    }
    problems.extend(
        authentication
            .oauth2
            .iter()
            .flat_map(|config| oauth2::problems("prometheus", config)),
    );
    if let Some(config) = &authentication.sigv4
        && non_empty(config.profile.as_ref()).is_some()
    {
        let problem = "there are no files with profiles in the controller: use roleArn, or the controller's own role";
        problems.push(invalid("authentication.sigv4.profile", problem));
    }
    problems
}

fn basic_authorization(basic: &BasicAuth) -> Result<String, ProviderError> {
    let (user, password) = (
        non_empty(basic.username.as_ref()),
        basic.password.as_deref().unwrap_or_default(),
    );
    let user = user.ok_or_else(|| invalid("authentication.basicAuth.username", "is empty"))?;
    if user.contains(':') {
        return Err(invalid("authentication.basicAuth.username", "must not contain a colon"));
    }
    Ok(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

fn range_form(now: Timestamp, range: &PrometheusRangeQuery) -> Result<[(&'static str, String); 3], ProviderError> {
    let at = |field: &str, source: &Option<String>| {
        let source = non_empty(source.as_ref())
            .ok_or_else(|| invalid(&format!("rangeQuery.{field}"), "is empty: give for example now()"))?;
        time::evaluate(now, source).map_err(|problem| invalid(&format!("rangeQuery.{field}"), &problem))
    };
    let (start, end) = (at("start", &range.start)?, at("end", &range.end)?);
    if start > end {
        return Err(invalid("rangeQuery", "start is later than end"));
    }
    let step = non_empty(range.step.as_ref())
        .ok_or_else(|| invalid("rangeQuery.step", "is empty: give a duration such as 1m"))?;
    let step = duration::parse(step).map_err(|problem| invalid("rangeQuery.step", &problem.to_string()))?;
    if step.as_millis() < 1 {
        return Err(invalid("rangeQuery.step", "must be at least 1ms"));
    }
    Ok([
        ("start", seconds(start.as_millisecond())),
        ("end", seconds(end.as_millisecond())),
        ("step", seconds(i64::try_from(step.as_millis()).unwrap_or(i64::MAX))),
    ])
}

/// Milliseconds as seconds with three decimals.
fn seconds(millis: i64) -> String {
    let sign = if millis < 0 { "-" } else { "" };
    let millis = millis.unsigned_abs();
    format!("{sign}{}.{:03}", millis / 1000, millis % 1000)
}

fn invalid(field: &str, problem: &str) -> ProviderError {
    shared::invalid("prometheus", field, problem)
}

#[cfg(test)]
mod tests;
