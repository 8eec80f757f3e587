//! When a run that has ended is deleted: `ttlStrategy`.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use sluice_crds::{AnalysisPhase, AnalysisRun, AnalysisRunStatus, Rollout, RolloutStatus, Time};

use super::{RunDelete, RunHold, RunPlan, RunWorld};
use crate::Fact;

/// How often it is looked whether a Rollout still needs a run whose time is over: nothing tells the run about that.
pub const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// When `ttlStrategy` has a run deleted; `None` where it has not ended, or stays. A run that does not say when it ended (other
/// controllers leave that out when a spec is invalid) is taken to have ended at the last time that it tells of.
pub fn deletion_at(run: &AnalysisRun) -> Option<Timestamp> {
    let status = run.status.as_ref()?;
    let strategy = run.spec.ttl_strategy.as_ref()?;
    let own = match status.phase {
        AnalysisPhase::Successful => strategy.seconds_after_success,
        AnalysisPhase::Failed => strategy.seconds_after_failure,
        AnalysisPhase::Error | AnalysisPhase::Inconclusive => None,
        _ => return None,
    };
    let seconds = own.or(strategy.seconds_after_completion)?.max(0);
    let ended_at = ended_at(run, status)?;
    Some(
        ended_at
            .saturating_add(SignedDuration::from_secs(seconds.into()))
            .unwrap_or(Timestamp::MAX),
    )
}

/// Name and uid of the Rollout that controls a run, where one does.
pub fn rollout_of(run: &AnalysisRun) -> Option<(&str, &str)> {
    let owners = run.metadata.owner_references.as_deref().unwrap_or_default();
    let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
    let is_rollout = owner.kind == "Rollout" && owner.api_version.starts_with("argoproj.io/");
    is_rollout.then_some((owner.name.as_str(), owner.uid.as_str()))
}

/// The runs that the status of a run's Rollout names. `found` is what there is under the name of [`rollout_of`]: where it is
/// another Rollout, the run's own is gone.
pub fn named(run: &AnalysisRun, found: Fact<&Rollout>) -> Fact<BTreeSet<String>> {
    let Some((_, uid)) = rollout_of(run) else {
        return Fact::Absent;
    };
    match found {
        Fact::Known(rollout) if rollout.metadata.uid.as_deref() == Some(uid) => {
            let named = rollout.status.iter().flat_map(RolloutStatus::runs);
            Fact::Known(named.map(|run| run.name.clone()).collect())
        }
        Fact::Known(_) | Fact::Absent => Fact::Absent,
        Fact::Unknown(why) => Fact::Unknown(why),
    }
}

/// S15: whether nobody needs a run that has ended any more. Shells ask once more on the freshest view before they delete it.
pub fn may_delete(world: &RunWorld) -> Result<(), RunHold> {
    let name = world.run.metadata.name.as_deref().unwrap_or_default();
    match &world.named {
        Fact::Known(named) if named.contains(name) => Err(RunHold::InUse),
        Fact::Known(_) | Fact::Absent => Ok(()),
        Fact::Unknown(why) => Err(RunHold::OwnerUnknown(why.clone())),
    }
}

/// The plan for a run that has ended.
pub(super) fn ended(now: Timestamp, world: &RunWorld, phase: &AnalysisPhase) -> RunPlan {
    let stays = RunPlan::hold(RunHold::Ended(phase.clone()));
    let Some(at) = deletion_at(&world.run) else {
        return stays;
    };
    if at > now {
        return RunPlan {
            wake_at: Some(at),
            ..stays
        };
    }
    let metadata = &world.run.metadata;
    let (Some(uid), Some(resource_version)) = (metadata.uid.clone(), metadata.resource_version.clone()) else {
        return stays;
    };
    match may_delete(world) {
        Ok(()) => RunPlan {
            delete: Some(RunDelete { uid, resource_version }),
            ..RunPlan::default()
        },
        Err(hold) => RunPlan {
            hold: Some(hold),
            wake_at: Some(now.saturating_add(LOOK_AGAIN).unwrap_or(Timestamp::MAX)),
            ..RunPlan::default()
        },
    }
}

fn ended_at(run: &AnalysisRun, status: &AnalysisRunStatus) -> Option<Timestamp> {
    let time = |time: Option<&Time>| time.and_then(Time::timestamp);
    if let Some(at) = time(status.completed_at.as_ref()) {
        return Some(at);
    }
    let results = status.metric_results.iter().flatten();
    let measurements = results.flat_map(|result| result.measurements.iter().flatten());
    let measured = measurements.filter_map(|measurement| time(measurement.finished_at.as_ref()));
    let created = run.metadata.creation_timestamp.as_ref().map(|time| time.0);
    measured.chain(time(status.started_at.as_ref())).chain(created).max()
}
