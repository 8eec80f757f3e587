//! Splits of traffic: shares by Service, and by Service and revision.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where traffic goes: a Service and the revision (pod template hash) that the Service is meant to select.
/// In JSON, as a map key, it is `service/revision`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dest {
    /// Name of the Service.
    pub service: String,
    /// Pod template hash that the Service selects; empty where its selector names none.
    pub revision: String,
}

/// Traffic shares by destination, any number of them. The parts add up to `total` unless a foreign writer made the split.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Split {
    /// What the parts are parts of, 100 by default.
    pub total: u32,
    /// Share of each destination.
    pub parts: BTreeMap<Dest, u32>,
}

/// Traffic shares by Service, as a route object holds them. The parts need not add up to 100.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Weights {
    /// Weight of each Service, by name.
    pub by_service: BTreeMap<String, u32>,
}

/// What we wrote last on an object that moves traffic, kept on that very object as an annotation: `{at, to, from, rest?}`.
/// On a Service it is [`crate::MOVING_ANNOTATION`], on a route one for each pair ([`crate::route_moving_annotation`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moving {
    /// When it was written.
    pub at: Timestamp,
    /// The split that was written.
    pub to: Split,
    /// Splits that some proxy may have been applying when it was written.
    #[serde(default)]
    pub from: Vec<Split>,
    /// Where the traffic belongs, on a route in the midst of an update. Absent where `to` says it: one Service has everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<Rest>,
}

/// How a route is at rest. With it the route can be given back when nothing else is left of the Rollout that moved it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// The Service, or subset, that has all the traffic then.
    pub stable: String,
    /// Names of the rules that are managed, where they were configured by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
}

impl Weights {
    /// The sum of all weights.
    pub fn total(&self) -> u32 {
        self.by_service.values().copied().fold(0, u32::saturating_add)
    }

    /// Share of a Service in ten thousandths, rounded up, so that any traffic at all is more than zero.
    pub fn share_of(&self, service: &str) -> u32 {
        self.parts_of(service, 10_000)
    }

    /// Share of a Service in parts of `whole`, rounded up.
    pub fn parts_of(&self, service: &str, whole: u32) -> u32 {
        let total = u64::from(self.total());
        let weight = u64::from(self.by_service.get(service).copied().unwrap_or(0));
        if total == 0 {
            0
        } else {
            u32::try_from((weight * u64::from(whole)).div_ceil(total)).unwrap_or(whole)
        }
    }

    /// Whether both describe the same shares, whatever their totals. A Service with weight 0 counts as absent.
    pub fn same_shares(&self, other: &Weights) -> bool {
        let (mine, theirs) = (u64::from(self.total()), u64::from(other.total()));
        self.by_service.keys().chain(other.by_service.keys()).all(|service| {
            let a = u64::from(self.by_service.get(service).copied().unwrap_or(0));
            let b = u64::from(other.by_service.get(service).copied().unwrap_or(0));
            a * theirs == b * mine
        }) && (mine == 0) == (theirs == 0)
    }
}

impl Split {
    /// The shares by Service, whatever the revisions.
    pub fn weights(&self) -> Weights {
        let mut by_service = BTreeMap::new();
        for (dest, weight) in &self.parts {
            let sum: &mut u32 = by_service.entry(dest.service.clone()).or_default();
            *sum = sum.saturating_add(*weight);
        }
        Weights { by_service }
    }
}

impl Serialize for Dest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{}/{}", self.service, self.revision))
    }
}

impl<'de> Deserialize<'de> for Dest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (service, revision) = text
            .split_once('/')
            .ok_or_else(|| serde::de::Error::custom(format!("expected `service/revision`, got `{text}`")))?;
        Ok(Dest {
            service: service.to_owned(),
            revision: revision.to_owned(),
        })
    }
}
