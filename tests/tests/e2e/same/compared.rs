//! What is compared of two observers, and how.

use anyhow::{Result, ensure};
use sluice_simulations::{Observer, Stand};

use super::scenarios::Act;

/// Reasons that say how far the pods are while a Rollout is Progressing.
pub const PODS: [&str; 6] = [
    "more replicas need to be updated",
    "updated replicas are still becoming available",
    "old replicas are pending termination",
    "active service cutover pending",
    "waiting for analysis to complete",
    "waiting for all steps to complete",
];

/// Where a Rollout stands, without the reasons of [`PODS`].
pub fn line(stand: &Stand) -> String {
    let mut stand = stand.clone();
    if stand.phase == "Progressing" && PODS.contains(&stand.reason.as_str()) {
        stand.reason.clear();
    }
    stand.to_string()
}

/// Fails where the two sides differ; how many stands they agree on. `simulated` is in the order of the seeds, from 1.
pub fn agree(act: &Act, real: &Observer, simulated: &[Observer]) -> Result<usize> {
    let count = same("the Rollout", act, real, simulated, |stand| {
        let mut stand = stand.clone();
        stand.split.remove("preview");
        line(&stand)
    })?;
    same("the preview Service", act, real, simulated, |stand| {
        format!("{:?}", stand.split.get("preview"))
    })?;
    Ok(count)
}

fn same(
    what: &str,
    act: &Act,
    real: &Observer,
    simulated: &[Observer],
    aspect: impl Fn(&Stand) -> String,
) -> Result<usize> {
    let seen = real.aspect(&act.scenario.rollout, &aspect);
    for (index, observer) in simulated.iter().enumerate() {
        let played = observer.aspect(&act.scenario.rollout, &aspect);
        ensure!(
            seen == played,
            "{what} moves otherwise than with seed {}:\n{}",
            index + 1,
            side_by_side(&played, &seen)
        );
    }
    Ok(seen.len())
}

/// What both begin with, then what each goes on with.
fn side_by_side(simulated: &[String], real: &[String]) -> String {
    let equal = |(left, right): &(&String, &String)| left == right;
    let common = simulated.iter().zip(real).take_while(equal).count();
    let block = |lines: &[String], mark: &str| -> String {
        let lines = lines.iter().map(|line| format!("  {mark} {line}\n"));
        lines.collect()
    };
    let both = block(&real[..common], "both:     ");
    both + &block(&simulated[common..], "simulated:") + &block(&real[common..], "real:     ")
}
