//! What all tasks share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::Client;
use sluice_machine::run::{MeasureKey, Taken};
use sluice_machine::{Answered, Ask, Memory, Plan, Settings};
use tokio::sync::{Notify, mpsc};

use crate::analysis_gauges::RunTable;
use crate::backoff::{self, Delays};
use crate::cache::{Cache, Consequences};
use crate::config::Config;
use crate::incumbent::Lookout;
use crate::kinds::Kind;
use crate::leadership::Leadership;
use crate::ledger::Ledger;
use crate::metrics::{Metrics, RolloutGauges};
use crate::notices::Notices;
use crate::object::ObjectName;
use crate::publish::Publisher;
use crate::queue::{Key, Queue};
use crate::send::Measurer;

/// How long decisions wait for kinds that have not been listed yet. Afterwards they are unknown, and decisions say so.
pub const SETTLE: Duration = Duration::from_secs(10);

/// What all tasks share.
pub struct Context {
    /// The configuration.
    pub config: Config,
    /// The client.
    pub client: Client,
    /// Watched objects.
    pub cache: Cache,
    /// What to reconcile next.
    pub queue: Queue,
    /// Whether we may decide and write.
    pub leadership: Arc<Leadership>,
    /// Whether Argo Rollouts is live.
    pub lookout: Lookout,
    /// What is wrong with the surroundings.
    pub notices: Notices,
    /// Counters.
    pub metrics: Metrics,
    /// Tells watches of missing kinds that a CRD was installed or changed.
    pub installed: Notify,
    /// Publishes events.
    pub publisher: Publisher,
    /// Sends measurements.
    pub measurer: Measurer,
    /// When the process started.
    pub started: Instant,
    ledger: Mutex<Ledger>,
    run_table: Mutex<RunTable>,
    known: Mutex<BTreeMap<Key, Known>>,
    extensions: Mutex<Option<bool>>,
    routes: Mutex<BTreeMap<Kind, Instant>>,
    wanted_routes: mpsc::UnboundedSender<Kind>,
}

/// What the process remembers of one object between two reconciles. Losing it delays, and never endangers.
#[derive(Debug, Default)]
pub struct Known {
    /// For the machine.
    pub memory: Memory,
    /// Answers to asks, as long as they are of use.
    pub answers: BTreeMap<Ask, Answered>,
    /// The last plan and when it was made.
    pub plan: Option<(jiff::Timestamp, Arc<Plan>)>,
    /// What went wrong in the last reconcile.
    pub trouble: Option<String>,
    /// The epoch of leadership in which the object was last read afresh before it was acted on.
    pub confirmed: u64,
    /// Delays after failures; `None` after a success.
    pub delays: Option<Delays>,
    /// uid of the run that the next two fields are about.
    pub uid: Option<String>,
    /// Measurements whose results are not recorded yet.
    pub taken: BTreeMap<MeasureKey, Taken>,
    /// Measurements under way.
    pub in_flight: BTreeSet<MeasureKey>,
    /// What the gauges show of the Rollout.
    pub gauges: Option<RolloutGauges>,
}

impl Context {
    /// A context without any knowledge yet. Kinds of routes to be watched come out of the receiver.
    pub fn new(
        config: Config,
        client: Client,
        leadership: Arc<Leadership>,
        publisher: Publisher,
    ) -> (Arc<Context>, mpsc::UnboundedReceiver<Kind>) {
        let (wanted_routes, routes) = mpsc::unbounded_channel();
        let own = config.own_namespace.as_deref().unwrap_or(client.default_namespace());
        let mut namespaces = vec![own, "argo-rollouts"];
        namespaces.extend(config.watched_namespace.as_deref());
        let only_one = config.watched_namespace.is_some();
        let lookout = Lookout::new(&namespaces, config.instance_id.as_deref(), only_one);
        let measurer = Measurer::new(config.addresses.clone(), config.authorities.clone());
        let context = Context {
            lookout,
            config,
            client,
            cache: Cache::default(),
            queue: Queue::default(),
            leadership,
            notices: Notices::default(),
            metrics: Metrics::new(),
            installed: Notify::new(),
            publisher,
            measurer,
            started: Instant::now(),
            ledger: Mutex::default(),
            run_table: Mutex::default(),
            known: Mutex::default(),
            extensions: Mutex::default(),
            routes: Mutex::default(),
            wanted_routes,
        };
        (Arc::new(context), routes)
    }

    /// The ledger.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What scrapes show of AnalysisRuns.
    pub fn run_table(&self) -> MutexGuard<'_, RunTable> {
        self.run_table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered of one object. It begins empty.
    pub fn known<T>(&self, key: &Key, work: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        work(known.entry(key.clone()).or_default())
    }

    /// All that is remembered, for metrics.
    pub fn all_known<T>(&self, mut work: impl FnMut(&Key, &Known) -> Option<T>) -> Vec<T> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter_map(|(key, known)| work(key, known)).collect()
    }

    /// The last plan for a Rollout and the trouble with it, where anything is known of it.
    pub fn last_plan(&self, name: &ObjectName) -> Option<LastPlan> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(&Key::Rollout(name.clone()))
            .map(|known| (known.plan.clone(), known.trouble.clone()))
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, key: &Key) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        self.ledger().forget(key);
        if let Key::Run(name) = key {
            self.run_table().forget(name);
        }
    }

    /// Wants a key reconciled again after a growing delay.
    pub fn back_off(&self, key: &Key) -> Duration {
        let seed = backoff::seed(&key.to_string());
        let delay = self.known(key, |known| {
            known.delays.get_or_insert_with(|| Delays::reconcile(seed)).next_delay()
        });
        self.queue.add_at(key.clone(), Instant::now() + delay);
        delay
    }

    /// Puts the consequences of a change into ledger and queue.
    pub fn take_consequences(&self, consequences: Consequences) {
        if !consequences.gone.is_empty() {
            let mut ledger = self.ledger();
            for (object, uid) in &consequences.gone {
                ledger.deleted(object, uid);
            }
        }
        if !consequences.keys.is_empty() {
            self.queue.add_all(consequences.keys);
        }
    }

    /// Has a kind of routes watched from now on.
    pub fn want_route(&self, kind: &Kind) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if !routes.contains_key(kind) {
            routes.insert(kind.clone(), Instant::now());
            // The receiver lives as long as the process: a failure to send means that it ends.
            let _ = self.wanted_routes.send(kind.clone());
        }
    }

    /// Until when decisions wait for a kind that has not been listed yet.
    pub fn patience_with(&self, kind: &Kind) -> Instant {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.get(kind).copied().unwrap_or(self.started) + SETTLE
    }

    /// Notes whether the installed CRDs keep the fields that Sluice adds.
    pub fn set_extensions(&self, on: bool) {
        let mut extensions = self.extensions.lock().unwrap_or_else(PoisonError::into_inner);
        if *extensions == Some(on) {
            return;
        }
        *extensions = Some(on);
        drop(extensions);
        if on {
            self.notices.clear("extensions");
        } else {
            let text = "the installed CRDs are not those of Sluice: they drop the fields that Sluice adds, so Rollouts \
                        that use one are held; apply crds/yaml to have them";
            self.notices.raise("extensions", text);
        }
        self.queue.add_all(self.cache.all_keys());
    }

    /// Definitions cannot be watched. A field that was read was not dropped, so extensions count as kept.
    pub fn definitions_failed(&self, error: &kube::runtime::watcher::Error) {
        let extensions = self.extensions.lock().unwrap_or_else(PoisonError::into_inner);
        if extensions.is_none() {
            drop(extensions);
            tracing::info!(
                error = crate::api::chain(error),
                "CRDs cannot be watched: missing kinds are tried every minute"
            );
            self.set_extensions(true);
        }
    }

    /// Settings for decisions; `None` while it is not known whether extension fields survive.
    pub fn settings(&self) -> Option<Settings> {
        let extensions = *self.extensions.lock().unwrap_or_else(PoisonError::into_inner);
        let extensions = extensions.or_else(|| (self.started.elapsed() > SETTLE).then_some(true))?;
        Some(Settings {
            instance_id: self.config.instance_id.clone(),
            drain: self.config.drain,
            ack_timeout: self.config.ack_timeout,
            extensions,
            ..Settings::default()
        })
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// A plan with the time at which it was made, and what went wrong.
pub type LastPlan = (Option<(jiff::Timestamp, Arc<Plan>)>, Option<String>);
