//! Metrics that are measured and decide nothing.

use super::*;

/// The metrics `real` (count 2) and `dry` (count 2), the second in dry run.
fn bench(rule: &str) -> Bench {
    Bench::new(&json!({
        "metrics": [
            metric_named("real", &json!({"count": 2, "interval": "1m"})),
            metric_named("dry", &json!({"count": 2, "interval": "1m", "consecutiveErrorLimit": 1})),
        ],
        "dryRun": [{"metricName": rule}],
    }))
}

fn summaries(bench: &Bench) -> (Value, Value) {
    let status = bench.world.run.status.clone().unwrap();
    (json!(status.run_summary), json!(status.dry_run_summary))
}

#[test]
fn a_dry_run_decides_nothing_and_is_counted_apart() {
    let one = |what: &str| json!({"count": 1, what: 1});
    let failed = "Failed: Metric \"real\" assessed Failed due to failed (1) > failureLimit (0)";
    for (real, dry, status, real_counts, dry_counts) in [
        ("SS", "SS", "Successful", one("successful"), one("successful")),
        ("SS", "F", "Successful", one("successful"), one("failed")),
        ("SS", "I", "Successful", one("successful"), one("inconclusive")),
        ("SS", "EE", "Successful", one("successful"), one("error")),
        ("F", "SS", failed, one("failed"), one("successful")),
        ("F", "F", failed, one("failed"), one("failed")),
        // The run waits for the end of a dry run too, and a dry run that ended badly does not end it.
        ("SS", "S", "Running", one("successful"), json!({"count": 1})),
        ("S", "F", "Running", json!({"count": 1}), one("failed")),
    ] {
        let mut bench = bench("^dry$");
        bench.play(&[("real", real), ("dry", dry)]);
        // A result may wait for others of its round.
        bench.now += BATCH;
        bench.step();
        assert_eq!(bench.status(), status, "{real} {dry}");
        assert_eq!(summaries(&bench), (real_counts, dry_counts), "{real} {dry}");
        assert_eq!(bench.result("dry").unwrap().dry_run, Some(true));
        assert_eq!(bench.result("real").unwrap().dry_run, None);
    }
}

#[test]
fn a_dry_run_is_measured_and_recorded_as_any_other_metric() {
    let mut dry = bench("dry");
    let mut real = bench("dry");
    real.world.run.spec.dry_run = None;
    for bench in [&mut dry, &mut real] {
        bench.play(&[("real", "SS"), ("dry", "ES")]);
        bench.play(&[("dry", "S")]);
    }
    assert_eq!(dry.started, real.started);
    assert_eq!(dry.events, real.events);
    let mut expected = real.result("dry").unwrap().clone();
    expected.dry_run = Some(true);
    assert_eq!(dry.result("dry").unwrap(), &expected);
}

#[test]
fn a_run_of_dry_runs_alone_succeeds_whatever_comes_out() {
    for outcomes in ["SS", "F", "I", "EE"] {
        let mut bench = bench(".*");
        bench.play(&[("real", outcomes), ("dry", outcomes)]);
        if outcomes == "EE" {
            // The first metric has the usual limit of errors.
            bench.play(&[("real", "EEE")]);
        }
        assert_eq!(bench.status(), "Successful", "{outcomes}");
        assert_eq!(summaries(&bench).0, json!({}), "{outcomes}");
        assert_eq!(summaries(&bench).1["count"], 2, "{outcomes}");
    }
}

#[test]
fn a_terminated_run_has_the_message_of_its_end_and_not_of_its_dry_runs() {
    let mut bench = bench("dry");
    bench.play(&[("real", "S"), ("dry", "F")]);
    bench.terminate();
    assert_eq!(bench.status(), "Successful: Run Terminated");
    assert_eq!(
        summaries(&bench),
        (json!({"count": 1, "successful": 1}), json!({"count": 1, "failed": 1}))
    );
}
