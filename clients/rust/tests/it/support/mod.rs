//! What the tests have in common.
pub mod answers;
pub mod fake;
pub mod service;

use std::{
    future::Future,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use dibs::{CallError, Error};

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
const SOON: Duration = Duration::from_secs(60);

/// Waits until it is so.
pub async fn until(mut so: impl FnMut() -> bool) {
    let late = Instant::now() + SOON;
    while !so() {
        assert!(Instant::now() < late, "it did not come about");
        tokio::time::sleep(ms(2)).await;
    }
}

/// What must come does so in time.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("it did not come in time")
}
