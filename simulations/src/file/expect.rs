//! Whether a simulation came out as its scenario expects.

use super::types::ExpectFile;
use crate::report::{Expectation, Report, RolloutReport, clock};

/// All expectations, each with what came where it was not met. That no request is lost is always expected.
pub(super) fn judge(expected: &[ExpectFile], report: &Report) -> Vec<Expectation> {
    let mut judged = Judged::default();
    let mut most_lost = None;
    for expected in expected {
        most_lost = expected.most_lost_requests.or(most_lost);
        judged.of_report(expected, report);
        let named = |rollout: &&RolloutReport| match &expected.rollout {
            None => true,
            Some(name) => rollout.name == *name || rollout.name == format!("default/{name}"),
        };
        for rollout in report.rollouts.iter().filter(named) {
            let prefix = if report.rollouts.len() > 1 {
                format!("{}: ", rollout.name)
            } else {
                String::new()
            };
            judged.of_rollout(&prefix, expected, rollout);
        }
    }
    let (most, lost) = (most_lost.unwrap_or(0.0), report.lost_requests());
    judged.add(lost <= most, format!("at most {most} requests are lost"), || {
        format!("{lost:.1} were lost")
    });
    judged.0
}

#[derive(Default)]
struct Judged(Vec<Expectation>);

impl Judged {
    fn add(&mut self, met: bool, expected: String, came: impl FnOnce() -> String) {
        let came = if met { String::new() } else { came() };
        self.0.push(Expectation { expected, came });
    }

    fn of_report(&mut self, expected: &ExpectFile, report: &Report) {
        let end = || {
            let not = if report.settled { "" } else { "not " };
            format!("{not}at rest at {}", clock(report.end_millis))
        };
        if let Some(within) = expected.within {
            let limit = i64::try_from(within.millis()).unwrap_or(i64::MAX);
            let met = report.settled && report.end_millis <= limit;
            self.add(met, format!("at rest within {}", clock(limit)), end);
        }
        if let Some(not_before) = expected.not_before {
            let limit = i64::try_from(not_before.millis()).unwrap_or(i64::MAX);
            self.add(
                report.end_millis >= limit,
                format!("not at rest before {}", clock(limit)),
                end,
            );
        }
        if let Some(most) = expected.most_failed_requests {
            let of_versions = report.rollouts.iter().flat_map(|rollout| &rollout.revisions);
            let failed = of_versions.fold(report.lost_requests(), |sum, revision| sum + revision.errors);
            self.add(failed <= most, format!("at most {most} requests fail"), || {
                format!("{failed:.1} failed")
            });
        }
    }

    fn of_rollout(&mut self, prefix: &str, expected: &ExpectFile, rollout: &RolloutReport) {
        let outcome = &rollout.outcome;
        if let Some(phase) = &expected.phase {
            let came = || format!("{} {}", outcome.phase, outcome.message);
            self.add(outcome.phase == *phase, format!("{prefix}is {phase} in the end"), came);
        }
        if let Some(message) = &expected.message {
            let met = outcome.message.contains(message.as_str());
            self.add(met, format!("{prefix}its message has `{message}`"), || {
                outcome.message.clone()
            });
        }
        if let Some(image) = &expected.stable {
            let mut revisions = rollout.revisions.iter();
            let stable = revisions.find(|revision| Some(revision.revision) == outcome.stable);
            let stable = stable.map_or("", |revision| revision.image.as_str());
            self.add(stable == image, format!("{prefix}{image} is stable in the end"), || {
                stable.to_owned()
            });
        }
        if let Some(weight) = expected.weight {
            let came = outcome.weight.unwrap_or(0.0);
            let met = (came - weight).abs() < 1e-9;
            self.add(
                met,
                format!("{prefix}the newest revision has {weight}% in the end"),
                || format!("{came}%"),
            );
        }
        if let Some(step) = expected.step {
            let came = || outcome.step.map_or("no step".to_owned(), |step| format!("step {step}"));
            self.add(
                outcome.step == Some(step),
                format!("{prefix}is at step {step} in the end"),
                came,
            );
        }
        let mut rows = rollout.rows.iter();
        for wanted in &expected.rows {
            let met = rows.any(|row| row.text.contains(wanted.as_str()));
            self.add(met, format!("{prefix}a row has `{wanted}`"), || {
                "no such row after the ones before".to_owned()
            });
        }
        for unwanted in &expected.no_rows {
            let found = rollout.rows.iter().find(|row| row.text.contains(unwanted.as_str()));
            let came = || {
                found
                    .map(|row| format!("{} {}", clock(row.at_millis), row.text))
                    .unwrap_or_default()
            };
            self.add(found.is_none(), format!("{prefix}no row has `{unwanted}`"), came);
        }
    }
}
