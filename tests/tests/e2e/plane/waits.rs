//! `kubectl wait` on Rollouts in every phase: whether it ends at once, by condition and by phase.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use futures::{StreamExt as _, stream};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use sluice_crds::Rollout;
use sluice_tests::Plane;
use sluice_tests::plane::User;

use crate::health::states;

const SPACE: &str = "waits";
/// What is waited for.
const CONDITIONS: [&str; 6] = [
    "Available",
    "Completed",
    "Healthy",
    "InvalidSpec",
    "Paused",
    "Progressing",
];
/// Processes of kubectl at the same time.
const AT_ONCE: usize = 4;

/// See the module. The states are the ones that Argo CD is asked about.
pub async fn kubectl_wait_ends_by_condition_and_by_phase(plane: Arc<Plane>) -> Result<()> {
    plane.namespace(SPACE).await?;
    let mut questions = Vec::new();
    for (index, state) in states::all().into_iter().enumerate() {
        let name = format!("shop-{index}");
        let rollout = states::rollout(&state.cluster()).clone();
        create(&plane, &name, &rollout).await?;
        for condition in CONDITIONS {
            let ends = state.holds.contains(&condition);
            questions.push((
                state.name.to_owned(),
                name.clone(),
                format!("condition={condition}"),
                ends,
            ));
        }
        let phase = match state.says.0 {
            "Suspended" => "Paused",
            other => other,
        };
        // A spec that was not observed yet is none of kubectl's business: it waits for what is written.
        if !state.says.1.ends_with("to be observed") {
            questions.push((
                state.name.to_owned(),
                name,
                format!("jsonpath={{.status.phase}}={phase}"),
                true,
            ));
        }
    }
    let asked = questions.into_iter().map(|(state, name, what, ends)| {
        let plane = &plane;
        async move {
            let ended = waits(plane, &name, &what).await?;
            let verb = if ended { "ends" } else { "goes on" };
            Ok::<_, anyhow::Error>((ended != ends).then(|| format!("{state}: a wait for {what} {verb}")))
        }
    });
    let answers: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    let mut problems = Vec::new();
    for answer in answers {
        problems.extend(answer?);
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    Ok(())
}

/// Makes the API server store the state of a Rollout under another name.
async fn create(plane: &Plane, name: &str, rollout: &Value) -> Result<()> {
    let api: Api<Rollout> = Api::namespaced(plane.client.kube(), SPACE);
    let mut object = rollout.clone();
    object["metadata"] = json!({ "name": name, "annotations": rollout["metadata"]["annotations"] });
    let object: Rollout = serde_json::from_value(object).with_context(|| format!("read {name}"))?;
    api.create(&PostParams::default(), &object)
        .await
        .with_context(|| format!("create {name}"))?;
    if !rollout["status"].is_null() {
        let status = Patch::Merge(json!({ "status": rollout["status"] }));
        api.patch_status(name, &PatchParams::default(), &status)
            .await
            .with_context(|| format!("write the status of {name}"))?;
    }
    Ok(())
}

/// Whether a wait ends at once.
async fn waits(plane: &Plane, name: &str, what: &str) -> Result<bool> {
    let output = tokio::process::Command::new(&plane.programs().kubectl)
        .arg(format!("--kubeconfig={}", plane.kubeconfig(User::Admin).display()))
        .args(["wait", "--namespace", SPACE, "--timeout=0"])
        .arg(format!("--for={what}"))
        .arg(format!("rollouts.argoproj.io/{name}"))
        .output()
        .await
        .context("start kubectl")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let goes_on = said.contains("condition not met");
    ensure!(
        output.status.success() != goes_on,
        "kubectl says of {name}, {what}: {said}"
    );
    Ok(!goes_on)
}
