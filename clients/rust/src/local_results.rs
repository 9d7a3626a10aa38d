//! Rebuilds without the service, and their results.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    flights::{Flight, Flights, KeyId},
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
    kept: Mutex<HashMap<KeyId, Entry>>,
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
        let entry = kept.get(&key_id(options))?;
        (Instant::now() < entry.until).then(|| entry.value.clone())
    }

    /// Not if the flight that rebuilt the value was closed: its key has changed since, or the service was back.
    pub fn keep(&self, options: &Options, terms: &ValueTerms, value: Option<Bytes>, flight: &Flight) {
        // A flight is closed before its key is dropped here, so one that is open now is dropped after this.
        let mut kept = self.kept();
        if flight.is_closed() || terms.do_not_store {
            return;
        }
        let now = Instant::now();
        let key = key_id(options);
        kept.retain(|other, entry| now < entry.until && *other != key);
        let bytes = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
        let sum: usize = kept.values().map(|entry| bytes(&entry.value)).sum();
        if kept.len() < ENTRIES_MAX && sum + bytes(&value) <= BYTES_MAX {
            let until = now + terms.ttl_of(options, value.is_some()).min(KEPT_MAX);
            kept.insert(key, Entry { value, until });
        }
    }

    /// For a call that needs something newer than itself: neither it nor a later one joins a rebuild that began before
    /// it, and the result of that rebuild does not replace its own.
    pub fn overtake(&self, options: &Options) {
        self.running.close_older(options);
    }

    pub fn drop_key(&self, namespace: &str, key: &str) {
        self.running.close_key(namespace, key);
        self.kept().remove(&key_id_of(namespace, key));
    }

    pub fn drop_namespace(&self, namespace: &str) {
        self.running.close_namespace(namespace);
        let (namespace, _) = key_id_of(namespace, "");
        self.kept().retain(|(of, _), _| *of != namespace);
    }

    pub fn drop_all(&self) {
        self.running.close_all();
        self.kept().clear();
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<KeyId, Entry>> {
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
            let mut flight = None;
            let _seat = results.running.board_local(&of(key), |its| {
                flight = Some(its);
                std::future::pending()
            });
            results.keep(&of(key), &ValueTerms::default(), large, &flight.unwrap());
        };
        keep("a");
        keep("b");
        assert_eq!((results.get(&of("a")).is_some(), results.get(&of("b")).is_some()), (true, false));
        advance(KEPT_MAX).await;
        keep("c");
        assert!(results.get(&of("c")).is_some());
        assert_eq!(results.kept().len(), 1, "the others serve no one any more");
    }
}
