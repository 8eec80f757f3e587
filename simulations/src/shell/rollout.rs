//! The work on one Rollout: keeps its World as events come in, asks the machine, and guards what cannot be taken back.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::{Value, json};
use sluice_crds::{AnalysisTemplateSpec, Rollout};
use sluice_machine::references::{References, references};
use sluice_machine::{
    Answer, Answered, Ask, Effect, Endpoints, Event, Fact, Hold, Memory, Settings, TemplateRef, Why, World, guards, hash, read,
};
use sluice_traffic::ObjectRef;

use crate::kernel::Kernel;
use crate::models::Models;
use crate::shell::cache::Cache;
use crate::shell::writes::{self, Requested};
use crate::store::{Key, Kind};

/// A plan that still asks after so many answers asks in circles.
const MOST_ASKS: usize = 16;

#[derive(Debug)]
pub(super) struct RolloutTask {
    world: World,
    references: References,
    /// Events of the plan under way, published when its commit is done.
    events: Vec<Event>,
    /// What the last plan waited for.
    hold: Option<Hold>,
}

/// What a task wants done.
#[derive(Debug, Default)]
pub(super) struct Decided {
    pub(super) writes: Vec<Requested>,
    pub(super) wake_at: Option<jiff::Timestamp>,
}

impl RolloutTask {
    /// The work on a Rollout; `None` where it cannot be decoded.
    pub(super) fn new(object: &Value, settings: &Settings) -> Option<RolloutTask> {
        let rollout = Rollout::deserialize(object).ok()?;
        let references = references(&rollout);
        let world = World {
            rollout,
            replica_sets: Fact::Known(BTreeMap::new()),
            services: BTreeMap::new(),
            routes: BTreeMap::new(),
            templates: BTreeMap::new(),
            runs: Fact::Known(BTreeMap::new()),
            answers: BTreeMap::new(),
            incumbent: None,
            settings: settings.clone(),
            memory: Memory::default(),
        };
        Some(RolloutTask { world, references, events: Vec::new(), hold: None })
    }

    /// Reads everything that the Rollout names or owns.
    pub(super) fn fill(&mut self, rollout: &Key, cache: &Cache) {
        let absent = |names: &std::collections::BTreeSet<String>| names.iter().map(|name| (name.clone(), Fact::Absent)).collect();
        self.world.services = absent(&self.references.services);
        self.world.routes = self.references.routes.iter().map(|route| (route.clone(), missing(route))).collect();
        self.world.replica_sets = Fact::Known(BTreeMap::new());
        self.world.runs = Fact::Known(BTreeMap::new());
        self.fill_templates(rollout, cache);
        for (key, object) in cache.iter().filter(|(key, _)| key.namespace == rollout.namespace) {
            if !matches!(key.kind, Kind::Rollout | Kind::AnalysisTemplate) {
                self.take(key, Some(object));
            }
        }
    }

    /// Takes over the state of an object; tells whether the Rollout is concerned.
    pub(super) fn observe(&mut self, rollout: &Key, key: &Key, object: Option<&Value>, cache: &Cache) -> bool {
        match key.kind {
            Kind::Rollout if key != rollout => false,
            Kind::Rollout => {
                let decoded = object.and_then(|object| Rollout::deserialize(object).ok());
                let Some(decoded) = decoded else { return false };
                if decoded.metadata.uid != self.world.rollout.metadata.uid {
                    self.world.memory = Memory::default();
                    self.world.answers.clear();
                }
                self.world.rollout = decoded;
                let references = references(&self.world.rollout);
                if references != self.references {
                    self.references = references;
                    self.fill(rollout, cache);
                }
                true
            }
            Kind::AnalysisTemplate | Kind::ClusterAnalysisTemplate => {
                let cluster_scope = key.kind == Kind::ClusterAnalysisTemplate;
                let name = TemplateRef { cluster_scope, name: key.name.to_string() };
                let concerned = self.world.templates.contains_key(&name);
                if concerned {
                    self.fill_templates(rollout, cache);
                }
                concerned
            }
            _ => key.namespace == rollout.namespace && self.take(key, object),
        }
    }

    fn take(&mut self, key: &Key, object: Option<&Value>) -> bool {
        let name = &*key.name;
        let fact = || object.map_or(Fact::Absent, |object| Fact::Known(object.clone()));
        match key.kind {
            Kind::ReplicaSet => {
                let Fact::Known(sets) = &mut self.world.replica_sets else { return false };
                replace(sets, name, object.and_then(|object| read::replica_set(object, &self.world.rollout)))
            }
            Kind::AnalysisRun => {
                let Fact::Known(runs) = &mut self.world.runs else { return false };
                replace(runs, name, object.and_then(|object| read::run(object, &self.world.rollout)))
            }
            Kind::Service => self.world.services.get_mut(name).map(|service| *service = fact()).is_some(),
            Kind::HttpRoute => {
                let (api_version, kind) = (key.kind.api_version().to_owned(), key.kind.name().to_owned());
                let (namespace, name) = (key.namespace.to_string(), key.name.to_string());
                let route = self.world.routes.get_mut(&ObjectRef { api_version, kind, namespace, name });
                route.map(|route| *route = fact()).is_some()
            }
            _ => false,
        }
    }

    fn fill_templates(&mut self, rollout: &Key, cache: &Cache) {
        self.world.templates.clear();
        let mut open: Vec<TemplateRef> = self.references.templates.iter().cloned().collect();
        while let Some(template) = open.pop() {
            if self.world.templates.contains_key(&template) {
                continue;
            }
            let kind = if template.cluster_scope { Kind::ClusterAnalysisTemplate } else { Kind::AnalysisTemplate };
            let fact = match cache.get(&rollout.beside(kind, &template.name)) {
                None => Fact::Absent,
                Some(object) => match AnalysisTemplateSpec::deserialize(&object["spec"]) {
                    Ok(spec) => Fact::Known(spec),
                    Err(error) => Fact::Unknown(Why::Undecodable(error.to_string())),
                },
            };
            for nested in fact.known().and_then(|spec| spec.templates.as_ref()).into_iter().flatten() {
                let name = nested.template_name.clone().unwrap_or_default();
                open.push(TemplateRef { cluster_scope: nested.cluster_scope == Some(true), name });
            }
            self.world.templates.insert(template, fact);
        }
    }

    /// Asks the machine until it asks no more.
    pub(super) fn decide(&mut self, kernel: &mut Kernel, models: &Models, key: &Key) -> Decided {
        let now = kernel.clock.now();
        self.world.answers.retain(|ask, _| matches!(ask, Ask::Defaults { .. }));
        let mut plan = sluice_machine::decide(now, &self.world);
        for _ in 0..MOST_ASKS {
            if plan.asks.is_empty() {
                break;
            }
            for ask in std::mem::take(&mut plan.asks) {
                assert!(!self.world.answers.contains_key(&ask), "{key}: asks again for what was answered: {ask:?}");
                let answer = self.answer(kernel, models, key, &ask);
                self.world.answers.insert(ask, Answered { at: now, answer });
            }
            plan = sluice_machine::decide(now, &self.world);
        }
        assert!(plan.asks.is_empty(), "{key}: asks in circles: {:?}", plan.asks);
        self.world.memory = plan.memory;
        if plan.hold != self.hold {
            self.hold = plan.hold;
            if let Some(hold) = &self.hold {
                kernel.note(|| format!("{key} waits: {hold}"));
            }
        }
        let owner = owner_of(key, &self.world.rollout);
        self.events = plan.events;
        let mut writes = plan.commit.map(|commit| writes::of_commit(key, commit)).unwrap_or_default();
        writes.extend(plan.effects.into_iter().map(|effect| writes::of_effect(key, &owner, effect)));
        Decided { writes, wake_at: plan.wake_at }
    }

    fn answer(&self, kernel: &mut Kernel, models: &Models, key: &Key, ask: &Ask) -> Answer {
        let fails = kernel.faults.rates().map_or(0, |rates| rates.read);
        let fails = kernel.random.chance(fails);
        let failed = || Why::Failed("a fault of the simulation".to_owned());
        match ask {
            Ask::Defaults { .. } if fails => Answer::Defaults(Fact::Unknown(failed())),
            Ask::Endpoints { .. } if fails => Answer::Endpoints(Fact::Unknown(failed())),
            Ask::Defaults { template } => Answer::Defaults(self.defaults(kernel, key, template)),
            Ask::Endpoints { service, .. } => {
                let mut ready = BTreeMap::new();
                for backend in models.slices.backends(&key.beside(Kind::Service, service)) {
                    *ready.entry(backend.hash.to_string()).or_insert(0) += 1;
                }
                Answer::Endpoints(Fact::Known(Endpoints { ready }))
            }
        }
    }

    /// The pod template with the API server's defaults.
    fn defaults(&self, kernel: &mut Kernel, key: &Key, asked: &str) -> Fact<Value> {
        let spec = &self.world.rollout.spec;
        let template = spec.template.clone().unwrap_or(Value::Null);
        assert_eq!(hash::canonical(&template), asked, "{key}: asks for a template that it does not have");
        let probe = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"namespace": &*key.namespace, "name": format!("{}-dry-run", key.name)},
            "spec": {"replicas": 0, "selector": spec.selector, "template": template},
        });
        match kernel.store.dry_run_create(kernel.clock.now(), probe) {
            Ok(mut admitted) => Fact::Known(admitted["spec"]["template"].take()),
            Err(error) => Fact::Unknown(Why::Failed(error.to_string())),
        }
    }

    /// Whether an effect may be carried out now.
    pub(super) fn guard(&mut self, kernel: &mut Kernel, models: &Models, key: &Key, effect: &Effect) -> Result<(), Hold> {
        let now = kernel.clock.now();
        for (name, service) in &self.world.services {
            let Some(version) = service.known().and_then(|service| service["metadata"]["resourceVersion"].as_str()) else {
                continue;
            };
            let ask = Ask::Endpoints { service: name.clone(), resource_version: version.to_owned() };
            let answer = self.answer(kernel, models, key, &ask);
            self.world.answers.insert(ask, Answered { at: now, answer });
        }
        guards::check(now, &self.world, effect)
    }

    /// Publishes the events of the plan whose commit is done.
    pub(super) fn committed(&mut self, kernel: &mut Kernel, key: &Key) {
        for event in std::mem::take(&mut self.events) {
            kernel.publish(key, event);
        }
    }
}

fn missing(route: &ObjectRef) -> Fact<Value> {
    match Kind::of(&route.api_version, &route.kind) {
        Some(Kind::HttpRoute) => Fact::Absent,
        _ => Fact::Unknown(Why::NotInstalled),
    }
}

/// Puts a value under a name, or takes it away; tells whether that changed anything.
fn replace<T: PartialEq>(map: &mut BTreeMap<String, T>, name: &str, value: Option<T>) -> bool {
    match value {
        None => map.remove(name).is_some(),
        Some(value) if map.get(name) == Some(&value) => false,
        Some(value) => {
            map.insert(name.to_owned(), value);
            true
        }
    }
}

fn owner_of(key: &Key, rollout: &Rollout) -> Value {
    writes::owner_reference(key, rollout.metadata.uid.as_deref().unwrap_or_default())
}
