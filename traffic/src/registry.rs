//! The table of routers: one line for each kind of route object.

use serde_json::Value;

use crate::{Moving, ObjectRef, Observed, RouterProblem, Weights, routers::http_route};

/// One router of a Rollout, ready to read and edit its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Router {
    /// Gateway API `HTTPRoute`.
    HttpRoute(http_route::Config),
}

/// The two Services between which a canary's traffic is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// Name of the stable Service.
    pub stable: &'a str,
    /// Name of the canary Service.
    pub canary: &'a str,
}

impl Router {
    /// The object that this router reads and edits.
    pub fn object(&self, namespace: &str) -> ObjectRef {
        match self {
            Router::HttpRoute(config) => http_route::object(config, namespace),
        }
    }

    /// Reads the object as the API server returned it.
    pub fn observe(&self, object: &Value, pair: Pair<'_>) -> Result<Observed, RouterProblem> {
        match self {
            Router::HttpRoute(config) => http_route::observe(config, object, pair),
        }
    }

    /// The merge patch that gives every managed rule the wanted weights and records `moving`, with the object's
    /// resourceVersion in it. `None` when the object already is so (its `moving` record aside).
    pub fn edit(
        &self,
        object: &Value,
        pair: Pair<'_>,
        wanted: &Weights,
        moving: &Moving,
    ) -> Result<Option<Value>, RouterProblem> {
        match self {
            Router::HttpRoute(config) => http_route::edit(config, object, pair, wanted, moving),
        }
    }
}
