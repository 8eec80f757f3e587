//! A metric's limits and times as numbers, and everything that is wrong with a list of metrics.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use sluice_crds::{IntOrString, Metric};

use crate::args::is_open;
use crate::conditions::Conditions;
use crate::{duration, providers};

/// Errors in a row after which a metric ends, where it gives no limit: as in Argo Rollouts.
pub const DEFAULT_CONSECUTIVE_ERROR_LIMIT: i32 = 4;
/// Most metrics of one analysis. Their results share one object, which may have 1.5 MiB.
pub const MAX_METRICS: usize = 50;

/// When a metric is measured, and which results it may have, as numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many measurements to take; `None` is no end.
    pub count: Option<i32>,
    /// Time between two measurements.
    pub interval: Option<SignedDuration>,
    /// Time from the start of the run to the first measurement.
    pub initial_delay: SignedDuration,
    /// Most failures; `None` is any number.
    pub failure: Option<i32>,
    /// Most inconclusive measurements.
    pub inconclusive: i32,
    /// Most errors in a row.
    pub consecutive_error: i32,
    /// Successes in a row that are enough; `None` where that does not matter.
    pub consecutive_success: Option<i32>,
}

/// Something that is wrong with a metric.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", path_prefix(path))]
pub struct MetricProblem {
    /// Path below the analysis, for example `metrics[0].count`; empty where it is about all metrics.
    pub path: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

fn path_prefix(path: &str) -> String {
    if path.is_empty() {
        String::new()
    } else {
        format!("{path}: ")
    }
}

/// Whether nothing ends the measurements of a metric while they are good: a count that is an argument may.
pub fn is_endless(metric: &Metric) -> bool {
    let limits = read_limits(metric, &mut Vec::new());
    let has_open_count = metric.count.as_ref().is_some_and(is_open_int);
    limits.count.is_none() && limits.consecutive_success.is_none() && !has_open_count
}

/// Reads the limits of a metric whose arguments are filled in.
pub fn limits(metric: &Metric) -> Result<Limits, Vec<MetricProblem>> {
    let mut problems = Vec::new();
    let limits = read_limits(metric, &mut problems);
    if problems.is_empty() { Ok(limits) } else { Err(problems) }
}

/// All problems of the metrics of a template or a run, with the texts of Argo Rollouts. A value with an open `{{...}}`
/// is not looked at, nor what depends on it: call this again once the arguments are filled in.
pub fn problems(metrics: &[Metric]) -> Vec<MetricProblem> {
    if metrics.is_empty() {
        return vec![problem("metrics", "no metrics specified")];
    }
    let mut problems = Vec::new();
    if metrics.len() > MAX_METRICS {
        problems.push(problem(
            "metrics",
            &format!("has {} metrics, at most {MAX_METRICS} are served", metrics.len()),
        ));
    }
    let mut names = BTreeSet::new();
    for (at, metric) in metrics.iter().enumerate() {
        let path = format!("metrics[{at}]");
        if !names.insert(&metric.name) {
            problems.push(problem(&path, &format!("duplicate name '{}'", metric.name)));
        }
        problems.extend(metric_problems(metric).into_iter().map(|inner| inner.below(&path)));
    }
    problems
}

impl MetricProblem {
    fn below(self, path: &str) -> MetricProblem {
        let path = if self.path.is_empty() {
            path.to_owned()
        } else {
            format!("{path}.{}", self.path)
        };
        MetricProblem { path, ..self }
    }
}

fn metric_problems(metric: &Metric) -> Vec<MetricProblem> {
    let mut problems = Vec::new();
    if metric.name.is_empty() {
        problems.push(problem("name", "is empty"));
    }
    let limits = read_limits(metric, &mut problems);
    if problems.is_empty() && !is_any_open(metric) {
        let given = metric.count.as_ref().and_then(integer).filter(|count| *count != 0);
        check_limits(given, &limits, &mut problems);
    }
    let closed = |condition: &Option<String>| condition.clone().filter(|condition| !is_open(condition));
    let (success, failure) = (closed(&metric.success_condition), closed(&metric.failure_condition));
    for error in Conditions::parse(success.as_deref(), failure.as_deref())
        .err()
        .unwrap_or_default()
    {
        problems.push(problem(error.field.unwrap_or_default(), &error.problem.to_string()));
    }
    for error in providers::problems(metric) {
        problems.push(match error {
            providers::ProviderError::Invalid { path, problem } => MetricProblem { path, problem },
            unsupported @ providers::ProviderError::Unsupported(_) => problem("", &unsupported.to_string()),
        });
    }
    problems
}

/// Where something is wrong, the problem is added and the default holds.
fn read_limits(metric: &Metric, problems: &mut Vec<MetricProblem>) -> Limits {
    let mut int = |field: &str, value: &Option<IntOrString>| match value {
        None => None,
        Some(value) if is_open_int(value) => None,
        Some(value) => {
            let number = integer(value);
            if number.is_none() {
                problems.push(problem(field, &format!("`{}` is not an integer", shown(value))));
            }
            number
        }
    };
    // As in Argo Rollouts, 0 is as good as absent.
    let count = int("count", &metric.count).filter(|count| *count != 0);
    let failure = int("failureLimit", &metric.failure_limit).unwrap_or(0);
    let inconclusive = int("inconclusiveLimit", &metric.inconclusive_limit).unwrap_or(0);
    let consecutive_error = int("consecutiveErrorLimit", &metric.consecutive_error_limit);
    let consecutive_success = int("consecutiveSuccessLimit", &metric.consecutive_success_limit).unwrap_or(0);
    let mut time = |field: &str, name: &str, value: &Option<String>| {
        let value = value.as_deref().filter(|value| !value.is_empty() && !is_open(value))?;
        match duration::parse(value) {
            Ok(duration) if !duration.is_negative() => Some(duration),
            Ok(_) => {
                problems.push(problem(field, &format!("invalid {name} string: `{value}` is negative")));
                None
            }
            Err(error) => {
                problems.push(problem(field, &format!("invalid {name} string: {error}")));
                None
            }
        }
    };
    let interval = time("interval", "interval", &metric.interval);
    let initial_delay = time("initialDelay", "startDelay", &metric.initial_delay).unwrap_or_default();
    if let Some(count @ ..0) = count {
        problems.push(problem("count", &format!("is {count}, it must be at least 1")));
    }
    for (field, value, least) in [
        ("failureLimit must be >= 0, or -1 to be disabled", failure, -1),
        ("inconclusiveLimit must be >= 0", inconclusive, 0),
        ("consecutiveErrorLimit must be >= 0", consecutive_error.unwrap_or(0), 0),
        ("consecutiveSuccessLimit must be >= 0", consecutive_success, 0),
    ] {
        if value < least {
            problems.push(problem("", field));
        }
    }
    let endless = count.is_none() && (interval.is_some() || metric.interval.as_deref().is_some_and(is_open));
    Limits {
        count: if endless { None } else { Some(count.unwrap_or(1)) },
        interval,
        initial_delay,
        failure: (failure >= 0).then_some(failure),
        inconclusive,
        consecutive_error: consecutive_error.unwrap_or(DEFAULT_CONSECUTIVE_ERROR_LIMIT),
        consecutive_success: (consecutive_success > 0).then_some(consecutive_success),
    }
}

/// What several limits together must not be. A count that is not given is not compared, as in Argo Rollouts.
fn check_limits(given_count: Option<i32>, limits: &Limits, problems: &mut Vec<MetricProblem>) {
    let mut add = |text: &str| problems.push(problem("", text));
    if limits.failure.is_none() && limits.consecutive_success.is_none() {
        add("failureLimit and consecutiveSuccessLimit cannot both be disabled");
    }
    let Some(count) = given_count else { return };
    if count > 1 && limits.interval.is_none() {
        add("interval must be specified when count > 1");
    }
    let success = limits.consecutive_success.unwrap_or(0);
    if let Some(failure) = limits.failure {
        if i64::from(count) < i64::from(failure) + i64::from(success) {
            add(&format!(
                "count ({count}) must be >= failureLimit + consecutiveSuccessLimit ({failure} + {success}) if both >= 0"
            ));
        }
    } else if count < success {
        add("count must be >= consecutiveSuccessLimit");
    }
    if count < limits.inconclusive {
        add("count must be >= inconclusiveLimit");
    }
}

fn is_any_open(metric: &Metric) -> bool {
    let ints = [
        &metric.count,
        &metric.failure_limit,
        &metric.inconclusive_limit,
        &metric.consecutive_error_limit,
        &metric.consecutive_success_limit,
    ];
    ints.into_iter().flatten().any(is_open_int) || metric.interval.as_deref().is_some_and(is_open)
}

fn is_open_int(value: &IntOrString) -> bool {
    matches!(value, IntOrString::String(text) if is_open(text))
}

fn integer(value: &IntOrString) -> Option<i32> {
    match value {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(text) => text.trim().parse().ok(),
    }
}

fn shown(value: &IntOrString) -> String {
    match value {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => crate::text::excerpt(text),
    }
}

fn problem(path: &str, problem: &str) -> MetricProblem {
    MetricProblem {
        path: path.to_owned(),
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn metric(fields: &Value) -> Metric {
        let mut metric = json!({"name": "m", "provider": {"prometheus": {"query": "up"}}});
        metric
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        serde_json::from_value(metric).unwrap()
    }

    fn all(metrics: &[Metric]) -> String {
        problems(metrics)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; ")
    }

    #[test]
    fn limits_have_the_defaults_of_argo_rollouts() {
        let defaults = Limits {
            count: Some(1),
            interval: None,
            initial_delay: SignedDuration::ZERO,
            failure: Some(0),
            inconclusive: 0,
            consecutive_error: 4,
            consecutive_success: None,
        };
        let minute = SignedDuration::from_mins(1);
        for (fields, expected) in [
            (json!({}), defaults.clone()),
            (json!({"count": 0, "interval": ""}), defaults.clone()),
            (
                json!({"interval": "1m"}),
                Limits {
                    count: None,
                    interval: Some(minute),
                    ..defaults.clone()
                },
            ),
            (
                json!({"interval": "1m", "count": 3}),
                Limits {
                    count: Some(3),
                    interval: Some(minute),
                    ..defaults.clone()
                },
            ),
            (
                json!({"interval": "1m", "count": "3"}),
                Limits {
                    count: Some(3),
                    interval: Some(minute),
                    ..defaults.clone()
                },
            ),
            (
                json!({"initialDelay": "1m"}),
                Limits {
                    initial_delay: minute,
                    ..defaults.clone()
                },
            ),
            (
                json!({
                    "count": 9, "interval": "60s", "failureLimit": 2, "inconclusiveLimit": "3",
                    "consecutiveErrorLimit": 0, "consecutiveSuccessLimit": 5,
                }),
                Limits {
                    count: Some(9),
                    interval: Some(minute),
                    failure: Some(2),
                    inconclusive: 3,
                    consecutive_error: 0,
                    consecutive_success: Some(5),
                    ..defaults.clone()
                },
            ),
            (
                json!({"failureLimit": -1}),
                Limits {
                    failure: None,
                    ..defaults
                },
            ),
        ] {
            assert_eq!(limits(&metric(&fields)), Ok(expected), "{fields}");
        }
    }

    #[test]
    fn problems_have_the_texts_of_argo_rollouts_and_a_path() {
        let counts = "count (2) must be >= failureLimit + consecutiveSuccessLimit (1 + 2) if both >= 0";
        for (fields, expected) in [
            (json!({}), String::new()),
            (json!({"failureLimit": 5}), String::new()),
            (json!({"count": 1, "failureLimit": 1}), String::new()),
            (json!({"count": "{{args.n}}", "failureLimit": "{{args.n}}"}), String::new()),
            (json!({"count": 5, "interval": "{{args.i}}"}), String::new()),
            (json!({"successCondition": "result[0] > {{args.x}}"}), String::new()),
            (json!({"name": ""}), "metrics[0].name: is empty".to_owned()),
            (json!({"count": "x"}), "metrics[0].count: `x` is not an integer".to_owned()),
            (json!({"count": -1}), "metrics[0].count: is -1, it must be at least 1".to_owned()),
            (json!({"count": 2}), "metrics[0]: interval must be specified when count > 1".to_owned()),
            (json!({"count": 2, "interval": "1m", "failureLimit": 1, "consecutiveSuccessLimit": 2}), format!("metrics[0]: {counts}")),
            (
                json!({"count": 1, "failureLimit": 2}),
                "metrics[0]: count (1) must be >= failureLimit + consecutiveSuccessLimit (2 + 0) if both >= 0".to_owned(),
            ),
            (
                json!({"count": 1, "failureLimit": -1, "consecutiveSuccessLimit": 2}),
                "metrics[0]: count must be >= consecutiveSuccessLimit".to_owned(),
            ),
            (json!({"count": 1, "inconclusiveLimit": 2}), "metrics[0]: count must be >= inconclusiveLimit".to_owned()),
            (
                json!({"failureLimit": -1}),
                "metrics[0]: failureLimit and consecutiveSuccessLimit cannot both be disabled".to_owned(),
            ),
            (json!({"failureLimit": -2}), "metrics[0]: failureLimit must be >= 0, or -1 to be disabled".to_owned()),
            (json!({"inconclusiveLimit": -1}), "metrics[0]: inconclusiveLimit must be >= 0".to_owned()),
            (json!({"consecutiveErrorLimit": -1}), "metrics[0]: consecutiveErrorLimit must be >= 0".to_owned()),
            (json!({"consecutiveSuccessLimit": -1}), "metrics[0]: consecutiveSuccessLimit must be >= 0".to_owned()),
            (
                json!({"interval": "5"}),
                "metrics[0].interval: invalid interval string: `5` is not a duration such as `30s`, `5m` or `1h30m`".to_owned(),
            ),
            (json!({"interval": "-5s"}), "metrics[0].interval: invalid interval string: `-5s` is negative".to_owned()),
            (
                json!({"initialDelay": "soon"}),
                "metrics[0].initialDelay: invalid startDelay string: `soon` is not a duration such as `30s`, `5m` or `1h30m`".to_owned(),
            ),
            (
                json!({"successCondition": "resul > 1", "failureCondition": "now() > 1"}),
                "metrics[0].successCondition: unknown name `resul`: the answer of the query is called `result`; \
                 metrics[0].failureCondition: the function `now` is not available in conditions"
                    .to_owned(),
            ),
            (
                json!({"provider": {}, "count": "x"}),
                "metrics[0].count: `x` is not an integer; metrics[0].provider: no provider specified: give one, for example \
                 prometheus"
                    .to_owned(),
            ),
            (
                json!({"provider": {"graphite": {"address": "http://graphite"}}}),
                "metrics[0].provider.graphite.query: has no target: write target=..., and for example &from=-10min behind it"
                    .to_owned(),
            ),
            (
                json!({"provider": {"prometheus": {"query": "up", "timeout": -1}}}),
                "metrics[0].provider.prometheus.timeout: is -1, it must be between 1 and 300 seconds".to_owned(),
            ),
        ] {
            assert_eq!(all(&[metric(&fields)]), expected, "{fields}");
        }
    }

    #[test]
    fn problems_of_all_metrics_are_reported() {
        assert_eq!(all(&[]), "metrics: no metrics specified");
        let two = [metric(&json!({})), metric(&json!({"count": 2}))];
        assert_eq!(
            all(&two),
            "metrics[1]: duplicate name 'm'; metrics[1]: interval must be specified when count > 1"
        );
        let many: Vec<Metric> = (0..51).map(|at| metric(&json!({"name": format!("m{at}")}))).collect();
        assert_eq!(all(&many), "metrics: has 51 metrics, at most 50 are served");
    }
}
