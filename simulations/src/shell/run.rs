//! The work on one AnalysisRun: measures when the machine says so and hands back what came out.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize as _;
use serde_json::Value;
use sluice_analysis::{Environment, Next, Secrets, TransportError, providers};
use sluice_crds::{AnalysisRun, Rollout};
use sluice_machine::run::{self, MeasureKey, RunHold, RunPlan, RunWorld, Taken};
use sluice_machine::{Event, Fact, Why};

use crate::kernel::Kernel;
use crate::models::Models;
use crate::shell::cache::Cache;
use crate::shell::rollout::Decided;
use crate::shell::writes;
use crate::store::{Key, Kind};

/// The answer to a measurement.
#[derive(Clone, Debug)]
pub(crate) struct RunResult {
    key: MeasureKey,
    taken: Taken,
}

#[derive(Debug)]
pub(super) struct RunTask {
    world: RunWorld,
    events: Vec<Event>,
    /// To be measured when the commit under way is done.
    measure: Vec<MeasureKey>,
}

impl RunTask {
    /// The work on a run; `None` where it cannot be decoded.
    pub(super) fn new(object: &Value) -> Option<RunTask> {
        let run = AnalysisRun::deserialize(object).ok()?;
        Some(RunTask {
            world: RunWorld {
                run,
                ..RunWorld::default()
            },
            events: Vec::new(),
            measure: Vec::new(),
        })
    }

    /// Takes over the state of the run; tells whether it can be decoded.
    pub(super) fn observe(&mut self, object: Option<&Value>) -> bool {
        let decoded = object.and_then(|object| AnalysisRun::deserialize(object).ok());
        let Some(run) = decoded else { return false };
        self.world.run = run;
        let run = &self.world.run;
        self.world.answers.retain(|key, _| !run::is_recorded(run, key));
        self.world.in_flight.retain(|key| !run::is_recorded(run, key));
        true
    }

    /// Takes in the answer to a measurement.
    pub(super) fn measured(&mut self, result: RunResult) {
        self.world.in_flight.remove(&result.key);
        self.world.answers.insert(result.key, result.taken);
    }

    pub(super) fn decide(
        &mut self,
        kernel: &mut Kernel,
        key: &Key,
        cache: &Cache,
        decide: fn(Timestamp, &RunWorld) -> RunPlan,
    ) -> Decided {
        self.world.named = self.named(key, cache);
        let plan = decide(kernel.clock.now(), &self.world);
        kernel.decisions += 1;
        self.events = plan.events;
        self.measure = plan.measure;
        let commit = plan.commit.map(|commit| writes::of_run_commit(key, commit));
        let delete = plan.delete.map(|delete| writes::of_run_delete(key, delete));
        let writes = commit.into_iter().chain(delete).collect();
        Decided {
            confirm: false,
            writes,
            wake_at: plan.wake_at,
        }
    }

    /// The Rollout that controls the run.
    pub(super) fn rollout(&self, key: &Key) -> Option<Key> {
        let (name, _) = run::rollout_of(&self.world.run)?;
        Some(key.beside(Kind::Rollout, name))
    }

    /// Whether the run may be deleted, as the cache has its Rollout.
    pub(super) fn guard(&mut self, key: &Key, cache: &Cache) -> Result<(), RunHold> {
        self.world.named = self.named(key, cache);
        run::may_delete(&self.world)
    }

    fn named(&self, key: &Key, cache: &Cache) -> Fact<BTreeSet<String>> {
        let rollout = self.rollout(key).and_then(|rollout| cache.get(&rollout));
        match rollout.map(|object| Rollout::deserialize(&**object)) {
            None => run::named(&self.world.run, Fact::Absent),
            Some(Ok(rollout)) => run::named(&self.world.run, Fact::Known(&rollout)),
            Some(Err(error)) => Fact::Unknown(Why::Undecodable(error.to_string())),
        }
    }

    /// Publishes the events of the plan whose commit is done and starts its measurements: after how long which answers come.
    pub(super) fn committed(
        &mut self,
        kernel: &mut Kernel,
        models: &mut Models,
        key: &Key,
        environment: &Environment,
    ) -> Vec<(SignedDuration, RunResult)> {
        for event in std::mem::take(&mut self.events) {
            kernel.publish(key, event);
        }
        let started_at = kernel.clock.now();
        let mut under_way = Vec::new();
        for measure in std::mem::take(&mut self.measure) {
            let run = &self.world.run;
            let Some(metric) = run::metric(run, &measure) else {
                continue;
            };
            let latency = kernel.random.millis(&models.config.metrics.latency);
            let arguments = run.spec.args.as_deref().unwrap_or_default();
            let begun = providers::start(started_at, metric, arguments, Secrets::default(), environment);
            let (measured, metadata) = match begun {
                Ok((mut measuring, mut next)) => {
                    let measured = loop {
                        let request = match next {
                            Next::Done(measured) => break measured,
                            Next::Run(_) => break models.job(started_at, &measure.metric),
                            // What a server works on meanwhile is done at once: the scenario says what comes out.
                            Next::Send(request) | Next::SendAfter(_, request) => request,
                        };
                        let fails = kernel.faults.rates().map_or(0, |rates| rates.read);
                        let answer = if kernel.random.chance(fails) {
                            Err(TransportError::Timeout)
                        } else {
                            models.measure(started_at, &kernel.store, &measure.metric, &request)
                        };
                        next = measuring.hear(started_at, answer);
                    };
                    (measured, measuring.metadata())
                }
                Err(measured) => (measured, std::collections::BTreeMap::new()),
            };
            kernel.note(|| format!("{key} measures {} #{}: {:?}", measure.metric, measure.attempt, measured));
            self.world.in_flight.insert(measure.clone());
            let taken = Taken {
                measured,
                metadata,
                started_at,
                finished_at: started_at + latency,
            };
            under_way.push((latency, RunResult { key: measure, taken }));
        }
        under_way
    }
}
