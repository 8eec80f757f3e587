use expect_test::expect;
use proptest::prelude::*;

use super::*;

/// A run and what happens to it: measurements take no time unless they are told to.
struct Bench {
    now: Timestamp,
    world: RunWorld,
    writes: usize,
    events: Vec<String>,
    /// When measurements of which metric were started, in seconds from the start.
    started: Vec<(i64, String)>,
}

fn start() -> Timestamp {
    "2026-01-02T12:00:00Z".parse().unwrap()
}

fn at(secs: i64) -> Timestamp {
    start() + SignedDuration::from_secs(secs)
}

fn metric_named(name: &str, fields: &Value) -> Value {
    let mut metric = json!({"name": name, "provider": {"prometheus": {"query": "up"}}});
    metric
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    metric
}

fn run_of(spec: &Value) -> AnalysisRun {
    serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": {"name": "r", "namespace": "n", "resourceVersion": "0"}, "spec": spec,
    }))
    .unwrap()
}

fn measured(outcome: char) -> Measured {
    let (phase, value, message) = match outcome {
        'S' => (AnalysisPhase::Successful, Some("[1]"), None),
        'F' => (AnalysisPhase::Failed, Some("[0]"), None),
        'I' => (AnalysisPhase::Inconclusive, Some("[0.5]"), None),
        _ => (AnalysisPhase::Error, None, Some("the connection failed")),
    };
    Measured {
        phase,
        value: value.map(str::to_owned),
        message: message.map(str::to_owned),
    }
}

impl Bench {
    fn new(spec: &Value) -> Bench {
        let world = RunWorld {
            run: run_of(spec),
            ..RunWorld::default()
        };
        Bench {
            now: start(),
            world,
            writes: 0,
            events: Vec::new(),
            started: Vec::new(),
        }
    }

    fn one(fields: &Value) -> Bench {
        Bench::new(&json!({"metrics": [metric_named("m", fields)]}))
    }

    fn seconds(&self) -> i64 {
        (self.now - start()).get_seconds()
    }

    /// Decides and writes, as a shell does; measurements that are to be started are under way then.
    fn step(&mut self) -> RunPlan {
        let plan = decide(self.now, &self.world);
        if let Some(commit) = &plan.commit {
            assert_eq!(
                Some(&commit.resource_version),
                self.world.run.metadata.resource_version.as_ref()
            );
            let mut object = json!(self.world.run);
            crate::json::merge(&mut object, &commit.patch);
            self.world.run = serde_json::from_value(object).unwrap();
            self.writes += 1;
            self.world.run.metadata.resource_version = Some(self.writes.to_string());
        }
        self.events.extend(
            plan.events
                .iter()
                .map(|event| format!("{:?} {}: {}", event.kind, event.reason, event.message)),
        );
        for key in &plan.measure {
            assert!(self.world.in_flight.insert(key.clone()), "{key:?} is started twice");
            self.started.push((self.seconds(), key.metric.clone()));
        }
        plan
    }

    /// The measurement of a metric that is under way ends now.
    fn answer(&mut self, metric: &str, outcome: char) {
        let key = self
            .world
            .in_flight
            .iter()
            .find(|key| key.metric == metric)
            .cloned()
            .expect("it is under way");
        self.world.in_flight.remove(&key);
        let taken = Taken {
            measured: measured(outcome),
            metadata: BTreeMap::new(),
            started_at: self.now,
            finished_at: self.now,
        };
        self.world.answers.insert(key, taken);
    }

    fn is_measuring(&self, metric: &str) -> bool {
        self.world.in_flight.iter().any(|key| key.metric == metric)
    }

    /// Lets the metrics have the outcomes that are given for each, one after another, until they are used up or the run has
    /// ended.
    fn play(&mut self, outcomes: &[(&str, &str)]) {
        let mut left: BTreeMap<&str, Vec<char>> = BTreeMap::new();
        for (metric, sequence) in outcomes {
            left.insert(metric, sequence.chars().rev().collect());
        }
        for _ in 0..10_000 {
            let plan = self.step();
            let again = decide(self.now, &self.world);
            assert_eq!(
                (again.commit, again.measure, again.events),
                (None, vec![], vec![]),
                "it is decided"
            );
            let mut answered = false;
            for (metric, outcomes) in &mut left {
                if self.is_measuring(metric)
                    && let Some(outcome) = outcomes.pop()
                {
                    self.answer(metric, outcome);
                    answered = true;
                }
            }
            match plan.wake_at {
                _ if answered => {}
                Some(at) if left.values().any(|outcomes| !outcomes.is_empty()) => self.now = self.now.max(at),
                _ => return,
            }
        }
        panic!("the run does not come to rest: {}", self.status());
    }

    fn terminate(&mut self) {
        self.world.run.spec.terminate = Some(true);
        self.step();
    }

    fn status(&self) -> String {
        let status = self.world.run.status.clone().unwrap_or_default();
        let message = status.message.map(|message| format!(": {message}")).unwrap_or_default();
        format!("{}{message}", status.phase)
    }

    fn result(&self, metric: &str) -> Option<&MetricResult> {
        result(self.world.run.status.as_ref()?, metric)
    }
}

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
    let f = |text: &str| format!("{FAILED}{text}");
    let e = |text: &str| format!("{ERROR}{text}{SAID}");
    let i = |text: &str| format!("{INCONCLUSIVE}{text}");
    let s = "Successful".to_owned();
    let r = "Running".to_owned();
    let three = json!({"count": 3, "interval": "1m"});
    let lenient = json!({"count": 5, "interval": "1m", "failureLimit": 2, "inconclusiveLimit": 2});
    let forever = json!({"interval": "1m", "failureLimit": 1, "inconclusiveLimit": 1});
    let streak = json!({"interval": "1m", "failureLimit": -1, "consecutiveSuccessLimit": 3});
    let both = json!({"count": 6, "interval": "1m", "failureLimit": 2, "consecutiveSuccessLimit": 3});
    let only = json!({"count": 4, "interval": "1m", "failureLimit": -1, "consecutiveSuccessLimit": 3});
    let strict_errors = json!({"count": 3, "interval": "1m", "consecutiveErrorLimit": 0});
    let rows: Vec<(&Value, &str, String)> = vec![
        (&three, "", r.clone()),
        (&three, "S", r.clone()),
        (&three, "SS", r.clone()),
        (&three, "SSS", s.clone()),
        (&three, "F", f("failed (1) > failureLimit (0)")),
        (&three, "SSF", f("failed (1) > failureLimit (0)")),
        (&three, "I", i("inconclusive (1) > inconclusiveLimit (0)")),
        (&three, "SI", i("inconclusive (1) > inconclusiveLimit (0)")),
        (&three, "E", r.clone()),
        (&three, "EEEE", r.clone()),
        (&three, "EEEEE", e("consecutiveErrors (5) > consecutiveErrorLimit (4)")),
        (&three, "EEEESEEEESEEEES", s.clone()),
        (
            &three,
            "SSEEEEE",
            e("consecutiveErrors (5) > consecutiveErrorLimit (4)"),
        ),
        (&three, "SEESES", s.clone()),
        (
            &strict_errors,
            "E",
            e("consecutiveErrors (1) > consecutiveErrorLimit (0)"),
        ),
        (
            &strict_errors,
            "SSE",
            e("consecutiveErrors (1) > consecutiveErrorLimit (0)"),
        ),
        (&lenient, "FFSSS", s.clone()),
        (&lenient, "FFF", f("failed (3) > failureLimit (2)")),
        (&lenient, "FSFSF", f("failed (3) > failureLimit (2)")),
        (&lenient, "IISSS", s.clone()),
        (&lenient, "IFIFS", s.clone()),
        (&lenient, "III", i("inconclusive (3) > inconclusiveLimit (2)")),
        (&lenient, "FIFII", i("inconclusive (3) > inconclusiveLimit (2)")),
        (&lenient, "FEFEIEIESEEE", s.clone()),
        (&forever, "SSSSSSSSSSSSSSSSSSSSSSSS", r.clone()),
        (&forever, "SFSSS", r.clone()),
        (&forever, "SFSSSF", f("failed (2) > failureLimit (1)")),
        (&forever, "II", i("inconclusive (2) > inconclusiveLimit (1)")),
        (&streak, "SSS", s.clone()),
        (&streak, "FFFFFFFFFFF", r.clone()),
        (&streak, "SSFSSFSSS", s.clone()),
        (&streak, "SSESSS", s.clone()),
        (&streak, "SSES", r.clone()),
        (&both, "SSS", s.clone()),
        (&both, "FFF", f("failed (3) > failureLimit (2)")),
        (&both, "SSFSSS", s.clone()),
        (
            &both,
            "SSFSSF",
            i("count (6) reached with consecutiveSuccess (0) < consecutiveSuccessLimit (3)"),
        ),
        (
            &both,
            "SSFSFS",
            i("count (6) reached with consecutiveSuccess (1) < consecutiveSuccessLimit (3)"),
        ),
        (
            &only,
            "FSFS",
            f("count (4) reached with consecutiveSuccess (1) < consecutiveSuccessLimit (3)"),
        ),
        (&only, "FSSS", s.clone()),
    ];
    check(
        &rows
            .iter()
            .map(|(fields, outcomes, expected)| ((*fields).clone(), *outcomes, expected.as_str()))
            .collect::<Vec<_>>(),
    );
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
    expect![[r#"
        Normal MetricSuccessful: Metric 'a' Completed. Result: Successful
        Warning MetricError: Metric 'b' Completed. Result: Error
        Warning AnalysisRunError: Analysis Completed. Result: Error"#]]
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
            json!({"metrics": [{"name": "m", "provider": {"web": {"url": "http://x"}}}]}),
            "metrics[0]: provider.web is not supported yet",
        ),
        (
            json!({"metrics": [metric_named("m", &json!({}))], "dryRun": [{"metricName": "m"}]}),
            "dryRun is not supported yet: remove it",
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
    #![proptest_config(ProptestConfig::with_cases(1024))]

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
