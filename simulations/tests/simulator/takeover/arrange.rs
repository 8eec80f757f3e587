//! A cluster as Argo Rollouts leaves it: its objects with its names, hashes, annotations and statuses, and nothing of ours.

use jiff::SignedDuration;
use serde_json::{Value, json};
use sluice_simulations::{
    Cluster, Command, Config, Entry, Flow, Health, Key, Kind, MetricAnswer, MetricRule, MetricSource, Part, START,
    Version,
};

/// When our controller comes up, in seconds since the start. Everything that is to run runs by then.
pub const ARRIVES: i64 = 60;
/// When the pods that are missing at that time are made. They are ready 30 s later.
const LATE: i64 = 50;
/// How long pods take to start where some are missing.
const SLOW: u64 = 30_000;

/// Hashes as Argo Rollouts makes them: the decimal digits of a 32 bit number in letters of its own. Most have ten.
pub const STEP_HASH: &str = "7c5b9d846f";

/// The pod template hash of a version.
pub fn hash_of(version: &str) -> &'static str {
    match version {
        "v1" => "6b8f9c7d5d",
        "v2" => "5d9c4f7b86",
        "v3" => "84c6d5f9b7",
        _ => "9f6b5c748",
    }
}

/// A time so many seconds after our controller comes up.
pub fn at(seconds: i64) -> String {
    (START + SignedDuration::from_secs(ARRIVES + seconds)).to_string()
}

/// The Rollout's pod template of a version, as a user writes it.
pub fn template(version: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": "shop" } },
        "spec": { "containers": [{
            "name": "shop", "image": format!("shop:{version}"), "ports": [{ "containerPort": 8080 }],
        }] },
    })
}

/// A ReplicaSet of a version.
#[derive(Clone, Debug)]
pub struct Set {
    version: &'static str,
    revision: u32,
    wanted: u32,
    ready: u32,
    annotations: Value,
    /// What Argo Rollouts adds to the template.
    injected: Value,
}

/// So many pods, of which so many are ready when our controller comes up.
pub fn set(version: &'static str, revision: u32, wanted: u32, ready: u32) -> Set {
    Set {
        version,
        revision,
        wanted,
        ready,
        annotations: json!({}),
        injected: json!({}),
    }
}

impl Set {
    /// It goes so many seconds after our controller comes up.
    pub fn goes(self, seconds: i64) -> Set {
        self.annotated("scale-down-deadline", &at(seconds))
    }

    pub fn annotated(mut self, name: &str, value: &str) -> Set {
        self.annotations[name] = value.into();
        self
    }

    /// Its template has labels for its role.
    pub fn role(mut self, role: &str) -> Set {
        let labels = json!({ "role": role });
        merge(&mut self.injected, &json!({ "metadata": { "labels": labels } }));
        let record = json!({ "labels": labels }).to_string();
        self.annotated("rollout.argoproj.io/ephemeral-metadata", &record)
    }

    /// Its pods keep away from those of a version.
    pub fn away_from(mut self, version: &str, weight: Option<i32>) -> Set {
        let term = json!({
            "labelSelector": { "matchExpressions": [
                { "key": "rollouts-pod-template-hash", "operator": "In", "values": [hash_of(version)] },
            ] },
            "topologyKey": "kubernetes.io/hostname",
        });
        let rules = match weight {
            None => json!({ "requiredDuringSchedulingIgnoredDuringExecution": [term] }),
            Some(weight) => json!({ "preferredDuringSchedulingIgnoredDuringExecution": [
                { "weight": weight, "podAffinityTerm": term },
            ] }),
        };
        merge(
            &mut self.injected,
            &json!({ "spec": { "affinity": { "podAntiAffinity": rules } } }),
        );
        self
    }
}

/// One state that Argo Rollouts leaves.
#[derive(Clone, Debug)]
pub struct State {
    pub name: String,
    replicas: u32,
    version: &'static str,
    /// The pod template where it is not that of the version.
    template: Option<Value>,
    strategy: Value,
    spec: Value,
    status: Value,
    sets: Vec<Set>,
    services: Vec<(&'static str, Option<&'static str>)>,
    route: Option<u32>,
    runs: Vec<Value>,
    /// Typed when Argo Rollouts was gone already.
    unseen: Option<Value>,
    /// For so many seconds there is nothing that could rightly move.
    pub quiet: i64,
    entry: Entry,
    /// When requests begin, in seconds since the start.
    requests_from: i64,
}

impl State {
    pub fn new(name: impl Into<String>, replicas: u32, strategy: Value, entry: Entry) -> State {
        State {
            name: name.into(),
            replicas,
            version: "v2",
            template: None,
            strategy,
            spec: json!({}),
            status: json!({}),
            sets: Vec::new(),
            services: Vec::new(),
            route: None,
            runs: Vec::new(),
            unseen: None,
            quiet: 40,
            entry,
            requests_from: ARRIVES - 15,
        }
    }

    pub fn version(mut self, version: &'static str) -> State {
        self.version = version;
        self
    }

    pub fn template(mut self, template: Value) -> State {
        self.template = Some(template);
        self
    }

    pub fn sets(mut self, sets: impl IntoIterator<Item = Set>) -> State {
        self.sets = sets.into_iter().collect();
        self
    }

    pub fn service(mut self, name: &'static str, version: Option<&'static str>) -> State {
        self.services.retain(|(other, _)| *other != name);
        self.services.push((name, version));
        self
    }

    pub fn without(mut self, service: &str) -> State {
        self.services.retain(|(name, _)| *name != service);
        self
    }

    pub fn route(mut self, weight: u32) -> State {
        self.route = Some(weight);
        self
    }

    pub fn strategy(mut self, patch: Value) -> State {
        merge(&mut self.strategy, &patch);
        self
    }

    pub fn spec(mut self, patch: Value) -> State {
        merge(&mut self.spec, &patch);
        self
    }

    pub fn status(mut self, patch: Value) -> State {
        merge(&mut self.status, &patch);
        self
    }

    pub fn replicas(mut self, replicas: u32) -> State {
        self.replicas = replicas;
        self
    }

    /// A run; it takes the place of one with the same name.
    pub fn run(mut self, run: Value) -> State {
        self.runs
            .retain(|other| other["metadata"]["name"] != run["metadata"]["name"]);
        self.runs.push(run);
        self
    }

    /// The spec is changed while nobody looks, so there may be something to do at once.
    pub fn unseen(mut self, spec: Value) -> State {
        self.unseen = Some(spec);
        self.quiet(0)
    }

    pub fn quiet(mut self, seconds: i64) -> State {
        self.quiet = seconds;
        self
    }

    /// Nothing serves requests before then.
    pub fn requests_from(mut self, seconds: i64) -> State {
        self.requests_from = ARRIVES + seconds;
        self
    }

    /// What the step or the pause is, in the words of a status.
    pub fn phase(self, phase: &str, message: &str) -> State {
        let message = if message.is_empty() {
            Value::Null
        } else {
            message.into()
        };
        self.status(json!({ "phase": phase, "message": message }))
    }

    pub fn is_progressing(&self) -> bool {
        self.status["phase"] == "Progressing"
    }

    pub fn named(mut self, name: &str) -> State {
        name.clone_into(&mut self.name);
        self
    }

    /// Names of the ReplicaSets that there are.
    pub fn set_names(&self) -> Vec<String> {
        self.sets
            .iter()
            .map(|set| format!("shop-{}", hash_of(set.version)))
            .collect()
    }

    /// Whether the spec that nobody has seen has a template that no ReplicaSet runs.
    pub fn begins_a_version(&self) -> bool {
        let image = self
            .unseen
            .as_ref()
            .and_then(|spec| spec.pointer("/template/spec/containers/0/image"));
        image.is_some_and(|image| !self.sets.iter().any(|set| *image == format!("shop:{}", set.version)))
    }

    fn rollout(&self) -> Value {
        let revision = self.sets.iter().map(|set| set.revision).max().unwrap_or(1);
        let mut rollout = json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "metadata": {
                "name": "shop", "namespace": "default",
                "annotations": { "rollout.argoproj.io/revision": revision.to_string() },
            },
            "spec": {
                "replicas": self.replicas,
                "selector": { "matchLabels": { "app": "shop" } },
                "template": self.template.clone().unwrap_or_else(|| template(self.version)),
                "strategy": self.strategy,
            },
        });
        merge(&mut rollout, &json!({ "spec": self.spec }));
        rollout
    }

    fn replica_set(&self, set: &Set, owner: &Value) -> Value {
        let hash = hash_of(set.version);
        let mut pods = match &self.template {
            Some(template) if set.version == self.version => template.clone(),
            _ => template(set.version),
        };
        merge(
            &mut pods,
            &json!({ "metadata": { "labels": { "rollouts-pod-template-hash": hash } } }),
        );
        merge(&mut pods, &set.injected);
        // What Go writes of a time that is not set.
        pods["metadata"]["creationTimestamp"] = Value::Null;
        let mut annotations = json!({
            "rollout.argoproj.io/desired-replicas": self.replicas.to_string(),
            "rollout.argoproj.io/revision": set.revision.to_string(),
        });
        merge(&mut annotations, &set.annotations);
        json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": format!("shop-{hash}"), "namespace": "default",
                "labels": { "app": "shop", "rollouts-pod-template-hash": hash },
                "annotations": annotations,
                "ownerReferences": [owner],
            },
            "spec": {
                "replicas": set.ready,
                "minReadySeconds": self.spec.get("minReadySeconds").cloned().unwrap_or(json!(0)),
                "selector": { "matchLabels": { "app": "shop", "rollouts-pod-template-hash": hash } },
                "template": pods,
            },
        })
    }

    /// The status that Argo Rollouts wrote last.
    fn status_of_argo(&self) -> Value {
        let sum = |count: fn(&Set) -> u32| self.sets.iter().map(count).sum::<u32>();
        let updated: u32 = self
            .sets
            .iter()
            .filter(|set| set.version == self.version)
            .map(|set| set.wanted)
            .sum();
        let is_canary = self.strategy.get("canary").is_some();
        let mut status = json!({
            "HPAReplicas": sum(|set| set.wanted),
            "replicas": sum(|set| set.wanted),
            "updatedReplicas": updated,
            "readyReplicas": sum(|set| set.ready),
            "availableReplicas": sum(|set| set.ready),
            "blueGreen": {},
            "canary": {},
            "currentPodHash": hash_of(self.version),
            "observedGeneration": "1",
            "selector": "app=shop",
        });
        if is_canary {
            status["currentStepHash"] = STEP_HASH.into();
        } else {
            // Of blue-green, Argo Rollouts counts the pods of the active revision alone.
            let active = self
                .services
                .iter()
                .find(|(name, _)| *name == "shop-active")
                .and_then(|(_, version)| *version);
            let active = self.sets.iter().find(|set| Some(set.version) == active);
            let (wanted, ready) = active.map_or((0, 0), |set| (set.wanted, set.ready));
            merge(
                &mut status,
                &json!({ "HPAReplicas": wanted, "readyReplicas": ready, "availableReplicas": ready }),
            );
            if let Some(set) = active {
                let selector = format!("app=shop,rollouts-pod-template-hash={}", hash_of(set.version));
                status["selector"] = selector.into();
            }
            for (service, field) in [("shop-active", "activeSelector"), ("shop-preview", "previewSelector")] {
                let found = self.services.iter().find(|(name, _)| *name == service);
                if let Some((_, Some(version))) = found {
                    status["blueGreen"][field] = hash_of(version).into();
                }
            }
        }
        if let Some(weight) = self.route {
            let of = |service: &str, weight: u32| {
                let selected = self.services.iter().find(|(name, _)| *name == service);
                let hash = selected.and_then(|(_, version)| *version).map_or("", hash_of);
                json!({ "podTemplateHash": hash, "serviceName": service, "weight": weight })
            };
            status["canary"]["weights"] =
                json!({ "canary": of("shop-canary", weight), "stable": of("shop-stable", 100 - weight) });
        }
        merge(&mut status, &self.status);
        status["conditions"] = self.conditions(&status);
        status
    }

    fn conditions(&self, status: &Value) -> Value {
        let condition = |type_: &str, is: &str, reason: &str, message: &str| {
            json!({
                "type": type_, "status": is, "reason": reason, "message": message,
                "lastTransitionTime": at(-30), "lastUpdateTime": at(-10),
            })
        };
        let (phase, message) = (&status["phase"], status["message"].as_str().unwrap_or_default());
        let complete = status["stableRS"] == status["currentPodHash"];
        let (healthy, paused) = (phase == "Healthy", phase == "Paused");
        let yes = |is: bool| if is { "True" } else { "False" };
        let set = format!("ReplicaSet \"shop-{}\"", hash_of(self.version));
        let progressing = if let Some((reason, text)) = message.split_once(": ").filter(|_| phase == "Degraded") {
            condition("Progressing", "False", reason, text)
        } else if paused {
            condition("Progressing", "Unknown", "RolloutPaused", "Rollout is paused")
        } else if healthy {
            condition(
                "Progressing",
                "True",
                "NewReplicaSetAvailable",
                &format!("{set} has successfully progressed."),
            )
        } else {
            condition(
                "Progressing",
                "True",
                "ReplicaSetUpdated",
                &format!("{set} is progressing."),
            )
        };
        let text = |is: bool, yes: &'static str, no: &'static str| if is { yes } else { no };
        // Of a canary all pods count, of blue-green those of the active revision.
        let available = status["availableReplicas"].as_u64() >= Some(self.replicas.into());
        json!([
            condition(
                "Available",
                yes(available),
                "AvailableReason",
                text(
                    available,
                    "Rollout has minimum availability",
                    "Rollout does not have minimum availability"
                )
            ),
            condition(
                "Paused",
                yes(paused),
                "RolloutPaused",
                text(paused, "Rollout is paused", "Rollout is not paused")
            ),
            condition(
                "Healthy",
                yes(healthy),
                "RolloutHealthy",
                text(healthy, "Rollout is healthy", "Rollout is not healthy")
            ),
            progressing,
            condition("Completed", yes(complete), "RolloutCompleted", "RolloutCompleted"),
        ])
    }

    /// The cluster in the moment before our controller comes up.
    pub fn arrange(&self, extensions: bool) -> Cluster {
        let mut config = Config::new(1);
        let arrives = u64::try_from(ARRIVES * 1_000).expect("a time after the start");
        config.shell.restart = arrives..=arrives;
        config.shell.settings.extensions = extensions;
        config.models.traffic.push(Flow {
            entry: self.entry.clone(),
            per_second: 300.0,
            from: START + SignedDuration::from_secs(self.requests_from),
            ramps: Vec::new(),
        });
        let answer = MetricSource::Fixed(MetricAnswer::Value(0.0));
        config.models.metrics.rules.insert(
            0,
            MetricRule {
                contains: String::new(),
                source: answer,
            },
        );
        for set in self.sets.iter().filter(|set| set.ready < set.wanted) {
            let slow = Version {
                start: SLOW..=SLOW,
                health: Health::Good,
                ..Version::default()
            };
            config.models.versions.insert(format!("shop:{}", set.version), slow);
        }
        let mut cluster = Cluster::new(config);
        cluster.crash();
        let apply = |cluster: &mut Cluster, object: &Value| {
            cluster
                .apply(object)
                .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        };
        cluster.apply_yaml(super::runs::TEMPLATE).expect("a template");
        apply(&mut cluster, &self.rollout());
        let key = Key::new(Kind::Rollout, "default", "shop");
        let uid = cluster.store().get(&key).expect("it was created")["metadata"]["uid"].clone();
        let owner = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "shop", "uid": uid,
            "controller": true, "blockOwnerDeletion": true,
        });
        for (name, version) in &self.services {
            apply(&mut cluster, &service(name, *version));
        }
        if let Some(weight) = self.route {
            apply(&mut cluster, &route(weight));
        }
        // A ReplicaSet of a former revision is older.
        let mut sets: Vec<&Set> = self.sets.iter().collect();
        sets.sort_by_key(|set| set.version);
        for (second, set) in (2..).step_by(2).zip(sets) {
            cluster.run_until(SignedDuration::from_secs(second));
            apply(&mut cluster, &self.replica_set(set, &owner));
        }
        cluster.run_until(SignedDuration::from_secs(LATE));
        let patch = |cluster: &mut Cluster, key: &Key, part, patch| {
            let command = Command::Patch(key.clone(), part, Box::new(patch));
            cluster
                .command(&command)
                .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        };
        for set in self.sets.iter().filter(|set| set.ready < set.wanted) {
            let key = Key::new(
                Kind::ReplicaSet,
                "default",
                format!("shop-{}", hash_of(set.version)).as_str(),
            );
            patch(
                &mut cluster,
                &key,
                Part::Main,
                json!({ "spec": { "replicas": set.wanted } }),
            );
        }
        for run in &self.runs {
            let mut run = run.clone();
            run["metadata"]["ownerReferences"] = json!([owner]);
            apply(&mut cluster, &run);
        }
        cluster.run_until(SignedDuration::from_secs(ARRIVES - 2));
        patch(
            &mut cluster,
            &key,
            Part::Status,
            json!({ "status": self.status_of_argo() }),
        );
        if let Some(spec) = &self.unseen {
            patch(&mut cluster, &key, Part::Main, json!({ "spec": spec }));
        }
        cluster
    }
}

pub fn service(name: &str, version: Option<&str>) -> Value {
    let mut selector = json!({ "app": "shop" });
    let mut annotations = json!({});
    if let Some(version) = version {
        selector["rollouts-pod-template-hash"] = hash_of(version).into();
        annotations["argo-rollouts.argoproj.io/managed-by-rollouts"] = "shop".into();
    }
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": name, "namespace": "default", "annotations": annotations },
        "spec": { "selector": selector, "ports": [{ "port": 80, "targetPort": 8080 }] },
    })
}

fn route(weight: u32) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {
            "name": "shop", "namespace": "default",
            "labels": { "rollouts.argoproj.io/gatewayapi-canary": "in-progress" },
        },
        "spec": {
            "parentRefs": [{ "name": "gateway" }],
            "rules": [{ "backendRefs": [
                { "name": "shop-stable", "port": 80, "weight": 100 - weight },
                { "name": "shop-canary", "port": 80, "weight": weight },
            ] }],
        },
    })
}

/// A merge patch that keeps nulls out of what it makes.
fn merge(into: &mut Value, patch: &Value) {
    sluice_machine::json::merge(into, patch);
}
