//! Step curves: a value holds from one moment to another. From them come the paths of an SVG.

use std::fmt::Write as _;

use super::axis::Axis;

/// A plot is this wide in the units of its paths; the browser stretches it to the width that there is.
pub(super) const WIDTH: u32 = 10_000;
/// The time axis is cut into so many columns. Of each column and curve at most four values are drawn: the first, the smallest,
/// the largest and the last. More cannot be seen, and a day of virtual time stays as small as a minute.
const COLUMNS: f64 = 400.0;
const MOST_IN_COLUMN: usize = 4;

/// A value and the time in which it holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) from: i64,
    pub(super) until: i64,
    pub(super) value: f64,
}

/// Pieces of values that hold until the next one, the last until the end. Where there is none there is a gap.
pub(super) fn held(points: impl Iterator<Item = (i64, Option<f64>)>, end: i64) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut open = false;
    for (at, value) in points {
        if let Some(last) = pieces.last_mut().filter(|_| open) {
            if Some(last.value) == value {
                continue;
            }
            last.until = at;
        }
        open = value.is_some();
        pieces.extend(value.map(|value| Piece {
            from: at,
            until: end.max(at),
            value,
        }));
    }
    pieces
}

/// Pieces of values that are about the time since the one before.
pub(super) fn measured(points: impl Iterator<Item = (i64, Option<f64>)>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut since = None;
    for (at, value) in points {
        if let (Some(from), Some(value)) = (since, value) {
            pieces.push(Piece { from, until: at, value });
        }
        since = Some(at);
    }
    pieces
}

/// The part of the pieces that is on the axis, with no more of them than can be seen.
pub(super) fn shown(pieces: &[Piece], axis: Axis) -> Vec<Piece> {
    let on_axis = pieces
        .iter()
        .filter(|piece| piece.until >= axis.from && piece.from <= axis.until);
    let clipped: Vec<Piece> = on_axis
        .map(|piece| Piece {
            from: piece.from.max(axis.from),
            until: piece.until.min(axis.until),
            value: piece.value,
        })
        .collect();
    #[allow(clippy::cast_possible_truncation, reason = "at most COLUMNS")]
    let column = |piece: &Piece| (axis.share(piece.from) * COLUMNS) as i64;
    let mut kept = Vec::with_capacity(clipped.len());
    for group in clipped.chunk_by(|one, other| column(one) == column(other)) {
        kept.extend(few(group));
    }
    kept
}

/// The first, the smallest, the largest and the last one; each holds until the next where they were joined before.
fn few(group: &[Piece]) -> Vec<Piece> {
    if group.len() <= MOST_IN_COLUMN {
        return group.to_vec();
    }
    let by = |one: &usize, other: &usize| group[*one].value.total_cmp(&group[*other].value);
    let smallest = (0..group.len()).min_by(by).unwrap_or(0);
    let largest = (0..group.len()).max_by(by).unwrap_or(0);
    let mut indexes = vec![0, smallest, largest, group.len() - 1];
    indexes.sort_unstable();
    indexes.dedup();
    let mut kept: Vec<Piece> = indexes.iter().map(|index| group[*index]).collect();
    for (place, pair) in indexes.windows(2).enumerate() {
        let between = &group[pair[0]..=pair[1]];
        if between.windows(2).all(|two| two[0].until == two[1].from) {
            kept[place].until = kept[place + 1].from;
        }
    }
    kept
}

/// Where values are in a plot, in its units: time across, values down from `top`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) axis: Axis,
    /// The smallest and the largest value.
    pub(super) bottom: f64,
    pub(super) top: f64,
    pub(super) height: f64,
    /// Room above the largest and below the smallest value, so that lines and dots are whole.
    pub(super) margin: f64,
}

impl Scale {
    pub(super) fn across(self, at: i64) -> String {
        format!("{:.0}", self.axis.share(at) * f64::from(WIDTH))
    }

    pub(super) fn down(self, value: f64) -> f64 {
        let share = ((value - self.bottom) / (self.top - self.bottom)).clamp(0.0, 1.0);
        let down = self.margin + (1.0 - share) * (self.height - 2.0 * self.margin);
        (down * 10.0).round() / 10.0
    }

    /// A line through the pieces.
    pub(super) fn line(self, pieces: &[Piece]) -> String {
        let mut path = String::new();
        for run in joined(pieces) {
            self.walk(&mut path, 'M', run);
        }
        path
    }

    /// The area between the pieces and the smallest value.
    pub(super) fn area(self, pieces: &[Piece]) -> String {
        let mut path = String::new();
        let zero = self.down(self.bottom);
        for run in joined(pieces) {
            let _ = write!(path, "M{} {zero}", self.across(run[0].from));
            self.walk(&mut path, 'L', run);
            let _ = write!(path, "V{zero}Z");
        }
        path
    }

    fn walk(self, path: &mut String, begin: char, run: &[Piece]) {
        let mut down = f64::NAN;
        for (index, piece) in run.iter().enumerate() {
            let next = self.down(piece.value);
            if index == 0 {
                let _ = write!(path, "{begin}{} {next}", self.across(piece.from));
            } else if next.total_cmp(&down).is_ne() {
                let _ = write!(path, "H{}V{next}", self.across(piece.from));
            }
            down = next;
        }
        if let Some(last) = run.last() {
            let _ = write!(path, "H{}", self.across(last.until));
        }
    }
}

/// Pieces that follow each other without a gap.
fn joined(pieces: &[Piece]) -> impl Iterator<Item = &[Piece]> {
    pieces.chunk_by(|one, other| one.until == other.from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(from: i64, until: i64, value: f64) -> Piece {
        Piece { from, until, value }
    }

    fn scale(until: i64) -> Scale {
        Scale {
            axis: Axis { from: 0, until },
            bottom: 0.0,
            top: 100.0,
            height: 120.0,
            margin: 10.0,
        }
    }

    #[test]
    fn values_hold_until_the_next_one_and_gaps_stay() {
        let points = [(0, Some(1.0)), (10, Some(1.0)), (20, None), (30, Some(2.0))];
        let pieces = held(points.into_iter(), 50);
        assert_eq!(pieces, [piece(0, 20, 1.0), piece(30, 50, 2.0)]);
        let pieces = measured([(0, Some(9.0)), (10, Some(1.0)), (20, None), (30, Some(2.0))].into_iter());
        assert_eq!(pieces, [piece(0, 10, 1.0), piece(20, 30, 2.0)]);
    }

    #[test]
    fn a_line_goes_in_steps_and_an_area_down_to_zero() {
        let pieces = [piece(0, 20, 0.0), piece(20, 50, 50.0), piece(70, 100, 100.0)];
        assert_eq!(scale(100).line(&pieces), "M0 110H2000V60H5000M7000 10H10000");
        assert_eq!(
            scale(100).area(&pieces),
            "M0 110L0 110H2000V60H5000V110ZM7000 110L7000 10H10000V110Z"
        );
    }

    #[test]
    fn a_curve_stays_small_and_keeps_its_peaks() {
        let mut pieces: Vec<Piece> = (0..86_400).map(|at| piece(at, at + 1, 1.0)).collect();
        pieces[43_210].value = 99.0;
        pieces[50_000].value = 0.0;
        let kept = shown(&pieces, Axis { from: 0, until: 86_400 });
        assert!(kept.len() <= 1_600, "{} pieces", kept.len());
        assert!(kept.contains(&piece(43_210, 43_211, 99.0)) || kept.iter().any(|piece| piece.value > 98.0));
        assert!(kept.iter().any(|piece| piece.value < 0.5));
        assert!(
            kept.windows(2).all(|two| two[0].until == two[1].from),
            "it has gaps now"
        );
    }

    #[test]
    fn what_is_not_on_the_axis_is_cut_off() {
        let pieces = [
            piece(0, 10, 1.0),
            piece(10, 30, 2.0),
            piece(30, 90, 3.0),
            piece(90, 99, 4.0),
        ];
        let kept = shown(&pieces, Axis { from: 20, until: 50 });
        assert_eq!(kept, [piece(20, 30, 2.0), piece(30, 50, 3.0)]);
    }
}
