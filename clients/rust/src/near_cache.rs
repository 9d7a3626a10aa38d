//! Fresh values in this process's memory.
//!
//! An entry counts as long as the session over which it came hears of every change: the service says so by a beat each
//! second. An answer fills the cache only where no change of its key has arrived since it was asked for. Its freshness
//! counts from the request, because the answer may have waited for this process to read it. The map is bounded by a
//! library; what is fresh and what has changed is decided here, at each read.
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use quick_cache::{
    DefaultHashBuilder, OptionsBuilder,
    sync::{Cache, DefaultLifecycle},
};
use tokio::time::Instant;

use crate::{
    error::Error,
    near_entry::{Borrowed, Bytewise, Entry, Key},
    options::{Options, Read, Stale, duration},
    v1::{self, get_or_lock_many_response::Result as Answered, get_or_lock_response::Outcome},
    watch::Watch,
};

/// The contract's bound.
const NAMESPACES_MAX: usize = 64;
/// Only the map's initial size. It grows to what its bytes hold.
const ESTIMATED_ENTRY_BYTES: u64 = 1_024;
/// The map has several parts, each with its own lock and its share of the bytes. A value that is larger than a part is
/// never kept. The service takes values up to 1 MiB by default, so a part has room for a few of these.
const PART_BYTES_MIN: u64 = 4_194_304;

/// The user's options for it.
#[derive(Clone, Default)]
pub(crate) struct NearOptions {
    pub bytes_max: Option<u64>,
    pub namespaces: Vec<String>,
    pub serve_when_unavailable: bool,
}

/// Fresh values in this process's memory, as long as the service reports changes.
pub(crate) struct NearCache {
    pub namespaces: Vec<String>,
    serve_when_unavailable: bool,
    entries: Cache<Key, Entry, Bytewise>,
    /// How often changes may have been missed. What came before is not fresh, over whichever session it came.
    epoch: AtomicU64,
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
    sent_at: Instant,
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
        Ok(Some(Arc::new(Self {
            namespaces: named.iter().map(|namespace| name(namespace).to_owned()).collect(),
            serve_when_unavailable: options.serve_when_unavailable,
            entries: map_of(bytes_max),
            epoch: AtomicU64::new(0),
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
        (now < entry.fresh_until && self.is_certain(&entry, now)).then_some(entry.value)
    }

    /// All changes since it came were reported.
    fn is_certain(&self, entry: &Entry, now: Instant) -> bool {
        entry.epoch == self.epoch.load(Ordering::Acquire) && entry.watch.is_live(now)
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
        self.has(namespace).then(|| self.ticket(namespace, key, Instant::now()))
    }

    /// The same for many keys, whose requests leave together.
    pub fn ask_many(self: &Arc<Self>, namespace: &str, keys: &[String]) -> Tickets {
        if !self.has(namespace) {
            return Tickets::default();
        }
        let sent_at = Instant::now();
        Tickets(keys.iter().map(|key| (key.clone(), self.ticket(namespace, key, sent_at))).collect())
    }

    fn ticket(self: &Arc<Self>, namespace: &str, key: &str, sent_at: Instant) -> Ticket {
        let mut asking = self.asking();
        asking.last += 1;
        let number = asking.last;
        let (namespace, key) = (name(namespace).to_owned(), key.to_owned());
        asking.by_number.insert(number, Question { namespace, key, sent_at, overtaken: false });
        Ticket { cache: self.clone(), number }
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

    /// Changes may have been missed, so any entry may be old. It may still be better than nothing.
    pub fn missed(&self) {
        let mut asking = self.asking();
        asking.by_number.values_mut().for_each(|asked| asked.overtaken = true);
        self.epoch.fetch_add(1, Ordering::Release);
        if !self.serve_when_unavailable {
            self.entries.clear();
        }
    }

    /// The service answers again, or a session has begun. What was kept for its absence is dropped.
    pub fn drop_broken(&self) {
        let _asking = self.asking();
        let now = Instant::now();
        self.entries.retain(|_, entry| self.is_certain(entry, now));
    }

    /// A value of which this session does not report changes may be older than its answer.
    fn drop_older(&self, key: &Borrowed<'_>, watch: &Arc<Watch>) {
        let epoch = self.epoch.load(Ordering::Acquire);
        let is_of_another = |entry: Entry| !Arc::ptr_eq(&entry.watch, watch) || entry.epoch != epoch;
        if self.serve_when_unavailable && self.entries.peek(key).is_some_and(is_of_another) {
            self.entries.remove(key);
        }
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
        let mut asking = self.cache.asking();
        let Some(question) = asking.by_number.remove(&self.number) else { return };
        self.cache.drop_older(&Borrowed(&question.namespace, &question.key), watch);
        let Some(Outcome::Hit(hit)) = &response.outcome else { return };
        if question.overtaken {
            return;
        }
        // The service counted from its answer. It made that at some time after the request was sent.
        let fresh_until = question.sent_at + duration(hit.fresh_for_ms);
        let now = Instant::now();
        if now >= fresh_until || !watch.is_live(now) {
            return;
        }
        let value = match &hit.payload {
            // A copy, because the message it came in, up to a megabyte, must not live as long as it does.
            Some(v1::hit::Payload::Value(bytes)) => Some(Bytes::copy_from_slice(bytes)),
            Some(v1::hit::Payload::Absent(_)) => None,
            None => return,
        };
        let key = Key { namespace: question.namespace.into(), key: question.key.into() };
        let tags = hit.tags.as_ref().map(|tags| tags.names.clone().into());
        let (watch, epoch) = (watch.clone(), self.cache.epoch.load(Ordering::Acquire));
        self.cache.entries.insert(key, Entry { value, fresh_until, watch, epoch, tags });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.cache.asking().by_number.remove(&self.number);
    }
}

/// The tickets of a request for many keys, by key.
#[derive(Default)]
pub(crate) struct Tickets(HashMap<String, Ticket>);

impl Tickets {
    /// The answer to one of the keys came over this session.
    pub fn answered(&mut self, answer: &v1::GetOrLockManyResponse, watch: &Arc<Watch>) {
        if let (Some(ticket), Some(Answered::Response(response))) = (self.0.remove(&answer.key), &answer.result) {
            ticket.answered(response, watch);
        }
    }
}

fn map_of(bytes_max: u64) -> Cache<Key, Entry, Bytewise> {
    let items = usize::try_from(bytes_max / ESTIMATED_ENTRY_BYTES).unwrap_or(usize::MAX).max(1);
    let parts = usize::try_from(bytes_max / PART_BYTES_MIN).unwrap_or(usize::MAX);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut options = OptionsBuilder::new();
    options.estimated_items_capacity(items).weight_capacity(bytes_max).shards(parts.clamp(1, 4 * cores));
    let options = options.build().expect("all of it is set");
    Cache::with_options(options, Bytewise, DefaultHashBuilder::default(), DefaultLifecycle::default())
}

/// The empty namespace is the service's `default`.
fn name(namespace: &str) -> &str {
    if namespace.is_empty() { "default" } else { namespace }
}

#[cfg(test)]
mod times;
