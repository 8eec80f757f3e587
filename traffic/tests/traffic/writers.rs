//! Who wrote the rules or the selector, and when.

use expect_test::{Expect, expect};
use serde_json::Value;
use sluice_traffic::routers::{http_route, service};

use crate::common::{BOTH, PAIR, config, route, yaml};

fn check(what: &str, fields: &str, expected: Expect) {
    let mut object = route(BOTH);
    object["metadata"]["managedFields"] = yaml(fields);
    let manager = http_route::observe(&config(&[]), &object, PAIR)
        .expect("observes")
        .foreign_manager;
    let at = http_route::last_write(&object).map(|at| at.to_string());
    eprintln!("{what}");
    expected.assert_eq(&format!(
        "{} at {}",
        manager.as_deref().unwrap_or("-"),
        at.as_deref().unwrap_or("-")
    ));
}

fn write(manager: &str, minute: u32, fields: &str) -> String {
    format!("{{manager: {manager}, operation: Update, time: '2026-03-01T12:{minute:02}:00Z', fieldsV1: {fields}}}")
}

const RULES: &str = "{'f:spec': {'f:rules': {}}}";

#[test]
fn the_newest_writer_of_the_rules_that_is_not_us_is_named() {
    let list = |entries: &[String]| format!("[{}]", entries.join(", "));
    check("nobody", "[]", expect!["- at -"]);
    check(
        "one",
        &list(&[write("kubectl", 1, RULES)]),
        expect!["kubectl at 2026-03-01T12:01:00Z"],
    );
    check(
        "the newest",
        &list(&[write("argocd", 5, RULES), write("kubectl", 1, RULES)]),
        expect!["argocd at 2026-03-01T12:05:00Z"],
    );
    check(
        "of the same second the last",
        &list(&[write("a", 5, RULES), write("b", 5, RULES)]),
        expect!["b at 2026-03-01T12:05:00Z"],
    );
    check(
        "we alone",
        &list(&[write("sluice-controller", 1, RULES)]),
        expect!["- at 2026-03-01T12:01:00Z"],
    );
    check(
        "we, under a longer name",
        &list(&[write("sluice-controller-canary", 1, RULES)]),
        expect!["- at 2026-03-01T12:01:00Z"],
    );
    check(
        "we are newer",
        &list(&[write("kubectl", 1, RULES), write("sluice-controller", 7, RULES)]),
        expect!["kubectl at 2026-03-01T12:07:00Z"],
    );
    check(
        "other fields of the spec",
        &list(&[write("cert", 1, "{'f:spec': {'f:hostnames': {}}}")]),
        expect!["- at -"],
    );
    check(
        "the whole spec",
        &list(&[write("tool", 1, "{'f:spec': {}}")]),
        expect!["tool at 2026-03-01T12:01:00Z"],
    );
    check(
        "metadata only",
        &list(&[write("tool", 1, "{'f:metadata': {'f:labels': {}}}")]),
        expect!["- at -"],
    );
    check(
        "beside other fields",
        &list(&[write(
            "tool",
            1,
            "{'f:metadata': {}, 'f:spec': {'f:hostnames': {}, 'f:rules': {}}}",
        )]),
        expect!["tool at 2026-03-01T12:01:00Z"],
    );
    check(
        "the status subresource",
        "[{manager: gw, operation: Update, subresource: status, time: '2026-03-01T12:00:00Z', fieldsV1: {'f:spec': {'f:rules': {}}}}]",
        expect!["- at -"],
    );
    check(
        "applied",
        "[{manager: argocd, operation: Apply, time: '2026-03-01T12:00:00Z', fieldsV1: {'f:spec': {'f:rules': {}}}}]",
        expect!["argocd at 2026-03-01T12:00:00Z"],
    );
    check(
        "an operation that is none",
        "[{manager: x, operation: Guess, fieldsV1: {'f:spec': {}}}]",
        expect!["- at -"],
    );
    check(
        "no time",
        "[{manager: x, operation: Update, fieldsV1: {'f:spec': {}}}]",
        expect!["x at -"],
    );
    check(
        "no time is older than any",
        &list(&[
            write("dated", 1, RULES),
            "{manager: undated, operation: Update, fieldsV1: {'f:spec': {}}}".to_owned(),
        ]),
        expect!["dated at 2026-03-01T12:01:00Z"],
    );
    check(
        "no manager",
        "[{operation: Update, fieldsV1: {'f:spec': {}}}]",
        expect!["- at -"],
    );
    check("not a list", "{a: b}", expect!["- at -"]);
    check(
        "entries that are none",
        "[3, null, {fieldsV1: []}, {manager: x, operation: Update, fieldsV1: {'f:spec': 3}}]",
        expect!["- at -"],
    );
}

#[test]
fn a_selector_has_writers_too() {
    let mut object = yaml("{metadata: {name: app}, spec: {selector: {app: a}}}");
    assert_eq!(
        (service::observe(&object).foreign_manager, service::last_write(&object)),
        (None, None)
    );
    let selector = "{'f:spec': {'f:selector': {}}}";
    let fields = [
        write("kubectl", 3, selector),
        write("ports", 9, "{'f:spec': {'f:ports': {}}}"),
        write("sluice-controller", 5, selector),
    ];
    object["metadata"]["managedFields"] = yaml(&format!("[{}]", fields.join(", ")));
    assert_eq!(service::observe(&object).foreign_manager.as_deref(), Some("kubectl"));
    assert_eq!(
        service::last_write(&object).map(|at| at.to_string()).as_deref(),
        Some("2026-03-01T12:05:00Z")
    );
    assert_eq!(service::last_write(&Value::Null), None);
}
