//! One reconcile of one AnalysisRun: observe, decide, commit, start measurements; or delete it when its time is over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sluice_crds::{AnalysisRun, Rollout};
use sluice_machine::run::{self, RunDelete, RunPlan, RunWorld};
use sluice_machine::{Fact, Why};

use crate::analysis_gauges::RunGauges;
use crate::api;
use crate::context::Context;
use crate::execute::{self, Failure, Write};
use crate::failpoint::WriteKind;
use crate::incumbent::Incumbent;
use crate::kinds::Kind;
use crate::ledger::{ObjectId, PATIENCE};
use crate::measure;
use crate::object::ObjectName;
use crate::publish::Involved;
use crate::queue::Key;
use crate::reconcile;

/// When a run is looked at again that was to be deleted and is needed.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// Reconciles an AnalysisRun. `false` says that there was an error, which was dealt with.
pub async fn run(context: &Arc<Context>, key: &Key) -> bool {
    if !context.leadership.is_leading() || context.lookout.state() != Incumbent::Nobody {
        return true;
    }
    match reconcile::catch_up(context, key).await {
        Ok(true) => {}
        Ok(false) => return true,
        Err(failure) => return reconcile::give_up(context, key, &failure),
    }
    let id = ObjectId {
        kind: Kind::Run,
        name: key.name().clone(),
    };
    let Some(stored) = context.cache.get(&id) else {
        context.forget(key);
        return true;
    };
    let run: Arc<AnalysisRun> = match stored.decode() {
        Ok(run) => Arc::new(run),
        Err(error) => return reconcile::undecodable(context, key, &stored.uid, &error.to_string()),
    };
    context.run_table().note(key.name(), RunGauges::of(&run));
    let (answers, in_flight) = results(context, key, &run);
    let world = RunWorld {
        run: AnalysisRun::clone(&run),
        answers,
        in_flight,
        named: named(context, key, &run),
    };
    let now = Timestamp::now();
    let plan = run::decide(now, &world);
    let wake_at = plan.wake_at;
    if let Some(delete) = &plan.delete {
        return end(context, key, world, delete).await;
    }
    match carry_out(context, key, &id, &run, plan).await {
        Ok(wrote) => {
            if wrote {
                context.queue.add_at(key.clone(), Instant::now() + PATIENCE);
            }
            reconcile::wake(context, key, now, wake_at);
            context.known(key, |known| (known.delays, known.trouble) = (None, None));
            true
        }
        Err(failure) => reconcile::give_up(context, key, &failure),
    }
}

/// What the Rollout of a run says of it, where that matters, as the cache has it.
fn named(context: &Context, key: &Key, run: &AnalysisRun) -> Fact<BTreeSet<String>> {
    let due = run::deletion_at(run).is_some_and(|at| at <= Timestamp::now());
    let Some((rollout, _)) = run::rollout_of(run).filter(|_| due) else {
        return run::named(run, Fact::Absent);
    };
    let id = rollout_id(key, rollout);
    match context.cache.get(&id).map(|stored| stored.decode::<Rollout>()) {
        Some(Ok(rollout)) => run::named(run, Fact::Known(&rollout)),
        Some(Err(error)) => Fact::Unknown(Why::Undecodable(error.to_string())),
        // It may only not have been listed yet: it is read before the run is deleted.
        None => Fact::Absent,
    }
}

/// Deletes a run whose time is over, unless a fresh look at its Rollout says that it is needed.
async fn end(context: &Context, key: &Key, mut world: RunWorld, delete: &RunDelete) -> bool {
    let what = || format!("delete AnalysisRun {}", key.name());
    if let Some((rollout, _)) = run::rollout_of(&world.run) {
        // Not into the cache: it may be a Rollout that another controller serves.
        let id = rollout_id(key, rollout);
        let found = match api::read(&context.client, &id.kind, &id.name).await {
            Ok(None) => Fact::Absent,
            Ok(Some(object)) => match serde_json::from_value::<Rollout>(object) {
                Ok(rollout) => Fact::Known(rollout),
                Err(error) => Fact::Unknown(Why::Undecodable(error.to_string())),
            },
            Err(source) => return reconcile::give_up(context, key, &Failure { what: what(), source }),
        };
        world.named = match &found {
            Fact::Known(rollout) => run::named(&world.run, Fact::Known(rollout)),
            Fact::Absent => Fact::Absent,
            Fact::Unknown(why) => Fact::Unknown(why.clone()),
        };
    }
    if let Err(hold) = run::may_delete(&world) {
        tracing::debug!(%hold, "an AnalysisRun is kept");
        context.queue.add_at(key.clone(), Instant::now() + LOOK_AGAIN);
        return true;
    }
    let target = ObjectId {
        kind: Kind::Run,
        name: key.name().clone(),
    };
    let version = Some(delete.resource_version.as_str());
    match execute::delete(context, key, WriteKind::DeleteRun, target, &delete.uid, version).await {
        Ok(()) => {
            context.queue.add_at(key.clone(), Instant::now() + PATIENCE);
            true
        }
        Err(source) => reconcile::give_up(context, key, &Failure { what: what(), source }),
    }
}

fn rollout_id(key: &Key, name: &str) -> ObjectId {
    ObjectId {
        kind: Kind::Rollout,
        name: ObjectName::new(key.name().namespace.as_str(), name),
    }
}

/// Results that are not recorded yet and measurements under way, of this very run.
fn results(
    context: &Context,
    key: &Key,
    run: &AnalysisRun,
) -> (BTreeMap<run::MeasureKey, run::Taken>, BTreeSet<run::MeasureKey>) {
    context.known(key, |known| {
        if known.uid != run.metadata.uid {
            known.uid.clone_from(&run.metadata.uid);
            known.taken.clear();
            known.in_flight.clear();
        }
        known.taken.retain(|key, _| !run::is_recorded(run, key));
        known.in_flight.retain(|key| !run::is_recorded(run, key));
        (known.taken.clone(), known.in_flight.clone())
    })
}

async fn carry_out(
    context: &Arc<Context>,
    key: &Key,
    id: &ObjectId,
    run: &Arc<AnalysisRun>,
    plan: RunPlan,
) -> Result<bool, Failure> {
    let writes = plan.commit.is_some();
    if let Some(commit) = plan.commit {
        let mut patch = commit.patch;
        patch["metadata"]["resourceVersion"] = commit.resource_version.into();
        let request = api::merge_patch(&id.kind.path(&id.name), &patch);
        let what = || format!("commit of AnalysisRun {}", id.name);
        execute::send(
            context,
            Write {
                key,
                kind: WriteKind::RunStatus,
                target: id.clone(),
                request,
            },
        )
        .await
        .map_err(|source| Failure { what: what(), source })?;
    }
    let uid = run.metadata.uid.clone().unwrap_or_default();
    let involved = Involved {
        kind: "AnalysisRun",
        name: key.name().clone(),
        uid,
    };
    for event in &plan.events {
        context.publisher.publish(context, &involved, event);
    }
    for measure in plan.measure {
        context.known(key, |known| known.in_flight.insert(measure.clone()));
        measure::start(context, key, run, measure);
    }
    Ok(writes)
}
