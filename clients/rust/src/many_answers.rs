//! Repeats GetOrLockMany until there are answers.
use std::{
    collections::{HashMap, HashSet},
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};
use tonic::Code;
use uuid::Uuid;

use crate::{
    asking::{Begun, Given},
    calls::within,
    core::Core,
    error::CallError,
    gathering::Gathering,
    held_lease::HeldLease,
    options::{Options, WAIT, WAY},
    v1::{self, BusyReason, get_or_lock_many_response::Result as Answered, get_or_lock_response::Outcome},
};

/// The contract's bound of one call.
const KEYS_MAX: usize = 1_000;
/// How long keys with an immediate lease wait for keys that the service has not decided, or not answered.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// The first answer of each of many keys. The first request does not wait, so that all available leases come at once
/// and their keys are rebuilt together. Then one call waits for the keys that other callers rebuild.
pub(crate) struct ManyAnswers {
    core: Arc<Core>,
    /// The options of the call. Their key is unused.
    options: Arc<Options>,
    gathering: Arc<Gathering>,
    request_id: String,
    until: Instant,
    /// Keys that have no answer yet.
    open: Mutex<HashMap<String, Open>>,
    /// In the order in which the caller named them.
    keys: Vec<String>,
}

struct Open {
    options: Arc<Options>,
    answer: oneshot::Sender<Given>,
}

impl ManyAnswers {
    pub fn new(core: Arc<Core>, options: Arc<Options>, gathering: Arc<Gathering>, until: Instant) -> Self {
        let request_id = Uuid::new_v4().to_string();
        Self { core, options, gathering, request_id, until, open: Mutex::default(), keys: Vec::new() }
    }

    /// Call it for each key before [`Self::ask`]. `options` are those of the key.
    pub fn of(&mut self, options: Arc<Options>) -> Begun {
        let (answer, given) = oneshot::channel();
        let key = options.key.clone();
        self.keys.push(key.clone());
        let open = self.open.get_mut().unwrap_or_else(PoisonError::into_inner);
        open.insert(key, Open { options, answer });
        Begun { request_id: self.request_id.clone(), given }
    }

    /// Asks for all keys, each at the replica that has it.
    pub async fn ask(mut self) {
        let groups = self.core.calls.groups(std::mem::take(&mut self.keys)).await;
        let pieces = groups.iter().flat_map(|group| group.chunks(KEYS_MAX));
        join_all(pieces.map(|keys| self.ask_piece(keys.to_vec()))).await;
    }

    async fn ask_piece(&self, keys: Vec<String>) {
        tokio::select! {
            () = self.go_without(&keys) => {}
            () = self.answer_piece(keys.clone()) => {}
        }
    }

    /// An answer that hangs must not keep the leases that have come waiting. Never ends.
    async fn go_without(&self, keys: &[String]) {
        sleep(LOOK).await;
        keys.iter().for_each(|key| self.gathering.goes_without(key));
        pending().await
    }

    async fn answer_piece(&self, keys: Vec<String>) {
        if self.options.wait == Some(Duration::ZERO) {
            self.pass(keys, false).await;
            return;
        }
        let held = self.look(keys).await;
        for key in &held {
            self.gathering.goes_without(key);
        }
        if !held.is_empty() {
            self.pass(held, false).await;
        }
    }

    /// Asks without a wait, and again while no other caller has the lease of a key: a service under load has not
    /// decided all of a thousand keys at once. Returns the keys to wait for.
    async fn look(&self, keys: Vec<String>) -> Vec<String> {
        let until = self.until.min(Instant::now() + LOOK);
        let (mut asked, mut held) = (keys, Vec::new());
        loop {
            let busy = self.pass(asked, true).await;
            let (undecided, others): (Vec<_>, Vec<_>) =
                busy.into_iter().partition(|(_, reason)| *reason == BusyReason::Undecided);
            held.extend(others.into_iter().map(|(key, _)| key));
            asked = undecided.into_iter().map(|(key, _)| key).collect();
            if asked.is_empty() || Instant::now() >= until {
                held.append(&mut asked);
                return held;
            }
            sleep(LOOK_PAUSE).await;
        }
    }

    /// One call, and another one if it breaks off. Returns the busy keys, which a look does not settle.
    async fn pass(&self, keys: Vec<String>, look: bool) -> Vec<(String, BusyReason)> {
        let (mut left, mut busy) = (keys.iter().cloned().collect::<HashSet<_>>(), Vec::new());
        let mut in_vain = false;
        loop {
            let asked: Vec<_> = keys.iter().filter(|key| left.contains(*key)).cloned().collect();
            let count = left.len();
            let sent_at = Instant::now();
            let ended = self.call(asked, look, sent_at, &mut left, &mut busy).await;
            // Another replica may answer the second.
            let again = |error: &CallError| error.code == Code::Unavailable && error.is_unreachable() && !in_vain;
            let error = match ended {
                Ok(()) => CallError::new(Code::Internal, "the service has left out this key"),
                Err(error) if again(&error) && !left.is_empty() => {
                    in_vain = left.len() == count;
                    continue;
                }
                Err(error) => error,
            };
            for key in left {
                self.settle(&key, Err(error.clone()), sent_at);
            }
            return busy;
        }
    }

    async fn call(
        &self,
        keys: Vec<String>,
        look: bool,
        sent_at: Instant,
        left: &mut HashSet<String>,
        busy: &mut Vec<(String, BusyReason)>,
    ) -> Result<(), CallError> {
        let time = self.until.saturating_duration_since(sent_at);
        let (wait, time) = match self.options.wait {
            // A service under load takes its time for a thousand keys, and is not lost.
            _ if look => (Some(Duration::ZERO), time),
            Some(_) if time <= WAIT => (Some(time), time),
            // As long as the deadline and the service allow.
            _ => (None, time),
        };
        let request = self.options.get_or_lock_many(keys, self.request_id.clone(), self.core.holder.clone(), wait);
        let terms = within(time + WAY, self.options.trace.traceparent());
        let mut each = |v1::GetOrLockManyResponse { key, result }| {
            left.remove(&key);
            let response = match result {
                Some(Answered::Response(response)) => Ok(response),
                Some(Answered::Error(error)) => Err(CallError::of_reply(error)),
                None => Err(CallError::new(Code::Internal, "an answer of a kind that is not known")),
            };
            match &response {
                Ok(v1::GetOrLockResponse { outcome: Some(Outcome::Busy(its)), .. }) if look => {
                    busy.push((key, its.reason()));
                }
                _ => self.settle(&key, response, sent_at),
            }
        };
        self.core.calls.get_or_lock_many(request, terms, &mut each).await
    }

    /// Its caller may have left. Then a lease goes back.
    fn settle(&self, key: &str, response: Result<v1::GetOrLockResponse, CallError>, sent_at: Instant) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        let Some(Open { options, answer }) = open else { return };
        let given = match response {
            Ok(v1::GetOrLockResponse { outcome: Some(Outcome::Lease(lease)), .. }) => {
                Given::Lease(Box::new(HeldLease::new(self.core.clone(), options, lease, sent_at)))
            }
            response => {
                // Without the service, this process may rebuild.
                if response.as_ref().err().is_none_or(|error| !error.is_unreachable()) {
                    self.gathering.goes_without(key);
                }
                Given::Response(response)
            }
        };
        let _ = answer.send(given);
    }
}

#[cfg(test)]
mod hanging;
#[cfg(test)]
mod long_waits;
