//! `CloudWatch`: `GetMetricData` of AWS, in its JSON protocol.
//!
//! `result` is the list of results as AWS names their fields, as in Argo Rollouts: `result[0].Values[0]`, `result[0].Id`,
//! `result[0].Label`, `result[0].StatusCode`. The newest value comes first. Times in `Timestamps` are seconds since 1970.
//!
//! An answer may come in pages, which are put together. Data that AWS itself calls incomplete are no evidence.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sluice_crds::{CloudWatchMetric, CloudWatchMetricStat, CloudWatchQuery, IntOrString};

use super::shared::{self, non_empty, quoted};
use super::talk::{Say, Talk};
use super::{Context, Found, Provider, ProviderError, aws};
use crate::args::is_open;
use crate::conditions::{MAX_NUMBERS, Reading};
use crate::{HttpRequest, HttpResponse};

const NAME: &str = "cloudWatch";
const SERVICE: &str = "monitoring";
/// Length of the time range where a metric gives none, as in Argo Rollouts.
const DEFAULT_INTERVAL: SignedDuration = SignedDuration::from_mins(5);
const TIMEOUT: Duration = Duration::from_secs(30);
/// Most queries that AWS takes at once.
const MAX_QUERIES: usize = 500;
/// Most pages of one answer. A page has up to 100,800 values; more than one is rare.
const MAX_PAGES: usize = 5;

impl Provider for CloudWatchMetric {
    fn problems(&self) -> Vec<ProviderError> {
        let mut problems = Vec::new();
        if !self.interval.as_deref().is_some_and(is_open) {
            problems.extend(interval(self).err());
        }
        let queries = &self.metric_data_queries;
        if queries.is_empty() {
            problems.push(invalid("metricDataQueries", "is empty: give at least one query"));
        } else if queries.len() > MAX_QUERIES {
            let problem = format!("has {} queries, AWS takes at most {MAX_QUERIES}", queries.len());
            problems.push(invalid("metricDataQueries", &problem));
        } else if queries.iter().all(|query| query.return_data == Some(false)) {
            problems.push(invalid(
                "metricDataQueries",
                "no query returns data: leave returnData out in one of them",
            ));
        }
        for (at, query) in queries.iter().enumerate() {
            let at = |field: &str| format!("metricDataQueries[{at}]{field}");
            if non_empty(query.id.as_ref()).is_none() {
                problems.push(invalid(&at(".id"), "is empty: each query needs a name of its own"));
            } else if queries.iter().filter(|other| other.id == query.id).count() > 1 {
                problems.push(invalid(&at(".id"), "is the id of another query too"));
            }
            match (non_empty(query.expression.as_ref()), &query.metric_stat) {
                (Some(_), None) => {}
                (None, Some(stat)) => problems.extend(stat_problems(&at(".metricStat"), stat)),
                _ => problems.push(invalid(&at(""), "give one of expression and metricStat")),
            }
            if let Some(given) = &query.period {
                problems.extend(period(given).err().map(|problem| invalid(&at(".period"), &problem)));
            }
        }
        problems
    }

    fn talk(&self, context: &Context<'_>) -> Result<Box<dyn Talk>, ProviderError> {
        if let Some(problem) = self.problems().into_iter().next() {
            return Err(problem);
        }
        let interval = interval(self)?;
        let account = aws::Account::default();
        let region = aws::region(&account, context.environment).map_err(|problem| invalid("", &problem))?;
        let returns = |query: &&CloudWatchQuery| query.return_data != Some(false);
        let pages = Pages {
            url: aws::endpoint(SERVICE, &region),
            question: question(self, interval, context.now),
            wanted: self
                .metric_data_queries
                .iter()
                .filter(returns)
                .filter_map(|query| query.id.clone())
                .collect(),
            heard: 0,
            results: Vec::new(),
        };
        let signed = aws::Signed::new(SERVICE, account, context.environment, Box::new(pages));
        Ok(Box::new(signed.map_err(|problem| invalid("", &problem))?))
    }
}

fn stat_problems(at: &str, stat: &CloudWatchMetricStat) -> Vec<ProviderError> {
    let metric = stat.metric.as_ref();
    let mut problems = Vec::new();
    if metric
        .and_then(|metric| non_empty(metric.metric_name.as_ref()))
        .is_none()
    {
        problems.push(invalid(&format!("{at}.metric.metricName"), "is empty"));
    }
    if non_empty(stat.stat.as_ref()).is_none() {
        problems.push(invalid(&format!("{at}.stat"), "is empty: give for example Sum"));
    }
    let given = stat.period.as_ref().ok_or_else(|| "is empty: give seconds".to_owned());
    problems.extend(
        given
            .and_then(period)
            .err()
            .map(|problem| invalid(&format!("{at}.period"), &problem)),
    );
    problems
}

/// A period in seconds; none where it still has an argument.
fn period(given: &IntOrString) -> Result<Option<i32>, String> {
    let (number, shown) = match given {
        IntOrString::String(text) if is_open(text) => return Ok(None),
        IntOrString::String(text) => (text.trim().parse().ok(), crate::text::excerpt(text)),
        IntOrString::Int(number) => (Some(*number), number.to_string()),
    };
    match number {
        Some(1..) => Ok(number),
        _ => Err(format!("is `{shown}`, it must be seconds, for example 300")),
    }
}

fn interval(metric: &CloudWatchMetric) -> Result<SignedDuration, ProviderError> {
    shared::interval(metric.interval.as_ref(), DEFAULT_INTERVAL).map_err(|problem| invalid("interval", &problem))
}

fn invalid(field: &str, problem: &str) -> ProviderError {
    shared::invalid(NAME, field, problem)
}

/// The question of the first page, over the time up to `now`. What a query does not give is not sent.
fn question(metric: &CloudWatchMetric, interval: SignedDuration, now: Timestamp) -> Map<String, Value> {
    let end = now.as_second();
    let queries: Vec<Value> = metric.metric_data_queries.iter().map(query).collect();
    given([
        ("StartTime", Some(json!(end.saturating_sub(interval.as_secs())))),
        ("EndTime", Some(json!(end))),
        ("MetricDataQueries", Some(Value::Array(queries))),
    ])
}

fn query(query: &CloudWatchQuery) -> Value {
    Value::Object(given([
        ("Id", text(query.id.as_ref())),
        ("Expression", text(query.expression.as_ref())),
        ("Label", text(query.label.as_ref())),
        ("MetricStat", query.metric_stat.as_ref().map(stat)),
        ("Period", seconds(query.period.as_ref())),
        ("ReturnData", query.return_data.map(Value::Bool)),
    ]))
}

fn stat(stat: &CloudWatchMetricStat) -> Value {
    let metric = stat.metric.as_ref().map(|metric| {
        let dimensions = metric.dimensions.as_ref().map(|dimensions| {
            dimensions
                .iter()
                .map(|one| json!({"Name": one.name, "Value": one.value}))
                .collect()
        });
        Value::Object(given([
            ("Namespace", text(metric.namespace.as_ref())),
            ("MetricName", text(metric.metric_name.as_ref())),
            ("Dimensions", dimensions),
        ]))
    });
    Value::Object(given([
        ("Metric", metric),
        ("Period", seconds(stat.period.as_ref())),
        ("Stat", text(stat.stat.as_ref())),
        ("Unit", text(stat.unit.as_ref())),
    ]))
}

fn text(text: Option<&String>) -> Option<Value> {
    non_empty(text).map(Value::from)
}

fn seconds(given: Option<&IntOrString>) -> Option<Value> {
    period(given?).ok().flatten().map(Value::from)
}

fn given<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

/// One answer, which may have several pages.
struct Pages {
    url: String,
    question: Map<String, Value>,
    /// The queries that must have a result.
    wanted: Vec<String>,
    heard: usize,
    results: Vec<Series>,
}

/// A page of the answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    metric_data_results: Vec<Series>,
    next_token: Option<String>,
    #[serde(default)]
    messages: Vec<Message>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    #[serde(default)]
    code: String,
    #[serde(default)]
    value: String,
}

/// What one query returned.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Series {
    id: String,
    #[serde(default)]
    label: String,
    status_code: Option<String>,
    #[serde(default)]
    timestamps: Vec<Value>,
    values: Vec<Value>,
    #[serde(default)]
    messages: Vec<Value>,
}

impl Pages {
    fn request(&self) -> HttpRequest {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        HttpRequest {
            method: "POST",
            url: self.url.clone(),
            headers: vec![
                header("Content-Type", "application/x-amz-json-1.0"),
                header("X-Amz-Target", "GraniteServiceVersion20100801.GetMetricData"),
            ],
            body: Some(Value::Object(self.question.clone()).to_string()),
            timeout: TIMEOUT,
            insecure: false,
            body_limit: shared::BODY_LIMIT,
        }
    }

    /// Adds a page. A query's values go on where the page before ended, and its newest state holds.
    fn add(&mut self, page: Vec<Series>) {
        for series in page {
            let same = |known: &&mut Series| known.id == series.id && known.label == series.label;
            match self.results.iter_mut().find(same) {
                Some(known) => {
                    known.values.extend(series.values);
                    known.timestamps.extend(series.timestamps);
                    known.messages.extend(series.messages);
                    known.status_code = series.status_code;
                }
                None => self.results.push(series),
            }
        }
    }

    /// The whole answer.
    fn found(&mut self) -> Result<Found, String> {
        let results = std::mem::take(&mut self.results);
        for series in &results {
            series.check()?;
        }
        let answered = |wanted: &&String| results.iter().any(|series| series.id == **wanted);
        if let Some(missing) = self.wanted.iter().find(|wanted| !answered(wanted))
            && !results.is_empty()
        {
            return Err(format!("CloudWatch has no result for the query `{}`", quoted(missing)));
        }
        let text = results
            .iter()
            .map(|series| Value::from(series.values.clone()))
            .collect::<Value>()
            .to_string();
        let reading = Reading::json(results.into_iter().map(Series::into_json).collect());
        let reading = reading.ok_or_else(|| {
            format!("the queries returned more than {MAX_NUMBERS} values: take a longer period or a shorter interval")
        })?;
        Ok(Found { text, reading })
    }
}

impl Talk for Pages {
    fn start(&mut self, _now: Timestamp) -> Result<Say, String> {
        Ok(Say::Send(self.request()))
    }

    fn hear(&mut self, _now: Timestamp, response: &HttpResponse) -> Result<Say, String> {
        if !shared::is_success(response.status) {
            return Err(refused(response));
        }
        let page: Page =
            serde_json::from_slice(&response.body).map_err(|_| "the answer is not that of CloudWatch GetMetricData")?;
        if let Some(Message { code, value }) = page.messages.first() {
            return Err(format!(
                "CloudWatch did not answer in full: {} {}",
                quoted(code),
                quoted(value)
            ));
        }
        self.add(page.metric_data_results);
        self.heard += 1;
        match page.next_token.filter(|token| !token.is_empty()) {
            None => self.found().map(Say::Found),
            Some(_) if self.heard >= MAX_PAGES => Err(format!(
                "the answer of CloudWatch has more than {MAX_PAGES} pages: take a longer period or a shorter interval"
            )),
            Some(token) => {
                self.question.insert("NextToken".to_owned(), Value::String(token));
                Ok(Say::Send(self.request()))
            }
        }
    }
}

impl Series {
    /// Whether AWS calls it complete, and all values are numbers. JSON has no NaN: AWS writes it as a text.
    fn check(&self) -> Result<(), String> {
        let id = quoted(&self.id);
        match self.status_code.as_deref() {
            Some("Complete") => {}
            Some(other) => {
                return Err(format!(
                    "CloudWatch calls the data of the query `{id}` {}",
                    quoted(other)
                ));
            }
            None => {
                return Err(format!(
                    "CloudWatch does not say whether the data of the query `{id}` are complete"
                ));
            }
        }
        let number =
            |value: &Value| value.is_number() || matches!(value.as_str(), Some("NaN" | "Infinity" | "-Infinity"));
        if self.values.iter().all(number) {
            Ok(())
        } else {
            Err(format!("the query `{id}` has a value that is no number"))
        }
    }

    fn into_json(self) -> Value {
        json!({
            "Id": self.id, "Label": self.label, "StatusCode": self.status_code, "Timestamps": self.timestamps,
            "Values": self.values, "Messages": self.messages,
        })
    }
}

/// What AWS says is wrong. Its message is only shown where it is about the query: others may hold what was signed.
fn refused(response: &HttpResponse) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(rename = "__type")]
        kind: Option<String>,
        #[serde(alias = "Message")]
        message: Option<String>,
    }
    let status = response.status;
    let refusal: Option<Refusal> = serde_json::from_slice(&response.body).ok();
    let (kind, message) = refusal.map_or((None, None), |refusal| (refusal.kind, refusal.message));
    let kind = kind.as_deref().unwrap_or_default();
    let kind = kind.rsplit('#').next().unwrap_or_default();
    if kind.is_empty() || !kind.chars().all(|c| c.is_ascii_alphanumeric()) {
        return shared::refused("CloudWatch", status);
    }
    let about_query = ["InvalidParameter", "MissingRequiredParameter", "Validation"];
    let message = message.filter(|_| about_query.iter().any(|begin| kind.starts_with(begin)));
    let message = message.map(|text| format!(": {}", quoted(&text))).unwrap_or_default();
    format!("CloudWatch answered {status} ({kind}){message}")
}

#[cfg(test)]
mod tests;
