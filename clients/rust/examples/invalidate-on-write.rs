//! Commit to the source first, then invalidate: a rebuild that began before cannot bring the old value back.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use dibs::{Client, Error};

const KEY: &str = "example:price";

async fn read(dibs: &Client, database: &Arc<AtomicU32>) -> Result<u32, Error> {
    let database = database.clone();
    let rebuild = move || {
        let price = database.load(Ordering::Relaxed);
        async move { Ok(Some(price)) }
    };
    let price = dibs.get_or_rebuild(KEY).ttl(Duration::from_secs(60)).json().with(rebuild).await?;
    Ok(price.unwrap_or_default())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let dibs = Client::new()?;
    let database = Arc::new(AtomicU32::new(10));
    let before = read(&dibs, &database).await?;
    database.store(12, Ordering::Relaxed);
    dibs.invalidate().keys([KEY]).now().await?;
    let after = read(&dibs, &database).await?;
    println!("{before}, then {after}");
    Ok(())
}
