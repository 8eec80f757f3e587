//! One reconcile of one Rollout, as a recipe: catch up, observe, decide, ask, execute, say when to come back.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use sluice_machine::{Event, EventKind, Hold, Plan, World};

use crate::api::Retry;
use crate::ask;
use crate::context::Context;
use crate::execute::{self, Failure, Outcome};
use crate::give_back;
use crate::kinds::Kind;
use crate::ledger::{PATIENCE, Readiness};
use crate::metrics::{KindLabel, Replicas, RolloutGauges, RolloutLabels};
use crate::observe::{self, Observed};
use crate::publish::Involved;
use crate::queue::Key;
use crate::watch;

/// Rounds of asking and deciding in one reconcile. Two are usual: defaults, then endpoints.
const MAX_ROUNDS: u32 = 5;

/// How often a Rollout is looked at again while something that it needs is still being listed.
pub const STARTING_POLL: Duration = Duration::from_secs(1);

/// A delay after a conflict that only its repetition makes so long.
const REPEATED: Duration = Duration::from_millis(700);

/// A clock that is set must not move a wake by more than this: within it, a decision is made anew.
pub const MAX_SLEEP: Duration = Duration::from_mins(1);

/// Reconciles a Rollout. Errors are dealt with here; `false` says that there was one.
pub async fn rollout(context: &Context, key: &Key) -> bool {
    if !context.leadership.is_leading() {
        return true;
    }
    match catch_up(context, key).await {
        Ok(true) => {}
        Ok(false) => return true,
        Err(failure) => return give_up(context, key, &failure),
    }
    let mut is_read = false;
    for _ in 0..MAX_ROUNDS {
        let (memory, answers) = context.known(key, |known| {
            ask::prune(&mut known.answers, Timestamp::now());
            (known.memory.clone(), known.answers.clone())
        });
        let world = match observe::observe(context, key.name(), memory, answers) {
            Observed::World(world) => world,
            Observed::Gone => return give_back::give_back(context, key).await,
            Observed::Undecodable { uid, problem } => return undecodable(context, key, &uid, &problem),
            Observed::Starting(what) => {
                tracing::debug!(what, "waits for a first list");
                context.queue.add_at(key.clone(), Instant::now() + STARTING_POLL);
                return true;
            }
        };
        let now = Timestamp::now();
        let plan = sluice_machine::decide(now, &world);
        if !plan.asks.is_empty() {
            let answers = ask::answer(context, &world, &plan.asks).await;
            context.known(key, |known| {
                known.answers.extend(answers);
                known.memory = plan.memory;
            });
            continue;
        }
        if writes(&plan) && (!is_confirmed(context, key) || plan.confirm && !is_read) {
            if let Err(source) = execute::freshen(context, key, &world, None).await {
                let what = "reading again before a first write or an abort".to_owned();
                return give_up(context, key, &Failure { what, source });
            }
            is_read = true;
            context.known(key, |known| known.confirmed = context.leadership.epoch());
            continue;
        }
        return carry_out(context, key, now, &world, plan).await;
    }
    let text = format!("{MAX_ROUNDS} rounds of questions led to no decision");
    tracing::warn!(text);
    context.known(key, |known| known.trouble = Some(text));
    context.back_off(key);
    false
}

/// Whether the caches have seen all that we wrote. Reads what the watches owe us for too long and what a write left in
/// doubt; where they only need a moment, the key comes back after it.
pub async fn catch_up(context: &Context, key: &Key) -> Result<bool, Failure> {
    let readiness = context
        .ledger()
        .readiness(key, Instant::now(), |id| context.cache.seen(id));
    match readiness {
        Readiness::Ready => Ok(true),
        Readiness::Wait(until) => {
            context.queue.add_at(key.clone(), until);
            Ok(false)
        }
        Readiness::Look(objects) => {
            for object in objects {
                let what = || format!("reading {} {} after a write", object.kind, object.name);
                watch::refresh(context, &object)
                    .await
                    .map_err(|source| Failure { what: what(), source })?;
                context.ledger().looked(key, &object);
            }
            // Other writes may still be on their way.
            context.queue.add(key.clone());
            Ok(false)
        }
    }
}

/// Has a key reconciled again at the time that a plan asks for.
pub fn wake(context: &Context, key: &Key, now: Timestamp, wake_at: Option<Timestamp>) {
    if let Some(at) = wake_at {
        let delay = Duration::try_from(now.duration_until(at)).unwrap_or_default();
        context.queue.add_at(key.clone(), Instant::now() + delay.min(MAX_SLEEP));
    }
}

fn writes(plan: &Plan) -> bool {
    plan.commit.is_some() || !plan.effects.is_empty()
}

/// Whether what we know of the Rollout was read in this epoch of leadership, or written by us. Another leader may have moved
/// it further than our caches have seen, so before the first write it is read again.
fn is_confirmed(context: &Context, key: &Key) -> bool {
    context.known(key, |known| known.confirmed) == context.leadership.epoch()
}

async fn carry_out(context: &Context, key: &Key, now: Timestamp, world: &World, plan: Plan) -> bool {
    let plan = std::sync::Arc::new(plan);
    note(context, key, now, world, &plan);
    let outcome = execute::execute(context, key, world, &plan).await;
    wake(context, key, now, plan.wake_at);
    match outcome {
        Outcome::Done { wrote } => {
            if wrote {
                context.queue.add_at(key.clone(), Instant::now() + PATIENCE);
            }
            let is_quiet = !wrote && plan.hold.is_none();
            context.known(key, |known| {
                known.memory = plan.memory.clone();
                known.delays = None;
                known.trouble = None;
                if is_quiet {
                    // A Rollout that needs nothing needs no answers; ten thousand of them would be many templates.
                    known.answers.clear();
                }
            });
            true
        }
        Outcome::Refused(hold) => {
            tracing::warn!(%hold, "a guard refused a step");
            context.known(key, |known| {
                known.memory = plan.memory.clone();
                known.trouble = Some(hold.to_string());
            });
            context.back_off(key);
            true
        }
        Outcome::Failed(failure) => {
            // The memory of a commit that was not made would be wrong; without one it is only what was seen.
            if plan.commit.is_none() {
                context.known(key, |known| {
                    let old = std::mem::replace(&mut known.memory, plan.memory.clone());
                    known.memory.taken.extend(old.taken);
                    known.memory.taken_runs.extend(old.taken_runs);
                });
            }
            give_up(context, key, &failure)
        }
    }
}

/// Remembers a plan for people who ask, and for metrics.
fn note(context: &Context, key: &Key, now: Timestamp, world: &World, plan: &std::sync::Arc<Plan>) {
    let hold = plan.hold.as_ref().map(Hold::to_string);
    tracing::debug!(
        effects = plan.effects.len(),
        commit = plan.commit.is_some(),
        hold,
        "decided"
    );
    context.known(key, |known| {
        known.plan = Some((now, plan.clone()));
        known.gauges = Some(gauges(key, world));
    });
}

/// What the gauges show of a Rollout.
fn gauges(key: &Key, world: &World) -> RolloutGauges {
    let spec = &world.rollout.spec;
    let status = world.rollout.status.clone().unwrap_or_default();
    let strategy = match (spec.canary(), spec.blue_green()) {
        (Some(_), _) => "canary",
        (None, Some(_)) => "blueGreen",
        (None, None) => "",
    };
    let routing = spec.canary().and_then(|canary| canary.traffic_routing.as_ref());
    let routers = routing.and_then(|routing| serde_json::to_value(routing).ok());
    let routers = routers
        .as_ref()
        .and_then(|routing| routing.as_object())
        .into_iter()
        .flatten();
    let routers = routers
        .filter(|(_, settings)| settings.is_object())
        .map(|(name, _)| name.as_str());
    let count = |count: Option<i32>| u64::try_from(count.unwrap_or(0)).unwrap_or(0);
    RolloutGauges {
        labels: RolloutLabels {
            namespace: key.name().namespace.clone(),
            name: key.name().name.clone(),
            strategy,
            traffic_router: routers.collect::<Vec<_>>().join(","),
            phase: status.phase.as_ref().map(ToString::to_string).unwrap_or_default(),
        },
        replicas: Replicas {
            desired: count(Some(spec.replicas_or_default())),
            present: count(status.replicas),
            updated: count(status.updated_replicas),
            available: count(status.available_replicas),
        },
    }
}

/// Deals with a failure: says what it is where that is of use, and has the key come back.
pub fn give_up(context: &Context, key: &Key, failure: &Failure) -> bool {
    let text = crate::api::chain(failure);
    context.known(key, |known| known.trouble = Some(text.clone()));
    match failure.source.retry() {
        // A conflict is the usual way to learn that the cache is behind; only its repetition is worth a word.
        Retry::AwaitChange | Retry::Backoff => {
            let delay = context.back_off(key);
            let retry_in_ms = delay.as_millis();
            if failure.source.retry() == Retry::AwaitChange && delay < REPEATED {
                tracing::debug!(text, retry_in_ms, "the world has changed in between");
            } else {
                tracing::warn!(text, retry_in_ms, "could not go on");
            }
        }
        Retry::After(wait) => {
            tracing::warn!(text, "could not go on");
            context.queue.add_at(key.clone(), Instant::now() + wait);
        }
    }
    false
}

/// Says that an object cannot be decoded, and leaves it alone until it changes. The others go on.
pub fn undecodable(context: &Context, key: &Key, uid: &str, problem: &str) -> bool {
    let (kind, name) = match key {
        Key::Rollout(_) => (Kind::Rollout, "Rollout"),
        Key::Run(_) => (Kind::Run, "AnalysisRun"),
    };
    let text = format!("the {name} cannot be decoded, so nothing is done for it: {problem}");
    tracing::warn!(text);
    context
        .metrics
        .undecodable
        .get_or_create(&KindLabel { kind: kind.label() })
        .inc();
    let involved = Involved {
        kind: name,
        name: key.name().clone(),
        uid: uid.to_owned(),
    };
    let event = Event {
        kind: EventKind::Warning,
        reason: "ReconciliationError",
        message: text.clone(),
        key: "undecodable".to_owned(),
    };
    context.publisher.publish(context, &involved, &event);
    context.known(key, |known| {
        known.trouble = Some(text);
        known.plan = None;
    });
    true
}
