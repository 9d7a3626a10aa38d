//! One gRPC call for each call.
use std::time::Duration;

use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::{Instant, timeout_at};
use tonic::Code;

use crate::{
    error::CallError,
    link::{Stub, carry},
    transport::{Request, Response, Terms, Transport},
};

/// One gRPC call for each call.
pub(crate) struct Unary {
    stub: Stub,
}

impl Unary {
    pub fn new(stub: Stub) -> Self {
        Self { stub }
    }

    async fn call(&self, request: Request, terms: &Terms) -> Result<Response, tonic::Status> {
        let mut stub = self.stub.clone();
        Ok(match request {
            Request::GetOrLock(it) => Response::GetOrLock(stub.get_or_lock(with(it, terms)).await?.into_inner()),
            Request::Publish(it) => Response::Publish(stub.publish(with(it, terms)).await?.into_inner()),
            Request::Release(it) => Response::Release(stub.release(with(it, terms)).await?.into_inner()),
            Request::Extend(it) => Response::Extend(stub.extend(with(it, terms)).await?.into_inner()),
            Request::Invalidate(it) => Response::Invalidate(stub.invalidate(with(it, terms)).await?.into_inner()),
            Request::Explain(it) => Response::Explain(stub.explain(with(it, terms)).await?.into_inner()),
            Request::GetOrLockMany(_) => return Err(tonic::Status::unimplemented("many answers: use the stub")),
        })
    }
}

impl Transport for Unary {
    fn ask(&self, request: Request, terms: Terms) -> BoxFuture<'_, Result<Response, CallError>> {
        async move {
            match timeout_at(terms.deadline, self.call(request, &terms)).await {
                Ok(ended) => ended.map_err(|status| CallError::of_status(&status)),
                Err(_) => Err(CallError::new(Code::DeadlineExceeded, "no answer within the deadline")),
            }
        }
        .boxed()
    }
}

/// tonic ends a call at the deadline that it tells the service; a little later than that, so that the end comes from
/// here, and is no broken connection.
const MARGIN: Duration = Duration::from_millis(50);

fn with<T>(message: T, terms: &Terms) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(terms.deadline.saturating_duration_since(Instant::now()) + MARGIN);
    carry(&mut request, &terms.traceparent);
    request
}
