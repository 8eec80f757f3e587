//! The series that both sides get: counters with resets, gaps and ends, series that begin late, histograms, gauges with
//! strange values, labels with strange texts.

// All numbers are small.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]

use sluice_simulations::Random;
use sluice_simulations::promql::{Labels, SeriesStore};

/// When the first scrape was.
pub const START_MS: i64 = 1_767_225_600_000;
/// Scrapes are so far apart, more or less.
const INTERVAL_MS: i64 = 15_000;
/// So many scrapes: 40 minutes.
const SCRAPES: i64 = 160;

/// A time in minutes since the first scrape.
pub fn minute(minutes: f64) -> i64 {
    START_MS + (minutes * 60_000.0) as i64
}

struct Writer {
    store: SeriesStore,
    random: Random,
}

impl Writer {
    /// One series: `value` is asked at each scrape with its number; `None` is a scrape that failed, `Some(None)` one that
    /// no longer found the series.
    fn series(&mut self, labels: &Labels, mut value: impl FnMut(i64, &mut Random) -> Option<Option<f64>>) {
        for scrape in 0..SCRAPES {
            // Real scrapes are late by some milliseconds.
            let at_ms = START_MS + scrape * INTERVAL_MS + i64::try_from(self.random.below(300)).expect("300 fits");
            match value(scrape, &mut self.random) {
                Some(Some(value)) => self.store.append(labels, at_ms, value),
                Some(None) => self.store.end(labels, at_ms),
                None => Ok(()),
            }
            .expect("times ascend and there is room");
        }
    }
}

/// All of them; the same ones each time.
pub fn series() -> SeriesStore {
    let mut writer = Writer {
        store: SeriesStore::default(),
        random: Random::new(4),
    };
    requests(&mut writer);
    durations(&mut writer);
    gauges(&mut writer);
    writer.store
}

/// What happens to a pod, by the number of the scrape.
#[derive(Clone, Copy)]
struct Pod {
    name: &'static str,
    version: &'static str,
    per_scrape: u64,
    errors_permille: u64,
    begins: i64,
    restarts: i64,
    /// Scrapes fail from the first to the second.
    gap: (i64, i64),
    /// The series is gone from the first to the second, and Prometheus knows.
    gone: (i64, i64),
}

const NEVER: i64 = i64::MAX;
const PODS: [Pod; 4] = [
    Pod {
        name: "shop-1-a",
        version: "1",
        per_scrape: 150,
        errors_permille: 20,
        begins: 0,
        restarts: 40,
        gap: (NEVER, NEVER),
        gone: (NEVER, NEVER),
    },
    // Never fails: it has no series of errors. A gap of three minutes.
    Pod {
        name: "shop-1-b",
        version: "1",
        per_scrape: 300,
        errors_permille: 0,
        begins: 0,
        restarts: NEVER,
        gap: (70, 82),
        gone: (NEVER, NEVER),
    },
    // Begins late and restarts.
    Pod {
        name: "shop-2-c",
        version: "2",
        per_scrape: 30,
        errors_permille: 100,
        begins: 80,
        restarts: 120,
        gap: (NEVER, NEVER),
        gone: (NEVER, NEVER),
    },
    // Ends, and comes back.
    Pod {
        name: "shop-2-d",
        version: "2",
        per_scrape: 45,
        errors_permille: 50,
        begins: 20,
        restarts: 128,
        gap: (50, 52),
        gone: (100, 128),
    },
];

fn labels_of(pod: &Pod, metric: &str) -> Labels {
    Labels::of_metric(metric)
        .with("job", "shop")
        .with("namespace", "default")
        .with("pod", pod.name)
        .with("rollouts_pod_template_hash", pod.version)
}

/// The value of a counter of a pod that grows by `step`, or what became of the scrape.
fn counter(pod: Pod, mut step: impl FnMut(&mut Random) -> f64) -> impl FnMut(i64, &mut Random) -> Option<Option<f64>> {
    let mut value = 0.0;
    move |scrape, random| {
        if scrape < pod.begins || (pod.gap.0..pod.gap.1).contains(&scrape) {
            return None;
        }
        if (pod.gone.0..pod.gone.1).contains(&scrape) {
            return (scrape == pod.gone.0).then_some(None);
        }
        if scrape == pod.restarts {
            value = 0.0;
        }
        value += step(random);
        Some(Some(value))
    }
}

fn requests(writer: &mut Writer) {
    for pod in PODS {
        // Of different size: of two equal values, `topk` may pick either.
        for (method, per_scrape) in [("GET", pod.per_scrape), ("POST", pod.per_scrape / 3)] {
            let labels = labels_of(&pod, "http_requests_total").with("method", method);
            let good = counter(pod, |random| (per_scrape / 2 + random.below(per_scrape)) as f64);
            writer.series(&labels.clone().with("code", "200"), good);
            if pod.errors_permille > 0 {
                let errors = counter(pod, |random| {
                    (0..per_scrape)
                        .filter(|_| random.below(1000) < pod.errors_permille)
                        .count() as f64
                });
                writer.series(&labels.clone().with("code", "500"), errors);
            }
        }
        let up = Labels::of_metric("up").with("job", "shop").with("pod", pod.name);
        writer.series(&up, move |scrape, _| {
            (scrape >= pod.begins).then(|| Some(f64::from(u8::from(!(pod.gap.0..pod.gap.1).contains(&scrape)))))
        });
        let info = Labels::of_metric("build_info")
            .with("pod", pod.name)
            .with("version", pod.version);
        writer.series(&info, move |scrape, _| (scrape >= pod.begins).then_some(Some(1.0)));
    }
}

/// Buckets of classic histograms; those of the second pod lack one bucket, and one of the third's counts falls behind.
fn durations(writer: &mut Writer) {
    const BOUNDS: [(&str, u64); 6] = [
        ("0.05", 300),
        ("0.1", 550),
        ("0.25", 800),
        ("0.5", 930),
        ("1.0", 980),
        ("+Inf", 1000),
    ];
    for (index, pod) in PODS.into_iter().enumerate().take(3) {
        for (le, permille) in BOUNDS {
            if index == 1 && le == "0.25" {
                continue;
            }
            let permille = if index == 2 && le == "0.5" { 700 } else { permille };
            let labels = labels_of(&pod, "http_request_duration_seconds_bucket").with("le", le);
            writer.series(&labels, counter(pod, |_| (pod.per_scrape * permille / 100) as f64));
        }
        let labels = labels_of(&pod, "http_request_duration_seconds_sum");
        writer.series(
            &labels,
            counter(pod, |random| 0.013 * (pod.per_scrape + random.below(10)) as f64),
        );
        let labels = labels_of(&pod, "http_request_duration_seconds_count");
        writer.series(&labels, counter(pod, |_| pod.per_scrape as f64 * 10.0));
    }
}

fn gauges(writer: &mut Writer) {
    let room = |name: &str| Labels::of_metric("temperature").with("room", name);
    writer.series(&room("kitchen"), |_, random| {
        Some(Some(random.below(400) as f64 / 10.0 - 10.0))
    });
    writer.series(&room("cellar"), |scrape, _| {
        Some(Some(if scrape % 7 == 3 { f64::NAN } else { scrape as f64 / 8.0 }))
    });
    writer.series(&room("attic"), |scrape, _| {
        Some(Some(if scrape % 11 == 5 { f64::INFINITY } else { -5.5 }))
    });
    writer.series(&room("line\nbreak \"quoted\" \\ é"), |scrape, _| {
        Some(Some((scrape % 3) as f64))
    });
    let size = |disk: &str| Labels::of_metric("disk_bytes").with("disk", disk);
    writer.series(&size("large"), |scrape, _| Some(Some(9.007e15 + scrape as f64)));
    writer.series(&size("small"), |scrape, _| Some(Some(1e-9 * scrape as f64)));
    writer.series(&size("opposite"), |scrape, _| Some(Some(-9.007e15 - scrape as f64)));
    // Samples at whole minutes, so that ranges and the lookback of five minutes begin exactly at one.
    let exact = Labels::of_metric("exact");
    for minutes in 0..=30_i32 {
        let at_ms = minute(f64::from(minutes));
        writer
            .store
            .append(&exact, at_ms, f64::from(minutes))
            .expect("times ascend and there is room");
    }
    // A single sample, and two that are far from both ends.
    let rare = |name: &str| Labels::of_metric("rare_total").with("name", name);
    writer.series(&rare("once"), |scrape, _| (scrape == 100).then_some(Some(3.0)));
    writer.series(&rare("twice"), |scrape, _| {
        [90, 96].contains(&scrape).then_some(Some(scrape as f64))
    });
}
