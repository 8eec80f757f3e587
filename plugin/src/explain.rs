//! Why a Rollout waits, by the very function that the controller decides with.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};
use sluice_crds::Rollout;
use sluice_machine::routing::Objects;
use sluice_machine::{
    Answer, Answered, Ask, Commit, Effect, Endpoints, Fact, Hold, Memory, Plan, Pod, Why, World, decide, read,
    references, workload,
};
use sluice_traffic::{REVISION_LABEL, routers::service};

use crate::{
    cluster::{CallError, Cluster},
    observe::{Observation, unknown},
    resource::Resource,
    text::whole_seconds,
};

/// More questions in a row than decisions ever have.
const MAX_ROUNDS: usize = 8;

/// What is kept from one look to the next.
#[derive(Clone, Debug, Default)]
pub struct Recollection {
    memory: Option<Memory>,
    /// What the API server makes of pod templates. A template is part of the question, so that the answer stays right.
    defaults: BTreeMap<Ask, Answered>,
}

/// Decides at `now` as the controller would, and answers what it asks from the API. At the first look, changes are taken to have
/// been acknowledged when they were written; later looks see for themselves.
///
/// Assumption: the controller has its default settings.
pub async fn explain(
    cluster: &Cluster,
    observation: &mut Observation,
    recollection: &mut Recollection,
    now: Timestamp,
) -> Plan {
    let known = recollection.memory.take();
    let first = known.is_none();
    observation.world.memory = known.unwrap_or_default();
    observation.world.answers = std::mem::take(&mut recollection.defaults);
    let mut plan = answered(cluster, observation, now).await;
    if first {
        // When somebody first looks, everything that is acknowledged was first seen so now, and would seem to drain now.
        let writes = last_writes(&observation.world);
        for (object, (_, at)) in &mut plan.memory.acknowledged {
            let written = writes.get(&(object.kind.clone(), object.name.clone()));
            *at = written.copied().unwrap_or(Timestamp::UNIX_EPOCH).min(now);
        }
        observation.world.memory = plan.memory.clone();
        plan = answered(cluster, observation, now).await;
    }
    let lasts = |answered: &Answered| {
        matches!(
            answered.answer,
            Answer::Defaults(Fact::Known(_) | Fact::Unknown(Why::Refused(_)))
        )
    };
    let lasting = observation.world.answers.iter().filter(|(_, answered)| lasts(answered));
    recollection.defaults = lasting.map(|(ask, answered)| (ask.clone(), answered.clone())).collect();
    recollection.memory = Some(plan.memory.clone());
    plan
}

async fn answered(cluster: &Cluster, observation: &mut Observation, now: Timestamp) -> Plan {
    let mut plan = decide(now, &observation.world);
    for _ in 0..MAX_ROUNDS {
        if plan.asks.is_empty() {
            break;
        }
        for ask in std::mem::take(&mut plan.asks) {
            let answer = match &ask {
                Ask::Defaults { .. } => Answer::Defaults(defaults(cluster, &observation.world).await),
                Ask::Endpoints { service, .. } => Answer::Endpoints(endpoints(cluster, observation, service).await),
                Ask::Pods { replica_set, .. } => Answer::Pods(pods(cluster, &observation.world, replica_set).await),
            };
            observation.world.answers.insert(ask, Answered { at: now, answer });
        }
        plan = decide(now, &observation.world);
    }
    plan
}

/// When the routes and Services were last written by the controller.
fn last_writes(world: &World) -> BTreeMap<(String, String), Timestamp> {
    let mut writes = BTreeMap::new();
    let namespace = world.rollout.metadata.namespace.as_deref().unwrap_or_default();
    for router in references::routers(&world.rollout) {
        let object = router.object(namespace);
        let objects = Objects::read(world, &router).ok();
        let pair = references::pair(&world.rollout);
        let observed = objects.and_then(|objects| router.observe(objects.seen(), pair).ok());
        if let Some(moving) = observed.and_then(|observed| observed.moving) {
            writes.insert((object.kind, object.name), moving.at);
        }
    }
    for (name, value) in &world.services {
        if let Some(moving) = value.known().and_then(|value| service::observe(value).moving) {
            writes.insert(("Service".to_owned(), name.clone()), moving.at);
        }
    }
    writes
}

/// The pod template with the API server's defaults, by a create that stores nothing. The controller asks in the same way.
async fn defaults(cluster: &Cluster, world: &World) -> Fact<Value> {
    let rollout = &world.rollout;
    let template = workload::template(world).cloned().unwrap_or(Value::Null);
    let labels = template
        .pointer("/metadata/labels")
        .cloned()
        .unwrap_or_else(|| json!({}));
    let object = json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": { "generateName": "sluice-defaults-" },
        "spec": { "replicas": 0, "selector": { "matchLabels": labels }, "template": template },
    });
    let namespace = rollout.metadata.namespace.as_deref().unwrap_or(&cluster.namespace);
    match cluster
        .create(&Resource::replica_sets(), namespace, &object, true)
        .await
    {
        Ok(mut created) => match created.pointer_mut("/spec/template").map(Value::take) {
            Some(template) => Fact::Known(template),
            None => Fact::Unknown(Why::Failed(
                "the API server returned a ReplicaSet without a template".to_owned(),
            )),
        },
        Err(CallError::Refused { code, message, .. }) if (400..500).contains(&code) && code != 429 => {
            Fact::Unknown(Why::Refused(message))
        }
        Err(error) => unknown(&error),
    }
}

/// The ready endpoints of a Service by revision. Endpoints without a pod, or of a pod without revision, have the empty one.
async fn endpoints(cluster: &Cluster, observation: &Observation, service: &str) -> Fact<Endpoints> {
    let labels = format!("kubernetes.io/service-name={service}");
    let slices = match cluster
        .list(&Resource::endpoint_slices(), &cluster.namespace, &labels)
        .await
    {
        Ok(slices) if slices.is_empty() => return Fact::Absent,
        Ok(slices) => slices,
        Err(error) => return unknown(&error),
    };
    let pods = match &observation.pods {
        Fact::Known(pods) => pods,
        Fact::Absent => return Fact::Absent,
        Fact::Unknown(why) => return Fact::Unknown(why.clone()),
    };
    let mut endpoints = Endpoints::default();
    let mut counted = BTreeSet::new();
    let list = slices
        .iter()
        .filter_map(|slice| slice.get("endpoints")?.as_array())
        .flatten();
    for endpoint in list.filter(|endpoint| is_ready(endpoint)) {
        let text = |pointer: &str| endpoint.pointer(pointer).and_then(Value::as_str);
        let target = text("/targetRef/name")
            .or_else(|| text("/addresses/0"))
            .unwrap_or_default();
        // One pod stands in a slice for each address family.
        if !counted.insert(target) {
            continue;
        }
        let pod = pods.get(target);
        *endpoints
            .ready
            .entry(pod.map(|pod| pod.revision.clone()).unwrap_or_default())
            .or_default() += 1;
    }
    Fact::Known(endpoints)
}

/// The pods of a ReplicaSet.
async fn pods(cluster: &Cluster, world: &World, replica_set: &str) -> Fact<Vec<Pod>> {
    let Some(set) = world.replica_sets.known().and_then(|sets| sets.get(replica_set)) else {
        return Fact::Absent;
    };
    let labels = format!("{REVISION_LABEL}={}", set.hash);
    match cluster.list(&Resource::pods(), &cluster.namespace, &labels).await {
        Ok(pods) => Fact::Known(read::pods(&pods, set)),
        Err(error) => unknown(&error),
    }
}

/// By the API, an endpoint whose readiness is not told is ready.
fn is_ready(endpoint: &Value) -> bool {
    let condition = |name: &str| {
        endpoint
            .pointer(&format!("/conditions/{name}"))
            .and_then(Value::as_bool)
    };
    condition("ready").unwrap_or(true) && condition("terminating") != Some(true)
}

/// Something that happens by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// What will be reported.
    pub events: Vec<String>,
    /// What will be done.
    pub effects: Vec<String>,
    /// What it waits for then.
    pub waits: Option<String>,
}

/// As far ahead as anything is certain: with the first effect the rest depends on what comes of it.
const MOMENTS: usize = 3;

/// What happens after a plan if no other object changes: the machine is asked about the times at which it wants to look again. What
/// it asks then is answered with what is so now. An effect changes objects, and ends the foresight.
pub async fn foresee(cluster: &Cluster, observation: &Observation, plan: &Plan) -> Vec<Moment> {
    let (mut observation, mut plan) = (observation.clone(), plan.clone());
    let mut moments: Vec<Moment> = Vec::new();
    while plan.effects.is_empty() && moments.len() < MOMENTS {
        let Some(at) = plan.wake_at else { break };
        let rollout = &mut observation.world.rollout;
        if let Some(committed) = plan.commit.as_ref().map(|commit| after(rollout, commit)) {
            let Some(committed) = committed else { break };
            *rollout = committed;
        }
        let before = plan.hold.as_ref().map(waits);
        observation.world.memory = plan.memory;
        plan = answered(cluster, &mut observation, at).await;
        if !plan.asks.is_empty() || plan.wake_at.is_some_and(|next| next <= at) {
            break;
        }
        let waits = plan.hold.as_ref().map(waits);
        moments.push(Moment {
            at,
            events: plan.events.iter().map(|event| event.message.clone()).collect(),
            effects: next(&plan),
            waits: waits.filter(|waits| before.as_ref() != Some(waits)),
        });
    }
    moments
}

/// The Rollout as a commit leaves it; `None` where that cannot be read.
fn after(rollout: &Rollout, commit: &Commit) -> Option<Rollout> {
    let mut object = serde_json::to_value(rollout).ok()?;
    for patch in [&commit.object, &commit.status].into_iter().flatten() {
        sluice_machine::json::merge(&mut object, patch);
    }
    serde_json::from_value(object).ok()
}

/// What a person can do about a hold, where it is not simply a matter of time.
pub fn advice(hold: &Hold, name: &str) -> Option<String> {
    let text = match hold {
        Hold::Paused { .. } | Hold::AwaitingPromotion => {
            format!("go on with `kubectl sluice promote {name}`, or take it back with `kubectl sluice abort {name}`")
        }
        Hold::PausedByUser => {
            format!("go on with `kubectl sluice promote {name}`, which also sets spec.paused to false")
        }
        Hold::Aborted => format!("try again with `kubectl sluice retry {name}`, or change the pod template"),
        Hold::InvalidSpec { .. } | Hold::Missing { .. } => {
            "mend the manifests (`kubectl sluice lint` finds all problems) and apply them".to_owned()
        }
        Hold::IncumbentAlive { .. } => "stop the other controller: two would work against each other".to_owned(),
        Hold::Unknown { .. } => {
            "look at the cluster and the rights of the controller with `kubectl sluice check`".to_owned()
        }
        Hold::NewNotAvailable { replica_set, .. } | Hold::StableNotAvailable { replica_set, .. } => {
            format!("see why pods are not available: `kubectl describe replicaset {replica_set}` and its pods")
        }
        Hold::NotAcknowledged { object, .. } => {
            format!("see whether the data plane works: the status of {object}, and the controller of its gateway")
        }
        Hold::RouteProblem { .. } => "mend the route".to_owned(),
        Hold::ForeignWriter { object, .. } => {
            format!("keep the other writer from {object}, for example by ignoring its weights in the GitOps tool")
        }
        Hold::AnalysisRunning { run, .. } => {
            format!("look at its measurements with `kubectl get analysisrun {run} -o yaml`")
        }
        Hold::Restarting { .. } => {
            "see what keeps pods from being evicted: `kubectl get poddisruptionbudgets`, and pods that are not ready"
                .to_owned()
        }
        Hold::Deleting
        | Hold::OldNotDown { .. }
        | Hold::Draining { .. }
        | Hold::ScaleDownDelay { .. }
        | Hold::Refused { .. } => return None,
    };
    Some(text)
}

/// Why it waits, in words, with times in whole seconds.
pub fn waits(hold: &Hold) -> String {
    whole_seconds(&hold.to_string())
}

/// What the controller would do now, one line each.
pub fn next(plan: &Plan) -> Vec<String> {
    plan.effects.iter().map(effect).collect()
}

fn effect(effect: &Effect) -> String {
    match effect {
        Effect::CreateReplicaSet { name, object } => {
            let replicas = object.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(0);
            format!("create ReplicaSet {name} with {replicas} pods")
        }
        Effect::PatchReplicaSet {
            name,
            replicas: Some((from, to)),
            ..
        } => {
            format!("scale ReplicaSet {name} from {from} to {to} pods")
        }
        Effect::PatchReplicaSet {
            name, replicas: None, ..
        } => format!("annotate ReplicaSet {name}"),
        Effect::DeleteReplicaSet { name, .. } => format!("delete ReplicaSet {name}"),
        Effect::SwitchService { name, revision, .. } => format!("make Service {name} select revision {revision}"),
        Effect::SetManagedRoutes { route, names, .. } if names.is_empty() => {
            format!("take the header and mirror routes off {route}")
        }
        Effect::SetManagedRoutes { route, names, .. } => format!("put the routes {} on {route}", names.join(", ")),
        Effect::SwitchSubset {
            object,
            subset,
            revision,
            ..
        } => format!("make the subset {subset} of {object} select revision {revision}"),
        Effect::CreateRoute { route, .. } => format!("create {route}"),
        Effect::ReleaseService { name, .. } => format!("give Service {name} back"),
        Effect::ReleaseRoute { route, .. } => format!("give {route} back"),
        Effect::DeleteRoute { route, .. } => format!("delete {route}"),
        Effect::SetSplit { route, split, .. } => {
            let parts = split
                .parts
                .iter()
                .map(|(dest, weight)| format!("{} {weight}", dest.service));
            format!("set {route} to {}", parts.collect::<Vec<_>>().join(" / "))
        }
        Effect::CreateRun { name, .. } => format!("start AnalysisRun {name}"),
        Effect::TerminateRun { name, .. } => format!("end AnalysisRun {name}"),
        Effect::DeleteRun { name, .. } => format!("delete AnalysisRun {name}"),
        Effect::ScaleWorkload {
            object,
            replicas: (from, to),
            ..
        } => format!("scale {object} from {from} to {to} pods"),
        Effect::EvictPod { name, .. } => format!("evict Pod {name}"),
        Effect::PatchPod { name, .. } => format!("label Pod {name}"),
    }
}
