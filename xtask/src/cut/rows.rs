//! The features that are cut out, across docs/compatibility.md.

use super::Cut;

const MACHINE: &str = "sluice-machine";
const TRAFFIC: &str = "sluice-traffic";
const SIMULATOR: &str = "sluice-simulations";
const LIBRARY: (&str, &str) = (
    SIMULATOR,
    "library::every_scenario_comes_out_as_it_expects_and_gives_its_timeline",
);

#[rustfmt::skip]
pub const ROWS: &[Cut] = &[
    Cut {
        feature: "setWeight",
        file: "machine/src/rollout/canary.rs",
        from: "nearest.map_or(0, |weight| u32::try_from(weight).unwrap_or(0).min(100))",
        to: "nearest.map_or(0, |_| 100)",
        test: (MACHINE, "rollout::tests::decisions::weight_follows_pods_and_endpoints"),
    },
    Cut {
        feature: "setCanaryScale",
        file: "machine/src/rollout/canary.rs",
        from: "scale.filter(|scale| scale.match_traffic_weight != Some(true))",
        to: "scale.filter(|_| false)",
        test: (MACHINE, "rollout::tests::replicas::routed::each_row_of_the_canary_by_its_steps"),
    },
    Cut {
        feature: "setHeaderRoute",
        file: "machine/src/rollout/canary.rs",
        from: "if is_over || names.is_empty() {",
        to: "if true {",
        test: LIBRARY,
    },
    Cut {
        feature: "minPodsPerReplicaSet",
        file: "machine/src/rollout/replicas.rs",
        from: "count => count.max(min_pods.min(replicas)),",
        to: "count => count,",
        test: (MACHINE, "rollout::tests::replicas::routed::each_row_of_the_canary_by_its_weight"),
    },
    Cut {
        feature: "replicaProgressThreshold",
        file: "machine/src/rollout/replicas.rs",
        from: "let Some(threshold) = &canary.replica_progress_threshold else {",
        to: "let Some(threshold) = canary.replica_progress_threshold.as_ref().filter(|_| false) else {",
        test: (MACHINE, "rollout::tests::kept::a_progress_threshold_is_a_count_of_pods_or_a_share_of_them"),
    },
    Cut {
        feature: "dynamicStableScale",
        file: "machine/src/rollout/routed.rs",
        from: "if !canary.dynamic_stable_scale_or_default() ||",
        to: "if true ||",
        test: (MACHINE, "rollout::tests::updates::dynamic_stable_scale_leaves_stable_what_it_may_be_getting"),
    },
    Cut {
        feature: "pingPong",
        file: "machine/src/references.rs",
        from: "let Some(services) = &canary.ping_pong else {",
        to: "let Some(services) = canary.ping_pong.as_ref().filter(|_| false) else {",
        test: LIBRARY,
    },
    Cut {
        feature: "previewReplicaCount",
        file: "machine/src/rollout/blue_green.rs",
        from: "Some(count) if is_preview =>",
        to: "Some(count) if is_preview && false =>",
        test: (MACHINE, "rollout::tests::updates::a_small_preview_grows_when_nothing_else_is_left_to_wait_for"),
    },
    Cut {
        feature: "autoPromotionEnabled",
        file: "machine/src/rollout/blue_green.rs",
        from: "if blue_green.auto_promotion_enabled == Some(false) {\n        turn.hold",
        to: "if false {\n        turn.hold",
        test: (SIMULATOR, "scenarios::blue_green_switches_waits_aborts_and_goes_back"),
    },
    Cut {
        feature: "autoPromotionSeconds",
        file: "machine/src/rollout/blue_green.rs",
        from: "SignedDuration::from_secs(i64::from(blue_green.auto_promotion_seconds_or_default()))",
        to: "SignedDuration::ZERO",
        test: (MACHINE, "rollout::tests::updates::the_switch_waits_for_the_analysis_the_pause_and_all_pods"),
    },
    Cut {
        feature: "scaleDownDelaySeconds",
        file: "machine/src/rollout/blue_green.rs",
        from: "let delay = seconds(blue_green.scale_down_delay_seconds);",
        to: "let delay = 0;",
        test: (MACHINE, "rollout::tests::kept::a_former_stable_revision_is_kept_for_its_delay"),
    },
    Cut {
        feature: "revisionHistoryLimit",
        file: "machine/src/rollout/sets.rs",
        from: ".map_or(10, |limit| usize::try_from(limit).unwrap_or(0));",
        to: ".map_or(10, |_| 10);",
        test: (MACHINE, "rollout::tests::kept::the_oldest_revision_beyond_the_history_limit_is_deleted"),
    },
    Cut {
        feature: "rollbackWindow",
        file: "machine/src/rollout/rollback.rs",
        from: "window.and_then(|window| window.revisions).unwrap_or(0);",
        to: "window.and_then(|window| window.revisions).map_or(0, |_| 0);",
        test: (MACHINE, "rollout::tests::updates::the_way_back_inside_the_window_skips_the_steps"),
    },
    Cut {
        feature: "restartAt",
        file: "machine/src/rollout/restart.rs",
        from: "at.filter(|at| status.restarted_at.as_ref() != Some(at))",
        to: "at.filter(|_| false)",
        test: (MACHINE, "rollout::tests::updates::a_restart_takes_one_pod_at_a_time_and_never_more_than_may_be_missing"),
    },
    Cut {
        feature: "workloadRef.scaleDown",
        file: "machine/src/rollout/migration.rs",
        from: "reference.scale_down.as_deref().unwrap_or(\"never\")",
        to: "reference.scale_down.as_deref().filter(|_| false).unwrap_or(\"never\")",
        test: (MACHINE, "rollout::tests::updates::a_deployment_gives_its_pods_up_once"),
    },
    Cut {
        feature: "stableMetadata",
        file: "machine/src/rollout/metadata.rs",
        from: "canary.stable_metadata.as_ref(),",
        to: "canary.stable_metadata.as_ref().filter(|_| false),",
        test: (SIMULATOR, "takeover::canaries_with_a_route_are_taken_over_without_a_move"),
    },
    Cut {
        feature: "antiAffinity",
        file: "machine/src/rollout/sets.rs",
        from: "affinity::inject(&mut template, rules, stable);",
        to: "let _ = (rules, stable);",
        test: (MACHINE, "rollout::tests::kept::a_new_replica_set_keeps_away_from_the_stable_one_where_that_is_asked_for"),
    },
    Cut {
        feature: "progressDeadlineAbort",
        file: "machine/src/rollout/deadline.rs",
        from: "&& context.rollout.spec.progress_deadline_abort == Some(true)",
        to: "&& false",
        test: (SIMULATOR, "scenarios::a_canary_by_replicas_is_promoted_when_good_and_aborted_when_it_never_starts"),
    },
    Cut {
        feature: "spec.paused",
        file: "machine/src/rollout/canary.rs",
        from: "if context.rollout.spec.paused == Some(true) {",
        to: "if false {",
        test: LIBRARY,
    },
    Cut {
        feature: "status.HPAReplicas",
        file: "machine/src/rollout/publish.rs",
        from: "total.min(context.replicas)",
        to: "total",
        test: (MACHINE, "rollout::tests::updates::an_autoscaler_finds_no_more_pods_than_are_wanted"),
    },
    Cut {
        feature: "status.duration",
        file: "machine/src/rollout/duration.rs",
        from: "if let Some(end) = end {",
        to: "if let Some(end) = end.filter(|_| false) {",
        test: (MACHINE, "rollout::tests::updates::an_update_says_how_long_it_took_and_how_it_ended"),
    },
    Cut {
        feature: "condition Completed",
        file: "machine/src/rollout/conditions.rs",
        from: "COMPLETED,\n        finished,",
        to: "COMPLETED,\n        false,",
        test: (SIMULATOR, "upgrade::this_version_leaves_the_state_that_is_kept"),
    },
    Cut {
        feature: "nginx: weight of the canary Ingress",
        file: "traffic/src/routers/ingress.rs",
        from: "Ok(u32::try_from(total * canary / parts).expect(\"a part of a u32 is a u32\"))",
        to: "Ok(0)",
        test: (TRAFFIC, "ingress::an_edit_brings_weight_and_copied_fields_up_to_date_and_nothing_else"),
    },
];
