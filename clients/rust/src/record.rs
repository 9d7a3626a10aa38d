//! One key of the double in memory.
use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    options::{duration, ms},
    v1::{
        self, BusyReason, Freshness, Intent, LeaseReason, PublishOutcome, ReleaseOutcome, Stale,
        get_or_lock_response::Outcome, hit, publish_request,
    },
};

const LEASE: Duration = Duration::from_secs(10);
const BACKOFF: Duration = Duration::from_secs(1);

/// The result of a look at a key.
pub(crate) enum Looked {
    Answer(Outcome),
    /// Another caller rebuilds, at most until then.
    Held {
        ends_at: Instant,
        fence: i64,
    },
}

/// What is known about one key.
#[derive(Default)]
pub(crate) struct Record {
    value: Option<Value>,
    armed: Option<Armed>,
    failure: Option<Failed>,
    /// Why the next lease is granted, unless that is the value's age.
    reason: Option<LeaseReason>,
    published: Option<String>,
    /// The lease that an invalidation has voided.
    voided: Option<String>,
}

struct Failed {
    message: String,
    until: Instant,
    /// Of its lease.
    fence: i64,
}

struct Value {
    payload: hit::Payload,
    fresh_until: Instant,
    stale_until: Instant,
    fence: i64,
    tags: Vec<String>,
}

/// The lease whose publish is stored, even after its end, until there is another one.
struct Armed {
    token: String,
    request_id: String,
    ends_at: Instant,
    lease: Duration,
    fence: i64,
    /// The invalidations since it was granted, by tag; none for the whole namespace.
    changes: HashMap<Option<String>, Change>,
}

/// How one tag, or the whole namespace, was invalidated during a lease.
#[derive(Default)]
struct Change {
    deleted: bool,
    /// The first mark, from which the stale time counts.
    marked_at: Option<Instant>,
}

impl Record {
    /// `fence` is for the lease that may be granted; `waits_for` is that of the lease that the caller has waited for.
    pub fn look(&mut self, request: &v1::GetOrLockRequest, fence: i64, waits_for: i64) -> Looked {
        let now = Instant::now();
        self.value.take_if(|value| now >= value.stale_until);
        self.failure.take_if(|failure| now >= failure.until);
        let running = self.armed.as_ref().filter(|armed| now < armed.ends_at);
        let refresh = request.intent() == Intent::Refresh;
        let hit = self.value.as_ref().map(|value| value.hit(now, running.is_some()));
        let is_fresh = hit.as_ref().is_some_and(|hit| hit.freshness() == Freshness::Fresh);
        let good = hit.filter(|_| is_fresh || request.stale() != Stale::Forbid);
        match (good, running) {
            (Some(hit), _) if is_fresh && !refresh => Looked::Answer(Outcome::Hit(hit)),
            (previous, Some(armed)) if !request.request_id.is_empty() && armed.request_id == request.request_id => {
                Looked::Answer(Outcome::Lease(armed.lease(now, previous, LeaseReason::Unspecified)))
            }
            (Some(hit), Some(_)) if !refresh => Looked::Answer(Outcome::Hit(hit)),
            (_, Some(armed)) => Looked::Held { ends_at: armed.ends_at, fence: armed.fence },
            (good, None) => Looked::Answer(self.without_lease(request, good, fence, waits_for)),
        }
    }

    /// No caller rebuilds, and there is no fresh value.
    fn without_lease(
        &mut self,
        request: &v1::GetOrLockRequest,
        good: Option<v1::Hit>,
        fence: i64,
        waits_for: i64,
    ) -> Outcome {
        let now = Instant::now();
        let refresh = request.intent() == Intent::Refresh;
        // A refresh need not wait for the back-off of a failure that it has not waited for.
        let failure = self.failure.as_ref().filter(|failure| !refresh || failure.fence == waits_for);
        match (failure, good, request.intent()) {
            (Some(_), Some(hit), _) if !refresh => Outcome::Hit(hit),
            (None, Some(hit), Intent::Read) => Outcome::Hit(hit),
            (Some(Failed { message, until, .. }), _, _) => {
                let retry_after_ms = ms(*until - now).max(1);
                Outcome::Failed(v1::Failed { message: message.clone(), retry_after_ms })
            }
            (None, None, Intent::Read) => {
                Outcome::Busy(v1::Busy { reason: BusyReason::NoValue.into(), ..Default::default() })
            }
            (None, previous, intent) => {
                let reason = self.reason_of(intent, now);
                let lease = request.lease_ms.map_or(LEASE, duration);
                let armed = Armed {
                    token: Uuid::new_v4().to_string(),
                    request_id: request.request_id.clone(),
                    ends_at: now + lease,
                    lease,
                    fence,
                    changes: HashMap::new(),
                };
                Outcome::Lease(self.armed.insert(armed).lease(now, previous, reason))
            }
        }
    }

    fn reason_of(&mut self, intent: Intent, now: Instant) -> LeaseReason {
        let held = self.armed.as_ref().is_some_and(|armed| now >= armed.ends_at);
        match self.reason.take() {
            _ if intent == Intent::Refresh => LeaseReason::Refresh,
            Some(reason) => reason,
            None if held => LeaseReason::HolderLost,
            None if self.value.is_some() => LeaseReason::Expired,
            None => LeaseReason::Miss,
        }
    }

    /// The outcome, and whether the value counts; it does not if one of its tags, or the namespace, was invalidated
    /// during the lease.
    pub fn publish(&mut self, request: v1::PublishRequest) -> (PublishOutcome, bool) {
        let v1::PublishRequest { token, payload, ttl_ms, stale_ms, tags, .. } = request;
        if self.published.as_ref() == Some(&token) {
            return (PublishOutcome::Duplicate, true);
        }
        if self.voided.as_ref() == Some(&token) {
            return (PublishOutcome::Invalidated, false);
        }
        let armed = match self.armed.take_if(|armed| armed.token == token) {
            Some(armed) => armed,
            None if self.armed.is_some() => return (PublishOutcome::Superseded, false),
            None => return (PublishOutcome::UnknownLease, false),
        };
        let now = Instant::now();
        let fresh_until = now + duration(ttl_ms);
        let mut value = Value {
            payload: match payload {
                Some(publish_request::Payload::Value(bytes)) => hit::Payload::Value(bytes),
                _ => hit::Payload::Absent(true),
            },
            fresh_until,
            stale_until: fresh_until + duration(stale_ms.unwrap_or(0)),
            fence: armed.fence,
            tags,
        };
        let reached: Vec<_> = armed.changes_of(&value.tags).collect();
        reached.iter().filter_map(|change| change.marked_at).for_each(|at| value.mark(at));
        let counts = reached.is_empty();
        self.reason = (!counts).then_some(LeaseReason::Invalidated);
        self.value = Some(value).filter(|_| !reached.iter().any(|change| change.deleted));
        self.published = Some(token);
        self.failure = None;
        let outcome = if now < armed.ends_at { PublishOutcome::Stored } else { PublishOutcome::StoredLate };
        (outcome, counts)
    }

    pub fn release(&mut self, token: &str, failure: Option<v1::Failure>) -> ReleaseOutcome {
        let Some(Armed { fence, .. }) = self.armed.take_if(|armed| armed.token == token) else {
            return ReleaseOutcome::NotHeld;
        };
        match failure {
            Some(failure) => {
                let backoff = failure.retry_after_ms.map_or(BACKOFF, duration);
                self.failure = Some(Failed { message: failure.message, until: Instant::now() + backoff, fence });
            }
            None => self.reason = Some(LeaseReason::HolderLost),
        }
        ReleaseOutcome::Released
    }

    /// The remaining time of the lease; none if it is lost.
    pub fn extend(&mut self, token: &str, lease_ms: Option<i64>) -> Option<Duration> {
        let now = Instant::now();
        let armed = self.armed.as_mut().filter(|armed| armed.token == token && now < armed.ends_at)?;
        let lease = lease_ms.map_or(armed.lease, duration);
        armed.ends_at = armed.ends_at.max(now + lease);
        Some(armed.ends_at - now)
    }

    /// Whether it had a value, and whether a lease was voided.
    pub fn invalidate(&mut self, stale: bool) -> (bool, bool) {
        let had = self.value.as_ref().is_some_and(|value| Instant::now() < value.stale_until);
        self.invalidate_value(stale);
        self.end_backoff();
        let voided = self.armed.take().map(|armed| armed.token);
        if voided.is_some() {
            self.voided.clone_from(&voided);
        }
        (had, voided.is_some())
    }

    pub fn invalidate_value(&mut self, stale: bool) {
        match &mut self.value {
            Some(value) if stale => value.mark(Instant::now()),
            value => *value = None,
        }
        self.reason = Some(LeaseReason::Invalidated);
    }

    /// Remembers what may reach the value that is published under the lease. It ends no lease.
    pub fn invalidate_lease(&mut self, tags: &[String], all: bool, stale: bool) {
        let Some(armed) = &mut self.armed else { return };
        for tag in tags.iter().cloned().map(Some).chain(all.then_some(None)) {
            let change = armed.changes.entry(tag).or_default();
            change.deleted |= !stale;
            if stale {
                change.marked_at.get_or_insert(Instant::now());
            }
        }
    }

    /// Of its key or its namespace; not of a tag, because a failure has none.
    pub fn end_backoff(&mut self) {
        self.failure = None;
    }

    pub fn has_tag(&self, tags: &[String]) -> bool {
        self.value.as_ref().is_some_and(|value| value.tags.iter().any(|tag| tags.contains(tag)))
    }

    /// The current state: the holder, and the stored value. Past leases are not kept.
    pub fn explain(&self) -> v1::ExplainResponse {
        let now = Instant::now();
        let lease = self.armed.as_ref().filter(|armed| now < armed.ends_at).map(|armed| v1::LeaseInfo {
            fence: armed.fence,
            expires_in_ms: ms(armed.ends_at - now),
            ..Default::default()
        });
        let value = self.value.as_ref().filter(|value| now < value.stale_until);
        let failed = self.failure.as_ref().filter(|failure| now < failure.until);
        v1::ExplainResponse {
            lease,
            value: value.map(|value| value.info(now)),
            fence: self.armed.as_ref().map_or(0, |armed| armed.fence).max(self.value_fence()),
            failed: failed.map(|failure| v1::Failed {
                message: failure.message.clone(),
                retry_after_ms: ms(failure.until - now),
            }),
            degraded: v1::Degraded::None.into(),
            ..Default::default()
        }
    }

    pub fn value_fence(&self) -> i64 {
        self.value.as_ref().map_or(0, |value| value.fence)
    }
}

impl Value {
    fn hit(&self, now: Instant, rebuilding: bool) -> v1::Hit {
        let fresh_for = self.fresh_until.saturating_duration_since(now);
        let freshness = if fresh_for.is_zero() { Freshness::Stale } else { Freshness::Fresh };
        v1::Hit {
            payload: Some(self.payload.clone()),
            freshness: freshness.into(),
            fresh_for_ms: ms(fresh_for),
            fence: self.fence,
            rebuilding,
            tags: Some(v1::Tags { names: self.tags.clone() }),
        }
    }

    /// It is stale since then. Its stale time counts from there, or continues if it was stale before.
    fn mark(&mut self, since: Instant) {
        let stale_for = self.stale_until.saturating_duration_since(self.fresh_until);
        self.stale_until = self.stale_until.min(since + stale_for);
        self.fresh_until = self.fresh_until.min(since);
    }

    fn info(&self, now: Instant) -> v1::ValueInfo {
        let hit = self.hit(now, false);
        let (absent, size) = match &self.payload {
            hit::Payload::Value(bytes) => (false, bytes.len()),
            hit::Payload::Absent(_) => (true, 0),
        };
        v1::ValueInfo {
            absent,
            freshness: hit.freshness,
            size_bytes: size.try_into().unwrap_or(i64::MAX),
            fresh_for_ms: hit.fresh_for_ms,
            stale_for_ms: ms(self.stale_until.saturating_duration_since(now)),
            fence: self.fence,
            tags: self.tags.clone(),
            ..Default::default()
        }
    }
}

impl Armed {
    fn changes_of(&self, tags: &[String]) -> impl Iterator<Item = &Change> {
        let reached = tags.iter().cloned().map(Some).chain([None]);
        reached.filter_map(|tag| self.changes.get(&tag))
    }

    fn lease(&self, now: Instant, previous: Option<v1::Hit>, reason: LeaseReason) -> v1::Lease {
        v1::Lease {
            token: self.token.clone(),
            fence: self.fence,
            expires_in_ms: ms(self.ends_at.saturating_duration_since(now)).max(1),
            previous,
            reason: reason.into(),
        }
    }
}
