//! Plans against an API server in the process: what is sent, in which order, and that nothing else is.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::common::{Answer, Asked, Log, client, context, context_with, failure, key, replica_set, rollout};
use kube::Client;
use serde_json::{Value, json};
use sluice_controller::context::Context;
use sluice_controller::execute::{Outcome, execute};
use sluice_controller::kinds::Kind;
use sluice_controller::leadership::Leadership;
use sluice_controller::lease::Terms;
use sluice_controller::ledger::{ObjectId, Readiness};
use sluice_controller::object::ObjectName;
use sluice_controller::observe::{Observed, observe};
use sluice_machine::{Commit, Effect, Memory, Plan, World};

/// The world of the Rollout `ns/shop` as the caches have it.
fn world(context: &Context) -> World {
    match observe(context, key().name(), Memory::default(), BTreeMap::default()) {
        Observed::World(world) => *world,
        other => panic!("no world: {other:?}"),
    }
}

fn objects() -> Vec<(Kind, Value)> {
    vec![
        (Kind::Rollout, rollout(10)),
        (Kind::ReplicaSet, replica_set("new", 20, 2, "r1")),
        (Kind::ReplicaSet, replica_set("old", 21, 1, "r1")),
    ]
}

/// Answers reads from `objects` and writes with what was written, at version 100.
fn obedient(asked: &Asked) -> Answer {
    let path = asked.path.split('?').next().unwrap();
    let found = objects().into_iter().find_map(|(kind, object)| {
        let name = ObjectName::new("ns", object["metadata"]["name"].as_str().unwrap());
        path.starts_with(&kind.path(&name)).then_some(object)
    });
    match (asked.method.as_str(), found) {
        ("GET", Some(object)) => Answer::Object(200, object),
        ("PATCH", Some(mut object)) => {
            sluice_machine::json::merge(&mut object, &asked.body);
            let version = asked.body["metadata"]["resourceVersion"]
                .as_str()
                .unwrap()
                .parse::<u64>()
                .unwrap()
                + 100;
            object["metadata"]["resourceVersion"] = version.to_string().into();
            Answer::Object(200, object)
        }
        ("POST", _) => {
            let mut object = asked.body.clone();
            object["metadata"]["uid"] = "created".into();
            object["metadata"]["resourceVersion"] = "100".into();
            Answer::Object(201, object)
        }
        ("DELETE", Some(_)) => Answer::Object(200, json!({ "kind": "Status", "status": "Success" })),
        _ => failure(404, "NotFound"),
    }
}

async fn set_up(client: Client, log: &Log) -> (Arc<Context>, World) {
    let context = context(client, &objects()).await;
    let world = world(&context);
    log.clear();
    (context, world)
}

fn scale_down_old() -> Effect {
    Effect::PatchReplicaSet {
        name: "shop-old".into(),
        uid: "s-old".into(),
        resource_version: "21".into(),
        replicas: Some((1, 0)),
        patch: json!({ "spec": { "replicas": 0 } }),
    }
}

fn create_run() -> Effect {
    Effect::CreateRun {
        name: "shop-run".into(),
        object: json!({ "metadata": { "labels": { "a": "b" } }, "spec": {} }),
    }
}

fn commit() -> Commit {
    Commit {
        resource_version: "10".into(),
        object: Some(json!({ "metadata": { "annotations": { "x": "y" } } })),
        status: Some(json!({ "status": { "phase": "Progressing", "message": null } })),
    }
}

const ROLLOUT: &str = "/apis/argoproj.io/v1alpha1/namespaces/ns/rollouts/shop";
const SETS: &str = "/apis/apps/v1/namespaces/ns/replicasets";
const RUNS: &str = "/apis/argoproj.io/v1alpha1/namespaces/ns/analysisruns";
const MANAGER: &str = "fieldManager=sluice-controller";

#[tokio::test]
async fn a_plan_is_carried_out_in_order_and_nothing_else_is_sent() {
    let (client, log) = client(obedient);
    let (context, world) = set_up(client, &log).await;
    let plan = Plan {
        commit: Some(commit()),
        effects: vec![create_run(), scale_down_old()],
        ..Plan::default()
    };
    let outcome = execute(&context, &key(), &world, &plan).await;
    assert!(matches!(outcome, Outcome::Done { wrote: true }), "{outcome:?}");
    let mut lines = log.lines();
    // The reads before the irreversible effect go out together, in any order.
    lines[3..6].sort();
    let wanted = [
        format!("PATCH {ROLLOUT}?{MANAGER}"),
        format!("PATCH {ROLLOUT}/status?{MANAGER}"),
        format!("POST {RUNS}?{MANAGER}"),
        format!("GET {SETS}/shop-new"),
        format!("GET {SETS}/shop-old"),
        format!("GET {ROLLOUT}"),
        format!("PATCH {SETS}/shop-old?{MANAGER}"),
    ];
    assert_eq!(lines, wanted);

    let writes = log.writes();
    assert_eq!(
        writes[0].body,
        json!({ "metadata": { "resourceVersion": "10", "annotations": { "x": "y" } } })
    );
    let status =
        json!({ "metadata": { "resourceVersion": "110" }, "status": { "phase": "Progressing", "message": null } });
    assert_eq!(
        writes[1].body, status,
        "the second write carries the version that the first returned"
    );
    assert_eq!(
        writes[2].body["metadata"]["ownerReferences"],
        json!([{
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "shop", "uid": "r1",
            "controller": true, "blockOwnerDeletion": true,
        }])
    );
    assert_eq!(
        (&writes[2].body["kind"], &writes[2].body["metadata"]["labels"]),
        (&json!("AnalysisRun"), &json!({ "a": "b" }))
    );
    let scaled = json!({ "metadata": { "uid": "s-old", "resourceVersion": "21" }, "spec": { "replicas": 0 } });
    assert_eq!(writes[3].body, scaled);
}

#[tokio::test]
async fn nothing_is_decided_until_the_caches_have_seen_the_writes() {
    let (client, log) = client(obedient);
    let (context, world) = set_up(client, &log).await;
    let plan = Plan {
        commit: Some(commit()),
        ..Plan::default()
    };
    execute(&context, &key(), &world, &plan).await;
    let now = std::time::Instant::now();
    let readiness = || context.ledger().readiness(&key(), now, |id| context.cache.seen(id));
    assert!(matches!(readiness(), Readiness::Wait(_)), "{:?}", readiness());
    let seen = |version| sluice_controller::cache::Change::Applied(crate::common::stored(&rollout(version)));
    sluice_controller::watch::take_in(&context, &Kind::Rollout, seen(110));
    assert!(
        matches!(readiness(), Readiness::Wait(_)),
        "that was the first of the two writes"
    );
    sluice_controller::watch::take_in(&context, &Kind::Rollout, seen(210));
    assert_eq!(readiness(), Readiness::Ready);
}

#[tokio::test]
async fn a_commit_that_meets_a_conflict_stops_the_plan() {
    let (client, log) = client(|asked| {
        if asked.method == "PATCH" {
            failure(409, "Conflict")
        } else {
            obedient(asked)
        }
    });
    let (context, world) = set_up(client, &log).await;
    let plan = Plan {
        commit: Some(commit()),
        effects: vec![create_run()],
        ..Plan::default()
    };
    let outcome = execute(&context, &key(), &world, &plan).await;
    let Outcome::Failed(failure) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        (failure.what.as_str(), failure.source.category()),
        ("commit", "conflict")
    );
    assert_eq!(log.lines(), [format!("PATCH {ROLLOUT}?{MANAGER}")]);
}

#[tokio::test]
async fn after_a_conflict_the_object_is_read_before_anything_is_decided() {
    let (client, log) = client(|asked| {
        if asked.method == "PATCH" {
            failure(409, "Conflict")
        } else {
            obedient(asked)
        }
    });
    let (context, world) = set_up(client, &log).await;
    let plan = Plan {
        commit: Some(commit()),
        ..Plan::default()
    };
    execute(&context, &key(), &world, &plan).await;
    log.clear();
    assert!(!sluice_controller::reconcile::catch_up(&context, &key()).await.unwrap());
    assert_eq!(log.lines(), [format!("GET {ROLLOUT}")]);
    assert!(sluice_controller::reconcile::catch_up(&context, &key()).await.unwrap());
}

/// An update whose new pods are not available, as far as the caches know, long after its deadline.
fn stuck() -> (Value, Value) {
    let mut rollout = rollout(10);
    let template = rollout["spec"]["template"].clone();
    rollout["spec"]["progressDeadlineSeconds"] = 60.into();
    rollout["spec"]["progressDeadlineAbort"] = true.into();
    rollout["status"] = json!({
        "stableRS": "old", "currentPodHash": "new", "replicas": 3, "updatedReplicas": 2, "readyReplicas": 1, "availableReplicas": 1,
        "conditions": [{
            "type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "message": "",
            "lastUpdateTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z",
        }],
    });
    let mut set = replica_set("new", 20, 2, "r1");
    set["status"] = json!({ "observedGeneration": 1, "replicas": 2, "readyReplicas": 0, "availableReplicas": 0 });
    set["spec"]["template"] = template.clone();
    set["metadata"]["annotations"] = json!({
        "sluice.dev/pod-template": sluice_machine::hash::canonical(&template),
        "rollout.argoproj.io/revision": "2",
    });
    (rollout, set)
}

#[tokio::test]
async fn before_a_deadline_aborts_an_update_everything_is_read_again() {
    for lost in [false, true] {
        let (rollout, set) = stuck();
        let server = (rollout.clone(), set.clone());
        let (client, log) = client(move |asked| {
            let (rollout, mut set) = server.clone();
            if lost {
                set["metadata"]["resourceVersion"] = "30".into();
                set["status"]["readyReplicas"] = 2.into();
                set["status"]["availableReplicas"] = 2.into();
            }
            match asked.method.as_str() {
                "GET" if asked.path.starts_with(ROLLOUT) => Answer::Object(200, rollout),
                "GET" if asked.path.contains("shop-new") => Answer::Object(200, set),
                _ => obedient(asked),
            }
        });
        let objects = [
            (Kind::Rollout, rollout),
            (Kind::ReplicaSet, set),
            (Kind::ReplicaSet, replica_set("old", 21, 1, "r1")),
        ];
        let context = context(client, &objects).await;
        log.clear();
        sluice_controller::reconcile::rollout(&context, &key()).await;
        let lines = log.lines();
        let first_write = lines.iter().position(|line| !line.starts_with("GET")).expect("a write");
        let read = format!("GET {SETS}/shop-new");
        assert!(lines[..first_write].contains(&read), "{lines:?}");
        let aborts = log.writes().iter().any(|write| write.body["status"]["abort"] == true);
        assert_eq!(aborts, !lost, "an event got lost: {lost}");
    }
}

#[tokio::test]
async fn a_write_whose_answer_names_no_version_leaves_the_next_one_its_precondition() {
    let (client, log) = client(|asked| match asked.method.as_str() {
        "PATCH" => Answer::Object(200, json!({ "kind": "Status", "status": "Success" })),
        _ => obedient(asked),
    });
    let (context, world) = set_up(client, &log).await;
    let plan = Plan {
        commit: Some(commit()),
        ..Plan::default()
    };
    execute(&context, &key(), &world, &plan).await;
    let versions: Vec<Value> = log
        .writes()
        .iter()
        .map(|write| write.body["metadata"]["resourceVersion"].clone())
        .collect();
    assert_eq!(versions, ["10", "10"]);
}

#[tokio::test]
async fn the_first_effect_that_fails_stops_the_plan() {
    let (client, log) = client(|asked| {
        if asked.method == "POST" {
            failure(403, "Forbidden")
        } else {
            obedient(asked)
        }
    });
    let (context, world) = set_up(client, &log).await;
    let plan = Plan {
        effects: vec![create_run(), scale_down_old()],
        ..Plan::default()
    };
    let outcome = execute(&context, &key(), &world, &plan).await;
    let Outcome::Failed(failure) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        (failure.what.as_str(), failure.source.category()),
        ("create AnalysisRun shop-run", "forbidden")
    );
    assert_eq!(log.lines(), [format!("POST {RUNS}?{MANAGER}")]);
}

#[tokio::test]
async fn a_guard_sees_what_is_true_now_and_not_what_the_caches_say() {
    // The caches say that the old ReplicaSet has no pods; in the meantime somebody gave it two.
    let (client, log) = client(|asked| {
        if asked.method == "GET" && asked.path.ends_with("shop-old") {
            return Answer::Object(200, replica_set("old", 55, 2, "r1"));
        }
        obedient(asked)
    });
    let mut objects = objects();
    objects[2].1 = replica_set("old", 21, 0, "r1");
    let context = context(client, &objects).await;
    let world = world(&context);
    log.clear();
    let effect = Effect::DeleteReplicaSet {
        name: "shop-old".into(),
        uid: "s-old".into(),
        resource_version: "21".into(),
    };
    let plan = Plan {
        effects: vec![effect, create_run()],
        ..Plan::default()
    };
    let outcome = execute(&context, &key(), &world, &plan).await;
    let Outcome::Refused(hold) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(hold.to_string().contains("the ReplicaSet has pods"), "{hold}");
    assert!(log.writes().is_empty(), "{:?}", log.writes());
    let seen = context.cache.seen(&ObjectId {
        kind: Kind::ReplicaSet,
        name: ObjectName::new("ns", "shop-old"),
    });
    assert_eq!(seen, Some(("s-old".into(), 55)), "what was read overlays the cache");
}

#[tokio::test]
async fn a_read_that_fails_before_an_irreversible_effect_stops_it() {
    let (client, log) = client(|asked| {
        if asked.method == "GET" {
            failure(500, "InternalError")
        } else {
            obedient(asked)
        }
    });
    let (context, world) = {
        let (good, _) = crate::common::client(obedient);
        let context = crate::common::context(good, &objects()).await;
        let world = world(&context);
        (crate::common::context(client, &objects()).await, world)
    };
    log.clear();
    let plan = Plan {
        effects: vec![scale_down_old()],
        ..Plan::default()
    };
    let outcome = execute(&context, &key(), &world, &plan).await;
    assert!(
        matches!(&outcome, Outcome::Failed(failure) if failure.source.category() == "unanswered"),
        "{outcome:?}"
    );
    assert!(log.writes().is_empty(), "{:?}", log.writes());
}

#[tokio::test]
async fn an_object_that_exists_already_is_ours_or_in_the_way() {
    for (owner, wanted, remembered) in [("r1", "done", None), ("somebody-else", "taken", Some("shop-fresh"))] {
        let (client, log) = client(move |asked| match asked.method.as_str() {
            "POST" => failure(409, "AlreadyExists"),
            "GET" if asked.path.contains("shop-fresh") => Answer::Object(200, replica_set("fresh", 50, 0, owner)),
            _ => obedient(asked),
        });
        let (context, world) = set_up(client, &log).await;
        let effect = Effect::CreateReplicaSet {
            name: "shop-fresh".into(),
            object: json!({}),
        };
        let plan = Plan {
            effects: vec![effect],
            ..Plan::default()
        };
        let outcome = match execute(&context, &key(), &world, &plan).await {
            Outcome::Done { .. } => "done",
            Outcome::Failed(failure) => failure.source.category(),
            Outcome::Refused(_) => "refused",
        };
        assert_eq!(outcome, wanted, "owned by {owner}");
        // So that the machine gives the next one another name.
        let taken = context.known(&key(), |known| known.memory.taken.first().cloned());
        assert_eq!(taken.as_deref(), remembered, "owned by {owner}");
        assert_eq!(
            log.lines(),
            [format!("POST {SETS}?{MANAGER}"), format!("GET {SETS}/shop-fresh")]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_without_an_answer_is_not_sent_again_but_looked_up() {
    let (client, log) = client(|asked| {
        if asked.method == "POST" {
            Answer::Never
        } else {
            obedient(asked)
        }
    });
    let (context, world) = set_up(client, &log).await;
    let plan = Plan {
        effects: vec![create_run()],
        ..Plan::default()
    };
    let outcome = execute(&context, &key(), &world, &plan).await;
    assert!(
        matches!(&outcome, Outcome::Failed(failure) if failure.source.category() == "unanswered"),
        "{outcome:?}"
    );
    assert_eq!(log.lines().len(), 1);
    let run = ObjectId {
        kind: Kind::Run,
        name: ObjectName::new("ns", "shop-run"),
    };
    let readiness = context
        .ledger()
        .readiness(&key(), std::time::Instant::now(), |id| context.cache.seen(id));
    assert_eq!(readiness, Readiness::Look(vec![run]));
    assert!(!sluice_controller::reconcile::catch_up(&context, &key()).await.unwrap());
    assert_eq!(log.lines()[1..], [format!("GET {RUNS}/shop-run")]);
    assert!(sluice_controller::reconcile::catch_up(&context, &key()).await.unwrap());
}

#[tokio::test]
async fn who_does_not_lead_sends_nothing() {
    let (client, log) = client(obedient);
    let context = context_with(client, &objects(), Leadership::elected(Terms::default())).await;
    let world = world(&context);
    log.clear();
    let plan = Plan {
        commit: Some(commit()),
        effects: vec![create_run()],
        ..Plan::default()
    };
    let outcome = execute(&context, &key(), &world, &plan).await;
    assert!(
        matches!(&outcome, Outcome::Failed(failure) if failure.source.category() == "not-leader"),
        "{outcome:?}"
    );
    assert!(log.lines().is_empty(), "{:?}", log.lines());
}

#[tokio::test]
async fn a_deletion_names_uid_and_version_and_a_missing_object_is_as_good_as_deleted() {
    let (client, log) = client(|asked| {
        if asked.method == "DELETE" {
            failure(404, "NotFound")
        } else {
            obedient(asked)
        }
    });
    let (context, world) = set_up(client, &log).await;
    let effect = Effect::DeleteRun {
        name: "shop-run".into(),
        uid: "u9".into(),
    };
    let plan = Plan {
        effects: vec![effect],
        ..Plan::default()
    };
    let outcome = execute(&context, &key(), &world, &plan).await;
    assert!(matches!(outcome, Outcome::Done { wrote: true }), "{outcome:?}");
    let writes = log.writes();
    assert_eq!(writes.len(), 1);
    assert_eq!(writes[0].path, format!("{RUNS}/shop-run"));
    assert_eq!(
        (&writes[0].body["preconditions"], &writes[0].body["propagationPolicy"]),
        (&json!({ "uid": "u9" }), &json!("Background"))
    );
    let ready = context
        .ledger()
        .readiness(&key(), std::time::Instant::now() + Duration::from_secs(9), |_| None);
    assert_eq!(ready, Readiness::Ready);
}
