//! What must be true when a case is over.

use sluice_simulations::{Kind, Played};

use super::case::{Case, Strategy};

/// Rounds beyond the steps that the machine may take until it has nothing more to do, besides those for what it owns.
const ROUNDS: usize = 3;

/// What is wrong with a case that was played.
pub fn wrong(case: &Case, played: &Played) -> Option<String> {
    let violations = played.cluster.violations();
    if let Some(violation) = violations.iter().find(|violation| case.is_blamed(violation)) {
        return Some(format!(
            "{} at {}: {}",
            violation.invariant, violation.at, violation.why
        ));
    }
    if !played.settled && !case.crashes {
        return Some(format!("does not come to rest: {}", played.phase()));
    }
    restless(case, played).or_else(|| stranded(case, played))
}

/// The machine took too many rounds until it had nothing more to do. One for each step and three more; and one for each
/// ReplicaSet and each run that is scaled down or deleted, because a plan has one effect at most that cannot be taken back.
fn restless(case: &Case, played: &Played) -> Option<String> {
    played.cluster.rests().iter().find_map(|rest| {
        let most = case.steps.len() + ROUNDS + rest.owned;
        match &rest.rounds {
            Ok(rounds) if *rounds <= most => None,
            Ok(rounds) => Some(format!(
                "takes {rounds} rounds to come to rest at {}, {most} are allowed",
                rest.at
            )),
            Err(why) => Some(format!("never comes to rest at {}: {why}", rest.at)),
        }
    })
}

/// An aborted update was left alone: stable carries everything that its pods can carry.
fn stranded(case: &Case, played: &Played) -> Option<String> {
    let stable = played.status("/stableRS");
    if !played.settled {
        return None;
    }
    if played.status("/abort") != true || !stable.is_string() {
        return None;
    }
    let mut sets = played.cluster.store().list(Kind::ReplicaSet).map(|(_, set)| {
        let is_stable = set["metadata"]["labels"]["rollouts-pod-template-hash"] == stable;
        let available = set["status"]["availableReplicas"].as_u64().unwrap_or(0);
        (is_stable, set["spec"]["replicas"].as_u64().unwrap_or(1), available)
    });
    let (sets, others): (Vec<_>, Vec<_>) = sets.by_ref().partition(|(is_stable, ..)| *is_stable);
    let rollout = played.cluster.get(Kind::Rollout, "shop")?;
    let replicas = rollout["spec"]["replicas"].as_u64();
    let [(_, wanted, available)] = sets[..] else {
        return Some(format!("aborted, and there are {} stable ReplicaSets", sets.len()));
    };
    if Some(wanted) != replicas || available != wanted {
        return Some(format!(
            "aborted and left alone, and stable has {available} of {wanted} pods of {replicas:?}"
        ));
    }
    let selected = |name: &str| {
        let service = played.cluster.get(Kind::Service, name);
        service.map(|service| service["spec"]["selector"]["rollouts-pod-template-hash"].clone())
    };
    match case.strategy {
        Strategy::Routed => {
            let route = played.cluster.get(Kind::HttpRoute, "shop")?;
            let weight = |index: usize| {
                let backend = &route["spec"]["rules"][0]["backendRefs"][index];
                (
                    backend["name"].as_str().unwrap_or_default(),
                    backend["weight"].as_u64().unwrap_or(1),
                )
            };
            // With ping-pong the two Services take turns.
            let is_pong = played.status("/canary/stablePingPong") == "pong";
            let name = if is_pong { "shop-canary" } else { "shop-stable" };
            let back = [weight(0), weight(1)]
                .into_iter()
                .all(|(service, weight)| (service == name) == (weight > 0));
            if back && selected(name).as_ref() == Some(&stable) {
                return None;
            }
            Some(format!(
                "aborted, stable is whole, and the weights are {:?} and {:?}",
                weight(0),
                weight(1)
            ))
        }
        Strategy::BlueGreen => (selected("shop-stable").as_ref() != Some(&stable)).then(|| {
            format!(
                "aborted, stable is whole, and the active Service selects {:?}",
                selected("shop-stable")
            )
        }),
        Strategy::Basic => {
            let left: u64 = others.iter().map(|(_, wanted, _)| wanted).sum();
            (left > 0).then(|| format!("aborted, stable is whole, and {left} pods of other revisions are left"))
        }
    }
}
