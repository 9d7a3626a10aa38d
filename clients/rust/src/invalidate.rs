//! One invalidation and its options.
use std::sync::Arc;

use crate::{
    calls::{DEADLINE, within},
    core::Core,
    error::Error,
    trace::Trace,
    v1,
};

/// The contract's bound of one call.
const KEYS_MAX: usize = 1_000;

/// Drops values or marks them stale, and voids their running rebuilds; [`now`](Self::now) makes the call. Set at least
/// one of keys, tags or all. Commit to the source first, then invalidate.
#[must_use = "it does nothing before `now`"]
pub struct Invalidate {
    core: Arc<Core>,
    request: v1::InvalidateRequest,
    /// Something was named, even if only an empty list.
    named: bool,
}

impl Invalidate {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        let request = v1::InvalidateRequest { namespace: core.namespace.clone(), ..Default::default() };
        Self { core, request, named: false }
    }

    /// Any number of keys; more than 1000 travel in several calls. An empty list does nothing.
    pub fn keys<T: Into<String>>(mut self, keys: impl IntoIterator<Item = T>) -> Self {
        self.request.keys = keys.into_iter().map(Into::into).collect();
        self.named = true;
        self
    }

    /// At most 16 tags, each of 1 to 256 bytes.
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.request.tags = tags.into_iter().map(Into::into).collect();
        self.named = true;
        self
    }

    /// The whole namespace.
    pub fn all(mut self) -> Self {
        self.request.all = true;
        self
    }

    /// The values are not dropped, but become stale now, for the rest of their `stale_ttl`.
    pub fn mark_stale(mut self) -> Self {
        self.request.mode = v1::InvalidateMode::MarkStale.into();
        self
    }

    /// Default: the client's namespace.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.request.namespace = namespace.into();
        self
    }

    /// Makes the call. Afterwards no older value can be stored, or read with [`Read::Store`](crate::Read::Store). Later
    /// calls of this client join no earlier rebuild. Safe to repeat.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub async fn now(self) -> Result<v1::InvalidateResponse, Error> {
        let Self { core, mut request, named } = self;
        let nothing = request.keys.is_empty() && request.tags.is_empty() && !request.all;
        if named && nothing {
            return Ok(v1::InvalidateResponse::default());
        }
        let _closing = Closing { core: core.clone(), request: request.clone() };
        let trace = Trace::of_caller("");
        let mut later = request.keys.split_off(KEYS_MAX.min(request.keys.len()));
        let mut sum = v1::InvalidateResponse::default();
        loop {
            let next = v1::InvalidateRequest {
                namespace: request.namespace.clone(),
                mode: request.mode,
                ..Default::default()
            };
            let invalidated = core.calls.invalidate(request, within(DEADLINE, trace.traceparent())).await?;
            sum.keys_invalidated += invalidated.keys_invalidated;
            sum.leases_voided += invalidated.leases_voided;
            if later.is_empty() {
                return Ok(sum);
            }
            let keys = later.drain(..KEYS_MAX.min(later.len())).collect();
            request = v1::InvalidateRequest { keys, ..next };
        }
    }
}

/// The end of the call, also by a failure or because its caller leaves: the invalidation may have happened. This
/// process gives nothing from before it to callers that come after it.
pub(crate) struct Closing {
    core: Arc<Core>,
    request: v1::InvalidateRequest,
}

impl Closing {
    pub fn of_key(core: Arc<Core>, namespace: &str, key: &str) -> Self {
        let (namespace, keys) = (namespace.to_owned(), vec![key.to_owned()]);
        Self { core, request: v1::InvalidateRequest { namespace, keys, ..Default::default() } }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let Self { core, request: v1::InvalidateRequest { namespace, keys, tags, all, .. } } = self;
        if *all || !tags.is_empty() {
            // The tags of a value are unknown before its rebuild ends.
            core.flights.close_namespace(namespace);
            core.local_results.drop_namespace(namespace);
            if let Some(near) = &core.near {
                near.drop_namespace(namespace);
            }
            return;
        }
        for key in keys {
            core.flights.close_key(namespace, key);
            core.local_results.drop_key(namespace, key);
            if let Some(near) = &core.near {
                near.drop_key(namespace, key);
            }
        }
    }
}
