//! Wrong objects: each is refused by the API server or by InvalidSpec, with the field and what would be right; nothing else
//! suffers from them; and what is mended goes on.

mod later;
mod midway;
mod neighbour;
mod objects;
mod undecodable;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use axum::http::{Method, Request};
use futures::future::join_all;
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use sluice_crds::{AnalysisRun, Rollout};
use sluice_tests::shop::phase;
use sluice_tests::{Controller, ControllerConfig, Plane, PlaneConfig, tests, wait_until};

use self::neighbour::{Neighbour, compare};
use self::objects::{Base, By, ROWS, Row};

/// Enough for the controller to say what is wrong with all of them.
const SOON: Duration = Duration::from_mins(1);

pub fn suite() -> ExitCode {
    sluice_tests::main(
        "refused",
        PlaneConfig::default(),
        tests![
            wrong_objects_are_refused_and_a_neighbour_does_not_notice,
            midway::a_strategy_that_becomes_invalid_in_mid_canary_stops_progress_and_nothing_else,
            midway::a_pod_template_that_is_refused_in_mid_canary_stops_progress_and_nothing_else,
            midway::a_missing_template_in_mid_canary_stops_progress_and_nothing_else,
            later::references_that_come_later_are_noticed_and_the_rollout_goes_on,
            undecodable::objects_that_cannot_be_decoded_are_reported_and_a_neighbour_does_not_notice,
        ],
    )
}

/// A controller whose proxies are fast, so that a delay of a second shows.
async fn controller(plane: &Plane, space: &str) -> Result<Controller> {
    let config = ControllerConfig {
        flags: vec!["--drain=1s".to_owned()],
        ..ControllerConfig::of(space)
    };
    Controller::start(plane, config).await
}

async fn wrong_objects_are_refused_and_a_neighbour_does_not_notice(plane: Arc<Plane>) -> Result<()> {
    const SPACE: &str = "refused";
    let mut neighbour = Neighbour::move_in(&plane, SPACE).await?;
    let controller = controller(&plane, SPACE).await?;
    neighbour.settle(&plane).await?;
    plane.client.apply(SPACE, objects::SURROUNDINGS).await?;
    let undisturbed = neighbour.updates(&plane).await?;
    let mut disturbed = Vec::new();
    // Once they come, then twice more they change, all at once, each time while the neighbour is being updated.
    for round in 0..neighbour::UPDATES {
        let (time, problems) = tokio::join!(neighbour.update(&plane), throw(&plane, SPACE, round));
        disturbed.push(time?);
        let problems = problems?;
        ensure!(problems.is_empty(), "{}", problems.join("\n"));
    }
    said(&plane, SPACE).await?;
    compare(&undisturbed, &disturbed)?;
    let sets: Api<ReplicaSet> = Api::namespaced(plane.client.kube(), SPACE);
    for set in sets.list(&ListParams::default()).await?.items {
        let owners = set.metadata.owner_references.unwrap_or_default();
        ensure!(
            owners.iter().all(|owner| owner.name == "shop"),
            "a ReplicaSet was made for {owners:?}"
        );
    }
    let by_server = ROWS.iter().filter(|row| row.by == By::Server).count();
    println!(
        "  {} wrong objects: {by_server} refused by the API server, {} by InvalidSpec or an error of the run",
        ROWS.len(),
        ROWS.len() - by_server
    );
    controller.stop().await
}

/// Applies all rows at once; in later rounds changes those that were admitted. Returns what did not go as it should.
async fn throw(plane: &Plane, space: &str, round: usize) -> Result<Vec<String>> {
    let rows = join_all(ROWS.iter().map(|row| async move {
        let thrown = if round == 0 {
            first(plane, space, row).await
        } else {
            again(plane, space, row, round).await
        };
        thrown.err().map(|error| format!("{}: {error:#}", row.name))
    }));
    Ok(rows.await.into_iter().flatten().collect())
}

async fn first(plane: &Plane, space: &str, row: &Row) -> Result<()> {
    for object in objects::objects(row)? {
        match (row.by, create(plane, space, &object).await) {
            (By::Controller, answer) => drop(answer?),
            (By::Server, Ok(_)) => bail!("the API server admitted it"),
            (By::Server, Err(error)) => {
                let text = format!("{error:#}");
                for wanted in row.says {
                    ensure!(text.contains(wanted), "the API server did not say `{wanted}`: {text}");
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn again(plane: &Plane, space: &str, row: &Row, round: usize) -> Result<()> {
    if row.by == By::Server || row.base == Base::Run {
        return Ok(());
    }
    let patch = json!({ "spec": { "progressDeadlineAbort": round % 2 == 1 } });
    let api: Api<Rollout> = Api::namespaced(plane.client.kube(), space);
    api.patch(row.name, &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    Ok(())
}

/// A create with the strictness of `kubectl apply`.
async fn create(plane: &Plane, space: &str, object: &Value) -> Result<Value> {
    let plural = format!("{}s", object["kind"].as_str().context("a kind")?.to_lowercase());
    let path = format!("/apis/argoproj.io/v1alpha1/namespaces/{space}/{plural}?fieldValidation=Strict");
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("content-type", "application/json")
        .body(object.to_string().into_bytes())?;
    Ok(plane.client.kube().request(request).await?)
}

/// Waits until everything is said that is to be said. The error lists what is not.
async fn said(plane: &Plane, space: &str) -> Result<()> {
    let rollouts: Api<Rollout> = Api::namespaced(plane.client.kube(), space);
    let runs: Api<AnalysisRun> = Api::namespaced(plane.client.kube(), space);
    wait_until("all that is wrong to be said", SOON, || async {
        let rollouts = rollouts.list(&ListParams::default()).await?.items;
        let runs = runs.list(&ListParams::default()).await?.items;
        let mut missing = Vec::new();
        for row in ROWS.iter().filter(|row| row.by == By::Controller) {
            let said = if row.base == Base::Run {
                about_run(runs.iter().find(|run| run.name_any() == row.name).context("no run")?)
            } else {
                about_rollout(
                    rollouts
                        .iter()
                        .find(|rollout| rollout.name_any() == row.name)
                        .context("no Rollout")?,
                )
            };
            match said {
                Ok(text) => {
                    let silent = row.says.iter().filter(|wanted| !text.contains(**wanted));
                    missing.extend(silent.map(|wanted| format!("{}: `{wanted}` is not in `{text}`", row.name)));
                }
                Err(why) => missing.push(format!("{}: {why}", row.name)),
            }
        }
        ensure!(missing.is_empty(), "{}", missing.join("\n"));
        Ok(Some(()))
    })
    .await
}

/// The message of InvalidSpec; the error says what is not as it must be.
fn about_rollout(rollout: &Rollout) -> Result<String, String> {
    let status = rollout.status.clone().unwrap_or_default();
    let generation = rollout.metadata.generation.map(|generation| generation.to_string());
    let conditions = status.conditions.clone().unwrap_or_default();
    let invalid = conditions
        .iter()
        .find(|condition| condition.type_ == "InvalidSpec" && condition.status == "True");
    let message = status.message.clone().unwrap_or_default();
    let Some(invalid) = invalid else {
        return Err(format!(
            "no condition InvalidSpec, but phase {} with `{message}`",
            phase(&status)
        ));
    };
    if status.observed_generation != generation {
        return Err(format!(
            "observedGeneration {:?} of {generation:?}",
            status.observed_generation
        ));
    }
    if phase(&status) != "Degraded" || message != format!("InvalidSpec: {}", invalid.message) {
        return Err(format!("phase {} with `{message}`", phase(&status)));
    }
    Ok(invalid.message.clone())
}

fn about_run(run: &AnalysisRun) -> Result<String, String> {
    let status = run.status.clone().unwrap_or_default();
    let message = status.message.unwrap_or_default();
    match status.phase.to_string().as_str() {
        "Error" => Ok(message),
        other => Err(format!("phase {other} with `{message}`")),
    }
}
