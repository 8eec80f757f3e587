//! The cluster in a box itself: that each part of it does what the other end-to-end tests rely on.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use sluice_tests::audit::count_by_what;
use sluice_tests::plane::User;
use sluice_tests::{Load, LoadConfig, Plane, PlaneConfig, process, tests, wait_until};

mod round_trip;
mod waits;
use round_trip::what_the_crds_admit_is_stored_read_and_written_back_without_loss;
use waits::kubectl_wait_ends_by_condition_and_by_phase;

/// Enough for anything here on a machine that builds at the same time.
const SOON: Duration = Duration::from_mins(1);

pub fn suite() -> ExitCode {
    sluice_tests::main(
        "plane",
        PlaneConfig::default(),
        tests![
            every_part_starts_and_costs_what_is_said,
            a_deployment_becomes_ready_with_real_probes,
            a_route_splits_traffic_exactly_and_prometheus_counts_it,
            a_deleted_pod_loses_no_request_in_either_way_to_end,
            a_pod_that_ends_at_once_loses_requests,
            an_unknown_image_is_reported_and_the_pod_can_go,
            a_crash_is_restarted_ever_more_slowly,
            a_user_without_rights_is_refused,
            writes_are_counted_by_user,
            what_the_crds_admit_is_stored_read_and_written_back_without_loss,
            kubectl_wait_ends_by_condition_and_by_phase,
        ],
    )
}

async fn every_part_starts_and_costs_what_is_said(plane: Arc<Plane>) -> Result<()> {
    for (part, time) in &plane.start_times {
        println!("  {part}: ready after {:.1} s", time.as_secs_f64());
    }
    for (name, id) in plane.process_ids() {
        println!("  {name}: {} MiB", process::usage(id)?.resident_bytes >> 20);
    }
    let slowest = plane
        .start_times
        .iter()
        .map(|(_, time)| *time)
        .max()
        .context("something was started")?;
    // The goal is 20 s; the limit leaves room for a machine that builds at the same time.
    ensure!(slowest < Duration::from_mins(1), "the plane took {slowest:?}");
    Ok(())
}

async fn a_deployment_becomes_ready_with_real_probes(plane: Arc<Plane>) -> Result<()> {
    let space = "probes";
    plane.namespace(space).await?;
    // The probe asks a port on which nobody listens at first: START_DELAY is the program's own.
    plane
        .client
        .apply(space, &deployment("slow", "v1", 2, "START_DELAY: 2s", "", ""))
        .await?;
    let began = Instant::now();
    ready(&plane, space, "slow", 2).await?;
    ensure!(
        began.elapsed() > Duration::from_secs(2),
        "ready after {:?}, before anything listened",
        began.elapsed()
    );
    let pods: Api<Pod> = Api::namespaced(plane.client.kube(), space);
    let mut addresses: Vec<String> = pods
        .list(&ListParams::default())
        .await?
        .into_iter()
        .filter_map(|pod| pod.status?.pod_ip)
        .inspect(|ip| assert!(ip.starts_with("10.77."), "{ip}"))
        .collect();
    addresses.dedup();
    ensure!(
        addresses.len() == 2,
        "each pod has an address of its own: {addresses:?}"
    );
    Ok(())
}

async fn a_route_splits_traffic_exactly_and_prometheus_counts_it(plane: Arc<Plane>) -> Result<()> {
    let space = "split";
    plane.namespace(space).await?;
    plane
        .client
        .apply(space, &deployment("stable", "v1", 2, "ERROR_RATE: 0", "", ""))
        .await?;
    plane
        .client
        .apply(space, &deployment("canary", "v2", 1, "ERROR_RATE: 0.05", "", ""))
        .await?;
    plane
        .client
        .apply(space, &route("split.test", &[("stable", 90), ("canary", 10)]))
        .await?;
    ready(&plane, space, "stable", 2).await?;
    ready(&plane, space, "canary", 1).await?;
    weights(&plane, space, &[("stable", 90), ("canary", 10)]).await?;
    let load = Load::start(LoadConfig::new("split.test", 500))?;
    serving(&load).await?;
    let mark = Instant::now();
    load.requests_after(mark, 5_000, SOON).await?;

    let total = format!("sum(http_requests_total{{namespace={space:?}}})");
    wait_until("the metrics of the backends", SOON, || async {
        Ok(plane.number(&total).await?.filter(|count| *count > 1000.0))
    })
    .await?;
    // One label of the series themselves, the others of their pods; only the last is common to both versions.
    let labels = [
        ("version=\"v2\"", 50.0),
        ("app=\"canary\"", 50.0),
        ("pod=~\"canary-.+\"", 50.0),
        ("rollouts_pod_template_hash=\"abc\"", 500.0),
    ];
    for (label, want) in labels {
        let query = format!("sum(rate(http_requests_total{{namespace={space:?},{label}}}[5s]))");
        let near = |rate: &f64| (want * 0.8..want * 1.2).contains(rate);
        wait_until(label, SOON, || async { Ok(plane.number(&query).await?.filter(near)) }).await?;
    }
    let errors = format!(
        "sum(rate(http_requests_total{{namespace={space:?},version=\"v2\",code=\"500\"}}[5s])) \
         / sum(rate(http_requests_total{{namespace={space:?},version=\"v2\"}}[5s]))"
    );
    wait_until("the error rate", SOON, || async {
        Ok(plane
            .number(&errors)
            .await?
            .filter(|ratio| (0.03..0.07).contains(ratio)))
    })
    .await?;
    let slow = format!(
        "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{{namespace={space:?}}}[5s])))"
    );
    ensure!(
        plane.number(&slow).await?.is_some_and(|seconds| seconds < 0.5),
        "the histogram gives a quantile"
    );
    let proxy = format!("sum(traefik_service_requests_total{{service=~\"httproute-{space}-app-.*\"}})");
    ensure!(
        plane.number(&proxy).await?.is_some_and(|count| count > 1000.0),
        "Traefik's own metrics are there"
    );

    let seen = load.stop().await?.after(mark);
    println!("  {seen}");
    seen.assert_share("v2", 0.10, 0.01, 1000)?;
    let kept = seen.records().iter().filter(|record| record.kept_alive).count();
    ensure!(
        kept.abs_diff(seen.records().len() / 2) <= 1,
        "half of the requests may use a kept connection: {kept}"
    );
    // Every twentieth answer of the canary is an error, and nothing else is.
    let failed = seen.failures();
    ensure!(
        failed.iter().all(|record| record.version.as_deref() == Some("v2")),
        "only the bad version fails: {seen}"
    );
    let canary = seen.by_version()["v2"];
    ensure!(
        failed.len().abs_diff(canary / 20) <= 2,
        "{} of {canary} failed",
        failed.len()
    );
    Ok(())
}

async fn a_deleted_pod_loses_no_request_in_either_way_to_end(plane: Arc<Plane>) -> Result<()> {
    let hook = "lifecycle: {preStop: {sleep: {seconds: 3}}}";
    let annotation = "box.sluice.dev/end-after-endpoints: 1s";
    for (space, hook, annotation) in [("ends-by-hook", hook, ""), ("ends-by-endpoints", "", annotation)] {
        let seen = traffic_over_a_deletion(&plane, space, hook, annotation).await?;
        println!("  {space}: {seen}");
        seen.assert_no_failure().with_context(|| space)?;
    }
    Ok(())
}

/// The other tests of lost requests would prove nothing if this did not lose any.
async fn a_pod_that_ends_at_once_loses_requests(plane: Arc<Plane>) -> Result<()> {
    // Without the delay of Traefik's own connections: each request that meets the closed port is lost.
    let seen = traffic_over_a_deletion(&plane, "ends-at-once", "", "").await?;
    println!("  {seen}");
    ensure!(
        !seen.failures().is_empty(),
        "a pod that ends before the proxy knows it loses requests"
    );
    Ok(())
}

async fn traffic_over_a_deletion(
    plane: &Plane,
    space: &str,
    hook: &str,
    annotation: &str,
) -> Result<sluice_tests::load::Traffic> {
    plane.namespace(space).await?;
    let host = format!("{space}.test");
    plane
        .client
        .apply(space, &deployment("app", "v1", 2, "ERROR_RATE: 0", hook, annotation))
        .await?;
    plane.client.apply(space, &route(&host, &[("app", 1)])).await?;
    ready(plane, space, "app", 2).await?;
    let load = Load::start(LoadConfig::new(&host, 500))?;
    serving(&load).await?;
    let mark = Instant::now();
    let pods: Api<Pod> = Api::namespaced(plane.client.kube(), space);
    let old: Vec<String> = pods
        .list(&ListParams::default())
        .await?
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    for name in &old {
        // One after the other, so that one pod can always serve.
        pods.delete(name, &DeleteParams::default()).await?;
        plane
            .client
            .wait_for(&pods, name, "the end", SOON, |pod| pod.is_none())
            .await?;
        ready(plane, space, "app", 2).await?;
    }
    load.requests_after(Instant::now(), 500, SOON).await?;
    Ok(load.stop().await?.after(mark))
}

async fn an_unknown_image_is_reported_and_the_pod_can_go(plane: Arc<Plane>) -> Result<()> {
    let space = "no-image";
    plane.namespace(space).await?;
    let yaml = deployment("app", "v1", 1, "A: b", "", "").replace("sluice/backend:v1", "registry.example/nope:1");
    plane.client.apply(space, &yaml).await?;
    let pods: Api<Pod> = Api::namespaced(plane.client.kube(), space);
    let pod = wait_until("a pod", SOON, || async {
        Ok(pods.list(&ListParams::default()).await?.items.pop())
    })
    .await?;
    let name = pod.name_any();
    for reason in ["ErrImagePull", "ImagePullBackOff"] {
        plane
            .client
            .wait_for(&pods, &name, reason, SOON, |pod| waits_for(pod) == Some(reason))
            .await?;
    }
    plane.client.delete("apps/v1", "Deployment", space, "app").await?;
    plane
        .client
        .wait_for(&pods, &name, "the end", SOON, |pod| pod.is_none())
        .await?;
    Ok(())
}

async fn a_crash_is_restarted_ever_more_slowly(plane: Arc<Plane>) -> Result<()> {
    let space = "crash";
    plane.namespace(space).await?;
    plane
        .client
        .apply(space, &deployment("app", "v1", 1, "CRASH_AFTER: 500ms", "", ""))
        .await?;
    let pods: Api<Pod> = Api::namespaced(plane.client.kube(), space);
    let pod = wait_until("a pod", SOON, || async {
        Ok(pods.list(&ListParams::default()).await?.items.pop())
    })
    .await?;
    let name = pod.name_any();
    let restarted = |pod: Option<&Pod>, count| restarts(pod).is_some_and(|restarts| restarts >= count);
    plane
        .client
        .wait_for(&pods, &name, "a restart", SOON, |pod| restarted(pod, 1))
        .await?;
    let back_off = Some("CrashLoopBackOff");
    plane
        .client
        .wait_for(&pods, &name, "CrashLoopBackOff", SOON, |pod| waits_for(pod) == back_off)
        .await?;
    plane
        .client
        .wait_for(&pods, &name, "a third start", SOON, |pod| restarted(pod, 2))
        .await?;
    Ok(())
}

async fn a_user_without_rights_is_refused(plane: Arc<Plane>) -> Result<()> {
    let somebody = plane.client_of(User::Somebody).await?;
    let pods: Api<Pod> = Api::namespaced(somebody.kube(), "default");
    let refused = pods.list(&ListParams::default()).await;
    ensure!(
        matches!(&refused, Err(kube::Error::Api(status)) if status.code == 403),
        "somebody could list pods: {refused:?}"
    );
    Ok(())
}

async fn writes_are_counted_by_user(plane: Arc<Plane>) -> Result<()> {
    let space = "audit";
    plane.namespace(space).await?;
    let mark = plane.audit.mark().await?;
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '1'}";
    plane.client.apply(space, map).await?;
    plane
        .client
        .patch("v1", "ConfigMap", space, "a", &json!({"data": {"x": "2"}}))
        .await?;
    plane.client.read("v1", "ConfigMap", space, "a").await?;
    plane.client.delete("v1", "ConfigMap", space, "a").await?;
    let writes = plane.audit.writes_since(mark, User::Admin.name()).await?;
    let counts = count_by_what(&writes);
    let want = [("delete configmaps".to_owned(), 1), ("patch configmaps".to_owned(), 2)].into();
    ensure!(counts == want, "{counts:?}");
    ensure!(
        plane.audit.writes_since(mark, "nobody").await?.is_empty(),
        "nobody writes nothing"
    );
    Ok(())
}

/// A Deployment and the Service of its pods. `env`, `hook` and `annotation` are lines of YAML, empty for none.
fn deployment(name: &str, version: &str, replicas: u32, env: &str, hook: &str, annotation: &str) -> String {
    let (variable, value) = env.split_once(": ").unwrap_or(("UNUSED", ""));
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata:
      labels: {{app: {name}, version: {version}, rollouts-pod-template-hash: abc}}
      annotations:
        prometheus.io/scrape: "true"
        prometheus.io/port: "5678"
        {annotation}
    spec:
      containers:
      - name: backend
        image: sluice/backend:{version}
        ports: [{{name: http, containerPort: 5678}}]
        env: [{{name: VERSION, value: {version}}}, {{name: {variable}, value: "{value}"}}]
        readinessProbe: {{httpGet: {{path: /healthz, port: http}}, periodSeconds: 1}}
        {hook}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{port: 80, targetPort: 5678}}]}}
"#
    )
}

fn route(host: &str, backends: &[(&str, u32)]) -> String {
    let backends: Vec<String> = backends
        .iter()
        .map(|(name, weight)| format!("{{name: {name}, port: 80, weight: {weight}}}"))
        .collect();
    format!(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: app}}
spec:
  parentRefs: [{{name: box, namespace: default}}]
  hostnames: [{host}]
  rules: [{{backendRefs: [{}]}}]
",
        backends.join(", ")
    )
}

/// Waits until all pods of a Deployment are ready, and are endpoints of its Service.
async fn ready(plane: &Plane, space: &str, name: &str, replicas: i32) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(plane.client.kube(), space);
    let complete = |deployment: Option<&Deployment>| {
        let status = deployment.and_then(|deployment| deployment.status.as_ref());
        status.is_some_and(|status| status.ready_replicas == Some(replicas) && status.replicas == Some(replicas))
    };
    plane
        .client
        .wait_for(&deployments, name, "all pods to be ready", SOON, complete)
        .await?;
    let slices: Api<EndpointSlice> = Api::namespaced(plane.client.kube(), space);
    let selector = ListParams::default().labels(&format!("kubernetes.io/service-name={name}"));
    wait_until("the endpoints", SOON, || async {
        let ready = slices
            .list(&selector)
            .await?
            .into_iter()
            .flat_map(|slice| slice.endpoints);
        let ready = ready.filter(|one| {
            one.conditions
                .as_ref()
                .is_some_and(|conditions| conditions.ready == Some(true))
        });
        Ok((i32::try_from(ready.count())? == replicas).then_some(()))
    })
    .await
}

/// Waits until the proxy has these weights in force.
async fn weights(plane: &Plane, space: &str, want: &[(&str, u64)]) -> Result<()> {
    let want = want
        .iter()
        .map(|(name, weight)| ((*name).to_owned(), *weight))
        .collect();
    wait_until("the weights in Traefik", SOON, || async {
        Ok((plane.traefik_weights(space, "app").await? == want).then_some(()))
    })
    .await
}

/// Waits until requests are answered well: the proxy may know a route a moment later than the API server does.
async fn serving(load: &Load) -> Result<()> {
    wait_until("a hundred good answers in a row", SOON, || async {
        let seen = load.so_far();
        let last = seen.records().iter().rev().take(100);
        Ok((last.filter(|record| record.version.is_some()).count() == 100).then_some(()))
    })
    .await
}

fn waits_for(pod: Option<&Pod>) -> Option<&str> {
    let statuses = pod?.status.as_ref()?.container_statuses.as_ref()?;
    statuses.first()?.state.as_ref()?.waiting.as_ref()?.reason.as_deref()
}

fn restarts(pod: Option<&Pod>) -> Option<i32> {
    Some(
        pod?.status
            .as_ref()?
            .container_statuses
            .as_ref()?
            .first()?
            .restart_count,
    )
}
