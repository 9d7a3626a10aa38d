//! The client, and how it is made.
use std::{fmt, sync::Arc, time::Duration};

use crate::{
    calls::Calls,
    core::Core,
    error::Error,
    flights::Flights,
    get_or_rebuild::Key,
    hooks::{Event, Hooks},
    invalidate::Invalidate,
    lease_guard::Leased,
    lease_registry::LeaseRegistry,
    link::{Link, Stub},
    options::{CONNECT_TIMEOUT, Connection, OnUnavailable, default_holder},
    session::Session,
    session_or_unary::SessionOrUnary,
    transport::Transport,
    unary::Unary,
};

/// A client of Dibs. One for each process is enough: any number of calls go over it at once. Clones are the same
/// client, whose connections end with the last of them.
#[derive(Clone)]
pub struct Client {
    core: Arc<Core>,
}

impl Client {
    /// As the environment says: `DIBS_TARGET`, `DIBS_TOKEN`, `DIBS_TLS_CA`. Connects with the first call.
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

    /// The value of a key, or its rebuild: go on with [`Key::ttl`], and end with [`with`](crate::GetOrRebuild::with).
    pub fn get_or_rebuild(&self, key: impl Into<String>) -> Key {
        Key { core: self.core.clone(), key: key.into() }
    }

    /// The value of a key, or the lease to rebuild it, whose value is fresh for `ttl`. [`lease`](crate::GetOrRebuild::lease) has
    /// options.
    ///
    /// # Errors
    /// As [`lease`](crate::GetOrRebuild::lease).
    pub async fn lease(&self, key: impl Into<String>, ttl: Duration) -> Result<Leased, Error> {
        self.get_or_rebuild(key).ttl(ttl).lease().await
    }

    /// Drops values or marks them stale: go on with keys, tags or all, and end with [`Invalidate::now`].
    pub fn invalidate(&self) -> Invalidate {
        Invalidate::new(self.core.clone())
    }

    /// The generated stub, for everything else; none for the double in memory. It goes by single calls.
    pub fn stub(&self) -> Option<Stub> {
        self.core.stub.clone()
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
    target: Option<String>,
    token: Option<String>,
    tls_ca: Option<String>,
    connect_timeout: Option<Duration>,
    without_session: bool,
    namespace: String,
    holder: Option<String>,
    on_unavailable: OnUnavailable,
    hooks: Hooks,
}

impl ClientBuilder {
    /// `HOST:PORT`, `unix:///path`, or `dns:///HOST:PORT`. Default: `DIBS_TARGET`, else `127.0.0.1:50051`.
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// Sent as `authorization: Bearer`. Default: `DIBS_TOKEN`, else none.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Path of a PEM file with the authorities to trust; turns TLS on. Default: `DIBS_TLS_CA`, else no TLS.
    pub fn tls_ca(mut self, path: impl Into<String>) -> Self {
        self.tls_ca = Some(path.into());
        self
    }

    /// How long a connection may take before the service counts as out of reach. Default: 2 s.
    pub fn connect_timeout(mut self, connect_timeout: Duration) -> Self {
        self.connect_timeout = Some(connect_timeout);
        self
    }

    /// All calls on one stream, with leases that end with this process. Where a stream cannot be had, calls go one
    /// by one all the same. Default: true.
    pub fn session(mut self, session: bool) -> Self {
        self.without_session = !session;
        self
    }

    /// Of calls that name none. Default: the service's `default`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// What this process is called in Explain and logs, at most 256 bytes. Default: host name and process id.
    pub fn holder(mut self, holder: impl Into<String>) -> Self {
        self.holder = Some(holder.into());
        self
    }

    /// What becomes of calls when the service cannot be reached. Default: [`OnUnavailable::Rebuild`].
    pub fn on_unavailable(mut self, on_unavailable: OnUnavailable) -> Self {
        self.on_unavailable = on_unavailable;
        self
    }

    /// Hears what happens, for your own metrics. It must not block; what panics in it is ignored.
    pub fn hook(mut self, hook: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.hooks = Hooks::new(hook);
        self
    }

    /// Connects with the first call.
    ///
    /// # Errors
    /// [`Error::Options`].
    pub fn build(self) -> Result<Client, Error> {
        let connection = Connection::of(self.target.clone(), self.token.clone(), self.tls_ca.clone());
        let link = Link::new(&connection, self.connect_timeout.unwrap_or(CONNECT_TIMEOUT))?;
        let link = Arc::new(link);
        let (holder, leases) = (self.holder_or_default(), Arc::default());
        let (its, stub) = link.connect_for_two();
        let unary = Unary::new(its);
        let transport: Box<dyn Transport> = if self.without_session {
            Box::new(unary)
        } else {
            let session = Session::new(link, holder, Arc::clone(&leases));
            Box::new(SessionOrUnary::new(session, unary))
        };
        Ok(self.over(transport, leases, Some(stub)))
    }

    pub(crate) fn over(self, transport: Box<dyn Transport>, leases: Arc<LeaseRegistry>, stub: Option<Stub>) -> Client {
        let core = Core {
            calls: Calls::new(transport),
            leases,
            flights: Flights::new(),
            local: Flights::new(),
            holder: self.holder_or_default(),
            hooks: self.hooks,
            namespace: self.namespace,
            on_unavailable: self.on_unavailable,
            stub,
        };
        Client { core: Arc::new(core) }
    }

    fn holder_or_default(&self) -> String {
        self.holder.clone().unwrap_or_else(default_holder)
    }
}
