//! A view as lines for people, in the order that users of `kubectl argo rollouts get rollout` know.

use jiff::Timestamp;

use super::{RevisionView, RouteView, RunView, SetView, View};
use crate::{
    phase,
    text::{self, Line, Style, table},
};

/// Width of the labels on the left.
const LABELS: usize = 15;

/// The whole view.
pub fn render(view: &View, now: Timestamp) -> Vec<Line> {
    let mut lines = header(view);
    lines.extend(traffic(view));
    lines.extend(waiting(view, now));
    lines.extend(steps(view));
    lines.push(Line::default());
    lines.extend(tree(view, now));
    if !view.notes.is_empty() {
        lines.push(Line::default());
        lines.extend(
            view.notes
                .iter()
                .map(|note| Line::styled(Style::Warn, format!("note: {note}"))),
        );
    }
    lines
}

/// The view in one line, for output that cannot be drawn over.
pub fn summary(view: &View) -> Line {
    let mut line = phase::line(&view.phase, "Rollout");
    if !view.message.is_empty() {
        line = line.then(Style::Plain, format!(" - {}", view.message));
    }
    if let Some(step) = view.step {
        line = line.then(Style::Plain, format!("; step {step}/{}", view.steps.len()));
    }
    if let (Some(set), Some(actual)) = (view.set_weight, view.actual_weight) {
        line = line.then(Style::Plain, format!("; weight {set} wanted, {actual} actual"));
    }
    for route in &view.routes {
        line = line.then(
            Style::Plain,
            format!("; {} acknowledged: {}", route.object, route.acknowledged),
        );
    }
    let replicas = &view.replicas;
    line = line.then(
        Style::Plain,
        format!("; available {}/{}", replicas.available, replicas.desired),
    );
    match &view.waits {
        Some(waits) => line.then(Style::Plain, format!("; waits: {}", waits.reason)),
        None => line,
    }
}

fn field(label: &str, value: impl Into<Line>) -> Line {
    Line::styled(Style::Plain, label).column(LABELS).join(value.into())
}

fn header(view: &View) -> Vec<Line> {
    let mut lines = vec![
        field("Name:", view.name.as_str()),
        field("Namespace:", view.namespace.as_str()),
        field("Status:", phase::line(&view.phase, "Rollout")),
    ];
    if !view.message.is_empty() {
        lines.push(field("Message:", view.message.as_str()));
    }
    lines.push(field("Strategy:", view.strategy.as_str()));
    if let Some(step) = view.step {
        lines.push(field("  Step:", format!("{step}/{}", view.steps.len())));
    }
    let weights = [
        ("  SetWeight:", view.set_weight),
        ("  ActualWeight:", view.actual_weight),
    ];
    let weights = weights
        .into_iter()
        .filter_map(|(label, weight)| Some(field(label, weight?.to_string())));
    lines.extend(weights);
    for (index, (image, roles)) in view.images.iter().enumerate() {
        let label = if index == 0 { "Images:" } else { "" };
        let roles = if roles.is_empty() {
            String::new()
        } else {
            format!(" ({})", roles.join(", "))
        };
        lines.push(field(label, Line::from(image.as_str()).then(Style::Busy, roles)));
    }
    let replicas = &view.replicas;
    lines.push("Replicas:".into());
    let counts = [
        ("  Desired:", replicas.desired),
        ("  Current:", replicas.current),
        ("  Updated:", replicas.updated),
        ("  Ready:", replicas.ready),
        ("  Available:", replicas.available),
    ];
    lines.extend(counts.map(|(label, count)| field(label, count.to_string())));
    lines
}

fn traffic(view: &View) -> Vec<Line> {
    let mut lines = Vec::new();
    if !view.routes.is_empty() {
        let heading = ["Canary's share:", "WANTED", "ROUTED", "ACKNOWLEDGED"];
        let mut rows = vec![heading.map(|text| Line::styled(Style::Plain, text)).to_vec()];
        rows.extend(view.routes.iter().map(route));
        lines.extend(table(&rows));
    }
    if !view.services.is_empty() {
        lines.push("Services:".into());
        let rows = view.services.iter().map(|service| {
            let name = format!("  {}", service.name);
            let selects = format!("selects {}", service.selects);
            [
                name.as_str(),
                service.role,
                selects.as_str(),
                service.endpoints.as_str(),
            ]
            .map(Line::from)
            .to_vec()
        });
        lines.extend(table(&rows.collect::<Vec<_>>()));
    }
    lines
}

fn route(route: &RouteView) -> Vec<Line> {
    let percent = |share: u32| format!("{share} %");
    let wanted = route.wanted.map_or_else(|| "as it is".to_owned(), percent);
    let mut shares = route.routed.clone();
    shares.dedup();
    let routed = match shares.as_slice() {
        [] => "not known".to_owned(),
        shares => shares
            .iter()
            .map(|share| percent(*share))
            .collect::<Vec<_>>()
            .join(", "),
    };
    let as_wanted = route
        .wanted
        .is_none_or(|wanted| shares.iter().all(|share| *share == wanted));
    let style = if as_wanted { Style::Plain } else { Style::Warn };
    let detail = if route.detail.is_empty() {
        String::new()
    } else {
        format!(": {}", route.detail)
    };
    let acknowledged = match route.acknowledged {
        "yes" => Style::Good,
        "draining" | "pending" => Style::Busy,
        _ => Style::Bad,
    };
    vec![
        format!("  {}", route.object).into(),
        wanted.into(),
        Line::styled(style, routed),
        Line::styled(acknowledged, format!("{}{detail}", route.acknowledged)),
    ]
}

fn waiting(view: &View, now: Timestamp) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(waits) = &view.waits {
        lines.push(field("Waits:", Line::styled(Style::Warn, waits.reason.clone())));
        if let Some(until) = waits.until.filter(|until| *until > now) {
            let left = text::duration(now.duration_until(until));
            let text = format!("looked at again in {left}, at {}, or at a change", text::time(until));
            lines.push(field("", Line::styled(Style::Dim, text)));
        }
    }
    for (index, next) in view.next.iter().enumerate() {
        let label = if index == 0 { "Next:" } else { "" };
        lines.push(field(label, next.as_str()));
    }
    if !view.next.is_empty() {
        let hint = "if that stays so, look whether the controller runs: kubectl sluice check";
        lines.push(field("", Line::styled(Style::Dim, hint)));
    }
    lines
}

fn steps(view: &View) -> Vec<Line> {
    if view.steps.is_empty() {
        return Vec::new();
    }
    let line = |(index, step): (usize, &super::StepView)| {
        let (mark, style) = match step.state {
            "done" => ("✔", Style::Good),
            "current" => ("▶", Style::Busy),
            _ => (" ", Style::Dim),
        };
        Line::styled(style, format!("  {mark} {:>2} {}", index + 1, step.step))
    };
    let steps = view.steps.iter().enumerate().map(line);
    std::iter::once(Line::from("Steps:")).chain(steps).collect()
}

/// A row of the tree: where it hangs, what it is, and the columns.
struct Branch {
    prefix: String,
    name: Line,
    kind: &'static str,
    status: Line,
    age: String,
    info: Line,
}

fn tree(view: &View, now: Timestamp) -> Vec<Line> {
    let age = |at: Timestamp| text::age(at, now);
    let mut branches = vec![Branch {
        prefix: String::new(),
        name: format!("⟳ {}", view.name).into(),
        kind: "Rollout",
        status: phase::line(&view.phase, "Rollout"),
        age: view.created_at.map(age).unwrap_or_default(),
        info: Line::default(),
    }];
    for (index, revision) in view.revisions.iter().enumerate() {
        let last = index + 1 == view.revisions.len();
        branches.extend(revision_branches(revision, last, now));
    }
    let heading = ["NAME", "KIND", "STATUS", "AGE", "INFO"]
        .map(|text| Line::styled(Style::Dim, text))
        .to_vec();
    let row = |branch: Branch| {
        let name = Line::from(branch.prefix).join(branch.name);
        vec![name, branch.kind.into(), branch.status, branch.age.into(), branch.info]
    };
    table(
        &std::iter::once(heading)
            .chain(branches.into_iter().map(row))
            .collect::<Vec<_>>(),
    )
}

fn revision_branches(revision: &RevisionView, last: bool, now: Timestamp) -> Vec<Branch> {
    let name = if revision.number == 0 {
        "# no revision".to_owned()
    } else {
        format!("# revision:{}", revision.number)
    };
    let (hook, below) = hooks(last);
    let mut branches = vec![Branch {
        prefix: hook.to_owned(),
        name: name.into(),
        kind: "",
        status: Line::default(),
        age: String::new(),
        info: Line::default(),
    }];
    let count = revision.sets.len() + revision.runs.len();
    for (index, set) in revision.sets.iter().enumerate() {
        branches.extend(set_branches(set, below, index + 1 == count, now));
    }
    for (index, run) in revision.runs.iter().enumerate() {
        let (hook, _) = hooks(revision.sets.len() + index + 1 == count);
        branches.push(run_branch(run, format!("{below}{hook}"), now));
    }
    branches
}

fn set_branches(set: &SetView, above: &str, last: bool, now: Timestamp) -> Vec<Branch> {
    let (hook, below) = hooks(last);
    let mut info = Line::styled(Style::Busy, set.roles.join(","));
    let separator = if set.roles.is_empty() { "" } else { ", " };
    if set.desired > 0 || set.ready > 0 {
        let counts = format!(
            "{separator}ready:{}/{}, available:{}",
            set.ready, set.desired, set.available
        );
        info = info.then(Style::Plain, counts);
    }
    if let Some(at) = set.scale_down_at {
        info = info.then(
            Style::Warn,
            format!(", delay:{}", text::duration(now.duration_until(at))),
        );
    }
    let set_branch = Branch {
        prefix: format!("{above}{hook}"),
        name: format!("⧉ {}", set.name).into(),
        kind: "ReplicaSet",
        status: phase::line(set.phase, "ReplicaSet"),
        age: text::age(set.created_at, now),
        info,
    };
    let pods = set.pods.iter().enumerate().map(|(index, pod)| {
        let (hook, _) = hooks(index + 1 == set.pods.len());
        let restarts = if pod.restarts > 0 {
            format!(", restarts:{}", pod.restarts)
        } else {
            String::new()
        };
        Branch {
            prefix: format!("{above}{below}{hook}"),
            name: format!("□ {}", pod.name).into(),
            kind: "Pod",
            status: phase::line(&pod.status, "Pod"),
            age: text::age(pod.created_at, now),
            info: format!("ready:{}{restarts}", pod.ready).into(),
        }
    });
    std::iter::once(set_branch).chain(pods).collect()
}

fn run_branch(run: &RunView, prefix: String, now: Timestamp) -> Branch {
    let counts = [
        (run.successful, "✔", Style::Good),
        (run.failed, "✖", Style::Bad),
        (run.inconclusive, "?", Style::Warn),
        (run.error, "⚠", Style::Bad),
    ];
    let mut info = Line::default();
    for (count, symbol, style) in counts.into_iter().filter(|(count, ..)| *count > 0) {
        let separator = if info == Line::default() { "" } else { ", " };
        info = info
            .then(Style::Plain, separator)
            .then(style, format!("{symbol} {count}"));
    }
    if !run.message.is_empty() {
        let separator = if info == Line::default() { "" } else { ", " };
        info = info.then(Style::Plain, format!("{separator}{}", run.message));
    }
    Branch {
        prefix,
        name: format!("α {}", run.name).into(),
        kind: "AnalysisRun",
        status: phase::line(&run.phase, "AnalysisRun"),
        age: text::age(run.created_at, now),
        info,
    }
}

/// What stands before a branch, and before all that hangs below it.
fn hooks(last: bool) -> (&'static str, &'static str) {
    if last {
        ("└──", "   ")
    } else {
        ("├──", "│  ")
    }
}
