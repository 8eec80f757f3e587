//! At the top of an update: the outcome, the requests of each version, and how long each step took.

use std::fmt::Write as _;

use super::axis::float;
use super::escape::escape;
use super::versions::Version;
use crate::report::text::{relative, took, whole};
use crate::report::{Report, RolloutReport, StepSpan, clock};

/// A version that fails so many of a hundred requests has that number in the colour of failures.
const MUCH: f64 = 1.0;

/// The badge of a phase: never only a colour.
pub(super) fn badge(phase: &str) -> String {
    let (class, sign) = match phase {
        "Healthy" => ("healthy", "✓ "),
        "Degraded" => ("degraded", "✕ "),
        _ => ("waiting", "◔ "),
    };
    let phase = if phase.is_empty() { "no status" } else { phase };
    format!("<span class=\"badge {class}\">{sign}{}</span>", escape(phase))
}

/// The whole head.
pub(super) fn head(report: &Report, rollout: &RolloutReport, versions: &[Version<'_>]) -> String {
    let strategy = if rollout.strategy == "blueGreen" {
        "blue-green"
    } else {
        "canary"
    };
    let mut html = format!(
        "<header><h2>{}{}</h2><p class=about>{} · {strategy} · seed {} · {} of virtual time</p>",
        badge(&rollout.outcome.phase),
        escape(&report.scenario),
        escape(&rollout.name),
        report.seed,
        clock(report.end_millis)
    );
    if !report.description.trim().is_empty() {
        let _ = write!(html, "<p>{}</p>", escape(report.description.trim()));
    }
    html.push_str(&outcome(rollout, versions));
    for note in &report.notes {
        let _ = write!(html, "<p class=note>note: {}</p>", escape(note));
    }
    html.push_str("</header><div class=facts>");
    html.push_str(&requests(report, rollout, versions));
    html.push_str(&steps(rollout));
    html.push_str(&checks(report));
    html + "</div>"
}

fn outcome(rollout: &RolloutReport, versions: &[Version<'_>]) -> String {
    let outcome = &rollout.outcome;
    let name = |number: u64| {
        let version = versions.iter().find(|version| version.report.revision == number);
        version.map_or_else(
            || format!("revision {number}"),
            |version| format!("<b class={}>{}</b>", version.role.class(), escape(&version.name)),
        )
    };
    let stand = match (outcome.stable, outcome.newest) {
        (Some(stable), Some(newest)) if stable == newest => format!("{} is stable", name(stable)),
        (Some(stable), Some(newest)) => format!(
            "{} is stable, {} has {} % of the requests",
            name(stable),
            name(newest),
            outcome.weight.unwrap_or(0.0)
        ),
        (None, Some(newest)) => format!("{} is not stable yet", name(newest)),
        _ => "no version is there".to_owned(),
    };
    let mut html = format!("<p class=came>{stand}.");
    if !outcome.message.is_empty() {
        let _ = write!(html, " {}", escape(&relative(&outcome.message)));
    }
    html.push_str("</p>");
    if !outcome.waits.is_empty() {
        let _ = write!(html, "<p class=note>waits: {}</p>", escape(&relative(&outcome.waits)));
    }
    html
}

fn requests(report: &Report, rollout: &RolloutReport, versions: &[Version<'_>]) -> String {
    let mut html = String::from(
        "<table><thead><tr><th>version<th class=number>served<th class=number>failed<th class=number>share</thead><tbody>",
    );
    for version in versions {
        let revision = version.report;
        let all = revision.ok + revision.errors;
        let share = if all > 0.0 { revision.errors * 100.0 / all } else { 0.0 };
        let is_stable = rollout.outcome.stable == Some(revision.revision);
        let _ = write!(
            html,
            "<tr><td><b class={}>{}</b> <small>{}, revision {}{}</small>\
             <td class=number data-served=\"{}\">{}<td class=number>{}<td class=number>{} %",
            version.role.class(),
            escape(&version.name),
            escape(&revision.image),
            revision.revision,
            if is_stable { ", stable in the end" } else { "" },
            revision.revision,
            whole(all),
            failed(revision.errors, share >= MUCH),
            (share * 100.0).round() / 100.0
        );
    }
    let lost = report.lost.iter().fold(0.0, |sum, lost| sum + lost.requests);
    let _ = write!(
        html,
        "<tr><td>lost <small>reached no version</small><td><td class=number data-lost>{}<td></tbody></table>",
        failed(lost, true)
    );
    html
}

fn failed(requests: f64, much: bool) -> String {
    let text = whole(requests);
    if much && text != "0" {
        format!("<b class=fail>{text}</b>")
    } else {
        text
    }
}

fn steps(rollout: &RolloutReport) -> String {
    if rollout.spans.is_empty() {
        return String::new();
    }
    let length = |span: &StepSpan| span.until_millis.map_or(0, |until| until - span.from_millis);
    let longest = rollout.spans.iter().map(length).max().unwrap_or(1).max(1);
    let first = rollout.spans.first().map_or(0, |span| span.revision);
    let several = rollout.spans.iter().any(|span| span.revision != first);
    let mut html = String::from("<ol class=stays>");
    for span in &rollout.spans {
        let revision = if several {
            format!("r{} ", span.revision)
        } else {
            String::new()
        };
        let _ = write!(
            html,
            "<li><span>{revision}{}</span><i><i style=\"width:{:.1}%\"></i></i><b data-step=\"{}\">{}</b>",
            escape(&span.text),
            float(length(span)) * 100.0 / float(longest),
            span.step,
            stay(span)
        );
    }
    html + "</ol>"
}

/// How long a stay took.
pub(super) fn stay(span: &StepSpan) -> String {
    match span.until_millis {
        Some(until) => took(until - span.from_millis),
        None => format!("since {}", clock(span.from_millis)),
    }
}

fn checks(report: &Report) -> String {
    let mut html = String::from("<ul class=checks>");
    for violation in &report.violations {
        let _ = write!(html, "<li class=fail>✕ broken invariant: {}", escape(violation));
    }
    for lost in &report.lost {
        let _ = write!(
            html,
            "<li{}>{} lost from {} to {}: {}",
            if lost.by_fault { "" } else { " class=fail" },
            whole(lost.requests),
            clock(lost.from_millis),
            clock(lost.until_millis),
            escape(&lost.reason)
        );
    }
    if report.lost.is_empty() {
        html.push_str("<li>✓ no request was lost");
    }
    for expectation in &report.expectations {
        let _ = if expectation.is_met() {
            write!(html, "<li>✓ {}", escape(&expectation.expected))
        } else {
            write!(
                html,
                "<li class=fail>✕ {}; came: {}",
                escape(&expectation.expected),
                escape(&relative(&expectation.came))
            )
        };
    }
    if !report.settled {
        let _ = write!(
            html,
            "<li>not at rest at {}: more would happen",
            clock(report.end_millis)
        );
    }
    html + "</ul>"
}
