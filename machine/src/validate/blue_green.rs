//! The blue-green strategy.

use sluice_crds::{BlueGreenStrategy, LabelSelector};

use super::{analysis, canary::anti_affinity, report::Report, template};

const AT: &str = "spec.strategy.blueGreen";

pub(super) fn check(
    report: &mut Report,
    blue_green: &BlueGreenStrategy,
    selector: Option<&LabelSelector>,
    revision_history_limit: i32,
) {
    for (name, metadata) in [
        ("previewMetadata", &blue_green.preview_metadata),
        ("activeMetadata", &blue_green.active_metadata),
    ] {
        template::role_metadata(report, &format!("{AT}.{name}"), metadata.as_ref(), selector);
    }
    let preview = blue_green.preview_service.as_deref().unwrap_or_default();
    if blue_green.active_service.is_empty() {
        let path = format!("{AT}.activeService");
        report.add(
            path,
            "Rollout has missing field '.spec.strategy.blueGreen.activeService'",
        );
    } else if blue_green.active_service == preview {
        report.add(
            format!("{AT}.previewService"),
            "This rollout uses the same service for the active and preview services, but two different services are required.",
        );
    }
    report.number_or_percentage(format!("{AT}.maxUnavailable"), blue_green.max_unavailable.as_ref());
    report.not_negative(format!("{AT}.previewReplicaCount"), blue_green.preview_replica_count);
    report.not_negative(format!("{AT}.autoPromotionSeconds"), blue_green.auto_promotion_seconds);
    report.not_negative(
        format!("{AT}.scaleDownDelaySeconds"),
        blue_green.scale_down_delay_seconds,
    );
    report.not_negative(
        format!("{AT}.scaleDownDelayRevisionLimit"),
        blue_green.scale_down_delay_revision_limit,
    );
    report.not_negative(
        format!("{AT}.abortScaleDownDelaySeconds"),
        blue_green.abort_scale_down_delay_seconds,
    );
    if blue_green
        .scale_down_delay_revision_limit
        .is_some_and(|limit| limit > revision_history_limit)
    {
        report.add(
            format!("{AT}.scaleDownDelayRevisionLimit"),
            "This rollout's revision history limit can not be smaller than the rollout's scale down limit",
        );
    }
    if let Some(affinity) = &blue_green.anti_affinity {
        anti_affinity(report, &format!("{AT}.antiAffinity"), affinity);
    }
    for (name, run) in [
        ("prePromotionAnalysis", &blue_green.pre_promotion_analysis),
        ("postPromotionAnalysis", &blue_green.post_promotion_analysis),
    ] {
        if let Some(run) = run {
            analysis::check(report, &format!("{AT}.{name}"), run);
        }
    }
}
