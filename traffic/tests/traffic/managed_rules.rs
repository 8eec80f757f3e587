//! Which rules of an HTTPRoute are managed, and what is observed in them.

use expect_test::{Expect, expect};

use crate::common::{BOTH, check_edit, check_observed};

#[test]
fn rules_with_both_services_are_managed_and_the_others_are_only_observed() {
    check_observed(
        "one rule",
        BOTH,
        &[],
        expect!["managed app-canary=5 app-stable=95; unmanaged "],
    );
    check_observed(
        "an absent weight is 1",
        "[{backendRefs: [{name: app-stable}, {name: app-canary, weight: 0}]}]",
        &[],
        expect!["managed app-canary=0 app-stable=1; unmanaged "],
    );
    check_observed(
        "several rules with the same pair, in the order of the object",
        "[{backendRefs: [{name: app-canary, weight: 5}, {name: app-stable, weight: 95}]},
          {backendRefs: [{name: app-stable, weight: 9}, {name: app-canary, weight: 1}]}]",
        &[],
        expect!["managed app-canary=5 app-stable=95 | app-canary=1 app-stable=9; unmanaged "],
    );
    check_observed(
        "a header rule with the canary alone",
        "[{matches: [{headers: [{name: x-canary, value: always}]}], backendRefs: [{name: app-canary}]},
          {backendRefs: [{name: app-stable}, {name: app-canary, weight: 0}]}]",
        &[],
        expect!["managed app-canary=0 app-stable=1; unmanaged app-canary=1"],
    );
    check_observed(
        "a rule with the stable Service and another one",
        "[{backendRefs: [{name: app-stable, weight: 3}, {name: login, weight: 1}]},
          {backendRefs: [{name: app-stable}, {name: app-canary, weight: 0}]}]",
        &[],
        expect!["managed app-canary=0 app-stable=1; unmanaged app-stable=3 login=1"],
    );
    check_observed(
        "rules without either are of no interest",
        "[{backendRefs: [{name: login}]}, {filters: [{type: RequestRedirect}]},
          {backendRefs: [{name: app-stable}, {name: app-canary, weight: 0}]}]",
        &[],
        expect!["managed app-canary=0 app-stable=1; unmanaged "],
    );
    check_observed(
        "other backends of a managed rule do not count",
        "[{backendRefs: [{name: app-stable, weight: 60}, {name: experiment, weight: 20}, {name: app-canary, weight: 20}]}]",
        &[],
        expect!["managed app-canary=20 app-stable=60; unmanaged "],
    );
    check_observed(
        "a mirror filter that names the canary is a filter",
        "[{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: app-canary, port: 80}}}],
           backendRefs: [{name: app-stable}]},
          {backendRefs: [{name: app-stable}, {name: app-canary, weight: 0}]}]",
        &[],
        expect!["managed app-canary=0 app-stable=1; unmanaged app-stable=1"],
    );
    check_observed(
        "no weight at all",
        "[{backendRefs: [{name: app-stable, weight: 0}, {name: app-canary, weight: 0}]}]",
        &[],
        expect!["managed app-canary=0 app-stable=0; unmanaged "],
    );
    check_observed(
        "a Service that stands twice is observed with its sum",
        "[{backendRefs: [{name: app-stable, weight: 6}, {name: app-canary, port: 80, weight: 1}, {name: app-canary, port: 81, weight: 3}]}]",
        &[],
        expect!["managed app-canary=4 app-stable=6; unmanaged "],
    );
    check_observed(
        "a pair without weight beside others has nothing to split",
        "[{backendRefs: [{name: app-stable, weight: 0}, {name: app-canary, weight: 0}, {name: other, weight: 5}]},
          {backendRefs: [{name: app-stable}, {name: app-canary, weight: 0}]}]",
        &[],
        expect!["managed app-canary=0 app-stable=1; unmanaged app-canary=0 app-stable=0 other=5"],
    );
}

#[test]
fn a_backend_is_one_of_the_pair_only_by_kind_group_and_namespace() {
    let rules = |backend: &str| {
        format!(
            "[{{backendRefs: [{{name: app-stable}}, {{name: app-canary, weight: 0}}, {backend}]}}, {{backendRefs: [{backend}]}}]"
        )
    };
    let check = |what: &str, backend: &str, expected: Expect| check_observed(what, &rules(backend), &[], expected);
    check(
        "written out",
        "{group: '', kind: Service, namespace: shop, name: app-canary, weight: 3}",
        expect!["managed app-canary=3 app-stable=1; unmanaged app-canary=3"],
    );
    check(
        "another namespace",
        "{namespace: web, name: app-canary, weight: 3}",
        expect!["managed app-canary=0 app-stable=1; unmanaged "],
    );
    check(
        "another kind",
        "{group: multicluster.x-k8s.io, kind: ServiceImport, name: app-canary}",
        expect!["managed app-canary=0 app-stable=1; unmanaged "],
    );
    check(
        "another group",
        "{group: example.com, kind: Service, name: app-stable}",
        expect!["managed app-canary=0 app-stable=1; unmanaged "],
    );
}

#[test]
fn named_rules_alone_are_managed() {
    let rules = "[{name: api, backendRefs: [{name: app-stable}, {name: app-canary, weight: 0}]},
                  {name: web, backendRefs: [{name: app-stable}, {name: app-canary, weight: 0}]},
                  {name: beta, backendRefs: [{name: app-canary}]},
                  {name: login, backendRefs: [{name: login}]},
                  {name: full, backendRefs: [{name: app-stable, weight: 0}, {name: app-canary, weight: 0}, {name: x}]},
                  {backendRefs: [{name: app-stable}, {name: app-canary, weight: 0}]}]";
    check_observed(
        "one of several",
        rules,
        &["web"],
        expect![
            "managed app-canary=0 app-stable=1; unmanaged app-canary=0 app-stable=1 | app-canary=1 | app-canary=0 app-stable=0 x=1 | app-canary=0 app-stable=1"
        ],
    );
    check_observed(
        "two, in the order of the object",
        rules,
        &["web", "api"],
        expect![
            "managed app-canary=0 app-stable=1 | app-canary=0 app-stable=1; unmanaged app-canary=1 | app-canary=0 app-stable=0 x=1 | app-canary=0 app-stable=1"
        ],
    );
    check_observed(
        "a name that is not there",
        rules,
        &["web", "nope"],
        expect![
            "HTTPRoute shop/app: spec.rules: no rule is named `nope`; there are `api`, `web`, `beta`, `login`, `full`: give that name to the rule that is meant"
        ],
    );
    check_observed(
        "a name with only the canary",
        rules,
        &["web", "beta"],
        expect![
            "HTTPRoute shop/app: spec.rules[2].backendRefs: has the canary Service `app-canary` and not the stable Service: add a backendRef `app-stable` with the weight that the two are to share"
        ],
    );
    check_observed(
        "a name with neither",
        rules,
        &["login"],
        expect![
            "HTTPRoute shop/app: spec.rules[3].backendRefs: has neither the stable Service `app-stable` nor the canary Service `app-canary`: add backendRefs for both, `app-canary` with weight 0"
        ],
    );
    check_observed(
        "a name with nothing to split",
        rules,
        &["full"],
        expect![
            "HTTPRoute shop/app: spec.rules[4].backendRefs: `app-stable` and `app-canary` both have weight 0 beside other backends, so that there is nothing to split: give `app-stable` the weight that the two are to share"
        ],
    );
    check_observed(
        "names where the rules have none",
        BOTH,
        &["web"],
        expect![
            "HTTPRoute shop/app: spec.rules: no rule is named `web`; its rules have no names: give that name to the rule that is meant"
        ],
    );
    check_edit(
        "the edit leaves the others alone",
        rules,
        &["web"],
        "75/25",
        expect!["- 0 | 75 25 | - | - | 0 0 - | - 0"],
    );
    check_edit(
        "raising needs every name",
        rules,
        &["web", "nope"],
        "75/25",
        expect![
            "HTTPRoute shop/app: spec.rules: no rule is named `nope`; there are `api`, `web`, `beta`, `login`, `full`: give that name to the rule that is meant"
        ],
    );
    let raised = rules.replace("{name: app-canary, weight: 0}", "{name: app-canary, weight: 7}");
    check_edit(
        "taking back does not",
        &raised,
        &["web", "nope", "beta"],
        "100/0",
        expect!["- 7 | 8 0 | - | - | 0 7 - | - 7"],
    );
    check_edit(
        "unless no rule is left",
        &raised,
        &["nope"],
        "100/0",
        expect![
            "HTTPRoute shop/app: spec.rules: no rule is named `nope`; there are `api`, `web`, `beta`, `login`, `full`: give that name to the rule that is meant"
        ],
    );
}

#[test]
fn a_route_without_a_rule_to_manage_says_what_is_missing() {
    let check = |what: &str, rules: &str, expected: Expect| check_observed(what, rules, &[], expected);
    check(
        "only stable",
        "[{backendRefs: [{name: login}]}, {backendRefs: [{name: app-stable}]}]",
        expect![
            "HTTPRoute shop/app: spec.rules[1].backendRefs: has the stable Service `app-stable` and not the canary Service: add a backendRef `app-canary` with weight 0"
        ],
    );
    check(
        "only canary",
        "[{backendRefs: [{name: app-canary}]}]",
        expect![
            "HTTPRoute shop/app: spec.rules[0].backendRefs: has the canary Service `app-canary` and not the stable Service: add a backendRef `app-stable` with the weight that the two are to share"
        ],
    );
    check(
        "both, in different rules",
        "[{backendRefs: [{name: app-canary}]}, {backendRefs: [{name: app-stable}]}]",
        expect![
            "HTTPRoute shop/app: spec.rules[1].backendRefs: has the stable Service `app-stable` and not the canary Service: add a backendRef `app-canary` with weight 0"
        ],
    );
    check(
        "others",
        "[{backendRefs: [{name: login}, {name: cart, namespace: web}]}]",
        expect![
            "HTTPRoute shop/app: spec.rules: no rule has the Services `app-stable` (stable) and `app-canary` (canary) among its backendRefs; found `login`, `web/cart`: name both in a rule, `app-canary` with weight 0"
        ],
    );
    check(
        "no backends",
        "[{filters: []}]",
        expect![
            "HTTPRoute shop/app: spec.rules: no rule has the Services `app-stable` (stable) and `app-canary` (canary) among its backendRefs; found no backends at all: name both in a rule, `app-canary` with weight 0"
        ],
    );
    check(
        "no rules",
        "[]",
        expect![
            "HTTPRoute shop/app: spec.rules: no rule has the Services `app-stable` (stable) and `app-canary` (canary) among its backendRefs; found no backends at all: name both in a rule, `app-canary` with weight 0"
        ],
    );
    check(
        "no weight beside others",
        "[{backendRefs: [{name: app-stable, weight: 0}, {name: app-canary, weight: 0}, {name: x}]}]",
        expect![
            "HTTPRoute shop/app: spec.rules[0].backendRefs: `app-stable` and `app-canary` both have weight 0 beside other backends, so that there is nothing to split: give `app-stable` the weight that the two are to share"
        ],
    );
}
