//! Callers that joined a call whose time was shorter than theirs.
use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::{Instant, sleep};

use super::*;
use crate::{
    client::{Client, ClientBuilder},
    error::CallError,
    session::Hears,
    transport::{Each, Request, Response, Terms, Transport},
    v1::{self, get_or_lock_response::Outcome as Answer},
};

const TTL: Duration = Duration::from_secs(60);
const WAIT: Duration = Duration::from_secs(2);
/// When the second caller comes, and when the service has a value: within the wait of the second only.
const SECOND: Duration = Duration::from_secs(1);
const HAS_VALUE: Duration = Duration::from_millis(2_500);

/// How the service says that it has no value yet.
type Refuses = fn() -> Result<Response, CallError>;

/// Answers each request after a while, so that others join it. It is told how long the service has run by then.
struct Late<A> {
    began: Instant,
    answers: A,
}

impl<A> Transport for Late<A>
where
    A: Fn(Request, Duration) -> Result<Response, CallError> + Send + Sync + 'static,
{
    fn ask(&self, request: Request, _: Terms) -> BoxFuture<'_, Result<Response, CallError>> {
        async move {
            sleep(Duration::from_millis(300)).await;
            (self.answers)(request, self.began.elapsed())
        }
        .boxed()
    }

    fn ask_many<'a>(
        &'a self,
        _: v1::GetOrLockManyRequest,
        _: Terms,
        _: &'a mut Each<'_>,
    ) -> BoxFuture<'a, Result<(), CallError>> {
        std::future::pending().boxed()
    }

    fn watches(&self, _: &str) -> bool {
        true
    }
}

fn client<A>(answers: A) -> Arc<Client>
where
    A: Fn(Request, Duration) -> Result<Response, CallError> + Send + Sync + 'static,
{
    let service = Late { began: Instant::now(), answers };
    Arc::new(ClientBuilder::default().over(Box::new(service), Hears::default(), None))
}

fn answer(outcome: Answer) -> Response {
    Response::GetOrLock(v1::GetOrLockResponse { outcome: Some(outcome), ..Default::default() })
}

fn busy_because(reason: BusyReason) -> Result<Response, CallError> {
    Ok(answer(Answer::Busy(v1::Busy { reason: reason.into(), retry_after_ms: 100, holder_age_ms: 0 })))
}

/// Whether the first and the second caller have an answer in the end.
async fn have_answers(refuses: Refuses) -> (bool, bool) {
    let client =
        client(move |_, since| if since < HAS_VALUE { refuses() } else { Ok(answer(Answer::Hit(v1::Hit::default()))) });
    let call = || {
        let call = client.get_or_rebuild("k").ttl(TTL).wait(WAIT);
        tokio::spawn(async move { call.with(|| async { panic!("there is no lease") }).await.is_ok() })
    };
    let first = call();
    sleep(SECOND).await;
    let second = call();
    (first.await.unwrap(), second.await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn ask_for_themselves_in_the_time_that_they_have_left() {
    let overloaded = || {
        let retry_after = Some(Duration::from_millis(100));
        Err(CallError { retry_after, ..CallError::new(tonic::Code::ResourceExhausted, "too many calls") })
    };
    let refusals: [Refuses; 3] =
        [|| busy_because(BusyReason::Undecided), || busy_because(BusyReason::WaitEnded), overloaded];
    for refuses in refusals {
        assert_eq!(have_answers(refuses).await, (false, true));
    }
    assert_eq!(have_answers(|| busy_because(BusyReason::DeadlineTooShort)).await, (false, false));
}

/// Grants leases, or cannot be reached.
fn leases(request: &Request, is_away: bool) -> Result<Response, CallError> {
    match request {
        Request::GetOrLock(_) if is_away => Err(CallError::new(tonic::Code::Unavailable, "gone")),
        Request::GetOrLock(_) => {
            let lease = v1::Lease { token: "t".into(), expires_in_ms: 60_000, ..Default::default() };
            Ok(answer(Answer::Lease(lease)))
        }
        _ => Ok(Response::Publish(v1::PublishResponse::default())),
    }
}

/// Also of a caller that came before the rebuild had begun.
#[tokio::test(start_paused = true)]
async fn end_while_a_rebuild_of_this_process_runs() {
    for is_away in [false, true] {
        let client = client(move |request, _| leases(&request, is_away));
        let call = || {
            let call = client.get_or_rebuild("k").ttl(TTL).wait(WAIT);
            let rebuild = || async {
                sleep(5 * WAIT).await;
                Ok(Some("v".into()))
            };
            tokio::spawn(call.with(rebuild))
        };
        let first = call();
        sleep(Duration::from_millis(100)).await;
        let (second, came) = (call(), Instant::now());
        let error = second.await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Busy { reason: BusyReason::WaitEnded, .. }), "{error:?}");
        assert!(came.elapsed() < WAIT + Duration::from_millis(100), "{:?}", came.elapsed());
        assert!(!first.is_finished());
        assert!(first.await.unwrap().is_ok());
    }
}
