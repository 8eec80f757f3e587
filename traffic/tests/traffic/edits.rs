//! What an edit makes of the weights, and that it leaves everything else alone.

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use sluice_traffic::{
    Weights,
    routers::http_route::{annotate, edit, observe},
};

use crate::common::{BOTH, PAIR, RECORD, check_edit, config, merge, moving, route, weights, written, yaml};

#[test]
fn a_pair_that_is_alone_in_its_rule_keeps_its_sum_where_it_can() {
    let check = |what: &str, stable: &str, canary: &str, wanted: &str, expected: Expect| {
        let backend = |name: &str, weight: &str| {
            if weight == "-" {
                format!("{{name: {name}}}")
            } else {
                format!("{{name: {name}, weight: {weight}}}")
            }
        };
        let rules = format!(
            "[{{backendRefs: [{}, {}]}}]",
            backend("app-stable", stable),
            backend("app-canary", canary)
        );
        check_edit(what, &rules, &[], wanted, expected);
    };
    check("usual", "100", "0", "95/5", expect!["95 5"]);
    check("and back", "95", "5", "100/0", expect!["100 0"]);
    check("all of it", "95", "5", "0/100", expect!["0 100"]);
    check("turned around", "5", "95", "95/5", expect!["95 5"]);
    check("already so", "95", "5", "95/5", expect!["nothing to do"]);
    check(
        "already so with another sum",
        "19",
        "1",
        "95/5",
        expect!["nothing to do"],
    );
    check("already so and absent", "-", "-", "50/50", expect!["nothing to do"]);
    check(
        "already so with one absent",
        "-",
        "0",
        "100/0",
        expect!["nothing to do"],
    );
    check("absent weights become a sum of 100", "-", "-", "95/5", expect!["95 5"]);
    check("one absent", "-", "0", "75/25", expect!["75 25"]);
    check("an absent weight gets the whole sum", "1", "-", "0/100", expect!["0 2"]);
    check("a sum of 2 is enough for a half", "2", "0", "50/50", expect!["1 1"]);
    check("a sum of 1000 stays", "1000", "0", "95/5", expect!["950 50"]);
    check("a sum that does not divide", "7", "0", "95/5", expect!["95 5"]);
    check("shares finer than 100", "100", "0", "999/1", expect!["999 1"]);
    check("shares in thirds", "100", "0", "2/1", expect!["2 1"]);
    check("no weight at all", "0", "0", "100/0", expect!["100 0"]);
    check("the largest sum", "1000000", "0", "95/5", expect!["950000 50000"]);
    check(
        "a sum that one weight cannot hold",
        "1000000",
        "1000000",
        "100/0",
        expect!["100 0"],
    );
    check(
        "a split too fine for weights",
        "1",
        "0",
        "4000000000/1",
        expect![
            "HTTPRoute shop/app: spec.rules[0].backendRefs: the split 4000000000:1 of the 1 that stable and canary weigh together cannot be written in whole weights up to 1000000 that leave the other backends their shares: give them together a multiple of 4000000001"
        ],
    );
    check(
        "nobody",
        "1",
        "0",
        "0/0",
        expect![
            "HTTPRoute shop/app: spec.rules: the wanted split gives traffic to nobody: stable or canary must have some"
        ],
    );
}

#[test]
fn other_backends_keep_their_shares_exactly() {
    let check = |what: &str, weights: [&str; 3], wanted: &str, expected: Expect| {
        let [stable, canary, other] = weights;
        let rules = format!(
            "[{{backendRefs: [{{name: app-stable{stable}}}, {{name: app-canary{canary}}}, {{name: other{other}}}]}}]"
        );
        check_edit(what, &rules, &[], wanted, expected);
    };
    check(
        "nothing to scale",
        [", weight: 80", ", weight: 0", ", weight: 20"],
        "95/5",
        expect!["76 4 20"],
    );
    check(
        "all absent: a third stays a third",
        ["", "", ""],
        "95/5",
        expect!["19 - 10"],
    );
    check(
        "coarse pair",
        [", weight: 9", ", weight: 0", ", weight: 1"],
        "95/5",
        expect!["171 9 20"],
    );
    check(
        "scaled by no more than needed",
        [", weight: 30", ", weight: 0", ", weight: 70"],
        "75/25",
        expect!["45 15 140"],
    );
    check(
        "taking back never scales",
        [", weight: 6", ", weight: 1", ", weight: 13"],
        "100/0",
        expect!["7 0 13"],
    );
    check(
        "already so",
        [", weight: 19", ", weight: 1", ", weight: 3"],
        "95/5",
        expect!["nothing to do"],
    );
    check(
        "the other has no weight",
        ["", ", weight: 0", ", weight: 0"],
        "95/5",
        expect!["95 5 0"],
    );
    check(
        "huge with a common factor",
        [", weight: 500000", ", weight: 0", ", weight: 1000000"],
        "97/3",
        expect!["485000 15000 1000000"],
    );
    check(
        "too huge until the common factor is taken out",
        [", weight: 500010", ", weight: 0", ", weight: 500010"],
        "97/3",
        expect!["97 3 100"],
    );
    check(
        "huge without one",
        [", weight: 999983", ", weight: 0", ", weight: 1000000"],
        "97/3",
        expect![
            "HTTPRoute shop/app: spec.rules[0].backendRefs: the split 97:3 of the 999983 that stable and canary weigh together cannot be written in whole weights up to 1000000 that leave the other backends their shares: give them together a multiple of 100"
        ],
    );
}

#[test]
fn a_service_that_stands_twice_can_be_taken_back_and_not_raised() {
    let canary = "[{backendRefs: [{name: app-stable, weight: 6}, {name: app-canary, weight: 1}, {name: app-canary, port: 81, weight: 3}]}]";
    check_edit(
        "raising the canary",
        canary,
        &[],
        "50/50",
        expect![
            "HTTPRoute shop/app: spec.rules[0].backendRefs: the stable or the canary Service stands in it more than once, so that its share cannot be told apart: name each of the two once in a rule"
        ],
    );
    check_edit("already so", canary, &[], "60/40", expect!["nothing to do"]);
    check_edit("taking it back", canary, &[], "100/0", expect!["10 0 0"]);
    let stable = "[{backendRefs: [{name: app-stable, weight: 2}, {name: other, weight: 10}, {name: app-canary, weight: 4}, {name: app-stable, port: 81, weight: 4}]}]";
    check_edit(
        "raising beside two stable ones",
        stable,
        &[],
        "50/50",
        expect![
            "HTTPRoute shop/app: spec.rules[0].backendRefs: the stable or the canary Service stands in it more than once, so that its share cannot be told apart: name each of the two once in a rule"
        ],
    );
    check_edit(
        "what it had goes to the first",
        stable,
        &[],
        "100/0",
        expect!["6 10 0 4"],
    );
    let huge = "[{backendRefs: [{name: app-stable, weight: 900000}, {name: app-canary, weight: 900000}, {name: app-stable, port: 81, weight: 5}]}]";
    check_edit("more than one weight can hold", huge, &[], "100/0", expect!["100 0 0"]);
}

#[test]
fn several_rules_are_edited_in_one_patch_and_only_where_needed() {
    check_edit(
        "one is already so",
        "[{backendRefs: [{name: app-stable, weight: 19}, {name: app-canary, weight: 1}]},
          {backendRefs: [{name: app-stable, weight: 100}, {name: app-canary, weight: 0}]},
          {backendRefs: [{name: app-canary, weight: 7}]}]",
        &[],
        "95/5",
        expect!["19 1 | 95 5 | 7"],
    );
}

#[test]
fn everything_else_of_a_route_survives_an_edit() {
    let mut before = route(
        "[{name: api, sessionPersistence: {sessionName: s}, timeouts: {request: 10s}, retry: {attempts: 2, codes: [503]},
           matches: [{path: {type: PathPrefix, value: /api}, headers: [{name: x, type: RegularExpression, value: '^a.*'}]}],
           filters: [{type: RequestMirror, requestMirror: {backendRef: {name: app-canary, port: 80}, percent: 10}},
                     {type: ExtensionRef, extensionRef: {group: x.io, kind: F, name: f}}],
           backendRefs: [{name: app-stable, port: 80, weight: 100, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: v, value: s}]}}]},
                         {name: app-canary, port: 80, weight: 0, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: v, value: c}]}}], future: {a: [1, {b: true}]}}],
           futureField: [1, 2.5, deep, {x: y}]},
          {matches: [{headers: [{name: x-canary, value: always}]}], backendRefs: [{name: app-canary, port: 80}]}]",
    );
    before["metadata"]["annotations"] = json!({"team": "shop", "moving.sluice.dev/web-canary": "theirs"});
    before["metadata"]["labels"] = json!({"app": "shop"});
    before["status"] = yaml("{parents: []}");
    let record = moving("app-stable/a=95 app-canary/b=5", &["app-stable/a=100"]);
    let patch = edit(&config(&[]), &before, PAIR, &weights("95/5"), &record)
        .expect("edits")
        .expect("a patch");
    let keys = |value: &Value| {
        value
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&patch), ["metadata", "spec"]);
    assert_eq!(keys(&patch["spec"]), ["rules"]);
    assert_eq!(keys(&patch["metadata"]["annotations"]), [RECORD]);
    let after = merge(&before, &patch);
    let mut expected = before.clone();
    expected["spec"]["rules"][0]["backendRefs"][0]["weight"] = json!(95);
    expected["spec"]["rules"][0]["backendRefs"][1]["weight"] = json!(5);
    let text = r#"{"at":"2026-03-01T12:00:00Z","to":{"total":100,"parts":{"app-canary/b":5,"app-stable/a":95}},"from":[{"total":100,"parts":{"app-stable/a":100}}]}"#;
    expected["metadata"]["annotations"][RECORD] = json!(text);
    assert_eq!(after, expected);
    assert_eq!(
        observe(&config(&[]), &after, PAIR).expect("observes").moving,
        Some(record)
    );
}

#[test]
fn a_record_alone_is_written_without_touching_the_rules() {
    let before = route(BOTH);
    let record = moving("app-stable/a=95 app-canary/b=5", &[]);
    let patch = annotate(&config(&[]), &before, PAIR, &record)
        .expect("annotates")
        .expect("a patch");
    assert_eq!(patch.get("spec"), None);
    assert_eq!(patch["metadata"]["resourceVersion"], "1001");
    let after = merge(&before, &patch);
    assert_eq!(
        observe(&config(&[]), &after, PAIR).expect("observes").moving,
        Some(record.clone())
    );
    assert_eq!(
        annotate(&config(&[]), &after, PAIR, &record),
        Ok(None),
        "the same record is there already"
    );
    assert_eq!(
        edit(
            &config(&[]),
            &after,
            PAIR,
            &weights("95/5"),
            &moving("app-stable/a=1", &[])
        ),
        Ok(None)
    );
}

#[test]
fn two_rollouts_on_one_route_keep_their_own_records() {
    let theirs = sluice_traffic::Pair {
        stable: "web-stable",
        canary: "web-canary",
    };
    let before = route(
        "[{backendRefs: [{name: app-stable, weight: 100}, {name: app-canary, weight: 0}]},
          {backendRefs: [{name: web-stable, weight: 100}, {name: web-canary, weight: 0}]}]",
    );
    let (ours, other) = (
        moving("app-stable/a=95 app-canary/b=5", &[]),
        moving("web-stable/x=1", &["web-stable/y=1"]),
    );
    let patch = edit(&config(&[]), &before, PAIR, &weights("95/5"), &ours)
        .expect("edits")
        .expect("a patch");
    let between = merge(&before, &patch);
    let half = Weights {
        by_service: [("web-stable".to_owned(), 1), ("web-canary".to_owned(), 1)].into(),
    };
    let patch = edit(&config(&[]), &between, theirs, &half, &other)
        .expect("edits")
        .expect("a patch");
    let after = merge(&between, &patch);
    assert_eq!(written(&after), "95 5 | 50 50");
    assert_eq!(
        observe(&config(&[]), &after, PAIR).expect("observes").moving,
        Some(ours)
    );
    assert_eq!(
        observe(&config(&[]), &after, theirs).expect("observes").moving,
        Some(other.clone())
    );
    let swapped = sluice_traffic::Pair {
        stable: "web-canary",
        canary: "web-stable",
    };
    assert_eq!(
        observe(&config(&[]), &after, swapped).expect("observes").moving,
        Some(other),
        "roles may change"
    );
}
