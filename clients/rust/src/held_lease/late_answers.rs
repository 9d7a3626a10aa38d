//! A lease whose answer came long after its request.
use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::{Instant, sleep};

use crate::{
    client::{Client, ClientBuilder},
    error::{CallError, RebuildError},
    session::Hears,
    transport::{Each, Request, Response, Terms, Transport},
    v1::{self, get_or_lock_many_response::Result as Answered, get_or_lock_response::Outcome},
};

const TTL: Duration = Duration::from_secs(60);
/// How long the answer with the lease takes, in seconds, and how long the lease is then said to last.
const ANSWERED: u64 = 6;
const EXPIRES_IN_MS: i64 = 9_000;

/// A service that answers late. Keeps when it is asked to extend, in seconds.
#[derive(Clone)]
struct Late {
    began: Instant,
    extended: Arc<Mutex<Vec<u64>>>,
}

impl Late {
    fn client() -> (Client, Self) {
        let late = Self { began: Instant::now(), extended: Arc::default() };
        (ClientBuilder::default().over(Box::new(late.clone()), Hears::default(), None), late)
    }

    /// When the lease that came after 6 s was first extended. It counts from its request, and so it has 3 s left.
    async fn first_extended(&self) -> u64 {
        sleep(TTL).await;
        self.extended.lock().unwrap()[0]
    }
}

async fn lease() -> v1::GetOrLockResponse {
    sleep(Duration::from_secs(ANSWERED)).await;
    let lease = v1::Lease { token: "t".into(), expires_in_ms: EXPIRES_IN_MS, ..Default::default() };
    v1::GetOrLockResponse { outcome: Some(Outcome::Lease(lease)), ..Default::default() }
}

impl Transport for Late {
    fn ask(&self, request: Request, _: Terms) -> BoxFuture<'_, Result<Response, CallError>> {
        async move {
            if let Request::Extend(_) = request {
                self.extended.lock().unwrap().push(self.began.elapsed().as_secs());
                let outcome = v1::ExtendOutcome::Extended.into();
                return Ok(Response::Extend(v1::ExtendResponse { outcome, expires_in_ms: EXPIRES_IN_MS }));
            }
            Ok(Response::GetOrLock(lease().await))
        }
        .boxed()
    }

    fn ask_many<'a>(
        &'a self,
        request: v1::GetOrLockManyRequest,
        _: Terms,
        each: &'a mut Each<'_>,
    ) -> BoxFuture<'a, Result<(), CallError>> {
        async move {
            let result = Some(Answered::Response(lease().await));
            for key in request.keys {
                each(v1::GetOrLockManyResponse { key, result: result.clone() });
            }
            Ok(())
        }
        .boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn is_extended_as_of_its_request() {
    let (client, late) = Late::client();
    let _guard = client.lease("k", TTL).await.unwrap();
    assert_eq!(late.first_extended().await, 7);
}

#[tokio::test(start_paused = true)]
async fn is_extended_as_of_its_request_for_many_keys() {
    let (client, late) = Late::client();
    let rebuild = |_| pending::<Result<Vec<(String, Option<Bytes>)>, RebuildError>>();
    let calling = tokio::spawn(client.get_or_rebuild_many(["k"]).ttl(TTL).with(rebuild));
    assert_eq!(late.first_extended().await, 7);
    calling.abort();
}
