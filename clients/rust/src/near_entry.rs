//! The entries of the near cache, and their keys.
use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use bytes::Bytes;
use quick_cache::{Equivalent, Weighter};
use tokio::time::Instant;

use crate::watch::Watch;

/// The size of an entry without its key and its value.
const ENTRY_BYTES: u64 = 200;

/// The key of an entry.
#[derive(Eq, PartialEq)]
pub(crate) struct Key {
    pub namespace: Box<str>,
    pub key: Box<str>,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Borrowed(&self.namespace, &self.key).hash(state);
    }
}

/// A key for look-ups, without a copy.
#[derive(Hash)]
pub(crate) struct Borrowed<'a>(pub &'a str, pub &'a str);

impl Equivalent<Key> for Borrowed<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.1 == *key.key && *self.0 == *key.namespace
    }
}

/// A value, or a known absence.
#[derive(Clone)]
pub(crate) struct Entry {
    /// None if the source has nothing.
    pub value: Option<Bytes>,
    pub fresh_until: Instant,
    pub watch: Arc<Watch>,
    /// When it came, counted in the times that changes may have been missed.
    pub epoch: u64,
    /// None if the replica does not report them: any tag may be one of them.
    pub tags: Option<Arc<[String]>>,
}

/// Bounds the map by its bytes.
#[derive(Clone)]
pub(crate) struct Bytewise;

impl Weighter<Key, Entry> for Bytewise {
    fn weight(&self, key: &Key, entry: &Entry) -> u64 {
        let value = entry.value.as_ref().map_or(0, Bytes::len);
        let tags: usize = entry.tags.iter().flat_map(|tags| tags.iter()).map(String::len).sum();
        ENTRY_BYTES + (key.namespace.len() + key.key.len() + value + tags) as u64
    }
}
