//! Objects that are given back: they are as their owner wrote them, and what is not of the Rollout stays.

use serde_json::{Value, json};
use sluice_traffic::{
    MANAGED_BY_ANNOTATION, ManagedRoute, Moving, Rest, Router,
    registry::Seen,
    release::{Left, Release, destination_rules, routes, services},
    routers::{destination_rule, http_route, service},
};

use crate::common::{PAIR, RECORD, merge, moving, route, weights, yaml};

/// The record of a split with 20 of 100 for the canary, in the midst of an update.
fn at_20(rules: &[&str]) -> Moving {
    Moving {
        rest: Some(Rest {
            stable: PAIR.stable.to_owned(),
            rules: rules.iter().map(|&rule| rule.to_owned()).collect(),
        }),
        ..moving("app-stable/a=80 app-canary/b=20", &["app-stable/a=100 app-canary/b=0"])
    }
}

fn a_service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": name, "namespace": "shop", "resourceVersion": "5",
            "annotations": { MANAGED_BY_ANNOTATION: "app", "mine": "1" },
        },
        "spec": { "selector": { "app": "app" } },
    })
}

/// What is released of these objects, where the Rollout `app` with its two Services is gone.
fn released(objects: &[&Value]) -> Vec<Release> {
    let pair = [a_service(PAIR.stable), a_service(PAIR.canary)];
    routes(&Left {
        rollout: "app",
        services: pair.iter().collect(),
        objects: objects.to_vec(),
    })
}

/// The object after it was given back; that this is the end of it is checked.
fn after(object: &Value) -> Value {
    let releases = released(&[object]);
    let [Release::Patch { object: named, patch }] = releases.as_slice() else {
        panic!("one patch is wanted, not {releases:?}");
    };
    assert_eq!(
        (named.kind.as_str(), named.name.as_str()),
        (object["kind"].as_str().expect("a kind"), "app")
    );
    assert_eq!(
        patch["metadata"]["resourceVersion"],
        object["metadata"]["resourceVersion"]
    );
    let after = merge(object, patch);
    assert_eq!(released(&[&after]), [], "a second look finds nothing to do");
    after
}

/// The object without annotations where there is none left.
fn tidy(mut object: Value) -> Value {
    let metadata = object["metadata"].as_object_mut().expect("metadata");
    if metadata.get("annotations") == Some(&json!({})) {
        metadata.remove("annotations");
    }
    object
}

fn edited(router: &Router, before: &Value, split: &str, record: &Moving) -> Value {
    let patch = router.edit(before, PAIR, &weights(split), record).expect("an edit");
    merge(before, &patch.expect("a patch"))
}

fn gateway(rules: &[&str], managed_routes: &[&str]) -> Router {
    let text = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    Router::HttpRoute(http_route::Config {
        name: "app".to_owned(),
        namespace: None,
        rules: text(rules),
        managed_routes: text(managed_routes),
    })
}

#[test]
fn a_route_in_the_midst_of_an_update_is_as_it_was() {
    let rules = "[{name: a, backendRefs: [{name: app-stable, weight: 100}, {name: app-canary, weight: 0}]},
                  {backendRefs: [{name: app-stable, weight: 50}, {name: app-canary, weight: 0}, {name: other, weight: 50}]},
                  {backendRefs: [{name: login}]}]";
    let before = route(rules);
    let moved = edited(&gateway(&[], &[]), &before, "80/20", &at_20(&[]));
    assert_ne!(moved["spec"], before["spec"]);
    assert_eq!(tidy(after(&moved)), before);
}

#[test]
fn a_canary_that_has_everything_is_not_taken_for_stable() {
    let before = route("[{backendRefs: [{name: app-stable, weight: 100}, {name: app-canary, weight: 0}]}]");
    let record = Moving {
        rest: at_20(&[]).rest,
        ..moving("app-stable/a=0 app-canary/b=100", &[])
    };
    let moved = edited(&gateway(&[], &[]), &before, "0/100", &record);
    assert_eq!(tidy(after(&moved)), before);
    // Without the note it is at rest so: the two Services change roles.
    let turned = edited(
        &gateway(&[], &[]),
        &before,
        "0/100",
        &moving("app-stable/a=0 app-canary/b=100", &[]),
    );
    assert_eq!(after(&turned)["spec"], turned["spec"]);
}

#[test]
fn a_settled_route_only_loses_the_record() {
    let before = route("[{backendRefs: [{name: app-stable, weight: 100}, {name: app-canary, weight: 0}]}]");
    let mut settled = before.clone();
    let record = json!(moving(
        "app-stable/b=100 app-canary/b=0",
        &["app-stable/a=0 app-canary/b=100"]
    ));
    settled["metadata"]["annotations"] = json!({ RECORD: record.to_string(), "mine": "1" });
    let releases = released(&[&settled]);
    let [Release::Patch { patch, .. }] = releases.as_slice() else {
        panic!("{releases:?}");
    };
    assert_eq!(patch.get("spec"), None);
    assert_eq!(after(&settled)["metadata"]["annotations"], json!({ "mine": "1" }));
}

#[test]
fn what_somebody_else_wrote_since_is_theirs() {
    let rules = |split: (u32, u32)| {
        route(&format!(
            "[{{backendRefs: [{{name: app-stable, weight: {}}}, {{name: app-canary, weight: {}}}]}}]",
            split.0, split.1
        ))
    };
    let mut moved = rules((60, 40));
    moved["metadata"]["annotations"] = json!({ RECORD: json!(at_20(&[])).to_string() });
    assert_eq!(tidy(after(&moved)), rules((60, 40)));
}

#[test]
fn only_rules_that_were_named_are_set_back() {
    let before = route(
        "[{name: ours, backendRefs: [{name: app-stable, weight: 100}, {name: app-canary, weight: 0}]},
          {name: theirs, backendRefs: [{name: app-stable, weight: 80}, {name: app-canary, weight: 20}]}]",
    );
    let moved = edited(&gateway(&["ours"], &[]), &before, "80/20", &at_20(&["ours"]));
    assert_eq!(tidy(after(&moved)), before);
}

fn header_route() -> Vec<ManagedRoute> {
    let step = json!({ "setHeaderRoute": { "name": "testers", "match": [
        { "headerName": "x-tester", "headerValue": { "exact": "yes" } } ] } });
    ManagedRoute::after([&step], &["testers".to_owned()]).expect("a step")
}

#[test]
fn rules_that_steps_have_added_are_taken_away() {
    let rule = "{backendRefs: [{name: app-stable, weight: 100}, {name: app-canary, weight: 0}]}";
    let before = route(&format!(
        "[{rule}, {{name: testers-too, backendRefs: [{{name: app-canary}}]}}]"
    ));
    let router = gateway(&[], &["testers"]);
    let record = moving("app-stable/a=100 app-canary/b=0", &[]);
    let patch = router.edit_managed_routes(&before, PAIR, &header_route(), &record);
    let tested = merge(&before, &patch.expect("an edit").expect("a patch"));
    assert_eq!(tested["spec"]["rules"].as_array().expect("rules").len(), 3);
    assert_eq!(tidy(after(&tested)), before);
    let moved = edited(&router, &tested, "80/20", &at_20(&[]));
    assert_eq!(tidy(after(&moved)), before);
    // A CRD that is older than names of rules has dropped them.
    let before = route(&format!("[{rule}]"));
    let patch = router.edit_managed_routes(&before, PAIR, &header_route(), &record);
    let mut nameless = merge(&before, &patch.expect("an edit").expect("a patch"));
    nameless["spec"]["rules"][0]
        .as_object_mut()
        .expect("a rule")
        .remove("name");
    assert_eq!(tidy(after(&nameless)), before);
}

#[test]
fn other_rollouts_on_the_same_route_keep_their_split_and_their_record() {
    let mut shared = route(
        "[{backendRefs: [{name: app-stable, weight: 80}, {name: app-canary, weight: 20}]},
          {backendRefs: [{name: web-stable, weight: 80}, {name: web-canary, weight: 20}]}]",
    );
    let theirs = json!({ "at": "2026-03-01T12:00:00Z", "to": { "total": 100, "parts": {
        "web-stable/a": 80, "web-canary/b": 20 } }, "rest": { "stable": "web-stable" } });
    shared["metadata"]["annotations"] =
        json!({ RECORD: json!(at_20(&[])).to_string(), "moving.sluice.dev/web-canary": theirs.to_string() });
    let after = after(&shared);
    assert_eq!(crate::common::written(&after), "100 0 | 80 20");
    let annotations = after["metadata"]["annotations"].as_object().expect("annotations");
    assert_eq!(annotations.keys().collect::<Vec<_>>(), ["moving.sluice.dev/web-canary"]);
}

#[test]
fn a_record_that_cannot_be_read_is_taken_away_and_the_weights_stay() {
    let mut broken = route("[{backendRefs: [{name: app-stable, weight: 80}, {name: app-canary, weight: 20}]}]");
    broken["metadata"]["annotations"] = json!({ RECORD: "{" });
    let after = after(&broken);
    assert_eq!(crate::common::written(&after), "80 20");
    assert_eq!(after["metadata"]["annotations"], json!({}));
}

fn virtual_service(spec: &str) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": { "name": "app", "namespace": "shop", "resourceVersion": "9" },
        "spec": yaml(spec),
    })
}

#[test]
fn a_virtual_service_is_as_it_was_with_all_its_kinds_of_routes() {
    let pair = "route: [{destination: {host: app-stable}, weight: 100}, {destination: {host: app-canary.shop.svc}, weight: 0}]";
    let before = virtual_service(&format!(
        "{{http: [{{name: main, {pair}}}, {{route: [{{destination: {{host: other}}}}]}}],
          tcp: [{{match: [{{port: 3306}}], {pair}}}]}}"
    ));
    let config = json!({ "virtualService": { "name": "app", "routes": ["main"], "tcpRoutes": [{ "port": 3306 }] } });
    let router = Router::from_istio(&config).expect("a configuration").remove(0);
    let router = router.with_managed_routes(&["testers".to_owned()]);
    let moved = edited(&router, &before, "80/20", &at_20(&["main"]));
    assert_ne!(moved["spec"]["tcp"], before["spec"]["tcp"]);
    assert_eq!(tidy(after(&moved)), before);
    // With a header route, of which only our annotation tells.
    let patch = router.edit_managed_routes(&moved, PAIR, &header_route(), &at_20(&["main"]));
    let tested = merge(&moved, &patch.expect("an edit").expect("a patch"));
    assert_eq!(tested["spec"]["http"].as_array().expect("routes").len(), 3);
    assert_eq!(tidy(after(&tested)), before);
    let patch = router.edit_managed_routes(&tested, PAIR, &[], &at_20(&["main"]));
    let unrouted = merge(&tested, &patch.expect("an edit").expect("a patch"));
    assert_eq!(unrouted, moved, "without the step nothing is left of the route");
}

#[test]
fn subsets_lead_to_the_virtual_services_of_their_host_alone() {
    let rule = |host: &str, labels: &str| {
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
            "metadata": { "name": host, "namespace": "shop", "resourceVersion": "7" },
            "spec": { "host": host, "subsets": yaml(&format!(
                "[{{name: app-stable, labels: {{app: a{labels}}}}}, {{name: app-canary}}, {{name: other, labels: {{v: '1'}}}}]")) },
        })
    };
    let before = rule("app", "");
    let mut switched = before.clone();
    for (subset, revision) in [("app-stable", "a"), ("app-canary", "b")] {
        let record = moving(&format!("{subset}/{revision}=100"), &[]);
        let patch = destination_rule::edit(&switched, subset, revision, "app", &record);
        switched = merge(&switched, &patch.expect("an edit").expect("a patch"));
    }
    let split = |host: &str| {
        let to =
            |subset: &str, weight: u32| json!({ "destination": { "host": host, "subset": subset }, "weight": weight });
        let mut service = virtual_service("{}");
        service["spec"]["http"] = json!([{ "route": [to("app-stable", 80), to("app-canary", 20)] }]);
        service["metadata"]["annotations"] = json!({ RECORD: json!(at_20(&[])).to_string() });
        service
    };
    let (ours, others) = (split("app.shop.svc.cluster.local"), split("web"));
    let left = |objects: Vec<Value>| {
        let left = Left {
            rollout: "app",
            services: vec![],
            objects: objects.iter().collect(),
        };
        (
            routes(&left),
            destination_rules(&left, true),
            destination_rules(&left, false),
        )
    };
    let (routes, marked, unmarked) = left(vec![switched.clone(), ours.clone(), others]);
    let [Release::Patch { patch, .. }] = routes.as_slice() else {
        panic!("{routes:?}");
    };
    let route = merge(&ours, patch);
    assert_eq!(route["metadata"]["annotations"], json!({}));
    let weights: Vec<&Value> = route["spec"]["http"][0]["route"]
        .as_array()
        .expect("a route")
        .iter()
        .collect();
    assert_eq!([&weights[0]["weight"], &weights[1]["weight"]], [&json!(100), &json!(0)]);
    // First the labels go, and with them the marks only when the routes are done.
    let patch = |releases: &[Release]| match releases {
        [Release::Patch { patch, .. }] => patch.clone(),
        other => panic!("{other:?}"),
    };
    let opened = merge(&switched, &patch(&marked));
    assert_eq!(opened["spec"], before["spec"]);
    assert_eq!(opened["metadata"]["annotations"], switched["metadata"]["annotations"]);
    assert_eq!(tidy(merge(&switched, &patch(&unmarked))), before);
    let (_, marked, unmarked) = left(vec![opened.clone()]);
    assert_eq!(marked, []);
    assert_eq!(tidy(merge(&opened, &patch(&unmarked))), before);
    let (_, marked, unmarked) = left(vec![before]);
    assert_eq!((marked, unmarked), (vec![], vec![]));
}

#[test]
fn a_canary_ingress_is_deleted_where_it_was_made_for_the_rollout() {
    let config = json!({ "stableIngress": "app" });
    let router = Router::from_nginx(&config, "app", None)
        .expect("a configuration")
        .remove(0);
    let stable = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": { "name": "app", "namespace": "shop", "resourceVersion": "3" },
        "spec": { "rules": [{ "http": { "paths": [{ "path": "/", "backend": { "service": { "name": "app-stable" } } }] } }] },
    });
    let sources = [Some(&stable)];
    let seen = Seen {
        object: None,
        sources: &sources,
    };
    let made = router
        .create(seen, PAIR, &weights("80/20"), &at_20(&[]))
        .expect("an Ingress");
    let belonging = |owners: Value| {
        let mut made = made.clone();
        made["metadata"]["namespace"] = json!("shop");
        made["metadata"]["uid"] = json!("u-9");
        made["metadata"]["resourceVersion"] = json!("4");
        made["metadata"]["ownerReferences"] = owners;
        made
    };
    let owner = |kind: &str, name: &str| json!([{ "kind": kind, "name": name, "uid": "x", "controller": true }]);
    let deletes = |object: &Value| match released(&[&stable, object]).as_slice() {
        [] => None,
        [
            Release::Delete {
                object,
                uid,
                resource_version,
            },
        ] => Some(format!("{} {uid} {resource_version}", object.name)),
        other => panic!("{other:?}"),
    };
    let wanted = Some("app-app-canary u-9 4".to_owned());
    assert_eq!(deletes(&belonging(owner("Rollout", "app"))), wanted);
    assert_eq!(
        deletes(&belonging(json!([]))),
        wanted,
        "its owner was deleted and it was not"
    );
    assert_eq!(deletes(&belonging(owner("Rollout", "web"))), None);
    assert_eq!(deletes(&belonging(owner("App", "app"))), None);
    let mut without_record = belonging(owner("Rollout", "app"));
    without_record["metadata"]["annotations"]
        .as_object_mut()
        .expect("annotations")
        .remove(RECORD);
    assert_eq!(deletes(&without_record), None);
}

#[test]
fn services_keep_their_marks_until_the_routes_are_done() {
    let before = a_service(PAIR.stable);
    let mut plain = before.clone();
    plain["metadata"]["annotations"] = json!({ "mine": "1" });
    let patch = service::edit(&before, "a", "app", &moving("app-stable/a=100", &[]));
    let switched = merge(&before, &patch.expect("an edit").expect("a patch"));
    let released = |service: &Value, is_marked| {
        let left = Left {
            rollout: "app",
            services: vec![service],
            objects: vec![],
        };
        let patches = services(&left, is_marked);
        patches.first().map(|(_, patch)| merge(service, patch))
    };
    let opened = released(&switched, true).expect("a patch");
    assert_eq!(opened["spec"], before["spec"]);
    assert_eq!(opened["metadata"]["annotations"], switched["metadata"]["annotations"]);
    assert_eq!(released(&opened, true), None);
    assert_eq!(released(&opened, false), Some(plain.clone()));
    assert_eq!(released(&switched, false), Some(plain.clone()));
    assert_eq!(released(&plain, false), None);
}
