//! When measurements begin, and when their results are written.

use expect_test::expect;

use super::*;

/// Rows of (fields of the metric, outcomes, seconds from the start at which measurements begin).
#[test]
fn measurements_begin_when_they_are_due() {
    let rows: Vec<(Value, &str, Vec<i64>)> = vec![
        (json!({}), "S", vec![0]),
        (json!({"initialDelay": "90s"}), "S", vec![90]),
        (json!({"initialDelay": "0s"}), "S", vec![0]),
        (json!({"count": 3, "interval": "1m"}), "SSS", vec![0, 60, 120]),
        (
            json!({"count": 3, "interval": "1m", "initialDelay": "5s"}),
            "SSS",
            vec![5, 65, 125],
        ),
        (
            json!({"count": 3, "interval": "1m", "failureLimit": 3}),
            "FIS",
            vec![0, 60],
        ),
        (
            json!({"count": 3, "interval": "1m", "failureLimit": 3}),
            "FFS",
            vec![0, 60, 120],
        ),
        (json!({"interval": "10s"}), "SSSS", vec![0, 10, 20, 30]),
        (json!({"interval": "1h"}), "SS", vec![0, 3600]),
        // After an error the wait is 10 s, whatever the interval.
        (json!({}), "EES", vec![0, 10, 20]),
        (json!({"count": 2, "interval": "5m"}), "ESES", vec![0, 10, 310, 320]),
        (json!({"count": 2, "interval": "2s"}), "ESS", vec![0, 10, 12]),
        (json!({}), "EEEEE", vec![0, 10, 20, 30, 40]),
        // An interval of nothing is one second.
        (json!({"count": 3, "interval": "0s"}), "SSS", vec![0, 1, 2]),
        (json!({"count": 3, "interval": "10ms"}), "SSS", vec![0, 1, 2]),
        (
            json!({"interval": "1m", "failureLimit": -1, "consecutiveSuccessLimit": 2}),
            "FSS",
            vec![0, 60, 120],
        ),
    ];
    for (fields, outcomes, expected) in rows {
        let mut bench = Bench::one(&fields);
        bench.play(&[("m", outcomes)]);
        let started: Vec<i64> = bench.started.iter().map(|(at, _)| *at).collect();
        assert_eq!(started, expected, "{fields} {outcomes}");
        assert!(bench.world.in_flight.is_empty(), "{fields} {outcomes}");
    }
}

#[test]
fn metrics_have_their_own_times() {
    let mut bench = Bench::new(&json!({"metrics": [
        metric_named("fast", &json!({"count": 4, "interval": "10s"})),
        metric_named("slow", &json!({"count": 2, "interval": "25s"})),
        metric_named("late", &json!({"initialDelay": "15s"})),
    ]}));
    bench.play(&[("fast", "SSSS"), ("slow", "SS"), ("late", "S")]);
    let started: Vec<_> = bench
        .started
        .iter()
        .map(|(at, metric)| format!("{at} {metric}"))
        .collect();
    assert_eq!(
        started,
        [
            "0 fast", "0 slow", "10 fast", "15 late", "20 fast", "25 slow", "30 fast"
        ]
    );
    assert_eq!(bench.status(), "Successful");
}

#[test]
fn a_run_is_started_with_one_write_and_each_round_is_written_once() {
    let mut bench = Bench::new(&json!({"metrics": [
        metric_named("a", &json!({"count": 2, "interval": "10s"})),
        metric_named("b", &json!({"count": 2, "interval": "10s"})),
    ]}));
    let plan = bench.step();
    let patch = plan.commit.expect("the start is written").patch;
    expect![[r#"{"status":{"phase":"Running","startedAt":"2026-01-02T12:00:00Z","runSummary":{"count":2},"dryRunSummary":{}}}"#]]
        .assert_eq(&patch.to_string());
    assert_eq!((plan.measure.len(), plan.wake_at, plan.hold), (2, None, None));

    bench.now = at(1);
    bench.answer("a", 'S');
    let plan = bench.step();
    assert_eq!(
        (plan.commit, plan.hold, plan.wake_at),
        (None, Some(RunHold::Measuring), Some(at(2)))
    );
    bench.answer("b", 'S');
    let plan = bench.step();
    assert!(plan.commit.is_some(), "both results are written together");
    assert_eq!(plan.wake_at, Some(at(11)));
    assert_eq!(
        bench.step(),
        RunPlan {
            hold: Some(RunHold::NotDue),
            wake_at: Some(at(11)),
            ..RunPlan::default()
        }
    );
    assert_eq!(bench.writes, 2);
    bench.play(&[("a", "S"), ("b", "S")]);
    assert_eq!((bench.status().as_str(), bench.writes), ("Successful", 3));
}

#[test]
fn a_result_waits_for_others_no_longer_than_a_second_and_not_at_all_when_it_ends_the_run() {
    let spec = json!({"metrics": [
        metric_named("a", &json!({"count": 2, "interval": "10s"})),
        metric_named("b", &json!({"count": 2, "interval": "10s"})),
    ]});
    let mut bench = Bench::new(&spec);
    bench.step();
    bench.answer("a", 'S');
    assert_eq!(bench.step().commit, None);
    bench.now = at(1);
    assert!(bench.step().commit.is_some(), "b hangs");
    bench.now = at(10);
    let plan = bench.step();
    assert_eq!(
        plan.measure,
        [MeasureKey {
            metric: "a".to_owned(),
            attempt: 1
        }],
        "a goes on while b hangs"
    );

    let mut bench = Bench::new(&spec);
    bench.step();
    bench.answer("a", 'F');
    bench.step();
    assert_eq!(
        bench.status(),
        format!("Failed: Metric \"a\" assessed Failed due to failed (1) > failureLimit (0)")
    );
    assert_eq!(bench.writes, 2);
}
