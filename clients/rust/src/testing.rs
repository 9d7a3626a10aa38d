//! A double for your own unit tests: clients of a service in this process's memory.
//!
//! The clients are the real ones, with their joining, codecs, hooks and guards. Only the service is replaced: leases,
//! waiting, TTL and stale values, absent values, failures and their back-off, and the invalidation of keys and tags. It
//! uses tokio's time, so a test with `#[tokio::test(start_paused = true)]` can skip an hour with
//! `tokio::time::advance`. It has no jitter, no early refresh, and no bounds except that of the TTL.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), dibs::Error> {
//! use std::time::Duration;
//!
//! let dibs = dibs::testing::client();
//! let page = dibs.get_or_rebuild("page").ttl(Duration::from_secs(60)).with(|| async { Ok(Some("one".into()))
//! }).await?;
//! assert_eq!(page.as_deref(), Some(b"one".as_slice()));
//! # Ok(())
//! # }
//! ```
use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};

use crate::{
    client::{Client, ClientBuilder},
    error::CallError,
    memory::Memory,
    session::Hears,
    transport::{Each, Request, Response, Terms, Transport},
    v1,
};

/// A client with its own memory.
pub fn client() -> Client {
    Service::default().client(Client::builder())
}

/// A service in this process's memory, for more than one client. Each client stands for a process. Clones are the same
/// service.
#[derive(Clone, Default)]
pub struct Service(Arc<Memory>);

impl Service {
    /// A client with options. Options of the connection have no effect.
    pub fn client(&self, options: ClientBuilder) -> Client {
        options.over(Box::new(self.clone()), Hears::default(), None)
    }
}

impl Transport for Service {
    fn ask(&self, request: Request, terms: Terms) -> BoxFuture<'_, Result<Response, CallError>> {
        self.0.ask(request, terms.deadline).boxed()
    }

    fn ask_many<'a>(
        &'a self,
        request: v1::GetOrLockManyRequest,
        terms: Terms,
        each: &'a mut Each<'_>,
    ) -> BoxFuture<'a, Result<(), CallError>> {
        self.0.ask_many(request, terms.deadline, each).boxed()
    }
}
