//! What a rebuild sets for its own value.
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::options::Options;

/// What a rebuild sets for its own value, instead of its call's options.
#[derive(Clone, Debug, Default)]
pub(crate) struct ValueTerms {
    pub ttl: Option<Duration>,
    pub stale_ttl: Option<Duration>,
    pub tags: Option<Vec<String>>,
    pub do_not_store: bool,
}

impl ValueTerms {
    /// How long the value, or its absence, is fresh.
    pub fn ttl_of(&self, options: &Options, is_value: bool) -> Duration {
        let of_call = if is_value { options.ttl } else { options.absent_ttl.unwrap_or(options.ttl) };
        self.ttl.unwrap_or(of_call)
    }
}

/// The settings of one run of a rebuild, which it may make at any time before it returns.
#[derive(Debug, Default)]
pub(crate) struct SharedTerms(Mutex<ValueTerms>);

impl SharedTerms {
    pub fn of_value(&self) -> ValueTerms {
        self.terms().clone()
    }

    pub fn set_ttl(&self, ttl: Duration) {
        self.terms().ttl = Some(ttl);
    }

    pub fn set_stale_ttl(&self, stale_ttl: Duration) {
        self.terms().stale_ttl = Some(stale_ttl);
    }

    pub fn set_tags(&self, tags: Vec<String>) {
        self.terms().tags = Some(tags);
    }

    pub fn do_not_store(&self) {
        self.terms().do_not_store = true;
    }

    fn terms(&self) -> MutexGuard<'_, ValueTerms> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
