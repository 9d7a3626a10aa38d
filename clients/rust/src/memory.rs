//! The work of the service, in this process's memory.
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};
use tonic::Code;

use crate::{
    error::CallError,
    flights::KeyId,
    options::{WAIT, duration, key_id_of, ms},
    record::{Looked, Record},
    transport::{Each, Request, Response},
    v1::{self, InvalidateMode, get_or_lock_many_response::Result as Answered, get_or_lock_response::Outcome},
};

/// The contract's bound.
const TTL_MS_MAX: i64 = 31_536_000_000;

/// The records of all keys, and the callers that wait for them.
#[derive(Default)]
pub(crate) struct Memory {
    records: Mutex<Records>,
    changed: Notify,
}

#[derive(Default)]
struct Records {
    by_key: HashMap<KeyId, Record>,
    /// The fence of the last lease, or more.
    fence: i64,
}

impl Memory {
    pub async fn ask(&self, request: Request, deadline: Instant) -> Result<Response, CallError> {
        let response = match request {
            Request::GetOrLock(request) => return self.get_or_lock(request, deadline).await.map(Response::GetOrLock),
            Request::Publish(request) => Response::Publish(self.publish(request)?),
            Request::Release(request) => Response::Release(self.release(request)),
            Request::Extend(request) => Response::Extend(self.extend(&request)),
            Request::Invalidate(request) => Response::Invalidate(self.invalidate(&request)),
            Request::Explain(request) => return Ok(Response::Explain(self.explain(&request))),
            Request::GetOrLockMany(_) => {
                return Err(CallError::new(Code::Unimplemented, "it has many answers"));
            }
        };
        self.changed.notify_waiters();
        Ok(response)
    }

    /// Calls `each` with each answer as it comes, immediate ones first.
    pub async fn ask_many(
        &self,
        request: v1::GetOrLockManyRequest,
        deadline: Instant,
        each: &mut Each<'_>,
    ) -> Result<(), CallError> {
        let v1::GetOrLockManyRequest { namespace, keys, wait_ms, lease_ms, stale, read, request_id, holder, intent } =
            request;
        let of_key = v1::GetOrLockRequest {
            key: String::new(),
            namespace,
            wait_ms,
            lease_ms,
            stale,
            read,
            request_id,
            holder,
            intent,
        };
        let mut asked: FuturesUnordered<_> = keys
            .into_iter()
            .map(|key| {
                let request = v1::GetOrLockRequest { key: key.clone(), ..of_key.clone() };
                async move { (key, self.get_or_lock(request, deadline).await) }
            })
            .collect();
        while let Some((key, response)) = asked.next().await {
            each(v1::GetOrLockManyResponse { key, result: Some(Answered::Response(response?)) });
        }
        Ok(())
    }

    fn explain(&self, request: &v1::ExplainRequest) -> v1::ExplainResponse {
        self.records().of(&request.namespace, &request.key).explain()
    }

    async fn get_or_lock(
        &self,
        request: v1::GetOrLockRequest,
        deadline: Instant,
    ) -> Result<v1::GetOrLockResponse, CallError> {
        let wait = request.wait_ms.map_or(WAIT, duration);
        let until = deadline.min(Instant::now() + wait);
        let mut waits_for = 0;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on nothing is missed. Look first, then wait.
            changed.as_mut().enable();
            let ends_at = match self.look(&request, waits_for) {
                Looked::Answer(outcome) => return Ok(answer(outcome)),
                Looked::Held { ends_at, fence } => {
                    waits_for = fence;
                    ends_at
                }
            };
            let now = Instant::now();
            if now >= until {
                let retry_after_ms = ms(ends_at.saturating_duration_since(now).min(Duration::from_millis(100)));
                let reason = v1::BusyReason::WaitEnded.into();
                return Ok(answer(Outcome::Busy(v1::Busy { retry_after_ms, holder_age_ms: 0, reason })));
            }
            // Woken, too late, or the lease has ended: in each case look again.
            let _ = timeout_at(until.min(ends_at), changed).await;
        }
    }

    fn look(&self, request: &v1::GetOrLockRequest, waits_for: i64) -> Looked {
        let mut records = self.records();
        records.fence += 1;
        let fence = records.fence;
        records.of(&request.namespace, &request.key).look(request, fence, waits_for)
    }

    fn publish(&self, request: v1::PublishRequest) -> Result<v1::PublishResponse, CallError> {
        if !(1..=TTL_MS_MAX).contains(&request.ttl_ms) {
            let message = format!("ttl_ms: {} is outside 1 to {TTL_MS_MAX}", request.ttl_ms);
            return Err(CallError::new(Code::InvalidArgument, message));
        }
        let mut records = self.records();
        let record = records.of(&request.namespace, &request.key);
        let (outcome, counts) = record.publish(request);
        let stored = matches!(outcome, v1::PublishOutcome::Stored | v1::PublishOutcome::StoredLate);
        let counts = stored.then_some(counts);
        Ok(v1::PublishResponse { outcome: outcome.into(), fence: record.value_fence(), counts, maybe_stored: false })
    }

    fn release(&self, request: v1::ReleaseRequest) -> v1::ReleaseResponse {
        let mut records = self.records();
        let outcome = records.of(&request.namespace, &request.key).release(&request.token, request.failure);
        v1::ReleaseResponse { outcome: outcome.into() }
    }

    fn extend(&self, request: &v1::ExtendRequest) -> v1::ExtendResponse {
        let mut records = self.records();
        match records.of(&request.namespace, &request.key).extend(&request.token, request.lease_ms) {
            Some(expires_in) => {
                v1::ExtendResponse { outcome: v1::ExtendOutcome::Extended.into(), expires_in_ms: ms(expires_in) }
            }
            None => v1::ExtendResponse { outcome: v1::ExtendOutcome::Lost.into(), expires_in_ms: 0 },
        }
    }

    fn invalidate(&self, request: &v1::InvalidateRequest) -> v1::InvalidateResponse {
        let v1::InvalidateRequest { keys, tags, all, .. } = request;
        let (namespace, _) = &key_id_of(&request.namespace, "");
        let stale = request.mode() == InvalidateMode::MarkStale;
        let mut records = self.records();
        let mut response = v1::InvalidateResponse::default();
        for key in keys {
            let (had, voided) = records.of(namespace, key).invalidate(stale);
            response.keys_invalidated += i64::from(had);
            response.leases_voided += i64::from(voided);
        }
        for (_, record) in records.by_key.iter_mut().filter(|((of, _), _)| of == namespace) {
            record.invalidate_lease(tags, *all, stale);
            if *all || record.has_tag(tags) {
                record.invalidate_value(stale);
            }
            if *all {
                record.end_backoff();
            }
        }
        response
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records {
    fn of(&mut self, namespace: &str, key: &str) -> &mut Record {
        self.by_key.entry(key_id_of(namespace, key)).or_default()
    }
}

fn answer(outcome: Outcome) -> v1::GetOrLockResponse {
    v1::GetOrLockResponse { outcome: Some(outcome), degraded: v1::Degraded::None.into() }
}
