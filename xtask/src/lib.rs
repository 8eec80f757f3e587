//! What the developer commands share with the end-to-end tests: where the programs of the cluster in a box are kept, how
//! they are built, and what a machine must have for that.
//!
//! ```text
//! tests/box/{plane,prometheus,traefik}  --build-->  <cache>/<program>-<hash of its inputs>/  <-- run by the launcher in tests/
//! ```
//!
//! Absent here: everything that runs those programs. This library knows files and build tools, no Kubernetes.

pub mod prerequisites;
pub mod programs;
