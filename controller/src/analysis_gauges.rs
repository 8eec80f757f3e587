//! What a scrape shows of AnalysisRuns and templates, under the names and labels of Argo Rollouts.
//!
//! A run has two series with its phase, and two for each of its metrics; a template has one, and one for each metric. At most
//! [`MOST`] templates are described, and of more than so many runs only those that go on.

use std::collections::BTreeMap;

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use sluice_analysis::template;
use sluice_crds::{AnalysisPhase, AnalysisRun, AnalysisTemplateSpec, Metric};

use crate::metrics::NameLabels;
use crate::object::ObjectName;

/// Most runs that have ended, and most templates, of a scrape. A run with three metrics has eight series of about 200 bytes.
pub const MOST: usize = 2_000;

/// Everything that a scrape shows of analyses.
#[derive(Clone, Debug, Default)]
pub struct Analyses {
    /// Runs.
    pub runs: Vec<RunGauges>,
    /// Templates.
    pub templates: Vec<TemplateGauges>,
    /// Runs and templates that there was no room for.
    pub left_out: usize,
}

/// What is kept of runs for scrapes: all that go on, and of the others as many as there is room for.
#[derive(Debug, Default)]
pub struct RunTable(BTreeMap<ObjectName, RunGauges>);

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunGauges {
    /// Whether it has ended.
    pub ended: bool,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Phase; Pending where the status has none.
    pub phase: String,
    /// Its metrics.
    pub metrics: Vec<MetricGauge>,
}

/// One metric of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricGauge {
    /// Name.
    pub metric: String,
    /// Provider, as Argo Rollouts calls it.
    pub provider: &'static str,
    /// Whether it decides nothing.
    pub dry_run: bool,
    /// Phase; Pending where there is no result.
    pub phase: String,
}

/// One template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateGauges {
    /// Namespace; empty for one of the cluster.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Names of its metrics, and their providers.
    pub metrics: Vec<(String, &'static str)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    namespace: String,
    name: String,
    phase: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypeLabels {
    namespace: String,
    name: String,
    metric: String,
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MetricLabels {
    namespace: String,
    name: String,
    metric: String,
    r#type: &'static str,
    dry_run: &'static str,
    phase: String,
}

impl RunTable {
    /// Takes in how a run stands.
    pub fn note(&mut self, name: &ObjectName, gauges: RunGauges) {
        if self.0.len() >= MOST && !self.0.contains_key(name) {
            if gauges.ended {
                return;
            }
            let over = self.0.iter().find(|(_, run)| run.ended).map(|(name, _)| name.clone());
            if let Some(name) = over {
                self.0.remove(&name);
            }
        }
        self.0.insert(name.clone(), gauges);
    }

    /// Forgets a run that is gone.
    pub fn forget(&mut self, name: &ObjectName) {
        self.0.remove(name);
    }

    /// The runs by name.
    pub fn runs(&self) -> Vec<RunGauges> {
        self.0.values().cloned().collect()
    }
}

impl RunGauges {
    /// What is shown of a run.
    pub fn of(run: &AnalysisRun) -> RunGauges {
        let status = run.status.clone().unwrap_or_default();
        let dry = template::dry_metrics(&run.spec.metrics, run.spec.dry_run.as_deref().unwrap_or_default());
        let result = |metric: &Metric| {
            let mut results = status.metric_results.iter().flatten();
            results
                .find(|result| result.name == metric.name)
                .map(|result| &result.phase)
        };
        let metrics = run.spec.metrics.iter().map(|metric| MetricGauge {
            metric: metric.name.clone(),
            provider: provider(metric),
            dry_run: dry.contains(&metric.name),
            phase: shown(result(metric)),
        });
        RunGauges {
            ended: status.phase.completed(),
            namespace: run.metadata.namespace.clone().unwrap_or_default(),
            name: run.metadata.name.clone().unwrap_or_default(),
            phase: shown(Some(&status.phase)),
            metrics: metrics.collect(),
        }
    }
}

impl TemplateGauges {
    /// What is shown of a template.
    pub fn of(namespace: &str, name: &str, spec: &AnalysisTemplateSpec) -> TemplateGauges {
        let metrics = spec.metrics.iter().flatten();
        TemplateGauges {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            metrics: metrics.map(|metric| (metric.name.clone(), provider(metric))).collect(),
        }
    }
}

/// Writes the gauges of runs and templates.
pub fn encode(encoder: &mut DescriptorEncoder<'_>, analyses: &Analyses) -> Result<(), std::fmt::Error> {
    let Analyses { runs, templates, .. } = analyses;
    for (name, help) in [
        ("analysis_run_info", "One for each AnalysisRun, with its phase"),
        (
            "analysis_run_phase",
            "One for each AnalysisRun, with its phase (use analysis_run_info)",
        ),
    ] {
        let labels = runs.iter().map(|run| PhaseLabels {
            namespace: run.namespace.clone(),
            name: run.name.clone(),
            phase: run.phase.clone(),
        });
        family(encoder, name, help, labels)?;
    }
    let metrics = || {
        runs.iter()
            .flat_map(|run| run.metrics.iter().map(move |metric| (run, metric)))
    };
    let types = metrics().map(|(run, metric)| TypeLabels {
        namespace: run.namespace.clone(),
        name: run.name.clone(),
        metric: metric.metric.clone(),
        r#type: metric.provider,
    });
    let help = "One for each metric of an AnalysisRun, with its provider";
    family(encoder, "analysis_run_metric_type", help, types)?;
    let phases = metrics().map(|(run, metric)| MetricLabels {
        namespace: run.namespace.clone(),
        name: run.name.clone(),
        metric: metric.metric.clone(),
        r#type: metric.provider,
        dry_run: if metric.dry_run { "true" } else { "false" },
        phase: metric.phase.clone(),
    });
    let help = "One for each metric of an AnalysisRun, with its phase";
    family(encoder, "analysis_run_metric_phase", help, phases)?;
    let names = templates.iter().map(|template| NameLabels {
        namespace: template.namespace.clone(),
        name: template.name.clone(),
    });
    let help = "One for each AnalysisTemplate and ClusterAnalysisTemplate";
    family(encoder, "analysis_template_info", help, names)?;
    let metrics = templates.iter().flat_map(|template| {
        template.metrics.iter().map(|(metric, provider)| TypeLabels {
            namespace: template.namespace.clone(),
            name: template.name.clone(),
            metric: metric.clone(),
            r#type: provider,
        })
    });
    let help = "One for each metric of a template, with its provider";
    family(encoder, "analysis_template_metric_info", help, metrics)
}

/// One gauge of 1 for each set of labels.
fn family<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    labels: impl Iterator<Item = L>,
) -> Result<(), std::fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for labels in labels {
        ConstGauge::new(1u64).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn shown(phase: Option<&AnalysisPhase>) -> String {
    let text = phase.map(ToString::to_string).unwrap_or_default();
    if text.is_empty() { "Pending".to_owned() } else { text }
}

/// The provider of a metric, as Argo Rollouts calls it in its metrics.
fn provider(metric: &Metric) -> &'static str {
    let provider = &metric.provider;
    let known = [
        (provider.prometheus.is_some(), "Prometheus"),
        (provider.job.is_some(), "Job"),
        (provider.kayenta.is_some(), "Kayenta"),
        (provider.web.is_some(), "Web"),
        (provider.datadog.is_some(), "Datadog"),
        (provider.wavefront.is_some(), "Wavefront"),
        (provider.new_relic.is_some(), "NewRelic"),
        (provider.cloud_watch.is_some(), "CloudWatch"),
        (provider.graphite.is_some(), "Graphite"),
        (provider.influxdb.is_some(), "Influxdb"),
        (provider.skywalking.is_some(), "SkyWalking"),
        (provider.plugin.is_some(), "RPCPlugin"),
    ];
    let found = known.into_iter().find(|(is_set, _)| *is_set);
    found.map_or("Unknown Provider", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use prometheus_client::collector::Collector;
    use prometheus_client::registry::Registry;
    use serde_json::json;

    use super::*;

    #[derive(Debug)]
    struct Shown(Analyses);

    impl Collector for Shown {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
            encode(&mut encoder, &self.0)
        }
    }

    fn scrape(analyses: Analyses) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Shown(analyses)));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn runs_and_templates_are_shown_under_the_names_of_argo_rollouts() {
        let run: AnalysisRun = serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
            "metadata": { "namespace": "ns", "name": "gate" },
            "spec": {
                "metrics": [
                    { "name": "errors", "provider": { "prometheus": { "query": "up" } } },
                    { "name": "latency", "provider": { "web": { "url": "http://x" } } },
                ],
                "dryRun": [{ "metricName": "lat" }],
            },
            "status": { "phase": "Running", "metricResults": [{ "name": "latency", "phase": "Failed" }] },
        }))
        .unwrap();
        let spec = json!({ "metrics": [{ "name": "errors", "provider": { "datadog": { "query": "x" } } }] });
        let spec: AnalysisTemplateSpec = serde_json::from_value(spec).unwrap();
        let templates = vec![
            TemplateGauges::of("ns", "own", &spec),
            TemplateGauges::of("", "all", &spec),
        ];
        let text = scrape(Analyses {
            runs: vec![RunGauges::of(&run)],
            templates,
            left_out: 0,
        });
        for line in [
            r#"analysis_run_info{namespace="ns",name="gate",phase="Running"} 1"#,
            r#"analysis_run_phase{namespace="ns",name="gate",phase="Running"} 1"#,
            r#"analysis_run_metric_type{namespace="ns",name="gate",metric="errors",type="Prometheus"} 1"#,
            r#"analysis_run_metric_type{namespace="ns",name="gate",metric="latency",type="Web"} 1"#,
            r#"analysis_run_metric_phase{namespace="ns",name="gate",metric="errors",type="Prometheus",dry_run="false",phase="Pending"} 1"#,
            r#"analysis_run_metric_phase{namespace="ns",name="gate",metric="latency",type="Web",dry_run="true",phase="Failed"} 1"#,
            r#"analysis_template_info{namespace="ns",name="own"} 1"#,
            r#"analysis_template_info{namespace="",name="all"} 1"#,
            r#"analysis_template_metric_info{namespace="ns",name="own",metric="errors",type="Datadog"} 1"#,
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is missing in:\n{text}");
        }
    }

    #[test]
    fn the_table_has_a_bound_and_keeps_the_runs_that_go_on() {
        let name = |name: String| ObjectName::new("ns", name);
        let gauges = |ended: bool| RunGauges {
            ended,
            namespace: "ns".to_owned(),
            name: String::new(),
            phase: String::new(),
            metrics: Vec::new(),
        };
        let mut table = RunTable::default();
        for number in 0..MOST + 10 {
            table.note(&name(format!("over-{number}")), gauges(true));
        }
        assert_eq!(table.runs().len(), MOST);
        let going_on = |table: &RunTable| table.runs().iter().filter(|run| !run.ended).count();
        for number in 0..MOST + 10 {
            table.note(&name(format!("on-{number}")), gauges(false));
        }
        assert_eq!((table.runs().len(), going_on(&table)), (MOST + 10, MOST + 10));
        // One that ends stays; one that is gone goes.
        table.note(&name("on-5".to_owned()), gauges(true));
        assert_eq!((table.runs().len(), going_on(&table)), (MOST + 10, MOST + 9));
        table.forget(&name("on-6".to_owned()));
        assert_eq!((table.runs().len(), going_on(&table)), (MOST + 9, MOST + 8));
    }
}
