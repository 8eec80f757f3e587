//! How long to wait after a failure.
//!
//! The `backoff` crate is used as a calculator of growing delays and for nothing else: no elapsed limit (a controller never
//! gives up), no randomness of its own. The jitter is ours, from a seed, so that a test can foretell it.

use std::time::Duration;

use backoff::backoff::Backoff as _;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

/// Growing delays: each is twice the last one up to a limit, and up to a quarter longer by jitter.
#[derive(Debug)]
pub struct Delays {
    calculator: ExponentialBackoff,
    state: u64,
}

impl Delays {
    /// Delays for one object after failed reconciles: 100 ms at first, since most failures are conflicts that the next
    /// watch event ends; 30 s at most, so that a mended cluster is noticed within a coffee's first sip.
    pub fn reconcile(seed: u64) -> Delays {
        Delays::new(Duration::from_millis(100), Duration::from_secs(30), seed)
    }

    /// Delays for a watch that failed: 500 ms at first; 60 s at most, the promised time to notice a kind that was installed.
    pub fn watch(seed: u64) -> Delays {
        Delays::new(Duration::from_millis(500), Duration::from_mins(1), seed)
    }

    fn new(first: Duration, most: Duration, seed: u64) -> Delays {
        let calculator = ExponentialBackoffBuilder::new()
            .with_initial_interval(first)
            .with_multiplier(2.0)
            .with_randomization_factor(0.0)
            .with_max_interval(most)
            .with_max_elapsed_time(None)
            .build();
        Delays {
            calculator,
            state: seed,
        }
    }

    /// The next delay.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self
            .calculator
            .next_backoff()
            .expect("without an elapsed limit there always is a next delay");
        let quarter = u64::try_from(delay.as_nanos() / 4).unwrap_or(u64::MAX).max(1);
        delay + Duration::from_nanos(self.draw() % quarter)
    }

    /// Starts again with the first delay, after a success.
    pub fn reset(&mut self) {
        self.calculator.reset();
    }

    /// One step of splitmix64 (Steele, Lea and Flood 2014): enough to spread retries, and it needs one word of state.
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// A seed from a text: FNV-1a, 64 bit.
pub fn seed(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_limit_and_never_end() {
        let mut delays = Delays::reconcile(1);
        let mut base = Duration::from_millis(100);
        for _ in 0..1000 {
            let delay = delays.next_delay();
            let slack = Duration::from_micros(1);
            assert!(
                delay + slack >= base && delay <= base + base / 4 + slack,
                "{delay:?} for {base:?}"
            );
            base = (base * 2).min(Duration::from_secs(30));
        }
        delays.reset();
        assert!(delays.next_delay() <= Duration::from_millis(125));
    }

    #[test]
    fn the_seed_alone_makes_the_jitter() {
        let draw = |seed| {
            (0..5)
                .map(|_| 0)
                .scan(Delays::watch(seed), |d, _| Some(d.next_delay()))
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert_ne!(seed("a/b"), seed("a/c"));
    }
}
