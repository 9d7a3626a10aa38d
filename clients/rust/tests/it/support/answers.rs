//! What a service says.
use std::sync::Arc;

use dibs::v1::{self, session_reply::Response as Reply};
use tokio::sync::Notify;
use tonic::Status;

use super::fake::Answer;

fn answered(outcome: v1::get_or_lock_response::Outcome) -> Reply {
    Reply::GetOrLock(v1::GetOrLockResponse { outcome: Some(outcome), degraded: v1::Degraded::None.into() })
}

fn hit_of(value: &'static str, freshness: v1::Freshness) -> v1::Hit {
    v1::Hit {
        payload: Some(v1::hit::Payload::Value(value.into())),
        freshness: freshness.into(),
        fence: 3,
        ..Default::default()
    }
}

pub fn hit_reply(value: &'static str) -> Reply {
    answered(v1::get_or_lock_response::Outcome::Hit(hit_of(value, v1::Freshness::Fresh)))
}

pub fn lease_reply(token: &str, expires_in_ms: i64, previous: Option<&'static str>) -> Reply {
    answered(v1::get_or_lock_response::Outcome::Lease(v1::Lease {
        token: token.into(),
        fence: 4,
        expires_in_ms,
        previous: previous.map(|value| hit_of(value, v1::Freshness::Stale)),
        reason: v1::LeaseReason::Miss.into(),
    }))
}

/// A lease for this reason, beside a value.
pub fn lease_beside(reason: v1::LeaseReason, previous: &'static str, freshness: v1::Freshness) -> Answer {
    Answer::Reply(answered(v1::get_or_lock_response::Outcome::Lease(v1::Lease {
        token: "t".into(),
        fence: 4,
        expires_in_ms: 10_000,
        previous: Some(hit_of(previous, freshness)),
        reason: reason.into(),
    })))
}

pub fn published_reply(outcome: v1::PublishOutcome) -> Reply {
    Reply::Publish(v1::PublishResponse { outcome: outcome.into(), fence: 4, ..Default::default() })
}

pub fn hit(value: &'static str) -> Answer {
    Answer::Reply(hit_reply(value))
}

/// A lease on a miss, of 10 s, with the token `t`.
pub fn lease() -> Answer {
    Answer::Reply(lease_reply("t", 10_000, None))
}

pub fn busy(retry_after_ms: i64, reason: v1::BusyReason) -> Answer {
    let busy = v1::Busy { retry_after_ms, holder_age_ms: 7, reason: reason.into() };
    Answer::Reply(answered(v1::get_or_lock_response::Outcome::Busy(busy)))
}

/// An outcome of a later service.
pub fn unknown_outcome() -> Answer {
    Answer::Reply(Reply::GetOrLock(v1::GetOrLockResponse { outcome: None, degraded: 99 }))
}

pub fn published(outcome: v1::PublishOutcome) -> Answer {
    Answer::Reply(published_reply(outcome))
}

pub fn released() -> Answer {
    Answer::Reply(Reply::Release(v1::ReleaseResponse { outcome: v1::ReleaseOutcome::Released.into() }))
}

pub fn extended(outcome: v1::ExtendOutcome, expires_in_ms: i64) -> Answer {
    Answer::Reply(Reply::Extend(v1::ExtendResponse { outcome: outcome.into(), expires_in_ms }))
}

pub fn refuse(code: tonic::Code, message: &str, pushback_ms: Option<u64>) -> Answer {
    let mut status = Status::new(code, message);
    if let Some(ms) = pushback_ms {
        status.metadata_mut().insert("grpc-retry-pushback-ms", ms.into());
    }
    Answer::Refuse(status)
}

pub fn unavailable() -> Answer {
    refuse(tonic::Code::Unavailable, "gone", None)
}

/// What is stored and counts, so that it is also for callers that came after the lease.
pub fn published_and_counts() -> Answer {
    let outcome = v1::PublishOutcome::Stored.into();
    Answer::Reply(Reply::Publish(v1::PublishResponse { outcome, fence: 4, counts: Some(true), ..Default::default() }))
}

pub fn not_held() -> Answer {
    Answer::Reply(Reply::Release(v1::ReleaseResponse { outcome: v1::ReleaseOutcome::NotHeld.into() }))
}

pub fn invalidated(keys_invalidated: i64) -> Answer {
    Answer::Reply(Reply::Invalidate(v1::InvalidateResponse { keys_invalidated, ..Default::default() }))
}

pub fn gated(answer: Answer) -> (Arc<Notify>, Answer) {
    let gate = Arc::new(Notify::new());
    (gate.clone(), Answer::Gated(gate, Box::new(answer)))
}
