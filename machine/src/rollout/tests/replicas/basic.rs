//! Without a router: the traffic follows the number of pods.

use super::super::super::replicas::{Count, Limits, Sizes, basic_desired, basic_next, drain_older};
use super::{brute, limited, seen, unseen};

/// (rule, (replicas, weight, surge)) -> (new, stable)
type Desired = (&'static str, (u32, u32, u32), (u32, u32));

#[rustfmt::skip]
const DESIRED: &[Desired] = &[
    ("none", (0, 50, 1), (0, 0)),
    ("none", (0, 100, 0), (0, 0)),
    ("ends", (1, 0, 0), (0, 1)),
    ("ends", (1, 0, 1), (0, 1)),
    ("ends", (5, 0, 2), (0, 5)),
    ("ends", (12, 0, 4), (0, 12)),
    ("ends", (1, 100, 0), (1, 0)),
    ("ends", (1, 100, 1), (1, 0)),
    ("ends", (5, 100, 0), (5, 0)),
    ("ends", (5, 100, 3), (5, 0)),
    ("ends", (12, 100, 4), (12, 0)),
    // One pod: without a surge the nearer end, 50 % is a tie and rounds up; with one there is a pod for each.
    ("lone", (1, 1, 0), (0, 1)),
    ("lone", (1, 49, 0), (0, 1)),
    ("lone tie", (1, 50, 0), (1, 0)),
    ("lone", (1, 51, 0), (1, 0)),
    ("lone", (1, 99, 0), (1, 0)),
    ("both surge", (1, 1, 1), (1, 1)),
    ("both surge", (1, 50, 1), (1, 1)),
    ("both surge", (1, 99, 1), (1, 1)),
    ("both surge", (1, 33, 4), (1, 1)),
    // Two pods without a surge are one and one from 1 % to 99 %; with one, 1 of 3 and 2 of 3 are possible.
    ("both", (2, 1, 0), (1, 1)),
    ("tie", (2, 25, 0), (1, 1)),
    ("nearest", (2, 50, 0), (1, 1)),
    ("both", (2, 51, 0), (1, 1)),
    ("left", (2, 75, 0), (1, 1)),
    ("both", (2, 99, 0), (1, 1)),
    ("nearest", (2, 1, 1), (1, 2)),
    ("nearest", (2, 25, 1), (1, 2)),
    ("nearest", (2, 40, 1), (1, 2)),
    ("nearest", (2, 42, 1), (1, 1)),
    ("nearest", (2, 50, 1), (1, 1)),
    ("nearest", (2, 58, 1), (1, 1)),
    ("nearest", (2, 60, 1), (2, 1)),
    ("tie surge", (2, 75, 1), (2, 1)),
    ("nearest", (2, 99, 1), (2, 1)),
    // Three pods: 33 %, 67 %; with a surge also 25 %, 50 % and 75 %.
    ("both", (3, 10, 0), (1, 2)),
    ("nearest", (3, 33, 0), (1, 2)),
    ("nearest", (3, 34, 0), (1, 2)),
    ("nearest", (3, 49, 0), (1, 2)),
    ("tie", (3, 50, 0), (2, 1)),
    ("nearest", (3, 51, 0), (2, 1)),
    ("nearest", (3, 66, 0), (2, 1)),
    ("down", (3, 67, 0), (2, 1)),
    ("down", (3, 90, 0), (2, 1)),
    ("surge", (3, 10, 1), (1, 3)),
    ("surge", (3, 25, 1), (1, 3)),
    ("nearest", (3, 29, 1), (1, 3)),
    ("nearest", (3, 30, 1), (1, 2)),
    ("surge", (3, 50, 1), (2, 2)),
    ("nearest", (3, 60, 1), (2, 1)),
    ("surge", (3, 75, 1), (3, 1)),
    ("surge", (3, 95, 1), (3, 1)),
    // Four pods.
    ("both", (4, 5, 0), (1, 3)),
    ("nearest", (4, 25, 0), (1, 3)),
    ("nearest", (4, 30, 0), (1, 3)),
    ("nearest", (4, 37, 0), (1, 3)),
    ("nearest", (4, 38, 0), (2, 2)),
    ("nearest", (4, 62, 0), (2, 2)),
    ("nearest", (4, 63, 0), (3, 1)),
    ("both", (4, 95, 0), (3, 1)),
    ("surge", (4, 5, 2), (1, 4)),
    ("surge", (4, 20, 2), (1, 4)),
    ("nearest", (4, 22, 2), (1, 4)),
    ("nearest", (4, 23, 2), (1, 3)),
    ("surge", (4, 40, 2), (2, 3)),
    ("first", (4, 45, 2), (2, 2)),
    ("surge", (4, 60, 2), (3, 2)),
    ("nearest", (4, 77, 2), (3, 1)),
    ("surge", (4, 80, 2), (4, 1)),
    // Five pods: 10, 30, 50, 70 and 90 % are ties.
    ("tie", (5, 10, 0), (1, 4)),
    ("nearest", (5, 25, 0), (1, 4)),
    ("tie", (5, 30, 0), (2, 3)),
    ("tie", (5, 50, 0), (3, 2)),
    ("tie", (5, 70, 0), (4, 1)),
    ("left", (5, 90, 0), (4, 1)),
    ("surge", (5, 10, 1), (1, 5)),
    ("surge", (5, 50, 1), (3, 3)),
    ("surge", (5, 70, 1), (4, 2)),
    ("surge", (5, 90, 1), (5, 1)),
    // Ten pods.
    ("both", (10, 1, 0), (1, 9)),
    ("tie", (10, 5, 0), (1, 9)),
    ("nearest", (10, 33, 0), (3, 7)),
    ("left", (10, 95, 0), (9, 1)),
    ("both", (10, 99, 0), (9, 1)),
    ("surge", (10, 1, 3), (1, 10)),
    ("nearest", (10, 33, 3), (3, 7)),
    ("surge", (10, 36, 3), (4, 7)),
    ("surge", (10, 95, 3), (10, 1)),
    ("surge", (10, 99, 3), (10, 1)),
    ("nearest", (12, 50, 0), (6, 6)),
];

#[test]
fn each_row_of_sizes_for_a_weight() {
    for (rule, (replicas, weight, surge), (new, stable)) in DESIRED.iter().copied() {
        let row = format!("{rule}: {replicas} pods at {weight} %, surge {surge}");
        let expected = Sizes { stable, new };
        assert_eq!(basic_desired(replicas, weight, surge), expected, "{row}");
        assert_eq!(
            brute::desired(replicas, weight, surge),
            expected,
            "by brute force, {row}"
        );
    }
}

#[test]
fn sizes_for_a_weight_are_those_of_brute_force_everywhere() {
    for replicas in 0..=12 {
        for weight in 0..=100 {
            for surge in 0..=4 {
                let sizes = basic_desired(replicas, weight, surge);
                let row = format!("{replicas} pods at {weight} %, surge {surge}");
                assert_eq!(sizes, brute::desired(replicas, weight, surge), "{row}");
                let keeps_both = replicas > 1 && (1..100).contains(&weight);
                assert!(!keeps_both || sizes.new > 0 && sizes.stable > 0, "{row}: {sizes:?}");
                let total = sizes.new + sizes.stable;
                assert!(
                    total == replicas || surge > 0 && total == replicas + 1,
                    "{row}: {sizes:?}"
                );
            }
        }
    }
}

/// (rule, (replicas, surge, unavailable), desired (stable, new), stable, new, pods of older ones) -> (stable, new)
type Next = (&'static str, (u32, i32, i32), (u32, u32), Count, Count, u32, (u32, u32));

#[rustfmt::skip]
fn next_rows() -> Vec<Next> {
    vec![
        // A canary to 50 % of 4 with one pod more, and back.
        ("budget", (4, 1, 0), (2, 2), seen(4, 4), seen(0, 0), 0, (4, 1)),
        ("floor", (4, 1, 0), (2, 2), seen(4, 4), seen(1, 0), 0, (4, 1)),
        ("floor", (4, 1, 0), (2, 2), seen(4, 4), seen(1, 1), 0, (3, 1)),
        ("budget", (4, 1, 0), (2, 2), seen(3, 3), seen(1, 1), 0, (3, 2)),
        ("floor", (4, 1, 0), (2, 2), seen(3, 3), seen(2, 2), 0, (2, 2)),
        ("goal", (4, 1, 0), (2, 2), seen(2, 2), seen(2, 2), 0, (2, 2)),
        ("side", (4, 1, 0), (4, 0), seen(2, 2), seen(2, 2), 0, (3, 2)),
        ("side floor", (4, 1, 0), (4, 0), seen(3, 3), seen(2, 2), 0, (3, 1)),
        ("side", (4, 1, 0), (4, 0), seen(4, 4), seen(1, 1), 0, (4, 0)),
        ("floor", (4, 1, 0), (4, 0), seen(4, 3), seen(1, 1), 0, (4, 1)),
        ("floor", (4, 1, 1), (4, 0), seen(4, 3), seen(1, 1), 0, (4, 0)),
        // As many pods more as there are, and as many unavailable.
        ("goal", (4, 4, 0), (2, 2), seen(4, 4), seen(0, 0), 0, (4, 2)),
        ("goal", (4, 4, 0), (0, 4), seen(4, 4), seen(0, 0), 0, (4, 4)),
        ("floor", (4, 4, 4), (0, 4), seen(4, 4), seen(0, 0), 0, (0, 4)),
        ("floor", (3, 0, 3), (1, 2), seen(3, 3), seen(0, 0), 0, (1, 0)),
        ("goal", (3, 3, 0), (1, 2), seen(3, 3), seen(0, 0), 0, (3, 2)),
        ("floor", (3, 3, 0), (1, 2), seen(3, 3), seen(2, 1), 0, (2, 2)),
        ("floor", (3, 3, 0), (1, 2), seen(3, 3), seen(2, 2), 0, (1, 2)),
        // Without a surge stable shrinks first, by what may be unavailable.
        ("floor", (4, 0, 1), (3, 1), seen(4, 4), seen(0, 0), 0, (3, 0)),
        ("budget", (4, 0, 1), (3, 1), seen(3, 3), seen(0, 0), 0, (3, 1)),
        ("floor", (4, 0, 2), (2, 2), seen(4, 4), seen(0, 0), 0, (2, 0)),
        ("budget", (4, 0, 2), (2, 2), seen(2, 2), seen(0, 0), 0, (2, 2)),
        ("floor", (5, 0, 1), (3, 2), seen(5, 5), seen(0, 0), 0, (4, 0)),
        ("both zero: 1", (4, 0, 0), (2, 2), seen(4, 4), seen(0, 0), 0, (3, 0)),
        // Ten pods, two more, two fewer.
        ("budget floor", (10, 2, 2), (5, 5), seen(10, 10), seen(0, 0), 0, (8, 2)),
        ("budget floor", (10, 2, 2), (5, 5), seen(8, 8), seen(2, 2), 0, (6, 4)),
        ("goal", (10, 2, 2), (5, 5), seen(6, 6), seen(4, 4), 0, (5, 5)),
        ("floor", (10, 2, 2), (5, 5), seen(10, 10), seen(2, 0), 0, (8, 2)),
        // Pods that never became available.
        ("idle", (4, 1, 0), (4, 0), seen(4, 4), seen(1, 0), 0, (4, 0)),
        ("idle side", (4, 1, 0), (4, 0), seen(4, 4), seen(3, 1), 0, (4, 0)),
        ("idle", (4, 1, 0), (4, 0), seen(2, 2), seen(3, 1), 0, (2, 1)),
        ("budget floor", (4, 1, 0), (4, 0), seen(2, 2), seen(1, 1), 0, (4, 1)),
        ("idle", (4, 1, 0), (2, 2), seen(4, 2), seen(1, 1), 0, (2, 1)),
        ("idle goal", (4, 1, 0), (2, 2), seen(4, 1), seen(1, 1), 0, (2, 1)),
        ("idle goal", (4, 1, 0), (2, 2), seen(2, 0), seen(2, 2), 0, (2, 2)),
        // Older revisions.
        ("older", (4, 1, 0), (2, 2), seen(4, 4), seen(0, 0), 1, (4, 0)),
        ("older", (4, 2, 0), (2, 2), seen(4, 4), seen(1, 1), 1, (4, 1)),
        ("older idle", (7, 0, 1), (7, 0), seen(4, 4), seen(1, 0), 2, (4, 0)),
        ("older budget", (4, 2, 0), (2, 2), seen(2, 2), seen(0, 0), 2, (2, 2)),
        ("older stable", (4, 1, 0), (4, 0), seen(1, 1), seen(2, 2), 1, (2, 2)),
        // Stable grows first.
        ("stable", (6, 1, 0), (4, 2), seen(2, 2), seen(0, 0), 0, (4, 2)),
        ("stable", (6, 1, 0), (6, 2), seen(3, 3), seen(1, 1), 0, (6, 1)),
        ("stable side", (6, 0, 1), (5, 1), seen(3, 3), seen(2, 2), 0, (4, 2)),
        // spec.replicas changed.
        ("side", (2, 1, 0), (2, 0), seen(4, 4), seen(2, 2), 0, (4, 0)),
        ("side", (2, 1, 0), (2, 0), seen(4, 4), seen(0, 0), 0, (2, 0)),
        ("side", (0, 0, 1), (0, 0), seen(4, 4), seen(2, 2), 0, (4, 0)),
        ("floor", (0, 0, 1), (0, 0), seen(4, 4), seen(0, 0), 0, (0, 0)),
        ("goal", (6, 1, 1), (3, 3), seen(2, 2), seen(2, 2), 0, (3, 3)),
        ("budget", (6, 0, 1), (3, 3), seen(2, 2), seen(2, 2), 0, (3, 3)),
        ("side floor", (3, 1, 0), (0, 3), seen(0, 0), seen(5, 5), 0, (0, 3)),
        // Counts of an earlier size.
        ("unseen", (4, 1, 0), (2, 2), seen(4, 4), unseen(2), 0, (4, 2)),
        ("unseen", (4, 1, 0), (4, 0), unseen(4), seen(2, 2), 0, (4, 2)),
        ("unseen", (4, 1, 0), (4, 0), seen(3, 3), unseen(2), 0, (3, 1)),
        // The first version, and the last steps.
        ("goal", (3, 1, 0), (0, 3), seen(0, 0), seen(0, 0), 0, (0, 3)),
        ("budget floor", (4, 1, 1), (0, 4), seen(2, 2), seen(2, 2), 0, (1, 3)),
        ("goal floor", (4, 1, 1), (0, 4), seen(1, 1), seen(3, 3), 0, (0, 4)),
        ("floor", (4, 1, 1), (0, 4), seen(1, 1), seen(3, 1), 0, (1, 4)),
    ]
}

#[test]
fn each_row_of_the_next_sizes() {
    for (rule, (replicas, surge, unavailable), desired, stable, new, older, expected) in next_rows() {
        let row = format!("{rule}: {replicas} +{surge} -{unavailable} to {desired:?}, {stable:?} {new:?} {older}");
        let sizes = |(stable, new)| Sizes { stable, new };
        let limits = limited(replicas, surge, unavailable);
        let next = basic_next(replicas, limits, sizes(desired), stable, new, older);
        assert_eq!(next, sizes(expected), "{row}");
        let brute = brute::next(replicas, limits, sizes(desired), stable, new, older);
        assert_eq!(brute, sizes(expected), "by brute force, {row}");
    }
}

/// (rule, (replicas, unavailable), stable, new, older ones, newest first) -> which of them changes, and to which size
type Drain = (&'static str, (u32, i32), Count, Count, Vec<Count>, Option<(usize, u32)>);

#[rustfmt::skip]
fn drain_rows() -> Vec<Drain> {
    vec![
        ("broken", (4, 0), seen(4, 4), seen(0, 0), vec![seen(2, 1)], Some((0, 1))),
        ("broken", (4, 0), seen(0, 0), seen(0, 0), vec![seen(2, 0)], Some((0, 0))),
        ("broken", (4, 0), seen(1, 1), seen(1, 1), vec![seen(2, 2), seen(3, 0)], Some((1, 0))),
        ("broken", (4, 1), seen(4, 4), seen(0, 0), vec![seen(3, 2), seen(3, 1)], Some((0, 2))),
        ("spare", (4, 0), seen(4, 4), seen(0, 0), vec![seen(2, 2)], Some((0, 0))),
        ("spare", (4, 0), seen(3, 3), seen(0, 0), vec![seen(2, 2)], Some((0, 1))),
        ("spare", (4, 0), seen(2, 2), seen(0, 0), vec![seen(2, 2)], None),
        ("spare", (4, 1), seen(2, 2), seen(0, 0), vec![seen(2, 2)], Some((0, 1))),
        ("spare", (4, 0), seen(2, 2), seen(1, 1), vec![seen(2, 2)], Some((0, 1))),
        ("spare", (4, 0), seen(4, 1), seen(0, 0), vec![seen(2, 2)], None),
        ("spare", (4, 4), seen(0, 0), seen(0, 0), vec![seen(4, 4)], Some((0, 0))),
        ("spare", (10, 2), seen(5, 5), seen(3, 3), vec![seen(4, 4)], Some((0, 0))),
        ("spare", (10, 2), seen(3, 3), seen(3, 3), vec![seen(4, 4)], Some((0, 2))),
        ("spare", (0, 0), seen(0, 0), seen(0, 0), vec![seen(2, 2)], Some((0, 0))),
        ("newest first", (4, 0), seen(4, 4), seen(0, 0), vec![seen(1, 1), seen(2, 2)], Some((0, 0))),
        ("newest first", (4, 0), seen(4, 4), seen(0, 0), vec![seen(0, 0), seen(2, 2)], Some((1, 0))),
        ("unseen", (4, 0), unseen(4), seen(0, 0), vec![seen(2, 2)], None),
        ("unseen", (4, 0), unseen(4), seen(3, 3), vec![seen(2, 2)], Some((0, 1))),
        ("nobody", (4, 0), seen(4, 4), seen(0, 0), vec![seen(0, 0), seen(0, 0)], None),
        ("nobody", (4, 0), seen(4, 4), seen(0, 0), vec![], None),
    ]
}

#[test]
fn each_row_of_draining_older_revisions() {
    for (rule, (replicas, unavailable), stable, new, older, expected) in drain_rows() {
        let row = format!("{rule}: {replicas} -{unavailable}, {stable:?} {new:?} {older:?}");
        // A surge of 1, so that 0 may be unavailable.
        let limits = limited(replicas, 1, unavailable);
        let drained = drain_older(replicas, limits, stable, new, &older);
        assert_eq!(drained, expected, "{row}");
        let brute = brute::drain(replicas, limits, stable, new, &older);
        assert_eq!(brute, expected, "by brute force, {row}");
    }
}

#[test]
fn draining_is_that_of_brute_force_everywhere() {
    let counts = || (0..=3).flat_map(|wanted| (0..=wanted).map(move |available| seen(wanted, available)));
    for replicas in 0..=4 {
        for unavailable in 0..=2 {
            let limits = limited(replicas, 1, unavailable);
            for stable in counts() {
                for (first, second) in counts().flat_map(|first| counts().map(move |second| (first, second))) {
                    let older = [first, second];
                    let drained = drain_older(replicas, limits, stable, Count::default(), &older);
                    let brute = brute::drain(replicas, limits, stable, Count::default(), &older);
                    assert_eq!(drained, brute, "{replicas} {limits:?} {stable:?} {older:?}");
                }
            }
        }
    }
}

/// Walks from one pair of sizes to another. New pods become available `lag` rounds late.
fn walk(replicas: u32, limits: Limits, from: Sizes, to: Sizes, lag: bool) {
    let (mut wanted, mut available) = (from, from);
    for _ in 0..200 {
        let (stable, new) = (seen(wanted.stable, available.stable), seen(wanted.new, available.new));
        let next = basic_next(replicas, limits, to, stable, new, 0);
        let row = format!("{replicas} {limits:?} from {from:?} to {to:?} at {stable:?} {new:?}");
        assert_eq!(next, brute::next(replicas, limits, to, stable, new, 0), "{row}");
        let most = (replicas + limits.surge).max(from.new + from.stable);
        assert!(next.new + next.stable <= most, "{row}: {next:?} is more than the surge");
        let left = next.new.min(available.new) + next.stable.min(available.stable);
        let before = available.new + available.stable;
        let floor = replicas.saturating_sub(limits.unavailable);
        assert!(left >= floor.min(before), "{row}: {next:?} leaves {left} of {floor}");
        if next == wanted && available == wanted {
            assert_eq!(next, to, "{row}: it comes to rest");
            return;
        }
        available = if lag {
            Sizes {
                new: next.new.min(wanted.new),
                stable: next.stable.min(wanted.stable),
            }
        } else {
            next
        };
        wanted = next;
    }
    panic!("{replicas} {limits:?} from {from:?} to {to:?} never arrives");
}

#[test]
fn every_way_to_a_weight_and_back_arrives_within_the_limits_as_brute_force_does() {
    for replicas in 0..=12 {
        for (surge, unavailable) in (0..=4).flat_map(|surge| (0..=4).map(move |unavailable| (surge, unavailable))) {
            let limits = limited(replicas, surge, unavailable);
            let goals = (0..=100).map(|weight| basic_desired(replicas, weight, limits.surge));
            let mut goals: Vec<Sizes> = goals.collect();
            goals.dedup();
            let all_stable = Sizes {
                stable: replicas,
                new: 0,
            };
            for goal in goals {
                for lag in [false, true] {
                    walk(replicas, limits, all_stable, goal, lag);
                    walk(replicas, limits, goal, all_stable, lag);
                }
            }
        }
    }
}

#[test]
fn the_next_sizes_are_those_of_brute_force_from_anywhere() {
    for replicas in 0..=5 {
        let counts =
            || (0..=replicas + 1).flat_map(|wanted| [0, wanted / 2, wanted].map(|available| seen(wanted, available)));
        for (surge, unavailable) in [(0, 1), (1, 0), (1, 1), (2, 0), (0, 2), (4, 4)] {
            let limits = limited(replicas, surge, unavailable);
            for weight in [0, 10, 25, 50, 75, 90, 100] {
                let desired = basic_desired(replicas, weight, limits.surge);
                for (stable, new) in counts().flat_map(|stable| counts().map(move |new| (stable, new))) {
                    for older in [0, 1] {
                        let next = basic_next(replicas, limits, desired, stable, new, older);
                        let brute = brute::next(replicas, limits, desired, stable, new, older);
                        assert_eq!(
                            next, brute,
                            "{replicas} {limits:?} to {desired:?}: {stable:?} {new:?} {older}"
                        );
                    }
                }
            }
        }
    }
}
