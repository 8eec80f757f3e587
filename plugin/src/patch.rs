//! The patches that are commands. They are those of Argo's plugin, so that both plugins do the same to a Rollout, whichever
//! controller serves it.

use serde_json::{Value, json};
use sluice_crds::{PauseReason, Rollout};
use sluice_machine::rollout::canary;

use crate::{
    cluster::{CallError, Cluster},
    phase,
    resource::Resource,
};

/// Takes an update back.
pub fn abort() -> Value {
    json!({ "status": { "abort": true } })
}

/// Begins an aborted update again.
pub fn retry() -> Value {
    json!({ "status": { "abort": false } })
}

/// Stops an update where it is.
pub fn pause() -> Value {
    json!({ "spec": { "paused": true } })
}

/// What promoting a Rollout comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Promotion {
    /// Patches of the status and of the spec.
    Patch {
        /// Of the status. It only holds for the Rollout that was read: it names a step.
        status: Option<Value>,
        /// Of the spec.
        spec: Option<Value>,
    },
    /// There is nothing to promote, and why.
    Nothing(String),
    /// It cannot be promoted now, and what to do.
    Refused(String),
}

/// Whether the controller has taken note of the present spec. Before, its status is about another update.
pub fn is_observed(rollout: &Rollout) -> bool {
    phase::is_observed(rollout)
}

/// What promotes a Rollout as it is. Going on from a pause and skipping a step are never done at the same time.
pub fn promotion(rollout: &Rollout, full: bool) -> Promotion {
    let status = rollout.status.clone().unwrap_or_default();
    let unpause = (rollout.spec.paused == Some(true)).then(|| json!({ "spec": { "paused": false } }));
    let complete = status.stable_rs.is_some() && status.stable_rs == status.current_pod_hash;
    if full {
        return if complete {
            Promotion::Nothing("its present revision is fully rolled out".to_owned())
        } else {
            Promotion::Patch {
                status: Some(json!({ "status": { "promoteFull": true } })),
                spec: None,
            }
        };
    }
    let paused = status.pause_conditions.iter().flatten().next().is_some();
    if paused {
        return Promotion::Patch {
            status: Some(resume(rollout)),
            spec: unpause,
        };
    }
    if unpause.is_some() {
        return Promotion::Patch {
            status: None,
            spec: unpause,
        };
    }
    if complete {
        return Promotion::Nothing("its present revision is fully rolled out".to_owned());
    }
    if status.abort == Some(true) {
        return Promotion::Refused("its update was aborted: begin it again with `kubectl sluice retry`".to_owned());
    }
    match next_index(rollout) {
        Some(index) => {
            let status = json!({ "status": { "pauseConditions": null, "currentStepIndex": index } });
            Promotion::Patch {
                status: Some(status),
                spec: None,
            }
        }
        None if rollout.spec.canary().is_some() => {
            Promotion::Nothing("all its steps are done; it ends when its pods are available".to_owned())
        }
        None => Promotion::Refused(
            "it does not wait for a promotion yet: wait until it is Paused, or promote it with --full".to_owned(),
        ),
    }
}

/// Ends a pause. After an analysis without a clear result, the step that it belongs to is done with, too.
fn resume(rollout: &Rollout) -> Value {
    let status = rollout.status.clone().unwrap_or_default();
    let mut pauses = status.pause_conditions.iter().flatten();
    let inconclusive = pauses.any(|pause| pause.reason == PauseReason::InconclusiveAnalysisRun);
    let index = next_index(rollout).filter(|_| inconclusive && status.controller_pause == Some(true));
    match index {
        Some(index) => {
            json!({ "status": { "pauseConditions": null, "controllerPause": false, "currentStepIndex": index } })
        }
        None => json!({ "status": { "pauseConditions": null } }),
    }
}

/// The step after the present one; `None` where there is none or all are done.
fn next_index(rollout: &Rollout) -> Option<usize> {
    let steps = canary::steps(rollout.spec.canary()?);
    let index = rollout
        .status
        .as_ref()
        .and_then(|status| status.current_step_index)
        .unwrap_or(0);
    let index = usize::try_from(index).unwrap_or(0);
    (index < steps.len()).then_some(index + 1)
}

/// What a promotion depends on: where the update stands and whether it is paused.
pub fn position(rollout: &Rollout) -> Value {
    let status = rollout.status.clone().unwrap_or_default();
    json!([
        rollout.spec.paused,
        status.current_pod_hash,
        status.current_step_index,
        status.pause_conditions,
        status.controller_pause,
        status.abort,
        status.stable_rs,
    ])
}

/// Sends patches: the status first. Where Rollouts have no status subresource, both go as one patch of the object.
pub async fn send(
    cluster: &Cluster,
    name: &str,
    status: Option<&Value>,
    spec: Option<&Value>,
) -> Result<Value, CallError> {
    let (rollouts, object) = (Resource::rollouts(), (cluster.namespace.as_str(), name));
    let mut result = Value::Null;
    if let Some(status) = status {
        match cluster.patch(&rollouts, object, Some("status"), status).await {
            Ok(patched) => result = patched,
            Err(error) if error.is_absent() => {
                let mut unified = status.clone();
                if let Some(spec) = spec {
                    unified["spec"] = spec["spec"].clone();
                }
                return cluster.patch(&rollouts, object, None, &unified).await;
            }
            Err(error) => return Err(error),
        }
    }
    match spec {
        Some(spec) => cluster.patch(&rollouts, object, None, spec).await,
        None => Ok(result),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rollout(strategy: &Value, paused: bool, status: &Value) -> Rollout {
        let object = json!({
            "metadata": { "name": "x" },
            "spec": { "paused": paused, "strategy": strategy },
            "status": status,
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn promotions_are_the_patches_that_argos_plugin_sends() {
        let canary = json!({ "canary": { "steps": [{ "setWeight": 5 }, { "pause": {} }, { "setWeight": 50 }] } });
        let bare = json!({ "canary": {} });
        let blue_green = json!({ "blueGreen": { "activeService": "a" } });
        let paused = |reason: &str| json!([{ "reason": reason, "startTime": "2026-01-01T00:00:00Z" }]);
        let status = |index: Option<i32>, more: Value| {
            let mut status = json!({ "stableRS": "old", "currentPodHash": "new", "currentStepIndex": index });
            status
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            status
        };
        let check = |what: &str, rollout: Rollout, full: bool, status: Value, spec: Value| {
            let some = |value: Value| (!value.is_null()).then_some(value);
            let wanted = Promotion::Patch {
                status: some(status),
                spec: some(spec),
            };
            assert_eq!(promotion(&rollout, full), wanted, "{what}");
        };
        let null = Value::Null;
        let resumed = json!({ "status": { "pauseConditions": null } });
        let skipped = |index: i32| json!({ "status": { "pauseConditions": null, "currentStepIndex": index } });
        let unpaused = json!({ "spec": { "paused": false } });

        let pause = json!({ "pauseConditions": paused("CanaryPauseStep"), "controllerPause": true });
        let at_pause = rollout(&canary, false, &status(Some(1), pause.clone()));
        check(
            "a pause step is resumed and no step is skipped",
            at_pause,
            false,
            resumed.clone(),
            null.clone(),
        );
        let running = rollout(&canary, false, &status(Some(0), json!({})));
        check("a step that runs is skipped", running, false, skipped(1), null.clone());
        let unset = rollout(&canary, false, &status(None, json!({})));
        check(
            "no index counts as the first step",
            unset,
            false,
            skipped(1),
            null.clone(),
        );
        let last = rollout(&canary, false, &status(Some(2), json!({})));
        check(
            "the last step is skipped to the end",
            last,
            false,
            skipped(3),
            null.clone(),
        );
        let by_user = rollout(&canary, true, &status(Some(1), json!({})));
        check(
            "a pause by a user is ended and no step is skipped",
            by_user,
            false,
            null.clone(),
            unpaused.clone(),
        );
        let both = rollout(&canary, true, &status(Some(1), pause));
        check("both pauses are ended", both, false, resumed.clone(), unpaused);
        let inconclusive = json!({ "pauseConditions": paused("InconclusiveAnalysisRun"), "controllerPause": true });
        let wanted = json!({ "status": { "pauseConditions": null, "controllerPause": false, "currentStepIndex": 2 } });
        let unclear = rollout(&canary, false, &status(Some(1), inconclusive));
        check(
            "an analysis without a clear result is overruled",
            unclear,
            false,
            wanted,
            null.clone(),
        );
        let pause = json!({ "pauseConditions": paused("BlueGreenPause"), "controllerPause": true });
        let green = rollout(&blue_green, false, &status(None, pause));
        check("blue-green is resumed", green, false, resumed, null.clone());
        let full = json!({ "status": { "promoteFull": true } });
        check(
            "all at once",
            rollout(&canary, false, &status(Some(0), json!({}))),
            true,
            full.clone(),
            null.clone(),
        );
        check(
            "all at once, no steps",
            rollout(&bare, false, &status(None, json!({}))),
            true,
            full,
            null,
        );
    }

    #[test]
    fn what_cannot_be_promoted_is_not_patched() {
        let canary = json!({ "canary": { "steps": [{ "setWeight": 5 }] } });
        let blue_green = json!({ "blueGreen": { "activeService": "a" } });
        let done = json!({ "stableRS": "new", "currentPodHash": "new", "currentStepIndex": 1 });
        let at_end = json!({ "stableRS": "old", "currentPodHash": "new", "currentStepIndex": 1 });
        let aborted = json!({ "stableRS": "old", "currentPodHash": "new", "currentStepIndex": 0, "abort": true });
        let coming = json!({ "stableRS": "old", "currentPodHash": "new" });
        let rows = vec![
            (rollout(&canary, false, &done), false, "nothing"),
            (rollout(&canary, false, &done), true, "nothing"),
            (rollout(&canary, false, &at_end), false, "nothing"),
            (rollout(&canary, false, &aborted), false, "refused"),
            (rollout(&blue_green, false, &coming), false, "refused"),
        ];
        for (rollout, full, wanted) in rows {
            let result = match promotion(&rollout, full) {
                Promotion::Patch { .. } => "patch",
                Promotion::Nothing(_) => "nothing",
                Promotion::Refused(_) => "refused",
            };
            assert_eq!(result, wanted, "{:?}", rollout.status);
        }
    }

    #[test]
    fn the_other_commands_are_the_documented_patches() {
        assert_eq!(abort(), json!({ "status": { "abort": true } }));
        assert_eq!(retry(), json!({ "status": { "abort": false } }));
        assert_eq!(pause(), json!({ "spec": { "paused": true } }));
    }
}
