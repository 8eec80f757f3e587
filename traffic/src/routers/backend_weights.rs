//! The arithmetic of one rule: how a pair of Services gets the wanted split and every other backend keeps its share exactly.
//!
//! Weights are integers from 0 to 1,000,000 (Gateway API), and a share is a weight divided by the sum of its rule. Let `p` be
//! what stable and canary weigh together, `a : b` the wanted split in lowest terms and `t = a + b`.
//!
//! - No other backend has weight: only `a : b` matters. `p` is kept where `t` divides it; else the sum becomes 100, else `t`.
//! - Others have weight: `p` must become a multiple of `t`, so all weights of the rule are multiplied by
//!   `k = t / gcd(t, p)`, the smallest factor that does it. Every share outside the pair, and the pair's own, stays the same to
//!   the last digit. Where a weight would pass the limit, the weights are first divided by what they have in common.
//! - Others have weight and the pair has none: nothing can be split. Such a rule is not managed, and never comes here.

/// The largest weight that the Gateway API admits.
pub(super) const MAX_WEIGHT: u32 = 1_000_000;

/// Whose a backend of a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Stable,
    Canary,
    Foreign,
}

/// What stable and canary are to weigh, relative to each other, in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    stable: u64,
    canary: u64,
}

impl Wanted {
    /// Everything for stable.
    pub(super) const EVERYTHING_STABLE: Wanted = Wanted { stable: 1, canary: 0 };

    /// `None` where both are 0.
    pub(super) fn new(stable: u32, canary: u32) -> Option<Wanted> {
        let (stable, canary) = (u64::from(stable), u64::from(canary));
        let common = gcd(stable, canary);
        (common > 0).then(|| Wanted {
            stable: stable / common,
            canary: canary / common,
        })
    }

    /// Whether the canary is to get nothing: the direction that must always be possible.
    pub(super) fn is_retreat(self) -> bool {
        self.canary == 0
    }

    /// What stable and canary weigh, relative to each other.
    pub(super) fn parts(self) -> (u64, u64) {
        (self.stable, self.canary)
    }

    fn total(self) -> u64 {
        self.stable + self.canary
    }
}

/// The weights that a rule is to have, in its order; `None` where the pair already is split as wanted, whatever its sum.
///
/// The error says what is wrong and what would be right.
pub(super) fn resplit(rule: &[(Role, u32)], wanted: Wanted) -> Result<Option<Vec<u32>>, String> {
    let (stable, canary, foreign) = (
        sum(rule, Role::Stable),
        sum(rule, Role::Canary),
        sum(rule, Role::Foreign),
    );
    let pair = stable + canary;
    if pair > 0 && stable * wanted.canary == canary * wanted.stable {
        return Ok(None);
    }
    let doubled = [Role::Stable, Role::Canary]
        .into_iter()
        .any(|role| count(rule, role) > 1);
    if doubled && !wanted.is_retreat() {
        return Err(
            "the stable or the canary Service stands in it more than once, so that its share cannot be told apart: \
                    name each of the two once in a rule"
                .to_owned(),
        );
    }
    let scales = if foreign == 0 {
        alone(pair, wanted.total())
    } else {
        beside_others(rule, pair, wanted.total())
    };
    let fitting = scales
        .into_iter()
        .map(|scale| apply(rule, &scale, pair, wanted))
        .find_map(|weights| {
            weights
                .into_iter()
                .map(|weight| u32::try_from(weight).ok().filter(|weight| *weight <= MAX_WEIGHT))
                .collect()
        });
    fitting.map(Some).ok_or_else(|| {
        format!(
            "the split {}:{} of the {pair} that stable and canary weigh together cannot be written in whole weights up to \
             {MAX_WEIGHT} that leave the other backends their shares: give them together a multiple of {}",
            wanted.stable,
            wanted.canary,
            wanted.total(),
        )
    })
}

/// What the pair weighs afterwards, and by what the weights of the others are divided and then multiplied.
struct Scale {
    pair: u64,
    divide: u64,
    multiply: u64,
}

fn alone(pair: u64, total: u64) -> Vec<Scale> {
    let sums = [
        (pair > 0 && pair.is_multiple_of(total)).then_some(pair),
        100_u64.is_multiple_of(total).then_some(100),
        Some(total),
    ];
    sums.into_iter()
        .flatten()
        .map(|pair| Scale {
            pair,
            divide: 1,
            multiply: 1,
        })
        .collect()
}

fn beside_others(rule: &[(Role, u32)], pair: u64, total: u64) -> Vec<Scale> {
    let foreign = rule.iter().filter(|(role, _)| *role == Role::Foreign);
    let common = foreign.fold(pair, |common, (_, weight)| gcd(common, u64::from(*weight)));
    [1, common]
        .into_iter()
        .map(|divide| {
            let reduced = pair / divide;
            let multiply = total / gcd(total, reduced);
            Scale {
                pair: reduced * multiply,
                divide,
                multiply,
            }
        })
        .collect()
}

/// The weights of the rule at a scale. Where a Service stands in it twice (only on a retreat), its further entries keep their
/// weight as long as the pair's sum stays the same, and the first entry takes the rest.
fn apply(rule: &[(Role, u32)], scale: &Scale, pair: u64, wanted: Wanted) -> Vec<u64> {
    let unit = scale.pair / wanted.total();
    let mut stable = unit * wanted.stable;
    let mut canary = unit * wanted.canary;
    let mut weights = vec![0; rule.len()];
    let first = |role| rule.iter().position(|(other, _)| *other == role);
    for (index, (role, weight)) in rule.iter().enumerate() {
        let weight = u64::from(*weight);
        match role {
            Role::Foreign => weights[index] = weight / scale.divide * scale.multiply,
            Role::Stable if first(Role::Stable) != Some(index) && scale.pair == pair => {
                weights[index] = weight;
                stable -= weight;
            }
            Role::Stable | Role::Canary => {}
        }
    }
    for (role, rest) in [(Role::Stable, &mut stable), (Role::Canary, &mut canary)] {
        if let Some(index) = first(role) {
            weights[index] = *rest;
        }
    }
    weights
}

/// What all backends of a role weigh together.
pub(super) fn sum(backends: &[(Role, u32)], role: Role) -> u64 {
    backends
        .iter()
        .filter(|(other, _)| *other == role)
        .map(|(_, weight)| u64::from(*weight))
        .sum()
}

/// How many backends have a role.
pub(super) fn count(backends: &[(Role, u32)], role: Role) -> usize {
    backends.iter().filter(|(other, _)| *other == role).count()
}

/// The greatest common divisor; 0 of 0 and 0.
pub(crate) fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
