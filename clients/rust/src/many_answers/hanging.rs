//! One answer of several that does not come, as when one of two replicas hangs.
use std::{future::pending, sync::Arc, sync::Mutex, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::{Instant, sleep};

use crate::{
    client::ClientBuilder,
    error::{CallError, RebuildError},
    session::Hears,
    transport::{Each, Request, Response, Terms, Transport},
    v1::{self, get_or_lock_many_response::Result as Answered, get_or_lock_response::Outcome},
};

const TTL: Duration = Duration::from_secs(60);

/// A service that answers only for the first of several keys: with a lease.
struct Hanging;

impl Transport for Hanging {
    fn ask(&self, _: Request, _: Terms) -> BoxFuture<'_, Result<Response, CallError>> {
        pending().boxed()
    }

    fn ask_many<'a>(
        &'a self,
        request: v1::GetOrLockManyRequest,
        _: Terms,
        each: &'a mut Each<'_>,
    ) -> BoxFuture<'a, Result<(), CallError>> {
        let lease = v1::Lease { token: "t".into(), expires_in_ms: 600_000, ..Default::default() };
        let response = v1::GetOrLockResponse { outcome: Some(Outcome::Lease(lease)), ..Default::default() };
        let key = request.keys[0].clone();
        each(v1::GetOrLockManyResponse { key, result: Some(Answered::Response(response)) });
        pending().boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn keys_with_a_lease_do_not_wait_for_it() {
    for wait in [Duration::ZERO, Duration::from_secs(10)] {
        let client = ClientBuilder::default().over(Box::new(Hanging), Hears::default(), None);
        let (began, rebuilt) = (Instant::now(), Arc::<Mutex<Vec<_>>>::default());
        let notes = rebuilt.clone();
        let rebuild = move |keys: Vec<String>| {
            notes.lock().unwrap().push((keys, began.elapsed()));
            std::future::ready(Ok::<_, RebuildError>(Vec::<(String, Option<Bytes>)>::new()))
        };
        let call = tokio::spawn(client.get_or_rebuild_many(["a", "b"]).ttl(TTL).wait(wait).with(rebuild));
        sleep(super::LOOK + Duration::from_millis(100)).await;
        let rebuilt = rebuilt.lock().unwrap().clone();
        assert!(matches!(&rebuilt[..], [(keys, after)] if keys[..] == ["a"] && *after <= super::LOOK), "{rebuilt:?}");
        call.abort();
    }
}
