//! The canary Ingress of ingress-nginx.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use sluice_traffic::{
    Acknowledgement, Router, Seen, Weights,
    routers::ingress::{Config, annotate, canary_name, create, edit, is_owned_by, last_write, observe},
};

use crate::common::{PAIR, RECORD, by_name, merge, moving, weights, yaml};

pub fn config() -> Config {
    Config {
        stable_ingress: "web".to_owned(),
        canary_ingress: "app-web-canary".to_owned(),
        annotation_prefix: "nginx.ingress.kubernetes.io".to_owned(),
        additional_annotations: BTreeMap::new(),
        canary_annotations: BTreeMap::new(),
        max_weight: None,
    }
}

/// The user's Ingress with these rules (YAML).
fn stable_with(rules: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "web", "namespace": "shop", "resourceVersion": "5", "annotations": {
            "kubernetes.io/ingress.class": "nginx", "nginx.ingress.kubernetes.io/rewrite-target": "/", "team": "shop",
        }},
        "spec": {
            "ingressClassName": "nginx",
            "tls": [{"hosts": ["app.test"], "secretName": "app"}],
            "defaultBackend": {"service": {"name": "app-stable", "port": {"number": 80}}},
            "rules": yaml(rules),
        },
    })
}

pub fn stable() -> Value {
    stable_with(
        "[{host: app.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: app-stable, port: {name: http}}}},
                                          {path: /login, pathType: Exact, backend: {service: {name: login, port: {number: 80}}}}]}},
          {host: login.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: login, port: {number: 80}}}}]}},
          {host: all.test}]",
    )
}

/// What the API server makes of a created object.
pub fn stored(mut created: Value) -> Value {
    created["metadata"]["namespace"] = json!("shop");
    created["metadata"]["resourceVersion"] = json!("77");
    created["metadata"]["generation"] = json!(2);
    created["metadata"]["ownerReferences"] = json!([{"kind": "Rollout", "uid": "u-1", "controller": true}]);
    created
}

fn made(config: &Config, wanted: &str) -> Value {
    let record = moving("app-stable/a=1", &[]);
    stored(create(config, &stable(), PAIR, &weights(wanted), &record).expect("creates"))
}

fn prefixed(name: &str) -> String {
    format!("nginx.ingress.kubernetes.io/{name}")
}

#[test]
fn what_is_created_has_only_the_paths_of_the_stable_service() {
    let record = moving("app-stable/a=90 app-canary/b=10", &["app-stable/a=100"]);
    let created = create(&config(), &stable(), PAIR, &weights("90/10"), &record).expect("creates");
    let expected = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "app-web-canary", "annotations": {
            "kubernetes.io/ingress.class": "nginx",
            "nginx.ingress.kubernetes.io/canary": "true",
            "nginx.ingress.kubernetes.io/canary-weight": "10",
            RECORD: serde_json::to_string(&record).expect("JSON"),
        }},
        "spec": {
            "ingressClassName": "nginx",
            "tls": [{"hosts": ["app.test"], "secretName": "app"}],
            "rules": [{"host": "app.test", "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "app-canary", "port": {"name": "http"}}}},
            ]}}],
        },
    });
    assert_eq!(created, expected);
    let observed = observe(&config(), Some(&stored(created)), Some(&stable()), PAIR).expect("observes");
    assert_eq!(by_name(&observed.managed[0]), "app-canary=10 app-stable=90");
    assert_eq!(observed.moving, Some(record));
    assert_eq!(
        (observed.acknowledgement, observed.generation, observed.outdated),
        (Acknowledgement::Acknowledged, 2, false)
    );
    // Without class and TLS there is no trace of them.
    let mut bare = stable();
    bare["metadata"]["annotations"] = json!(null);
    bare["spec"] = json!({"rules": bare["spec"]["rules"]});
    let created = create(&config(), &bare, PAIR, &weights("1/0"), &moving("app-stable/a=1", &[])).expect("creates");
    assert_eq!(
        created["spec"].as_object().expect("a spec").keys().collect::<Vec<_>>(),
        ["rules"]
    );
    assert_eq!(
        created["metadata"]["annotations"].get("kubernetes.io/ingress.class"),
        None
    );
}

#[test]
fn annotations_of_the_configuration_are_added_and_ours_win() {
    let config = Config {
        additional_annotations: BTreeMap::from([
            ("canary-by-header".to_owned(), "X-Canary".to_owned()),
            (prefixed("proxy-body-size"), "8m".to_owned()),
            ("canary-weight".to_owned(), "100".to_owned()),
        ]),
        canary_annotations: BTreeMap::from([("example.com/a".to_owned(), "b".to_owned())]),
        max_weight: Some(1000),
        ..config()
    };
    let canary = made(&config, "995/5");
    let annotations = &canary["metadata"]["annotations"];
    assert_eq!(annotations[prefixed("canary-by-header")], "X-Canary");
    assert_eq!(annotations[prefixed("proxy-body-size")], "8m");
    assert_eq!(annotations[prefixed("canary-weight")], "5");
    assert_eq!(annotations[prefixed("canary-weight-total")], "1000");
    assert_eq!(annotations["example.com/a"], "b");
    let observed = observe(&config, Some(&canary), Some(&stable()), PAIR).expect("observes");
    assert_eq!(by_name(&observed.managed[0]), "app-canary=5 app-stable=995");
    assert_eq!(
        observed.unmanaged.len(),
        1,
        "a header sends requests to the canary at any weight"
    );
    assert!(!observed.outdated);
    // Taken out of the configuration, they go; those of others stay.
    let plain = Config {
        additional_annotations: BTreeMap::new(),
        max_weight: None,
        ..config
    };
    let mut canary = canary;
    canary["metadata"]["annotations"]["cert.example.com/x"] = json!("y");
    assert!(
        observe(&plain, Some(&canary), Some(&stable()), PAIR)
            .expect("observes")
            .outdated
    );
    let record = moving("app-stable/a=1", &[]);
    let patch = edit(&plain, &canary, Some(&stable()), PAIR, &weights("95/5"), &record)
        .expect("edits")
        .expect("a patch");
    let after = merge(&canary, &patch);
    let annotations = after["metadata"]["annotations"].as_object().expect("annotations");
    let ours: Vec<&String> = annotations.keys().filter(|key| key.starts_with("nginx.")).collect();
    assert_eq!(ours, [&prefixed("canary"), &prefixed("canary-weight")]);
    assert_eq!(annotations["cert.example.com/x"], "y");
    assert_eq!(annotations["example.com/a"], "b");
}

#[test]
fn an_absent_canary_gets_nothing() {
    let observed = observe(&config(), None, None, PAIR).expect("observes");
    assert_eq!(by_name(&observed.managed[0]), "app-canary=0 app-stable=100");
    assert_eq!(
        (observed.unmanaged.len(), observed.moving, observed.generation),
        (0, None, 0)
    );
}

#[test]
fn weights_are_read_as_the_data_plane_may_read_them_at_worst() {
    let check = |what: &str, annotations: &str, expected: Expect| {
        let mut canary = made(&config(), "100/0");
        canary["metadata"]["annotations"] = yaml(annotations);
        let observed = observe(&config(), Some(&canary), None, PAIR).expect("observes");
        eprintln!("{what}");
        let list = |all: &[Weights]| all.iter().map(by_name).collect::<Vec<_>>().join(" | ");
        expected.assert_eq(&format!("{}; {}", list(&observed.managed), list(&observed.unmanaged)));
    };
    let with = |rest: &str| format!("{{nginx.ingress.kubernetes.io/canary: 'true'{rest}}}");
    let weight = |weight: &str| with(&format!(", nginx.ingress.kubernetes.io/canary-weight: '{weight}'"));
    let total = |total: &str| {
        with(&format!(
            ", nginx.ingress.kubernetes.io/canary-weight: '5', nginx.ingress.kubernetes.io/canary-weight-total: '{total}'"
        ))
    };
    check("usual", &weight("20"), expect!["app-canary=20 app-stable=80; "]);
    check("no weight", &with(""), expect!["app-canary=0 app-stable=100; "]);
    check(
        "more than all",
        &weight("200"),
        expect!["app-canary=100 app-stable=0; "],
    );
    check("no number", &weight("a few"), expect!["app-canary=100 app-stable=0; "]);
    check("below nothing", &weight("-1"), expect!["app-canary=100 app-stable=0; "]);
    check("another total", &total("50"), expect!["app-canary=5 app-stable=45; "]);
    check(
        "a total of nothing",
        &total("0"),
        expect!["app-canary=100 app-stable=0; "],
    );
    check(
        "not a canary",
        "{nginx.ingress.kubernetes.io/canary-weight: '20'}",
        expect!["app-canary=100 app-stable=0; "],
    );
    check(
        "not a canary any more",
        "{nginx.ingress.kubernetes.io/canary: 'false'}",
        expect!["app-canary=100 app-stable=0; "],
    );
    check(
        "a cookie",
        &with(", nginx.ingress.kubernetes.io/canary-by-cookie: c"),
        expect!["app-canary=0 app-stable=100; app-canary=1"],
    );
}

#[test]
fn an_edit_brings_weight_and_copied_fields_up_to_date_and_nothing_else() {
    let before = made(&config(), "100/0");
    let record = moving("app-stable/a=80 app-canary/b=20", &["app-stable/a=100"]);
    let edited = |before: &Value, stable: &Value, wanted: &str| {
        edit(&config(), before, Some(stable), PAIR, &weights(wanted), &record).expect("edits")
    };
    let patch = edited(&before, &stable(), "80/20").expect("a patch");
    let expected = json!({"metadata": {"resourceVersion": "77", "annotations": {
        prefixed("canary-weight"): "20",
        RECORD: serde_json::to_string(&record).expect("JSON"),
    }}});
    assert_eq!(patch, expected);
    let after = merge(&before, &patch);
    assert_eq!(
        edited(&after, &stable(), "80/20"),
        None,
        "a second edit has nothing to do"
    );
    assert_eq!(edited(&after, &stable(), "4/1"), None, "nor the same shares");
    // The user moves the host, takes TLS away and changes the class.
    let mut moved = stable();
    moved["spec"]["rules"][0]["host"] = json!("new.test");
    moved["spec"]["ingressClassName"] = json!("other");
    moved["spec"].as_object_mut().expect("a spec").remove("tls");
    moved["metadata"]["annotations"]
        .as_object_mut()
        .expect("annotations")
        .remove("kubernetes.io/ingress.class");
    assert!(
        observe(&config(), Some(&after), Some(&moved), PAIR)
            .expect("observes")
            .outdated
    );
    let patch = edited(&after, &moved, "80/20").expect("a patch");
    assert_eq!(patch["spec"]["tls"], Value::Null);
    assert_eq!(
        patch["metadata"]["annotations"].get(prefixed("canary-weight")),
        None,
        "the weight is as it was"
    );
    let last = merge(&after, &patch);
    assert_eq!(last["spec"]["rules"][0]["host"], "new.test");
    assert_eq!(last["spec"]["rules"].as_array().expect("rules").len(), 1);
    assert_eq!(
        (last["spec"].get("tls"), &last["spec"]["ingressClassName"]),
        (None, &json!("other"))
    );
    assert!(
        !observe(&config(), Some(&last), Some(&moved), PAIR)
            .expect("observes")
            .outdated
    );
    assert_eq!(edited(&last, &moved, "80/20"), None);
    // Whoever added a field to it keeps it.
    let mut foreign = last.clone();
    foreign["metadata"]["labels"] = json!({"a": "b"});
    foreign["spec"]["future"] = json!([1]);
    let after = merge(&foreign, &edited(&foreign, &moved, "1/1").expect("a patch"));
    assert_eq!(
        (&after["metadata"]["labels"], &after["spec"]["future"]),
        (&json!({"a": "b"}), &json!([1]))
    );
}

#[test]
fn an_ingress_without_the_stable_service_is_a_problem_but_not_for_an_abort() {
    let none = stable_with("[{host: a, http: {paths: [{path: /, backend: {service: {name: other}}}]}}]");
    let record = moving("app-stable/a=1", &[]);
    let text = "Ingress shop/web: spec.rules: ingress `web` has no rules using service app-stable backend";
    let problem = create(&config(), &none, PAIR, &weights("1/0"), &record).expect_err("a problem");
    assert_eq!(problem.to_string(), text);
    let canary = made(&config(), "80/20");
    let problem = edit(&config(), &canary, Some(&none), PAIR, &weights("1/1"), &record).expect_err("a problem");
    assert_eq!(problem.to_string(), text);
    let problem = edit(&config(), &canary, None, PAIR, &weights("1/1"), &record).expect_err("a problem");
    assert_eq!(
        problem.to_string(),
        "Ingress shop/web: metadata: is missing: it is the Ingress that the canary's is copied from"
    );
    for stable in [None, Some(&none)] {
        let patch = edit(&config(), &canary, stable, PAIR, &weights("100/0"), &record)
            .expect("edits")
            .expect("a patch");
        let after = merge(&canary, &patch);
        assert_eq!(after["metadata"]["annotations"][prefixed("canary-weight")], "0");
        assert_eq!(after["spec"], canary["spec"], "nothing else is touched");
    }
}

#[test]
fn shares_finer_than_the_total_are_refused() {
    let record = moving("app-stable/a=1", &[]);
    let problem = create(&config(), &stable(), PAIR, &weights("999/1"), &record).expect_err("a problem");
    expect!["Ingress shop/app-web-canary: metadata.annotations: the split 999:1 cannot be written in whole parts of 100: set maxTrafficWeight to a multiple of 1000"].assert_eq(&problem.to_string());
    let finer = Config {
        max_weight: Some(1000),
        ..config()
    };
    assert_eq!(
        made(&finer, "999/1")["metadata"]["annotations"][prefixed("canary-weight")],
        "1"
    );
}

#[test]
fn somebody_elses_ingress_is_told_apart() {
    let mut canary = made(&config(), "100/0");
    assert!(is_owned_by(&canary, "u-1"));
    assert!(!is_owned_by(&canary, "u-2"));
    let router = Router::CanaryIngress(config());
    assert_eq!(router.owner_problem(&canary, "u-1"), None);
    let problem = router.owner_problem(&canary, "u-2").expect("a problem");
    assert_eq!(
        problem.problem,
        "canary ingress `app-web-canary` controlled by different object"
    );
    canary["metadata"]["ownerReferences"][0]["controller"] = json!(false);
    assert!(!is_owned_by(&canary, "u-1"), "an owner that does not control");
    canary["metadata"]["ownerReferences"] = json!(null);
    assert!(!is_owned_by(&canary, "u-1"));
}

#[test]
fn names_are_cut_to_the_length_that_an_object_may_have() {
    assert_eq!(canary_name("app", "web"), "app-web-canary");
    let long = canary_name("app", &"x".repeat(300));
    assert_eq!(long.len(), 253);
    assert!(long.starts_with("app-xxx") && long.ends_with("xxx-canary"));
    // What would be no name is cut further.
    let point = canary_name("app", &format!("{}.{}", "x".repeat(241), "y".repeat(9)));
    assert_eq!(point.len(), 252);
    assert!(point.ends_with("xxx-canary"));
}

#[test]
fn the_router_creates_what_is_absent_and_edits_what_is_there() {
    let router = Router::CanaryIngress(config());
    assert!(router.creates_object());
    assert_eq!(router.object("shop").to_string(), "Ingress shop/app-web-canary");
    assert_eq!(
        router
            .sources("shop")
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["Ingress shop/web"]
    );
    let (stable, record) = (stable(), moving("app-stable/a=1", &[]));
    let sources = [Some(&stable)];
    let absent = Seen {
        object: None,
        sources: &sources,
    };
    assert_eq!(
        router.observe(absent, PAIR).expect("observes").managed,
        [weights("100/0")]
    );
    assert!(
        router.edit(absent, PAIR, &weights("1/1"), &record).is_err(),
        "there is nothing to edit"
    );
    let canary = stored(
        router
            .create(absent, PAIR, &weights("90/10"), &record)
            .expect("creates"),
    );
    let there = Seen {
        object: Some(&canary),
        sources: &sources,
    };
    assert_eq!(
        router.observe(there, PAIR).expect("observes").managed,
        [weights("90/10")]
    );
    assert_eq!(router.edit(there, PAIR, &weights("9/1"), &record), Ok(None));
    assert!(
        router
            .edit(there, PAIR, &weights("1/1"), &record)
            .expect("edits")
            .is_some()
    );
    let nothing = Seen {
        object: None,
        sources: &[None],
    };
    let problem = router
        .create(nothing, PAIR, &weights("1/0"), &record)
        .expect_err("a problem");
    assert_eq!(problem.object.name, "web");
    assert_eq!(router.edit_managed_routes(there, PAIR, &[], &record), Ok(None));
    let other = moving("app-stable/z=1", &[]);
    let patch = annotate(&config(), &canary, PAIR, &other)
        .expect("annotates")
        .expect("a patch");
    let noted = merge(&canary, &patch);
    assert_eq!(router.observe(&noted, PAIR).expect("observes").moving, Some(other));
}

#[test]
fn writers_of_the_weight_are_named() {
    let mut canary = made(&config(), "100/0");
    let fields = json!({"f:metadata": {"f:annotations": {format!("f:{}", prefixed("canary-weight")): {}}}});
    canary["metadata"]["managedFields"] = json!([
        {"manager": "kubectl", "operation": "Update", "time": "2026-03-01T12:00:00Z", "fieldsV1": fields},
        {"manager": "team", "operation": "Update", "time": "2026-03-01T13:00:00Z",
         "fieldsV1": {"f:metadata": {"f:annotations": {"f:team": {}}}}},
    ]);
    let observed = observe(&config(), Some(&canary), None, PAIR).expect("observes");
    assert_eq!(observed.foreign_manager.as_deref(), Some("kubectl"));
    assert_eq!(
        last_write(&config(), &canary).expect("a time").to_string(),
        "2026-03-01T12:00:00Z"
    );
}
