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
    Hit { namespace: &'a str, key: &'a str, stale: bool },
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

type Hook = dyn Fn(&Event<'_>) + Send + Sync;

/// The hook of a client. What panics in it harms no call.
#[derive(Clone, Default)]
pub(crate) struct Hooks(Option<Arc<Hook>>);

impl Hooks {
    pub fn new(hook: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    pub fn tell(&self, event: &Event<'_>) {
        if let Some(hook) = &self.0 {
            // A user's counter that fails must not fail the user's request.
            let _ = std::panic::catch_unwind(AssertUnwindSafe(|| hook(event)));
        }
    }
}
