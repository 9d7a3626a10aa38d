//! Replaces `metrics.rs` without the feature `opentelemetry`. Counts nothing.
use std::time::Duration;

use crate::hooks::{HitSource, Rebuilt};

/// The counts of one client.
#[derive(Default)]
pub(crate) struct Metrics;

impl Metrics {
    pub fn new(_: &str) -> Self {
        Self
    }

    pub fn hit(&self, _: &str, _: HitSource, _: bool) {}

    pub fn rebuilt(&self, _: &str, _: Rebuilt) {}

    pub fn local_rebuild(&self, _: &str) {}

    pub fn lease_lost(&self, _: &str) {}

    pub fn undecodable(&self, _: &str) {}

    pub fn waited(&self, _: &str, _: Duration) {}
}
