//! What happens, for a user's own metrics.
use std::{error::Error as StdError, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use crate::{
    error::{CallError, Error},
    v1,
};

/// What a hook hears. Each names the namespace (empty for the service's `default`) and the key.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Event<'a> {
    /// A value was there.
    Hit { namespace: &'a str, key: &'a str, source: HitSource, stale: bool },
    /// Another caller's rebuild was waited for, with or without an answer in the end.
    Wait { namespace: &'a str, key: &'a str, waited: Duration, answered: bool },
    /// What became of a result that was handed over; `Stored` is the rule. `counts`: nothing
    /// of it has been invalidated since the lease, as far as the replica knows. `maybe_stored`: with `NotStored`, it may
    /// be stored anyway.
    Publish {
        namespace: &'a str,
        key: &'a str,
        outcome: v1::PublishOutcome,
        fence: i64,
        counts: Option<bool>,
        maybe_stored: bool,
    },
    /// The service refused a result, such as one beyond the bound of a value's size: its callers have it, and no others.
    NotStorable { namespace: &'a str, key: &'a str, error: &'a CallError },
    /// The codec could not read a value that is cached. It counts as a miss, and is rebuilt, once in a call.
    Undecodable { namespace: &'a str, key: &'a str, error: &'a (dyn StdError + Send + Sync) },
    /// The lease of a rebuild was lost while it ran.
    LeaseLost { namespace: &'a str, key: &'a str },
    /// The service could not be reached, so that this process rebuilds for itself.
    LocalRebuild { namespace: &'a str, key: &'a str, cause: &'a CallError },
    /// A result could not be handed over, a lease could not be given back, or a rebuild behind a stale value failed:
    /// no caller was told by an error.
    BackgroundError { namespace: &'a str, key: &'a str, error: &'a Error },
}

/// Where a value was.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum HitSource {
    /// In this process: in the near cache, or, without the service, among what was rebuilt without it.
    Near,
    /// At the service.
    Service,
    /// With another call of this process. Only metrics tell of it: hooks hear of what that call does.
    Joined,
}

/// What became of a rebuild under a lease.
#[derive(Clone, Copy)]
pub(crate) enum Rebuilt {
    Published,
    NotStored,
    Failed,
    Lost,
}

type Hook = dyn Fn(&Event<'_>) + Send + Sync;

/// The hook of a client. What panics in it harms no call.
#[derive(Clone, Default)]
pub(crate) struct Hooks(Option<Arc<Hook>>);

impl Hooks {
    pub fn new(hook: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    pub fn tell(&self, event: &Event<'_>) {
        log(event);
        if let Some(hook) = &self.0 {
            // A user's counter that fails must not fail the user's request.
            let _ = std::panic::catch_unwind(AssertUnwindSafe(|| hook(event)));
        }
    }
}

/// For who looks for a fault: what is rare. Without the key, which may be personal data.
fn log(event: &Event<'_>) {
    match event {
        Event::NotStorable { namespace, error, .. } => {
            tracing::debug!(%namespace, %error, "dibs: the service refused a result: its callers have it, and no others")
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
            tracing::debug!(%namespace, %error, "dibs: work in the background failed: no caller was told by an error")
        }
        Event::Hit { .. } | Event::Wait { .. } | Event::Publish { .. } => {}
    }
}
