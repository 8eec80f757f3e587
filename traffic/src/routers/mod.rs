//! One file for each router and for each form of its configuration, and what routers share.

mod backend_weights;
pub mod destination_rule;
pub(crate) mod gateway_config;
mod gateway_status;
pub mod http_route;
pub mod ingress;
pub(crate) mod istio_config;
pub(crate) mod nginx_config;
mod reading;
pub mod service;
pub mod virtual_service;

pub(crate) use backend_weights::gcd;
