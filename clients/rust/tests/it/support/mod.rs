//! What the tests have in common.
pub mod answers;
pub mod fake;
pub mod service;

use std::{
    future::Future,
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use dibs::{CallError, Client, ClientBuilder, Error};
use tokio::{sync::oneshot, task::spawn_blocking};

pub const TTL: Duration = Duration::from_secs(60);

/// A key that no other test uses.
pub fn fresh_key() -> String {
    static KEYS: AtomicU32 = AtomicU32::new(0);
    format!("key {}", KEYS.fetch_add(1, Ordering::Relaxed))
}

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[expect(clippy::unnecessary_wraps, reason = "it is what a rebuild returns")]
pub fn value(text: &'static str) -> Result<Option<Bytes>, dibs::RebuildError> {
    Ok(Some(text.into()))
}

pub fn text(value: Option<Bytes>) -> String {
    String::from_utf8(value.expect("a value").to_vec()).expect("UTF-8")
}

pub fn call_error(error: Error) -> CallError {
    match error {
        Error::Call(error) => error,
        other => panic!("another error: {other:?}"),
    }
}

/// Also on a machine that has much else to do.
pub const SOON: Duration = Duration::from_secs(60);

/// The options of a client for which a service is not out of reach that takes seconds for its first answer, as on a busy
/// machine.
pub fn patient() -> ClientBuilder {
    Client::builder().connect_timeout(SOON)
}

/// The time of a test stands still while this lives, except for `advance`. So a busy machine makes nothing late.
pub struct Frozen {
    _held: mpsc::Sender<()>,
}

impl Frozen {
    pub fn begin() -> Self {
        tokio::time::pause();
        let (held, ended) = mpsc::channel();
        // tokio does not advance a paused time by itself while a blocking task runs.
        drop(spawn_blocking(move || ended.recv()));
        Self { _held: held }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}

/// A moment of real time, also where that of the test stands still.
pub async fn moment() {
    spawn_blocking(|| thread::sleep(ms(2))).await.expect("it only sleeps");
}

/// Waits until it is so.
pub async fn until(mut so: impl FnMut() -> bool) {
    let late = Instant::now() + SOON;
    while !so() {
        assert!(Instant::now() < late, "it did not come about");
        moment().await;
    }
}

/// What must come does so in time, which is real.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    let (_held, ended) = mpsc::channel::<()>();
    let (tell, late) = oneshot::channel();
    thread::spawn(move || {
        if ended.recv_timeout(SOON) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = tell.send(());
        }
    });
    tokio::select! {
        biased;
        came = future => came,
        _ = late => panic!("it did not come in time"),
    }
}
