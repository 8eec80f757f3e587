//! The AnalysisRuns of an update: their names are committed first, then they are made, and their verdicts are taken over.

use serde_json::{Value, json};
use sluice_crds::{
    AnalysisPhase, AnalysisRunStatusRef, BlueGreenStatus, CanaryStatus, CanaryStrategy, PauseCondition, PauseReason,
    RolloutAnalysis, RolloutStatus, Time,
};
use sluice_traffic::REVISION_LABEL;

use super::{
    canary,
    context::{Context, REVISION_ANNOTATION, is_complete},
    sets,
    turn::Turn,
};
use crate::{Effect, EventKind, Fact, Hold, Run, run_spec};

/// Label with the kind of a run.
const TYPE_LABEL: &str = "rollout-type";
/// Label with the index of the step that a run belongs to.
const STEP_LABEL: &str = "step-index";
/// Label with the number of the attempt: 0, and one more after each retry.
const ATTEMPT_LABEL: &str = "sluice.dev/attempt";
/// Label that tells which of several controllers an object belongs to.
const INSTANCE_LABEL: &str = "argo-rollouts.argoproj.io/controller-instance-id";

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Step(usize),
    Background,
    PrePromotion,
    PostPromotion,
}

impl Role {
    /// Name of the first attempt's run, as Argo Rollouts names it.
    fn base_name(self, context: &Context<'_>) -> String {
        let name = format!("{}-{}-{}", context.name, context.new_hash, context.revision);
        match self {
            Role::Step(index) => format!("{name}-{index}"),
            Role::Background => name,
            Role::PrePromotion => format!("{name}-pre"),
            Role::PostPromotion => format!("{name}-post"),
        }
    }

    /// As the label with the kind of a run says it.
    fn label(self) -> &'static str {
        match self {
            Role::Step(_) => "Step",
            Role::Background => "Background",
            Role::PrePromotion => "PrePromotion",
            Role::PostPromotion => "PostPromotion",
        }
    }

    /// As events and the reason of an abort say it, and in one word.
    fn spoken(self) -> (&'static str, &'static str) {
        match self {
            Role::Step(_) => ("Step-based", "step"),
            Role::Background => ("Background", "background"),
            Role::PrePromotion => ("Blue/green pre-promotion", "pre-promotion"),
            Role::PostPromotion => ("Blue/green post-promotion", "post-promotion"),
        }
    }

    /// The attempt that a name stands for; `None` for a name of something else.
    fn attempt(self, context: &Context<'_>, name: &str) -> Option<u32> {
        let rest = name.strip_prefix(&self.base_name(context))?;
        if rest.is_empty() {
            Some(0)
        } else {
            rest.strip_prefix('.')?.parse().ok()
        }
    }

    pub(super) fn named(self, status: &RolloutStatus) -> Option<&AnalysisRunStatusRef> {
        let (canary, blue_green) = (status.canary.as_ref(), status.blue_green.as_ref());
        match self {
            Role::Step(_) => canary?.current_step_analysis_run_status.as_ref(),
            Role::Background => canary?.current_background_analysis_run_status.as_ref(),
            Role::PrePromotion => blue_green?.pre_promotion_analysis_run_status.as_ref(),
            Role::PostPromotion => blue_green?.post_promotion_analysis_run_status.as_ref(),
        }
    }

    fn slot(self, status: &mut RolloutStatus) -> &mut Option<AnalysisRunStatusRef> {
        match self {
            Role::Step(_) | Role::Background => {
                let canary = status.canary.get_or_insert_with(CanaryStatus::default);
                if self == Role::Background {
                    &mut canary.current_background_analysis_run_status
                } else {
                    &mut canary.current_step_analysis_run_status
                }
            }
            Role::PrePromotion | Role::PostPromotion => {
                let blue_green = status.blue_green.get_or_insert_with(BlueGreenStatus::default);
                if self == Role::PrePromotion {
                    &mut blue_green.pre_promotion_analysis_run_status
                } else {
                    &mut blue_green.post_promotion_analysis_run_status
                }
            }
        }
    }

    /// The analysis that this role runs, where the present status calls for one.
    fn analysis(self, context: &Context<'_>, status: &RolloutStatus) -> Option<RolloutAnalysis> {
        match self {
            Role::Step(index) => canary::steps(context.canary()?).get(index)?.analysis.clone(),
            Role::PrePromotion => context.blue_green()?.pre_promotion_analysis.clone(),
            Role::PostPromotion => context.blue_green()?.post_promotion_analysis.clone(),
            Role::Background => {
                let canary = context.canary()?;
                let background = canary.analysis.as_ref()?;
                let from = background
                    .starting_step
                    .map_or(0, |step| usize::try_from(step).unwrap_or(0));
                let started = canary::index(canary, status) >= from;
                (started && status.promote_full != Some(true)).then(|| background.analysis())
            }
        }
    }
}

/// The runs that the present status calls for.
fn roles(context: &Context<'_>, status: &RolloutStatus) -> Vec<Role> {
    if is_complete(context, status)
        || status.abort == Some(true)
        || status.stable_rs.as_deref().unwrap_or_default().is_empty()
    {
        return Vec::new();
    }
    let Some(canary) = context.canary() else {
        // Which of them is due is decided where it is named.
        let all = [Role::PrePromotion, Role::PostPromotion];
        let is_due = |role: &Role| role.named(status).is_some() && role.analysis(context, status).is_some();
        let skipped = status.promote_full == Some(true);
        return all.into_iter().filter(|role| !skipped && is_due(role)).collect();
    };
    let all = [Role::Step(canary::index(canary, status)), Role::Background];
    all.into_iter()
        .filter(|role| role.analysis(context, status).is_some())
        .collect()
}

/// The run object that the status names for a role. Only a run that is ours by owner, revision, step and attempt counts.
fn current<'a>(context: &Context<'a>, status: &RolloutStatus, role: Role) -> Option<&'a Run> {
    let name = &role.named(status)?.name;
    let attempt = role.attempt(context, name)?;
    let run = context.world.runs.known()?.get(name)?;
    let label = |key: &str| run.labels.get(key).map(String::as_str);
    let of_attempt = label(ATTEMPT_LABEL).is_none_or(|label| label == attempt.to_string());
    (of_attempt && label(REVISION_LABEL) == Some(context.new_hash.as_str())).then_some(run)
}

/// Takes over the verdicts of the present runs. A failed or errored run is the reason of an abort; an inconclusive one pauses.
pub(super) fn verdict(turn: &mut Turn<'_>, context: &Context<'_>, status: &mut RolloutStatus) -> Option<String> {
    for role in roles(context, status) {
        let Some(run) = current(context, status, role) else {
            continue;
        };
        let (kind, what) = role.spoken();
        let slot = role.slot(status).as_mut()?;
        let changed = slot.status != run.phase;
        slot.status = run.phase.clone();
        slot.message.clone_from(&run.message);
        if changed && run.phase.completed() {
            publish_phase(turn, context, run, kind);
        }
        match run.phase {
            AnalysisPhase::Failed | AnalysisPhase::Error => {
                let reason = format!("{kind} analysis phase error/failed");
                return Some(match &run.message {
                    Some(message) => format!("{reason}: {message}"),
                    None => reason,
                });
            }
            AnalysisPhase::Inconclusive if changed => pause_inconclusive(turn, context, status, what),
            _ => {}
        }
    }
    None
}

fn publish_phase(turn: &mut Turn<'_>, context: &Context<'_>, run: &Run, kind: &str) {
    let (event, reason) = match run.phase {
        AnalysisPhase::Successful => (EventKind::Normal, "AnalysisRunSuccessful"),
        AnalysisPhase::Failed => (EventKind::Warning, "AnalysisRunFailed"),
        AnalysisPhase::Inconclusive => (EventKind::Warning, "AnalysisRunInconclusive"),
        _ => (EventKind::Warning, "AnalysisRunError"),
    };
    let message = format!("{kind} Analysis Run '{}' Status New: '{}'", run.name, run.phase);
    turn.event(event, reason, message, context.event_key(&run.uid));
}

fn pause_inconclusive(turn: &mut Turn<'_>, context: &Context<'_>, status: &mut RolloutStatus, what: &str) {
    let start_time = Time::from(sets::whole_second_up(turn.now));
    let pauses = status.pause_conditions.get_or_insert_default();
    if pauses
        .iter()
        .any(|pause| pause.reason == PauseReason::InconclusiveAnalysisRun)
    {
        return;
    }
    pauses.push(PauseCondition {
        reason: PauseReason::InconclusiveAnalysisRun,
        start_time,
    });
    status.controller_pause = Some(true);
    let message = format!("Rollout is paused (InconclusiveAnalysisRun, {what})");
    turn.event(
        EventKind::Normal,
        "RolloutPaused",
        message,
        context.event_key(&format!("inconclusive/{what}")),
    );
}

/// Phase of the present step's run; `None` while there is none.
pub(super) fn step_phase(
    turn: &mut Turn<'_>,
    context: &Context<'_>,
    canary: &CanaryStrategy,
    status: &RolloutStatus,
) -> Option<AnalysisPhase> {
    phase(turn, context, status, Role::Step(canary::index(canary, status)))
}

/// Phase of the present run of a role; `None` while there is none. Anything but success is why the Rollout waits.
pub(super) fn phase(
    turn: &mut Turn<'_>,
    context: &Context<'_>,
    status: &RolloutStatus,
    role: Role,
) -> Option<AnalysisPhase> {
    let name = role
        .named(status)
        .map_or_else(|| role.base_name(context), |named| named.name.clone());
    let phase = current(context, status, role).map(|run| run.phase.clone());
    if phase != Some(AnalysisPhase::Successful) {
        let shown = phase
            .as_ref()
            .map_or_else(|| "not started".to_owned(), ToString::to_string);
        turn.hold(Hold::AnalysisRunning {
            run: name,
            phase: shown,
        });
    }
    phase
}

/// Gives every run that the status calls for its name. The name is committed before the run is made.
pub(super) fn name_current(
    turn: &mut Turn<'_>,
    context: &Context<'_>,
    canary: &CanaryStrategy,
    status: &mut RolloutStatus,
) {
    let wanted = roles(context, status);
    let paused = status.pause_conditions.iter().flatten().next().is_some();
    let resumed = status.controller_pause == Some(true) && !paused;
    for role in [Role::Step(canary::index(canary, status)), Role::Background] {
        if !wanted.contains(&role) {
            if role.named(status).is_some() {
                *role.slot(status) = None;
            }
            continue;
        }
        // Its pause was ended, and the step was not passed by hand: it is measured again.
        let is_inconclusive = |named: &AnalysisRunStatusRef| named.status == AnalysisPhase::Inconclusive;
        if resumed && role.named(status).is_some_and(is_inconclusive) {
            *role.slot(status) = None;
            status.controller_pause = None;
        }
        name_one(turn, context, status, role);
    }
}

/// Gives the run of a role its name, unless it has one. The name is committed before the run is made.
pub(super) fn name_one(turn: &mut Turn<'_>, context: &Context<'_>, status: &mut RolloutStatus, role: Role) {
    let taken = &context.world.memory.taken_runs;
    if role
        .named(status)
        .is_some_and(|named| role.attempt(context, &named.name).is_some() && !taken.contains(&named.name))
    {
        return;
    }
    let Fact::Known(runs) = &context.world.runs else {
        turn.hold(Hold::Unknown {
            what: "the AnalysisRuns".to_owned(),
            why: crate::Why::Syncing,
        });
        return;
    };
    let base = role.base_name(context);
    // Runs of somebody else are not among ours, and have their names all the same.
    let past = runs.keys().chain(taken).filter_map(|name| role.attempt(context, name));
    let name = past
        .max()
        .map_or_else(|| base.clone(), |attempt| format!("{base}.{}", attempt + 1));
    *role.slot(status) = Some(AnalysisRunStatusRef {
        name,
        status: AnalysisPhase::Pending,
        message: None,
    });
}

/// Whether an analysis before or after a promotion has not ended.
pub(super) fn is_waiting(status: &RolloutStatus) -> bool {
    [Role::PrePromotion, Role::PostPromotion]
        .iter()
        .filter_map(|role| role.named(status))
        .any(|run| !run.status.completed())
}

/// Forgets the runs that the status names.
pub(super) fn forget(status: &mut RolloutStatus) {
    status.runs_mut().for_each(|run| *run = None);
}

/// Makes the runs that the status names, and ends all others.
pub(super) fn act(turn: &mut Turn<'_>, context: &Context<'_>, status: &RolloutStatus) {
    let Fact::Known(runs) = &context.world.runs else { return };
    let mut kept = Vec::new();
    let mut all_exist = true;
    for role in roles(context, status) {
        let Some(named) = role.named(status) else { continue };
        kept.push(named.name.clone());
        if runs.contains_key(&named.name) {
            continue;
        }
        all_exist = false;
        match object(context, status, role, &named.name) {
            Ok(object) => turn.effects.push(Effect::CreateRun {
                name: named.name.clone(),
                object,
            }),
            Err(hold) => turn.hold(hold),
        }
    }
    if all_exist {
        turn.memory.taken_runs.clear();
    }
    for run in runs
        .values()
        .filter(|run| !kept.contains(&run.name) && !run.phase.completed() && !run.terminating)
    {
        turn.effects.push(Effect::TerminateRun {
            name: run.name.clone(),
            uid: run.uid.clone(),
            resource_version: run.resource_version.clone(),
        });
    }
}

/// Deletes the oldest run beyond the history limits (5 successful and 5 others, by default). Comes after everything that
/// moves pods or traffic: a plan has one irreversible effect at most, and this one can wait.
pub(super) fn collect(turn: &mut Turn<'_>, context: &Context<'_>, status: &RolloutStatus) {
    let Fact::Known(runs) = &context.world.runs else { return };
    let kept: Vec<String> = roles(context, status)
        .into_iter()
        .filter_map(|role| Some(role.named(status)?.name.clone()))
        .collect();
    let mut past: Vec<&Run> = runs.values().filter(|run| !kept.contains(&run.name)).collect();
    let limits = context.rollout.spec.analysis.as_ref();
    let limit = |limit: Option<i32>| limit.map_or(5, |limit| usize::try_from(limit).unwrap_or(0));
    past.retain(|run| run.phase.completed());
    past.sort_by_key(|run| (std::cmp::Reverse(run.created_at), run.name.clone()));
    let (good, bad): (Vec<&Run>, Vec<&Run>) = past.into_iter().partition(|run| run.phase == AnalysisPhase::Successful);
    let good = good
        .into_iter()
        .skip(limit(limits.and_then(|limits| limits.successful_run_history_limit)));
    let bad = bad
        .into_iter()
        .skip(limit(limits.and_then(|limits| limits.unsuccessful_run_history_limit)));
    if let Some(run) = good.chain(bad).last()
        && !turn.is_spent()
    {
        turn.effects.push(Effect::DeleteRun {
            name: run.name.clone(),
            uid: run.uid.clone(),
        });
    }
}

fn object(context: &Context<'_>, status: &RolloutStatus, role: Role, name: &str) -> Result<Value, Hold> {
    let analysis = role.analysis(context, status).unwrap_or_default();
    let stable = status.stable_rs.as_deref().unwrap_or_default();
    let spec = run_spec::build(context.world, &analysis, stable, &context.new_hash)?;
    let metadata = analysis.analysis_run_metadata.unwrap_or_default();
    let mut labels = metadata.labels.unwrap_or_default();
    let mut annotations = metadata.annotations.unwrap_or_default();
    let attempt = role.attempt(context, name).unwrap_or(0);
    labels.insert(REVISION_LABEL.to_owned(), context.new_hash.clone());
    labels.insert(ATTEMPT_LABEL.to_owned(), attempt.to_string());
    labels.insert(TYPE_LABEL.to_owned(), role.label().to_owned());
    if let Role::Step(index) = role {
        labels.insert(STEP_LABEL.to_owned(), index.to_string());
    }
    if let Some(id) = &context.world.settings.instance_id {
        labels.insert(INSTANCE_LABEL.to_owned(), id.clone());
    }
    annotations.insert(REVISION_ANNOTATION.to_owned(), context.revision.to_string());
    Ok(json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisRun",
        "metadata": { "name": name, "labels": labels, "annotations": annotations },
        "spec": spec,
    }))
}
