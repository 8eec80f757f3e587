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
//! - Taking the canary's weight away does not fail for a configured rule name that is gone, as long as a managed rule is left:
//!   an abort must get through.
//!
//! Patches replace the whole list of rules, as merge patches must, by the list just read, under its resourceVersion. The members
//! of each JSON object in it keep their order; nothing here relies on it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    Moving, ObjectRef, Observed, RouterProblem, Weights, managed_fields,
    object::{annotation, generation, metadata, moving as read_moving, moving_text, route_moving_annotation},
    registry::Pair,
    routers::{
        backend_weights::{MAX_WEIGHT, Role, Wanted, count, resplit, sum},
        gateway_status::acknowledgement,
    },
};

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
    let unmanaged = |rule: &&Rule| rule.names_either() && !managed.iter().any(|other| other.index == rule.index);
    Ok(Observed {
        managed: managed
            .iter()
            .map(|rule| rule.weights(|backend| backend.role != Role::Foreign))
            .collect(),
        unmanaged: route
            .rules
            .iter()
            .filter(unmanaged)
            .map(|rule| rule.weights(|_| true))
            .collect(),
        acknowledgement: acknowledgement(object, &route.reference.namespace)
            .map_err(|(path, problem)| route.problem(path, problem))?,
        moving: read_moving(object, &route_moving_annotation(pair)),
        foreign_manager: managed_fields::foreign_manager(object, &RULES_FIELDS),
        generation: generation(object),
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
    let wanted = route.wanted(wanted)?;
    let mut rules = object.pointer("/spec/rules").cloned().unwrap_or_default();
    let mut changed = false;
    for rule in route.managed(&config.rules, wanted.is_retreat())? {
        let split = resplit(&rule.roles(), wanted).map_err(|text| route.problem(rule.path(), text))?;
        for (index, weight) in split.into_iter().flatten().enumerate() {
            if rule.backends[index].weight != weight {
                rules[rule.index]["backendRefs"][index]["weight"] = json!(weight);
                changed = true;
            }
        }
    }
    if !changed {
        return Ok(None);
    }
    let mut patch = route.record(object, moving)?;
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
    if annotation(object, &route_moving_annotation(pair)) == Some(moving_text(moving).as_str()) {
        return Ok(None);
    }
    Route {
        reference: own_reference(config, object),
        pair,
        rules: vec![],
    }
    .record(object, moving)
    .map(Some)
}

/// When the rules were last written by anybody, in whole seconds, where managedFields tell.
pub fn last_write(object: &Value) -> Option<Timestamp> {
    managed_fields::last_write(object, &RULES_FIELDS)
}

/// An HTTPRoute as far as weights go.
struct Route<'a> {
    reference: ObjectRef,
    pair: Pair<'a>,
    rules: Vec<Rule>,
}

struct Rule {
    index: usize,
    name: Option<String>,
    backends: Vec<Backend>,
}

struct Backend {
    role: Role,
    /// Name of the Service; with a `/` in it where it is something else.
    key: String,
    weight: u32,
}

impl<'a> Route<'a> {
    fn read(config: &Config, object: &Value, pair: Pair<'a>) -> Result<Route<'a>, RouterProblem> {
        let mut route = Route {
            reference: own_reference(config, object),
            pair,
            rules: vec![],
        };
        for (index, rule) in route
            .list(object.pointer("/spec/rules"), "spec.rules")?
            .iter()
            .enumerate()
        {
            let path = format!("spec.rules[{index}]");
            let fields = route.object(rule, &path)?;
            let name = route.text(fields, "name", &path)?.map(str::to_owned);
            let path = format!("{path}.backendRefs");
            let mut backends = vec![];
            for (index, backend) in route.list(fields.get("backendRefs"), &path)?.iter().enumerate() {
                backends.push(route.backend(backend, &format!("{path}[{index}]"))?);
            }
            route.rules.push(Rule { index, name, backends });
        }
        Ok(route)
    }

    fn backend(&self, value: &Value, path: &str) -> Result<Backend, RouterProblem> {
        let fields = self.object(value, path)?;
        let name = self.text(fields, "name", path)?.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| self.problem(format!("{path}.name"), "is missing: name a Service"))?;
        let group = self.text(fields, "group", path)?.unwrap_or_default();
        let kind = self.text(fields, "kind", path)?.unwrap_or("Service");
        let namespace = self
            .text(fields, "namespace", path)?
            .filter(|namespace| *namespace != self.reference.namespace);
        let weight = match fields.get("weight") {
            None | Some(Value::Null) => 1,
            Some(weight) => {
                let number = weight.as_u64().and_then(|weight| u32::try_from(weight).ok());
                number.filter(|weight| *weight <= MAX_WEIGHT).ok_or_else(|| {
                    let problem = format!("is {weight}: write a whole number from 0 to {MAX_WEIGHT}");
                    self.problem(format!("{path}.weight"), problem)
                })?
            }
        };
        let key = match (group, kind, namespace) {
            ("", "Service", None) => name.to_owned(),
            ("", "Service", Some(namespace)) => format!("{namespace}/{name}"),
            _ => format!(
                "{kind}.{group}/{}/{name}",
                namespace.unwrap_or(&self.reference.namespace)
            ),
        };
        let role = match key.as_str() {
            key if key == self.pair.stable => Role::Stable,
            key if key == self.pair.canary => Role::Canary,
            _ => Role::Foreign,
        };
        Ok(Backend { role, key, weight })
    }

    /// The rules to manage: at least one. With `lenient`, names that cannot be served are passed over.
    fn managed(&self, names: &[String], lenient: bool) -> Result<Vec<&Rule>, RouterProblem> {
        let wanted = |rule: &&Rule| names.is_empty() || rule.name.as_ref().is_some_and(|name| names.contains(name));
        let managed: Vec<&Rule> = self
            .rules
            .iter()
            .filter(wanted)
            .filter(|rule| rule.can_be_managed())
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
            if let Some(rule) = called.find(|rule| !rule.can_be_managed()) {
                return Err(self.problem(rule.path(), self.why_not(rule)));
            }
        }
        if managed.is_empty() {
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
        self.problem(
            "spec.rules",
            format!("no rule is named `{name}`; {there}: give that name to the rule that is meant"),
        )
    }

    /// What is said when no rule can be managed: of the rule that comes nearest.
    fn nothing_to_manage(&self) -> RouterProblem {
        let nearest = self.rules.iter().max_by_key(|rule| {
            let has = |role| usize::from(count(&rule.roles(), role) > 0);
            (
                has(Role::Stable) + has(Role::Canary),
                has(Role::Stable),
                std::cmp::Reverse(rule.index),
            )
        });
        match nearest {
            Some(rule) if rule.names_either() => self.problem(rule.path(), self.why_not(rule)),
            _ => {
                let backends: Vec<String> = self
                    .rules
                    .iter()
                    .flat_map(|rule| &rule.backends)
                    .map(|backend| format!("`{}`", backend.key))
                    .collect();
                let found = if backends.is_empty() {
                    "no backends at all".to_owned()
                } else {
                    backends.join(", ")
                };
                let Pair { stable, canary } = self.pair;
                let problem = format!(
                    "no rule has the Services `{stable}` (stable) and `{canary}` (canary) among its backendRefs; found {found}: \
                     name both in a rule, `{canary}` with weight 0"
                );
                self.problem("spec.rules", problem)
            }
        }
    }

    fn why_not(&self, rule: &Rule) -> String {
        let Pair { stable, canary } = self.pair;
        let has = |role| count(&rule.roles(), role) > 0;
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

    fn wanted(&self, wanted: &Weights) -> Result<Wanted, RouterProblem> {
        let weight = |service: &str| wanted.by_service.get(service).copied().unwrap_or(0);
        let other = wanted.by_service.iter().find(|(service, weight)| {
            **weight > 0 && service.as_str() != self.pair.stable && service.as_str() != self.pair.canary
        });
        if let Some((service, _)) = other {
            let problem = format!(
                "the wanted split gives traffic to `{service}`, which is neither the stable nor the canary Service"
            );
            return Err(self.problem("spec.rules", problem));
        }
        Wanted::new(weight(self.pair.stable), weight(self.pair.canary)).ok_or_else(|| {
            self.problem(
                "spec.rules",
                "the wanted split gives traffic to nobody: stable or canary must have some",
            )
        })
    }

    fn record(&self, object: &Value, moving: &Moving) -> Result<Value, RouterProblem> {
        let version = metadata(object, "resourceVersion").ok_or_else(|| {
            self.problem(
                "metadata.resourceVersion",
                "is missing: the route must be as the API server returned it",
            )
        })?;
        let annotations = BTreeMap::from([(route_moving_annotation(self.pair), moving_text(moving))]);
        Ok(json!({ "metadata": { "resourceVersion": version, "annotations": annotations } }))
    }

    fn list<'v>(&self, value: Option<&'v Value>, path: &str) -> Result<&'v [Value], RouterProblem> {
        match value {
            None | Some(Value::Null) => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => Err(self.problem(path, "is not a list")),
        }
    }

    fn object<'v>(&self, value: &'v Value, path: &str) -> Result<&'v Map<String, Value>, RouterProblem> {
        value.as_object().ok_or_else(|| self.problem(path, "is not an object"))
    }

    fn text<'v>(
        &self,
        fields: &'v Map<String, Value>,
        field: &str,
        path: &str,
    ) -> Result<Option<&'v str>, RouterProblem> {
        match fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.problem(format!("{path}.{field}"), "is not a text")),
        }
    }

    fn problem(&self, path: impl Into<String>, problem: impl Into<String>) -> RouterProblem {
        RouterProblem {
            object: Box::new(self.reference.clone()),
            path: path.into(),
            problem: problem.into(),
        }
    }
}

impl Rule {
    fn roles(&self) -> Vec<(Role, u32)> {
        self.backends
            .iter()
            .map(|backend| (backend.role, backend.weight))
            .collect()
    }

    fn names_either(&self) -> bool {
        self.backends.iter().any(|backend| backend.role != Role::Foreign)
    }

    fn can_be_managed(&self) -> bool {
        let roles = self.roles();
        let both = count(&roles, Role::Stable) > 0 && count(&roles, Role::Canary) > 0;
        let weighs = sum(&roles, Role::Stable) + sum(&roles, Role::Canary) > 0;
        both && (weighs || sum(&roles, Role::Foreign) == 0)
    }

    fn weights(&self, of: impl Fn(&Backend) -> bool) -> Weights {
        let mut by_service = BTreeMap::new();
        for backend in self.backends.iter().filter(|backend| of(backend)) {
            let weight: &mut u32 = by_service.entry(backend.key.clone()).or_default();
            *weight = weight.saturating_add(backend.weight);
        }
        Weights { by_service }
    }

    fn path(&self) -> String {
        format!("spec.rules[{}].backendRefs", self.index)
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
