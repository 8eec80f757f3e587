//! The simulator is no opinion: it and the real API server, with the real controller, act out the same scenarios, and one
//! observer says of both how the Rollouts moved. What they say must be the same.
//!
//! ```text
//!               ┌─ simulated.rs: virtual cluster, many seeds ──> Observer ─┐
//! scenarios.rs ─┤                                                           ├─ compared.rs
//!               └─ real.rs: plane, controller, plugin, watch ──> Observer ─┘
//! ```
//!
//! Both sides get the same manifests, byte for byte, and the same commands. A command is given when the Rollout stands as
//! the scenario says and rests: the status is of the present spec and counts the pods that there are, and every pod that is
//! asked for is available. So the commands do not race with what went before, on either side, however fast it is. On the
//! real side the commands are typed into our kubectl plugin; the simulator has its own idea of what kubectl sends.
//!
//! What is compared: the sequence of distinct (step, wanted split, `spec.replicas` of each revision, phase, reason), all
//! together, from the first apply until nothing is left to do, of every write that the API server took (a watch without a
//! gap). The real sequence must be that of the simulator, with every seed. So a scenario in which two things are due at the
//! same time is no scenario for this test: times are set apart from each other.
//!
//! What is not compared, and why:
//! - Times. The simulator draws them from ranges that are wider than those of one machine.
//! - Which of the texts in [`compared::PODS`] is the reason while a Rollout is Progressing. They say how far the pods are; the
//!   status may be a second late with them, and what is true for less than that is not in it at all. How many of them are
//!   seen, and which, is the pace of the pods. Any other text is compared to the letter, also one that is added to these.
//! - When the preview Service of blue-green moves, beside the rest. It goes to a revision with its first available pod, and
//!   the rest waits for the last one; how far these are apart is the pace of the pods, too. Which revisions it goes to is
//!   compared by itself.
//! - Whether the controller has seen a Service before the Rollout that names it, and a kind of route before it is named for
//!   the first time. Both are so when a scenario begins; [`crate::same::scenarios::first_of_all`] sees to it.

mod compared;
mod real;
mod scenarios;
mod simulated;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::future::{join_all, try_join_all};
use serde_json::Value;
use sluice_simulations::{Observer, Stand};
use sluice_tests::{Controller, ControllerConfig, Plane, PlaneConfig, tests};

use scenarios::Act;

/// Enough for all scenarios at once on a machine that builds at the same time.
const SOON: Duration = Duration::from_mins(5);
/// How many seeds the simulator plays each scenario with.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=50;

pub fn suite() -> ExitCode {
    sluice_tests::main(
        "same",
        PlaneConfig::default(),
        tests![the_simulator_and_the_real_api_server_agree],
    )
}

/// All at once: they wait most of the time. One controller serves them all.
async fn the_simulator_and_the_real_api_server_agree(plane: Arc<Plane>) -> Result<()> {
    let controller = Controller::start(&plane, ControllerConfig::cluster_wide()).await?;
    let acts = scenarios::all();
    let stages = try_join_all(acts.iter().map(|act| real::prepare(&plane, act))).await?;
    // The simulated controller watches every kind from the start; the real one when it is named for the first time.
    let first = scenarios::first_of_all();
    let stage = real::prepare(&plane, &first).await?;
    real::play(&plane, &controller, &first, &stage).await?;

    let plays = acts.iter().zip(&stages);
    let outcomes = join_all(plays.map(|(act, stage)| agree(&plane, &controller, act, stage))).await;
    let mut differences = Vec::new();
    for (act, outcome) in acts.iter().zip(outcomes) {
        match outcome {
            Ok(line) => println!("  {}: {line}", act.scenario.name),
            Err(error) => differences.push(format!("{}: {error:#}", act.scenario.name)),
        }
    }
    ensure!(differences.is_empty(), "{}", differences.join("\n\n"));
    controller.stop().await
}

async fn agree(plane: &Plane, controller: &Controller, act: &Act, stage: &real::Stage) -> Result<String> {
    let began = Instant::now();
    let real = real::play(plane, controller, act, stage).await?;
    let took = began.elapsed().as_secs_f64();
    let played = act.clone();
    let simulated = tokio::task::spawn_blocking(move || {
        SEEDS
            .map(|seed| simulated::play(&played, seed))
            .collect::<Result<Vec<_>>>()
    });
    let simulated = simulated.await??;
    let count = compared::agree(act, &real, &simulated)?;
    Ok(format!(
        "{count} stands in {took:.0} s, the same with {} seeds",
        simulated.len()
    ))
}

/// A Rollout and its ReplicaSets at one moment, as either side knows them.
pub(crate) struct Scene {
    pub rollout: Value,
    pub sets: Vec<Value>,
}

impl Scene {
    /// Where the Rollout stands, as the observer says it.
    fn stand(&self) -> Stand {
        let mut observer = Observer::default();
        observer.see(jiff::Timestamp::UNIX_EPOCH, "Rollout", &self.rollout, false);
        for set in &self.sets {
            observer.see(jiff::Timestamp::UNIX_EPOCH, "ReplicaSet", set, false);
        }
        let last = observer.transitions().last();
        last.map(|transition| transition.stand.clone()).unwrap_or_default()
    }

    /// Whether the status is of the present spec and of the pods that there are, and all pods that are asked for are
    /// available.
    fn rests(&self) -> bool {
        let (metadata, status) = (&self.rollout["metadata"], &self.rollout["status"]);
        let count = |value: &Value| value.as_u64().unwrap_or(0);
        let wanted = |set: &Value| count(&set["spec"]["replicas"]);
        let complete = |set: &Value| {
            let status = &set["status"];
            let counts = [count(&status["replicas"]), count(&status["availableReplicas"])];
            status["observedGeneration"] == set["metadata"]["generation"] && counts == [wanted(set); 2]
        };
        let total: u64 = self.sets.iter().map(wanted).sum();
        status["observedGeneration"].as_str() == Some(&metadata["generation"].to_string())
            && self.sets.iter().all(complete)
            && [count(&status["replicas"]), count(&status["availableReplicas"])] == [total; 2]
    }

    /// Whether the Rollout rests, and what is said of where it stands begins so.
    pub(crate) fn is(&self, stand: &str) -> bool {
        self.rests() && compared::line(&self.stand()).starts_with(stand)
    }
}
