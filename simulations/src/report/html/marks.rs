//! Above the plots: what happened, and the steps.

use std::fmt::Write as _;

use super::axis::Axis;
use super::escape::escape;
use super::panel::verdict_class;
use crate::report::{RolloutReport, Row, RowKind, clock};

/// So many lines of text above the plots; what finds no room there has a line through the plots and no text.
const LANES: usize = 3;
/// A mark's text in characters, at most.
const LONGEST: usize = 34;
/// Width of a character where the plots are narrow, as a share of their width.
const CHARACTER: f64 = 1.0 / 92.0;
/// A verdict and what comes of it are one mark where they are this close together.
const TOGETHER_MILLIS: i64 = 1_000;
/// At most so many marks: a hundred lines through a plot hide it.
const MOST_MARKS: usize = 60;

const HEALTHY: &str = "✓ Healthy";

/// Something to be marked in all plots.
#[derive(Clone, Debug, PartialEq)]
struct Mark {
    at: i64,
    class: &'static str,
    text: String,
}

/// A mark with the line that its text stands in, and whether the text ends at the mark instead of beginning there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed {
    mark: Mark,
    lane: Option<usize>,
    ends: bool,
}

/// What is to be marked, with its place.
pub(super) fn marks(rollout: &RolloutReport, axis: Axis) -> Vec<Placed> {
    let mut marks = Vec::new();
    for run in &rollout.runs {
        if let Some(at) = run.until_millis {
            let good = run.phase == "Successful";
            marks.push(Mark {
                at,
                class: verdict_class(&run.phase),
                text: if good {
                    "✓ analysis".to_owned()
                } else {
                    format!("✕ analysis {}", run.phase)
                },
            });
        }
    }
    let verdicts: Vec<i64> = marks
        .iter()
        .filter(|mark| mark.class != "good")
        .map(|mark| mark.at)
        .collect();
    for row in &rollout.rows {
        let told = |at: &i64| (0..=TOGETHER_MILLIS).contains(&(row.at_millis - at));
        if let Some(mark) = of_row(row).filter(|mark| mark.class != "bad" || !verdicts.iter().any(told)) {
            marks.push(mark);
        }
    }
    let healthy: Vec<i64> = marks
        .iter()
        .filter(|mark| mark.text == HEALTHY)
        .map(|mark| mark.at)
        .collect();
    let ends_it = |mark: &Mark| healthy.iter().any(|at| (0..=TOGETHER_MILLIS).contains(&(at - mark.at)));
    marks.retain(|mark| axis.contains(mark.at) && (mark.class != "good" || mark.text == HEALTHY || !ends_it(mark)));
    marks.sort_by_key(|mark| mark.at);
    marks.dedup();
    // Where there are too many, what went well goes first.
    if marks.len() > MOST_MARKS {
        marks.retain(|mark| mark.class != "good");
        marks.truncate(MOST_MARKS);
    }
    place(marks, axis)
}

fn of_row(row: &Row) -> Option<Mark> {
    let (class, text) = match row.kind {
        RowKind::Command => ("typed", typed(&row.text)),
        RowKind::Fault => ("fault", format!("! {}", row.text)),
        RowKind::Phase if row.text.starts_with("Degraded") => ("bad", "✕ Degraded".to_owned()),
        RowKind::Phase if row.text.starts_with("Healthy") => ("good", HEALTHY.to_owned()),
        _ => return None,
    };
    let mut cut: String = text.chars().take(LONGEST).collect();
    if cut != text {
        cut.push('…');
    }
    Some(Mark {
        at: row.at_millis,
        class,
        text: cut,
    })
}

/// A command in a few words.
fn typed(text: &str) -> String {
    if let Some((_, image)) = text.split_once(" gets image ") {
        return image.rsplit('/').next().unwrap_or(image).to_owned();
    }
    let short = text.strip_prefix("$ kubectl ").unwrap_or(text);
    let short = ["sluice ", "argo rollouts "]
        .iter()
        .find_map(|plugin| short.strip_prefix(plugin))
        .unwrap_or(short);
    if text.starts_with('$') {
        format!("$ {short}")
    } else {
        short.to_owned()
    }
}

/// Gives each text the first line that has room for it. Those that matter most choose first.
fn place(marks: Vec<Mark>, axis: Axis) -> Vec<Placed> {
    let mut taken: [Vec<(f64, f64)>; LANES] = Default::default();
    let mut placed: Vec<Placed> = marks
        .into_iter()
        .map(|mark| Placed {
            mark,
            lane: None,
            ends: false,
        })
        .collect();
    for wanted in [&["bad", "error", "open", "fault"][..], &["typed"], &["good"]] {
        for one in placed.iter_mut().filter(|one| wanted.contains(&one.mark.class)) {
            let count = u32::try_from(one.mark.text.chars().count()).unwrap_or(u32::MAX);
            let width = (f64::from(count) + 2.0) * CHARACTER;
            let at = axis.share(one.mark.at);
            one.ends = at + width > 1.0;
            let (from, until) = if one.ends { (at - width, at) } else { (at, at + width) };
            let free = |lane: &usize| taken[*lane].iter().all(|(begin, end)| until <= *begin || from >= *end);
            one.lane = (0..LANES).find(free);
            if let Some(lane) = one.lane {
                taken[lane].push((from, until));
            }
        }
    }
    placed
}

/// The texts, in their lines.
pub(super) fn texts(marks: &[Placed], axis: Axis) -> String {
    let lanes = marks
        .iter()
        .filter_map(|mark| mark.lane)
        .max()
        .map_or(0, |lane| lane + 1);
    if lanes == 0 {
        return String::new();
    }
    let mut html = format!("<div class=\"band marks\" style=\"height:{}px\"><div>", lanes * 18);
    for one in marks {
        let Some(lane) = one.lane else { continue };
        let _ = write!(
            html,
            "<span class=\"{}{}\" style=\"left:{};top:{}px\" title=\"{}\">{}</span>",
            one.mark.class,
            if one.ends { " ends" } else { "" },
            axis.percent(one.mark.at),
            (lanes - 1 - lane) * 18,
            escape(&clock(one.mark.at)),
            escape(&one.mark.text)
        );
    }
    html + "</div></div>"
}

/// Lines through all plots. What went well has none: its text is enough.
pub(super) fn through(rollout: &RolloutReport, marks: &[Placed], axis: Axis) -> String {
    let mut html = String::new();
    let begun = rollout.spans.iter().map(|span| span.from_millis);
    let ended = rollout.spans.iter().filter_map(|span| span.until_millis);
    let mut edges: Vec<i64> = begun.chain(ended).filter(|at| axis.contains(*at)).collect();
    edges.sort_unstable();
    edges.dedup();
    for at in edges {
        let _ = write!(html, "<i class=edge style=\"left:{}\"></i>", axis.percent(at));
    }
    for one in marks.iter().filter(|one| one.mark.class != "good") {
        let _ = write!(
            html,
            "<i class={} style=\"left:{}\"></i>",
            one.mark.class,
            axis.percent(one.mark.at)
        );
    }
    html
}

/// The stays at steps, as a band of boxes.
pub(super) fn steps(rollout: &RolloutReport, axis: Axis) -> String {
    if rollout.spans.is_empty() {
        return String::new();
    }
    let mut html = String::from("<div class=\"band steps\"><div>");
    for span in &rollout.spans {
        let until = span.until_millis.unwrap_or(axis.until);
        let (left, right) = (axis.share(span.from_millis), axis.share(until));
        let _ = write!(
            html,
            "<span style=\"left:{:.3}%;width:{:.3}%\" title=\"step {}, {}: {}\"><b>{}</b></span>",
            left * 100.0,
            (right - left) * 100.0,
            span.step,
            escape(&span.text),
            super::head::stay(span),
            escape(&short(&span.text))
        );
    }
    html + "</div></div>"
}

/// A step in as few words as possible.
pub(super) fn short(step: &str) -> String {
    match step.split_once(": ") {
        Some(("setWeight", weight)) => format!("{weight} %"),
        Some(("analysis", _)) => "analysis".to_owned(),
        Some((verb, rest)) => format!("{verb} {rest}"),
        None => step.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_steps_are_shortened() {
        let rows = [
            (
                "the template of backend gets image example.com/backend:v2",
                "backend:v2",
            ),
            ("$ kubectl sluice promote shop", "$ promote shop"),
            ("$ kubectl argo rollouts abort shop", "$ abort shop"),
            (
                "$ kubectl scale rollout/shop --replicas=5",
                "$ scale rollout/shop --replicas=5",
            ),
        ];
        for (text, short) in rows {
            assert_eq!(typed(text), short);
        }
        let steps = [
            ("setWeight: 5", "5 %"),
            ("analysis: errors", "analysis"),
            ("pause: 1m", "pause 1m"),
            ("pause", "pause"),
        ];
        for (step, text) in steps {
            assert_eq!(short(step), text);
        }
    }

    #[test]
    fn texts_do_not_stand_on_each_other_and_failures_choose_first() {
        let axis = Axis { from: 0, until: 1000 };
        let mark = |at, class| Mark {
            at,
            class,
            text: "twelve chars".to_owned(),
        };
        let marks = vec![
            mark(10, "good"),
            mark(11, "typed"),
            mark(12, "typed"),
            mark(13, "bad"),
            mark(990, "typed"),
        ];
        let placed = place(marks, axis);
        let lanes: Vec<Option<usize>> = placed.iter().map(|one| one.lane).collect();
        assert_eq!(lanes, [None, Some(1), Some(2), Some(0), Some(0)]);
        assert!(placed[4].ends && !placed[3].ends);
    }
}
