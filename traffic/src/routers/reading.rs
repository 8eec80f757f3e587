//! Reading the JSON of an object field by field, with problems that name the object and the field, and what every route needs
//! besides: the backends of one rule, and the record that goes with each write.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    Moving, ObjectRef, RouterProblem, Weights,
    object::{annotation, metadata, moving_text, route_moving_annotation},
    registry::Pair,
    routers::backend_weights::{MAX_WEIGHT, Role, Wanted, count, sum},
};

/// An object that is being read for a pair.
pub(super) struct Reader<'a> {
    pub reference: ObjectRef,
    pub pair: Pair<'a>,
}

/// One backend of a rule.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    pub role: Role,
    /// What stands for the backend in [`Weights`]: of the pair its name there, of others a text that no name of the pair can be.
    pub key: String,
    pub weight: u32,
}

/// The backends of one rule, in its order.
#[derive(Clone, Debug, Default)]
pub(super) struct Backends(pub Vec<Backend>);

impl Reader<'_> {
    pub fn list<'v>(&self, value: Option<&'v Value>, path: &str) -> Result<&'v [Value], RouterProblem> {
        match value {
            None | Some(Value::Null) => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => Err(self.problem(path, "is not a list")),
        }
    }

    pub fn object<'v>(&self, value: &'v Value, path: &str) -> Result<&'v Map<String, Value>, RouterProblem> {
        value.as_object().ok_or_else(|| self.problem(path, "is not an object"))
    }

    pub fn text<'v>(
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

    /// The weight of a backend, `absent` where none is written.
    pub fn weight(&self, fields: &Map<String, Value>, path: &str, absent: u32) -> Result<u32, RouterProblem> {
        match fields.get("weight") {
            None | Some(Value::Null) => Ok(absent),
            Some(weight) => {
                let number = weight.as_u64().and_then(|weight| u32::try_from(weight).ok());
                number.filter(|weight| *weight <= MAX_WEIGHT).ok_or_else(|| {
                    let problem = format!("is {weight}: write a whole number from 0 to {MAX_WEIGHT}");
                    self.problem(format!("{path}.weight"), problem)
                })
            }
        }
    }

    /// The wanted split in lowest terms. `path` is where the problem is seen if it gives traffic to others, or to nobody.
    pub fn wanted(&self, wanted: &Weights, path: &str) -> Result<Wanted, RouterProblem> {
        let weight = |service: &str| wanted.by_service.get(service).copied().unwrap_or(0);
        let other = wanted.by_service.iter().find(|(service, weight)| {
            **weight > 0 && service.as_str() != self.pair.stable && service.as_str() != self.pair.canary
        });
        if let Some((service, _)) = other {
            let problem = format!(
                "the wanted split gives traffic to `{service}`, which is neither the stable nor the canary Service"
            );
            return Err(self.problem(path, problem));
        }
        Wanted::new(weight(self.pair.stable), weight(self.pair.canary)).ok_or_else(|| {
            self.problem(
                path,
                "the wanted split gives traffic to nobody: stable or canary must have some",
            )
        })
    }

    /// A patch with the object's resourceVersion and the record of this pair. What else it changes is added to it.
    pub fn record(&self, object: &Value, moving: &Moving) -> Result<Value, RouterProblem> {
        let version = metadata(object, "resourceVersion").ok_or_else(|| {
            self.problem(
                "metadata.resourceVersion",
                "is missing: the route must be as the API server returned it",
            )
        })?;
        let annotations = BTreeMap::from([(route_moving_annotation(self.pair), moving_text(moving))]);
        Ok(json!({ "metadata": { "resourceVersion": version, "annotations": annotations } }))
    }

    /// The patch that only records `moving`; `None` where exactly this is recorded.
    pub fn annotate(&self, object: &Value, moving: &Moving) -> Result<Option<Value>, RouterProblem> {
        if annotation(object, &route_moving_annotation(self.pair)) == Some(moving_text(moving).as_str()) {
            return Ok(None);
        }
        self.record(object, moving).map(Some)
    }

    pub fn problem(&self, path: impl Into<String>, problem: impl Into<String>) -> RouterProblem {
        RouterProblem {
            object: Box::new(self.reference.clone()),
            path: path.into(),
            problem: problem.into(),
        }
    }
}

impl Backends {
    pub fn roles(&self) -> Vec<(Role, u32)> {
        self.0.iter().map(|backend| (backend.role, backend.weight)).collect()
    }

    pub fn has(&self, role: Role) -> bool {
        count(&self.roles(), role) > 0
    }

    pub fn names_either(&self) -> bool {
        self.0.iter().any(|backend| backend.role != Role::Foreign)
    }

    pub fn names_both(&self) -> bool {
        self.has(Role::Stable) && self.has(Role::Canary)
    }

    /// Whether there is a pair, and something to split between the two.
    pub fn can_be_managed(&self) -> bool {
        let roles = self.roles();
        let weighs = sum(&roles, Role::Stable) + sum(&roles, Role::Canary) > 0;
        self.names_both() && (weighs || sum(&roles, Role::Foreign) == 0)
    }

    /// The weights of the backends that are asked for, by their keys.
    pub fn weights(&self, of: impl Fn(&Backend) -> bool) -> Weights {
        let mut by_service = BTreeMap::new();
        for backend in self.0.iter().filter(|backend| of(backend)) {
            let weight: &mut u32 = by_service.entry(backend.key.clone()).or_default();
            *weight = weight.saturating_add(backend.weight);
        }
        Weights { by_service }
    }

    /// The weights of the pair alone.
    pub fn pair_weights(&self) -> Weights {
        self.weights(|backend| backend.role != Role::Foreign)
    }
}
