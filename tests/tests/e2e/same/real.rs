//! Acts a scenario out on the plane, with the real controller and our kubectl plugin.

use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sluice_simulations::{Command, Observer};
use sluice_tests::plane::User;
use sluice_tests::{Controller, History, Load, LoadConfig, Plane, inside, wait_until};

use super::scenarios::{Act, RATE};
use super::{SOON, Scene};

const ROLLOUTS: &str = "argoproj.io/v1alpha1";

/// A scenario of which all is there but the Rollout.
pub struct Stage(Watch);

/// Applies what the Rollout names, and begins to watch.
pub async fn prepare(plane: &Plane, act: &Act) -> Result<Stage> {
    let space = act.space();
    plane.namespace(space).await?;
    let watch = Watch {
        rollouts: History::of_kind(plane, ROLLOUTS, "Rollout", space).await?,
        sets: History::of_kind(plane, "apps/v1", "ReplicaSet", space).await?,
    };
    plane.client.apply(space, &act.scenario.manifests).await?;
    Ok(Stage(watch))
}

/// Plays it; how the Rollout moved.
pub async fn play(plane: &Plane, controller: &Controller, act: &Act, stage: &Stage) -> Result<Observer> {
    let (space, watch) = (act.space(), &stage.0);
    plane.client.apply(space, &act.first.to_string()).await?;
    let load = act
        .has_traffic()
        .then(|| Load::start(LoadConfig::new(&format!("{space}.test"), RATE)));
    let load = load.transpose()?;
    for (stand, command) in &act.script {
        watch.until(act, stand).await?;
        carry_out(plane, act, command)
            .await
            .with_context(|| format!("{command:?}"))?;
    }
    watch.until(act, act.end).await?;
    controller.calm(&act.scenario.rollout, SOON).await?;
    drop(load);
    watch.observer()
}

struct Watch {
    rollouts: History,
    sets: History,
}

impl Watch {
    async fn until(&self, act: &Act, stand: &str) -> Result<()> {
        let what = format!("{stand:?} at rest");
        let stands = wait_until(&what, SOON, || async {
            let rollout = self.rollouts.present()?.remove("shop");
            let sets = self.sets.present()?.into_values().collect();
            let scene = rollout.map(|rollout| Scene { rollout, sets });
            Ok(scene.is_some_and(|scene| scene.is(stand)).then_some(()))
        });
        let stands = stands.await;
        let lines = self.observer()?.lines(&act.scenario.rollout).join("\n");
        stands.with_context(|| format!("it came by\n{lines}"))
    }

    /// Shows the observer every version of every object in the order in which the API server took them.
    fn observer(&self) -> Result<Observer> {
        let mut versions = Vec::new();
        for (kind, history) in [("Rollout", &self.rollouts), ("ReplicaSet", &self.sets)] {
            for version in history.versions()? {
                let revision = version.object["metadata"]["resourceVersion"].as_str();
                let revision: u64 = revision.context("an object has a resourceVersion")?.parse()?;
                versions.push((revision, kind, version));
            }
        }
        versions.sort_by_key(|(revision, ..)| *revision);
        let (now, instant) = (Timestamp::now(), Instant::now());
        let mut observer = Observer::default();
        for (_, kind, version) in versions {
            let ago = SignedDuration::try_from(instant.duration_since(version.at))?;
            observer.see(now - ago, kind, &version.object, version.deleted);
        }
        Ok(observer)
    }
}

async fn carry_out(plane: &Plane, act: &Act, command: &Command) -> Result<()> {
    let words: &[&str] = match command {
        Command::Promote(_) => &["promote", "shop"],
        Command::PromoteFull(_) => &["promote", "shop", "--full"],
        Command::Abort(_) => &["abort", "shop"],
        Command::Retry(_) => &["retry", "rollout", "shop"],
        Command::Pause(_) => &["pause", "shop"],
        Command::Scale(_, replicas) => {
            let patch = json!({ "spec": { "replicas": replicas } });
            return plane
                .client
                .patch(ROLLOUTS, "Rollout", act.space(), "shop", &patch)
                .await;
        }
        Command::Apply(object) => {
            plane.client.apply(act.space(), &object.to_string()).await?;
            return Ok(());
        }
        other => bail!("nobody can do this on a real cluster: {other:?}"),
    };
    let output = tokio::process::Command::new(inside::built_program("kubectl-sluice")?)
        .arg("--kubeconfig")
        .arg(plane.kubeconfig(User::Admin))
        .args(["--namespace", act.space()])
        .args(words)
        .kill_on_drop(true)
        .output()
        .await
        .context("start kubectl-sluice")?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(
        output.status.success(),
        "kubectl-sluice {}: {}: {said}",
        words.join(" "),
        output.status
    );
    Ok(())
}
