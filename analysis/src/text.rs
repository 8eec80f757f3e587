//! Bounded texts: whatever reaches a status or an event is cut here.

/// Longest value or message that is stored, in bytes.
pub const MAX_BYTES: usize = 1024;

/// The text, cut to [`MAX_BYTES`] at a character; a cut is shown by an ellipsis.
pub fn bounded(text: &str) -> String {
    if text.len() <= MAX_BYTES {
        return text.to_owned();
    }
    let mut end = MAX_BYTES - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

/// The beginning of a text that an error message quotes.
pub(crate) fn excerpt(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_at_a_character() {
        assert_eq!(bounded("short"), "short");
        assert_eq!(bounded(&"x".repeat(MAX_BYTES)).len(), MAX_BYTES);
        for text in [
            "x".repeat(MAX_BYTES + 1),
            "é".repeat(MAX_BYTES),
            format!("x{}", "\u{1F600}".repeat(MAX_BYTES)),
        ] {
            let cut = bounded(&text);
            assert!(cut.len() <= MAX_BYTES && cut.len() > MAX_BYTES - 5, "{}", cut.len());
            assert!(cut.ends_with('…') && text.starts_with(cut.trim_end_matches('…')));
        }
    }
}
