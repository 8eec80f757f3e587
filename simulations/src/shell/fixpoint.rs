//! How soon the machine has nothing more to do.

use sluice_machine::Memory;

use crate::kernel::Kernel;
use crate::models::Models;
use crate::shell::cache::Cache;
use crate::shell::rollout::RolloutTask;
use crate::shell::writes::{self, Failed, Request};
use crate::shell::{Process, Work};
use crate::store::{Key, Kind};

/// After so many rounds it is given up.
const MOST: usize = 100;

impl Process {
    /// Decides and carries out for the Rollout under `key` again and again on a copy of the cluster in which nothing but
    /// these writes happens and no time passes. Tells how many rounds it takes until a decision has no commit, no effect and
    /// no event; `Err` where there is no end, or where a guard refuses what was decided on the very same view.
    pub(crate) fn rounds_to_rest(&self, kernel: &Kernel, models: &Models, key: &Key) -> Result<usize, String> {
        let mut kernel = kernel.frozen();
        let mut cache = Cache::default();
        for (key, object) in kernel.store.iter() {
            cache.put(key, object);
        }
        let Some(object) = cache.get(key).cloned() else {
            return Ok(0);
        };
        let Some(mut task) = RolloutTask::new(&object, &self.config.settings) else {
            return Ok(0);
        };
        task.fill(key, &cache);
        task.remember(self.memory(key));
        let mut last = String::new();
        for round in 0..MOST {
            let Some(decided) = task.decide(&mut kernel, models, key, self.config.decide) else {
                return Err("it asks for ever".to_owned());
            };
            if decided.writes.is_empty() && !task.has_events() {
                return Ok(round);
            }
            last = decided
                .writes
                .iter()
                .map(|write| write.target.to_string())
                .collect::<Vec<_>>()
                .join(", ");
            if !decided.writes.iter().any(|write| write.commits) {
                task.committed(&mut kernel, key);
            }
            if decided
                .writes
                .iter()
                .any(|write| matches!(write.request, Request::Pod(_)))
            {
                // What follows is the doing of the pods, which stand still here.
                return Ok(round);
            }
            let mut writes = decided.writes.into_iter().peekable();
            while let Some(requested) = writes.next() {
                if let Some(effect) = requested.guarded.as_ref().filter(|_| self.config.guarded)
                    && let Err(hold) = task.guard(kernel.clock.now(), effect)
                {
                    return Err(format!("round {round}: {hold}"));
                }
                let written = writes::perform(&mut kernel, self.number, &mut cache, key, &requested);
                let object = match written {
                    Ok(object) => object,
                    Err(Failed::Taken) => {
                        task.is_taken(&requested.target);
                        break;
                    }
                    Err(Failed::Crash | Failed::TimedOut | Failed::Refused) => {
                        return Err(format!("round {round}: the write of {} fails", requested.target));
                    }
                };
                if requested.commits {
                    task.committed(&mut kernel, key);
                }
                if let (Some(next), Some(object)) = (writes.peek_mut(), &object) {
                    next.follow(&requested.target, object);
                }
                let is_gone = matches!(requested.request, Request::Delete(_));
                let object = object.filter(|_| !is_gone);
                task.observe(key, &requested.target, object.as_deref(), &cache);
            }
        }
        Err(format!("no rest after {MOST} rounds; the last one writes {last}"))
    }

    fn memory(&self, key: &Key) -> Memory {
        match self.tasks.get(key).map(|task| &task.work) {
            Some(Work::Rollout(task)) => task.memory(),
            _ => Memory::default(),
        }
    }
}

/// Objects that a Rollout owns: each may need an effect of its own.
pub(crate) fn owned(kernel: &Kernel, rollout: &Key) -> usize {
    let Some(object) = kernel.store.get(rollout) else {
        return 0;
    };
    kernel
        .store
        .dependents(crate::store::uid_of(object))
        .iter()
        .filter(|key| matches!(key.kind, Kind::ReplicaSet | Kind::AnalysisRun))
        .count()
}
