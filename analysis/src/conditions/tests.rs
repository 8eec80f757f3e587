use std::time::{Duration, Instant};

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

mod language;

fn outcome(success: &str, failure: &str, reading: &Reading) -> String {
    let conditions = match Conditions::parse(Some(success), Some(failure)) {
        Ok(conditions) => conditions,
        Err(problems) => {
            return format!(
                "invalid: {}",
                problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            );
        }
    };
    match conditions.judge(reading) {
        Ok(verdict) => format!("{verdict:?}"),
        Err(error) => format!("Error: {error}"),
    }
}

/// What JSON says, as a provider of numbers or of JSON would hand it over.
fn reading_of(json: &str) -> Reading {
    let value: serde_json::Value = serde_json::from_str(json).expect("it is JSON");
    let numbers = value
        .as_array()
        .and_then(|items| items.iter().map(serde_json::Value::as_f64).collect());
    match numbers {
        Some(numbers) => Reading::Numbers(numbers),
        None => Reading::json(value).expect("it is not too large"),
    }
}

fn number(number: f64) -> Reading {
    Reading::Number(number)
}

fn list(numbers: &[f64]) -> Reading {
    Reading::Numbers(numbers.to_vec())
}

/// Rows of (success condition, failure condition, reading, outcome).
fn check(rows: &[(&str, &str, Reading, &str)]) {
    for (success, failure, reading, expected) in rows {
        assert_eq!(
            outcome(success, failure, reading),
            *expected,
            "[{success}] [{failure}] {reading:?}"
        );
    }
}

#[test]
fn verdicts_follow_the_table_of_argo_rollouts() {
    check(&[
        ("", "", number(1.0), "Successful"),
        ("", "", list(&[0.0]), "Successful"),
        ("result > 0", "", number(1.0), "Successful"),
        ("result > 0", "", number(0.0), "Failed"),
        ("", "result > 0", number(1.0), "Failed"),
        ("", "result > 0", number(0.0), "Successful"),
        ("result > 0.9", "result < 0.5", number(0.95), "Successful"),
        ("result > 0.9", "result < 0.5", number(0.7), "Inconclusive"),
        ("result > 0.9", "result < 0.5", number(0.1), "Failed"),
        ("result > 0", "result > 0", number(1.0), "Failed"),
    ]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn conditions_are_written_as_users_of_argo_rollouts_write_them() {
    check(&[
        ("result[0] >= 0.95", "", list(&[0.97]), "Successful"),
        ("result[0] >= 0.95", "", list(&[0.5]), "Failed"),
        ("result[0] >= 0.95", "", list(&[0.95]), "Successful"),
        ("result >= 0.9", "", number(0.9), "Successful"),
        ("all(result, {# < 1})", "", list(&[0.1, 0.9]), "Successful"),
        ("all(result, {# < 1})", "", list(&[0.1, 1.0]), "Failed"),
        ("all(result, # < 1000)", "", list(&[11.0, 12.0, 999.0]), "Successful"),
        ("any(result, {# > 0.5})", "", list(&[0.1, 0.9]), "Successful"),
        ("none(result, # > 5)", "", list(&[1.0, 2.0]), "Successful"),
        ("one(result, # > 1)", "", list(&[1.0, 2.0]), "Successful"),
        (
            "len(filter(result, {# > 1})) == 2",
            "",
            list(&[1.0, 2.0, 3.0]),
            "Successful",
        ),
        (
            "filter(result, # > 1) | len() == 2",
            "",
            list(&[1.0, 2.0, 3.0]),
            "Successful",
        ),
        ("len(result) == 0 || result[0] < 0.05", "", list(&[0.01]), "Successful"),
        ("default(result, 0) < 0.05", "", number(0.01), "Successful"),
        ("isNaN(result) || result < 5", "", number(4.0), "Successful"),
        ("asFloat(result) < 5", "", number(4.0), "Successful"),
        ("asInt(result) == 4", "", number(4.7), "Successful"),
        (
            "asFloat('1.5') == 1.5 && asInt('3') == 3",
            "",
            number(0.0),
            "Successful",
        ),
        (
            "result[0] >= 0.95 && result[0] <= 1.0",
            "result[0] < 0.9 or result[0] > 1.0",
            list(&[0.92]),
            "Inconclusive",
        ),
        ("sum(result) / len(result) < 2", "", list(&[1.0, 2.0]), "Successful"),
        ("sum(result, # * 2) == 6", "", list(&[1.0, 2.0]), "Successful"),
        (
            "mean(result) == 1.5 and median(result) == 1.5",
            "",
            list(&[1.0, 2.0]),
            "Successful",
        ),
        ("max(result) - min(result) < 2", "", list(&[1.0, 2.0]), "Successful"),
        ("count(result, # > 1) == 1", "", list(&[1.0, 2.0]), "Successful"),
        (
            "find(result, # > 1) == 2 && findIndex(result, # > 1) == 1",
            "",
            list(&[1.0, 2.0]),
            "Successful",
        ),
        (
            "findLast(result, # > 0) == 2 && findLastIndex(result, # > 9) == -1",
            "",
            list(&[1.0, 2.0]),
            "Successful",
        ),
        (
            "reduce(result, #acc + #, 0.0) == 3",
            "",
            list(&[1.0, 2.0]),
            "Successful",
        ),
        (
            "sortBy(result, -#)[0] == 2 and sort(result)[0] == 1",
            "",
            list(&[1.0, 2.0]),
            "Successful",
        ),
        ("map(result, # * 2)[1] == 4", "", list(&[1.0, 2.0]), "Successful"),
        (
            "all(result, {all(result, {# <= 2})})",
            "",
            list(&[1.0, 2.0]),
            "Successful",
        ),
        (
            "result[-1] == 2 && first(result) == 1 && last(result) == 2",
            "",
            list(&[1.0, 2.0]),
            "Successful",
        ),
        (
            "1 in result and not (3 in result) and 3 not in result",
            "",
            list(&[1.0, 2.0]),
            "Successful",
        ),
        ("result > 1 ? true : false", "", number(2.0), "Successful"),
        (
            "abs(result) == 2 and floor(2.5) == 2 and ceil(1.5) == 2 and round(1.6) == 2",
            "",
            number(-2.0),
            "Successful",
        ),
        ("string(result) matches `^0\\.9`", "", number(0.95), "Successful"),
        ("result > 1 // a comment", "", number(2.0), "Successful"),
    ]);
}

#[test]
fn missing_data_is_an_error_unless_the_expression_looks_for_it() {
    const EMPTY: &str = "Error: no data: the query returned an empty result (a condition that is to accept this tests for \
                         it: `len(result) == 0`)";
    const NAN: &str =
        "Error: no data: the query returned NaN (a condition that is to accept this tests for it: `isNaN(...)`)";
    const INF: &str = "Error: no data: the query returned an infinite number (a condition that is to accept this tests \
                       for it: `isInf(...)`)";
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    check(&[
        ("", "", list(&[]), EMPTY),
        ("", "", number(nan), NAN),
        ("", "", number(inf), INF),
        ("result[0] < 0.05", "", list(&[]), EMPTY),
        ("", "result[0] > 0.05", list(&[]), EMPTY),
        ("all(result, # < 1)", "", list(&[]), EMPTY),
        ("", "any(result, # > 1)", list(&[]), EMPTY),
        ("true", "", list(&[]), EMPTY),
        ("result[0] < 0.05", "", list(&[nan]), NAN),
        ("", "result[0] > 0.05", list(&[nan]), NAN),
        ("result >= 0.9", "result < 0.9", number(nan), NAN),
        ("not (result < 0.9)", "", number(nan), NAN),
        ("any(result, # > 0.9)", "", list(&[0.95, nan]), NAN),
        ("result[0] < 5", "", list(&[inf]), INF),
        ("result > 5", "", number(inf), INF),
        ("result < 5", "", number(-inf), INF),
        ("isNaN(result) || result > 5", "", number(inf), INF),
        // A test for one kind of missing data says nothing about the other.
        ("len(result) == 0 || result[0] < 0.05", "", list(&[nan]), NAN),
        ("", "len(result) > 0 && result[0] > 0.05", list(&[nan]), NAN),
        ("isNaN(result[0]) || result[0] < 1", "", list(&[]), EMPTY),
        // A test in a comment or in a text is none.
        ("result[0] < 1 /* len(result) */", "", list(&[]), EMPTY),
        ("'isNaN' != '' && not (result > 1)", "", number(nan), NAN),
        // Looked for: the expression decides.
        ("len(result) == 0 || result[0] < 0.05", "", list(&[]), "Successful"),
        ("len(result) > 0 && result[0] < 0.05", "", list(&[]), "Failed"),
        ("", "len(result) == 0 || result[0] > 0.05", list(&[]), "Failed"),
        ("default(result[0], 0) < 0.05", "", list(&[]), "Successful"),
        ("(result[0] ?? 1) < 0.05", "", list(&[]), "Failed"),
        ("result[0] == nil || result[0] < 0.05", "", list(&[]), "Successful"),
        ("isNil(result[0]) || result[0] < 0.05", "", list(&[]), "Successful"),
        ("result >= 0.9 || isNaN(result)", "", number(nan), "Successful"),
        ("result >= 0.9 && !isNaN(result)", "", number(nan), "Failed"),
        ("result >= 0.9", "isNaN(result)", number(nan), "Failed"),
        ("all(result, {isNaN(#) || # < 1})", "", list(&[0.5, nan]), "Successful"),
        ("isInf(result)", "", number(-inf), "Successful"),
        ("result < 5", "isInf(result)", number(inf), "Failed"),
    ]);
}

#[test]
fn what_cannot_be_evaluated_is_an_error_that_says_what_result_is() {
    check(&[
        (
            "result >= 0.95",
            "",
            list(&[1.0]),
            "Error: successCondition: Invalid operands for operator >= (`result` is a list of 1)",
        ),
        (
            "result[0] >= 0.95",
            "",
            number(1.0),
            "Error: successCondition: a number has no items (`result` is a number)",
        ),
        (
            "result[5] >= 0.95",
            "",
            list(&[1.0]),
            "Error: no data: the answer has no `result[5]` (a condition that is to accept this tests for it: \
             `isNil(result[5])`)",
        ),
        (
            "",
            "result[0]",
            list(&[1.5]),
            "Error: failureCondition: it must be true or false, but is 1.5",
        ),
        (
            "result",
            "",
            list(&[1.0]),
            "Error: successCondition: it must be true or false, but is a list of 1",
        ),
        (
            "isNaN(result)",
            "",
            list(&[1.0]),
            "Error: successCondition: isNaN() takes a number (`result` is a list of 1)",
        ),
        (
            "all(result, #)",
            "",
            list(&[1.0]),
            "Error: successCondition: a body must be true or false for each item (`result` is a list of 1)",
        ),
        (
            "all(result)",
            "",
            list(&[1.0]),
            "Error: successCondition: a body must be true or false for each item (`result` is a list of 1)",
        ),
        (
            "len(result, # > 1) == 0",
            "",
            list(&[1.0]),
            "invalid: successCondition: `#` or `.field` outside of the body of a function such as `all`: it is not available in \
             conditions",
        ),
        (
            "asInt('x') == 1",
            "",
            number(1.0),
            "Error: successCondition: asInt() takes an integer as text (`result` is a number)",
        ),
    ]);
}

fn problem(source: &str, expected: &Expect) {
    expected.assert_eq(&outcome(source, "", &number(1.0)));
}

#[test]
fn what_is_not_served_is_refused_by_name_before_it_runs() {
    problem(
        "results[0] > 1",
        &expect!["invalid: successCondition: unknown name `results`: the answer of the query is called `result`"],
    );
    problem(
        "let x = result; x > 1",
        &expect!["invalid: successCondition: `let` is not available in conditions"],
    );
    problem(
        "$env.result > 1",
        &expect!["invalid: successCondition: unknown name `$env`: the answer of the query is called `result`"],
    );
    problem(
        "repeat('x', 9) == ''",
        &expect!["invalid: successCondition: the function `repeat` is not available in conditions"],
    );
    problem(
        "now() > 1",
        &expect!["invalid: successCondition: the function `now` is not available in conditions"],
    );
    problem(
        "result.Year() > 1",
        &expect!["invalid: successCondition: the method `Year` is not available in conditions"],
    );
    problem(
        "sum(1..999999999) > 1",
        &expect!["invalid: successCondition: the range operator `..` is not available in conditions"],
    );
    problem(
        "{a: result}.a > 1",
        &expect!["invalid: successCondition: a map `{...}` is not available in conditions"],
    );
    problem(
        "any([1], {a: result})",
        &expect!["invalid: successCondition: a map `{...}` is not available in conditions"],
    );
    problem(
        "len({}) == 0",
        &expect!["invalid: successCondition: a map `{...}` is not available in conditions"],
    );
    problem(
        "'a' matches string(result)",
        &expect![
            "invalid: successCondition: it is too complex: at most 128 bytes in the pattern of `matches`, which is a string without `{`"
        ],
    );
    problem(
        "'a' matches 'a{1000}{1000}'",
        &expect![
            "invalid: successCondition: it is too complex: at most 128 bytes in the pattern of `matches`, which is a string without `{`"
        ],
    );
    problem(
        "nilmatches 'a'",
        &expect!["invalid: successCondition: unknown name `nilmatches`: the answer of the query is called `result`"],
    );
    problem(
        "1or2 == 3",
        &expect!["invalid: successCondition: syntax: `1or2` is not a number"],
    );
    problem(
        "result > 'x",
        &expect!["invalid: successCondition: syntax: a string has no end"],
    );
    problem(
        "result > 1 /*",
        &expect!["invalid: successCondition: syntax: a comment has no end"],
    );
    problem(
        "result >",
        &expect!["invalid: successCondition: syntax: something is missing at the end"],
    );
    problem(
        "result > 1)",
        &expect!["invalid: successCondition: syntax: not understood from line 1, column 11 on: `)`"],
    );
}

#[test]
fn both_conditions_are_checked_and_all_problems_are_reported() {
    assert_eq!(
        outcome("x > 1", "y > 1", &number(1.0)),
        "invalid: successCondition: unknown name `x`: the answer of the query is called `result`; failureCondition: \
         unknown name `y`: the answer of the query is called `result`"
    );
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it measures how long judging takes")]
fn limits_are_checked_before_anything_is_parsed() {
    for source in [
        "x".repeat(5000),
        format!("result > 1{}", " or result > 1".repeat(300)),
        format!("0{} > 1", "+1".repeat(40)),
        vec!["result"; 300].join(","),
        format!("{}result{} > 1", "(".repeat(2000), ")".repeat(2000)),
        format!("{}0{} > 1", "result[".repeat(500), "]".repeat(500)),
        "true ? ".repeat(500),
        "nil ?? ".repeat(500),
        "result?.".repeat(100),
    ] {
        let start = Instant::now();
        let outcome = outcome(&source, "", &number(1.0));
        assert!(
            outcome.contains("too complex") || outcome.contains("bytes long"),
            "{outcome}"
        );
        assert!(start.elapsed() < Duration::from_secs(1));
    }
}

/// The deepest and slowest that the limits let through, on half the stack of a worker thread and without optimisation.
#[test]
#[expect(clippy::disallowed_methods, reason = "it measures how long judging takes")]
fn the_worst_that_is_allowed_ends_soon_and_fits_the_stack() {
    let sources = [
        format!("0{} > 1", "+1".repeat(39)),
        format!("2{} > 1", "**1".repeat(39)),
        format!("result{} == nil", "[0]".repeat(39)),
        format!("result{} == nil", ".a".repeat(39)),
        format!("{}result > 1{}", "not(".repeat(12), ")".repeat(12)),
        format!("{}true{}", "all(result,{".repeat(6), "})".repeat(6)),
        format!("{}0{} > 0{}", "all(result,{".repeat(6), "+1".repeat(39), "})".repeat(6)),
        format!("{}0{} == nil", "result[".repeat(4), "]".repeat(4)),
        format!("{} == nil", ["result[result[result[result[0]]]]"; 8].join("+")),
        format!("{}result{}", "[".repeat(4), "]".repeat(4)),
        "all(result, {all(result, {all(result, {# >= 0})})})".to_owned(),
        "all(result, len(result) > 0 and sum(result) > 0 and len(concat(result, result)) > 0)".to_owned(),
        "reduce(result, string(#acc) + string(#acc), 'xxxxxxxxxxxxxxxxxxxxx') == ''".to_owned(),
        "reduce(result, [#acc, #acc], [1]) == []".to_owned(),
        "len(map(result, result)) > 0".to_owned(),
        format!("{}'\"'{} == ''", "toJSON(".repeat(12), ")".repeat(12)),
        format!("all(result, {}true)", "result == result and ".repeat(19)),
        format!("{}true{}", "true?".repeat(8), ":true".repeat(8)),
        "all(result, {'aaaaaaaaaaaaaaaaaaaaa' matches '(a|aa|aaa)*(a|aa|aaa)*(a|aa|aaa)*b'})".to_owned(),
        "all(result, {'a' matches '('})".to_owned(),
    ];
    let judge = move || {
        let most = Reading::Numbers((0..10_000).map(f64::from).collect());
        let outcomes = sources.iter().map(|source| {
            let start = Instant::now();
            let outcome = outcome(source, "", &most);
            assert!(
                !outcome.contains("at most"),
                "{source} does not reach evaluation: {outcome}"
            );
            assert!(
                start.elapsed() < Duration::from_secs(5),
                "{source}: {outcome} after {:?}",
                start.elapsed()
            );
            outcome
        });
        outcomes.collect::<Vec<_>>()
    };
    let outcomes = std::thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(judge)
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(
        outcomes[10],
        "Error: successCondition: it does too much work for this answer"
    );
}

fn word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "result",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        "#",
        "#acc",
        "0",
        "1.5",
        "1e9",
        "'a'",
        "\"b\"",
        "`c`",
        ",",
        ".",
        "?",
        ":",
        "??",
        "?.",
        "..",
        "+",
        "-",
        "*",
        "/",
        "%",
        "**",
        "^",
        "==",
        "!=",
        "<",
        ">=",
        "&&",
        "||",
        "and",
        "or",
        "not",
        "in",
        "matches",
        "contains",
        "nil",
        "true",
        "false",
        "if",
        "else",
        "let",
        ";",
        "|",
        "all(result,",
        "any(",
        "map(",
        "reduce(",
        "len(",
        "isNaN(",
        "isInf(",
        "isNil(",
        "default(",
        "asInt(",
        "asFloat(",
        "sum(",
        "get(",
        "split(",
        "sort(",
        "take(",
        "fromJSON(",
        "toJSON(",
        " ",
        "//",
        "/*",
        "*/",
        "b'x'",
        "\\",
        "9223372036854775807",
        "NaN",
        "é",
    ])
}

fn reading() -> impl Strategy<Value = Reading> {
    let number = prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), Just(0.0), Just(0.97)];
    prop_oneof![
        number.clone().prop_map(Reading::Number),
        prop::collection::vec(number, 0..5).prop_map(Reading::Numbers),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_text_makes_it_panic(source in ".{0,60}", reading in reading()) {
        let _ = outcome(&source, &source, &reading);
    }

    #[test]
    fn no_sequence_of_words_makes_it_panic(words in prop::collection::vec(word(), 0..24), reading in reading()) {
        let _ = outcome(&words.concat(), &words.join(" "), &reading);
    }

    #[test]
    fn missing_data_never_succeeds_without_a_test(words in prop::collection::vec(word(), 0..8), empty in any::<bool>()) {
        let source = words.join(" ");
        let reading = if empty { list(&[]) } else { number(f64::NAN) };
        let tests = if empty {
            ["len", "isNil", "default", "nil", "??"].iter().any(|word| source.contains(word))
        } else {
            source.contains("isNaN")
        };
        if !tests {
            let outcome = outcome(&source, "", &reading);
            prop_assert!(outcome.contains("no data") || outcome.starts_with("invalid"), "{source}: {outcome}");
        }
    }

    #[test]
    fn one_threshold_judges_as_plain_comparison_does(value in any::<f64>(), limit in -1e6..1e6_f64) {
        prop_assume!(value.is_finite());
        let expected = if value >= limit { "Successful" } else { "Failed" };
        prop_assert_eq!(outcome(&format!("result[0] >= {limit:.3}"), "", &list(&[value])), {
            let limit: f64 = format!("{limit:.3}").parse().expect("a number");
            if value >= limit { "Successful" } else { "Failed" }
        }, "{}", expected);
    }
}
