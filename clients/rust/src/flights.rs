//! Equal calls of one process become one.
//!
//! A flight has three stages. Before its request is sent, any equal call joins. While the request is under way, calls
//! join only where a live session watches the namespace, and until a change of it arrives: an answer from before an
//! invalidation must not reach a caller that came after it. Once the lease is here, calls join the rebuild with any
//! options, until its result is sent; what such a latecomer is given is for [`Landed`] to say.
use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use tokio::{
    runtime::{self, Handle},
    time::Instant,
};

use crate::{
    error::{Error, RebuildError},
    options::{FlightId, Options, Read, Stale, key_id, key_id_of},
    seat::Seat,
};

/// What a call brings: the value's bytes, or none where the source has nothing.
pub(crate) type Outcome = Result<Option<Bytes>, Error>;
/// Namespace and key.
pub(crate) type KeyId = (String, String);
pub(crate) type Landing = Shared<BoxFuture<'static, Landed>>;

/// What a flight came to.
#[derive(Clone)]
pub(crate) enum Landed {
    Ended {
        outcome: Outcome,
        /// It is also for callers that came after the lease: the service has stored the value and it counts, or it has
        /// taken the failure.
        for_latecomers: bool,
    },
    /// Its lease was lost: each caller asks again, within its own wait. What the rebuild said of it, if anything.
    LeaseLost(Option<RebuildError>),
}

impl Landed {
    /// For the callers that were there before the lease.
    pub fn for_members(outcome: Outcome) -> Self {
        Self::Ended { outcome, for_latecomers: false }
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Stage {
    NotSent,
    Asked { watched: bool },
    Rebuilding { since: Instant, has_previous: bool },
}

/// The flights of one client. Each caller leaves by dropping its future; a flight is dropped when all have.
#[derive(Default)]
pub(crate) struct Flights(Mutex<Running>);

#[derive(Default)]
struct Running {
    by_key: HashMap<KeyId, Vec<Entry>>,
    started: u64,
}

struct Entry {
    number: u64,
    id: FlightId,
    /// A flight of another runtime may never be polled again, or has timers that have ended.
    runtime: runtime::Id,
    stage: Stage,
    closed: bool,
    until: Instant,
    landing: WeakShared<BoxFuture<'static, Landed>>,
}

impl Entry {
    fn takes(&self, options: &Options) -> bool {
        if self.closed {
            return false;
        }
        // Callers that want what is newer than their call ask by themselves.
        if options.read == Read::Store || options.refresh && !options.undecodable {
            return false;
        }
        match self.stage {
            Stage::NotSent => self.id == options.flight_id(),
            Stage::Asked { watched } => watched && self.id == options.flight_id(),
            // Where a stale value is good enough the service has it at once.
            Stage::Rebuilding { has_previous, .. } => {
                !has_previous || options.stale == Some(Stale::Forbid) || options.undecodable
            }
        }
    }
}

impl Flights {
    /// A seat in a flight that takes this call, else in the new one that `fly` makes.
    pub fn board<F>(self: &Arc<Self>, options: &Options, until: Instant, fly: impl FnOnce(Flight) -> F) -> Seat
    where
        F: Future<Output = Landed> + Send + 'static,
    {
        let runtime = Handle::current().id();
        let mut running = self.running();
        let entries = running.by_key.get(&key_id(options)).map_or(&[][..], Vec::as_slice);
        let found = entries.iter().filter(|entry| entry.runtime == runtime && entry.takes(options));
        if let Some((entry, landing)) = found.filter_map(|entry| Some((entry, entry.landing.upgrade()?))).next() {
            let flight = self.handle(options, entry.number);
            return match entry.stage {
                Stage::Rebuilding { since, .. } => Seat::late(landing, since),
                _ => Seat::joined(landing, flight, entry.until),
            };
        }
        Seat::own(self.add(&mut running, options, Stage::NotSent, false, until, fly))
    }

    /// A seat in a new flight, which no other call joins before it has a lease.
    pub fn alone<F>(self: &Arc<Self>, options: &Options, until: Instant, fly: impl FnOnce(Flight) -> F) -> Seat
    where
        F: Future<Output = Landed> + Send + 'static,
    {
        let asked = Stage::Asked { watched: false };
        Seat::own(self.add(&mut self.running(), options, asked, false, until, fly))
    }

    /// A seat in the rebuild of this key that runs without a lease, else in the new one that `fly` makes.
    pub fn board_local<F>(self: &Arc<Self>, options: &Options, fly: impl FnOnce(Flight) -> F) -> Seat
    where
        F: Future<Output = Landed> + Send + 'static,
    {
        let runtime = Handle::current().id();
        let mut running = self.running();
        let entries = running.by_key.get(&key_id(options)).map_or(&[][..], Vec::as_slice);
        let mut found = entries.iter().filter(|entry| entry.runtime == runtime && !entry.closed);
        let now = Instant::now();
        if let Some((entry, landing)) = found.find_map(|entry| Some((entry, entry.landing.upgrade()?)))
            && let Stage::Rebuilding { since, .. } = entry.stage
        {
            return Seat::late(landing, since);
        }
        let stage = Stage::Rebuilding { since: now, has_previous: false };
        Seat::own(self.add(&mut running, options, stage, false, now, fly))
    }

    fn add<F>(
        self: &Arc<Self>,
        running: &mut Running,
        options: &Options,
        stage: Stage,
        closed: bool,
        until: Instant,
        fly: impl FnOnce(Flight) -> F,
    ) -> Landing
    where
        F: Future<Output = Landed> + Send + 'static,
    {
        running.started += 1;
        let number = running.started;
        let flight = self.handle(options, number);
        let listed = Listed(flight.clone());
        let flying = fly(flight);
        // Each caller that is polled carries the flight on: one that is not polled holds up no other.
        let shared = async move {
            let _listed = listed;
            flying.await
        };
        let shared = shared.boxed().shared();
        if let Some(landing) = shared.downgrade() {
            let (id, runtime) = (options.flight_id(), Handle::current().id());
            let entry = Entry { number, id, runtime, stage, closed, until, landing };
            running.by_key.entry(key_id(options)).or_default().push(entry);
        }
        shared
    }

    /// A change of the key has arrived: callers from now on join no flight from before it.
    pub fn close_key(&self, namespace: &str, key: &str) {
        let mut running = self.running();
        for entry in running.by_key.get_mut(&key_id_of(namespace, key)).into_iter().flatten() {
            entry.closed = true;
        }
    }

    /// As [`Self::close_key`], for a change of any of the namespace's keys.
    pub fn close_namespace(&self, namespace: &str) {
        let (namespace, _) = key_id_of(namespace, "");
        self.close_where(|(of, _)| *of == namespace);
    }

    /// As [`Self::close_key`], where changes may have been missed.
    pub fn close_all(&self) {
        self.close_where(|_| true);
    }

    fn close_where(&self, so: impl Fn(&KeyId) -> bool) {
        let mut running = self.running();
        let entries = running.by_key.iter_mut().filter(|(key, _)| so(key));
        for entry in entries.flat_map(|(_, entries)| entries) {
            entry.closed = true;
        }
    }

    fn handle(self: &Arc<Self>, options: &Options, number: u64) -> Flight {
        Flight { flights: self.clone(), key: key_id(options), number }
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a flight tells of itself as it goes on.
#[derive(Clone)]
pub(crate) struct Flight {
    flights: Arc<Flights>,
    key: KeyId,
    number: u64,
}

impl Flight {
    /// Its request is handed to the transport; `watched`: by a live session that hears of changes of its namespace.
    pub fn sent(&self, watched: bool) {
        self.change(|entry| {
            // A second request of the same call is no newer than what its first callers wanted.
            if entry.stage == Stage::NotSent {
                entry.stage = Stage::Asked { watched };
            }
        });
    }

    /// The lease is here, and its rebuild begins.
    pub fn leased(&self, has_previous: bool) {
        let since = Instant::now();
        self.change(|entry| entry.stage = Stage::Rebuilding { since, has_previous });
    }

    /// From now on it takes no more callers.
    pub fn close(&self) {
        self.change(|entry| entry.closed = true);
    }

    /// There is a lease: callers that were there before it have what it brings, however long that takes.
    pub fn is_rebuilding(&self) -> bool {
        let mut rebuilding = false;
        self.change(|entry| rebuilding = matches!(entry.stage, Stage::Rebuilding { .. }));
        rebuilding
    }

    /// Goes on as a flight of its own, behind what this one brings its callers; closed where this one is.
    pub fn succeed<F>(&self, options: &Options, fly: impl FnOnce(Flight) -> F) -> Landing
    where
        F: Future<Output = Landed> + Send + 'static,
    {
        let mut running = self.flights.running();
        let entries = running.by_key.get_mut(&self.key).into_iter().flatten();
        let own = entries.into_iter().find(|entry| entry.number == self.number);
        let (stage, closed, until) = match own {
            Some(own) => (own.stage, std::mem::replace(&mut own.closed, true), own.until),
            None => (Stage::NotSent, true, Instant::now()),
        };
        self.flights.add(&mut running, options, stage, closed, until, fly)
    }

    fn change(&self, change: impl FnOnce(&mut Entry)) {
        let mut running = self.flights.running();
        let entries = running.by_key.get_mut(&self.key).into_iter().flatten();
        if let Some(entry) = entries.into_iter().find(|entry| entry.number == self.number) {
            change(entry);
        }
    }
}

/// Takes a flight off when it ends, or when all of its callers have left.
struct Listed(Flight);

impl Drop for Listed {
    fn drop(&mut self) {
        let Flight { flights, key, number } = &self.0;
        let mut running = flights.running();
        if let Some(entries) = running.by_key.get_mut(key) {
            entries.retain(|entry| entry.number != *number);
            if entries.is_empty() {
                running.by_key.remove(key);
            }
        }
    }
}
