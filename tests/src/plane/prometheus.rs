//! Prometheus, which scrapes Traefik and every pod that asks for it by the usual annotations, once a second.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::credentials::{self, User};
use super::{Component, Plane, Start, ports};
use crate::http;

pub(super) async fn start(start: &Start) -> Result<()> {
    if !start.config.prometheus {
        return Ok(());
    }
    let inside = &start.inside;
    let configuration = inside.state.join("prometheus.yaml");
    let kubeconfig = credentials::kubeconfig(&inside.state, User::Prometheus);
    fs::write(&configuration, configuration_text(&kubeconfig.display().to_string()))
        .with_context(|| format!("write {}", configuration.display()))?;
    let arguments = [
        format!("--config.file={}", configuration.display()),
        format!("--web.listen-address=127.0.0.1:{}", ports::PROMETHEUS),
        format!("--storage.tsdb.path={}", inside.state.join("prometheus").display()),
        "--storage.tsdb.retention.time=2h".to_owned(),
    ];
    start.run(Component::start(
        inside,
        "prometheus",
        &inside.programs.prometheus,
        &arguments,
        &[],
    )?)?;
    start
        .until_ready("prometheus", || async {
            Ok(http::get(&format!("127.0.0.1:{}", ports::PROMETHEUS), "/-/ready")
                .await?
                .status
                == 200)
        })
        .await
}

/// Labels of the pod become labels of its series; where the series bring a label of the same name, theirs stays.
fn configuration_text(kubeconfig: &str) -> String {
    let label =
        |from: &str, to: &str| format!("  - {{source_labels: [__meta_kubernetes_{from}], target_label: {to}}}\n");
    let labels = [
        ("namespace", "namespace"),
        ("pod_name", "pod"),
        ("pod_label_app", "app"),
        ("pod_label_version", "version"),
        ("pod_label_rollouts_pod_template_hash", "rollouts_pod_template_hash"),
    ]
    .map(|(from, to)| label(from, to))
    .concat();
    format!(
        r"global: {{scrape_interval: 1s, scrape_timeout: 900ms, evaluation_interval: 1s}}
scrape_configs:
- job_name: traefik
  static_configs:
  - targets: ['127.0.0.1:{}']
- job_name: pods
  honor_labels: true
  kubernetes_sd_configs:
  - {{role: pod, kubeconfig_file: {kubeconfig}}}
  relabel_configs:
  - {{source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape], action: keep, regex: 'true'}}
  - {{source_labels: [__meta_kubernetes_pod_phase], action: keep, regex: Running}}
  - {{source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_path], regex: (.+), target_label: __metrics_path__}}
  - source_labels: [__meta_kubernetes_pod_ip, __meta_kubernetes_pod_annotation_prometheus_io_port]
    regex: (.+);(\d+)
    replacement: $1:$2
    target_label: __address__
{labels}",
        ports::TRAEFIK
    )
}

impl Plane {
    /// The result of an instant query, as Prometheus answers it: an object with `resultType` and `result`.
    pub async fn query(&self, expression: &str) -> Result<Value> {
        let path = format!("/api/v1/query?query={}", http::percent_encoded(expression));
        let answer = http::get(&format!("127.0.0.1:{}", ports::PROMETHEUS), &path).await?;
        let mut body: Value = serde_json::from_slice(&answer.body).context("read the answer of Prometheus")?;
        ensure!(body["status"] == "success", "Prometheus on {expression:?}: {body}");
        Ok(body["data"].take())
    }

    /// The value of an instant query whose result is one number; nothing while the result is empty.
    pub async fn number(&self, expression: &str) -> Result<Option<f64>> {
        let data = self.query(expression).await?;
        let value = match data["resultType"].as_str() {
            Some("vector") => {
                let series = data["result"].as_array().context("a vector is a list")?;
                ensure!(
                    series.len() <= 1,
                    "{expression:?} has {} series; one was expected",
                    series.len()
                );
                series.first().map(|one| &one["value"][1])
            }
            _ => Some(&data["result"][1]),
        };
        let parse = |value: &Value| {
            let text = value
                .as_str()
                .with_context(|| format!("{expression:?} has no number: {value}"))?;
            text.parse()
                .with_context(|| format!("{expression:?} has the number {text:?}"))
        };
        value.map(parse).transpose()
    }
}
