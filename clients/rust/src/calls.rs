//! The plain calls, each in one attempt.
use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tonic::Code;

use crate::{
    error::CallError,
    reachability::Reachability,
    transport::{Each, Request, Response, Terms, Transport},
    v1,
};

/// Long enough for a service that fails over, short enough that no caller hangs on it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

/// The plain calls, each in one attempt.
pub(crate) struct Calls {
    transport: Box<dyn Transport>,
    reachability: Arc<Reachability>,
}

impl Calls {
    pub fn new(transport: Box<dyn Transport>, reachability: Arc<Reachability>) -> Self {
        Self { transport, reachability }
    }

    /// Ends when the first connection stands.
    pub async fn ready(&self) {
        self.transport.ready().await;
    }

    /// A live session reports the changes of this namespace.
    pub fn watches(&self, namespace: &str) -> bool {
        self.transport.watches(namespace)
    }

    async fn ask(&self, request: Request, terms: Terms) -> Result<Response, CallError> {
        let response = self.transport.ask(request, terms).await;
        if response.as_ref().err().is_none_or(CallError::is_answer) {
            self.reachability.answered();
        }
        response
    }

    pub async fn get_or_lock(
        &self,
        request: v1::GetOrLockRequest,
        terms: Terms,
    ) -> Result<v1::GetOrLockResponse, CallError> {
        match self.ask(Request::GetOrLock(request), terms).await? {
            Response::GetOrLock(response) => Ok(response),
            _ => Err(of_another_kind()),
        }
    }

    pub async fn publish(&self, request: v1::PublishRequest, terms: Terms) -> Result<v1::PublishResponse, CallError> {
        match self.ask(Request::Publish(request), terms).await? {
            Response::Publish(response) => Ok(response),
            _ => Err(of_another_kind()),
        }
    }

    pub async fn release(&self, request: v1::ReleaseRequest, terms: Terms) -> Result<v1::ReleaseResponse, CallError> {
        match self.ask(Request::Release(request), terms).await? {
            Response::Release(response) => Ok(response),
            _ => Err(of_another_kind()),
        }
    }

    pub async fn extend(&self, request: v1::ExtendRequest, terms: Terms) -> Result<v1::ExtendResponse, CallError> {
        match self.ask(Request::Extend(request), terms).await? {
            Response::Extend(response) => Ok(response),
            _ => Err(of_another_kind()),
        }
    }

    /// The keys, grouped by the replica that has them. Each group is a call of its own.
    pub async fn groups(&self, keys: Vec<String>) -> Vec<Vec<String>> {
        self.transport.groups(keys).await
    }

    /// Calls `each` with each answer as it comes, and ends with the last.
    pub async fn get_or_lock_many(
        &self,
        request: v1::GetOrLockManyRequest,
        terms: Terms,
        each: &mut Each<'_>,
    ) -> Result<(), CallError> {
        let mut answered = |response| {
            self.reachability.answered();
            each(response);
        };
        let ended = self.transport.ask_many(request, terms, &mut answered).await;
        if ended.as_ref().err().is_some_and(CallError::is_answer) {
            self.reachability.answered();
        }
        ended
    }

    pub async fn explain(&self, request: v1::ExplainRequest, terms: Terms) -> Result<v1::ExplainResponse, CallError> {
        match self.ask(Request::Explain(request), terms).await? {
            Response::Explain(response) => Ok(response),
            _ => Err(of_another_kind()),
        }
    }

    pub async fn invalidate(
        &self,
        request: v1::InvalidateRequest,
        terms: Terms,
    ) -> Result<v1::InvalidateResponse, CallError> {
        match self.ask(Request::Invalidate(request), terms).await? {
            Response::Invalidate(response) => Ok(response),
            _ => Err(of_another_kind()),
        }
    }
}

/// With this time for the reply.
pub(crate) fn within(time: Duration, traceparent: &str) -> Terms {
    Terms { deadline: Instant::now() + time, traceparent: traceparent.to_owned() }
}

fn of_another_kind() -> CallError {
    CallError::new(Code::Internal, "an answer of an unexpected kind")
}
