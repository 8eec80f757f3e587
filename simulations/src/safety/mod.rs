//! stub
use jiff::Timestamp;
use crate::models::{ModelConfig, Models};
use crate::store::{Change, Key, Store};
/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When.
    pub at: Timestamp,
    /// Which, for example `S1`.
    pub invariant: &'static str,
    /// Why.
    pub why: String,
}
#[derive(Debug)]
pub(crate) struct Safety { violations: Vec<Violation> }
impl Safety {
    pub(crate) fn new(_: &ModelConfig) -> Safety { Safety { violations: Vec::new() } }
    pub(crate) fn violations(&self) -> &[Violation] { &self.violations }
    pub(crate) fn selector_acknowledged(&mut self, _: Timestamp, _: &Key) {}
    pub(crate) fn see(&mut self, _: &Store, _: &Models, _: &Change, _: Option<Timestamp>) {}
}
