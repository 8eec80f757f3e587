//! From templates to the spec of a run.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sluice_crds::{
    AnalysisRunSpec, AnalysisTemplateRef, AnalysisTemplateSpec, Argument, DryRun, MeasurementRetention, Metric,
};

use crate::args::{self, ArgError};

/// Why templates cannot become a run. The texts are those of Argo Rollouts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A reference without name.
    #[error("a template reference has no templateName")]
    NoName,
    /// A template that does not exist.
    #[error("{kind} '{name}' not found")]
    NotFound {
        /// `AnalysisTemplate` or `ClusterAnalysisTemplate`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Two metrics, or two rules, have the same name.
    #[error("two {what} have the same name '{name}'")]
    Duplicate {
        /// `metrics`, `Dry-Run metric rules` or `Measurement Retention metric rules`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A rule is for no metric.
    #[error("{field}[{index}]: Rule didn't match any metric name(s)")]
    NoMatch {
        /// `dryRun` or `measurementRetention`.
        field: &'static str,
        /// Its place in the list.
        index: usize,
    },
    /// A rule is no regular expression.
    #[error("{field}[{index}].metricName is not a regular expression of at most 10 KiB")]
    Pattern {
        /// `dryRun` or `measurementRetention`.
        field: &'static str,
        /// Its place in the list.
        index: usize,
    },
    /// Arguments.
    #[error(transparent)]
    Arg(#[from] ArgError),
}

/// Templates put together: what a run has before its arguments get their values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flattened {
    /// Metrics of all templates.
    pub metrics: Vec<Metric>,
    /// Arguments of all templates.
    pub args: Vec<Argument>,
    /// Rules for dry runs.
    pub dry_run: Vec<DryRun>,
    /// Rules for what is kept.
    pub measurement_retention: Vec<MeasurementRetention>,
}

/// Puts templates together, those that they name in turn included, in the order in which they are named. A template that is
/// named twice counts once. `lookup` gives a template by scope (`true`: cluster) and name. All problems are reported.
pub fn flatten<'t>(
    references: &[AnalysisTemplateRef],
    lookup: &dyn Fn(bool, &str) -> Option<&'t AnalysisTemplateSpec>,
) -> Result<Flattened, Vec<TemplateError>> {
    let mut problems = Vec::new();
    let mut flattened = Flattened::default();
    let mut seen = BTreeSet::new();
    // A stack and not recursion: templates may name each other to any depth.
    let mut open: Vec<AnalysisTemplateRef> = references.iter().rev().cloned().collect();
    while let Some(reference) = open.pop() {
        let cluster_scope = reference.cluster_scope.unwrap_or(false);
        let Some(name) = reference.template_name.filter(|name| !name.is_empty()) else {
            problems.push(TemplateError::NoName);
            continue;
        };
        if !seen.insert((cluster_scope, name.clone())) {
            continue;
        }
        let Some(template) = lookup(cluster_scope, &name) else {
            let kind = if cluster_scope {
                "ClusterAnalysisTemplate"
            } else {
                "AnalysisTemplate"
            };
            problems.push(TemplateError::NotFound { kind, name });
            continue;
        };
        flattened.add(template, &mut problems);
        open.extend(template.templates.iter().flatten().rev().cloned());
    }
    flattened.duplicates(&mut problems);
    if problems.is_empty() {
        Ok(flattened)
    } else {
        Err(problems)
    }
}

/// The spec of a run: templates put together, with the values that a Rollout supplies for their arguments and its own rules.
/// `rollout` is where a template's `fieldRef` points. All problems are reported.
pub fn run_spec(
    flattened: Flattened,
    supplied: &[Argument],
    dry_run: &[DryRun],
    measurement_retention: &[MeasurementRetention],
    rollout: Option<&Value>,
) -> Result<AnalysisRunSpec, Vec<TemplateError>> {
    let mut problems = Vec::new();
    let args = match args::merge(&flattened.args, supplied, rollout) {
        Ok(args) => args,
        Err(errors) => {
            problems.extend(errors.into_iter().map(TemplateError::Arg));
            Vec::new()
        }
    };
    let all = match flattened.with_rules(dry_run, measurement_retention) {
        Ok(all) => all,
        Err(errors) => {
            problems.extend(errors);
            return Err(problems);
        }
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(AnalysisRunSpec {
        metrics: all.metrics,
        args: some(args),
        dry_run: some(all.dry_run),
        measurement_retention: some(all.measurement_retention),
        ..AnalysisRunSpec::default()
    })
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// What is wrong with the rules for dry runs and for what is kept.
pub fn rule_problems(
    metrics: &[Metric],
    dry_run: &[DryRun],
    measurement_retention: &[MeasurementRetention],
) -> Vec<TemplateError> {
    let dry_run = dry_run.iter().map(|rule| rule.metric_name.as_str()).enumerate();
    let retention = measurement_retention
        .iter()
        .map(|rule| rule.metric_name.as_str())
        .enumerate();
    let dry_run = dry_run.map(|(index, pattern)| ("dryRun", index, pattern));
    let retention = retention.map(|(index, pattern)| ("measurementRetention", index, pattern));
    dry_run
        .chain(retention)
        .filter_map(|(field, index, pattern)| match compile(pattern) {
            None => Some(TemplateError::Pattern { field, index }),
            Some(regex) if metrics.iter().any(|metric| regex.is_match(&metric.name)) => None,
            Some(_) => Some(TemplateError::NoMatch { field, index }),
        })
        .collect()
}

/// Names of the metrics that a rule for dry runs is for: they are measured, and what comes out decides nothing.
pub fn dry_metrics(metrics: &[Metric], rules: &[DryRun]) -> BTreeSet<String> {
    let rules: Vec<regex::Regex> = rules.iter().filter_map(|rule| compile(&rule.metric_name)).collect();
    let names = metrics.iter().map(|metric| &metric.name);
    names
        .filter(|name| rules.iter().any(|rule| rule.is_match(name)))
        .cloned()
        .collect()
}

/// How many measurements of a metric are kept, where a rule says so: the last that matches, as in Argo Rollouts.
pub fn retention(metric: &str, rules: &[MeasurementRetention]) -> Option<usize> {
    let rule = rules
        .iter()
        .rev()
        .find(|rule| compile(&rule.metric_name).is_some_and(|regex| regex.is_match(metric)))?;
    usize::try_from(rule.limit).ok().filter(|limit| *limit > 0)
}

/// Anywhere in the name, as in Go.
fn compile(pattern: &str) -> Option<regex::Regex> {
    // Metric names are short; the limit keeps a pattern from taking megabytes.
    regex::RegexBuilder::new(pattern).size_limit(10 * 1024).build().ok()
}

impl Flattened {
    /// With the rules that a Rollout adds to those of its templates. All problems of all rules are reported.
    pub fn with_rules(
        mut self,
        dry_run: &[DryRun],
        measurement_retention: &[MeasurementRetention],
    ) -> Result<Flattened, Vec<TemplateError>> {
        self.dry_run.splice(0..0, dry_run.iter().cloned());
        self.measurement_retention
            .splice(0..0, measurement_retention.iter().cloned());
        let mut problems = Vec::new();
        self.duplicates(&mut problems);
        problems.extend(rule_problems(&self.metrics, &self.dry_run, &self.measurement_retention));
        if problems.is_empty() { Ok(self) } else { Err(problems) }
    }

    fn add(&mut self, template: &AnalysisTemplateSpec, problems: &mut Vec<TemplateError>) {
        self.metrics.extend(template.metrics.iter().flatten().cloned());
        self.dry_run.extend(template.dry_run.iter().flatten().cloned());
        self.measurement_retention
            .extend(template.measurement_retention.iter().flatten().cloned());
        for arg in template.args.iter().flatten() {
            match self.args.iter_mut().find(|known| known.name == arg.name) {
                None => self.args.push(arg.clone()),
                Some(known) => match (&known.value, &arg.value) {
                    (Some(first), Some(second)) if first != second => {
                        problems.push(TemplateError::Arg(ArgError::Different {
                            name: arg.name.clone(),
                            first: first.clone(),
                            second: second.clone(),
                        }));
                    }
                    (None, _) if arg.value.is_some() || arg.value_from.is_some() => *known = arg.clone(),
                    _ => {}
                },
            }
        }
    }

    fn duplicates(&self, problems: &mut Vec<TemplateError>) {
        let metrics = self.metrics.iter().map(|metric| metric.name.as_str());
        let dry_run = self.dry_run.iter().map(|rule| rule.metric_name.as_str());
        let retention = self.measurement_retention.iter().map(|rule| rule.metric_name.as_str());
        let lists: [(&'static str, Vec<&str>); 3] = [
            ("metrics", metrics.collect()),
            ("Dry-Run metric rules", dry_run.collect()),
            ("Measurement Retention metric rules", retention.collect()),
        ];
        for (what, names) in lists {
            let mut counts = BTreeMap::new();
            for name in names {
                *counts.entry(name).or_insert(0) += 1;
            }
            let twice = counts.into_iter().filter(|(_, count)| *count > 1);
            problems.extend(twice.map(|(name, _)| TemplateError::Duplicate {
                what,
                name: name.to_owned(),
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn templates(value: Value) -> BTreeMap<(bool, String), AnalysisTemplateSpec> {
        let map: BTreeMap<String, AnalysisTemplateSpec> = serde_json::from_value(value).unwrap();
        map.into_iter()
            .map(|(name, spec)| match name.strip_prefix("cluster/") {
                Some(name) => ((true, name.to_owned()), spec),
                None => ((false, name), spec),
            })
            .collect()
    }

    fn metric(name: &str) -> Value {
        json!({"name": name, "provider": {"prometheus": {"query": "up"}}})
    }

    fn flat(templates_json: Value, references: Value) -> Result<Flattened, String> {
        let all = templates(templates_json);
        let references: Vec<AnalysisTemplateRef> = serde_json::from_value(references).unwrap();
        let joined = |errors: Vec<TemplateError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        flatten(&references, &|cluster, name| all.get(&(cluster, name.to_owned()))).map_err(joined)
    }

    fn names(flattened: &Flattened) -> Vec<&str> {
        flattened.metrics.iter().map(|metric| metric.name.as_str()).collect()
    }

    #[test]
    fn templates_are_put_together_in_the_order_in_which_they_are_named() {
        let templates = json!({
            "a": {"metrics": [metric("a")], "templates": [{"templateName": "c"}, {"templateName": "b", "clusterScope": true}]},
            "cluster/b": {"metrics": [metric("b")], "templates": [{"templateName": "a"}]},
            "c": {"metrics": [metric("c")]},
            "d": {"metrics": [metric("d")]},
        });
        let references = json!([{"templateName": "a"}, {"templateName": "d"}, {"templateName": "c"}]);
        assert_eq!(names(&flat(templates, references).unwrap()), ["a", "c", "b", "d"]);
    }

    #[test]
    fn templates_that_name_each_other_end() {
        let templates = json!({
            "a": {"metrics": [metric("a")], "templates": [{"templateName": "b"}]},
            "b": {"metrics": [metric("b")], "templates": [{"templateName": "a"}, {"templateName": "b"}]},
        });
        assert_eq!(
            names(&flat(templates, json!([{"templateName": "a"}])).unwrap()),
            ["a", "b"]
        );
    }

    #[test]
    fn templates_may_name_each_other_to_any_depth_and_in_both_scopes() {
        let key = |at: usize| {
            if at.is_multiple_of(2) {
                format!("t{at}")
            } else {
                format!("cluster/t{at}")
            }
        };
        let spec = |at: usize| {
            let next = json!({"templateName": format!("t{}", at + 1), "clusterScope": at.is_multiple_of(2)});
            json!({"metrics": [metric(&format!("m{at}"))], "templates": if at < 5_000 { vec![next] } else { vec![] }})
        };
        let all: serde_json::Map<String, Value> = (0..=5_000).map(|at| (key(at), spec(at))).collect();
        let flattened = flat(all.into(), json!([{"templateName": "t0"}])).unwrap();
        let expected: Vec<String> = (0..=5_000).map(|at| format!("m{at}")).collect();
        assert_eq!(names(&flattened), expected);
    }

    #[test]
    fn all_problems_of_templates_are_reported() {
        let templates = json!({
            "a": {
                "metrics": [metric("x"), metric("x"), metric("y")],
                "args": [{"name": "p", "value": "1"}, {"name": "q"}],
                "dryRun": [{"metricName": "x"}],
                "measurementRetention": [{"metricName": "x", "limit": 5}],
            },
            "b": {
                "metrics": [metric("y")],
                "args": [{"name": "p", "value": "2"}, {"name": "q", "value": "3"}],
                "dryRun": [{"metricName": "x"}],
                "measurementRetention": [{"metricName": "x", "limit": 6}],
                "templates": [{"templateName": "none", "clusterScope": true}, {}],
            },
        });
        let error = flat(
            templates,
            json!([{"templateName": "a"}, {"templateName": "b"}, {"templateName": "gone"}]),
        );
        assert_eq!(
            error.unwrap_err(),
            "Argument `p` specified multiple times with different values: '1', '2'; \
             ClusterAnalysisTemplate 'none' not found; a template reference has no templateName; \
             AnalysisTemplate 'gone' not found; two metrics have the same name 'x'; two metrics have the same name 'y'; \
             two Dry-Run metric rules have the same name 'x'; two Measurement Retention metric rules have the same name 'x'"
        );
    }

    #[test]
    fn a_later_template_gives_an_argument_the_value_that_an_earlier_one_leaves_open() {
        let templates = json!({
            "a": {"metrics": [metric("x")], "args": [{"name": "p"}, {"name": "q", "value": "1"}, {"name": "r", "value": "2"}]},
            "b": {"args": [{"name": "p", "value": "3"}, {"name": "q"}, {"name": "r", "value": "2"}, {"name": "s"}]},
        });
        let flattened = flat(templates, json!([{"templateName": "a"}, {"templateName": "b"}])).unwrap();
        let values = flattened
            .args
            .iter()
            .map(|arg| (arg.name.as_str(), arg.value.as_deref()));
        assert_eq!(
            values.collect::<Vec<_>>(),
            [("p", Some("3")), ("q", Some("1")), ("r", Some("2")), ("s", None)]
        );
    }

    #[test]
    fn a_run_has_the_metrics_of_its_templates_and_the_arguments_of_its_rollout() {
        let templates = json!({"a": {
            "metrics": [metric("error-rate"), metric("latency")],
            "args": [{"name": "service"}, {"name": "window", "value": "5m"}],
            "measurementRetention": [{"metricName": "latency", "limit": 3}],
        }});
        let flattened = flat(templates, json!([{"templateName": "a"}])).unwrap();
        let supplied = |value: &str| Argument {
            name: "service".to_owned(),
            value: Some(value.to_owned()),
            value_from: None,
        };
        let retention = [MeasurementRetention {
            metric_name: "error.*".to_owned(),
            limit: 20,
        }];
        let spec = run_spec(flattened.clone(), &[supplied("shop")], &[], &retention, None).unwrap();
        assert_eq!(
            serde_json::to_value(&spec).unwrap(),
            json!({
                "metrics": [metric("error-rate"), metric("latency")],
                "args": [{"name": "service", "value": "shop"}, {"name": "window", "value": "5m"}],
                "measurementRetention": [{"metricName": "error.*", "limit": 20}, {"metricName": "latency", "limit": 3}],
            })
        );
        let dry_run = [
            DryRun {
                metric_name: "none".to_owned(),
            },
            DryRun {
                metric_name: "(".to_owned(),
            },
        ];
        let retention = [MeasurementRetention {
            metric_name: "none".to_owned(),
            limit: 20,
        }];
        let errors = run_spec(flattened, &[], &dry_run, &retention, None).unwrap_err();
        assert_eq!(
            errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "args.service was not resolved",
                "dryRun[0]: Rule didn't match any metric name(s)",
                "dryRun[1].metricName is not a regular expression of at most 10 KiB",
                "measurementRetention[0]: Rule didn't match any metric name(s)",
            ]
        );
    }

    #[test]
    fn a_rule_for_dry_runs_matches_anywhere_in_the_name_of_a_metric() {
        let metrics: Vec<Metric> = serde_json::from_value(json!([metric("error-rate"), metric("latency")])).unwrap();
        for (rules, expected) in [
            (vec![], vec![]),
            (vec!["error-rate"], vec!["error-rate"]),
            (vec!["rate"], vec!["error-rate"]),
            (vec!["^rate"], vec![]),
            (vec![".*"], vec!["error-rate", "latency"]),
            (vec!["("], vec![]),
            (vec!["y$", "^e"], vec!["error-rate", "latency"]),
        ] {
            let rule = |name: &&str| DryRun {
                metric_name: (*name).to_owned(),
            };
            let found = dry_metrics(&metrics, &rules.iter().map(rule).collect::<Vec<_>>());
            assert_eq!(found.into_iter().collect::<Vec<_>>(), expected, "{rules:?}");
        }
    }

    #[test]
    fn the_last_rule_that_matches_says_how_much_is_kept() {
        let rule = |metric_name: &str, limit| MeasurementRetention {
            metric_name: metric_name.to_owned(),
            limit,
        };
        let rules = [rule("error", 20), rule("error-rate", 5), rule("lat", 0), rule("(", 7)];
        for (metric, expected) in [
            ("error-rate", Some(5)),
            ("errors", Some(20)),
            ("latency", None),
            ("other", None),
        ] {
            assert_eq!(retention(metric, &rules), expected, "{metric}");
        }
    }
}
