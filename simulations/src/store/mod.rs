//! The virtual API server: one linear history of objects with the semantics that the machines depend on.
//!
//! Modelled: one global revision, optimistic concurrency, generation, the status subresource, no-op writes, uids, owner
//! references, finalizers, preconditions of deletes, dry-run creates, defaults, and who last wrote a spec. Not modelled:
//! schemas and pruning, admission, server-side apply, PUT, and list pages.

mod defaults;
mod kind;
mod patch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::clock::whole_seconds;

pub use kind::{Key, Kind};
pub(crate) use patch::apply as merge;

/// Who writes: it ends up in managedFields and in the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Writer {
    /// A process of the controller under test, by its number.
    Controller(usize),
    /// A person with kubectl.
    User,
    /// Something that puts its own manifests back.
    GitOps,
    /// The cluster's own controllers.
    Cluster,
}

impl Writer {
    /// The field manager of its writes.
    pub fn manager(self) -> &'static str {
        match self {
            Writer::Controller(_) => "sluice-controller",
            Writer::User => "kubectl",
            Writer::GitOps => "gitops",
            Writer::Cluster => "kube-controller-manager",
        }
    }
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It is new.
    Added,
    /// It changed.
    Modified,
    /// It is gone; the change holds its last state.
    Deleted,
}

/// One entry of the history.
#[derive(Clone, Debug)]
pub struct Change {
    /// The revision that it made.
    pub revision: u64,
    /// When.
    pub at: Timestamp,
    /// Which object.
    pub key: Key,
    /// What happened.
    pub happened: Happened,
    /// The object afterwards; for a deletion its last state.
    pub object: Arc<Value>,
    /// The object before, where there was one.
    pub before: Option<Arc<Value>>,
    /// Who did it.
    pub by: Writer,
}

/// Which part of an object a patch is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The object itself.
    Main,
    /// Its status subresource.
    Status,
}

/// What must be true of an object for a delete to happen.
#[derive(Clone, Debug, Default)]
pub struct Preconditions {
    /// uid that it must have.
    pub uid: Option<String>,
    /// resourceVersion that it must have.
    pub resource_version: Option<String>,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// 404.
    #[error("{0} not found")]
    NotFound(String),
    /// 409 on create.
    #[error("{0} already exists")]
    AlreadyExists(String),
    /// 409 on everything else.
    #[error("{0}")]
    Conflict(String),
    /// 422 or 400.
    #[error("{0}")]
    Invalid(String),
    /// No answer in time: applied or not.
    #[error("the request timed out")]
    Timeout,
    /// A failure of the server.
    #[error("the server answered {0}")]
    Server(u16),
}

/// The objects and their history.
#[derive(Clone, Debug, Default)]
pub struct Store {
    objects: BTreeMap<Key, Arc<Value>>,
    revision: u64,
    uids: u64,
    log: Vec<Change>,
    dependents: BTreeMap<String, BTreeSet<Key>>,
}

impl Store {
    /// The object, where it exists.
    pub fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// All objects of a kind, ordered by namespace and name.
    pub fn list(&self, kind: Kind) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        let first = Key::new(kind, "", "");
        self.objects.range(first..).take_while(move |(key, _)| key.kind == kind)
    }

    /// All objects, ordered by kind, namespace and name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects.iter()
    }

    /// A copy without the history.
    pub(crate) fn frozen(&self) -> Store {
        Store {
            objects: self.objects.clone(),
            revision: self.revision,
            uids: self.uids,
            log: Vec::new(),
            dependents: self.dependents.clone(),
        }
    }

    /// The revision of the last write.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The whole history, oldest first.
    pub fn log(&self) -> &[Change] {
        &self.log
    }

    /// The objects that name this uid as an owner.
    pub(crate) fn dependents(&self, uid: &str) -> Vec<Key> {
        self.dependents
            .get(uid)
            .map(|keys| keys.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// Creates an object (POST). The server sets uid, times, generation and defaults.
    pub fn create(&mut self, at: Timestamp, by: Writer, object: Value) -> Result<Arc<Value>, ApiError> {
        let (key, object) = self.admit(at, by, object)?;
        Ok(self.put(at, by, key, object, Happened::Added))
    }

    /// Puts an object there as it once was, with the uid, times, generation and status that it had. Its resourceVersion is new.
    pub fn restore(&mut self, at: Timestamp, object: Value) -> Result<(), ApiError> {
        let key = key_of(&object)?;
        if self.objects.contains_key(&key) {
            return Err(ApiError::AlreadyExists(key.to_string()));
        }
        // The next uid is another one.
        let number = uid_of(&object).rsplit('-').next().unwrap_or_default();
        self.uids = self.uids.max(u64::from_str_radix(number, 16).unwrap_or(0));
        self.put(at, Writer::User, key, object, Happened::Added);
        Ok(())
    }

    /// What a create would answer, without doing it.
    pub fn dry_run_create(&mut self, at: Timestamp, object: Value) -> Result<Value, ApiError> {
        let uids = self.uids;
        let admitted = self.admit(at, Writer::User, object);
        self.uids = uids;
        admitted.map(|(_, object)| object)
    }

    fn admit(&mut self, at: Timestamp, by: Writer, mut object: Value) -> Result<(Key, Value), ApiError> {
        let key = key_of(&object)?;
        if self.objects.contains_key(&key) {
            return Err(ApiError::AlreadyExists(key.to_string()));
        }
        if object["metadata"]
            .get("resourceVersion")
            .is_some_and(|version| !version.is_null())
        {
            return Err(ApiError::Invalid(format!(
                "{key}: resourceVersion should not be set on objects to be created"
            )));
        }
        if key.kind.shape().has_status() {
            object
                .as_object_mut()
                .expect("key_of has looked into it")
                .remove("status");
        }
        defaults::fill(key.kind, &mut object);
        self.uids += 1;
        let touched = object.get("spec").cloned();
        let metadata = metadata_mut(&mut object);
        metadata.insert(
            "uid".to_owned(),
            json!(format!("00000000-0000-4000-8000-{:012x}", self.uids)),
        );
        metadata.insert("creationTimestamp".to_owned(), json!(whole_seconds(at).to_string()));
        if key.kind.shape().has_generation() {
            metadata.insert("generation".to_owned(), json!(1));
        }
        record_manager(key.kind, &mut object, at, by, touched.as_ref());
        Ok((key, object))
    }

    /// Applies a merge patch. `metadata.resourceVersion` and `metadata.uid` in the patch are preconditions.
    pub fn patch(
        &mut self,
        at: Timestamp,
        by: Writer,
        key: &Key,
        part: Part,
        patch: &Value,
    ) -> Result<Arc<Value>, ApiError> {
        let old = self
            .objects
            .get(key)
            .ok_or_else(|| ApiError::NotFound(key.to_string()))?;
        let shape = key.kind.shape();
        if part == Part::Status && !shape.has_status() {
            return Err(ApiError::NotFound(format!("{key}: subresource status")));
        }
        let metadata = patch.get("metadata");
        let text = |field: &str| {
            metadata
                .and_then(|metadata| metadata.get(field))
                .and_then(Value::as_str)
        };
        check_preconditions(key, old, text("uid"), text("resourceVersion"))?;
        let effective = effective_patch(patch, part, shape);
        if !patch::would_change(old, &effective) {
            return Ok(old.clone());
        }
        let counts = |field: &str| field != "metadata" && !(field == "status" && shape.has_status());
        let new_generation = shape.has_generation()
            && part == Part::Main
            && fields(&effective).any(|(field, change)| {
                counts(field) && patch::would_change(old.get(field).unwrap_or(&Value::Null), change)
            });
        let mut object = (**old).clone();
        patch::apply(&mut object, &effective);
        drop_empty_metadata(&mut object);
        defaults::fill(key.kind, &mut object);
        if new_generation {
            let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
            object["metadata"]["generation"] = json!(generation + 1);
        }
        record_manager(key.kind, &mut object, at, by, effective.get("spec"));
        if is_deleting(&object) && !has_finalizers(&object) {
            return Ok(self.put(at, by, key.clone(), object, Happened::Deleted));
        }
        Ok(self.put(at, by, key.clone(), object, Happened::Modified))
    }

    /// Deletes an object, in the background as far as its dependents go. With finalizers it is only marked.
    pub fn delete(&mut self, at: Timestamp, by: Writer, key: &Key, only: &Preconditions) -> Result<(), ApiError> {
        let old = self
            .objects
            .get(key)
            .ok_or_else(|| ApiError::NotFound(key.to_string()))?;
        check_preconditions(key, old, only.uid.as_deref(), only.resource_version.as_deref())?;
        let mut object = (**old).clone();
        if has_finalizers(&object) {
            if !is_deleting(&object) {
                object["metadata"]["deletionTimestamp"] = json!(whole_seconds(at).to_string());
                self.put(at, by, key.clone(), object, Happened::Modified);
            }
            return Ok(());
        }
        self.put(at, by, key.clone(), object, Happened::Deleted);
        Ok(())
    }

    fn put(&mut self, at: Timestamp, by: Writer, key: Key, mut object: Value, happened: Happened) -> Arc<Value> {
        self.revision += 1;
        metadata_mut(&mut object).insert("resourceVersion".to_owned(), Value::String(self.revision.to_string()));
        let object = Arc::new(object);
        let before = match happened {
            Happened::Deleted => self.objects.remove(&key),
            Happened::Added | Happened::Modified => self.objects.insert(key.clone(), object.clone()),
        };
        self.index_owners(
            &key,
            before.as_deref(),
            (happened != Happened::Deleted).then_some(&*object),
        );
        self.log.push(Change {
            revision: self.revision,
            at,
            key,
            happened,
            object: object.clone(),
            before,
            by,
        });
        object
    }

    fn index_owners(&mut self, key: &Key, before: Option<&Value>, after: Option<&Value>) {
        let references =
            |object: Option<&Value>| object.and_then(|object| object["metadata"].get("ownerReferences").cloned());
        if references(before) == references(after) {
            return;
        }
        for uid in before.into_iter().flat_map(owner_uids) {
            if let Some(keys) = self.dependents.get_mut(uid) {
                keys.remove(key);
            }
        }
        for uid in after.into_iter().flat_map(owner_uids) {
            self.dependents.entry(uid.to_owned()).or_default().insert(key.clone());
        }
    }

    /// Whether an object with this uid exists.
    pub(crate) fn has_uid(&self, uid: &str) -> bool {
        self.objects.values().any(|object| uid_of(object) == uid)
    }
}

/// Where an object belongs. It must have apiVersion, kind and metadata.name, and a namespace where its kind has one.
pub fn key_of(object: &Value) -> Result<Key, ApiError> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("/apiVersion"), text("/kind"));
    let known = Kind::of(api_version, kind)
        .ok_or_else(|| ApiError::Invalid(format!("kind `{kind}` of `{api_version}` is not modelled")))?;
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    if name.is_empty() || (known.is_namespaced() && namespace.is_empty()) {
        return Err(ApiError::Invalid(format!(
            "{kind}: metadata.name and metadata.namespace must be set"
        )));
    }
    Ok(Key::new(known, namespace, name))
}

/// uids of the owners of an object.
pub(crate) fn owner_uids(object: &Value) -> impl Iterator<Item = &str> {
    let owners = object["metadata"].get("ownerReferences").and_then(Value::as_array);
    owners
        .into_iter()
        .flatten()
        .filter_map(|owner| owner.get("uid")?.as_str())
}

pub(crate) fn revision_of(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

pub(crate) fn uid_of(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

fn is_deleting(object: &Value) -> bool {
    object["metadata"]
        .get("deletionTimestamp")
        .is_some_and(|at| !at.is_null())
}

fn has_finalizers(object: &Value) -> bool {
    object["metadata"]
        .get("finalizers")
        .and_then(Value::as_array)
        .is_some_and(|list| !list.is_empty())
}

fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    object["metadata"]
        .as_object_mut()
        .expect("every stored object has metadata")
}

/// The server keeps no empty maps of annotations or labels.
fn drop_empty_metadata(object: &mut Value) {
    let metadata = metadata_mut(object);
    for field in ["annotations", "labels"] {
        if metadata
            .get(field)
            .and_then(Value::as_object)
            .is_some_and(Map::is_empty)
        {
            metadata.remove(field);
        }
    }
}

fn fields(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    object
        .as_object()
        .into_iter()
        .flatten()
        .map(|(field, value)| (field.as_str(), value))
}

fn check_preconditions(
    key: &Key,
    object: &Value,
    uid: Option<&str>,
    resource_version: Option<&str>,
) -> Result<(), ApiError> {
    if let Some(uid) = uid.filter(|uid| *uid != uid_of(object)) {
        let message = format!(
            "{key}: Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            uid_of(object)
        );
        return Err(ApiError::Conflict(message));
    }
    if resource_version.is_some_and(|version| Some(version) != object["metadata"]["resourceVersion"].as_str()) {
        return Err(ApiError::Conflict(format!(
            "{key}: the object has been modified; apply your changes to the latest version"
        )));
    }
    Ok(())
}

/// The part of a patch that reaches the object: status alone for the subresource; for the main resource everything but the
/// status (where that is a subresource) and but the metadata that only the server sets.
fn effective_patch(patch: &Value, part: Part, shape: kind::Shape) -> Value {
    let mut effective = Map::new();
    for (field, change) in fields(patch) {
        match (field, part) {
            ("status", Part::Status) => {}
            ("status", Part::Main) if !shape.has_status() => {}
            ("status", _) | (_, Part::Status) => continue,
            ("metadata", Part::Main) => {
                let mut metadata = change.clone();
                if let Value::Object(metadata) = &mut metadata {
                    for set_by_server in [
                        "uid",
                        "resourceVersion",
                        "generation",
                        "creationTimestamp",
                        "managedFields",
                    ] {
                        metadata.remove(set_by_server);
                    }
                }
                effective.insert(field.to_owned(), metadata);
                continue;
            }
            (_, Part::Main) => {}
        }
        effective.insert(field.to_owned(), change.clone());
    }
    Value::Object(effective)
}

/// Notes who last wrote which fields of the spec, for the kinds on which somebody asks: one entry for each manager.
fn record_manager(kind: Kind, object: &mut Value, at: Timestamp, by: Writer, spec: Option<&Value>) {
    let Some(Value::Object(spec)) = spec else { return };
    if !matches!(kind, Kind::Service | Kind::HttpRoute) {
        return;
    }
    let touched: Map<String, Value> = spec.keys().map(|field| (format!("f:{field}"), json!({}))).collect();
    let entries = metadata_mut(object).entry("managedFields").or_insert_with(|| json!([]));
    let Some(entries) = entries.as_array_mut() else { return };
    // A field that one manager changes is no longer another's.
    for entry in entries.iter_mut() {
        if let Some(owned) = entry.pointer_mut("/fieldsV1/f:spec").and_then(Value::as_object_mut) {
            owned.retain(|field, _| !touched.contains_key(field));
        }
    }
    entries.retain(|entry| entry["manager"] != by.manager());
    entries.push(json!({
        "manager": by.manager(), "operation": "Update", "apiVersion": kind.api_version(), "fieldsType": "FieldsV1",
        "time": whole_seconds(at).to_string(), "fieldsV1": {"f:spec": touched},
    }));
}

#[cfg(test)]
mod tests;
