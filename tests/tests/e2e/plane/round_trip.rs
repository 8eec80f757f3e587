//! What our CRDs admit goes through the real API server and our types without losing a field.
//!
//! The objects come from the generator of the offline tests of `crds`, chosen so that every field of every schema comes up.
//! The API server is the judge twice: it must store every field that was sent (nothing refused, nothing pruned), and writing
//! back what our types have read must not be a change to it, so that it does not even count a new resourceVersion.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{DynamicObject, PostParams};
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use sluice_crds::{AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate, Experiment, Rollout};
use sluice_tests::Plane;
use support::generate::{Random, value};
use support::{KINDS, differences, paths, paths_in, schema};

#[path = "../../../../crds/tests/api/support/mod.rs"]
#[allow(dead_code, reason = "the offline tests use more of it")]
mod support;

const SPACE: &str = "round-trip";
const GROUP: &str = "argoproj.io/v1alpha1";
/// Objects of each kind; more where that many do not reach every field.
const OBJECTS: usize = 80;
/// Far more than it takes to reach every field.
const SEEDS: u64 = 20_000;
/// Requests at the same time.
const AT_ONCE: usize = 16;

/// What the API server makes the scale subresource of: it refuses negative numbers there, whatever the schema says. No
/// other kind has these fields.
const SCALED: [&str; 2] = ["/spec/replicas", "/status/HPAReplicas"];

/// See the module.
pub async fn what_the_crds_admit_is_stored_read_and_written_back_without_loss(plane: Arc<Plane>) -> Result<()> {
    plane.namespace(SPACE).await?;
    for kind in KINDS {
        let objects = objects(kind)?;
        println!("  {kind}: {} objects", objects.len());
        let trips = objects.into_iter().enumerate().map(|(index, fields)| {
            let plane = &plane;
            async move {
                let name = format!("{}-{index}", kind.to_lowercase());
                match kind {
                    "AnalysisRun" => trip::<AnalysisRun>(plane, kind, &name, fields, Api::namespaced).await,
                    "AnalysisTemplate" => trip::<AnalysisTemplate>(plane, kind, &name, fields, Api::namespaced).await,
                    "ClusterAnalysisTemplate" => {
                        trip::<ClusterAnalysisTemplate>(plane, kind, &name, fields, |client, _| Api::all(client)).await
                    }
                    "Experiment" => trip::<Experiment>(plane, kind, &name, fields, Api::namespaced).await,
                    _ => trip::<Rollout>(plane, kind, &name, fields, Api::namespaced).await,
                }
            }
        });
        let () = stream::iter(trips).buffer_unordered(AT_ONCE).try_collect().await?;
    }
    Ok(())
}

/// Objects that the schema admits, as spec and status. Together they have every field of it.
fn objects(kind: &str) -> Result<Vec<Map<String, Value>>> {
    let schema = schema(kind);
    let mut missing = paths(&schema);
    let mut chosen = Vec::new();
    for seed in 0..SEEDS {
        if missing.is_empty() && chosen.len() >= OBJECTS {
            break;
        }
        let object = value(&schema, &mut Random(seed));
        let mut found = BTreeSet::new();
        paths_in(&object, &schema, "", &mut found);
        let reaches_more = missing.iter().any(|path| found.contains(path));
        if reaches_more || chosen.len() < OBJECTS {
            missing.retain(|path| !found.contains(path));
            let Value::Object(fields) = object else { continue };
            chosen.push(fields);
        }
    }
    ensure!(missing.is_empty(), "never generated for {kind}: {missing:?}");
    Ok(chosen)
}

async fn trip<T>(
    plane: &Plane,
    kind: &str,
    name: &str,
    mut fields: Map<String, Value>,
    api: impl FnOnce(kube::Client, &str) -> Api<T>,
) -> Result<()>
where
    T: Resource + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let raw = plane.client.api(GROUP, kind, SPACE).await?;
    fields.values_mut().for_each(as_the_server_counts);
    let mut sent = Value::Object(fields);
    for count in SCALED {
        let negative = |value: &&mut Value| value.as_i64().is_some_and(i64::is_negative);
        if let Some(value) = sent.pointer_mut(count).filter(negative) {
            *value = json!(0);
        }
    }
    let shown = || format!("{kind} {name}: {sent}");
    let mut object = sent.clone();
    object["apiVersion"] = json!(GROUP);
    object["kind"] = json!(kind);
    object["metadata"] = json!({ "name": name });
    let object: DynamicObject = serde_json::from_value(object)?;
    let created = raw.create(&PostParams::default(), &object).await.with_context(shown)?;
    // Only Rollouts have a status of their own, which a create passes over.
    let own_status = kind == "Rollout" && sent.get("status").is_some();
    if own_status {
        let mut with_status = created;
        with_status.data["status"] = sent["status"].clone();
        raw.replace_status(name, &PostParams::default(), &with_status)
            .await
            .with_context(shown)?;
    }
    let stored = serde_json::to_value(raw.get(name).await?)?;
    let mut changed = Vec::new();
    for field in ["spec", "status"] {
        differences(field, &sent[field], &stored[field], &mut changed);
    }
    ensure!(changed.is_empty(), "the API server changed {kind} {name}: {changed:?}");

    let typed = api(plane.client.kube(), SPACE);
    let read = typed.get(name).await.with_context(shown)?;
    let version = read.resource_version();
    let mut written = typed
        .replace(name, &PostParams::default(), &read)
        .await
        .with_context(shown)?;
    if own_status {
        written = typed
            .replace_status(name, &PostParams::default(), &read)
            .await
            .with_context(shown)?;
    }
    let again = serde_json::to_value(raw.get(name).await?)?;
    differences(kind, &stored, &again, &mut changed);
    ensure!(changed.is_empty(), "our types changed {kind} {name}: {changed:?}");
    ensure!(
        written.resource_version() == version,
        "writing back {kind} {name} was a change to the API server"
    );
    Ok(())
}

/// A whole number that does not fit into 64 bits with a sign is a floating-point number to the API server.
fn as_the_server_counts(value: &mut Value) {
    match value {
        Value::Number(number) if number.as_i64().is_none() => *value = json!(number.as_f64()),
        Value::Object(map) => map.values_mut().for_each(as_the_server_counts),
        Value::Array(list) => list.iter_mut().for_each(as_the_server_counts),
        _ => {}
    }
}
