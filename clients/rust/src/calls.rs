//! The plain calls, each in one attempt.
use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use crate::{
    error::CallError,
    transport::{Request, Response, Terms, Transport},
    v1,
};

/// Long enough for a service that fails over, short enough that nobody hangs on it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

/// The plain calls, each in one attempt.
pub(crate) struct Calls(Box<dyn Transport>);

impl Calls {
    pub fn new(transport: Box<dyn Transport>) -> Self {
        Self(transport)
    }

    pub async fn get_or_lock(
        &self,
        request: v1::GetOrLockRequest,
        terms: Terms,
    ) -> Result<v1::GetOrLockResponse, CallError> {
        match self.0.ask(Request::GetOrLock(request), terms).await? {
            Response::GetOrLock(response) => Ok(response),
            _ => Err(of_another_kind()),
        }
    }

    pub async fn publish(&self, request: v1::PublishRequest, terms: Terms) -> Result<v1::PublishResponse, CallError> {
        match self.0.ask(Request::Publish(request), terms).await? {
            Response::Publish(response) => Ok(response),
            _ => Err(of_another_kind()),
        }
    }

    pub async fn release(&self, request: v1::ReleaseRequest, terms: Terms) -> Result<v1::ReleaseResponse, CallError> {
        match self.0.ask(Request::Release(request), terms).await? {
            Response::Release(response) => Ok(response),
            _ => Err(of_another_kind()),
        }
    }

    pub async fn extend(&self, request: v1::ExtendRequest, terms: Terms) -> Result<v1::ExtendResponse, CallError> {
        match self.0.ask(Request::Extend(request), terms).await? {
            Response::Extend(response) => Ok(response),
            _ => Err(of_another_kind()),
        }
    }

    pub async fn invalidate(
        &self,
        request: v1::InvalidateRequest,
        terms: Terms,
    ) -> Result<v1::InvalidateResponse, CallError> {
        match self.0.ask(Request::Invalidate(request), terms).await? {
            Response::Invalidate(response) => Ok(response),
            _ => Err(of_another_kind()),
        }
    }
}

/// Waits so long for the reply.
pub(crate) fn within(time: Duration, traceparent: &str) -> Terms {
    Terms { deadline: Instant::now() + time, traceparent: traceparent.to_owned() }
}

fn of_another_kind() -> CallError {
    CallError::new(Code::Internal, "an answer of another kind than was asked for")
}
