//! The controller against an API server in the process, and its manifests. One program, because each one more takes a minute
//! to build.

mod common;
mod deploy;
mod execute;
mod give_back;
mod leadership;
mod run;
