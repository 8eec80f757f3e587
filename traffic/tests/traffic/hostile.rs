//! Objects that are not what they should be.

use expect_test::{Expect, expect};
use serde_json::json;
use sluice_traffic::routers::http_route::{annotate, edit, observe};

use crate::common::{BOTH, PAIR, RECORD, config, moving, route, weights, yaml};

#[test]
fn an_unreadable_record_reads_as_none() {
    for text in [
        "",
        "{",
        "null",
        "[]",
        r#"{"at":"yesterday","to":{}}"#,
        r#"{"at":"2026-03-01T12:00:00Z"}"#,
        "\u{0}\u{1b}[31m",
    ] {
        let mut before = route(BOTH);
        before["metadata"]["annotations"] = json!({ RECORD: text });
        assert_eq!(
            observe(&config(&[]), &before, PAIR).expect("observes").moving,
            None,
            "{text:?}"
        );
    }
}

#[test]
fn what_is_not_an_http_route_is_a_problem_with_a_path() {
    let check = |what: &str, at: &str, value: &str, expected: Expect| {
        let mut object = route(BOTH);
        *object.pointer_mut(at).unwrap_or_else(|| panic!("{at}")) = yaml(value);
        let text = match observe(&config(&[]), &object, PAIR) {
            Ok(observed) => format!("{:?}", observed.managed),
            Err(problem) => {
                let edited = edit(
                    &config(&[]),
                    &object,
                    PAIR,
                    &weights("0/100"),
                    &moving("app-stable/a=1", &[]),
                );
                if problem.path != "spec.parentRefs" && problem.path != "spec.parentRefs[0]" {
                    assert_eq!(edited, Err(problem.clone()), "{what}");
                }
                problem.to_string()
            }
        };
        eprintln!("{what}");
        expected.assert_eq(&text);
    };
    check(
        "rules a text",
        "/spec/rules",
        "nope",
        expect!["HTTPRoute shop/app: spec.rules: is not a list"],
    );
    check(
        "rules an object",
        "/spec/rules",
        "{a: b}",
        expect!["HTTPRoute shop/app: spec.rules: is not a list"],
    );
    check(
        "rules null",
        "/spec/rules",
        "null",
        expect![
            "HTTPRoute shop/app: spec.rules: no rule has the Services `app-stable` (stable) and `app-canary` (canary) among its backendRefs; found no backends at all: name both in a rule, `app-canary` with weight 0"
        ],
    );
    check(
        "spec a list",
        "/spec",
        "[]",
        expect![
            "HTTPRoute shop/app: spec.rules: no rule has the Services `app-stable` (stable) and `app-canary` (canary) among its backendRefs; found no backends at all: name both in a rule, `app-canary` with weight 0"
        ],
    );
    check(
        "spec null",
        "/spec",
        "null",
        expect![
            "HTTPRoute shop/app: spec.rules: no rule has the Services `app-stable` (stable) and `app-canary` (canary) among its backendRefs; found no backends at all: name both in a rule, `app-canary` with weight 0"
        ],
    );
    check(
        "a rule a number",
        "/spec/rules/0",
        "3",
        expect!["HTTPRoute shop/app: spec.rules[0]: is not an object"],
    );
    check(
        "backendRefs an object",
        "/spec/rules/0/backendRefs",
        "{}",
        expect!["HTTPRoute shop/app: spec.rules[0].backendRefs: is not a list"],
    );
    check(
        "a backend a text",
        "/spec/rules/0/backendRefs/1",
        "app-canary",
        expect!["HTTPRoute shop/app: spec.rules[0].backendRefs[1]: is not an object"],
    );
    check(
        "a name a number",
        "/spec/rules/0/backendRefs/1/name",
        "7",
        expect!["HTTPRoute shop/app: spec.rules[0].backendRefs[1].name: is not a text"],
    );
    check(
        "no name",
        "/spec/rules/0/backendRefs/1",
        "{weight: 1}",
        expect!["HTTPRoute shop/app: spec.rules[0].backendRefs[1].name: is missing: name a Service"],
    );
    check(
        "a kind a list",
        "/spec/rules/0/backendRefs/0",
        "{name: a, kind: []}",
        expect!["HTTPRoute shop/app: spec.rules[0].backendRefs[0].kind: is not a text"],
    );
    check(
        "a weight a text",
        "/spec/rules/0/backendRefs/0/weight",
        "'95'",
        expect![[
            r#"HTTPRoute shop/app: spec.rules[0].backendRefs[0].weight: is "95": write a whole number from 0 to 1000000"#
        ]],
    );
    check(
        "a weight below 0",
        "/spec/rules/0/backendRefs/0/weight",
        "-1",
        expect![
            "HTTPRoute shop/app: spec.rules[0].backendRefs[0].weight: is -1: write a whole number from 0 to 1000000"
        ],
    );
    check(
        "a weight in halves",
        "/spec/rules/0/backendRefs/0/weight",
        "1.5",
        expect![
            "HTTPRoute shop/app: spec.rules[0].backendRefs[0].weight: is 1.5: write a whole number from 0 to 1000000"
        ],
    );
    check(
        "a weight too large",
        "/spec/rules/0/backendRefs/0/weight",
        "1000001",
        expect![
            "HTTPRoute shop/app: spec.rules[0].backendRefs[0].weight: is 1000001: write a whole number from 0 to 1000000"
        ],
    );
    check(
        "a weight beyond all numbers",
        "/spec/rules/0/backendRefs/0/weight",
        "18446744073709551615",
        expect![
            "HTTPRoute shop/app: spec.rules[0].backendRefs[0].weight: is 18446744073709551615: write a whole number from 0 to 1000000"
        ],
    );
    check(
        "a weight null is absent",
        "/spec/rules/0/backendRefs/0/weight",
        "null",
        expect![[r#"[Weights { by_service: {"app-canary": 5, "app-stable": 1} }]"#]],
    );
    check(
        "a rule's name a number",
        "/spec/rules/0",
        "{name: 5}",
        expect!["HTTPRoute shop/app: spec.rules[0].name: is not a text"],
    );
    check(
        "parentRefs a text",
        "/spec/parentRefs",
        "gw",
        expect!["HTTPRoute shop/app: spec.parentRefs: is not a list: list the Gateways of the route"],
    );
    check(
        "a parent without a name",
        "/spec/parentRefs/0",
        "{kind: Gateway}",
        expect!["HTTPRoute shop/app: spec.parentRefs[0]: is not a reference: it must have at least a name"],
    );
}

#[test]
fn an_edit_needs_the_resource_version_that_was_read() {
    for version in [json!(null), json!(""), json!(1001)] {
        let mut object = route(BOTH);
        object["metadata"]["resourceVersion"] = version;
        let record = moving("app-stable/a=1", &[]);
        let edited = edit(&config(&[]), &object, PAIR, &weights("50/50"), &record).expect_err("a problem");
        assert_eq!(edited.path, "metadata.resourceVersion");
        assert_eq!(
            annotate(&config(&[]), &object, PAIR, &record)
                .expect_err("a problem")
                .path,
            "metadata.resourceVersion"
        );
        assert_eq!(
            edit(&config(&[]), &object, PAIR, &weights("95/5"), &record),
            Ok(None),
            "nothing to write"
        );
    }
}

#[test]
fn a_split_that_names_a_third_service_is_refused() {
    let mut wanted = weights("90/5");
    wanted.by_service.insert("experiment".to_owned(), 5);
    let problem = edit(
        &config(&[]),
        &route(BOTH),
        PAIR,
        &wanted,
        &moving("app-stable/a=1", &[]),
    )
    .expect_err("a problem");
    expect!["HTTPRoute shop/app: spec.rules: the wanted split gives traffic to `experiment`, which is neither the stable nor the canary Service"].assert_eq(&problem.to_string());
    wanted.by_service.insert("experiment".to_owned(), 0);
    wanted.by_service.insert(PAIR.stable.to_owned(), 95);
    assert_eq!(
        edit(
            &config(&[]),
            &route(BOTH),
            PAIR,
            &wanted,
            &moving("app-stable/a=1", &[])
        ),
        Ok(None)
    );
}
