//! A spec that becomes invalid in the middle of an update: nothing goes on, nothing is lost, and an abort works.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::Api;
use serde_json::{Value, json};
use sluice_crds::RolloutStatus;
use sluice_tests::shop::{STABLE, Shop, Version, phase};
use sluice_tests::{Plane, wait_until};

use super::controller;
use super::objects::merge;

/// Enough for one step on a machine that builds at the same time.
const STEP: Duration = Duration::from_mins(1);

const V1: Version = Version {
    error_rate: "0",
    ..STABLE
};
const V2: Version = Version { name: "v2", ..V1 };
const V3: Version = Version { name: "v3", ..V1 };

/// Requests per second; none may fail, whatever is invalid.
const RATE: u32 = 100;

pub async fn a_strategy_that_becomes_invalid_in_mid_canary_stops_progress_and_nothing_else(
    plane: Arc<Plane>,
) -> Result<()> {
    let wrong = json!({ "strategy": { "canary": { "maxSurge": "lots" } } });
    let says = "spec.strategy.canary.maxSurge: must be a number of pods";
    Box::pin(play(&plane, "mid-strategy", &wrong, says)).await
}

pub async fn a_pod_template_that_is_refused_in_mid_canary_stops_progress_and_nothing_else(
    plane: Arc<Plane>,
) -> Result<()> {
    let containers =
        json!([{ "name": "backend", "image": "sluice/backend:v2", "ports": [{ "containerPort": 70000 }] }]);
    let wrong = json!({ "template": { "spec": { "containers": containers } } });
    let says = "spec.template.spec.containers[0].ports[0].containerPort: Invalid value: 70000";
    Box::pin(play(&plane, "mid-template", &wrong, says)).await
}

pub async fn a_missing_template_in_mid_canary_stops_progress_and_nothing_else(plane: Arc<Plane>) -> Result<()> {
    let wrong = json!({ "strategy": { "canary": { "analysis": { "templates": [{ "templateName": "nothing" }] } } } });
    let says = "spec.strategy.canary.analysis.templates[0].templateName: AnalysisTemplate 'nothing' not found";
    Box::pin(play(&plane, "mid-reference", &wrong, says)).await
}

async fn play(plane: &Plane, space: &str, wrong: &Value, says: &str) -> Result<()> {
    let shop = Shop::canary(space, 2, &json!([{ "setWeight": 50 }, { "pause": {} }]));
    shop.surroundings(plane).await?;
    let controller = controller(plane, space).await?;
    shop.deploy(plane, V1).await?;
    shop.healthy(plane, STEP).await?;
    let load = shop.load(RATE, "v1", STEP).await?;
    let mark = Instant::now();

    // First update: an abort while the spec is invalid.
    let paused = half_way(plane, &shop, V2).await?;
    becomes_invalid(plane, &shop, V2, wrong, says, 3, &paused).await?;
    shop.command(plane, json!({ "abort": true })).await?;
    shop.in_force(plane, 0, STEP).await?;
    let aborted = invalid(plane, &shop, says, |status| status.aborted_at.is_some()).await?;
    ensure!(
        aborted.stable_rs == paused.stable_rs,
        "the abort led to another stable revision"
    );
    apply(plane, &shop, V2, &json!({ "replicas": 3 })).await?;
    shop.status(plane, "the abort, once the spec is mended", STEP, |status| {
        phase(status) == "Degraded"
            && status
                .message
                .as_ref()
                .is_some_and(|message| message.starts_with("RolloutAborted"))
    })
    .await?;

    // Second update: mended, and it goes on where it was.
    let shop = Shop { replicas: 3, ..shop };
    let paused = half_way(plane, &shop, V3).await?;
    becomes_invalid(plane, &shop, V3, wrong, says, 4, &paused).await?;
    let history = shop.history(plane).await?;
    apply(plane, &shop, V3, &json!({ "replicas": 4 })).await?;
    shop.healthy(plane, STEP).await?;
    let steps = history.distinct(|rollout| rollout.pointer("/status/currentStepIndex").and_then(Value::as_i64))?;
    ensure!(
        steps == [1, 2],
        "the update that was promoted at step 1 went over the steps {steps:?} once it was mended"
    );
    load.version_after(Instant::now(), "v3", STEP).await?;
    let traffic = load.stop().await?.after(mark);
    println!(
        "  {} requests, {} failed, by version {:?}",
        traffic.records().len(),
        traffic.failures().len(),
        traffic.by_version()
    );
    traffic.assert_no_failure()?;
    controller.stop().await
}

/// Deploys a version and waits until half of the traffic is on it and the update pauses.
async fn half_way(plane: &Plane, shop: &Shop, version: Version) -> Result<RolloutStatus> {
    shop.deploy(plane, version).await?;
    let paused = shop
        .status(plane, "a pause", STEP, |status| phase(status) == "Paused")
        .await?;
    shop.in_force(plane, 50, Duration::ZERO).await?;
    Ok(paused)
}

/// Applies the wrong spec with another size. It is said what is wrong, the size is followed, and neither a promotion nor
/// anything else moves the update on.
async fn becomes_invalid(
    plane: &Plane,
    shop: &Shop,
    version: Version,
    wrong: &Value,
    says: &str,
    replicas: i32,
    paused: &RolloutStatus,
) -> Result<()> {
    let history = shop.history(plane).await?;
    let mut spec = wrong.clone();
    spec["replicas"] = replicas.into();
    apply(plane, shop, version, &spec).await?;
    invalid(plane, shop, says, |_| true).await?;
    let stable = paused.stable_rs.as_deref().context("a stable revision")?;
    has_pods(plane, &shop.space, stable, replicas).await?;
    shop.promote(plane).await?;
    // What follows is decided after the promotion: it is seen to change nothing.
    shop.command(plane, json!({ "message": "written by the test" })).await?;
    let status = invalid(plane, shop, says, |_| true).await?;
    ensure!(status.pause_conditions.is_none(), "the promotion was not recorded");
    let step_and_weight = |rollout: &Value| {
        let weight = rollout
            .pointer("/status/canary/weights/canary/weight")
            .and_then(Value::as_i64);
        Some((
            rollout.pointer("/status/currentStepIndex").and_then(Value::as_i64),
            weight,
        ))
    };
    let places = history.distinct(step_and_weight)?;
    ensure!(
        places == [(Some(1), Some(50))],
        "(step, weight) went over {places:?} although the spec was invalid"
    );
    shop.in_force(plane, 50, Duration::ZERO).await
}

/// Waits for InvalidSpec with this text, at the present generation.
async fn invalid(
    plane: &Plane,
    shop: &Shop,
    says: &str,
    and: impl Fn(&RolloutStatus) -> bool,
) -> Result<RolloutStatus> {
    shop.status(plane, &format!("InvalidSpec with `{says}`"), STEP, |status| {
        let message = status.message.as_deref().unwrap_or_default();
        phase(status) == "Degraded" && message.starts_with("InvalidSpec: ") && message.contains(says) && and(status)
    })
    .await
}

async fn apply(plane: &Plane, shop: &Shop, version: Version, spec: &Value) -> Result<()> {
    let mut rollout = shop.rollout(version);
    merge(&mut rollout["spec"], spec);
    plane.client.apply(&shop.space, &rollout.to_string()).await?;
    Ok(())
}

/// Waits until a revision has so many available pods.
async fn has_pods(plane: &Plane, space: &str, hash: &str, pods: i32) -> Result<()> {
    let sets: Api<ReplicaSet> = Api::namespaced(plane.client.kube(), space);
    wait_until(&format!("{pods} available pods of {hash}"), STEP, || async {
        let set = sets.get(&format!("shop-{hash}")).await?;
        let available = set.status.and_then(|status| status.available_replicas).unwrap_or(0);
        Ok((available == pods).then_some(()))
    })
    .await
}
