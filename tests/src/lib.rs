//! The cluster in a box: a real Kubernetes control plane, a node that runs pods as processes, a proxy and Prometheus, all
//! inside private namespaces of one test program. The end-to-end tests run in there, beside them.
//!
//! ```text
//! test program ──unshare──> the same program again, PID 1 of its own user, network, PID and mount namespaces
//!                             ├─ etcd, kube-apiserver, kube-controller-manager, kube-scheduler   (plane/)
//!                             ├─ traefik, prometheus
//!                             ├─ sluice-node ──> one process per container                       (node/, bin/sluice-backend)
//!                             └─ the tests: client/, load/, audit, process
//! ```
//!
//! Absent here: containers, images, root rights, Service addresses (10.96.0.0/16 answers to nobody, every proxy uses
//! endpoints), and anything outside of the namespaces that a test could reach or leave behind.

pub mod audit;
pub mod backend;
pub mod client;
pub mod controller;
pub mod forward;
pub mod harness;
pub mod history;
pub mod http;
pub mod inside;
pub mod load;
pub mod node;
pub mod plane;
pub mod process;
pub mod rights;
pub mod shop;

pub use client::{Client, wait_until};
pub use controller::{Controller, ControllerConfig};
pub use harness::{Shared, Suite, Test, main, main_with, suites};
pub use history::History;
pub use load::{Load, LoadConfig};
pub use plane::{Plane, PlaneConfig};
