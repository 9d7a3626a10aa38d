//! Gathers the rebuilds of single keys into calls for several.
use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    error::RebuildError,
    lease::Lease,
    rebuild::{Rebuild, RebuildBytes},
};

/// Keys whose leases come later, one after the other, are rebuilt together if they come within this time. It doubles
/// with each such rebuild, because under load the leases for a thousand keys trickle in.
const GATHER_MIN: Duration = Duration::from_millis(10);
const GATHER_MAX: Duration = Duration::from_millis(160);

type Made = Result<Option<Bytes>, RebuildError>;
/// The result of a rebuild of several keys: for each of them, or for all. A missing key is absent.
pub(crate) type MadeMany = Result<Arc<HashMap<String, Made>>, RebuildError>;
/// Rebuilds the bytes of several keys.
pub(crate) type RebuildMany = Arc<dyn Fn(Vec<(String, Lease)>) -> BoxFuture<'static, MadeMany> + Send + Sync>;

/// The keys of one call. The first rebuild is for all keys that may get a lease with the first answers. Later ones are
/// for the keys that come within a short time.
pub(crate) struct Gathering {
    rebuild: RebuildMany,
    state: Mutex<State>,
    /// All keys of the first rebuild have come.
    complete: CancellationToken,
}

type Landing = Shared<BoxFuture<'static, MadeMany>>;
/// The keys of a rebuild that has not begun, each with its lease.
type Next = (Vec<(String, Lease)>, WeakShared<BoxFuture<'static, MadeMany>>);

struct State {
    /// Keys that may still join the first rebuild.
    coming: HashSet<String>,
    /// The rebuild that has not begun, and its keys.
    next: Option<Next>,
    pause: Duration,
}

impl Gathering {
    pub fn new(rebuild: RebuildMany, keys: impl IntoIterator<Item = String>) -> Arc<Self> {
        let state = State { coming: keys.into_iter().collect(), next: None, pause: GATHER_MIN };
        let (state, complete) = (Mutex::new(state), CancellationToken::new());
        Arc::new(Self { rebuild, state, complete })
    }

    /// The rebuild of one key by its first answer. When it is dropped, the key no longer comes.
    pub fn first(self: &Arc<Self>, key: &str) -> RebuildBytes {
        Arc::new(First(self.of(key)))
    }

    /// The rebuild of one key that is asked for again.
    pub fn again(self: &Arc<Self>, key: &str) -> RebuildBytes {
        Arc::new(self.of(key))
    }

    fn of(self: &Arc<Self>, key: &str) -> OfKey {
        OfKey { gathering: self.clone(), key: key.to_owned() }
    }

    /// The key does not hold up the first rebuild: it waits for another caller, or has all that it needs.
    pub fn goes_without(&self, key: &str) {
        let mut state = self.state();
        state.coming.remove(key);
        if state.coming.is_empty() {
            self.complete.cancel();
        }
    }

    /// Joins the rebuild that has not begun.
    fn join(self: &Arc<Self>, key: &str, lease: Lease) -> Landing {
        let mut state = self.state();
        let member = (key.to_owned(), lease);
        // A rebuild whose keys have all left does not begin.
        let next = state.next.take().and_then(|(members, landing)| Some((members, landing.upgrade()?)));
        let (mut members, landing) = next.unwrap_or_else(|| {
            let is_first = !self.complete.is_cancelled();
            let landing = run(Arc::downgrade(self), self.rebuild.clone(), is_first).boxed().shared();
            (Vec::new(), landing)
        });
        members.retain(|(known, _)| known != key);
        members.push(member);
        state.next = landing.downgrade().map(|landing| (members, landing));
        drop(state);
        self.goes_without(key);
        landing
    }

    /// How long the next rebuild still gathers.
    fn pause(&self) -> Duration {
        let mut state = self.state();
        let doubled = (state.pause * 2).min(GATHER_MAX);
        mem::replace(&mut state.pause, doubled)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One rebuild. Each of its keys drives it. It ends when all have left.
async fn run(gathering: Weak<Gathering>, rebuild: RebuildMany, is_first: bool) -> MadeMany {
    // Its keys hold it.
    let Some(gathering) = gathering.upgrade() else { return Ok(Arc::default()) };
    if is_first {
        gathering.complete.cancelled().await;
    } else {
        sleep(gathering.pause()).await;
    }
    let members = gathering.state().next.take().map(|(members, _)| members).unwrap_or_default();
    drop(gathering);
    rebuild(members.into_iter().filter(|(_, lease)| !lease.is_lost()).collect()).await
}

struct OfKey {
    gathering: Arc<Gathering>,
    key: String,
}

impl Rebuild for OfKey {
    fn run(&self, lease: Lease) -> BoxFuture<'static, Made> {
        let landing = self.gathering.join(&self.key, lease);
        let (gathering, key) = (self.gathering.clone(), self.key.clone());
        async move {
            let _held = gathering;
            landing.await?.get(&key).cloned().unwrap_or(Ok(None))
        }
        .boxed()
    }

    fn waits(&self) {
        self.gathering.goes_without(&self.key);
    }
}

struct First(OfKey);

impl Rebuild for First {
    fn run(&self, lease: Lease) -> BoxFuture<'static, Made> {
        self.0.run(lease)
    }

    fn waits(&self) {
        self.0.waits();
    }
}

impl Drop for First {
    fn drop(&mut self) {
        self.0.waits();
    }
}
