//! Objects from files in the place of a cluster: what `kubectl get ... -o yaml` wrote down, or manifests.
//!
//! What the files do not have is not known; it is not taken to be absent. Only where they have other objects of a kind, one
//! that is not among them does not exist. AnalysisRuns are the exception: a Rollout may have none.

use std::path::PathBuf;

use serde_json::Value;

use crate::{lint, observe::metadata, resource::Resource};

/// The objects.
#[derive(Clone, Debug)]
pub struct Files {
    objects: Vec<(Resource, Value)>,
}

/// What the files say about one object.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// It is this.
    Object(Value),
    /// It is not among the objects of its kind.
    Absent,
    /// There is no object of its kind.
    Nothing,
}

impl Files {
    /// Reads files and folders; `-` is the standard input. Lists count as their objects.
    pub fn read(paths: &[PathBuf]) -> anyhow::Result<Files> {
        let mut objects = Vec::new();
        for source in lint::read(paths)? {
            let (documents, findings) = lint::parse(&source);
            if let Some(finding) = findings.first() {
                anyhow::bail!("{}: document {}: {}", finding.file, finding.document, finding.problem);
            }
            objects.extend(documents.into_iter().map(|document| document.value));
        }
        Ok(Files::new(objects))
    }

    /// These objects. One that was written by hand may have no resourceVersion, which every object of a cluster has.
    pub fn new(objects: impl IntoIterator<Item = Value>) -> Files {
        let keyed = |mut object: Value| {
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.entry("resourceVersion").or_insert_with(|| "0".into());
            }
            (resource_of(&object), object)
        };
        Files {
            objects: objects.into_iter().map(keyed).collect(),
        }
    }

    /// The namespace of the only Rollout with a name, where it says one.
    pub fn namespace_of(&self, rollout: &str) -> Option<String> {
        let kind = Resource::rollouts();
        let mut found = self
            .of(&kind)
            .filter(|object| metadata(object, "name") == Some(rollout));
        match (found.next(), found.next()) {
            (Some(object), None) => metadata(object, "namespace").map(str::to_owned),
            _ => None,
        }
    }

    /// The name of the only object of a kind; `None` where there is none, or several, or it has no name.
    pub fn only(&self, resource: &Resource) -> Option<String> {
        let mut found = self.of(resource);
        match (found.next(), found.next()) {
            (Some(object), None) => metadata(object, "name").map(str::to_owned),
            _ => None,
        }
    }

    /// One object. An empty namespace stands for a kind without namespaces.
    pub fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Found {
        let mut of_kind = self.of(resource).peekable();
        if of_kind.peek().is_none() {
            return Found::Nothing;
        }
        let found = of_kind.find(|object| is_in(object, namespace) && metadata(object, "name") == Some(name));
        found.map_or(Found::Absent, |object| Found::Object(object.clone()))
    }

    /// The objects of a namespace (empty: of all) with a label (`name`, or `name=value`; empty: all); `None` where the files have
    /// none of the kind.
    pub fn list(&self, resource: &Resource, namespace: &str, label: &str) -> Option<Vec<Value>> {
        let mut of_kind = self.of(resource).peekable();
        if of_kind.peek().is_none() && *resource != Resource::analysis_runs() {
            return None;
        }
        let (name, value) = match label.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (label, None),
        };
        let labelled = |object: &&Value| {
            let found = object["metadata"]["labels"].get(name).and_then(Value::as_str);
            name.is_empty() || found.is_some_and(|found| value.is_none_or(|value| value == found))
        };
        let wanted = of_kind.filter(|object| is_in(object, namespace)).filter(labelled);
        Some(wanted.cloned().collect())
    }

    fn of(&self, resource: &Resource) -> impl Iterator<Item = &Value> {
        let objects = self.objects.iter().filter(move |(found, _)| found == resource);
        objects.map(|(_, object)| object)
    }
}

/// An object without a namespace is in the one that is asked for, as kubectl would put it there.
fn is_in(object: &Value, namespace: &str) -> bool {
    namespace.is_empty() || metadata(object, "namespace").is_none_or(|found| found == namespace)
}

fn resource_of(object: &Value) -> Resource {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    Resource::of_kind(text("apiVersion"), text("kind"))
}
