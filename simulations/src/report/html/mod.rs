//! A report as one HTML page: plots on a shared time axis, and the timeline. It opens from a disk, loads nothing, and the same
//! report gives the same bytes.
//!
//! ```text
//! RolloutReport ──panels──> Panel ──curve, axis──> inline SVG of any width ──┐
//!               ──head, marks, rows─────────────────────────────> HTML ──────┴──> page; page.js reads the embedded JSON
//! ```
//!
//! However long the simulated time is, the plots stay small: a curve has at most four values in each of 400 columns
//! ([`curve`]), a metric 300 dots ([`panels`]), a timeline 3,000 rows ([`rows`]).

mod axis;
mod curve;
mod escape;
mod head;
mod marks;
mod panel;
mod panels;
mod picture;
mod rows;
mod versions;

use std::fmt::Write as _;

use serde_json::json;

use super::{Report, RolloutReport, VERSION};
use axis::{Axis, round_time};
use escape::{escape, escape_json};

pub use picture::picture;

/// Colours and lines, of pages and of pictures.
const PLOT_CSS: &str = include_str!("plot.css");
const PAGE_CSS: &str = include_str!("page.css");
const PAGE_JS: &str = include_str!("page.js");

/// The reports as a page. It loads nothing from anywhere, and says so to the browser.
pub fn html(reports: &[Report]) -> String {
    let names: Vec<&str> = reports.iter().map(|report| report.scenario.as_str()).collect();
    let mut html = format!(
        "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n\
         <meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <meta name=viewport content=\"width=device-width, initial-scale=1\">\n<meta name=color-scheme content=\"light dark\">\n\
         <title>{} · simulated by Sluice</title>\n<style>\n{PLOT_CSS}{PAGE_CSS}</style>\n</head>\n<body>\n",
        escape(&names.join(", "))
    );
    html.push_str(&overview(reports));
    for (index, report) in reports.iter().enumerate() {
        for (place, rollout) in report.rollouts.iter().enumerate() {
            html.push_str(&update(report, rollout, (index, place)));
        }
    }
    let data = json!({"version": VERSION, "simulations": reports}).to_string();
    let _ = write!(
        html,
        "<script type=\"application/json\" id=report>{}</script>\n<script>\n{PAGE_JS}</script>\n</body>\n</html>\n",
        escape_json(&data)
    );
    html
}

/// Links to the updates, where there are several.
fn overview(reports: &[Report]) -> String {
    let mut html = String::from("<nav><b>Simulated update</b>");
    let several = reports.iter().map(|report| report.rollouts.len()).sum::<usize>() > 1;
    for (index, report) in reports.iter().enumerate().filter(|_| several) {
        for (place, rollout) in report.rollouts.iter().enumerate() {
            let name = if report.rollouts.len() > 1 {
                format!("{}, {}", report.scenario, rollout.name)
            } else {
                report.scenario.clone()
            };
            let _ = write!(
                html,
                "<a href=\"#u{index}-{place}\">{}{}</a>",
                head::badge(&rollout.outcome.phase),
                escape(&name)
            );
        }
    }
    html + "</nav>\n"
}

fn update(report: &Report, rollout: &RolloutReport, (index, place): (usize, usize)) -> String {
    let axis = Axis::of(rollout, report.end_millis);
    let versions = versions::versions(rollout);
    let marks = marks::marks(rollout, axis);
    let first = versions.first().filter(|_| versions.len() > 1);
    let first: Vec<u64> = first.map_or(Vec::new(), |first| {
        first
            .report
            .earlier
            .iter()
            .copied()
            .chain([first.report.revision])
            .collect()
    });
    let mut html = format!(
        "<section id=\"u{index}-{place}\" data-simulation={index} data-rollout={place} data-from={} data-until={} \
         data-first=\"{}\">{}",
        axis.from,
        axis.until,
        first.iter().map(u64::to_string).collect::<Vec<_>>().join(" "),
        head::head(report, rollout, &versions)
    );
    let _ = write!(
        html,
        "<div class=body><div class=plots tabindex=0 role=slider aria-label=\"Moment of the update {}\" \
         aria-valuemin={} aria-valuemax={} aria-valuenow={}>",
        escape(&report.scenario),
        axis.from,
        axis.until,
        axis.until
    );
    html.push_str(&marks::texts(&marks, axis));
    html.push_str(&marks::steps(rollout, axis));
    for panel in panels::panels(rollout, &versions, axis) {
        html.push_str(&panel.html(axis));
    }
    html.push_str("<div class=\"band axis\"><div>");
    for at in axis.ticks() {
        let _ = write!(
            html,
            "<span style=\"left:{}\">{}</span>",
            axis.percent(at),
            round_time(at)
        );
    }
    let _ = write!(
        html,
        "</div></div><div class=over>{}<i class=pinned hidden></i><i class=cursor hidden><b></b></i></div></div>",
        marks::through(rollout, &marks, axis)
    );
    let _ = writeln!(
        html,
        "<aside><h4>What happened</h4><div>{}</div></aside></div></section>",
        rows::rows(rollout, axis)
    );
    html
}
