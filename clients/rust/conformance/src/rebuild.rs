//! A rebuild that follows a script.
use std::{
    collections::HashMap,
    fmt,
    future::{Future, pending},
    panic::panic_any,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use dibs::{Client, Lease, Leases, Previous, RebuildError};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    adapter::Adapter,
    asking::ask,
    command::{Rebuild, ms},
};

/// Reports its beginning and follows the script. Stops when its lease is lost, unless the script ignores that.
pub async fn run<T: AsRef<[u8]>>(
    adapter: Adapter,
    client: Client,
    call: String,
    rebuild: Rebuild,
    lease: Lease<T>,
) -> Result<Option<Bytes>, RebuildError> {
    let reason = lease.reason().to_string();
    let mut event = json!({ "event": "rebuild", "call": call, "reason": reason, "fence": lease.fence() });
    match lease.previous() {
        Previous::Unknown => {}
        Previous::Absent => event["previous"] = Value::Null,
        Previous::Value(bytes) => event["previous"] = BASE64_STANDARD.encode(bytes).into(),
    }
    adapter.output().line(&event);
    say_of_value(&rebuild, &lease);
    follow(adapter, client, call, &rebuild, lease.lost()).await
}

/// The same for several keys.
pub async fn run_many<T>(
    adapter: Adapter,
    client: Client,
    call: String,
    rebuild: Rebuild,
    leases: Leases<T>,
) -> Result<HashMap<String, Option<Bytes>>, RebuildError> {
    let mut keys: Vec<_> = leases.keys().collect();
    keys.sort_unstable();
    adapter.output().line(&json!({ "event": "rebuild", "call": call, "keys": keys }));
    for (key, lease) in leases.iter() {
        if let Some(of) = rebuild.of.get(key) {
            say_of_value(of, lease);
        }
    }
    follow(adapter, client, call, &rebuild, leases.lost()).await?;
    let each = rebuild.each.clone().map(Some);
    let values = leases.keys().filter_map(|key| Some((key, rebuild.values.get(key).cloned().or(each.clone())?)));
    let decoded = values.map(|(key, value)| {
        let bytes = value.map(|value| BASE64_STANDARD.decode(value)).transpose()?;
        Ok((key.to_owned(), bytes.map(Bytes::from)))
    });
    decoded.collect()
}

async fn follow(
    adapter: Adapter,
    client: Client,
    call: String,
    rebuild: &Rebuild,
    lost: impl Future<Output = ()>,
) -> Result<Option<Bytes>, RebuildError> {
    let gate = rebuild.gate.as_ref().map(|gate| adapter.gate(gate));
    let stopped = async {
        lost.await;
        adapter.output().line(&json!({ "event": "lost", "call": call }));
        if rebuild.ignore_loss {
            pending::<()>().await;
        }
    };
    let made = async {
        if let Some(gate) = &gate {
            gate.cancelled().await;
        }
        sleep(ms(rebuild.after_ms.unwrap_or(0))).await;
        let asked = match &rebuild.asks {
            Some(asked) => {
                let asking = ask(adapter.clone(), client.clone(), call.clone(), (**asked).clone());
                if asked.detached { tokio::spawn(asking).await?? } else { asking.await? }
            }
            None => None,
        };
        result(rebuild, asked)
    };
    tokio::select! {
        biased;
        () = stopped => Err("the lease was lost".into()),
        made = made => made,
    }
}

fn say_of_value<T>(rebuild: &Rebuild, lease: &Lease<T>) {
    if let Some(ttl_ms) = rebuild.ttl_ms {
        lease.set_ttl(ttl_ms.0);
    }
    if let Some(stale_ms) = rebuild.stale_ms {
        lease.set_stale_ttl(stale_ms.0);
    }
    if let Some(tags) = &rebuild.tags {
        lease.set_tags(tags);
    }
    if rebuild.do_not_store {
        lease.do_not_store();
    }
}

/// An error whose text cannot be read.
#[derive(Debug)]
struct Unreadable;

impl fmt::Display for Unreadable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("this error has no text")
    }
}

impl std::error::Error for Unreadable {}

fn result(rebuild: &Rebuild, asked: Option<Bytes>) -> Result<Option<Bytes>, RebuildError> {
    let Rebuild { fail, retry_after_ms, throws_badly, panics, absent, size, value, .. } = rebuild;
    if let Some(message) = fail {
        let error = RebuildError::from(message.as_str());
        return Err(match retry_after_ms {
            Some(after) => error.retry_after(ms(*after)),
            None => error,
        });
    }
    if *throws_badly {
        return Err(Unreadable.into());
    }
    if let Some(text) = panics {
        panic_any(text.clone());
    }
    if *absent {
        return Ok(None);
    }
    if let Some(size) = size {
        return Ok(Some(vec![b'x'; *size].into()));
    }
    match value {
        Some(value) => Ok(Some(BASE64_STANDARD.decode(value)?.into())),
        None => Ok(Some(asked.unwrap_or_default())),
    }
}
