//! A session if there can be one, and unary calls if something on the way breaks streams.
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use tonic::Code;

use crate::{
    error::CallError,
    open_calls::Ended,
    session_pool::SessionPool,
    transport::{Each, Request, Response, Terms},
    unary::Unary,
    v1,
};

/// How long until a session is tried again during unary calls. Soon, because the first one may have failed by a slow
/// start, and then less often, because something on the way may break all of them.
const AGAIN_MIN: Duration = Duration::from_secs(2);
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// A session if there can be one, and unary calls if something on the way breaks streams.
pub(crate) struct SessionOrUnary {
    session: Arc<SessionPool>,
    unary: Unary,
    is_unary: Arc<AtomicBool>,
    trying: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl SessionOrUnary {
    pub fn new(session: Arc<SessionPool>, unary: Unary) -> Self {
        Self { session, unary, is_unary: Arc::default(), trying: Mutex::default() }
    }

    pub async fn ask(&self, request: Request, terms: Terms) -> Result<Response, CallError> {
        if self.is_unary.load(Ordering::Relaxed) {
            return self.unary.ask(request, terms).await;
        }
        match self.session.ask(request.clone(), &terms).await {
            Ok(response) => return Ok(response),
            Err(Ended::Error(error)) => return Err(error),
            // Another session is possible.
            Err(Ended::Refused) => return self.unary.ask(request, terms).await,
            Err(Ended::NoSession) => {}
        }
        let response = self.unary.ask(request, terms).await?;
        self.go_one_by_one();
        Ok(response)
    }

    pub async fn ask_many(
        &self,
        request: v1::GetOrLockManyRequest,
        terms: Terms,
        each: &mut Each<'_>,
    ) -> Result<(), CallError> {
        if self.is_unary.load(Ordering::Relaxed) {
            return self.unary.ask_many(request, terms, each).await;
        }
        let mut is_answered = false;
        let mut heard = |answer| {
            is_answered = true;
            each(answer);
        };
        match self.session.ask_many(request.clone(), &terms, &mut heard).await {
            Ok(()) => return Ok(()),
            Err(Ended::Error(error)) => return Err(error),
            // It is repeated for the other keys. A call for all of them could get leases that no caller waits for.
            Err(Ended::Refused) if is_answered => {
                return Err(CallError::new(Code::Unavailable, "the token of the session is no longer valid"));
            }
            Err(Ended::Refused) => return self.unary.ask_many(request, terms, each).await,
            Err(Ended::NoSession) => {}
        }
        self.unary.ask_many(request, terms, each).await?;
        self.go_one_by_one();
        Ok(())
    }

    pub async fn groups(&self, keys: Vec<String>) -> Vec<Vec<String>> {
        if self.is_unary.load(Ordering::Relaxed) { vec![keys] } else { self.session.groups(keys).await }
    }

    /// The session receives all changes now.
    pub fn watches(&self) -> bool {
        !self.is_unary.load(Ordering::Relaxed) && self.session.watches()
    }

    pub async fn is_ready(&self) -> bool {
        self.session.is_welcomed().await || self.unary.is_ready().await
    }

    fn go_one_by_one(&self) {
        if self.is_unary.swap(true, Ordering::Relaxed) {
            return;
        }
        let (session, is_unary) = (self.session.clone(), self.is_unary.clone());
        let trying = tokio::spawn(async move {
            let mut pause = AGAIN_MIN;
            loop {
                sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
                if session.is_welcomed().await {
                    is_unary.store(false, Ordering::Relaxed);
                    return;
                }
                pause = (pause * 2).min(AGAIN_MAX);
            }
        });
        *self.trying.lock().unwrap_or_else(PoisonError::into_inner) = Some(AbortOnDropHandle::new(trying));
    }
}
