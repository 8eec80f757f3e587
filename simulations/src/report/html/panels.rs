//! What is plotted of a Rollout: the split, error rates, latencies, pods, and the evidence.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::axis::{Axis, float};
use super::curve::{Piece, held, measured, shown};
use super::escape::escape;
use super::panel::{Curve, Dot, Label, Panel, Unit, round_up, verdict_class};
use super::versions::{Role, Version};
use crate::record::shortened;
use crate::report::{MeasurementReport, PodsPoint, RolloutReport, SplitPoint, TrafficSample, clock};

/// Pods of at most so many versions are plotted, those of the last ones.
const MOST_VERSIONS: usize = 6;
/// At most so many metrics are plotted, and at most so many measurements of each: beyond it some of the successful ones go.
const MOST_METRICS: usize = 8;
const MOST_DOTS: usize = 300;

/// A share that stays for this part of the time has its value in the plot.
const PLATEAU: f64 = 0.06;
/// Error rates are not blown up beyond this: a plot that ends at 0.01 % makes noise of nothing.
const LEAST_ERRORS: f64 = 1.0;

/// All plots, from top to bottom.
pub(super) fn panels(rollout: &RolloutReport, versions: &[Version<'_>], axis: Axis) -> Vec<Panel> {
    let mut panels = vec![split(rollout, versions, axis), errors(versions), latency(versions)];
    panels.extend(evidence(rollout));
    panels.extend(pods(rollout, versions, axis));
    panels
}

/// The share of the version on trial. While the newest version is the first one (it comes up, or comes back) it has the rest.
pub(super) fn split(rollout: &RolloutReport, versions: &[Version<'_>], axis: Axis) -> Panel {
    let first = versions.first().filter(|_| versions.len() > 1);
    let share = |point: &SplitPoint, value: Option<f64>| {
        let is_first = first
            .zip(point.revision)
            .is_some_and(|(first, newest)| first.is(newest));
        value.map(|share| if is_first { 100.0 - share } else { share })
    };
    let values = |of: fn(&SplitPoint) -> Option<f64>| {
        let points = rollout.split.iter();
        held(
            points.map(|point| (point.at_millis, share(point, of(point)))),
            axis.until,
        )
    };
    let last = versions.last().map_or(Role::Canary, |version| version.role).class();
    let curves = [
        ("wanted", values(|point| point.wanted)),
        ("acked", values(|point| point.acknowledged)),
        ("routed", values(|point| point.routed)),
    ];
    let is_long = |piece: &&Piece| axis.share(piece.until) - axis.share(piece.from) > PLATEAU && piece.value > 0.0;
    let plateaus = shown(&curves[2].1, axis).iter().filter(is_long).copied().collect();
    let labels = ["wanted", "routed", "acked"].iter().filter_map(|name| {
        let (_, pieces) = curves.iter().find(|(curve, _)| curve == name)?;
        let end = pieces.last()?.value;
        Some(Label {
            key: format!("split {name}"),
            name: (*name).to_owned(),
            class: format!("{last} {name}"),
            beside: end,
            text: Unit::Percent.text(end),
        })
    });
    let labels = labels.collect();
    let title = match versions {
        [first, .., last] => format!(
            "Requests to {} <small>the rest to {}</small>",
            named(last, ""),
            named(first, "")
        ),
        _ => "Requests".to_owned(),
    };
    let rest = Curve {
        class: "stable".to_owned(),
        pieces: vec![Piece {
            from: axis.from,
            until: axis.until,
            value: 100.0,
        }],
        filled: true,
        drawn: false,
    };
    let lines = curves.into_iter().map(|(name, pieces)| Curve {
        class: format!("{last} {name}"),
        pieces,
        filled: name == "routed",
        drawn: true,
    });
    Panel {
        title,
        height: 150.0,
        bottom: 0.0,
        top: 100.0,
        unit: Unit::Percent,
        ticks: vec![0.0, 50.0, 100.0],
        curves: std::iter::once(rest).chain(lines).collect(),
        dots: Vec::new(),
        spans: Vec::new(),
        labels,
        plateaus,
    }
}

fn errors(versions: &[Version<'_>]) -> Panel {
    let rate = |sample: &TrafficSample| sample.error_rate.map(|rate| rate * 100.0);
    let lines = lines(versions, &[("", "errorRate", rate)], Unit::Percent);
    with_lines("Error rate", 90.0, LEAST_ERRORS, Unit::Percent, lines)
}

fn latency(versions: &[Version<'_>]) -> Panel {
    let curves: [SampleCurve; 2] = [
        ("p99", "p99Millis", |sample| sample.p99_millis),
        ("p50", "p50Millis", |sample| sample.p50_millis),
    ];
    let lines = lines(versions, &curves, Unit::Millis);
    with_lines(
        "Latency <small>of 50 % and of 99 % of the requests</small>",
        90.0,
        0.0,
        Unit::Millis,
        lines,
    )
}

/// What is added to the version's name, the field of the sample, and how it is read.
type SampleCurve = (&'static str, &'static str, fn(&TrafficSample) -> Option<f64>);

fn lines(versions: &[Version<'_>], curves: &[SampleCurve], unit: Unit) -> Vec<(Curve, Label)> {
    let mut lines = Vec::new();
    for version in versions {
        for (name, field, value) in curves {
            let samples = version.report.samples.iter();
            let pieces = measured(samples.map(|sample| (sample.at_millis, value(sample))));
            let Some(last) = pieces.last().copied() else {
                continue;
            };
            let class = format!("{} {name}", version.role.class());
            let label = Label {
                key: format!("sample {} {field}", version.report.revision),
                name: format!("{name} {}", version.name).trim().to_owned(),
                class: class.clone(),
                beside: last.value,
                text: unit.text(last.value),
            };
            let curve = Curve {
                class,
                pieces,
                filled: false,
                drawn: true,
            };
            lines.push((curve, label));
        }
    }
    lines
}

fn with_lines(title: &str, height: f64, least: f64, unit: Unit, lines: Vec<(Curve, Label)>) -> Panel {
    let (curves, mut labels): (Vec<Curve>, Vec<Label>) = lines.into_iter().unzip();
    let values = curves.iter().flat_map(|curve| &curve.pieces).map(|piece| piece.value);
    let top = round_up(values.fold(least, f64::max));
    // More names than there is room for would stand on each other: the last versions matter.
    while labels.len() > 5 {
        labels.remove(0);
    }
    Panel {
        title: title.to_owned(),
        height,
        bottom: 0.0,
        top,
        unit,
        ticks: vec![0.0, top / 2.0, top],
        curves,
        dots: Vec::new(),
        spans: Vec::new(),
        labels,
        plateaus: Vec::new(),
    }
}

/// A plot for each version: available pods, and how many are wanted.
fn pods(rollout: &RolloutReport, versions: &[Version<'_>], axis: Axis) -> Vec<Panel> {
    let most = rollout
        .pods
        .iter()
        .flat_map(|point| &point.pods)
        .map(|pods| pods.wanted.max(pods.available))
        .max();
    let top = float(i64::try_from(most.unwrap_or(1).max(1)).unwrap_or(i64::MAX));
    let skipped = versions.len().saturating_sub(MOST_VERSIONS);
    let shown = versions.iter().skip(skipped).enumerate();
    shown
        .map(|(index, version)| {
            let count = |point: &PodsPoint, is_wanted: bool| {
                let pods = point.pods.iter().find(|pods| version.is(pods.revision));
                let count = pods.map_or(0, |pods| if is_wanted { pods.wanted } else { pods.available });
                Some(float(i64::try_from(count).unwrap_or(i64::MAX)))
            };
            let curve = |is_wanted: bool| {
                let points = rollout.pods.iter();
                held(
                    points.map(|point| (point.at_millis, count(point, is_wanted))),
                    axis.until,
                )
            };
            let (available, wanted) = (curve(false), curve(true));
            let last = |pieces: &[Piece]| pieces.last().map_or(0.0, |piece| piece.value);
            let class = version.role.class();
            let label = Label {
                key: format!("pods {}", version.report.revision),
                name: version.name.clone(),
                class: class.to_owned(),
                beside: top / 2.0,
                text: format!("{}/{}", last(&available), last(&wanted)),
            };
            let older = if skipped > 0 {
                format!("; {skipped} older versions are left out")
            } else {
                String::new()
            };
            Panel {
                title: if index == 0 {
                    format!("Pods <small>available, of those wanted (dashed){older}</small>")
                } else {
                    String::new()
                },
                height: 40.0,
                bottom: 0.0,
                top,
                unit: Unit::Plain,
                ticks: vec![0.0, top],
                curves: vec![
                    Curve {
                        class: format!("{class} wanted"),
                        pieces: wanted,
                        filled: false,
                        drawn: true,
                    },
                    Curve {
                        class: class.to_owned(),
                        pieces: available,
                        filled: true,
                        drawn: true,
                    },
                ],
                dots: Vec::new(),
                spans: Vec::new(),
                labels: vec![label],
                plateaus: Vec::new(),
            }
        })
        .collect()
}

/// A plot for each metric: its measurements, and the runs that took them.
fn evidence(rollout: &RolloutReport) -> Vec<Panel> {
    let mut metrics: BTreeMap<&str, Vec<&MeasurementReport>> = BTreeMap::new();
    for measurement in rollout.runs.iter().flat_map(|run| &run.measurements) {
        metrics.entry(&measurement.metric).or_default().push(measurement);
    }
    let all = metrics.len();
    let shown = metrics.into_iter().take(MOST_METRICS).enumerate();
    shown
        .map(|(index, (metric, taken))| {
            let few = fewer(&taken);
            let mut title = format!("Evidence: {} <small>verdicts:{}", escape(metric), verdicts(&taken));
            if few.len() < taken.len() {
                let _ = write!(title, "; {} of {} are drawn", few.len(), taken.len());
            }
            if index + 1 == MOST_METRICS && all > MOST_METRICS {
                let _ = write!(title, "; {} more metrics are left out", all - MOST_METRICS);
            }
            metric_panel(rollout, metric, &few, title + "</small>")
        })
        .collect()
}

fn metric_panel(rollout: &RolloutReport, metric: &str, taken: &[&MeasurementReport], title: String) -> Panel {
    let dots: Vec<Dot> = taken.iter().map(|measurement| dot(measurement)).collect();
    let values = || dots.iter().filter_map(|dot| dot.value);
    let top = round_up(values().fold(0.0, f64::max));
    let lowest = values().fold(0.0, f64::min);
    let bottom = if lowest < 0.0 { -round_up(-lowest) } else { 0.0 };
    let of_metric = rollout
        .runs
        .iter()
        .filter(|run| run.measurements.iter().any(|taken| taken.metric == metric));
    let spans = of_metric.map(|run| {
        let tooltip = format!("{}: {}", run.name, run.phase);
        let class = verdict_class(&run.phase);
        (
            run.from_millis,
            run.until_millis.unwrap_or(i64::MAX),
            class.to_owned(),
            tooltip,
        )
    });
    let spans = spans.collect();
    let last = taken.last();
    let label = |what: &str, text: String| Label {
        key: format!("evidence {what} {metric}"),
        name: what.to_owned(),
        class: "none".to_owned(),
        beside: dots.last().and_then(|dot| dot.value).unwrap_or(bottom),
        text,
    };
    let labels = last.map(|last| [label("value", value_of(last)), label("verdict", last.verdict.clone())]);
    Panel {
        title,
        height: 76.0,
        bottom,
        top,
        unit: Unit::Plain,
        ticks: vec![bottom, f64::midpoint(bottom, top), top],
        curves: Vec::new(),
        dots,
        spans,
        labels: labels.into_iter().flatten().collect(),
        plateaus: Vec::new(),
    }
}

/// How often there was each verdict, with its shape.
fn verdicts(taken: &[&MeasurementReport]) -> String {
    let count = |verdict: &str| {
        taken
            .iter()
            .filter(|measurement| measurement.verdict == verdict)
            .count()
    };
    let told = ["Successful", "Failed", "Inconclusive", "Error"]
        .iter()
        .filter(|verdict| count(verdict) > 0);
    let mut html = String::new();
    for verdict in told {
        let _ = write!(
            html,
            " <svg width=12 height=12 viewBox=\"-6 -6 12 12\" class=\"dot {}\" aria-hidden=true>{}</svg> {} {verdict}",
            verdict_class(verdict),
            super::panel::shape(verdict),
            count(verdict)
        );
    }
    html
}

/// At most [`MOST_DOTS`]: those that are not successful first, and of the rest every so many.
fn fewer<'a>(taken: &[&'a MeasurementReport]) -> Vec<&'a MeasurementReport> {
    let is_good = |measurement: &&&MeasurementReport| measurement.verdict == "Successful";
    let bad = taken.iter().filter(|measurement| !is_good(measurement)).count();
    let every = |count: usize, room: usize| count.div_ceil(room.max(1)).max(1);
    let (every_bad, every_good) = (
        every(bad, MOST_DOTS / 2),
        every(taken.len() - bad, MOST_DOTS.saturating_sub(bad.min(MOST_DOTS / 2))),
    );
    let (mut good, mut other) = (0, 0);
    let kept = taken.iter().filter(|measurement| {
        let (count, every) = if is_good(measurement) {
            (&mut good, every_good)
        } else {
            (&mut other, every_bad)
        };
        *count += 1;
        (*count - 1) % every == 0
    });
    kept.copied().collect()
}

fn dot(measurement: &MeasurementReport) -> Dot {
    let mut tooltip = format!(
        "{} {} = {}: {}",
        clock(measurement.at_millis),
        measurement.metric,
        value_of(measurement),
        measurement.verdict
    );
    if !measurement.message.is_empty() {
        tooltip = format!("{tooltip} ({})", measurement.message);
    }
    Dot {
        at: measurement.at_millis,
        value: number_in(&measurement.value),
        verdict: measurement.verdict.clone(),
        tooltip,
    }
}

fn value_of(measurement: &MeasurementReport) -> String {
    let value = if measurement.value.is_empty() {
        "no value"
    } else {
        &measurement.value
    };
    shortened(value)
}

/// The first number of a measured value, such as `[0.05, 2]`.
fn number_in(value: &str) -> Option<f64> {
    let parts = value.split(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E')));
    parts
        .filter_map(|part| part.parse::<f64>().ok())
        .find(|number| number.is_finite())
}

fn named(version: &Version<'_>, after: &str) -> String {
    format!("<b class={}>{}{after}</b>", version.role.class(), escape(&version.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_of_a_value_is_plotted() {
        let rows = [
            ("[0.05, 2]", Some(0.05)),
            ("-1.5e-3", Some(-0.0015)),
            ("[]", None),
            ("NaN", None),
            ("[NaN, 3]", Some(3.0)),
            ("", None),
            ("no value", None),
        ];
        for (value, number) in rows {
            assert_eq!(number_in(value), number, "{value}");
        }
    }

    #[test]
    fn of_many_measurements_the_bad_ones_stay() {
        let taken: Vec<MeasurementReport> = (0..8_640)
            .map(|at| MeasurementReport {
                at_millis: at,
                verdict: if at % 1_000 == 7 { "Failed" } else { "Successful" }.to_owned(),
                ..MeasurementReport::default()
            })
            .collect();
        let all: Vec<&MeasurementReport> = taken.iter().collect();
        let few = fewer(&all);
        assert!(few.len() <= MOST_DOTS, "{}", few.len());
        assert_eq!(few.iter().filter(|taken| taken.verdict == "Failed").count(), 9);
        assert_eq!(fewer(&all[..100]).len(), 100);
    }
}
