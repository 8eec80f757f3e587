//! Kayenta: Spinnaker's canary judge compares the new version with the old one, and says a score from 0 to 100.
//!
//! Three kinds of requests: the id of the configuration is looked up by its name, a judgement is asked for, and its result is
//! asked for until it is there. The score and the thresholds of the metric make the verdict; the metric's conditions have no
//! part in it, as in Argo Rollouts.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sluice_crds::{AnalysisPhase, KayentaMetric, KayentaScopeDetail};

use super::shared::{self, check_address, invalid, quoted, refused, shown};
use super::talk::{Say, Talk};
use super::{Context, Provider, ProviderError};
use crate::args::is_open;
use crate::{HttpRequest, HttpResponse};

const NAME: &str = "kayenta";
/// As in Argo Rollouts.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Time between two questions for the result, as in Argo Rollouts.
const PAUSE: Duration = Duration::from_secs(15);

impl Provider for KayentaMetric {
    fn problems(&self) -> Vec<ProviderError> {
        let mut problems = Vec::new();
        let mut add = |field: &str, problem: &str| problems.push(invalid(NAME, field, problem));
        if !is_open(&self.address)
            && let Err(problem) = check_address(&self.address, "https://kayenta.example.com")
        {
            add("address", &problem);
        }
        for (field, text) in [
            ("application", &self.application),
            ("canaryConfigName", &self.canary_config_name),
        ] {
            if text.is_empty() {
                add(field, "is empty");
            }
        }
        let (pass, marginal) = (self.threshold.pass, self.threshold.marginal);
        if !(1..=100).contains(&pass) {
            add("threshold.pass", &format!("is {pass}, it must be between 1 and 100"));
        } else if !(0..=pass).contains(&marginal) {
            let problem = format!("is {marginal}, it must be between 0 and pass");
            add("threshold.marginal", &problem);
        }
        if self.scopes.is_empty() {
            add("scopes", "is empty: give at least one");
        }
        for (at, scope) in self.scopes.iter().enumerate() {
            if scope.name.is_empty() {
                add(&format!("scopes[{at}].name"), "is empty: give for example default");
            } else if self.scopes.iter().filter(|other| other.name == scope.name).count() > 1 {
                add(&format!("scopes[{at}].name"), "is the name of another scope too");
            }
            for (side, detail) in [
                ("controlScope", &scope.control_scope),
                ("experimentScope", &scope.experiment_scope),
            ] {
                for (field, problem) in detail_problems(detail) {
                    add(&format!("scopes[{at}].{side}.{field}"), &problem);
                }
            }
        }
        problems
    }

    fn talk(&self, _context: &Context<'_>) -> Result<Box<dyn Talk>, ProviderError> {
        match self.problems().into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(Box::new(Judgement {
                metric: self.clone(),
                stage: Stage::Config,
            })),
        }
    }
}

fn detail_problems(detail: &KayentaScopeDetail) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    if detail.scope.is_empty() {
        problems.push(("scope", "is empty".to_owned()));
    }
    if detail.step < 1 {
        problems.push(("step", format!("is {}, it must be at least 1 second", detail.step)));
    }
    if detail.start.is_empty() {
        let problem = "is empty: give a time such as 2026-01-02T03:04:05Z, for example by {{args.start-time}}";
        problems.push(("start", problem.to_owned()));
    }
    let time = |text: &str| text.parse::<Timestamp>().ok();
    for (field, text) in [("start", &detail.start), ("end", &detail.end)] {
        if !text.is_empty() && !is_open(text) && time(text).is_none() {
            let problem = format!(
                "`{}` is no time such as 2026-01-02T03:04:05Z",
                crate::text::excerpt(text)
            );
            problems.push((field, problem));
        }
    }
    if let (Some(start), Some(end)) = (time(&detail.start), time(&detail.end))
        && start >= end
    {
        problems.push(("end", "must be later than start".to_owned()));
    }
    problems
}

/// One judgement.
struct Judgement {
    metric: KayentaMetric,
    stage: Stage,
}

/// What was asked for last.
enum Stage {
    /// The list of configurations.
    Config,
    /// A judgement.
    Begin,
    /// The result of the judgement that has this id.
    Result(String),
}

impl Talk for Judgement {
    fn start(&mut self, _now: Timestamp) -> Result<Say, String> {
        let metric = &self.metric;
        let query = [
            ("application", &metric.application),
            ("configurationAccountName", self.configuration_account()),
        ];
        Ok(Say::Send(self.request("canaryConfig", &query, None)))
    }

    fn hear(&mut self, now: Timestamp, response: &HttpResponse) -> Result<Say, String> {
        if !shared::is_success(response.status) {
            return Err(refusal(response));
        }
        match &self.stage {
            Stage::Config => {
                let id = self.config_id(response)?;
                self.stage = Stage::Begin;
                let metric = &self.metric;
                let query = [
                    ("application", &metric.application),
                    ("metricsAccountName", &metric.metrics_account_name),
                    ("configurationAccountName", self.configuration_account()),
                    ("storageAccountName", &metric.storage_account_name),
                ];
                let body = Some(begin(metric, now)?);
                Ok(Say::Send(self.request(&format!("canary/{id}"), &query, body)))
            }
            Stage::Begin => {
                #[derive(Deserialize)]
                #[serde(rename_all = "camelCase")]
                struct Begun {
                    canary_execution_id: String,
                }
                let begun: Begun = read(response)?;
                self.stage = Stage::Result(segment(&begun.canary_execution_id)?);
                self.ask_again()
            }
            Stage::Result(_) => match judged(&read(response)?, &self.metric)? {
                Some(judged) => Ok(judged),
                None => self.ask_again(),
            },
        }
    }
}

impl Judgement {
    /// The account of the configurations; where there is none, that of the results, which may hold both.
    fn configuration_account(&self) -> &String {
        if self.metric.configuration_account_name.is_empty() {
            &self.metric.storage_account_name
        } else {
            &self.metric.configuration_account_name
        }
    }

    /// What is empty in the query is not sent: Kayenta has defaults for accounts.
    fn request(&self, path: &str, query: &[(&str, &String)], body: Option<String>) -> HttpRequest {
        let given = query.iter().filter(|(_, value)| !value.is_empty());
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(given)
            .finish();
        let mark = if query.is_empty() { "" } else { "?" };
        let header = |name: &str| (name.to_owned(), "application/json".to_owned());
        HttpRequest {
            method: if body.is_some() { "POST" } else { "GET" },
            url: format!("{}/{path}{mark}{query}", self.metric.address.trim_end_matches('/')),
            headers: body
                .as_ref()
                .map(|_| header("Content-Type"))
                .into_iter()
                .chain([header("Accept")])
                .collect(),
            body,
            timeout: TIMEOUT,
            insecure: false,
            body_limit: shared::BODY_LIMIT,
        }
    }

    fn ask_again(&self) -> Result<Say, String> {
        let Stage::Result(id) = &self.stage else {
            return Err("no judgement was begun".to_owned());
        };
        let query = [("storageAccountName", &self.metric.storage_account_name)];
        let request = self.request(&format!("canary/{id}"), &query, None);
        Ok(Say::SendAfter(PAUSE, request))
    }

    fn config_id(&self, response: &HttpResponse) -> Result<String, String> {
        #[derive(Deserialize)]
        struct Config {
            id: String,
            name: String,
        }
        let name = &self.metric.canary_config_name;
        let configs: Vec<Config> = read(response)?;
        let mut ids: Vec<&str> = configs
            .iter()
            .filter(|config| config.name == *name)
            .map(|config| config.id.as_str())
            .collect();
        ids.dedup();
        match ids.as_slice() {
            [id] => segment(id),
            [] => Err(format!(
                "Kayenta has no configuration `{}` for this application",
                quoted(name)
            )),
            _ => Err(format!("Kayenta has several configurations `{}`", quoted(name))),
        }
    }
}

/// The body that begins a judgement. A range without an end ends now.
fn begin(metric: &KayentaMetric, now: Timestamp) -> Result<String, String> {
    let detail = |detail: &KayentaScopeDetail| {
        let time = |text: &str| {
            text.parse::<Timestamp>()
                .map_err(|_| format!("`{}` is no time", quoted(text)))
        };
        let start = time(&detail.start)?;
        let end = if detail.end.is_empty() { now } else { time(&detail.end)? };
        if start >= end {
            return Err("the time range of a scope ends before it begins".to_owned());
        }
        Ok(json!({
            "scope": detail.scope, "region": detail.region, "step": detail.step,
            "start": start.to_string(), "end": end.to_string(),
        }))
    };
    let mut scopes = Map::new();
    for scope in &metric.scopes {
        let both = json!({
            "controlScope": detail(&scope.control_scope)?, "experimentScope": detail(&scope.experiment_scope)?,
        });
        scopes.insert(scope.name.clone(), both);
    }
    let thresholds = json!({"pass": metric.threshold.pass, "marginal": metric.threshold.marginal});
    Ok(json!({"scopes": scopes, "thresholds": thresholds}).to_string())
}

fn read<T: for<'de> Deserialize<'de>>(response: &HttpResponse) -> Result<T, String> {
    serde_json::from_slice(&response.body)
        .map_err(|_| "the answer is not that of Kayenta: is the address right?".to_owned())
}

/// An id of the server as part of a path: one that could lead elsewhere is none.
fn segment(id: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    if id.chars().all(plain) && id.chars().any(|c| c.is_ascii_alphanumeric()) {
        Ok(id.to_owned())
    } else {
        Err(format!("`{}` of Kayenta is no id", quoted(&crate::text::excerpt(id))))
    }
}

/// How a judgement stands.
#[derive(Deserialize)]
struct Standing {
    complete: bool,
    status: Option<String>,
    result: Option<Value>,
}

/// The verdict; none while there is no result.
fn judged(standing: &Standing, metric: &KayentaMetric) -> Result<Option<Say>, String> {
    if !standing.complete {
        return Ok(None);
    }
    if let Some(status) = standing
        .status
        .as_deref()
        .filter(|status| !status.eq_ignore_ascii_case("succeeded"))
    {
        return Err(format!("the judgement of Kayenta ended as {}", quoted(status)));
    }
    let score = standing.result.as_ref().map(|result| &result["judgeResult"]["score"]);
    let score = score.ok_or("the judgement of Kayenta has no result")?;
    if score["classification"]
        .as_str()
        .is_some_and(|class| class.eq_ignore_ascii_case("nodata"))
    {
        return Err("Kayenta had no data to judge".to_owned());
    }
    let score = score["score"].as_f64().ok_or("the judgement of Kayenta has no score")?;
    if !(0.0..=100.0).contains(&score) {
        return Err(format!(
            "the score of Kayenta is {}, it must be between 0 and 100",
            shown(score)
        ));
    }
    let (pass, marginal) = (metric.threshold.pass, metric.threshold.marginal);
    #[expect(clippy::cast_precision_loss, reason = "thresholds are between 0 and 100")]
    let reaches = |threshold: i64| score >= threshold as f64;
    let phase = if reaches(pass) {
        AnalysisPhase::Successful
    } else if reaches(marginal) {
        AnalysisPhase::Inconclusive
    } else {
        AnalysisPhase::Failed
    };
    Ok(Some(Say::Judged {
        phase,
        value: Some(shown(score)),
        message: None,
    }))
}

/// What Kayenta says is wrong: a body of Spring, `{"status": 400, "error": "Bad Request", "message": ".."}`.
fn refusal(response: &HttpResponse) -> String {
    let answer: Option<Value> = serde_json::from_slice(&response.body).ok();
    let said = answer.as_ref().and_then(|answer| answer["message"].as_str());
    match said.filter(|said| !said.is_empty()) {
        Some(said) => format!("Kayenta answered {}: {}", response.status, quoted(said)),
        None => refused("Kayenta", response.status),
    }
}

#[cfg(test)]
mod tests;
