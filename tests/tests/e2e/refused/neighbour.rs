//! A healthy Rollout beside the wrong objects, and how long its updates take.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use sluice_tests::Plane;
use sluice_tests::shop::{STABLE, Shop, Version};

/// Enough for one update on a machine that builds at the same time.
const UPDATE: Duration = Duration::from_mins(1);

/// Updates with and without disturbance, of which the medians are compared.
pub const UPDATES: usize = 3;

/// How much longer an update may take beside wrong objects.
const MORE: Duration = Duration::from_secs(1);

/// The healthy Rollout: a small canary behind an HTTPRoute, without pauses, whose whole seconds would hide or double a delay.
#[derive(Debug)]
pub struct Neighbour {
    shop: Shop,
    next: usize,
}

impl Neighbour {
    /// Makes the namespace and all that it needs there.
    pub async fn move_in(plane: &Plane, space: &str) -> Result<Self> {
        let mut shop = Shop::canary(space, 2, &json!([{ "setWeight": 50 }]));
        shop.strategy["canary"]["scaleDownDelaySeconds"] = 0.into();
        shop.surroundings(plane).await?;
        Ok(Self { shop, next: 0 })
    }

    /// Deploys its first version and waits until it is healthy. The controller must be running.
    pub async fn settle(&mut self, plane: &Plane) -> Result<()> {
        self.deploy(plane).await?;
        self.shop.healthy(plane, UPDATE).await?;
        Ok(())
    }

    /// One update, from the apply to Healthy.
    pub async fn update(&mut self, plane: &Plane) -> Result<Duration> {
        self.shop.only_present(plane, UPDATE).await?;
        let began = Instant::now();
        self.deploy(plane).await?;
        self.shop.healthy(plane, UPDATE).await?;
        Ok(began.elapsed())
    }

    /// Several updates, one after the other.
    pub async fn updates(&mut self, plane: &Plane) -> Result<Vec<Duration>> {
        let mut times = Vec::new();
        for _ in 0..UPDATES {
            times.push(self.update(plane).await?);
        }
        Ok(times)
    }

    async fn deploy(&mut self, plane: &Plane) -> Result<()> {
        const NAMES: [&str; 12] = [
            "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12",
        ];
        let version = Version {
            name: NAMES[self.next],
            ..STABLE
        };
        self.next += 1;
        self.shop.deploy(plane, version).await
    }
}

/// Prints both and fails unless the second are at most a second longer, by their medians.
pub fn compare(undisturbed: &[Duration], disturbed: &[Duration]) -> Result<()> {
    let (before, beside) = (median(undisturbed), median(disturbed));
    println!("  undisturbed {undisturbed:.2?}, beside them {disturbed:.2?}; medians {before:.2?} and {beside:.2?}");
    ensure!(
        beside <= before + MORE,
        "the neighbour's update took {beside:.2?} beside wrong objects, {before:.2?} without them"
    );
    Ok(())
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}
