//! The rules said in another way: all sizes are tried, and those that are allowed are compared.

use super::super::super::replicas::{Count, Limits, Sizes};

/// All pairs of new and stable pods that make `replicas`, or one more where a surge is allowed; of those that are allowed the
/// nearest to the weight.
pub fn desired(replicas: u32, weight: u32, surge: u32) -> Sizes {
    let totals = replicas..=replicas + u32::from(surge > 0);
    let mut allowed: Vec<(Sizes, u32)> = Vec::new();
    for total in totals {
        // Rounded up comes before rounded down.
        for new in (0..=total).rev() {
            let sizes = Sizes {
                new,
                stable: total - new,
            };
            if is_candidate(replicas, weight, surge, sizes) {
                allowed.push((sizes, total));
            }
        }
    }
    let off = |sizes: Sizes, total: u32| (f64::from(sizes.new) / f64::from(total) - f64::from(weight) / 100.0).abs();
    let mut best: Option<(Sizes, f64)> = None;
    for (sizes, total) in allowed {
        let off = off(sizes, total);
        if best.is_none_or(|(_, least)| off < least - 1e-9) {
            best = Some((sizes, off));
        }
    }
    match best {
        Some((sizes, _)) => sizes,
        None if replicas == 0 => Sizes::default(),
        // Rounded down; what is left is stable's.
        None => (0..=replicas)
            .rev()
            .find(|new| new * 100 <= replicas * weight)
            .map(|new| Sizes {
                new,
                stable: replicas - new,
            })
            .expect("0 is small enough"),
    }
}

fn is_candidate(replicas: u32, weight: u32, surge: u32, sizes: Sizes) -> bool {
    let Sizes { new, stable } = sizes;
    if replicas == 0 {
        return false;
    }
    let share = f64::from(replicas * weight) / 100.0;
    let distance = f64::from(new) - share;
    if distance.abs() >= 1.0 {
        return false;
    }
    let is_tie = (distance.abs() - 0.5).abs() < 1e-9;
    if distance < 0.0 && is_tie {
        return false;
    }
    let ends = weight == 0 || weight == 100;
    let lone = replicas == 1 && surge == 0;
    if !ends && !lone && (new == 0 || stable == 0) {
        return false;
    }
    // At the ends one side has everything and nothing is left over for a surge.
    !(ends && new + stable > replicas)
}

/// All pairs of sizes; of those that may be reached in one go the ones that are furthest on the way.
pub fn next(replicas: u32, limits: Limits, desired: Sizes, stable: Count, new: Count, older: u32) -> Sizes {
    let most = [stable.wanted, new.wanted, desired.stable, desired.new]
        .into_iter()
        .max()
        .unwrap_or(0);
    let before = stable.wanted + new.wanted + older;
    let stable_shrinks = desired.new >= new.wanted;
    let floor = replicas.saturating_sub(limits.unavailable);
    let may_be = |size: u32, count: Count, desired: u32, shrinks: bool, other: Count| {
        let (least, greatest) = (count.wanted.min(desired), count.wanted.max(desired));
        let on_the_way = (least..=greatest).contains(&size);
        let lost = count.wanted.saturating_sub(size);
        let only_idle = lost <= count.idle;
        let is_covered = shrinks && older == 0 && size + other.available >= floor;
        on_the_way && (only_idle || is_covered)
    };
    let mut found: Vec<Sizes> = Vec::new();
    for stable_size in 0..=most {
        for new_size in 0..=most {
            let grown = stable_size.saturating_sub(stable.wanted) + new_size.saturating_sub(new.wanted);
            let fits = grown == 0 || before + grown <= replicas + limits.surge;
            if fits
                && may_be(stable_size, stable, desired.stable, stable_shrinks, new)
                && may_be(new_size, new, desired.new, !stable_shrinks, stable)
            {
                found.push(Sizes {
                    stable: stable_size,
                    new: new_size,
                });
            }
        }
    }
    let left = |size: u32, desired: u32| size.abs_diff(desired);
    // Growing stable comes before growing the canary; what shrinks has nothing to do with either.
    found
        .into_iter()
        .min_by_key(|sizes| (left(sizes.stable, desired.stable), left(sizes.new, desired.new)))
        .expect("to stay as it is is always allowed")
}

/// All single changes of an older revision; of those that are allowed the one of the newest revision that takes most.
pub fn drain(replicas: u32, limits: Limits, stable: Count, new: Count, older: &[Count]) -> Option<(usize, u32)> {
    let available = |counts: &[Count]| counts.iter().map(|count| count.available).sum::<u32>();
    let floor = replicas.saturating_sub(limits.unavailable);
    let somebody_broken = older.iter().any(|count| count.available < count.wanted);
    let mut found = Vec::new();
    for (index, count) in older.iter().enumerate() {
        for size in 0..count.wanted {
            let mut after = older.to_vec();
            after[index].available = size.min(count.available);
            let total = available(&after) + stable.available + new.available;
            let is_allowed = if somebody_broken {
                size >= count.available
            } else {
                total >= floor
            };
            if is_allowed {
                found.push((index, size));
            }
        }
    }
    found.into_iter().min()
}

/// The fewest pods that carry a share of the traffic.
pub fn carrying(replicas: u32, percent: u32, least: u32) -> u32 {
    let enough = |count: &u32| count * 100 >= replicas * percent;
    let is_whole = |count: &u32| *count == 0 || *count >= least || *count == replicas;
    (0..=replicas)
        .find(|count| enough(count) && is_whole(count))
        .expect("all of them carry everything")
}
