//! The split of one update as a picture of its own, for documentation. It is light or dark as its reader's page is.

use std::fmt::Write as _;

use super::axis::{Axis, round_time};
use super::escape::escape;
use super::marks::short;
use super::panel::{Panel, verdict_class};
use super::{PLOT_CSS, panel, panels, versions};
use crate::report::RolloutReport;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 104.0;
const TOP: f64 = 74.0;
const PLOT: f64 = 170.0;
/// This part of the update's time is shown after its last step.
const AFTERWARDS: i64 = 5;

/// The update of a Rollout from its first change until after its last step: the split with its steps, and below it the
/// measurements with their verdicts. A standalone SVG file.
pub fn picture(rollout: &RolloutReport, title: &str) -> String {
    let rows = rollout.rows.iter().map(|row| row.at_millis).max();
    let end = rollout
        .spans
        .iter()
        .filter_map(|span| span.until_millis)
        .max()
        .or(rows)
        .unwrap_or(0);
    let mut axis = Axis::of(rollout, end);
    axis.until += (axis.until - axis.from) / AFTERWARDS;
    let versions = versions::versions(rollout);
    let mut split = panels::split(rollout, &versions, axis);
    split.height = PLOT;
    let measured = TOP + PLOT + 18.0;
    let height = measured + 50.0;
    let inner = WIDTH - LEFT - RIGHT;
    let title = escape(title);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n<style>\n{PLOT_CSS}</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\" rx=\"8\"/>\n\
         <text class=\"title\" x=\"{LEFT}\" y=\"28\">{title}</text>\n"
    );
    let at = |millis: i64| LEFT + axis.share(millis) * inner;
    for span in rollout.spans.iter().filter(|span| axis.contains(span.from_millis)) {
        let (from, until) = (at(span.from_millis), at(span.until_millis.unwrap_or(axis.until)));
        let _ = writeln!(
            svg,
            "<line class=\"edge\" x1=\"{from:.1}\" x2=\"{from:.1}\" y1=\"{}\" y2=\"{measured}\"/>",
            TOP - 24.0
        );
        // A step that is too short for its text shows as a line.
        let text = short(&span.text);
        if until - from > 7.0 * f64::from(u32::try_from(text.chars().count()).unwrap_or(0)) {
            let middle = f64::midpoint(from, until);
            let _ = writeln!(
                svg,
                "<text class=\"small mid\" x=\"{middle:.1}\" y=\"{}\">{}</text>",
                TOP - 10.0,
                escape(&text)
            );
        }
    }
    let scale = split.scale(axis);
    for tick in &split.ticks {
        let down = TOP + scale.down(*tick) + 4.0;
        let _ = writeln!(
            svg,
            "<text class=\"small end\" x=\"{}\" y=\"{down}\">{tick} %</text>",
            LEFT - 8.0
        );
    }
    let _ = writeln!(
        svg,
        "<svg x=\"{LEFT}\" y=\"{TOP}\" width=\"{inner}\" height=\"{PLOT}\" overflow=\"visible\">{}</svg>",
        split.svg(axis)
    );
    svg.push_str(&names(&split, &versions));
    svg.push_str(&dots(rollout, axis, measured, inner));
    for tick in axis.ticks() {
        let _ = writeln!(
            svg,
            "<text class=\"small mid\" x=\"{:.1}\" y=\"{}\">{}</text>",
            at(tick),
            height - 12.0,
            round_time(tick)
        );
    }
    svg + "</svg>\n"
}

fn names(split: &Panel, versions: &[versions::Version<'_>]) -> String {
    let mut svg = String::new();
    let left = WIDTH - RIGHT + 10.0;
    for (index, label) in (0_u32..).zip(&split.labels) {
        let down = TOP + 12.0 + 20.0 * f64::from(index);
        let _ = writeln!(
            svg,
            "<path class=\"line {}\" d=\"M{left} {}h18\"/><text class=\"small\" x=\"{}\" y=\"{down}\">{}</text>",
            label.class,
            down - 4.0,
            left + 24.0,
            escape(&label.name)
        );
    }
    for (version, down) in versions.iter().zip([TOP + 24.0, TOP + PLOT - 14.0]) {
        let (x, anchor) = if version.role == versions::Role::Stable {
            (LEFT + 10.0, "begin")
        } else {
            (WIDTH - RIGHT - 10.0, "end")
        };
        let _ = writeln!(
            svg,
            "<text class=\"name {} {anchor}\" x=\"{x}\" y=\"{down}\">{}</text>",
            version.role.class(),
            escape(&version.name)
        );
    }
    svg
}

fn dots(rollout: &RolloutReport, axis: Axis, down: f64, inner: f64) -> String {
    let mut svg = format!(
        "<text class=\"small end\" x=\"{}\" y=\"{}\">checks</text>\n",
        LEFT - 8.0,
        down + 4.0
    );
    let taken = rollout.runs.iter().flat_map(|run| &run.measurements);
    for measurement in taken.filter(|measurement| axis.contains(measurement.at_millis)) {
        let _ = writeln!(
            svg,
            "<g class=\"dot {}\" transform=\"translate({:.1} {down})\">{}</g>",
            verdict_class(&measurement.verdict),
            LEFT + axis.share(measurement.at_millis) * inner,
            panel::shape(&measurement.verdict)
        );
    }
    svg
}
