//! From a scenario file and manifests to a scenario that can be played.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::Value;

use super::types::{
    ActionFile, BeyondCapacity, By, ExpectFile, FaultsFile, LatencyFile, PatchFile, RatesFile, ScenarioFile,
    TrafficFile, VersionFile, WriteFaultKind,
};
use super::values::{Share, Span};
use super::{Completed, FileError, complete, expect, lines};
use crate::clock::START;
use crate::commands::Command;
use crate::faults::{Faults, Rates, WriteFault};
use crate::models::{Entry, Flow, Health, ModelConfig, Onset, Outage, Overload, Ramp, Version};
use crate::report::Report;
use crate::scenario::Scenario;
use crate::series::Latency;
use crate::similar::similar;
use crate::store::{ApiError, Key, Kind, Part, key_of};

/// When requests begin where nothing else is said: the first version has had time to start.
const TRAFFIC_FROM: SignedDuration = SignedDuration::from_secs(30);
/// Requests in a second where nothing else is said.
const TRAFFIC_RATE: f64 = 100.0;
/// When a simulation ends where nothing else is said.
const UNTIL: SignedDuration = SignedDuration::from_hours(2);
/// How often everything is listed where watch events are lost.
const RESYNC: SignedDuration = SignedDuration::from_secs(60);
/// A repetition of more than this is a mistake.
const MOST_REPETITIONS: usize = 10_000;

/// A scenario that can be played, and what is expected of it.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The scenario.
    pub scenario: Scenario,
    /// What it is about.
    pub description: String,
    /// The seed that it is played with where no other is asked for.
    pub seed: u64,
    /// What was made up or passed over.
    pub notes: Vec<String>,
    /// The Rollouts.
    pub rollouts: Vec<Key>,
    expect: Vec<ExpectFile>,
}

impl Prepared {
    /// Plays it and judges what came of it. Fails where a manifest is refused.
    pub fn run(&self, seed: Option<u64>, progress: &mut dyn FnMut(SignedDuration)) -> Result<Report, ApiError> {
        let played = self.scenario.try_play(seed.unwrap_or(self.seed), progress)?;
        let mut report = Report {
            description: self.description.trim().to_owned(),
            notes: self.notes.clone(),
            ..played.report()
        };
        report.expectations = expect::judge(&self.expect, &report);
        Ok(report)
    }
}

/// Makes a scenario of a file, which has this name where it names itself in no way, and of manifests.
pub fn prepare(file: &ScenarioFile, name: &str, mut objects: Vec<Value>) -> Result<Prepared, FileError> {
    for (index, change) in file.patches.iter().enumerate() {
        let path = format!("patches[{index}]");
        let key = object_key(&change.object).map_err(|problem| FileError::field(format!("{path}.object"), problem))?;
        patch_given(&mut objects, &key, change)
            .map_err(|problem| FileError::field(format!("{path}.object"), problem))?;
    }
    let completed = complete(objects);
    let mut scenario = Scenario::new(file.name.as_deref().unwrap_or(name), "");
    if let Some((rollout, _)) = completed.rollouts.first() {
        scenario.rollout = format!("{}/{}", rollout.namespace, rollout.name);
    }
    scenario.limit = file.until.map_or(UNTIL, |until| until.0);
    let config = &mut scenario.config;
    config.record = true;
    models(&mut config.models, file, &completed)?;
    config.controllers = file.cluster.controllers.unwrap_or(1).max(1);
    config.faults = faults(&file.faults);
    if config.faults.rates.lost_event > 0 {
        config.shell.resync = Some(RESYNC);
    }
    for (index, action) in file.script.iter().enumerate() {
        let commands = commands(action, &completed, scenario.limit)
            .map_err(|problem| FileError::field(format!("script[{index}]"), problem))?;
        scenario.script.extend(commands);
    }
    expectations(file, &completed)?;
    scenario.objects = completed.objects;
    Ok(Prepared {
        scenario,
        description: file.description.clone(),
        seed: file.seed.unwrap_or(1),
        notes: completed.notes,
        rollouts: completed.rollouts.into_iter().map(|(key, _)| key).collect(),
        expect: file.expect.clone(),
    })
}

/// `Kind/name` or `Kind/namespace/name`.
fn object_key(text: &str) -> Result<Key, String> {
    let wrong = || format!("`{text}` names no object: write it as `Rollout/shop` or `Rollout/namespace/shop`");
    let mut parts = text.split('/');
    let (Some(kind), Some(first)) = (parts.next(), parts.next()) else {
        return Err(wrong());
    };
    let kind = lines::kind_of(kind).ok_or_else(wrong)?;
    let key = match parts.next() {
        Some(name) => Key::new(kind, first, name),
        None => Key::new(kind, "default", first),
    };
    if parts.next().is_some() { Err(wrong()) } else { Ok(key) }
}

fn patch_given(objects: &mut [Value], key: &Key, change: &PatchFile) -> Result<(), String> {
    let is_meant = |object: &&mut Value| {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
        object["kind"] == key.kind.name()
            && object["metadata"]["name"] == *key.name
            && (namespace == &*key.namespace || !key.kind.is_namespaced())
    };
    let object = objects.iter_mut().find(is_meant);
    let object = object.ok_or_else(|| format!("{key} is not among the manifests"))?;
    crate::store::merge(object, &Value::Object(change.patch.clone()));
    Ok(())
}

fn models(models: &mut ModelConfig, file: &ScenarioFile, completed: &Completed) -> Result<(), FileError> {
    let cluster = &file.cluster;
    let range = |given: &Option<super::SpanRange>, target: &mut crate::random::Millis| {
        if let Some(range) = given {
            *target = range.0.clone();
        }
    };
    range(&cluster.proxy_lag, &mut models.proxy_lag);
    range(&cluster.acknowledge_lag, &mut models.acknowledge_lag);
    range(&cluster.pod_linger, &mut models.pod_linger);
    models.nodes = cluster.nodes.unwrap_or(models.nodes).max(1);
    models.proxies = cluster.proxies.unwrap_or(models.proxies).max(1);
    models.acknowledges = !cluster.never_acknowledges;
    models.versions = file
        .versions
        .iter()
        .map(|(name, version)| (name.clone(), behaviour(version)))
        .collect();
    models.traffic = match &file.traffic {
        None => completed
            .rollouts
            .iter()
            .map(|(_, entry)| default_flow(entry))
            .collect(),
        Some(flows) => {
            let mut all = Vec::new();
            for (index, flow) in flows.iter().enumerate() {
                let path = format!("traffic[{index}].through");
                all.extend(self::flows(flow, completed).map_err(|problem| FileError::field(path, problem))?);
            }
            all
        }
    };
    models.metrics.named = file
        .metrics
        .iter()
        .map(|metric| {
            (
                metric.name.clone(),
                metric.values.iter().map(|value| value.0.clone()).collect(),
            )
        })
        .collect();
    models.metrics.outages = file
        .prometheus
        .iter()
        .map(|outage| Outage {
            from: outage.from.0,
            until: outage.until.map(|until| until.0),
            answer: outage.answers.0.clone(),
        })
        .collect();
    Ok(())
}

fn default_flow(entry: &Entry) -> Flow {
    Flow {
        entry: entry.clone(),
        per_second: TRAFFIC_RATE,
        from: START + TRAFFIC_FROM,
        ramps: Vec::new(),
    }
}

/// The streams that a file means: one, or one for each Rollout where it does not say through what.
fn flows(file: &TrafficFile, completed: &Completed) -> Result<Vec<Flow>, String> {
    let entries = match &file.through {
        None => completed.rollouts.iter().map(|(_, entry)| entry.clone()).collect(),
        Some(text) => {
            let key = object_key(text)?;
            match key.kind {
                Kind::HttpRoute => vec![Entry::Route(key)],
                Kind::Service => vec![Entry::Service(key)],
                _ => return Err(format!("`{text}` is neither an HTTPRoute nor a Service")),
            }
        }
    };
    let ramp = |ramp: &super::RampFile| Ramp {
        at: START + ramp.at.0,
        over: ramp.over.0,
        per_second: ramp.rate,
    };
    let flow = |entry| Flow {
        entry,
        per_second: file.rate,
        from: START + file.from.map_or(TRAFFIC_FROM, |from| from.0),
        ramps: file.ramps.iter().map(ramp).collect(),
    };
    Ok(entries.into_iter().map(flow).collect())
}

fn behaviour(file: &VersionFile) -> Version {
    let default = Version::default();
    let health = match file.crash_after {
        _ if file.never_ready => Health::NeverReady,
        Some(after) => Health::CrashesAfter(after.millis()),
        None => Health::Good,
    };
    Version {
        start: file
            .start
            .as_ref()
            .map_or(default.start.clone(), |start| start.0.clone()),
        health,
        error_rate: file.error_rate.0,
        latency: file.latency.map_or(default.latency, latency),
        capacity: file.capacity,
        overload: match file.beyond_capacity {
            BeyondCapacity::Errors => Overload::Errors,
            BeyondCapacity::Latency => Overload::Latency,
        },
        onset: file.onset.as_ref().map(|onset| Onset {
            after: onset.after.map(|after| after.0),
            from_share: onset.from_weight.map(|share| share.0),
            error_rate: onset.error_rate.0,
            latency: onset.latency.map(latency),
        }),
    }
}

fn latency(file: LatencyFile) -> Latency {
    let millis = |span: Span| span.0.as_secs_f64() * 1000.0;
    Latency {
        p50_ms: millis(file.p50),
        p99_ms: millis(file.p99.unwrap_or(file.p50)),
    }
}

fn faults(file: &FaultsFile) -> Faults {
    let kind = |kind| match kind {
        WriteFaultKind::CrashBefore => WriteFault::CrashBefore,
        WriteFaultKind::CrashAfter => WriteFault::CrashAfter,
        WriteFaultKind::TimeoutLost => WriteFault::TimeoutLost,
        WriteFaultKind::TimeoutApplied => WriteFault::TimeoutApplied,
        WriteFaultKind::Conflict => WriteFault::Conflict,
        WriteFaultKind::Server => WriteFault::Server(500),
    };
    let writes = file.writes.iter().map(|fault| (fault.write, kind(fault.fault)));
    Faults {
        writes: writes.collect(),
        events: std::collections::BTreeMap::new(),
        rates: rates(&file.rates),
        from: file.from.map_or(SignedDuration::ZERO, |from| from.0),
        until: file.until.map(|until| until.0),
    }
}

fn rates(file: &RatesFile) -> Rates {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of 1,000 is a number from 0 to 1,000"
    )]
    let permille = |share: Share| (share.0 * 1000.0).round() as u32;
    Rates {
        crash_before: permille(file.crash_before),
        crash_after: permille(file.crash_after),
        timeout_lost: permille(file.timeout_lost),
        timeout_applied: permille(file.timeout_applied),
        conflict: permille(file.conflict),
        server: permille(file.server),
        read: permille(file.read),
        slow_event: permille(file.slow_event),
        slow_by: Some(file.slow_by.as_ref().map_or(200..=8_000, |by| by.0.clone())),
        lost_event: permille(file.lost_event),
        pod_killed: 0,
        node_lost: 0,
    }
}

/// The commands of an action, with their times.
fn commands(
    action: &ActionFile,
    completed: &Completed,
    limit: SignedDuration,
) -> Result<Vec<(SignedDuration, Command)>, String> {
    let command = command(action, completed)?;
    let Some(every) = action.every else {
        if action.until.is_some() {
            return Err("`until` is the end of a repetition: `every` is missing".to_owned());
        }
        return Ok(vec![(action.at.0, command)]);
    };
    if every.0.is_zero() {
        return Err("`every` is 0".to_owned());
    }
    let until = action.until.map_or(limit, |until| until.0);
    let mut all = Vec::new();
    let mut at = action.at.0;
    while at <= until {
        if all.len() == MOST_REPETITIONS {
            return Err(format!(
                "it is repeated more than {MOST_REPETITIONS} times: give it an `until`"
            ));
        }
        all.push((at, command.clone()));
        at += every.0;
    }
    Ok(all)
}

fn command(action: &ActionFile, completed: &Completed) -> Result<Command, String> {
    let mut given: BTreeMap<&str, Command> = BTreeMap::new();
    if let Some(line) = &action.typed {
        given.insert("type", lines::command(line)?);
    }
    if let Some(image) = &action.image {
        given.insert(
            "image",
            Command::SetImage(rollout(action.rollout.as_deref(), completed)?, image.clone()),
        );
    }
    if let Some(change) = &action.patch {
        let key = object_key(&change.object)?;
        let part = if change.status { Part::Status } else { Part::Main };
        let patch = Box::new(Value::Object(change.patch.clone()));
        let command = match change.by {
            By::User => Command::Patch(key, part, patch),
            By::Gitops => Command::ForeignPatch(key, part, patch),
        };
        given.insert("patch", command);
    }
    if let Some(object) = &action.apply {
        let mut object = Value::Object(object.clone());
        if object["metadata"].get("namespace").is_none() {
            object["metadata"]["namespace"] = "default".into();
        }
        key_of(&object).map_err(|error| error.to_string())?;
        given.insert("apply", Command::Apply(Box::new(object)));
    }
    if let Some(version) = &action.kill_pod {
        let command = if version == "any" {
            Command::KillPod(0)
        } else {
            Command::KillPodOf(version.clone())
        };
        given.insert("killPod", command);
    }
    if let Some(node) = action.lose_node {
        given.insert("loseNode", Command::LoseNode(node));
    }
    if let Some(number) = action.kill_controller {
        given.insert("killController", Command::Crash(number));
    }
    let names: Vec<&str> = given.keys().copied().collect();
    if given.len() > 1 {
        return Err(format!(
            "does several things at once ({}): make an entry of each",
            names.join(", ")
        ));
    }
    let command = given.into_values().next();
    command.ok_or_else(|| {
        "does nothing: give it one of type, image, patch, apply, killPod, loseNode, killController".to_owned()
    })
}

/// `namespace/name` of a Rollout that a file names, or of the only one.
fn rollout(name: Option<&str>, completed: &Completed) -> Result<String, String> {
    let names: Vec<String> = completed
        .rollouts
        .iter()
        .map(|(key, _)| format!("{}/{}", key.namespace, key.name))
        .collect();
    match (name, names.as_slice()) {
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(format!(
            "which Rollout is meant? `rollout` names one of {}",
            names.join(", ")
        )),
        (Some(name), _) => {
            let full = if name.contains('/') {
                name.to_owned()
            } else {
                format!("default/{name}")
            };
            if names.contains(&full) {
                return Ok(full);
            }
            let near = similar(&full, names.iter().map(String::as_str));
            let near = near
                .first()
                .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            Err(format!("Rollout {name} is not among the manifests{near}"))
        }
    }
}

/// Checks the names in what is expected.
fn expectations(file: &ScenarioFile, completed: &Completed) -> Result<(), FileError> {
    for (index, expected) in file.expect.iter().enumerate() {
        if let Some(name) = &expected.rollout {
            rollout(Some(name), completed)
                .map_err(|problem| FileError::field(format!("expect[{index}].rollout"), problem))?;
        }
    }
    Ok(())
}
