//! What a Rollout names may come after it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use sluice_tests::shop::{STABLE, Shop, Version, phase};
use sluice_tests::{Controller, ControllerConfig, Plane};

/// Enough for an update on a machine that builds at the same time.
const UPDATE: Duration = Duration::from_mins(1);

/// It is noticed by a watch, not by looking again from time to time.
const NOTICED: Duration = Duration::from_secs(5);

const TEMPLATES: [&str; 2] = [
    "apiVersion: argoproj.io/v1alpha1\nkind: AnalysisTemplate\nmetadata: {name: own}\nspec: {templates: [{templateName: everybodys, clusterScope: true}]}\n",
    "apiVersion: argoproj.io/v1alpha1\nkind: ClusterAnalysisTemplate\nmetadata: {name: everybodys}\nspec:\n  metrics: [{name: one, \
     successCondition: 'result[0] == 1', provider: {prometheus: {address: 'http://127.0.0.1:9090', query: vector(1)}}}]\n",
];

pub async fn references_that_come_later_are_noticed_and_the_rollout_goes_on(plane: Arc<Plane>) -> Result<()> {
    const SPACE: &str = "later";
    plane.namespace(SPACE).await?;
    // Templates of the cluster are read by a controller of the cluster only.
    let controller = Controller::start(&plane, ControllerConfig::cluster_wide()).await?;
    let analysis = json!({ "analysis": { "templates": [{ "templateName": "own" }] } });
    let shop = Shop::canary(SPACE, 1, &json!([{ "setWeight": 50 }, analysis]));
    shop.deploy(&plane, STABLE).await?;
    let services = shop.services();
    let services: Vec<&str> = services.split("---\n").filter(|text| !text.is_empty()).collect();
    ensure!(services.len() == 2, "the stable and the canary Service: {services:?}");
    // What is there next, and what is said until it is.
    let at = "spec.strategy.canary";
    let template = format!("{at}.steps[1].analysis.templates[0].templateName");
    let route = shop.route();
    let rows = [
        (
            services[0],
            format!("{at}.stableService: service \"shop-stable\" not found"),
        ),
        (
            services[1],
            format!("{at}.canaryService: service \"shop-canary\" not found"),
        ),
        (
            route.as_str(),
            format!("{at}.trafficRouting: HTTPRoute {SPACE}/shop not found"),
        ),
        (TEMPLATES[0], format!("{template}: AnalysisTemplate 'own' not found")),
        (
            TEMPLATES[1],
            format!("{template}: ClusterAnalysisTemplate 'everybodys' not found"),
        ),
    ];
    for (index, (yaml, says)) in rows.iter().enumerate() {
        let gone: Vec<&String> = rows[..index].iter().map(|(_, says)| says).collect();
        shop.status(&plane, says, if index == 0 { UPDATE } else { NOTICED }, |status| {
            let message = status.message.as_deref().unwrap_or_default();
            phase(status) == "Degraded"
                && message.contains(says.as_str())
                && !gone.iter().any(|gone| message.contains(gone.as_str()))
        })
        .await?;
        plane.client.apply(SPACE, yaml).await?;
    }
    let mended = Instant::now();
    shop.status(&plane, "no InvalidSpec", NOTICED, |status| {
        status
            .conditions
            .iter()
            .flatten()
            .all(|condition| condition.type_ != "InvalidSpec")
    })
    .await?;
    println!(
        "  the last one was noticed {:.0?} after it was applied",
        mended.elapsed()
    );
    shop.healthy(&plane, UPDATE).await?;

    // The whole of it works: an update with its analysis.
    shop.deploy(&plane, Version { name: "v2", ..STABLE }).await?;
    let status = shop.healthy(&plane, UPDATE).await?;
    ensure!(status.stable_rs == status.current_pod_hash, "{status:?}");
    let runs = plane.client.api("argoproj.io/v1alpha1", "AnalysisRun", SPACE).await?;
    let runs = runs.list(&kube::api::ListParams::default()).await?.items;
    let run = runs.first().context("a run of the analysis")?;
    ensure!(
        runs.len() == 1 && run.data.pointer("/status/phase") == Some(&json!("Successful")),
        "{runs:?}"
    );
    plane
        .client
        .delete("argoproj.io/v1alpha1", "ClusterAnalysisTemplate", "", "everybodys")
        .await?;
    controller.stop().await
}
