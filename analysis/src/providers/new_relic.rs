//! New Relic: NRQL queries through `NerdGraph`, its GraphQL API.
//!
//! A query has a list of results, and each is a map from what was selected to its value. One result is measured as a map,
//! several as a list of maps, as in Argo Rollouts.

use std::time::Duration;

use serde_json::{Map, Value, json};
use sluice_crds::NewRelicMetric;

use super::account::Account;
use super::shared::{invalid, non_empty};
use super::talk::{Once, Talk};
use super::{Context, Found, Needs, Provider, ProviderError, answer, graphql};
use crate::HttpResponse;

const NAME: &str = "newRelic";
const SERVER: &str = "New Relic";
/// The Secret with the account where a metric names none, as in Argo Rollouts.
const SECRET: &str = "newrelic";
const API_KEY: &str = "personal-api-key";
const ACCOUNT_ID: &str = "account-id";
const REGION: &str = "region";
const NERDGRAPH: &str = "base-url-nerdgraph";
/// Time-out where a metric gives none. New Relic itself gives up after 5 s then.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// What an answer takes beside the query.
const MARGIN: Duration = Duration::from_secs(10);
/// Longest query, in seconds: the limit of New Relic itself for queries that are not asynchronous is below it.
const MAX_TIMEOUT_SECS: i64 = 120;
const QUERY: &str =
    "query($account: Int!, $nrql: Nrql!) { actor { account(id: $account) { nrql(query: $nrql) { results } } } }";
const QUERY_WITH_TIMEOUT: &str = "query($account: Int!, $nrql: Nrql!, $timeout: Seconds) { actor { account(id: $account) { nrql(query: $nrql, \
     timeout: $timeout) { results } } } }";

impl Provider for NewRelicMetric {
    fn problems(&self) -> Vec<ProviderError> {
        let mut problems = Vec::new();
        problems.extend(query(self).err());
        problems.extend(timeout(self).err());
        problems.extend(account(self).check("profile").err());
        problems
    }

    fn add_needs(&self, needs: &mut Needs) {
        account(self).add_needs(needs, &[API_KEY], &[ACCOUNT_ID, REGION, NERDGRAPH]);
    }

    fn talk(&self, context: &Context<'_>) -> Result<Box<dyn Talk>, ProviderError> {
        let account = account(self);
        account.check("profile")?;
        let key = account.value(context, API_KEY)?;
        let wrong = |key: &str, problem: &str| {
            let problem = format!("Secret `{}` with key `{key}` {problem}", account.secret);
            invalid(NAME, "", &problem)
        };
        let id: u32 = account
            .value(context, ACCOUNT_ID)?
            .parse()
            .map_err(|_| wrong(ACCOUNT_ID, "is no number of an account"))?;
        let url = if let Some(url) = account.optional(context, NERDGRAPH)? {
            account.address(&url, NERDGRAPH, "https://api.newrelic.com/graphql")?
        } else {
            let region = account.optional(context, REGION)?.unwrap_or_default();
            endpoint(&region)
                .ok_or_else(|| wrong(REGION, "must be us, eu, jp or staging"))?
                .to_owned()
        };
        let mut variables = json!({"account": id, "nrql": query(self)?});
        let timeout = timeout(self)?;
        let (text, patience) = match timeout {
            None => (QUERY, DEFAULT_TIMEOUT),
            Some(timeout) => {
                variables["timeout"] = json!(timeout.as_secs());
                (QUERY_WITH_TIMEOUT, timeout + MARGIN)
            }
        };
        let mut request = graphql::request(url, text, &variables, patience);
        request.headers.push(("API-Key".to_owned(), key));
        Ok(Box::new(Once { request, read }))
    }
}

fn query(metric: &NewRelicMetric) -> Result<&str, ProviderError> {
    match metric.query.trim() {
        "" => Err(invalid(NAME, "query", "is empty: give a NRQL query")),
        query => Ok(query),
    }
}

fn timeout(metric: &NewRelicMetric) -> Result<Option<Duration>, ProviderError> {
    match metric.timeout {
        None => Ok(None),
        Some(secs @ 1..=MAX_TIMEOUT_SECS) => Ok(Some(Duration::from_secs(secs.unsigned_abs()))),
        Some(secs) => {
            let problem = format!("is {secs}, it must be between 1 and {MAX_TIMEOUT_SECS} seconds");
            Err(invalid(NAME, "timeout", &problem))
        }
    }
}

fn account(metric: &NewRelicMetric) -> Account<'_> {
    Account {
        provider: NAME,
        secret: non_empty(metric.profile.as_ref()).unwrap_or(SECRET),
    }
}

/// `NerdGraph` in a region.
fn endpoint(region: &str) -> Option<&'static str> {
    match region.to_ascii_lowercase().as_str() {
        "" | "us" => Some("https://api.newrelic.com/graphql"),
        "eu" => Some("https://api.eu.newrelic.com/graphql"),
        "jp" => Some("https://api.jp.newrelic.com/graphql"),
        "staging" => Some("https://staging-api.newrelic.com/graphql"),
        _ => None,
    }
}

/// The results of a query. Where nothing was measured in any of them, New Relic knows nothing.
fn read(response: &HttpResponse) -> Result<Found, String> {
    let mut data = graphql::data(SERVER, response)?;
    let results = data.pointer_mut("/actor/account/nrql/results").map(Value::take);
    let Some(Value::Array(mut results)) = results else {
        return Err(
            "the answer of New Relic has no results: does the account exist, and may the key read it?".to_owned(),
        );
    };
    if !results.iter().all(Value::is_object) {
        return Err("the answer of New Relic has a result that is no map".to_owned());
    }
    let knows_nothing = results
        .iter()
        .filter_map(Value::as_object)
        .all(|fields| !fields.iter().any(|(name, value)| is_measured(fields, name, value)));
    let result = match results.len() {
        1 => results.swap_remove(0),
        _ => Value::Array(results),
    };
    if knows_nothing {
        return Ok(answer::nothing(&result.to_string()));
    }
    answer::value(result)
}

/// Whether a field of a result says what was measured, rather than of what (`FACET`) and when (`TIMESERIES`).
fn is_measured(fields: &Map<String, Value>, name: &str, value: &Value) -> bool {
    let facet = fields.get("facet");
    let is_facet = match facet {
        Some(Value::Array(facets)) => facets.contains(value),
        facet => facet == Some(value),
    };
    let is_label = ["facet", "beginTimeSeconds", "endTimeSeconds", "inspectedCount"].contains(&name);
    !value.is_null() && !is_label && !is_facet
}

#[cfg(test)]
mod tests;
