//! AnalysisRuns as this program shows them, and what is said where one is not there.

use jiff::Timestamp;
use serde::Serialize;
use sluice_analysis::template;
use sluice_crds::{AnalysisRun, MetricResult, RunSummary, Time};

use crate::{
    cluster::{CallError, Cluster},
    observe::metadata,
    phase,
    resource::Resource,
    text::{self, Line, Style, table},
};

/// An AnalysisRun, for people and for programs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunReport {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Pending, Running, Successful, Failed, Error or Inconclusive.
    pub phase: String,
    /// Why it is in its phase.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The Rollout or other object that it belongs to, for example `Rollout backend`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub owner: String,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// How its metrics stand, those that are asked for and have no result yet as Pending.
    pub metrics: Vec<MetricReport>,
    #[serde(skip)]
    summaries: (RunSummary, RunSummary),
}

/// A metric of a run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricReport {
    /// Name.
    pub name: String,
    /// Its phase.
    pub phase: String,
    /// Whether it decides nothing.
    pub dry_run: bool,
    /// Measurements that ended in each way.
    pub successful: i32,
    /// Failed measurements.
    pub failed: i32,
    /// Inconclusive measurements.
    pub inconclusive: i32,
    /// Attempts that could not measure.
    pub error: i32,
    /// The last value.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// What the last measurement said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl RunReport {
    /// What is shown of a run.
    pub fn of(run: &AnalysisRun) -> RunReport {
        let status = run.status.clone().unwrap_or_default();
        let time = |time: &Option<Time>| time.as_ref().and_then(Time::timestamp);
        let results = status.metric_results.as_deref().unwrap_or_default();
        let dry = template::dry_metrics(&run.spec.metrics, run.spec.dry_run.as_deref().unwrap_or_default());
        let metrics = run.spec.metrics.iter().map(|metric| {
            let result = results.iter().find(|result| result.name == metric.name);
            MetricReport::of(&metric.name, dry.contains(&metric.name), result)
        });
        let owners = run.metadata.owner_references.as_deref().unwrap_or_default();
        let owner = owners.iter().find(|owner| owner.controller == Some(true));
        RunReport {
            namespace: run.metadata.namespace.clone().unwrap_or_default(),
            name: run.metadata.name.clone().unwrap_or_default(),
            phase: named(&status.phase.to_string()),
            message: status.message.clone().unwrap_or_default(),
            owner: owner
                .map(|owner| format!("{} {}", owner.kind, owner.name))
                .unwrap_or_default(),
            created_at: run.metadata.creation_timestamp.as_ref().map(|time| time.0),
            started_at: time(&status.started_at),
            completed_at: time(&status.completed_at),
            metrics: metrics.collect(),
            summaries: (
                status.run_summary.unwrap_or_default(),
                status.dry_run_summary.unwrap_or_default(),
            ),
        }
    }

    /// The run as lines.
    pub fn lines(&self, now: Timestamp) -> Vec<Line> {
        let label = |name: &str, value: Line| Line::from(name).column(13).join(value);
        let at = |name: &str, time: Option<Timestamp>| {
            time.map(|time| {
                label(
                    name,
                    format!("{} ({} ago)", text::time(time), text::age(time, now)).into(),
                )
            })
        };
        let mut lines = vec![
            label("Name:", self.name.as_str().into()),
            label("Namespace:", self.namespace.as_str().into()),
        ];
        if !self.owner.is_empty() {
            lines.push(label("Of:", self.owner.as_str().into()));
        }
        lines.push(label("Status:", phase::line(&self.phase, "AnalysisRun")));
        if !self.message.is_empty() {
            lines.push(label("Message:", self.message.as_str().into()));
        }
        lines.extend(at("Started:", self.started_at));
        lines.extend(at("Ended:", self.completed_at));
        lines.extend(counts(&self.summaries.0).map(|counts| label("Metrics:", counts.into())));
        lines.extend(counts(&self.summaries.1).map(|counts| label("Dry runs:", counts.into())));
        if self.metrics.is_empty() {
            return lines;
        }
        lines.push(Line::default());
        let heading = [
            "METRIC", "STATUS", "DRY-RUN", "GOOD", "BAD", "UNCLEAR", "ERROR", "VALUE",
        ];
        let rows = self.metrics.iter().map(MetricReport::cells);
        let rows: Vec<Vec<Line>> = std::iter::once(heading.map(Line::from).to_vec()).chain(rows).collect();
        lines.extend(table(&rows));
        for metric in self.metrics.iter().filter(|metric| !metric.message.is_empty()) {
            lines.push(Line::styled(
                Style::Warn,
                format!("{}: {}", metric.name, metric.message),
            ));
        }
        lines
    }

    /// The run in one line, for output that cannot be drawn over.
    pub fn summary(&self) -> Line {
        let mut line = phase::line(&self.phase, "AnalysisRun");
        if !self.message.is_empty() {
            line = line.then(Style::Plain, format!(" - {}", self.message));
        }
        for metric in &self.metrics {
            let measured = metric.successful + metric.failed + metric.inconclusive;
            line = line.then(
                Style::Plain,
                format!(
                    "; {} {} ({} of {measured} good)",
                    metric.name, metric.phase, metric.successful
                ),
            );
        }
        line
    }
}

impl MetricReport {
    fn of(name: &str, dry_run: bool, result: Option<&MetricResult>) -> MetricReport {
        let result = result.cloned().unwrap_or_default();
        let last = result.measurements.iter().flatten().last();
        let count = |count: Option<i32>| count.unwrap_or(0);
        MetricReport {
            name: name.to_owned(),
            phase: named(&result.phase.to_string()),
            dry_run,
            successful: count(result.successful),
            failed: count(result.failed),
            inconclusive: count(result.inconclusive),
            error: count(result.error),
            value: last.and_then(|last| last.value.clone()).unwrap_or_default(),
            message: last.and_then(|last| last.message.clone()).unwrap_or_default(),
        }
    }

    fn cells(&self) -> Vec<Line> {
        let number = |number: i32| Line::from(number.to_string());
        vec![
            self.name.as_str().into(),
            phase::line(&self.phase, "AnalysisRun"),
            if self.dry_run { "yes" } else { "-" }.into(),
            number(self.successful),
            number(self.failed),
            number(self.inconclusive),
            number(self.error),
            self.value.as_str().into(),
        ]
    }
}

fn named(phase: &str) -> String {
    if phase.is_empty() { "Pending" } else { phase }.to_owned()
}

/// `3: 2 Successful, 1 Failed`; nothing where there are none.
fn counts(summary: &RunSummary) -> Option<String> {
    let all = summary.count.filter(|count| *count > 0)?;
    let parts = [
        (summary.successful, "Successful"),
        (summary.failed, "Failed"),
        (summary.inconclusive, "Inconclusive"),
        (summary.error, "Error"),
    ];
    let ended = parts
        .iter()
        .filter_map(|(count, name)| Some(format!("{} {name}", count.filter(|count| *count > 0)?)));
    let ended = ended.collect::<Vec<_>>().join(", ");
    Some(if ended.is_empty() {
        all.to_string()
    } else {
        format!("{all}: {ended}")
    })
}

/// Reads a run.
pub async fn read(cluster: &Cluster, name: &str) -> Result<AnalysisRun, CallError> {
    let object = cluster
        .get(&Resource::analysis_runs(), &cluster.namespace, name)
        .await?;
    decode(object)
}

/// A run as typed object.
pub fn decode(object: serde_json::Value) -> Result<AnalysisRun, CallError> {
    let what = format!("analysisrun '{}'", metadata(&object, "name").unwrap_or_default());
    serde_json::from_value(object).map_err(|error| CallError::Undecodable {
        what,
        message: error.to_string(),
    })
}

/// What to say about a call that failed: more, where there is no object of that name.
pub async fn failed(cluster: &Cluster, resource: &Resource, kind: &str, name: &str, error: CallError) -> anyhow::Error {
    if !matches!(error, CallError::NotFound { .. }) {
        return error.into();
    }
    let is_of_cluster = *resource == Resource::cluster_templates();
    let namespace = if is_of_cluster { "" } else { cluster.namespace.as_str() };
    let place = if is_of_cluster {
        String::new()
    } else {
        format!(" in namespace '{namespace}'")
    };
    let text = format!("there is no {kind} '{name}'{place}");
    let here = cluster.list(resource, namespace, "").await.unwrap_or_default();
    let names: Vec<&str> = here.iter().filter_map(|object| metadata(object, "name")).collect();
    let alike = text::similar(name, names.iter().copied());
    match alike.first() {
        Some(alike) => anyhow::anyhow!("{text}; did you mean '{alike}'?"),
        None if names.is_empty() => anyhow::anyhow!("{text}; there is none at all"),
        None => anyhow::anyhow!("{text}"),
    }
}
