//! One reconcile of one AnalysisRun: observe, decide, commit, start measurements.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use sluice_crds::AnalysisRun;
use sluice_machine::run::{self, RunPlan, RunWorld};

use crate::api;
use crate::context::Context;
use crate::execute::{self, Failure, Write};
use crate::failpoint::WriteKind;
use crate::incumbent::Incumbent;
use crate::kinds::Kind;
use crate::ledger::{ObjectId, PATIENCE};
use crate::measure;
use crate::publish::Involved;
use crate::queue::Key;
use crate::reconcile;

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
    let (answers, in_flight) = results(context, key, &run);
    let world = RunWorld {
        run: AnalysisRun::clone(&run),
        answers,
        in_flight,
    };
    let now = Timestamp::now();
    let plan = run::decide(now, &world);
    let wake_at = plan.wake_at;
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
