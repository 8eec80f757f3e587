//! `kubectl sluice`: looks at Rollouts, moves them, and checks manifests and clusters before they are relied on.
//!
//! Every command is a file of `commands/`. What a Rollout waits for is not guessed from its status: the program reads what the
//! controller reads and asks the very state machine that the controller runs.
//!
//! ```text
//! API server ──observe──> World ──explain (machine::decide)──> Plan { hold, effects }
//!                           └────────── view ──────────┴──> lines or JSON ──text::Screen──> terminal
//! files ──Cluster::offline──> the same, for `explain`
//! files ──lint──> findings          commands ──patch──> status and spec, as Argo's plugin writes them
//! ```
//!
//! Absent here: decisions of its own, writes other than the documented patches (and dry-runs), and output that bypasses
//! [`text::Screen`], which keeps control characters of names and messages from the terminal.

// Comments of commands and flags are read in a terminal, where backticks around every kind are noise.
#![allow(clippy::doc_markdown)]

pub mod check;
pub mod cli;
pub mod cluster;
pub mod commands;
pub mod explain;
pub mod files;
pub mod lint;
pub mod observe;
pub mod patch;
pub mod phase;
pub mod resource;
pub mod runs;
pub mod text;
pub mod view;
