//! The timeline: the rows of the text form, each of which marks its moment in the plots.

use std::fmt::Write as _;

use super::axis::Axis;
use super::escape::escape;
use crate::report::text::{Tone, pods, shown, what};
use crate::report::{Position, RolloutReport, Row, RowKind, clock};

/// At most so many rows: a browser becomes slow with more, and nobody reads them.
const MOST_ROWS: usize = 3_000;

/// The rows as a list.
pub(super) fn rows(rollout: &RolloutReport, axis: Axis) -> String {
    let rows = shown(&rollout.rows);
    let (left_out, steps) = (rows.len().saturating_sub(MOST_ROWS), rollout.steps.len());
    let begins = rows
        .iter()
        .position(|row| row.at_millis >= axis.from)
        .unwrap_or(rows.len());
    let mut html = String::from("<ol class=rows>");
    let mut before = None;
    if begins > 0 {
        let _ = write!(
            html,
            "<li><details><summary>{begins} rows before: the first version comes up</summary><ol class=rows>"
        );
    }
    for (index, row) in rows.iter().take(MOST_ROWS).enumerate() {
        if index == begins && begins > 0 {
            html.push_str("</ol></details>");
        }
        let (tone, text) = what(row);
        let _ = write!(
            html,
            "<li><button type=button class=\"row {}\" data-at={}><time>{}</time><span>{}{}</span></button>",
            class(row, tone),
            row.at_millis,
            clock(row.at_millis),
            escape(&text),
            changes(&row.position, before, steps)
        );
        before = Some(&row.position);
    }
    if begins > 0 && begins >= rows.len().min(MOST_ROWS) {
        html.push_str("</ol></details>");
    }
    if left_out > 0 {
        let _ = write!(html, "<li class=note>{left_out} more rows: the text form has them");
    }
    html + "</ol>"
}

fn class(row: &Row, tone: Tone) -> &'static str {
    match (row.kind, tone) {
        (_, Tone::Bad) | (RowKind::Fault, _) => "fail",
        (RowKind::Hold, _) => "hold",
        (RowKind::Command, _) => "typed",
        _ => "",
    }
}

/// What is different from the row before.
fn changes(position: &Position, before: Option<&Position>, steps: usize) -> String {
    let Some(before) = before else {
        return String::new();
    };
    let mut chips: Vec<String> = Vec::new();
    if let Some(step) = position.step.filter(|_| steps > 0 && position.step != before.step) {
        chips.push(format!("step {step}/{steps}"));
    }
    let shares = [
        ("wanted", position.wanted, before.wanted),
        ("routed", position.routed, before.routed),
        ("acked", position.acknowledged, before.acknowledged),
    ];
    for (name, now, _) in shares.into_iter().filter(|(_, now, was)| now != was) {
        chips.extend(now.map(|now| format!("{name} {now} %")));
    }
    if position.pods != before.pods {
        chips.push(pods(position));
    }
    let mut html = String::new();
    for chip in chips.iter().filter(|chip| !chip.is_empty()) {
        let _ = write!(html, " <em>{}</em>", escape(chip));
    }
    html
}
