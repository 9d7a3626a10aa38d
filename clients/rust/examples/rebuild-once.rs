//! Two callers miss the same key at the same time. One rebuilds, and both get the value.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use dibs::{Client, Error};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
struct User {
    id: u32,
    name: String,
}

#[derive(Clone, Default)]
struct Database {
    queries: Arc<AtomicU32>,
}

impl Database {
    async fn user(&self, id: u32) -> Result<Option<User>, std::io::Error> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        Ok(Some(User { id, name: "Ada".into() }))
    }
}

async fn user(dibs: &Client, database: &Database) -> Result<Option<User>, Error> {
    let database = database.clone();
    let rebuild = move || {
        let database = database.clone();
        async move { Ok(database.user(42).await?) }
    };
    dibs.get_or_rebuild("example:user:42").ttl(Duration::from_secs(60)).json().with(rebuild).await
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    // Two clients stand for two processes. Within one client, equal calls are joined before the service is asked.
    let (dibs, other) = (Client::new()?, Client::new()?);
    let database = Database::default();
    let (one, two) = tokio::try_join!(user(&dibs, &database), user(&other, &database))?;
    let name = |user: Option<User>| user.map(|user| user.name).unwrap_or_default();
    println!("{} and {} after {} query", name(one), name(two), database.queries.load(Ordering::Relaxed));
    Ok(())
}
