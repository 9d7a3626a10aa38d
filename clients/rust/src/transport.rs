//! How calls reach the service.
use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::Instant;

/// Requests and responses have the form of a session's even without one, so that all ways share one form.
pub(crate) use crate::v1::{session_call::Request, session_reply::Response};
use crate::{error::CallError, v1};

/// How one call is made.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// How long to wait for the reply.
    pub deadline: Instant,
    /// The W3C traceparent to pass on; empty for none.
    pub traceparent: String,
}

/// Receives one answer of several.
pub(crate) type Each<'a> = dyn FnMut(v1::GetOrLockManyResponse) + Send + 'a;

/// How calls reach the service. An error has `retry_after` only if the service itself answered and set it. Dropping the
/// future ends the call at the service too.
pub(crate) trait Transport: Send + Sync {
    fn ask(&self, request: Request, terms: Terms) -> BoxFuture<'_, Result<Response, CallError>>;

    /// Calls `each` with each answer as it comes, and ends with the last. Dropping the future ends the call, and gives
    /// back the leases that `each` did not get. The keys must be those of one of the [groups](Self::groups).
    fn ask_many<'a>(
        &'a self,
        request: v1::GetOrLockManyRequest,
        terms: Terms,
        each: &'a mut Each<'_>,
    ) -> BoxFuture<'a, Result<(), CallError>>;

    /// The keys, grouped by the replica that has them. Each group is a call of its own.
    fn groups(&self, keys: Vec<String>) -> BoxFuture<'_, Vec<Vec<String>>> {
        std::future::ready(vec![keys]).boxed()
    }

    /// Ends when there is a first connection.
    fn ready(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }

    /// A live session reports the changes of this namespace.
    fn watches(&self, _namespace: &str) -> bool {
        false
    }
}
