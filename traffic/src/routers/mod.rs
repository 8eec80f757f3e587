//! One file for each router.

pub mod http_route;
pub mod service;
