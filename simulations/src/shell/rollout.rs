//! The work on one Rollout: keeps its World as events come in, asks the machine, and guards what cannot be taken back.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize as _;
use serde_json::{Value, json};
use sluice_crds::{AnalysisTemplateSpec, Rollout};
use sluice_machine::references::{References, references};
use sluice_machine::{
    Answer, Answered, Ask, Effect, Endpoints, Event, Fact, Hold, Memory, Plan, Settings, Template, TemplateRef, Why,
    World, guards, hash, read, workload,
};
use sluice_traffic::{MANAGED_BY_ANNOTATION, ObjectRef};

use crate::kernel::Kernel;
use crate::models::Models;
use crate::report::RowKind;
use crate::shell::cache::Cache;
use crate::shell::writes::{self, Requested};
use crate::store::{Key, Kind};

/// Rounds of asking and deciding before the shell gives up for a while, as in the real shell.
const MOST_ROUNDS: usize = 5;
/// An answer at most this old is given to the machine again, as in the real shell.
const KEEP: SignedDuration = SignedDuration::from_secs(1);

#[derive(Debug)]
pub(super) struct RolloutTask {
    world: World,
    references: References,
    /// Events and memory of the plan under way, published and taken over when its commit is done.
    events: Vec<Event>,
    memory: Option<Memory>,
    /// What the last plan waited for.
    hold: Option<Hold>,
    /// Nobody was told of it yet.
    hold_is_news: bool,
}

/// What a task wants done.
#[derive(Debug, Default)]
pub(super) struct Decided {
    pub(super) writes: Vec<Requested>,
    pub(super) wake_at: Option<Timestamp>,
    /// What it was decided on is to be read again first.
    pub(super) confirm: bool,
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
            objects: BTreeMap::new(),
            templates: BTreeMap::new(),
            runs: Fact::Known(BTreeMap::new()),
            answers: BTreeMap::new(),
            incumbent: None,
            settings: settings.clone(),
            memory: Memory::default(),
        };
        Some(RolloutTask {
            world,
            references,
            events: Vec::new(),
            memory: None,
            hold: None,
            hold_is_news: false,
        })
    }

    /// Reads everything that the Rollout names or owns.
    pub(super) fn fill(&mut self, rollout: &Key, cache: &Cache) {
        let absent = |names: &std::collections::BTreeSet<String>| {
            names.iter().map(|name| (name.clone(), Fact::Absent)).collect()
        };
        self.world.services = absent(&self.references.services);
        self.world.objects = self
            .references
            .objects
            .iter()
            .map(|route| (route.clone(), missing(route)))
            .collect();
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
                let name = TemplateRef {
                    cluster_scope,
                    name: key.name.to_string(),
                };
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
                let Fact::Known(sets) = &mut self.world.replica_sets else {
                    return false;
                };
                replace(
                    sets,
                    name,
                    object.and_then(|object| read::replica_set(object, &self.world.rollout)),
                )
            }
            Kind::AnalysisRun => {
                let Fact::Known(runs) = &mut self.world.runs else {
                    return false;
                };
                replace(
                    runs,
                    name,
                    object.and_then(|object| read::run(object, &self.world.rollout)),
                )
            }
            Kind::Service => {
                let annotations = object.and_then(|object| object.pointer("/metadata/annotations"));
                let manager = annotations.and_then(|all| all.get(MANAGED_BY_ANNOTATION)?.as_str());
                let is_ours = manager.is_some() && manager == self.world.rollout.metadata.name.as_deref();
                let is_named = self.references.services.contains(name);
                let was_known = self.world.services.contains_key(name);
                if is_ours || is_named {
                    self.world.services.insert(name.to_owned(), fact());
                } else {
                    self.world.services.remove(name);
                }
                is_ours || is_named || was_known
            }
            Kind::HttpRoute | Kind::Deployment => {
                let (api_version, kind) = (key.kind.api_version().to_owned(), key.kind.name().to_owned());
                let (namespace, name) = (key.namespace.to_string(), key.name.to_string());
                let route = self.world.objects.get_mut(&ObjectRef {
                    api_version,
                    kind,
                    namespace,
                    name,
                });
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
            let kind = if template.cluster_scope {
                Kind::ClusterAnalysisTemplate
            } else {
                Kind::AnalysisTemplate
            };
            let fact: Fact<Template> = match cache.get(&rollout.beside(kind, &template.name)) {
                None => Fact::Absent,
                Some(object) => match AnalysisTemplateSpec::deserialize(&object["spec"]) {
                    Ok(spec) => Fact::Known(spec.into()),
                    Err(error) => Fact::Unknown(Why::Undecodable(error.to_string())),
                },
            };
            for nested in fact
                .known()
                .and_then(|spec| spec.templates.as_ref())
                .into_iter()
                .flatten()
            {
                let name = nested.template_name.clone().unwrap_or_default();
                open.push(TemplateRef {
                    cluster_scope: nested.cluster_scope == Some(true),
                    name,
                });
            }
            self.world.templates.insert(template, fact);
        }
    }

    /// Asks the machine until it asks no more; `None` where it asks for ever.
    pub(super) fn decide(
        &mut self,
        kernel: &mut Kernel,
        models: &Models,
        key: &Key,
        decide: fn(Timestamp, &World) -> Plan,
    ) -> Option<Decided> {
        let now = kernel.clock.now();
        let lasting = |answered: &Answered| matches!(answered.answer, Answer::Defaults(Fact::Known(_)));
        self.world
            .answers
            .retain(|_, answered| lasting(answered) || now.duration_since(answered.at) < KEEP);
        for _ in 0..MOST_ROUNDS {
            let plan = decide(now, &self.world);
            kernel.decisions += 1;
            if plan.asks.is_empty() {
                return Some(self.adopt(kernel, key, plan));
            }
            for ask in plan.asks {
                let answer = self.answer(kernel, models, key, &ask);
                self.world.answers.insert(ask, Answered { at: now, answer });
            }
            self.world.memory = plan.memory;
        }
        kernel.note(|| format!("{key}: {MOST_ROUNDS} rounds of questions led to no decision"));
        None
    }

    fn adopt(&mut self, kernel: &mut Kernel, key: &Key, plan: Plan) -> Decided {
        kernel
            .coverage
            .extend(plan.effects.iter().map(|effect| ("effect", effect.kind())));
        kernel
            .coverage
            .extend(plan.hold.iter().map(|hold| ("hold", hold.kind())));
        // The memory of a commit that fails would be wrong: it is taken over when the commit is done.
        self.memory = Some(plan.memory);
        if plan.hold != self.hold {
            self.hold = plan.hold;
            if let Some(hold) = &self.hold {
                kernel.note(|| format!("{key} waits: {hold}"));
            }
            self.hold_is_news = true;
        }
        let owner = writes::owner_reference(key, self.world.rollout.metadata.uid.as_deref().unwrap_or_default());
        self.events = plan.events;
        let mut writes = plan
            .commit
            .map(|commit| writes::of_commit(key, commit))
            .unwrap_or_default();
        writes.extend(
            plan.effects
                .into_iter()
                .map(|effect| writes::of_effect(key, &owner, effect)),
        );
        Decided {
            confirm: plan.confirm && !writes.is_empty(),
            writes,
            wake_at: plan.wake_at,
        }
    }

    fn answer(&self, kernel: &mut Kernel, models: &Models, key: &Key, ask: &Ask) -> Answer {
        let fails = kernel.faults.rates().map_or(0, |rates| rates.read);
        let fails = kernel.random.chance(fails);
        let failed = || Why::Failed("a fault of the simulation".to_owned());
        match ask {
            Ask::Defaults { .. } if fails => Answer::Defaults(Fact::Unknown(failed())),
            Ask::Endpoints { .. } if fails => Answer::Endpoints(Fact::Unknown(failed())),
            Ask::Pods { .. } if fails => Answer::Pods(Fact::Unknown(failed())),
            Ask::Pods { replica_set, .. } => Answer::Pods(Fact::Known(models.pods_of(key, replica_set))),
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
        let template = workload::template(&self.world).cloned().unwrap_or(Value::Null);
        assert_eq!(
            hash::canonical(&template),
            asked,
            "{key}: asks for a template that it does not have"
        );
        let probe = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"namespace": &*key.namespace, "name": format!("{}-dry-run", key.name)},
            "spec": {"replicas": 0, "selector": workload::selector(&self.world), "template": template},
        });
        match kernel.store.dry_run_create(kernel.clock.now(), probe) {
            Ok(mut admitted) => Fact::Known(admitted["spec"]["template"].take()),
            Err(error) => Fact::Unknown(Why::Failed(error.to_string())),
        }
    }

    /// The objects that are read again before an effect that cannot be taken back, or before a decision that must be confirmed.
    pub(super) fn involved(&self, rollout: &Key, effect: Option<&Effect>) -> Vec<Key> {
        let object = match effect {
            Some(Effect::PatchReplicaSet { name, .. } | Effect::DeleteReplicaSet { name, .. }) => Some(name),
            _ => None,
        };
        let sets = self.world.replica_sets.known().into_iter().flat_map(BTreeMap::values);
        let matter = sets.filter(|set| set.wanted > 0 || set.replicas > 0 || Some(&set.name) == object);
        let services = self
            .world
            .services
            .keys()
            .map(|name| rollout.beside(Kind::Service, name));
        let known = self
            .world
            .objects
            .iter()
            .filter(|(_, fact)| !matches!(fact, Fact::Unknown(_)));
        std::iter::once(rollout.clone())
            .chain(matter.map(|set| rollout.beside(Kind::ReplicaSet, &set.name)))
            .chain(services)
            .chain(known.map(|(route, _)| writes::route_key(route)))
            .collect()
    }

    /// Whether an effect may be carried out now.
    pub(super) fn guard(&self, now: Timestamp, effect: &Effect) -> Result<(), Hold> {
        guards::check(now, &self.world, effect)
    }

    /// Whether the last plan has events that were not published yet.
    pub(super) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// What the machine has asked to be remembered.
    pub(super) fn memory(&self) -> Memory {
        self.world.memory.clone()
    }

    /// A pod was evicted or patched: what was answered about pods is no longer so.
    pub(super) fn forget_pods(&mut self) {
        self.world.answers.retain(|ask, _| !matches!(ask, Ask::Pods { .. }));
    }

    /// The name of an object that was to be created is somebody else's: the machine takes another one.
    pub(super) fn is_taken(&mut self, object: &Key) {
        let memory = &mut self.world.memory;
        match object.kind {
            Kind::ReplicaSet => memory.taken.insert(object.name.to_string()),
            Kind::AnalysisRun => memory.taken_runs.insert(object.name.to_string()),
            _ => false,
        };
    }

    /// Gives the machine what another process remembers.
    pub(super) fn remember(&mut self, memory: Memory) {
        self.world.memory = memory;
    }

    /// The commit of the plan is done, or there was none: publishes its events.
    pub(super) fn committed(&mut self, kernel: &mut Kernel, key: &Key) {
        if let Some(memory) = self.memory.take() {
            self.world.memory = memory;
        }
        for event in std::mem::take(&mut self.events) {
            kernel.publish(key, event);
        }
        if std::mem::take(&mut self.hold_is_news) {
            let text = || self.hold.as_ref().map(ToString::to_string).unwrap_or_default();
            kernel.happens(Some(key), RowKind::Hold, text);
        }
    }
}

fn missing(route: &ObjectRef) -> Fact<Value> {
    match Kind::of(&route.api_version, &route.kind) {
        Some(Kind::HttpRoute | Kind::Deployment) => Fact::Absent,
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
