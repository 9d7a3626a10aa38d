//! Repeats GetOrLock until there is an answer.
use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};
use tonic::Code;
use uuid::Uuid;

use crate::{
    calls::within,
    core::Core,
    error::{CallError, Error},
    flights::Flight,
    held_lease::HeldLease,
    hooks::{Event, HitSource},
    options::{Options, WAY, duration},
    v1::{self, BusyReason, get_or_lock_response::Outcome},
    wait_pieces::{Piece, WaitPieces},
};

/// A shorter wait does not count as one: it is the answer's way over the network.
const WAITED_MIN: Duration = Duration::from_millis(10);
/// The shortest pause between two requests, however soon the service allows a retry.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// How often in a row the service may break off a call before it counts as unreachable. A replica that was killed ends
/// its calls like this, and the next attempt reaches another one. If there is none, it fails within milliseconds.
const BROKEN_OFF_MAX: u32 = 2;

/// The result of a request.
pub(crate) enum Answer {
    Value {
        /// None if the source has nothing.
        bytes: Option<Bytes>,
        stale: bool,
    },
    Lease(Box<HeldLease>),
    OutOfReach(CallError),
}

/// The result of a request that was made elsewhere.
pub(crate) enum Given {
    Lease(Box<HeldLease>),
    Response(Result<v1::GetOrLockResponse, CallError>),
}

/// A request that was made together with others, and its answer to come.
pub(crate) struct Begun {
    pub request_id: String,
    pub given: oneshot::Receiver<Given>,
}

/// One call of a user's, which is the same for the service however often it is asked.
pub(crate) struct Asking {
    core: Arc<Core>,
    options: Arc<Options>,
    /// The same for every attempt, so that a lease whose answer was lost is granted again.
    request_id: String,
    until: Instant,
    pieces: WaitPieces,
    /// Replaces the first request.
    given: Option<oneshot::Receiver<Given>>,
}

impl Asking {
    pub fn new(core: Arc<Core>, options: Arc<Options>, until: Instant) -> Self {
        let pieces = WaitPieces::default();
        Self { core, options, request_id: Uuid::new_v4().to_string(), until, pieces, given: None }
    }

    /// Takes the first answer from there.
    pub fn begin(&mut self, begun: Begun) {
        self.request_id = begun.request_id;
        self.given = Some(begun.given);
    }

    /// Repeats GetOrLock until there is a value, a lease, a failure, or no time left. Tells the flight, if there is
    /// one, when its request is sent.
    pub async fn answer(&mut self, flight: Option<&Flight>) -> Result<Answer, Error> {
        let mut broken_off = 0;
        loop {
            let asked_at = Instant::now();
            if let Some(flight) = flight {
                flight.sent(self.core.calls.watches(&self.options.namespace));
            }
            // Also for an answer of a call for many, which asks for the same wait.
            let piece = self.pieces.next(self.until.saturating_duration_since(asked_at), self.options.wait.is_some());
            let response = match self.given.take() {
                None => self.ask(piece).await,
                Some(given) => match given.await {
                    Ok(Given::Lease(lease)) => return Ok(Answer::Lease(lease)),
                    Ok(Given::Response(response)) => {
                        // It was already retried.
                        broken_off = BROKEN_OFF_MAX;
                        response
                    }
                    Err(_) => continue,
                },
            };
            let outcome = match response {
                Ok(response) => response.outcome,
                Err(error) if self.pieces.learn(&error) => continue,
                Err(error) if error.is_unreachable() => {
                    broken_off += 1;
                    if error.code == Code::Unavailable && broken_off < BROKEN_OFF_MAX {
                        continue;
                    }
                    self.core.reachability.lost(&error);
                    return Ok(Answer::OutOfReach(error));
                }
                Err(error) => {
                    self.wait_to_retry(error.retry_after, error.into()).await?;
                    continue;
                }
            };
            broken_off = 0;
            let waited = asked_at.elapsed();
            match outcome {
                Some(Outcome::Hit(hit)) => {
                    if waited >= WAITED_MIN {
                        self.tell_wait(waited, true);
                    }
                    let stale = hit.freshness() == v1::Freshness::Stale;
                    return Ok(Answer::Value { bytes: served(&self.core, &self.options, &hit), stale });
                }
                Some(Outcome::Lease(lease)) => {
                    let held = HeldLease::new(self.core.clone(), self.options.clone(), lease, asked_at);
                    return Ok(Answer::Lease(Box::new(held)));
                }
                Some(Outcome::Failed(v1::Failed { message, retry_after_ms })) => {
                    self.tell_wait(waited, true);
                    return Err(Error::RebuildFailed { message, retry_after: duration(retry_after_ms) });
                }
                // Only a piece of the caller's wait has ended.
                Some(Outcome::Busy(busy)) if self.pieces.goes_on(&busy, waited, self.until) => {}
                Some(Outcome::Busy(busy)) => {
                    // There was nothing to wait for.
                    if busy.reason() != BusyReason::NoValue {
                        self.tell_wait(waited, false);
                    }
                    self.retry_after_busy(&busy).await?;
                }
                // An outcome of a later service. This version only knows that there is no answer.
                None => {
                    self.tell_wait(waited, false);
                    self.retry_after_busy(&v1::Busy::default()).await?;
                }
            }
        }
    }

    async fn ask(&self, piece: Piece) -> Result<v1::GetOrLockResponse, CallError> {
        let Self { core, options, request_id, .. } = self;
        let request = options.get_or_lock(request_id.clone(), core.holder.clone(), piece.wait);
        core.calls.get_or_lock(request, within(piece.deadline + WAY, options.trace.traceparent())).await
    }

    async fn retry_after_busy(&self, busy: &v1::Busy) -> Result<(), Error> {
        let reason = busy.reason();
        let retry_after = duration(busy.retry_after_ms);
        let error = Error::Busy { reason, retry_after, holder_age: duration(busy.holder_age_ms) };
        // Waiting longer makes no sense if the rebuild takes longer than the wait. It may take longer than a piece, or than
        // the service's longest wait if the caller sets none.
        let ends_here = match reason {
            BusyReason::NoValue => true,
            BusyReason::DeadlineTooShort => self.options.wait.is_some() && !self.pieces.is_part(),
            _ => false,
        };
        self.wait_to_retry((!ends_here).then_some(retry_after), error).await
    }

    /// Pauses as the service asked. Returns `error` if it did not ask, or if the caller's time is over by then.
    async fn wait_to_retry(&self, after: Option<Duration>, error: Error) -> Result<(), Error> {
        let Some(after) = after else { return Err(error) };
        let pause = after.max(PAUSE_MIN.mul_f64(1.0 + fastrand::f64()));
        if Instant::now() + pause >= self.until {
            return Err(error);
        }
        sleep(pause).await;
        Ok(())
    }

    fn tell_wait(&self, waited: Duration, answered: bool) {
        tell_wait(&self.core, &self.options, waited, answered);
    }
}

pub(crate) fn tell_wait(core: &Core, options: &Options, waited: Duration, answered: bool) {
    let Options { namespace, key, .. } = options;
    core.tell(&Event::Wait { namespace, key, waited, answered });
}

pub(crate) fn tell_hit(core: &Core, options: &Options, source: HitSource, stale: bool) {
    let Options { namespace, key, .. } = options;
    core.tell(&Event::Hit { namespace, key, source, stale });
}

/// The value of a hit. Tells the hook first.
pub(crate) fn served(core: &Core, options: &Options, hit: &v1::Hit) -> Option<Bytes> {
    tell_hit(core, options, HitSource::Service, hit.freshness() == v1::Freshness::Stale);
    match &hit.payload {
        Some(v1::hit::Payload::Value(bytes)) => Some(bytes.clone()),
        _ => None,
    }
}
