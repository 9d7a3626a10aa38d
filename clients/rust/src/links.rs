//! The connections of a client, for each runtime that uses it.
use std::{
    collections::HashMap,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    runtime::{self, Handle},
    time::sleep,
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    error::CallError,
    link::{Link, Stub},
    session::Hears,
    session_or_unary::SessionOrUnary,
    session_pool::SessionPool,
    transport::{Each, Request, Response, Terms, Transport},
    unary::Unary,
    v1,
};

/// The pause between two attempts of [`Transport::ready`], short enough to find a service that is just starting.
const READY_AGAIN: Duration = Duration::from_millis(20);

/// The connections of a client, for each runtime that uses it. Their tasks and timers end with the runtime, and a
/// runtime that does not run at the moment must not hold up calls of another one.
pub(crate) struct Links {
    link: Arc<Link>,
    /// Random, so that a key that all processes want does not load one replica only. With key affinity it is 0.
    salt: u32,
    holder: String,
    with_session: bool,
    hears: Hears,
    by_runtime: Mutex<HashMap<runtime::Id, Arc<Connected>>>,
}

struct Connected {
    /// None if calls are sent one by one.
    session: Option<SessionOrUnary>,
    unary: Unary,
    stub: Stub,
    ends_with_runtime: OnceLock<AbortOnDropHandle<()>>,
}

impl Links {
    pub fn new(link: Link, salt: u32, holder: String, with_session: bool, hears: Hears) -> Arc<Self> {
        Arc::new(Self { link: Arc::new(link), salt, holder, with_session, hears, by_runtime: Mutex::default() })
    }

    /// For the user; on the runtime that calls this.
    pub fn stub(self: &Arc<Self>) -> Stub {
        self.connected().stub.clone()
    }

    fn connected(self: &Arc<Self>) -> Arc<Connected> {
        let id = Handle::current().id();
        let connected = self.by_runtime().entry(id).or_insert_with(|| Arc::new(self.connect())).clone();
        // Outside of the lock: a runtime that has shut down drops the task at once, and that takes the lock.
        connected.ends_with_runtime.get_or_init(|| self.forget_at_the_end_of(id));
        connected
    }

    fn connect(&self) -> Connected {
        let (own, stub) = self.link.connect_for_two();
        let unary = Unary::new(own, self.hears.near.clone());
        let session = self.with_session.then(|| {
            let pool = SessionPool::new(self.link.clone(), self.salt, self.holder.clone(), self.hears.clone());
            SessionOrUnary::new(pool, unary.clone())
        });
        Connected { session, unary, stub, ends_with_runtime: OnceLock::new() }
    }

    fn forget_at_the_end_of(self: &Arc<Self>, id: runtime::Id) -> AbortOnDropHandle<()> {
        let forget = Forget { links: Arc::downgrade(self), id };
        let until_the_end = async move {
            let _forget = forget;
            pending().await
        };
        AbortOnDropHandle::new(tokio::spawn(until_the_end))
    }

    fn by_runtime(&self) -> MutexGuard<'_, HashMap<runtime::Id, Arc<Connected>>> {
        self.by_runtime.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Dropped when the runtime shuts down.
struct Forget {
    links: Weak<Links>,
    id: runtime::Id,
}

impl Drop for Forget {
    fn drop(&mut self) {
        if let Some(links) = self.links.upgrade() {
            let connected = links.by_runtime().remove(&self.id);
            // Outside of the lock, because dropping it may end much.
            drop(connected);
        }
    }
}

impl Transport for Arc<Links> {
    fn ask(&self, request: Request, terms: Terms) -> BoxFuture<'_, Result<Response, CallError>> {
        async move {
            let connected = self.connected();
            match &connected.session {
                Some(session) => session.ask(request, terms).await,
                None => connected.unary.ask(request, terms).await,
            }
        }
        .boxed()
    }

    fn ask_many<'a>(
        &'a self,
        request: v1::GetOrLockManyRequest,
        terms: Terms,
        each: &'a mut Each<'_>,
    ) -> BoxFuture<'a, Result<(), CallError>> {
        async move {
            let connected = self.connected();
            match &connected.session {
                Some(session) => session.ask_many(request, terms, each).await,
                None => connected.unary.ask_many(request, terms, each).await,
            }
        }
        .boxed()
    }

    fn groups(&self, keys: Vec<String>) -> BoxFuture<'_, Vec<Vec<String>>> {
        async move {
            match &self.connected().session {
                Some(session) => session.groups(keys).await,
                None => vec![keys],
            }
        }
        .boxed()
    }

    fn watches(&self, namespace: &str) -> bool {
        let near = self.hears.near.as_ref().filter(|near| near.has(namespace));
        near.is_some() && self.connected().session.as_ref().is_some_and(SessionOrUnary::watches)
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        async move {
            let connected = self.connected();
            loop {
                let ready = match &connected.session {
                    Some(session) => session.is_ready().await,
                    None => connected.unary.is_ready().await,
                };
                if ready {
                    return;
                }
                sleep(READY_AGAIN).await;
            }
        }
        .boxed()
    }
}
