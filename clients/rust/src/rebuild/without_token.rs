//! A result that comes while the client has no token for a moment.
use std::{
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tonic::Code;

use super::*;
use crate::{
    client::ClientBuilder,
    error::CallError,
    session::Hears,
    token::OWN_FAULT,
    transport::{Each, Request, Response, Terms, Transport},
    v1::get_or_lock_response::Outcome,
};

const TTL: Duration = Duration::from_secs(60);

/// A service whose next calls after a lease fail for want of a token, this many times. Keeps the calls that it gets.
#[derive(Clone, Default)]
struct Service {
    misses: Arc<AtomicU32>,
    heard: Arc<Mutex<Vec<&'static str>>>,
}

impl Service {
    fn answer(&self, request: &Request) -> Result<Response, CallError> {
        if self.misses.load(Ordering::Relaxed) > 0 {
            self.misses.fetch_sub(1, Ordering::Relaxed);
            return Err(CallError::new(Code::Unauthenticated, format!("{OWN_FAULT}its function panicked")));
        }
        let (name, response) = match request {
            Request::GetOrLock(_) => {
                self.misses.store(2, Ordering::Relaxed);
                let lease = v1::Lease { token: "t".into(), expires_in_ms: 60_000, ..Default::default() };
                let outcome = Some(Outcome::Lease(lease));
                ("lease", Response::GetOrLock(v1::GetOrLockResponse { outcome, ..Default::default() }))
            }
            Request::Publish(_) => {
                let outcome = v1::PublishOutcome::Stored.into();
                ("publish", Response::Publish(v1::PublishResponse { outcome, ..Default::default() }))
            }
            _ => ("another", Response::Release(v1::ReleaseResponse::default())),
        };
        self.heard.lock().unwrap().push(name);
        Ok(response)
    }
}

impl Transport for Service {
    fn ask(&self, request: Request, _: Terms) -> BoxFuture<'_, Result<Response, CallError>> {
        std::future::ready(self.answer(&request)).boxed()
    }

    fn ask_many<'a>(
        &'a self,
        _: v1::GetOrLockManyRequest,
        _: Terms,
        _: &'a mut Each<'_>,
    ) -> BoxFuture<'a, Result<(), CallError>> {
        std::future::pending().boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn is_published_when_it_has_one() {
    let service = Service::default();
    let client = ClientBuilder::default().over(Box::new(service.clone()), Hears::default(), None);
    let made = client.get_or_rebuild("k").ttl(TTL).with(|| async { Ok(Some("v".into())) }).await;
    assert_eq!(made.unwrap().as_deref(), Some(b"v".as_slice()));
    assert!(client.flush(TTL).await);
    assert_eq!(*service.heard.lock().unwrap(), ["lease", "publish"]);
    assert!(client.set("k").ttl(TTL).publish(Some("v".into())).await.unwrap().is_stored());
    assert!(client.flush(TTL).await);
    assert_eq!(*service.heard.lock().unwrap(), ["lease", "publish", "lease", "publish"]);
}
