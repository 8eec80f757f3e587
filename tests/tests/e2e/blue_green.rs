//! Blue-green on real components: switched, aborted and rolled back under traffic, without a lost request.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use sluice_tests::shop::{STABLE, Shop, Version, phase};
use sluice_tests::{Controller, ControllerConfig, Load, LoadConfig, Plane, PlaneConfig, tests, wait_until};

/// Enough for one update on a machine that builds at the same time.
const UPDATE: Duration = Duration::from_mins(2);

/// Requests per second; half of them on kept connections, half on new ones.
const RATE: u32 = 320;
/// The least that the client must have been able to send.
const LEAST_RATE: u32 = 300;

const V1: Version = Version {
    error_rate: "0",
    ..STABLE
};
const V2: Version = Version { name: "v2", ..V1 };
const V3: Version = Version { name: "v3", ..V1 };

pub fn suite() -> ExitCode {
    let config = PlaneConfig {
        prometheus: false,
        ..PlaneConfig::default()
    };
    sluice_tests::main(
        "blue_green",
        config,
        tests![a_switch_an_abort_and_a_rollback_lose_no_request],
    )
}

/// Waits until the last 200 requests were all answered well by one version.
async fn serves(load: &Load, version: &str) -> Result<()> {
    let mark = Instant::now();
    wait_until(&format!("all traffic on {version}"), UPDATE, || async {
        let traffic = load.so_far().after(mark);
        let recent: Vec<_> = traffic.records().iter().rev().take(200).collect();
        let all = recent
            .iter()
            .all(|record| record.version.as_deref() == Some(version) && !record.outcome.is_failure());
        Ok((recent.len() == 200 && all).then_some(()))
    })
    .await
}

async fn a_switch_an_abort_and_a_rollback_lose_no_request(plane: Arc<Plane>) -> Result<()> {
    let shop = Shop::blue_green("bg", 3, false);
    shop.surroundings(&plane).await?;
    let controller = Controller::start(&plane, ControllerConfig::of("bg")).await?;
    shop.deploy(&plane, V1).await?;
    shop.healthy(&plane, UPDATE).await?;
    let load = Load::start(LoadConfig::new(&shop.host(), RATE))?;
    serves(&load, "v1").await?;
    let mark = Instant::now();

    // Switched, once a person promotes it; before, everybody gets the old version.
    shop.deploy(&plane, V2).await?;
    let paused = shop
        .status(&plane, "the pause", UPDATE, |status| phase(status) == "Paused")
        .await?;
    let reasons: Vec<String> = paused
        .pause_conditions
        .iter()
        .flatten()
        .map(|pause| pause.reason.to_string())
        .collect();
    ensure!(reasons == ["BlueGreenPause"], "{reasons:?}");
    serves(&load, "v1").await?;
    shop.command(&plane, json!({ "pauseConditions": null })).await?;
    shop.healthy(&plane, UPDATE).await?;
    serves(&load, "v2").await?;
    shop.only_present(&plane, UPDATE).await?;

    // Aborted: nothing moves.
    shop.deploy(&plane, V3).await?;
    shop.status(&plane, "the pause", UPDATE, |status| phase(status) == "Paused")
        .await?;
    shop.command(&plane, json!({ "abort": true })).await?;
    let aborted = shop
        .status(&plane, "the abort", UPDATE, |status| phase(status) == "Degraded")
        .await?;
    ensure!(
        aborted.stable_rs == paused.current_pod_hash,
        "stable is another revision after the abort"
    );
    serves(&load, "v2").await?;

    // Rolled back: to the first version, by its template.
    shop.deploy(&plane, V1).await?;
    shop.status(&plane, "the pause", UPDATE, |status| phase(status) == "Paused")
        .await?;
    shop.command(&plane, json!({ "promoteFull": true })).await?;
    shop.healthy(&plane, UPDATE).await?;
    serves(&load, "v1").await?;
    shop.only_present(&plane, UPDATE).await?;

    let traffic = load.stop().await?.after(mark);
    println!(
        "  {} requests, {} failed, by version {:?}",
        traffic.records().len(),
        traffic.failures().len(),
        traffic.by_version()
    );
    traffic.assert_no_failure()?;
    traffic.assert_mix(LEAST_RATE)?;
    ensure!(
        !traffic.by_version().contains_key("v3"),
        "the aborted version got traffic"
    );
    controller.stop().await
}
