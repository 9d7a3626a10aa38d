//! What callers say, and what holds where they say nothing.
use std::{env, sync::Arc, time::Duration};

use crate::{trace::Trace, v1};

/// Of a call that names no wait.
pub(crate) const WAIT: Duration = Duration::from_secs(30);
/// What an answer may take on its way, above the wait itself.
pub(crate) const WAY: Duration = Duration::from_secs(2);
/// TCP repeats the first packet that is lost after one second.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const TARGET: &str = "127.0.0.1:50051";

/// What becomes of a call when the service cannot be reached.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash)]
pub enum OnUnavailable {
    /// This process rebuilds for itself, one at a time for each key; nothing is published.
    #[default]
    Rebuild,
    /// The call ends with the error.
    Fail,
}

/// Whether a stale value is a good answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub enum Stale {
    /// It is served at once while one caller rebuilds.
    Allow,
    /// Only a fresh value counts.
    Forbid,
}

/// How far copies may be trusted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash)]
pub enum Read {
    /// The replica's near cache may answer.
    #[default]
    Near,
    /// Nothing that was invalidated before this call began is returned.
    Store,
}

/// What a caller with a lease does where there is a value to serve meanwhile.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash)]
pub enum Revalidate {
    /// That value is returned at once, and the rebuild goes on behind.
    #[default]
    Background,
    /// The rebuild is waited for.
    Await,
}

/// Of one call.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub namespace: String,
    pub key: String,
    pub ttl: Duration,
    pub stale_ttl: Option<Duration>,
    pub absent_ttl: Option<Duration>,
    pub tags: Vec<String>,
    pub wait: Option<Duration>,
    pub lease: Option<Duration>,
    pub stale: Option<Stale>,
    pub read: Read,
    pub refresh: bool,
    pub revalidate: Revalidate,
    pub on_unavailable: OnUnavailable,
    pub traceparent: String,
    /// As it was when the call was made.
    pub trace: Trace,
}

/// Calls with the same of these get the same answer, so that one of them asks for all.
pub(crate) type FlightId = (String, String, Option<Stale>, Revalidate, Option<Duration>, OnUnavailable);

impl Options {
    /// The call is made now, by whoever runs.
    pub fn called(mut self) -> Arc<Self> {
        self.trace = Trace::of_caller(&self.traceparent);
        Arc::new(self)
    }

    /// Whoever reads the store or refreshes wants what is newer than the call, and not what an earlier one read.
    pub fn may_join(&self) -> bool {
        self.read == Read::Near && !self.refresh
    }

    pub fn flight_id(&self) -> FlightId {
        let Self { namespace, key, stale, revalidate, wait, on_unavailable, .. } = self;
        (namespace.clone(), key.clone(), *stale, *revalidate, *wait, *on_unavailable)
    }

    /// Asks for the value for `left` more; where the caller named no wait, the deadline and the service bound it.
    pub fn get_or_lock(&self, request_id: String, holder: String, left: Duration) -> v1::GetOrLockRequest {
        v1::GetOrLockRequest {
            namespace: self.namespace.clone(),
            key: self.key.clone(),
            wait_ms: self.wait.map(|_| ms(left)),
            lease_ms: self.lease.map(ms),
            stale: match self.stale {
                None => v1::Stale::Unspecified,
                Some(Stale::Allow) => v1::Stale::Allow,
                Some(Stale::Forbid) => v1::Stale::Forbid,
            }
            .into(),
            read: match self.read {
                Read::Near => v1::Read::Unspecified,
                Read::Store => v1::Read::Store,
            }
            .into(),
            request_id,
            holder,
            intent: if self.refresh { v1::Intent::Refresh } else { v1::Intent::Rebuild }.into(),
        }
    }
}

/// Whole milliseconds, as the contract has them.
pub(crate) fn ms(duration: Duration) -> i64 {
    duration.as_millis().try_into().unwrap_or(i64::MAX)
}

/// What the service says in milliseconds.
pub(crate) fn duration(ms: i64) -> Duration {
    Duration::from_millis(ms.try_into().unwrap_or(0))
}

/// Where and as whom to call: what the caller says, else what the environment says. Empty is not set.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Connection {
    pub target: String,
    pub token: String,
    pub tls_ca: String,
}

impl Connection {
    pub fn of(target: Option<String>, token: Option<String>, tls_ca: Option<String>) -> Self {
        Self::from(target, token, tls_ca, |name| env::var(name).unwrap_or_default())
    }

    fn from(
        target: Option<String>,
        token: Option<String>,
        tls_ca: Option<String>,
        env: impl Fn(&str) -> String,
    ) -> Self {
        let target = target.unwrap_or_else(|| env("DIBS_TARGET"));
        Self {
            target: if target.is_empty() { TARGET.to_owned() } else { target },
            token: token.unwrap_or_else(|| env("DIBS_TOKEN")),
            tls_ca: tls_ca.unwrap_or_else(|| env("DIBS_TLS_CA")),
        }
    }
}

/// At most 256 bytes, as the contract says.
pub(crate) fn default_holder() -> String {
    let host: String = gethostname::gethostname().to_string_lossy().chars().take(60).collect();
    format!("{host}/{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_comes_before_the_environment_and_empty_is_not_set() {
        let env = |name: &str| format!("env {name}");
        let of = |target: Option<&str>| Connection::from(target.map(String::from), Some("t".into()), None, env);
        assert_eq!(of(Some("a:1")).target, "a:1");
        assert_eq!(of(None).target, "env DIBS_TARGET");
        assert_eq!((of(None).token, of(None).tls_ca), ("t".into(), "env DIBS_TLS_CA".into()));
        let bare = Connection::from(None, None, None, |_| String::new());
        assert_eq!(bare, Connection { target: "127.0.0.1:50051".into(), ..Default::default() });
    }

    #[test]
    fn durations_are_whole_milliseconds() {
        assert_eq!((ms(Duration::from_micros(1_500)), ms(Duration::MAX)), (1, i64::MAX));
        assert_eq!((duration(-1), duration(7)), (Duration::ZERO, Duration::from_millis(7)));
    }
}
