//! Argo CD's actions on our Rollouts: the object that a script makes is sent as Argo CD sends it, and the machine goes on.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sluice_machine::json::diff;
use sluice_simulations::{Cluster, Command, Key, Kind, Part, START};

use super::Tools;
use super::states::{self, State, key, rollout};

/// Long after everything that goes on by itself.
const LONG: i64 = 3_600;

/// A state in which an action was carried out.
struct Acted {
    what: String,
    cluster: Cluster,
    /// The Rollout before.
    before: Value,
}

impl Acted {
    /// Carries an action of Argo CD out on the Rollout.
    fn new(tools: &Tools, state: &str, action: &str) -> Result<Acted> {
        let state: State = states::named(state);
        let mut cluster = state.cluster();
        let before = rollout(&cluster).clone();
        act(tools, &mut cluster, &key(), action).with_context(|| state.name.to_owned())?;
        let what = format!("{}: {action}", state.name);
        Ok(Acted { what, cluster, before })
    }

    /// Lets some seconds pass.
    fn run(&mut self, seconds: i64) -> Result<()> {
        let until = self.cluster.now() + SignedDuration::from_secs(seconds);
        self.cluster.run_until(until);
        let violations = self.cluster.violations();
        ensure!(violations.is_empty(), "{}: {violations:?}", self.what);
        Ok(())
    }

    fn status(&self) -> &Value {
        &rollout(&self.cluster)["status"]
    }

    fn step(&self) -> i64 {
        self.status()["currentStepIndex"].as_i64().unwrap_or(-1)
    }

    /// Fails where it is not in this phase, with a message that begins so.
    fn is(&self, phase: &str, message: &str) -> Result<()> {
        let (said, text) = (
            &self.status()["phase"],
            self.status()["message"].as_str().unwrap_or_default(),
        );
        ensure!(
            said == phase && text.starts_with(message),
            "{}: it is {said} {text:?}, not {phase} {message:?}",
            self.what
        );
        Ok(())
    }

    /// Fails where the version that was new before is not the stable one now.
    fn is_promoted(&self) -> Result<()> {
        self.is("Healthy", "")?;
        let (stable, new) = (&self.status()["stableRS"], &self.before["status"]["currentPodHash"]);
        ensure!(stable == new, "{}: {stable} is stable", self.what);
        Ok(())
    }

    fn runs(&self) -> BTreeSet<String> {
        let runs = self.cluster.store().list(Kind::AnalysisRun);
        runs.map(|(key, _)| key.name.to_string()).collect()
    }
}

/// Carries an action of Argo CD out on an object. What it changes of a status is sent to the subresource, and before the rest.
fn act(tools: &Tools, cluster: &mut Cluster, key: &Key, action: &str) -> Result<()> {
    let object = cluster.store().get(key).context("the object is there")?.clone();
    let mut answer = tools.ask_one(&object)?;
    let made = answer.actions.remove(action).flatten();
    let mut made = made.with_context(|| format!("{action} is not offered"))?;
    if action == "restart" {
        // The script reads the clock of this machine; in the simulation it is another time.
        let written = made["spec"]["restartAt"].as_str().context("a time to restart at")?;
        written
            .parse::<Timestamp>()
            .with_context(|| format!("{written:?} is no time"))?;
        made["spec"]["restartAt"] = (START + cluster.now()).to_string().into();
    }
    let mut patch = diff(&object, &made).context("the action changes nothing")?;
    let status = patch.as_object_mut().and_then(|fields| fields.remove("status"));
    let mut send = |part: Part, patch: Value| {
        let command = Command::Patch(key.clone(), part, Box::new(patch));
        cluster.command(&command).context("the patch is refused")
    };
    if key.kind != Kind::Rollout {
        ensure!(
            status.is_none(),
            "{action} changes the status of an object without the subresource"
        );
    } else if let Some(status) = status {
        send(Part::Status, json!({ "status": status }))?;
    }
    if patch != json!({}) {
        send(Part::Main, patch)?;
    }
    Ok(())
}

pub async fn resume_goes_on(tools: Arc<Tools>) -> Result<()> {
    for state in ["paused at a step", "pausing for a time"] {
        let mut acted = Acted::new(&tools, state, "resume")?;
        let step = acted.step();
        acted.run(1)?;
        ensure!(acted.step() > step, "{state}: it stays at step {step}");
        acted.run(LONG)?;
        acted.is_promoted()?;
    }
    for state in ["paused by the spec", "blue-green, waiting for promotion"] {
        let mut acted = Acted::new(&tools, state, "resume")?;
        acted.run(LONG)?;
        acted.is_promoted()?;
    }
    Ok(())
}

pub async fn resume_after_an_inconclusive_analysis_measures_again(tools: Arc<Tools>) -> Result<()> {
    let mut acted = Acted::new(&tools, "an analysis was inconclusive", "resume")?;
    let (step, runs) = (acted.step(), acted.runs());
    acted.run(60)?;
    let again: Vec<String> = acted.runs().difference(&runs).cloned().collect();
    ensure!(again.len() == 1, "new runs: {again:?}");
    // It found the same again.
    acted.is("Paused", "InconclusiveAnalysisRun")?;
    ensure!(acted.step() == step, "the step is passed by an inconclusive analysis");
    Ok(())
}

pub async fn skip_current_step_goes_to_the_next_one(tools: Arc<Tools>) -> Result<()> {
    for state in ["paused at a step", "an analysis runs", "an analysis was inconclusive"] {
        let mut acted = Acted::new(&tools, state, "skip-current-step")?;
        let step = acted.before["status"]["currentStepIndex"].as_i64().unwrap_or(-1);
        ensure!(acted.step() == step + 1, "{state}: from {step} to {}", acted.step());
        // Pods of the next step come up, so it is not over yet.
        acted.run(1)?;
        ensure!(acted.step() == step + 1, "{state}: from {step} to {}", acted.step());
        acted.is("Progressing", "")?;
    }
    Ok(())
}

pub async fn abort_takes_the_update_back(tools: Arc<Tools>) -> Result<()> {
    let states = [
        "paused at a step",
        "paused by the spec",
        "an analysis runs",
        "an analysis was inconclusive",
        "past its deadline",
        "blue-green, waiting for promotion",
    ];
    for state in states {
        let mut acted = Acted::new(&tools, state, "abort")?;
        acted.run(LONG)?;
        acted.is("Degraded", "RolloutAborted: Rollout aborted update to revision 2")?;
        let (now, before) = (acted.status(), &acted.before["status"]);
        ensure!(
            now["stableRS"] == before["stableRS"],
            "{state}: another version is stable"
        );
        let at = now["abortedAt"].as_str().context("the time of the abort")?;
        at.parse::<Timestamp>()?;
        let weight = &now["canary"]["weights"]["canary"]["weight"];
        ensure!(weight.as_i64().unwrap_or(0) == 0, "{state}: the canary has {weight} %");
        ensure!(
            now["updatedReplicas"].as_i64().unwrap_or(0) == 0,
            "{state}: its pods are left"
        );
    }
    Ok(())
}

pub async fn retry_begins_anew(tools: Arc<Tools>) -> Result<()> {
    let rows = [
        ("aborted by a person", "CanaryPauseStep"),
        ("blue-green, aborted", "BlueGreenPause"),
    ];
    for (state, pause) in rows {
        let mut acted = Acted::new(&tools, state, "retry")?;
        acted.run(60)?;
        acted.is("Paused", pause)?;
        let status = acted.status();
        ensure!(
            status["abort"] != true && status["abortedAt"].is_null(),
            "{state}: {status}"
        );
    }
    Ok(())
}

pub async fn promote_full_skips_what_is_left(tools: Arc<Tools>) -> Result<()> {
    let states = [
        "paused at a step",
        "an analysis runs",
        "an analysis was inconclusive",
        "blue-green, waiting for promotion",
        "aborted by a person",
        "blue-green, aborted",
    ];
    for state in states {
        let mut acted = Acted::new(&tools, state, "promote-full")?;
        acted.run(120)?;
        acted.is_promoted()?;
        ensure!(
            acted.status()["promoteFull"].is_null(),
            "{state}: it is still asked for"
        );
    }
    Ok(())
}

pub async fn pause_stops_where_it_is(tools: Arc<Tools>) -> Result<()> {
    for state in [
        "an analysis runs",
        "pausing for a time",
        "blue-green, before the switch",
    ] {
        let mut acted = Acted::new(&tools, state, "pause")?;
        let (step, stable) = (acted.step(), acted.before["status"]["stableRS"].clone());
        acted.run(LONG)?;
        acted.is("Paused", "manually paused")?;
        ensure!(acted.step() == step, "{state}: from step {step} to {}", acted.step());
        ensure!(
            acted.status()["stableRS"] == stable,
            "{state}: another version is stable"
        );
    }
    Ok(())
}

pub async fn restart_replaces_every_pod(tools: Arc<Tools>) -> Result<()> {
    for state in ["healthy", "blue-green, healthy", "pods of a Deployment"] {
        let mut acted = Acted::new(&tools, state, "restart")?;
        acted.run(1)?;
        acted.is("Progressing", "rollout is restarting")?;
        acted.run(LONG)?;
        acted.is("Healthy", "")?;
        let (asked, done) = (
            &rollout(&acted.cluster)["spec"]["restartAt"],
            &acted.status()["restartedAt"],
        );
        ensure!(asked == done, "{state}: asked for {asked}, done {done}");
        let evicts = acted.cluster.coverage().any(|what| what == "effect evict-pod");
        ensure!(evicts, "{state}: no pod was evicted");
    }
    Ok(())
}

pub async fn terminate_ends_a_run(tools: Arc<Tools>) -> Result<()> {
    let mut cluster = states::named("an analysis runs").cluster();
    let runs = cluster.store().list(Kind::AnalysisRun);
    let running: Vec<Key> = runs
        .filter(|(_, run)| run["status"]["phase"] == "Running")
        .map(|(key, _)| key.clone())
        .collect();
    let [run] = &running[..] else {
        anyhow::bail!("{running:?} are running");
    };
    act(&tools, &mut cluster, run, "terminate")?;
    cluster.run_until(cluster.now() + SignedDuration::from_secs(1));
    let status = cluster.store().get(run).context("the run is kept")?["status"].clone();
    ensure!(!status["completedAt"].is_null(), "it goes on: {status}");
    Ok(())
}
