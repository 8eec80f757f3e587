//! Rollouts in every phase, as this version of the controller leaves them: taken out of simulations at a moment.

use jiff::SignedDuration;
use serde_json::{Value, json};
use sluice_simulations::{Cluster, Command, Health, Key, Kind, Part, Scenario, library, scenarios};

/// A state of a Rollout.
pub struct State {
    /// What it is in, in words.
    pub name: &'static str,
    /// How it comes to be.
    scenario: Scenario,
    /// Seconds since the start at which it is looked at.
    at: i64,
    /// What Argo CD must say: its health, and what the message begins with.
    pub says: (&'static str, &'static str),
    /// The actions of Argo CD that make sense in it, beside `restart`, which always does.
    pub offers: &'static [&'static str],
    /// The conditions for which `kubectl wait` must not wait any longer.
    pub holds: &'static [&'static str],
}

impl State {
    /// The cluster in this state.
    pub fn cluster(&self) -> Cluster {
        let mut scenario = self.scenario.clone();
        scenario.limit = SignedDuration::from_secs(self.at);
        scenario.script.retain(|(at, _)| *at <= scenario.limit);
        scenario.play(1).cluster
    }
}

/// The Rollout of a cluster.
pub fn rollout(cluster: &Cluster) -> &Value {
    cluster.get(Kind::Rollout, "shop").expect("the Rollout is there")
}

/// The key of the Rollout.
pub fn key() -> Key {
    Key::new(Kind::Rollout, "default", "shop")
}

/// What a running update can be told.
const UNDER_WAY: &[&str] = &["abort", "pause", "promote-full", "skip-current-step"];
/// What an update can be told that waits for a person.
const WAITING: &[&str] = &["abort", "pause", "promote-full", "resume", "skip-current-step"];
/// What an aborted canary can be told. Its steps begin anew with a retry, so Argo CD offers to skip the first of them.
const ABORTED: &[&str] = &["promote-full", "retry", "skip-current-step"];

/// One that carries its traffic on the new version, and nothing is left to do.
const HEALTHY: &[&str] = &["Available", "Completed", "Healthy", "Progressing"];
/// One whose stable version is as available as it should be while something else goes on.
const MOVING: &[&str] = &["Available", "Progressing"];
const PAUSED: &[&str] = &["Available", "Paused"];
const DEGRADED: &[&str] = &["Available"];

/// All states, each with what a person would expect of it.
pub fn all() -> Vec<State> {
    [first(), canaries(), analysed(), degraded(), blue_green()]
        .into_iter()
        .flatten()
        .collect()
}

/// The state of this name.
pub fn named(name: &str) -> State {
    all()
        .into_iter()
        .find(|state| state.name == name)
        .unwrap_or_else(|| panic!("there is no state {name:?}"))
}

fn shop() -> String {
    "shop".to_owned()
}

fn set_image() -> Command {
    Command::SetImage(shop(), "shop:v2".to_owned())
}

/// The states before and around the first version.
fn first() -> Vec<State> {
    let behind = "Waiting for rollout spec update to be observed";
    vec![
        State {
            name: "just created",
            scenario: scenarios::promoted(),
            at: 0,
            says: ("Progressing", behind),
            offers: &[],
            holds: &[],
        },
        State {
            name: "the first version comes up",
            scenario: scenarios::promoted().health("shop:v1", Health::NeverReady),
            at: 30,
            says: ("Progressing", "updated replicas are still becoming available"),
            offers: UNDER_WAY,
            holds: &["Progressing"],
        },
        State {
            name: "healthy",
            scenario: scenarios::promoted(),
            at: 50,
            says: ("Healthy", ""),
            offers: &[],
            holds: HEALTHY,
        },
        State {
            name: "changed a moment ago",
            scenario: scenarios::promoted(),
            at: 60,
            says: ("Progressing", behind),
            offers: &[],
            holds: HEALTHY,
        },
        State {
            name: "pods of a Deployment",
            scenario: filed("workload-taken-over"),
            at: 110,
            says: ("Healthy", ""),
            offers: &[],
            holds: HEALTHY,
        },
        State {
            name: "restarting",
            scenario: Scenario::new("restarting", scenarios::promoted().manifests).at(60, Command::Restart(shop())),
            at: 61,
            says: ("Progressing", "rollout is restarting"),
            offers: &[],
            holds: &["Available", "Completed", "Progressing"],
        },
    ]
}

fn canaries() -> Vec<State> {
    vec![
        State {
            name: "paused at a step",
            scenario: scenarios::promoted(),
            at: 110,
            says: ("Suspended", "CanaryPauseStep"),
            offers: WAITING,
            holds: PAUSED,
        },
        State {
            name: "pausing for a time",
            scenario: scenarios::promoted(),
            at: 132,
            says: ("Suspended", "CanaryPauseStep"),
            offers: WAITING,
            holds: PAUSED,
        },
        State {
            name: "paused by the spec",
            scenario: scenarios::routed_good().at(68, Command::Pause(shop())),
            at: 90,
            says: ("Suspended", "manually paused"),
            offers: &["abort", "promote-full", "resume", "skip-current-step"],
            holds: PAUSED,
        },
        State {
            name: "updated",
            scenario: scenarios::promoted(),
            at: 400,
            says: ("Healthy", ""),
            offers: &[],
            holds: HEALTHY,
        },
        State {
            name: "old pods are scaled down",
            scenario: scenarios::basic(),
            at: 300,
            says: ("Healthy", ""),
            offers: &[],
            holds: HEALTHY,
        },
    ]
}

fn analysed() -> Vec<State> {
    let condition = "successCondition: result[0] < 0.01";
    let inconclusive = format!("{condition}\n    failureCondition: result[0] > 0.9");
    let manifests = scenarios::routed_good().manifests;
    let analysed = |name: &str, manifests: String, errors: f64| {
        Scenario::new(name, manifests)
            .through_route("shop")
            .error_rate("shop:v2", errors)
            .at(60, set_image())
    };
    vec![
        State {
            name: "an analysis runs",
            scenario: scenarios::routed_good(),
            at: 70,
            says: ("Progressing", "more replicas need to be updated"),
            offers: UNDER_WAY,
            holds: MOVING,
        },
        State {
            name: "an analysis was inconclusive",
            scenario: analysed("inconclusive", manifests.replace(condition, &inconclusive), 0.5),
            at: 120,
            says: ("Suspended", "InconclusiveAnalysisRun"),
            offers: WAITING,
            holds: PAUSED,
        },
        State {
            name: "aborted by an analysis",
            scenario: scenarios::routed_bad(),
            at: 300,
            says: (
                "Degraded",
                "RolloutAborted: Rollout aborted update to revision 2: Step-based analysis phase error/failed: ",
            ),
            offers: ABORTED,
            holds: DEGRADED,
        },
        State {
            name: "aborted by an analysis that could not measure",
            scenario: analysed("unmeasured", manifests.replace("error_rate{", "no_such_rate{"), 0.0),
            at: 300,
            says: (
                "Degraded",
                "RolloutAborted: Rollout aborted update to revision 2: Step-based analysis phase error/failed: ",
            ),
            offers: ABORTED,
            holds: DEGRADED,
        },
    ]
}

fn degraded() -> Vec<State> {
    let patient = scenarios::basic_bad()
        .manifests
        .replace("  progressDeadlineAbort: true\n", "");
    let steps = json!([{ "setWeight": 200 }, { "pause": {} }, { "setWeight": 60 }, { "pause": { "duration": "20s" } }]);
    let wrong = json!({ "spec": { "strategy": { "canary": { "steps": steps } } } });
    vec![
        State {
            name: "aborted by a person",
            scenario: scenarios::aborted_and_retried(),
            at: 200,
            says: ("Degraded", "RolloutAborted: Rollout aborted update to revision 2"),
            offers: ABORTED,
            holds: DEGRADED,
        },
        State {
            name: "past its deadline",
            scenario: Scenario::new("past-its-deadline", patient)
                .through_service("shop")
                .at(60, set_image())
                .health("shop:v2", Health::NeverReady),
            at: 300,
            says: ("Degraded", "ProgressDeadlineExceeded: ReplicaSet \"shop-"),
            offers: UNDER_WAY,
            holds: DEGRADED,
        },
        State {
            name: "aborted by its deadline",
            scenario: scenarios::basic_bad(),
            at: 300,
            says: (
                "Degraded",
                "RolloutAborted: Rollout aborted update to revision 2: ReplicaSet \"shop-",
            ),
            offers: ABORTED,
            holds: DEGRADED,
        },
        State {
            name: "with an invalid spec",
            scenario: Scenario::new("invalid", scenarios::promoted().manifests)
                .at(60, Command::Patch(key(), Part::Main, Box::new(wrong))),
            at: 90,
            says: (
                "Degraded",
                "InvalidSpec: The Rollout \"shop\" is invalid: spec.strategy.canary.steps[0].setWeight",
            ),
            offers: &[],
            // The version from before is there as it was.
            holds: &["Available", "Completed", "InvalidSpec", "Progressing"],
        },
    ]
}

fn blue_green() -> Vec<State> {
    vec![
        State {
            name: "blue-green, healthy",
            scenario: scenarios::blue_green_promoted(),
            at: 50,
            says: ("Healthy", ""),
            offers: &[],
            holds: HEALTHY,
        },
        State {
            name: "blue-green, before the switch",
            scenario: scenarios::blue_green_switched(),
            at: 62,
            says: ("Progressing", ""),
            offers: &["abort", "pause", "promote-full"],
            holds: MOVING,
        },
        State {
            name: "blue-green, waiting for promotion",
            scenario: scenarios::blue_green_promoted(),
            at: 110,
            says: ("Suspended", "BlueGreenPause"),
            offers: &["abort", "pause", "promote-full", "resume"],
            holds: PAUSED,
        },
        State {
            name: "blue-green, aborted",
            scenario: scenarios::blue_green_aborted(),
            at: 200,
            says: ("Degraded", "RolloutAborted: Rollout aborted update to revision 2"),
            offers: &["promote-full", "retry"],
            holds: DEGRADED,
        },
    ]
}

/// A scenario of the library.
fn filed(name: &str) -> Scenario {
    let entries = library::load(&library::folder()).expect("the library can be read");
    let entry = entries.into_iter().find(|entry| entry.name == name);
    entry.expect("the library has it").prepared.scenario
}
