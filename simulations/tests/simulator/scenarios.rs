//! Every scenario ends as it must, without a lost request and without a broken invariant, whatever the seed.

use jiff::SignedDuration;
use serde_json::json;
use sluice_simulations::{Command, Key, Kind, Part, Played, Scenario, scenarios};

/// Seeds that each scenario is played with. More are played by the example `soak`.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=8;

fn play(scenario: &Scenario, seed: u64) -> Played {
    let played = scenario.play(seed);
    let context = format!("{} seed {seed}", scenario.name);
    assert!(played.settled, "{context} does not settle: {}", played.last());
    assert_eq!(played.cluster.violations(), [], "{context}");
    assert!(
        played.cluster.totals().lost() == 0.0,
        "{context} loses requests: {:?}",
        played.cluster.totals().losses
    );
    played
}

/// Plays a scenario with some seeds and compares where it stands in the end.
fn ends(scenario: &Scenario, expected: &str) {
    for seed in SEEDS {
        assert_eq!(play(scenario, seed).last(), expected, "{} seed {seed}", scenario.name);
    }
}

const TIMED_OUT: &str = "Degraded: RolloutAborted: Rollout aborted update to revision 2: ReplicaSet \"shop-m7h48slpb4\" has timed out progressing.";
const BAD_METRIC: &str = "Degraded: RolloutAborted: Rollout aborted update to revision 2: Step-based analysis phase error/failed: \
    Metric \"error-rate\" assessed Failed due to failed (1) > failureLimit (0)";

#[test]
fn a_canary_by_replicas_is_promoted_when_good_and_aborted_when_it_never_starts() {
    ends(&scenarios::basic(), "step 3 | | r1=0 r2=4 | Healthy");
    ends(&scenarios::basic_bad(), &format!("step 0 | | r1=4 r2=0 | {TIMED_OUT}"));
}

#[test]
fn a_canary_through_a_route_is_promoted_when_good_and_aborted_when_its_metric_is_bad() {
    ends(
        &scenarios::routed_good(),
        "step 6 | canary 0 stable 100 | r1=0 r2=4 | Healthy",
    );
    ends(
        &scenarios::routed_bad(),
        &format!("step 0 | canary 0 stable 100 | r1=4 r2=0 | {BAD_METRIC}"),
    );
}

#[test]
fn commands_promote_abort_and_retry() {
    ends(
        &scenarios::promoted(),
        "step 4 | canary 0 stable 100 | r1=0 r2=5 | Healthy",
    );
    ends(
        &scenarios::promoted_fully(),
        "step 4 | canary 0 stable 100 | r1=0 r2=5 | Healthy",
    );
    ends(
        &scenarios::aborted_and_retried(),
        "step 4 | canary 0 stable 100 | r1=0 r2=5 | Healthy",
    );
}

#[test]
fn a_full_promotion_is_taken_after_an_abort_too() {
    let full = || Command::PromoteFull("shop".to_owned());
    // Before and after the pods of the aborted version are gone.
    for at in [130, 200] {
        let mut canary = scenarios::aborted_and_retried();
        canary
            .script
            .retain(|(time, _)| *time <= SignedDuration::from_secs(120));
        ends(
            &canary.at(at, full()),
            "step 4 | canary 0 stable 100 | r1=0 r2=5 | Healthy",
        );
        let played = play(&scenarios::blue_green_aborted().at(at, full()), 1);
        assert_eq!(played.phase(), "Healthy", "blue-green at {at}");
        assert_eq!(played.status("/stableRS"), played.status("/currentPodHash"));
        assert!(played.status("/abortedAt").is_null(), "blue-green at {at}");
    }
}

#[test]
fn an_inconclusive_analysis_is_measured_again_when_its_pause_alone_is_ended() {
    let condition = "successCondition: result[0] < 0.01";
    let twice = format!("{condition}\n    failureCondition: result[0] > 0.9");
    let manifests = scenarios::routed_good().manifests.replace(condition, &twice);
    let resume = json!({ "status": { "pauseConditions": null } });
    let rollout = Key::new(Kind::Rollout, "default", "shop");
    let scenario = Scenario::new("resumed", manifests)
        .through_route("shop")
        .error_rate("shop:v2", 0.5)
        .at(60, Command::SetImage("shop".to_owned(), "shop:v2".to_owned()))
        .at(120, Command::Patch(rollout, Part::Status, Box::new(resume)));
    let played = play(&scenario, 1);
    assert_eq!(played.phase(), "Paused: InconclusiveAnalysisRun");
    assert_eq!(played.status("/currentStepIndex"), 1);
    let runs = played.cluster.store().list(Kind::AnalysisRun);
    let phases: Vec<_> = runs.map(|(_, run)| run["status"]["phase"].clone()).collect();
    assert_eq!(phases, ["Inconclusive", "Inconclusive"]);
}

#[test]
fn a_new_template_and_the_old_one_replace_an_update_under_way() {
    ends(
        &scenarios::superseded(),
        "step 4 | canary 0 stable 100 | r1=0 r2=0 r3=5 | Healthy",
    );
    ends(
        &scenarios::rolled_back(),
        "step 4 | canary 0 stable 100 | r2=0 r3=5 | Healthy",
    );
}

#[test]
fn an_update_follows_its_size_and_ends_when_pods_keep_crashing() {
    ends(
        &scenarios::scaled(),
        "step 4 | canary 0 stable 100 | r1=0 r2=3 | Healthy",
    );
    ends(
        &scenarios::crash_loop(),
        &format!("step 0 | canary 0 stable 100 | r1=5 r2=0 | {TIMED_OUT}"),
    );
}

#[test]
fn blue_green_switches_waits_aborts_and_goes_back() {
    ends(
        &scenarios::blue_green_switched(),
        "step - | active 2 preview 2 | r1=0 r2=3 | Healthy",
    );
    ends(
        &scenarios::blue_green_promoted(),
        "step - | active 2 preview 2 | r1=0 r2=3 | Healthy",
    );
    let aborted =
        "step - | active 1 preview 1 | r1=3 r2=0 | Degraded: RolloutAborted: Rollout aborted update to revision 2";
    ends(&scenarios::blue_green_aborted(), aborted);
    ends(
        &scenarios::blue_green_rolled_back(),
        "step - | active 3 preview 3 | r2=0 r3=3 | Healthy",
    );
}

#[test]
fn the_bad_version_is_the_only_one_that_answers_with_errors() {
    let played = play(&scenarios::routed_bad(), 1);
    let served = &played.cluster.totals().served;
    assert!(served["shop:v2"].errors > 0.0, "{served:?}");
    assert!(served["shop:v1"].errors == 0.0, "{served:?}");
}

#[test]
fn the_steps_of_a_good_update_come_one_after_the_other() {
    let played = play(&scenarios::routed_good(), 1);
    let observer = played.cluster.observer();
    let steps = observer.aspect("default/shop", |stand| stand.step);
    assert_eq!(
        steps,
        [
            None,
            Some(0),
            Some(6),
            Some(0),
            Some(1),
            Some(2),
            Some(3),
            Some(4),
            Some(5),
            Some(6)
        ]
    );
    let canary = observer.aspect("default/shop", |stand| stand.split.get("canary").copied().unwrap_or(0));
    assert_eq!(canary, [0, 5, 25, 50, 0]);
}
