//! What is typed at the worst moment, events that come late or never, and others who write the same objects.

use super::*;
use sluice_simulations::EventFault;

/// When the pause of a step begins.
fn pause_begins(scenario: &Scenario, step: u64) -> SignedDuration {
    let played = play(scenario, 1);
    let begins = ours(&played).find(|change| {
        let status = &change.object["status"];
        status["currentStepIndex"] == step && status["pauseConditions"].is_array()
    });
    since_start(begins.expect("it pauses"))
}

/// The scenario with a command at some time, and the revision of the write that the command is.
fn typed(mut scenario: Scenario, at: SignedDuration, command: Command) -> (Scenario, u64) {
    scenario.script.push((at, command));
    let played = play(&scenario, 1);
    let mut log = played.cluster.store().log().iter();
    let change = log.find(|change| change.by == Writer::User && since_start(change) == at);
    (scenario, change.expect("the command writes").revision)
}

fn with_event_fault(scenario: &Scenario, revision: u64, fault: EventFault) -> Scenario {
    let mut scenario = scenario.clone();
    scenario.config.faults.events = BTreeMap::from([(revision, fault)]);
    scenario
}

const MOMENT: SignedDuration = SignedDuration::from_millis(1);

#[test]
fn a_promote_one_millisecond_after_the_pause_began_counts_and_counts_once() {
    let scenario = updated("resumed", "", "", STEPS);
    let at = pause_begins(&scenario, 1) + MOMENT;
    let (scenario, revision) = typed(scenario, at, Command::Promote(shop()));
    for scenario in [
        scenario.clone(),
        with_event_fault(&scenario, revision, EventFault::Late(seconds(30))),
    ] {
        let played = play_without_loss(&scenario, 1);
        assert_eq!(pauses_entered(&played, 1), 1);
        assert_eq!(pauses_entered(&played, 3), 1, "the next pause is one of its own");
        assert_eq!(played.last(), UPDATED);
    }
}

#[test]
fn a_resume_whose_event_is_lost_moves_nothing_and_is_found_with_the_next_event() {
    let scenario = updated("resume-lost", "", "", STEPS);
    let at = pause_begins(&scenario, 1) + MOMENT;
    let (scenario, revision) = typed(scenario, at, Command::Promote(shop()));
    let scenario = with_event_fault(&scenario, revision, EventFault::Lost);
    let unnoticed = play_without_loss(&scenario, 1);
    assert_eq!(
        ours_from(&unnoticed, at + seconds(2)).count(),
        0,
        "nothing moves on a guess"
    );
    for next in [
        patch(
            &rollout(),
            json!({ "metadata": { "annotations": { "note": "looked at" } } }),
        ),
        Command::Crash(0),
    ] {
        let played = play_without_loss(&scenario.clone().at(300, next.clone()), 1);
        assert_eq!(played.last(), UPDATED, "{next:?}");
        assert_eq!(pauses_entered(&played, 1), 1, "{next:?}");
    }
}

#[test]
fn a_lost_resume_of_a_pause_with_an_end_is_found_at_its_end() {
    let scenario = updated("timed-resume-lost", "", "", "{setWeight: 20}, {pause: {duration: 1m}}");
    let begins = pause_begins(&scenario, 1);
    let (scenario, revision) = typed(scenario, begins + MOMENT, Command::Promote(shop()));
    let played = play_without_loss(&with_event_fault(&scenario, revision, EventFault::Lost), 1);
    assert_eq!(played.last(), "step 2 | canary 0 stable 100 | r1=0 r2=5 | Healthy");
    assert_eq!(pauses_entered(&played, 1), 1);
    let passes =
        ours(&played).find(|change| since_start(change) > begins && change.object["status"]["currentStepIndex"] == 2);
    let after = since_start(passes.expect("it goes on")) - begins;
    assert!(
        after <= seconds(62),
        "the write at the end meets a conflict, and then the object is read: {after:?}"
    );
}

#[test]
fn others_who_write_the_rollout_all_the_time_do_not_hold_it_up() {
    let mut scenario = updated(
        "co-writer",
        "",
        "",
        "{setWeight: 20}, {pause: {duration: 20s}}, {setWeight: 60}",
    );
    for number in 0..4_000 {
        let change = json!({ "metadata": { "annotations": { "counter": number.to_string() } } });
        let at = SignedDuration::from_millis(58_000 + 25 * number);
        let command = Command::ForeignPatch(rollout(), Part::Main, Box::new(change));
        scenario.script.push((at, command));
    }
    let reference = play(
        &updated(
            "alone",
            "",
            "",
            "{setWeight: 20}, {pause: {duration: 20s}}, {setWeight: 60}",
        ),
        1,
    );
    for seed in 1..=3 {
        let played = play_without_loss(&scenario, seed);
        let done = ours(&played)
            .find(|change| since_start(change) > seconds(60) && change.object["status"]["phase"] == "Healthy");
        assert!(
            since_start(done.expect("it is done")) < seconds(150),
            "the storm lasts until 158 s"
        );
        let (attempts, written) = (played.cluster.writes(), ours(&played).count() as u64);
        assert!(attempts > written, "seed {seed}: some writes met a conflict");
        let alone = reference.cluster.writes();
        assert!(attempts <= 3 * alone, "seed {seed}: {attempts} attempts, {alone} alone");
    }
}

#[test]
fn a_foreign_write_whose_event_is_lost_does_not_stop_a_step() {
    let scenario = updated("co-writer-lost", "", "", "{setWeight: 20}, {pause: {duration: 1m}}");
    let begins = pause_begins(&scenario, 1);
    let note = json!({ "metadata": { "annotations": { "note": "other" } } });
    let (scenario, revision) = typed(scenario, begins + seconds(5), patch(&rollout(), note));
    let played = play_without_loss(&with_event_fault(&scenario, revision, EventFault::Lost), 1);
    assert_eq!(played.last(), "step 2 | canary 0 stable 100 | r1=0 r2=5 | Healthy");
    assert!(
        played.cluster.now() < begins + seconds(120),
        "{:?}",
        played.cluster.now()
    );
}

#[test]
fn any_one_event_of_pods_that_got_lost_neither_aborts_nor_stops_an_update() {
    let aborting = DEADLINE.to_owned();
    let patient = "  progressDeadlineSeconds: 60\n".to_owned();
    for spec in [aborting, patient] {
        let base = updated("status-lost", &spec, "", "{setWeight: 20}, {pause: {duration: 20s}}");
        let reference = play(&base, 1);
        let log = reference.cluster.store().log().iter();
        let of_sets = log.filter(|change| change.key.kind == Kind::ReplicaSet && change.by == Writer::Cluster);
        let revisions: Vec<u64> = of_sets.map(|change| change.revision).collect();
        assert!(revisions.len() > 10, "there are events to lose");
        for revision in revisions {
            let played = play_without_loss(&with_event_fault(&base, revision, EventFault::Lost), 1);
            let end = "step 2 | canary 0 stable 100 | r1=0 r2=5 | Healthy";
            assert_eq!(played.last(), end, "the event of revision {revision}");
            let later = played.cluster.now() - reference.cluster.now();
            assert!(later < seconds(70), "found by the deadline, and not {later:?} later");
            let degraded = ours(&played).filter(|change| change.object.to_string().contains("timed out progressing"));
            assert_eq!(degraded.count(), 0, "the event of revision {revision}");
        }
    }
}
