//! The scenarios: what is applied, and what is typed when the Rollout stands where.

use jiff::SignedDuration;
use serde_json::{Value, json};
use sluice_simulations::{Command, Entry, Flow, Health, Key, Kind, START, Scenario};
use sluice_tests::client::documents;
use sluice_tests::shop::{Shop, Version, analysis};

/// Requests per second through the route of a scenario that is judged by its answers.
pub const RATE: u32 = 100;

const V1: Version = Version {
    name: "v1",
    error_rate: "0",
};
const V2: Version = Version { name: "v2", ..V1 };
const V3: Version = Version { name: "v3", ..V1 };
/// Far from the threshold of [`TEMPLATE`], so that a few requests tell it from a good version.
const BAD: Version = Version {
    name: "v2",
    error_rate: "0.5",
};
/// There is no such image.
const MISSING: Version = Version { name: "missing", ..V1 };

/// Fails when more than a quarter of the answers of the new version are errors. The delay is longer than the range, so that
/// Prometheus has seen the version under way for that long.
const TEMPLATE: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: errors}
spec:
  args: [{name: hash}]
  metrics:
  - name: error-rate
    initialDelay: 6s
    interval: 1s
    count: 3
    successCondition: result[0] < 0.25
    provider:
      prometheus:
        address: http://127.0.0.1:9090
        query: |
          (sum(rate(http_requests_total{rollouts_pod_template_hash="{{args.hash}}",code=~"5.."}[5s])) or vector(0))
          / sum(rate(http_requests_total{rollouts_pod_template_hash="{{args.hash}}"}[5s]))
"#;

/// All scenarios.
pub fn all() -> Vec<Act> {
    vec![
        basic(),
        basic_bad(),
        routed(V2, ROUTED_END),
        routed(
            BAD,
            "step 0 | canary 0 stable 100 | r1=4 r2=0 | Degraded: RolloutAborted: Rollout aborted update to revision 2: Step-based \
             analysis phase error/failed: Metric \"error-rate\" assessed Failed due to failed (1) > failureLimit (0)",
        ),
        paused("promoted", PAUSED_END).promote(AT_PAUSE),
        promoted_fully(),
        paused_by_user(),
        aborted(),
        aborted_and_retried(),
        superseded(),
        paused("rolled-back", "step 4 | canary 0 stable 100 | r2=0 r3=5 | Healthy").deploy(AT_PAUSE, V1),
        scaled(),
        sized(),
        blue_green("bg-switched", true, GREEN).deploy(BLUE, V2),
        blue_green("bg-promoted", false, GREEN)
            .deploy(BLUE, V2)
            .promote(BLUE_AND_GREEN),
        blue_green(
            "bg-aborted",
            false,
            "step - | active 1 preview 1 | r1=3 r2=0 | Degraded: RolloutAborted: Rollout aborted update to revision 2",
        )
        .deploy(BLUE, V2)
        .abort(BLUE_AND_GREEN),
        blue_green(
            "bg-rolled-back",
            true,
            "step - | active 3 preview 3 | r2=0 r3=3 | Healthy",
        )
        .deploy(BLUE, V2)
        .deploy(GREEN, V1),
    ]
}

/// A Rollout that names one object of each kind that the others name. When it is Healthy, the controller watches all these
/// kinds, and has seen what was applied before.
pub fn first_of_all() -> Act {
    let steps = json!([{ "setWeight": 50 }, analysis()]);
    Act::new(
        Shop::canary("first-of-all", 1, &steps),
        "step 2 | canary 0 stable 100 | r1=1 | Healthy",
    )
}

/// By replicas alone: both revisions follow the weight, one pod at a time.
fn basic() -> Act {
    let steps = json!([{ "setWeight": 50 }, { "pause": { "duration": "3s" } }, { "setWeight": 75 }]);
    Act::new(Shop::basic("basic", 4, &steps), "step 3 | | r1=0 r2=4 | Healthy").deploy("step 3 | | r1=4 | Healthy", V2)
}

/// The same with pods that never start, aborted by the progress deadline.
fn basic_bad() -> Act {
    let steps = json!([{ "setWeight": 50 }, { "pause": { "duration": "3s" } }]);
    let shop = Shop {
        further: json!({ "progressDeadlineSeconds": 15, "progressDeadlineAbort": true }),
        ..Shop::basic("basic-bad", 4, &steps)
    };
    Act::new(
        shop,
        "step 0 | | r1=4 r2=0 | Degraded: RolloutAborted: Rollout aborted update to revision 2: ReplicaSet \"shop-",
    )
    .deploy("step 2 | | r1=4 | Healthy", MISSING)
}

const ROUTED_END: &str = "step 4 | canary 0 stable 100 | r1=0 r2=4 | Healthy";

/// 25 % and 50 % through an HTTPRoute, each judged by its answers.
fn routed(version: Version, end: &'static str) -> Act {
    let name = if version.error_rate == V2.error_rate {
        "good"
    } else {
        "bad"
    };
    let steps = json!([{ "setWeight": 25 }, analysis(), { "setWeight": 50 }, analysis()]);
    Act::new(Shop::canary(name, 4, &steps), end)
        .with_traffic(version)
        .deploy("step 4 | canary 0 stable 100 | r1=4 | Healthy", version)
}

const BEFORE: &str = "step 4 | canary 0 stable 100 | r1=5 | Healthy";
const AT_PAUSE: &str = "step 1 | canary 20 stable 80 | r1=5 r2=1 | Paused: CanaryPauseStep";
const PAUSED_END: &str = "step 4 | canary 0 stable 100 | r1=0 r2=5 | Healthy";
const ABORTED: &str =
    "step 0 | canary 0 stable 100 | r1=5 r2=0 | Degraded: RolloutAborted: Rollout aborted update to revision 2";

/// A pause without an end at 20 %, then a short one at 60 %.
fn paused(name: &str, end: &'static str) -> Act {
    let steps = json!([{ "setWeight": 20 }, { "pause": {} }, { "setWeight": 60 }, { "pause": { "duration": "3s" } }]);
    Act::new(Shop::canary(name, 5, &steps), end).deploy(BEFORE, V2)
}

fn promoted_fully() -> Act {
    let act = paused("promoted-fully", PAUSED_END);
    let command = Command::PromoteFull(act.name());
    act.when(AT_PAUSE, command)
}

/// Paused by a person on top of the pause of a step; one promotion ends both.
fn paused_by_user() -> Act {
    let act = paused("paused-by-user", PAUSED_END);
    let command = Command::Pause(act.name());
    act.when(AT_PAUSE, command)
        .promote("step 1 | canary 20 stable 80 | r1=5 r2=1 | Paused: manually paused")
}

fn aborted() -> Act {
    paused("aborted", ABORTED).abort(AT_PAUSE)
}

fn aborted_and_retried() -> Act {
    let act = paused("retried", PAUSED_END);
    let command = Command::Retry(act.name());
    act.abort(AT_PAUSE).when(ABORTED, command).promote(AT_PAUSE)
}

/// A third version while the second is at 20 %.
fn superseded() -> Act {
    let act = paused("superseded", "step 4 | canary 0 stable 100 | r1=0 r2=0 r3=5 | Healthy");
    act.deploy(AT_PAUSE, V3)
        .promote("step 1 | canary 20 stable 80 | r1=5 r2=0 r3=1 | Paused: CanaryPauseStep")
}

/// More, then fewer pods while the second version is at 20 %.
fn scaled() -> Act {
    let act = paused("scaled", "step 4 | canary 0 stable 100 | r1=0 r2=3 | Healthy");
    let scale = |replicas| Command::Scale(act.name(), replicas);
    let (up, down) = (scale(10), scale(3));
    act.when(AT_PAUSE, up)
        .when(
            "step 1 | canary 20 stable 80 | r1=10 r2=2 | Paused: CanaryPauseStep",
            down,
        )
        .promote("step 1 | canary 20 stable 80 | r1=3 r2=1 | Paused: CanaryPauseStep")
}

/// The size of the canary apart from its weight.
fn sized() -> Act {
    let steps = json!([
        { "setCanaryScale": { "replicas": 3 } }, { "setWeight": 20 }, { "pause": { "duration": "3s" } },
        { "setCanaryScale": { "matchTrafficWeight": true } }, { "pause": { "duration": "3s" } },
    ]);
    Act::new(
        Shop::canary("sized", 5, &steps),
        "step 5 | canary 0 stable 100 | r1=0 r2=5 | Healthy",
    )
    .deploy("step 5 | canary 0 stable 100 | r1=5 | Healthy", V2)
}

const BLUE: &str = "step - | active 1 preview 1 | r1=3 | Healthy";
const BLUE_AND_GREEN: &str = "step - | active 1 preview 2 | r1=3 r2=3 | Paused: BlueGreenPause";
const GREEN: &str = "step - | active 2 preview 2 | r1=0 r2=3 | Healthy";

fn blue_green(name: &str, automatic: bool, end: &'static str) -> Act {
    Act::new(Shop::blue_green(name, 3, automatic), end)
}

/// A scenario for both sides.
#[derive(Clone, Debug)]
pub struct Act {
    /// What the Rollout names, and how versions behave in the simulator. Its script is not used: times are not the same on
    /// both sides.
    pub scenario: Scenario,
    /// The Rollout with its first version.
    pub first: Value,
    /// What is typed when the Rollout rests and what is said of it begins so.
    pub script: Vec<(&'static str, Command)>,
    /// Where it stands in the end.
    pub end: &'static str,
    shop: Shop,
}

impl Act {
    fn new(mut shop: Shop, end: &'static str) -> Self {
        // Longer than it takes to move the traffic, so that pods do not go at the same time as that is seen in the status.
        let strategies = shop
            .strategy
            .as_object_mut()
            .into_iter()
            .flat_map(|all| all.values_mut());
        for strategy in strategies.filter_map(Value::as_object_mut) {
            for field in ["scaleDownDelaySeconds", "abortScaleDownDelaySeconds"] {
                if let Some(delay) = strategy.get_mut(field) {
                    *delay = json!(8);
                }
            }
        }
        let space = shop.space.clone();
        let mut scenario = Scenario::new(&space, manifests(&shop));
        scenario.rollout = format!("{space}/shop");
        // As the real Prometheus of the plane does, and fast enough for the range of the query.
        scenario.config.models.metrics.scrape_interval = SignedDuration::from_secs(1);
        for version in [V1, V2, V3] {
            scenario = scenario.error_rate(&image(version), 0.0);
        }
        scenario = scenario.health(&image(MISSING), Health::NeverReady);
        Self {
            scenario,
            first: rollout(&shop, V1),
            script: Vec::new(),
            end,
            shop,
        }
    }

    /// The namespace on the real side.
    pub fn space(&self) -> &str {
        &self.shop.space
    }

    /// Whether users send requests: only where somebody measures them.
    pub fn has_traffic(&self) -> bool {
        !self.scenario.config.models.traffic.is_empty()
    }

    fn when(mut self, stand: &'static str, command: Command) -> Self {
        self.script.push((stand, command));
        self
    }

    /// Applies another version of the same Rollout.
    fn deploy(self, stand: &'static str, version: Version) -> Self {
        let object = Box::new(rollout(&self.shop, version));
        self.when(stand, Command::Apply(object))
    }

    /// The same, with users whose requests it answers; so many of them with an error.
    fn with_traffic(mut self, version: Version) -> Self {
        let error_rate = version.error_rate.parse().expect("it is a number");
        self.scenario = self.scenario.error_rate(&image(version), error_rate);
        self.scenario.config.models.traffic.push(Flow {
            entry: Entry::Route(Key::new(Kind::HttpRoute, self.space(), "shop")),
            per_second: f64::from(RATE),
            from: START,
            ramps: Vec::new(),
        });
        self
    }

    /// The name that commands take.
    fn name(&self) -> String {
        self.scenario.rollout.clone()
    }

    fn promote(self, stand: &'static str) -> Self {
        let command = Command::Promote(self.name());
        self.when(stand, command)
    }

    fn abort(self, stand: &'static str) -> Self {
        let command = Command::Abort(self.name());
        self.when(stand, command)
    }
}

fn image(version: Version) -> String {
    if version.name == MISSING.name {
        "sluice/missing:v2".to_owned()
    } else {
        format!("sluice/backend:{}", version.name)
    }
}

fn rollout(shop: &Shop, version: Version) -> Value {
    let mut rollout = shop.rollout(version);
    rollout["metadata"]["namespace"] = json!(shop.space);
    rollout["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image(version));
    rollout
}

/// What a Rollout names.
fn manifests(shop: &Shop) -> String {
    let yaml = [shop.services(), shop.route(), TEMPLATE.to_owned()].concat();
    let mut objects = documents(&yaml).expect("they are valid YAML");
    for object in &mut objects {
        object["metadata"]["namespace"] = json!(shop.space);
    }
    let documents: Vec<String> = objects.iter().map(Value::to_string).collect();
    documents.join("\n---\n")
}
