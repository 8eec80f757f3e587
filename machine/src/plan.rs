//! What is to be done, as values. A plan leaves no choices to whoever carries it out.

use jiff::Timestamp;
use serde_json::Value;
use sluice_traffic::{ObjectRef, Split};

use crate::{Ask, Memory, world::Why};

/// The result of a decision. Carried out in the order of the fields; the first failure ends it, and the shell observes again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// To look up now; with the answers in the World, decide again. While there are asks there is nothing else to do.
    pub asks: Vec<Ask>,
    /// To write on the Rollout before any effect.
    pub commit: Option<Commit>,
    /// To carry out in order.
    pub effects: Vec<Effect>,
    /// To publish after the commit succeeded.
    pub events: Vec<Event>,
    /// Why the Rollout does not go on, where it waits for something.
    pub hold: Option<Hold>,
    /// When to decide again if nothing changes before.
    pub wake_at: Option<Timestamp>,
    /// Time alone has brought the commit about, and it cannot be taken back: everything that it was decided on is read again
    /// first, and decided on once more. A change whose event got lost must not look as if nothing had happened.
    pub confirm: bool,
    /// To be handed back in the next World.
    pub memory: Memory,
}

/// Writes on the Rollout itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Commit {
    /// The resourceVersion that the first write must meet. The second write uses the one that the first returned.
    pub resource_version: String,
    /// First write: merge patch of the Rollout (`{"metadata": {...}}`, `{"spec": {"replicas": 1}}`), without resourceVersion.
    pub object: Option<Value>,
    /// Second write: merge patch of the status subresource (`{"status": {...}}`) with explicit nulls, without resourceVersion.
    pub status: Option<Value>,
}

/// One write on an object other than the Rollout.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Create a ReplicaSet (POST). AlreadyExists: observe again.
    CreateReplicaSet {
        /// Name.
        name: String,
        /// The whole object but for the namespace and the owner reference.
        object: Value,
    },
    /// Merge patch of a ReplicaSet's metadata and, with `replicas`, of its size.
    PatchReplicaSet {
        /// Name.
        name: String,
        /// uid that it must have.
        uid: String,
        /// resourceVersion that it must have.
        resource_version: String,
        /// From and to how many replicas, where the size changes.
        replicas: Option<(u32, u32)>,
        /// The patch without resourceVersion and uid.
        patch: Value,
    },
    /// Delete a ReplicaSet with zero replicas.
    DeleteReplicaSet {
        /// Name.
        name: String,
        /// uid that it must have (precondition).
        uid: String,
        /// resourceVersion that it must have (precondition).
        resource_version: String,
    },
    /// Merge patch of a Service that changes which revision it selects.
    SwitchService {
        /// Name.
        name: String,
        /// Revision that it will select.
        revision: String,
        /// The patch with resourceVersion.
        patch: Value,
    },
    /// Merge patch of a DestinationRule that changes which revision a subset selects.
    SwitchSubset {
        /// The DestinationRule.
        object: ObjectRef,
        /// The subset.
        subset: String,
        /// Revision that it will select.
        revision: String,
        /// The patch with resourceVersion.
        patch: Value,
    },
    /// Create a route object that is the Rollout's own (POST). AlreadyExists: observe again.
    CreateRoute {
        /// The route.
        route: ObjectRef,
        /// The split that it will have.
        split: Split,
        /// The whole object but for the namespace and the owner reference.
        object: Value,
    },
    /// Merge patch of a route object that changes which rules of ours stand before the user's.
    SetManagedRoutes {
        /// The route.
        route: ObjectRef,
        /// Names of the managed routes that it will have.
        names: Vec<String>,
        /// The patch with resourceVersion.
        patch: Value,
    },
    /// Merge patch of a Service that the Rollout no longer names, or whose Rollout is gone: it selects pods of every revision
    /// again.
    ReleaseService {
        /// Name.
        name: String,
        /// The patch with resourceVersion.
        patch: Value,
    },
    /// Merge patch of a route object or DestinationRule whose Rollout is gone: it is as it was at rest, without anything of ours.
    ReleaseRoute {
        /// The object.
        route: ObjectRef,
        /// The patch with resourceVersion.
        patch: Value,
    },
    /// Delete a route object that was made for a Rollout which is gone.
    DeleteRoute {
        /// The object.
        route: ObjectRef,
        /// uid that it must have (precondition).
        uid: String,
        /// resourceVersion that it must have (precondition).
        resource_version: String,
    },
    /// Merge patch of a route object that changes the split.
    SetSplit {
        /// The route.
        route: ObjectRef,
        /// The split that it will have.
        split: Split,
        /// The patch with resourceVersion.
        patch: Value,
    },
    /// Evict a pod through the eviction subresource, which keeps PodDisruptionBudgets.
    EvictPod {
        /// Its ReplicaSet.
        replica_set: String,
        /// Name.
        name: String,
        /// uid that it must have (precondition).
        uid: String,
        /// Whether it is ready: others are of no use to anybody.
        ready: bool,
    },
    /// Merge patch of a pod's labels and annotations.
    PatchPod {
        /// Name.
        name: String,
        /// uid that it must have.
        uid: String,
        /// The patch without uid.
        patch: Value,
    },
    /// Merge patch of a Deployment that gives its pods up to the Rollout.
    ScaleWorkload {
        /// The Deployment.
        object: ObjectRef,
        /// From and to how many replicas.
        replicas: (u32, u32),
        /// The patch with resourceVersion.
        patch: Value,
    },
    /// Create an AnalysisRun (POST). AlreadyExists: observe again.
    CreateRun {
        /// Name.
        name: String,
        /// The whole object but for the namespace and the owner reference.
        object: Value,
    },
    /// Set `spec.terminate` of an AnalysisRun.
    TerminateRun {
        /// Name.
        name: String,
        /// uid that it must have.
        uid: String,
        /// resourceVersion that it must have.
        resource_version: String,
    },
    /// Delete an AnalysisRun of the past.
    DeleteRun {
        /// Name.
        name: String,
        /// uid that it must have (precondition).
        uid: String,
    },
}

/// An event for people. Published at most once: the name of the Event object is a hash of the Rollout's uid and all fields.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// Normal or Warning.
    pub kind: EventKind,
    /// Reason, as users' tools match on it (`RolloutStepCompleted`).
    pub reason: &'static str,
    /// Message, at most 1 KiB.
    pub message: String,
    /// What tells this event from a later one with the same text: revision, step, attempt.
    pub key: String,
}

/// Kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// Something went as it should.
    Normal,
    /// Something needs attention.
    Warning,
}

/// Why a Rollout waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The Rollout is being deleted.
    Deleting,
    /// Another controller (Argo Rollouts) is live for the same objects.
    IncumbentAlive {
        /// Identity that holds its Lease.
        holder: String,
    },
    /// The spec is invalid: nothing goes forward until it is mended.
    InvalidSpec {
        /// The problems, with field paths.
        problems: String,
    },
    /// Something that must be known is not.
    Unknown {
        /// What.
        what: String,
        /// Why.
        why: Why,
    },
    /// Something that the spec names is not there.
    Missing {
        /// What, for example `Service shop-canary`.
        what: String,
    },
    /// spec.paused.
    PausedByUser,
    /// A pause step or a pause condition.
    Paused {
        /// Reason of the pause condition.
        reason: String,
        /// When it ends by itself.
        until: Option<Timestamp>,
    },
    /// The new revision has too few available pods.
    NewNotAvailable {
        /// Its ReplicaSet.
        replica_set: String,
        /// Available pods.
        available: u32,
        /// Needed pods.
        needed: u32,
    },
    /// The stable revision has too few available pods for the traffic that it is to get.
    StableNotAvailable {
        /// Its ReplicaSet.
        replica_set: String,
        /// Available pods.
        available: u32,
        /// Needed pods.
        needed: u32,
    },
    /// Pods that are no longer wanted are still there.
    OldNotDown {
        /// Their ReplicaSet.
        replica_set: String,
        /// Pods that are left.
        left: u32,
    },
    /// A route was written and is not acknowledged.
    NotAcknowledged {
        /// The route or Service.
        object: String,
        /// What is missing.
        what: String,
    },
    /// A change was acknowledged; proxies get the drain time to follow.
    Draining {
        /// The route or Service.
        object: String,
        /// When the drain time is over.
        until: Timestamp,
    },
    /// A route cannot be worked with as it is.
    RouteProblem {
        /// What is wrong and what would be right.
        problem: String,
    },
    /// Somebody else changed what we manage.
    ForeignWriter {
        /// The route or Service.
        object: String,
        /// Field manager, where it is known.
        manager: Option<String>,
    },
    /// An analysis has not ended.
    AnalysisRunning {
        /// Name of the run.
        run: String,
        /// Its phase.
        phase: String,
    },
    /// Waiting for a person to promote (blue-green without automatic promotion).
    AwaitingPromotion,
    /// Pods of an earlier revision are kept until their scale-down delay is over.
    ScaleDownDelay {
        /// Their ReplicaSet.
        replica_set: String,
        /// When it is over.
        until: Timestamp,
    },
    /// Pods that are older than spec.restartAt are being replaced.
    Restarting {
        /// How many are left.
        left: usize,
    },
    /// The update was aborted.
    Aborted,
    /// A guard refused an effect.
    Refused {
        /// Invariant, for example `S1`.
        invariant: &'static str,
        /// Why.
        why: String,
    },
}

impl Effect {
    /// A short name of the kind of effect, for metrics and coverage.
    pub fn kind(&self) -> &'static str {
        match self {
            Effect::CreateReplicaSet { .. } => "create-replicaset",
            Effect::PatchReplicaSet { replicas: None, .. } => "annotate-replicaset",
            Effect::PatchReplicaSet {
                replicas: Some((from, to)),
                ..
            } if to > from => "scale-up",
            Effect::PatchReplicaSet { replicas: Some(_), .. } => "scale-down",
            Effect::DeleteReplicaSet { .. } => "delete-replicaset",
            Effect::SwitchService { .. } => "switch-service",
            Effect::SwitchSubset { .. } => "switch-subset",
            Effect::CreateRoute { .. } => "create-route",
            Effect::SetManagedRoutes { .. } => "set-managed-routes",
            Effect::ReleaseService { .. } => "release-service",
            Effect::ReleaseRoute { .. } => "release-route",
            Effect::DeleteRoute { .. } => "delete-route",
            Effect::SetSplit { .. } => "set-split",
            Effect::ScaleWorkload { .. } => "scale-workload",
            Effect::EvictPod { .. } => "evict-pod",
            Effect::PatchPod { .. } => "patch-pod",
            Effect::CreateRun { .. } => "create-run",
            Effect::TerminateRun { .. } => "terminate-run",
            Effect::DeleteRun { .. } => "delete-run",
        }
    }

    /// Whether undoing the effect cannot bring back what was lost in between: weights, selectors, scale-downs, deletes.
    pub fn is_irreversible(&self) -> bool {
        match self {
            Effect::CreateReplicaSet { .. }
            | Effect::PatchPod { .. }
            | Effect::CreateRun { .. }
            | Effect::TerminateRun { .. } => false,
            Effect::PatchReplicaSet { replicas, .. } => replicas.is_some_and(|(from, to)| to < from),
            Effect::DeleteReplicaSet { .. }
            | Effect::EvictPod { .. }
            | Effect::ScaleWorkload { .. }
            | Effect::SwitchService { .. }
            | Effect::SwitchSubset { .. }
            | Effect::CreateRoute { .. }
            | Effect::SetManagedRoutes { .. }
            | Effect::ReleaseService { .. }
            | Effect::ReleaseRoute { .. }
            | Effect::DeleteRoute { .. }
            | Effect::SetSplit { .. }
            | Effect::DeleteRun { .. } => true,
        }
    }
}

impl Hold {
    /// A short name of the kind of hold, for metrics and coverage.
    pub fn kind(&self) -> &'static str {
        match self {
            Hold::Deleting => "deleting",
            Hold::IncumbentAlive { .. } => "incumbent-alive",
            Hold::InvalidSpec { .. } => "invalid-spec",
            Hold::Unknown { .. } => "unknown",
            Hold::Missing { .. } => "missing",
            Hold::PausedByUser => "paused-by-user",
            Hold::Paused { .. } => "paused",
            Hold::NewNotAvailable { .. } => "new-not-available",
            Hold::StableNotAvailable { .. } => "stable-not-available",
            Hold::OldNotDown { .. } => "old-not-down",
            Hold::NotAcknowledged { .. } => "not-acknowledged",
            Hold::Draining { .. } => "draining",
            Hold::RouteProblem { .. } => "route-problem",
            Hold::ForeignWriter { .. } => "foreign-writer",
            Hold::AnalysisRunning { .. } => "analysis-running",
            Hold::AwaitingPromotion => "awaiting-promotion",
            Hold::ScaleDownDelay { .. } => "scale-down-delay",
            Hold::Restarting { .. } => "restarting",
            Hold::Aborted => "aborted",
            Hold::Refused { .. } => "refused",
        }
    }
}

impl Plan {
    /// A plan that does nothing, and why.
    pub fn hold(memory: Memory, hold: Hold) -> Plan {
        Plan {
            hold: Some(hold),
            memory,
            ..Plan::default()
        }
    }
}

impl std::fmt::Display for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Hold::Deleting => f.write_str("the Rollout is being deleted"),
            Hold::IncumbentAlive { holder } => {
                write!(
                    f,
                    "another controller is live: `{holder}` holds the Lease of Argo Rollouts; stop it first"
                )
            }
            Hold::InvalidSpec { problems } => write!(f, "the spec is invalid: {problems}"),
            Hold::Unknown { what, why } => write!(f, "{what}: not known, because {why}"),
            Hold::Missing { what } => write!(f, "{what} does not exist"),
            Hold::PausedByUser => f.write_str("spec.paused is true: set it to false to go on"),
            Hold::Paused {
                reason,
                until: Some(until),
            } => write!(f, "paused ({reason}) until {until}"),
            Hold::Paused { reason, until: None } => write!(f, "paused ({reason}) until it is promoted"),
            Hold::NewNotAvailable {
                replica_set,
                available,
                needed,
            } => {
                write!(
                    f,
                    "{available} of {needed} pods of the new ReplicaSet {replica_set} are available"
                )
            }
            Hold::StableNotAvailable {
                replica_set,
                available,
                needed,
            } => {
                write!(
                    f,
                    "{available} of {needed} pods of the stable ReplicaSet {replica_set} are available"
                )
            }
            Hold::OldNotDown { replica_set, left } => {
                write!(
                    f,
                    "{left} pods of ReplicaSet {replica_set} that are no longer wanted are still there"
                )
            }
            Hold::NotAcknowledged { object, what } => write!(f, "{object} is not acknowledged: {what}"),
            Hold::Draining { object, until } => {
                write!(f, "{object} was acknowledged; proxies get until {until} to follow")
            }
            Hold::RouteProblem { problem } => f.write_str(problem),
            Hold::ForeignWriter { object, manager } => {
                let manager = manager.as_deref().unwrap_or("an unknown writer");
                write!(
                    f,
                    "{object} was changed by {manager}; it was set back once for each such change"
                )
            }
            Hold::AnalysisRunning { run, phase } => write!(f, "AnalysisRun {run} is {phase}"),
            Hold::AwaitingPromotion => f.write_str("waiting for promotion (autoPromotionEnabled is false)"),
            Hold::ScaleDownDelay { replica_set, until } => {
                write!(f, "ReplicaSet {replica_set} is kept until {until} (scale-down delay)")
            }
            Hold::Restarting { left } => write!(f, "restarting: {left} pods are older than spec.restartAt"),
            Hold::Aborted => f.write_str("the update was aborted: retry it, or change the pod template"),
            Hold::Refused { invariant, why } => write!(f, "a guard refused the next step ({invariant}): {why}"),
        }
    }
}
