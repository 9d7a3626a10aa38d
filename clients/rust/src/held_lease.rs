//! A lease that this process holds.
use std::{
    error::Error as StdError,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    calls::{DEADLINE, within},
    core::Core,
    error::{CallError, Error},
    failure::failure,
    hooks::{Event, Rebuilt},
    lease::{Lease, Previous},
    lease_keeper::keep,
    options::{Options, duration, ms, ttl_ms},
    trace::{RebuildSpan, Trace},
    v1::{self, publish_request::Payload},
};

/// Shorter than a rebuild that is worth a lease, because the caller already has its value.
const PUBLISH: Duration = Duration::from_secs(2);
const PUBLISH_AGAIN: u32 = 3;
const PUBLISH_PAUSE: Duration = Duration::from_millis(100);

/// A lease that this process holds. It is extended while this lives, and given back when this is dropped.
pub(crate) struct HeldLease {
    core: Arc<Core>,
    options: Arc<Options>,
    token: String,
    previous: Option<v1::Hit>,
    told: Lease,
    keeper: AbortOnDropHandle<()>,
    /// It was published or given back.
    over: bool,
    /// Where it is given back when it is dropped.
    runtime: Handle,
    /// None if the user performs the rebuild.
    span: Option<RebuildSpan>,
    /// Replaces the caller's traceparent once its own is known. Shared with the keeper, which starts earlier.
    traceparent: Arc<OnceLock<String>>,
}

impl HeldLease {
    /// `sent_at`: when its request was sent.
    pub fn new(core: Arc<Core>, options: Arc<Options>, lease: v1::Lease, sent_at: Instant) -> Self {
        let previous = Previous::of(lease.previous.as_ref());
        let told = Lease::new(lease.fence, lease.reason().into(), previous, CancellationToken::new());
        let ended = CancellationToken::new();
        core.leases.watch(&lease.token, &ended);
        let traceparent = Arc::default();
        let kept = Kept { core: core.clone(), options: options.clone(), traceparent: Arc::clone(&traceparent) };
        let watch = watch(kept, lease.clone(), sent_at, ended, told.lost.clone());
        let keeper = AbortOnDropHandle::new(tokio::spawn(watch));
        let v1::Lease { token, previous, .. } = lease;
        let runtime = Handle::current();
        Self { core, options, token, previous, told, keeper, over: false, runtime, span: None, traceparent }
    }

    /// Begins the span of its rebuild. The span ends with it, and all its calls belong to the span.
    pub fn begin_span(&mut self) -> &RebuildSpan {
        let span = self.options.trace.rebuild(&self.options.namespace, self.told.reason, self.told.fence);
        self.carry(span.traceparent());
        self.span.insert(span)
    }

    /// Records the error of the rebuild.
    pub fn tell_span(&self, error: &(dyn StdError + 'static)) {
        if let Some(span) = &self.span {
            // The user's error may panic while it is formatted.
            let _ = catch_unwind(AssertUnwindSafe(|| span.failed(error)));
        }
    }

    /// For a rebuild by the user: later calls belong to the current trace, if there is one.
    pub fn enter_current_trace(&self) {
        if self.options.traceparent.is_empty() {
            self.carry(Trace::of_caller("").traceparent());
        }
    }

    fn carry(&self, traceparent: &str) {
        if !traceparent.is_empty() {
            let _ = self.traceparent.set(traceparent.to_owned());
        }
    }

    /// Counts the outcome of its rebuild.
    pub fn count(&self, rebuilt: Rebuilt) {
        self.core.metrics.rebuilt(&self.options.namespace, rebuilt);
    }

    /// What the rebuild gets.
    pub fn told(&self) -> &Lease {
        &self.told
    }

    /// The call that it belongs to.
    pub fn of(&self) -> (&Arc<Core>, &Arc<Options>) {
        (&self.core, &self.options)
    }

    /// The value to serve in the meantime.
    pub fn previous(&self) -> Option<&v1::Hit> {
        self.previous.as_ref()
    }

    /// Publishes the result, even if the caller leaves in the meantime. Returns whether it is stored and counts. A
    /// publish without an answer is retried in the background.
    pub async fn hand_over(self, value: Option<Bytes>) -> bool {
        let (tell, told) = oneshot::channel();
        let background = self.core.background.clone();
        background.spawn(async move {
            let request = self.publish_request(value);
            match self.publish(&request).await {
                Ok(published) => {
                    self.count(rebuilt(published.outcome()));
                    self.done();
                    let _ = tell.send(published.is_for_all());
                }
                Err(error) if may_publish_again(&error) => {
                    if let Some(span) = &self.span {
                        span.end();
                    }
                    let _ = tell.send(false);
                    match self.publish_again(&request, error).await {
                        Ok(published) => {
                            self.count(rebuilt(published.outcome()));
                            self.done();
                        }
                        Err(error) if may_publish_again(&error) => {
                            self.count(Rebuilt::NotStored);
                            let may_be_stored = error.is_unreachable();
                            self.tell_background(&error.into());
                            // Otherwise it is given back when it is dropped here.
                            if may_be_stored {
                                self.done();
                            }
                        }
                        Err(error) => self.refused(error, None).await,
                    }
                }
                Err(error) => self.refused(error, Some(tell)).await,
            }
        });
        // The task always answers, unless the runtime is shutting down.
        told.await.unwrap_or(false)
    }

    /// The service does not take the value. The waiters are told, and the caller still gets it.
    async fn refused(self, error: CallError, tell: Option<oneshot::Sender<bool>>) {
        self.count(Rebuilt::NotStored);
        self.tell_span(&error);
        let Options { namespace, key, .. } = &*self.options;
        self.core.tell(&Event::NotStorable { namespace, key, error: &error });
        let _ = tell.map(|tell| tell.send(false));
        self.give_up(failure(error.message, None)).await;
    }

    /// Like [`Self::hand_over`], but waits for the outcome.
    pub async fn publish_now(self, value: Option<Bytes>) -> Result<v1::PublishOutcome, CallError> {
        let request = self.publish_request(value);
        let published = match self.publish(&request).await {
            Err(error) if may_publish_again(&error) => self.publish_again(&request, error).await,
            published => published,
        };
        let published = published?;
        let outcome = published.outcome();
        self.done();
        Ok(outcome)
    }

    /// Tells the waiters about the failure. Returns whether the service accepted it.
    pub async fn give_up(mut self, failure: v1::Failure) -> bool {
        match self.release(Some(failure)) {
            Some(released) => matches!(released.await, Ok(Some(v1::ReleaseOutcome::Released))),
            None => false,
        }
    }

    fn done(mut self) {
        self.over = true;
    }

    async fn publish(&self, request: &v1::PublishRequest) -> Result<v1::PublishResponse, CallError> {
        self.keeper.abort();
        let Options { namespace, key, .. } = &*self.options;
        let terms = within(PUBLISH, carried(&self.traceparent, &self.options));
        let published = self.core.calls.publish(request.clone(), terms).await;
        // Also if it failed, because it may be stored, and this process reads its own writes.
        self.core.near.iter().for_each(|near| near.drop_key(namespace, key));
        self.core.flights.close_key(namespace, key);
        let response = published?;
        let v1::PublishResponse { fence, counts, maybe_stored, .. } = response;
        let outcome = response.outcome();
        if let Some(span) = &self.span {
            span.published(outcome);
        }
        self.core.tell(&Event::Publish { namespace, key, outcome, fence, counts, maybe_stored });
        Ok(response)
    }

    /// Safe to repeat: a publish that was already stored answers `DUPLICATE`.
    async fn publish_again(
        &self,
        request: &v1::PublishRequest,
        mut error: CallError,
    ) -> Result<v1::PublishResponse, CallError> {
        for time in 0..PUBLISH_AGAIN {
            let pause = PUBLISH_PAUSE * 2_u32.pow(time);
            sleep(error.retry_after.unwrap_or_else(|| pause.mul_f64(0.5 + fastrand::f64()))).await;
            match self.publish(request).await {
                Err(again) if may_publish_again(&again) => error = again,
                published => return published,
            }
        }
        Err(error)
    }

    fn publish_request(&self, value: Option<Bytes>) -> v1::PublishRequest {
        let Options { namespace, key, stale_ttl, tags, .. } = &*self.options;
        let of_value = self.told.terms.of_value();
        let ttl = of_value.ttl_of(&self.options, value.is_some());
        v1::PublishRequest {
            namespace: namespace.clone(),
            key: key.clone(),
            token: self.token.clone(),
            ttl_ms: ttl_ms(ttl),
            stale_ms: of_value.stale_ttl.or(*stale_ttl).map(ms),
            tags: of_value.tags.unwrap_or_else(|| tags.clone()),
            payload: Some(value.map_or(Payload::Absent(true), Payload::Value)),
        }
    }

    /// In its own task, so that it arrives even if the caller leaves. Not if the lease is over.
    fn release(&mut self, failure: Option<v1::Failure>) -> Option<JoinHandle<Option<v1::ReleaseOutcome>>> {
        self.keeper.abort();
        self.core.leases.forget(&self.token);
        if self.over || self.told.is_lost() {
            return None;
        }
        self.over = true;
        let (core, options) = (self.core.clone(), self.options.clone());
        let (token, traceparent) = (self.token.clone(), self.traceparent.clone());
        let background = self.core.background.clone();
        Some(background.spawn_on(release_now(core, options, token, traceparent, failure), &self.runtime))
    }

    fn tell_background(&self, error: &Error) {
        tell_background(&self.core, &self.options, error);
    }
}

impl Drop for HeldLease {
    /// No caller wants it any more, so the next in line may try at once.
    fn drop(&mut self) {
        self.release(None);
    }
}

/// The service's answer; none without one.
async fn release_now(
    core: Arc<Core>,
    options: Arc<Options>,
    token: String,
    traceparent: Arc<OnceLock<String>>,
    failure: Option<v1::Failure>,
) -> Option<v1::ReleaseOutcome> {
    let Options { namespace, key, .. } = &*options;
    let request = v1::ReleaseRequest { namespace: namespace.clone(), key: key.clone(), token, failure };
    match core.calls.release(request, within(DEADLINE, carried(&traceparent, &options))).await {
        Ok(response) => Some(response.outcome()),
        Err(error) => {
            // The lease expires by itself. The error that counts is the rebuild's.
            tell_background(&core, &options, &error.into());
            None
        }
    }
}

/// What the keeper of a lease shares with it.
struct Kept {
    core: Arc<Core>,
    options: Arc<Options>,
    traceparent: Arc<OnceLock<String>>,
}

/// Keeps the lease until it is lost: it expired, or the service said that it `ended`.
async fn watch(
    Kept { core, options, traceparent }: Kept,
    lease: v1::Lease,
    sent_at: Instant,
    ended: CancellationToken,
    lost: CancellationToken,
) {
    let Options { namespace, key, .. } = &*options;
    let request = v1::ExtendRequest {
        namespace: namespace.clone(),
        key: key.clone(),
        token: lease.token,
        lease_ms: options.lease.map(ms),
    };
    let extend = |time| core.calls.extend(request.clone(), within(time, carried(&traceparent, &options)));
    let expires_in = duration(lease.expires_in_ms);
    let held_too_long = tokio::select! {
        () = keep(sent_at, expires_in, extend) => false,
        () = ended.cancelled() => false,
        () = sleep(core.lease_hold_max) => true,
    };
    core.tell(&Event::LeaseLost { namespace, key });
    lost.cancel();
    if held_too_long {
        // It still runs at the service, where the next caller waits for it.
        let (core, options) = (core.clone(), options.clone());
        let tracker = core.background.clone();
        tracker.spawn(release_now(core, options, request.token, traceparent.clone(), None));
    }
}

pub(crate) fn rebuilt(outcome: v1::PublishOutcome) -> Rebuilt {
    if outcome.is_stored() { Rebuilt::Published } else { Rebuilt::NotStored }
}

/// The traceparent that the calls of the lease pass on.
fn carried<'a>(own: &'a OnceLock<String>, options: &'a Options) -> &'a str {
    own.get().map_or(options.trace.traceparent(), String::as_str)
}

pub(crate) fn tell_background(core: &Core, options: &Options, error: &Error) {
    let Options { namespace, key, .. } = options;
    core.tell(&Event::BackgroundError { namespace, key, error });
}

/// Its result is unknown, the service says when to retry, or there was no token at that moment.
fn may_publish_again(error: &CallError) -> bool {
    !error.is_answer() || error.retry_after.is_some()
}

#[cfg(test)]
mod late_answers;
