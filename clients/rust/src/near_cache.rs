//! Fresh values in this process's memory.
//!
//! An entry counts as long as the session over which it came hears of every change: the service says so by a beat each
//! second. An answer fills the cache only where no change of its key has arrived since it was asked for. The map is
//! bounded by a library; what is fresh and what has changed is decided here, at each read.
use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use quick_cache::{Equivalent, Weighter, sync::Cache};
use tokio::time::Instant;

use crate::{
    error::Error,
    options::{Options, Read, Stale, duration},
    v1::{self, get_or_lock_response::Outcome},
    watch::Watch,
};

/// The size of an entry without its key and its value.
const ENTRY_BYTES: u64 = 200;
/// The contract's bound.
const NAMESPACES_MAX: usize = 64;
/// Only the map's initial size. It grows to what its bytes hold.
const ESTIMATED_ENTRY_BYTES: u64 = 1_024;

/// The user's options for it.
#[derive(Clone, Default)]
pub(crate) struct NearOptions {
    pub bytes_max: Option<u64>,
    pub namespaces: Vec<String>,
    pub serve_when_unavailable: bool,
}

#[derive(Eq, PartialEq)]
struct Key {
    namespace: Box<str>,
    key: Box<str>,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Borrowed(&self.namespace, &self.key).hash(state);
    }
}

/// A key for look-ups, without a copy.
#[derive(Hash)]
struct Borrowed<'a>(&'a str, &'a str);

impl Equivalent<Key> for Borrowed<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.1 == *key.key && *self.0 == *key.namespace
    }
}

#[derive(Clone)]
struct Entry {
    /// None if the source has nothing.
    value: Option<Bytes>,
    fresh_until: Instant,
    watch: Arc<Watch>,
    /// None if the replica does not report them: any tag may be one of them.
    tags: Option<Arc<[String]>>,
}

#[derive(Clone)]
struct Bytewise;

impl Weighter<Key, Entry> for Bytewise {
    fn weight(&self, key: &Key, entry: &Entry) -> u64 {
        let value = entry.value.as_ref().map_or(0, Bytes::len);
        let tags: usize = entry.tags.iter().flat_map(|tags| tags.iter()).map(String::len).sum();
        ENTRY_BYTES + (key.namespace.len() + key.key.len() + value + tags) as u64
    }
}

/// Fresh values in this process's memory, as long as the service reports changes.
pub(crate) struct NearCache {
    pub namespaces: Vec<String>,
    serve_when_unavailable: bool,
    entries: Cache<Key, Entry, Bytewise>,
    /// The requests under way. Filling and dropping hold this lock, so that no change falls between.
    asking: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    by_number: HashMap<u64, Question>,
    last: u64,
}

struct Question {
    namespace: String,
    key: String,
    overtaken: bool,
}

impl NearCache {
    /// None if it is turned off.
    ///
    /// # Errors
    /// [`Error::Options`].
    pub fn of(options: &NearOptions, own_namespace: &str) -> Result<Option<Arc<Self>>, Error> {
        let Some(bytes_max) = options.bytes_max else { return Ok(None) };
        if bytes_max == 0 {
            return Err(Error::Options("near_cache: 0 bytes hold nothing: leave it out".to_owned()));
        }
        let own = [own_namespace.to_owned()];
        let named = if options.namespaces.is_empty() { &own[..] } else { &options.namespaces };
        if named.len() > NAMESPACES_MAX {
            return Err(Error::Options(format!("near_namespaces: {} are more than {NAMESPACES_MAX}", named.len())));
        }
        let items = usize::try_from(bytes_max / ESTIMATED_ENTRY_BYTES).unwrap_or(usize::MAX).max(1);
        Ok(Some(Arc::new(Self {
            namespaces: named.iter().map(|namespace| name(namespace).to_owned()).collect(),
            serve_when_unavailable: options.serve_when_unavailable,
            entries: Cache::with_weighter(items, bytes_max, Bytewise),
            asking: Mutex::default(),
        })))
    }

    pub fn has(&self, namespace: &str) -> bool {
        let namespace = name(namespace);
        self.namespaces.iter().any(|watched| watched == namespace)
    }

    /// The fresh value, or a known absence.
    pub fn get(&self, options: &Options) -> Option<Option<Bytes>> {
        if options.read == Read::Store || options.refresh {
            return None;
        }
        let entry = self.entries.get(&Borrowed(name(&options.namespace), &options.key))?;
        let now = Instant::now();
        (now < entry.fresh_until && entry.watch.is_live(now)).then_some(entry.value)
    }

    /// The value to serve while the service cannot be reached. It is not fresh.
    pub fn get_unavailable(&self, options: &Options) -> Option<Option<Bytes>> {
        let may = self.serve_when_unavailable && options.stale != Some(Stale::Forbid) && options.read == Read::Near;
        if !may || options.refresh {
            return None;
        }
        let entry = self.entries.get(&Borrowed(name(&options.namespace), &options.key))?;
        (Instant::now() < entry.fresh_until).then_some(entry.value)
    }

    /// Call it before the request is sent; none if its answer is not kept.
    pub fn ask(self: &Arc<Self>, namespace: &str, key: &str) -> Option<Ticket> {
        if !self.has(namespace) {
            return None;
        }
        let mut asking = self.asking();
        asking.last += 1;
        let number = asking.last;
        let (namespace, key) = (name(namespace).to_owned(), key.to_owned());
        asking.by_number.insert(number, Question { namespace, key, overtaken: false });
        Some(Ticket { cache: self.clone(), number })
    }

    /// The service reports what has changed.
    pub fn heard(&self, changed: &v1::Invalidated) {
        let v1::Invalidated { namespace, keys, tags, all } = changed;
        if *all {
            return self.drop_namespace(namespace);
        }
        for key in keys {
            self.drop_key(namespace, key);
        }
        if !tags.is_empty() {
            let carries =
                |entry: &Entry| entry.tags.as_ref().is_none_or(|own| own.iter().any(|tag| tags.contains(tag)));
            self.drop_where(namespace, carries);
        }
    }

    pub fn drop_key(&self, namespace: &str, key: &str) {
        let namespace = name(namespace);
        let mut asking = self.asking();
        let about = asking.by_number.values_mut().filter(|asked| asked.namespace == namespace && asked.key == key);
        about.for_each(|asked| asked.overtaken = true);
        self.entries.remove(&Borrowed(namespace, key));
    }

    pub fn drop_namespace(&self, namespace: &str) {
        self.drop_where(namespace, |_| true);
    }

    /// The tags of an answer under way are unknown.
    fn drop_where(&self, namespace: &str, so: impl Fn(&Entry) -> bool) {
        let namespace = name(namespace);
        let mut asking = self.asking();
        let about = asking.by_number.values_mut().filter(|asked| asked.namespace == namespace);
        about.for_each(|asked| asked.overtaken = true);
        self.entries.retain(|key, entry| *key.namespace != *namespace || !so(entry));
    }

    /// A session broke, so what came over it may have changed. It may still be better than nothing.
    pub fn broke(&self) {
        let mut asking = self.asking();
        asking.by_number.values_mut().for_each(|asked| asked.overtaken = true);
        if !self.serve_when_unavailable {
            self.entries.clear();
        }
    }

    /// The service answers again. What was kept for its absence is dropped.
    pub fn drop_broken(&self) {
        let _asking = self.asking();
        let now = Instant::now();
        self.entries.retain(|_, entry| entry.watch.is_live(now));
    }

    fn asking(&self) -> MutexGuard<'_, Asked> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request under way.
pub(crate) struct Ticket {
    cache: Arc<NearCache>,
    number: u64,
}

impl Ticket {
    /// The answer came over this session.
    pub fn answered(self, response: &v1::GetOrLockResponse, watch: &Arc<Watch>) {
        let Some(Outcome::Hit(hit)) = &response.outcome else { return };
        let mut asking = self.cache.asking();
        let Some(question) = asking.by_number.remove(&self.number).filter(|question| !question.overtaken) else {
            return;
        };
        let now = Instant::now();
        if hit.fresh_for_ms <= 0 || !watch.is_live(now) {
            return;
        }
        let value = match &hit.payload {
            // A copy, because the message it came in, up to a megabyte, must not live as long as it does.
            Some(v1::hit::Payload::Value(bytes)) => Some(Bytes::copy_from_slice(bytes)),
            Some(v1::hit::Payload::Absent(_)) => None,
            None => return,
        };
        let key = Key { namespace: question.namespace.into(), key: question.key.into() };
        let fresh_until = now + duration(hit.fresh_for_ms);
        let tags = hit.tags.as_ref().map(|tags| tags.names.clone().into());
        self.cache.entries.insert(key, Entry { value, fresh_until, watch: watch.clone(), tags });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.cache.asking().by_number.remove(&self.number);
    }
}

/// The empty namespace is the service's `default`.
fn name(namespace: &str) -> &str {
    if namespace.is_empty() { "default" } else { namespace }
}
