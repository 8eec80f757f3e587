//! Routes that steps add before the user's own.

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use sluice_traffic::{
    ManagedRoute, managed_routes_annotation,
    routers::{http_route, virtual_service},
};

use crate::common::{PAIR, RECORD, merge, moving, route, weights, written, yaml};
use crate::virtual_service::object;

/// The managed routes after these steps (YAML), of `beta` and `shadow`.
pub fn after(steps: &str) -> Vec<ManagedRoute> {
    ManagedRoute::after(yaml(steps).as_array().expect("steps"), &names()).expect("good steps")
}

pub fn names() -> Vec<String> {
    vec!["beta".to_owned(), "shadow".to_owned()]
}

pub fn gateway(rules: &[&str]) -> http_route::Config {
    http_route::Config {
        managed_routes: names(),
        ..crate::common::config(rules)
    }
}

pub fn istio() -> virtual_service::Config {
    virtual_service::Config {
        managed_routes: names(),
        ..crate::virtual_service::config()
    }
}

const HEADER: &str = "[{setHeaderRoute: {name: beta, match: [{headerName: X-Beta, headerValue: {exact: 'yes'}}]}}]";
const MIRROR: &str =
    "[{setMirrorRoute: {name: shadow, percentage: 35, match: [{method: {exact: GET}, path: {prefix: /cart}}]}}]";
const BOTH: &str = "[{setMirrorRoute: {name: shadow, percentage: 35, match: [{path: {prefix: /cart}}]}},
                     {setHeaderRoute: {name: beta, match: [{headerName: X-Beta, headerValue: {exact: 'yes'}}]}}]";

fn set_gateway(config: &http_route::Config, object: &Value, wanted: &[ManagedRoute]) -> Value {
    let record = moving("app-stable/a=1", &[]);
    let edited = http_route::edit_managed_routes(config, object, PAIR, wanted, &record);
    let Some(patch) = edited.expect("edits") else {
        return object.clone();
    };
    let after = merge(object, &patch);
    let again = http_route::edit_managed_routes(config, &after, PAIR, wanted, &record);
    assert_eq!(again, Ok(None), "a second edit has nothing to do");
    after
}

fn set_istio(object: &Value, wanted: &[ManagedRoute]) -> Value {
    let record = moving("app-stable/a=1", &[]);
    let edited = virtual_service::edit_managed_routes(&istio(), object, PAIR, wanted, &record);
    let Some(patch) = edited.expect("edits") else {
        return object.clone();
    };
    let after = merge(object, &patch);
    let again = virtual_service::edit_managed_routes(&istio(), &after, PAIR, wanted, &record);
    assert_eq!(again, Ok(None), "a second edit has nothing to do");
    after
}

#[test]
fn steps_add_replace_and_take_away_routes() {
    let check = |what: &str, steps: &str, expected: Expect| {
        let steps = yaml(steps);
        let text = match ManagedRoute::after(steps.as_array().expect("steps"), &names()) {
            Ok(routes) => {
                let one = |route: &ManagedRoute| serde_json::to_string(route).expect("JSON");
                routes.iter().map(one).collect::<Vec<_>>().join("\n")
            }
            Err(problems) => problems
                .iter()
                .map(|(path, text)| format!("{path} {text}"))
                .collect::<Vec<_>>()
                .join("\n"),
        };
        eprintln!("{what}");
        expected.assert_eq(&text);
    };
    check("nothing", "[{setWeight: 5}, {pause: {}}]", expect![""]);
    check(
        "in the order of managedRoutes",
        BOTH,
        expect![[r#"
            {"name":"beta","kind":{"Header":{"matches":[{"name":"X-Beta","value":{"Exact":"yes"}}]}}}
            {"name":"shadow","kind":{"Mirror":{"matches":[{"method":null,"path":{"Prefix":"/cart"},"headers":[]}],"percentage":35}}}"#]],
    );
    check(
        "replaced",
        "[{setHeaderRoute: {name: beta, match: [{headerName: a, headerValue: {regex: b}}]}},
          {setHeaderRoute: {name: beta, match: [{headerName: c, headerValue: {prefix: d, exact: ''}}]}}]",
        expect![[r#"{"name":"beta","kind":{"Header":{"matches":[{"name":"c","value":{"Prefix":"d"}}]}}}"#]],
    );
    check(
        "taken away",
        "[{setHeaderRoute: {name: beta, match: [{headerName: a, headerValue: {regex: b}}]}}, {setHeaderRoute: {name: beta}},
          {setMirrorRoute: {name: shadow, match: [{}]}}, {setMirrorRoute: {name: shadow, match: []}}]",
        expect![""],
    );
    check(
        "all problems at once",
        "[{setHeaderRoute: {name: gamma, match: [{headerName: a, headerValue: {regex: b, exact: c}}, {headerValue: {}}]}},
          {setMirrorRoute: {name: shadow, percentage: 101, match: [{method: {}, headers: {h: {}}}]}}]",
        expect![[r#"
            [0].setHeaderRoute.match[0].headerValue StringMatch match value must have exactly one of the following: exact, regex, prefix
            [0].setHeaderRoute.match[1].headerName is missing: name the header
            [0].setHeaderRoute.match[1].headerValue StringMatch value missed, match value must have one of the following: exact, regex, prefix
            [0].setHeaderRoute.name Steps define a route that does not exist in spec.strategy.canary.trafficRouting.managedRoutes
            [1].setMirrorRoute.match[0].method StringMatch value missed, match value must have one of the following: exact, regex, prefix
            [1].setMirrorRoute.match[0].headers[h] StringMatch value missed, match value must have one of the following: exact, regex, prefix
            [1].setMirrorRoute.percentage is no whole number from 0 to 100"#]],
    );
}

const RULES: &str = "[{matches: [{path: {type: PathPrefix, value: /}}], timeouts: {request: 5s},
                       filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: v, value: x}]}}],
                       backendRefs: [{group: '', kind: Service, name: app-stable, port: 80, weight: 90},
                                     {group: '', kind: Service, name: app-canary, port: 81, weight: 10}]},
                      {matches: [{path: {type: PathPrefix, value: /login}}], backendRefs: [{name: login, port: 80}]}]";

#[test]
fn a_header_route_of_the_gateway_api_is_the_managed_rule_narrowed_to_the_canary() {
    let before = route(RULES);
    let wanted = after(HEADER);
    let made = set_gateway(&gateway(&[]), &before, &wanted);
    let expected = yaml(
        "{name: beta, timeouts: {request: 5s},
          matches: [{path: {type: PathPrefix, value: /}, headers: [{type: Exact, name: X-Beta, value: 'yes'}]}],
          filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: v, value: x}]}}],
          backendRefs: [{group: '', kind: Service, name: app-canary, port: 81, weight: 1}]}",
    );
    assert_eq!(made["spec"]["rules"][0], expected);
    let rules = made["spec"]["rules"].as_array().expect("rules");
    assert_eq!(
        rules[1..],
        before["spec"]["rules"].as_array().expect("rules")[..],
        "the user's rules stay as they were"
    );
    assert!(made["metadata"]["annotations"].get(RECORD).is_some());
    let observed = http_route::observe(&gateway(&[]), &made, PAIR).expect("observes");
    assert_eq!(
        (observed.managed.len(), observed.unmanaged.len()),
        (1, 1),
        "requests by header are observed"
    );
    // Taken away, nothing is left of it.
    let gone = set_gateway(&gateway(&[]), &made, &[]);
    assert_eq!(gone["spec"], before["spec"]);
    assert_eq!(
        gone["metadata"]["annotations"].get(managed_routes_annotation(PAIR)),
        None
    );
}

#[test]
fn a_mirror_route_of_the_gateway_api_follows_the_split() {
    let before = route(RULES);
    let made = set_gateway(&gateway(&[]), &before, &after(MIRROR));
    let mirror = &made["spec"]["rules"][0];
    assert_eq!(
        mirror["matches"],
        yaml("[{path: {type: PathPrefix, value: /cart}, method: GET}]")
    );
    let filter = yaml(
        "{type: RequestMirror, requestMirror: {backendRef: {group: '', kind: Service, name: app-canary, port: 81}, percent: 35}}",
    );
    assert_eq!(mirror["filters"][1], filter);
    assert_eq!(written(&made), "90 10 | 90 10 | -");
    let record = moving("app-stable/a=1", &[]);
    let patch = http_route::edit(&gateway(&[]), &made, PAIR, &weights("75/25"), &record)
        .expect("edits")
        .expect("a patch");
    let split = merge(&made, &patch);
    assert_eq!(written(&split), "75 25 | 75 25 | -");
    assert_eq!(
        set_gateway(&gateway(&[]), &split, &after(MIRROR)),
        split,
        "nothing to do after the weights"
    );
    // Where rules are named the copy is managed all the same.
    let mut named = before.clone();
    named["spec"]["rules"][0]["name"] = json!("main");
    let made = set_gateway(&gateway(&["main"]), &named, &after(MIRROR));
    let patch = http_route::edit(&gateway(&["main"]), &made, PAIR, &weights("75/25"), &record)
        .expect("edits")
        .expect("a patch");
    assert_eq!(written(&merge(&made, &patch)), "75 25 | 75 25 | -");
    // All of them is the default of the API.
    let all = set_gateway(
        &gateway(&[]),
        &before,
        &after("[{setMirrorRoute: {name: shadow, match: [{}]}}]"),
    );
    assert_eq!(
        all["spec"]["rules"][0]["filters"][1]["requestMirror"].get("percent"),
        None
    );
}

#[test]
fn routes_stand_in_order_one_for_each_managed_rule() {
    let two = route(
        "[{name: a, matches: [{path: {type: PathPrefix, value: /a}}], backendRefs: [{name: app-stable, weight: 1}, {name: app-canary, weight: 0}]},
          {name: beta.shop, backendRefs: [{name: app-canary}]},
          {name: b, matches: [{path: {type: Exact, value: /cart/x}}], backendRefs: [{name: app-stable, weight: 1}, {name: app-canary, weight: 0}]}]",
    );
    let made = set_gateway(&gateway(&[]), &two, &after(BOTH));
    let names = |object: &Value| -> Vec<String> {
        let rules = object["spec"]["rules"].as_array().expect("rules").clone();
        rules
            .iter()
            .map(|rule| rule["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    // Under /a nothing is in /cart: there is no mirror for it.
    assert_eq!(names(&made), ["beta", "beta.sluice-2", "shadow", "a", "beta.shop", "b"]);
    assert_eq!(
        made["spec"]["rules"][2]["matches"],
        yaml("[{path: {type: Exact, value: /cart/x}}]")
    );
    let less = set_gateway(&gateway(&[]), &made, &after(HEADER));
    assert_eq!(names(&less), ["beta", "beta.sluice-2", "a", "beta.shop", "b"]);
    let none = set_gateway(&gateway(&[]), &less, &[]);
    assert_eq!(none["spec"], two["spec"]);
}

#[test]
fn a_crd_without_rule_names_does_not_make_routes_pile_up() {
    let before = route(RULES);
    let pruned = |object: &Value| {
        let mut object = object.clone();
        for rule in object["spec"]["rules"].as_array_mut().expect("rules") {
            rule.as_object_mut().expect("a rule").remove("name");
        }
        object
    };
    let made = pruned(&set_gateway(&gateway(&[]), &before, &after(BOTH)));
    let record = moving("app-stable/a=1", &[]);
    let again = http_route::edit_managed_routes(&gateway(&[]), &made, PAIR, &after(BOTH), &record);
    assert_eq!(again, Ok(None));
    let changed = pruned(&set_gateway(&gateway(&[]), &made, &after(MIRROR)));
    assert_eq!(changed["spec"]["rules"].as_array().expect("rules").len(), 3);
    assert_eq!(set_gateway(&gateway(&[]), &changed, &[])["spec"], before["spec"]);
    // A rule of the user's own that looks like it, and that nothing is recorded of, stays.
    let mut own = made.clone();
    own["metadata"]["annotations"] = json!({});
    assert_eq!(set_gateway(&gateway(&[]), &own, &[])["spec"], own["spec"]);
    // A percentage that is dropped is not written for ever, and not taken for all.
    let mut dropped = set_gateway(&gateway(&[]), &before, &after(MIRROR));
    dropped["spec"]["rules"][0]["filters"][1]["requestMirror"]
        .as_object_mut()
        .expect("a mirror")
        .remove("percent");
    let problem = http_route::edit_managed_routes(&gateway(&[]), &dropped, PAIR, &after(MIRROR), &record);
    assert_eq!(problem.expect_err("a problem").path, "spec.rules[0].filters");
}

#[test]
fn what_the_gateway_api_cannot_say_is_explained() {
    let check = |what: &str, rules: &str, steps: &str, expected: Expect| {
        let record = moving("app-stable/a=1", &[]);
        let edited = http_route::edit_managed_routes(&gateway(&[]), &route(rules), PAIR, &after(steps), &record);
        eprintln!("{what}");
        expected.assert_eq(&edited.map_or_else(|problem| problem.to_string(), |patch| format!("{patch:?}")));
    };
    let pair = "backendRefs: [{name: app-stable, weight: 1}, {name: app-canary, weight: 0}]";
    let with = |matches: &str| format!("[{{matches: [{matches}], {pair}}}]");
    let header = |value: &str| {
        format!("[{{setHeaderRoute: {{name: beta, match: [{{headerName: x-a, headerValue: {value}}}]}}}}]")
    };
    check(
        "a header twice",
        &with("{headers: [{name: X-A, type: RegularExpression, value: 'v.*'}]}"),
        &header("{exact: v1}"),
        expect![
            "HTTPRoute shop/app: spec.rules[0].matches: cannot be narrowed to the managed route `beta`: both ask for the header `x-a` in different ways"
        ],
    );
    check(
        "another value of the header",
        &with("{headers: [{name: X-A, value: v2}]}"),
        &header("{exact: v1}"),
        expect!["HTTPRoute shop/app: spec.rules: no request that it splits can match the managed route `beta`"],
    );
    check(
        "a path twice",
        &with("{path: {type: RegularExpression, value: /a.*}}"),
        "[{setMirrorRoute: {name: shadow, match: [{path: {prefix: /a}}]}}]",
        expect![
            "HTTPRoute shop/app: spec.rules[0].matches: cannot be narrowed to the managed route `shadow`: the path RegularExpression `/a.*` and the path PathPrefix `/a` cannot be asked for at once"
        ],
    );
    check(
        "a method in part",
        &with("{}"),
        "[{setMirrorRoute: {name: shadow, match: [{method: {prefix: P}}]}}]",
        expect![
            "HTTPRoute shop/app: spec.rules[0].matches: cannot be narrowed to the managed route `shadow`: the Gateway API matches whole methods only: use `exact`"
        ],
    );
    let many: Vec<String> = (0..16)
        .map(|index| format!("{{headers: [{{name: h{index}, value: v}}], {pair}}}"))
        .collect();
    check(
        "too many rules",
        &format!("[{}]", many.join(", ").replace("headers", "x")),
        HEADER,
        expect![
            "HTTPRoute shop/app: spec.rules: would have 32 rules with the managed routes, and the Gateway API admits 16: have fewer of them, or fewer managed routes"
        ],
    );
    let headers: Vec<String> = (0..16).map(|index| format!("{{name: h{index}, value: v}}")).collect();
    check(
        "too many headers",
        &with(&format!("{{headers: [{}]}}", headers.join(", "))),
        HEADER,
        expect![
            "HTTPRoute shop/app: spec.rules[0].matches[0].headers: would have 17 headers with the managed routes, and the Gateway API admits 16: have fewer of them, or fewer managed routes"
        ],
    );
    let paths: Vec<String> = (0..33)
        .map(|index| format!("{{path: {{type: Exact, value: /{index}}}}}"))
        .collect();
    check(
        "too many matches of a rule",
        &with(&paths.join(", ")),
        "[{setMirrorRoute: {name: shadow, match: [{method: {exact: GET}}, {method: {exact: PUT}}]}}]",
        expect![
            "HTTPRoute shop/app: spec.rules[0].matches: would have 66 matches with the managed routes, and the Gateway API admits 64: have fewer of them, or fewer managed routes"
        ],
    );
    check(
        "a name that is somebody else's",
        &format!("[{{name: beta, backendRefs: [{{name: other}}]}}, {{{pair}}}]"),
        HEADER,
        expect![
            "HTTPRoute shop/app: spec.rules: `beta` of managedRoutes is the name of rule 0, which does not belong to this Rollout: use another"
        ],
    );
}

#[test]
fn beginnings_of_headers_become_regular_expressions() {
    let steps = "[{setHeaderRoute: {name: beta, match: [{headerName: agent, headerValue: {prefix: 'a.b*(c)'}}]}}]";
    let made = set_gateway(&gateway(&[]), &route(RULES), &after(steps));
    let header = &made["spec"]["rules"][0]["matches"][0]["headers"][0];
    assert_eq!(
        *header,
        json!({"type": "RegularExpression", "name": "agent", "value": "^a\\.b\\*\\(c\\).*$"})
    );
}

const HTTP: &str = "{hosts: [app.test], http: [{name: main, match: [{uri: {prefix: /}, port: 80}, {uri: {exact: /cart/x}}], timeout: 5s,
    route: [{destination: {host: app-stable, port: {number: 80}}, weight: 90},
            {destination: {host: app-canary, port: {number: 81}}, weight: 10, headers: {request: {set: {v: c}}}}]}],
    tcp: [{route: [{destination: {host: db}}]}]}";

#[test]
fn managed_routes_of_a_virtual_service_stand_before_the_users() {
    let before = object(HTTP);
    let made = set_istio(&before, &after(BOTH));
    let expected = yaml(
        "[{name: beta, timeout: 5s,
           match: [{uri: {prefix: /}, port: 80, headers: {x-beta: {exact: 'yes'}}}, {uri: {exact: /cart/x}, headers: {x-beta: {exact: 'yes'}}}],
           route: [{destination: {host: app-canary, port: {number: 81}}, weight: 100, headers: {request: {set: {v: c}}}}]},
          {name: shadow, timeout: 5s,
           match: [{uri: {prefix: /cart}, port: 80}, {uri: {exact: /cart/x}}],
           route: [{destination: {host: app-stable, port: {number: 80}}, weight: 90},
                   {destination: {host: app-canary, port: {number: 81}}, weight: 10, headers: {request: {set: {v: c}}}}],
           mirror: {host: app-canary, port: {number: 81}}, mirrorPercentage: {value: 35}}]",
    );
    assert_eq!(json!(made["spec"]["http"].as_array().expect("routes")[..2]), expected);
    assert_eq!(made["spec"]["http"][2], before["spec"]["http"][0]);
    // The only route of the user's is still the only one, and the mirror follows it.
    let record = moving("app-stable/a=1", &[]);
    let patch = virtual_service::edit(&istio(), &made, PAIR, &weights("50/50"), &record)
        .expect("edits")
        .expect("a patch");
    let split = merge(&made, &patch);
    let weight =
        |route: usize, destination: usize| split["spec"]["http"][route]["route"][destination]["weight"].clone();
    assert_eq!(
        [weight(0, 0), weight(1, 0), weight(1, 1), weight(2, 0), weight(2, 1)],
        [100, 50, 50, 50, 50]
    );
    let observed = virtual_service::observe(&istio(), &split, PAIR).expect("observes");
    assert_eq!((observed.managed.len(), observed.unmanaged.len()), (2, 1));
    assert_eq!(
        set_istio(&split, &after(BOTH)),
        split,
        "nothing to do after the weights"
    );
    let gone = set_istio(&made, &[]);
    assert_eq!(gone["spec"], before["spec"]);
}

#[test]
fn a_virtual_service_is_narrowed_or_says_why_not() {
    let check = |what: &str, http: &str, steps: &str, expected: Expect| {
        let record = moving("app-stable/a=1", &[]);
        let pair =
            "route: [{destination: {host: app-stable}, weight: 100}, {destination: {host: app-canary}, weight: 0}]";
        let object = object(&format!("{{http: [{{{http}{pair}}}]}}"));
        let edited = virtual_service::edit_managed_routes(&istio(), &object, PAIR, &after(steps), &record);
        let text = match edited {
            Ok(patch) => patch.expect("a patch")["spec"]["http"][0]["match"].to_string(),
            Err(problem) => problem.to_string(),
        };
        eprintln!("{what}");
        expected.assert_eq(&text);
    };
    let mirror = |matches: &str| format!("[{{setMirrorRoute: {{name: shadow, match: [{matches}]}}}}]");
    check(
        "no match",
        "",
        HEADER,
        expect![[r#"[{"headers":{"x-beta":{"exact":"yes"}}}]"#]],
    );
    check("everything", "", &mirror("{}"), expect!["null"]);
    check(
        "several",
        "",
        &mirror("{method: {regex: 'GET|HEAD'}, path: {regex: '/a.*'}}, {headers: {b: {prefix: c}}}"),
        expect![[r#"[{"uri":{"regex":"/a.*"},"method":{"regex":"GET|HEAD"}},{"headers":{"b":{"prefix":"c"}}}]"#]],
    );
    check(
        "presence of a header is narrowed to its value",
        "match: [{headers: {X-Beta: {}}}], ",
        HEADER,
        expect![[r#"[{"headers":{"X-Beta":{"exact":"yes"}}}]"#]],
    );
    check(
        "the narrower prefix",
        "match: [{uri: {prefix: /cart/old}}], ",
        &mirror("{path: {prefix: /cart}}"),
        expect![[r#"[{"uri":{"prefix":"/cart/old"}}]"#]],
    );
    check(
        "a path outside",
        "match: [{uri: {prefix: /login}}], ",
        &mirror("{path: {exact: /cart}}"),
        expect!["VirtualService shop/app: spec.http: no request that it splits can match the managed route `shadow`"],
    );
    check(
        "two expressions",
        "match: [{uri: {regex: 'a'}}], ",
        &mirror("{path: {exact: /cart}}"),
        expect![
            "VirtualService shop/app: spec.http[0].match: and the managed route `shadow` both ask for the path in ways that are not one"
        ],
    );
    check(
        "a mirror of the user's",
        "mirror: {host: audit}, ",
        &mirror("{}"),
        expect![
            "VirtualService shop/app: spec.http[0].mirror: is there already, so that the managed route `shadow` cannot mirror"
        ],
    );
    let record = moving("app-stable/a=1", &[]);
    let tcp =
        object("{tcp: [{route: [{destination: {host: app-stable}, weight: 1}, {destination: {host: app-canary}}]}]}");
    let problem =
        virtual_service::edit_managed_routes(&istio(), &tcp, PAIR, &after(HEADER), &record).expect_err("a problem");
    expect!["VirtualService shop/app: spec.http: header and mirror routes need an HTTP route with the stable and the canary destination"]
        .assert_eq(&problem.to_string());
}
