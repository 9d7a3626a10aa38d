//! Rebuilds without the service, and their results.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    flights::{Flights, KeyId},
    options::{Options, Read, key_id, key_id_of},
    value_terms::ValueTerms,
};

/// Long enough that a hot key is not rebuilt for each call. Short enough that a value which another process
/// invalidates, unknown to this one, is gone soon.
const KEPT_MAX: Duration = Duration::from_secs(5);
/// A process with more keys than this rebuilds the others for each call.
const ENTRIES_MAX: usize = 1_000;

/// Values that this process rebuilt while the service could not be reached. They are kept for a short time, and until
/// the service answers again or welcomes a session. What is dropped here goes to no later caller, even if it is still
/// being rebuilt.
#[derive(Default)]
pub(crate) struct LocalResults {
    /// The running rebuilds of this process without the service, one at a time per namespace and key.
    pub running: Arc<Flights>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_key: HashMap<KeyId, Entry>,
    /// How often something was dropped. A rebuild that began before the last drop is not kept.
    drops: u64,
}

struct Entry {
    value: Option<Bytes>,
    until: Instant,
}

/// Callers that need something newer than their call get no copy.
pub(crate) fn may_read(options: &Options) -> bool {
    options.read == Read::Near && !options.refresh
}

impl LocalResults {
    pub fn get(&self, options: &Options) -> Option<Option<Bytes>> {
        let kept = self.kept();
        let entry = kept.by_key.get(&key_id(options))?;
        (Instant::now() < entry.until).then(|| entry.value.clone())
    }

    /// Pass it to [`Self::keep`] after the rebuild that begins now.
    pub fn mark(&self) -> u64 {
        self.kept().drops
    }

    pub fn keep(&self, options: &Options, terms: &ValueTerms, value: Option<Bytes>, mark: u64) {
        let mut kept = self.kept();
        if kept.drops != mark || terms.do_not_store {
            return;
        }
        let now = Instant::now();
        if kept.by_key.len() >= ENTRIES_MAX {
            kept.by_key.retain(|_, entry| now < entry.until);
        }
        if kept.by_key.len() < ENTRIES_MAX {
            let until = now + terms.ttl_of(options, value.is_some()).min(KEPT_MAX);
            kept.by_key.insert(key_id(options), Entry { value, until });
        }
    }

    pub fn drop_key(&self, namespace: &str, key: &str) {
        self.running.close_key(namespace, key);
        let mut kept = self.kept();
        kept.drops += 1;
        kept.by_key.remove(&key_id_of(namespace, key));
    }

    pub fn drop_namespace(&self, namespace: &str) {
        self.running.close_namespace(namespace);
        let (namespace, _) = key_id_of(namespace, "");
        let mut kept = self.kept();
        kept.drops += 1;
        kept.by_key.retain(|(of, _), _| *of != namespace);
    }

    pub fn drop_all(&self) {
        self.running.close_all();
        let mut kept = self.kept();
        kept.drops += 1;
        kept.by_key.clear();
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
