//! What this version does not serve yet. To serve a field, remove its line here.
//!
//! A value that asks for nothing (`false`, 0, an empty list, the default) is no problem. Routers and steps have their
//! lists in `routing` and `steps`.

use sluice_crds::{
    BlueGreenStrategy, CanaryStrategy, PodTemplateMetadata, Rollout, RolloutAnalysis, TrafficRouting, defaults,
};

use super::report::Report;

/// A field, and whether a Rollout asks for it.
type Field<T> = (&'static str, fn(&T) -> bool);

const SPEC: &[Field<Rollout>] = &[
    ("workloadRef", |rollout| rollout.spec.workload_ref.is_some()),
    ("restartAt", restarts),
    ("rollbackWindow", |rollout| {
        let window = rollout.spec.rollback_window.as_ref();
        window
            .and_then(|window| window.revisions)
            .is_some_and(|revisions| revisions != 0)
    }),
];

const CANARY: &[Field<CanaryStrategy>] = &[
    ("antiAffinity", |canary| canary.anti_affinity.is_some()),
    ("canaryMetadata", |canary| has_metadata(canary.canary_metadata.as_ref())),
    ("stableMetadata", |canary| has_metadata(canary.stable_metadata.as_ref())),
    ("dynamicStableScale", CanaryStrategy::dynamic_stable_scale_or_default),
    ("pingPong", |canary| canary.ping_pong.is_some()),
    ("replicaProgressThreshold", |canary| {
        canary.replica_progress_threshold.is_some()
    }),
    ("trafficRouting.maxTrafficWeight", |canary| {
        let weight = canary
            .traffic_routing
            .as_ref()
            .map(TrafficRouting::max_traffic_weight_or_default);
        weight.is_some_and(|weight| weight != defaults::MAX_TRAFFIC_WEIGHT)
    }),
];

const BLUE_GREEN: &[Field<BlueGreenStrategy>] = &[
    ("previewReplicaCount", |blue_green| {
        blue_green.preview_replica_count.is_some()
    }),
    ("autoPromotionSeconds", |blue_green| {
        blue_green.auto_promotion_seconds_or_default() != 0
    }),
    ("prePromotionAnalysis", |blue_green| {
        blue_green.pre_promotion_analysis.is_some()
    }),
    ("postPromotionAnalysis", |blue_green| {
        blue_green.post_promotion_analysis.is_some()
    }),
    ("antiAffinity", |blue_green| blue_green.anti_affinity.is_some()),
    ("previewMetadata", |blue_green| {
        has_metadata(blue_green.preview_metadata.as_ref())
    }),
    ("activeMetadata", |blue_green| {
        has_metadata(blue_green.active_metadata.as_ref())
    }),
];

const ANALYSIS: &[Field<RolloutAnalysis>] = &[
    ("dryRun", |analysis| {
        analysis.dry_run.as_ref().is_some_and(|list| !list.is_empty())
    }),
    ("measurementRetention", |analysis| {
        analysis
            .measurement_retention
            .as_ref()
            .is_some_and(|list| !list.is_empty())
    }),
];

pub(super) fn check(report: &mut Report, rollout: &Rollout) {
    list(report, "spec", SPEC, rollout);
    if let Some(canary) = rollout.spec.canary() {
        list(report, "spec.strategy.canary", CANARY, canary);
        if let Some(background) = &canary.analysis {
            list(
                report,
                "spec.strategy.canary.analysis",
                ANALYSIS,
                &background.analysis(),
            );
        }
        for (index, step) in canary.steps.iter().flatten().enumerate() {
            if let Some(analysis) = &step.analysis {
                list(
                    report,
                    &format!("spec.strategy.canary.steps[{index}].analysis"),
                    ANALYSIS,
                    analysis,
                );
            }
        }
    }
    if let Some(blue_green) = rollout.spec.blue_green() {
        list(report, "spec.strategy.blueGreen", BLUE_GREEN, blue_green);
    }
}

fn list<T>(report: &mut Report, at: &str, fields: &[Field<T>], value: &T) {
    for (name, _) in fields.iter().filter(|(_, asks)| asks(value)) {
        report.unsupported(format!("{at}.{name}"));
    }
}

/// A restart that Argo Rollouts has carried out already asks for nothing.
fn restarts(rollout: &Rollout) -> bool {
    let done = rollout.status.as_ref().and_then(|status| status.restarted_at.as_ref());
    rollout.spec.restart_at.is_some() && rollout.spec.restart_at.as_ref() != done
}

fn has_metadata(metadata: Option<&PodTemplateMetadata>) -> bool {
    metadata.is_some_and(|metadata| {
        [&metadata.labels, &metadata.annotations]
            .into_iter()
            .flatten()
            .any(|map| !map.is_empty())
    })
}
