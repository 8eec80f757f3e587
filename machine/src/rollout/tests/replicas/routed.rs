//! With a router: the number of pods follows the weight, and not the other way round.

use serde_json::{Value, json};
use sluice_crds::{CanaryStrategy, RolloutStatus};

use super::super::super::canary::routed_size;
use super::super::super::replicas::{canary_with_router, stable_with_router};
use super::super::{Scene, hash_of, scene, stable_on, with_steps};
use super::brute;
use crate::{Effect, Fact, Hold, decide};

/// (rule, replicas, weight, minPodsPerReplicaSet) -> canary pods
#[rustfmt::skip]
const CANARY: &[(&str, (u32, u32, u32), u32)] = &[
    ("zero", (0, 0, 1), 0),
    ("zero", (0, 100, 5), 0),
    ("zero", (10, 0, 3), 0),
    ("share", (1, 1, 1), 1),
    ("share", (1, 99, 1), 1),
    ("share", (3, 33, 1), 1),
    ("share", (3, 34, 1), 2),
    ("share", (3, 66, 1), 2),
    ("share", (3, 67, 1), 3),
    ("share", (5, 20, 1), 1),
    ("share", (5, 21, 1), 2),
    ("share", (7, 14, 1), 1),
    ("share", (7, 15, 1), 2),
    ("share", (7, 50, 1), 4),
    ("share", (12, 8, 1), 1),
    ("share", (12, 9, 1), 2),
    ("share", (12, 100, 1), 12),
    ("least", (10, 5, 2), 2),
    ("share", (10, 15, 2), 2),
    ("share", (10, 30, 2), 3),
    ("least", (2, 1, 3), 2),
    ("least", (1, 10, 2), 1),
    ("least", (10, 1, 20), 10),
    ("least", (5, 100, 9), 5),
];

#[test]
fn each_row_of_the_canary_by_its_weight() {
    for (rule, (replicas, weight, least), expected) in CANARY.iter().copied() {
        let row = format!("{rule}: {replicas} pods at {weight} %, at least {least}");
        assert_eq!(canary_with_router(replicas, weight, 100, least), expected, "{row}");
        assert_eq!(
            brute::carrying(replicas, weight, least),
            expected,
            "by brute force, {row}"
        );
    }
}

/// (rule, replicas, weight of the canary, minPodsPerReplicaSet) -> stable pods
#[rustfmt::skip]
const STABLE: &[(&str, (u32, u32, u32), u32)] = &[
    ("rest", (10, 0, 1), 10),
    ("rest", (10, 20, 1), 8),
    ("rest", (10, 25, 1), 8),
    ("rest", (10, 50, 1), 5),
    ("rest", (10, 99, 1), 1),
    ("least", (10, 99, 2), 2),
    ("zero", (10, 100, 2), 0),
    ("rest", (3, 50, 1), 2),
    ("rest", (1, 50, 1), 1),
    ("rest", (7, 33, 1), 5),
    ("zero", (0, 50, 1), 0),
    ("least", (2, 90, 5), 2),
];

#[test]
fn each_row_of_a_stable_revision_that_follows_the_weight() {
    for (rule, (replicas, weight, least), expected) in STABLE.iter().copied() {
        let row = format!("{rule}: {replicas} pods at {weight} %, at least {least}");
        assert_eq!(stable_with_router(replicas, weight, 100, least), expected, "{row}");
        assert_eq!(
            brute::carrying(replicas, 100 - weight, least),
            expected,
            "by brute force, {row}"
        );
    }
}

/// A row of [`OF_TOTAL`].
type OfTotal = ((u32, u32, u32, u32), (u32, u32));

/// (replicas, weight, maxTrafficWeight, minPodsPerReplicaSet) -> canary pods, stable pods where they follow the weight
#[rustfmt::skip]
const OF_TOTAL: &[OfTotal] = &[
    ((10, 0, 1000, 1), (0, 10)),
    ((10, 1, 1000, 1), (1, 10)),
    ((10, 5, 1000, 1), (1, 10)),
    ((10, 100, 1000, 1), (1, 9)),
    ((10, 101, 1000, 1), (2, 9)),
    ((10, 250, 1000, 1), (3, 8)),
    ((10, 999, 1000, 1), (10, 1)),
    ((10, 1000, 1000, 1), (10, 0)),
    ((1000, 5, 1000, 1), (5, 995)),
    ((1000, 1, 100_000, 1), (1, 1000)),
    ((3, 1, 3, 1), (1, 2)),
    ((4, 1, 2, 1), (2, 2)),
    ((4, 1, 10, 2), (2, 4)),
    ((10, 1, 1000, 20), (10, 10)),
    ((0, 500, 1000, 1), (0, 0)),
    ((7, 1, 1, 1), (7, 0)),
];

#[test]
fn each_row_with_a_total_of_its_own() {
    for ((replicas, weight, total, least), (canary, stable)) in OF_TOTAL.iter().copied() {
        let row = format!("{replicas} pods at {weight} of {total}, at least {least}");
        assert_eq!(canary_with_router(replicas, weight, total, least), canary, "{row}");
        assert_eq!(stable_with_router(replicas, weight, total, least), stable, "{row}");
        // The fewest pods whose part of all pods is at least the part of the traffic.
        let enough = |pods: &u32| u64::from(*pods) * u64::from(total) >= u64::from(weight) * u64::from(replicas);
        let fewest = (0..=replicas).find(enough).expect("all pods carry everything");
        let fewest = if fewest == 0 {
            0
        } else {
            fewest.max(least.min(replicas))
        };
        assert_eq!(fewest, canary, "by brute force, {row}");
    }
}

#[test]
fn sizes_by_weight_are_those_of_brute_force_everywhere() {
    for replicas in 0..=12 {
        for weight in 0..=100 {
            for least in 0..=4 {
                let row = format!("{replicas} pods at {weight} %, at least {least}");
                let canary = canary_with_router(replicas, weight, 100, least);
                assert_eq!(canary, brute::carrying(replicas, weight, least), "{row}");
                let stable = stable_with_router(replicas, weight, 100, least);
                assert_eq!(stable, brute::carrying(replicas, 100 - weight, least), "{row}");
                assert!(canary + stable >= replicas, "{row}: together they carry everything");
            }
        }
    }
}

fn weight(percent: u32) -> Value {
    json!({ "setWeight": percent })
}

fn scale(how: Value) -> Value {
    json!({ "setCanaryScale": how })
}

fn pause() -> Value {
    json!({ "pause": {} })
}

/// (rule, replicas, minPodsPerReplicaSet, steps, present step) -> canary pods
type Stepped = (&'static str, u32, u32, Vec<Value>, i32, u32);

#[rustfmt::skip]
fn stepped_rows() -> Vec<Stepped> {
    let plain = || vec![weight(20), pause(), weight(50)];
    let late = || vec![pause(), weight(40)];
    let scaled = || vec![scale(json!({ "replicas": 3 })), weight(20), scale(json!({ "matchTrafficWeight": true })), weight(50)];
    let percent = || vec![scale(json!({ "weight": 30 })), weight(10), pause()];
    let mixed = || vec![
        scale(json!({ "replicas": 4 })),
        scale(json!({ "matchTrafficWeight": true })),
        weight(30),
        scale(json!({ "weight": 60 })),
        weight(90),
    ];
    let only = |how: Value| vec![scale(how), weight(10)];
    vec![
        ("weight", 10, 1, plain(), 0, 2),
        ("weight", 10, 1, plain(), 1, 2),
        ("weight", 10, 1, plain(), 2, 5),
        ("done", 10, 1, plain(), 3, 10),
        ("done", 10, 1, plain(), 9, 10),
        ("weight", 10, 1, plain(), -1, 2),
        ("weight", 10, 1, late(), 0, 0),
        ("weight", 10, 1, late(), 1, 4),
        ("done", 7, 1, vec![], 0, 7),
        ("scale exact", 10, 1, scaled(), 0, 3),
        ("scale exact", 10, 1, scaled(), 1, 3),
        ("match", 10, 1, scaled(), 2, 2),
        ("match", 10, 1, scaled(), 3, 5),
        ("done", 10, 1, scaled(), 4, 10),
        ("percent", 10, 1, percent(), 0, 3),
        ("percent", 10, 1, percent(), 2, 3),
        ("percent", 4, 1, percent(), 0, 2),
        ("percent least", 10, 4, percent(), 1, 4),
        ("done", 10, 4, percent(), 3, 10),
        ("exact", 10, 1, mixed(), 0, 4),
        ("match", 10, 1, mixed(), 1, 0),
        ("match", 10, 1, mixed(), 2, 3),
        ("percent", 10, 1, mixed(), 3, 6),
        ("percent", 10, 1, mixed(), 4, 6),
        ("exact", 10, 3, only(json!({ "replicas": 1 })), 0, 1),
        ("exact", 10, 1, only(json!({ "replicas": 25 })), 1, 25),
        ("exact", 10, 2, only(json!({ "replicas": 0 })), 1, 0),
        ("percent zero", 10, 2, only(json!({ "weight": 0 })), 1, 0),
        ("percent", 10, 1, only(json!({ "weight": 100 })), 1, 10),
        ("percent least", 10, 2, only(json!({ "weight": 5 })), 1, 2),
        ("weight", 10, 1, only(json!({})), 1, 1),
        ("scale", 10, 1, vec![scale(json!({ "replicas": 1 })), scale(json!({ "replicas": 5 }))], 1, 5),
        ("scale", 10, 1, vec![scale(json!({ "matchTrafficWeight": true })), scale(json!({ "replicas": 4 }))], 1, 4),
        ("weight zero", 10, 3, vec![weight(0), pause()], 1, 0),
        ("weight least", 10, 4, vec![weight(1)], 0, 4),
        ("weight", 10, 1, vec![weight(100)], 0, 10),
    ]
}

/// What the steps say, walked through from the first one on.
fn walked(replicas: u32, least: u32, steps: &[Value], index: i32) -> u32 {
    let index = usize::try_from(index).unwrap_or(0);
    if index >= steps.len() {
        return replicas;
    }
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let (mut percent, mut scale) = (0, Value::Null);
    for step in &steps[..=index] {
        percent = number(&step["setWeight"]).unwrap_or(percent);
        if let Some(how) = step.get("setCanaryScale") {
            scale = if how["matchTrafficWeight"] == true {
                Value::Null
            } else {
                how.clone()
            };
        }
    }
    match (number(&scale["replicas"]), number(&scale["weight"])) {
        (Some(exact), _) => exact,
        (None, Some(percent)) => brute::carrying(replicas, percent, least),
        (None, None) => brute::carrying(replicas, percent, least),
    }
}

fn canary_of(steps: &[Value], least: u32) -> CanaryStrategy {
    serde_json::from_value(json!({ "steps": steps, "minPodsPerReplicaSet": least })).expect("a canary")
}

#[test]
fn each_row_of_the_canary_by_its_steps() {
    for (rule, replicas, least, steps, index, expected) in stepped_rows() {
        let row = format!(
            "{rule}: {replicas} pods, at least {least}, step {index} of {}",
            json!(steps)
        );
        let canary = canary_of(&steps, least);
        let mut status = RolloutStatus {
            current_step_index: Some(index),
            ..RolloutStatus::default()
        };
        assert_eq!(routed_size(replicas, &canary, &status), expected, "{row}");
        assert_eq!(walked(replicas, least, &steps, index), expected, "walked, {row}");
        status.promote_full = Some(true);
        assert_eq!(routed_size(replicas, &canary, &status), replicas, "done: {row}");
    }
}

#[test]
fn sizes_by_steps_are_those_of_walking_through_them_everywhere() {
    let kinds = [
        weight(0),
        weight(35),
        pause(),
        scale(json!({ "replicas": 2 })),
        scale(json!({ "weight": 70 })),
        scale(json!({ "matchTrafficWeight": true })),
    ];
    for number in 0..6_usize.pow(4) {
        let steps: Vec<Value> = (0..4)
            .map(|place| kinds[number / 6_usize.pow(place) % 6].clone())
            .collect();
        for (replicas, least) in [(0, 1), (3, 1), (10, 2)] {
            let canary = canary_of(&steps, least);
            for index in -1..=4 {
                let status = RolloutStatus {
                    current_step_index: Some(index),
                    ..RolloutStatus::default()
                };
                let (size, walked) = (
                    routed_size(replicas, &canary, &status),
                    walked(replicas, least, &steps, index),
                );
                assert_eq!(
                    size,
                    walked,
                    "{replicas} pods, at least {least}, step {index} of {}",
                    json!(steps)
                );
            }
        }
    }
}

/// Ten pods with dynamicStableScale: the step asks for `weight`, the route is at `actual` and has settled.
fn dynamic(weight: u32, actual: u32, stable: u32, canary: (u32, u32)) -> Scene {
    let steps = json!([{ "setWeight": weight }, { "pause": {} }]);
    let mut strategy = super::super::routed(steps);
    strategy["canary"]["dynamicStableScale"] = true.into();
    let scene = scene(10, strategy)
        .version("v2")
        .set("v1", 1, stable, stable)
        .set("v2", 2, canary.0, canary.1)
        .service("stable", Some("v1"))
        .service("canary", Some("v2"))
        .route(actual);
    with_steps(scene.status(stable_on("v1", "v2", 0)))
}

/// The size that the plan gives stable, if it gives it one.
fn stable_to(scene: &Scene) -> Option<u32> {
    let name = format!("shop-{}", hash_of("v1"));
    let plan = decide(scene.now, &scene.world);
    plan.effects.iter().find_map(|effect| match effect {
        Effect::PatchReplicaSet {
            name: set,
            replicas: Some((_, to)),
            ..
        } if *set == name => Some(*to),
        _ => None,
    })
}

/// The greater of what the step leaves to stable and of what stable may still be getting.
#[test]
fn a_stable_revision_that_follows_the_weight_keeps_what_its_traffic_needs() {
    let aborted = |scene: Scene| scene.status(json!({ "abort": true, "abortedAt": "2026-01-01T00:00:00Z" }));
    let least = |scene: Scene| scene.spec(json!({ "strategy": { "canary": { "minPodsPerReplicaSet": 3 } } }));
    let check = |rule: &str, scene: Scene, expected| assert_eq!(stable_to(&scene), expected, "{rule}");
    check("the weight moves first", dynamic(50, 20, 10, (5, 5)), None);
    check("rest", dynamic(50, 50, 10, (5, 5)), Some(5));
    check("what is left is still 80 %", dynamic(50, 20, 10, (5, 2)), Some(8));
    check("it has what it needs", dynamic(50, 50, 5, (5, 5)), None);
    check("it grows before it gets more", dynamic(20, 50, 5, (5, 5)), Some(8));
    let back = aborted(dynamic(50, 50, 5, (5, 5)));
    check("an abort gives it all pods back", back, Some(10));
    check("least", least(dynamic(90, 90, 10, (9, 9))), Some(3));
    check(
        "its Service must lead somewhere",
        dynamic(100, 100, 5, (10, 10)),
        Some(1),
    );
}

/// Once it asks for more pods again, nothing tells those on their way out from the others.
#[test]
fn a_revision_grows_again_only_when_the_pods_before_are_gone() {
    let aborted = |counted: u32| {
        let mut scene =
            dynamic(50, 50, 5, (5, 5)).status(json!({ "abort": true, "abortedAt": "2026-01-01T00:00:00Z" }));
        let Fact::Known(sets) = &mut scene.world.replica_sets else {
            panic!("the ReplicaSets are known");
        };
        sets.values_mut()
            .find(|set| set.hash == hash_of("v1"))
            .expect("v1")
            .replicas = counted;
        scene
    };
    let leaving = aborted(7);
    assert_eq!(stable_to(&leaving), None);
    let hold = Hold::OldNotDown {
        replica_set: format!("shop-{}", hash_of("v1")),
        left: 2,
    };
    assert_eq!(decide(leaving.now, &leaving.world).hold, Some(hold));
    assert_eq!(stable_to(&aborted(5)), Some(10));
}
