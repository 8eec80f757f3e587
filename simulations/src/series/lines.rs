//! From the history to samples: one line for each series of a counter, scraped at fixed times.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::history::{Behaviour, Counter, During, History};
use super::shapes::{self, Shape};
use crate::clock::START;
use crate::promql::{BUCKET, Labels, NAME, Point, SeriesStore, StoreError, Window, number_text};
use crate::store::Store;

/// Which of the requests a line counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// Those answered without an error.
    Good,
    /// Those answered with an error.
    Errors,
}

/// When what a line is read from can be scraped.
#[derive(Clone, Debug)]
pub(super) enum Availability<'a> {
    /// Always: a proxy.
    Always,
    /// While one of its processes answers and Prometheus knows the pod as an endpoint of the Service.
    Pod {
        lives: &'a BTreeMap<u32, During>,
        member: &'a [During],
    },
}

impl Availability<'_> {
    /// The process that answers a scrape.
    fn life(&self, at_ms: i64) -> Option<u32> {
        match self {
            Availability::Always => Some(0),
            Availability::Pod { lives, member } => {
                let known = member.iter().any(|during| during.contains(at_ms));
                let alive = lives.iter().rev().find(|(_, life)| life.contains(at_ms));
                alive.filter(|_| known).map(|(life, _)| *life)
            }
        }
    }
}

/// A counter as it is exported, with the histogram of the durations of its requests.
#[derive(Clone, Debug)]
pub(super) struct Line<'a> {
    pub(super) part: Part,
    pub(super) availability: Availability<'a>,
    /// From a multiple of the scrape interval to the scrape of its target.
    pub(super) phase_ms: i64,
    /// The counters that it adds up, and the process that has them; 0 for a proxy.
    pub(super) counters: Vec<(u32, &'a Counter)>,
}

/// All lines, by shape and labels.
pub(super) type Lines<'a> = BTreeMap<(usize, Labels), Line<'a>>;

/// What Prometheus has scraped in a window, of the metrics with these names (`None`: of all).
pub(crate) fn scraped(
    history: &History,
    store: &Store,
    interval: SignedDuration,
    names: &[Option<String>],
    window: Window,
) -> Result<SeriesStore, StoreError> {
    let mut series = SeriesStore::default();
    let wanted = |name: &str| {
        names
            .iter()
            .any(|wanted| wanted.as_deref().is_none_or(|wanted| wanted == name))
    };
    let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
    for ((shape, labels), line) in &shapes::lines(history, store, &wanted) {
        let scrapes = scrapes(line, interval_ms, window);
        export(&mut series, &shapes::SHAPES[*shape], labels, line, &scrapes, &wanted)?;
    }
    Ok(series)
}

/// The requests of a line at each scrape of the window; nothing where the scrape fails or has nothing yet.
type Scrapes = Vec<(i64, Option<Vec<(Behaviour, f64)>>)>;

fn scrapes(line: &Line<'_>, interval_ms: i64, window: Window) -> Scrapes {
    let start_ms = START.as_millisecond();
    let phase_ms = line.phase_ms.rem_euclid(interval_ms);
    let after_ms = window.after_ms.max(start_ms - 1);
    let first = (after_ms - start_ms - phase_ms).div_euclid(interval_ms) + 1;
    let mut at_ms = start_ms + phase_ms + first.max(0) * interval_ms;
    let mut scrapes = Vec::new();
    while at_ms <= window.until_ms {
        scrapes.push((at_ms, requests(line, at_ms)));
        at_ms += interval_ms;
    }
    scrapes
}

fn requests(line: &Line<'_>, at_ms: i64) -> Option<Vec<(Behaviour, f64)>> {
    let life = line.availability.life(at_ms)?;
    let mut sum = Vec::new();
    for (_, counter) in line.counters.iter().filter(|(of, _)| *of == life) {
        sum.append(&mut counter.until(at_ms)?);
    }
    Some(sum)
}

fn share(part: Part, behaviour: &Behaviour) -> f64 {
    match part {
        Part::Good => 1.0 - behaviour.error_rate,
        Part::Errors => behaviour.error_rate,
    }
}

/// A number of requests as a counter shows it: whole ones. What floating point numbers lose must not lose a request.
fn whole(requests: f64) -> f64 {
    (requests + 1e-6).floor()
}

/// Adds the series of one line: the counter, and the histogram where it is wanted.
fn export(
    series: &mut SeriesStore,
    shape: &Shape,
    labels: &Labels,
    line: &Line<'_>,
    scrapes: &Scrapes,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<(), StoreError> {
    let counted = |of: &dyn Fn(&Behaviour) -> f64| -> Vec<Point> {
        let mut points: Vec<Point> = Vec::new();
        for (at_ms, requests) in scrapes {
            let total = |of: &dyn Fn(&Behaviour) -> f64| -> f64 {
                let requests = requests.iter().flatten();
                requests
                    .map(|(behaviour, count)| count * share(line.part, behaviour) * of(behaviour))
                    .sum()
            };
            let exported = requests.is_some() && whole(total(&|_| 1.0)) >= 1.0;
            if exported {
                points.push(Point {
                    at_ms: *at_ms,
                    value: total(of),
                });
            } else if points.last().is_some_and(|last| !last.is_stale()) {
                points.push(Point::stale(*at_ms));
            }
        }
        points
    };
    let counts = |of: &dyn Fn(&Behaviour) -> f64| -> Vec<Point> {
        let mut points = counted(of);
        let values = points.iter_mut().filter(|point| !point.is_stale());
        values.for_each(|point| point.value = whole(point.value));
        points
    };
    if wanted(shape.requests) {
        series.insert(labels.clone().with(NAME, shape.requests), counts(&|_| 1.0))?;
    }
    let [bucket, sum, count] = shape.durations();
    if wanted(&bucket) {
        let metric = labels.clone().with(NAME, &bucket);
        for upper in shape.buckets.iter().copied().chain([f64::INFINITY]) {
            let within = counts(&|behaviour| behaviour.latency.share_within(upper * shape.unit_ms));
            series.insert(metric.clone().with(BUCKET, &bound_text(upper)), within)?;
        }
    }
    if wanted(&sum) {
        let summed = counted(&|behaviour| behaviour.latency.mean_ms() / shape.unit_ms);
        series.insert(labels.clone().with(NAME, &sum), summed)?;
    }
    if wanted(&count) {
        series.insert(labels.clone().with(NAME, &count), counts(&|_| 1.0))?;
    }
    Ok(())
}

/// The bound of a bucket as Prometheus 3 stores it: whole numbers get a `.0`.
fn bound_text(upper: f64) -> String {
    let text = number_text(upper);
    if upper.is_finite() && !text.contains('.') {
        text + ".0"
    } else {
        text
    }
}
