use serde_json::{Value, json};

use super::*;

fn object(name: &str, uid: &str, version: u64, controller: Option<&str>) -> Arc<Stored> {
    let owners: Vec<Value> = controller
        .iter()
        .map(|uid| json!({ "uid": uid, "controller": true }))
        .collect();
    let object = json!({ "metadata": {
        "namespace": "ns", "name": name, "uid": uid, "resourceVersion": version.to_string(), "ownerReferences": owners,
    }});
    Arc::new(Stored::pack(object, false).unwrap())
}

fn id(kind: Kind, name: &str) -> ObjectId {
    ObjectId {
        kind,
        name: ObjectName::new("ns", name),
    }
}

/// The keys that a change leads to, as text.
fn keys(cache: &Cache, kind: &Kind, change: Change) -> Vec<String> {
    cache
        .change(kind, change)
        .keys
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// A cache with the Rollouts `shop` (uid `r1`) and `cart` (uid `r2`) and the ReplicaSet `shop-1`, all listed.
fn filled() -> Cache {
    let cache = Cache::default();
    for kind in Kind::ALWAYS {
        cache.change(&kind, Change::ListBegins);
    }
    cache.change(&Kind::Rollout, Change::Listed(object("shop", "r1", 1, None)));
    cache.change(&Kind::Rollout, Change::Listed(object("cart", "r2", 1, None)));
    cache.change(&Kind::ReplicaSet, Change::Listed(object("shop-1", "s1", 1, Some("r1"))));
    for kind in Kind::ALWAYS {
        cache.change(&kind, Change::ListEnds);
    }
    cache
}

#[test]
fn a_change_leads_to_the_owner_and_an_old_version_to_nobody() {
    let cache = filled();
    let change = |version, owner| Change::Applied(object("shop-1", "s1", version, owner));
    assert_eq!(
        keys(&cache, &Kind::ReplicaSet, change(5, Some("r1"))),
        ["Rollout ns/shop"]
    );
    assert!(
        keys(&cache, &Kind::ReplicaSet, change(5, Some("r1"))).is_empty(),
        "the same version again"
    );
    assert!(
        keys(&cache, &Kind::ReplicaSet, change(4, Some("r1"))).is_empty(),
        "an older version"
    );
    assert_eq!(cache.seen(&id(Kind::ReplicaSet, "shop-1")), Some(("s1".into(), 5)));
    assert_eq!(
        keys(&cache, &Kind::ReplicaSet, change(6, Some("r2"))),
        ["Rollout ns/cart", "Rollout ns/shop"]
    );
    assert_eq!(
        keys(&cache, &Kind::ReplicaSet, change(7, None)),
        ["Rollout ns/cart", "Rollout ns/shop"],
        "without a controller it concerns the former owner and whoever may adopt it"
    );
    assert_eq!(
        cache
            .family(&ObjectName::new("ns", "shop"))
            .unwrap()
            .replica_sets
            .1
            .len(),
        1,
        "an orphan is shown to all"
    );
}

#[test]
fn objects_that_vanished_while_nobody_watched_lead_to_their_owners() {
    let cache = filled();
    cache.change(&Kind::ReplicaSet, Change::ListBegins);
    let consequences = cache.change(&Kind::ReplicaSet, Change::ListEnds);
    assert_eq!(
        consequences.keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["Rollout ns/shop"]
    );
    assert_eq!(consequences.gone, [(id(Kind::ReplicaSet, "shop-1"), "s1".to_owned())]);

    cache.change(&Kind::Rollout, Change::ListBegins);
    cache.change(&Kind::Rollout, Change::Listed(object("cart", "r2", 1, None)));
    assert_eq!(keys(&cache, &Kind::Rollout, Change::ListEnds), ["Rollout ns/shop"]);
    assert!(cache.family(&ObjectName::new("ns", "shop")).is_none());
}

#[test]
fn a_list_that_repeats_what_is_known_leads_to_nobody() {
    let cache = filled();
    let mut led = Vec::new();
    led.extend(keys(&cache, &Kind::ReplicaSet, Change::ListBegins));
    led.extend(keys(
        &cache,
        &Kind::ReplicaSet,
        Change::Listed(object("shop-1", "s1", 1, Some("r1"))),
    ));
    led.extend(keys(&cache, &Kind::ReplicaSet, Change::ListEnds));
    assert!(led.is_empty(), "{led:?}");
}

#[test]
fn a_deletion_counts_for_the_uid_that_was_deleted() {
    let cache = filled();
    cache.overlay(
        &id(Kind::ReplicaSet, "shop-1"),
        Some(object("shop-1", "s2", 9, Some("r1"))),
    );
    assert!(
        keys(
            &cache,
            &Kind::ReplicaSet,
            Change::Deleted(object("shop-1", "s1", 8, Some("r1")))
        )
        .is_empty()
    );
    assert!(cache.get(&id(Kind::ReplicaSet, "shop-1")).is_some());
    let gone = cache
        .change(
            &Kind::ReplicaSet,
            Change::Deleted(object("shop-1", "s2", 10, Some("r1"))),
        )
        .gone;
    assert_eq!(gone, [(id(Kind::ReplicaSet, "shop-1"), "s2".to_owned())]);
}

#[test]
fn a_recreated_rollout_owns_nothing_of_its_predecessor() {
    let cache = filled();
    let consequences = cache.change(&Kind::Rollout, Change::Applied(object("shop", "r9", 20, None)));
    assert_eq!(consequences.gone, [(id(Kind::Rollout, "shop"), "r1".to_owned())]);
    assert!(
        cache
            .family(&ObjectName::new("ns", "shop"))
            .unwrap()
            .replica_sets
            .1
            .is_empty()
    );
    assert_eq!(cache.rollout_of_uid("r1"), None);
    assert_eq!(cache.rollout_of_uid("r9"), Some(ObjectName::new("ns", "shop")));
}

#[test]
fn a_named_object_leads_to_whoever_names_it_also_before_it_exists() {
    let cache = filled();
    let shop = ObjectName::new("ns", "shop");
    cache.set_names(&shop, [id(Kind::Service, "web"), id(Kind::Template, "errors")].into());
    let web = || Change::Applied(object("web", "w1", 3, None));
    assert_eq!(keys(&cache, &Kind::Service, web()), ["Rollout ns/shop"]);
    assert!(
        keys(
            &cache,
            &Kind::Service,
            Change::Applied(object("foreign", "w2", 3, None))
        )
        .is_empty()
    );
    cache.set_names(&shop, [id(Kind::Template, "errors")].into());
    assert!(keys(&cache, &Kind::Service, Change::Deleted(object("web", "w1", 4, None))).is_empty());
    assert_eq!(
        keys(&cache, &Kind::Template, Change::Failed(Why::Forbidden)),
        ["Rollout ns/shop"]
    );
    assert!(keys(&cache, &Kind::ClusterTemplate, Change::Failed(Why::Forbidden)).is_empty());
}

#[test]
fn the_state_of_a_kind_that_all_rollouts_need_leads_to_all() {
    let cache = filled();
    assert_eq!(cache.state(&Kind::Service), KindState::Ready);
    assert_eq!(
        keys(&cache, &Kind::Service, Change::Failed(Why::Forbidden)),
        ["Rollout ns/cart", "Rollout ns/shop"]
    );
    assert!(
        keys(&cache, &Kind::Service, Change::Failed(Why::Forbidden)).is_empty(),
        "it is known already"
    );
    cache.change(&Kind::Service, Change::ListBegins);
    assert_eq!(
        keys(&cache, &Kind::Service, Change::ListEnds),
        ["Rollout ns/cart", "Rollout ns/shop"]
    );
}
