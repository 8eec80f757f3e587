//! Acts a scenario out on the virtual cluster.

use anyhow::{Result, ensure};
use jiff::SignedDuration;
use sluice_simulations::{Cluster, Config, Key, Kind, Observer};

use super::Scene;
use super::scenarios::Act;

/// How often the simulator is asked where a Rollout stands.
const LOOK: SignedDuration = SignedDuration::from_millis(20);
/// Far above what any scenario takes.
const LIMIT: SignedDuration = SignedDuration::from_mins(10);

/// Plays it with a seed; how the Rollout moved.
pub fn play(act: &Act, seed: u64) -> Result<Observer> {
    let scenario = &act.scenario;
    let mut cluster = Cluster::new(Config {
        seed,
        ..scenario.config.clone()
    });
    cluster.apply_yaml(&scenario.manifests)?;
    // The controller has seen all that the Rollout names.
    cluster.run_until(LOOK * 5);
    cluster.apply(&act.first)?;
    // People are not as quick as machines, and not in step with them.
    let hesitation = SignedDuration::from_millis(i64::try_from(seed * 137 % 1_000)?);
    for (stand, command) in &act.script {
        until(act, &mut cluster, seed, stand)?;
        cluster.run_until(cluster.now() + hesitation);
        cluster.command(command)?;
    }
    until(act, &mut cluster, seed, act.end)?;
    let settled = cluster.run_until_settled(LIMIT);
    let scene = scene(&cluster, &scenario.rollout);
    ensure!(
        settled && scene.is_some_and(|scene| scene.is(act.end)),
        "seed {seed} does not settle"
    );
    ensure!(
        cluster.violations().is_empty(),
        "seed {seed}: {:?}",
        cluster.violations()
    );
    Ok(cluster.observer().clone())
}

/// Runs until the Rollout stands so and rests. It is looked at where something was written since the last look.
fn until(act: &Act, cluster: &mut Cluster, seed: u64, stand: &str) -> Result<()> {
    let mut looked_at = 0;
    loop {
        if cluster.store().revision() > looked_at {
            looked_at = cluster.store().revision();
            if scene(cluster, &act.scenario.rollout).is_some_and(|scene| scene.is(stand)) {
                return Ok(());
            }
        }
        ensure!(
            cluster.now() < LIMIT,
            "seed {seed} never stands at\n{stand}\nand rests, but came by\n{}",
            cluster.observer().lines(&act.scenario.rollout).join("\n")
        );
        cluster.run_until(cluster.now() + LOOK);
    }
}

fn scene(cluster: &Cluster, rollout: &str) -> Option<Scene> {
    let (namespace, name) = rollout.split_once('/')?;
    let rollout = cluster.store().get(&Key::new(Kind::Rollout, namespace, name))?;
    let sets = cluster.store().list(Kind::ReplicaSet);
    Some(Scene {
        rollout: (**rollout).clone(),
        sets: sets.map(|(_, set)| (**set).clone()).collect(),
    })
}
