//! Wavefront (`VMware` Aria Operations for Applications): its API for charts.
//!
//! The newest value at the time of the measurement is measured: a number, or a list with one number of each series where
//! there are several. Wavefront also gives values from long before; those are no data.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sluice_crds::WavefrontMetric;

use super::account::Account;
use super::shared::{self, invalid, non_empty, quoted};
use super::talk::{Once, Talk};
use super::{Context, Found, Needs, Provider, ProviderError, answer};
use crate::args::is_open;
use crate::{HttpRequest, HttpResponse};

const NAME: &str = "wavefront";
const SERVER: &str = "Wavefront";
/// The Secret with the tokens, as in Argo Rollouts: each under the address that it is for.
const SECRET: &str = "wavefront-api-tokens";
/// A query over some thousand series takes several seconds.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How far a value may be from the time of the measurement. Metrics that Wavefront fetches from cloud services come up to
/// ten minutes late.
const MAX_DRIFT_SECS: f64 = 900.0;

impl Provider for WavefrontMetric {
    fn problems(&self) -> Vec<ProviderError> {
        let mut problems = Vec::new();
        if !self.address.as_deref().is_some_and(is_open) {
            problems.extend(address(self).err());
        }
        problems.extend(query(self).err());
        problems
    }

    fn add_needs(&self, needs: &mut Needs) {
        if let Ok(address) = address(self) {
            ACCOUNT.add_needs(needs, &[address], &[]);
        }
    }

    fn talk(&self, context: &Context<'_>) -> Result<Box<dyn Talk>, ProviderError> {
        let address = address(self)?;
        let token = ACCOUNT.value(context, address)?;
        let now = context.now;
        let millis = now.as_second().saturating_mul(1000).to_string();
        // One point at the time of the measurement. `i` allows one from outside: there is hardly ever one in a moment.
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("q", query(self)?)
            .append_pair("s", &millis)
            .append_pair("e", &millis)
            .append_pair("g", "s")
            .append_pair("p", "1")
            .append_pair("i", "true")
            .finish();
        let request = HttpRequest {
            method: "GET",
            url: format!("https://{address}/api/v2/chart/api?{form}"),
            headers: vec![
                ("Accept".to_owned(), "application/json".to_owned()),
                ("Authorization".to_owned(), format!("Bearer {token}")),
            ],
            body: None,
            timeout: TIMEOUT,
            insecure: false,
            body_limit: shared::BODY_LIMIT,
        };
        Ok(Box::new(Once {
            request,
            read: move |response: &HttpResponse| read(now, response),
        }))
    }
}

const ACCOUNT: Account<'static> = Account {
    provider: NAME,
    secret: SECRET,
};

/// The host. It is also the key of the token, and a key of a Secret has no slashes and no colon.
fn address(metric: &WavefrontMetric) -> Result<&str, ProviderError> {
    let address = non_empty(metric.address.as_ref()).unwrap_or_default();
    let is_host = address.starts_with(|c: char| c.is_ascii_alphanumeric())
        && address
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
    if is_host {
        return Ok(address);
    }
    let problem = format!(
        "must be a host without https://, for example example.wavefront.com: it is also the key of the token in Secret `{SECRET}`"
    );
    Err(invalid(NAME, "address", &problem))
}

fn query(metric: &WavefrontMetric) -> Result<&str, ProviderError> {
    let query = metric.query.as_deref().map(str::trim).unwrap_or_default();
    if query.is_empty() {
        return Err(invalid(NAME, "query", "is empty: give a query such as ts(...)"));
    }
    Ok(query)
}

/// Wavefront's own words: about a query, or about the request.
fn said(answer: &Value) -> Option<String> {
    let words = [
        &answer["errorMessage"],
        &answer["errorType"],
        &answer["status"]["message"],
        &answer["message"],
    ];
    let mut texts = words.into_iter().filter_map(Value::as_str);
    texts.find(|text| !text.is_empty()).map(str::to_owned)
}

fn read(now: Timestamp, response: &HttpResponse) -> Result<Found, String> {
    let answer = answer::json(SERVER, response, said)?;
    let failed = !answer["errorType"].is_null() || !answer["errorMessage"].is_null();
    if failed {
        let said = said(&answer).unwrap_or_else(|| "it does not say why".to_owned());
        return Err(format!("Wavefront refused the query: {}", quoted(&said)));
    }
    // Without any series, the field is left out or null.
    let series = match &answer["timeseries"] {
        Value::Array(series) => series.as_slice(),
        Value::Null if answer.is_object() => &[],
        _ => return Err("the answer of Wavefront has no list of series: is the address right?".to_owned()),
    };
    let values = series
        .iter()
        .map(|series| newest(now, series))
        .collect::<Result<Vec<_>, _>>()?;
    match values.as_slice() {
        [] | [None] => Ok(answer::nothing("[]")),
        [Some(value)] => Ok(answer::number(*value)),
        // A series without a value keeps its place in the list.
        values => answer::numbers(values.iter().map(|value| value.unwrap_or(f64::NAN)).collect()),
    }
}

/// The value of a series nearest to `now`; none where all are too far away.
fn newest(now: Timestamp, series: &Value) -> Result<Option<f64>, String> {
    const WRONG: &str = "the answer of Wavefront has a point that is not a time and a number";
    let points = match &series["data"] {
        Value::Array(points) => points.as_slice(),
        Value::Null if series.is_object() => &[],
        _ => return Err("the answer of Wavefront has a series without data".to_owned()),
    };
    let now = now.as_duration().as_secs_f64();
    let mut nearest: Option<(f64, f64)> = None;
    for point in points {
        let Some([time, value]) = point.as_array().map(Vec::as_slice) else {
            return Err(WRONG.to_owned());
        };
        let value = match value {
            Value::String(text) => text.parse().ok(),
            value => value.as_f64(),
        };
        let (time, value) = time.as_f64().zip(value).ok_or(WRONG)?;
        let drift = (time - now).abs();
        if drift <= MAX_DRIFT_SECS && nearest.is_none_or(|(least, _)| drift < least) {
            nearest = Some((drift, value));
        }
    }
    Ok(nearest.map(|(_, value)| value))
}

#[cfg(test)]
mod tests;
