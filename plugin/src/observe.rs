//! Reads everything that a Rollout's state consists of, as the controller would, and what people want to see beside it.

use std::collections::BTreeMap;

use futures::{
    StreamExt,
    future::{join, join_all},
    stream,
};
use jiff::Timestamp;
use serde_json::Value;
use sluice_crds::{AnalysisRun, AnalysisTemplateSpec, Rollout, names};
use sluice_machine::{Fact, Memory, Settings, Template, TemplateRef, Why, World, read, references};
use sluice_traffic::{ObjectRef, REVISION_LABEL};

use crate::{
    cluster::{CallError, Cluster},
    resource::Resource,
    text,
};

/// So many objects are read at the same time.
const AT_ONCE: usize = 8;
/// Namespace in which Argo's own manifests install its controller.
pub const ARGO_NAMESPACE: &str = "argo-rollouts";

/// A Rollout and all that belongs to it at one moment.
#[derive(Clone, Debug)]
pub struct Observation {
    /// What decisions are made from.
    pub world: World,
    /// The AnalysisRuns of the Rollout with their results, by name.
    pub runs: BTreeMap<String, AnalysisRun>,
    /// The pods of the namespace that have a revision, by name.
    pub pods: Fact<BTreeMap<String, Pod>>,
}

/// A pod, as far as people want to see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// Name.
    pub name: String,
    /// uid.
    pub uid: String,
    /// uid of the ReplicaSet.
    pub owner: String,
    /// The revision that it runs.
    pub revision: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// One word, as kubectl shows it: Running, Pending, CrashLoopBackOff ...
    pub status: String,
    /// Containers that are ready.
    pub ready: usize,
    /// Containers.
    pub containers: usize,
    /// How often containers were restarted.
    pub restarts: i64,
}

/// Reads a Rollout and what belongs to it.
pub async fn observe(cluster: &Cluster, name: &str) -> Result<Observation, CallError> {
    let namespace = cluster.namespace.as_str();
    let object = cluster.get(&Resource::rollouts(), namespace, name).await?;
    let rollout = decode(object)?;
    let named = references::references(&rollout);
    let kinds = (Resource::replica_sets(), Resource::analysis_runs(), Resource::pods());
    let (sets, runs, pods) = futures::join!(
        cluster.list(&kinds.0, namespace, REVISION_LABEL),
        cluster.list(&kinds.1, namespace, ""),
        cluster.list(&kinds.2, namespace, REVISION_LABEL),
    );
    let (services, objects) = join(
        join_all(named.services.iter().map(|name| service(cluster, name))),
        join_all(named.objects.iter().map(|object| named_object(cluster, object))),
    )
    .await;
    let (templates, extensions, incumbent) = futures::join!(
        templates(cluster, named.templates.iter().cloned().collect()),
        extensions(cluster),
        incumbent(cluster, &rollout),
    );
    let details = runs.as_deref().unwrap_or_default().iter();
    let details = details.filter(|value| read::run(value, &rollout).is_some()).cloned();
    let details = details.filter_map(|value| serde_json::from_value::<AnalysisRun>(value).ok());
    let named_run = |run: AnalysisRun| Some((run.metadata.name.clone()?, run));
    let instance_id = rollout
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(names::label::INSTANCE_ID))
        .cloned();
    Ok(Observation {
        runs: details.filter_map(named_run).collect(),
        pods: keyed(pods, |value| pod(value).map(|pod| (pod.name.clone(), pod))),
        world: World {
            replica_sets: keyed(sets, |value| {
                read::replica_set(value, &rollout).map(|set| (set.name.clone(), set))
            }),
            runs: keyed(runs, |value| {
                read::run(value, &rollout).map(|run| (run.name.clone(), run))
            }),
            services: services.into_iter().collect(),
            objects: objects.into_iter().collect(),
            templates,
            answers: BTreeMap::new(),
            incumbent,
            settings: Settings {
                instance_id,
                extensions,
                ..Settings::default()
            },
            memory: Memory::default(),
            rollout,
        },
    })
}

/// Reads a Rollout as typed object.
pub fn decode(object: Value) -> Result<Rollout, CallError> {
    let name = object
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let what = format!("rollout '{name}'");
    serde_json::from_value(object).map_err(|error| CallError::Undecodable {
        what,
        message: error.to_string(),
    })
}

/// Says more about a Rollout that is not there: names that look like it, or the namespace that it is in.
pub async fn not_found(cluster: &Cluster, name: &str) -> anyhow::Error {
    let namespace = cluster.namespace.as_str();
    let text = format!("there is no rollout '{name}' in namespace '{namespace}'");
    let here = cluster
        .list(&Resource::rollouts(), namespace, "")
        .await
        .unwrap_or_default();
    let here: Vec<&str> = here.iter().filter_map(|object| metadata(object, "name")).collect();
    let alike = text::similar(name, here.iter().copied());
    if !alike.is_empty() {
        return anyhow::anyhow!("{text}; did you mean {}?", quoted(&alike));
    }
    let everywhere = cluster.list(&Resource::rollouts(), "", "").await.unwrap_or_default();
    let same = everywhere
        .iter()
        .filter(|object| metadata(object, "name") == Some(name));
    let places: Vec<String> = same
        .filter_map(|object| metadata(object, "namespace"))
        .map(str::to_owned)
        .collect();
    if places.is_empty() {
        let all = if here.is_empty() {
            "; there is none at all".to_owned()
        } else {
            String::new()
        };
        anyhow::anyhow!("{text}{all}")
    } else {
        anyhow::anyhow!("{text}; there is one in namespace {}", quoted(&places))
    }
}

/// The error of a call about a Rollout.
pub async fn failed(cluster: &Cluster, name: &str, error: CallError) -> anyhow::Error {
    match error {
        CallError::NotFound { .. } => not_found(cluster, name).await,
        other => other.into(),
    }
}

fn quoted(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("'{name}'"))
        .collect::<Vec<_>>()
        .join(" or ")
}

/// A text field of the metadata.
pub fn metadata<'v>(object: &'v Value, field: &str) -> Option<&'v str> {
    object.pointer(&format!("/metadata/{field}"))?.as_str()
}

/// The list that was read as a map of what is ours in it.
fn keyed<T>(
    list: Result<Vec<Value>, CallError>,
    entry: impl Fn(&Value) -> Option<(String, T)>,
) -> Fact<BTreeMap<String, T>> {
    match list {
        Ok(list) => Fact::Known(list.iter().filter_map(entry).collect()),
        Err(error) => unknown(&error),
    }
}

/// What a failed read says about an object.
fn fact<T>(read: Result<T, CallError>) -> Fact<T> {
    match read {
        Ok(value) => Fact::Known(value),
        Err(CallError::NotFound { .. }) => Fact::Absent,
        Err(error) => unknown(&error),
    }
}

/// `Why::Forbidden` would be shown as a right that the controller misses. What is missing here is a right of the user.
pub fn unknown<T>(error: &CallError) -> Fact<T> {
    Fact::Unknown(match error {
        CallError::NotInstalled { .. } => Why::NotInstalled,
        other => Why::Failed(other.to_string()),
    })
}

async fn service(cluster: &Cluster, name: &str) -> (String, Fact<Value>) {
    let read = cluster.get(&Resource::services(), &cluster.namespace, name).await;
    (name.to_owned(), fact(read))
}

async fn named_object(cluster: &Cluster, object: &ObjectRef) -> (ObjectRef, Fact<Value>) {
    let read = cluster
        .get(&Resource::of(object), &object.namespace, &object.name)
        .await;
    (object.clone(), fact(read))
}

/// The templates, and those that they name in turn.
async fn templates(cluster: &Cluster, mut open: Vec<TemplateRef>) -> BTreeMap<TemplateRef, Fact<Template>> {
    let mut known: BTreeMap<TemplateRef, Fact<Template>> = BTreeMap::new();
    while !open.is_empty() {
        open.sort();
        open.dedup();
        let reads = stream::iter(std::mem::take(&mut open)).map(|template| template_of(cluster, template));
        let reads: Vec<_> = reads.buffered(AT_ONCE).collect().await;
        for (template, fact) in reads {
            let nested = fact.known().and_then(|spec| spec.templates.as_ref());
            open.extend(nested.into_iter().flatten().filter_map(references::template));
            known.insert(template, fact);
        }
        open.retain(|template| !known.contains_key(template));
    }
    known
}

async fn template_of(cluster: &Cluster, template: TemplateRef) -> (TemplateRef, Fact<Template>) {
    let (resource, namespace) = if template.cluster_scope {
        (Resource::cluster_templates(), "")
    } else {
        (Resource::templates(), cluster.namespace.as_str())
    };
    let read = cluster.get(&resource, namespace, &template.name).await;
    let fact = match fact(read) {
        Fact::Known(mut object) => match serde_json::from_value::<AnalysisTemplateSpec>(object["spec"].take()) {
            Ok(spec) => Fact::Known(spec.into()),
            Err(error) => Fact::Unknown(Why::Undecodable(error.to_string())),
        },
        Fact::Absent => Fact::Absent,
        Fact::Unknown(why) => Fact::Unknown(why),
    };
    (template, fact)
}

/// Whether our own CRDs are installed. Whoever may not read them is taken to use them.
async fn extensions(cluster: &Cluster) -> bool {
    match cluster.get(&Resource::definitions(), "", "rollouts.argoproj.io").await {
        Ok(definition) => has_extensions(&definition),
        Err(_) => true,
    }
}

/// Whether a CRD has the fields that Sluice adds.
pub fn has_extensions(definition: &Value) -> bool {
    let marker = definition
        .pointer("/metadata/annotations")
        .and_then(|all| all.get(names::annotation::EXTENSIONS));
    marker.and_then(Value::as_str) == Some(names::annotation::EXTENSIONS_V1)
}

/// The live leader of Argo's own controller, where its Lease can be read and is where Argo's manifests put it.
async fn incumbent(cluster: &Cluster, rollout: &Rollout) -> Option<String> {
    let id = rollout
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(names::label::INSTANCE_ID));
    let name = id.map_or_else(
        || names::ARGO_LEASE.to_owned(),
        |id| format!("{}-{id}", names::ARGO_LEASE),
    );
    let lease = cluster.get(&Resource::leases(), ARGO_NAMESPACE, &name).await.ok()?;
    lease_holder(&lease, Timestamp::now())
}

/// Who holds a Lease, as far as a clock here can tell.
pub fn lease_holder(lease: &Value, now: Timestamp) -> Option<String> {
    let spec = lease.get("spec")?;
    let holder = spec
        .get("holderIdentity")?
        .as_str()
        .filter(|holder| !holder.is_empty())?;
    let renewed: Timestamp = spec.get("renewTime")?.as_str()?.parse().ok()?;
    let seconds = spec.get("leaseDurationSeconds").and_then(Value::as_i64).unwrap_or(0);
    let expires = renewed.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()?;
    (now < expires).then(|| holder.to_owned())
}

/// Reads a pod that has a revision.
pub fn pod(object: &Value) -> Option<Pod> {
    let statuses = object.pointer("/status/containerStatuses").and_then(Value::as_array);
    let statuses = || statuses.into_iter().flatten();
    let ready = |status: &&Value| status.get("ready").and_then(Value::as_bool) == Some(true);
    let containers = object
        .pointer("/spec/containers")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    let labels = object.pointer("/metadata/labels")?;
    Some(Pod {
        name: metadata(object, "name")?.to_owned(),
        uid: metadata(object, "uid")?.to_owned(),
        owner: read::controller_uid(object.get("metadata")?)
            .unwrap_or_default()
            .to_owned(),
        revision: labels.get(REVISION_LABEL)?.as_str()?.to_owned(),
        created_at: metadata(object, "creationTimestamp")?.parse().ok()?,
        status: pod_status(object),
        ready: statuses().filter(ready).count(),
        containers,
        restarts: statuses()
            .filter_map(|status| status.get("restartCount")?.as_i64())
            .sum(),
    })
}

/// The word that says most: why it goes, why a container does not run, else the phase.
fn pod_status(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    if metadata(object, "deletionTimestamp").is_some() {
        return "Terminating".to_owned();
    }
    let lists = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let statuses = lists
        .iter()
        .filter_map(|list| object.pointer(list)?.as_array())
        .flatten();
    let mut waiting = statuses.filter_map(|status| status.pointer("/state/waiting/reason")?.as_str());
    let waiting = waiting.find(|reason| !matches!(*reason, "PodInitializing" | "ContainerCreating"));
    let reason = waiting.map(str::to_owned).or_else(|| text("/status/reason"));
    reason
        .or_else(|| text("/status/phase"))
        .unwrap_or_else(|| "Unknown".to_owned())
}

/// Reads every Rollout of a namespace (empty: of all); those that cannot be decoded are left out and counted.
pub async fn rollouts(cluster: &Cluster, namespace: &str) -> Result<(Vec<Rollout>, Vec<CallError>), CallError> {
    let objects = cluster.list(&Resource::rollouts(), namespace, "").await?;
    let (good, bad): (Vec<_>, Vec<_>) = objects.into_iter().map(decode).partition(Result::is_ok);
    let rollouts = good.into_iter().filter_map(Result::ok).collect();
    Ok((rollouts, bad.into_iter().filter_map(Result::err).collect()))
}
