//! Text that only shows itself. Names and messages come from manifests and objects, and so from anybody.

/// The text with every character replaced that does something else to a terminal or a page than to show itself.
pub fn clean(text: &str) -> String {
    let visible = |c: char| match c {
        '\n' | '\t' | '\r' => ' ',
        c if acts(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(visible).collect()
}

/// Whether it is a control character, or one that reverses or isolates the direction of writing.
pub fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}')
}
