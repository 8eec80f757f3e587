//! One plot: step curves and dots on the shared time axis, its scale on the left, names and values on the right.

use std::fmt::Write as _;

use super::axis::Axis;
use super::curve::{Piece, Scale, WIDTH, shown};
use super::escape::escape;

/// Names and values at the right of a plot are at least so far apart, in pixels.
const LINE: f64 = 16.0;
const MARGIN: f64 = 6.0;

/// What the values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// From 0 to 100.
    Percent,
    Millis,
    Plain,
}

/// A plot.
#[derive(Debug)]
pub(super) struct Panel {
    /// What is plotted, as HTML.
    pub(super) title: String,
    pub(super) height: f64,
    pub(super) bottom: f64,
    pub(super) top: f64,
    pub(super) unit: Unit,
    /// Values that the scale names.
    pub(super) ticks: Vec<f64>,
    pub(super) curves: Vec<Curve>,
    pub(super) dots: Vec<Dot>,
    /// Spans of time that are underlined, each with a class and a tooltip.
    pub(super) spans: Vec<(i64, i64, String, String)>,
    pub(super) labels: Vec<Label>,
    /// Pieces of a curve that are long enough to have their value written above them.
    pub(super) plateaus: Vec<Piece>,
}

/// A line of a plot.
#[derive(Debug)]
pub(super) struct Curve {
    pub(super) class: String,
    pub(super) pieces: Vec<Piece>,
    /// Whether the area below it is filled.
    pub(super) filled: bool,
    /// Whether there is a line.
    pub(super) drawn: bool,
}

/// A name with its value at the right of a plot.
#[derive(Debug)]
pub(super) struct Label {
    /// Where the page's script finds the value at a time: `split wanted`, `sample REVISION errorRate` ...
    pub(super) key: String,
    pub(super) name: String,
    /// Class of the line that it names.
    pub(super) class: String,
    /// The value beside which it stands.
    pub(super) beside: f64,
    /// The last value, for people.
    pub(super) text: String,
}

/// A measurement.
#[derive(Debug)]
pub(super) struct Dot {
    pub(super) at: i64,
    /// Absent where no number was measured: then it is at the bottom.
    pub(super) value: Option<f64>,
    pub(super) verdict: String,
    pub(super) tooltip: String,
}

impl Panel {
    pub(super) fn scale(&self, axis: Axis) -> Scale {
        Scale {
            axis,
            bottom: self.bottom,
            top: self.top,
            height: self.height,
            margin: MARGIN,
        }
    }

    /// The plot as a part of a page.
    pub(super) fn html(&self, axis: Axis) -> String {
        let mut html = String::from("<div class=panel>");
        if !self.title.is_empty() {
            let _ = write!(html, "<h4><span>{}</span></h4>", self.title);
        }
        let _ = write!(
            html,
            "<div class=plot style=\"height:{}px\"><div class=scale>",
            self.height
        );
        let scale = self.scale(axis);
        for tick in &self.ticks {
            let _ = write!(
                html,
                "<i style=\"top:{}px\">{}</i>",
                scale.down(*tick),
                self.unit.text(*tick)
            );
        }
        let _ = write!(
            html,
            "</div><svg width=\"100%\" height=\"{}\" aria-hidden=true>{}</svg><div class=labels>",
            self.height,
            self.svg(axis)
        );
        for (label, top) in self.labels.iter().zip(self.places(scale)) {
            let _ = write!(
                html,
                "<div style=\"top:{top}px\">{}<span>{}</span> <b data-value=\"{}\">{}</b></div>",
                swatch(&label.class),
                escape(&label.name),
                escape(&label.key),
                escape(&label.text)
            );
        }
        html + "</div></div></div>"
    }

    /// What is inside of the plot's `svg` element, which may have any width.
    pub(super) fn svg(&self, axis: Axis) -> String {
        let scale = self.scale(axis);
        let mut svg = String::new();
        for tick in &self.ticks {
            let down = scale.down(*tick);
            let _ = write!(svg, "<line class=\"grid\" x2=\"100%\" y1=\"{down}\" y2=\"{down}\"/>");
        }
        for (from, until, class, tooltip) in self.spans.iter().filter(|span| span.1 >= axis.from) {
            let _ = write!(
                svg,
                "<line class=\"span {class}\" x1=\"{}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\"><title>{}</title></line>",
                axis.percent(*from),
                axis.percent(*until),
                escape(tooltip),
                y = self.height - 1.5
            );
        }
        let _ = write!(
            svg,
            "<svg width=\"100%\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" preserveAspectRatio=\"none\">",
            height = self.height
        );
        for curve in &self.curves {
            let pieces = shown(&curve.pieces, axis);
            if curve.filled {
                let _ = write!(
                    svg,
                    "<path class=\"area {}\" d=\"{}\"/>",
                    curve.class,
                    scale.area(&pieces)
                );
            }
            if curve.drawn {
                let _ = write!(
                    svg,
                    "<path class=\"line {}\" d=\"{}\"/>",
                    curve.class,
                    scale.line(&pieces)
                );
            }
        }
        svg.push_str("</svg>");
        for plateau in &self.plateaus {
            let down = scale.down(plateau.value);
            // Above the line, and below it where there is no room above.
            let down = if down > 2.5 * MARGIN { down - 5.0 } else { down + 16.0 };
            let _ = write!(
                svg,
                "<text class=\"share\" x=\"{}\" y=\"{down}\">{}</text>",
                axis.percent(i64::midpoint(plateau.from, plateau.until)),
                self.unit.text(plateau.value)
            );
        }
        for dot in self.dots.iter().filter(|dot| axis.contains(dot.at)) {
            let down = dot.value.map_or(self.height - MARGIN, |value| scale.down(value));
            let _ = write!(
                svg,
                "<svg x=\"{}\" y=\"{down}\" class=\"dot {}\"><title>{}</title>{}</svg>",
                axis.percent(dot.at),
                verdict_class(&dot.verdict),
                escape(&dot.tooltip),
                shape(&dot.verdict)
            );
        }
        svg
    }

    /// Where the labels stand: beside their values, and not on each other.
    fn places(&self, scale: Scale) -> Vec<f64> {
        let mut order: Vec<usize> = (0..self.labels.len()).collect();
        order.sort_by(|one, other| {
            let down = |index: &usize| scale.down(self.labels[*index].beside);
            down(one).total_cmp(&down(other))
        });
        let mut places = vec![0.0; self.labels.len()];
        let mut free = LINE / 2.0;
        for index in &order {
            let place = scale.down(self.labels[*index].beside).max(free);
            places[*index] = place;
            free = place + LINE;
        }
        let mut free = self.height - LINE / 2.0;
        for index in order.iter().rev() {
            places[*index] = places[*index].min(free).max(LINE / 2.0);
            free = places[*index] - LINE;
        }
        places
    }
}

impl Unit {
    /// A value for people. The script of the page writes values in the same way.
    pub(super) fn text(self, value: f64) -> String {
        let rounded = |digits: f64| (value * digits).round() / digits;
        match self {
            Unit::Percent => format!("{} %", rounded(100.0)),
            Unit::Millis if value >= 1_000.0 => format!("{} s", (value / 10.0).round() / 100.0),
            Unit::Millis => format!("{} ms", rounded(10.0)),
            Unit::Plain => crate::record::shortened(&value.to_string()),
        }
    }
}

/// A short piece of the line that a label names.
pub(super) fn swatch(class: &str) -> String {
    format!("<svg width=16 height=10 aria-hidden=true><path class=\"line {class}\" d=\"M0 5H16\"/></svg>")
}

pub(super) fn verdict_class(verdict: &str) -> &'static str {
    match verdict {
        "Successful" => "good",
        "Failed" => "bad",
        "Inconclusive" => "open",
        _ => "error",
    }
}

/// Verdicts differ in shape, not only in colour.
pub(super) fn shape(verdict: &str) -> &'static str {
    match verdict_class(verdict) {
        "good" => "<circle r=\"3.5\"/>",
        "bad" => "<path d=\"M-4 -4L4 4M-4 4L4 -4\"/>",
        "open" => "<path d=\"M0 -5L5 0L0 5L-5 0Z\"/>",
        _ => "<path d=\"M0 -5L5 4H-5Z\"/>",
    }
}

/// The smallest of 1, 2, 5, 10, 20 ... that is not below the value.
pub(super) fn round_up(value: f64) -> f64 {
    if !value.is_finite() || value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powi(exponent(value));
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|factor| factor * power >= value * 0.999_999);
    let up = factor.unwrap_or(10.0) * power;
    // Powers of ten below 1 are not exact: 0.05, not 0.05000000000000001.
    format!("{up:e}")
        .parse::<f64>()
        .map_or(up, |up| (up * 1e9).round() / 1e9)
        .max(1e-9)
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "exponents of finite numbers are below 400"
)]
fn exponent(value: f64) -> i32 {
    value.log10().floor() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_for_people() {
        let rows = [
            (Unit::Percent, 37.5, "37.5 %"),
            (Unit::Percent, 0.123_456, "0.12 %"),
            (Unit::Millis, 20.04, "20 ms"),
            (Unit::Millis, 1_234.0, "1.23 s"),
            (Unit::Plain, 0.040_805_881_258, "0.0408059"),
        ];
        for (unit, value, text) in rows {
            assert_eq!(unit.text(value), text);
        }
    }

    #[test]
    fn scales_end_at_round_values() {
        let rows = [
            (0.0, 1.0),
            (0.9, 1.0),
            (1.0, 1.0),
            (3.0, 5.0),
            (0.037, 0.05),
            (101.0, 200.0),
            (600.0, 1000.0),
            (f64::NAN, 1.0),
        ];
        for (value, up) in rows {
            assert!((round_up(value) - up).abs() < 1e-12, "{value}: {}", round_up(value));
        }
    }

    #[test]
    fn labels_stand_beside_their_values_and_not_on_each_other() {
        let label = |beside| Label {
            key: String::new(),
            name: String::new(),
            class: String::new(),
            beside,
            text: String::new(),
        };
        let panel = |values: &[f64]| Panel {
            title: String::new(),
            height: 112.0,
            bottom: 0.0,
            top: 100.0,
            unit: Unit::Percent,
            ticks: Vec::new(),
            curves: Vec::new(),
            dots: Vec::new(),
            spans: Vec::new(),
            plateaus: Vec::new(),
            labels: values.iter().copied().map(label).collect(),
        };
        let axis = Axis { from: 0, until: 1 };
        let rows: [(&[f64], &[f64]); 3] = [
            (&[100.0, 50.0, 0.0], &[8.0, 56.0, 104.0]),
            (&[100.0, 100.0, 100.0], &[8.0, 24.0, 40.0]),
            (&[0.0, 0.0], &[88.0, 104.0]),
        ];
        for (values, places) in rows {
            let panel = panel(values);
            assert_eq!(panel.places(panel.scale(axis)), places, "{values:?}");
        }
    }
}
