//! The routers of Sluice: how much traffic which Service gets, written on the objects that a data plane reads.
//!
//! A router reads the JSON of a route object as the API server returned it and says what it observed: the weights, whether
//! the data plane's controller acknowledged them, and which change may still be on its way. Given the weights that are wanted,
//! it answers with the smallest merge patch that brings them about and leaves every other field as it was.
//!
//! ```text
//! route object (JSON) ──observe──> Observed { weights, acknowledgement, moving }
//! route object (JSON) + wanted weights ──edit──> merge patch (JSON), or nothing to do
//! no object, its sources + wanted weights ──create──> the whole object (a canary Ingress is ours)
//! route object (JSON) whose Rollout is gone ──release──> merge patch (JSON), a deletion, or nothing to do
//! ```
//!
//! Absent here: clients, sockets, clocks, and any decision about *when* traffic may move. That is `sluice-machine`.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]
#![allow(clippy::doc_markdown, reason = "kinds of Kubernetes stand in most sentences")]

pub mod eff;
mod managed_fields;
pub mod managed_route;
mod object;
pub mod registry;
pub mod release;
pub mod routers;
mod split;

pub use managed_route::ManagedRoute;
pub use object::{
    FIELD_MANAGER, MANAGED_BY_ANNOTATION, MOVING_ANNOTATION, ObjectRef, REVISION_LABEL, managed_routes_annotation,
    route_moving_annotation,
};
pub use registry::{Pair, Router, Seen};
pub use split::{Dest, Moving, Rest, Split, Weights};

/// What a router read from one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// One entry for each rule that the router manages (its backends are the stable and the canary Service), in the object's order.
    pub managed: Vec<Weights>,
    /// One entry for each rule that the router leaves alone but that sends traffic to the stable or the canary Service.
    pub unmanaged: Vec<Weights>,
    /// Whether the data plane's controller has seen this generation of the object.
    pub acknowledgement: Acknowledgement,
    /// The change that we last wrote on this object for this pair of Services, if any. `None` also where the record cannot be
    /// read: what was possible before is then unknown ([`Router::last_write`] says since when).
    pub moving: Option<Moving>,
    /// The field manager, other than ours, that last wrote the rules, where managedFields tell.
    pub foreign_manager: Option<String>,
    /// `metadata.generation` of the object; 0 where the kind has none, or there is no object yet.
    pub generation: i64,
    /// Whether an edit would write something even where the weights are as wanted: what the object copies from its sources has
    /// changed. Always false for a router without sources.
    pub outdated: bool,
}

/// Whether the data plane's controller has taken over an object at its present generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acknowledgement {
    /// Every parent accepted this generation. Proxies may still need the drain time.
    Acknowledged,
    /// Not yet: the text says what is missing.
    Pending(String),
    /// Refused at this generation (a backend does not resolve, a parent does not accept): the text says why.
    Refused(String),
}

/// Why a router cannot work with an object as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {path}: {problem}")]
pub struct RouterProblem {
    /// The object.
    pub object: Box<ObjectRef>,
    /// The field path within the object, for example `spec.rules[1].backendRefs`.
    pub path: String,
    /// What is wrong and what would be right.
    pub problem: String,
}
