//! What the controller says about itself to Prometheus.
//!
//! Names that users of Argo Rollouts have in their dashboards (`rollout_info`, `rollout_info_replicas_*`, `rollout_phase`,
//! `rollout_reconcile`, `rollout_reconcile_error`, `rollout_events_total`, `analysis_*` ([`crate::analysis_gauges`]), `process_*`) are kept; everything else begins with `sluice_`. Labels are bounded: kinds,
//! categories and, in the gauges that describe Rollouts, one series for each Rollout that exists.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::analysis_gauges::{self, Analyses};

/// All counters and histograms.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Time that reconciles of Rollouts took, in seconds.
    pub rollout_reconcile: Histogram,
    /// Time that reconciles of AnalysisRuns took, in seconds.
    pub run_reconcile: Histogram,
    /// Reconciles of Rollouts that ended with an error.
    pub rollout_errors: Counter,
    /// Reconciles of AnalysisRuns that ended with an error.
    pub run_errors: Counter,
    /// Reconciles that panicked.
    pub panics: Counter,
    /// Writes that the API server accepted, by kind.
    pub writes: Family<KindLabel, Counter>,
    /// Writes that failed, by kind and category.
    pub write_errors: Family<ErrorLabels, Counter>,
    /// Effects that a guard refused, by invariant.
    pub refused: Family<InvariantLabel, Counter>,
    /// Interruptions of watches, by kind.
    pub watch_errors: Family<KindLabel, Counter>,
    /// Objects that could not be decoded, by kind.
    pub undecodable: Family<KindLabel, Counter>,
    /// Events of Rollouts that happened, by type and reason, whether or not they could be published.
    pub rollout_events: Family<EventLabels, Counter>,
    /// Events published.
    pub events: Counter,
    /// Events not published, because the API server did not take them or there were too many.
    pub events_lost: Counter,
    /// Measurements made, by phase.
    pub measurements: Family<PhaseLabel, Counter>,
}

/// A kind of writes or objects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    /// For example `set-split` or `rollouts.argoproj.io`.
    pub kind: String,
}

/// A kind of writes and why one failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ErrorLabels {
    /// For example `set-split`.
    pub kind: &'static str,
    /// For example `conflict`.
    pub category: &'static str,
}

/// An invariant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct InvariantLabel {
    /// For example `S1`.
    pub invariant: &'static str,
}

/// A phase of a measurement.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PhaseLabel {
    /// For example `Successful`.
    pub phase: String,
}

/// A Rollout by its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct NameLabels {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// What is known of one Rollout, for the gauge that describes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RolloutLabels {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `canary`, `blueGreen` or nothing.
    pub strategy: &'static str,
    /// The routers, as the fields of `trafficRouting` are called, joined by commas; nothing without one.
    pub traffic_router: String,
    /// Phase, as the status says.
    pub phase: String,
}

/// One Rollout in the gauges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutGauges {
    /// Its labels.
    pub labels: RolloutLabels,
    /// Pods that it wants, has, that run the present template, and that are available.
    pub replicas: Replicas,
}

/// Counts of pods of one Rollout, as its status has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replicas {
    /// `spec.replicas`.
    pub desired: u64,
    /// `status.replicas`.
    pub present: u64,
    /// `status.updatedReplicas`.
    pub updated: u64,
    /// `status.availableReplicas`.
    pub available: u64,
}

/// One of the gauges of pods: its name, what it is, and how it is counted.
type ReplicaGauge = (&'static str, &'static str, fn(&Replicas) -> u64);

const REPLICA_GAUGES: [ReplicaGauge; 4] = [
    ("rollout_info_replicas_desired", "Pods that a Rollout wants", |pods| {
        pods.desired
    }),
    ("rollout_info_replicas_available", "Pods that are available", |pods| {
        pods.available
    }),
    (
        "rollout_info_replicas_unavailable",
        "Pods that are not available",
        |pods| pods.present.saturating_sub(pods.available),
    ),
    (
        "rollout_info_replicas_updated",
        "Pods that run the present template",
        |pods| pods.updated,
    ),
];

/// What an event is about, for counts of events.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EventLabels {
    /// `Normal` or `Warning`.
    pub r#type: &'static str,
    /// For example `RolloutCompleted`.
    pub reason: &'static str,
}

/// What the state of the controller is at the moment of a scrape.
pub trait Gauges: Send + Sync + 'static {
    /// One entry for each Rollout.
    fn rollouts(&self) -> Vec<RolloutGauges>;
    /// AnalysisRuns and templates.
    fn analyses(&self) -> Analyses;
    /// Name, help and value of all other gauges.
    fn values(&self) -> Vec<(&'static str, &'static str, f64)>;
}

#[derive(Debug)]
struct Process;

struct Described(Weak<dyn Gauges>);

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Metrics {
        // From 100 µs (a decision from memory) to about 13 s (several writes that time out).
        let durations = || Histogram::new((0..18).map(|power| 0.0001 * 2f64.powi(power)));
        let metrics = Metrics {
            registry: Mutex::new(Registry::default()),
            rollout_reconcile: durations(),
            run_reconcile: durations(),
            rollout_errors: Counter::default(),
            run_errors: Counter::default(),
            panics: Counter::default(),
            writes: Family::default(),
            write_errors: Family::default(),
            refused: Family::default(),
            watch_errors: Family::default(),
            undecodable: Family::default(),
            rollout_events: Family::default(),
            events: Counter::default(),
            events_lost: Counter::default(),
            measurements: Family::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&self) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let it = &mut *registry;
        it.register(
            "rollout_reconcile",
            "Seconds that reconciles of Rollouts took",
            self.rollout_reconcile.clone(),
        );
        it.register(
            "analysis_run_reconcile",
            "Seconds that reconciles of AnalysisRuns took",
            self.run_reconcile.clone(),
        );
        it.register(
            "rollout_reconcile_error",
            "Reconciles of Rollouts that failed",
            self.rollout_errors.clone(),
        );
        it.register(
            "analysis_run_reconcile_error",
            "Reconciles of AnalysisRuns that failed",
            self.run_errors.clone(),
        );
        it.register("sluice_panics", "Reconciles that panicked", self.panics.clone());
        it.register(
            "sluice_writes",
            "Writes that the API server accepted",
            self.writes.clone(),
        );
        it.register("sluice_write_errors", "Writes that failed", self.write_errors.clone());
        it.register(
            "sluice_refused_effects",
            "Effects that a guard refused",
            self.refused.clone(),
        );
        it.register(
            "sluice_watch_errors",
            "Interruptions of watches",
            self.watch_errors.clone(),
        );
        it.register(
            "sluice_undecodable_objects",
            "Objects that could not be decoded",
            self.undecodable.clone(),
        );
        it.register(
            "rollout_events",
            "Events of Rollouts by type and reason",
            self.rollout_events.clone(),
        );
        it.register("sluice_events", "Events published", self.events.clone());
        it.register(
            "sluice_events_lost",
            "Events that could not be published",
            self.events_lost.clone(),
        );
        it.register("sluice_measurements", "Measurements made", self.measurements.clone());
        it.register_collector(Box::new(Process));
    }

    /// Adds gauges that are read at each scrape.
    pub fn describe(&self, gauges: &Arc<dyn Gauges>) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register_collector(Box::new(Described(Arc::downgrade(gauges))));
    }

    /// All metrics in the text format of OpenMetrics.
    pub fn encode(&self) -> String {
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        // Writing to a string cannot fail; a collector that fails leaves the text where it was.
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        text
    }
}

impl Collector for Described {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let Some(gauges) = self.0.upgrade() else { return Ok(()) };
        let rollouts = gauges.rollouts();
        for (name, help) in [
            ("rollout_info", "One for each Rollout, with its strategy and phase"),
            (
                "rollout_phase",
                "One for each Rollout, with its phase (use rollout_info)",
            ),
        ] {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for rollout in &rollouts {
                ConstGauge::new(1u64).encode(family.encode_family(&rollout.labels)?)?;
            }
        }
        for (name, help, count) in REPLICA_GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for RolloutGauges { labels, replicas } in &rollouts {
                let labels = NameLabels {
                    namespace: labels.namespace.clone(),
                    name: labels.name.clone(),
                };
                ConstGauge::new(count(replicas)).encode(family.encode_family(&labels)?)?;
            }
        }
        let analyses = gauges.analyses();
        analysis_gauges::encode(&mut encoder, &analyses)?;
        #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^53 of anything here")]
        let undescribed = (
            "sluice_undescribed_objects",
            "AnalysisRuns and templates beyond those that are described",
            analyses.left_out as f64,
        );
        for (name, help, value) in gauges.values().into_iter().chain([undescribed]) {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Described {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Described")
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let Some(process) = read_process() else { return Ok(()) };
        let cpu = ConstCounter::new(process.cpu_secs);
        let name = "process_cpu_seconds";
        cpu.encode(encoder.encode_descriptor(name, "CPU time used", None, cpu.metric_type())?)?;
        for (name, help, value) in [
            (
                "process_resident_memory_bytes",
                "Resident memory",
                process.resident_bytes,
            ),
            ("process_open_fds", "Open file descriptors", process.open_files),
            ("process_threads", "Threads", process.threads),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

struct ProcessFacts {
    cpu_secs: f64,
    resident_bytes: u64,
    open_files: u64,
    threads: u64,
}

/// Facts from /proc; `None` where there is none.
fn read_process() -> Option<ProcessFacts> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses and may hold anything; fields are counted from after it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
    let open_files = std::fs::read_dir("/proc/self/fd").ok()?.count();
    Some(ProcessFacts {
        // The kernel counts in ticks of 1/100 s for user space on every architecture that we build for.
        #[expect(clippy::cast_precision_loss, reason = "2^53 ticks are three million years")]
        cpu_secs: ticks as f64 / 100.0,
        resident_bytes: kibibytes * 1024,
        open_files: u64::try_from(open_files).unwrap_or(u64::MAX),
        threads: fields.get(17)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Two;

    impl Gauges for Two {
        fn rollouts(&self) -> Vec<RolloutGauges> {
            vec![RolloutGauges {
                labels: RolloutLabels {
                    namespace: "ns".into(),
                    name: "shop".into(),
                    strategy: "canary",
                    traffic_router: "gatewayApi".into(),
                    phase: "Healthy".into(),
                },
                replicas: Replicas {
                    desired: 4,
                    present: 5,
                    updated: 1,
                    available: 3,
                },
            }]
        }

        fn analyses(&self) -> Analyses {
            Analyses {
                left_out: 7,
                ..Analyses::default()
            }
        }

        fn values(&self) -> Vec<(&'static str, &'static str, f64)> {
            vec![("sluice_leader", "Whether this process leads", 1.0)]
        }
    }

    #[test]
    fn a_scrape_shows_counters_rollouts_gauges_and_the_process() {
        let metrics = Metrics::new();
        let gauges: Arc<dyn Gauges> = Arc::new(Two);
        metrics.describe(&gauges);
        metrics
            .writes
            .get_or_create(&KindLabel {
                kind: "set-split".into(),
            })
            .inc();
        metrics.rollout_reconcile.observe(0.001);
        metrics.run_reconcile.observe(0.001);
        metrics.run_errors.inc();
        let completed = EventLabels {
            r#type: "Normal",
            reason: "RolloutCompleted",
        };
        metrics.rollout_events.get_or_create(&completed).inc();
        let text = metrics.encode();
        for line in [
            "sluice_writes_total{kind=\"set-split\"} 1",
            "rollout_info{namespace=\"ns\",name=\"shop\",strategy=\"canary\",traffic_router=\"gatewayApi\",phase=\"Healthy\"} 1",
            "rollout_info_replicas_desired{namespace=\"ns\",name=\"shop\"} 4",
            "rollout_info_replicas_available{namespace=\"ns\",name=\"shop\"} 3",
            "rollout_info_replicas_unavailable{namespace=\"ns\",name=\"shop\"} 2",
            "rollout_info_replicas_updated{namespace=\"ns\",name=\"shop\"} 1",
            "rollout_events_total{type=\"Normal\",reason=\"RolloutCompleted\"} 1",
            "sluice_leader 1.0",
            "rollout_reconcile_count 1",
            "analysis_run_reconcile_count 1",
            "analysis_run_reconcile_error_total 1",
            "# TYPE analysis_run_info gauge",
            "sluice_undescribed_objects 7.0",
            "# TYPE process_resident_memory_bytes gauge",
            "# EOF",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is missing in:\n{text}");
        }
        let resident = text
            .lines()
            .find_map(|line| line.strip_prefix("process_resident_memory_bytes "))
            .unwrap();
        assert!(resident.parse::<u64>().unwrap() > 1024 * 1024);
    }
}
