//! The virtual cluster: all actors on one clock.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sluice_machine::Event;

use crate::clock::START;
use crate::commands::{self, Command};
use crate::faults::Faults;
use crate::kernel::{Actor, Kernel};
use crate::models::{ModelConfig, Models, NEW, Pod, PodId, STABLE, Totals};
use crate::observer::Observer;
use crate::promql;
use crate::random::Millis;
use crate::record::{self, Recorder};
use crate::report::{LostReport, RolloutReport, RowKind};
use crate::safety::{Safety, Violation};
use crate::shell::{Process, ShellConfig, Step, fixpoint};
use crate::store::{ApiError, Change, Happened, Key, Kind, Preconditions, Store, Writer, owner_uids, uid_of};

/// From the deletion of an owner to the deletion of what it owned.
const COLLECT_LAG: Millis = 50..=500;

/// How often the recorder may take a sample.
const SAMPLE: SignedDuration = SignedDuration::from_secs(1);

/// What a simulation is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// Everything that is drawn is drawn from this.
    pub seed: u64,
    /// Number of controller processes. All of them are active: two are two leaders.
    pub controllers: usize,
    /// Pods, proxies, traffic, metrics.
    pub models: ModelConfig,
    /// The controller.
    pub shell: ShellConfig,
    /// What goes wrong.
    pub faults: Faults,
    /// Whether a trace is kept.
    pub trace: bool,
    /// Whether transitions are observed.
    pub observe: bool,
    /// Whether everything that a report tells is recorded.
    pub record: bool,
    /// Whether each write of the controller is checked against the safety invariants.
    pub check: bool,
    /// When, since the start, it is counted how soon the machine has nothing more to do.
    pub probes: Vec<SignedDuration>,
}

/// How many rounds of deciding and carrying out it took until there was nothing more to do, with nothing else happening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// When it was counted.
    pub at: Timestamp,
    /// Objects that the Rollout owned when it began: each may need an effect of its own.
    pub owned: usize,
    /// The rounds; a text where there was no end.
    pub rounds: Result<usize, String>,
}

impl Config {
    /// A cluster without faults.
    pub fn new(seed: u64) -> Config {
        Config {
            seed,
            controllers: 1,
            models: ModelConfig::default(),
            shell: ShellConfig::default(),
            faults: Faults::default(),
            trace: false,
            observe: true,
            record: false,
            check: true,
            probes: Vec::new(),
        }
    }
}

/// A cluster in virtual time.
#[derive(Debug)]
pub struct Cluster {
    kernel: Kernel,
    models: Models,
    processes: Vec<Process>,
    /// How much of the store's log has been passed on.
    passed_on: usize,
    observer: Option<Observer>,
    safety: Option<Safety>,
    rests: Vec<Rest>,
    recorder: Option<Recorder>,
}

impl Cluster {
    /// A cluster in which the controller runs and nothing else is.
    pub fn new(config: Config) -> Cluster {
        let mut kernel = Kernel::new(config.seed, config.trace, config.faults);
        let mut processes: Vec<Process> = (0..config.controllers)
            .map(|number| Process::new(number, config.shell.clone()))
            .collect();
        processes.iter_mut().for_each(|process| process.start(&mut kernel));
        if !kernel.faults.active {
            kernel.clock.after(kernel.faults.faults.from, Actor::FaultsBegin);
        }
        if let Some(until) = kernel.faults.faults.until {
            kernel.clock.after(until, Actor::FaultsEnd);
        }
        let rates = &kernel.faults.faults.rates;
        if rates.pod_killed > 0 || rates.node_lost > 0 {
            kernel.clock.after(SignedDuration::from_secs(1), Actor::Chaos);
        }
        for at in config.probes {
            kernel.clock.after(at, Actor::Probe);
        }
        if config.record {
            kernel.happenings = Some(Vec::new());
            kernel.clock.after(SAMPLE, Actor::Sample);
        }
        let safety = config
            .check
            .then(|| Safety::new(&config.models, config.shell.settings.ack_timeout));
        let observer = config.observe.then(Observer::default);
        Cluster {
            kernel,
            models: Models::new(config.models),
            processes,
            passed_on: 0,
            observer,
            safety,
            rests: Vec::new(),
            recorder: config.record.then(Recorder::new),
        }
    }

    /// Creates an object, or makes one that exists be as given.
    pub fn apply(&mut self, object: &Value) -> Result<(), ApiError> {
        commands::apply(&mut self.kernel, Writer::User, object)?;
        self.pass_on();
        self.put_down();
        Ok(())
    }

    /// Puts objects there as they were in another cluster, status and uid included.
    pub fn restore(&mut self, objects: &[Value]) -> Result<(), ApiError> {
        let now = self.kernel.clock.now();
        for object in objects {
            self.kernel.store.restore(now, object.clone())?;
        }
        self.pass_on();
        self.put_down();
        Ok(())
    }

    /// Applies all objects of a YAML text, in the namespace `default` where they name none.
    pub fn apply_yaml(&mut self, yaml: &str) -> Result<(), ApiError> {
        let objects: Vec<Value> =
            serde_saphyr::from_multiple(yaml).map_err(|error| ApiError::Invalid(error.to_string()))?;
        for mut object in objects.into_iter().filter(|object| !object.is_null()) {
            if object["metadata"].get("namespace").is_none() {
                object["metadata"]["namespace"] = "default".into();
            }
            self.apply(&object)?;
        }
        Ok(())
    }

    /// Carries out a command now.
    pub fn command(&mut self, command: &Command) -> Result<(), ApiError> {
        let done = self.carry_out(command);
        self.pass_on();
        self.put_down();
        done
    }

    /// Schedules a command. One that fails then is noted in the trace.
    pub fn command_at(&mut self, since_start: SignedDuration, command: Command) {
        self.kernel
            .clock
            .at(START + since_start, Actor::Command(Box::new(command)));
    }

    /// The first controller process crashes; it is started again after a while.
    pub fn crash(&mut self) {
        self.processes[0].crash(&mut self.kernel);
    }

    /// Runs up to a time since the start.
    pub fn run_until(&mut self, since_start: SignedDuration) {
        let limit = START + since_start;
        while self.go_on(limit) {}
        self.kernel.clock.advance_to(limit);
        self.models.disturb(limit);
    }

    /// Runs until nothing is left to happen, or up to a time since the start. Tells whether it settled.
    pub fn run_until_settled(&mut self, limit: SignedDuration) -> bool {
        let limit = START + limit;
        while !self.is_settled() {
            if !self.go_on(limit) {
                self.kernel.clock.advance_to(limit);
                self.models.disturb(limit);
                return self.is_settled();
            }
        }
        self.models.disturb(self.kernel.clock.now());
        true
    }

    /// Whether nothing is left to happen but what happens for ever.
    fn is_settled(&self) -> bool {
        let endless = |actor: &Actor| match actor {
            // Not the end of the faults: what was lost is made up for then.
            Actor::Chaos | Actor::Onset | Actor::Sample | Actor::FaultsBegin => true,
            Actor::Process { process, epoch, step } => {
                *epoch != self.processes[*process].epoch() || !self.processes[*process].awaits(step)
            }
            Actor::Deliver { process, epoch, .. } => *epoch != self.processes[*process].epoch(),
            _ => false,
        };
        self.kernel.clock.len() < 16
            && self.kernel.clock.scheduled().all(endless)
            && self
                .processes
                .iter()
                .all(|process| !process.is_alive() || process.is_idle())
    }

    fn go_on(&mut self, limit: Timestamp) -> bool {
        let Some(actor) = self.kernel.clock.pop(limit) else {
            return false;
        };
        let of_models = matches!(
            actor,
            Actor::PodReady(_)
                | Actor::PodCrashes(_)
                | Actor::PodGone(_)
                | Actor::Endpoints(_)
                | Actor::ProxyEndpoints { .. }
                | Actor::ProxyRoute { .. }
        );
        if let Some(recorder) = self.recorder.as_mut().filter(|_| of_models) {
            recorder.touch();
        }
        self.act(actor);
        self.pass_on();
        self.put_down();
        true
    }

    fn act(&mut self, actor: Actor) {
        let (kernel, models) = (&mut self.kernel, &mut self.models);
        let now = kernel.clock.now();
        match actor {
            Actor::ReplicaSet(key) => models.sync_replica_set(kernel, &key),
            Actor::Deployment(key) => crate::models::sync_deployment(kernel, &key),
            Actor::PodReady(id) => models.pod_ready(kernel, id),
            Actor::PodCrashes(id) => models.pod_crashes(kernel, id),
            Actor::PodGone(id) => models.pod_gone(kernel, id),
            Actor::NodeNotReady(node) => models.node_not_ready(kernel, node),
            Actor::NodeEvicted(node) => models.node_evicted(kernel, node),
            Actor::Endpoints(key) => {
                models.sync_endpoints(kernel, &key);
                if let Some(safety) = &mut self.safety {
                    safety.selector_acknowledged(now, &key);
                }
            }
            Actor::ProxyEndpoints {
                proxy,
                service,
                backends,
            } => models.proxy_endpoints(now, proxy, service, backends),
            Actor::Acknowledge(key) => models.acknowledge(kernel, &key),
            Actor::ProxyRoute { proxy, route, rules } => models.proxy_route(now, proxy, route, rules),
            Actor::Collect(uid) => collect(kernel, &uid),
            Actor::Deliver {
                process,
                epoch,
                kind,
                revision,
            } => {
                let process = &mut self.processes[process];
                if process.epoch() == epoch {
                    process.deliver(kernel, kind, revision);
                }
            }
            Actor::Process { process, epoch, step } => {
                let process = &mut self.processes[process];
                if process.epoch() == epoch {
                    process.step(kernel, models, step);
                }
            }
            Actor::Restart(process) => self.processes[process].start(kernel),
            Actor::Command(command) => {
                if let Err(error) = self.carry_out(&command) {
                    let rollout = command.rollout();
                    self.kernel.note(|| format!("the command fails: {error}"));
                    self.kernel
                        .happens(rollout.as_ref(), RowKind::Fault, || format!("it fails: {error}"));
                }
            }
            Actor::Chaos => self.chaos(),
            Actor::Probe => self.probe(),
            Actor::Onset => models.disturb(now),
            Actor::Sample => {
                models.disturb(now);
                if let Some(recorder) = &mut self.recorder {
                    recorder.sample(now, models);
                }
                kernel.clock.after(SAMPLE, Actor::Sample);
            }
            Actor::FaultsBegin => kernel.faults.active = true,
            Actor::FaultsEnd => {
                kernel.note(|| "faults end".to_owned());
                kernel.faults.active = false;
                // What was lost is made up for by the next list.
                for process in &mut self.processes {
                    if process.is_alive() {
                        process.step(kernel, models, Step::Resync);
                    }
                }
            }
        }
    }

    /// Counts, for each Rollout, how soon the machine has nothing more to do if nothing but its own writes happens.
    fn probe(&mut self) {
        let rollouts: Vec<Key> = self
            .kernel
            .store
            .list(Kind::Rollout)
            .map(|(key, _)| key.clone())
            .collect();
        for process in self.processes.iter().filter(|process| process.is_alive()) {
            for key in &rollouts {
                self.rests.push(Rest {
                    at: self.kernel.clock.now(),
                    owned: fixpoint::owned(&self.kernel, key),
                    rounds: process.rounds_to_rest(&self.kernel, &self.models, key),
                });
            }
        }
    }

    fn carry_out(&mut self, command: &Command) -> Result<(), ApiError> {
        match command {
            Command::Crash(process) => self.processes[*process].crash(&mut self.kernel),
            Command::KillPod(number) => {
                let ids: Vec<_> = self
                    .models
                    .pods
                    .iter()
                    .filter(|(_, pod)| !pod.deleting)
                    .map(|(id, _)| id)
                    .collect();
                if let Some(count) = std::num::NonZeroUsize::new(ids.len()) {
                    let index = usize::try_from(*number).unwrap_or(0) % count;
                    self.models.disturb(self.kernel.clock.now());
                    self.models.delete_pod(&mut self.kernel, ids[index]);
                }
            }
            Command::KillPodOf(version) => {
                let is_meant = |pod: &Pod| match version.as_str() {
                    STABLE => pod.is_first,
                    NEW => !pod.is_first,
                    image => &*pod.version == image,
                };
                let is_found = |(_, pod): &(PodId, &Pod)| !pod.deleting && is_meant(pod);
                let found = self.models.pods.iter().find(is_found).map(|(id, _)| id);
                if let Some(id) = found {
                    self.models.disturb(self.kernel.clock.now());
                    self.models.delete_pod(&mut self.kernel, id);
                }
            }
            Command::LoseNode(node) => self.models.node_lost(&mut self.kernel, *node),
            _ => {}
        }
        commands::execute(&mut self.kernel, command)
    }

    fn chaos(&mut self) {
        let Some(rates) = self.kernel.faults.rates() else {
            return;
        };
        let (pod_killed, node_lost) = (rates.pod_killed, rates.node_lost);
        if self.kernel.random.chance(pod_killed) {
            let number = self.kernel.random.below(1000);
            let _ = self.carry_out(&Command::KillPod(number));
        }
        if self.kernel.random.chance(node_lost) {
            let node = self.kernel.random.below(self.models.config.nodes as u64);
            self.models
                .node_lost(&mut self.kernel, usize::try_from(node).unwrap_or(0));
        }
        self.kernel.clock.after(SignedDuration::from_secs(1), Actor::Chaos);
    }

    /// Passes changes of the store on to all whom they concern.
    fn pass_on(&mut self) {
        while let Some(change) = self.kernel.store.log().get(self.passed_on).cloned() {
            self.passed_on += 1;
            self.note(&change);
            if let Some(safety) = &mut self.safety {
                let basis = match change.by {
                    Writer::Controller(number) => Some(self.processes[number].basis),
                    _ => None,
                };
                safety.see(&self.kernel.store, &self.models, &change, basis);
            }
            if let Some(recorder) = &mut self.recorder {
                recorder.see(&change);
            }
            if let Some(observer) = &mut self.observer {
                let deleted = change.happened == Happened::Deleted;
                observer.see(change.at, change.key.kind.name(), &change.object, deleted);
            }
            self.models.see(&mut self.kernel, &change);
            for process in &mut self.processes {
                process.schedule_event(&mut self.kernel, &change);
            }
            let uid = uid_of(&change.object);
            if change.happened == Happened::Deleted && !self.kernel.store.dependents(uid).is_empty() {
                let lag = self.kernel.random.millis(&COLLECT_LAG);
                self.kernel.clock.after(lag, Actor::Collect(uid.to_owned()));
            }
        }
    }

    /// Lets the recorder put down what happened.
    fn put_down(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.close(&mut self.kernel, &self.models);
        }
    }

    fn note(&mut self, change: &Change) {
        if !matches!(change.by, Writer::Controller(_)) {
            let Change {
                revision,
                key,
                happened,
                by,
                ..
            } = change;
            self.kernel
                .note(|| format!("{} {happened:?} {key} @{revision}", by.manager()));
        }
    }

    /// The present, since the start.
    pub fn now(&self) -> SignedDuration {
        self.kernel.clock.now().duration_since(START)
    }

    /// The API server.
    pub fn store(&self) -> &Store {
        &self.kernel.store
    }

    /// An object of the namespace `default`, where it exists.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Value>> {
        self.kernel.store.get(&Key::new(kind, "default", name))
    }

    /// The value of a PromQL query now, on the series that Prometheus would have scraped.
    pub fn query(&mut self, query: &str) -> Result<promql::Value, promql::RequestError> {
        self.models.query(self.kernel.clock.now(), &self.kernel.store, query)
    }

    /// What became of all requests so far.
    pub fn totals(&self) -> &Totals {
        &self.models.plane.totals
    }

    /// Transitions so far.
    ///
    /// # Panics
    /// Where the configuration says not to observe.
    pub fn observer(&self) -> &Observer {
        self.observer.as_ref().expect("the configuration says to observe")
    }

    /// Broken safety invariants so far.
    pub fn violations(&self) -> &[Violation] {
        self.safety.as_ref().map_or(&[], Safety::violations)
    }

    /// What was counted at each of [`Config::probes`].
    pub fn rests(&self) -> &[Rest] {
        &self.rests
    }

    /// Events that were published, each once.
    pub fn events(&self) -> &[(Timestamp, Key, Event)] {
        &self.kernel.events
    }

    /// What a report tells of the Rollouts; empty where the configuration says not to record.
    pub fn rollouts(&self) -> Vec<RolloutReport> {
        self.recorder
            .as_ref()
            .map(|recorder| recorder.rollouts(&self.models))
            .unwrap_or_default()
    }

    /// Requests that were lost so far.
    pub fn lost(&self) -> Vec<LostReport> {
        record::lost(&self.models)
    }

    /// Everything that happened, line by line; empty where the configuration says so.
    pub fn trace(&self) -> &str {
        self.kernel.trace.lines.as_deref().unwrap_or_default()
    }

    /// How many writes the controller attempted.
    pub fn writes(&self) -> u64 {
        self.kernel.faults.writes
    }

    /// Kinds of effects and holds that plans had so far: `effect set-split`, `hold draining`.
    pub fn coverage(&self) -> impl Iterator<Item = String> {
        self.kernel.coverage.iter().map(|(what, kind)| format!("{what} {kind}"))
    }

    /// How often the machines decided.
    pub fn decisions(&self) -> u64 {
        self.kernel.decisions
    }
}

/// Deletes what an owner that is gone has owned, unless it has another owner.
fn collect(kernel: &mut Kernel, uid: &str) {
    for key in kernel.store.dependents(uid) {
        let owned = kernel
            .store
            .get(&key)
            .is_some_and(|object| owner_uids(object).any(|uid| kernel.store.has_uid(uid)));
        if !owned {
            let deleted = kernel
                .store
                .delete(kernel.clock.now(), Writer::Cluster, &key, &Preconditions::default());
            debug_assert!(
                deleted.is_ok(),
                "a delete without preconditions of an object that exists succeeds"
            );
        }
    }
}
