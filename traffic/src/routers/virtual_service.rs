//! Istio `VirtualService` (`networking.istio.io`).
//!
//! The pair is two Services, told apart by the hosts of the destinations, or where a DestinationRule is configured two of its
//! subsets, told apart by their names ([`Pair`] then holds these). A route is *managed* when the configuration names it, or
//! nothing is configured for its protocol and it is the only one, and it has both. Only the weights of the two are ever
//! changed, and of other destinations of such a route only where the wanted split cannot be written otherwise, all by the same
//! factor (see `backend_weights`): their shares stay exactly what they were. So a sum of 100 stays 100 unless the pair's part of
//! it cannot be split in whole numbers. Current Istio takes weights of any sum.
//!
//! - A host is a Service's where its first part is the name and the second, if there is one, the object's own namespace:
//!   `app`, `app.shop`, `app.shop.svc.cluster.local`. Others are left alone, also `app.web.svc.cluster.local`.
//! - Of several destinations one without a weight weighs nothing. A single one gets everything, whatever it says.
//! - Taking the canary's weight away does not fail for a configured route that is gone, as long as a managed one is left.
//! - HTTP routes that steps add stand before all others. They are in `managed_routes`; a mirror route is a copy of a managed
//!   one, and its weights follow the split.
//!
//! Istio need not report on a VirtualService. Where it does (the condition `Reconciled`, with a generation) it is listened to.

mod managed_routes;
mod release;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::destination_rule;
use crate::{
    Acknowledgement, Moving, ObjectRef, Observed, RouterProblem, Weights, managed_fields,
    managed_route::is_rule_name,
    object::{generation, metadata, moving as read_moving, route_moving_annotation},
    registry::Pair,
    routers::{
        backend_weights::{Role, resplit},
        gateway_status::clean,
        reading::{Backend, Backends, Reader},
    },
};

pub use managed_routes::edit_managed_routes;
pub(crate) use release::{has_host, routes_at_rest};

/// The version of Istio's API where nothing else is configured.
pub const API_VERSION: &str = "networking.istio.io/v1";

/// Which VirtualService, and which of its routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// For example `networking.istio.io/v1`.
    pub api_version: String,
    /// Name of the VirtualService.
    pub name: String,
    /// Namespace of the VirtualService where one is configured.
    pub namespace: Option<String>,
    /// Names of the HTTP routes to manage; empty: the only one.
    pub routes: Vec<String>,
    /// The TLS routes to manage; empty: the only one.
    pub tls_routes: Vec<TlsRoute>,
    /// Ports of the TCP routes to manage; empty: the only one.
    pub tcp_routes: Vec<u32>,
    /// The DestinationRule whose subsets are the pair; with `None` the pair is two Services.
    pub destination_rule: Option<destination_rule::Config>,
    /// Names of the HTTP routes that are ours: `trafficRouting.managedRoutes`.
    pub managed_routes: Vec<String>,
}

/// Which TLS routes are meant: those with a match that has this port and exactly these SNI hosts, as far as they are set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsRoute {
    /// The port.
    pub port: Option<u32>,
    /// The SNI hosts, in any order; empty where they do not matter.
    pub sni_hosts: Vec<String>,
}

/// The object that the configuration names.
pub fn object(config: &Config, namespace: &str) -> ObjectRef {
    ObjectRef {
        api_version: config.api_version.clone(),
        kind: "VirtualService".to_owned(),
        namespace: config.namespace.clone().unwrap_or_else(|| namespace.to_owned()),
        name: config.name.clone(),
    }
}

/// Reads a VirtualService.
///
/// A managed route is given as the weights of the pair alone, an unmanaged one as those of all its destinations. Another
/// destination is called by its host, and where the pair is subsets `host/subset`.
pub fn observe(config: &Config, object: &Value, pair: Pair<'_>) -> Result<Observed, RouterProblem> {
    let service = VirtualService::read(config, object, pair)?;
    let managed = service.managed(false)?;
    let is_managed = |route: &Route| managed.iter().any(|other| std::ptr::eq(*other, route));
    let unmanaged = service
        .routes
        .iter()
        .filter(|route| route.backends.names_either() && !is_managed(route));
    Ok(Observed {
        managed: managed.iter().map(|route| route.backends.pair_weights()).collect(),
        unmanaged: unmanaged.map(|route| route.backends.weights(|_| true)).collect(),
        acknowledgement: acknowledgement(object),
        moving: read_moving(object, &route_moving_annotation(pair)),
        foreign_manager: managed_fields::newest_foreign_manager(object, &Protocol::ALL.map(Protocol::owned)),
        generation: generation(object),
        outdated: false,
    })
}

/// Edits a VirtualService: the patch that splits every managed route as wanted and records `moving`; `None` where all of them
/// already are split so, whatever the record says. A list of routes without a change is not in the patch.
pub fn edit(
    config: &Config,
    object: &Value,
    pair: Pair<'_>,
    wanted: &Weights,
    moving: &Moving,
) -> Result<Option<Value>, RouterProblem> {
    let service = VirtualService::read(config, object, pair)?;
    let wanted = service.reader.wanted(wanted, "spec")?;
    let mut spec = json!({});
    for route in service.managed(wanted.is_retreat())? {
        let field = route.protocol.field();
        let split = resplit(&route.backends.roles(), wanted)
            .map_err(|text| service.reader.problem(format!("{}.route", route.path()), text))?;
        for (index, weight) in split.into_iter().flatten().enumerate() {
            if route.backends.0[index].weight != weight {
                if spec.get(field).is_none() {
                    spec[field] = object["spec"][field].clone();
                }
                spec[field][route.index]["route"][index]["weight"] = json!(weight);
            }
        }
    }
    if spec == json!({}) {
        return Ok(None);
    }
    let mut patch = service.reader.record(object, moving)?;
    patch["spec"] = spec;
    Ok(Some(patch))
}

/// The patch that only records `moving` and leaves the routes alone; `None` where it is recorded already.
pub fn annotate(
    config: &Config,
    object: &Value,
    pair: Pair<'_>,
    moving: &Moving,
) -> Result<Option<Value>, RouterProblem> {
    reader(config, object, pair).annotate(object, moving)
}

/// When the routes were last written by anybody, in whole seconds, where managedFields tell.
pub fn last_write(object: &Value) -> Option<Timestamp> {
    let times = Protocol::ALL.map(|protocol| managed_fields::last_write(object, &protocol.owned()));
    times.into_iter().flatten().max()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http,
    Tls,
    Tcp,
}

impl Protocol {
    const ALL: [Protocol; 3] = [Protocol::Http, Protocol::Tls, Protocol::Tcp];

    fn field(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Tls => "tls",
            Protocol::Tcp => "tcp",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Protocol::Http => "HTTP",
            Protocol::Tls => "TLS",
            Protocol::Tcp => "TCP",
        }
    }

    /// The field of the configuration that chooses its routes.
    fn setting(self) -> &'static str {
        match self {
            Protocol::Http => "routes",
            Protocol::Tls => "tlsRoutes",
            Protocol::Tcp => "tcpRoutes",
        }
    }

    /// Where `managedFields` name its routes. Each list is owned as a whole.
    fn owned(self) -> [&'static str; 2] {
        match self {
            Protocol::Http => ["f:spec", "f:http"],
            Protocol::Tls => ["f:spec", "f:tls"],
            Protocol::Tcp => ["f:spec", "f:tcp"],
        }
    }
}

/// A VirtualService as far as weights go.
struct VirtualService<'a> {
    config: &'a Config,
    reader: Reader<'a>,
    /// HTTP, TLS, TCP, each in the order of the object.
    routes: Vec<Route<'a>>,
}

struct Route<'a> {
    protocol: Protocol,
    index: usize,
    name: Option<&'a str>,
    value: &'a Value,
    backends: Backends,
    /// Whether it is one of our managed routes.
    is_ours: bool,
}

impl<'a> VirtualService<'a> {
    fn read(config: &'a Config, object: &'a Value, pair: Pair<'a>) -> Result<VirtualService<'a>, RouterProblem> {
        let reader = reader(config, object, pair);
        let mut routes = vec![];
        for protocol in Protocol::ALL {
            let (field, kind) = (protocol.field(), protocol.name());
            let list = reader.list(object.pointer(&format!("/spec/{field}")), &format!("spec.{field}"));
            let list = list.map_err(|problem| RouterProblem {
                problem: format!(
                    "Unable to get {kind} routes for Istio VirtualService: it {}",
                    problem.problem
                ),
                ..problem
            })?;
            for (index, value) in list.iter().enumerate() {
                let path = format!("spec.{field}[{index}]");
                let fields = reader.object(value, &path)?;
                let name = reader.text(fields, "name", &path)?;
                let path = format!("{path}.route");
                let destinations = reader.list(fields.get("route"), &path)?;
                let absent = if destinations.len() == 1 { 100 } else { 0 };
                let mut backends = vec![];
                for (index, value) in destinations.iter().enumerate() {
                    backends.push(backend(config, &reader, value, &format!("{path}[{index}]"), absent)?);
                }
                let backends = Backends(backends);
                let is_named = name.is_some_and(|name| is_rule_name(name, &config.managed_routes));
                let is_ours = protocol == Protocol::Http && is_named && backends.names_either();
                routes.push(Route {
                    protocol,
                    index,
                    name,
                    value,
                    backends,
                    is_ours,
                });
            }
        }
        Ok(VirtualService { config, reader, routes })
    }

    /// The routes to manage, in their order: at least one of the user's. With `lenient`, a single one of any kind is enough.
    fn managed(&self, lenient: bool) -> Result<Vec<&Route<'a>>, RouterProblem> {
        let mut problems = vec![];
        let mut chosen = vec![];
        for protocol in Protocol::ALL {
            chosen.extend(self.chosen(protocol, &mut problems));
        }
        for route in chosen.iter().filter(|route| !route.backends.can_be_managed()) {
            problems.push(self.invalid(route.protocol, format!("{}.route", route.path()), self.why_not(route)));
        }
        let is_chosen = |route: &Route<'_>| chosen.iter().any(|other| std::ptr::eq(*other, route));
        let managed: Vec<&Route<'a>> = self
            .routes
            .iter()
            .filter(|route| route.backends.can_be_managed() && (route.is_ours || is_chosen(route)))
            .collect();
        if lenient && !managed.is_empty() {
            return Ok(managed);
        }
        if let Some(problem) = problems.into_iter().next() {
            return Err(problem);
        }
        if managed.iter().all(|route| route.is_ours) {
            return Err(self.nothing_to_manage());
        }
        Ok(managed)
    }

    /// The routes of a protocol that the configuration means. They need not be such that they can be managed. What is not
    /// there is added to the problems.
    fn chosen(&self, protocol: Protocol, problems: &mut Vec<RouterProblem>) -> Vec<&Route<'a>> {
        let routes = || {
            let mine = move |route: &&Route<'a>| route.protocol == protocol && !route.is_ours;
            self.routes.iter().filter(mine)
        };
        let mut find = |what: &str, fits: &dyn Fn(&Route<'a>) -> bool| {
            let found: Vec<&Route<'a>> = routes().filter(|route| fits(route)).collect();
            if found.is_empty() {
                let problem = what.to_owned() + &there_are(routes());
                problems.push(self.invalid(protocol, format!("spec.{}", protocol.field()), problem));
            }
            found
        };
        let config = self.config;
        let mut found = vec![];
        match protocol {
            Protocol::Http if !config.routes.is_empty() => {
                for name in &config.routes {
                    let what = format!("HTTP Route '{name}' is not found in the defined Virtual Service.");
                    found.extend(find(&what, &|route| route.name == Some(name.as_str())));
                }
            }
            Protocol::Tls if !config.tls_routes.is_empty() => {
                for wanted in &config.tls_routes {
                    let what = "No matching TLS routes found in the defined Virtual Service.";
                    found.extend(find(what, &|route| wanted.fits(route.value)));
                }
            }
            Protocol::Tcp if !config.tcp_routes.is_empty() => {
                for port in &config.tcp_routes {
                    let what = "No matching TCP routes found in the defined Virtual Service.";
                    found.extend(find(what, &|route| has_match(route.value, |one| one["port"] == *port)));
                }
            }
            _ => match self.only_one(protocol, routes().collect()) {
                Ok(only) => found.extend(only),
                Err(problem) => problems.push(problem),
            },
        }
        found
    }

    /// The route that is meant where the configuration says nothing of its protocol.
    fn only_one<'s>(
        &'s self,
        protocol: Protocol,
        routes: Vec<&'s Route<'a>>,
    ) -> Result<Option<&'s Route<'a>>, RouterProblem> {
        let config = self.config;
        let others_are_named =
            !(config.routes.is_empty() && config.tls_routes.is_empty() && config.tcp_routes.is_empty());
        if let [] | [_] = routes.as_slice() {
            return Ok(routes.into_iter().find(|only| only.backends.names_both()));
        }
        if others_are_named || !routes.iter().any(|route| route.backends.names_either()) {
            return Ok(None);
        }
        let (field, setting) = (protocol.field(), protocol.setting());
        let problem = format!(
            "spec.{field}[] should be set in VirtualService and it must have exactly one route when omitting \
             spec.strategy.canary.trafficRouting.istio.virtualService.{setting}"
        );
        Err(self.invalid(protocol, format!("spec.{field}"), problem))
    }

    fn nothing_to_manage(&self) -> RouterProblem {
        let users = || self.routes.iter().filter(|route| !route.is_ours);
        let nearest = users()
            .find(|route| route.backends.names_either())
            .or_else(|| users().next());
        match nearest {
            Some(route) => self.invalid(route.protocol, format!("{}.route", route.path()), self.why_not(route)),
            None => self.reader.problem(
                "spec",
                "Unable to get any of the HTTP, TCP or TLS routes for the Istio VirtualService",
            ),
        }
    }

    /// Why a route cannot be managed: of the pair that which is missing, or that there is nothing to split.
    fn why_not(&self, route: &Route<'_>) -> String {
        let Pair { stable, canary } = self.reader.pair;
        let what = if self.config.destination_rule.is_some() {
            "DestinationRule subset"
        } else {
            "Service"
        };
        if !route.backends.has(Role::Canary) {
            format!("Canary {what} '{canary}' not found in route: add a destination for it with weight 0")
        } else if !route.backends.has(Role::Stable) {
            format!(
                "Stable {what} '{stable}' not found in route: add a destination for it with the weight that the two are to share"
            )
        } else {
            format!(
                "`{stable}` and `{canary}` both have weight 0 beside other destinations, so that there is nothing to split: \
                 give `{stable}` the weight that the two are to share"
            )
        }
    }

    fn invalid(&self, protocol: Protocol, path: String, problem: String) -> RouterProblem {
        let kind = protocol.name();
        let problem = format!("Istio VirtualService has invalid {kind} routes. Error: {problem}");
        self.reader.problem(path, problem)
    }
}

impl Route<'_> {
    fn path(&self) -> String {
        format!("spec.{}[{}]", self.protocol.field(), self.index)
    }
}

/// The names of routes, for whoever looks for one.
fn there_are<'r, 'a: 'r>(routes: impl Iterator<Item = &'r Route<'a>>) -> String {
    let routes: Vec<&Route<'_>> = routes.collect();
    let names: Vec<String> = routes
        .iter()
        .filter_map(|route| Some(format!("`{}`", route.name?)))
        .collect();
    if names.is_empty() {
        format!(" It has {} of this kind, without a name", routes.len())
    } else {
        format!(" There are {}", names.join(", "))
    }
}

impl TlsRoute {
    fn fits(&self, route: &Value) -> bool {
        has_match(route, |one| {
            let hosts = one.get("sniHosts").and_then(Value::as_array);
            let mut hosts: Vec<&str> = hosts.into_iter().flatten().filter_map(Value::as_str).collect();
            let mut wanted: Vec<&str> = self.sni_hosts.iter().map(String::as_str).collect();
            hosts.sort_unstable();
            wanted.sort_unstable();
            self.port.is_none_or(|port| one["port"] == port) && (wanted.is_empty() || hosts == wanted)
        })
    }
}

fn has_match(route: &Value, fits: impl Fn(&Value) -> bool) -> bool {
    let matches = route.get("match").and_then(Value::as_array);
    matches.is_some_and(|matches| matches.iter().any(fits))
}

fn backend(
    config: &Config,
    reader: &Reader<'_>,
    value: &Value,
    path: &str,
    absent: u32,
) -> Result<Backend, RouterProblem> {
    let fields = reader.object(value, path)?;
    let at = format!("{path}.destination");
    let destination = reader.object(fields.get("destination").unwrap_or(&Value::Null), &at)?;
    let host = reader.text(destination, "host", &at)?.filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| reader.problem(format!("{at}.host"), "is missing: name a host"))?;
    let subset = reader.text(destination, "subset", &at)?.unwrap_or_default();
    let (name, other) = if config.destination_rule.is_some() {
        (
            Some(subset).filter(|subset| !subset.is_empty()),
            format!("{host}/{subset}"),
        )
    } else {
        (service_of(host, &reader.reference.namespace), host.to_owned())
    };
    let (role, key) = match name {
        Some(name) if name == reader.pair.stable => (Role::Stable, name.to_owned()),
        Some(name) if name == reader.pair.canary => (Role::Canary, name.to_owned()),
        _ => (Role::Foreign, other),
    };
    let weight = reader.weight(fields, path, absent)?;
    Ok(Backend { role, key, weight })
}

/// The Service of the namespace that a host names.
fn service_of<'h>(host: &'h str, namespace: &str) -> Option<&'h str> {
    let mut parts = host.split('.');
    let name = parts.next()?;
    let own = parts.next().is_none_or(|part| part == namespace);
    let service = parts.next().is_none_or(|part| part == "svc");
    (own && service).then_some(name)
}

/// Istio reports only where it is told to, and then `Reconciled` says that all proxies have it.
fn acknowledgement(object: &Value) -> Acknowledgement {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    let Some(condition) = conditions.find(|condition| condition["type"] == "Reconciled") else {
        return Acknowledgement::Acknowledged;
    };
    let own = condition.get("observedGeneration").and_then(generation_number);
    let common = || object.pointer("/status/observedGeneration").and_then(generation_number);
    let Some(observed) = own.or_else(common) else {
        return Acknowledgement::Acknowledged;
    };
    let wanted = generation(object);
    if observed < wanted {
        return Acknowledgement::Pending(format!(
            "Istio has seen generation {observed} and not yet {wanted} (Reconciled)"
        ));
    }
    let text = |field: &str| clean(condition.get(field).and_then(Value::as_str).unwrap_or_default());
    match text("status").as_str() {
        "True" => Acknowledgement::Acknowledged,
        status => Acknowledgement::Pending(format!("Istio says Reconciled={status}: {}", text("message"))),
    }
}

/// Istio writes 64-bit numbers as texts.
fn generation_number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn reader<'a>(config: &Config, object: &Value, pair: Pair<'a>) -> Reader<'a> {
    let namespace = metadata(object, "namespace")
        .or(config.namespace.as_deref())
        .unwrap_or_default();
    Reader {
        reference: ObjectRef {
            namespace: namespace.to_owned(),
            ..self::object(config, namespace)
        },
        pair,
    }
}
