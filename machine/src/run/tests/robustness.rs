//! What the status holds, invalid specs, lost and foreign results, nonsense.

use expect_test::expect;

use super::*;

#[test]
fn the_status_has_the_shape_that_tools_know() {
    let mut bench = Bench::new(&json!({"metrics": [
        metric_named("a", &json!({"count": 2, "interval": "10s", "failureLimit": 1})),
        metric_named("b", &json!({"consecutiveErrorLimit": 1})),
    ]}));
    bench.play(&[("a", "FS"), ("b", "EE")]);
    let status = serde_json::to_string_pretty(&bench.world.run.status).unwrap();
    expect![[r#"
        {
          "phase": "Error",
          "message": "Metric \"b\" assessed Error due to consecutiveErrors (2) > consecutiveErrorLimit (1): \"Error Message: the connection failed\"",
          "metricResults": [
            {
              "name": "a",
              "phase": "Successful",
              "measurements": [
                {
                  "phase": "Failed",
                  "startedAt": "2026-01-02T12:00:00Z",
                  "finishedAt": "2026-01-02T12:00:00Z",
                  "value": "[0]"
                },
                {
                  "phase": "Successful",
                  "startedAt": "2026-01-02T12:00:10Z",
                  "finishedAt": "2026-01-02T12:00:10Z",
                  "value": "[1]"
                }
              ],
              "count": 2,
              "successful": 1,
              "failed": 1,
              "consecutiveSuccess": 1
            },
            {
              "name": "b",
              "phase": "Error",
              "measurements": [
                {
                  "phase": "Error",
                  "message": "the connection failed",
                  "startedAt": "2026-01-02T12:00:00Z",
                  "finishedAt": "2026-01-02T12:00:00Z"
                },
                {
                  "phase": "Error",
                  "message": "the connection failed",
                  "startedAt": "2026-01-02T12:00:10Z",
                  "finishedAt": "2026-01-02T12:00:10Z"
                }
              ],
              "message": "the connection failed",
              "error": 2,
              "consecutiveError": 2
            }
          ],
          "startedAt": "2026-01-02T12:00:00Z",
          "runSummary": {
            "count": 2,
            "successful": 1,
            "error": 1
          },
          "dryRunSummary": {},
          "completedAt": "2026-01-02T12:00:10Z"
        }"#]].assert_eq(&status);
    expect![[r"
        Normal MetricSuccessful: Metric 'a' Completed. Result: Successful
        Warning MetricError: Metric 'b' Completed. Result: Error
        Warning AnalysisRunError: Analysis Completed. Result: Error"]]
    .assert_eq(&bench.events.join("\n"));
}

#[test]
fn the_last_ten_measurements_are_kept_or_as_many_as_a_rule_says() {
    for (rules, kept) in [
        (json!([]), 10),
        (json!([{"metricName": "m", "limit": 3}]), 3),
        (json!([{"metricName": "^m$", "limit": 15}]), 15),
        (json!([{"metricName": ".", "limit": 1000}]), 20),
    ] {
        let metric = metric_named("m", &json!({"interval": "1s"}));
        let mut bench = Bench::new(&json!({"metrics": [metric], "measurementRetention": rules}));
        bench.play(&[("m", &"S".repeat(20))]);
        let result = bench.result("m").unwrap();
        assert_eq!(
            (result.count, result.measurements.as_ref().unwrap().len()),
            (Some(20), kept),
            "{rules}"
        );
        let last = result.measurements.as_ref().unwrap().last().unwrap();
        assert_eq!(last.finished_at.as_ref().unwrap().timestamp(), Some(at(19)));
    }
}

#[test]
fn an_invalid_spec_is_an_error_that_names_every_problem() {
    for (spec, expected) in [
        (json!({"metrics": []}), "metrics: no metrics specified"),
        (
            json!({"metrics": [metric_named("m", &json!({"count": 2})), metric_named("m", &json!({"interval": "x"}))]}),
            "metrics[0]: interval must be specified when count > 1; metrics[1]: duplicate name 'm'; metrics[1].interval: \
             invalid interval string: `x` is not a duration such as `30s`, `5m` or `1h30m`",
        ),
        (
            json!({"metrics": [metric_named("m", &json!({"count": "{{args.n}}"}))]}),
            "unable to resolve metric arguments: failed to resolve {{args.n}}",
        ),
        (
            json!({"metrics": [metric_named("m", &json!({"count": "{{args.n}}"}))], "args": [{"name": "n", "value": "x"}]}),
            "metrics[0].count: `x` is not an integer",
        ),
        (
            json!({"metrics": [metric_named("m", &json!({"successCondition": "reslt > 1"}))]}),
            "metrics[0].successCondition: unknown name `reslt`: the answer of the query is called `result`",
        ),
        (
            json!({"metrics": [{"name": "m", "provider": {"plugin": {"a/b": {}}}}]}),
            "metrics[0]: provider.plugin: there is no interface for plugins: serve the value over HTTP and use provider.web, \
             or compute it in a Job (provider.job)",
        ),
        (
            json!({"metrics": [metric_named("m", &json!({}))], "dryRun": [{"metricName": "m"}, {"metricName": "x"}, {"metricName": "("}]}),
            "dryRun[1]: Rule didn't match any metric name(s); dryRun[2].metricName is not a regular expression of at most 10 KiB",
        ),
        (
            json!({
                "metrics": [
                    metric_named("{{args.a}} {{args.gone}}", &json!({"count": "{{args.n}}"})),
                    metric_named("m", &json!({"interval": "{{args.other}}{{args.gone}}"})),
                ],
                "args": [{"name": "a", "value": "1"}, {"name": "b"}, {"name": "a", "value": "2"}],
            }),
            "unable to resolve metric arguments: args.b was not resolved; args.a is given twice: leave one out; \
             failed to resolve {{args.gone}}; failed to resolve {{args.n}}; failed to resolve {{args.other}}",
        ),
        (
            json!({"metrics": [metric_named("m", &json!({}))], "measurementRetention": [{"metricName": "x", "limit": 1}]}),
            "measurementRetention[0]: Rule didn't match any metric name(s)",
        ),
    ] {
        let mut bench = Bench::new(&spec);
        let plan = bench.step();
        assert_eq!(
            bench.status(),
            format!("Error: Analysis spec invalid: {expected}"),
            "{spec}"
        );
        assert_eq!((plan.measure.len(), bench.writes), (0, 1));
        assert_eq!(
            bench.events,
            ["Warning AnalysisRunError: Analysis Completed. Result: Error"]
        );
        assert!(bench.world.run.status.as_ref().unwrap().completed_at.is_some());
    }
}

#[test]
fn limits_may_be_arguments_and_secrets_are_not_needed_to_decide() {
    let fields = json!({
        "count": "{{args.n}}", "interval": "{{args.i}}", "successCondition": "result[0] > {{args.secret}}",
        "failureLimit": "{{args.n}}",
    });
    let mut bench = Bench::new(&json!({
        "metrics": [metric_named("m", &fields)],
        "args": [
            {"name": "n", "value": "2"}, {"name": "i", "value": "7s"},
            {"name": "secret", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ],
    }));
    bench.play(&[("m", "FS")]);
    assert_eq!(bench.status(), "Successful");
    assert_eq!(bench.started, [(0, "m".to_owned()), (7, "m".to_owned())]);
}

#[test]
fn what_is_lost_in_a_crash_is_measured_again_and_recorded_once() {
    let mut bench = Bench::one(&json!({"count": 2, "interval": "10s"}));
    let first = bench.step().measure;
    bench.world.in_flight.clear();
    assert_eq!(
        bench.step().measure,
        first,
        "a new process knows of no measurement under way"
    );
    bench.answer("m", 'S');
    let answers = bench.world.answers.clone();
    bench.step();
    assert!(is_recorded(&bench.world.run, &first[0]));
    bench.world.answers = answers;
    assert_eq!(bench.step().commit, None, "the same answer once more");
    assert_eq!(bench.result("m").unwrap().count, Some(1));
}

#[test]
fn answers_that_nobody_waits_for_have_no_effect() {
    let mut bench = Bench::one(&json!({"count": 2, "interval": "10s"}));
    bench.step();
    let taken = Taken {
        measured: measured('F'),
        metadata: BTreeMap::new(),
        started_at: start(),
        finished_at: start(),
    };
    for (metric, attempt) in [("m", 1), ("m", 7), ("gone", 0)] {
        bench.world.answers.insert(
            MeasureKey {
                metric: metric.to_owned(),
                attempt,
            },
            taken.clone(),
        );
    }
    assert_eq!(bench.step().commit, None);
    bench.answer("m", 'S');
    bench.step();
    assert_eq!(bench.result("m").unwrap().successful, Some(1));
}

#[test]
fn a_run_that_another_controller_began_is_finished() {
    let mut bench = Bench::one(&json!({"count": 3, "interval": "1m"}));
    bench.world.run.status = serde_json::from_value(json!({
        "phase": "Running", "startedAt": "2026-01-02T11:59:00Z", "runSummary": {"count": 1}, "dryRunSummary": {},
        "metricResults": [{
            "name": "m", "phase": "Running", "count": 1, "successful": 1, "consecutiveSuccess": 1,
            "measurements": [
                {"phase": "Successful", "value": "[1]", "startedAt": "2026-01-02T11:59:00Z", "finishedAt": "2026-01-02T11:59:30Z"},
                {"phase": "Running", "startedAt": "2026-01-02T12:00:00Z"},
            ],
        }],
    }))
    .unwrap();
    let plan = bench.step();
    assert_eq!((plan.commit, plan.wake_at), (None, Some(at(30))), "nothing has changed");
    bench.play(&[("m", "SS")]);
    assert_eq!((bench.status().as_str(), bench.started.len()), ("Successful", 2));
    assert_eq!(bench.result("m").unwrap().measurements.as_ref().unwrap().len(), 3);
}

#[test]
fn nonsense_in_the_status_ends_no_run_and_makes_no_panic() {
    for status in [
        json!({"phase": "Running", "startedAt": "soon"}),
        json!({"phase": "Strange", "startedAt": "2999-01-01T00:00:00Z"}),
        json!({"phase": "", "metricResults": [{"name": "m", "phase": "", "count": -5, "error": -2_147_483_648_i64}]}),
        json!({"phase": "Running", "metricResults": [{"name": "m", "phase": "Running", "count": 1, "measurements": []}]}),
        json!({"phase": "Running", "metricResults": [{"name": "m", "phase": "Running", "count": 1,
            "measurements": [{"phase": "Successful", "finishedAt": "2999-01-01T00:00:00Z"}]}]}),
        json!({"phase": "Running", "metricResults": [{"name": "m", "phase": "Running", "count": 1,
            "measurements": [{"phase": "Successful"}]}]}),
    ] {
        let mut bench = Bench::one(&json!({"count": 3, "interval": "1m"}));
        bench.world.run.status = serde_json::from_value(status.clone()).unwrap();
        bench.play(&[("m", "SSS")]);
        assert_eq!(bench.status(), "Successful", "{status}");
        assert!(bench.now <= at(180), "{status}: no wait is longer than the interval");
    }
}

#[test]
fn a_run_that_is_being_deleted_is_left_alone() {
    let mut bench = Bench::one(&json!({}));
    bench.world.run.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-02T12:00:00Z")).unwrap();
    assert_eq!(decide(start(), &bench.world), RunPlan::hold(RunHold::Deleting));
}
