//! The table of routers: one line for each kind of route object.

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    ManagedRoute, Moving, ObjectRef, Observed, RouterProblem, Weights,
    routers::{
        destination_rule,
        gateway_config::{self, Form},
        http_route, ingress, istio_config, nginx_config, virtual_service,
    },
};

/// One router of a Rollout, ready to read and edit its object.
///
/// How to use one:
/// 1. Read [`Router::object`] and all [`Router::sources`]. A source that is absent or unknown is a reason to hold, but not to
///    keep an abort from going through: [`Router::edit`] towards 100 % stable needs none.
/// 2. [`Router::observe`] with what was read. Where the object is absent, only a router that [`Router::creates_object`] can
///    observe; for others it is missing.
/// 3. [`Router::owner_problem`] where the object is there.
/// 4. To write weights: [`Router::edit`] where the object is there, else [`Router::create`]. Do it where the weights differ, and
///    also where [`Observed::outdated`] says so.
/// 5. Routes that steps add: [`Router::edit_managed_routes`], in a write of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Router {
    /// Gateway API `HTTPRoute`.
    HttpRoute(http_route::Config),
    /// Istio `VirtualService`.
    VirtualService(virtual_service::Config),
    /// Canary `Ingress` of ingress-nginx.
    CanaryIngress(ingress::Config),
}

/// The two Services between which a canary's traffic is split. With a DestinationRule they are two of its subsets
/// ([`Router::destination_rule`] has their names).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// Name of the stable Service.
    pub stable: &'a str,
    /// Name of the canary Service.
    pub canary: &'a str,
}

/// What was read for a router. One object alone converts into it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The router's object; `None` where the API server says that there is none.
    pub object: Option<&'a Value>,
    /// Its sources, in the order of [`Router::sources`]; `None` where one is absent.
    pub sources: &'a [Option<&'a Value>],
}

impl<'a> From<&'a Value> for Seen<'a> {
    fn from(object: &'a Value) -> Seen<'a> {
        Seen {
            object: Some(object),
            sources: &[],
        }
    }
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

    /// The routers that `trafficRouting.istio` names, one for each VirtualService:
    /// `{virtualService | virtualServices, destinationRule?}`. Errors as with [`Router::from_gateway_api`].
    pub fn from_istio(config: &Value) -> Result<Vec<Router>, Vec<(String, String)>> {
        let configs = istio_config::configs(config)?;
        Ok(configs.into_iter().map(Router::VirtualService).collect())
    }

    /// The routers that `trafficRouting.nginx` names, one for each stable Ingress. Errors as with [`Router::from_gateway_api`].
    pub fn from_nginx(
        config: &Value,
        rollout_name: &str,
        max_traffic_weight: Option<u32>,
    ) -> Result<Vec<Router>, Vec<(String, String)>> {
        let configs = nginx_config::configs(config, rollout_name, max_traffic_weight)?;
        Ok(configs.into_iter().map(Router::CanaryIngress).collect())
    }

    /// The router that knows the names in `trafficRouting.managedRoutes`. Without them it takes rules that steps have added for
    /// the user's.
    #[must_use]
    pub fn with_managed_routes(mut self, names: &[String]) -> Router {
        match &mut self {
            Router::HttpRoute(config) => config.managed_routes = names.to_vec(),
            Router::VirtualService(config) => config.managed_routes = names.to_vec(),
            Router::CanaryIngress(_) => {}
        }
        self
    }

    /// The router for another version of Istio's API (`networking.istio.io/v1beta1`), also of its DestinationRule. Others stay
    /// as they are.
    #[must_use]
    pub fn with_istio_api_version(mut self, version: &str) -> Router {
        if let Router::VirtualService(config) = &mut self {
            version.clone_into(&mut config.api_version);
            if let Some(rule) = &mut config.destination_rule {
                version.clone_into(&mut rule.api_version);
            }
        }
        self
    }

    /// What is wrong where the router's object is not in the Rollout's own namespace: field path and problem, as in
    /// [`Router::from_gateway_api`]. Who may write Rollouts in one namespace must not thereby move the traffic of another.
    pub fn namespace_problem(&self, rollout_namespace: &str) -> Option<(String, String)> {
        let (namespace, path, kind) = match self {
            Router::HttpRoute(config) => (&config.namespace, "namespace", "HTTPRoute"),
            Router::VirtualService(config) => (&config.namespace, "virtualService.name", "VirtualService"),
            Router::CanaryIngress(_) => return None,
        };
        let other = namespace.as_ref().filter(|namespace| *namespace != rollout_namespace)?;
        let problem = match self {
            Router::VirtualService(config) => format!(
                "is `{}` of the namespace `{other}`, and routes of another namespace are not written: have the {kind} in \
                 `{rollout_namespace}` (where its own name has a point in it, write `{rollout_namespace}/<name>`)",
                config.name
            ),
            _ => format!(
                "is `{other}`, and routes of another namespace are not written: leave it out, or have the {kind} in \
                 `{rollout_namespace}`"
            ),
        };
        Some((path.to_owned(), problem))
    }

    /// The object that this router reads and edits.
    pub fn object(&self, namespace: &str) -> ObjectRef {
        match self {
            Router::HttpRoute(config) => http_route::object(config, namespace),
            Router::VirtualService(config) => virtual_service::object(config, namespace),
            Router::CanaryIngress(config) => ingress::object(config, namespace),
        }
    }

    /// Further objects that this router only reads: those that its own object is copied from.
    pub fn sources(&self, namespace: &str) -> Vec<ObjectRef> {
        match self {
            Router::HttpRoute(_) | Router::VirtualService(_) => vec![],
            Router::CanaryIngress(config) => vec![ingress::source(config, namespace)],
        }
    }

    /// Whether the object is ours to create. While it is absent all traffic goes to the stable Service.
    pub fn creates_object(&self) -> bool {
        matches!(self, Router::CanaryIngress(_))
    }

    /// The DestinationRule whose subsets are the pair, where one is configured. Its subsets select revisions, as Services do
    /// otherwise: see [`destination_rule`].
    pub fn destination_rule(&self) -> Option<&destination_rule::Config> {
        match self {
            Router::VirtualService(config) => config.destination_rule.as_ref(),
            Router::HttpRoute(_) | Router::CanaryIngress(_) => None,
        }
    }

    /// Names of the rules that are managed, where they are configured by name: [`crate::Rest::rules`].
    pub fn rules(&self) -> &[String] {
        match self {
            Router::HttpRoute(config) => &config.rules,
            Router::VirtualService(config) => &config.routes,
            Router::CanaryIngress(_) => &[],
        }
    }

    /// What is wrong where an object that is ours to create belongs to somebody else.
    pub fn owner_problem(&self, object: &Value, rollout_uid: &str) -> Option<RouterProblem> {
        let Router::CanaryIngress(config) = self else {
            return None;
        };
        let foreign = !ingress::is_owned_by(object, rollout_uid);
        let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
        foreign.then(|| RouterProblem {
            object: Box::new(self.object(namespace.unwrap_or_default())),
            path: "metadata.ownerReferences".to_owned(),
            problem: format!(
                "canary ingress `{}` controlled by different object",
                config.canary_ingress
            ),
        })
    }

    /// Reads the object as the API server returned it.
    pub fn observe<'a>(&self, seen: impl Into<Seen<'a>>, pair: Pair<'_>) -> Result<Observed, RouterProblem> {
        let seen = seen.into();
        match self {
            Router::HttpRoute(config) => http_route::observe(config, self.present(seen)?, pair),
            Router::VirtualService(config) => virtual_service::observe(config, self.present(seen)?, pair),
            Router::CanaryIngress(config) => ingress::observe(config, seen.object, seen.source(), pair),
        }
    }

    /// The merge patch that gives every managed rule the wanted weights and records `moving`, with the object's
    /// resourceVersion in it. `None` when the object already is so (its `moving` record aside), and what it copies is up to date.
    pub fn edit<'a>(
        &self,
        seen: impl Into<Seen<'a>>,
        pair: Pair<'_>,
        wanted: &Weights,
        moving: &Moving,
    ) -> Result<Option<Value>, RouterProblem> {
        let seen = seen.into();
        let object = self.present(seen)?;
        match self {
            Router::HttpRoute(config) => http_route::edit(config, object, pair, wanted, moving),
            Router::VirtualService(config) => virtual_service::edit(config, object, pair, wanted, moving),
            Router::CanaryIngress(config) => ingress::edit(config, object, seen.source(), pair, wanted, moving),
        }
    }

    /// The whole object with the wanted weights and `moving`, where it is absent and ours to create
    /// ([`Router::creates_object`]; others say that it is missing). The caller adds namespace, owner and labels. It is to be
    /// created with a POST: if it exists by then, that is a conflict.
    pub fn create<'a>(
        &self,
        seen: impl Into<Seen<'a>>,
        pair: Pair<'_>,
        wanted: &Weights,
        moving: &Moving,
    ) -> Result<Value, RouterProblem> {
        match (self, seen.into().source()) {
            (Router::CanaryIngress(config), Some(stable)) => ingress::create(config, stable, pair, wanted, moving),
            (Router::CanaryIngress(_), None) => Err(missing(self.sources("").remove(0))),
            (Router::HttpRoute(_) | Router::VirtualService(_), _) => Err(missing(self.object(""))),
        }
    }

    /// The merge patch after which exactly these managed routes stand before the user's rules, in this order
    /// ([`ManagedRoute::after`]), and no others of those in [`Router::with_managed_routes`]; `None` where it is so. It leaves
    /// weights alone and records `moving`.
    pub fn edit_managed_routes<'a>(
        &self,
        seen: impl Into<Seen<'a>>,
        pair: Pair<'_>,
        wanted: &[ManagedRoute],
        moving: &Moving,
    ) -> Result<Option<Value>, RouterProblem> {
        let seen = seen.into();
        match self {
            Router::HttpRoute(config) => {
                http_route::edit_managed_routes(config, self.present(seen)?, pair, wanted, moving)
            }
            Router::VirtualService(config) => {
                virtual_service::edit_managed_routes(config, self.present(seen)?, pair, wanted, moving)
            }
            Router::CanaryIngress(_) if wanted.is_empty() => Ok(None),
            Router::CanaryIngress(_) => Err(RouterProblem {
                object: Box::new(self.object("")),
                path: "spec".to_owned(),
                problem: "an Ingress has no header and mirror routes: take these steps out, or use another router"
                    .to_owned(),
            }),
        }
    }

    /// The merge patch that only records `moving`; `None` when exactly this is recorded.
    pub fn annotate(&self, object: &Value, pair: Pair<'_>, moving: &Moving) -> Result<Option<Value>, RouterProblem> {
        match self {
            Router::HttpRoute(config) => http_route::annotate(config, object, pair, moving),
            Router::VirtualService(config) => virtual_service::annotate(config, object, pair, moving),
            Router::CanaryIngress(config) => ingress::annotate(config, object, pair, moving),
        }
    }

    /// When the part of the object that splits traffic was last written by anybody, in whole seconds (cut off), where
    /// managedFields tell. For objects whose `moving` record is missing or older than what is observed.
    pub fn last_write(&self, object: &Value) -> Option<Timestamp> {
        match self {
            Router::HttpRoute(_) => http_route::last_write(object),
            Router::VirtualService(_) => virtual_service::last_write(object),
            Router::CanaryIngress(config) => ingress::last_write(config, object),
        }
    }

    fn present<'a>(&self, seen: Seen<'a>) -> Result<&'a Value, RouterProblem> {
        seen.object.ok_or_else(|| missing(self.object("")))
    }
}

impl<'a> Seen<'a> {
    /// The only source that any router has so far.
    fn source(self) -> Option<&'a Value> {
        self.sources.first().copied().flatten()
    }
}

fn missing(object: ObjectRef) -> RouterProblem {
    RouterProblem {
        object: Box::new(object),
        path: "metadata".to_owned(),
        problem: "is missing".to_owned(),
    }
}
