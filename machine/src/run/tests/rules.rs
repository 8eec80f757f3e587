//! The rules of phases, stated once more: as a table of conditions over the counters, the first that holds counts.
//!
//! The code under test walks through the results as they come in. Here the status is looked at from outside after each of many
//! random measurements: its phases must follow from its counters, and its counters from the measurements that it keeps.

use proptest::prelude::*;

use super::*;
use AnalysisPhase::{Error, Failed, Inconclusive, Running, Successful};

/// What happens to a run.
#[derive(Clone, Debug)]
enum Happens {
    /// A measurement of the metric with this number ends.
    Measured(usize, char),
    /// A person ends the run.
    Terminated,
}

fn limits() -> impl Strategy<Value = Limits> {
    let failure = prop::option::weighted(0.8, 0..4_i32);
    let success = prop::option::weighted(0.3, 1..4_i32);
    (prop::option::of(1..7_i32), failure, 0..3_i32, 0..4_i32, success)
        .prop_filter("a limit ends the metric", |(_, failure, _, _, success)| {
            failure.is_some() || success.is_some()
        })
        .prop_map(
            |(count, failure, inconclusive, consecutive_error, consecutive_success)| Limits {
                count,
                interval: Some(SignedDuration::from_secs(1)),
                initial_delay: SignedDuration::ZERO,
                failure,
                inconclusive,
                consecutive_error,
                consecutive_success,
            },
        )
}

fn metrics() -> impl Strategy<Value = Vec<Prepared>> {
    let metric = (limits(), prop::bool::weighted(0.25));
    prop::collection::vec(metric, 1..4).prop_map(|metrics| {
        let named = metrics.into_iter().enumerate();
        named
            .map(|(at, (limits, dry_run))| Prepared {
                name: format!("m{at}"),
                limits,
                dry_run,
            })
            .collect()
    })
}

fn story() -> impl Strategy<Value = Vec<Happens>> {
    let outcome = prop::sample::select(vec!['S', 'S', 'S', 'F', 'I', 'E', 'E']);
    let happens = prop_oneof![
        30 => (0..3_usize, outcome).prop_map(|(metric, outcome)| Happens::Measured(metric, outcome)),
        1 => Just(Happens::Terminated),
    ];
    prop::collection::vec(happens, 1..30)
}

/// The counters of a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counters {
    good: i32,
    bad: i32,
    unclear: i32,
    errors: i32,
    all: i32,
    errors_in_a_row: i32,
    good_in_a_row: i32,
}

fn counters(result: &MetricResult) -> Counters {
    Counters {
        good: result.successful.unwrap_or(0),
        bad: result.failed.unwrap_or(0),
        unclear: result.inconclusive.unwrap_or(0),
        errors: result.error.unwrap_or(0),
        all: result.count.unwrap_or(0),
        errors_in_a_row: result.consecutive_error.unwrap_or(0),
        good_in_a_row: result.consecutive_success.unwrap_or(0),
    }
}

/// What a metric is by its counters: the rows from the first to the last, and the first whose condition holds.
fn rule(limits: &Limits, has: Counters, terminated: bool) -> AnalysisPhase {
    let full = limits.count.is_some_and(|count| has.all >= count);
    let streak = limits.consecutive_success;
    let judged = full && streak.is_none() || terminated;
    let rows = [
        (limits.failure.is_some_and(|limit| has.bad > limit), Failed),
        (has.errors_in_a_row > limits.consecutive_error, Error),
        (has.unclear > limits.inconclusive, Inconclusive),
        (streak.is_some_and(|wanted| has.good_in_a_row >= wanted), Successful),
        (full && streak.is_some() && limits.failure.is_some(), Inconclusive),
        (full && streak.is_some(), Failed),
        (judged && has.good > 0, Successful),
        (judged && has.bad > 0, Failed),
        (judged && has.unclear > 0, Inconclusive),
        (judged, Error),
    ];
    rows.into_iter()
        .find(|(holds, _)| *holds)
        .map_or(Running, |(_, phase)| phase)
}

/// The counters say what the measurements say, as far as these are kept.
fn kept_is_counted(result: &MetricResult) -> Result<(), TestCaseError> {
    let has = counters(result);
    let kept: Vec<&AnalysisPhase> = result.measurements.iter().flatten().map(|one| &one.phase).collect();
    let total = usize::try_from(has.all + has.errors).unwrap();
    prop_assert_eq!(has.all, has.good + has.bad + has.unclear);
    prop_assert_eq!(kept.len(), total.min(10));
    let of = |phase: AnalysisPhase| i32::try_from(kept.iter().filter(|one| ***one == phase).count()).unwrap();
    let in_a_row =
        |phase: AnalysisPhase| i32::try_from(kept.iter().rev().take_while(|one| ***one == phase).count()).unwrap();
    let shown = [of(Successful), of(Failed), of(Inconclusive), of(Error)];
    let counted = [has.good, has.bad, has.unclear, has.errors];
    let rows = [
        (has.errors_in_a_row, in_a_row(Error)),
        (has.good_in_a_row, in_a_row(Successful)),
    ];
    if total <= 10 {
        prop_assert_eq!(counted, shown);
    } else {
        prop_assert!(counted.iter().zip(shown).all(|(counted, shown)| *counted >= shown));
    }
    for (counted, shown) in rows {
        prop_assert!(
            counted == shown || shown == 10 && counted > 10,
            "{counted} in a row, {shown} are kept"
        );
    }
    Ok(())
}

/// The phase of a run by the phases of its metrics.
fn run_rule(metrics: &[Prepared], status: &AnalysisRunStatus, terminated: bool) -> AnalysisPhase {
    let phase = |metric: &Prepared| result(status, &metric.name).map(|result| result.phase.clone());
    let counting: Vec<AnalysisPhase> = metrics
        .iter()
        .filter(|metric| !metric.dry_run)
        .filter_map(phase)
        .collect();
    let worst = [Failed, Error, Inconclusive]
        .into_iter()
        .find(|bad| counting.contains(bad));
    let over = metrics
        .iter()
        .all(|metric| phase(metric).is_some_and(|phase| phase.completed()));
    match worst {
        Some(bad) => bad,
        None if over || terminated => Successful,
        None => Running,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn phases_follow_from_counters_and_counters_from_measurements(metrics in metrics(), story in story()) {
        let spec = AnalysisRunSpec::default();
        let mut status = AnalysisRunStatus { phase: Running, ..AnalysisRunStatus::default() };
        let mut terminated = false;
        for happens in story {
            let before = status.clone();
            match happens {
                Happens::Terminated => terminated = true,
                Happens::Measured(at, outcome) => {
                    let Some(metric) = metrics.get(at) else { continue };
                    // A metric that has ended is not measured any more.
                    if result(&status, &metric.name).is_some_and(|result| result.phase.completed()) {
                        continue;
                    }
                    let taken = Taken {
                        measured: measured(outcome),
                        metadata: BTreeMap::new(),
                        started_at: start(),
                        finished_at: start(),
                    };
                    record(&mut status, &spec, &metric.name, &taken);
                }
            }
            let ended = verdict::assess(&mut status, &metrics, terminated, start());
            let phase = run_rule(&metrics, &status, terminated);
            prop_assert_eq!(&status.phase, &phase);
            prop_assert_eq!(ended, phase != Running);
            for metric in &metrics {
                let Some(now) = result(&status, &metric.name) else { continue };
                kept_is_counted(now)?;
                let was = result(&before, &metric.name);
                if let Some(was) = was.filter(|was| was.phase.completed()) {
                    prop_assert_eq!(was, now, "what has ended changes");
                    continue;
                }
                let own = rule(&metric.limits, counters(now), terminated);
                // A run that ends for another metric's sake ends this one well, whatever it had said so far.
                let cut_short = own == Running && [Failed, Error, Inconclusive].contains(&phase);
                prop_assert_eq!(&now.phase, if cut_short { &Successful } else { &own }, "{:?} {:?}", metric.limits, now);
                let (was, now) = (was.map(counters).unwrap_or_default(), counters(now));
                prop_assert!(was.good <= now.good && was.bad <= now.bad && was.unclear <= now.unclear);
                prop_assert!(was.errors <= now.errors && was.all <= now.all);
            }
            if ended {
                prop_assert!(status.completed_at.is_some());
                break;
            }
        }
    }
}
