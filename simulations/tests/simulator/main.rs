//! The simulator as a whole. One program, because each one more takes a minute to build.

mod crash_points;
mod deleted;
mod determinism;
mod library;
mod metrics;
mod random_clusters;
mod regressions;
mod runs;
mod scenarios;
mod takeover;
mod upgrade;
