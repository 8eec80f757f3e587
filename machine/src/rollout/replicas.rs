//! How many pods each revision gets. Pure arithmetic; every rule is from the Argo Rollouts API (sections 2.4 and 2.5 of its
//! replica maths, restated here), so that a team that changes its controller sees the same numbers.

use sluice_crds::{CanaryStrategy, IntOrString};

/// Limits on pods during an update without a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pods above `spec.replicas` that may exist.
    pub surge: u32,
    /// Pods below `spec.replicas` that may be unavailable.
    pub unavailable: u32,
}

/// One ReplicaSet in the arithmetic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// `spec.replicas`.
    pub wanted: u32,
    /// Available pods, at most `wanted`.
    pub available: u32,
    /// Pods that are known not to be available.
    pub idle: u32,
}

/// Sizes for stable and new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Pods of the stable revision.
    pub stable: u32,
    /// Pods of the new revision.
    pub new: u32,
}

/// Resolves an absolute number or a percentage of `replicas`. Anything unreadable counts as zero: `validate` refuses it.
pub fn resolve(value: &IntOrString, replicas: u32, round_up: bool) -> u32 {
    match value {
        IntOrString::Int(number) => u32::try_from(*number).unwrap_or(0),
        IntOrString::String(text) => {
            let percent: u64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let product = u64::from(replicas) * percent;
            let resolved = if round_up { product.div_ceil(100) } else { product / 100 };
            u32::try_from(resolved).unwrap_or(u32::MAX)
        }
    }
}

/// maxSurge (25 % by default, rounded up) and maxUnavailable (25 %, rounded down); where both come out as zero, one pod may
/// be unavailable, or nothing could ever move.
pub fn limits(surge: Option<&IntOrString>, unavailable: Option<&IntOrString>, replicas: u32) -> Limits {
    let quarter = IntOrString::String("25%".to_owned());
    let surge = resolve(surge.unwrap_or(&quarter), replicas, true);
    let unavailable = resolve(unavailable.unwrap_or(&quarter), replicas, false);
    Limits {
        surge,
        unavailable: if surge == 0 && unavailable == 0 {
            1
        } else {
            unavailable.min(replicas)
        },
    }
}

/// The limits of a canary.
pub fn canary_limits(canary: &CanaryStrategy, replicas: u32) -> Limits {
    limits(canary.max_surge.as_ref(), canary.max_unavailable.as_ref(), replicas)
}

/// Pods that carry `weight` parts of `total` of the traffic when `replicas` carry all of it: rounded up.
pub fn carrying(replicas: u32, weight: u32, total: u32) -> u32 {
    let pods = (u64::from(replicas) * u64::from(weight)).div_ceil(u64::from(total.max(1)));
    u32::try_from(pods).unwrap_or(u32::MAX)
}

/// Pods that must be there before a revision gets `weight` parts of `total`: of those for this share as many may be missing, in
/// proportion, as of all.
pub fn present(replicas: u32, unavailable: u32, weight: u32, total: u32) -> u32 {
    let present = u64::from(replicas.saturating_sub(unavailable));
    let needed = (u64::from(carrying(replicas, weight, total)) * present).div_ceil(u64::from(replicas.max(1)));
    u32::try_from(needed).unwrap_or(u32::MAX)
}

/// How many of `size` pods must be available for a step to be done: all, or `replicaProgressThreshold` of them.
pub fn enough(canary: &CanaryStrategy, size: u32) -> u32 {
    let Some(threshold) = &canary.replica_progress_threshold else {
        return size;
    };
    let value = u32::try_from(threshold.value).unwrap_or(0);
    let wanted = if threshold.type_ == "Pods" {
        value
    } else {
        carrying(size, value, 100)
    };
    wanted.min(size)
}

/// Pods of the canary with a router: its share of the replicas, rounded up, at least `min_pods` (which is capped at
/// `replicas`); zero stays zero.
pub fn canary_with_router(replicas: u32, weight: u32, total: u32, min_pods: u32) -> u32 {
    match carrying(replicas, weight, total) {
        0 => 0,
        count => count.max(min_pods.min(replicas)),
    }
}

/// Pods of stable with a router, where they follow the weight: those for what the canary leaves of the traffic.
pub fn stable_with_router(replicas: u32, canary_weight: u32, total: u32, min_pods: u32) -> u32 {
    canary_with_router(replicas, total.saturating_sub(canary_weight), total, min_pods)
}

/// The sizes that come nearest to `weight_percent` without a router, where traffic follows the number of pods.
///
/// Candidates are the rounded up and the rounded down number of canary pods, of `replicas` pods in all or, where a surge is
/// allowed, of one more. A candidate that would leave one side without any pod is only taken for 0 % and 100 %, or where
/// there is one pod and no surge. The nearest wins, and the first of equals. Where none is left (90 % of 5 pods lies between
/// 4 and 5, and 5 would leave stable none) it is rounded down: both sides keep a pod.
pub fn basic_desired(replicas: u32, weight_percent: u32, surge: u32) -> Sizes {
    if replicas == 0 {
        return Sizes::default();
    }
    let product = u64::from(replicas) * u64::from(weight_percent);
    let (ceil, floor) = (product.div_ceil(100), product / 100);
    let tied = product % 100 == 50;
    let zero_allowed = weight_percent == 0 || weight_percent >= 100 || (replicas == 1 && surge == 0);
    let spec = u64::from(replicas);
    let floor_allowed = !tied && (floor != 0 || zero_allowed);
    let mut candidates = Vec::with_capacity(4);
    if ceil < spec || zero_allowed {
        candidates.push((ceil, spec));
    }
    if floor_allowed {
        candidates.push((floor, spec));
    }
    if surge > 0 {
        candidates.push((ceil, spec + 1));
        if floor_allowed {
            candidates.push((floor, spec + 1));
        }
    }
    // Distance |canary / total - weight / 100|, compared as fractions over a common denominator.
    let distance = |(canary, total): (u64, u64)| {
        let difference = (canary * 100).abs_diff(u64::from(weight_percent) * total);
        difference * (spec * (spec + 1)) / total
    };
    let nearest = candidates
        .iter()
        .copied()
        .reduce(|best, next| if distance(next) < distance(best) { next } else { best });
    let (canary, total) = nearest.unwrap_or((floor, spec));
    let total = if weight_percent == 0 || weight_percent >= 100 {
        spec
    } else {
        total
    };
    let new = canary.min(total);
    Sizes {
        new: u32::try_from(new).unwrap_or(u32::MAX),
        stable: u32::try_from(total - new).unwrap_or(u32::MAX),
    }
}

/// The next sizes on the way to `desired` without a router: as far as surge and availability allow at this moment.
///
/// - Up: never more than `replicas + surge` pods wanted in all; stable first.
/// - Pods that are not available carry nothing: beyond what is desired they go at once, and make room.
/// - While older revisions still have pods, nothing else is scaled down here: they are drained first.
/// - Down: only the side that is to shrink, and only so far that the pods left on it and the available pods of the other
///   side are together at least `replicas - unavailable`.
pub fn basic_next(
    replicas: u32,
    limits: Limits,
    desired: Sizes,
    stable: Count,
    new: Count,
    older_wanted: u32,
) -> Sizes {
    let mut next = Sizes {
        stable: stable.wanted,
        new: new.wanted,
    };
    let total = stable.wanted.saturating_add(new.wanted).saturating_add(older_wanted);
    let mut budget = replicas.saturating_add(limits.surge).saturating_sub(total);
    for (size, wanted) in [(&mut next.stable, desired.stable), (&mut next.new, desired.new)] {
        let up = wanted.saturating_sub(*size).min(budget);
        *size += up;
        budget -= up;
    }
    for (size, to, count) in [
        (&mut next.stable, desired.stable, stable),
        (&mut next.new, desired.new, new),
    ] {
        if to < count.wanted {
            *size = to.max(count.wanted - count.idle);
        }
    }
    if older_wanted > 0 {
        return next;
    }
    let floor = replicas.saturating_sub(limits.unavailable);
    let (shrinking, shrinking_to, other_available) = if desired.new >= new.wanted {
        (&mut next.stable, desired.stable, new.available)
    } else {
        (&mut next.new, desired.new, stable.available)
    };
    if *shrinking > shrinking_to {
        let needed = floor.saturating_sub(other_available);
        *shrinking = (*shrinking).min(shrinking_to.max(needed));
    }
    next
}

/// How far the pods of older revisions may go down without a router: `(index, new size)` of the first one that changes.
/// `older` is in the order newest revision first. Pods that are not available go first; they carry nothing.
pub fn drain_older(replicas: u32, limits: Limits, stable: Count, new: Count, older: &[Count]) -> Option<(usize, u32)> {
    if let Some(index) = older.iter().position(|count| count.wanted > count.available) {
        return Some((index, older[index].available));
    }
    let available = older.iter().map(|count| count.available).sum::<u32>() + stable.available + new.available;
    let spare = available.saturating_sub(replicas.saturating_sub(limits.unavailable));
    let index = older.iter().position(|count| count.wanted > 0)?;
    let size = older[index].wanted.saturating_sub(spare);
    (spare > 0).then_some((index, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_of_surge_round_up_and_of_unavailable_down() {
        let percent = |text: &str| IntOrString::String(text.to_owned());
        for (value, replicas, up, down) in [("25%", 2, 1, 0), ("25%", 10, 3, 2), ("0%", 10, 0, 0), ("100%", 3, 3, 3)] {
            assert_eq!(resolve(&percent(value), replicas, true), up, "{value} of {replicas}");
            assert_eq!(resolve(&percent(value), replicas, false), down, "{value} of {replicas}");
        }
        assert_eq!(
            limits(None, None, 1),
            Limits {
                surge: 1,
                unavailable: 0
            }
        );
        let zero = IntOrString::Int(0);
        assert_eq!(
            limits(Some(&zero), Some(&zero), 4),
            Limits {
                surge: 0,
                unavailable: 1
            }
        );
        assert_eq!(
            limits(Some(&zero), Some(&percent("10%")), 4),
            Limits {
                surge: 0,
                unavailable: 1
            }
        );
    }

    #[test]
    fn a_canary_with_a_router_gets_its_share_rounded_up() {
        for (replicas, weight, min_pods, expected) in [
            (10, 0, 1, 0),
            (10, 1, 1, 1),
            (10, 25, 1, 3),
            (10, 50, 1, 5),
            (10, 100, 1, 10),
            (4, 5, 2, 2),
            (4, 5, 9, 4),
            (4, 0, 2, 0),
            (0, 50, 1, 0),
        ] {
            assert_eq!(
                canary_with_router(replicas, weight, 100, min_pods),
                expected,
                "{replicas} at {weight} %"
            );
        }
    }

    /// Each row by hand from the rule in the documentation of `basic_desired`.
    #[test]
    fn sizes_without_a_router_come_nearest_to_the_weight() {
        for (replicas, weight, surge, new, stable) in [
            (10, 0, 1, 0, 10),
            (10, 100, 1, 10, 0),
            (10, 10, 0, 1, 9),
            (10, 50, 0, 5, 5),
            (2, 50, 1, 1, 1),
            // One pod of 1 would leave none for stable: with a surge, 1 of 2.
            (1, 10, 1, 1, 1),
            (1, 50, 1, 1, 1),
            // One pod and no surge: all or nothing, and the nearer one wins.
            (1, 10, 0, 0, 1),
            (1, 90, 0, 1, 0),
            // 10 % of 3 = 0.3: none is not allowed; 1 of 4 (25 %) is nearer than 1 of 3.
            (3, 10, 1, 1, 3),
            (3, 10, 0, 1, 2),
            // 5 % of 4: 1 of 5 is 20 %, 1 of 4 is 25 %.
            (4, 5, 1, 1, 4),
            // 95 % of 4 = 3.8: 4 of 4 is not allowed; of 3 of 4 (75 %) and 4 of 5 (80 %) the latter is nearer.
            (4, 95, 1, 4, 1),
            (4, 95, 0, 3, 1),
            (0, 50, 1, 0, 0),
        ] {
            let sizes = basic_desired(replicas, weight, surge);
            assert_eq!(
                (sizes.new, sizes.stable),
                (new, stable),
                "{replicas} pods at {weight} %, surge {surge}"
            );
        }
    }

    fn count(wanted: u32, available: u32) -> Count {
        Count {
            wanted,
            available,
            idle: wanted - available,
        }
    }

    #[test]
    fn sizes_move_only_as_far_as_surge_and_availability_allow() {
        let limits = |surge, unavailable| Limits { surge, unavailable };
        // (replicas, limits, desired (stable, new), stable, new, older) -> (stable, new)
        for (replicas, limits, desired, stable, new, older, expected) in [
            // The surge lets the canary start before stable shrinks.
            (2, limits(1, 0), (1, 1), count(2, 2), count(0, 0), 0, (2, 1)),
            (2, limits(1, 0), (1, 1), count(2, 2), count(1, 0), 0, (2, 1)),
            (2, limits(1, 0), (1, 1), count(2, 2), count(1, 1), 0, (1, 1)),
            // Without a surge stable shrinks first, by what may be unavailable.
            (4, limits(0, 1), (2, 2), count(4, 4), count(0, 0), 0, (3, 0)),
            (4, limits(0, 1), (2, 2), count(3, 3), count(0, 0), 0, (3, 1)),
            (4, limits(0, 1), (2, 2), count(3, 3), count(1, 1), 0, (2, 1)),
            // Back to stable: the canary shrinks only as stable becomes available.
            (4, limits(1, 0), (4, 0), count(2, 2), count(2, 2), 0, (3, 2)),
            (4, limits(1, 0), (4, 0), count(3, 3), count(2, 2), 0, (3, 1)),
            (4, limits(1, 0), (4, 0), count(4, 3), count(1, 1), 0, (4, 1)),
            (4, limits(1, 0), (4, 0), count(4, 4), count(1, 1), 0, (4, 0)),
            // Older revisions are drained before anything else shrinks.
            (4, limits(1, 0), (2, 2), count(4, 4), count(0, 0), 1, (4, 0)),
            // Without a surge a new pod that never starts takes the room of a stable one: it goes even before older ones.
            (7, limits(0, 1), (7, 0), count(4, 4), count(1, 0), 2, (4, 0)),
            (7, limits(0, 1), (7, 0), count(4, 4), count(0, 0), 2, (5, 0)),
            // spec.replicas was lowered.
            (2, limits(1, 0), (2, 0), count(4, 4), count(0, 0), 0, (2, 0)),
            (0, limits(0, 1), (0, 0), count(4, 4), count(2, 2), 0, (4, 0)),
        ] {
            let desired_sizes = Sizes {
                stable: desired.0,
                new: desired.1,
            };
            let next = basic_next(replicas, limits, desired_sizes, stable, new, older);
            assert_eq!(
                (next.stable, next.new),
                expected,
                "{replicas} {limits:?} to {desired:?} from {stable:?} {new:?} {older}"
            );
        }
    }

    #[test]
    fn older_revisions_lose_unavailable_pods_first_and_then_what_is_spare() {
        let limits = Limits {
            surge: 1,
            unavailable: 1,
        };
        assert_eq!(
            drain_older(4, limits, count(4, 4), count(0, 0), &[count(2, 1)]),
            Some((0, 1))
        );
        assert_eq!(
            drain_older(4, limits, count(4, 2), count(0, 0), &[count(2, 2)]),
            Some((0, 1))
        );
        assert_eq!(drain_older(4, limits, count(4, 1), count(0, 0), &[count(2, 2)]), None);
        assert_eq!(
            drain_older(4, limits, count(4, 4), count(0, 0), &[count(0, 0), count(2, 2)]),
            Some((1, 0))
        );
        assert_eq!(drain_older(4, limits, count(4, 4), count(0, 0), &[count(0, 0)]), None);
    }
}
