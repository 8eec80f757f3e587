//! What must be true of the statuses that the controller commits.

use serde_json::Value;

use crate::safety::checks::Broken;
use crate::safety::facts::Facts;
use crate::safety::{Safety, Write};
use crate::store::{Happened, Kind, owner_uids, uid_of};

impl Safety {
    pub(super) fn check_rollout(&self, write: &Write<'_>, broken: &mut Broken) {
        let key = &write.change.key;
        let Some(before) = write.change.before.as_deref() else {
            return;
        };
        let (old, new) = (Facts::of(before), Facts::of(&write.change.object));
        let same_update = old.revision == new.revision && old.steps == new.steps;
        if same_update && old.index != new.index {
            self.check_steps(write, &old, &new, broken);
        }
        if same_update && new.paused_at_step && !old.paused_at_step {
            let entered = (new.revision.clone(), new.index);
            if self
                .rollouts
                .get(key)
                .is_some_and(|history| history.pauses.contains(&entered))
            {
                broken.push(("S10", format!("{key} enters the pause of step {} twice", new.index)));
            }
        }
        if old.stable != new.stable && !old.stable.is_empty() {
            self.check_promotion(write, &old, &new, broken);
        }
    }

    /// S7, S10 and S12 of steps that are passed.
    fn check_steps(&self, write: &Write<'_>, old: &Facts, new: &Facts, broken: &mut Broken) {
        let key = &write.change.key;
        let skips = new.aborted || old.promoted_fully || new.promoted_fully || new.revision == new.stable;
        if skips {
            return;
        }
        if old.paused_at_step && old.pause_ends().is_none_or(|ends| ends > write.now) {
            broken.push((
                "S10",
                format!(
                    "{key} goes from step {} to {} in a pause that has not ended",
                    old.index, new.index
                ),
            ));
        }
        if new.index < old.index && !old.aborted {
            broken.push((
                "S10",
                format!("{key} goes back from step {} to {}", old.index, new.index),
            ));
        }
        for index in old.index..new.index {
            let step = usize::try_from(index).ok().and_then(|index| old.steps.get(index));
            if step.is_some_and(|step| step.get("analysis").is_some()) && !self.has_succeeded(write, old, index) {
                broken.push((
                    "S7",
                    format!(
                        "{key} passes the analysis of step {index} without a successful run of revision {}",
                        old.revision
                    ),
                ));
            }
        }
    }

    fn has_succeeded(&self, write: &Write<'_>, facts: &Facts, index: u64) -> bool {
        let uid = uid_of(&write.change.object);
        let is_evidence = |run: &Value| {
            let labels = &run["metadata"]["labels"];
            crate::store::owner_uids(run).any(|owner| owner == uid)
                && labels["rollouts-pod-template-hash"] == facts.revision.as_str()
                && labels["step-index"] == index.to_string().as_str()
                && run["status"]["phase"] == "Successful"
        };
        write.store.list(Kind::AnalysisRun).any(|(_, run)| is_evidence(run))
    }

    /// S15: no run is deleted that the status of its Rollout names.
    /// S8: a measurement is successful only on a number that was measured. Conditions that ask for missing data are left out.
    pub(super) fn check_run(write: &Write<'_>, broken: &mut Broken) {
        let run = &write.change.object;
        if write.change.happened == Happened::Deleted {
            if is_named(write, run) {
                broken.push((
                    "S15",
                    format!("{} is deleted although its Rollout names it", write.change.key),
                ));
            }
            return;
        }
        let metrics = run["spec"]["metrics"].as_array().into_iter().flatten();
        let asks_for_none = |condition: &str| {
            ["len(", "isNaN", "isInf", "isNil", "default", "nil"]
                .iter()
                .any(|word| condition.contains(word))
        };
        let lenient: Vec<&Value> = metrics
            .filter(|metric| metric["successCondition"].as_str().is_none_or(asks_for_none))
            .map(|metric| &metric["name"])
            .collect();
        for result in run["status"]["metricResults"].as_array().into_iter().flatten() {
            for measurement in result["measurements"].as_array().into_iter().flatten() {
                let value = measurement["value"].as_str().unwrap_or_default();
                if measurement["phase"] == "Successful" && !lenient.contains(&&result["name"]) && !is_number(value) {
                    let key = &write.change.key;
                    broken.push(("S8", format!("{key} takes {value:?} of {} for success", result["name"])));
                }
            }
        }
    }

    /// S11: stable becomes only the present revision, when it is complete.
    fn check_promotion(&self, write: &Write<'_>, old: &Facts, new: &Facts, broken: &mut Broken) {
        let key = &write.change.key;
        // What was aborted is the update to a revision: another one may be undone to at once, and a person may promote it fully.
        let aborted = old.aborted && !old.promoted_fully && old.revision == new.revision;
        if new.stable != new.revision || aborted {
            broken.push((
                "S11",
                format!(
                    "{key} makes {} stable, while {} is present (aborted: {})",
                    new.stable, new.revision, old.aborted
                ),
            ));
        }
        let sets = self.sets.beside(key).filter(|(_, set)| set.hash == new.stable);
        let available: u64 = sets
            .map(|(key, set)| set.available(key, write.models, write.now, write.basis))
            .sum();
        let floor = new.replicas.saturating_sub(new.max_unavailable);
        if available < floor.min(new.enough) {
            broken.push((
                "S11",
                format!(
                    "{key} makes {} stable with {available} of {} pods",
                    new.stable, new.replicas
                ),
            ));
        }
    }
}

/// Whether a measured value is a finite number, or a list with one.
fn is_number(value: &str) -> bool {
    match serde_json::from_str(value) {
        Ok(Value::Array(values)) => values.iter().any(Value::is_number),
        Ok(value) => value.is_number(),
        Err(_) => false,
    }
}

/// Whether the status of the Rollout that owns a run has the run's name anywhere.
fn is_named(write: &Write<'_>, run: &Value) -> bool {
    let name = &run["metadata"]["name"];
    let is_owner = |rollout: &Value| owner_uids(run).any(|owner| owner == uid_of(rollout));
    let names = |rollout: &Value| {
        let strategies = [&rollout["status"]["canary"], &rollout["status"]["blueGreen"]];
        let fields = strategies.into_iter().filter_map(Value::as_object).flatten();
        fields
            .filter(|(field, _)| field.ends_with("AnalysisRunStatus"))
            .any(|(_, named)| named["name"] == *name)
    };
    write
        .store
        .list(Kind::Rollout)
        .any(|(_, rollout)| is_owner(rollout) && names(rollout))
}
