//! The simulator's PromQL beside the real Prometheus: the same queries on the same series have the same answers.

mod queries;
mod remote;
mod series;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use sluice_simulations::promql::{self, Request, SeriesStore};
use sluice_tests::http::percent_encoded;
use sluice_tests::{main_with, tests};

use remote::Prometheus;
use series::{minute, series};

/// How far numbers may be apart, as a share of the larger one.
const TOLERANCE: f64 = 1e-9;

/// The minutes since the first scrape at which instant queries are asked: early, in a gap, after restarts and ends, five
/// minutes after a last sample, late.
const MINUTES: [f64; 8] = [2.0, 11.37, 19.0, 25.2, 31.0, 35.0, 39.8, 44.0];

pub fn suite() -> ExitCode {
    main_with(
        "promql",
        async |inside| {
            let prometheus = Prometheus::start(inside).await?;
            prometheus.write(&series()).await?;
            Ok(prometheus)
        },
        tests![
            instant_queries_have_the_same_answers,
            range_queries_have_the_same_answers,
            what_one_refuses_the_other_refuses,
        ],
    )
}

async fn instant_queries_have_the_same_answers(prometheus: Arc<Prometheus>) -> Result<()> {
    let store = series();
    let mut report = Report::default();
    for query in queries::INSTANT {
        let mut samples = 0;
        for minutes in MINUTES {
            let time = seconds(minute(minutes));
            let path = format!("/api/v1/query?query={}&time={time}", percent_encoded(query));
            samples += report.compare(&prometheus, &store, &path, query).await?;
        }
        ensure!(samples > 0, "{query} has no sample at any time: it compares nothing");
    }
    report.finish(100)
}

async fn range_queries_have_the_same_answers(prometheus: Arc<Prometheus>) -> Result<()> {
    let store = series();
    let mut report = Report::default();
    let ranges = [(0.0, 44.0, "60"), (17.05, 33.0, "7.5")];
    for (from, until, step) in ranges {
        for query in queries::RANGE.iter().chain(queries::INSTANT) {
            let (start, end) = (seconds(minute(from)), seconds(minute(until)));
            let query_form = percent_encoded(query);
            let path = format!("/api/v1/query_range?query={query_form}&start={start}&end={end}&step={step}");
            report.compare(&prometheus, &store, &path, query).await?;
        }
    }
    report.finish(200)
}

async fn what_one_refuses_the_other_refuses(prometheus: Arc<Prometheus>) -> Result<()> {
    let store = series();
    for query in queries::REFUSED {
        let time = seconds(minute(31.0));
        let path = format!("/api/v1/query?query={}&time={time}", percent_encoded(query));
        let (theirs, ours) = (prometheus.ask(&path).await?, ours(&store, &path));
        for (who, answer) in [("Prometheus", &theirs), ("the simulator", &ours)] {
            ensure!(answer["status"] == "error", "{who} does not refuse {query:?}: {answer}");
        }
        ensure!(
            theirs["errorType"] == ours["errorType"],
            "{query:?} is refused as {} and as {}: {theirs} {ours}",
            theirs["errorType"],
            ours["errorType"]
        );
    }
    Ok(())
}

fn seconds(millis: i64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// What the simulator answers to a request.
fn ours(store: &SeriesStore, path: &str) -> Value {
    let read = Request::read(path, None, 0);
    read.and_then(|request| promql::answer(store, &request))
        .unwrap_or_else(|error| error.to_json())
}

/// All differences of a test, so that one run shows them all.
#[derive(Default)]
struct Report {
    compared: usize,
    samples: usize,
    differences: Vec<String>,
}

impl Report {
    /// Asks both; how many samples the answer has.
    async fn compare(
        &mut self,
        prometheus: &Prometheus,
        store: &SeriesStore,
        path: &str,
        query: &str,
    ) -> Result<usize> {
        let theirs = prometheus.ask(path).await?;
        let ours = ours(store, path);
        self.compared += 1;
        if theirs["status"] == "error" && ours["status"] == "error" {
            return Ok(0);
        }
        let samples = match same(query, &theirs, &ours) {
            Ok(samples) => samples,
            Err(difference) => {
                self.differences
                    .push(format!("{query}\n    {path}\n    {difference:#}"));
                // It is reported; that it compares something is not in doubt.
                1
            }
        };
        self.samples += samples;
        Ok(samples)
    }

    fn finish(self, at_least: usize) -> Result<()> {
        println!("  {} answers with {} samples compared", self.compared, self.samples);
        ensure!(
            self.compared >= at_least,
            "only {} answers were compared",
            self.compared
        );
        ensure!(
            self.differences.is_empty(),
            "{} of {} answers differ:\n{}",
            self.differences.len(),
            self.compared,
            self.differences.join("\n")
        );
        Ok(())
    }
}

/// A series of an answer: its labels and its samples.
type Row = (BTreeMap<String, String>, Vec<(f64, f64)>);

/// Compares two answers; how many samples they have.
fn same(query: &str, theirs: &Value, ours: &Value) -> Result<usize> {
    for answer in [theirs, ours] {
        ensure!(answer["status"] == "success", "one of them fails: {theirs} / {ours}");
    }
    let kind = &theirs["data"]["resultType"];
    ensure!(*kind == ours["data"]["resultType"], "types differ: {theirs} / {ours}");
    if kind == "string" {
        ensure!(theirs == ours, "texts differ: {theirs} / {ours}");
        return Ok(1);
    }
    let (mut theirs, mut ours) = (rows(theirs)?, rows(ours)?);
    // Only these put their series into an order; it is that of the values.
    let ordered = ["sort", "topk", "bottomk"].iter().any(|name| query.starts_with(name));
    if ordered && kind == "vector" && !query.contains(" by ") {
        let values = |rows: &[Row]| -> Vec<f64> { rows.iter().map(|(_, samples)| samples[0].1).collect() };
        for (a, b) in values(&theirs).into_iter().zip(values(&ours)) {
            ensure!(near(a, b), "the orders differ: {theirs:?} / {ours:?}");
        }
    }
    theirs.sort_by(|a, b| a.0.cmp(&b.0));
    ours.sort_by(|a, b| a.0.cmp(&b.0));
    let labels = |rows: &[Row]| rows.iter().map(|(labels, _)| labels.clone()).collect::<Vec<_>>();
    ensure!(labels(&theirs) == labels(&ours), "series differ: {theirs:?} / {ours:?}");
    let mut count = 0;
    for ((labels, theirs), (_, ours)) in theirs.iter().zip(&ours) {
        let times = |samples: &[(f64, f64)]| samples.iter().map(|(time, _)| time.to_bits()).collect::<Vec<_>>();
        ensure!(
            times(theirs) == times(ours),
            "times of {labels:?} differ: {theirs:?} / {ours:?}"
        );
        for ((time, a), (_, b)) in theirs.iter().zip(ours) {
            ensure!(near(*a, *b), "{labels:?} at {time}: {a} / {b}");
        }
        count += theirs.len();
    }
    Ok(count)
}

fn near(a: f64, b: f64) -> bool {
    // Equal infinities have no difference.
    a.total_cmp(&b).is_eq()
        || (a.is_nan() && b.is_nan())
        || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()) && (a - b).is_finite()
}

/// The series of an answer.
fn rows(answer: &Value) -> Result<Vec<Row>> {
    let result = &answer["data"]["result"];
    if answer["data"]["resultType"] == "scalar" {
        return Ok(vec![(BTreeMap::new(), vec![sample(result)?])]);
    }
    let series = result.as_array().context("a result is a list")?.iter().map(|series| {
        let labels = series["metric"].as_object().context("a series has labels")?;
        let labels = labels.iter().map(|(name, value)| {
            let value = value.as_str().context("a label's value is a text")?;
            Ok((name.clone(), value.to_owned()))
        });
        let samples = match series["values"].as_array() {
            Some(values) => values.iter().map(sample).collect::<Result<_>>()?,
            None => vec![sample(&series["value"])?],
        };
        Ok((labels.collect::<Result<_>>()?, samples))
    });
    series.collect()
}

fn sample(pair: &Value) -> Result<(f64, f64)> {
    let (Some(time), Some(text)) = (pair[0].as_f64(), pair[1].as_str()) else {
        bail!("{pair} is no sample");
    };
    Ok((time, text.parse().with_context(|| format!("{text:?} is no number"))?))
}
