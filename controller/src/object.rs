//! Objects as the API server returned them, pruned and kept as compact JSON text.
//!
//! A decoded `serde_json::Value` of a small ReplicaSet takes about ten times the memory of its text, and almost all objects
//! are read once in a while and never change. So the caches hold text, and whoever needs an object decodes it.

use std::borrow::Cow;
use std::sync::Arc;

use kube::Resource;
use kube::core::{ApiResource, DynamicResourceScope, ObjectMeta};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;
use sluice_traffic::MANAGED_BY_ANNOTATION;

/// Annotation in which `kubectl apply` keeps a second copy of the object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Namespace (empty for cluster-scoped objects) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// An object in a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Namespace and name.
    pub name: ObjectName,
    /// uid.
    pub uid: String,
    /// resourceVersion as a number; 0 where it is none, which counts as older than everything.
    pub version: u64,
    /// uid of the controlling owner, where there is one.
    pub controller: Option<String>,
    /// Name of the Rollout that a Service is annotated as managed by.
    pub managed_by: Option<String>,
    json: Box<str>,
}

/// What a watch decodes: a [`Stored`] with the metadata that kube's watcher wants to see. With `MANAGERS` the managedFields
/// stay, because a router names foreign writers by them.
#[derive(Clone, Debug)]
pub struct Object<const MANAGERS: bool> {
    meta: ObjectMeta,
    /// The object.
    pub stored: Arc<Stored>,
}

/// Why an object is not of the type that it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct DecodeError {
    /// The field, for example `spec.replicas`.
    pub path: String,
    /// What is there, and what would be right.
    pub problem: String,
}

impl ObjectName {
    /// A name from its parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        ObjectName {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

impl Stored {
    /// Prunes an object and packs it. `None` where name or uid are missing, so that it is no object of an API server.
    pub fn pack(mut object: Value, managers: bool) -> Option<Stored> {
        let metadata = object.get_mut("metadata")?.as_object_mut()?;
        if !managers {
            metadata.remove("managedFields");
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(LAST_APPLIED);
        }
        let text = |key: &str| metadata.get(key).and_then(Value::as_str).map(str::to_owned);
        let name = ObjectName {
            namespace: text("namespace").unwrap_or_default(),
            name: text("name")?,
        };
        let uid = text("uid")?;
        let version = version(&text("resourceVersion").unwrap_or_default());
        let controller = object
            .get("metadata")
            .and_then(sluice_machine::read::controller_uid)
            .map(str::to_owned);
        let annotations = object.pointer("/metadata/annotations");
        let managed_by = annotations
            .and_then(|all| all.get(MANAGED_BY_ANNOTATION)?.as_str())
            .map(str::to_owned);
        Some(Stored {
            name,
            uid,
            version,
            controller,
            managed_by,
            json: object.to_string().into_boxed_str(),
        })
    }

    /// The object as JSON.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.json).expect("the text was written by serde_json")
    }

    /// The object as a type.
    pub fn decode<T: serde::de::DeserializeOwned>(&self) -> Result<T, DecodeError> {
        serde_json::from_str(&self.json).map_err(|error| {
            // Once more, slowly, to find the field. The error above only knows a column of a text that nobody has seen.
            let again: Result<T, _> = serde_path_to_error::deserialize(self.value());
            again.err().map_or_else(
                || DecodeError {
                    path: ".".to_owned(),
                    problem: error.to_string(),
                },
                |found| DecodeError {
                    path: found.path().to_string(),
                    problem: found.into_inner().to_string(),
                },
            )
        })
    }
}

/// A resourceVersion as a number, so that two of the same resource can be compared; 0 where it is none.
pub fn version(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

impl<'de, const MANAGERS: bool> Deserialize<'de> for Object<MANAGERS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let resource_version = value
            .pointer("/metadata/resourceVersion")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let stored = Stored::pack(value, MANAGERS).ok_or_else(|| D::Error::custom("an object without name or uid"))?;
        let meta = ObjectMeta {
            resource_version,
            name: Some(stored.name.name.clone()),
            ..ObjectMeta::default()
        };
        Ok(Object {
            meta,
            stored: Arc::new(stored),
        })
    }
}

impl<const MANAGERS: bool> Resource for Object<MANAGERS> {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(dt: &ApiResource) -> Cow<'_, str> {
        dt.kind.as_str().into()
    }

    fn group(dt: &ApiResource) -> Cow<'_, str> {
        dt.group.as_str().into()
    }

    fn version(dt: &ApiResource) -> Cow<'_, str> {
        dt.version.as_str().into()
    }

    fn api_version(dt: &ApiResource) -> Cow<'_, str> {
        dt.api_version.as_str().into()
    }

    fn plural(dt: &ApiResource) -> Cow<'_, str> {
        dt.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service() -> Value {
        json!({
            "metadata": {
                "namespace": "shop", "name": "web", "uid": "u1", "resourceVersion": "17",
                "managedFields": [{ "manager": "kubectl" }],
                "annotations": { LAST_APPLIED: "{...}", "keep": "me" },
                "ownerReferences": [{ "uid": "other" }, { "uid": "owner", "controller": true }],
            },
            "spec": { "aFieldNobodyKnows": [1, 2.5, null] },
        })
    }

    #[test]
    fn packing_keeps_all_but_managed_fields_and_last_applied() {
        let stored = Stored::pack(service(), false).unwrap();
        let mut wanted = service();
        wanted["metadata"].as_object_mut().unwrap().remove("managedFields");
        wanted["metadata"]["annotations"] = json!({ "keep": "me" });
        assert_eq!(stored.value(), wanted);
        assert_eq!(
            (
                stored.name.to_string().as_str(),
                stored.uid.as_str(),
                stored.version,
                stored.controller.as_deref()
            ),
            ("shop/web", "u1", 17, Some("owner"))
        );
    }

    #[test]
    fn managed_fields_stay_where_they_are_wanted() {
        let object: Object<true> = serde_json::from_value(service()).unwrap();
        assert_eq!(
            object.stored.value()["metadata"]["managedFields"],
            json!([{ "manager": "kubectl" }])
        );
        let object: Object<false> = serde_json::from_value(service()).unwrap();
        assert_eq!(object.stored.value()["metadata"].get("managedFields"), None);
        assert_eq!(object.meta().resource_version.as_deref(), Some("17"));
    }

    #[test]
    fn what_cannot_be_decoded_is_said_with_its_field() {
        let mut object = service();
        object["spec"] =
            json!({ "strategy": { "canary": { "steps": [{ "setWeight": 5 }, { "setWeight": "half" }] } } });
        let stored = Stored::pack(object, false).unwrap();
        let error = stored.decode::<sluice_crds::Rollout>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "spec.strategy.canary.steps[1].setWeight: invalid type: string \"half\", expected i32"
        );
    }

    #[test]
    fn what_has_no_uid_is_refused() {
        let error = serde_json::from_value::<Object<true>>(json!({ "metadata": { "name": "x" } })).unwrap_err();
        assert_eq!(error.to_string(), "an object without name or uid");
    }
}
