//! The client, and how it is made.
use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use tokio_util::task::TaskTracker;

use crate::{
    calls::Calls,
    core::Core,
    error::Error,
    explain::Explain,
    get::Get,
    get_or_rebuild::Key,
    hooks::{Event, Hooks},
    invalidate::Invalidate,
    lease_guard::Leased,
    link::{Link, Stub},
    links::Links,
    many::Keys,
    metrics::Metrics,
    near_cache::{NearCache, NearOptions},
    options::{LEASE_HOLD_MAX, Named, OnUnavailable, default_holder},
    reachability::Reachability,
    session::Hears,
    set::SetKey,
    token::Token,
    transport::Transport,
};

const MS: Duration = Duration::from_millis(1);

/// A client of Dibs. One per process is enough: any number of calls run over it at once. Clones are the same client.
/// Its connections end with the last clone.
#[derive(Clone)]
pub struct Client {
    core: Arc<Core>,
}

impl Client {
    /// Takes its options from the environment: `DIBS_TARGET`, `DIBS_TOKEN` or `DIBS_TOKEN_FILE`, `DIBS_TLS_CA`.
    /// Connects with the first call.
    ///
    /// # Errors
    /// [`Error::Options`].
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// A client with options.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Gets the value of a key, or rebuilds it. Continue with [`Key::ttl`], and end with
    /// [`with`](crate::GetOrRebuild::with).
    pub fn get_or_rebuild(&self, key: impl Into<String>) -> Key {
        Key { core: self.core.clone(), key: key.into() }
    }

    /// Gets the value of a key, or the lease to rebuild it. The rebuilt value is fresh for `ttl`.
    /// [`lease`](crate::GetOrRebuild::lease) has options.
    ///
    /// # Errors
    /// As [`lease`](crate::GetOrRebuild::lease).
    pub async fn lease(&self, key: impl Into<String>, ttl: Duration) -> Result<Leased, Error> {
        self.get_or_rebuild(key).ttl(ttl).lease().await
    }

    /// Gets the values of several keys, and rebuilds the missing ones together. Continue with [`Keys::ttl`], and end
    /// with [`with`](crate::GetOrRebuildMany::with).
    pub fn get_or_rebuild_many<K: Into<String>>(&self, keys: impl IntoIterator<Item = K>) -> Keys {
        Keys::new(self.core.clone(), keys)
    }

    /// Reads the cached value, without a rebuild. `.await` makes the call.
    pub fn get(&self, key: impl Into<String>) -> Get {
        Get::new(self.core.clone(), key.into())
    }

    /// Stores a value that you already have. Continue with [`SetKey::ttl`], and end with
    /// [`publish`](crate::Set::publish).
    pub fn set(&self, key: impl Into<String>) -> SetKey {
        SetKey { core: self.core.clone(), key: key.into() }
    }

    /// Shows why a key waits, and what is known about it. `.await` makes the call.
    pub fn explain(&self, key: impl Into<String>) -> Explain {
        Explain::new(self.core.clone(), key.into())
    }

    /// Drops values or marks them stale. Continue with keys, tags or all, and end with [`Invalidate::now`].
    pub fn invalidate(&self) -> Invalidate {
        Invalidate::new(self.core.clone())
    }

    /// Waits for the first connection, so that the first calls need not. False: there was none within `timeout`.
    pub async fn ready(&self, timeout: Duration) -> bool {
        tokio::time::timeout(timeout, self.core.calls.ready()).await.is_ok()
    }

    /// Waits for background work, before the process ends: rebuilds behind a stale value, repeated publishes, leases on
    /// their way back. False: it has not ended within `timeout`.
    pub async fn flush(&self, timeout: Duration) -> bool {
        tokio::time::timeout(timeout, self.core.background.wait()).await.is_ok()
    }

    /// The generated stub, for everything else. It makes unary calls. None for the double in memory.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn stub(&self) -> Option<Stub> {
        self.core.links.as_ref().map(Links::stub)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("holder", &self.core.holder).finish_non_exhaustive()
    }
}

/// The options of a client.
#[derive(Clone, Default)]
#[must_use = "it does nothing before `build`"]
pub struct ClientBuilder {
    connection: Named,
    without_session: bool,
    key_affinity: bool,
    namespace: String,
    holder: Option<String>,
    on_unavailable: OnUnavailable,
    lease_hold_max: Option<Duration>,
    near: NearOptions,
    hooks: Hooks,
}

impl ClientBuilder {
    /// `HOST:PORT`, a list of them with commas between, `dns:///HOST:PORT`, or `unix:///path`. Default: `DIBS_TARGET`,
    /// else `127.0.0.1:50051`.
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.connection.target = Some(target.into());
        self
    }

    /// Sent as `authorization: Bearer`; unencrypted only over loopback and Unix sockets. Default: `DIBS_TOKEN`, else
    /// the content of the file `DIBS_TOKEN_FILE`, else none.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.connection.token = Some(Token::Text(token.into()));
        self
    }

    /// A file with the token. A change is noticed within a second. [`build`](Self::build) reads it too. If it cannot be
    /// read later, the old token stays in use. Default: `DIBS_TOKEN_FILE`, unless `DIBS_TOKEN` is set.
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.connection.token = Some(Token::File(path.into()));
        self
    }

    /// Returns the token for each call, and for each session when that is opened. It must not block.
    pub fn token_fn(mut self, token: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.connection.token = Some(Token::Function(Arc::new(token)));
        self
    }

    /// Allows the token to travel unencrypted to another machine, if something else protects the way. Default: false.
    pub fn allow_insecure_token(mut self, allow: bool) -> Self {
        self.connection.allow_insecure_token = allow;
        self
    }

    /// Path of a PEM file with the authorities to trust; turns TLS on. Default: `DIBS_TLS_CA`, else no TLS.
    pub fn tls_ca(mut self, path: impl Into<String>) -> Self {
        self.connection.tls_ca = Some(path.into());
        self
    }

    /// Path of a PEM file with the certificate that the client shows. Default: `DIBS_TLS_CERT`, else none.
    pub fn tls_cert(mut self, path: impl Into<String>) -> Self {
        self.connection.tls_cert = Some(path.into());
        self
    }

    /// Path of a PEM file with the key of [`tls_cert`](Self::tls_cert). Default: `DIBS_TLS_KEY`, else none.
    pub fn tls_key(mut self, path: impl Into<String>) -> Self {
        self.connection.tls_key = Some(path.into());
        self
    }

    /// How long a connection may take before the service counts as unreachable: at least 1 ms. Default: 2 s.
    pub fn connect_timeout(mut self, connect_timeout: Duration) -> Self {
        self.connection.connect_timeout = Some(connect_timeout);
        self
    }

    /// Sends all calls on one stream, with leases that end with this process. If there can be no stream, calls are sent
    /// one by one. Default: true.
    pub fn session(mut self, session: bool) -> Self {
        self.without_session = !session;
        self
    }

    /// Gives a key the same replica in every process that sets this for the same target, in any language. Its callers
    /// then meet in one place, which saves reads of the store, and memory in the near caches of the service. A key that
    /// all processes want then loads one replica only. Default: false, each client has its own shares.
    pub fn key_affinity(mut self, key_affinity: bool) -> Self {
        self.key_affinity = key_affinity;
        self
    }

    /// The namespace of calls that name none. Default: the service's `default`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// The name of this process in Explain and logs, at most 256 bytes. Default: host name and process id.
    pub fn holder(mut self, holder: impl Into<String>) -> Self {
        self.holder = Some(holder.into());
        self
    }

    /// Keeps fresh values in this process's memory, up to this many bytes, so that a hit costs no call. Use it for
    /// values that are read often and change rarely. It needs a [`session`](Self::session), over which the service
    /// reports changes. Freshness counts from when the request was sent, so after a wait for a rebuild the value is
    /// kept only for the rest of its time. Default: none.
    pub fn near_cache(mut self, bytes_max: u64) -> Self {
        self.near.bytes_max = Some(bytes_max);
        self
    }

    /// The namespaces whose values are kept in the near cache, at most 64. Default: the client's own.
    pub fn near_namespaces<N: Into<String>>(mut self, namespaces: impl IntoIterator<Item = N>) -> Self {
        self.near.namespaces = namespaces.into_iter().map(Into::into).collect();
        self
    }

    /// While the service cannot be reached, serves values of the near cache. The hook is told that they are stale.
    /// Default: false.
    pub fn serve_near_when_unavailable(mut self, serve: bool) -> Self {
        self.near.serve_when_unavailable = serve;
        self
    }

    /// The longest that a lease is extended. After that it is given back, and the rebuild counts as hung. The service
    /// has its own bound. At least 1 ms. Default: 10 minutes.
    pub fn lease_hold_max(mut self, lease_hold_max: Duration) -> Self {
        self.lease_hold_max = Some(lease_hold_max);
        self
    }

    /// What calls do if the service cannot be reached. Default: [`OnUnavailable::Rebuild`].
    pub fn on_unavailable(mut self, on_unavailable: OnUnavailable) -> Self {
        self.on_unavailable = on_unavailable;
        self
    }

    /// Receives what happens, for your own metrics. It must not block. Its panics are ignored.
    pub fn hook(mut self, hook: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.hooks = Hooks::new(hook);
        self
    }

    /// Connects with the first call.
    ///
    /// # Errors
    /// [`Error::Options`].
    pub fn build(self) -> Result<Client, Error> {
        at_least_a_ms("lease_hold_max", self.lease_hold_max, "every lease would be lost at once")?;
        at_least_a_ms("connect_timeout", self.connection.connect_timeout, "no connection would be made")?;
        let link = Link::new(&self.connection.clone().or_environment())?;
        let near = NearCache::of(&self.near, &self.namespace)?.filter(|_| !self.without_session);
        let hears = Hears { near, ..Hears::default() };
        let salt = if self.key_affinity { 0 } else { fastrand::u32(..) };
        let links = Links::new(link, salt, self.holder_or_default(), !self.without_session, hears.clone());
        Ok(self.over(Box::new(links.clone()), hears, Some(links)))
    }

    pub(crate) fn over(self, transport: Box<dyn Transport>, hears: Hears, links: Option<Arc<Links>>) -> Client {
        let Hears { leases, flights, near, local_results } = hears;
        let reachability = Arc::new(Reachability::new(local_results.clone(), near.clone()));
        let background = TaskTracker::new();
        // A closed tracker can be waited for. Tasks that are spawned on it still count.
        background.close();
        let core = Core {
            calls: Calls::new(transport, reachability.clone()),
            leases,
            flights,
            local_results,
            reachability,
            background,
            near,
            lease_hold_max: self.lease_hold_max.unwrap_or(LEASE_HOLD_MAX),
            holder: self.holder_or_default(),
            hooks: self.hooks,
            metrics: Metrics::new(&self.namespace),
            namespace: self.namespace,
            on_unavailable: self.on_unavailable,
            links,
        };
        Client { core: Arc::new(core) }
    }

    fn holder_or_default(&self) -> String {
        self.holder.clone().unwrap_or_else(default_holder)
    }
}

fn at_least_a_ms(option: &str, time: Option<Duration>, why: &str) -> Result<(), Error> {
    match time {
        Some(time) if time < MS => Err(Error::Options(format!("{option}: {time:?} is less than {MS:?}: {why}"))),
        _ => Ok(()),
    }
}
