//! Eight bugs that controllers of this kind have had, brought back one at a time: the oracle must find each of them.
//!
//! A mutation is a function in the place of the machine's `decide`. It changes the World before the real machine sees it, so
//! that the machine believes what a machine with that bug would not have asked, or the Plan that comes out. Nothing of it is
//! in what is shipped: the virtual shell calls whatever function its configuration names. The guards are switched off, as the
//! oracle has to find a wrong decision by itself; the control is the real machine on the same cases, also without guards.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sluice_crds::AnalysisPhase;
use sluice_machine::run::{RunPlan, RunWorld};
use sluice_machine::{Answer, Effect, Fact, Owner, Plan, ReplicaSet, World, decide, references, run};
use sluice_simulations::{Command, Key, Kind, Part, Random, Violation};
use sluice_traffic::{MOVING_ANNOTATION, Pair, REVISION_LABEL, Router};

use super::case::{Case, Strategy, case};

/// Cases that a mutation survives at most.
const MOST: u64 = 3_000;
/// Keeps the stream that draws what foreign writers do apart from the one that draws the case.
const FOREIGN: u64 = 0xf0e1;

struct Mutation {
    name: &'static str,
    decide: fn(Timestamp, &World) -> Plan,
    decide_run: fn(Timestamp, &RunWorld) -> RunPlan,
    /// What happens in a case besides.
    besides: fn(u64, &mut Case),
    /// The invariants of which it breaks one.
    breaks: &'static [&'static str],
}

const NONE: Mutation = Mutation {
    name: "none",
    decide,
    decide_run: run::decide,
    besides: |_, _| {},
    breaks: &[],
};

const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "scales down before a change has settled",
        decide: scales_down_before_settled,
        breaks: &["S1", "S3"],
        ..NONE
    },
    Mutation {
        name: "raises the weight before the pods are available",
        decide: raises_before_available,
        breaks: &["S1", "S2", "S3", "S11"],
        ..NONE
    },
    Mutation {
        name: "aborts to the revision before, and not to the stable one",
        decide: aborts_to_the_revision_before,
        breaks: &["S1", "S4", "S6", "S11"],
        ..NONE
    },
    Mutation {
        name: "enters a pause again that was ended",
        decide: enters_a_pause_again,
        breaks: &["S10"],
        ..NONE
    },
    Mutation {
        name: "does not wait for the drain time after an acknowledgement",
        decide: does_not_drain,
        breaks: &["S1", "S3"],
        ..NONE
    },
    Mutation {
        name: "takes what it wrote last for what is, whoever wrote since",
        decide: ignores_foreign_writers,
        besides: with_foreign_writers,
        breaks: &["S1", "S2", "S3"],
        ..NONE
    },
    Mutation {
        name: "takes missing data for success",
        decide_run: missing_data_is_success,
        breaks: &["S8"],
        ..NONE
    },
    Mutation {
        name: "scales a superseded canary to zero at once",
        decide: drops_a_superseded_canary,
        breaks: &["S1", "S3", "S12"],
        ..NONE
    },
];

#[test]
fn eight_bugs_of_the_past_are_found() {
    for mutation in MUTATIONS {
        let found = (0..MOST).find_map(|seed| {
            let violation = play(mutation, seed)?;
            Some((seed, violation))
        });
        let Some((seed, violation)) = found else {
            panic!("{}: not found in {MOST} cases", mutation.name);
        };
        println!(
            "{}: found in case {seed}: {} {}",
            mutation.name, violation.invariant, violation.why
        );
        assert!(
            mutation.breaks.contains(&violation.invariant),
            "{}: found by {} {}, which has nothing to do with it",
            mutation.name,
            violation.invariant,
            violation.why
        );
        let control = Mutation {
            besides: mutation.besides,
            ..NONE
        };
        for seed in 0..=seed {
            assert_eq!(
                play(&control, seed),
                None,
                "{}: the machine itself in case {seed}",
                mutation.name
            );
        }
    }
}

/// The first violation of a case, of those that count.
fn play(mutation: &Mutation, seed: u64) -> Option<Violation> {
    let mut case = case(seed);
    (mutation.besides)(seed, &mut case);
    let config = &mut case.scenario.config;
    config.probes.clear();
    config.shell.decide = mutation.decide;
    config.shell.decide_run = mutation.decide_run;
    config.shell.guarded = false;
    let played = case.scenario.play(seed);
    let violations = played.cluster.violations();
    violations.iter().find(|violation| case.is_blamed(violation)).cloned()
}

fn with(world: &World, change: impl FnOnce(&mut World)) -> World {
    let mut world = world.clone();
    change(&mut world);
    world
}

fn present_hash(world: &World) -> String {
    let status = world.rollout.status.as_ref();
    status
        .and_then(|status| status.current_pod_hash.clone())
        .unwrap_or_default()
}

fn stable_hash(world: &World) -> String {
    let status = world.rollout.status.as_ref();
    status.and_then(|status| status.stable_rs.clone()).unwrap_or_default()
}

fn sets(world: &World) -> impl Iterator<Item = &ReplicaSet> {
    world.replica_sets.known().into_iter().flat_map(BTreeMap::values)
}

/// Everything looks as if it had been written and acknowledged long ago.
fn scales_down_before_settled(now: Timestamp, world: &World) -> Plan {
    let world = with(world, |world| {
        for (route, fact) in &mut world.objects {
            let Fact::Known(value) = fact else { continue };
            forget_moving(value);
            let generation = value["metadata"]["generation"].clone();
            for parent in value["status"]["parents"].as_array_mut().into_iter().flatten() {
                for condition in parent["conditions"].as_array_mut().into_iter().flatten() {
                    condition["observedGeneration"] = generation.clone();
                }
            }
            let seen = (generation.to_string(), Timestamp::UNIX_EPOCH);
            world.memory.acknowledged.insert(route.clone(), seen);
        }
        let mut selected = BTreeMap::new();
        for (name, fact) in &mut world.services {
            let Fact::Known(value) = fact else { continue };
            forget_moving(value);
            let hash = value["spec"]["selector"][REVISION_LABEL].as_str().unwrap_or_default();
            selected.insert(name.clone(), hash.to_owned());
        }
        for (ask, answered) in &mut world.answers {
            if let (sluice_machine::Ask::Endpoints { service, .. }, Answer::Endpoints(Fact::Known(endpoints))) =
                (ask, &mut answered.answer)
            {
                endpoints.ready.retain(|hash, _| selected.get(service) == Some(hash));
            }
        }
    });
    decide(now, &world)
}

fn forget_moving(object: &mut Value) {
    let Some(metadata) = object["metadata"].as_object_mut() else {
        return;
    };
    metadata.remove("managedFields");
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.retain(|name, _| name != MOVING_ANNOTATION && !name.starts_with("moving.sluice.dev/"));
    }
}

/// Pods of the present revision count as available as soon as they are wanted.
fn raises_before_available(now: Timestamp, world: &World) -> Plan {
    let present = present_hash(world);
    let world = with(world, |world| {
        let Fact::Known(sets) = &mut world.replica_sets else {
            return;
        };
        let Some(set) = sets.values_mut().find(|set| set.hash == present) else {
            return;
        };
        (set.ready, set.available, set.settled) = (set.wanted, set.wanted, true);
        let wanted = set.wanted;
        for answered in world.answers.values_mut() {
            if let Answer::Endpoints(Fact::Known(endpoints)) = &mut answered.answer {
                endpoints.ready.insert(present.clone(), wanted);
            }
        }
    });
    decide(now, &world)
}

/// An abort goes back to the revision with the number before.
fn aborts_to_the_revision_before(now: Timestamp, world: &World) -> Plan {
    let present = present_hash(world);
    let number = |set: &ReplicaSet| {
        let text = set.annotations.get("rollout.argoproj.io/revision");
        text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0)
    };
    let is_aborted = world
        .rollout
        .status
        .as_ref()
        .is_some_and(|status| status.abort == Some(true));
    let before = sets(world)
        .filter(|set| set.hash != present)
        .max_by_key(|set| number(set));
    let world = match before.filter(|_| is_aborted) {
        Some(before) => with(world, |world| {
            let status = world.rollout.status.get_or_insert_default();
            status.stable_rs = Some(before.hash.clone());
        }),
        None => world.clone(),
    };
    decide(now, &world)
}

/// A pause that a person has ended looks like one that was never entered.
fn enters_a_pause_again(now: Timestamp, world: &World) -> Plan {
    let world = with(world, |world| {
        let status = world.rollout.status.get_or_insert_default();
        if status.pause_conditions.as_ref().is_none_or(Vec::is_empty) {
            status.controller_pause = None;
        }
    });
    decide(now, &world)
}

fn does_not_drain(now: Timestamp, world: &World) -> Plan {
    let world = with(world, |world| world.settings.drain = SignedDuration::ZERO);
    decide(now, &world)
}

/// Routes look as they were written last.
fn ignores_foreign_writers(now: Timestamp, world: &World) -> Plan {
    let strategy = world.rollout.spec.strategy.clone().unwrap_or_default();
    let Some(canary) = strategy.canary else {
        return decide(now, world);
    };
    let (stable, canary) = (
        canary.stable_service.unwrap_or_default(),
        canary.canary_service.unwrap_or_default(),
    );
    let pair = Pair {
        stable: &stable,
        canary: &canary,
    };
    let world = with(world, |world| {
        for router in references::routers(&world.rollout) {
            if let Some(Fact::Known(value)) = world.objects.get_mut(&router.object("default")) {
                write_back(&router, pair, value);
            }
        }
    });
    decide(now, &world)
}

fn write_back(router: &Router, pair: Pair<'_>, value: &mut Value) {
    let Some(moving) = router.observe(&*value, pair).ok().and_then(|observed| observed.moving) else {
        return;
    };
    let weights = moving.to.weights().by_service;
    for rule in value["spec"]["rules"].as_array_mut().into_iter().flatten() {
        for backend in rule["backendRefs"].as_array_mut().into_iter().flatten() {
            if let Some(weight) = backend["name"].as_str().and_then(|name| weights.get(name)) {
                backend["weight"] = json!(weight);
            }
        }
    }
}

/// Somebody else sets the weights a few times.
fn with_foreign_writers(seed: u64, case: &mut Case) {
    if case.strategy != Strategy::Routed {
        return;
    }
    let mut random = Random::new(seed ^ FOREIGN);
    for _ in 0..=random.below(3) {
        let canary = *random.pick(&[0, 50, 100]);
        let rules = json!([{ "backendRefs": [
            { "name": "shop-stable", "port": 80, "weight": 100 - canary },
            { "name": "shop-canary", "port": 80, "weight": canary },
        ] }]);
        let route = Key::new(Kind::HttpRoute, "default", "shop");
        let patch = Box::new(json!({ "spec": { "rules": rules } }));
        let at = SignedDuration::from_secs(62 + i64::try_from(random.below(150)).unwrap_or(0));
        case.scenario
            .script
            .push((at, Command::ForeignPatch(route, Part::Main, patch)));
    }
}

fn missing_data_is_success(now: Timestamp, world: &RunWorld) -> RunPlan {
    let mut world = world.clone();
    for taken in world.answers.values_mut() {
        if !matches!(taken.measured.phase, AnalysisPhase::Failed | AnalysisPhase::Successful) {
            taken.measured.phase = AnalysisPhase::Successful;
        }
    }
    run::decide(now, &world)
}

/// What is neither stable nor present goes before everything else.
fn drops_a_superseded_canary(now: Timestamp, world: &World) -> Plan {
    let mut plan = decide(now, world);
    let (present, stable) = (present_hash(world), stable_hash(world));
    if !plan.asks.is_empty() || present == stable || stable.is_empty() {
        return plan;
    }
    let old: Vec<&ReplicaSet> = sets(world)
        .filter(|set| set.hash != present && set.hash != stable && set.wanted > 0 && set.owner == Owner::Ours)
        .collect();
    for set in old {
        plan.effects
            .retain(|effect| !matches!(effect, Effect::PatchReplicaSet { name, .. } if *name == set.name));
        let effect = Effect::PatchReplicaSet {
            name: set.name.clone(),
            uid: set.uid.clone(),
            resource_version: set.resource_version.clone(),
            replicas: Some((set.wanted, 0)),
            patch: json!({ "spec": { "replicas": 0 } }),
        };
        plan.effects.insert(0, effect);
    }
    plan
}
