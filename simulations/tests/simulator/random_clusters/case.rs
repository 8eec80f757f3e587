//! What a case is made of, drawn from its seed.

use std::fmt::Write as _;

use jiff::SignedDuration;
use serde_json::json;
use sluice_simulations::{Command, Faults, Health, Key, Kind, Part, Random, Rates, Scenario, Version, Violation};

/// Until when commands are typed and faults happen.
const UNREST: i64 = 240;
/// Keeps the stream that draws when to look at the machine's rounds apart from the one that draws the case.
const PROBES: u64 = 0x9106;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strategy {
    Routed,
    Basic,
    BlueGreen,
}

/// What a case is made of.
pub struct Case {
    pub scenario: Scenario,
    pub strategy: Strategy,
    /// Names of the commands, and kinds of the steps.
    pub commands: Vec<&'static str>,
    pub steps: Vec<&'static str>,
    /// Pods of some version crash again and again: the cluster never comes to rest.
    pub crashes: bool,
}

impl Case {
    /// Whether a violation counts. A promote that is typed while the update is aborted moves the index, and the retry sets it
    /// back, as it should.
    pub fn is_blamed(&self, violation: &Violation) -> bool {
        !(violation.why.contains("goes back from step") && self.commands.contains(&"retry"))
    }
}

/// The case of a seed.
pub fn case(seed: u64) -> Case {
    let mut random = Random::new(seed);
    let strategy = *random.pick(&[
        Strategy::Routed,
        Strategy::Routed,
        Strategy::Routed,
        Strategy::Basic,
        Strategy::Basic,
        Strategy::BlueGreen,
    ]);
    // Without a router, one pod and no surge mean a gap by the user's own choice: there are at least two.
    let sizes: &[u32] = if strategy == Strategy::Basic {
        &[2, 2, 3, 4, 4, 5, 7]
    } else {
        &[0, 1, 1, 2, 3, 4, 4, 5, 7]
    };
    let replicas = *random.pick(sizes);
    let (steps, kinds) = steps(&mut random, strategy);
    let manifests = manifests(&mut random, strategy, replicas, &steps);
    let mut scenario = Scenario::new("random", manifests);
    scenario.config.observe = false;
    scenario = match strategy {
        Strategy::Routed => scenario.through_route("shop"),
        Strategy::Basic => scenario.through_service("shop"),
        Strategy::BlueGreen => scenario.through_service("shop-stable"),
    };
    let mut crashes = false;
    for image in ["shop:v2", "shop:v3"] {
        let health = random
            .pick(&[
                Health::Good,
                Health::Good,
                Health::Good,
                Health::Good,
                Health::NeverReady,
                Health::CrashesAfter(700),
                Health::CrashesAfter(5_000),
            ])
            .clone();
        crashes |= matches!(health, Health::CrashesAfter(_));
        let error_rate = *random.pick(&[0.0, 0.0, 0.05]);
        scenario = scenario.version(
            image,
            Version {
                health,
                error_rate,
                ..Version::default()
            },
        );
    }
    scenario = scenario.at(60, Command::SetImage("shop".to_owned(), "shop:v2".to_owned()));
    let mut commands = Vec::new();
    for _ in 0..random.below(5) {
        let at = 62 + i64::try_from(random.below(150)).unwrap_or(0);
        let (name, command) = command(&mut random);
        // One pod that dies is often replaced before anything waits for it.
        let times = if name == "kill" { 3 } else { 1 };
        for _ in 0..times {
            scenario = scenario.at(at, command.clone());
        }
        commands.push(name);
    }
    if random.below(2) == 0 {
        let rates = Rates {
            node_lost: 0,
            ..Rates::swarm(&mut random)
        };
        scenario = scenario.faults(Faults {
            rates,
            until: Some(SignedDuration::from_secs(UNREST)),
            ..Faults::default()
        });
    }
    scenario.limit = SignedDuration::from_mins(if crashes { 8 } else { 90 });
    scenario.config.probes = probes(seed);
    Case {
        scenario,
        strategy,
        commands,
        steps: kinds,
        crashes,
    }
}

/// Moments at which it is counted how soon the machine has nothing more to do: one in the first update, and one later.
fn probes(seed: u64) -> Vec<SignedDuration> {
    let mut random = Random::new(seed ^ PROBES);
    [random.within(&(60_000..=75_000)), random.within(&(60_000..=250_000))]
        .map(|millis| SignedDuration::from_millis(i64::try_from(millis).unwrap_or(0)))
        .to_vec()
}

fn steps(random: &mut Random, strategy: Strategy) -> (String, Vec<&'static str>) {
    const ANALYSIS: &str = "{analysis: {templates: [{templateName: errors}], args: [{name: hash, valueFrom: {podTemplateHashValue: Latest}}]}}";
    let mut steps = Vec::new();
    let mut kinds = Vec::new();
    let kinds_of = if strategy == Strategy::Routed { 6 } else { 5 };
    for _ in 0..random.below(5) {
        let (kind, step) = match random.below(kinds_of) {
            0 | 1 => (
                "setWeight",
                format!("{{setWeight: {}}}", random.pick(&[0, 1, 10, 25, 50, 75, 100])),
            ),
            2 => ("pause", format!("{{pause: {{duration: {}s}}}}", 1 + random.below(20))),
            3 => ("pause until promoted", "{pause: {}}".to_owned()),
            4 => ("analysis", ANALYSIS.to_owned()),
            _ => {
                let scale = match random.below(3) {
                    0 => format!("replicas: {}", 1 + random.below(4)),
                    1 => format!("weight: {}", random.pick(&[10, 50, 100])),
                    _ => "matchTrafficWeight: true".to_owned(),
                };
                ("setCanaryScale", format!("{{setCanaryScale: {{{scale}}}}}"))
            }
        };
        kinds.push(kind);
        steps.push(step);
    }
    (steps.join(", "), kinds)
}

fn manifests(random: &mut Random, strategy: Strategy, replicas: u32, steps: &str) -> String {
    let mut extra = String::new();
    let mut option = |random: &mut Random, line: &str| {
        if random.below(3) == 0 {
            let _ = writeln!(extra, "{line}");
        }
    };
    option(random, "  minReadySeconds: 3");
    option(random, "  progressDeadlineSeconds: 60\n  progressDeadlineAbort: true");
    option(random, "  revisionHistoryLimit: 1");
    option(random, "  rollbackWindow: {revisions: 1}");
    let mut settings = String::new();
    let mut set = |random: &mut Random, line: &str| {
        if random.below(3) == 0 {
            let _ = write!(settings, ", {line}");
        }
    };
    let analysis =
        "{templates: [{templateName: errors}], args: [{name: hash, valueFrom: {podTemplateHashValue: Latest}}]}";
    let body = match strategy {
        Strategy::Routed => {
            // The two exclude each other.
            let scale = *random.pick(&["scaleDownDelaySeconds: 5", "dynamicStableScale: true"]);
            set(random, scale);
            set(random, "abortScaleDownDelaySeconds: 0");
            set(random, "minPodsPerReplicaSet: 2");
            set(random, "replicaProgressThreshold: {type: Percent, value: 70}");
            set(
                random,
                "canaryMetadata: {labels: {role: canary}}, stableMetadata: {labels: {role: stable}}",
            );
            let services = *random.pick(&[
                "stableService: shop-stable, canaryService: shop-canary",
                "stableService: shop-stable, canaryService: shop-canary",
                "pingPong: {pingService: shop-stable, pongService: shop-canary}",
            ]);
            set(random, "maxUnavailable: 1");
            let background = analysis.replace("{templates", "{startingStep: 1, templates");
            set(random, &format!("analysis: {background}"));
            format!(
                "    canary: {{{services}, trafficRouting: {{plugins: \
                 {{argoproj-labs/gatewayAPI: {{httpRoute: shop, namespace: default}}}}}}, steps: [{steps}]{settings}}}\n"
            )
        }
        Strategy::Basic => {
            let surge = random.pick(&[
                "maxSurge: 1, maxUnavailable: 0",
                "maxSurge: 0, maxUnavailable: 1",
                "maxSurge: 2, maxUnavailable: 1",
            ]);
            set(random, "stableService: shop-stable, canaryService: shop-canary");
            format!("    canary: {{{surge}, steps: [{steps}]{settings}}}\n")
        }
        Strategy::BlueGreen => {
            let promotion = *random.pick(&["autoPromotionEnabled: false", "autoPromotionSeconds: 10"]);
            set(random, promotion);
            set(random, "previewReplicaCount: 1");
            set(random, &format!("prePromotionAnalysis: {analysis}"));
            set(random, &format!("postPromotionAnalysis: {analysis}"));
            set(random, "scaleDownDelaySeconds: 5");
            set(random, "abortScaleDownDelaySeconds: 0");
            format!("    blueGreen: {{activeService: shop-stable, previewService: shop-canary{settings}}}\n")
        }
    };
    let rollout = format!(
        "apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {{name: shop, namespace: default}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: shop}}}}
  template:
    metadata: {{labels: {{app: shop}}}}
    spec: {{containers: [{{name: shop, image: \"shop:v1\", ports: [{{containerPort: 8080}}]}}]}}
{extra}  strategy:
{body}"
    );
    let service = |name: &str| {
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: default}}\nspec: {{selector: {{app: shop}}, ports: [{{port: 80, targetPort: 8080}}]}}\n"
        )
    };
    let services = ["shop", "shop-stable", "shop-canary"].map(service).concat();
    rollout + &services + SURROUNDINGS
}

const SURROUNDINGS: &str = "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: default}
spec:
  parentRefs: [{name: gateway}]
  rules:
  - backendRefs: [{name: shop-stable, port: 80, weight: 100}, {name: shop-canary, port: 80, weight: 0}]
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: errors, namespace: default}
spec:
  args: [{name: hash}]
  metrics:
  - name: error-rate
    interval: 5s
    count: 2
    successCondition: result[0] < 0.01
    provider:
      prometheus:
        address: http://prometheus.test
        query: error_rate{hash=\"{{args.hash}}\"}
";

fn command(random: &mut Random) -> (&'static str, Command) {
    let shop = || "shop".to_owned();
    let paused = |paused: bool| {
        let key = Key::new(Kind::Rollout, "default", "shop");
        Command::Patch(key, Part::Main, Box::new(json!({ "spec": { "paused": paused } })))
    };
    match random.below(17) {
        0..=2 => ("abort", Command::Abort(shop())),
        3 | 4 => ("retry", Command::Retry(shop())),
        5 | 6 => ("promote", Command::Promote(shop())),
        7 => ("promote", Command::PromoteFull(shop())),
        8 | 9 => ("supersede", Command::SetImage(shop(), "shop:v3".to_owned())),
        10 => ("undo", Command::SetImage(shop(), "shop:v1".to_owned())),
        11 => (
            "scale",
            Command::Scale(shop(), 2 + u32::try_from(random.below(6)).unwrap_or(0)),
        ),
        12 => ("pause", paused(random.below(2) == 0)),
        13 | 14 => ("kill", Command::KillPodOf("stable".to_owned())),
        15 => ("restart", Command::Restart(shop())),
        _ => ("crash", Command::Crash(0)),
    }
}
