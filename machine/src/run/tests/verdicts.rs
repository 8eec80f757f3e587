//! How metrics and runs end.

use proptest::prelude::*;

use super::*;

/// Rows of (fields of the metric, outcomes of its measurements, status of the run).
fn check(rows: &[(Value, &str, &str)]) {
    for (fields, outcomes, expected) in rows {
        let mut bench = Bench::one(fields);
        bench.play(&[("m", outcomes)]);
        assert_eq!(bench.status(), *expected, "{fields} {outcomes}");
    }
}

const FAILED: &str = "Failed: Metric \"m\" assessed Failed due to ";

const ERROR: &str = "Error: Metric \"m\" assessed Error due to ";

const INCONCLUSIVE: &str = "Inconclusive: Metric \"m\" assessed Inconclusive due to ";

const SAID: &str = ": \"Error Message: the connection failed\"";

#[test]
fn a_metric_ends_by_its_count_and_its_limits() {
    let failed = |text: &str| format!("{FAILED}{text}");
    let error = |text: &str| format!("{ERROR}{text}{SAID}");
    let unclear = |text: &str| format!("{INCONCLUSIVE}{text}");
    let success = "Successful".to_owned();
    let running = "Running".to_owned();
    let three = json!({"count": 3, "interval": "1m"});
    let lenient = json!({"count": 5, "interval": "1m", "failureLimit": 2, "inconclusiveLimit": 2});
    let forever = json!({"interval": "1m", "failureLimit": 1, "inconclusiveLimit": 1});
    let streak = json!({"interval": "1m", "failureLimit": -1, "consecutiveSuccessLimit": 3});
    let both = json!({"count": 6, "interval": "1m", "failureLimit": 2, "consecutiveSuccessLimit": 3});
    let only = json!({"count": 4, "interval": "1m", "failureLimit": -1, "consecutiveSuccessLimit": 3});
    let strict_errors = json!({"count": 3, "interval": "1m", "consecutiveErrorLimit": 0});
    let rows: Vec<(&Value, &str, String)> = vec![
        (&three, "", running.clone()),
        (&three, "S", running.clone()),
        (&three, "SS", running.clone()),
        (&three, "SSS", success.clone()),
        (&three, "F", failed("failed (1) > failureLimit (0)")),
        (&three, "SSF", failed("failed (1) > failureLimit (0)")),
        (&three, "I", unclear("inconclusive (1) > inconclusiveLimit (0)")),
        (&three, "SI", unclear("inconclusive (1) > inconclusiveLimit (0)")),
        (&three, "E", running.clone()),
        (&three, "EEEE", running.clone()),
        (
            &three,
            "EEEEE",
            error("consecutiveErrors (5) > consecutiveErrorLimit (4)"),
        ),
        (&three, "EEEESEEEESEEEES", success.clone()),
        (
            &three,
            "SSEEEEE",
            error("consecutiveErrors (5) > consecutiveErrorLimit (4)"),
        ),
        (&three, "SEESES", success.clone()),
        (
            &strict_errors,
            "E",
            error("consecutiveErrors (1) > consecutiveErrorLimit (0)"),
        ),
        (
            &strict_errors,
            "SSE",
            error("consecutiveErrors (1) > consecutiveErrorLimit (0)"),
        ),
        (&lenient, "FFSSS", success.clone()),
        (&lenient, "FFF", failed("failed (3) > failureLimit (2)")),
        (&lenient, "FSFSF", failed("failed (3) > failureLimit (2)")),
        (&lenient, "IISSS", success.clone()),
        (&lenient, "IFIFS", success.clone()),
        (&lenient, "III", unclear("inconclusive (3) > inconclusiveLimit (2)")),
        (&lenient, "FIFII", unclear("inconclusive (3) > inconclusiveLimit (2)")),
        (&lenient, "FEFEIEIESEEE", success.clone()),
        (&forever, "SSSSSSSSSSSSSSSSSSSSSSSS", running.clone()),
        (&forever, "SFSSS", running.clone()),
        (&forever, "SFSSSF", failed("failed (2) > failureLimit (1)")),
        (&forever, "II", unclear("inconclusive (2) > inconclusiveLimit (1)")),
        (&streak, "SSS", success.clone()),
        (&streak, "FFFFFFFFFFF", running.clone()),
        (&streak, "SSFSSFSSS", success.clone()),
        (&streak, "SSESSS", success.clone()),
        (&streak, "SSES", running.clone()),
        (&both, "SSS", success.clone()),
        (&both, "FFF", failed("failed (3) > failureLimit (2)")),
        (&both, "SSFSSS", success.clone()),
        (
            &both,
            "SSFSSF",
            unclear("count (6) reached with consecutiveSuccess (0) < consecutiveSuccessLimit (3)"),
        ),
        (
            &both,
            "SSFSFS",
            unclear("count (6) reached with consecutiveSuccess (1) < consecutiveSuccessLimit (3)"),
        ),
        (
            &only,
            "FSFS",
            failed("count (4) reached with consecutiveSuccess (1) < consecutiveSuccessLimit (3)"),
        ),
        (&only, "FSSS", success.clone()),
    ];
    check(
        &rows
            .iter()
            .map(|(fields, outcomes, expected)| ((*fields).clone(), *outcomes, expected.as_str()))
            .collect::<Vec<_>>(),
    );
}

/// No measurement exceeds two limits at once, but limits may be changed under a run, and runs be taken over.
#[test]
fn of_several_limits_that_are_exceeded_the_worst_counts() {
    let failed = "Failed: Metric \"m\" assessed Failed due to failed (1) > failureLimit (0)";
    let error = "Error: Metric \"m\" assessed Error due to consecutiveErrors (5) > consecutiveErrorLimit (4)";
    let unclear = "Inconclusive: Metric \"m\" assessed Inconclusive due to inconclusive (1) > inconclusiveLimit (0)";
    for (failures, errors, inconclusive, successes, expected) in [
        (1, 5, 1, 0, failed),
        (1, 5, 0, 0, failed),
        (1, 0, 1, 0, failed),
        (0, 5, 1, 0, error),
        (0, 0, 1, 0, unclear),
        (1, 0, 0, 3, failed),
        (0, 5, 0, 3, error),
        (0, 0, 1, 3, unclear),
        (0, 0, 0, 3, "Successful"),
        (0, 4, 0, 2, "Running"),
    ] {
        let mut bench = Bench::one(&json!({"interval": "1m", "consecutiveSuccessLimit": 3}));
        let result = json!({
            "name": "m", "phase": "Running", "count": failures + inconclusive + successes, "failed": failures,
            "error": errors, "consecutiveError": errors, "inconclusive": inconclusive, "successful": successes,
            "consecutiveSuccess": successes,
        });
        let status = json!({"phase": "Running", "startedAt": "2026-01-02T12:00:00Z", "metricResults": [result]});
        bench.world.run.status = serde_json::from_value(status).unwrap();
        bench.step();
        assert_eq!(
            bench.status(),
            expected,
            "{failures} {errors} {inconclusive} {successes}"
        );
    }
}

#[test]
fn without_one_success_a_metric_does_not_succeed() {
    let none = "no successful measurement: ";
    let rows = [
        (
            json!({"count": 1, "failureLimit": 1}),
            "F",
            format!("{FAILED}{none}failed (1), inconclusive (0), error (0)"),
        ),
        (
            json!({"failureLimit": 7}),
            "F",
            format!("{FAILED}{none}failed (1), inconclusive (0), error (0)"),
        ),
        (
            json!({"count": 3, "interval": "1m", "failureLimit": 3}),
            "FFF",
            format!("{FAILED}{none}failed (3), inconclusive (0), error (0)"),
        ),
        (
            json!({"count": 3, "interval": "1m", "failureLimit": 3}),
            "FEFEF",
            format!("{FAILED}{none}failed (3), inconclusive (0), error (2)"),
        ),
        (
            json!({"count": 2, "interval": "1m", "failureLimit": 2, "inconclusiveLimit": 2}),
            "FI",
            format!("{FAILED}{none}failed (1), inconclusive (1), error (0)"),
        ),
        (
            json!({"count": 2, "interval": "1m", "inconclusiveLimit": 2}),
            "II",
            format!("{INCONCLUSIVE}{none}failed (0), inconclusive (2), error (0)"),
        ),
        (
            json!({"count": 2, "interval": "1m", "failureLimit": 2}),
            "FS",
            "Successful".to_owned(),
        ),
        (json!({}), "F", format!("{FAILED}failed (1) > failureLimit (0)")),
        (json!({}), "S", "Successful".to_owned()),
    ];
    check(
        &rows
            .iter()
            .map(|(fields, outcomes, expected)| (fields.clone(), *outcomes, expected.as_str()))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn a_terminated_run_is_judged_by_what_was_measured() {
    let none = "no successful measurement: ";
    let lenient = json!({"interval": "1m", "failureLimit": 5, "inconclusiveLimit": 5});
    for (outcomes, expected) in [
        ("", "Successful: Run Terminated".to_owned()),
        ("S", "Successful: Run Terminated".to_owned()),
        ("SF", "Successful: Run Terminated".to_owned()),
        ("EES", "Successful: Run Terminated".to_owned()),
        ("F", format!("{FAILED}{none}failed (1), inconclusive (0), error (0)")),
        (
            "FIE",
            format!("{FAILED}{none}failed (1), inconclusive (1), error (1){SAID}"),
        ),
        (
            "I",
            format!("{INCONCLUSIVE}{none}failed (0), inconclusive (1), error (0)"),
        ),
        (
            "EE",
            format!("{ERROR}{none}failed (0), inconclusive (0), error (2){SAID}"),
        ),
    ] {
        let mut bench = Bench::one(&lenient);
        bench.play(&[("m", outcomes)]);
        bench.terminate();
        assert_eq!(bench.status(), expected, "{outcomes}");
        assert!(bench.world.run.status.as_ref().unwrap().completed_at.is_some());
        assert_eq!(
            decide(bench.now, &bench.world),
            RunPlan::hold(RunHold::Ended(bench.world.run.status.clone().unwrap().phase))
        );
    }
}

#[test]
fn a_run_that_is_terminated_before_it_starts_measures_nothing() {
    let mut bench = Bench::one(&json!({}));
    bench.terminate();
    assert_eq!(bench.status(), "Successful: Run Terminated");
    assert_eq!((bench.writes, bench.started.len()), (1, 0));
}

/// Rows of outcomes of the metrics a (count 3), b (no end, failureLimit 1), c (count 1) and the status of the run.
#[test]
fn a_run_is_as_bad_as_its_worst_metric() {
    let spec = json!({"metrics": [
        metric_named("a", &json!({"count": 3, "interval": "1m", "inconclusiveLimit": 1})),
        metric_named("b", &json!({"count": 4, "interval": "1m", "failureLimit": 1})),
        metric_named("c", &json!({"consecutiveErrorLimit": 1})),
    ]});
    let fl = "due to failed (1) > failureLimit (0)";
    for (a, b, c, expected) in [
        ("SSS", "SSSS", "S", "Successful".to_owned()),
        ("SSS", "SSS", "S", "Running".to_owned()),
        ("SSS", "SSSS", "", "Running".to_owned()),
        ("SSS", "SFSS", "S", "Successful".to_owned()),
        (
            "SSS",
            "FF",
            "S",
            "Failed: Metric \"b\" assessed Failed due to failed (2) > failureLimit (1)".to_owned(),
        ),
        ("F", "S", "S", format!("Failed: Metric \"a\" assessed Failed {fl}")),
        ("S", "S", "F", format!("Failed: Metric \"c\" assessed Failed {fl}")),
        ("F", "S", "F", format!("Failed: Metric \"a\" assessed Failed {fl}")),
        (
            "SII",
            "SSSS",
            "S",
            "Inconclusive: Metric \"a\" assessed Inconclusive due to inconclusive (2) > inconclusiveLimit (1)"
                .to_owned(),
        ),
        (
            "SSS",
            "SSSS",
            "EE",
            format!(
                "Error: Metric \"c\" assessed Error due to consecutiveErrors (2) > consecutiveErrorLimit (1){SAID}"
            ),
        ),
        ("SSS", "SSSS", "ES", "Successful".to_owned()),
        // b has failed once, within its limit: that is not held against a run that ends for another reason.
        (
            "II",
            "F",
            "S",
            "Inconclusive: Metric \"a\" assessed Inconclusive due to inconclusive (2) > inconclusiveLimit (1)"
                .to_owned(),
        ),
        (
            "II",
            "FS",
            "S",
            "Inconclusive: Metric \"a\" assessed Inconclusive due to inconclusive (2) > inconclusiveLimit (1)"
                .to_owned(),
        ),
    ] {
        let mut bench = Bench::new(&spec);
        bench.play(&[("a", a), ("b", b), ("c", c)]);
        assert_eq!(bench.status(), expected, "{a} {b} {c}");
    }
}

/// What the outcomes of one metric mean, from the outcomes alone: the phase, and how many were looked at.
fn replay(limits: &Limits, outcomes: &str) -> (AnalysisPhase, usize) {
    for end in 1..=outcomes.len() {
        let seen = &outcomes[..end];
        let of = |outcome: char| i32::try_from(seen.matches(outcome).count()).unwrap();
        let trailing = |outcome: char| i32::try_from(seen.len() - seen.trim_end_matches(outcome).len()).unwrap();
        let enough = limits.consecutive_success.is_some_and(|limit| trailing('S') >= limit);
        let reached = limits.count.is_some_and(|count| of('S') + of('F') + of('I') >= count);
        let phase = if limits.failure.is_some_and(|limit| of('F') > limit) {
            AnalysisPhase::Failed
        } else if trailing('E') > limits.consecutive_error {
            AnalysisPhase::Error
        } else if of('I') > limits.inconclusive {
            AnalysisPhase::Inconclusive
        } else if enough {
            AnalysisPhase::Successful
        } else if !reached {
            continue;
        } else if limits.consecutive_success.is_some() {
            if limits.failure.is_some() {
                AnalysisPhase::Inconclusive
            } else {
                AnalysisPhase::Failed
            }
        } else if seen.contains('S') {
            AnalysisPhase::Successful
        } else if seen.contains('F') {
            AnalysisPhase::Failed
        } else {
            AnalysisPhase::Inconclusive
        };
        return (phase, end);
    }
    (AnalysisPhase::Running, outcomes.len())
}

fn fields() -> impl Strategy<Value = Value> {
    (prop::option::of(1..6_i32), -1..4_i32, 0..4_i32, 0..4_i32, 0..4_i32).prop_filter_map(
        "limits that fit together",
        |(count, failure, inconclusive, errors, successes)| {
            let mut fields = json!({
                "interval": "1m", "failureLimit": failure, "inconclusiveLimit": inconclusive,
                "consecutiveErrorLimit": errors, "consecutiveSuccessLimit": successes,
            });
            if let Some(count) = count {
                fields["count"] = json!(count);
            }
            let metric: Metric = serde_json::from_value(metric_named("m", &fields)).unwrap();
            metric::problems(&[metric]).is_empty().then_some(fields)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_run_ends_as_a_replay_of_its_measurements_does(fields in fields(), outcomes in "[SFIE]{1,16}") {
        let limits = metric::limits(&serde_json::from_value(metric_named("m", &fields)).unwrap()).unwrap();
        let mut bench = Bench::one(&fields);
        bench.play(&[("m", &outcomes)]);
        let (phase, used) = replay(&limits, &outcomes);
        prop_assert_eq!(&bench.world.run.status.as_ref().unwrap().phase, &phase, "{}", bench.status());
        let result = bench.result("m").unwrap();
        prop_assert_eq!(usize::try_from(attempt(Some(result))).unwrap(), used);
        prop_assert_eq!(bench.writes, used + 1);
        prop_assert!(phase != AnalysisPhase::Successful || outcomes[..used].contains('S'));
    }

    #[test]
    fn a_run_of_several_metrics_is_never_better_than_any_of_them(
        metrics in prop::collection::vec((fields(), "[SFIE]{0,9}"), 1..4),
        terminate in any::<bool>(),
    ) {
        let names = ["a", "b", "c"];
        let specs: Vec<Value> = metrics.iter().zip(names).map(|((fields, _), name)| metric_named(name, fields)).collect();
        let mut bench = Bench::new(&json!({"metrics": specs}));
        let outcomes: Vec<_> = metrics.iter().zip(names).map(|((_, outcomes), name)| (name, outcomes.as_str())).collect();
        bench.play(&outcomes);
        if terminate && !bench.world.run.status.as_ref().unwrap().phase.completed() {
            bench.terminate();
        }
        let status = bench.world.run.status.clone().unwrap();
        let results = status.metric_results.clone().unwrap_or_default();
        for result in &results {
            if status.phase == AnalysisPhase::Successful {
                prop_assert_eq!(&result.phase, &AnalysisPhase::Successful);
                prop_assert!(number(result.successful) > 0, "{:?}", result);
            }
            let order = [AnalysisPhase::Successful, AnalysisPhase::Inconclusive, AnalysisPhase::Error, AnalysisPhase::Failed];
            let place = |phase: &AnalysisPhase| order.iter().position(|one| one == phase);
            if status.phase.completed() && result.phase.completed() {
                prop_assert!(place(&status.phase) >= place(&result.phase));
            }
        }
        prop_assert_eq!(status.phase.completed(), status.completed_at.is_some());
        let rounds = bench.started.iter().map(|(at, _)| at).collect::<BTreeSet<_>>().len();
        prop_assert!(bench.writes <= rounds + 2, "{} writes for {rounds} rounds", bench.writes);
        let ends = bench.events.iter().filter(|event| event.contains("Analysis Completed")).count();
        prop_assert_eq!(ends, usize::from(status.phase.completed()));
    }
}
