//! Waits that are longer than the service allows.
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};

use crate::{
    client::ClientBuilder,
    error::{CallError, RebuildError},
    session::Hears,
    transport::{Each, Request, Response, Terms, Transport},
    v1::{self, BusyReason, get_or_lock_many_response::Result as Answered, get_or_lock_response::Outcome},
};

const TTL: Duration = Duration::from_secs(60);

/// A service whose rebuild ends after a piece of the wait, and before the next one does.
struct Long;

impl Transport for Long {
    fn ask(&self, _: Request, _: Terms) -> BoxFuture<'_, Result<Response, CallError>> {
        let outcome = Some(Outcome::Hit(v1::Hit::default()));
        let response = v1::GetOrLockResponse { outcome, ..Default::default() };
        std::future::ready(Ok(Response::GetOrLock(response))).boxed()
    }

    fn ask_many<'a>(
        &'a self,
        request: v1::GetOrLockManyRequest,
        _: Terms,
        each: &'a mut Each<'_>,
    ) -> BoxFuture<'a, Result<(), CallError>> {
        let reason = BusyReason::DeadlineTooShort.into();
        let busy = Outcome::Busy(v1::Busy { reason, retry_after_ms: 40_000, ..Default::default() });
        let response = v1::GetOrLockResponse { outcome: Some(busy), ..Default::default() };
        for key in request.keys {
            each(v1::GetOrLockManyResponse { key, result: Some(Answered::Response(response.clone())) });
        }
        std::future::ready(Ok(())).boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn outlast_a_rebuild_that_takes_longer_than_a_piece() {
    for (wait, has_value) in [(20, false), (60, true)] {
        let client = ClientBuilder::default().over(Box::new(Long), Hears::default(), None);
        let call = client.get_or_rebuild_many(["k"]).ttl(TTL).wait(Duration::from_secs(wait));
        let none = |_| std::future::ready(Ok::<_, RebuildError>(Vec::<(String, Option<Bytes>)>::new()));
        assert_eq!(call.with(none).await.is_ok(), has_value, "{wait} s");
    }
}
