//! The one source of chance in a simulation: the same seed gives the same numbers on every machine and in every version.

use jiff::SignedDuration;

/// A range of durations in milliseconds, both ends included.
pub type Millis = std::ops::RangeInclusive<u64>;

/// A stream of random numbers: xoshiro256** (Blackman and Vigna 2018), its state filled by `SplitMix64` from the seed.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Random {
        let mut mix = seed;
        let mut next = || {
            mix = mix.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = mix;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Random {
            state: [next(), next(), next(), next()],
        }
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= t;
        *d = d.rotate_left(45);
        result
    }

    /// A number below `bound`, which must not be 0. The bias of the multiplication (below 2^-32 for small bounds) does not matter here.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing is below 0");
        let wide = u128::from(self.next()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the upper half of a product of two u64 is a u64")
    }

    /// A number in a range.
    pub fn within(&mut self, range: &Millis) -> u64 {
        let (low, high) = (*range.start(), *range.end());
        if high <= low {
            low
        } else {
            low + self.below(high - low + 1)
        }
    }

    /// A duration in a range of milliseconds.
    pub fn millis(&mut self, range: &Millis) -> SignedDuration {
        SignedDuration::from_millis(i64::try_from(self.within(range)).unwrap_or(i64::MAX))
    }

    /// True in `permille` of 1,000 cases. Draws nothing for 0, so that a fault that is switched off changes no other draw.
    pub fn chance(&mut self, permille: u32) -> bool {
        permille > 0 && self.below(1000) < u64::from(permille)
    }

    /// One of several values, each equally likely.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let index = self.below(of.len() as u64);
        &of[usize::try_from(index).expect("it is below a length")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_seed_others() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..4).map(|_| random.next()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        // Written down, so that a change of the generator is noticed: recorded seeds would replay something else.
        assert_eq!(draw(1)[0], 12_966_619_160_104_079_557);
    }

    #[test]
    fn draws_stay_in_their_range_and_reach_both_ends() {
        let mut random = Random::new(3);
        let seen: std::collections::BTreeSet<u64> = (0..1000).map(|_| random.within(&(5..=9))).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [5, 6, 7, 8, 9]);
        assert_eq!(random.within(&(4..=4)), 4);
    }

    #[test]
    fn a_chance_of_250_in_1000_comes_true_about_that_often() {
        let mut random = Random::new(11);
        let hits = (0..10_000).filter(|_| random.chance(250)).count();
        assert!((2300..2700).contains(&hits), "{hits}");
        assert!(!random.chance(0));
    }
}
