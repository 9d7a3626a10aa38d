//! Why a key waits, and what is known about it.
use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use crate::{
    calls::{DEADLINE, within},
    core::Core,
    error::Error,
    lease::LeaseReason,
    options::duration,
    trace::Trace,
    v1::{self, Degraded, LeaseEnd},
};

/// One question about a key. Set its options, then `.await` it.
///
/// # Errors
/// [`Error::Call`].
#[must_use = "it does nothing before `.await`"]
pub struct Explain {
    core: Arc<Core>,
    request: v1::ExplainRequest,
}

impl Explain {
    pub(crate) fn new(core: Arc<Core>, key: String) -> Self {
        let request = v1::ExplainRequest { namespace: core.namespace.clone(), key };
        Self { core, request }
    }

    /// Default: the client's namespace.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.request.namespace = namespace.into();
        self
    }
}

impl IntoFuture for Explain {
    type Output = Result<Explanation, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { core, request } = self;
            let trace = Trace::of_caller("");
            Ok(core.calls.explain(request, within(DEADLINE, trace.traceparent())).await?.into())
        })
    }
}

/// What the answering replica and the store know about a key. It contains neither the value nor a token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The running lease.
    pub lease: Option<RunningLease>,
    /// How many callers wait on the replica that answers.
    pub waiters: u32,
    /// The value, or the fact that the source has nothing.
    pub value: Option<StoredValue>,
    /// The highest fence of the key so far; 0 if unknown.
    pub fence: i64,
    /// The last leases, at most 16, newest first.
    pub past_leases: Vec<PastLease>,
    /// The failure whose back-off is running.
    pub failed: Option<RunningBackoff>,
    /// Which part of the fleet was unavailable.
    pub degraded: Degraded,
}

/// A running lease.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunningLease {
    /// The holder's label.
    pub holder: String,
    /// Grows with each lease of the key; 0 if there is none.
    pub fence: i64,
    /// How long ago it was granted.
    pub age: Duration,
    /// How long it still lasts.
    pub expires_in: Duration,
    /// Why it was granted.
    pub reason: LeaseReason,
    /// The W3C traceparent of the rebuild; empty if it is not traced.
    pub traceparent: String,
}

/// A value without its bytes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredValue {
    /// The source has nothing.
    pub absent: bool,
    /// It is past its ttl, or was marked stale.
    pub stale: bool,
    /// The size of the stored value.
    pub size_bytes: u64,
    /// How long ago it was published.
    pub age: Duration,
    /// How long it stays fresh; zero for a stale one.
    pub fresh_for: Duration,
    /// How long it may still be served stale, from now on.
    pub stale_for: Duration,
    /// The fence of the lease that published it.
    pub fence: i64,
    /// The tags that invalidate it.
    pub tags: Vec<String>,
}

/// A lease that has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PastLease {
    /// The holder's label.
    pub holder: String,
    /// Grows with each lease of the key; 0 if there is none.
    pub fence: i64,
    /// How long it was held.
    pub held: Duration,
    /// How long ago it ended.
    pub ended_ago: Duration,
    /// How it ended.
    pub end: LeaseEnd,
    /// The holder's message, if it failed.
    pub failure_message: String,
}

/// The failure of the last rebuild, while its back-off is running.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunningBackoff {
    /// The holder's message.
    pub message: String,
    /// The remaining back-off.
    pub retry_after: Duration,
}

impl From<v1::ExplainResponse> for Explanation {
    fn from(response: v1::ExplainResponse) -> Self {
        let degraded = response.degraded();
        let v1::ExplainResponse { lease, waiters, value, fence, past_leases, failed, .. } = response;
        Self {
            lease: lease.map(RunningLease::from),
            waiters: waiters.try_into().unwrap_or(0),
            value: value.map(StoredValue::from),
            fence,
            past_leases: past_leases.into_iter().map(PastLease::from).collect(),
            failed: failed.map(|v1::Failed { message, retry_after_ms }| RunningBackoff {
                message,
                retry_after: duration(retry_after_ms),
            }),
            degraded,
        }
    }
}

impl From<v1::LeaseInfo> for RunningLease {
    fn from(lease: v1::LeaseInfo) -> Self {
        let reason = lease.reason().into();
        let v1::LeaseInfo { holder, fence, age_ms, expires_in_ms, traceparent, .. } = lease;
        Self { holder, fence, age: duration(age_ms), expires_in: duration(expires_in_ms), reason, traceparent }
    }
}

impl From<v1::ValueInfo> for StoredValue {
    fn from(value: v1::ValueInfo) -> Self {
        let stale = value.freshness() == v1::Freshness::Stale;
        let v1::ValueInfo { absent, size_bytes, age_ms, fresh_for_ms, stale_for_ms, fence, tags, .. } = value;
        Self {
            absent,
            stale,
            size_bytes: size_bytes.try_into().unwrap_or(0),
            age: duration(age_ms),
            fresh_for: duration(fresh_for_ms),
            stale_for: duration(stale_for_ms),
            fence,
            tags,
        }
    }
}

impl From<v1::PastLease> for PastLease {
    fn from(past: v1::PastLease) -> Self {
        let end = past.end();
        let v1::PastLease { holder, fence, held_ms, ended_ago_ms, failure_message, .. } = past;
        Self { holder, fence, held: duration(held_ms), ended_ago: duration(ended_ago_ms), end, failure_message }
    }
}
