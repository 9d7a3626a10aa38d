//! Equal calls of one process become one.
//!
//! A flight has three stages. Before its request is sent, any equal call joins. While the request is under way, calls
//! join only where a live session watches the namespace, and until a change of it arrives: an answer from before an
//! invalidation must not reach a caller that came after it. Once the lease is here, calls join the rebuild with any
//! options, until its result is sent, unless the service may have a value for them meanwhile. What such a latecomer is
//! given is for [`Landed`] to say.
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
use tokio_util::sync::CancellationToken;

use crate::{
    error::{Error, RebuildError},
    options::{FlightId, Options, Read, Stale, key_id, key_id_of},
    seat::Seat,
};

/// The result of a call: the value's bytes, or none if the source has nothing.
pub(crate) type Outcome = Result<Option<Bytes>, Error>;
/// Namespace and key.
pub(crate) type KeyId = (String, String);
pub(crate) type Landing = Shared<BoxFuture<'static, Landed>>;

/// The result of a flight.
#[derive(Clone)]
pub(crate) enum Landed {
    Ended {
        outcome: Outcome,
        /// It is also for callers that came after the lease: the service has stored the value and it counts, or it has
        /// accepted the failure.
        for_latecomers: bool,
    },
    /// Its lease was lost. Each caller asks again, within its own wait. Carries the rebuild's error, if any.
    LeaseLost(Option<RebuildError>),
}

impl Landed {
    /// For the callers that came before the lease.
    pub fn for_members(outcome: Outcome) -> Self {
        Self::Ended { outcome, for_latecomers: false }
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Stage {
    NotSent,
    Asked { watched: bool },
    Rebuilding { since: Instant, beside: Beside },
}

/// What the service has, while a rebuild runs, for callers that ask.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Beside {
    /// Nothing. But a holder that accepts no stale value gets no notice of one.
    Nothing,
    /// The stale value.
    Stale,
    /// The fresh value that is being refreshed.
    Fresh,
}

/// The flights of one client. Each caller leaves by dropping its future. A flight is dropped when all have left.
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
    /// A flight of another runtime may never be polled again, or may have timers that have ended.
    runtime: runtime::Id,
    stage: Stage,
    closed: bool,
    until: Instant,
    begun: CancellationToken,
    landing: WeakShared<BoxFuture<'static, Landed>>,
}

impl Entry {
    /// `watched`: a live session reports changes of the namespace now. It may have been silent for too long since the
    /// request was sent.
    fn takes(&self, options: &Options, watched: bool) -> bool {
        if self.closed {
            return false;
        }
        // Callers that need something newer than their call ask separately.
        if options.read == Read::Store || options.refresh && !options.undecodable {
            return false;
        }
        match self.stage {
            Stage::NotSent => self.id == options.flight_id(),
            Stage::Asked { watched: then } => then && watched && self.id == options.flight_id(),
            // It has what there is, and cannot read it.
            Stage::Rebuilding { .. } if options.undecodable => true,
            Stage::Rebuilding { beside, .. } => match (beside, options.stale) {
                (Beside::Fresh, _) => false,
                (_, Some(Stale::Forbid)) => true,
                (Beside::Stale, _) => false,
                (Beside::Nothing, its) => self.id.stale == Some(Stale::Allow) || self.id.stale == its,
            },
        }
    }
}

impl Flights {
    /// A seat in a flight that accepts this call, or in the new one that `fly` makes. `watched`: a live session reports
    /// changes of the namespace now.
    pub fn board<F>(
        self: &Arc<Self>,
        options: &Options,
        watched: bool,
        until: Instant,
        fly: impl FnOnce(Flight) -> F,
    ) -> Seat
    where
        F: Future<Output = Landed> + Send + 'static,
    {
        let runtime = Handle::current().id();
        let mut running = self.running();
        let entries = running.by_key.get(&key_id(options)).map_or(&[][..], Vec::as_slice);
        let found = entries.iter().filter(|entry| entry.runtime == runtime && entry.takes(options, watched));
        if let Some((entry, landing)) = found.filter_map(|entry| Some((entry, entry.landing.upgrade()?))).next() {
            return match entry.stage {
                Stage::Rebuilding { since, .. } => Seat::late(landing, since),
                _ => Seat::joined(landing, entry.begun.clone(), entry.until),
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

    /// A seat in the running rebuild of this key without a lease, or in the new one that `fly` makes.
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
        let stage = Stage::Rebuilding { since: now, beside: Beside::Nothing };
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
        let begun = CancellationToken::new();
        let flight = Flight { flights: self.clone(), key: key_id(options), number, begun: begun.clone() };
        let listed = Listed(flight.clone());
        let flying = fly(flight);
        // Each caller that is polled drives the flight, so a caller that is not polled holds up no other.
        let shared = async move {
            let _listed = listed;
            flying.await
        };
        let shared = shared.boxed().shared();
        if let Some(landing) = shared.downgrade() {
            let (id, runtime) = (options.flight_id(), Handle::current().id());
            let entry = Entry { number, id, runtime, stage, closed, until, begun, landing };
            running.by_key.entry(key_id(options)).or_default().push(entry);
        }
        shared
    }

    /// A change of the key has arrived. Later callers join no flight from before it.
    pub fn close_key(&self, namespace: &str, key: &str) {
        let mut running = self.running();
        for entry in running.by_key.get_mut(&key_id_of(namespace, key)).into_iter().flatten() {
            entry.closed = true;
        }
    }

    /// Like [`Self::close_key`], for rebuilds that began before the call.
    pub fn close_older(&self, options: &Options) {
        let mut running = self.running();
        for entry in running.by_key.get_mut(&key_id(options)).into_iter().flatten() {
            let is_older = matches!(entry.stage, Stage::Rebuilding { since, .. } if since < options.called_at);
            entry.closed |= is_older;
        }
    }

    /// Like [`Self::close_key`], for a change of any of the namespace's keys.
    pub fn close_namespace(&self, namespace: &str) {
        let (namespace, _) = key_id_of(namespace, "");
        self.close_where(|(of, _), _| *of == namespace);
    }

    /// Like [`Self::close_key`], if changes may have been missed.
    pub fn close_all(&self) {
        self.close_where(|_, _| true);
    }

    /// Like [`Self::close_key`], for requests under way that callers join.
    pub fn close_joined(&self) {
        self.close_where(|_, entry| matches!(entry.stage, Stage::Asked { watched: true }));
    }

    fn close_where(&self, so: impl Fn(&KeyId, &Entry) -> bool) {
        let mut running = self.running();
        for (key, entries) in &mut running.by_key {
            for entry in entries {
                entry.closed |= so(key, entry);
            }
        }
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a flight reports about its progress.
#[derive(Clone)]
pub(crate) struct Flight {
    flights: Arc<Flights>,
    key: KeyId,
    number: u64,
    begun: CancellationToken,
}

impl Flight {
    /// Its request is passed to the transport. `watched`: by a live session that reports changes of its namespace.
    pub fn sent(&self, watched: bool) {
        self.change(|entry| {
            // A second request of the same call is no newer than what its first callers needed.
            if entry.stage == Stage::NotSent {
                entry.stage = Stage::Asked { watched };
            }
        });
    }

    /// The lease has come, and its rebuild begins.
    pub fn leased(&self, beside: Beside) {
        let since = Instant::now();
        self.change(|entry| entry.stage = Stage::Rebuilding { since, beside });
        self.rebuilds();
    }

    /// A rebuild of this process begins, with or without a lease. Callers that joined wait for it in their own time.
    pub fn rebuilds(&self) {
        self.begun.cancel();
    }

    /// From now on it accepts no callers.
    pub fn close(&self) {
        self.change(|entry| entry.closed = true);
    }

    pub fn is_closed(&self) -> bool {
        let mut closed = true;
        self.change(|entry| closed = entry.closed);
        closed
    }

    /// Continues as a separate flight, behind the result that this one gives its callers. Closed if this one is.
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

/// Removes a flight when it ends, or when all of its callers have left.
struct Listed(Flight);

impl Drop for Listed {
    fn drop(&mut self) {
        let Flight { flights, key, number, .. } = &self.0;
        let mut running = flights.running();
        if let Some(entries) = running.by_key.get_mut(key) {
            entries.retain(|entry| entry.number != *number);
            if entries.is_empty() {
                running.by_key.remove(key);
            }
        }
    }
}
