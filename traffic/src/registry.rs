//! The table of routers: one line for each kind of route object.

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    Moving, ObjectRef, Observed, RouterProblem, Weights,
    routers::{
        gateway_config::{self, Form},
        http_route,
    },
};

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
    /// The routers that our extension `trafficRouting.gatewayApi` names:
    /// `{httpRoute, rules?, httpRoutes: [{name, rules?}], namespace?}`.
    ///
    /// The error has every problem: a field path below the configuration (empty for the whole), and what is wrong and would be
    /// right there.
    pub fn from_gateway_api(config: &Value) -> Result<Vec<Router>, Vec<(String, String)>> {
        gateway_config::routers(config, Form::Extension)
    }

    /// The routers that the configuration of Argo's plugin names, the value of `plugins["argoproj-labs/gatewayAPI"]`:
    /// `{httpRoute, httpRoutes: [{name, useHeaderRoutes?}], namespace?}`. Errors as with [`Router::from_gateway_api`].
    ///
    /// Accepted without effect, because what they ask for holds anyway: `configMap`, `useHeaderRoutes`,
    /// `skipManagedRoutesOnSetWeight` and `disableInProgressLabel: true`.
    pub fn from_gateway_api_plugin(config: &Value) -> Result<Vec<Router>, Vec<(String, String)>> {
        gateway_config::routers(config, Form::Plugin)
    }

    /// What is wrong where the router's object is not in the Rollout's own namespace: field path and problem, as in
    /// [`Router::from_gateway_api`]. Who may write Rollouts in one namespace must not thereby move the traffic of another.
    pub fn namespace_problem(&self, rollout_namespace: &str) -> Option<(String, String)> {
        let Router::HttpRoute(http_route::Config { namespace, .. }) = self;
        let other = namespace.as_ref().filter(|namespace| *namespace != rollout_namespace)?;
        let problem = format!(
            "is `{other}`, and routes of another namespace are not written: leave it out, or have the HTTPRoute in \
             `{rollout_namespace}`"
        );
        Some(("namespace".to_owned(), problem))
    }

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

    /// The merge patch that only records `moving`; `None` when exactly this is recorded.
    pub fn annotate(&self, object: &Value, pair: Pair<'_>, moving: &Moving) -> Result<Option<Value>, RouterProblem> {
        match self {
            Router::HttpRoute(config) => http_route::annotate(config, object, pair, moving),
        }
    }

    /// When the part of the object that splits traffic was last written by anybody, in whole seconds (cut off), where
    /// managedFields tell. For objects whose `moving` record is missing or older than what is observed.
    pub fn last_write(&self, object: &Value) -> Option<Timestamp> {
        match self {
            Router::HttpRoute(_) => http_route::last_write(object),
        }
    }
}
