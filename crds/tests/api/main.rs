//! The API as others see it: decoded and encoded without loss, with every documented field, as manifests.

#![allow(clippy::unwrap_used)]

mod fields;
mod manifests;
mod required;
mod round_trip;
mod support;
