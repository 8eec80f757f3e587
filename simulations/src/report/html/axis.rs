//! The time axis that all plots of an update share.

use crate::report::{RolloutReport, RowKind};

/// Spans between two ticks that people count in, in seconds.
const STEPS: [i64; 16] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600,
];
/// At most so many ticks: their labels must not touch on a narrow page.
const MOST_TICKS: i64 = 9;
/// This part of the update's time is shown before its first change.
const LEAD: i64 = 16;

/// From when until when, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    pub(super) from: i64,
    pub(super) until: i64,
}

impl Axis {
    /// Begins a little before the first change: that a first version comes up is in the timeline, and would only make the rest
    /// smaller here.
    pub(super) fn of(rollout: &RolloutReport, end: i64) -> Axis {
        let changes = |kind| matches!(kind, RowKind::Command | RowKind::Fault);
        let first = rollout.rows.iter().find(|row| changes(row.kind));
        let until = end.max(1);
        let from = first.map_or(0, |row| row.at_millis - (until - row.at_millis) / LEAD);
        Axis {
            from: from.clamp(0, until - 1),
            until,
        }
    }

    /// Where a time is, from 0 to 1; times outside are at the edge.
    pub(super) fn share(self, at: i64) -> f64 {
        float(at.clamp(self.from, self.until) - self.from) / float(self.until - self.from)
    }

    /// The same as a percentage for an attribute.
    pub(super) fn percent(self, at: i64) -> String {
        format!("{:.3}%", self.share(at) * 100.0)
    }

    pub(super) fn contains(self, at: i64) -> bool {
        (self.from..=self.until).contains(&at)
    }

    /// Round times on it.
    pub(super) fn ticks(self) -> Vec<i64> {
        let span = self.until - self.from;
        let fits = |step: &i64| span / (step * 1000) < MOST_TICKS;
        let day = 86_400;
        let step = STEPS.into_iter().find(fits);
        let step = 1000 * step.unwrap_or_else(|| (span / 1000 / MOST_TICKS / day + 1) * day);
        let first = (self.from + step - 1) / step;
        (first..=self.until / step).map(|index| index * step).collect()
    }
}

/// A round time: `1:30`, with hours where there are any.
pub(super) fn round_time(millis: i64) -> String {
    let clock = crate::report::clock(millis);
    clock.split('.').next().unwrap_or_default().to_owned()
}

/// Milliseconds and counts are far below 2^52, where this would begin to round.
#[allow(clippy::cast_precision_loss)]
pub(super) fn float(whole: i64) -> f64 {
    whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let rows: [(i64, i64, &[&str]); 4] = [
            (
                48_000,
                110_000,
                &["0:50", "1:00", "1:10", "1:20", "1:30", "1:40", "1:50"],
            ),
            (0, 300_000, &["0:00", "1:00", "2:00", "3:00", "4:00", "5:00"]),
            (
                0,
                86_400_000,
                &[
                    "0:00", "4:00:00", "8:00:00", "12:00:00", "16:00:00", "20:00:00", "24:00:00",
                ],
            ),
            (10, 20, &[]),
        ];
        for (from, until, ticks) in rows {
            let told: Vec<String> = Axis { from, until }.ticks().into_iter().map(round_time).collect();
            assert_eq!(told, ticks);
        }
    }

    #[test]
    fn times_outside_are_at_the_edge() {
        let axis = Axis { from: 100, until: 300 };
        let rows = [
            (100, "0.000%"),
            (150, "25.000%"),
            (300, "100.000%"),
            (0, "0.000%"),
            (999, "100.000%"),
        ];
        for (at, percent) in rows {
            assert_eq!(axis.percent(at), percent);
        }
    }
}
