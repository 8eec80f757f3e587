//! Objects that the API server admits and nobody can decode, as another version of the definitions may admit them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use axum::http::StatusCode;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use sluice_tests::shop::phase;
use sluice_tests::{Plane, http, wait_until};

use super::neighbour::{self, Neighbour, compare};
use super::{controller, create, objects};

/// Enough for any one thing on a machine that builds at the same time.
const SOON: Duration = Duration::from_mins(1);

const SPACE: &str = "undecodable";
const API: &str = "argoproj.io/v1alpha1";

/// A definition and the place in its schema that is made to admit anything.
const LOOSENED: [(&str, &str); 3] = [
    (
        "rollouts.argoproj.io",
        "/properties/spec/properties/progressDeadlineSeconds",
    ),
    (
        "analysistemplates.argoproj.io",
        "/properties/spec/properties/metrics/items/properties/interval",
    ),
    ("analysisruns.argoproj.io", "/properties/spec/properties/terminate"),
];

pub async fn objects_that_cannot_be_decoded_are_reported_and_a_neighbour_does_not_notice(
    plane: Arc<Plane>,
) -> Result<()> {
    let mut strict = Vec::new();
    for (name, place) in LOOSENED {
        strict.push(loosen(&plane, name, place).await?);
    }
    let mut neighbour = Neighbour::move_in(&plane, SPACE).await?;
    let controller = controller(&plane, SPACE).await?;
    neighbour.settle(&plane).await?;
    plane.client.apply(SPACE, objects::SURROUNDINGS).await?;
    let undisturbed = neighbour.updates(&plane).await?;
    let mut disturbed = Vec::new();
    for round in 0..neighbour::UPDATES {
        let (time, thrown) = tokio::join!(neighbour.update(&plane), throw(&plane, round));
        disturbed.push(time?);
        thrown?;
    }

    reported(
        &plane,
        "Rollout",
        "unread",
        "spec.progressDeadlineSeconds: invalid type: string \"soon\", expected i32",
    )
    .await?;
    reported(
        &plane,
        "AnalysisRun",
        "unread",
        "spec.terminate: invalid type: string \"maybe\", expected a boolean",
    )
    .await?;
    let metrics = controller.page("/metrics").await?;
    for kind in ["rollouts", "analysisruns"] {
        let line = format!("sluice_undecodable_objects_total{{kind=\"{kind}.argoproj.io\"}} ");
        let count = metrics
            .lines()
            .find_map(|line_found| line_found.strip_prefix(&line))
            .with_context(|| format!("no {line}"))?;
        ensure!(count.parse::<u32>()? >= 1, "{line}{count}");
    }
    let ready = http::get("127.0.0.1:8081", "/readyz").await?;
    ensure!(ready.status == StatusCode::OK.as_u16(), "the controller is not ready");
    compare(&undisturbed, &disturbed)?;

    // Mended, it goes on like any other.
    plane
        .client
        .patch(
            API,
            "Rollout",
            SPACE,
            "unread",
            &json!({ "spec": { "progressDeadlineSeconds": 600 } }),
        )
        .await?;
    let rollouts: Api<sluice_crds::Rollout> = Api::namespaced(plane.client.kube(), SPACE);
    let healthy = |rollout: Option<&sluice_crds::Rollout>| {
        rollout
            .and_then(|rollout| rollout.status.as_ref())
            .is_some_and(|status| phase(status) == "Healthy")
    };
    plane
        .client
        .wait_for(&rollouts, "unread", "Healthy", SOON, healthy)
        .await?;
    controller.stop().await?;
    for definition in strict {
        replace(&plane, definition).await?;
    }
    Ok(())
}

/// Creates the objects, or changes them in later rounds so that they are looked at again.
async fn throw(plane: &Plane, round: usize) -> Result<()> {
    let base = |name, spec| {
        objects::objects(&objects::Row {
            name,
            spec,
            ..objects::ROWS[0]
        })
    };
    if round > 0 {
        let patch = json!({ "metadata": { "annotations": { "round": round.to_string() } } });
        for kind in ["Rollout", "AnalysisTemplate", "AnalysisRun"] {
            plane.client.patch(API, kind, SPACE, "unread", &patch).await?;
        }
        return Ok(());
    }
    let mut rollout = base("unread", "strategy: {canary: {steps: []}}")?.remove(0);
    rollout["spec"]["progressDeadlineSeconds"] = "soon".into();
    let metrics = json!([{ "name": "up", "interval": 5, "provider": { "prometheus": { "query": "up" } } }]);
    let run =
        json!({ "metrics": [{ "name": "up", "provider": { "prometheus": { "query": "up" } } }], "terminate": "maybe" });
    let analysis = "strategy: {canary: {analysis: {templates: [{templateName: unread}]}, steps: []}}";
    let names_it = base("names-it", analysis)?.remove(0);
    let object = |kind: &str, spec: Value| json!({ "apiVersion": API, "kind": kind, "metadata": { "name": "unread" }, "spec": spec });
    for object in [
        rollout,
        object("AnalysisTemplate", json!({ "metrics": metrics })),
        object("AnalysisRun", run),
        names_it,
    ] {
        create(plane, SPACE, &object).await?;
    }
    Ok(())
}

/// Waits for the event about an object.
async fn reported(plane: &Plane, kind: &str, name: &str, says: &str) -> Result<()> {
    let events: Api<Event> = Api::namespaced(plane.client.kube(), SPACE);
    let fields =
        format!("involvedObject.kind={kind},involvedObject.name={name},reason=ReconciliationError,type=Warning");
    wait_until(&format!("an event about {kind} {name}"), SOON, || async {
        let found = events.list(&ListParams::default().fields(&fields)).await?.items;
        let message = found
            .first()
            .and_then(|event| event.message.clone())
            .unwrap_or_default();
        ensure!(
            message.contains(says),
            "{} events, the message is `{message}`",
            found.len()
        );
        Ok(Some(()))
    })
    .await
}

/// Takes the type away from one place of a schema, waits until the API server works by it, and returns what was there.
async fn loosen(plane: &Plane, name: &str, field: &str) -> Result<CustomResourceDefinition> {
    let api: Api<CustomResourceDefinition> = Api::all(plane.client.kube());
    let strict = api.get(name).await?;
    let mut loose = json!(strict);
    let at = format!("/spec/versions/0/schema/openAPIV3Schema{field}");
    *loose
        .pointer_mut(&at)
        .with_context(|| format!("nothing at {at} in {name}"))? =
        json!({ "x-kubernetes-preserve-unknown-fields": true });
    replace(plane, serde_json::from_value(loose)?).await?;
    Ok(strict)
}

/// Writes a definition, and waits until the API server describes the kind by it.
async fn replace(plane: &Plane, definition: CustomResourceDefinition) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(plane.client.kube());
    let name = definition.metadata.name.clone().context("a name")?;
    let patch = json!({ "spec": { "versions": definition.spec.versions } });
    api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    // An object that only one of the two schemas admits tells which is in force.
    let loose = json!(definition.spec.versions)
        .to_string()
        .contains("\"progressDeadlineSeconds\":{\"x-kubernetes");
    if name != LOOSENED[0].0 {
        return Ok(());
    }
    let probe = json!({ "apiVersion": API, "kind": "Rollout", "metadata": { "name": "probe" }, "spec": { "progressDeadlineSeconds": "soon" } });
    wait_until("the definition to be in force", SOON, || async {
        let request = axum::http::Request::post(format!("/apis/{API}/namespaces/default/rollouts?dryRun=All"))
            .header("content-type", "application/json")
            .body(probe.to_string().into_bytes())?;
        let admitted = plane.client.kube().request::<Value>(request).await.is_ok();
        Ok((admitted == loose).then_some(()))
    })
    .await
}
