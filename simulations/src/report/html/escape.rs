//! Making text harmless: names and messages come from manifests, and so from anybody.

use crate::clean;

/// The text as it may stand in an element or in a quoted attribute. What could reorder the page or is no character for a
/// person is replaced.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// JSON as it may stand in a `script` element: no text in it can end the element or begin a comment, and it is the same value.
/// The characters stand in texts only, where JSON has a way to write them.
pub(super) fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_that_means_something_to_a_browser_is_left() {
        let rows = [
            ("shop:v2", "shop:v2"),
            (
                "</script><b a='1' c=\"2\">&amp;",
                "&lt;/script&gt;&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;amp;",
            ),
            ("a\u{202e}b\0c\nd", "a\u{fffd}b\u{fffd}c d"),
        ];
        for (text, escaped) in rows {
            assert_eq!(escape(text), escaped);
        }
    }

    #[test]
    fn escaped_json_is_the_same_value() {
        let value = serde_json::json!({"</script>": "<!-- & \u{2028}\u{2029}\\ \" </SCRIPT >"});
        let escaped = escape_json(&value.to_string());
        assert!(!escaped.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{escaped}");
        let again: serde_json::Value = serde_json::from_str(&escaped).expect("JSON");
        assert_eq!(again, value);
    }
}
