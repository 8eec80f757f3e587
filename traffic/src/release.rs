//! Giving back what a Rollout has moved that is gone: the annotations that we wrote say what is to be undone.
//!
//! - Of a route, the rules that steps have added are taken away, everything goes to the stable Service where the split still is
//!   the one that we wrote, and our annotations go. A split that somebody else has written since is theirs, and stays.
//! - A canary Ingress was made for the Rollout, and is deleted.
//! - The subsets of a DestinationRule no longer name a revision.
//!
//! Services are given back by [`service::release`].
//!
//! # Guarantees
//! - Nothing is changed on a route but by a record of ours for a Service, or a subset, that the Rollout has left behind. So the
//!   rules and records of other Rollouts on the same route stay.
//! - What was given back has no record any more: a second look finds nothing to do.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::{
    MANAGED_BY_ANNOTATION, Moving, ObjectRef, Weights,
    object::{MANAGED_ROUTES_PREFIX, ROUTE_MOVING_PREFIX, annotation, metadata, moving},
    routers::{destination_rule, http_route, ingress, service, virtual_service},
};

/// What a Rollout has left behind that is gone.
#[derive(Clone, Debug)]
pub struct Left<'a> {
    /// Name of the Rollout.
    pub rollout: &'a str,
    /// Its Services.
    pub services: Vec<&'a Value>,
    /// The route objects and DestinationRules of its namespace, whosoever they are.
    pub objects: Vec<&'a Value>,
}

/// How one object is given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// With this merge patch, which names the resourceVersion.
    Patch {
        /// The object.
        object: ObjectRef,
        /// The patch.
        patch: Value,
    },
    /// It was made for the Rollout, and is deleted if it still is this one.
    Delete {
        /// The object.
        object: ObjectRef,
        /// Its uid.
        uid: String,
        /// Its resourceVersion.
        resource_version: String,
    },
}

/// Routes and canary Ingresses that are to be given back. First of all, as traffic must leave the canary before its pods go.
pub fn routes(left: &Left<'_>) -> Vec<Release> {
    let owned = Owned::read(left);
    left.objects
        .iter()
        .filter_map(|object| match kind(object) {
            "HTTPRoute" | "VirtualService" => patch(&owned, object),
            "Ingress" => delete(left, &owned, object),
            _ => None,
        })
        .collect()
}

/// DestinationRules that are to be given back. With `is_marked` they keep the annotations by which routes are known to be the
/// Rollout's: then these are not yet given back.
pub fn destination_rules(left: &Left<'_>, is_marked: bool) -> Vec<Release> {
    let rules = left.objects.iter().filter(|object| is_rule_of(object, left.rollout));
    rules
        .filter_map(|rule| {
            let patch = destination_rule::release(rule, is_marked)?;
            let object = reference(rule);
            Some(Release::Patch { object, patch })
        })
        .collect()
}

/// The merge patches that give the Services back, by name. `is_marked` as with [`destination_rules`].
pub fn services(left: &Left<'_>, is_marked: bool) -> Vec<(String, Value)> {
    let release = if is_marked { service::open } else { service::release };
    let services = left.services.iter();
    services
        .filter_map(|value| Some((metadata(value, "name")?.to_owned(), release(value)?)))
        .collect()
}

/// Names by which records are known to be the Rollout's.
struct Owned<'a> {
    services: BTreeSet<&'a str>,
    /// The host of a DestinationRule, and its subsets.
    subsets: Vec<(&'a str, BTreeSet<&'a str>)>,
}

impl<'a> Owned<'a> {
    fn read(left: &Left<'a>) -> Owned<'a> {
        let rules = left.objects.iter().filter(|object| is_rule_of(object, left.rollout));
        let subsets = rules.map(|rule| {
            let host = rule.pointer("/spec/host").and_then(Value::as_str).unwrap_or_default();
            (host, destination_rule::recorded_subsets(rule).collect())
        });
        Owned {
            services: left
                .services
                .iter()
                .filter_map(|value| metadata(value, "name"))
                .collect(),
            subsets: subsets.collect(),
        }
    }

    /// Whether a record of this name is the Rollout's, because of a subset.
    fn has_subset(&self, name: &str, object: &Value) -> bool {
        self.subsets
            .iter()
            .any(|(host, names)| names.contains(name) && virtual_service::has_host(object, host))
    }
}

/// What a record on a route says about giving it back.
pub(crate) struct Record {
    /// What the names of the record's annotations end with.
    key: String,
    pub stable: String,
    pub canary: String,
    /// Names of the managed rules, where they were configured by name.
    pub rules: Vec<String>,
    /// What we wrote last.
    wrote: Weights,
}

impl Record {
    /// `None` where it does not name two Services, or cannot be read.
    fn new(key: &str, moving: Option<Moving>) -> Option<Record> {
        let Moving { to, rest, .. } = moving?;
        let wrote = to.weights();
        let (rest, rules) = rest.map_or((None, vec![]), |rest| (Some(rest.stable), rest.rules));
        // A record without it is of a route at rest, or of a version that did not write it: the greater part is stable.
        let greatest = || wrote.by_service.iter().max_by_key(|(_, weight)| **weight);
        let stable = rest.or_else(|| Some(greatest()?.0.clone()))?;
        let mut others = wrote.by_service.keys().filter(|name| **name != stable);
        let canary = match (others.next(), others.next()) {
            (Some(canary), None) => canary.clone(),
            _ => return None,
        };
        Some(Record {
            key: key.to_owned(),
            stable,
            canary,
            rules,
            wrote,
        })
    }

    /// Whether weights are those that we wrote last.
    pub fn wrote(&self, weights: &Weights) -> bool {
        weights.same_shares(&self.wrote)
    }

    /// The names of the rules that steps have added, by our record of them.
    pub fn recorded_names(&self, object: &Value) -> Vec<String> {
        let recorded: Vec<Value> = annotation(object, &format!("{MANAGED_ROUTES_PREFIX}{}", self.key))
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        let names = recorded.iter().filter_map(|rule| rule.get("name")?.as_str());
        names.map(str::to_owned).collect()
    }
}

/// The keys of the records on an object that are the Rollout's, and whether that is because of a subset.
fn keys<'o>(owned: &Owned<'_>, object: &'o Value) -> BTreeMap<&'o str, bool> {
    let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
    let names = annotations.into_iter().flat_map(Map::keys);
    names
        .filter_map(|name| {
            let key = name.strip_prefix(ROUTE_MOVING_PREFIX);
            let key = key.or_else(|| name.strip_prefix(MANAGED_ROUTES_PREFIX))?;
            let has_subsets = owned.has_subset(key, object);
            (has_subsets || owned.services.contains(key)).then_some((key, has_subsets))
        })
        .collect()
}

fn patch(owned: &Owned<'_>, object: &Value) -> Option<Release> {
    let version = metadata(object, "resourceVersion")?;
    let mut annotations = Map::new();
    let mut spec = Map::new();
    let mut after = object.clone();
    for (key, has_subsets) in keys(owned, object) {
        for prefix in [ROUTE_MOVING_PREFIX, MANAGED_ROUTES_PREFIX] {
            let name = format!("{prefix}{key}");
            if annotation(object, &name).is_some() {
                annotations.insert(name, Value::Null);
            }
        }
        let Some(record) = Record::new(key, moving(object, &format!("{ROUTE_MOVING_PREFIX}{key}"))) else {
            continue;
        };
        let lists = match kind(object) {
            "HTTPRoute" => http_route::rules_at_rest(&after, &record),
            _ => virtual_service::routes_at_rest(&after, &record, has_subsets),
        };
        // A route that cannot be read is not one that we could have written: it only loses the record.
        for (field, list) in lists.into_iter().flatten() {
            after["spec"][&field] = list.clone();
            spec.insert(field, list);
        }
    }
    if annotations.is_empty() {
        return None;
    }
    let mut patch = json!({ "metadata": { "resourceVersion": version, "annotations": annotations } });
    if !spec.is_empty() {
        patch["spec"] = Value::Object(spec);
    }
    let object = reference(object);
    Some(Release::Patch { object, patch })
}

/// A canary Ingress has a record of ours and no other owner than the Rollout. Where it has none, its owner is gone already.
fn delete(left: &Left<'_>, owned: &Owned<'_>, object: &Value) -> Option<Release> {
    if keys(owned, object).is_empty() || !ingress::is_left_by(object, left.rollout) {
        return None;
    }
    Some(Release::Delete {
        object: reference(object),
        uid: metadata(object, "uid")?.to_owned(),
        resource_version: metadata(object, "resourceVersion")?.to_owned(),
    })
}

fn is_rule_of(object: &Value, rollout: &str) -> bool {
    kind(object) == "DestinationRule" && annotation(object, MANAGED_BY_ANNOTATION) == Some(rollout)
}

fn kind(object: &Value) -> &str {
    object.get("kind").and_then(Value::as_str).unwrap_or_default()
}

fn reference(object: &Value) -> ObjectRef {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    ObjectRef {
        api_version: text("apiVersion"),
        kind: text("kind"),
        namespace: metadata(object, "namespace").unwrap_or_default().to_owned(),
        name: metadata(object, "name").unwrap_or_default().to_owned(),
    }
}
