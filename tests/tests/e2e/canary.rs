//! A canary on real components: a new version goes from 0 % to 100 % of real traffic, judged by a real Prometheus, and is
//! taken back when it is bad. The oracle is the client: what versions answered, and what failed.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};
use sluice_crds::AnalysisRun;
use sluice_tests::load::{Outcome, Traffic};
use sluice_tests::plane::User;
use sluice_tests::shop::{End, STABLE, Shop, Version, analysis, phase};
use sluice_tests::{Controller, ControllerConfig, Load, LoadConfig, Plane, PlaneConfig, inside, tests, wait_until};

/// Enough for a step with its analysis on a machine that builds at the same time.
const STEP: Duration = Duration::from_mins(2);
/// Requests per second; half of them on kept connections, half on new ones.
const RATE: u32 = 550;
/// The least that the client must have been able to send.
const LEAST_RATE: u32 = 300;

pub fn suite() -> ExitCode {
    sluice_tests::main(
        "canary",
        PlaneConfig::default(),
        tests![
            a_good_version_gets_all_traffic_and_no_request_is_lost,
            a_good_version_whose_pods_end_by_a_pre_stop_hook_loses_no_request,
            a_bad_version_is_taken_back_and_only_its_own_answers_failed,
        ],
    )
}

fn steps() -> Value {
    json!([
        { "setWeight": 5 }, analysis(),
        { "setWeight": 25 }, analysis(),
        { "setWeight": 50 }, analysis(),
    ])
}

/// Sends requests and waits until they are answered by the stable version.
async fn load_on(shop: &Shop) -> Result<Load> {
    let load = Load::start(LoadConfig::new(&shop.host(), RATE))?;
    wait_until("the first answers of stable", STEP, || async {
        let records = load.so_far();
        let recent = records.records().iter().rev().take(100);
        let good = recent.filter(|record| !record.outcome.is_failure()).count();
        Ok((good == 100).then_some(()))
    })
    .await?;
    Ok(load)
}

/// Waits for the weights in Traefik, then for the next step, and checks the share of every 1,000 consecutive requests in
/// between.
async fn holds_share(plane: &Plane, shop: &Shop, load: &Load, version: &str, step: i32, percent: u64) -> Result<()> {
    shop.in_force(plane, percent, STEP).await?;
    let begins = Instant::now();
    let what = format!("the end of the analysis at {percent} %");
    shop.status(plane, &what, STEP, |status| {
        status.current_step_index.unwrap_or(0) > step
    })
    .await?;
    // The last ones may have been sent when the next step had begun already.
    let traffic = load.so_far().after(begins).without_last(1000);
    let shares = traffic.shares(version, 1000);
    let count = traffic.records().len();
    println!(
        "  {percent} %: {count} requests, shares of 1,000 from {:?} to {:?}",
        least(&shares),
        most(&shares)
    );
    ensure!(count >= 10_000, "only {count} requests at {percent} %");
    let want = f64::from(u32::try_from(percent)?) / 100.0;
    traffic.assert_share(version, want, 0.01, 1000)
}

fn least(shares: &[f64]) -> Option<f64> {
    shares.iter().copied().reduce(f64::min)
}

fn most(shares: &[f64]) -> Option<f64> {
    shares.iter().copied().reduce(f64::max)
}

/// The phases of all AnalysisRuns.
async fn runs(plane: &Plane, space: &str) -> Result<Vec<String>> {
    let runs: Api<AnalysisRun> = Api::namespaced(plane.client.kube(), space);
    let runs = runs.list(&ListParams::default()).await?.items;
    Ok(runs
        .into_iter()
        .map(|run| run.status.unwrap_or_default().phase.to_string())
        .collect())
}

/// Fails for any request that failed but by an answer with status 500 of the bad version, or one that stable gives by itself:
/// one in a thousand of each of its pods.
fn only_own_failures(traffic: &Traffic, pods: usize) -> Result<()> {
    let failures = traffic.failures();
    let answered = |version: &str| {
        let own = failures
            .iter()
            .filter(|record| record.version.as_deref() == Some(version) && record.outcome == Outcome::Answered(500));
        own.count()
    };
    let (bad, stable) = (answered("v2"), answered("v1"));
    ensure!(
        bad + stable == failures.len(),
        "requests that no version answered: {traffic}"
    );
    ensure!(
        bad > 0,
        "the bad version answered no request badly, so nothing was shown"
    );
    let most = traffic.by_version()["v1"] / 1000 + pods;
    ensure!(
        stable <= most,
        "{stable} failures of stable, more than {most}: {traffic}"
    );
    Ok(())
}

/// What `kubectl sluice get rollout` shows.
async fn shown(plane: &Plane, space: &str) -> Result<String> {
    let output = tokio::process::Command::new(inside::built_program("kubectl-sluice")?)
        .args(["get", "rollout", "shop", "--namespace", space])
        .env("KUBECONFIG", plane.kubeconfig(User::Admin))
        .output()
        .await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{}: {errors}", output.status);
    Ok(text)
}

async fn good(plane: &Plane, space: &str, end: End) -> Result<()> {
    // No version fails on purpose here: every failure counts.
    let (stable, good) = (
        Version {
            error_rate: "0",
            ..STABLE
        },
        Version {
            name: "v2",
            error_rate: "0",
        },
    );
    let shop = Shop {
        end,
        ..Shop::canary(space, 4, &steps())
    };
    shop.surroundings(plane).await?;
    let controller = Controller::start(plane, ControllerConfig::of(space)).await?;
    shop.deploy(plane, stable).await?;
    shop.healthy(plane, STEP).await?;
    let load = load_on(&shop).await?;
    let mark = Instant::now();
    shop.deploy(plane, good).await?;
    for (step, percent) in [(1, 5), (3, 25), (5, 50)] {
        holds_share(plane, &shop, &load, "v2", step, percent).await?;
    }
    shop.healthy(plane, STEP).await?;
    shop.only_present(plane, STEP).await?;
    load.requests_after(Instant::now(), 1000, STEP).await?;
    let traffic = load.stop().await?.after(mark);
    println!(
        "  {} requests, {} failed, by version {:?}",
        traffic.records().len(),
        traffic.failures().len(),
        traffic.by_version()
    );
    traffic.assert_no_failure()?;
    traffic.assert_mix(LEAST_RATE)?;
    let runs = runs(plane, space).await?;
    ensure!(
        runs == ["Successful"; 3],
        "each step should have been judged once: {runs:?}"
    );
    let last = traffic.records().iter().rev().take(1000);
    ensure!(
        last.clone().all(|record| record.version.as_deref() == Some("v2")),
        "the old version still answers"
    );
    controller.stop().await
}

async fn a_good_version_gets_all_traffic_and_no_request_is_lost(plane: Arc<Plane>) -> Result<()> {
    good(&plane, "good", End::AfterEndpoints).await
}

async fn a_good_version_whose_pods_end_by_a_pre_stop_hook_loses_no_request(plane: Arc<Plane>) -> Result<()> {
    good(&plane, "good-hook", End::PreStop(3)).await
}

async fn a_bad_version_is_taken_back_and_only_its_own_answers_failed(plane: Arc<Plane>) -> Result<()> {
    let bad = Version {
        name: "v2",
        error_rate: "0.05",
    };
    let shop = Shop::canary("bad", 4, &steps());
    shop.surroundings(&plane).await?;
    let controller = Controller::start(&plane, ControllerConfig::of("bad")).await?;
    shop.deploy(&plane, STABLE).await?;
    shop.healthy(&plane, STEP).await?;
    let load = load_on(&shop).await?;
    let mark = Instant::now();
    shop.deploy(&plane, bad).await?;
    let status = shop
        .status(&plane, "the abort", STEP, |status| status.abort == Some(true))
        .await?;
    shop.in_force(&plane, 0, STEP).await?;
    shop.status(&plane, "Degraded", STEP, |status| phase(status) == "Degraded")
        .await?;
    let message = status.message.context("an aborted Rollout has a message")?;
    println!("  {message}");
    ensure!(
        message.starts_with("RolloutAborted: Rollout aborted update to revision 2: Step-based analysis"),
        "{message}"
    );
    ensure!(
        message.contains("error-rate") && message.contains("failureLimit"),
        "{message}"
    );
    let back = Instant::now();
    load.requests_after(back, 2000, STEP).await?;
    let traffic = load.stop().await?;
    let after = traffic.after(back);
    ensure!(
        after
            .records()
            .iter()
            .all(|record| record.version.as_deref() == Some("v1")),
        "{:?}",
        after.by_version()
    );
    let traffic = traffic.after(mark);
    println!(
        "  {} requests, {} failed, by version {:?}",
        traffic.records().len(),
        traffic.failures().len(),
        traffic.by_version()
    );
    only_own_failures(&traffic, 4)?;
    traffic.assert_mix(LEAST_RATE)?;
    let shown = shown(&plane, "bad").await?;
    ensure!(
        shown.contains(&message),
        "`get rollout` does not say `{message}`:\n{shown}"
    );
    controller.stop().await
}
