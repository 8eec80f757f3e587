//! The work for a Rollout that is gone: what it managed is given back, as in the real shell.

use jiff::SignedDuration;
use serde_json::Value;
use sluice_machine::{Remains, release};
use sluice_traffic::MANAGED_BY_ANNOTATION;

use crate::kernel::Kernel;
use crate::shell::cache::Cache;
use crate::shell::rollout::Decided;
use crate::shell::writes;
use crate::shell::{Process, Task, Work};
use crate::store::{Key, Kind};

impl Process {
    /// Begins to give back what an object that has changed belongs to, where its Rollout is gone.
    pub(super) fn look_for_remains(&mut self, kernel: &mut Kernel, changed: &Key) {
        let rollout = match changed.kind {
            Kind::Rollout => changed.clone(),
            Kind::Service => match self.cache.get(changed).and_then(|service| manager(service)) {
                Some(name) => changed.beside(Kind::Rollout, name),
                None => return,
            },
            _ => return,
        };
        if self.cache.get(&rollout).is_some() || services(&self.cache, &rollout).next().is_none() {
            return;
        }
        let basis = kernel.clock.now();
        self.tasks.entry(rollout.clone()).or_insert(Task {
            work: Work::Gone,
            due: false,
            writes: Vec::new(),
            basis,
            wake: None,
            failures: 0,
        });
        self.schedule_round(kernel, &rollout, SignedDuration::ZERO);
    }
}

/// What is to be written; nothing where the Rollout is there after all. `None` where it could not be read.
pub(super) fn decide(kernel: &mut Kernel, cache: &Cache, rollout: &Key) -> Option<Decided> {
    let fails = kernel.faults.rates().map_or(0, |rates| rates.read);
    if kernel.random.chance(fails) {
        return None;
    }
    if kernel.store.get(rollout).is_some() {
        return Some(Decided::default());
    }
    let routes = kernel.store.list(Kind::HttpRoute);
    let routes = routes.filter(|(key, _)| key.namespace == rollout.namespace);
    let effects = release(&Remains {
        rollout: rollout.name.to_string(),
        services: services(cache, rollout).cloned().collect(),
        objects: routes.map(|(_, route)| Value::clone(route)).collect(),
    });
    kernel
        .coverage
        .extend(effects.iter().map(|effect| ("effect", effect.kind())));
    // The Rollout was read just now; each write meets the version that was read, or fails.
    let writes = effects.into_iter().map(|effect| {
        let mut requested = writes::of_effect(rollout, &Value::Null, effect);
        requested.guarded = None;
        requested
    });
    Some(Decided {
        confirm: false,
        writes: writes.collect(),
        wake_at: None,
    })
}

/// The Services that are annotated as managed by a Rollout.
fn services<'c>(cache: &'c Cache, rollout: &'c Key) -> impl Iterator<Item = &'c Value> {
    let of_rollout = |(key, service): &(&Key, &std::sync::Arc<Value>)| {
        key.kind == Kind::Service && key.namespace == rollout.namespace && manager(service) == Some(&*rollout.name)
    };
    cache.iter().filter(of_rollout).map(|(_, service)| &**service)
}

fn manager(service: &Value) -> Option<&str> {
    service
        .pointer("/metadata/annotations")?
        .get(MANAGED_BY_ANNOTATION)?
        .as_str()
}
