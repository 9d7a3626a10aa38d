//! A session where that can be had, and one call after the other where something on the way breaks streams.
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::Instant;

use crate::{
    error::CallError,
    session::Session,
    session_line::Ended,
    transport::{Request, Response, Terms, Transport},
    unary::Unary,
};

/// How long calls go one by one after a session could not be had and they could.
const UNARY_FOR: Duration = Duration::from_secs(60);

/// A session where that can be had, and one call after the other where something on the way breaks streams.
pub(crate) struct SessionOrUnary {
    session: Arc<Session>,
    unary: Unary,
    unary_until: Mutex<Option<Instant>>,
}

impl SessionOrUnary {
    pub fn new(session: Arc<Session>, unary: Unary) -> Self {
        Self { session, unary, unary_until: Mutex::new(None) }
    }

    async fn either(&self, request: Request, terms: Terms) -> Result<Response, CallError> {
        if self.is_unary() {
            return self.unary.ask(request, terms).await;
        }
        match self.session.ask(request.clone(), &terms).await {
            Ok(response) => return Ok(response),
            Err(Ended::Error(error)) => return Err(error),
            Err(Ended::NoSession) => {}
        }
        let response = self.unary.ask(request, terms).await?;
        *self.unary_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + UNARY_FOR);
        Ok(response)
    }

    fn is_unary(&self) -> bool {
        let until = self.unary_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }
}

impl Transport for SessionOrUnary {
    fn ask(&self, request: Request, terms: Terms) -> BoxFuture<'_, Result<Response, CallError>> {
        self.either(request, terms).boxed()
    }
}
