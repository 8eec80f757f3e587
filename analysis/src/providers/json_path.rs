//! Paths into JSON answers.
//!
//! Argo Rollouts takes the paths of `kubectl -o jsonpath`: `{$.data.errors}`. What is between the braces is nearly the path
//! language of RFC 9535, which is what is evaluated here. Texts around the braces, `range` and escaped dots are not served.

use jsonpath_rust::JsonPath as _;
use jsonpath_rust::parser::parse_json_path;
use serde_json::Value;

/// Longest path, in bytes.
const MAX_BYTES: usize = 512;
/// Most brackets of all kinds: the parser recurses at each.
const MAX_BRACKETS: usize = 32;

/// The path in the syntax of RFC 9535, or what is wrong with it.
pub(super) fn read(source: &str) -> Result<String, String> {
    let text = source.trim();
    if text.len() > MAX_BYTES {
        return Err(format!("has {} bytes, at most {MAX_BYTES} are served", text.len()));
    }
    if text.chars().filter(|c| "[({".contains(*c)).count() > MAX_BRACKETS {
        return Err(format!("has too many brackets, at most {MAX_BRACKETS} are served"));
    }
    let inner = match (text.strip_prefix('{'), text.strip_suffix('}')) {
        (Some(_), Some(_)) => text[1..text.len() - 1].trim(),
        _ => text,
    };
    if inner.contains(['{', '}']) || inner.starts_with("range ") {
        return Err("must be one path, for example {$.data.errors}: no range, no text around it".to_owned());
    }
    if inner.contains('\\') {
        return Err("must not contain `\\`: write a name with dots as ['a.b']".to_owned());
    }
    let path = match inner.chars().next() {
        Some('$') => inner.to_owned(),
        Some('.' | '[') => format!("${inner}"),
        Some(_) => format!("$.{inner}"),
        None => return Err("is empty".to_owned()),
    };
    match parse_json_path(&path) {
        Ok(_) => Ok(path),
        Err(_) => Err(format!(
            "`{}` is not a JSON path, for example {{$.data.errors}}",
            crate::text::excerpt(text)
        )),
    }
}

/// The first value that a path of [`read`] leads to.
pub(super) fn first(path: &str, value: &Value) -> Option<Value> {
    value.query(path).ok()?.first().map(|found| (*found).clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_of_argo_rollouts_lead_to_the_first_value() {
        let answer = json!({
            "ok": true, "data": {"errors": 3, "a.b": "dots", "list": [1, 2, 3]},
            "series": [{"name": "x", "value": 1}, {"name": "y", "value": 2}],
        });
        for (path, expected) in [
            ("{$.data.errors}", Some(json!(3))),
            ("{.data.errors}", Some(json!(3))),
            ("$.data.errors", Some(json!(3))),
            ("data.errors", Some(json!(3))),
            (" { $.ok } ", Some(json!(true))),
            ("{$}", Some(answer.clone())),
            ("{$.data['a.b']}", Some(json!("dots"))),
            ("{$.data.list[-1]}", Some(json!(3))),
            ("{$.data.list[1:]}", Some(json!(2))),
            ("{$.data.list}", Some(json!([1, 2, 3]))),
            ("{$.series[?(@.name == \"y\")].value}", Some(json!(2))),
            ("{$.series[?(@.value > 1)].name}", Some(json!("y"))),
            ("{$.series[*].value}", Some(json!(1))),
            ("{$..value}", Some(json!(1))),
            ("{$.none}", None),
            ("{$.data.list[9]}", None),
        ] {
            let read = read(path).unwrap_or_else(|problem| panic!("{path}: {problem}"));
            assert_eq!(first(&read, &answer), expected, "{path}");
        }
    }

    #[test]
    fn what_is_no_path_says_what_would_be_one() {
        let one = "must be one path, for example {$.data.errors}: no range, no text around it";
        for (path, expected) in [
            ("", "is empty".to_owned()),
            ("{}", "is empty".to_owned()),
            ("{range .items[*]}{.x}{end}", one.to_owned()),
            ("{range .x}", one.to_owned()),
            ("{.a} {.b}", one.to_owned()),
            ("x{.a}", one.to_owned()),
            (
                "{.a\\.b}",
                "must not contain `\\`: write a name with dots as ['a.b']".to_owned(),
            ),
            (
                "{$[}",
                "`{$[}` is not a JSON path, for example {$.data.errors}".to_owned(),
            ),
            (
                &"[".repeat(33),
                "has too many brackets, at most 32 are served".to_owned(),
            ),
            (&"a".repeat(513), "has 513 bytes, at most 512 are served".to_owned()),
        ] {
            assert_eq!(read(path), Err(expected), "{path}");
        }
    }
}
