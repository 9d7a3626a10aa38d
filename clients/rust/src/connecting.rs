//! Bounds how long calls wait for a connection.
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    time::{Instant, Sleep, sleep_until, timeout_at},
};
use tonic::codegen::{Service, http::Uri};

use crate::{
    address::{Address, Place, host_of},
    tls::Tls,
};

/// Reconnects soon to a service that restarts, without a storm of connections until then.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Connects within a bound that includes the peer's first byte, because a hung process still accepts connections. After
/// a failed attempt, others fail at once for a while, so that no call waits for the bound again.
#[derive(Clone)]
pub(crate) struct Connector {
    address: Address,
    /// The only address that it connects to.
    only: Option<Place>,
    tls: Option<Arc<Tls>>,
    timeout: Duration,
    attempts: Arc<Attempts>,
}

impl Connector {
    pub fn new(address: Address, tls: Option<Tls>, timeout: Duration) -> Self {
        Self { address, only: None, tls: tls.map(Arc::new), timeout, attempts: Arc::default() }
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Connects to this address only. Its faults say nothing about the others.
    pub fn at(&self, place: &Place) -> Self {
        Self { only: Some(place.clone()), attempts: Arc::default(), ..self.clone() }
    }

    async fn connect(self) -> io::Result<TokioIo<Box<dyn Io>>> {
        self.attempts.check()?;
        let until = Instant::now() + self.timeout;
        let connected = match &self.address {
            Address::Tcp(_) => self.tcp(until).await,
            Address::Unix(path) => timeout_at(until, UnixStream::connect(path))
                .await
                .unwrap_or_else(|_| Err(late()))
                .map(|stream| (Box::new(stream) as Box<dyn Io>, "localhost".to_owned())),
        };
        let failed = |error: io::Error| self.attempts.failed(&format!("no connection to {}: {error}", self.name()));
        let (io, host) = connected.map_err(failed)?;
        let greeted = Greeted { io, silent: Some(Box::pin(sleep_until(until))), connector: self.clone() };
        let io: Box<dyn Io> = match &self.tls {
            None => Box::new(greeted),
            Some(tls) => Box::new(
                timeout_at(until, tls.over(&host, greeted)).await.unwrap_or_else(|_| Err(late())).map_err(failed)?,
            ),
        };
        Ok(TokioIo::new(io))
    }

    /// Tries the addresses of the target until one accepts the connection, beginning after the one that accepted the
    /// last. Returns its host too.
    async fn tcp(&self, until: Instant) -> io::Result<(Box<dyn Io>, String)> {
        let mut places = match &self.only {
            Some(place) => vec![place.clone()],
            None => timeout_at(until, self.address.resolve()).await.map_err(|_| late())??,
        };
        let first = self.attempts.next() % places.len();
        places.rotate_left(first);
        let mut error = late();
        for (at, Place { name, address }) in places.iter().enumerate() {
            // An address that does not answer must not use up the others' time.
            let left = until.saturating_duration_since(Instant::now());
            let share = Instant::now() + left / u32::try_from(places.len() - at).unwrap_or(1);
            match timeout_at(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    self.attempts.skip(at);
                    return Ok((Box::new(stream), host_of(name).to_owned()));
                }
                Ok(Err(refused)) => error = refused,
                Err(_) => error = late(),
            }
        }
        Err(error)
    }

    fn name(&self) -> String {
        match (&self.only, &self.address) {
            (Some(Place { name, address }), _) => format!("{name} ({address})"),
            (None, Address::Tcp(names)) => names.join(","),
            (None, Address::Unix(path)) => format!("unix://{}", path.display()),
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

/// The results of a client's attempts, over all its connections.
#[derive(Default)]
struct Attempts(Mutex<Tried>);

struct Tried {
    count: usize,
    pause: Duration,
    /// Until when attempts fail at once, and why.
    failing: Option<(Instant, String)>,
}

impl Default for Tried {
    /// Starts at a random address, so that the first connections of many processes are spread.
    fn default() -> Self {
        Self { count: fastrand::usize(..1_000), pause: Duration::ZERO, failing: None }
    }
}

impl Attempts {
    fn next(&self) -> usize {
        let mut tried = self.tried();
        tried.count += 1;
        tried.count
    }

    /// That many addresses have failed before one accepted the connection.
    fn skip(&self, failed: usize) {
        self.tried().count += failed;
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

/// A connection that counts only once its peer has sent something.
struct Greeted {
    io: Box<dyn Io>,
    /// Expires unless the peer sends something.
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Otherwise a call whose replica drains would reach the same one again, which still accepts connections.
    #[tokio::test]
    async fn an_attempt_begins_after_the_address_that_accepted_the_last_one() {
        // The first attempt begins at a random address.
        for _ in 0..10 {
            let one = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = one.local_addr().unwrap().port();
            let _other = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
            drop(one);
            let address = Address::parse(&format!("127.0.0.1:{port},127.0.0.2:{port}")).unwrap();
            let connector = Connector::new(address, None, Duration::from_secs(5));
            let until = Instant::now() + Duration::from_secs(5);
            assert_eq!(connector.tcp(until).await.unwrap().1, "127.0.0.2");
            let _one = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
            assert_eq!(connector.tcp(until).await.unwrap().1, "127.0.0.1");
            assert_eq!(connector.tcp(until).await.unwrap().1, "127.0.0.2");
        }
    }
}
