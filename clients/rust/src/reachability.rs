//! Whether the service answers.
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{error::CallError, local_results::LocalResults, near_cache::NearCache};

/// Whether the service answers, with one warning at each change.
#[derive(Default)]
pub(crate) struct Reachability {
    lost: AtomicBool,
    local_results: Arc<LocalResults>,
    near: Option<Arc<NearCache>>,
}

impl Reachability {
    pub fn new(local_results: Arc<LocalResults>, near: Option<Arc<NearCache>>) -> Self {
        Self { lost: AtomicBool::new(false), local_results, near }
    }

    /// A call could not reach it.
    pub fn lost(&self, cause: &CallError) {
        if !self.lost.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "dibs: the service cannot be reached ({cause}): each process rebuilds for itself until it answers again"
            );
        }
    }

    /// It has answered, even if only with a refusal. Its values count from now on.
    pub fn answered(&self) {
        if self.lost.load(Ordering::Relaxed) && self.lost.swap(false, Ordering::Relaxed) {
            self.local_results.drop_all();
            if let Some(near) = &self.near {
                near.drop_broken();
            }
            tracing::warn!("dibs: the service answers again");
        }
    }
}
