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
/// A process whose values are larger together rebuilds the others for each call.
const BYTES_MAX: usize = 67_108_864;

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
        let key = key_id(options);
        kept.by_key.retain(|other, entry| now < entry.until && *other != key);
        let bytes = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
        let sum: usize = kept.by_key.values().map(|entry| bytes(&entry.value)).sum();
        if kept.by_key.len() < ENTRIES_MAX && sum + bytes(&value) <= BYTES_MAX {
            let until = now + terms.ttl_of(options, value.is_some()).min(KEPT_MAX);
            kept.by_key.insert(key, Entry { value, until });
        }
    }

    /// For a call that needs something newer than itself: neither it nor a later one joins a rebuild that began before
    /// it, and the result of that rebuild does not replace its own.
    pub fn overtake(&self, options: &Options) {
        if self.running.close_older(options) {
            self.kept().drops += 1;
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

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::testing;

    const LARGE: usize = 40 << 20;

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_is_bounded_in_bytes_and_goes_when_its_time_is_over() {
        let core = testing::client().get_or_rebuild("").core;
        let results = LocalResults::default();
        let of = |key: &str| Options::of(&core, key.to_owned(), KEPT_MAX);
        let keep = |key: &str| {
            let large = Some(Bytes::from(vec![0; LARGE]));
            results.keep(&of(key), &ValueTerms::default(), large, results.mark());
        };
        keep("a");
        keep("b");
        assert_eq!((results.get(&of("a")).is_some(), results.get(&of("b")).is_some()), (true, false));
        advance(KEPT_MAX).await;
        keep("c");
        assert!(results.get(&of("c")).is_some());
        assert_eq!(results.kept().by_key.len(), 1, "the others serve no one any more");
    }
}
