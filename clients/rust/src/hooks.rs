//! Events for your own metrics.
use std::{error::Error as StdError, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use crate::{
    error::{CallError, Error},
    v1,
};

/// An event for the hook. Each names the namespace (empty for the service's `default`) and the key.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Event<'a> {
    /// A value was found.
    Hit { namespace: &'a str, key: &'a str, source: HitSource, stale: bool },
    /// A wait for another caller's rebuild has ended, with or without an answer.
    Wait { namespace: &'a str, key: &'a str, waited: Duration, answered: bool },
    /// The result of a publish; usually `Stored`. `counts`: nothing of it has been invalidated since the lease, as far
    /// as the replica knows. `maybe_stored`: with `NotStored`, it may be stored anyway.
    Publish {
        namespace: &'a str,
        key: &'a str,
        outcome: v1::PublishOutcome,
        fence: i64,
        counts: Option<bool>,
        maybe_stored: bool,
    },
    /// The service refused a result, for example because it is too large. Its callers have it, and no others get it.
    NotStorable { namespace: &'a str, key: &'a str, error: &'a CallError },
    /// The codec could not read a cached value. It counts as a miss and is rebuilt, once per call.
    Undecodable { namespace: &'a str, key: &'a str, error: &'a (dyn StdError + Send + Sync) },
    /// The lease of a rebuild was lost during the rebuild.
    LeaseLost { namespace: &'a str, key: &'a str },
    /// The service could not be reached, so this process rebuilds for itself.
    LocalRebuild { namespace: &'a str, key: &'a str, cause: &'a CallError },
    /// A publish or a release failed, or a rebuild behind a stale value did. No caller got an error.
    BackgroundError { namespace: &'a str, key: &'a str, error: &'a Error },
}

/// Where a value was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum HitSource {
    /// In this process: in the near cache, or, without the service, among the results of local rebuilds.
    Near,
    /// At the service.
    Service,
    /// With another call of this process. Only for metrics: hooks receive the events of that call.
    Joined,
}

/// The outcome of a rebuild under a lease.
#[derive(Clone, Copy)]
pub(crate) enum Rebuilt {
    Published,
    NotStored,
    Failed,
    Lost,
}

type Hook = dyn Fn(&Event<'_>) + Send + Sync;

/// The hook of a client. Its panics do no harm.
#[derive(Clone, Default)]
pub(crate) struct Hooks(Option<Arc<Hook>>);

impl Hooks {
    pub fn new(hook: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    pub fn tell(&self, event: &Event<'_>) {
        // The text of a user's error may panic. That must not fail the user's request, and neither must a counter.
        let _ = std::panic::catch_unwind(AssertUnwindSafe(|| log(event)));
        if let Some(hook) = &self.0 {
            let _ = std::panic::catch_unwind(AssertUnwindSafe(|| hook(event)));
        }
    }
}

/// For debugging: the rare events. Without the key, which may be personal data.
fn log(event: &Event<'_>) {
    match event {
        Event::NotStorable { namespace, error, .. } => {
            tracing::debug!(%namespace, %error, "dibs: the service refused a result: its own callers have it, but no others")
        }
        Event::Undecodable { namespace, error, .. } => {
            tracing::debug!(%namespace, %error, "dibs: the codec cannot read a cached value: it is rebuilt")
        }
        Event::LeaseLost { namespace, .. } => {
            tracing::debug!(%namespace, "dibs: a lease was lost while its rebuild ran: the service is asked again")
        }
        Event::LocalRebuild { namespace, cause, .. } => {
            tracing::debug!(%namespace, %cause, "dibs: the service cannot be reached: this process rebuilds for itself")
        }
        Event::BackgroundError { namespace, error, .. } => {
            tracing::debug!(%namespace, %error, "dibs: work in the background failed: no caller got this error")
        }
        Event::Hit { .. } | Event::Wait { .. } | Event::Publish { .. } => {}
    }
}
