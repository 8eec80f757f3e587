//! The models alone: no controller runs.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::models::{Entry, Flow, Health, LossReason, ModelConfig, Version};
use crate::{Cluster, Command, Config, Key, Kind, Part, START};

fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn cluster(change: impl FnOnce(&mut ModelConfig)) -> Cluster {
    let mut config = Config {
        controllers: 0,
        ..Config::new(1)
    };
    change(&mut config.models);
    Cluster::new(config)
}

fn key(kind: Kind, name: &str) -> Key {
    Key::new(kind, "default", name)
}

fn replica_set(name: &str, image: &str, replicas: u32, min_ready: u32) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"namespace": "default", "name": name, "labels": {"rollouts-pod-template-hash": name}},
        "spec": {"replicas": replicas, "minReadySeconds": min_ready, "template": {
            "metadata": {"labels": {"app": "shop", "rollouts-pod-template-hash": name}},
            "spec": {"containers": [{"name": "shop", "image": image}]}}}})
}

fn service(name: &str, selector: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "default", "name": name},
        "spec": {"selector": selector, "ports": [{"port": 80}]}})
}

fn route(weights: &[(&str, u32)]) -> Value {
    let backends: Vec<Value> = weights
        .iter()
        .map(|(name, weight)| json!({"name": name, "port": 80, "weight": weight}))
        .collect();
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"namespace": "default", "name": "shop"},
        "spec": {"parentRefs": [{"name": "gateway"}], "rules": [{"backendRefs": backends}]}})
}

/// replicas, readyReplicas, availableReplicas of a ReplicaSet's status.
fn counts(cluster: &Cluster, name: &str) -> [u64; 3] {
    let status = &cluster.get(Kind::ReplicaSet, name).unwrap()["status"];
    ["replicas", "readyReplicas", "availableReplicas"].map(|field| status[field].as_u64().unwrap_or(0))
}

fn scale(name: &str, replicas: u32) -> Command {
    Command::Patch(
        key(Kind::ReplicaSet, name),
        Part::Main,
        Box::new(json!({"spec": {"replicas": replicas}})),
    )
}

#[test]
fn pods_come_first_unready_then_ready_then_available_and_the_status_lags() {
    let mut cluster = cluster(|models| {
        models.versions.insert(
            "shop:v1".to_owned(),
            Version {
                start: 1000..=1000,
                ..Version::default()
            },
        );
    });
    cluster.apply(&replica_set("a", "shop:v1", 3, 5)).unwrap();
    assert_eq!(counts(&cluster, "a"), [0, 0, 0]);
    cluster.run_until(SignedDuration::from_millis(500));
    assert_eq!(counts(&cluster, "a"), [3, 0, 0]);
    cluster.run_until(secs(3));
    assert_eq!(counts(&cluster, "a"), [3, 3, 0]);
    cluster.run_until(secs(7));
    assert_eq!(counts(&cluster, "a"), [3, 3, 3]);
    let set = cluster.get(Kind::ReplicaSet, "a").unwrap();
    assert_eq!(set["status"]["observedGeneration"], 1);
    cluster.command(&scale("a", 1)).unwrap();
    assert_eq!(
        cluster.get(Kind::ReplicaSet, "a").unwrap()["status"]["observedGeneration"],
        1,
        "the status lags"
    );
    cluster.run_until(secs(9));
    assert_eq!(counts(&cluster, "a"), [1, 1, 1]);
    assert_eq!(
        cluster.get(Kind::ReplicaSet, "a").unwrap()["status"]["observedGeneration"],
        2
    );
}

#[test]
fn pods_that_are_not_ready_are_deleted_first() {
    let mut cluster = cluster(|_| {});
    cluster.apply(&replica_set("a", "shop:v1", 2, 0)).unwrap();
    cluster.run_until(secs(5));
    cluster.command(&scale("a", 4)).unwrap();
    cluster.run_until(SignedDuration::from_millis(5_100));
    assert_eq!(counts(&cluster, "a")[1..], [2, 2]);
    cluster.command(&scale("a", 2)).unwrap();
    cluster.run_until(secs(10));
    assert_eq!(counts(&cluster, "a"), [2, 2, 2]);
    let later = cluster
        .store()
        .log()
        .iter()
        .filter(|change| change.at > START + secs(5));
    let ready: Vec<u64> = later
        .map(|change| change.object["status"]["readyReplicas"].as_u64().unwrap_or(0))
        .collect();
    assert!(
        ready.iter().all(|ready| *ready == 2),
        "a ready pod was deleted: {ready:?}"
    );
}

#[test]
fn versions_that_never_start_or_crash_are_not_available() {
    let mut cluster = cluster(|models| {
        models.versions.insert(
            "bad".to_owned(),
            Version {
                health: Health::NeverReady,
                ..Version::default()
            },
        );
        let crashing = Version {
            start: 100..=100,
            health: Health::CrashesAfter(2_000),
            ..Version::default()
        };
        models.versions.insert("crash".to_owned(), crashing);
    });
    cluster.apply(&replica_set("a", "bad", 2, 0)).unwrap();
    cluster.apply(&replica_set("b", "crash", 1, 0)).unwrap();
    cluster.run_until(secs(1));
    assert_eq!((counts(&cluster, "a"), counts(&cluster, "b")), ([2, 0, 0], [1, 1, 1]));
    cluster.run_until(secs(4));
    assert_eq!(counts(&cluster, "b"), [1, 0, 0]);
    cluster.run_until(secs(13));
    assert_eq!(counts(&cluster, "b"), [1, 1, 1], "it is started again after 10 s");
}

#[test]
fn a_lost_node_is_noticed_after_40_s_and_its_pods_come_back_elsewhere_after_300_s() {
    let mut cluster = cluster(|models| models.nodes = 2);
    cluster.apply(&replica_set("a", "shop:v1", 2, 0)).unwrap();
    cluster.run_until(secs(5));
    cluster.command(&Command::LoseNode(0)).unwrap();
    cluster.run_until(secs(44));
    assert_eq!(counts(&cluster, "a"), [2, 2, 2]);
    cluster.run_until(secs(46));
    assert_eq!(counts(&cluster, "a"), [2, 1, 1]);
    cluster.run_until(secs(310));
    assert_eq!(counts(&cluster, "a"), [2, 2, 2]);
}

#[test]
fn what_an_owner_that_is_deleted_owned_is_collected() {
    let mut cluster = cluster(|_| {});
    cluster.apply(&service("owner", &json!({}))).unwrap();
    let uid = cluster.get(Kind::Service, "owner").unwrap()["metadata"]["uid"].clone();
    let mut owned = replica_set("a", "shop:v1", 1, 0);
    owned["metadata"]["ownerReferences"] = json!([{"uid": uid}]);
    cluster.apply(&owned).unwrap();
    cluster.apply(&replica_set("b", "shop:v1", 1, 0)).unwrap();
    cluster.command(&Command::Delete(key(Kind::Service, "owner"))).unwrap();
    assert!(cluster.get(Kind::ReplicaSet, "a").is_some(), "in the background");
    cluster.run_until(secs(5));
    assert!(cluster.get(Kind::ReplicaSet, "a").is_none());
    assert!(cluster.get(Kind::ReplicaSet, "b").is_some());
}

/// Two revisions `a` and `b`, one Service for each, 100 requests in a second through a route from 10 s on.
fn routed(weights: &[(&str, u32)]) -> Cluster {
    let mut cluster = cluster(|models| {
        let entry = Entry::Route(key(Kind::HttpRoute, "shop"));
        models.traffic.push(Flow {
            entry,
            per_second: 100.0,
            from: START + secs(10),
            ramps: Vec::new(),
        });
        models.versions.insert(
            "shop:v2".to_owned(),
            Version {
                error_rate: 0.5,
                ..Version::default()
            },
        );
    });
    cluster.apply(&replica_set("a", "shop:v1", 2, 0)).unwrap();
    cluster.apply(&replica_set("b", "shop:v2", 1, 0)).unwrap();
    cluster
        .apply(&service("a", &json!({"rollouts-pod-template-hash": "a"})))
        .unwrap();
    cluster
        .apply(&service("b", &json!({"rollouts-pod-template-hash": "b"})))
        .unwrap();
    cluster.apply(&route(weights)).unwrap();
    cluster.run_until(secs(10));
    cluster
}

#[test]
fn requests_are_split_by_weight_and_versions_answer_as_they_do() {
    let mut cluster = routed(&[("a", 75), ("b", 25)]);
    cluster.run_until(secs(20));
    let served = &cluster.totals().served;
    assert!((served["shop:v1"].ok - 750.0).abs() < 1e-6, "{served:?}");
    assert!((served["shop:v2"].ok - 125.0).abs() < 1e-6, "{served:?}");
    assert!((served["shop:v2"].errors - 125.0).abs() < 1e-6, "{served:?}");
    assert!(cluster.totals().lost() == 0.0, "{:?}", cluster.totals().losses);
}

#[test]
fn a_route_is_acknowledged_before_the_proxies_follow() {
    let mut cluster = routed(&[("a", 1), ("b", 0)]);
    cluster.run_until(secs(20));
    let change =
        json!({"spec": {"rules": [{"backendRefs": [{"name": "a", "weight": 0}, {"name": "b", "weight": 1}]}]}});
    cluster
        .command(&Command::Patch(
            key(Kind::HttpRoute, "shop"),
            Part::Main,
            Box::new(change),
        ))
        .unwrap();
    cluster.run_until(SignedDuration::from_millis(20_100));
    let route = cluster.get(Kind::HttpRoute, "shop").unwrap();
    let condition = &route["status"]["parents"][0]["conditions"][1];
    assert_eq!(
        (
            &condition["type"],
            &condition["status"],
            &condition["observedGeneration"]
        ),
        (&json!("ResolvedRefs"), &json!("True"), &json!(2))
    );
    assert!(
        !cluster.totals().served.contains_key("shop:v2"),
        "no proxy has followed yet"
    );
    cluster.run_until(secs(30));
    assert!(cluster.totals().served["shop:v2"].ok > 0.0);
    assert!(cluster.totals().lost() == 0.0, "{:?}", cluster.totals().losses);
}

#[test]
fn a_route_to_a_service_that_is_missing_is_not_resolved() {
    let mut cluster = routed(&[("a", 1), ("nobody", 1)]);
    let route = cluster.get(Kind::HttpRoute, "shop").unwrap();
    let condition = &route["status"]["parents"][0]["conditions"][1];
    assert_eq!(
        (&condition["status"], &condition["reason"]),
        (&json!("False"), &json!("BackendNotFound"))
    );
    cluster.run_until(secs(20));
    assert!((cluster.totals().lost() - 500.0).abs() < 1e-6, "half of them");
    assert_eq!(cluster.totals().losses[0].reason, LossReason::NoEndpoint);
}

#[test]
fn scaling_down_under_traffic_loses_nothing_where_pods_linger_and_something_where_they_do_not() {
    let lost = |linger: std::ops::RangeInclusive<u64>| {
        let mut cluster = cluster(|models| {
            let entry = Entry::Service(key(Kind::Service, "a"));
            models.traffic.push(Flow {
                entry,
                per_second: 100.0,
                from: START + secs(10),
                ramps: Vec::new(),
            });
            models.pod_linger = linger;
        });
        cluster.apply(&replica_set("a", "shop:v1", 4, 0)).unwrap();
        cluster.apply(&service("a", &json!({"app": "shop"}))).unwrap();
        cluster.run_until(secs(15));
        cluster.command(&scale("a", 1)).unwrap();
        cluster.run_until(secs(30));
        (
            cluster.totals().lost(),
            cluster.totals().losses.first().map(|loss| loss.reason),
        )
    };
    assert_eq!(lost(4_000..=5_000), (0.0, None));
    let (requests, reason) = lost(0..=0);
    assert!(requests > 0.0);
    assert_eq!(reason, Some(LossReason::PodEnded));
}

#[test]
fn scaling_to_zero_under_traffic_is_a_black_hole() {
    let mut cluster = routed(&[("a", 1), ("b", 1)]);
    cluster.command(&scale("b", 0)).unwrap();
    cluster.run_until(secs(40));
    let reasons: Vec<LossReason> = cluster.totals().losses.iter().map(|loss| loss.reason).collect();
    assert!(reasons.contains(&LossReason::NoEndpoint), "{reasons:?}");
}
