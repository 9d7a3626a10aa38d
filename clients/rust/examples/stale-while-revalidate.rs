//! A value past its TTL is served at once while one caller rebuilds it in the background.
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use dibs::{Client, Error, RebuildError};
use tokio::time::sleep;

static VERSION: AtomicU32 = AtomicU32::new(0);
const RENDER: Duration = Duration::from_secs(2);

async fn render() -> Result<Option<bytes::Bytes>, RebuildError> {
    let version = VERSION.fetch_add(1, Ordering::Relaxed) + 1;
    sleep(RENDER).await;
    Ok(Some(format!("page {version}").into()))
}

async fn read(dibs: &Client) -> Result<String, Error> {
    let page = dibs.get_or_rebuild("example:page").ttl(Duration::from_millis(100));
    let bytes = page.stale_ttl(Duration::from_secs(60)).with(render).await?;
    Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let dibs = Client::new()?;
    let first = read(&dibs).await?;
    sleep(Duration::from_millis(150)).await;
    let started_at = Instant::now();
    let stale = read(&dibs).await?;
    let waited = if started_at.elapsed() < RENDER { "at once" } else { "after a wait" };
    let mut next = stale.clone();
    while next == stale {
        sleep(Duration::from_millis(100)).await;
        next = read(&dibs).await?;
    }
    println!("{first}, then {stale} {waited}, then {next}");
    Ok(())
}
