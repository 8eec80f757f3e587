//! A report for people: a timeline, and what came of it.

use jiff::Timestamp;

use super::{Position, Report, RolloutReport, Row, RowKind};
use crate::clock::millis_since_start;

/// Rows in which only pods come up or proxies follow are shown as one where they are this close together.
const TOGETHER_MILLIS: i64 = 1_000;

/// What a piece of a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// Less important.
    Dim,
    /// Something that somebody did.
    Typed,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Went wrong.
    Bad,
}

/// A line in pieces.
pub type Line = Vec<(Tone, String)>;

/// The report as text without colours.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    for line in lines(report) {
        let start = text.len();
        line.iter().for_each(|(_, piece)| text.push_str(piece));
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    }
    text
}

/// The report, line by line.
pub fn lines(report: &Report) -> Vec<Line> {
    let mut lines = head(report);
    for rollout in &report.rollouts {
        lines.push(Line::new());
        lines.extend(of_rollout(rollout));
    }
    lines.extend(foot(report));
    lines
}

fn head(report: &Report) -> Vec<Line> {
    let mut title = vec![(Tone::Plain, report.scenario.clone())];
    title.push((
        Tone::Dim,
        format!(" (seed {}, {} of virtual time)", report.seed, clock(report.end_millis)),
    ));
    let mut lines = vec![title];
    lines.extend(
        report
            .description
            .lines()
            .map(|line| vec![(Tone::Plain, line.to_owned())]),
    );
    lines.extend(
        report
            .notes
            .iter()
            .map(|note| vec![(Tone::Dim, format!("note: {note}"))]),
    );
    lines
}

fn of_rollout(rollout: &RolloutReport) -> Vec<Line> {
    let strategy = if rollout.strategy == "blueGreen" {
        "blue-green"
    } else {
        "canary"
    };
    let mut lines = vec![vec![(Tone::Plain, format!("Rollout {} ({strategy})", rollout.name))]];
    for (index, step) in rollout.steps.iter().enumerate() {
        lines.push(vec![(Tone::Dim, format!("  step {index}: {step}"))]);
    }
    lines.push(Line::new());
    lines.extend(timeline(rollout));
    lines.push(Line::new());
    lines.extend(summary(rollout));
    lines
}

/// The columns that tell where the Rollout stands, and how wide each is.
struct Columns {
    steps: usize,
    pods: usize,
}

fn timeline(rollout: &RolloutReport) -> Vec<Line> {
    let rows = shown(&rollout.rows);
    let pods = rows.iter().map(|row| pods(&row.position).len()).max().unwrap_or(0);
    let columns = Columns {
        steps: rollout.steps.len(),
        pods: pods.clamp(4, 40),
    };
    let heading = format!(
        "{:>9}  {:>5}  {:>6}  {:>6}  {:>6}  {:width$}  ",
        "time",
        "step",
        "wanted",
        "routed",
        "acked",
        "pods",
        width = columns.pods
    );
    let mut lines = vec![vec![(Tone::Dim, heading)]];
    let mut before: Option<&Position> = None;
    for row in rows {
        let position = columns.cells(&row.position, before);
        let (tone, text) = what(row);
        let time = format!("{:>9}  ", clock(row.at_millis));
        lines.push(vec![(Tone::Dim, time), (Tone::Plain, position), (tone, text)]);
        before = Some(&row.position);
    }
    lines
}

impl Columns {
    /// Only what changed is written.
    fn cells(&self, position: &Position, before: Option<&Position>) -> String {
        let changed = |same: bool, text: String| if same && before.is_some() { String::new() } else { text };
        let was = before.cloned().unwrap_or_default();
        let step = position
            .step
            .filter(|_| self.steps > 0)
            .map(|step| format!("{step}/{}", self.steps));
        format!(
            "{:>5}  {:>6}  {:>6}  {:>6}  {:width$}  ",
            changed(was.step == position.step, step.unwrap_or_default()),
            changed(was.wanted == position.wanted, percent(position.wanted)),
            changed(was.routed == position.routed, percent(position.routed)),
            changed(
                was.acknowledged == position.acknowledged,
                percent(position.acknowledged)
            ),
            changed(was.pods == position.pods, pods(position)),
            width = self.pods
        )
    }
}

/// The rows without those that the next one makes superfluous.
pub(super) fn shown(rows: &[Row]) -> Vec<&Row> {
    let superfluous = |index: usize| {
        let (row, Some(next)) = (&rows[index], rows.get(index + 1)) else {
            return false;
        };
        let only_position = row.kind == RowKind::Position && next.kind == RowKind::Position;
        let near = next.at_millis - row.at_millis <= TOGETHER_MILLIS;
        only_position && near && row.position.wanted == next.position.wanted && row.position.step == next.position.step
    };
    (0..rows.len())
        .filter(|index| !superfluous(*index))
        .map(|index| &rows[index])
        .collect()
}

pub(super) fn what(row: &Row) -> (Tone, String) {
    let text = relative(&row.text);
    match row.kind {
        RowKind::Command => (Tone::Typed, text),
        RowKind::Fault => (Tone::Warn, format!("! {text}")),
        RowKind::Event | RowKind::Position => (Tone::Plain, text),
        RowKind::Warning => (Tone::Bad, text),
        RowKind::Hold => (Tone::Dim, format!("waits: {text}")),
        RowKind::Measurement => {
            let good = text.contains(": Successful");
            (if good { Tone::Good } else { Tone::Bad }, format!("measured {text}"))
        }
        RowKind::Phase => {
            let tone = if text.starts_with("Healthy") {
                Tone::Good
            } else if text.starts_with("Degraded") {
                Tone::Bad
            } else {
                Tone::Warn
            };
            (tone, format!("is {text}"))
        }
    }
}

fn summary(rollout: &RolloutReport) -> Vec<Line> {
    let outcome = &rollout.outcome;
    let tone = match outcome.phase.as_str() {
        "Healthy" => Tone::Good,
        "Degraded" => Tone::Bad,
        _ => Tone::Warn,
    };
    let mut phase = outcome.phase.clone();
    if phase.is_empty() {
        "has no status".clone_into(&mut phase);
    }
    if !outcome.message.is_empty() {
        phase = format!("{phase}: {}", relative(&outcome.message));
    }
    let named = |revision: Option<u64>| revision.map_or("none".to_owned(), |revision| format!("revision {revision}"));
    let mut lines = vec![vec![(Tone::Plain, "  outcome   ".to_owned()), (tone, phase)]];
    let stand = format!(
        "stable is {}, the newest is {} with {} of the requests",
        named(outcome.stable),
        named(outcome.newest),
        percent(outcome.weight.or(Some(0.0)))
    );
    lines.push(vec![(Tone::Plain, format!("            {stand}"))]);
    if !outcome.waits.is_empty() {
        lines.push(vec![(
            Tone::Dim,
            format!("            waits: {}", relative(&outcome.waits)),
        )]);
    }
    let mut title = "  steps     ";
    for span in &rollout.spans {
        let took = match span.until_millis {
            Some(until) => format!("took {}", took(until - span.from_millis)),
            None => format!("since {}", clock(span.from_millis)),
        };
        let text = format!(
            "{title}revision {}, step {}, {}: {took}",
            span.revision, span.step, span.text
        );
        lines.push(vec![(Tone::Plain, text)]);
        title = "            ";
    }
    title = "  requests  ";
    for revision in &rollout.revisions {
        let all = revision.ok + revision.errors;
        let share = if all > 0.0 { revision.errors * 100.0 / all } else { 0.0 };
        let text = format!(
            "{title}revision {} ({}): {} answered, {} of them with an error ({} %)",
            revision.revision,
            revision.image,
            whole(all),
            whole(revision.errors),
            (share * 100.0).round() / 100.0
        );
        lines.push(vec![(Tone::Plain, text)]);
        title = "            ";
    }
    lines
}

fn foot(report: &Report) -> Vec<Line> {
    let mut lines = vec![Line::new()];
    for lost in &report.lost {
        let tone = if lost.by_fault { Tone::Warn } else { Tone::Bad };
        let text = format!(
            "lost {} requests from {} to {}: {}",
            whole(lost.requests),
            clock(lost.from_millis),
            clock(lost.until_millis),
            lost.reason
        );
        lines.push(vec![(tone, text)]);
    }
    if report.lost.is_empty() {
        lines.push(vec![(Tone::Good, "no request was lost".to_owned())]);
    }
    if !report.settled {
        lines.push(vec![(
            Tone::Warn,
            format!("not at rest at {}: more would happen", clock(report.end_millis)),
        )]);
    }
    for violation in &report.violations {
        lines.push(vec![(Tone::Bad, format!("broken invariant: {violation}"))]);
    }
    for expectation in &report.expectations {
        lines.push(if expectation.is_met() {
            vec![(Tone::Good, format!("as expected: {}", expectation.expected))]
        } else {
            let came = format!(
                "NOT AS EXPECTED: {}; came: {}",
                expectation.expected,
                relative(&expectation.came)
            );
            vec![(Tone::Bad, came)]
        });
    }
    lines
}

pub(super) fn pods(position: &Position) -> String {
    let pods = position.pods.iter();
    let cells: Vec<String> = pods
        .map(|pods| format!("r{} {}/{}", pods.revision, pods.available, pods.wanted))
        .collect();
    cells.join(" ")
}

fn percent(share: Option<f64>) -> String {
    share.map_or(String::new(), |share| format!("{share}%"))
}

/// `1:02.3`, with hours where there are any.
pub(crate) fn clock(millis: i64) -> String {
    let (seconds, tenths) = (millis / 1000, millis % 1000 / 100);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}.{tenths}")
    } else {
        format!("{minutes}:{seconds:02}.{tenths}")
    }
}

/// `1h2m`, `3m5s`, `4.2s`.
pub(super) fn took(millis: i64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..=59 => format!("{seconds}.{}s", millis % 1000 / 100),
        60..=3599 => format!("{}m{}s", seconds / 60, seconds % 60),
        _ => format!("{}h{}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// A count of requests for people: parts of requests come of rates times time.
pub(super) fn whole(requests: f64) -> String {
    let digits = format!("{:.0}", requests.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The text with points in time as times since the start.
pub(super) fn relative(text: &str) -> String {
    let mut words = Vec::new();
    for word in text.split(' ') {
        let end = word.find('Z').map_or(word.len(), |end| end + 1);
        let (time, rest) = word.split_at(end);
        match time.parse::<Timestamp>().ok().filter(|_| time.len() >= 20) {
            Some(at) => words.push(format!("{}{rest}", clock(millis_since_start(at)))),
            None => words.push(word.to_owned()),
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_counts_are_for_people() {
        let rows = [(0, "0:00.0"), (62_345, "1:02.3"), (3_600_000, "1:00:00.0")];
        for (millis, text) in rows {
            assert_eq!(clock(millis), text);
        }
        for (millis, text) in [(4_250, "4.2s"), (185_000, "3m5s"), (3_725_000, "1h2m")] {
            assert_eq!(took(millis), text);
        }
        for (requests, text) in [(0.2, "0"), (999.6, "1,000"), (1_234_567.0, "1,234,567")] {
            assert_eq!(whole(requests), text);
        }
    }

    #[test]
    fn points_in_time_become_times_since_the_start() {
        let text = relative("paused (CanaryPauseStep) until 2026-01-01T00:01:33Z, then on; Zebra 2Z");
        assert_eq!(text, "paused (CanaryPauseStep) until 1:33.0, then on; Zebra 2Z");
    }
}
