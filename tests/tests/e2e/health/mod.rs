//! What others say of our Rollouts, in every phase: Argo CD by the scripts that it ships, and kstatus, by which Flux and Helm
//! wait. And what Argo CD's actions do in the machine.
//!
//! The states come from simulations, so nothing here needs a plane. `kubectl wait` is asked in the suite `plane`.

mod actions;
pub mod states;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use sluice_simulations::Kind;
use sluice_tests::{Shared, main_with, tests};

use states::State;

/// What the message of a Rollout's health begins with while kstatus cannot read it.
const UNREADABLE: &str = "looking up status.observedGeneration from resource: ";

pub fn suite() -> ExitCode {
    main_with(
        "health",
        async |inside| Ok(Tools(inside.programs.health.clone())),
        tests![
            argo_cd_says_of_every_state_what_it_is,
            argo_cd_offers_the_actions_that_fit_the_state,
            argo_cd_says_of_every_run_what_came_of_it,
            kstatus_cannot_read_what_argo_rollouts_api_says,
            actions::resume_goes_on,
            actions::resume_after_an_inconclusive_analysis_measures_again,
            actions::skip_current_step_goes_to_the_next_one,
            actions::abort_takes_the_update_back,
            actions::retry_begins_anew,
            actions::promote_full_skips_what_is_left,
            actions::pause_stops_where_it_is,
            actions::restart_replaces_every_pod,
            actions::terminate_ends_a_run,
        ],
    )
}

/// The program that asks the tools of others.
pub struct Tools(PathBuf);

impl Shared for Tools {
    fn dead_components(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What the tools say of an object.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// Argo CD.
    pub health: Verdict,
    /// kstatus.
    pub kstatus: Verdict,
    /// The actions of Argo CD, and the object that each makes; nothing where it is disabled.
    pub actions: BTreeMap<String, Option<Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Verdict {
    pub status: String,
    pub message: String,
    /// Why there is no status.
    pub error: String,
}

impl Tools {
    /// What the tools say of objects, in their order.
    pub fn ask(&self, objects: &[&Value]) -> Result<Vec<Answer>> {
        let mut child = Command::new(&self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the program `health`")?;
        let mut input = child.stdin.take().context("it has an input")?;
        // It answers when it has read everything, so nobody waits for anybody.
        input.write_all(json!(objects).to_string().as_bytes())?;
        drop(input);
        let output = child.wait_with_output().context("wait for the program `health`")?;
        ensure!(output.status.success(), "the program `health` fails");
        let answers: Vec<Answer> = serde_json::from_slice(&output.stdout).context("read what `health` says")?;
        ensure!(answers.len() == objects.len(), "it says something of {}", answers.len());
        Ok(answers)
    }

    /// What they say of one object.
    pub fn ask_one(&self, object: &Value) -> Result<Answer> {
        self.ask(&[object])?.pop().context("one answer")
    }
}

/// What the tools say of the Rollout in each state.
fn ask_all(tools: &Tools) -> Result<Vec<(State, Value, Answer)>> {
    let states = states::all();
    let rollouts: Vec<Value> = states
        .iter()
        .map(|state| states::rollout(&state.cluster()).clone())
        .collect();
    let answers = tools.ask(&rollouts.iter().collect::<Vec<_>>())?;
    let rows = states.into_iter().zip(rollouts).zip(answers);
    Ok(rows
        .map(|((state, rollout), answer)| (state, rollout, answer))
        .collect())
}

/// Fails with all problems, if there are any.
fn none(problems: &[String]) -> Result<()> {
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    Ok(())
}

async fn argo_cd_says_of_every_state_what_it_is(tools: Arc<Tools>) -> Result<()> {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for (state, _, answer) in ask_all(&tools)? {
        let (status, message) = state.says;
        let Verdict {
            status: said,
            message: text,
            ..
        } = answer.health;
        let is_silent = message.is_empty() && status == "Healthy";
        if said != status || !text.starts_with(message) || (is_silent && !text.is_empty()) {
            let name = state.name;
            problems.push(format!("{name}: {said} {text:?}, it should be {status} {message:?}"));
        }
        seen.insert(said);
    }
    none(&problems)?;
    let every = ["Degraded", "Healthy", "Progressing", "Suspended"];
    ensure!(seen.iter().eq(every), "not every health comes up: {seen:?}");
    Ok(())
}

async fn argo_cd_offers_the_actions_that_fit_the_state(tools: Arc<Tools>) -> Result<()> {
    let mut problems = Vec::new();
    for (state, _, answer) in ask_all(&tools)? {
        let mut wanted: BTreeSet<&str> = state.offers.iter().copied().collect();
        wanted.insert("restart");
        let offered = answer.actions.iter().filter(|(_, made)| made.is_some());
        let offered: BTreeSet<&str> = offered.map(|(name, _)| name.as_str()).collect();
        if offered != wanted {
            problems.push(format!("{}: {offered:?} instead of {wanted:?}", state.name));
        }
    }
    none(&problems)
}

async fn argo_cd_says_of_every_run_what_came_of_it(tools: Arc<Tools>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for state in states::all() {
        for (_, run) in state.cluster().store().list(Kind::AnalysisRun) {
            let status = &run["status"];
            let phase = status["phase"].as_str().unwrap_or_default();
            let (health, default) = match phase {
                "Running" => ("Progressing", "Analysis run is running"),
                "Successful" => ("Healthy", "Analysis run completed successfully"),
                "Failed" => ("Degraded", "Analysis run failed"),
                "Error" => ("Degraded", "Analysis run had an error"),
                "Inconclusive" => ("Unknown", "Analysis run was inconclusive"),
                other => bail!("{}: a run is {other:?}", state.name),
            };
            let message = status["message"].as_str().unwrap_or(default);
            let answer = tools.ask_one(run)?;
            let said = (answer.health.status.as_str(), answer.health.message.as_str());
            ensure!(
                said == (health, message),
                "{}: a run that is {phase} is {said:?}",
                state.name
            );
            let may_end = answer.actions["terminate"].is_some();
            ensure!(
                may_end == (phase == "Running"),
                "{}: {phase}: terminate: {may_end}",
                state.name
            );
            // It knows nothing of verdicts.
            ensure!(
                answer.kstatus.status == "Current",
                "{}: {:?}",
                state.name,
                answer.kstatus
            );
            seen.insert(phase.to_owned());
        }
    }
    let every = ["Error", "Failed", "Inconclusive", "Running", "Successful"];
    ensure!(seen.iter().eq(every), "not every phase comes up: {seen:?}");
    Ok(())
}

/// `status.observedGeneration` is a text in the API, and kstatus insists on a number. Read as a number, as tools do that know of
/// it, only a spec that was not observed is told apart: there are none of the conditions that kstatus looks for.
async fn kstatus_cannot_read_what_argo_rollouts_api_says(tools: Arc<Tools>) -> Result<()> {
    let mut problems = Vec::new();
    for (state, mut rollout, answer) in ask_all(&tools)? {
        let Some(observed) = rollout["status"]["observedGeneration"].as_str().map(str::to_owned) else {
            ensure!(state.name == "just created", "{} has observed nothing", state.name);
            continue;
        };
        if !answer.kstatus.error.starts_with(UNREADABLE) {
            problems.push(format!("{}: {:?}", state.name, answer.kstatus));
        }
        rollout["status"]["observedGeneration"] = observed.parse::<i64>()?.into();
        let is_behind = state.name == "changed a moment ago";
        let wanted = if is_behind { "InProgress" } else { "Current" };
        let read = tools.ask_one(&rollout)?.kstatus;
        if read.status != wanted {
            problems.push(format!("{}: {read:?} instead of {wanted}", state.name));
        }
    }
    none(&problems)
}
