//! The application of the end-to-end tests: a Rollout with its Services, route and analysis template, and what is waited for.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kube::Api;
use serde_json::{Value, json};
use sluice_crds::{Rollout, RolloutStatus};

use crate::{History, Load, LoadConfig, Plane, wait_until};

/// A version of the application.
#[derive(Debug, Clone, Copy)]
pub struct Version {
    /// What it calls itself.
    pub name: &'static str,
    /// The share of requests that it answers with status 500.
    pub error_rate: &'static str,
}

/// The version that everybody starts from; it fails one request in a thousand.
pub const STABLE: Version = Version {
    name: "v1",
    error_rate: "0.001",
};

/// How pods end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// One second after they left the endpoints.
    AfterEndpoints,
    /// At once, but for a preStop hook of so many seconds.
    PreStop(u32),
}

/// The application in one namespace; its host is `<namespace>.test`.
#[derive(Debug, Clone)]
pub struct Shop {
    /// The namespace.
    pub space: String,
    /// `spec.replicas`.
    pub replicas: u32,
    /// How pods end.
    pub end: End,
    /// `spec.strategy` as YAML flow, with `SPACE` for the namespace.
    pub strategy: Value,
    /// Further fields of `spec`.
    pub further: Value,
}

impl Shop {
    /// A canary behind an HTTPRoute.
    pub fn canary(space: &str, replicas: u32, steps: &Value) -> Self {
        let strategy = json!({ "canary": {
            "stableService": "shop-stable",
            "canaryService": "shop-canary",
            "trafficRouting": { "plugins": { "argoproj-labs/gatewayAPI": { "httpRoute": "shop", "namespace": space } } },
            "scaleDownDelaySeconds": 3,
            "abortScaleDownDelaySeconds": 3,
            "steps": steps,
        } });
        Self {
            space: space.to_owned(),
            replicas,
            end: End::AfterEndpoints,
            strategy,
            further: json!({}),
        }
    }

    /// A blue-green behind an HTTPRoute that names the active Service only.
    pub fn blue_green(space: &str, replicas: u32, automatic: bool) -> Self {
        let strategy = json!({ "blueGreen": {
            "activeService": "shop-stable",
            "previewService": "shop-canary",
            "autoPromotionEnabled": automatic,
            "scaleDownDelaySeconds": 5,
            "abortScaleDownDelaySeconds": 3,
        } });
        Self {
            space: space.to_owned(),
            replicas,
            end: End::AfterEndpoints,
            strategy,
            further: json!({}),
        }
    }

    /// A canary without a router: the split is the ratio of pods.
    pub fn basic(space: &str, replicas: u32, steps: &Value) -> Self {
        Self {
            strategy: json!({ "canary": { "maxSurge": 1, "maxUnavailable": 0, "steps": steps } }),
            ..Self::canary(space, replicas, steps)
        }
    }

    /// The host by which the application is asked for.
    pub fn host(&self) -> String {
        format!("{}.test", self.space)
    }

    /// The Rollout with a version.
    pub fn rollout(&self, version: Version) -> Value {
        let mut container = json!({
            "name": "backend",
            "image": format!("sluice/backend:{}", version.name),
            "ports": [{ "name": "http", "containerPort": 5678 }],
            "env": [
                { "name": "VERSION", "value": version.name },
                { "name": "ERROR_RATE", "value": version.error_rate },
            ],
            "readinessProbe": { "httpGet": { "path": "/healthz", "port": "http" }, "periodSeconds": 1 },
        });
        let mut annotations = json!({ "prometheus.io/scrape": "true", "prometheus.io/port": "5678" });
        match self.end {
            End::AfterEndpoints => annotations["box.sluice.dev/end-after-endpoints"] = "1s".into(),
            End::PreStop(seconds) => {
                container["lifecycle"] = json!({ "preStop": { "sleep": { "seconds": seconds } } });
            }
        }
        let mut rollout = json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "metadata": { "name": "shop" },
            "spec": {
                "replicas": self.replicas,
                "selector": { "matchLabels": { "app": "shop" } },
                "template": {
                    "metadata": { "labels": { "app": "shop" }, "annotations": annotations },
                    "spec": { "containers": [container] },
                },
                "strategy": self.strategy,
            },
        });
        for (field, value) in self.further.as_object().into_iter().flatten() {
            rollout["spec"][field] = value.clone();
        }
        rollout
    }

    /// Applies everything but the Rollout.
    pub async fn surroundings(&self, plane: &Plane) -> Result<()> {
        plane.namespace(&self.space).await?;
        let yaml = [self.services(), self.route(), template(&self.space)].concat();
        plane.client.apply(&self.space, &yaml).await?;
        Ok(())
    }

    /// The two Services as YAML.
    pub fn services(&self) -> String {
        let service = |name: &str| {
            format!(
                "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: shop}}, ports: [{{port: 80, targetPort: 5678}}]}}\n---\n"
            )
        };
        [service("shop-stable"), service("shop-canary")].concat()
    }

    /// The HTTPRoute as YAML.
    pub fn route(&self) -> String {
        let backends = match self.strategy.get("canary") {
            Some(_) => "[{name: shop-stable, port: 80, weight: 100}, {name: shop-canary, port: 80, weight: 0}]",
            None => "[{name: shop-stable, port: 80}]",
        };
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: shop}}\nspec:\n  parentRefs: [{{name: box, namespace: default}}]\n  hostnames: [{}]\n  rules: [{{backendRefs: {backends}}}]\n---\n",
            self.host()
        )
    }

    /// Applies the Rollout with a version.
    pub async fn deploy(&self, plane: &Plane, version: Version) -> Result<()> {
        plane
            .client
            .apply(&self.space, &self.rollout(version).to_string())
            .await?;
        Ok(())
    }

    /// The Rollout's typed interface.
    pub fn api(&self, plane: &Plane) -> Api<Rollout> {
        Api::namespaced(plane.client.kube(), &self.space)
    }

    /// Waits until the Rollout's status fulfils `condition` at its present generation.
    pub async fn status(
        &self,
        plane: &Plane,
        what: &str,
        within: Duration,
        condition: impl Fn(&RolloutStatus) -> bool,
    ) -> Result<RolloutStatus> {
        let is = |rollout: Option<&Rollout>| {
            let Some(rollout) = rollout else { return false };
            let generation = rollout.metadata.generation.map(|generation| generation.to_string());
            rollout
                .status
                .as_ref()
                .is_some_and(|status| status.observed_generation == generation && condition(status))
        };
        let rollout = plane
            .client
            .wait_for(&self.api(plane), "shop", what, within, is)
            .await?;
        rollout
            .and_then(|rollout| rollout.status)
            .context("a Rollout with a status")
    }

    /// Waits until the Rollout is Healthy.
    pub async fn healthy(&self, plane: &Plane, within: Duration) -> Result<RolloutStatus> {
        self.status(plane, "Healthy", within, |status| phase(status) == "Healthy")
            .await
    }

    /// Patches the Rollout's status, as the kubectl plugins do.
    pub async fn command(&self, plane: &Plane, status: Value) -> Result<()> {
        let patch = kube::api::Patch::Merge(json!({ "status": status }));
        self.api(plane)
            .patch_status("shop", &kube::api::PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    /// Promotes past the present pause, as the kubectl plugins do.
    pub async fn promote(&self, plane: &Plane) -> Result<()> {
        self.command(plane, json!({ "pauseConditions": null })).await
    }

    /// Every version of the Rollout from now on.
    pub async fn history(&self, plane: &Plane) -> Result<History> {
        History::start(plane, "argoproj.io/v1alpha1", "Rollout", &self.space, "shop").await
    }

    /// Sends so many requests per second, and returns when the last 200 were all answered well by one version.
    pub async fn load(&self, rate: u32, version: &str, within: Duration) -> Result<Load> {
        let load = Load::start(LoadConfig::new(&self.host(), rate))?;
        let mark = Instant::now();
        wait_until(&format!("all traffic on {version}"), within, || async {
            let traffic = load.so_far().after(mark);
            let recent: Vec<_> = traffic.records().iter().rev().take(200).collect();
            let all = recent
                .iter()
                .all(|record| record.version.as_deref() == Some(version) && !record.outcome.is_failure());
            Ok((recent.len() == 200 && all).then_some(()))
        })
        .await?;
        Ok(load)
    }

    /// Waits until Traefik has these weights in force, which is the exact acknowledgement that users' clusters do not have.
    pub async fn in_force(&self, plane: &Plane, canary: u64, within: Duration) -> Result<()> {
        let what = format!("{canary} % in Traefik");
        wait_until(&what, within, || async {
            let weights = plane.traefik_weights(&self.space, "shop").await?;
            let total: u64 = weights.values().sum();
            let share = weights.get("shop-canary").copied().unwrap_or(0) * 100;
            Ok((total > 0 && share == canary * total).then_some(()))
        })
        .await
    }

    /// Waits until none of its ReplicaSets has pods but that of the present revision.
    pub async fn only_present(&self, plane: &Plane, within: Duration) -> Result<()> {
        let api: Api<k8s_openapi::api::apps::v1::ReplicaSet> = Api::namespaced(plane.client.kube(), &self.space);
        wait_until("the old ReplicaSet's end", within, || async {
            let status = self.api(plane).get_status("shop").await?.status.unwrap_or_default();
            let present = status.current_pod_hash.unwrap_or_default();
            let sets = api.list(&kube::api::ListParams::default()).await?;
            let others = sets.items.iter().filter(|set| {
                let labels = set.metadata.labels.as_ref();
                let mut owners = set.metadata.owner_references.iter().flatten();
                owners.any(|owner| owner.name == "shop")
                    && labels.and_then(|labels| labels.get("rollouts-pod-template-hash")) != Some(&present)
            });
            let left: i32 = others
                .map(|set| set.status.as_ref().map_or(0, |status| status.replicas))
                .sum();
            Ok((left == 0).then_some(()))
        })
        .await
    }
}

/// Has the controller of a namespace do what few Rollouts ask for, so that it uses the rights for that: it takes a Deployment
/// over, changes the labels of live pods, and restarts them.
pub async fn use_rare_rights(plane: &Plane, space: &str) -> Result<()> {
    let within = Duration::from_mins(2);
    let labels = json!({ "app": "moved" });
    let container = json!({
        "name": "backend", "image": "sluice/backend:v1", "ports": [{ "containerPort": 5678 }],
        "env": [{ "name": "VERSION", "value": "v1" }],
    });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "moved" },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } },
        },
    });
    let workload = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "moved", "scaleDown": "onsuccess" });
    let rollout = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": { "name": "moved" },
        "spec": { "replicas": 1, "workloadRef": workload, "strategy": { "canary": {} } },
    });
    for object in [deployment, rollout] {
        plane.client.apply(space, &object.to_string()).await?;
    }
    let api: Api<Rollout> = Api::namespaced(plane.client.kube(), space);
    wait_until("the end of the Deployment's pods", within, || async {
        let deployment = plane.client.read("apps/v1", "Deployment", space, "moved").await?;
        Ok((deployment["spec"]["replicas"] == 0).then_some(()))
    })
    .await?;
    let at = sluice_crds::Time::from(jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2));
    let metadata = json!({ "labels": { "role": "stable" } });
    let patch = json!({ "spec": { "restartAt": at, "strategy": { "canary": { "stableMetadata": metadata } } } });
    let patch = kube::api::Patch::Merge(patch);
    api.patch("moved", &kube::api::PatchParams::default(), &patch).await?;
    let is_done = |rollout: Option<&Rollout>| {
        let status = rollout.and_then(|rollout| rollout.status.as_ref());
        status.is_some_and(|status| status.restarted_at.as_ref() == Some(&at) && phase(status) == "Healthy")
    };
    plane
        .client
        .wait_for(&api, "moved", "the end of the restart", within, is_done)
        .await?;
    api.delete("moved", &kube::api::DeleteParams::default()).await?;
    plane.client.delete("apps/v1", "Deployment", space, "moved").await
}

/// The phase as text.
pub fn phase(status: &RolloutStatus) -> String {
    status.phase.as_ref().map(ToString::to_string).unwrap_or_default()
}

/// Fails when a version answers more than 2 % of its requests with an error.
fn template(space: &str) -> String {
    let series = format!("http_requests_total{{namespace=\"{space}\",rollouts_pod_template_hash=\"{{{{args.hash}}}}\"");
    format!(
        r#"apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {{name: errors}}
spec:
  args: [{{name: hash}}]
  metrics:
  - name: error-rate
    initialDelay: 6s
    interval: 2s
    count: 8
    failureLimit: 1
    successCondition: result[0] < 0.02
    provider:
      prometheus:
        address: http://127.0.0.1:9090
        query: |
          (sum(rate({series},code=~"5.."}}[10s])) or vector(0))
          / sum(rate({series}}}[10s]))
"#
    )
}

/// The analysis step of [`Shop::canary`].
pub fn analysis() -> Value {
    json!({ "analysis": {
        "templates": [{ "templateName": "errors" }],
        "args": [{ "name": "hash", "valueFrom": { "podTemplateHashValue": "Latest" } }],
    } })
}

/// Fails unless `value` is between the two.
pub fn within(what: &str, value: f64, least: f64, most: f64) -> Result<()> {
    ensure!(
        (least..=most).contains(&value),
        "{what} is {value}, not within {least} and {most}"
    );
    Ok(())
}
