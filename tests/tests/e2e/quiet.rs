//! What the controller does not write on real components: nothing after a restart, nothing while nothing happens, nothing
//! while Argo Rollouts is live; and that it goes on by itself when what it waited for has come. The oracle is the audit log.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use serde_json::json;
use sluice_crds::RolloutStatus;
use sluice_tests::audit::{Mark, Request, count_by_what};
use sluice_tests::plane::User;
use sluice_tests::rights::{self, OWN_NAMESPACE, grant};
use sluice_tests::shop::{self, STABLE, Shop, Version, phase};
use sluice_tests::{Controller, ControllerConfig, Plane, PlaneConfig, tests, wait_until};

/// Enough for anything here on a machine that builds at the same time.
const SOON: Duration = Duration::from_mins(2);
/// How long nothing may happen.
const IDLE: Duration = Duration::from_mins(2);

const V1: Version = STABLE;
const V2: Version = Version { name: "v2", ..V1 };

pub fn suite() -> ExitCode {
    sluice_tests::main(
        "quiet",
        PlaneConfig::default(),
        tests![
            a_restart_and_two_idle_minutes_write_nothing,
            nothing_is_written_while_argo_rollouts_is_live,
            // Late, because it takes the kind of all routes away.
            a_rollout_whose_kind_of_route_is_installed_later_goes_on,
            // The last, because it judges what the others used.
            the_rights_for_the_cluster_are_those_that_were_used,
        ],
    )
}

/// The controller of the whole cluster, one of several that could be.
fn controller() -> ControllerConfig {
    ControllerConfig {
        leader_elect: true,
        ..ControllerConfig::cluster_wide()
    }
}

/// Waits until the controller has decided about each Rollout, has nothing left to do and nothing to come back for before the
/// idle time is over; a deadline of ten minutes may be ahead.
async fn calm(controller: &Controller, spaces: &[&str]) -> Result<()> {
    for space in spaces {
        let what = format!("nothing to do for {space}/shop");
        wait_until(&what, SOON, || async {
            let plan = controller.page(&format!("/debug/plan/{space}/shop")).await?;
            let busy = ["trouble:", "effect:", "no plan"];
            let wakes = plan.lines().find_map(|line| line.strip_prefix("wakes:"));
            let wakes: Option<Timestamp> = wakes.map(|at| at.trim().parse()).transpose()?;
            let calm = plan.starts_with("decided:")
                && !busy.iter().any(|word| plan.lines().any(|line| line.starts_with(word)))
                && wakes.is_none_or(|at| at > Timestamp::now() + 2 * IDLE);
            ensure!(
                calm,
                "the plan is\n{}",
                plan.lines().take(6).collect::<Vec<_>>().join("\n")
            );
            Ok(Some(()))
        })
        .await?;
    }
    wait_until("an empty queue", SOON, || async {
        let state = controller.page("/debug/state").await?;
        ensure!(
            state.contains("queue:       0 ready, 0 running") && state.contains("unseen:      0 writes"),
            "the state is\n{state}"
        );
        Ok(Some(()))
    })
    .await
}

/// What the controller wrote since the mark, without its Lease; and how often it wrote that.
async fn written(plane: &Plane, mark: Mark) -> Result<(Vec<Request>, usize)> {
    let mut requests = plane.audit.since(mark).await?;
    requests.retain(|request| request.user == User::Controller.name() && request.is_write());
    let (leases, others): (Vec<Request>, Vec<Request>) =
        requests.into_iter().partition(|request| request.resource == "leases");
    Ok((others, leases.len()))
}

fn ensure_none(writes: &[Request], when: &str) -> Result<()> {
    ensure!(
        writes.is_empty(),
        "{} writes {when}: {:?}; the first: {:?}",
        writes.len(),
        count_by_what(writes),
        writes.first()
    );
    Ok(())
}

/// A canary that is judged in a step, and that keeps nothing of the past.
fn judged(space: &str) -> Shop {
    let step = json!({ "analysis": { "templates": [{ "templateName": "one" }] } });
    Shop {
        further: json!({
            "revisionHistoryLimit": 0,
            "analysis": { "successfulRunHistoryLimit": 0, "unsuccessfulRunHistoryLimit": 0 },
        }),
        ..Shop::canary(space, 2, &json!([{ "setWeight": 50 }, step]))
    }
}

const ONE: &str = "apiVersion: argoproj.io/v1alpha1\nkind: AnalysisTemplate\nmetadata: {name: one}\nspec:\n  metrics: \
    [{name: one, successCondition: 'result[0] == 1', provider: {prometheus: {query: vector(1)}}}]\n";

/// How an update is left.
#[derive(Clone, Copy, PartialEq)]
enum Left {
    Complete,
    Paused,
    Aborted,
    Invalid,
}

/// Brings a Rollout from its first version into the state in which it is left.
async fn prepare(plane: &Plane, shop: &Shop, left: Left) -> Result<()> {
    shop.surroundings(plane).await?;
    plane.client.apply(&shop.space, ONE).await?;
    shop.deploy(plane, V1).await?;
    shop.healthy(plane, SOON).await?;
    let mut update = shop.clone();
    if left == Left::Invalid {
        update.strategy["canary"]["steps"] = json!([{ "setWeight": 150 }]);
    }
    update.deploy(plane, V2).await?;
    match left {
        Left::Complete => {
            shop.healthy(plane, SOON).await?;
            shop.only_present(plane, SOON).await?;
        }
        Left::Paused => {
            shop.status(plane, "the pause", SOON, |status| phase(status) == "Paused")
                .await?;
        }
        Left::Aborted => {
            shop.status(plane, "the pause", SOON, |status| phase(status) == "Paused")
                .await?;
            shop.command(plane, json!({ "abort": true })).await?;
            let gone = |status: &RolloutStatus| {
                phase(status) == "Degraded" && status.replicas == i32::try_from(shop.replicas).ok()
            };
            shop.status(plane, "the end of the aborted pods", SOON, gone).await?;
        }
        Left::Invalid => {
            shop.status(plane, "InvalidSpec", SOON, |status| phase(status) == "Degraded")
                .await?;
        }
    }
    Ok(())
}

async fn a_restart_and_two_idle_minutes_write_nothing(plane: Arc<Plane>) -> Result<()> {
    let short = json!([{ "setWeight": 50 }, { "pause": { "duration": "1s" } }]);
    let long = json!([{ "setWeight": 50 }, { "pause": {} }]);
    let shops = [
        (Shop::canary("quiet-routed", 2, &short), Left::Complete),
        (Shop::canary("quiet-paused", 2, &long), Left::Paused),
        (Shop::canary("quiet-aborted", 2, &long), Left::Aborted),
        (Shop::canary("quiet-invalid", 2, &long), Left::Invalid),
        (judged("quiet-judged"), Left::Complete),
        (Shop::basic("quiet-basic", 2, &short), Left::Complete),
        (Shop::basic("quiet-basic-paused", 2, &long), Left::Paused),
        (Shop::basic("quiet-basic-aborted", 2, &long), Left::Aborted),
        (Shop::blue_green("quiet-switched", 2, true), Left::Complete),
        (Shop::blue_green("quiet-preview", 2, false), Left::Paused),
        (Shop::blue_green("quiet-back", 2, false), Left::Aborted),
    ];
    let spaces: Vec<&str> = shops.iter().map(|(shop, _)| shop.space.as_str()).collect();
    let first = Controller::start(&plane, controller()).await?;
    try_join_all(shops.iter().map(|(shop, left)| async {
        let prepared = prepare(&plane, shop, *left).await;
        prepared.with_context(|| format!("bring {} into its state", shop.space))
    }))
    .await?;
    calm(&first, &spaces).await?;
    first.stop().await?;

    let mark = plane.audit.mark().await?;
    let began = Instant::now();
    let again = Controller::start(&plane, controller()).await?;
    calm(&again, &spaces).await?;
    let (writes, _) = written(&plane, mark).await?;
    println!(
        "  {} Rollouts calm {:.1} s after a restart",
        spaces.len(),
        began.elapsed().as_secs_f64()
    );
    ensure_none(&writes, "after a restart with nothing changed")?;

    let (mark, before) = (plane.audit.mark().await?, again.usage()?);
    // What is waited for is that nothing happens; there is no earlier moment at which that is known.
    tokio::time::sleep(IDLE).await;
    let (writes, renewals) = written(&plane, mark).await?;
    let after = again.usage()?;
    println!(
        "  idle for {} s: {renewals} renewals of the Lease, {} ms of processor time, {} MiB resident",
        IDLE.as_secs(),
        after.cpu.saturating_sub(before.cpu).as_millis(),
        after.resident_bytes >> 20
    );
    ensure_none(&writes, "in two idle minutes")?;
    ensure!(renewals >= 20, "{renewals} renewals of the Lease: it was not at work");
    again.stop().await
}

/// The Lease of Argo's controller, as it is renewed.
async fn renew_argos_lease(plane: &Plane) -> Result<()> {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": "argo-rollouts-controller-lock" },
        "spec": {
            "holderIdentity": "argo-rollouts-0",
            "leaseDurationSeconds": 5,
            "renewTime": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
        },
    });
    plane.client.apply(OWN_NAMESPACE, &lease.to_string()).await?;
    Ok(())
}

async fn nothing_is_written_while_argo_rollouts_is_live(plane: Arc<Plane>) -> Result<()> {
    // The namespace of the Lease comes with the rights.
    grant(&plane, User::Controller, None).await?;
    renew_argos_lease(&plane).await?;
    let renewing = tokio::spawn({
        let plane = Arc::clone(&plane);
        async move {
            loop {
                renew_argos_lease(&plane).await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            #[expect(unreachable_code, reason = "it says what the loop may fail with")]
            Ok::<(), anyhow::Error>(())
        }
    });
    let shop = Shop::basic("argo", 1, &json!([{ "setWeight": 50 }]));
    shop.surroundings(&plane).await?;
    let mark = plane.audit.mark().await?;
    let controller = Controller::start(&plane, controller()).await?;
    shop.deploy(&plane, V1).await?;
    holds(&controller, "argo", "another controller is live: `argo-rollouts-0`").await?;
    // Several renewals later it still holds.
    let later = Instant::now() + Duration::from_secs(8);
    wait_until("some more renewals", SOON, || async {
        ensure!(!renewing.is_finished(), "the Lease is no longer renewed");
        Ok((Instant::now() > later).then_some(()))
    })
    .await?;
    let (writes, _) = written(&plane, mark).await?;
    ensure_none(&writes, "while Argo Rollouts is live")?;
    let status = shop.api(&plane).get_status("shop").await?.status;
    ensure!(status.is_none(), "the Rollout got a status: {status:?}");

    renewing.abort();
    let ended = Instant::now();
    shop.healthy(&plane, SOON).await?;
    println!(
        "  healthy {:.1} s after Argo Rollouts ended",
        ended.elapsed().as_secs_f64()
    );
    controller.stop().await
}

/// Waits until the controller says that a Rollout waits for something.
async fn holds(controller: &Controller, space: &str, why: &str) -> Result<()> {
    wait_until(why, SOON, || async {
        let plan = controller.page(&format!("/debug/plan/{space}/shop")).await?;
        let hold = plan.lines().find(|line| line.starts_with("hold:")).unwrap_or_default();
        ensure!(
            hold.contains(why),
            "it says\n{}",
            plan.lines().take(6).collect::<Vec<_>>().join("\n")
        );
        Ok(Some(()))
    })
    .await
}

const ROUTES: &str = "httproutes.gateway.networking.k8s.io";

async fn a_rollout_whose_kind_of_route_is_installed_later_goes_on(plane: Arc<Plane>) -> Result<()> {
    let kinds: Api<CustomResourceDefinition> = Api::all(plane.client.kube());
    plane
        .client
        .delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", ROUTES)
        .await?;
    plane
        .client
        .wait_for(&kinds, ROUTES, "the end of the kind", SOON, |kind| kind.is_none())
        .await?;
    let shop = Shop::canary("late", 2, &json!([{ "setWeight": 50 }, { "pause": {} }]));
    plane.namespace(&shop.space).await?;
    plane.client.apply(&shop.space, &shop.services()).await?;
    let controller = Controller::start(&plane, controller()).await?;
    shop.deploy(&plane, V1).await?;
    holds(&controller, "late", "not installed").await?;
    let waits = |status: &RolloutStatus| {
        status
            .message
            .as_ref()
            .is_some_and(|text| text.contains("not installed"))
    };
    let status = shop.status(&plane, "the reason in the status", SOON, waits).await?;
    println!("  {}", status.message.unwrap_or_default());

    let installed = Instant::now();
    let file = plane
        .programs()
        .gateway_crds
        .join("gateway.networking.k8s.io_httproutes.yaml");
    plane.client.apply_file("", &file).await?;
    holds(&controller, "late", "HTTPRoute late/shop not found").await?;
    plane.client.apply(&shop.space, &shop.route()).await?;
    shop.healthy(&plane, SOON).await?;
    shop.deploy(&plane, V2).await?;
    shop.status(&plane, "the pause", SOON, |status| phase(status) == "Paused")
        .await?;
    println!(
        "  at 50 % {:.1} s after the kind was installed",
        installed.elapsed().as_secs_f64()
    );
    controller.stop().await
}

async fn the_rights_for_the_cluster_are_those_that_were_used(plane: Arc<Plane>) -> Result<()> {
    let controller = Controller::start(&plane, controller()).await?;
    shop::use_rare_rights(&plane, "default").await?;
    controller.stop().await?;
    let mut requests = plane.audit.since(Mark::BEGIN).await?;
    requests.retain(|request| request.user == User::Controller.name());
    rights::compare(&requests, &[])
}
