//! Equal calls of one process become one.
use std::{
    collections::HashMap,
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};

use crate::error::Error;

/// What a flight brings: the value's bytes, or none where the source has nothing.
pub(crate) type Outcome = Result<Option<Bytes>, Error>;
type Flight = WeakShared<BoxFuture<'static, Outcome>>;

/// Joins equal calls inside one process: those who come while one is under way share its result. Each caller leaves
/// by dropping its future; the call is dropped when all have.
pub(crate) struct Flights<Id>(Mutex<Running<Id>>);

struct Running<Id> {
    by_id: HashMap<Id, (u64, Flight)>,
    started: u64,
}

impl<Id: Clone + Eq + Hash + Send + 'static> Flights<Id> {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Running { by_id: HashMap::new(), started: 0 })))
    }

    pub async fn join<F>(self: &Arc<Self>, id: Id, flight: impl FnOnce() -> F) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        self.take(id, flight).await
    }

    fn take<F>(self: &Arc<Self>, id: Id, flight: impl FnOnce() -> F) -> Shared<BoxFuture<'static, Outcome>>
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut running = self.running();
        if let Some(shared) = running.by_id.get(&id).and_then(|(_, flight)| flight.upgrade()) {
            return shared;
        }
        running.started += 1;
        let landing = Landing { flights: self.clone(), id: id.clone(), number: running.started };
        let flying = flight();
        // Whoever of the callers is polled carries it on: one that is not holds up nobody.
        let shared = async move {
            let _landing = landing;
            flying.await
        };
        let shared = shared.boxed().shared();
        if let Some(flight) = shared.downgrade() {
            let number = running.started;
            running.by_id.insert(id, (number, flight));
        }
        shared
    }

    fn running(&self) -> MutexGuard<'_, Running<Id>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a flight off when it ends, and only the one that is still its own: another may have begun since this one was
/// abandoned.
struct Landing<Id: Clone + Eq + Hash + Send + 'static> {
    flights: Arc<Flights<Id>>,
    id: Id,
    number: u64,
}

impl<Id: Clone + Eq + Hash + Send + 'static> Drop for Landing<Id> {
    fn drop(&mut self) {
        let mut running = self.flights.running();
        if running.by_id.get(&self.id).is_some_and(|(number, _)| *number == self.number) {
            running.by_id.remove(&self.id);
        }
    }
}
