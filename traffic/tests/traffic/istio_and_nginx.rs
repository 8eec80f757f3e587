//! How a Rollout names its VirtualServices and Ingresses.

use expect_test::{Expect, expect};
use sluice_traffic::Router;

use crate::common::yaml;

fn text(result: Result<Vec<Router>, Vec<(String, String)>>) -> String {
    let one = |router: &Router| match router {
        Router::VirtualService(config) => {
            let object = router.object("-");
            let tls: Vec<String> = config
                .tls_routes
                .iter()
                .map(|tls| format!("{:?}{:?}", tls.port, tls.sni_hosts))
                .collect();
            let rule = router.destination_rule().map(|rule| {
                format!(
                    " {} {}/{}+{}",
                    rule.name,
                    rule.stable_subset,
                    rule.canary_subset,
                    rule.additional_subsets.join(",")
                )
            });
            format!(
                "{}/{}[{}]{}{:?}{}",
                object.namespace,
                object.name,
                config.routes.join(" "),
                tls.concat(),
                config.tcp_routes,
                rule.unwrap_or_default()
            )
        }
        Router::CanaryIngress(config) => format!(
            "{} of {} {} {:?} {:?} {:?}",
            config.canary_ingress,
            config.stable_ingress,
            config.annotation_prefix,
            config.additional_annotations,
            config.canary_annotations,
            config.max_weight
        ),
        Router::HttpRoute(_) => panic!("not of the Gateway API"),
    };
    match result {
        Ok(routers) => routers.iter().map(one).collect::<Vec<_>>().join("\n"),
        Err(problems) => problems
            .iter()
            .map(|(path, text)| format!("{path} {text}"))
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

#[test]
fn virtual_services_are_named_in_three_ways() {
    let check = |what: &str, config: &str, expected: Expect| {
        eprintln!("{what}");
        expected.assert_eq(&text(Router::from_istio(&yaml(config))));
    };
    check("one", "{virtualService: {name: app}}", expect!["-/app[][]"]);
    check(
        "with a namespace",
        "{virtualService: {name: shop/app}}",
        expect!["shop/app[][]"],
    );
    check(
        "the other way round",
        "{virtualService: {name: app.shop}}",
        expect!["shop/app[][]"],
    );
    check(
        "a name with points",
        "{virtualService: {name: app.example.com}}",
        expect!["-/app.example.com[][]"],
    );
    check(
        "a name with a point, and a namespace",
        "{virtualService: {name: shop/app.test}}",
        expect!["shop/app.test[][]"],
    );
    check(
        "routes",
        "{virtualService: {name: app, routes: [a, b], tlsRoutes: [{port: 443}, {sniHosts: [x]}], tcpRoutes: [{port: 9}]}}",
        expect![[r#"-/app[a b]Some(443)[]None["x"][9]"#]],
    );
    check(
        "several, with subsets",
        "{virtualServices: [{name: a}, {name: b, routes: [r]}],
          destinationRule: {name: d, stableSubsetName: s, canarySubsetName: c, additionalSubsetNames: [x1, x2]}}",
        expect![[r#"
            -/a[][] d s/c+x1,x2
            -/b[r][] d s/c+x1,x2"#]],
    );
    let one_of = || expect![" either VirtualService or VirtualServices must be configured"];
    check("neither", "{}", one_of());
    check("an empty list", "{virtualServices: []}", one_of());
    check(
        "both",
        "{virtualService: {name: a}, virtualServices: [{name: b}]}",
        one_of(),
    );
    check(
        "all problems at once",
        "{virtualServices: [{name: a}, {name: a}, {}, {name: '../x'}, 3, {name: e, routes: [''], tlsRoutes: [{}], tcpRoutes: [{port: 0}]}],
          destinationRule: {name: d, stableSubsetName: s, canarySubsetName: s}}",
        expect![[r#"
            destinationRule.canarySubsetName is the name of the stable subset too: use two different subsets
            virtualServices[1] names the VirtualService `a` a second time: name each once
            virtualServices[2].name is missing: name the VirtualService
            virtualServices[3].name is "../x": write `name`, `namespace/name` or `name.namespace` in small letters, digits and `-`
            virtualServices[4] is not an object: write `name: <VirtualService>` in it
            virtualServices[5].routes[0] is not the name of a route
            virtualServices[5].tlsRoutes[0] is not a TLS route: set `port`, `sniHosts` or both
            virtualServices[5].tcpRoutes[0] is not a TCP route: set its `port`"#]],
    );
    check(
        "a rule without names",
        "{virtualService: {name: a}, destinationRule: {canarySubsetName: C}}",
        expect![[r#"
            destinationRule.name is missing, or no name in small letters, digits and `-`
            destinationRule.stableSubsetName is missing, or no name in small letters, digits and `-`
            destinationRule.canarySubsetName is missing, or no name in small letters, digits and `-`"#]],
    );
    check(
        "no object",
        "3",
        expect![" is not an object: write `virtualService: {name: <VirtualService>}` in it"],
    );
}

#[test]
fn a_virtual_service_of_another_namespace_is_refused() {
    let router = |name: &str| {
        let config = format!("{{virtualService: {{name: {name}}}}}");
        Router::from_istio(&yaml(&config)).expect("routers").remove(0)
    };
    assert_eq!(router("app").namespace_problem("shop"), None);
    assert_eq!(router("app.shop").namespace_problem("shop"), None);
    let (path, problem) = router("app.web").namespace_problem("shop").expect("a problem");
    expect!["virtualService.name is `app` of the namespace `web`, and routes of another namespace are not written: have the VirtualService in `shop` (where its own name has a point in it, write `shop/<name>`)"].assert_eq(&format!("{path} {problem}"));
    assert_eq!(router("app").object("shop").api_version, "networking.istio.io/v1");
    let older = router("app").with_istio_api_version("networking.istio.io/v1alpha3");
    assert_eq!(older.object("shop").api_version, "networking.istio.io/v1alpha3");
}

#[test]
fn ingresses_are_named_in_two_ways() {
    let check = |what: &str, config: &str, expected: Expect| {
        eprintln!("{what}");
        expected.assert_eq(&text(Router::from_nginx(&yaml(config), "app", Some(1000))));
    };
    check(
        "one",
        "{stableIngress: web}",
        expect!["app-web-canary of web nginx.ingress.kubernetes.io {} {} Some(1000)"],
    );
    check(
        "all that there is",
        "{stableIngresses: [a, b], annotationPrefix: custom.io, additionalIngressAnnotations: {x: '1'}, canaryIngressAnnotations: {y/z: '2'}}",
        expect![[r#"
            app-a-canary of a custom.io {"x": "1"} {"y/z": "2"} Some(1000)
            app-b-canary of b custom.io {"x": "1"} {"y/z": "2"} Some(1000)"#]],
    );
    let both = expect![" Either StableIngress or StableIngresses must be configured. Both are configured."];
    check("both", "{stableIngress: a, stableIngresses: [b]}", both);
    let neither = || expect![" Either StableIngress or StableIngresses must be configured. Neither are configured."];
    check("neither", "{}", neither());
    check("empty", "{stableIngress: '', stableIngresses: []}", neither());
    check(
        "all problems at once",
        "{stableIngresses: [a, a, B c], annotationPrefix: 'x/y', additionalIngressAnnotations: {a: 1}, canaryIngressAnnotations: 3}",
        expect![[r#"
            annotationPrefix is not a prefix: write a domain in small letters without `/`
            additionalIngressAnnotations[a] is not a text: put it in quotes
            canaryIngressAnnotations is not an object: write annotations as `name: value`
            stableIngresses[2] is "B c": write a name in small letters, digits, `-` and `.`
            stableIngresses[1] has the same canary Ingress `app-a-canary` as one before it: name each Ingress once"#]],
    );
}
