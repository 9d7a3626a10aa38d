//! Bounds how long calls wait for a connection.
use std::{
    io,
    net::{IpAddr, Ipv6Addr},
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream, lookup_host},
    time::{Instant, Sleep, sleep_until, timeout_at},
};
use tonic::codegen::{Service, http::Uri};

use crate::{error::Error, tls::Tls};

/// Back at a service that restarts within a second, and no connection storm meanwhile.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Where the service is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Address {
    /// `HOST:PORT`; all addresses of the name are used in turn.
    Tcp(String),
    Unix(PathBuf),
}

impl Address {
    /// `HOST:PORT`, `dns:///HOST:PORT` or `unix:///path`.
    pub fn parse(target: &str) -> Result<Self, Error> {
        if let Some(path) = target.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() { Err(not_a_target(target)) } else { Ok(Self::Unix(path.into())) };
        }
        let address = target.strip_prefix("dns:").map_or(target, |rest| rest.trim_start_matches('/'));
        match address.rsplit_once(':') {
            Some((host, port)) if is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0) => {
                Ok(Self::Tcp(address.to_owned()))
            }
            _ => Err(not_a_target(target)),
        }
    }

    /// What is sent there does not leave this machine.
    pub fn is_this_machine(&self) -> bool {
        let Self::Tcp(address) = self else { return true };
        let host = address.rsplit_once(':').map_or("", |(host, _)| host);
        let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        ip.map_or(host.eq_ignore_ascii_case("localhost"), |ip| ip.is_loopback())
    }

    /// What a certificate must be of.
    pub fn host(&self) -> &str {
        match self {
            Self::Tcp(address) => address.rsplit_once(':').map_or(address, |(host, _)| host),
            Self::Unix(_) => "localhost",
        }
    }

    pub fn authority(&self) -> &str {
        match self {
            Self::Tcp(address) => address,
            Self::Unix(_) => "localhost",
        }
    }
}

fn not_a_target(target: &str) -> Error {
    Error::Options(format!("target {target}: is none of HOST:PORT, dns:///HOST:PORT, unix:///path"))
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(ip) => ip.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    }
}

/// Connects within a bound, which covers also the peer's first byte: a process that hangs still takes connections.
/// After an attempt that failed, others fail at once for a while, so that no call waits for the bound a second time.
#[derive(Clone)]
pub(crate) struct Connector {
    address: Address,
    tls: Option<Arc<Tls>>,
    timeout: Duration,
    attempts: Arc<Attempts>,
}

impl Connector {
    pub fn new(address: Address, tls: Option<Tls>, timeout: Duration) -> Self {
        Self { address, tls: tls.map(Arc::new), timeout, attempts: Arc::default() }
    }

    async fn connect(self) -> io::Result<TokioIo<Box<dyn Io>>> {
        self.attempts.check()?;
        let until = Instant::now() + self.timeout;
        let connected = match &self.address {
            Address::Tcp(address) => self.tcp(address, until).await,
            Address::Unix(path) => timeout_at(until, UnixStream::connect(path))
                .await
                .unwrap_or_else(|_| Err(late()))
                .map(|stream| Box::new(stream) as Box<dyn Io>),
        };
        let failed = |error: io::Error| self.attempts.failed(&format!("no connection to {}: {error}", self.name()));
        let io = connected.map_err(failed)?;
        let greeted = Greeted { io, silent: Some(Box::pin(sleep_until(until))), connector: self.clone() };
        let io: Box<dyn Io> = match &self.tls {
            None => Box::new(greeted),
            Some(tls) => {
                Box::new(timeout_at(until, tls.over(greeted)).await.unwrap_or_else(|_| Err(late())).map_err(failed)?)
            }
        };
        Ok(TokioIo::new(io))
    }

    /// The addresses of the name, from another one each time, until one takes the connection.
    async fn tcp(&self, address: &str, until: Instant) -> io::Result<Box<dyn Io>> {
        let resolved = timeout_at(until, lookup_host(address)).await.map_err(|_| late())??;
        let mut addresses: Vec<_> = resolved.collect();
        let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        if !addresses.is_empty() {
            let first = self.attempts.next() % addresses.len();
            addresses.rotate_left(first);
        }
        for (at, address) in addresses.iter().enumerate() {
            // One that does not answer must not take the others' time.
            let left = until.saturating_duration_since(Instant::now());
            let share = Instant::now() + left / u32::try_from(addresses.len() - at).unwrap_or(1);
            match timeout_at(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(Box::new(stream));
                }
                Ok(Err(refused)) => error = refused,
                Err(_) => error = late(),
            }
        }
        Err(error)
    }

    fn name(&self) -> String {
        match &self.address {
            Address::Tcp(address) => address.clone(),
            Address::Unix(path) => format!("unix://{}", path.display()),
        }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Io>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<Box<dyn Io>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        self.clone().connect().boxed()
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it did not answer in time")
}

/// What became of the attempts of a client, over all its connections.
#[derive(Default)]
struct Attempts(Mutex<Tried>);

#[derive(Default)]
struct Tried {
    count: usize,
    pause: Duration,
    /// Until when attempts fail at once, and why.
    failing: Option<(Instant, String)>,
}

impl Attempts {
    fn next(&self) -> usize {
        let mut tried = self.tried();
        tried.count += 1;
        tried.count
    }

    fn check(&self) -> io::Result<()> {
        match &self.tried().failing {
            Some((until, why)) if Instant::now() < *until => Err(io::Error::other(why.clone())),
            _ => Ok(()),
        }
    }

    fn failed(&self, why: &str) -> io::Error {
        let mut tried = self.tried();
        tried.pause = (tried.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        tried.failing = Some((Instant::now() + tried.pause, why.to_owned()));
        io::Error::other(why.to_owned())
    }

    fn succeeded(&self) {
        let mut tried = self.tried();
        tried.pause = Duration::ZERO;
        tried.failing = None;
    }

    fn tried(&self) -> MutexGuard<'_, Tried> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection that counts only once its peer has said something.
struct Greeted {
    io: Box<dyn Io>,
    /// Runs out unless the peer says something.
    silent: Option<Pin<Box<Sleep>>>,
    connector: Connector,
}

impl AsyncRead for Greeted {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.io).poll_read(context, buffer);
        let Some(silent) = &mut this.silent else { return read };
        let failed = |why: &dyn std::fmt::Display| {
            let name = this.connector.name();
            Poll::Ready(Err(this.connector.attempts.failed(&format!("no connection to {name}: {why}"))))
        };
        match read {
            Poll::Pending => {
                ready!(silent.as_mut().poll(context));
                failed(&late())
            }
            Poll::Ready(Err(error)) => failed(&error),
            Poll::Ready(Ok(())) if buffer.filled().len() == before => failed(&"it was closed at once"),
            Poll::Ready(Ok(())) => {
                this.silent = None;
                this.connector.attempts.succeeded();
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Greeted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
