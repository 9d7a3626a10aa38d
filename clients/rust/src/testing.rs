//! A double for your own unit tests: clients of a service in this process's memory.
//!
//! The clients are the real ones, with their joining, codecs, hooks and guards; only what the service does is done
//! here: leases, waiting, ttl and stale values, absent values, failures and their back-off, keys and tags that are
//! invalidated. It keeps tokio's time, so that a test with `#[tokio::test(start_paused = true)]` lets an hour pass by
//! `tokio::time::advance`. There is no jitter and no early refresh, and there are no bounds but that of the ttl.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), dibs::Error> {
//! use std::time::Duration;
//!
//! let dibs = dibs::testing::client();
//! let page = dibs.get_or_rebuild("page").ttl(Duration::from_secs(60)).with(|| async { Ok(Some("one".into())) }).await?;
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

/// A client of a memory of its own.
pub fn client() -> Client {
    Service::default().client(Client::builder())
}

/// A service in this process's memory, for more than one client: each stands for a process. Clones are the same.
#[derive(Clone, Default)]
pub struct Service(Arc<Memory>);

impl Service {
    /// A client with options; those of the connection do not count.
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
