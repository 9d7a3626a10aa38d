//! One invalidation, as its caller puts it together.
use std::sync::Arc;

use crate::{
    calls::{DEADLINE, within},
    core::Core,
    error::Error,
    trace::Trace,
    v1,
};

/// Drops values, or marks them stale, and voids the rebuilds of them that run; [`now`](Self::now) does it. At least
/// one of keys, tags or all must be said. Commit to the source first, then invalidate.
#[must_use = "it does nothing before `now`"]
pub struct Invalidate {
    core: Arc<Core>,
    request: v1::InvalidateRequest,
}

impl Invalidate {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        let request = v1::InvalidateRequest { namespace: core.namespace.clone(), ..Default::default() };
        Self { core, request }
    }

    /// At most 1000.
    pub fn keys<T: Into<String>>(mut self, keys: impl IntoIterator<Item = T>) -> Self {
        self.request.keys = keys.into_iter().map(Into::into).collect();
        self
    }

    /// At most 16.
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.request.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// The whole namespace.
    pub fn all(mut self) -> Self {
        self.request.all = true;
        self
    }

    /// The values are not dropped, but stale from now on, for the rest of their `stale_ttl`.
    pub fn mark_stale(mut self) -> Self {
        self.request.mode = v1::InvalidateMode::MarkStale.into();
        self
    }

    /// Default: the client's.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.request.namespace = namespace.into();
        self
    }

    /// Ends after no older value can be stored, nor read with [`Read::Store`](crate::Read::Store). Safe to repeat.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub async fn now(self) -> Result<v1::InvalidateResponse, Error> {
        let trace = Trace::of_caller("");
        Ok(self.core.calls.invalidate(self.request, within(DEADLINE, trace.traceparent())).await?)
    }
}
