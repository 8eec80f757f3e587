//! A scenario: manifests, how versions behave, what is typed when, and what goes wrong.

use jiff::SignedDuration;
use serde_json::Value;

use crate::clock::START;
use crate::cluster::{Cluster, Config};
use crate::commands::Command;
use crate::faults::{Faults, Rates};
use crate::models::{Entry, Flow, Health, Version};
use crate::random::Random;
use crate::report::Report;
use crate::store::{ApiError, Key, Kind};

/// Requests begin when the first version had time to start.
const TRAFFIC_FROM: SignedDuration = SignedDuration::from_secs(30);

/// What a Rollout names is known to the controller by then.
const SETTLED_BY: SignedDuration = SignedDuration::from_millis(500);

/// Keeps the stream that mixes faults apart from the stream that plays.
const FAULTS: u64 = 0xfa17;

/// What happens in a simulation.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Name.
    pub name: String,
    /// YAML of the objects that are there from the start.
    pub manifests: String,
    /// Objects that are there from the start, before those.
    pub objects: Vec<Value>,
    /// `namespace/name` of the Rollout that it is about.
    pub rollout: String,
    /// Everything else; the seed is replaced with that of the run.
    pub config: Config,
    /// Commands and the time since the start at which they are typed.
    pub script: Vec<(SignedDuration, Command)>,
    /// It must have settled by then.
    pub limit: SignedDuration,
}

impl Scenario {
    /// A scenario in which nothing happens after the manifests were applied.
    pub fn new(name: &str, manifests: impl Into<String>) -> Scenario {
        Scenario {
            name: name.to_owned(),
            manifests: manifests.into(),
            objects: Vec::new(),
            rollout: "default/shop".to_owned(),
            config: Config::new(0),
            script: Vec::new(),
            limit: SignedDuration::from_mins(30),
        }
    }

    /// Types a command some seconds after the start.
    #[must_use]
    pub fn at(mut self, seconds: i64, command: Command) -> Scenario {
        self.script.push((SignedDuration::from_secs(seconds), command));
        self
    }

    /// Says how the pods of an image behave.
    #[must_use]
    pub fn version(mut self, image: &str, version: Version) -> Scenario {
        self.config.models.versions.insert(image.to_owned(), version);
        self
    }

    /// Pods of this image answer this share of their requests with an error.
    #[must_use]
    pub fn error_rate(self, image: &str, error_rate: f64) -> Scenario {
        self.version(
            image,
            Version {
                error_rate,
                ..Version::default()
            },
        )
    }

    /// Pods of this image behave so.
    #[must_use]
    pub fn health(self, image: &str, health: Health) -> Scenario {
        self.version(
            image,
            Version {
                health,
                ..Version::default()
            },
        )
    }

    /// 300 requests in a second, from 30 s on, through an HTTPRoute of the namespace `default`.
    #[must_use]
    pub fn through_route(mut self, name: &str) -> Scenario {
        let entry = Entry::Route(Key::new(Kind::HttpRoute, "default", name));
        self.config.models.traffic.push(Flow {
            entry,
            per_second: 300.0,
            from: START + TRAFFIC_FROM,
            ramps: Vec::new(),
        });
        self
    }

    /// 300 requests in a second, from 30 s on, through a Service of the namespace `default`.
    #[must_use]
    pub fn through_service(mut self, name: &str) -> Scenario {
        let entry = Entry::Service(Key::new(Kind::Service, "default", name));
        self.config.models.traffic.push(Flow {
            entry,
            per_second: 300.0,
            from: START + TRAFFIC_FROM,
            ramps: Vec::new(),
        });
        self
    }

    /// With these faults.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Scenario {
        self.config.faults = faults;
        self
    }

    /// Plays it.
    ///
    /// # Panics
    /// Where a manifest is refused.
    pub fn play(&self, seed: u64) -> Played {
        self.try_play(seed, &mut |_| ())
            .unwrap_or_else(|error| panic!("{}: a manifest is refused: {error}", self.name))
    }

    /// Plays it, and tells of each minute of virtual time that has passed. Fails where a manifest is refused.
    pub fn try_play(&self, seed: u64, progress: &mut dyn FnMut(SignedDuration)) -> Result<Played, ApiError> {
        let mut cluster = Cluster::new(Config {
            seed,
            ..self.config.clone()
        });
        let (rollouts, others): (Vec<&Value>, Vec<&Value>) = self
            .objects
            .iter()
            .partition(|object| object["kind"] == Kind::Rollout.name());
        for object in others {
            cluster.apply(object)?;
        }
        if !rollouts.is_empty() {
            // A controller that knows a Rollout and not yet what it names says that something is missing.
            cluster.run_until(SETTLED_BY);
        }
        for object in rollouts {
            cluster.apply(object)?;
        }
        cluster.apply_yaml(&self.manifests)?;
        for (at, command) in &self.script {
            cluster.command_at(*at, command.clone());
        }
        let mut settled = false;
        while !settled && cluster.now() < self.limit {
            let next = (cluster.now() + SignedDuration::from_mins(1)).min(self.limit);
            settled = cluster.run_until_settled(next);
            progress(cluster.now());
        }
        Ok(Played {
            cluster,
            settled,
            rollout: self.rollout.clone(),
            name: self.name.clone(),
            seed,
        })
    }

    /// Plays it with a random mixture of faults between controller and API server, which begin with the requests and
    /// end after `until`.
    pub fn play_with_faults(&self, seed: u64, until: SignedDuration) -> Played {
        self.play_with(Rates::swarm(&mut Random::new(seed ^ FAULTS)), seed, until)
    }

    /// The same, and pods are killed and nodes lost.
    pub fn play_with_chaos(&self, seed: u64, until: SignedDuration) -> Played {
        self.play_with(Rates::chaos(&mut Random::new(seed ^ FAULTS)), seed, until)
    }

    fn play_with(&self, rates: Rates, seed: u64, until: SignedDuration) -> Played {
        let faults = Faults {
            rates,
            until: Some(until),
            ..Faults::default()
        };
        self.clone().faults(faults).play(seed)
    }
}

/// A scenario that was played.
#[derive(Debug)]
pub struct Played {
    /// The cluster as it was left.
    pub cluster: Cluster,
    /// Whether nothing was left to happen before the time limit.
    pub settled: bool,
    rollout: String,
    name: String,
    seed: u64,
}

impl Played {
    /// A field of the Rollout's status, by JSON pointer; null where it is absent.
    pub fn status(&self, pointer: &str) -> Value {
        let key = crate::commands::rollout_key(&self.rollout);
        let status = self.cluster.store().get(&key).map(|object| &object["status"]);
        status
            .and_then(|status| status.pointer(pointer))
            .cloned()
            .unwrap_or(Value::Null)
    }

    /// What happened, where the configuration says to record it.
    pub fn report(&self) -> Report {
        let violations = self.cluster.violations().iter();
        Report {
            scenario: self.name.clone(),
            seed: self.seed,
            end_millis: i64::try_from(self.cluster.now().as_millis()).unwrap_or(i64::MAX),
            settled: self.settled,
            rollouts: self.cluster.rollouts(),
            lost: self.cluster.lost(),
            violations: violations
                .map(|violation| format!("{} at {}: {}", violation.invariant, violation.at, violation.why))
                .collect(),
            ..Report::default()
        }
    }

    /// `status.phase` and `status.message`.
    pub fn phase(&self) -> String {
        let text = |pointer: &str| self.status(pointer).as_str().unwrap_or_default().to_owned();
        let (phase, message) = (text("/phase"), text("/message"));
        if message.is_empty() {
            phase
        } else {
            format!("{phase}: {message}")
        }
    }

    /// The Rollout's transitions, one line each.
    pub fn lines(&self) -> Vec<String> {
        self.cluster.observer().lines(&self.rollout)
    }

    /// Where it stands in the end: steps, split, replicas, phase.
    pub fn last(&self) -> String {
        self.lines().pop().unwrap_or_default()
    }
}
