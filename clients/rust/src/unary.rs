//! One gRPC call for each call.
use std::{error::Error as StdError, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::Code;

use crate::{
    error::CallError,
    link::{Connection, carry},
    near_cache::NearCache,
    transport::{Each, Request, Response, Terms},
    v1::{self, get_or_lock_many_response::Result as Answered},
};

/// One gRPC call for each call.
#[derive(Clone)]
pub(crate) struct Unary {
    connection: Connection,
    near: Option<Arc<NearCache>>,
}

impl Unary {
    pub fn new(connection: Connection, near: Option<Arc<NearCache>>) -> Self {
        Self { connection, near }
    }

    /// There is a connection: the service answers, even if only with a refusal.
    pub async fn is_ready(&self) -> bool {
        let asked = timeout(HEALTH, self.connection.health()).await;
        asked.is_ok_and(|health| health.is_none_or(|status| !CallError::of_status(&status).is_unreachable()))
    }

    pub async fn ask(&self, request: Request, terms: Terms) -> Result<Response, CallError> {
        let response = match timeout_at(terms.deadline, taken(|| self.call(request.clone(), &terms))).await {
            Ok(ended) => ended.map_err(|status| CallError::of_status(&status))?,
            Err(_) => return Err(late()),
        };
        if let Request::GetOrLock(asked) = &request {
            self.answered(&asked.namespace, &asked.key);
        }
        Ok(response)
    }

    /// No session reports changes of this answer. A value from before may be older.
    fn answered(&self, namespace: &str, key: &str) {
        if let Some(near) = &self.near {
            near.drop_key(namespace, key);
        }
    }

    pub async fn ask_many(
        &self,
        request: v1::GetOrLockManyRequest,
        terms: Terms,
        each: &mut Each<'_>,
    ) -> Result<(), CallError> {
        let calling = async {
            let mut stream =
                taken(|| async { self.connection.stub().get_or_lock_many(with(request.clone(), &terms)).await })
                    .await?
                    .into_inner();
            while let Some(response) = stream.message().await? {
                if let Some(Answered::Response(_)) = response.result {
                    self.answered(&request.namespace, &response.key);
                }
                each(response);
            }
            Ok::<_, tonic::Status>(())
        };
        match timeout_at(terms.deadline, calling).await {
            Ok(ended) => ended.map_err(|status| CallError::of_status(&status)),
            Err(_) => Err(late()),
        }
    }

    async fn call(&self, request: Request, terms: &Terms) -> Result<Response, tonic::Status> {
        let mut stub = self.connection.stub();
        Ok(match request {
            Request::GetOrLock(it) => Response::GetOrLock(stub.get_or_lock(with(it, terms)).await?.into_inner()),
            Request::Publish(it) => Response::Publish(stub.publish(with(it, terms)).await?.into_inner()),
            Request::Release(it) => Response::Release(stub.release(with(it, terms)).await?.into_inner()),
            Request::Extend(it) => Response::Extend(stub.extend(with(it, terms)).await?.into_inner()),
            Request::Invalidate(it) => Response::Invalidate(stub.invalidate(with(it, terms)).await?.into_inner()),
            Request::Explain(it) => Response::Explain(stub.explain(with(it, terms)).await?.into_inner()),
            Request::GetOrLockMany(_) => return Err(tonic::Status::unimplemented("it has many answers")),
        })
    }
}

fn late() -> CallError {
    CallError::new(Code::DeadlineExceeded, "no answer within the deadline")
}

/// How often a call is repeated that no service took, and the pause before: the connection needs a moment to close.
const NOT_TAKEN_MAX: u32 = 5;
const NOT_TAKEN_PAUSE: Duration = Duration::from_millis(10);

/// Repeats a call that no service took, because its connection was closing. gRPC calls this a transparent retry.
async fn taken<T, Calling: Future<Output = Result<T, tonic::Status>>>(
    call: impl Fn() -> Calling,
) -> Result<T, tonic::Status> {
    for _ in 0..NOT_TAKEN_MAX {
        match call().await {
            Err(status) if is_not_taken(&status) => sleep(NOT_TAKEN_PAUSE).await,
            ended => return ended,
        }
    }
    call().await
}

/// Whether the call never left this process, or the service closed the connection gracefully and did not begin it.
fn is_not_taken(status: &tonic::Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        let is_gone =
            |error: &h2::Error| error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR);
        if error.downcast_ref().is_some_and(hyper::Error::is_canceled) || error.downcast_ref().is_some_and(is_gone) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What a new connection may take to answer.
const HEALTH: Duration = Duration::from_secs(5);

/// tonic ends a call at the deadline that it tells the service. This is a little later, so that the end comes from here
/// and is not a broken connection.
const MARGIN: Duration = Duration::from_millis(50);

fn with<T>(message: T, terms: &Terms) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(terms.deadline.saturating_duration_since(Instant::now()) + MARGIN);
    carry(&mut request, &terms.traceparent);
    request
}
