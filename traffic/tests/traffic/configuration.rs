//! How a Rollout names its routes.

use expect_test::{Expect, expect};
use sluice_traffic::Router;

use crate::common::yaml;

fn text(result: Result<Vec<Router>, Vec<(String, String)>>) -> String {
    match result {
        Ok(routers) => {
            let one = |router: &Router| {
                let Router::HttpRoute(config) = router else {
                    panic!("{router:?}")
                };
                let namespace = config
                    .namespace
                    .as_ref()
                    .map_or(String::new(), |namespace| format!("{namespace}/"));
                format!("{namespace}{}[{}]", config.name, config.rules.join(" "))
            };
            routers.iter().map(one).collect::<Vec<_>>().join(", ")
        }
        Err(problems) => problems
            .iter()
            .map(|(path, problem)| format!("{path} {problem}"))
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

#[test]
fn the_configuration_of_argos_plugin_is_understood() {
    let check = |what: &str, config: &str, expected: Expect| {
        eprintln!("{what}");
        expected.assert_eq(&text(Router::from_gateway_api_plugin(&yaml(config))));
    };
    check(
        "as in its quick start",
        "{httpRoute: app, namespace: shop}",
        expect!["shop/app[]"],
    );
    check(
        "several",
        "{httpRoutes: [{name: a}, {name: b, useHeaderRoutes: true}]}",
        expect!["a[], b[]"],
    );
    check(
        "both forms",
        "{httpRoute: c, httpRoutes: [{name: a}]}",
        expect!["a[], c[]"],
    );
    check(
        "the same twice",
        "{httpRoute: a, httpRoutes: [{name: a}, {name: a}]}",
        expect!["a[]"],
    );
    check(
        "what holds anyway",
        "{httpRoute: a, configMap: notes, disableInProgressLabel: true, skipManagedRoutesOnSetWeight: false, grpcRoutes: [], tcpRoute: '', tlsRoutes: null}",
        expect!["a[]"],
    );
    check(
        "what does not yet",
        "{httpRoute: a, grpcRoute: g, grpcRoutes: [{name: g}], tcpRoute: t, tcpRoutes: [{name: t}], tlsRoute: t, tlsRoutes: [{name: t}],
          httpRouteSelector: {matchLabels: {a: b}}, grpcRouteSelector: {}, tcpRouteSelector: {}, tlsRouteSelector: {},
          inProgressLabelKey: k, inProgressLabelValue: v, disableInProgressLabel: false}",
        expect![[r#"
            grpcRoute is not supported yet: remove it
            grpcRoutes is not supported yet: remove it
            tcpRoute is not supported yet: remove it
            tcpRoutes is not supported yet: remove it
            tlsRoute is not supported yet: remove it
            tlsRoutes is not supported yet: remove it
            httpRouteSelector is not supported yet: remove it
            grpcRouteSelector is not supported yet: remove it
            tcpRouteSelector is not supported yet: remove it
            tlsRouteSelector is not supported yet: remove it
            inProgressLabelKey is not supported yet: remove it
            inProgressLabelValue is not supported yet: remove it
            disableInProgressLabel is false, which asks for a label on routes; that is not supported yet: set it to true"#]],
    );
    check(
        "only what does not yet",
        "{grpcRoute: g}",
        expect!["grpcRoute is not supported yet: remove it"],
    );
    check(
        "nothing",
        "{}",
        expect!["httpRoute is missing: name the HTTPRoute, or several in `httpRoutes`"],
    );
    check(
        "empty texts",
        "{httpRoute: '', namespace: ''}",
        expect!["httpRoute is missing: name the HTTPRoute, or several in `httpRoutes`"],
    );
    check(
        "an empty list",
        "{httpRoutes: []}",
        expect!["httpRoute is missing: name the HTTPRoute, or several in `httpRoutes`"],
    );
    check(
        "unknown, and small letters",
        "{httproute: a, banana: 1}",
        expect![[r#"
        httproute is not a field of this configuration: write `httpRoute`
        banana is not a field of this configuration: remove it"#]],
    );
    check(
        "our rules are not the plugin's",
        "{httpRoute: a, rules: [x]}",
        expect!["rules is not a field of this configuration: remove it"],
    );
    check(
        "wrong types",
        "{httpRoute: 3, httpRoutes: a, namespace: [], configMap: {}, disableInProgressLabel: maybe}",
        expect![[r#"
            configMap is not a text
            disableInProgressLabel is neither true nor false
            namespace is []: write a name in small letters, digits, `-` and `.`
            httpRoutes is not a list: write `- name: <HTTPRoute>` for each route
            httpRoute is 3: write a name in small letters, digits, `-` and `.`"#]],
    );
    check(
        "entries of the list",
        "{httpRoutes: [a, {}, {name: ''}, {name: b, weight: 3}, {name: c, useHeaderRoutes: x}]}",
        expect![[r#"
            httpRoutes[0] is not an object: write `name: <HTTPRoute>`
            httpRoutes[1].name is missing: name the HTTPRoute
            httpRoutes[2].name is "": write a name in small letters, digits, `-` and `.`
            httpRoutes[3].weight is not a field of this configuration: remove it
            httpRoutes[4].useHeaderRoutes is neither true nor false"#]],
    );
    check(
        "names that would leave their place in a URL",
        "{httpRoute: ../../secrets/x, namespace: a/b}",
        expect![[r#"
            namespace is "a/b": write a name in small letters, digits, `-` and `.`
            httpRoute is "../../secrets/x": write a name in small letters, digits, `-` and `.`"#]],
    );
    check(
        "not an object",
        "app",
        expect![" is not an object: write `httpRoute: <name>` in it"],
    );
    check(
        "null",
        "null",
        expect![" is not an object: write `httpRoute: <name>` in it"],
    );
}

#[test]
fn our_own_form_names_rules_too() {
    let check = |what: &str, config: &str, expected: Expect| {
        eprintln!("{what}");
        expected.assert_eq(&text(Router::from_gateway_api(&yaml(config))));
    };
    check("one", "{httpRoute: app}", expect!["app[]"]);
    check(
        "with rules",
        "{httpRoute: app, rules: [api, web]}",
        expect!["app[api web]"],
    );
    check(
        "several with rules",
        "{httpRoutes: [{name: a, rules: [x]}, {name: b}], namespace: shop}",
        expect!["shop/a[x], shop/b[]"],
    );
    check(
        "both",
        "{httpRoute: c, rules: [z], httpRoutes: [{name: a}]}",
        expect!["a[], c[z]"],
    );
    check(
        "rules of nothing",
        "{rules: [x], httpRoutes: [{name: a}]}",
        expect!["rules names rules of `httpRoute`, which is missing: set it, or use `httpRoutes[].rules`"],
    );
    check(
        "the same twice",
        "{httpRoute: a, httpRoutes: [{name: a, rules: [x]}]}",
        expect!["httpRoute names the HTTPRoute `a` a second time: name each route once"],
    );
    check(
        "fields of the plugin",
        "{httpRoutes: [{name: a, useHeaderRoutes: true}], configMap: x}",
        expect![[r#"
            configMap is not a field of this configuration: remove it
            httpRoutes[0].useHeaderRoutes is not a field of this configuration: remove it"#]],
    );
    check(
        "not yet",
        "{httpRoute: a, grpcRoutes: [{name: g}]}",
        expect!["grpcRoutes is not supported yet: remove it"],
    );
    check(
        "an empty name",
        "{httpRoute: ''}",
        expect![[r#"httpRoute is "": write a name in small letters, digits, `-` and `.`"#]],
    );
    check(
        "rules that are none",
        "{httpRoute: a, rules: [3, '', 'B c']}",
        expect![[r#"
            rules[0] is not the name of a rule
            rules[1] is not the name of a rule
            rules[2] is not the name of a rule"#]],
    );
    check(
        "rules a text",
        "{httpRoute: a, rules: api}",
        expect!["rules is not a list: list the names of the rules to manage"],
    );
    check(
        "capital letters",
        "{httpRoute: App}",
        expect![[r#"httpRoute is "App": write a name in small letters, digits, `-` and `.`"#]],
    );
    check("dots and digits", "{httpRoute: 1.a-b.c}", expect!["1.a-b.c[]"]);
    check(
        "a list",
        "[]",
        expect![" is not an object: write `httpRoute: <name>` in it"],
    );
}

#[test]
fn routes_of_another_namespace_are_refused() {
    let router = |config: &str| Router::from_gateway_api(&yaml(config)).expect("routers").remove(0);
    assert_eq!(router("{httpRoute: a}").namespace_problem("shop"), None);
    assert_eq!(
        router("{httpRoute: a, namespace: shop}").namespace_problem("shop"),
        None
    );
    let (path, problem) = router("{httpRoute: a, namespace: web}")
        .namespace_problem("shop")
        .expect("a problem");
    expect!["namespace is `web`, and routes of another namespace are not written: leave it out, or have the HTTPRoute in `shop`"].assert_eq(&format!("{path} {problem}"));
    assert_eq!(router("{httpRoute: a}").object("shop").to_string(), "HTTPRoute shop/a");
}
