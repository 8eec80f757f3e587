//! The canary Ingress of ingress-nginx (`networking.k8s.io/v1`), which other controllers honour too.
//!
//! The user has an Ingress that serves the stable Service. We make a second one, the *canary Ingress*, with the same hosts and
//! paths and the canary Service behind them; an annotation says how much of the traffic it gets. While there is none, the canary
//! gets nothing.
//!
//! - Copied from the stable Ingress, and kept as they are there: TLS, the class (field and annotation), and the paths that
//!   lead to the stable Service. Paths to other Services have no canary.
//! - Annotations that the configuration adds are written as they are; `canary`, `canary-weight` and `canary-weight-total` are
//!   ours. Others with the same prefix are removed again: the object is ours, and what is left over from an earlier configuration
//!   could move traffic (`canary-by-header`). Annotations of other prefixes stay.
//! - What cannot be read counts as if the canary got everything: the next write makes it right.
//! - Taking the canary's weight away does not fail where the stable Ingress is gone or has no such path any more: an abort must
//!   get through.
//!
//! An Ingress has no acknowledgement. Annotations do not even change its generation: the drain time does it all.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    Acknowledgement, Moving, ObjectRef, Observed, RouterProblem, Weights, managed_fields,
    object::{annotation, generation, metadata, moving as read_moving, moving_text, route_moving_annotation},
    registry::Pair,
    routers::reading::Reader,
};

/// The longest name of an object.
const MAX_NAME: usize = 253;
const SUFFIX: &str = "-canary";
/// The class of an Ingress before there was a field for it.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
/// Annotations (below the prefix) by which requests reach the canary whatever its weight.
const BY_REQUEST: [&str; 2] = ["canary-by-header", "canary-by-cookie"];

/// Which Ingresses, and what the canary Ingress is to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Name of the Ingress that serves the stable Service.
    pub stable_ingress: String,
    /// Name of the canary Ingress: [`canary_name`].
    pub canary_ingress: String,
    /// Prefix of the annotations, without the `/`.
    pub annotation_prefix: String,
    /// Further annotations of the canary Ingress, to which the prefix is added where they have not got it.
    pub additional_annotations: BTreeMap<String, String>,
    /// Further annotations of the canary Ingress, as they are.
    pub canary_annotations: BTreeMap<String, String>,
    /// What all the traffic is, where it is not 100.
    pub max_weight: Option<u32>,
}

/// The name of the canary Ingress, `ROLLOUT-STABLE-canary`, of which the first two parts are cut where it would be too long.
pub fn canary_name(rollout: &str, stable_ingress: &str) -> String {
    let mut name = format!("{rollout}-{stable_ingress}");
    while name.len() > MAX_NAME - SUFFIX.len() || name.ends_with('.') {
        name.pop();
    }
    name + SUFFIX
}

/// The canary Ingress.
pub fn object(config: &Config, namespace: &str) -> ObjectRef {
    reference(namespace, &config.canary_ingress)
}

/// The Ingress that the canary Ingress is copied from.
pub fn source(config: &Config, namespace: &str) -> ObjectRef {
    reference(namespace, &config.stable_ingress)
}

/// Whether an object is controlled by the owner with this uid.
pub fn is_owned_by(canary: &Value, uid: &str) -> bool {
    let owners = canary.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let mut owners = owners.into_iter().flatten();
    owners.any(|owner| owner["controller"] == true && owner["uid"] == uid)
}

/// Whether an Ingress is a canary's whose only controller, if it has one at all, is a Rollout of this name.
pub(crate) fn is_left_by(canary: &Value, rollout: &str) -> bool {
    let is_canary = metadata(canary, "name").is_some_and(|name| name.ends_with(SUFFIX));
    let owners = canary.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let mut controllers = owners.into_iter().flatten().filter(|owner| owner["controller"] == true);
    is_canary && controllers.all(|owner| owner["kind"] == "Rollout" && owner["name"] == rollout)
}

/// Reads the canary Ingress; `None` is one that is absent, so that the canary gets nothing.
///
/// Its weights are the one managed rule; that annotations send some requests to the canary whatever its weight is an unmanaged
/// one. With the stable Ingress, [`Observed::outdated`] says whether what was copied from it is still so.
pub fn observe(
    config: &Config,
    canary: Option<&Value>,
    stable: Option<&Value>,
    pair: Pair<'_>,
) -> Result<Observed, RouterProblem> {
    let Some(object) = canary else {
        return Ok(Observed {
            managed: vec![weights(pair, config.total(), 0)],
            unmanaged: vec![],
            acknowledgement: Acknowledgement::Acknowledged,
            moving: None,
            foreign_manager: None,
            generation: 0,
            outdated: false,
        });
    };
    let by_request = BY_REQUEST
        .iter()
        .any(|name| annotation(object, &config.key(name)).is_some());
    let outdated = stable
        .and_then(|stable| wanted_object(config, stable, pair, None).ok())
        .is_some_and(|wanted| difference(config, object, &wanted).is_some());
    Ok(Observed {
        managed: vec![read_weights(config, object, pair)],
        unmanaged: if by_request {
            vec![Weights {
                by_service: [(pair.canary.to_owned(), 1)].into(),
            }]
        } else {
            vec![]
        },
        acknowledgement: Acknowledgement::Acknowledged,
        moving: read_moving(object, &route_moving_annotation(pair)),
        foreign_manager: managed_fields::foreign_manager(object, &config.owned().each_ref().map(String::as_str)),
        generation: generation(object),
        outdated,
    })
}

/// The canary Ingress to create, which records `moving`. Namespace, owner and labels are the caller's to add.
///
/// Refused: a stable Ingress without a path to the stable Service, and a split that is not a whole number of the total.
pub fn create(
    config: &Config,
    stable: &Value,
    pair: Pair<'_>,
    wanted: &Weights,
    moving: &Moving,
) -> Result<Value, RouterProblem> {
    let weight = canary_weight(config, stable, pair, wanted)?;
    let Wanted { annotations, spec } = wanted_object(config, stable, pair, Some(weight))?;
    let mut annotations: BTreeMap<String, String> = annotations
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect();
    annotations.insert(route_moving_annotation(pair), moving_text(moving));
    Ok(json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": { "name": config.canary_ingress, "annotations": annotations },
        "spec": without_nulls(spec),
    }))
}

/// The merge patch that brings weight and copied fields of the canary Ingress up to date and records `moving`, with its
/// resourceVersion in it; `None` where all is so already.
pub fn edit(
    config: &Config,
    canary: &Value,
    stable: Option<&Value>,
    pair: Pair<'_>,
    wanted: &Weights,
    moving: &Moving,
) -> Result<Option<Value>, RouterProblem> {
    let weight = canary_weight(config, canary, pair, wanted)?;
    let source = stable.ok_or_else(|| {
        let reader = reader(&config.stable_ingress, canary, pair);
        reader.problem(
            "metadata",
            "is missing: it is the Ingress that the canary's is copied from",
        )
    });
    let wanted = match source.and_then(|stable| wanted_object(config, stable, pair, Some(weight))) {
        Err(_) if weight == 0 => Wanted {
            annotations: config.annotations(Some(0)),
            spec: Map::new(),
        },
        wanted => wanted?,
    };
    let Some(mut change) = difference(config, canary, &wanted) else {
        return Ok(None);
    };
    let record = reader(&config.canary_ingress, canary, pair).record(canary, moving)?;
    change["metadata"]["resourceVersion"] = record["metadata"]["resourceVersion"].clone();
    for (key, value) in record["metadata"]["annotations"].as_object().into_iter().flatten() {
        change["metadata"]["annotations"][key] = value.clone();
    }
    Ok(Some(change))
}

/// The patch that only records `moving`; `None` where it is recorded already.
pub fn annotate(
    config: &Config,
    canary: &Value,
    pair: Pair<'_>,
    moving: &Moving,
) -> Result<Option<Value>, RouterProblem> {
    reader(&config.canary_ingress, canary, pair).annotate(canary, moving)
}

/// When the weight was last written by anybody, in whole seconds, where managedFields tell.
pub fn last_write(config: &Config, canary: &Value) -> Option<Timestamp> {
    managed_fields::last_write(canary, &config.owned().each_ref().map(String::as_str))
}

impl Config {
    fn total(&self) -> u32 {
        self.max_weight.unwrap_or(100)
    }

    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.annotation_prefix)
    }

    /// Where `managedFields` name the weight.
    fn owned(&self) -> [String; 3] {
        let weight = format!("f:{}", self.key("canary-weight"));
        ["f:metadata".to_owned(), "f:annotations".to_owned(), weight]
    }

    /// The annotations that do not depend on the stable Ingress; without `weight` all but the weight itself.
    fn annotations(&self, weight: Option<u32>) -> BTreeMap<String, Option<String>> {
        let with_prefix = |name: &String| {
            if name.starts_with(&self.key("")) {
                name.clone()
            } else {
                self.key(name)
            }
        };
        let additional = self
            .additional_annotations
            .iter()
            .map(|(name, value)| (with_prefix(name), value));
        let as_is = self
            .canary_annotations
            .iter()
            .map(|(name, value)| (name.clone(), value));
        let mut annotations: BTreeMap<String, Option<String>> = additional
            .chain(as_is)
            .map(|(key, value)| (key, Some(value.clone())))
            .collect();
        annotations.insert(self.key("canary"), Some("true".to_owned()));
        annotations.insert(
            self.key("canary-weight-total"),
            self.max_weight.map(|total| total.to_string()),
        );
        annotations.remove(&self.key("canary-weight"));
        annotations.extend(weight.map(|weight| (self.key("canary-weight"), Some(weight.to_string()))));
        annotations
    }
}

/// What the canary Ingress is to be like. `None` and `Null` are what must not be there.
struct Wanted {
    annotations: BTreeMap<String, Option<String>>,
    spec: Map<String, Value>,
}

/// Without `weight`, whatever the weight is.
fn wanted_object(
    config: &Config,
    stable: &Value,
    pair: Pair<'_>,
    weight: Option<u32>,
) -> Result<Wanted, RouterProblem> {
    let class = annotation(stable, CLASS_ANNOTATION).map(str::to_owned);
    let mut annotations = BTreeMap::from([(CLASS_ANNOTATION.to_owned(), class)]);
    annotations.extend(config.annotations(weight));
    let copied = |field: &str| {
        stable
            .get("spec")
            .and_then(|spec| spec.get(field))
            .cloned()
            .unwrap_or_default()
    };
    let mut spec = Map::new();
    for field in ["ingressClassName", "tls"] {
        spec.insert(field.to_owned(), copied(field));
    }
    spec.insert("rules".to_owned(), Value::Array(canary_rules(config, stable, pair)?));
    Ok(Wanted { annotations, spec })
}

/// The rules of the stable Ingress with the paths that lead to the stable Service, to the canary Service.
fn canary_rules(config: &Config, stable: &Value, pair: Pair<'_>) -> Result<Vec<Value>, RouterProblem> {
    let reader = reader(&config.stable_ingress, stable, pair);
    let mut rules = vec![];
    for (index, rule) in reader
        .list(stable.pointer("/spec/rules"), "spec.rules")?
        .iter()
        .enumerate()
    {
        let at = format!("spec.rules[{index}].http.paths");
        let mut paths = vec![];
        for path in reader.list(rule.pointer("/http/paths"), &at)? {
            if path.pointer("/backend/service/name").and_then(Value::as_str) == Some(pair.stable) {
                let mut path = path.clone();
                path["backend"]["service"]["name"] = json!(pair.canary);
                paths.push(path);
            }
        }
        if !paths.is_empty() {
            let mut rule = rule.clone();
            rule["http"]["paths"] = Value::Array(paths);
            rules.push(rule);
        }
    }
    if rules.is_empty() {
        let (ingress, service) = (&config.stable_ingress, pair.stable);
        let problem = format!("ingress `{ingress}` has no rules using service {service} backend");
        return Err(reader.problem("spec.rules", problem));
    }
    Ok(rules)
}

/// The weight that the canary is to have, in parts of the total.
fn canary_weight(config: &Config, object: &Value, pair: Pair<'_>, wanted: &Weights) -> Result<u32, RouterProblem> {
    let reader = reader(&config.canary_ingress, object, pair);
    let path = "metadata.annotations";
    let (stable, canary) = reader.wanted(wanted, path)?.parts();
    let (total, parts) = (u64::from(config.total()), stable + canary);
    if !(total * canary).is_multiple_of(parts) {
        let problem = format!(
            "the split {stable}:{canary} cannot be written in whole parts of {total}: set maxTrafficWeight to a multiple of {parts}"
        );
        return Err(reader.problem(path, problem));
    }
    Ok(u32::try_from(total * canary / parts).expect("a part of a u32 is a u32"))
}

/// The weights as the annotations have them. What cannot be read gives the canary everything.
fn read_weights(config: &Config, object: &Value, pair: Pair<'_>) -> Weights {
    let value = |name: &str| annotation(object, &config.key(name));
    let number = |name: &str, absent: u32| value(name).map_or(Some(absent), |text| text.trim().parse::<u32>().ok());
    let total = number("canary-weight-total", 100).filter(|total| *total > 0);
    let all = total.unwrap_or_else(|| config.total());
    let canary = match (value("canary"), total, number("canary-weight", 0)) {
        (Some("true"), Some(_), Some(weight)) => weight.min(all),
        _ => all,
    };
    weights(pair, all - canary, canary)
}

fn weights(pair: Pair<'_>, stable: u32, canary: u32) -> Weights {
    Weights {
        by_service: [(pair.stable.to_owned(), stable), (pair.canary.to_owned(), canary)].into(),
    }
}

/// The patch from the canary Ingress as it is to what is wanted, without resourceVersion and record.
fn difference(config: &Config, object: &Value, wanted: &Wanted) -> Option<Value> {
    let present = object.pointer("/metadata/annotations").and_then(Value::as_object);
    let mut annotations = Map::new();
    for (key, value) in &wanted.annotations {
        let is = present
            .and_then(|present| present.get(key))
            .filter(|value| !value.is_null());
        if is.and_then(Value::as_str) != value.as_deref() {
            annotations.insert(key.clone(), json!(value));
        }
    }
    let weight = config.key("canary-weight");
    let is_left_over =
        |key: &str| key.starts_with(&config.key("")) && key != weight && !wanted.annotations.contains_key(key);
    for key in present.into_iter().flat_map(Map::keys).filter(|key| is_left_over(key)) {
        annotations.insert(key.clone(), Value::Null);
    }
    let mut spec = Map::new();
    for (field, value) in &wanted.spec {
        if object
            .get("spec")
            .and_then(|spec| spec.get(field))
            .unwrap_or(&Value::Null)
            != value
        {
            spec.insert(field.clone(), value.clone());
        }
    }
    if annotations.is_empty() && spec.is_empty() {
        return None;
    }
    let mut patch = json!({ "metadata": { "annotations": annotations } });
    if !spec.is_empty() {
        patch["spec"] = Value::Object(spec);
    }
    Some(patch)
}

fn without_nulls(spec: Map<String, Value>) -> Map<String, Value> {
    spec.into_iter().filter(|(_, value)| !value.is_null()).collect()
}

fn reference(namespace: &str, name: &str) -> ObjectRef {
    ObjectRef {
        api_version: "networking.k8s.io/v1".to_owned(),
        kind: "Ingress".to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

/// Reads an Ingress of this name, in the namespace that the object says itself to be in.
fn reader<'a>(name: &str, object: &Value, pair: Pair<'a>) -> Reader<'a> {
    Reader {
        reference: reference(metadata(object, "namespace").unwrap_or_default(), name),
        pair,
    }
}
