//! Istio VirtualServices: which routes are managed, what an edit makes of the weights, and what is left alone.

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use sluice_traffic::{
    Acknowledgement, Pair, Weights,
    routers::{
        destination_rule,
        virtual_service::{API_VERSION, Config, TlsRoute, annotate, edit, last_write, observe},
    },
};

use crate::common::{PAIR, RECORD, by_name, merge, moving, weights, yaml};

/// A VirtualService with this `spec` (YAML).
pub fn object(spec: &str) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": "VirtualService",
        "metadata": {"name": "app", "namespace": "shop", "generation": 4, "resourceVersion": "1001"},
        "spec": yaml(spec),
    })
}

pub fn config() -> Config {
    Config {
        api_version: API_VERSION.to_owned(),
        name: "app".to_owned(),
        namespace: None,
        routes: vec![],
        tls_routes: vec![],
        tcp_routes: vec![],
        destination_rule: None,
        managed_routes: vec![],
    }
}

fn named(routes: &[&str]) -> Config {
    Config {
        routes: routes.iter().map(|&name| name.to_owned()).collect(),
        ..config()
    }
}

fn by_subset() -> Config {
    Config {
        destination_rule: Some(destination_rule::Config {
            api_version: API_VERSION.to_owned(),
            name: "app".to_owned(),
            stable_subset: PAIR.stable.to_owned(),
            canary_subset: PAIR.canary.to_owned(),
            additional_subsets: vec![],
        }),
        ..config()
    }
}

/// A destination with a host and a weight; `-` writes none.
fn to(host: &str, weight: &str) -> String {
    let weight = if weight == "-" {
        String::new()
    } else {
        format!(", weight: {weight}")
    };
    format!("{{destination: {{host: {host}}}{weight}}}")
}

/// `{route: [..]}` with these destinations, `host=weight ...`.
fn route(destinations: &str) -> String {
    let one = |text: &str| {
        let (host, weight) = text.split_once('=').expect("host=weight");
        to(host, weight)
    };
    let list: Vec<String> = destinations.split_whitespace().map(one).collect();
    format!("{{route: [{}]}}", list.join(", "))
}

/// Weights in the order of protocols, routes and destinations; `-` where none is written.
fn written(object: &Value) -> String {
    let mut routes = vec![];
    for protocol in ["http", "tls", "tcp"] {
        for route in object["spec"][protocol].as_array().into_iter().flatten() {
            let weight = |one: &Value| one.get("weight").map_or("-".to_owned(), Value::to_string);
            let list = route["route"].as_array().into_iter().flatten().map(weight);
            routes.push(list.collect::<Vec<_>>().join(" "));
        }
    }
    routes.join(" | ")
}

fn check_observed(what: &str, config: &Config, spec: &str, expected: Expect) {
    let text = match observe(config, &object(spec), PAIR) {
        Ok(observed) => {
            let list = |all: &[Weights]| all.iter().map(by_name).collect::<Vec<_>>().join(" | ");
            format!(
                "managed {}; unmanaged {}",
                list(&observed.managed),
                list(&observed.unmanaged)
            )
        }
        Err(problem) => problem.to_string(),
    };
    eprintln!("{what}");
    expected.assert_eq(&text);
}

fn check_edit(what: &str, config: &Config, spec: &str, wanted: &str, expected: Expect) {
    let before = object(spec);
    let wanted = weights(wanted);
    let text = match edit(config, &before, PAIR, &wanted, &moving("app-stable/a=1", &[])) {
        Ok(None) => "nothing to do".to_owned(),
        Ok(Some(patch)) => {
            assert_eq!(patch["metadata"]["resourceVersion"], "1001", "{what}");
            let after = merge(&before, &patch);
            let again = edit(config, &after, PAIR, &wanted, &moving("app-stable/b=1", &[]));
            assert_eq!(again, Ok(None), "{what}: a second edit has nothing to do");
            written(&after)
        }
        Err(problem) => problem.to_string(),
    };
    eprintln!("{what}");
    expected.assert_eq(&text);
}

#[test]
fn the_only_route_is_managed_where_none_is_named() {
    let http = |routes: &[String]| format!("{{http: [{}]}}", routes.join(", "));
    let pair = route("app-stable=95 app-canary=5");
    let observed = |what: &str, routes: &[String], expected| check_observed(what, &config(), &http(routes), expected);
    observed(
        "one",
        std::slice::from_ref(&pair),
        expect!["managed app-canary=5 app-stable=95; unmanaged "],
    );
    observed(
        "absent weights weigh nothing",
        &[route("app-stable=100 app-canary=-")],
        expect!["managed app-canary=0 app-stable=100; unmanaged "],
    );
    observed(
        "others do not count",
        &[route("app-stable=60 beta=20 app-canary=20")],
        expect!["managed app-canary=20 app-stable=60; unmanaged "],
    );
    observed(
        "two",
        &[pair.clone(), route("other=-")],
        expect![
            "VirtualService shop/app: spec.http: Istio VirtualService has invalid HTTP routes. Error: spec.http[] should be set in VirtualService and it must have exactly one route when omitting spec.strategy.canary.trafficRouting.istio.virtualService.routes"
        ],
    );
    observed(
        "no canary",
        &[route("app-stable=-")],
        expect![
            "VirtualService shop/app: spec.http[0].route: Istio VirtualService has invalid HTTP routes. Error: Canary Service 'app-canary' not found in route: add a destination for it with weight 0"
        ],
    );
    observed(
        "no stable",
        &[route("app-canary=-")],
        expect![
            "VirtualService shop/app: spec.http[0].route: Istio VirtualService has invalid HTTP routes. Error: Stable Service 'app-stable' not found in route: add a destination for it with the weight that the two are to share"
        ],
    );
    observed(
        "nothing to split",
        &[route("app-stable=0 app-canary=0 other=100")],
        expect![
            "VirtualService shop/app: spec.http[0].route: Istio VirtualService has invalid HTTP routes. Error: `app-stable` and `app-canary` both have weight 0 beside other destinations, so that there is nothing to split: give `app-stable` the weight that the two are to share"
        ],
    );
    check_observed(
        "no routes",
        &config(),
        "{hosts: [a]}",
        expect![
            "VirtualService shop/app: spec: Unable to get any of the HTTP, TCP or TLS routes for the Istio VirtualService"
        ],
    );
    check_observed(
        "routes that are none",
        &config(),
        "{http: nope}",
        expect![
            "VirtualService shop/app: spec.http: Unable to get HTTP routes for Istio VirtualService: it is not a list"
        ],
    );
    check_observed(
        "a redirect beside TCP",
        &config(),
        &format!("{{http: [{{redirect: {{uri: /}}}}], tcp: [{pair}]}}"),
        expect!["managed app-canary=5 app-stable=95; unmanaged "],
    );
}

#[test]
fn named_routes_alone_are_managed() {
    let call = |name: &str, route: String| route.replacen('{', &format!("{{name: {name}, "), 1);
    let pair = || route("app-stable=100 app-canary=0");
    let spec = format!(
        "{{http: [{}, {}, {}, {}]}}",
        call("api", pair()),
        call("web", pair()),
        call("beta", route("app-canary=-")),
        call("login", route("login=-"))
    );
    check_observed(
        "one of several",
        &named(&["web"]),
        &spec,
        expect!["managed app-canary=0 app-stable=100; unmanaged app-canary=0 app-stable=100 | app-canary=100"],
    );
    check_edit(
        "and only it is edited",
        &named(&["web"]),
        &spec,
        "80/20",
        expect!["100 0 | 80 20 | - | -"],
    );
    check_edit(
        "two",
        &named(&["web", "api"]),
        &spec,
        "80/20",
        expect!["80 20 | 80 20 | - | -"],
    );
    let gone = "VirtualService shop/app: spec.http: Istio VirtualService has invalid HTTP routes. Error: HTTP Route 'nope' is not found in the defined Virtual Service. There are `api`, `web`, `beta`, `login`";
    let problem = observe(&named(&["web", "nope"]), &object(&spec), PAIR).expect_err("a problem");
    assert_eq!(problem.to_string(), gone);
    check_edit(
        "a route that cannot be managed",
        &named(&["beta"]),
        &spec,
        "80/20",
        expect![
            "VirtualService shop/app: spec.http[2].route: Istio VirtualService has invalid HTTP routes. Error: Stable Service 'app-stable' not found in route: add a destination for it with the weight that the two are to share"
        ],
    );
    let raised = spec.replace(
        "{destination: {host: app-canary}, weight: 0}",
        "{destination: {host: app-canary}, weight: 25}",
    );
    check_edit(
        "taking back does not need every name",
        &named(&["web", "nope", "beta"]),
        &raised,
        "100/0",
        expect!["100 25 | 125 0 | - | -"],
    );
}

#[test]
fn tls_and_tcp_routes_are_chosen_by_port_and_hosts() {
    let pair = route("app-stable=100 app-canary=0");
    let matching = |condition: &str| pair.replacen('{', &format!("{{match: [{condition}], "), 1);
    let spec = format!(
        "{{tls: [{}, {}], tcp: [{}, {}]}}",
        matching("{port: 443, sniHosts: [b.test, a.test]}"),
        matching("{port: 444, sniHosts: [a.test]}"),
        matching("{port: 9000}"),
        matching("{port: 9001}"),
    );
    let tls = |port: Option<u32>, hosts: &[&str]| Config {
        tls_routes: vec![TlsRoute {
            port,
            sni_hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
        }],
        ..config()
    };
    let tcp = |ports: &[u32]| Config {
        tcp_routes: ports.to_vec(),
        ..config()
    };
    check_edit(
        "hosts in any order",
        &tls(None, &["a.test", "b.test"]),
        &spec,
        "1/1",
        expect!["50 50 | 100 0 | 100 0 | 100 0"],
    );
    check_edit(
        "all hosts, not some",
        &tls(None, &["a.test"]),
        &spec,
        "1/1",
        expect!["100 0 | 50 50 | 100 0 | 100 0"],
    );
    check_edit(
        "port",
        &tls(Some(443), &[]),
        &spec,
        "1/1",
        expect!["50 50 | 100 0 | 100 0 | 100 0"],
    );
    check_edit(
        "port and hosts of different routes",
        &tls(Some(443), &["a.test"]),
        &spec,
        "1/1",
        expect![
            "VirtualService shop/app: spec.tls: Istio VirtualService has invalid TLS routes. Error: No matching TLS routes found in the defined Virtual Service. It has 2 of this kind, without a name"
        ],
    );
    check_edit(
        "TCP",
        &tcp(&[9001]),
        &spec,
        "1/1",
        expect!["100 0 | 100 0 | 100 0 | 50 50"],
    );
    check_edit(
        "TCP without that port",
        &tcp(&[9001, 80]),
        &spec,
        "1/1",
        expect![
            "VirtualService shop/app: spec.tcp: Istio VirtualService has invalid TCP routes. Error: No matching TCP routes found in the defined Virtual Service. It has 2 of this kind, without a name"
        ],
    );
    check_edit(
        "none chosen",
        &config(),
        &spec,
        "1/1",
        expect![
            "VirtualService shop/app: spec.tls: Istio VirtualService has invalid TLS routes. Error: spec.tls[] should be set in VirtualService and it must have exactly one route when omitting spec.strategy.canary.trafficRouting.istio.virtualService.tlsRoutes"
        ],
    );
    let one_each = format!("{{http: [{pair}], tcp: [{pair}]}}");
    check_edit(
        "the only one of each protocol",
        &config(),
        &one_each,
        "1/1",
        expect!["50 50 | 50 50"],
    );
}

#[test]
fn a_host_is_a_service_of_the_own_namespace() {
    let check = |host: &str, is_canary: bool| {
        let spec = format!("{{http: [{}]}}", route(&format!("app-stable=90 {host}=10")));
        let observed = observe(&config(), &object(&spec), PAIR);
        assert_eq!(observed.is_ok(), is_canary, "{host}");
    };
    for host in [
        "app-canary",
        "app-canary.shop",
        "app-canary.shop.svc",
        "app-canary.shop.svc.cluster.local",
    ] {
        check(host, true);
    }
    for host in [
        "app-canary.web",
        "app-canary.web.svc.cluster.local",
        "app-canary.shop.test",
        "app-canary-2",
        "x.app-canary",
    ] {
        check(host, false);
    }
}

#[test]
fn with_a_destination_rule_the_pair_is_subsets() {
    let to = |host: &str, subset: &str, weight: u32| {
        format!("{{destination: {{host: {host}, subset: {subset}}}, weight: {weight}}}")
    };
    let spec = format!(
        "{{http: [{{route: [{}, {}, {}]}}]}}",
        to("app", "app-stable", 80),
        to("app", "app-canary", 0),
        to("app", "beta", 20)
    );
    check_observed(
        "subsets",
        &by_subset(),
        &spec,
        expect!["managed app-canary=0 app-stable=80; unmanaged "],
    );
    check_edit("split", &by_subset(), &spec, "95/5", expect!["76 4 20"]);
    check_observed(
        "hosts do not count",
        &by_subset(),
        &format!("{{http: [{}]}}", route("app-stable=100 app-canary=0")),
        expect![
            "VirtualService shop/app: spec.http[0].route: Istio VirtualService has invalid HTTP routes. Error: Canary DestinationRule subset 'app-canary' not found in route: add a destination for it with weight 0"
        ],
    );
    check_observed(
        "subsets do not count without one",
        &config(),
        &spec,
        expect![
            "VirtualService shop/app: spec.http[0].route: Istio VirtualService has invalid HTTP routes. Error: Canary Service 'app-canary' not found in route: add a destination for it with weight 0"
        ],
    );
}

#[test]
fn a_sum_of_100_stays_where_it_can() {
    let check = |what: &str, before: &str, wanted: &str, expected| {
        check_edit(
            what,
            &config(),
            &format!("{{http: [{}]}}", route(before)),
            wanted,
            expected,
        );
    };
    check("pair", "app-stable=100 app-canary=0", "95/5", expect!["95 5"]);
    check("back", "app-stable=95 app-canary=5", "100/0", expect!["100 0"]);
    check(
        "no weights at all",
        "app-stable=- app-canary=-",
        "95/5",
        expect!["95 5"],
    );
    check(
        "beside another",
        "app-stable=80 app-canary=0 other=20",
        "95/5",
        expect!["76 4 20"],
    );
    check(
        "a part that does not divide",
        "app-stable=90 app-canary=0 other=10",
        "95/5",
        expect!["171 9 20"],
    );
    check(
        "already so",
        "app-stable=76 app-canary=4 other=20",
        "95/5",
        expect!["nothing to do"],
    );
    check(
        "already so, in other numbers",
        "app-stable=19 app-canary=1",
        "95/5",
        expect!["nothing to do"],
    );
    check(
        "nobody",
        "app-stable=100 app-canary=0",
        "0/0",
        expect![
            "VirtualService shop/app: spec: the wanted split gives traffic to nobody: stable or canary must have some"
        ],
    );
    check(
        "one stands twice",
        "app-stable=60 app-canary=20 app-canary.shop=20",
        "50/50",
        expect![
            "VirtualService shop/app: spec.http[0].route: the stable or the canary Service stands in it more than once, so that its share cannot be told apart: name each of the two once in a rule"
        ],
    );
}

#[test]
fn everything_else_survives_an_edit() {
    let mut before = object(
        "{hosts: [app.test], gateways: [gw], exportTo: ['.'], future: {a: [1, 2.5]},
          http: [
            {name: main, match: [{uri: {prefix: /api}, headers: {x: {regex: '^a'}}}], timeout: 5s, retries: {attempts: 3},
             mirror: {host: audit}, mirrorPercentage: {value: 12.5}, corsPolicy: {maxAge: 24h}, rewrite: {uri: /},
             route: [{destination: {host: app-stable, port: {number: 80}}, weight: 80, headers: {request: {set: {v: s}}}},
                     {destination: {host: other}, weight: 20, future: true},
                     {destination: {host: app-canary, port: {number: 80}}, weight: 0}]},
            {name: rest, route: [{destination: {host: app-canary}}]}],
          tcp: [{match: [{port: 9}], route: [{destination: {host: db}}]}]}",
    );
    before["metadata"]["annotations"] = json!({"team": "shop", "moving.sluice.dev/web-canary": "theirs"});
    before["status"] = json!({"observedGeneration": "3"});
    let record = moving("app-stable/a=95 app-canary/b=5", &["app-stable/a=100"]);
    let patch = edit(&named(&["main"]), &before, PAIR, &weights("95/5"), &record)
        .expect("edits")
        .expect("a patch");
    assert_eq!(
        patch["spec"].as_object().expect("a spec").keys().collect::<Vec<_>>(),
        ["http"],
        "TCP has no change"
    );
    let after = merge(&before, &patch);
    let mut expected = before.clone();
    expected["spec"]["http"][0]["route"][0]["weight"] = json!(76);
    expected["spec"]["http"][0]["route"][2]["weight"] = json!(4);
    expected["metadata"]["annotations"][RECORD] = after["metadata"]["annotations"][RECORD].clone();
    // As texts: also the order of all keys is what it was.
    assert_eq!(after["spec"].to_string(), expected["spec"].to_string());
    assert_eq!(after, expected);
    assert_eq!(
        observe(&named(&["main"]), &after, PAIR).expect("observes").moving,
        Some(record.clone())
    );
    let alone = annotate(&named(&["main"]), &before, PAIR, &record)
        .expect("annotates")
        .expect("a patch");
    assert_eq!(alone.get("spec"), None);
    assert_eq!(annotate(&named(&["main"]), &after, PAIR, &record), Ok(None));
    before["metadata"]["resourceVersion"] = json!("");
    let problem = edit(&named(&["main"]), &before, PAIR, &weights("1/1"), &record).expect_err("a problem");
    assert_eq!(problem.path, "metadata.resourceVersion");
}

#[test]
fn roles_may_change() {
    let swapped = Pair {
        stable: PAIR.canary,
        canary: PAIR.stable,
    };
    let before = object(&format!("{{http: [{}]}}", route("app-stable=100 app-canary=0")));
    let wanted = Weights {
        by_service: [(PAIR.stable.to_owned(), 30), (PAIR.canary.to_owned(), 70)].into(),
    };
    let patch = edit(&config(), &before, swapped, &wanted, &moving("app-stable/a=1", &[]))
        .expect("edits")
        .expect("a patch");
    assert_eq!(written(&merge(&before, &patch)), "30 70");
}

#[test]
fn istio_is_listened_to_where_it_reports() {
    let check = |what: &str, status: &str, expected: Expect| {
        let mut object = object(&format!("{{http: [{}]}}", route("app-stable=100 app-canary=0")));
        object["status"] = yaml(status);
        eprintln!("{what}");
        let seen = match observe(&config(), &object, PAIR).expect("observes").acknowledgement {
            Acknowledgement::Acknowledged => "acknowledged".to_owned(),
            Acknowledgement::Pending(text) => format!("pending: {text}"),
            Acknowledgement::Refused(text) => format!("refused: {text}"),
        };
        expected.assert_eq(&seen);
    };
    let reconciled =
        |status: &str, rest: &str| format!("{{conditions: [{{type: Reconciled, status: '{status}'{rest}}}]}}");
    check("nothing", "null", expect!["acknowledged"]);
    check(
        "another condition",
        "{conditions: [{type: Ready, status: 'False', observedGeneration: 1}]}",
        expect!["acknowledged"],
    );
    check(
        "this generation",
        &reconciled("True", ", observedGeneration: 4"),
        expect!["acknowledged"],
    );
    check(
        "an older one",
        &reconciled("True", ", observedGeneration: 3"),
        expect!["pending: Istio has seen generation 3 and not yet 4 (Reconciled)"],
    );
    check(
        "not all proxies",
        &reconciled("False", ", observedGeneration: '4', message: 1/2 proxies up to date."),
        expect!["pending: Istio says Reconciled=False: 1/2 proxies up to date."],
    );
    check(
        "the generation beside the conditions",
        "{observedGeneration: '3', conditions: [{type: Reconciled, status: 'True'}]}",
        expect!["pending: Istio has seen generation 3 and not yet 4 (Reconciled)"],
    );
    check(
        "no generation says nothing of this one",
        &reconciled("False", ""),
        expect!["acknowledged"],
    );
}

#[test]
fn writers_of_any_list_of_routes_are_named() {
    let mut object = object(&format!("{{http: [{}]}}", route("app-stable=100 app-canary=0")));
    let entry = |manager: &str, time: &str, field: &str| {
        let list = format!("f:{field}");
        json!({"manager": manager, "operation": "Update", "time": time, "fieldsV1": {"f:spec": {list: {}}}})
    };
    object["metadata"]["managedFields"] = json!([
        entry("argocd", "2026-03-01T12:00:00Z", "tls"),
        entry("kubectl", "2026-03-01T11:00:00Z", "http"),
        entry("dns", "2026-03-01T13:00:00Z", "hosts"),
        entry("sluice-controller", "2026-03-01T14:00:00Z", "http"),
    ]);
    let observed = observe(&config(), &object, PAIR).expect("observes");
    assert_eq!(observed.foreign_manager.as_deref(), Some("argocd"));
    assert_eq!(last_write(&object).expect("a time").to_string(), "2026-03-01T14:00:00Z");
}
