//! `cargo xtask bench`: what the controller costs, on the cluster in a box. Prints the table of docs/performance.md.
//!
//! Writes and events come from the API server's audit log, processor time and memory from `/proc`. The Rollouts are basic
//! canaries of two pods (maxSurge 1, steps 50 %, pause 2 s, 100 %), updated all at once, several times.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use sluice_crds::Rollout;
use sluice_tests::audit::{Mark, Request, count_by_what};
use sluice_tests::plane::{NodeConfig, User};
use sluice_tests::{Controller, ControllerConfig, Plane, PlaneConfig, inside, wait_until};

/// What to measure.
#[derive(Parser)]
#[command(name = "cargo xtask bench", version)]
struct Options {
    /// Number of Rollouts
    #[arg(long, default_value_t = 200)]
    rollouts: u32,
    /// Number of updates of all of them; the table has the median
    #[arg(long, default_value_t = 3)]
    updates: u32,
}

const SPACE: &str = "bench";
/// So many requests of the bench itself are under way at once.
const PARALLEL: usize = 16;
/// Enough for all pods of an update to start on two cores.
const LONG: Duration = Duration::from_mins(15);

fn main() -> ExitCode {
    let options = Options::parse();
    inside::enter("bench", |inside| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
        match runtime.block_on(run(inside, &options)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        }
    })
}

struct Bench {
    plane: Plane,
    rollouts: Api<Rollout>,
}

/// Rollouts that are created and updated together.
#[derive(Clone, Copy)]
struct Group {
    prefix: &'static str,
    count: u32,
}

impl Group {
    fn names(self) -> impl Iterator<Item = String> {
        (0..self.count).map(move |number| format!("{}-{number}", self.prefix))
    }

    fn each(self, count: usize) -> f64 {
        f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / f64::from(self.count)
    }
}

/// What something cost, for one Rollout.
struct Cost {
    writes: f64,
    events: f64,
    cpu_ms: f64,
    seconds: f64,
}

/// What a group cost: to create it, and the median of its updates.
struct Costs {
    group: Group,
    creation: Cost,
    updates: Vec<Cost>,
}

impl Costs {
    fn median(&self, value: fn(&Cost) -> f64) -> f64 {
        let mut values: Vec<f64> = self.updates.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }

    fn print(&self) {
        let what = match self.group.count {
            1 => "alone".to_owned(),
            count => format!("{count} at once"),
        };
        let (writes, events) = (self.median(|cost| cost.writes), self.median(|cost| cost.events));
        println!("| API writes for one update, {what}, events not counted | {writes:.1} |");
        println!("| events for one update, {what} | {events:.1} |");
        println!(
            "| API writes for creating a Rollout, {what}, events not counted | {:.1} |",
            self.creation.writes
        );
        println!(
            "| events for creating a Rollout, {what} | {:.1} |",
            self.creation.events
        );
        println!(
            "| controller CPU for one update, {what} | {:.1} ms |",
            self.median(|cost| cost.cpu_ms)
        );
        println!("| updated after, {what} | {:.0} s |", self.median(|cost| cost.seconds));
    }
}

async fn run(inside: &inside::Inside, options: &Options) -> Result<()> {
    let idle = [("sluice/idle".to_owned(), "/bin/sleep".into())];
    let node = NodeConfig {
        images: idle.into(),
        ..NodeConfig::default()
    };
    let config = PlaneConfig {
        traefik: false,
        prometheus: false,
        node,
        ..PlaneConfig::default()
    };
    let plane = Plane::start(inside, config).await?;
    plane.namespace(SPACE).await?;
    let rollouts = Api::namespaced(plane.client.kube(), SPACE);
    let bench = Bench { plane, rollouts };
    let flags = ControllerConfig::of(SPACE);
    let controller = Controller::start(&bench.plane, flags.clone()).await?;

    // One alone first: what the steps cost when nothing has to wait.
    let alone = Group {
        prefix: "alone",
        count: 1,
    };
    let alone = bench.measure(&controller, alone, options.updates).await?;
    let all = Group {
        prefix: "shop",
        count: options.rollouts,
    };
    let together = bench.measure(&controller, all, options.updates).await?;
    let count = options.rollouts + 1;
    let busy = controller.usage()?;
    controller.stop().await?;

    // A fresh process that sees everything and has nothing to do.
    let mark = bench.plane.audit.mark().await?;
    let controller = Controller::start(&bench.plane, flags).await?;
    let deciding = format!("{count} decided Rollouts");
    wait_until(&deciding, LONG, || async {
        let page = controller.page("/metrics").await?;
        let known = page.lines().filter(|line| line.starts_with("rollout_info{")).count();
        Ok((known >= count as usize).then_some(()))
    })
    .await?;
    let (restart, _) = bench.requests(mark).await?;
    let idle = controller.usage()?;
    controller.stop().await?;

    let mebibytes = |bytes: u64| format!("{} MiB", bytes >> 20);
    println!("\n| what | measured |\n| --- | --- |");
    alone.print();
    together.print();
    println!(
        "| resident memory, {} idle Rollouts, fresh process | {} |",
        count,
        mebibytes(idle.resident_bytes)
    );
    println!(
        "| resident memory after {} updates of all | {} |",
        options.updates,
        mebibytes(busy.resident_bytes)
    );
    println!("| most resident memory | {} |", mebibytes(busy.peak_resident_bytes));
    println!("| writes after a restart, nothing changed | {} |", restart.len());
    Ok(())
}

impl Bench {
    /// Creates a group and updates it again and again.
    async fn measure(&self, controller: &Controller, group: Group, updates: u32) -> Result<Costs> {
        let creation = self
            .cost(controller, group, "created", |name| self.create(name))
            .await?;
        let mut costs = Vec::new();
        for round in 1..=updates {
            let image = format!("sluice/idle:v{}", round + 1);
            let what = format!("updated, round {round}");
            let update = |name| self.update(name, image.clone());
            costs.push(self.cost(controller, group, &what, update).await?);
        }
        Ok(Costs {
            group,
            creation,
            updates: costs,
        })
    }

    /// Acts on each Rollout of a group, waits until all are healthy, and counts.
    async fn cost<F>(
        &self,
        controller: &Controller,
        group: Group,
        what: &str,
        act: impl Fn(String) -> F,
    ) -> Result<Cost>
    where
        F: Future<Output = Result<()>>,
    {
        let (mark, cpu, began) = (self.plane.audit.mark().await?, controller.usage()?.cpu, Instant::now());
        stream::iter(group.names())
            .map(Ok)
            .try_for_each_concurrent(PARALLEL, act)
            .await?;
        self.all_healthy(group, what).await?;
        let seconds = began.elapsed().as_secs_f64();
        let (writes, events) = self.requests(mark).await?;
        let cpu = controller.usage()?.cpu.saturating_sub(cpu);
        println!(
            "{what}: {} of {} after {seconds:.0} s: {:?}, {} events",
            group.count,
            group.prefix,
            count_by_what(&writes),
            events.len()
        );
        Ok(Cost {
            writes: group.each(writes.len()),
            events: group.each(events.len()),
            cpu_ms: cpu.as_secs_f64() * 1000.0 / f64::from(group.count),
            seconds,
        })
    }

    async fn create(&self, name: String) -> Result<()> {
        let object = rollout(&name);
        let object: Rollout = serde_json::from_value(object).context("the bench's Rollout")?;
        self.rollouts.create(&kube::api::PostParams::default(), &object).await?;
        Ok(())
    }

    async fn update(&self, name: String, image: String) -> Result<()> {
        let container = json!({ "name": "idle", "image": image, "args": ["infinity"] });
        let patch = json!({ "spec": { "template": { "spec": { "containers": [container] } } } });
        self.rollouts
            .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    /// Waits until every Rollout of a group is Healthy at its present generation.
    async fn all_healthy(&self, group: Group, what: &str) -> Result<()> {
        wait_until(&format!("all Rollouts to be {what}"), LONG, || async {
            let all = self.rollouts.list(&ListParams::default()).await?;
            let healthy = all.items.iter().filter(|rollout| {
                let name = rollout.metadata.name.as_deref().unwrap_or_default();
                let generation = rollout.metadata.generation.map(|generation| generation.to_string());
                let status = rollout.status.clone().unwrap_or_default();
                let phase = status.phase.map(|phase| phase.to_string()).unwrap_or_default();
                name.starts_with(group.prefix)
                    && status.observed_generation == generation
                    && phase == "Healthy"
                    && status.current_pod_hash == status.stable_rs
            });
            Ok((healthy.count() == group.count as usize).then_some(()))
        })
        .await
    }

    /// The controller's writes and events since a mark.
    async fn requests(&self, mark: Mark) -> Result<(Vec<Request>, Vec<Request>)> {
        let mut requests = self.plane.audit.since(mark).await?;
        requests.retain(|request| request.user == User::Controller.name() && request.is_write());
        ensure!(
            requests.iter().all(|request| request.code < 500),
            "the API server failed some writes"
        );
        let (noise, writes): (Vec<Request>, Vec<Request>) = requests.into_iter().partition(Request::is_noise);
        let events = noise
            .into_iter()
            .filter(|request| request.resource == "events")
            .collect();
        Ok((writes, events))
    }
}

fn rollout(name: &str) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": { "name": name },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "idle", "image": "sluice/idle:v1", "args": ["infinity"] }] },
            },
            "strategy": { "canary": {
                "maxSurge": 1,
                "maxUnavailable": 0,
                "steps": [{ "setWeight": 50 }, { "pause": { "duration": 2 } }, { "setWeight": 100 }],
            } },
        },
    })
}
