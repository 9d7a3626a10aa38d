//! How calls reach the service.
use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::Instant;

use crate::error::CallError;
/// Requests and responses are those of a session also if there is none: one form for all ways.
pub(crate) use crate::v1::{session_call::Request, session_reply::Response};

/// How one call is made.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// Until when the reply is waited for.
    pub deadline: Instant,
    /// The W3C traceparent to pass on; empty for none.
    pub traceparent: String,
}

/// How calls reach the service. `retry_after` is set on an error exactly where the service itself answered and said
/// so. Dropping the future ends the call at the service, too.
pub(crate) trait Transport: Send + Sync {
    fn ask(&self, request: Request, terms: Terms) -> BoxFuture<'_, Result<Response, CallError>>;

    /// Ends when the first connection stands.
    fn ready(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }

    /// A live session hears of changes of this namespace.
    fn watches(&self, _namespace: &str) -> bool {
        false
    }
}
