//! What this version does not serve yet. To serve a field, remove its line here.
//!
//! A value that asks for nothing (`false`, 0, an empty list, the default) is no problem. Routers and steps have their
//! lists in `routing` and `steps`.

use sluice_crds::{Rollout, RolloutAnalysis};

use super::report::Report;

/// A field, and whether a Rollout asks for it.
type Field<T> = (&'static str, fn(&T) -> bool);

const ANALYSIS: &[Field<RolloutAnalysis>] = &[("dryRun", |analysis| {
    analysis.dry_run.as_ref().is_some_and(|list| !list.is_empty())
})];

pub(super) fn check(report: &mut Report, rollout: &Rollout) {
    for (at, analysis) in rollout.spec.analyses() {
        list(report, &at, ANALYSIS, &analysis);
    }
}

fn list<T>(report: &mut Report, at: &str, fields: &[Field<T>], value: &T) {
    for (name, _) in fields.iter().filter(|(_, asks)| asks(value)) {
        report.unsupported(format!("{at}.{name}"));
    }
}
