//! The replica maths, row by row and against brute force.
//!
//! Each row names the rule that decides it. The values were worked out by hand from the rules; `brute` finds them a second
//! time, by trying all sizes and taking those that the rules, said in another way, allow.
//!
//! Without a router, the sizes for a weight (`basic_desired`):
//!
//! - `none`: no replicas, no pods.
//! - `ends`: at 0 % and at 100 % one side has everything, with or without a surge.
//! - `up`, `down`: candidates are the canary's share of `replicas`, rounded up and rounded down.
//! - `surge`: where a surge is allowed, the same numbers are candidates of `replicas + 1` pods, too.
//! - `tie`: where the share lies exactly between two numbers, rounding down is no candidate.
//! - `both`: from 1 % to 99 % each side keeps a pod, unless there is one pod and no surge.
//! - `nearest`: the candidate nearest to the weight wins; `first`: of equals the first, in the order of the above.
//! - `lone`: one pod and no surge: all or nothing.
//! - `left`: a tie at the upper end leaves no candidate at all; then it is rounded down, as each side keeps a pod.
//!
//! Without a router, the next sizes on the way (`basic_next`, `drain_older`):
//!
//! - `budget`: growth stops at `replicas + surge` pods wanted in all; `stable`: stable grows first; `goal`: nobody moves past
//!   what is desired.
//! - `idle`: pods that are not available, beyond what is desired, go at once.
//! - `older`: while older revisions have pods, no available pod of the two is taken.
//! - `side`: while the canary is to grow or to stay, only stable shrinks, otherwise only the canary.
//! - `floor`: pods left on the side that shrinks and available pods of the other are `replicas - unavailable` at least.
//! - `unseen`: pods whose counts are of an earlier size are not counted on, and not taken for idle.
//! - `broken`: of older revisions, pods that are not available go first, newest revision first.
//! - `spare`: then the newest older revision loses what is available beyond `replicas - unavailable`.
//!
//! With a router (`canary_with_router`, `stable_with_router`, `routed_size`):
//!
//! - `share`: the weight's share of `replicas`, rounded up; `rest`: stable, where it follows the weight, has the rest's share.
//! - `least`: at least minPodsPerReplicaSet, which is capped at `replicas`; `zero`: nothing stays nothing.
//! - `weight`: the nearest setWeight up to the present step counts, 0 before the first.
//! - `scale`: the nearest setCanaryScale counts instead; `match`: until one says matchTrafficWeight.
//! - `exact`: its `replicas` are taken as they are, whatever the least and the most; `percent`: its weight is a share.
//! - `done`: past the last step, and with a full promotion, it is everything.

mod basic;
mod brute;
mod routed;

use super::super::replicas::{Count, Limits, limits};

/// Limits as a user writes them: numbers.
fn limited(replicas: u32, surge: i32, unavailable: i32) -> Limits {
    use sluice_crds::IntOrString::Int;
    limits(Some(&Int(surge)), Some(&Int(unavailable)), replicas)
}

/// A ReplicaSet whose counts are those of its present size.
fn seen(wanted: u32, available: u32) -> Count {
    Count {
        wanted,
        available,
        idle: wanted - available,
    }
}

/// A ReplicaSet whose counts are those of an earlier size.
fn unseen(wanted: u32) -> Count {
    Count {
        wanted,
        ..Count::default()
    }
}
