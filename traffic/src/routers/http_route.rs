//! Gateway API `HTTPRoute` (`gateway.networking.k8s.io/v1`).
//!
//! A rule is *managed* when its backendRefs name both the stable and the canary Service (of the route's own namespace) and, where
//! rules are configured by name, its name is among them. Only the weights of these two are ever changed, and of the other
//! backends of such a rule only where the wanted split cannot be written otherwise, all by the same factor
//! (see `backend_weights`): their shares stay exactly what they were.
//!
//! - A rule that names one of the two, or both but not by a configured name, is *unmanaged*: observed, never written.
//! - A rule where both weigh 0 beside others that have weight is unmanaged too: there is nothing to split in it.
//! - A `RequestMirror` filter that names the canary is a filter like any other. Nobody waits for mirrored requests, so they
//!   count neither as managed nor as unmanaged traffic.
//! - A Service that stands twice in a rule (two ports, or different filters) is observed with the sum of its weights. Raising
//!   the canary in such a rule is refused; taking its weight away is possible, and what it carried goes to the first entry of
//!   the stable Service.
//! - Rules that steps add (`setHeaderRoute`, `setMirrorRoute`) stand before all others. They are in `managed_routes`; a mirror
//!   rule is a copy of a managed rule, and its weights follow the split.
//! - Taking the canary's weight away does not fail for a configured rule name that is gone, as long as a managed rule is left:
//!   an abort must get through.
//!
//! Patches replace the whole list of rules, as merge patches must, by the list just read, under its resourceVersion. The members
//! of each JSON object in it keep their order; nothing here relies on it.

mod managed_routes;
mod release;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    Moving, ObjectRef, Observed, RouterProblem, Weights, managed_fields,
    object::{generation, metadata, moving as read_moving, route_moving_annotation},
    registry::Pair,
    routers::{
        backend_weights::{Role, resplit},
        gateway_status::acknowledgement,
        reading::{Backend, Backends, Reader},
    },
};

pub use managed_routes::edit_managed_routes;
pub(crate) use release::rules_at_rest;

/// Where `managedFields` name the rules. The list is owned as a whole.
const RULES_FIELDS: [&str; 2] = ["f:spec", "f:rules"];

/// Which HTTPRoute, and which of its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Name of the HTTPRoute.
    pub name: String,
    /// Namespace of the HTTPRoute where it is not the Rollout's.
    pub namespace: Option<String>,
    /// Names of the rules to manage (`spec.rules[].name`); all rules with both Services where empty.
    pub rules: Vec<String>,
    /// Names of the rules that are ours: `trafficRouting.managedRoutes`.
    pub managed_routes: Vec<String>,
}

/// The object that the configuration names.
pub fn object(config: &Config, namespace: &str) -> ObjectRef {
    ObjectRef {
        api_version: "gateway.networking.k8s.io/v1".to_owned(),
        kind: "HTTPRoute".to_owned(),
        namespace: config.namespace.clone().unwrap_or_else(|| namespace.to_owned()),
        name: config.name.clone(),
    }
}

/// Reads an HTTPRoute.
///
/// A managed rule is given as the weights of stable and canary alone, an unmanaged one as those of all its backends. A backend
/// that is not a Service of the route's namespace has a name with a `/` in it there.
pub fn observe(config: &Config, object: &Value, pair: Pair<'_>) -> Result<Observed, RouterProblem> {
    let route = Route::read(config, object, pair)?;
    let managed = route.managed(&config.rules, false)?;
    let unmanaged =
        |rule: &&Rule| rule.backends.names_either() && !managed.iter().any(|other| other.index == rule.index);
    Ok(Observed {
        managed: managed.iter().map(|rule| rule.backends.pair_weights()).collect(),
        unmanaged: route
            .rules
            .iter()
            .filter(unmanaged)
            .map(|rule| rule.backends.weights(|_| true))
            .collect(),
        acknowledgement: acknowledgement(object, &route.reader.reference.namespace)
            .map_err(|(path, problem)| route.reader.problem(path, problem))?,
        moving: read_moving(object, &route_moving_annotation(pair)),
        foreign_manager: managed_fields::foreign_manager(object, &RULES_FIELDS),
        generation: generation(object),
        outdated: false,
    })
}

/// Edits an HTTPRoute: the patch that splits every managed rule as wanted and records `moving`; `None` where all of them
/// already are split so, whatever the record says.
pub fn edit(
    config: &Config,
    object: &Value,
    pair: Pair<'_>,
    wanted: &Weights,
    moving: &Moving,
) -> Result<Option<Value>, RouterProblem> {
    let route = Route::read(config, object, pair)?;
    let wanted = route.reader.wanted(wanted, "spec.rules")?;
    let mut rules = object.pointer("/spec/rules").cloned().unwrap_or_default();
    let mut changed = false;
    for rule in route.managed(&config.rules, wanted.is_retreat())? {
        let split = resplit(&rule.backends.roles(), wanted).map_err(|text| route.reader.problem(rule.path(), text))?;
        for (index, weight) in split.into_iter().flatten().enumerate() {
            if rule.backends.0[index].weight != weight {
                rules[rule.index]["backendRefs"][index]["weight"] = json!(weight);
                changed = true;
            }
        }
    }
    if !changed {
        return Ok(None);
    }
    let mut patch = route.reader.record(object, moving)?;
    patch["spec"] = json!({ "rules": rules });
    Ok(Some(patch))
}

/// The patch that only records `moving` and leaves the rules alone; `None` where it is recorded already. It changes neither the
/// generation nor what the data plane does.
pub fn annotate(
    config: &Config,
    object: &Value,
    pair: Pair<'_>,
    moving: &Moving,
) -> Result<Option<Value>, RouterProblem> {
    reader(config, object, pair).annotate(object, moving)
}

/// When the rules were last written by anybody, in whole seconds, where managedFields tell.
pub fn last_write(object: &Value) -> Option<Timestamp> {
    managed_fields::last_write(object, &RULES_FIELDS)
}

/// An HTTPRoute as far as weights go.
struct Route<'a> {
    reader: Reader<'a>,
    rules: Vec<Rule>,
}

struct Rule {
    index: usize,
    name: Option<String>,
    backends: Backends,
    /// Whether it is one of our managed routes.
    is_ours: bool,
}

impl<'a> Route<'a> {
    fn read(config: &Config, object: &Value, pair: Pair<'a>) -> Result<Route<'a>, RouterProblem> {
        let reader = reader(config, object, pair);
        let mut rules = vec![];
        let list = reader.list(object.pointer("/spec/rules"), "spec.rules")?;
        for (index, rule) in list.iter().enumerate() {
            let path = format!("spec.rules[{index}]");
            let fields = reader.object(rule, &path)?;
            let name = reader.text(fields, "name", &path)?.map(str::to_owned);
            let path = format!("{path}.backendRefs");
            let mut backends = vec![];
            for (index, value) in reader.list(fields.get("backendRefs"), &path)?.iter().enumerate() {
                backends.push(backend(&reader, value, &format!("{path}[{index}]"))?);
            }
            rules.push(Rule {
                index,
                name,
                backends: Backends(backends),
                is_ours: false,
            });
        }
        let ours = managed_routes::ours(config, object, pair, &rules);
        for index in ours {
            rules[index].is_ours = true;
        }
        Ok(Route { reader, rules })
    }

    /// The rules to manage: at least one. With `lenient`, names that cannot be served are passed over.
    fn managed(&self, names: &[String], lenient: bool) -> Result<Vec<&Rule>, RouterProblem> {
        let is_meant = |rule: &Rule| names.is_empty() || rule.name.as_ref().is_some_and(|name| names.contains(name));
        let managed: Vec<&Rule> = self
            .rules
            .iter()
            .filter(|rule| rule.backends.can_be_managed() && (rule.is_ours || is_meant(rule)))
            .collect();
        if !managed.is_empty() && lenient {
            return Ok(managed);
        }
        for name in names {
            let mut called = self
                .rules
                .iter()
                .filter(|rule| rule.name.as_ref() == Some(name))
                .peekable();
            if called.peek().is_none() {
                return Err(self.unknown_name(name));
            }
            if let Some(rule) = called.find(|rule| !rule.backends.can_be_managed()) {
                return Err(self.reader.problem(rule.path(), self.why_not(rule)));
            }
        }
        // A copy of ours alone is not what the configuration means.
        if managed.iter().all(|rule| rule.is_ours) {
            Err(self.nothing_to_manage())
        } else {
            Ok(managed)
        }
    }

    fn unknown_name(&self, name: &str) -> RouterProblem {
        let names: Vec<String> = self
            .rules
            .iter()
            .filter_map(|rule| Some(format!("`{}`", rule.name.as_ref()?)))
            .collect();
        let there = if names.is_empty() {
            "its rules have no names".to_owned()
        } else {
            format!("there are {}", names.join(", "))
        };
        self.reader.problem(
            "spec.rules",
            format!("no rule is named `{name}`; {there}: give that name to the rule that is meant"),
        )
    }

    /// What is said when no rule can be managed: of the rule that comes nearest.
    fn nothing_to_manage(&self) -> RouterProblem {
        let nearest = self.rules.iter().filter(|rule| !rule.is_ours).max_by_key(|rule| {
            let has = |role| usize::from(rule.backends.has(role));
            (
                has(Role::Stable) + has(Role::Canary),
                has(Role::Stable),
                std::cmp::Reverse(rule.index),
            )
        });
        match nearest {
            Some(rule) if rule.backends.names_either() => self.reader.problem(rule.path(), self.why_not(rule)),
            _ => {
                let backends: Vec<String> = self
                    .rules
                    .iter()
                    .flat_map(|rule| &rule.backends.0)
                    .map(|backend| format!("`{}`", backend.key))
                    .collect();
                let found = if backends.is_empty() {
                    "no backends at all".to_owned()
                } else {
                    backends.join(", ")
                };
                let Pair { stable, canary } = self.reader.pair;
                let problem = format!(
                    "no rule has the Services `{stable}` (stable) and `{canary}` (canary) among its backendRefs; found {found}: \
                     name both in a rule, `{canary}` with weight 0"
                );
                self.reader.problem("spec.rules", problem)
            }
        }
    }

    fn why_not(&self, rule: &Rule) -> String {
        let Pair { stable, canary } = self.reader.pair;
        let has = |role| rule.backends.has(role);
        match (has(Role::Stable), has(Role::Canary)) {
            (true, true) => format!(
                "`{stable}` and `{canary}` both have weight 0 beside other backends, so that there is nothing to split: \
                 give `{stable}` the weight that the two are to share"
            ),
            (true, false) => format!(
                "has the stable Service `{stable}` and not the canary Service: add a backendRef `{canary}` with weight 0"
            ),
            (false, true) => format!(
                "has the canary Service `{canary}` and not the stable Service: add a backendRef `{stable}` with the weight \
                 that the two are to share"
            ),
            (false, false) => format!(
                "has neither the stable Service `{stable}` nor the canary Service `{canary}`: add backendRefs for both, \
                 `{canary}` with weight 0"
            ),
        }
    }
}

impl Rule {
    fn path(&self) -> String {
        format!("spec.rules[{}].backendRefs", self.index)
    }
}

fn backend(reader: &Reader<'_>, value: &Value, path: &str) -> Result<Backend, RouterProblem> {
    let fields = reader.object(value, path)?;
    let name = reader.text(fields, "name", path)?.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| reader.problem(format!("{path}.name"), "is missing: name a Service"))?;
    let group = reader.text(fields, "group", path)?.unwrap_or_default();
    let kind = reader.text(fields, "kind", path)?.unwrap_or("Service");
    let namespace = reader
        .text(fields, "namespace", path)?
        .filter(|namespace| *namespace != reader.reference.namespace);
    let key = match (group, kind, namespace) {
        ("", "Service", None) => name.to_owned(),
        ("", "Service", Some(namespace)) => format!("{namespace}/{name}"),
        _ => format!(
            "{kind}.{group}/{}/{name}",
            namespace.unwrap_or(&reader.reference.namespace)
        ),
    };
    let role = match key.as_str() {
        key if key == reader.pair.stable => Role::Stable,
        key if key == reader.pair.canary => Role::Canary,
        _ => Role::Foreign,
    };
    let weight = reader.weight(fields, path, 1)?;
    Ok(Backend { role, key, weight })
}

fn reader<'a>(config: &Config, route: &Value, pair: Pair<'a>) -> Reader<'a> {
    Reader {
        reference: own_reference(config, route),
        pair,
    }
}

/// The route under the namespace that it says itself to be in.
fn own_reference(config: &Config, route: &Value) -> ObjectRef {
    let namespace = metadata(route, "namespace")
        .or(config.namespace.as_deref())
        .unwrap_or_default();
    ObjectRef {
        namespace: namespace.to_owned(),
        ..object(config, namespace)
    }
}
