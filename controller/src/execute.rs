//! Executing: a plan becomes writes, in its order, and the first failure ends it.
//!
//! # Guarantees
//! - Every write carries the resourceVersion or uid that the decision saw, or is a create under a name that only one can have.
//! - Before each irreversible effect the objects that it is about are read again by quorum, and the machine's guards judge
//!   the effect on what was read.
//! - Nothing is sent when our leader Lease may end before the answer, and nothing is sent twice: an answer that does not come,
//!   or that says that the object is another one by now, is noted in the ledger, and the next decision begins with a read.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use http::Request;
use jiff::Timestamp;
use serde_json::{Value, json};
use sluice_crds::Rollout;
use sluice_machine::{Ask, Commit, Effect, Fact, Hold, Plan, World, guards};

use crate::action::{self, Action, How, with_metadata};
use crate::api::{self, CallError, Receipt};
use crate::ask;
use crate::context::Context;
use crate::failpoint::{Moment, WriteKind};
use crate::kinds::Kind;
use crate::ledger::{ObjectId, Wrote};
use crate::metrics::{ErrorLabels, InvariantLabel, KindLabel};
use crate::object::ObjectName;
use crate::observe::{self, Observed};
use crate::publish::Involved;
use crate::queue::Key;
use crate::watch;

/// A write answers in milliseconds, or with admission webhooks in up to some seconds. The lease may shorten this.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// How executing a plan ended.
#[derive(Debug)]
pub enum Outcome {
    /// All was carried out. `wrote` tells whether there was anything.
    Done {
        /// Whether anything was written.
        wrote: bool,
    },
    /// A guard refused an effect; what stood before it was carried out.
    Refused(Hold),
    /// Something failed; what stood before it was carried out.
    Failed(Failure),
}

/// What failed and why.
#[derive(Debug, thiserror::Error)]
#[error("{what} failed")]
pub struct Failure {
    /// What was to be done, for example `create ReplicaSet shop-5d`.
    pub what: String,
    /// Why it was not.
    pub source: CallError,
}

/// One write on behalf of a key.
#[derive(Debug)]
pub struct Write<'a> {
    /// On whose behalf.
    pub key: &'a Key,
    /// What is written.
    pub kind: WriteKind,
    /// The object that is written.
    pub target: ObjectId,
    /// The request.
    pub request: Request<Vec<u8>>,
}

/// Carries out a plan that was made for `world`.
pub async fn execute(context: &Context, key: &Key, world: &World, plan: &Plan) -> Outcome {
    let mut wrote = false;
    if let Some(commit) = &plan.commit {
        match commit_all(context, key, commit).await {
            Ok(any) => wrote |= any,
            Err(failure) => return Outcome::Failed(failure),
        }
    }
    let involved = Involved::rollout(&world.rollout);
    for event in &plan.events {
        context.publisher.publish(context, &involved, event);
    }
    for effect in &plan.effects {
        if effect.is_irreversible() {
            match guard(context, key, world, effect).await {
                Ok(Ok(())) => {}
                Ok(Err(hold)) => {
                    if let Hold::Refused { invariant, .. } = &hold {
                        context
                            .metrics
                            .refused
                            .get_or_create(&InvariantLabel { invariant })
                            .inc();
                    }
                    return Outcome::Refused(hold);
                }
                Err(source) => {
                    let what = format!("reading again before the step \"{}\"", describe(effect));
                    return Outcome::Failed(Failure { what, source });
                }
            }
        }
        if let Err(source) = carry_out(context, key, world, effect).await {
            return Outcome::Failed(Failure {
                what: describe(effect),
                source,
            });
        }
        if matches!(effect, Effect::EvictPod { .. } | Effect::PatchPod { .. }) {
            context.known(key, |known| {
                known.answers.retain(|ask, _| !matches!(ask, Ask::Pods { .. }));
            });
        }
        wrote = true;
    }
    Outcome::Done { wrote }
}

/// Sends one write and notes it in the ledger.
pub async fn send(context: &Context, write: Write<'_>) -> Result<Receipt, CallError> {
    let Write {
        key,
        kind,
        target,
        request,
    } = write;
    let name = kind.as_str();
    // What a deletion answers may be no object, and has no metadata then.
    let request = if is_delete(kind) {
        request
    } else {
        api::metadata_only(request)
    };
    let budget = context.leadership.write_budget(WRITE_TIMEOUT);
    let failpoint = context.config.failpoint.as_ref();
    let result = match budget {
        Some(budget) => {
            failpoint.inspect(|failpoint| failpoint.pass(kind, Moment::Before));
            api::call(&context.client, request, budget).await
        }
        None => Err(CallError::NotLeader),
    };
    match &result {
        Ok(answer) => {
            failpoint.inspect(|failpoint| failpoint.pass(kind, Moment::After));
            context
                .metrics
                .writes
                .get_or_create(&KindLabel { kind: name.to_owned() })
                .inc();
            tracing::info!(write = name, object = %target.name, "wrote");
            if let Some(wrote) = noted(kind, answer) {
                context.ledger().wrote(key, target, wrote, Instant::now());
            }
        }
        Err(error) => {
            let category = error.category();
            context
                .metrics
                .write_errors
                .get_or_create(&ErrorLabels { kind: name, category })
                .inc();
            // A conflict says that the cache is behind. Should the event that tells so be lost, the same write would fail for ever.
            let is_behind = matches!(error, CallError::Conflict(_) | CallError::NotFound(_));
            if (error.is_outcome_unknown() || is_behind) && target.kind != Kind::Pod {
                context.ledger().wrote(key, target, Wrote::Unknown, Instant::now());
            }
        }
    }
    result
}

/// What the ledger notes of a successful write. Deletes are noted by who asks for them, who knows the uid.
fn noted(kind: WriteKind, receipt: &Receipt) -> Option<Wrote> {
    // Pods are in no cache: nothing will be seen of them, and they are asked for when they are needed.
    if is_delete(kind) || kind == WriteKind::PatchPod {
        return None;
    }
    let api::ReceiptMetadata { uid, resource_version } = receipt.metadata.clone();
    match crate::object::version(&resource_version) {
        // An answer that does not name the version tells nothing about what the caches must see.
        0 => Some(Wrote::Unknown),
        version => Some(Wrote::Version { uid, version }),
    }
}

fn is_delete(kind: WriteKind) -> bool {
    matches!(
        kind,
        WriteKind::DeleteReplicaSet | WriteKind::DeleteRun | WriteKind::DeleteRoute | WriteKind::EvictPod
    )
}

/// Writes the Rollout itself: first the object, then its status under the resourceVersion that the first returned.
async fn commit_all(context: &Context, key: &Key, commit: &Commit) -> Result<bool, Failure> {
    let target = ObjectId {
        kind: Kind::Rollout,
        name: key.name().clone(),
    };
    let path = target.kind.path(&target.name);
    let mut version = commit.resource_version.clone();
    let parts = [
        (WriteKind::CommitObject, "commit", path.clone(), &commit.object),
        (
            WriteKind::CommitStatus,
            "commit of the status",
            format!("{path}/status"),
            &commit.status,
        ),
    ];
    let mut wrote = false;
    for (kind, what, path, change) in parts {
        let Some(change) = change else { continue };
        let request = api::merge_patch(&path, &with_metadata(change, &json!({ "resourceVersion": version })));
        let answer = send(
            context,
            Write {
                key,
                kind,
                target: target.clone(),
                request,
            },
        )
        .await;
        let answer = answer.map_err(|source| Failure {
            what: what.to_owned(),
            source,
        })?;
        // Without a version the next write would meet any: the old one meets a conflict.
        if !answer.metadata.resource_version.is_empty() {
            version = answer.metadata.resource_version;
        }
        wrote = true;
    }
    Ok(wrote)
}

async fn carry_out(context: &Context, key: &Key, world: &World, effect: &Effect) -> Result<(), CallError> {
    let Action { kind, target, how } = action::of(&key.name().namespace, effect);
    let answer = match how {
        How::Create(object) => create(context, key, &world.rollout, kind, target, object).await,
        How::Patch(patch) => change(context, key, kind, target, &patch).await,
        How::Delete { uid, resource_version } => delete(context, key, kind, target, uid, resource_version).await,
        How::Evict(uid) => evict(context, key, target, uid).await,
    };
    match (effect, &answer) {
        // The machine tells the user: the template is wrong.
        (Effect::CreateReplicaSet { .. }, Err(CallError::Refused { message, .. })) => {
            let (ask, answered) = ask::refused(world, message);
            context.known(key, |known| known.answers.insert(ask, answered));
        }
        // The machine takes another name.
        (Effect::CreateReplicaSet { name, .. }, Err(CallError::Taken(_))) => {
            context.known(key, |known| known.memory.taken.insert(name.clone()));
        }
        (Effect::CreateRun { name, .. }, Err(CallError::Taken(_))) => {
            context.known(key, |known| known.memory.taken_runs.insert(name.clone()));
        }
        _ => {}
    }
    answer
}

/// Carries out an effect of [`sluice_machine::release`], for a Rollout that is gone.
pub(crate) async fn give_back(context: &Context, key: &Key, effect: &Effect) -> Result<(), CallError> {
    let Action { kind, target, how } = action::of(&key.name().namespace, effect);
    match how {
        How::Patch(patch) => change(context, key, kind, target, &patch).await,
        How::Delete { uid, resource_version } => delete(context, key, kind, target, uid, resource_version).await,
        How::Create(_) | How::Evict(_) => unreachable!("what is given back is patched or deleted"),
    }
}

async fn change(
    context: &Context,
    key: &Key,
    kind: WriteKind,
    target: ObjectId,
    patch: &Value,
) -> Result<(), CallError> {
    let request = api::merge_patch(&target.kind.path(&target.name), patch);
    send(
        context,
        Write {
            key,
            kind,
            target,
            request,
        },
    )
    .await
    .map(drop)
}

pub(crate) async fn delete(
    context: &Context,
    key: &Key,
    kind: WriteKind,
    target: ObjectId,
    uid: &str,
    resource_version: Option<&str>,
) -> Result<(), CallError> {
    let request = api::delete(&target.kind.path(&target.name), uid, resource_version);
    match send(
        context,
        Write {
            key,
            kind,
            target: target.clone(),
            request,
        },
    )
    .await
    {
        // Gone already is what was wanted; the cache need not wait for more than the deletion.
        Ok(_) | Err(CallError::NotFound(_)) => {
            context
                .ledger()
                .wrote(key, target, Wrote::Deleted { uid: uid.to_owned() }, Instant::now());
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Asks for the eviction of a pod. The API server answers 429 where a PodDisruptionBudget does not allow it.
async fn evict(context: &Context, key: &Key, target: ObjectId, uid: &str) -> Result<(), CallError> {
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": { "name": target.name.name, "namespace": target.name.namespace },
        "deleteOptions": { "preconditions": { "uid": uid } },
    });
    let request = api::post(&format!("{}/eviction", target.kind.path(&target.name)), &eviction);
    let write = Write {
        key,
        kind: WriteKind::EvictPod,
        target,
        request,
    };
    match send(context, write).await {
        // Gone already is what was wanted.
        Ok(_) | Err(CallError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Creates an object that the Rollout owns. Where there is one of that name already, it is as good as created if it is ours.
async fn create(
    context: &Context,
    key: &Key,
    rollout: &Rollout,
    kind: WriteKind,
    target: ObjectId,
    object: &Value,
) -> Result<(), CallError> {
    let collection = ObjectName::new(target.name.namespace.as_str(), "");
    let request = api::post(&target.kind.path(&collection), &owned(rollout, &target, object));
    match send(
        context,
        Write {
            key,
            kind,
            target: target.clone(),
            request,
        },
    )
    .await
    {
        Ok(_) => Ok(()),
        Err(CallError::AlreadyExists) => match watch::refresh(context, &target).await? {
            Some(found) if found.controller == rollout.metadata.uid => Ok(()),
            Some(_) => Err(CallError::Taken(format!("{} {}", target.kind, target.name))),
            None => Err(CallError::NotFound(format!(
                "{} {} came and went",
                target.kind, target.name
            ))),
        },
        Err(error) => Err(error),
    }
}

/// The object with namespace, kind and the owner reference that makes the Rollout its controller.
fn owned(rollout: &Rollout, target: &ObjectId, object: &Value) -> Value {
    let mut object = object.clone();
    let resource = target.kind.resource();
    object["apiVersion"] = resource.api_version.into();
    object["kind"] = resource.kind.into();
    let owner = Kind::Rollout.resource();
    let reference = json!({
        "apiVersion": owner.api_version,
        "kind": owner.kind,
        "name": rollout.metadata.name,
        "uid": rollout.metadata.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    });
    let metadata = json!({
        "namespace": target.name.namespace,
        "name": target.name.name,
        "ownerReferences": [reference],
    });
    with_metadata(&object, &metadata)
}

/// Asks the guards on the freshest view. The outer error is a read that failed, the inner one a refusal.
async fn guard(context: &Context, key: &Key, world: &World, effect: &Effect) -> Result<Result<(), Hold>, CallError> {
    let Some(fresh) = freshen(context, key, world, Some(effect)).await? else {
        return Ok(Err(Hold::Deleting));
    };
    Ok(guards::check(Timestamp::now(), &fresh, effect))
}

/// Reads everything again that `world` holds and that matters: the Rollout, its ReplicaSets that have or want pods or are
/// the object of `effect`, Services and routes. `None` where the Rollout is gone.
pub async fn freshen(
    context: &Context,
    key: &Key,
    world: &World,
    effect: Option<&Effect>,
) -> Result<Option<World>, CallError> {
    let name = key.name();
    let ids = involved(name, world, effect);
    let reads = ids.iter().map(|id| watch::refresh(context, id));
    for read in futures::future::join_all(reads).await {
        read?;
    }
    match observe::observe(context, name, world.memory.clone(), world.answers.clone()) {
        Observed::World(fresh) => Ok(Some(*fresh)),
        Observed::Gone => Ok(None),
        Observed::Undecodable { problem, .. } => Err(CallError::Unreadable(problem)),
        Observed::Starting(what) => Err(CallError::Unanswered(format!("{what} is not known yet"))),
    }
}

fn involved(rollout: &ObjectName, world: &World, effect: Option<&Effect>) -> BTreeSet<ObjectId> {
    let in_namespace = |kind: Kind, name: &str| ObjectId {
        kind,
        name: ObjectName::new(rollout.namespace.as_str(), name),
    };
    let mut ids = BTreeSet::from([ObjectId {
        kind: Kind::Rollout,
        name: rollout.clone(),
    }]);
    let object = match effect {
        Some(Effect::PatchReplicaSet { name, .. } | Effect::DeleteReplicaSet { name, .. }) => Some(name.as_str()),
        _ => None,
    };
    let sets = world.replica_sets.known().into_iter().flat_map(|sets| sets.values());
    let matter = sets.filter(|set| set.wanted > 0 || set.replicas > 0 || Some(set.name.as_str()) == object);
    ids.extend(matter.map(|set| in_namespace(Kind::ReplicaSet, &set.name)));
    ids.extend(
        world
            .services
            .keys()
            .map(|service| in_namespace(Kind::Service, service)),
    );
    // What is not known is not known any better by one more read of a kind that is not there.
    let routes = world
        .objects
        .iter()
        .filter(|(_, fact)| !matches!(fact, Fact::Unknown(_)));
    ids.extend(routes.map(|(route, _)| observe::object_id(route)));
    ids
}

/// An effect in a few words, for errors and logs.
pub fn describe(effect: &Effect) -> String {
    match effect {
        Effect::CreateReplicaSet { name, .. } => format!("create ReplicaSet {name}"),
        Effect::PatchReplicaSet {
            name,
            replicas: Some((from, to)),
            ..
        } => {
            format!("scale ReplicaSet {name} from {from} to {to}")
        }
        Effect::PatchReplicaSet { name, .. } => format!("annotate ReplicaSet {name}"),
        Effect::DeleteReplicaSet { name, .. } => format!("delete ReplicaSet {name}"),
        Effect::SwitchService { name, revision, .. } => format!("switch Service {name} to {revision}"),
        Effect::SetManagedRoutes { route, names, .. } => format!("set routes [{}] of {route}", names.join(", ")),
        Effect::SwitchSubset {
            object,
            subset,
            revision,
            ..
        } => format!("switch subset {subset} of {object} to {revision}"),
        Effect::CreateRoute { route, .. } => format!("create {route}"),
        Effect::ReleaseService { name, .. } => format!("give Service {name} back"),
        Effect::ReleaseRoute { route, .. } => format!("give {route} back"),
        Effect::DeleteRoute { route, .. } => format!("delete {route}"),
        Effect::SetSplit { route, split, .. } => {
            let parts: Vec<String> = split
                .parts
                .iter()
                .map(|(dest, weight)| format!("{} {weight}", dest.service))
                .collect();
            format!("set {route} to {} of {}", parts.join(", "), split.total)
        }
        Effect::ScaleWorkload {
            object,
            replicas: (from, to),
            ..
        } => format!("scale {object} from {from} to {to}"),
        Effect::EvictPod { name, .. } => format!("evict Pod {name}"),
        Effect::PatchPod { name, .. } => format!("label Pod {name}"),
        Effect::CreateRun { name, .. } => format!("create AnalysisRun {name}"),
        Effect::TerminateRun { name, .. } => format!("terminate AnalysisRun {name}"),
        Effect::DeleteRun { name, .. } => format!("delete AnalysisRun {name}"),
    }
}
