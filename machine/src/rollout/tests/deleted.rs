//! A Rollout that is being deleted, or is gone.

use serde_json::{Value, json};
use sluice_traffic::MANAGED_BY_ANNOTATION;

use super::{Scene, hash_of, route, routed, scene, stable_on, with_steps};
use crate::{Effect, Fact, Remains, decide, guards, release};

const RECORD: &str = "moving.sluice.dev/canary";

/// In the step that follows a weight of 25 %, with the record on the route that was written with it.
fn in_mid_canary() -> Scene {
    let mut scene = with_steps(
        scene(4, routed(json!([{ "setWeight": 25 }, { "pause": {} }])))
            .at(600)
            .version("v2")
            .set("v1", 1, 4, 4)
            .set("v2", 2, 1, 1)
            .switched("stable", "v1", 0, &[("v1", 4)])
            .switched("canary", "v2", 0, &[("v2", 1)])
            .route(0)
            .status(stable_on("v1", "v2", 0)),
    );
    let patch = scene.plan().effects.into_iter().find_map(|effect| match effect {
        Effect::SetSplit { patch, .. } => Some(patch),
        _ => None,
    });
    let Some(Fact::Known(value)) = scene.world.objects.get_mut(&route()) else {
        panic!("there is a route");
    };
    crate::json::merge(value, &patch.expect("the weight is set"));
    scene
}

fn being_deleted(mut scene: Scene) -> Scene {
    scene.world.rollout.metadata.deletion_timestamp =
        serde_json::from_value(json!("2026-01-01T00:10:00Z")).expect("a time");
    scene
}

fn known(fact: &Fact<Value>) -> Value {
    fact.known().cloned().expect("it is there")
}

/// Carries out what can be seen in a World.
fn carry_out(scene: &mut Scene, effect: &Effect) {
    let (fact, patch) = match effect {
        Effect::ReleaseRoute { route, patch } => (scene.world.objects.get_mut(route), patch),
        Effect::ReleaseService { name, patch } => (scene.world.services.get_mut(name), patch),
        other => panic!("{other:?}"),
    };
    match fact {
        Some(Fact::Known(value)) => crate::json::merge(value, patch),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_record_of_a_weight_on_its_way_says_where_the_traffic_belongs() {
    let scene = in_mid_canary();
    let record = |scene: &Scene| -> Value {
        let route = known(&scene.world.objects[&route()]);
        let text = route["metadata"]["annotations"][RECORD]
            .as_str()
            .expect("a record")
            .to_owned();
        serde_json::from_str(&text).expect("JSON")
    };
    assert_eq!(record(&scene)["rest"], json!({ "stable": "stable" }));
    // Back at rest, nothing more is written than before.
    let mut aborted = scene.status(json!({ "abort": true }));
    let plan = aborted.plan();
    for effect in &plan.effects {
        if let (Effect::SetSplit { patch, .. }, Some(Fact::Known(value))) =
            (effect, aborted.world.objects.get_mut(&route()))
        {
            crate::json::merge(value, patch);
        }
    }
    let record = record(&aborted);
    assert_eq!(record["to"]["parts"][format!("stable/{}", hash_of("v1"))], 100);
    assert_eq!(record.get("rest"), None);
}

#[test]
fn a_rollout_that_is_being_deleted_gives_back_one_object_after_the_other() {
    let mut scene = being_deleted(in_mid_canary());
    let mut done = Vec::new();
    while let Some(effect) = scene.plan().effects.first().cloned() {
        assert_eq!(guards::check(scene.now, &scene.world, &effect), Ok(()));
        carry_out(&mut scene, &effect);
        done.push(effect.kind());
        assert!(done.len() < 10, "it comes to an end: {done:?}");
    }
    assert_eq!(done, ["release-route", "release-service", "release-service"]);
    let route = known(&scene.world.objects[&route()]);
    let backends = &route["spec"]["rules"][0]["backendRefs"];
    assert_eq!([&backends[0]["weight"], &backends[1]["weight"]], [100, 0]);
    for service in ["stable", "canary"] {
        let service = known(&scene.world.services[service]);
        assert_eq!(service["spec"]["selector"], json!({ "app": "shop" }));
    }
    assert_eq!(
        decide(scene.now, &scene.world).hold.map(|hold| hold.kind()),
        Some("deleting")
    );
}

#[test]
fn routes_are_given_back_for_nobody_but_a_rollout_that_is_being_deleted() {
    let scene = in_mid_canary();
    let effect = Effect::ReleaseRoute {
        route: route(),
        patch: json!({}),
    };
    assert!(guards::check(scene.now, &scene.world, &effect).is_err());
    let effect = Effect::ReleaseService {
        name: "stable".to_owned(),
        patch: json!({}),
    };
    assert!(guards::check(scene.now, &scene.world, &effect).is_err());
    let incumbent = being_deleted(scene);
    let mut world = incumbent.world.clone();
    world.incumbent = Some("argo".to_owned());
    assert_eq!(
        decide(incumbent.now, &world).effects,
        [],
        "while Argo Rollouts is live, nothing is written"
    );
}

#[test]
fn a_service_that_another_rollout_has_taken_over_stays_as_it_is() {
    let mut scene = being_deleted(in_mid_canary());
    for service in ["stable", "canary"] {
        let Some(Fact::Known(value)) = scene.world.services.get_mut(service) else {
            panic!("there is a Service");
        };
        value["metadata"]["annotations"][MANAGED_BY_ANNOTATION] = json!("web");
    }
    assert_eq!(scene.effects(), Vec::<&str>::new());
}

#[test]
fn what_a_rollout_that_is_gone_has_left_is_known_by_its_services() {
    let scene = in_mid_canary();
    let mut remains = Remains {
        rollout: "shop".to_owned(),
        services: scene.world.services.values().map(known).collect(),
        objects: scene.world.objects.values().map(known).collect(),
    };
    let kinds = |remains: &Remains| release(remains).iter().map(Effect::kind).collect::<Vec<_>>();
    assert_eq!(kinds(&remains), ["release-route", "release-service", "release-service"]);
    let marks = |effect: &Effect| match effect {
        Effect::ReleaseService { patch, .. } => patch.pointer("/metadata/annotations").is_some(),
        _ => false,
    };
    assert!(
        !release(&remains).iter().any(marks),
        "a route that fails must be found again"
    );
    remains.objects.clear();
    assert_eq!(kinds(&remains), ["release-service", "release-service"]);
    assert!(release(&remains).iter().all(marks));
    remains.services.clear();
    remains.objects = scene.world.objects.values().map(known).collect();
    assert_eq!(
        kinds(&remains),
        Vec::<&str>::new(),
        "the route is not known to be the Rollout's"
    );
}

#[test]
fn with_services_that_change_roles_a_split_with_everything_on_one_side_is_at_rest() {
    let spec = json!({ "strategy": { "canary": {
        "stableService": null, "canaryService": null,
        "pingPong": { "pingService": "stable", "pongService": "canary" },
        "steps": [{ "setWeight": 100 }, { "pause": {} }],
    } } });
    let rest = |weight: u32| {
        let scene = with_steps(
            scene(4, routed(json!([])))
                .spec(spec.clone())
                .spec(json!({ "strategy": { "canary": { "steps": [{ "setWeight": weight }, { "pause": {} }] } } }))
                .at(600)
                .version("v2")
                .set("v1", 1, 4, 4)
                .set("v2", 2, 4, 4)
                .switched("stable", "v1", 0, &[("v1", 4)])
                .switched("canary", "v2", 0, &[("v2", 4)])
                .route(0)
                .status(stable_on("v1", "v2", 0)),
        );
        let patch = scene.plan().effects.into_iter().find_map(|effect| match effect {
            Effect::SetSplit { patch, .. } => Some(patch),
            _ => None,
        });
        let patch = patch.expect("the weight is set");
        let record: Value =
            serde_json::from_str(patch["metadata"]["annotations"][RECORD].as_str().expect("a record")).expect("JSON");
        record.get("rest").cloned()
    };
    assert_eq!(rest(50), Some(json!({ "stable": "stable" })));
    assert_eq!(rest(100), None);
}
