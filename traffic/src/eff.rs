//! What proxies may still be applying, and the record of it that goes with the next write.
//!
//! A proxy follows a route with a delay that nobody reports. Until a change has settled (acknowledged, and the drain time over),
//! some proxy may be applying the split that is written now, the one written before, or any that was possible then. These
//! functions keep that list; when something has settled is for the caller to say.
//!
//! Lists are without repetition (splits in the same proportions are the same split) and in a fixed order. They keep at most
//! [`MAX_KEPT`] splits: beyond that, of all splits only those are kept in which some Service or destination has its greatest
//! share. So the greatest share of each, which is what capacity is checked against, is never understated; only splits that
//! nobody's greatest share depends on are forgotten.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{Dest, Moving, Observed, Split, Weights, routers::gcd};

/// So many splits are kept one by one. A rollout has a handful of steps within any drain time.
pub const MAX_KEPT: usize = 16;

/// Every split by Service that some proxy may be applying on a route: what is observed, of managed and unmanaged rules, and
/// unless the last change has settled also what was written last and what was possible then. In lowest terms.
pub fn possible(route: &Observed, settled: bool) -> Vec<Weights> {
    let now = route.managed.iter().chain(&route.unmanaged).cloned();
    let earlier = route
        .moving
        .iter()
        .filter(|_| !settled)
        .flat_map(splits)
        .map(Split::weights);
    let all: BTreeSet<Weights> = now.chain(earlier).map(|weights| lowest_weights(&weights)).collect();
    let shares = |weights: &Weights| {
        let total: u64 = weights.by_service.values().map(|weight| u64::from(*weight)).sum();
        weights
            .by_service
            .iter()
            .map(|(service, weight)| (service.clone(), (u64::from(*weight), total)))
            .collect()
    };
    bounded(all.into_iter().collect(), shares)
}

/// The record to write together with the change to `to`. `observed` are the splits that the object has just before that write
/// (one for each managed rule); what else may be possible is carried on from the record before, unless it has `settled`.
pub fn next_moving(now: Timestamp, to: Split, previous: Option<&Moving>, observed: &[Split], settled: bool) -> Moving {
    let carried = previous.into_iter().filter(|_| !settled).flat_map(splits);
    let mut from = BTreeMap::new();
    for split in observed.iter().chain(carried) {
        // The first form of the same proportions stays: people read `95 of 100` better than `19 of 20`.
        from.entry(lowest_split(split)).or_insert_with(|| split.clone());
    }
    let shares = |split: &Split| {
        let total = u64::from(split.total);
        let services = split.weights().by_service.into_iter();
        let services = services.map(|(service, weight)| (Part::Service(service), (u64::from(weight), total)));
        let dests = split
            .parts
            .iter()
            .map(|(dest, part)| (Part::Dest(dest.clone()), (u64::from(*part), total)));
        services.chain(dests).collect()
    };
    Moving {
        at: now,
        to,
        from: bounded(from.into_values().collect(), shares),
        rest: None,
    }
}

/// The greatest share that each revision may be getting, in ten thousandths rounded up: for every possible split, the shares of
/// all Services that may select the revision. `selected` has, by Service, every revision that it may be selecting for some
/// proxy. A Service that is not in it selects the revision with the empty name.
pub fn greatest_shares(splits: &[Weights], selected: &BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, u32> {
    let nobody = BTreeSet::from([String::new()]);
    let mut greatest = BTreeMap::new();
    for split in splits {
        let total: u64 = split.by_service.values().map(|weight| u64::from(*weight)).sum();
        let mut weights: BTreeMap<&String, u64> = BTreeMap::new();
        for (service, weight) in &split.by_service {
            for revision in selected.get(service).unwrap_or(&nobody) {
                *weights.entry(revision).or_default() += u64::from(*weight);
            }
        }
        for (revision, weight) in weights {
            let share = if total == 0 {
                0
            } else {
                (weight * 10_000).div_ceil(total)
            };
            let share = u32::try_from(share).unwrap_or(10_000);
            let most: &mut u32 = greatest.entry(revision.clone()).or_default();
            *most = share.max(*most);
        }
    }
    greatest
}

/// The revisions that a Service may be selecting for some proxy: the one observed, and unless the last switch has settled also
/// those of its record. The empty name stands for a selector that names none.
pub fn possible_revisions(
    service: &str,
    observed: Option<&str>,
    moving: Option<&Moving>,
    settled: bool,
) -> BTreeSet<String> {
    let earlier = moving
        .into_iter()
        .filter(|_| !settled)
        .flat_map(splits)
        .flat_map(|split| split.parts.keys());
    let earlier = earlier
        .filter(|dest| dest.service == service)
        .map(|dest| dest.revision.clone());
    earlier.chain([observed.unwrap_or_default().to_owned()]).collect()
}

/// What a record says may be live.
fn splits(moving: &Moving) -> impl Iterator<Item = &Split> {
    moving.from.iter().chain([&moving.to])
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Service(String),
    Dest(Dest),
}

/// At most [`MAX_KEPT`], or as many as it takes that each part keeps its greatest share (a numerator and a denominator).
fn bounded<T, K: Ord>(all: Vec<T>, shares: impl Fn(&T) -> BTreeMap<K, (u64, u64)>) -> Vec<T> {
    if all.len() <= MAX_KEPT {
        return all;
    }
    let mut greatest: BTreeMap<K, ((u64, u64), usize)> = BTreeMap::new();
    for (index, item) in all.iter().enumerate() {
        for (part, share) in shares(item) {
            let most = greatest.entry(part).or_insert((share, index));
            if is_less(most.0, share) {
                *most = (share, index);
            }
        }
    }
    let kept: BTreeSet<usize> = greatest.into_values().map(|(_, index)| index).collect();
    all.into_iter()
        .enumerate()
        .filter(|(index, _)| kept.contains(index))
        .map(|(_, item)| item)
        .collect()
}

/// A part of nothing is less than any part of something, and not less than another part of nothing.
fn is_less(a: (u64, u64), b: (u64, u64)) -> bool {
    if a.1 == 0 || b.1 == 0 {
        a.1 == 0 && b.1 > 0
    } else {
        a.0 * b.1 < b.0 * a.1
    }
}

fn lowest_weights(weights: &Weights) -> Weights {
    let parts = || weights.by_service.iter().filter(|(_, weight)| **weight > 0);
    let common = parts().fold(0, |common, (_, weight)| gcd(common, u64::from(*weight)));
    Weights {
        by_service: parts()
            .map(|(service, weight)| (service.clone(), divided(*weight, common)))
            .collect(),
    }
}

fn lowest_split(split: &Split) -> Split {
    let parts = || split.parts.iter().filter(|(_, part)| **part > 0);
    let common = parts().fold(u64::from(split.total), |common, (_, part)| {
        gcd(common, u64::from(*part))
    });
    Split {
        total: divided(split.total, common),
        parts: parts()
            .map(|(dest, part)| (dest.clone(), divided(*part, common)))
            .collect(),
    }
}

fn divided(weight: u32, by: u64) -> u32 {
    u32::try_from(u64::from(weight) / by.max(1)).expect("a part of a u32 is a u32")
}
