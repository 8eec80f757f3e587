//! The run machine as a shell drives it: decide, write, measure, decide again.

mod dry_runs;
mod robustness;
mod rules;
mod times;
mod ttl;
mod verdicts;

use super::*;

/// A run and what happens to it: measurements take no time unless they are told to.
struct Bench {
    now: Timestamp,
    world: RunWorld,
    writes: usize,
    events: Vec<String>,
    /// When measurements of which metric were started, in seconds from the start.
    started: Vec<(i64, String)>,
}

fn start() -> Timestamp {
    "2026-01-02T12:00:00Z".parse().unwrap()
}

fn at(secs: i64) -> Timestamp {
    start() + SignedDuration::from_secs(secs)
}

fn metric_named(name: &str, fields: &Value) -> Value {
    let mut metric = json!({"name": name, "provider": {"prometheus": {"query": "up"}}});
    metric
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    metric
}

fn run_of(spec: &Value) -> AnalysisRun {
    serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": {"name": "r", "namespace": "n", "resourceVersion": "0"}, "spec": spec,
    }))
    .unwrap()
}

fn measured(outcome: char) -> Measured {
    let (phase, value, message) = match outcome {
        'S' => (AnalysisPhase::Successful, Some("[1]"), None),
        'F' => (AnalysisPhase::Failed, Some("[0]"), None),
        'I' => (AnalysisPhase::Inconclusive, Some("[0.5]"), None),
        _ => (AnalysisPhase::Error, None, Some("the connection failed")),
    };
    Measured {
        phase,
        value: value.map(str::to_owned),
        message: message.map(str::to_owned),
    }
}

impl Bench {
    fn new(spec: &Value) -> Bench {
        let world = RunWorld {
            run: run_of(spec),
            ..RunWorld::default()
        };
        Bench {
            now: start(),
            world,
            writes: 0,
            events: Vec::new(),
            started: Vec::new(),
        }
    }

    fn one(fields: &Value) -> Bench {
        Bench::new(&json!({"metrics": [metric_named("m", fields)]}))
    }

    fn seconds(&self) -> i64 {
        (self.now - start()).get_seconds()
    }

    /// Decides and writes, as a shell does; measurements that are to be started are under way then.
    fn step(&mut self) -> RunPlan {
        let plan = decide(self.now, &self.world);
        if let Some(commit) = &plan.commit {
            assert_eq!(
                Some(&commit.resource_version),
                self.world.run.metadata.resource_version.as_ref()
            );
            let mut object = json!(self.world.run);
            crate::json::merge(&mut object, &commit.patch);
            self.world.run = serde_json::from_value(object).unwrap();
            self.writes += 1;
            self.world.run.metadata.resource_version = Some(self.writes.to_string());
        }
        self.events.extend(
            plan.events
                .iter()
                .map(|event| format!("{:?} {}: {}", event.kind, event.reason, event.message)),
        );
        for key in &plan.measure {
            assert!(self.world.in_flight.insert(key.clone()), "{key:?} is started twice");
            self.started.push((self.seconds(), key.metric.clone()));
        }
        plan
    }

    /// The measurement of a metric that is under way ends now.
    fn answer(&mut self, metric: &str, outcome: char) {
        let key = self
            .world
            .in_flight
            .iter()
            .find(|key| key.metric == metric)
            .cloned()
            .expect("it is under way");
        self.world.in_flight.remove(&key);
        let taken = Taken {
            measured: measured(outcome),
            metadata: BTreeMap::new(),
            started_at: self.now,
            finished_at: self.now,
        };
        self.world.answers.insert(key, taken);
    }

    fn is_measuring(&self, metric: &str) -> bool {
        self.world.in_flight.iter().any(|key| key.metric == metric)
    }

    /// Lets the metrics have the outcomes that are given for each, one after another, until they are used up or the run has
    /// ended.
    fn play(&mut self, outcomes: &[(&str, &str)]) {
        let mut left: BTreeMap<&str, Vec<char>> = BTreeMap::new();
        for (metric, sequence) in outcomes {
            left.insert(metric, sequence.chars().rev().collect());
        }
        for _ in 0..10_000 {
            let plan = self.step();
            let again = decide(self.now, &self.world);
            assert_eq!(
                (again.commit, again.measure, again.events),
                (None, vec![], vec![]),
                "it is decided"
            );
            let mut answered = false;
            for (metric, outcomes) in &mut left {
                if self.is_measuring(metric)
                    && let Some(outcome) = outcomes.pop()
                {
                    self.answer(metric, outcome);
                    answered = true;
                }
            }
            match plan.wake_at {
                _ if answered => {}
                Some(at) if left.values().any(|outcomes| !outcomes.is_empty()) => self.now = self.now.max(at),
                _ => return,
            }
        }
        panic!("the run does not come to rest: {}", self.status());
    }

    fn terminate(&mut self) {
        self.world.run.spec.terminate = Some(true);
        self.step();
    }

    fn status(&self) -> String {
        let status = self.world.run.status.clone().unwrap_or_default();
        let message = status.message.map(|message| format!(": {message}")).unwrap_or_default();
        format!("{}{message}", status.phase)
    }

    fn result(&self, metric: &str) -> Option<&MetricResult> {
        result(self.world.run.status.as_ref()?, metric)
    }
}
