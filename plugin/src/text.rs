//! Text for people: styles, columns, ages, and the one place where anything reaches the terminal.
//!
//! Names, messages and labels come from the API server, and so from whoever may write there. Every character that could move the
//! cursor, recolour or reorder the terminal is replaced in [`Screen`], after which nothing else writes to it.

use std::io::{self, Write};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use sluice_simulations::acts;
pub use sluice_simulations::{clean, similar};

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As it is.
    Plain,
    /// Something is as it should be.
    Good,
    /// Something needs attention.
    Warn,
    /// Something went wrong.
    Bad,
    /// Something is under way.
    Busy,
    /// Less important.
    Dim,
}

/// A line made of styled pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line(Vec<(Style, String)>);

/// Where commands write to: the only way to the terminal.
pub struct Screen<'a> {
    out: &'a mut (dyn Write + Send),
    colour: bool,
    terminal: bool,
    /// Columns and lines of the terminal at this moment, where they are known.
    size: fn() -> Option<(usize, usize)>,
}

impl Line {
    /// A line of one style.
    pub fn styled(style: Style, text: impl Into<String>) -> Line {
        Line(vec![(style, text.into())])
    }

    /// Adds a piece.
    #[must_use]
    pub fn then(mut self, style: Style, text: impl Into<String>) -> Line {
        self.0.push((style, text.into()));
        self
    }

    /// Adds all pieces of another line.
    #[must_use]
    pub fn join(mut self, other: Line) -> Line {
        self.0.extend(other.0);
        self
    }

    /// Fills up with blanks to a width. At least two blanks separate it from what follows.
    #[must_use]
    pub fn column(self, width: usize) -> Line {
        let blanks = (width + 2).saturating_sub(self.width());
        self.then(Style::Plain, " ".repeat(blanks))
    }

    /// Number of characters.
    pub fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }

    /// At most so many characters.
    fn cut(self, width: usize) -> Line {
        let mut left = width;
        let pieces = self.0.into_iter().map(|(style, text)| {
            let text: String = text.chars().take(left).collect();
            left -= text.chars().count();
            (style, text)
        });
        Line(pieces.collect())
    }

    fn render(&self, colour: bool) -> String {
        let mut rendered = String::new();
        for (style, text) in &self.0 {
            let text = clean(text);
            match style.code().filter(|_| colour && !text.trim().is_empty()) {
                Some(code) => rendered.extend(["\x1b[", code, "m", &text, "\x1b[0m"]),
                None => rendered.push_str(&text),
            }
        }
        rendered.truncate(rendered.trim_end().len());
        rendered
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Line {
        Line::styled(Style::Plain, text)
    }
}

impl From<String> for Line {
    fn from(text: String) -> Line {
        Line::styled(Style::Plain, text)
    }
}

impl Style {
    fn code(self) -> Option<&'static str> {
        match self {
            Style::Plain => None,
            Style::Good => Some("32"),
            Style::Warn => Some("33"),
            Style::Bad => Some("31"),
            Style::Busy => Some("36"),
            Style::Dim => Some("2"),
        }
    }
}

impl<'a> Screen<'a> {
    /// A screen that is a terminal or not. Colours only ever go to a terminal.
    pub fn new(out: &'a mut (dyn Write + Send), terminal: bool, colour: bool) -> Screen<'a> {
        Screen {
            out,
            colour: colour && terminal,
            terminal,
            size: || None,
        }
    }

    /// A screen that knows how large it is.
    #[must_use]
    pub fn sized(mut self, size: fn() -> Option<(usize, usize)>) -> Screen<'a> {
        self.size = size;
        self
    }

    /// Whether what was written can be drawn over.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Switches colours off.
    pub fn without_colour(&mut self) {
        self.colour = false;
    }

    /// Writes a line.
    pub fn line(&mut self, line: impl Into<Line>) -> io::Result<()> {
        let text = line.into().render(self.colour);
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Writes lines.
    pub fn lines(&mut self, lines: impl IntoIterator<Item = Line>) -> io::Result<()> {
        lines.into_iter().try_for_each(|line| self.line(line))
    }

    /// Clears the terminal and writes lines from the top, as many and as much of each as it has room for: what does not fit would
    /// scroll, and could not be drawn over.
    pub fn frame(&mut self, mut lines: Vec<Line>) -> io::Result<()> {
        if let Some((columns, rows)) = (self.size)() {
            let room = rows.saturating_sub(1).max(1);
            if lines.len() > room {
                let hidden = lines.len() + 1 - room;
                lines.truncate(room - 1);
                lines.push(Line::styled(Style::Dim, format!("... {hidden} more lines")));
            }
            lines = lines.into_iter().map(|line| line.cut(columns)).collect();
        }
        let mut text = String::from("\x1b[H");
        for line in lines {
            // Each line clears the rest of what stood there: clearing everything first would flicker.
            text.push_str(&line.render(self.colour));
            text.push_str("\x1b[K\n");
        }
        text.push_str("\x1b[J");
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Writes a value as indented JSON.
    pub fn json(&mut self, value: &Value) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value)?;
        let text: String = text.chars().map(escape_json).collect();
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Writes a value as YAML.
    pub fn yaml(&mut self, value: &Value) -> io::Result<()> {
        let text = serde_saphyr::to_string(&cleaned(value)).map_err(io::Error::other)?;
        writeln!(self.out, "{}", text.trim_end())?;
        self.out.flush()
    }

    /// Writes text that this program made itself.
    pub fn own(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

/// JSON's own writer escapes what is below the blank; the rest that a terminal acts on is escaped here. Such characters
/// stand in texts only, and line ends between them stay.
fn escape_json(c: char) -> String {
    if c != '\n' && acts(c) {
        format!("\\u{:04x}", u32::from(c))
    } else {
        c.to_string()
    }
}

fn cleaned(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.lines().map(clean).collect::<Vec<_>>().join("\n")),
        Value::Array(list) => list.iter().map(cleaned).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (clean(key), cleaned(value))).collect(),
        other => other.clone(),
    }
}

/// Rows as columns of equal width, the first row being the heading.
pub fn table(rows: &[Vec<Line>]) -> Vec<Line> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(Line::width)
                .max()
                .unwrap_or(0)
        })
        .collect();
    let align = |row: &Vec<Line>| {
        let cells = row.iter().zip(&widths);
        cells.fold(Line::default(), |line, (cell, width)| {
            line.join(cell.clone().column(*width))
        })
    };
    rows.iter().map(align).collect()
}

/// A span of time as kubectl writes ages: the two largest units at most.
pub fn duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600, seconds / 60);
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=599 if seconds % 60 > 0 => format!("{minutes}m{}s", seconds % 60),
        120..=10_799 => format!("{minutes}m"),
        10_800..=28_799 if minutes % 60 > 0 => format!("{hours}h{}m", minutes % 60),
        10_800..=172_799 => format!("{hours}h"),
        172_800..=691_199 if hours % 24 > 0 => format!("{days}d{}h", hours % 24),
        _ => format!("{days}d"),
    }
}

/// Time since then.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    duration(then.duration_until(now))
}

/// The text with all times in whole seconds: nobody waits by the nanosecond.
pub fn whole_seconds(text: &str) -> String {
    let mut words = text.split(' ').map(|word| match word.parse::<Timestamp>() {
        Ok(at) => time(at),
        Err(_) => word.to_owned(),
    });
    let first = words.next().unwrap_or_default();
    words.fold(first, |text, word| format!("{text} {word}"))
}

/// A point in time without fractions of a second.
pub fn time(at: Timestamp) -> String {
    sluice_crds::Time::from(at).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(terminal: bool, write: impl FnOnce(&mut Screen<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Screen::new(&mut out, terminal, true));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_that_comes_from_the_api_acts_on_the_terminal() {
        let evil = "a\x1b[2Jb\u{9b}31mc\u{202e}d\re\x07f\u{2066}g\x7fh";
        let line = written(true, |screen| screen.line(evil).unwrap());
        assert_eq!(
            line,
            "a\u{fffd}[2Jb\u{fffd}31mc\u{fffd}d e\u{fffd}f\u{fffd}g\u{fffd}h\n"
        );
        for text in [
            written(true, |screen| screen.json(&json!({ evil: [evil] })).unwrap()),
            written(true, |screen| {
                screen.yaml(&json!({ evil: [evil, "two\nlines"] })).unwrap();
            }),
        ] {
            assert!(!text.contains(|c| c != '\n' && acts(c)), "{text:?}");
        }
    }

    #[test]
    fn json_with_escaped_characters_is_still_the_same_value() {
        let value = json!({ "a": "x\x1b\u{9b}\u{202e}y", "b": "line\nend" });
        let text = written(false, |screen| screen.json(&value).unwrap());
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn colours_go_to_terminals_only() {
        let line = || Line::styled(Style::Good, "ok").then(Style::Plain, " then");
        assert_eq!(
            written(true, |screen| screen.line(line()).unwrap()),
            "\x1b[32mok\x1b[0m then\n"
        );
        assert_eq!(written(false, |screen| screen.line(line()).unwrap()), "ok then\n");
    }

    #[test]
    fn a_frame_never_scrolls() {
        let lines = || {
            (0..9)
                .map(|n| Line::from(format!("line {n}")).then(Style::Good, " and more"))
                .collect::<Vec<_>>()
        };
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, true, false).sized(|| Some((8, 4)));
        screen.frame(lines()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "\x1b[Hline 0 a\x1b[K\nline 1 a\x1b[K\n... 7 mo\x1b[K\n\x1b[J");
    }

    #[test]
    fn ages_have_at_most_two_units() {
        let rows = [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (12_000, "3h20m"),
            (100_000, "27h"),
            (200_000, "2d7h"),
            (700_000, "8d"),
        ];
        for (seconds, text) in rows {
            assert_eq!(duration(SignedDuration::from_secs(seconds)), text);
        }
        assert_eq!(duration(SignedDuration::from_secs(-5)), "0s", "clocks differ");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: [&str; 2]| cells.map(Line::from).to_vec();
        let lines = table(&[row(["NAME", "X"]), row(["a-long-name", "1"])]);
        let text = written(false, |screen| screen.lines(lines).unwrap());
        assert_eq!(text, "NAME         X\na-long-name  1\n");
    }
}
