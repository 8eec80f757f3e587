//! The caches: all objects that were watched, with the indexes that reconciling needs.
//!
//! One lock over everything, held for microseconds: objects are shared by `Arc`, decoding happens outside. Every change
//! answers with the keys to reconcile: the owner of the object that changed, its former owner, and the Rollouts that name it.
//! At the end of a list the same holds for every object that vanished while nobody watched.
//!
//! # Guarantees
//! - An object never goes back to an older version, whatever order watch events and quorum reads come in.
//! - Iteration is in order of names: the same content gives the same World.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use sluice_machine::Why;

use crate::kinds::Kind;
use crate::ledger::ObjectId;
use crate::object::{ObjectName, Stored};
use crate::queue::Key;

/// How far a kind has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KindState {
    /// Nothing has come yet, since the start or since the kind was first named.
    Starting,
    /// It was listed, and is watched.
    Ready,
    /// It cannot be read; nothing is known of its objects.
    Failed(Why),
}

/// One event of a watch.
#[derive(Clone, Debug)]
pub enum Change {
    /// A list begins.
    ListBegins,
    /// An object of the list.
    Listed(Arc<Stored>),
    /// The list is complete: what it did not hold is gone.
    ListEnds,
    /// An object was added or changed.
    Applied(Arc<Stored>),
    /// An object is gone.
    Deleted(Arc<Stored>),
    /// The kind cannot be read.
    Failed(Why),
}

/// What one change leads to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Consequences {
    /// To reconcile.
    pub keys: BTreeSet<Key>,
    /// Objects that are gone, with their uid: for the ledger.
    pub gone: Vec<(ObjectId, String)>,
}

/// Everything about one Rollout that one reconcile looks at, taken at one instant.
#[derive(Clone, Debug)]
pub struct Family {
    /// The Rollout.
    pub rollout: Arc<Stored>,
    /// ReplicaSets that it controls, and ReplicaSets of the namespace that nobody controls.
    pub replica_sets: (KindState, Vec<Arc<Stored>>),
    /// AnalysisRuns that it controls.
    pub runs: (KindState, Vec<Arc<Stored>>),
}

/// The caches.
#[derive(Debug, Default)]
pub struct Cache {
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    by_kind: BTreeMap<Kind, Table>,
    rollouts_by_uid: BTreeMap<String, ObjectName>,
    /// What each Rollout names, as its last observation found it.
    names: BTreeMap<ObjectName, BTreeSet<ObjectId>>,
    /// Which Rollouts name an object.
    named_by: BTreeMap<ObjectId, BTreeSet<ObjectName>>,
}

#[derive(Debug)]
struct Table {
    state: KindState,
    objects: BTreeMap<ObjectName, Arc<Stored>>,
    by_controller: BTreeMap<String, BTreeSet<ObjectName>>,
    orphans: BTreeSet<ObjectName>,
    /// Objects by the Rollout that they are annotated as managed by.
    managed: BTreeMap<ObjectName, BTreeSet<ObjectName>>,
    /// Names that the list under way has told so far.
    listed: Option<BTreeSet<ObjectName>>,
}

impl Cache {
    /// Takes in one event of the watch of a kind.
    pub fn change(&self, kind: &Kind, change: Change) -> Consequences {
        self.with(|tables| tables.change(kind, change))
    }

    /// Takes in what a quorum read told: the object, or that there is none.
    pub fn overlay(&self, id: &ObjectId, read: Option<Arc<Stored>>) -> Consequences {
        self.with(|tables| {
            let mut consequences = Consequences::default();
            match read {
                Some(object) => tables.apply(&id.kind, &object, &mut consequences),
                None => tables.remove(&id.kind, &id.name, None, &mut consequences),
            }
            consequences
        })
    }

    /// How far a kind has come.
    pub fn state(&self, kind: &Kind) -> KindState {
        self.with(|tables| tables.state(kind))
    }

    /// All kinds and how many objects they have.
    pub fn states(&self) -> Vec<(Kind, KindState, usize)> {
        self.with(|tables| {
            tables
                .by_kind
                .iter()
                .map(|(kind, table)| (kind.clone(), table.state.clone(), table.objects.len()))
                .collect()
        })
    }

    /// One object.
    pub fn get(&self, id: &ObjectId) -> Option<Arc<Stored>> {
        self.with(|tables| tables.by_kind.get(&id.kind)?.objects.get(&id.name).cloned())
    }

    /// All objects of a kind, by name.
    pub fn of_kind(&self, kind: &Kind) -> Vec<Arc<Stored>> {
        self.with(|tables| {
            let table = tables.by_kind.get(kind);
            table
                .into_iter()
                .flat_map(|table| table.objects.values().cloned())
                .collect()
        })
    }

    /// uid and version of one object.
    pub fn seen(&self, id: &ObjectId) -> Option<(String, u64)> {
        self.get(id).map(|object| (object.uid.clone(), object.version))
    }

    /// One object and the state of its kind, at the same instant.
    pub fn look_up(&self, id: &ObjectId) -> (KindState, Option<Arc<Stored>>) {
        self.with(|tables| {
            let object = tables
                .by_kind
                .get(&id.kind)
                .and_then(|table| table.objects.get(&id.name))
                .cloned();
            (tables.state(&id.kind), object)
        })
    }

    /// A Rollout and what belongs to it.
    pub fn family(&self, rollout: &ObjectName) -> Option<Family> {
        self.with(|tables| {
            let rollout = tables.by_kind.get(&Kind::Rollout)?.objects.get(rollout)?.clone();
            let replica_sets = tables.owned(&Kind::ReplicaSet, &rollout, true);
            let runs = tables.owned(&Kind::Run, &rollout, false);
            Some(Family {
                rollout,
                replica_sets,
                runs,
            })
        })
    }

    /// The Services that are annotated as managed by a Rollout, whether or not there is such a Rollout.
    pub fn managed_services(&self, rollout: &ObjectName) -> Vec<Arc<Stored>> {
        self.managed(&Kind::Service, rollout)
    }

    /// The objects of a kind that are annotated as managed by a Rollout.
    pub fn managed(&self, kind: &Kind, rollout: &ObjectName) -> Vec<Arc<Stored>> {
        self.with(|tables| {
            let Some(table) = tables.by_kind.get(kind) else {
                return Vec::new();
            };
            let names = table.managed.get(rollout).into_iter().flatten();
            names.filter_map(|name| table.objects.get(name).cloned()).collect()
        })
    }

    /// Remembers which objects a Rollout names, so that a change of one of them leads to it.
    pub fn set_names(&self, rollout: &ObjectName, names: BTreeSet<ObjectId>) {
        self.with(|tables| tables.set_names(rollout, names));
    }

    /// The name of the Rollout with a uid.
    pub fn rollout_of_uid(&self, uid: &str) -> Option<ObjectName> {
        self.with(|tables| tables.rollouts_by_uid.get(uid).cloned())
    }

    /// The keys of all Rollouts and AnalysisRuns, and of the Rollouts that objects are annotated as managed by: those may be
    /// gone, and their objects are to be given back.
    pub fn all_keys(&self) -> BTreeSet<Key> {
        self.with(|tables| {
            let naming = tables.by_kind.iter().filter(|(kind, _)| kind.names_manager());
            let managers = naming.flat_map(|(_, table)| table.managed.keys().cloned());
            let names = |kind| {
                tables
                    .by_kind
                    .get(kind)
                    .into_iter()
                    .flat_map(|table: &Table| table.objects.keys().cloned())
            };
            names(&Kind::Rollout)
                .map(Key::Rollout)
                .chain(names(&Kind::Run).map(Key::Run))
                .chain(managers.map(Key::Rollout))
                .collect()
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Tables) -> T) -> T {
        work(&mut self.tables.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Tables {
    fn state(&self, kind: &Kind) -> KindState {
        self.by_kind
            .get(kind)
            .map_or(KindState::Starting, |table| table.state.clone())
    }

    fn table(&mut self, kind: &Kind) -> &mut Table {
        self.by_kind.entry(kind.clone()).or_default()
    }

    fn change(&mut self, kind: &Kind, change: Change) -> Consequences {
        let mut consequences = Consequences::default();
        match change {
            Change::ListBegins => self.table(kind).listed = Some(BTreeSet::new()),
            Change::Listed(object) => {
                if let Some(listed) = &mut self.table(kind).listed {
                    listed.insert(object.name.clone());
                }
                self.apply(kind, &object, &mut consequences);
            }
            Change::ListEnds => {
                let listed = self.table(kind).listed.take().unwrap_or_default();
                let vanished: Vec<ObjectName> = self
                    .table(kind)
                    .objects
                    .keys()
                    .filter(|name| !listed.contains(*name))
                    .cloned()
                    .collect();
                for name in vanished {
                    self.remove(kind, &name, None, &mut consequences);
                }
                self.set_state(kind, KindState::Ready, &mut consequences);
            }
            Change::Applied(object) => self.apply(kind, &object, &mut consequences),
            Change::Deleted(object) => self.remove(kind, &object.name, Some(&object.uid), &mut consequences),
            Change::Failed(why) => self.set_state(kind, KindState::Failed(why), &mut consequences),
        }
        consequences
    }

    fn set_state(&mut self, kind: &Kind, state: KindState, consequences: &mut Consequences) {
        let table = self.table(kind);
        if table.state == state {
            return;
        }
        table.state = state;
        match kind {
            Kind::Rollout | Kind::ReplicaSet | Kind::Service | Kind::Run | Kind::Pod => {
                let rollouts = self
                    .by_kind
                    .get(&Kind::Rollout)
                    .into_iter()
                    .flat_map(|table| table.objects.keys());
                consequences.keys.extend(rollouts.cloned().map(Key::Rollout));
            }
            Kind::Template | Kind::ClusterTemplate | Kind::Route { .. } => {
                let naming = self.named_by.iter().filter(|(object, _)| object.kind == *kind);
                consequences
                    .keys
                    .extend(naming.flat_map(|(_, rollouts)| rollouts).cloned().map(Key::Rollout));
            }
        }
    }

    /// Takes in an object unless a newer version of it is there already.
    fn apply(&mut self, kind: &Kind, object: &Arc<Stored>, consequences: &mut Consequences) {
        let table = self.table(kind);
        let old = table.objects.get(&object.name).cloned();
        if old.as_ref().is_some_and(|old| old.version >= object.version) {
            return;
        }
        if let Some(old) = &old {
            table.unindex(old);
        }
        table.index(object);
        table.objects.insert(object.name.clone(), object.clone());
        if *kind == Kind::Rollout {
            if let Some(old) = &old {
                self.rollouts_by_uid.remove(&old.uid);
            }
            self.rollouts_by_uid.insert(object.uid.clone(), object.name.clone());
        }
        if let Some(old) = old {
            self.trigger(kind, &old, consequences);
            if old.uid != object.uid {
                let id = ObjectId {
                    kind: kind.clone(),
                    name: old.name.clone(),
                };
                consequences.gone.push((id, old.uid.clone()));
            }
        }
        self.trigger(kind, object, consequences);
    }

    /// Removes an object, where it is still the one with that uid.
    fn remove(&mut self, kind: &Kind, name: &ObjectName, uid: Option<&str>, consequences: &mut Consequences) {
        let table = self.table(kind);
        let Some(old) = table.objects.get(name).cloned() else {
            return;
        };
        if uid.is_some_and(|uid| uid != old.uid) {
            return;
        }
        table.objects.remove(name);
        table.unindex(&old);
        if *kind == Kind::Rollout {
            self.rollouts_by_uid.remove(&old.uid);
            self.set_names(name, BTreeSet::new());
        }
        self.trigger(kind, &old, consequences);
        consequences.gone.push((
            ObjectId {
                kind: kind.clone(),
                name: name.clone(),
            },
            old.uid.clone(),
        ));
    }

    /// Adds the keys that an object concerns.
    fn trigger(&self, kind: &Kind, object: &Stored, consequences: &mut Consequences) {
        let keys = &mut consequences.keys;
        match kind {
            Kind::Rollout => {
                keys.insert(Key::Rollout(object.name.clone()));
            }
            Kind::Run => {
                keys.insert(Key::Run(object.name.clone()));
            }
            _ => {}
        }
        let owner = object.controller.as_ref().and_then(|uid| self.rollouts_by_uid.get(uid));
        keys.extend(owner.cloned().map(Key::Rollout));
        if *kind == Kind::ReplicaSet && object.controller.is_none() {
            // Whose selector matches is only known by decoding all Rollouts of the namespace; a ReplicaSet with our hash
            // label and without a controller is rare enough to have them all look.
            let rollouts = self
                .by_kind
                .get(&Kind::Rollout)
                .into_iter()
                .flat_map(|table| table.objects.keys());
            let neighbours = rollouts.filter(|name| name.namespace == object.name.namespace);
            keys.extend(neighbours.cloned().map(Key::Rollout));
        }
        let id = ObjectId {
            kind: kind.clone(),
            name: object.name.clone(),
        };
        if kind.names_manager() {
            keys.extend(managed_by(object).map(Key::Rollout));
        }
        keys.extend(self.named_by.get(&id).into_iter().flatten().cloned().map(Key::Rollout));
    }

    fn owned(&self, kind: &Kind, rollout: &Stored, orphans: bool) -> (KindState, Vec<Arc<Stored>>) {
        let state = self.state(kind);
        let Some(table) = self.by_kind.get(kind) else {
            return (state, Vec::new());
        };
        let owned = table.by_controller.get(&rollout.uid).into_iter().flatten();
        let namespace = &rollout.name.namespace;
        let orphans = table
            .orphans
            .iter()
            .filter(|name| orphans && name.namespace == *namespace);
        let objects = owned.chain(orphans).filter(|name| name.namespace == *namespace);
        (
            state,
            objects.filter_map(|name| table.objects.get(name).cloned()).collect(),
        )
    }

    fn set_names(&mut self, rollout: &ObjectName, names: BTreeSet<ObjectId>) {
        let old = self.names.remove(rollout).unwrap_or_default();
        for gone in old.difference(&names) {
            if let Some(rollouts) = self.named_by.get_mut(gone) {
                rollouts.remove(rollout);
                if rollouts.is_empty() {
                    self.named_by.remove(gone);
                }
            }
        }
        for new in names.difference(&old) {
            self.named_by.entry(new.clone()).or_default().insert(rollout.clone());
        }
        if !names.is_empty() {
            self.names.insert(rollout.clone(), names);
        }
    }
}

impl Default for Table {
    fn default() -> Self {
        Table {
            state: KindState::Starting,
            objects: BTreeMap::new(),
            by_controller: BTreeMap::new(),
            orphans: BTreeSet::new(),
            managed: BTreeMap::new(),
            listed: None,
        }
    }
}

impl Table {
    fn index(&mut self, object: &Stored) {
        if let Some(rollout) = managed_by(object) {
            self.managed.entry(rollout).or_default().insert(object.name.clone());
        }
        match &object.controller {
            Some(uid) => self
                .by_controller
                .entry(uid.clone())
                .or_default()
                .insert(object.name.clone()),
            None => self.orphans.insert(object.name.clone()),
        };
    }

    fn unindex(&mut self, object: &Stored) {
        if let Some(rollout) = managed_by(object)
            && let Some(names) = self.managed.get_mut(&rollout)
        {
            names.remove(&object.name);
            if names.is_empty() {
                self.managed.remove(&rollout);
            }
        }
        let Some(uid) = &object.controller else {
            self.orphans.remove(&object.name);
            return;
        };
        if let Some(names) = self.by_controller.get_mut(uid) {
            names.remove(&object.name);
            if names.is_empty() {
                self.by_controller.remove(uid);
            }
        }
    }
}

/// The Rollout that an object is annotated as managed by.
fn managed_by(object: &Stored) -> Option<ObjectName> {
    let rollout = object.managed_by.as_deref()?;
    Some(ObjectName::new(object.name.namespace.as_str(), rollout))
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
