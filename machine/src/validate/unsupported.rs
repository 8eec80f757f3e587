//! What this version does not serve yet. To serve a field, remove its line here.
//!
//! A value that asks for nothing (`false`, 0, an empty list, the default) is no problem. Routers and steps have their
//! lists in `routing` and `steps`.

use sluice_crds::{CanaryStrategy, Rollout, TrafficRouting, defaults};

use super::report::Report;

/// A field, and whether a Rollout asks for it.
type Field<T> = (&'static str, fn(&T) -> bool);

const CANARY: &[Field<CanaryStrategy>] = &[("trafficRouting.maxTrafficWeight", |canary| {
    let weight = canary
        .traffic_routing
        .as_ref()
        .map(TrafficRouting::max_traffic_weight_or_default);
    weight.is_some_and(|weight| weight != defaults::MAX_TRAFFIC_WEIGHT)
})];

pub(super) fn check(report: &mut Report, rollout: &Rollout) {
    if let Some(canary) = rollout.spec.canary() {
        list(report, "spec.strategy.canary", CANARY, canary);
    }
}

fn list<T>(report: &mut Report, at: &str, fields: &[Field<T>], value: &T) {
    for (name, _) in fields.iter().filter(|(_, asks)| asks(value)) {
        report.unsupported(format!("{at}.{name}"));
    }
}
