//! One file for each router, and what routers of the Gateway API share.

mod backend_weights;
pub(crate) mod gateway_config;
mod gateway_status;
pub mod http_route;
pub mod service;

pub(crate) use backend_weights::gcd;
