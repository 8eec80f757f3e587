//! When a route counts as taken over by the controllers behind it.

use expect_test::{Expect, expect};
use sluice_traffic::{Acknowledgement, routers::http_route::observe};

use crate::common::{BOTH, PAIR, config, route, yaml};

/// What is read of a route at generation 4 with these parentRefs and this `status.parents` (both YAML; `-` for no status).
fn check(what: &str, parent_refs: &str, parents: &str, expected: Expect) {
    let mut object = route(BOTH);
    object["spec"]["parentRefs"] = yaml(parent_refs);
    if parents != "-" {
        object["status"]["parents"] = yaml(parents);
    }
    let text = match observe(&config(&[]), &object, PAIR).expect("observes").acknowledgement {
        Acknowledgement::Acknowledged => "acknowledged".to_owned(),
        Acknowledgement::Pending(text) => format!("pending: {text}"),
        Acknowledgement::Refused(text) => format!("refused: {text}"),
    };
    eprintln!("{what}");
    expected.assert_eq(&text);
}

/// An entry of `status.parents` of this controller with Accepted and ResolvedRefs as `status@generation`.
fn entry(parent: &str, controller: &str, accepted: &str, resolved: &str) -> String {
    let condition = |kind: &str, text: &str| {
        let (status, generation) = text.split_once('@').expect("status@generation");
        format!("{{type: {kind}, status: '{status}', reason: Because, observedGeneration: {generation}}}")
    };
    let conditions = [condition("Accepted", accepted), condition("ResolvedRefs", resolved)].join(", ");
    format!("{{parentRef: {parent}, controllerName: {controller}, conditions: [{conditions}]}}")
}

fn good(parent: &str) -> String {
    entry(parent, "x.io/gw", "True@4", "True@4")
}

#[test]
fn every_parent_must_have_taken_over_this_generation() {
    let gw = "{name: gw}";
    let one = |accepted: &str, resolved: &str| format!("[{}]", entry(gw, "x.io/gw", accepted, resolved));
    check(
        "both at this generation",
        "[{name: gw}]",
        &one("True@4", "True@4"),
        expect!["acknowledged"],
    );
    check(
        "a newer generation than the one read",
        "[{name: gw}]",
        &one("True@5", "True@5"),
        expect!["acknowledged"],
    );
    check(
        "an older one",
        "[{name: gw}]",
        &one("True@3", "True@3"),
        expect!["pending: Gateway shop/gw: x.io/gw has seen generation 3 and not yet 4 (Accepted)"],
    );
    check(
        "one of the two older",
        "[{name: gw}]",
        &one("True@4", "True@3"),
        expect!["pending: Gateway shop/gw: x.io/gw has seen generation 3 and not yet 4 (ResolvedRefs)"],
    );
    check(
        "unknown",
        "[{name: gw}]",
        &one("Unknown@4", "True@4"),
        expect!["pending: Gateway shop/gw: x.io/gw says Accepted=Unknown (Because)"],
    );
    check(
        "no status yet",
        "[{name: gw}]",
        "-",
        expect!["pending: Gateway shop/gw: no controller has reported on the route yet"],
    );
    check(
        "status without parents",
        "[{name: gw}]",
        "[]",
        expect!["pending: Gateway shop/gw: no controller has reported on the route yet"],
    );
    check(
        "no parentRefs",
        "[]",
        "-",
        expect!["refused: the route has no parentRefs: name the Gateway that is to serve it"],
    );
    check(
        "parentRefs null",
        "null",
        "-",
        expect!["refused: the route has no parentRefs: name the Gateway that is to serve it"],
    );
    check(
        "a condition is missing",
        "[{name: gw}]",
        "[{parentRef: {name: gw}, controllerName: x.io/gw, conditions: [{type: Accepted, status: 'True', observedGeneration: 4}]}]",
        expect!["pending: Gateway shop/gw: x.io/gw has not said ResolvedRefs yet"],
    );
    check(
        "a condition without a generation",
        "[{name: gw}]",
        "[{parentRef: {name: gw}, controllerName: x.io/gw, conditions: [{type: Accepted, status: 'True'}, {type: ResolvedRefs, status: 'True'}]}]",
        expect!["pending: Gateway shop/gw: x.io/gw has seen no generation and not yet 4 (Accepted)"],
    );
    check(
        "two parents",
        "[{name: gw}, {name: edge}]",
        &format!("[{}, {}]", good("{name: edge}"), good(gw)),
        expect!["acknowledged"],
    );
    check(
        "one of two parents",
        "[{name: gw}, {name: edge}]",
        &format!("[{}]", good(gw)),
        expect!["pending: Gateway shop/edge: no controller has reported on the route yet"],
    );
    check(
        "none of two parents",
        "[{name: gw}, {name: edge}]",
        "[]",
        expect![
            "pending: Gateway shop/gw: no controller has reported on the route yet; Gateway shop/edge: no controller has reported on the route yet"
        ],
    );
}

#[test]
fn a_parent_is_known_by_all_its_fields_with_their_defaults() {
    let check = |what: &str, spec: &str, status: &str, expected: Expect| {
        check(what, &format!("[{spec}]"), &format!("[{}]", good(status)), expected);
    };
    check(
        "written out in the status",
        "{name: gw}",
        "{group: gateway.networking.k8s.io, kind: Gateway, namespace: shop, name: gw}",
        expect!["acknowledged"],
    );
    check(
        "another namespace",
        "{name: gw, namespace: infra}",
        "{name: gw}",
        expect!["pending: Gateway infra/gw: no controller has reported on the route yet"],
    );
    check(
        "another name",
        "{name: gw}",
        "{name: old}",
        expect!["pending: Gateway shop/gw: no controller has reported on the route yet"],
    );
    check(
        "the section",
        "{name: gw, sectionName: https}",
        "{name: gw, sectionName: https}",
        expect!["acknowledged"],
    );
    check(
        "another section",
        "{name: gw, sectionName: https}",
        "{name: gw, sectionName: http}",
        expect!["pending: Gateway shop/gw section https: no controller has reported on the route yet"],
    );
    check(
        "a section that the spec does not name",
        "{name: gw}",
        "{name: gw, sectionName: http}",
        expect!["pending: Gateway shop/gw: no controller has reported on the route yet"],
    );
    check(
        "the port",
        "{name: gw, port: 8443}",
        "{name: gw, port: 8443}",
        expect!["acknowledged"],
    );
    check(
        "another port",
        "{name: gw, port: 8443}",
        "{name: gw, port: 8080}",
        expect!["pending: Gateway shop/gw port 8443: no controller has reported on the route yet"],
    );
    check(
        "a mesh parent",
        "{group: '', kind: Service, name: app}",
        "{group: '', kind: Service, name: app}",
        expect!["acknowledged"],
    );
    check(
        "another kind",
        "{group: '', kind: Service, name: gw}",
        "{name: gw}",
        expect!["pending: Service shop/gw: no controller has reported on the route yet"],
    );
}

#[test]
fn a_refusal_at_this_generation_says_what_to_mend() {
    let condition = |kind: &str, status: &str, reason: &str, message: &str, generation: u32| {
        format!(
            "{{type: {kind}, status: '{status}', reason: {reason}, message: '{message}', observedGeneration: {generation}}}"
        )
    };
    let check = |what: &str, conditions: &[String], expected: Expect| {
        let parents = format!(
            "[{{parentRef: {{name: gw}}, controllerName: x.io/gw, conditions: [{}]}}]",
            conditions.join(", ")
        );
        check(what, "[{name: gw}]", &parents, expected);
    };
    let accepted = condition("Accepted", "True", "Accepted", "", 4);
    let resolved = condition("ResolvedRefs", "True", "ResolvedRefs", "", 4);
    let refs = |reason: &str, message: &str| condition("ResolvedRefs", "False", reason, message, 4);
    check(
        "ReferenceGrant missing",
        &[accepted.clone(), refs("RefNotPermitted", "cart/web")],
        expect![
            "refused: Gateway shop/gw: x.io/gw says ResolvedRefs=False (RefNotPermitted): a backend is in another namespace and no ReferenceGrant there lets this route name it; create one: cart/web"
        ],
    );
    check(
        "no such Service",
        &[
            accepted.clone(),
            refs("BackendNotFound", "Service app-canary not found"),
        ],
        expect![
            "refused: Gateway shop/gw: x.io/gw says ResolvedRefs=False (BackendNotFound): a Service that the route names does not exist: Service app-canary not found"
        ],
    );
    check(
        "no such kind",
        &[accepted.clone(), refs("InvalidKind", "")],
        expect![
            "refused: Gateway shop/gw: x.io/gw says ResolvedRefs=False (InvalidKind): a backend is of a kind that this Gateway does not serve"
        ],
    );
    check(
        "a reason of its own",
        &[accepted.clone(), refs("Whatever", "because")],
        expect!["refused: Gateway shop/gw: x.io/gw says ResolvedRefs=False (Whatever): because"],
    );
    check(
        "not accepted",
        &[
            condition("Accepted", "False", "NotAllowedByListeners", "no", 4),
            resolved.clone(),
        ],
        expect![
            "refused: Gateway shop/gw: x.io/gw says Accepted=False (NotAllowedByListeners): the listeners of the Gateway do not allow routes of this namespace or kind: no"
        ],
    );
    check(
        "not accepted and nothing else said",
        &[condition("Accepted", "False", "NoMatchingParent", "", 4)],
        expect![
            "refused: Gateway shop/gw: x.io/gw says Accepted=False (NoMatchingParent): the parent has no listener with that port and section"
        ],
    );
    check(
        "a refusal of an older generation is none",
        &[
            condition("Accepted", "False", "NotAllowedByListeners", "no", 3),
            resolved.clone(),
        ],
        expect!["pending: Gateway shop/gw: x.io/gw has seen generation 3 and not yet 4 (Accepted)"],
    );
    check(
        "partly invalid: the data plane may keep the rule as it was",
        &[
            accepted.clone(),
            resolved.clone(),
            condition("PartiallyInvalid", "True", "UnsupportedValue", "dropped rule 2", 4),
        ],
        expect!["refused: Gateway shop/gw: x.io/gw says PartiallyInvalid=True (UnsupportedValue): dropped rule 2"],
    );
    check(
        "no longer partly invalid",
        &[
            accepted.clone(),
            resolved.clone(),
            condition("PartiallyInvalid", "False", "Fine", "", 4),
        ],
        expect!["acknowledged"],
    );
    check(
        "conditions of its own do not count",
        &[
            accepted.clone(),
            resolved,
            condition("BackendsAvailable", "False", "EndpointsNotFound", "none", 4),
        ],
        expect!["acknowledged"],
    );
    check(
        "a long text is cut",
        &[accepted, refs("Whatever", &"x".repeat(1000))],
        expect![
            "refused: Gateway shop/gw: x.io/gw says ResolvedRefs=False (Whatever): xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…"
        ],
    );
}

#[test]
fn entries_of_controllers_that_are_gone_do_not_count() {
    let gw = "{name: gw}";
    let check = |what: &str, entries: &[String], expected: Expect| {
        check(what, "[{name: gw}]", &format!("[{}]", entries.join(", ")), expected);
    };
    let dead = entry(gw, "dead.io/gw", "True@3", "True@3");
    let refusing = |generation: &str| {
        entry(
            gw,
            "no.io/gw",
            &format!("False@{generation}"),
            &format!("True@{generation}"),
        )
    };
    check(
        "the other one is content",
        &[dead.clone(), good(gw)],
        expect!["acknowledged"],
    );
    check(
        "the other one is content, in the other order",
        &[good(gw), dead.clone()],
        expect!["acknowledged"],
    );
    check(
        "the other one refuses",
        &[dead.clone(), refusing("4")],
        expect!["refused: Gateway shop/gw: no.io/gw says Accepted=False (Because)"],
    );
    check(
        "the other one has refused before",
        &[dead.clone(), refusing("3")],
        expect!["pending: Gateway shop/gw: dead.io/gw has seen generation 3 and not yet 4 (Accepted)"],
    );
    check(
        "two refuse: the first is told",
        &[refusing("4"), entry(gw, "also.io/gw", "True@4", "False@4")],
        expect!["refused: Gateway shop/gw: no.io/gw says Accepted=False (Because)"],
    );
    check(
        "one refuses and one is content",
        &[refusing("4"), good(gw)],
        expect!["acknowledged"],
    );
    check(
        "only the dead one",
        &[dead],
        expect!["pending: Gateway shop/gw: dead.io/gw has seen generation 3 and not yet 4 (Accepted)"],
    );
    check(
        "an entry of a parent that is no longer named",
        &[good(gw), entry("{name: old}", "x.io/gw", "False@4", "False@4")],
        expect!["acknowledged"],
    );
}

#[test]
fn a_status_that_cannot_be_read_is_pending() {
    let check = |what: &str, parents: &str, expected: Expect| check(what, "[{name: gw}]", parents, expected);
    check(
        "a text",
        "nope",
        expect!["pending: Gateway shop/gw: no controller has reported on the route yet"],
    );
    check(
        "an entry a number",
        "[3]",
        expect!["pending: Gateway shop/gw: no controller has reported on the route yet"],
    );
    check(
        "an entry without a parent",
        "[{controllerName: x.io/gw}]",
        expect!["pending: Gateway shop/gw: no controller has reported on the route yet"],
    );
    check(
        "conditions an object",
        "[{parentRef: {name: gw}, conditions: {}}]",
        expect!["pending: Gateway shop/gw: a controller without a name has not said Accepted yet"],
    );
    check(
        "control characters",
        r#"[{parentRef: {name: gw}, controllerName: "x\u001b[31m", conditions: [{type: Accepted, status: "False", reason: "a\nb", message: "c\u0000d", observedGeneration: 4}]}]"#,
        expect!["refused: Gateway shop/gw: x [31m says Accepted=False (a b): c d"],
    );
    check(
        "conditions that are none",
        "[{parentRef: {name: gw}, controllerName: x.io/gw, conditions: [3, {type: Accepted}, {type: [], status: {}}]}]",
        expect!["pending: Gateway shop/gw: x.io/gw has not said Accepted yet"],
    );
}
