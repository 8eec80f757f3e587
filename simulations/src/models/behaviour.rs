//! How pods answer, which may depend on their age, on the share of their version and on how much they have to do.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::models::data_plane::Fate;
use crate::models::pods::{NEW, Onset, Overload, PodId, STABLE, Version};
use crate::models::{ModelConfig, Models};
use crate::series::{Behaviour, Latency};

impl ModelConfig {
    /// What is said about a version; `None` where nothing is.
    pub(crate) fn version(&self, image: &str, is_first: bool) -> Option<&Version> {
        let role = if is_first { STABLE } else { NEW };
        self.versions.get(image).or_else(|| self.versions.get(role))
    }

    /// How a version answers as long as nothing strains it.
    pub(crate) fn behaviour(&self, image: &str, is_first: bool) -> Behaviour {
        let version = self.version(image, is_first);
        Behaviour {
            error_rate: version.map_or(0.0, |version| version.error_rate),
            latency: version.map_or_else(Latency::default, |version| version.latency),
        }
    }
}

impl Models {
    /// How each pod answers whose version does not always answer alike, from one time to another.
    pub(super) fn strained(&self, from: Timestamp, now: Timestamp) -> BTreeMap<PodId, Behaviour> {
        let changes = |version: &Version| version.capacity.is_some() || version.onset.is_some();
        if !self.config.versions.values().any(changes) {
            return BTreeMap::new();
        }
        let mut requests: BTreeMap<PodId, f64> = BTreeMap::new();
        for flow in &self.plane.traffic {
            let of_flow = flow.requests(from, now);
            self.plane.fates(flow, &self.pods, &mut |_, fate, share| {
                if let Fate::Served(id, _) = fate {
                    *requests.entry(id).or_default() += share * of_flow;
                }
            });
        }
        let all: f64 = requests.values().sum();
        let pod = |id: &PodId| self.pods.get(*id).expect("a pod that serves is there");
        let mut of_images: BTreeMap<&str, f64> = BTreeMap::new();
        for (id, requests) in &requests {
            *of_images.entry(&pod(id).version).or_default() += requests;
        }
        let seconds = now.duration_since(from).as_secs_f64();
        let of_pod = |(id, requests): (&PodId, &f64)| {
            let pod = pod(id);
            let version = self.config.version(&pod.version, pod.is_first)?;
            let ready = self.pods.first_ready.get(&pod.version).copied();
            let share = of_images.get(&*pod.version).copied().unwrap_or(0.0) / all;
            let begun = |onset: &&Onset| {
                let is_late = |after| ready.is_some_and(|ready| ready + after <= from);
                onset.after.is_some_and(is_late) || onset.from_share.is_some_and(|least| share >= least)
            };
            let onset = version.onset.as_ref().filter(begun);
            Some((*id, version.under(requests / seconds, onset)))
        };
        requests.iter().filter_map(of_pod).collect()
    }
}

impl Version {
    /// How a pod answers that gets so many requests in a second.
    fn under(&self, load: f64, onset: Option<&Onset>) -> Behaviour {
        let error_rate = onset.map_or(self.error_rate, |onset| onset.error_rate);
        let latency = onset.and_then(|onset| onset.latency).unwrap_or(self.latency);
        let excess = self.capacity.map_or(1.0, |capacity| (load / capacity).max(1.0));
        match self.overload {
            Overload::Errors => Behaviour {
                error_rate: 1.0 - (1.0 - error_rate) / excess,
                latency,
            },
            Overload::Latency => Behaviour {
                error_rate,
                latency: Latency {
                    p50_ms: latency.p50_ms * excess,
                    p99_ms: latency.p99_ms * excess,
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_capacity_fails_or_takes_longer() {
        let version = |overload| Version {
            error_rate: 0.1,
            capacity: Some(50.0),
            overload,
            ..Version::default()
        };
        let failing = version(Overload::Errors);
        assert!((failing.under(50.0, None).error_rate - 0.1).abs() < 1e-12);
        // Half of them can be answered, and a tenth of those fails.
        assert!((failing.under(100.0, None).error_rate - 0.55).abs() < 1e-12);
        let slow = version(Overload::Latency).under(100.0, None);
        assert!((slow.error_rate - 0.1).abs() < 1e-12);
        assert!((slow.latency.p50_ms - 40.0).abs() < 1e-9, "{slow:?}");
    }

    #[test]
    fn images_are_looked_up_before_roles() {
        let mut config = ModelConfig::default();
        let failing = |error_rate| Version {
            error_rate,
            ..Version::default()
        };
        config.versions.insert(NEW.to_owned(), failing(0.2));
        config.versions.insert("shop:v3".to_owned(), failing(0.3));
        for (image, is_first, rate) in [("shop:v1", true, 0.0), ("shop:v2", false, 0.2), ("shop:v3", false, 0.3)] {
            let behaviour = config.behaviour(image, is_first);
            assert!((behaviour.error_rate - rate).abs() < 1e-12, "{image}: {behaviour:?}");
        }
    }
}
