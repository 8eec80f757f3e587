//! Crashes on real components: the controller dies before and after each kind of write, its leader is stopped, killed and
//! frozen, all in the middle of an update under traffic. The oracles are the client, which loses no request, a watch on the
//! Rollout, which sees every step once, and the audit log.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use sluice_tests::audit::{Mark, Request};
use sluice_tests::plane::User;
use sluice_tests::rights;
use sluice_tests::shop::{self, STABLE, Shop, Version};
use sluice_tests::{Controller, ControllerConfig, History, Load, Plane, PlaneConfig, tests};

/// Enough for one stretch of an update on a machine that builds at the same time.
const SOON: Duration = Duration::from_mins(2);
/// Requests per second; half of them on kept connections, half on new ones.
const RATE: u32 = 320;
/// The least that the client must have been able to send.
const LEAST_RATE: u32 = 300;
/// The Lease of the controllers that compete, and what they are told about it. Standbys look as often as by default.
const LEASE: Duration = Duration::from_secs(5);
const ELECTION: [&str; 3] = [
    "--leader-election-lease-duration=5s",
    "--leader-election-renew-deadline=3s",
    "--leader-election-retry-period=2s",
];

/// The namespaces of the tests.
const SPACES: [&str; 3] = ["crash", "crash-bg", "leader"];

const V1: Version = Version {
    error_rate: "0",
    ..STABLE
};
const V2: Version = Version { name: "v2", ..V1 };

pub fn suite() -> ExitCode {
    sluice_tests::main(
        "crash",
        PlaneConfig::default(),
        tests![
            a_crash_before_and_after_each_kind_of_write_loses_nothing,
            a_crash_after_every_write_of_a_blue_green_update_loses_nothing,
            a_leader_that_is_stopped_killed_or_frozen_is_followed_and_nothing_is_lost,
            // The last, because it judges what the others used.
            the_rights_for_a_namespace_are_those_that_were_used,
        ],
    )
}

/// Fails when more than 2 % of the answers are errors; `count` is empty for a run that goes on for ever.
fn template(name: &str, space: &str, count: &str) -> String {
    let series = format!("http_requests_total{{namespace=\"{space}\",rollouts_pod_template_hash=\"{{{{args.hash}}}}\"");
    format!(
        r#"apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {{name: {name}}}
spec:
  args: [{{name: hash}}]
  metrics:
  - name: error-rate
    initialDelay: 2s
    interval: 1s
    {count}
    successCondition: result[0] < 0.02
    provider:
      prometheus:
        address: http://127.0.0.1:9090
        query: |
          (sum(rate({series},code=~"5.."}}[5s])) or vector(0)) / sum(rate({series}}}[5s]))
---
"#
    )
}

fn analysis(template: &str) -> Value {
    json!({
        "templates": [{ "templateName": template }],
        "args": [{ "name": "hash", "valueFrom": { "podTemplateHashValue": "Latest" } }],
    })
}

/// An update under observation: the load, every version of Rollout and route, and the audit log since it began.
struct Watched {
    shop: Shop,
    load: Load,
    began: Instant,
    rollout: History,
    mark: Mark,
}

impl Watched {
    /// Begins with a Rollout whose first version serves.
    async fn start(plane: &Plane, shop: Shop) -> Result<Self> {
        let load = shop.load(RATE, "v1", SOON).await?;
        Ok(Self {
            load,
            began: Instant::now(),
            rollout: shop.history(plane).await?,
            mark: plane.audit.mark().await?,
            shop,
        })
    }

    /// Waits for the end of the update and judges it.
    async fn finish(self, plane: &Plane, steps: usize) -> Result<()> {
        self.shop.healthy(plane, SOON).await?;
        self.shop.only_present(plane, SOON).await?;
        self.load.requests_after(Instant::now(), 1000, SOON).await?;
        let traffic = self.load.stop().await?.after(self.began);
        println!(
            "  {} requests in {:.0} s, {} failed, by version {:?}",
            traffic.records().len(),
            self.began.elapsed().as_secs_f64(),
            traffic.failures().len(),
            traffic.by_version()
        );
        traffic.assert_no_failure()?;
        traffic.assert_mix(LEAST_RATE)?;
        let last = traffic.records().iter().rev().take(1000);
        ensure!(
            last.clone().all(|record| record.version.as_deref() == Some("v2")),
            "the old version still answers"
        );
        let hashes = self
            .rollout
            .distinct(|rollout| text(rollout, "/status/currentPodHash"))?;
        ensure!(hashes.len() == 2, "the old and the new revision: {hashes:?}");
        let seen = self.rollout.distinct(|rollout| {
            let is_new = text(rollout, "/status/currentPodHash") == hashes.last().cloned();
            is_new.then(|| rollout.pointer("/status/currentStepIndex").and_then(Value::as_u64))
        })?;
        let wanted: Vec<Option<u64>> = match steps {
            0 => vec![None],
            steps => (0..=steps as u64).map(Some).collect(),
        };
        ensure!(seen == wanted, "steps were {seen:?}, not {wanted:?}");
        let requests = plane.audit.since(self.mark).await?;
        let created = created(&requests, &self.shop.space, "replicasets");
        ensure!(created.len() == 1, "ReplicaSets were created: {created:?}");
        Ok(())
    }
}

fn text(object: &Value, pointer: &str) -> Option<String> {
    object.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

/// The names of the objects of a kind that were created in a namespace.
fn created(requests: &[Request], space: &str, resource: &str) -> Vec<String> {
    let own = requests.iter().filter(|request| {
        request.namespace == space
            && request.resource == resource
            && request.verb == "create"
            && request.code == 201
            && !request.dry_run
    });
    own.map(|request| request.name.clone()).collect()
}

/// Runs one controller after the other, each of which dies at the next failpoint.
async fn die_at_each(plane: &Plane, space: &str, failpoints: &[&str]) -> Result<()> {
    for failpoint in failpoints {
        let began = Instant::now();
        let config = ControllerConfig {
            failpoint: Some((*failpoint).to_owned()),
            ..ControllerConfig::of(space)
        };
        let mut controller = Controller::launch(plane, config).await?;
        controller.dies(SOON).await?;
        println!("  died at {failpoint} after {:.1} s", began.elapsed().as_secs_f64());
    }
    Ok(())
}

async fn a_crash_before_and_after_each_kind_of_write_loses_nothing(plane: Arc<Plane>) -> Result<()> {
    let space = SPACES[0];
    let steps = json!([{ "setWeight": 50 }, { "analysis": analysis("quick") }]);
    let mut shop = Shop {
        // Nothing of the past is kept, so that what is deleted is deleted in this update.
        further: json!({
            "revisionHistoryLimit": 0,
            "analysis": { "successfulRunHistoryLimit": 0, "unsuccessfulRunHistoryLimit": 0 },
        }),
        ..Shop::canary(space, 3, &steps)
    };
    // It never ends by itself: the controller has to terminate it.
    shop.strategy["canary"]["analysis"] = analysis("background");
    shop.strategy["canary"]["analysis"]["startingStep"] = 1.into();
    shop.surroundings(&plane).await?;
    let templates = [template("quick", space, "count: 2"), template("background", space, "")].concat();
    plane.client.apply(space, &templates).await?;
    let first = Controller::start(&plane, ControllerConfig::of(space)).await?;
    shop.deploy(&plane, V1).await?;
    shop.healthy(&plane, SOON).await?;
    first.stop().await?;

    let watched = Watched::start(&plane, shop.clone()).await?;
    shop.deploy(&plane, V2).await?;
    // In the order in which an update comes to them; each controller begins to count anew.
    let kinds = [
        "commit-object",
        "commit-status",
        "create-replicaset",
        "switch-service",
        "set-split",
        "create-run",
        "run-status",
        "patch-replicaset",
        "terminate-run",
        "delete-run",
        "delete-replicaset",
    ];
    let failpoints: Vec<String> = kinds
        .iter()
        .flat_map(|kind| [format!("{kind}:1:before"), format!("{kind}:1:after")])
        .collect();
    let failpoints: Vec<&str> = failpoints.iter().map(String::as_str).collect();
    die_at_each(&plane, space, &failpoints).await?;
    let last = Controller::start(&plane, ControllerConfig::of(space)).await?;
    let mark = watched.mark;
    watched.finish(&plane, 2).await?;
    let requests = plane.audit.since(mark).await?;
    let runs = created(&requests, space, "analysisruns");
    ensure!(
        runs.len() == 2,
        "one run for the step and one in the background: {runs:?}"
    );
    last.stop().await
}

async fn a_crash_after_every_write_of_a_blue_green_update_loses_nothing(plane: Arc<Plane>) -> Result<()> {
    let space = SPACES[1];
    let shop = Shop::blue_green(space, 2, true);
    shop.surroundings(&plane).await?;
    let first = Controller::start(&plane, ControllerConfig::of(space)).await?;
    shop.deploy(&plane, V1).await?;
    shop.healthy(&plane, SOON).await?;
    first.stop().await?;

    let watched = Watched::start(&plane, shop.clone()).await?;
    shop.deploy(&plane, V2).await?;
    let mut crashes = 0;
    loop {
        let config = ControllerConfig {
            failpoint: Some("any:1:after".to_owned()),
            ..ControllerConfig::of(space)
        };
        let mut controller = Controller::launch(&plane, config).await?;
        let done = async {
            shop.healthy(&plane, SOON).await?;
            shop.only_present(&plane, SOON).await
        };
        tokio::select! {
            died = controller.dies(SOON) => died?,
            done = done => {
                done?;
                break;
            }
        }
        crashes += 1;
    }
    println!("  {crashes} crashes");
    ensure!(crashes >= 8, "an update takes at least 8 writes, not {crashes}");
    watched.finish(&plane, 0).await
}

/// The two controllers that compete; the audit log knows them by their users.
fn candidate(user: User) -> ControllerConfig {
    let (name, ports) = match user {
        User::Controller => ("first", (8081, 8090)),
        _ => ("second", (8082, 8091)),
    };
    ControllerConfig {
        name: name.to_owned(),
        user,
        leader_elect: true,
        ports,
        flags: ELECTION.map(str::to_owned).to_vec(),
        ..ControllerConfig::of(SPACES[2])
    }
}

/// Waits until the step is under way.
async fn at_step(plane: &Plane, shop: &Shop, step: i32) -> Result<()> {
    let what = format!("the pause of step {step}");
    shop.status(plane, &what, SOON, |status| {
        status.current_step_index == Some(step) && status.pause_conditions.is_some()
    })
    .await?;
    Ok(())
}

/// From `mark` until the Rollout was seen at the step.
async fn reached(watched: &Watched, mark: Instant, step: u64, what: &str, most: Duration) -> Result<()> {
    let at = watched
        .rollout
        .first_after(what, mark, SOON, |rollout| {
            rollout.pointer("/status/currentStepIndex").and_then(Value::as_u64) == Some(step)
        })
        .await?;
    let took = at.duration_since(mark);
    println!("  {what}: the next leader went on after {:.2} s", took.as_secs_f64());
    ensure!(
        took <= most,
        "{what}: {:.2} s, more than {:.2} s",
        took.as_secs_f64(),
        most.as_secs_f64()
    );
    Ok(())
}

async fn a_leader_that_is_stopped_killed_or_frozen_is_followed_and_nothing_is_lost(plane: Arc<Plane>) -> Result<()> {
    let (one, two) = (User::Controller, User::Somebody);
    let steps = json!([
        { "setWeight": 50 },
        { "pause": {} },
        { "pause": {} },
        { "pause": { "duration": "10s" } },
    ]);
    let shop = Shop::canary(SPACES[2], 2, &steps);
    shop.surroundings(&plane).await?;
    let first = Controller::start(&plane, candidate(one)).await?;
    first.leads(SOON).await?;
    let second = Controller::start(&plane, candidate(two)).await?;
    shop.deploy(&plane, V1).await?;
    shop.healthy(&plane, SOON).await?;
    let watched = Watched::start(&plane, shop.clone()).await?;
    shop.deploy(&plane, V2).await?;

    // Stopped in good order: a command that comes right after it waits for the standby only.
    at_step(&plane, &shop, 1).await?;
    let mark = Instant::now();
    first.signal(Signal::TERM)?;
    shop.promote(&plane).await?;
    reached(&watched, mark, 2, "stopped", Duration::from_secs(1)).await?;
    first.stop().await?;
    second.leads(SOON).await?;

    // Killed: the standby waits for the end of the Lease.
    let first = Controller::start(&plane, candidate(one)).await?;
    at_step(&plane, &shop, 2).await?;
    let mark = Instant::now();
    second.kill().await?;
    shop.promote(&plane).await?;
    reached(&watched, mark, 3, "killed", LEASE + Duration::from_secs(2)).await?;
    first.leads(SOON).await?;

    // Frozen in a timed pause until the other one has gone on: everything that it had in mind is overdue when it wakes.
    let second = Controller::start(&plane, candidate(two)).await?;
    at_step(&plane, &shop, 3).await?;
    first.signal(Signal::STOP)?;
    second.leads(SOON).await?;
    let going_on = |rollout: &Value| rollout.pointer("/status/currentStepIndex") == Some(&4.into());
    watched
        .rollout
        .first_after("the end of the pause", mark, SOON, going_on)
        .await?;
    let frozen = plane.audit.mark().await?;
    first.signal(Signal::CONT)?;
    sluice_tests::wait_until("the former leader to know", SOON, || async {
        Ok(first
            .page("/debug/state")
            .await?
            .contains("leading:     false")
            .then_some(()))
    })
    .await?;
    watched.finish(&plane, 4).await?;
    let requests = plane.audit.since(frozen).await?;
    let (theirs, others): (Vec<&Request>, Vec<&Request>) = requests
        .iter()
        .filter(|request| request.is_write())
        .partition(|request| request.user == one.name());
    let tried: Vec<&&Request> = theirs
        .iter()
        .filter(|request| request.resource != "leases" || request.code != 409)
        // An event tells what it did while it led; it may have been on its way when the process was frozen.
        .filter(|request| request.resource != "events")
        .collect();
    ensure!(tried.is_empty(), "the former leader wrote: {tried:?}");
    let is_work = |request: &&&Request| request.user == two.name() && !request.is_noise();
    let work = others.iter().find(is_work);
    work.context("the new leader wrote nothing meanwhile, so nothing was shown")?;
    first.stop().await?;
    second.stop().await
}

async fn the_rights_for_a_namespace_are_those_that_were_used(plane: Arc<Plane>) -> Result<()> {
    let controller = Controller::start(&plane, ControllerConfig::of(SPACES[0])).await?;
    shop::use_rare_rights(&plane, SPACES[0]).await?;
    controller.stop().await?;
    let mut requests = plane.audit.since(Mark::BEGIN).await?;
    requests.retain(|request| request.user == User::Controller.name());
    rights::compare(&requests, &SPACES)
}
