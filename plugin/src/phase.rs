//! The phase of a Rollout as tools show it: what the controller wrote, unless it has not seen the present spec yet.

use sluice_crds::{Rollout, RolloutPhase};

use crate::text::{Line, Style};

/// Phase and message. The rules before `status.phase` are those that users of `kubectl argo rollouts` know.
pub fn of(rollout: &Rollout) -> (RolloutPhase, String) {
    let progressing = |text: &str| (RolloutPhase::Progressing, text.to_owned());
    if rollout.metadata.deletion_timestamp.is_some() {
        return progressing("the rollout is being deleted");
    }
    if !is_observed(rollout) {
        return progressing("waiting for rollout spec update to be observed");
    }
    let Some(status) = &rollout.status else {
        return progressing("waiting for rollout spec update to be observed");
    };
    let paused = status.pause_conditions.iter().flatten().next().is_some();
    if status.controller_pause == Some(true) && !paused {
        return progressing("waiting for rollout to unpause");
    }
    match &status.phase {
        Some(phase) => (phase.clone(), status.message.clone().unwrap_or_default()),
        None => progressing("the controller has not written a phase yet"),
    }
}

/// Whether the controller's status is about the present spec.
pub fn is_observed(rollout: &Rollout) -> bool {
    let observed = rollout
        .status
        .as_ref()
        .and_then(|status| status.observed_generation.as_deref());
    match (
        observed.and_then(|text| text.parse::<i64>().ok()),
        rollout.metadata.generation,
    ) {
        (Some(observed), Some(generation)) => observed == generation,
        (None, generation) => generation.is_none(),
        (Some(_), None) => true,
    }
}

/// The symbol and style of a phase, of a Rollout or of anything else that has one.
pub fn symbol(phase: &str) -> (&'static str, Style) {
    match phase {
        "Healthy" | "Successful" | "Running" | "Succeeded" | "Completed" => ("✔", Style::Good),
        "Progressing" | "Pending" | "Terminating" => ("◌", Style::Busy),
        "Paused" => ("॥", Style::Warn),
        "Inconclusive" => ("?", Style::Warn),
        "Error" => ("⚠", Style::Bad),
        "ScaledDown" => ("•", Style::Dim),
        _ => ("✖", Style::Bad),
    }
}

/// A phase with its symbol. An analysis that runs is under way; a pod that runs is as it should be.
pub fn line(phase: &str, kind: &str) -> Line {
    let (symbol, style) = match (kind, phase) {
        ("AnalysisRun", "Running") => ("◌", Style::Busy),
        _ => symbol(phase),
    };
    Line::styled(style, format!("{symbol} {phase}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_phase_is_only_believed_when_it_is_about_the_present_spec() {
        let check = |generation: i64, status: Value, wanted: &str| {
            let object = json!({
                "metadata": { "name": "x", "generation": generation },
                "spec": {},
                "status": status,
            });
            let rollout: Rollout = serde_json::from_value(object).unwrap();
            let (phase, message) = of(&rollout);
            assert_eq!(format!("{phase} - {message}"), wanted);
        };
        let healthy = |observed: &str| json!({ "observedGeneration": observed, "phase": "Healthy" });
        check(3, healthy("3"), "Healthy - ");
        check(
            3,
            healthy("2"),
            "Progressing - waiting for rollout spec update to be observed",
        );
        check(
            3,
            healthy("x7f"),
            "Progressing - waiting for rollout spec update to be observed",
        );
        check(
            3,
            Value::Null,
            "Progressing - waiting for rollout spec update to be observed",
        );
        let mut status = healthy("3");
        status["controllerPause"] = true.into();
        check(3, status.clone(), "Progressing - waiting for rollout to unpause");
        status["pauseConditions"] = json!([{ "reason": "CanaryPauseStep", "startTime": "2026-01-01T00:00:00Z" }]);
        status["phase"] = "Paused".into();
        status["message"] = "CanaryPauseStep".into();
        check(3, status, "Paused - CanaryPauseStep");
        check(
            3,
            json!({ "observedGeneration": "3" }),
            "Progressing - the controller has not written a phase yet",
        );
    }
}
