//! How long requests take: a log-normal distribution, as latencies of services mostly are.

/// The 0.99-quantile of the standard normal distribution.
const Z99: f64 = 2.326_347_874_040_841;

/// A log-normal distribution by its median and its 0.99-quantile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// Half of the requests take at most so many milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 requests take at most so many milliseconds. Not above the median: all requests take equally long.
    pub p99_ms: f64,
}

impl Default for Latency {
    fn default() -> Self {
        Latency {
            p50_ms: 20.0,
            p99_ms: 100.0,
        }
    }
}

impl Latency {
    /// The share of requests that take at most `limit_ms`.
    pub fn share_within(&self, limit_ms: f64) -> f64 {
        let sigma = self.sigma();
        if limit_ms <= 0.0 {
            0.0
        } else if sigma > 0.0 {
            normal((limit_ms / self.p50_ms).ln() / sigma)
        } else if limit_ms >= self.p50_ms {
            1.0
        } else {
            0.0
        }
    }

    /// The mean.
    pub fn mean_ms(&self) -> f64 {
        let sigma = self.sigma();
        self.p50_ms * (sigma * sigma / 2.0).exp()
    }

    fn sigma(&self) -> f64 {
        if self.p50_ms > 0.0 && self.p99_ms > self.p50_ms {
            (self.p99_ms / self.p50_ms).ln() / Z99
        } else {
            0.0
        }
    }
}

/// The distribution function of the standard normal distribution, with an error below 7.5e-8 (Abramowitz and Stegun 1964,
/// formula 26.2.17).
fn normal(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let factors = [
        0.319_381_530,
        -0.356_563_782,
        1.781_477_937,
        -1.821_255_978,
        1.330_274_429,
    ];
    let tail = density * t * factors.iter().rev().fold(0.0, |sum, factor| sum * t + factor);
    let upper = 1.0 - tail;
    if z < 0.0 { 1.0 - upper } else { upper }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantiles_are_those_that_were_given() {
        let latency = Latency {
            p50_ms: 30.0,
            p99_ms: 400.0,
        };
        for (limit, want) in [(0.0, 0.0), (30.0, 0.5), (400.0, 0.99), (1e9, 1.0)] {
            assert!((latency.share_within(limit) - want).abs() < 1e-6, "{limit}");
        }
    }

    #[test]
    fn the_normal_distribution_is_that_of_the_tables() {
        for (z, want) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746),
            (-1.0, 0.158_655_254),
            (1.96, 0.975_002_105),
        ] {
            assert!((normal(z) - want).abs() < 1e-7, "{z}: {}", normal(z));
        }
    }

    #[test]
    fn equal_quantiles_mean_that_all_requests_take_equally_long() {
        let latency = Latency {
            p50_ms: 30.0,
            p99_ms: 30.0,
        };
        assert_eq!([29.9, 30.0].map(|limit| latency.share_within(limit)), [0.0, 1.0]);
        assert_eq!(latency.mean_ms(), 30.0);
    }
}
