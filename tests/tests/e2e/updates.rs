//! The rest of what an update can be, on real components, under real traffic, without one failed request: each of these has
//! lost requests with some controller.
//!
//! They wait most of the time, so all of them run at once, each in a namespace of its own. One controller serves them.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::future::{BoxFuture, join_all};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use sluice_tests::http::Connection;
use sluice_tests::shop::{End, Shop, Version, phase};
use sluice_tests::{Controller, ControllerConfig, Load, LoadConfig, Plane, PlaneConfig, tests, wait_until};

/// Enough for any one thing that is waited for, while seven others go on.
const SOON: Duration = Duration::from_mins(3);
/// Requests per second to each of them.
const RATE: u32 = 60;
const GATEWAY_API: &str = "gateway.networking.k8s.io/v1";

const V1: Version = Version {
    name: "v1",
    error_rate: "0",
};
const V2: Version = Version { name: "v2", ..V1 };
const V3: Version = Version { name: "v3", ..V1 };

pub fn suite() -> ExitCode {
    sluice_tests::main(
        "updates",
        PlaneConfig::default(),
        tests![no_update_of_whatever_kind_loses_a_request],
    )
}

async fn no_update_of_whatever_kind_loses_a_request(plane: Arc<Plane>) -> Result<()> {
    let controller = Controller::start(&plane, ControllerConfig::cluster_wide()).await?;
    let plane = &*plane;
    let all: Vec<BoxFuture<'_, Result<()>>> = vec![
        Box::pin(blue_green_with_analyses(plane)),
        Box::pin(dynamic_stable_scale(plane)),
        Box::pin(a_third_version_at_half(plane)),
        Box::pin(an_abort_while_stable_is_partly_unavailable(plane)),
        Box::pin(a_rollback_inside_the_window(plane)),
        Box::pin(scaling_in_mid_canary(plane)),
        Box::pin(a_restart_under_a_disruption_budget(plane)),
        Box::pin(a_change_of_strategy(plane)),
        Box::pin(a_deployment_that_is_taken_over(plane)),
        Box::pin(a_rollout_that_is_deleted_in_mid_canary(plane)),
        Box::pin(a_header_that_leads_to_the_canary(plane)),
        Box::pin(a_canary_ingress(plane)),
    ];
    let failed: Vec<String> = join_all(all)
        .await
        .into_iter()
        .filter_map(Result::err)
        .map(|error| format!("{error:#}"))
        .collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    controller.stop().await
}

/// Brings the shop up with the first version, further templates, and traffic to it.
async fn begin(plane: &Plane, shop: &Shop, templates: &str) -> Result<Traffic> {
    shop.surroundings(plane).await?;
    plane.client.apply(&shop.space, templates).await?;
    shop.deploy(plane, V1).await?;
    shop.healthy(plane, SOON).await?;
    Traffic::begin(shop).await
}

/// Traffic to a shop, from when the first version answered all of it.
struct Traffic {
    load: Load,
    since: Instant,
}

impl Traffic {
    async fn begin(shop: &Shop) -> Result<Traffic> {
        let load = shop.load(RATE, "v1", SOON).await?;
        let since = Instant::now();
        Ok(Traffic { load, since })
    }

    /// Waits until a version answers.
    async fn reaches(&self, version: &str) -> Result<()> {
        self.load.version_after(Instant::now(), version, SOON).await
    }

    /// Ends it: nothing of it may have failed, and each of these versions must have had some.
    async fn end(self, what: &str, versions: &[&str]) -> Result<()> {
        let traffic = self.load.stop().await?.after(self.since);
        println!(
            "  {what}: {} requests, {} failed, by version {:?}",
            traffic.records().len(),
            traffic.failures().len(),
            traffic.by_version()
        );
        traffic.assert_no_failure().with_context(|| what.to_owned())?;
        for version in versions {
            ensure!(
                traffic.by_version().contains_key(*version),
                "{what}: {version} got no traffic"
            );
        }
        Ok(())
    }
}

/// Pods end eight seconds after they were told to: longer than Traefik takes to follow the endpoints while many routes move.
fn shop_of(shop: Shop) -> Shop {
    Shop {
        end: End::PreStop(8),
        ..shop
    }
}

async fn patch(plane: &Plane, shop: &Shop, spec: Value) -> Result<()> {
    let patch = Patch::Merge(json!({ "spec": spec }));
    shop.api(plane).patch("shop", &PatchParams::default(), &patch).await?;
    Ok(())
}

async fn paused(plane: &Plane, shop: &Shop) -> Result<()> {
    let is = |status: &sluice_crds::RolloutStatus| phase(status) == "Paused";
    shop.status(plane, "the pause", SOON, is).await.map(drop)
}

/// Fails at the value that is given, and succeeds at any other: what the metric is does not depend on traffic.
fn verdict(name: &str, value: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {{name: {name}}}
spec:
  metrics:
  - name: verdict
    interval: 1s
    count: 3
    successCondition: result == 1
    provider: {{prometheus: {{address: 'http://127.0.0.1:9090', query: 'scalar(vector({value}))'}}}}
"
    )
}

async fn blue_green_with_analyses(plane: &Plane) -> Result<()> {
    let mut shop = shop_of(Shop::blue_green("up-bluegreen", 3, true));
    let analysis = |name: &str| json!({ "templates": [{ "templateName": name }] });
    shop.strategy["blueGreen"]["prePromotionAnalysis"] = analysis("before");
    shop.strategy["blueGreen"]["postPromotionAnalysis"] = analysis("after");
    let load = begin(
        plane,
        &shop,
        &[verdict("before", "1"), verdict("after", "1")].join("---\n"),
    )
    .await?;
    shop.deploy(plane, V2).await?;
    shop.healthy(plane, SOON).await?;
    load.reaches("v2").await?;

    // The analysis after the switch fails: it is switched back.
    plane.client.apply(&shop.space, &verdict("after", "0")).await?;
    shop.deploy(plane, V3).await?;
    let is_aborted = |status: &sluice_crds::RolloutStatus| phase(status) == "Degraded";
    let status = shop.status(plane, "the abort", SOON, is_aborted).await?;
    let message = status.message.unwrap_or_default();
    ensure!(
        message.contains("Blue/green post-promotion analysis phase error/failed"),
        "{message}"
    );
    load.reaches("v2").await?;
    let selects = plane.client.read("v1", "Service", &shop.space, "shop-stable").await?;
    ensure!(
        selects["spec"]["selector"]["rollouts-pod-template-hash"].as_str() == status.stable_rs.as_deref(),
        "the active Service selects another revision than the stable one: {selects}"
    );
    load.end("blue-green with analyses", &["v1", "v2", "v3"]).await
}

async fn dynamic_stable_scale(plane: &Plane) -> Result<()> {
    let steps = json!([{ "setWeight": 75 }, { "pause": {} }]);
    let mut shop = shop_of(Shop::canary("up-dynamic", 4, &steps));
    shop.strategy["canary"]["dynamicStableScale"] = true.into();
    if let Some(canary) = shop.strategy["canary"].as_object_mut() {
        // It excludes the first, and ignores the second unless it is given.
        canary.remove("scaleDownDelaySeconds");
        canary.remove("abortScaleDownDelaySeconds");
    }
    let load = begin(plane, &shop, "").await?;
    let stable_pods = |count: i32| {
        let what = format!("{count} pods of the first version");
        let api: Api<Pod> = Api::namespaced(plane.client.kube(), &shop.space);
        async move {
            wait_until(&what, SOON, || async {
                let pods = api.list(&ListParams::default()).await?.items;
                let of_stable = pods.iter().filter(|pod| {
                    let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
                    let image = container.and_then(|container| container.image.clone());
                    pod.metadata.deletion_timestamp.is_none() && image.as_deref() == Some("sluice/backend:v1")
                });
                Ok((i32::try_from(of_stable.count())? == count).then_some(()))
            })
            .await
        }
    };
    // Aborted at 75 %, where one pod of stable is left.
    shop.deploy(plane, V2).await?;
    paused(plane, &shop).await?;
    stable_pods(1).await?;
    shop.command(plane, json!({ "abort": true })).await?;
    shop.in_force(plane, 0, SOON).await?;
    stable_pods(4).await?;
    // And the whole way.
    shop.command(plane, json!({ "abort": false })).await?;
    paused(plane, &shop).await?;
    shop.promote(plane).await?;
    shop.healthy(plane, SOON).await?;
    shop.only_present(plane, SOON).await?;
    load.end("dynamic stable scale", &["v1", "v2"]).await
}

async fn a_third_version_at_half(plane: &Plane) -> Result<()> {
    let steps = json!([{ "setWeight": 50 }, { "pause": { "duration": "15s" } }]);
    let shop = shop_of(Shop::canary("up-third", 3, &steps));
    let load = begin(plane, &shop, "").await?;
    shop.deploy(plane, V2).await?;
    shop.in_force(plane, 50, SOON).await?;
    paused(plane, &shop).await?;
    shop.deploy(plane, V3).await?;
    shop.healthy(plane, SOON).await?;
    shop.only_present(plane, SOON).await?;
    load.end("a third version at 50 %", &["v1", "v2", "v3"]).await
}

async fn an_abort_while_stable_is_partly_unavailable(plane: &Plane) -> Result<()> {
    let steps = json!([{ "setWeight": 50 }, { "pause": {} }]);
    let shop = shop_of(Shop::canary("up-abort", 4, &steps));
    let load = begin(plane, &shop, "").await?;
    shop.deploy(plane, V2).await?;
    paused(plane, &shop).await?;
    // Two of four stable pods go, as with a node that is drained, and the update is aborted in the same moment.
    let pods: Api<Pod> = Api::namespaced(plane.client.kube(), &shop.space);
    let stable = shop
        .api(plane)
        .get_status("shop")
        .await?
        .status
        .unwrap_or_default()
        .stable_rs;
    let label = format!("rollouts-pod-template-hash={}", stable.unwrap_or_default());
    for pod in pods
        .list(&ListParams::default().labels(&label))
        .await?
        .items
        .iter()
        .take(2)
    {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        plane.client.delete("v1", "Pod", &shop.space, name).await?;
    }
    shop.command(plane, json!({ "abort": true })).await?;
    shop.in_force(plane, 0, SOON).await?;
    load.end("an abort while stable is partly unavailable", &["v1", "v2"])
        .await
}

async fn a_rollback_inside_the_window(plane: &Plane) -> Result<()> {
    let steps = json!([{ "setWeight": 50 }, { "pause": { "duration": "5s" } }]);
    let mut shop = shop_of(Shop::canary("up-rollback", 3, &steps));
    shop.further = json!({ "rollbackWindow": { "revisions": 2 } });
    let load = begin(plane, &shop, "").await?;
    shop.deploy(plane, V2).await?;
    shop.healthy(plane, SOON).await?;
    shop.only_present(plane, SOON).await?;
    let history = shop.history(plane).await?;
    shop.deploy(plane, V1).await?;
    shop.healthy(plane, SOON).await?;
    load.reaches("v1").await?;
    let phases = history.distinct(|rollout| rollout["status"]["phase"].as_str().map(str::to_owned))?;
    ensure!(
        !phases.contains(&"Paused".to_owned()),
        "the way back inside the window had a pause"
    );
    load.end("a rollback inside the window", &["v1", "v2"]).await
}

async fn scaling_in_mid_canary(plane: &Plane) -> Result<()> {
    let steps = json!([{ "setWeight": 25 }, { "pause": {} }]);
    let shop = shop_of(Shop::canary("up-scaled", 4, &steps));
    let load = begin(plane, &shop, "").await?;
    shop.deploy(plane, V2).await?;
    paused(plane, &shop).await?;
    for replicas in [12, 3] {
        patch(plane, &shop, json!({ "replicas": replicas })).await?;
        // A quarter of the pods, rounded up, and all of stable.
        let canary = (replicas + 3) / 4;
        let is = |status: &sluice_crds::RolloutStatus| {
            status.available_replicas == Some(replicas + canary) && status.updated_replicas == Some(canary)
        };
        shop.status(plane, &format!("{replicas} pods and a quarter"), SOON, is)
            .await?;
    }
    shop.promote(plane).await?;
    shop.healthy(plane, SOON).await?;
    shop.only_present(plane, SOON).await?;
    load.end("scaling 4, 12, 3 in mid-canary", &["v1", "v2"]).await
}

async fn a_restart_under_a_disruption_budget(plane: &Plane) -> Result<()> {
    let shop = shop_of(Shop::canary("up-restart", 4, &json!([])));
    let load = begin(plane, &shop, "").await?;
    let budget = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: shop}\nspec: {maxUnavailable: 0, selector: {matchLabels: {app: shop}}}\n";
    plane.client.apply(&shop.space, budget).await?;
    let pods: Api<Pod> = Api::namespaced(plane.client.kube(), &shop.space);
    let uids = || async {
        let pods = pods.list(&ListParams::default()).await?.items;
        let live = pods.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
        anyhow::Ok(live.filter_map(|pod| pod.metadata.uid).collect::<Vec<_>>())
    };
    let before = uids().await?;
    // A pod's time has whole seconds: all of them are older than this.
    let at = sluice_crds::Time::from(jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2));
    patch(plane, &shop, json!({ "restartAt": at })).await?;
    let is_restarting = |status: &sluice_crds::RolloutStatus| {
        let message = status.message.as_deref().unwrap_or_default();
        phase(status) == "Progressing" && message.contains("rollout is restarting")
    };
    shop.status(plane, "the restart", SOON, is_restarting).await?;
    // The budget allows nothing: nothing goes.
    tokio::time::sleep(Duration::from_secs(5)).await;
    ensure!(
        uids().await?.iter().all(|uid| before.contains(uid)),
        "a pod went against the budget"
    );
    let budget = json!({ "spec": { "maxUnavailable": 1 } });
    plane
        .client
        .patch("policy/v1", "PodDisruptionBudget", &shop.space, "shop", &budget)
        .await?;
    let is_done =
        |status: &sluice_crds::RolloutStatus| status.restarted_at.as_ref() == Some(&at) && phase(status) == "Healthy";
    shop.status(plane, "the end of the restart", SOON, is_done).await?;
    ensure!(
        uids().await?.iter().all(|uid| !before.contains(uid)),
        "an old pod is still there"
    );
    load.end("a restart under a PodDisruptionBudget", &["v1"]).await
}

async fn a_change_of_strategy(plane: &Plane) -> Result<()> {
    let steps = json!([{ "setWeight": 50 }, { "pause": { "duration": "3s" } }]);
    let canary = shop_of(Shop::canary("up-strategy", 3, &steps));
    let load = begin(plane, &canary, "").await?;
    // Every further version comes with the other strategy; both use the same two Services, and the route stays.
    let blue_green = shop_of(Shop::blue_green("up-strategy", 3, true));
    blue_green.deploy(plane, V2).await?;
    blue_green.healthy(plane, SOON).await?;
    load.reaches("v2").await?;
    canary.deploy(plane, V3).await?;
    canary.healthy(plane, SOON).await?;
    canary.only_present(plane, SOON).await?;
    load.end("a change of strategy and back", &["v1", "v2", "v3"]).await
}

async fn a_deployment_that_is_taken_over(plane: &Plane) -> Result<()> {
    let steps = json!([{ "setWeight": 50 }, { "pause": { "duration": "3s" } }]);
    let shop = shop_of(Shop::canary("up-workload", 3, &steps));
    shop.surroundings(plane).await?;
    let rollout = shop.rollout(V1);
    let deployment = |version: Version| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "shop" },
            "spec": { "selector": rollout["spec"]["selector"], "template": shop.rollout(version)["spec"]["template"] },
        })
    };
    let mut first = deployment(V1);
    first["spec"]["replicas"] = 3.into();
    plane.client.apply(&shop.space, &first.to_string()).await?;
    let load = Traffic::begin(&shop).await?;
    let workload = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "shop", "scaleDown": "onsuccess" });
    let taking = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": { "name": "shop" },
        "spec": { "replicas": 3, "workloadRef": workload, "strategy": rollout["spec"]["strategy"] },
    });
    plane.client.apply(&shop.space, &taking.to_string()).await?;
    shop.healthy(plane, SOON).await?;
    let size = || async {
        let deployment = plane.client.read("apps/v1", "Deployment", &shop.space, "shop").await?;
        anyhow::Ok(deployment["spec"]["replicas"].as_i64())
    };
    wait_until("the end of the Deployment's pods", SOON, || async {
        Ok((size().await? == Some(0)).then_some(()))
    })
    .await?;
    // A new version comes by the Deployment's template.
    plane.client.apply(&shop.space, &deployment(V2).to_string()).await?;
    load.reaches("v2").await?;
    shop.healthy(plane, SOON).await?;
    shop.only_present(plane, SOON).await?;
    // And back: scaled up by hand, the Deployment keeps its pods.
    let patch = json!({ "spec": { "replicas": 3 } });
    plane
        .client
        .patch("apps/v1", "Deployment", &shop.space, "shop", &patch)
        .await?;
    wait_until("the Deployment's pods", SOON, || async {
        let deployment = plane.client.read("apps/v1", "Deployment", &shop.space, "shop").await?;
        Ok((deployment["status"]["availableReplicas"] == 3).then_some(()))
    })
    .await?;
    ensure!(size().await? == Some(3), "the Deployment was scaled down again");
    // The Rollout goes, and its Services lead to the Deployment's pods before its own end.
    plane
        .client
        .delete("argoproj.io/v1alpha1", "Rollout", &shop.space, "shop")
        .await?;
    no_pods_of_a_rollout(plane, &shop).await?;
    services_as_written(plane, &shop).await?;
    load.end("a Deployment that is taken over", &["v1", "v2"]).await
}

/// Its Services lead to a Deployment's pods when its own end, and the route is as it was.
async fn a_rollout_that_is_deleted_in_mid_canary(plane: &Plane) -> Result<()> {
    let steps = json!([{ "setWeight": 20 }, { "pause": {} }]);
    let shop = shop_of(Shop::canary("up-deleted", 3, &steps));
    let load = begin(plane, &shop, "").await?;
    let written = || async {
        let route = plane.client.read(GATEWAY_API, "HTTPRoute", &shop.space, "shop").await?;
        anyhow::Ok((route["spec"].clone(), route["metadata"]["annotations"].clone()))
    };
    let before = written().await?;
    let mut template = shop.rollout(V1)["spec"]["template"].clone();
    template["metadata"]["labels"]["from"] = json!("deployment");
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "shop" },
        "spec": {
            "replicas": 3,
            "selector": { "matchLabels": { "app": "shop", "from": "deployment" } },
            "template": template,
        },
    });
    plane.client.apply(&shop.space, &deployment.to_string()).await?;
    wait_until("the Deployment's pods", SOON, || async {
        let deployment = plane.client.read("apps/v1", "Deployment", &shop.space, "shop").await?;
        Ok((deployment["status"]["availableReplicas"] == 3).then_some(()))
    })
    .await?;
    shop.deploy(plane, V2).await?;
    paused(plane, &shop).await?;
    load.reaches("v2").await?;
    ensure!(written().await? != before, "the route was not moved");
    plane
        .client
        .delete("argoproj.io/v1alpha1", "Rollout", &shop.space, "shop")
        .await?;
    no_pods_of_a_rollout(plane, &shop).await?;
    wait_until("the route as its user wrote it", SOON, || async {
        Ok((written().await? == before).then_some(()))
    })
    .await?;
    services_as_written(plane, &shop).await?;
    load.end("a Rollout that is deleted in mid-canary", &["v1", "v2"]).await
}

async fn no_pods_of_a_rollout(plane: &Plane, shop: &Shop) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(plane.client.kube(), &shop.space);
    wait_until("the end of the Rollout's pods", SOON, || async {
        let of_rollout = ListParams::default().labels("rollouts-pod-template-hash");
        Ok(pods.list(&of_rollout).await?.items.is_empty().then_some(()))
    })
    .await
}

async fn services_as_written(plane: &Plane, shop: &Shop) -> Result<()> {
    for name in ["shop-stable", "shop-canary"] {
        let service = plane.client.read("v1", "Service", &shop.space, name).await?;
        ensure!(
            service["spec"]["selector"] == json!({ "app": "shop" }),
            "Service {name} is not as its user wrote it: {service}"
        );
    }
    Ok(())
}

/// Which versions answer a number of requests with a header.
async fn answers(shop: &Shop, header: &str) -> Result<BTreeSet<String>> {
    let to = LoadConfig::new(&shop.host(), RATE).target;
    let mut versions = BTreeSet::new();
    for _ in 0..20 {
        let mut connection = Connection::open(to, None).await?;
        let answer = connection.get_with(&shop.host(), "/", header, true).await?;
        versions.insert(answer.header("x-version").unwrap_or_default().to_owned());
    }
    Ok(versions)
}

async fn a_header_that_leads_to_the_canary(plane: &Plane) -> Result<()> {
    let header = |value: Value| json!({ "setHeaderRoute": { "name": "testers", "match": value } });
    let steps = json!([
        { "setCanaryScale": { "replicas": 1 } },
        header(json!([{ "headerName": "x-tester", "headerValue": { "exact": "yes" } }])),
        { "pause": {} },
    ]);
    let mut shop = shop_of(Shop::canary("up-header", 3, &steps));
    shop.strategy["canary"]["trafficRouting"]["managedRoutes"] = json!([{ "name": "testers" }]);
    let load = begin(plane, &shop, "").await?;
    let route = plane.client.read(GATEWAY_API, "HTTPRoute", &shop.space, "shop").await?;
    shop.deploy(plane, V2).await?;
    paused(plane, &shop).await?;
    let only = |version: &str| BTreeSet::from([version.to_owned()]);
    let (testers, others) = (
        answers(&shop, "x-tester: yes\r\n").await?,
        answers(&shop, "x-tester: no\r\n").await?,
    );
    ensure!(testers == only("v2"), "testers were answered by {testers:?}");
    ensure!(others == only("v1"), "others were answered by {others:?}");
    shop.promote(plane).await?;
    shop.healthy(plane, SOON).await?;
    shop.only_present(plane, SOON).await?;
    let after = plane.client.read(GATEWAY_API, "HTTPRoute", &shop.space, "shop").await?;
    ensure!(
        after["spec"] == route["spec"],
        "the route is not as its user wrote it: {}",
        after["spec"]
    );
    load.end("a header that leads to the canary", &["v1", "v2"]).await
}

async fn a_canary_ingress(plane: &Plane) -> Result<()> {
    let steps = json!([{ "setWeight": 20 }, { "pause": {} }, { "setWeight": 60 }, { "pause": {} }]);
    let mut shop = shop_of(Shop::canary("up-nginx", 4, &steps));
    shop.strategy["canary"]["trafficRouting"] = json!({ "nginx": { "stableIngress": "shop" } });
    plane.namespace(&shop.space).await?;
    let ingress = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: shop}}\nspec:\n  ingressClassName: nginx\n  rules: [{{host: {}, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: shop-stable, port: {{number: 80}}}}}}}}]}}}}]\n",
        shop.host()
    );
    plane
        .client
        .apply(&shop.space, &[shop.services(), ingress].concat())
        .await?;
    shop.deploy(plane, V1).await?;
    shop.healthy(plane, SOON).await?;
    let load = Traffic::begin(&shop).await?;
    shop.deploy(plane, V2).await?;
    for (step, share) in [(1, 0.2), (3, 0.6)] {
        let at =
            |status: &sluice_crds::RolloutStatus| phase(status) == "Paused" && status.current_step_index == Some(step);
        shop.status(plane, &format!("the pause of step {step}"), SOON, at)
            .await?;
        let traffic = load.load.requests_after(Instant::now(), 500, SOON).await?;
        traffic.assert_share("v2", share, 0.05, 500)?;
        shop.promote(plane).await?;
    }
    shop.healthy(plane, SOON).await?;
    shop.only_present(plane, SOON).await?;
    load.end("a canary Ingress", &["v1", "v2"]).await
}
