//! The options of callers, and their defaults.
use std::{env, sync::Arc, time::Duration};

use tokio::time::Instant;
use tonic::Code;

use crate::{
    core::Core,
    error::{CallError, Error},
    flights::KeyId,
    reentry::{Around, around},
    token::Token,
    trace::Trace,
    v1,
};

/// The wait of a call that sets none.
pub(crate) const WAIT: Duration = Duration::from_secs(30);
/// What an answer may take on its way, in addition to the wait.
pub(crate) const WAY: Duration = Duration::from_secs(2);
/// TCP repeats a lost first packet after one second.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The contract's bounds.
pub(crate) const TTL_MIN: Duration = Duration::from_millis(1);
pub(crate) const TTL_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// A rebuild that takes longer has hung, and the next caller may try.
pub(crate) const LEASE_HOLD_MAX: Duration = Duration::from_secs(600);
const TAGS_MAX: usize = 16;
const TAG_BYTES_MAX: usize = 256;
const TARGET: &str = "127.0.0.1:50051";

/// What a call does if the service cannot be reached.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash)]
pub enum OnUnavailable {
    /// This process rebuilds for itself, one rebuild at a time per key. Nothing is published.
    #[default]
    Rebuild,
    /// The call returns the error.
    Fail,
}

/// Whether a stale value is acceptable.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub enum Stale {
    /// It is served at once while one caller rebuilds.
    Allow,
    /// Only a fresh value is acceptable.
    Forbid,
}

/// Which copies may answer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash)]
pub enum Read {
    /// The replica's near cache may answer.
    #[default]
    Near,
    /// Returns nothing that was invalidated before this call began.
    Store,
}

/// What a caller with a lease does if there is a value to serve in the meantime.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash)]
pub enum Revalidate {
    /// That value is returned at once, and the rebuild continues in the background.
    #[default]
    Background,
    /// The call waits for the rebuild.
    Await,
}

/// The options of one call.
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
    /// It never gets a lease.
    pub reads_only: bool,
    pub revalidate: Revalidate,
    pub stale_if_error: bool,
    pub on_unavailable: OnUnavailable,
    pub traceparent: String,
    /// The trace at the time of the call.
    pub trace: Trace,
    pub called_at: Instant,
    /// The rebuilds in which the call was made.
    pub around: Around,
    /// It asks again because the cached value cannot be read.
    pub undecodable: bool,
}

/// Calls of one key that agree in these get the same answer, so one of them asks for all.
#[derive(Eq, PartialEq)]
pub(crate) struct FlightId {
    pub stale: Option<Stale>,
    read: Read,
    refresh: bool,
    revalidate: Revalidate,
    stale_if_error: bool,
    wait: Option<Duration>,
    on_unavailable: OnUnavailable,
}

pub(crate) fn key_id(options: &Options) -> KeyId {
    key_id_of(&options.namespace, &options.key)
}

/// The empty namespace is the service's `default`.
pub(crate) fn key_id_of(namespace: &str, key: &str) -> KeyId {
    let namespace = if namespace.is_empty() { "default" } else { namespace };
    (namespace.to_owned(), key.to_owned())
}

impl Options {
    /// The defaults.
    pub fn of(core: &Core, key: String, ttl: Duration) -> Self {
        Self {
            namespace: core.namespace.clone(),
            key,
            ttl,
            stale_ttl: None,
            absent_ttl: None,
            tags: Vec::new(),
            wait: None,
            lease: None,
            stale: None,
            read: Read::Near,
            refresh: false,
            reads_only: false,
            revalidate: Revalidate::Background,
            stale_if_error: false,
            on_unavailable: core.on_unavailable,
            traceparent: String::new(),
            trace: Trace::default(),
            called_at: Instant::now(),
            around: None,
            undecodable: false,
        }
    }

    /// The call is made now, in the current task.
    pub fn called(mut self) -> Arc<Self> {
        self.trace = Trace::of_caller(&self.traceparent);
        self.called_at = Instant::now();
        self.around = around();
        Arc::new(self)
    }

    /// The same call, for another value instead of the one that cannot be read.
    pub fn anew(&self) -> Arc<Self> {
        Arc::new(Self { refresh: true, undecodable: true, ..self.clone() })
    }

    /// When the caller's wait ends if it begins now.
    pub fn until(&self) -> Instant {
        Instant::now() + self.wait.unwrap_or(WAIT).min(TTL_MAX)
    }

    pub fn flight_id(&self) -> FlightId {
        let Self { stale, read, refresh, revalidate, stale_if_error, wait, on_unavailable, .. } = *self;
        FlightId { stale, read, refresh, revalidate, stale_if_error, wait, on_unavailable }
    }

    /// Refuses before the rebuild what the service would refuse with the publish.
    ///
    /// # Errors
    /// Like the service's: the field and its bounds.
    pub fn check(&self) -> Result<(), Error> {
        let ttls = [
            ("ttl_ms", Some(self.ttl), TTL_MIN),
            ("absent_ttl_ms", self.absent_ttl, TTL_MIN),
            ("stale_ms", self.stale_ttl, Duration::ZERO),
        ];
        for (field, ttl, min) in ttls {
            if let Some(ttl) = ttl
                && !(ms(min)..=ms(TTL_MAX)).contains(&ttl_ms(ttl))
            {
                return Err(outside(field, ttl_ms(ttl), ms(min), ms(TTL_MAX)));
            }
        }
        if self.tags.len() > TAGS_MAX {
            return Err(bad(format!("tags: {} are more than {TAGS_MAX}", self.tags.len())));
        }
        for (at, tag) in self.tags.iter().enumerate() {
            if tag.is_empty() || tag.len() > TAG_BYTES_MAX {
                return Err(bad(format!("tags[{at}]: {} bytes is outside 1 to {TAG_BYTES_MAX}", tag.len())));
            }
        }
        Ok(())
    }

    /// Without `wait`, the deadline and the service bound it.
    pub fn get_or_lock(&self, request_id: String, holder: String, wait: Option<Duration>) -> v1::GetOrLockRequest {
        v1::GetOrLockRequest {
            namespace: self.namespace.clone(),
            key: self.key.clone(),
            wait_ms: wait.map(ms),
            lease_ms: self.lease.map(ms),
            stale: self.its_stale().into(),
            read: self.its_read().into(),
            request_id,
            holder,
            intent: self.intent().into(),
        }
    }

    /// Like [`Self::get_or_lock`], for these keys.
    pub fn get_or_lock_many(
        &self,
        keys: Vec<String>,
        request_id: String,
        holder: String,
        wait: Option<Duration>,
    ) -> v1::GetOrLockManyRequest {
        v1::GetOrLockManyRequest {
            namespace: self.namespace.clone(),
            keys,
            wait_ms: wait.map(ms),
            lease_ms: self.lease.map(ms),
            stale: self.its_stale().into(),
            read: self.its_read().into(),
            request_id,
            holder,
            intent: self.intent().into(),
        }
    }

    fn its_stale(&self) -> v1::Stale {
        match self.stale {
            None => v1::Stale::Unspecified,
            Some(Stale::Allow) => v1::Stale::Allow,
            Some(Stale::Forbid) => v1::Stale::Forbid,
        }
    }

    fn its_read(&self) -> v1::Read {
        match self.read {
            Read::Near => v1::Read::Unspecified,
            Read::Store => v1::Read::Store,
        }
    }

    fn intent(&self) -> v1::Intent {
        match (self.reads_only, self.refresh) {
            (true, _) => v1::Intent::Read,
            (false, true) => v1::Intent::Refresh,
            (false, false) => v1::Intent::Rebuild,
        }
    }
}

fn outside(field: &str, is: i64, min: i64, max: i64) -> Error {
    bad(format!("{field}: {is} is outside {min} to {max}"))
}

fn bad(message: String) -> Error {
    CallError::new(Code::InvalidArgument, message).into()
}

/// Whole milliseconds, for the contract.
pub(crate) fn ms(duration: Duration) -> i64 {
    duration.as_millis().try_into().unwrap_or(i64::MAX)
}

/// A fraction of a millisecond becomes one, and not zero.
pub(crate) fn ttl_ms(ttl: Duration) -> i64 {
    if ttl.is_zero() { 0 } else { ms(ttl).max(1) }
}

/// A time of the service in milliseconds.
pub(crate) fn duration(ms: i64) -> Duration {
    Duration::from_millis(ms.try_into().unwrap_or(0))
}

/// Where to call, and as which identity: the caller's options, else the environment's. Empty means not set. A path may
/// be a secret by mistake, so `{:?}` does not exist.
#[derive(Clone)]
pub(crate) struct ConnectionOptions {
    pub target: String,
    pub token: Token,
    pub allow_insecure_token: bool,
    pub tls_ca: String,
    pub tls_cert: String,
    pub tls_key: String,
    pub connect_timeout: Duration,
}

/// The caller's options.
#[derive(Clone, Default)]
pub(crate) struct Named {
    pub target: Option<String>,
    pub token: Option<Token>,
    pub allow_insecure_token: bool,
    pub tls_ca: Option<String>,
    pub tls_cert: Option<String>,
    pub tls_key: Option<String>,
    pub connect_timeout: Option<Duration>,
}

impl Named {
    pub fn or_environment(self) -> ConnectionOptions {
        self.or(|name| env::var(name).unwrap_or_default())
    }

    fn or(self, env: impl Fn(&str) -> String) -> ConnectionOptions {
        let target = self.target.unwrap_or_else(|| env("DIBS_TARGET"));
        ConnectionOptions {
            target: if target.is_empty() { TARGET.to_owned() } else { target },
            token: self.token.unwrap_or_else(|| match (env("DIBS_TOKEN"), env("DIBS_TOKEN_FILE")) {
                (text, path) if text.is_empty() && !path.is_empty() => Token::File(path.into()),
                (text, _) => Token::Text(text),
            }),
            allow_insecure_token: self.allow_insecure_token,
            tls_ca: self.tls_ca.unwrap_or_else(|| env("DIBS_TLS_CA")),
            tls_cert: self.tls_cert.unwrap_or_else(|| env("DIBS_TLS_CERT")),
            tls_key: self.tls_key.unwrap_or_else(|| env("DIBS_TLS_KEY")),
            connect_timeout: self.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
        }
    }
}

/// At most 256 bytes, the contract's bound.
pub(crate) fn default_holder() -> String {
    let host: String = gethostname::gethostname().to_string_lossy().chars().take(60).collect();
    format!("{host}/{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_caller_comes_before_the_environment_and_empty_is_not_set() {
        let env = |name: &str| format!("env {name}");
        let of = |target: Option<&str>| Named { target: target.map(String::from), ..Named::default() }.or(env);
        assert_eq!(of(Some("a:1")).target, "a:1");
        assert_eq!(of(None).target, "env DIBS_TARGET");
        assert!(matches!(of(None).token, Token::Text(text) if text == "env DIBS_TOKEN"));
        let tls = (of(None).tls_ca, of(None).tls_cert, of(None).tls_key);
        assert_eq!(tls, ("env DIBS_TLS_CA".into(), "env DIBS_TLS_CERT".into(), "env DIBS_TLS_KEY".into()));
        let file = |name: &str| if name == "DIBS_TOKEN_FILE" { "/token".to_owned() } else { String::new() };
        assert!(matches!(Named::default().or(file).token, Token::File(path) if path == Path::new("/token")));
        let none = Named { token: Some(Token::Text(String::new())), ..Named::default() };
        assert!(none.or(file).token.is_none());
        let bare = Named::default().or(|_| String::new());
        assert!(bare.target == "127.0.0.1:50051" && bare.token.is_none());
    }

    #[test]
    fn a_token_is_shown_by_nothing() {
        let all = [Token::Text("secret".into()), Token::File("secret".into())];
        assert_eq!(format!("{all:?}"), "[hidden, hidden]");
    }

    #[test]
    fn durations_are_whole_milliseconds() {
        assert_eq!((ms(Duration::from_micros(1_500)), ms(Duration::MAX)), (1, i64::MAX));
        assert_eq!((duration(-1), duration(7)), (Duration::ZERO, Duration::from_millis(7)));
    }
}
