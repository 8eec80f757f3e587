//! A process of the controller in virtual time: it observes late, decides with the real machines, and writes one request
//! after the other, each of which can fail.
//!
//! ```text
//! events ──Deliver──> cache ──Round──> world ──decide──> plan ──Write, Write ...──> store
//! ```
//!
//! It keeps the rules of the real shell: no decision before its own writes were seen, guards before each irreversible
//! effect, the first failure ends a plan, and nothing but the cluster survives a crash.

mod cache;
pub(crate) mod fixpoint;
mod gone;
mod rollout;
mod run;
mod watch;
mod writes;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sluice_machine::run::{self as run_machine, RunPlan, RunWorld};
use sluice_machine::{Plan, Settings, World};

use crate::kernel::{Actor, Kernel};
use crate::models::Models;
use crate::random::Millis;
use crate::report::RowKind;
use crate::store::{Key, Kind};

use cache::{Cache, Readiness};
use rollout::{Decided, RolloutTask};
use run::{RunResult, RunTask};
pub(crate) use writes::PodWrite;
use writes::{Failed, Request, Requested};

/// The kinds that a controller watches.
const WATCHED: [Kind; 8] = [
    Kind::Rollout,
    Kind::ReplicaSet,
    Kind::Service,
    Kind::HttpRoute,
    Kind::Deployment,
    Kind::AnalysisRun,
    Kind::AnalysisTemplate,
    Kind::ClusterAnalysisTemplate,
];

/// How fast a controller process is. All times are in milliseconds and drawn anew each time.
#[derive(Clone, Debug)]
pub struct ShellConfig {
    /// From a change in the store to its event at the process.
    pub watch: Millis,
    /// From the decision to a write, and from one write to the next.
    pub call: Millis,
    /// Until a request without an answer is given up.
    pub timeout: Millis,
    /// From a crash to the next start.
    pub restart: Millis,
    /// Every so often everything is listed anew; never where absent.
    pub resync: Option<SignedDuration>,
    /// The settings of the machine.
    pub settings: Settings,
    /// What decides for a Rollout: the machine of this version, or another one that is to be tried.
    pub decide: fn(Timestamp, &World) -> Plan,
    /// What decides for an AnalysisRun.
    pub decide_run: fn(Timestamp, &RunWorld) -> RunPlan,
    /// Whether the guards look at each effect that cannot be taken back. Without them a wrong decision has its effect.
    pub guarded: bool,
}

impl Default for ShellConfig {
    fn default() -> Self {
        ShellConfig {
            watch: 1..=20,
            call: 2..=15,
            timeout: 1_000..=5_000,
            restart: 500..=3_000,
            resync: None,
            settings: Settings::default(),
            decide: sluice_machine::decide,
            decide_run: run_machine::decide,
            guarded: true,
        }
    }
}

/// What a process goes on with.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Look at an object and decide.
    Round(Key),
    /// The next write of an object's plan.
    Write(Key),
    /// A time has come for which the plan asked.
    Wake(Key, Timestamp),
    /// The answer to a measurement.
    Measured { run: Key, result: Box<RunResult> },
    /// List everything anew.
    Resync,
}

/// One process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) number: usize,
    config: ShellConfig,
    /// Counts restarts: what was scheduled for an earlier life is dropped.
    epoch: u32,
    alive: bool,
    cache: Cache,
    /// Until when events of a kind are on their way.
    arrivals: BTreeMap<Kind, Timestamp>,
    /// How far the log was delivered, by kind.
    cursors: BTreeMap<Kind, usize>,
    /// The first event of an object that got lost: when it happened, and its revision.
    lost: BTreeMap<Key, (Timestamp, u64)>,
    tasks: BTreeMap<Key, Task>,
    /// Environment of the metric providers.
    environment: sluice_analysis::Environment,
    /// Up to which time everything had been seen when the write under way was decided.
    pub(crate) basis: Timestamp,
}

/// The work on one Rollout or AnalysisRun.
#[derive(Debug)]
struct Task {
    work: Work,
    /// A round is scheduled.
    due: bool,
    /// Writes that are still to be made, the next one last.
    writes: Vec<Requested>,
    /// The basis of these writes.
    basis: Timestamp,
    wake: Option<Timestamp>,
    failures: u32,
}

#[derive(Debug)]
enum Work {
    Rollout(Box<RolloutTask>),
    Run(Box<RunTask>),
    /// The Rollout is gone, and there are Services that it managed.
    Gone,
}

impl Process {
    pub(crate) fn new(number: usize, config: ShellConfig) -> Process {
        let address = (
            "ARGO_ROLLOUTS_PROMETHEUS_ADDRESS".to_owned(),
            "http://prometheus.test".to_owned(),
        );
        Process {
            number,
            config,
            epoch: 0,
            alive: false,
            cache: Cache::default(),
            arrivals: BTreeMap::new(),
            cursors: BTreeMap::new(),
            lost: BTreeMap::new(),
            tasks: BTreeMap::new(),
            environment: sluice_analysis::Environment {
                variables: BTreeMap::from([address]),
                ..sluice_analysis::Environment::default()
            },
            basis: crate::clock::START,
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.alive
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Whether nothing is under way: no write, no round, nothing unseen.
    pub(crate) fn is_idle(&self) -> bool {
        self.tasks.values().all(|task| task.writes.is_empty() && !task.due) && self.cache.ledger_is_empty()
    }

    /// Whether a step that is scheduled can still change anything.
    pub(crate) fn awaits(&self, step: &Step) -> bool {
        match step {
            Step::Resync => false,
            Step::Wake(key, at) => self.tasks.get(key).is_some_and(|task| task.wake == Some(*at)),
            _ => true,
        }
    }

    /// Starts the process: everything is listed, all objects are looked at.
    pub(crate) fn start(&mut self, kernel: &mut Kernel) {
        self.alive = true;
        kernel.note(|| format!("controller-{} starts", self.number));
        if self.epoch > 0 {
            kernel.happens(None, RowKind::Fault, || "the controller starts again".to_owned());
        }
        self.list_all(kernel);
        if let Some(resync) = self.config.resync {
            self.schedule(kernel, resync, Step::Resync);
        }
    }

    /// Ends the process: all it knew is gone.
    pub(crate) fn crash(&mut self, kernel: &mut Kernel) {
        if !self.alive {
            return;
        }
        kernel.note(|| format!("controller-{} crashes", self.number));
        kernel.happens(None, RowKind::Fault, || "the controller crashes".to_owned());
        self.alive = false;
        self.epoch += 1;
        self.cache = Cache::default();
        self.arrivals.clear();
        self.tasks.clear();
        let delay = kernel.random.millis(&self.config.restart);
        kernel.clock.after(delay, Actor::Restart(self.number));
    }

    /// Tells all tasks that an object in the cache is not what it was.
    fn changed(&mut self, kernel: &mut Kernel, key: &Key) {
        let object = self.cache.get(key).cloned();
        if object.is_some() && self.tasks.get(key).is_some_and(|task| matches!(task.work, Work::Gone)) {
            self.tasks.remove(key);
        }
        if let Some(object) = object.as_deref().filter(|_| !self.tasks.contains_key(key)) {
            let work = match key.kind {
                Kind::Rollout => {
                    RolloutTask::new(object, &self.config.settings).map(|task| Work::Rollout(Box::new(task)))
                }
                Kind::AnalysisRun => RunTask::new(object).map(|task| Work::Run(Box::new(task))),
                _ => None,
            };
            if let Some(mut work) = work {
                if let Work::Rollout(task) = &mut work {
                    task.fill(key, &self.cache);
                }
                let basis = kernel.clock.now();
                let task = Task {
                    work,
                    due: false,
                    writes: Vec::new(),
                    basis,
                    wake: None,
                    failures: 0,
                };
                self.tasks.insert(key.clone(), task);
                self.schedule_round(kernel, key, SignedDuration::ZERO);
                return;
            }
        }
        if object.is_none() && !self.tasks.get(key).is_some_and(|task| matches!(task.work, Work::Gone)) {
            self.tasks.remove(key);
        }
        self.look_for_remains(kernel, key);
        if object.is_none() && !self.tasks.contains_key(key) {
            self.cache.forget_task(key);
        }
        let mut concerned = Vec::new();
        for (task_key, task) in &mut self.tasks {
            let concerns = match &mut task.work {
                Work::Rollout(work) => work.observe(task_key, key, object.as_deref(), &self.cache),
                Work::Run(work) => task_key == key && work.observe(object.as_deref()),
                Work::Gone => false,
            };
            if concerns {
                concerned.push(task_key.clone());
            }
        }
        concerned
            .iter()
            .for_each(|key| self.schedule_round(kernel, key, SignedDuration::ZERO));
    }

    fn rouse_those_who_wait(&mut self, kernel: &mut Kernel) {
        for key in self.cache.now_seen() {
            self.schedule_round(kernel, &key, SignedDuration::ZERO);
        }
    }

    fn schedule(&self, kernel: &mut Kernel, delay: SignedDuration, step: Step) {
        kernel.clock.after(
            delay,
            Actor::Process {
                process: self.number,
                epoch: self.epoch,
                step,
            },
        );
    }

    fn schedule_round(&mut self, kernel: &mut Kernel, key: &Key, delay: SignedDuration) {
        let Some(task) = self.tasks.get_mut(key).filter(|task| !task.due) else {
            return;
        };
        task.due = true;
        self.schedule(kernel, delay, Step::Round(key.clone()));
    }

    /// Goes on with a step.
    pub(crate) fn step(&mut self, kernel: &mut Kernel, models: &mut Models, step: Step) {
        match step {
            Step::Round(key) => self.round(kernel, models, &key),
            Step::Write(key) => self.write(kernel, models, &key),
            Step::Wake(key, at) => {
                if self.tasks.get(&key).is_some_and(|task| task.wake == Some(at)) {
                    self.schedule_round(kernel, &key, SignedDuration::ZERO);
                }
            }
            Step::Measured { run, result } => {
                if let Some(Task {
                    work: Work::Run(task), ..
                }) = self.tasks.get_mut(&run)
                {
                    task.measured(*result);
                    self.schedule_round(kernel, &run, SignedDuration::ZERO);
                }
            }
            Step::Resync => {
                self.list_all(kernel);
                if let Some(resync) = self.config.resync {
                    self.schedule(kernel, resync, Step::Resync);
                }
            }
        }
    }

    /// Looks at an object and decides, unless writes are under way or were not seen yet.
    fn round(&mut self, kernel: &mut Kernel, models: &mut Models, key: &Key) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        task.due = false;
        if !task.writes.is_empty() {
            return;
        }
        match self.cache.readiness(key, kernel.clock.now()) {
            Readiness::Ready => {}
            Readiness::Wait(until) => {
                let delay = until - kernel.clock.now();
                let delay = SignedDuration::try_from(delay).unwrap_or(SignedDuration::ZERO);
                return self.schedule(kernel, delay, Step::Round(key.clone()));
            }
            Readiness::Look(objects) => {
                for object in objects {
                    self.look(kernel, key, &object);
                }
                return self.schedule_round(kernel, key, SignedDuration::ZERO);
            }
        }
        let basis = self.seen_until(kernel);
        let Some(decided) = self.decide(kernel, models, key) else {
            return self.back_off(kernel, key);
        };
        let Some(task) = self.tasks.get_mut(key) else { return };
        task.basis = basis;
        task.wake = decided.wake_at;
        task.writes = decided.writes;
        task.writes.reverse();
        let commits = task.writes.iter().any(|write| write.commits);
        if !commits {
            self.committed(kernel, models, key);
        }
        let Some(task) = self.tasks.get_mut(key) else { return };
        if !task.writes.is_empty() {
            let delay = kernel.random.millis(&self.config.call);
            return self.schedule(kernel, delay, Step::Write(key.clone()));
        }
        if matches!(task.work, Work::Gone) {
            self.tasks.remove(key);
            return;
        }
        task.failures = 0;
        if let Some(at) = decided.wake_at {
            kernel.clock.at(
                at,
                Actor::Process {
                    process: self.number,
                    epoch: self.epoch,
                    step: Step::Wake(key.clone(), at),
                },
            );
        }
    }

    /// Decides for an object, and once more on what is read again where that must be confirmed. `None` where a read fails or there
    /// is no end of questions.
    fn decide(&mut self, kernel: &mut Kernel, models: &Models, key: &Key) -> Option<Decided> {
        let decided = match &mut self.tasks.get_mut(key)?.work {
            Work::Run(work) => return Some(work.decide(kernel, key, &self.cache, self.config.decide_run)),
            Work::Gone => return gone::decide(kernel, &self.cache, key),
            Work::Rollout(work) => work.decide(kernel, models, key, self.config.decide)?,
        };
        if !decided.confirm {
            return Some(decided);
        }
        self.read_involved(kernel, key, None).ok()?;
        match &mut self.tasks.get_mut(key)?.work {
            Work::Rollout(work) => work.decide(kernel, models, key, self.config.decide),
            Work::Run(_) | Work::Gone => None,
        }
    }

    /// The commit of a plan is done, or there is none: events are published, measurements begin.
    fn committed(&mut self, kernel: &mut Kernel, models: &mut Models, key: &Key) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let under_way = match &mut task.work {
            Work::Rollout(work) => {
                work.committed(kernel, key);
                Vec::new()
            }
            Work::Run(work) => work.committed(kernel, models, key, &self.environment),
            Work::Gone => Vec::new(),
        };
        for (after, result) in under_way {
            self.schedule(
                kernel,
                after,
                Step::Measured {
                    run: key.clone(),
                    result: Box::new(result),
                },
            );
        }
    }

    /// Reads an object from the API server that a task waits for.
    fn look(&mut self, kernel: &mut Kernel, task: &Key, object: &Key) {
        kernel.note(|| format!("controller-{} looks at {object}", self.number));
        self.cache.looked(task, object);
        self.read(kernel, object);
    }

    /// Reads an object from the API server, whatever the watch has told.
    fn read(&mut self, kernel: &mut Kernel, object: &Key) {
        let news = match kernel.store.get(object).cloned() {
            Some(found) => self.cache.put(object, &found),
            None => self.cache.delete(object, kernel.store.revision()),
        };
        if news {
            self.changed(kernel, object);
        }
    }

    /// Makes the next write of a plan.
    fn write(&mut self, kernel: &mut Kernel, models: &mut Models, key: &Key) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let Some(requested) = task.writes.pop() else { return };
        self.basis = task.basis;
        if let Some(effect) = requested.guarded.as_ref().filter(|_| self.config.guarded) {
            self.basis = kernel.clock.now();
            if let Err(problem) = self.guard(kernel, key, effect) {
                kernel.note(|| format!("controller-{} {key}: {problem}", self.number));
                return self.give_up(kernel, key);
            }
        }
        match writes::perform(kernel, self.number, &mut self.cache, key, &requested) {
            Ok(object) => {
                if let Request::Pod(write) = &requested.request {
                    models.write_pod(kernel, write);
                    if let Some(Work::Rollout(work)) = self.tasks.get_mut(key).map(|task| &mut task.work) {
                        work.forget_pods();
                    }
                }
                self.written(kernel, models, key, &requested, object.as_deref());
            }
            Err(Failed::Crash) => self.crash(kernel),
            Err(Failed::TimedOut) => {
                let wait = kernel.random.millis(&self.config.timeout);
                if let Some(task) = self.tasks.get_mut(key) {
                    task.writes.clear();
                }
                self.schedule_round(kernel, key, wait);
            }
            Err(failed) => {
                if let (Failed::Taken, Some(task)) = (failed, self.tasks.get_mut(key))
                    && let Work::Rollout(work) = &mut task.work
                {
                    work.is_taken(&requested.target);
                }
                self.go_on_or_give_up(kernel, key);
            }
        }
    }

    /// Reads again what an effect that cannot be taken back depends on, and asks the machine's guards.
    fn guard(&mut self, kernel: &mut Kernel, key: &Key, effect: &sluice_machine::Effect) -> Result<(), String> {
        self.read_involved(kernel, key, Some(effect))?;
        match self.tasks.get_mut(key).map(|task| &mut task.work) {
            Some(Work::Rollout(work)) => work.guard(kernel.clock.now(), effect).map_err(|hold| hold.to_string()),
            Some(Work::Run(work)) => work.guard(key, &self.cache).map_err(|hold| hold.to_string()),
            Some(Work::Gone) | None => Err("it is gone".to_owned()),
        }
    }

    /// Reads again what decisions depend on.
    fn read_involved(
        &mut self,
        kernel: &mut Kernel,
        key: &Key,
        effect: Option<&sluice_machine::Effect>,
    ) -> Result<(), String> {
        let involved = match self.tasks.get(key).map(|task| &task.work) {
            Some(Work::Rollout(work)) => work.involved(key, effect),
            Some(Work::Run(work)) => work.rollout(key).into_iter().collect(),
            Some(Work::Gone) | None => return Err("it is gone".to_owned()),
        };
        for object in involved {
            let fails = kernel.faults.rates().map_or(0, |rates| rates.read);
            if kernel.random.chance(fails) {
                return Err(format!("reading {object} again fails"));
            }
            self.read(kernel, &object);
        }
        Ok(())
    }

    /// What is given back does not wait for one object that cannot be written; the first failure ends any other plan.
    fn go_on_or_give_up(&mut self, kernel: &mut Kernel, key: &Key) {
        let goes_on = |task: &Task| matches!(task.work, Work::Gone) && !task.writes.is_empty();
        if !self.tasks.get(key).is_some_and(goes_on) {
            return self.give_up(kernel, key);
        }
        let delay = kernel.random.millis(&self.config.call);
        self.schedule(kernel, delay, Step::Write(key.clone()));
    }

    fn give_up(&mut self, kernel: &mut Kernel, key: &Key) {
        if let Some(task) = self.tasks.get_mut(key) {
            task.writes.clear();
        }
        self.back_off(kernel, key);
    }

    /// 100 ms, then twice as long with each failure, up to 30 s, and up to a quarter longer.
    fn back_off(&mut self, kernel: &mut Kernel, key: &Key) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        task.failures += 1;
        let delay = (100_u64 << (task.failures - 1).min(10)).min(30_000);
        let delay = kernel.random.millis(&(delay..=delay + delay / 4));
        self.schedule_round(kernel, key, delay);
    }

    fn written(
        &mut self,
        kernel: &mut Kernel,
        models: &mut Models,
        key: &Key,
        requested: &Requested,
        object: Option<&serde_json::Value>,
    ) {
        if requested.commits {
            self.committed(kernel, models, key);
        }
        self.changed(kernel, &requested.target);
        let Some(task) = self.tasks.get_mut(key) else { return };
        if let (Some(next), Some(object)) = (task.writes.last_mut(), object) {
            next.follow(&requested.target, object);
        }
        if task.writes.is_empty() {
            task.failures = 0;
            self.schedule_round(kernel, key, SignedDuration::ZERO);
        } else {
            let delay = kernel.random.millis(&self.config.call);
            self.schedule(kernel, delay, Step::Write(key.clone()));
        }
    }
}
