//! The calls of the client other than `get_or_rebuild`.
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use dibs::{Client, Explanation, Found};
use serde_json::{Map, Value, json};

use crate::{
    adapter::Adapter,
    asking::with_options,
    command::{Asked, Codec, Get, Set},
    rebuild::run_many,
    told::{failed, failed_many, word},
};

fn base64(bytes: impl AsRef<[u8]>) -> Value {
    BASE64_STANDARD.encode(bytes).into()
}

fn by_key<T: AsRef<[u8]>>(values: impl IntoIterator<Item = (String, Option<T>)>) -> Map<String, Value> {
    values.into_iter().map(|(key, value)| (key, value.map_or(Value::Null, base64))).collect()
}

/// One call for several keys. Its name appears in what its rebuilds report.
pub async fn ask_many(
    adapter: Adapter,
    client: Client,
    name: String,
    keys: Vec<String>,
    asked: Asked,
) -> Result<Map<String, Value>, Value> {
    let asking = with_options!(client.get_or_rebuild_many(keys).ttl(asked.ttl_ms.0), &asked);
    let (runs, script) = (AtomicUsize::new(0), Arc::new(asked.rebuild));
    let next =
        move || (adapter.clone(), client.clone(), name.clone(), script.of_run(runs.fetch_add(1, Ordering::SeqCst)));
    match asked.codec {
        None => {
            let values = asking.with_leases(move |leases| {
                let (adapter, client, name, what) = next();
                run_many(adapter, client, name, what, leases)
            });
            values.await.map(by_key).map_err(|error| failed_many(error, base64))
        }
        Some(Codec::Json) => {
            let values = asking.json::<String>().with_leases(move |leases| {
                let (adapter, client, name, what) = next();
                async move {
                    let values = run_many(adapter, client, name, what, leases).await?;
                    let texts = values.into_iter().map(|(key, bytes)| {
                        Ok((key, bytes.map(|bytes| String::from_utf8(bytes.to_vec())).transpose()?))
                    });
                    texts.collect::<Result<Vec<_>, dibs::RebuildError>>()
                }
            });
            values.await.map(by_key).map_err(|error| failed_many(error, base64))
        }
    }
}

pub async fn get(client: Client, asked: Get) -> Result<Value, Value> {
    let mut get = client.get(asked.key);
    if let Some(wait_ms) = asked.wait_ms {
        get = get.wait(wait_ms.0);
    }
    if let Some(stale) = asked.stale {
        get = get.stale(stale.into());
    }
    if let Some(read) = asked.read {
        get = get.read(read.into());
    }
    match asked.codec {
        None => get.await.map(found).map_err(failed),
        Some(Codec::Json) => get.json::<String>().await.map(found).map_err(failed),
    }
}

fn found<T: AsRef<[u8]>>(found: Option<Found<T>>) -> Value {
    match found {
        Some(Found { value: Some(value), .. }) => json!({ "found": "value", "value": base64(value) }),
        Some(_) => json!({ "found": "absent" }),
        None => json!({ "found": "nothing" }),
    }
}

pub async fn set(client: Client, asked: Set) -> Result<Value, Value> {
    let bytes = asked.value.map(|value| BASE64_STANDARD.decode(value)).transpose();
    let bytes = bytes.map_err(|error| error.to_string())?;
    let mut set = client.set(asked.key).ttl(asked.ttl_ms.0).tags(asked.tags);
    if let Some(stale_ms) = asked.stale_ms {
        set = set.stale_ttl(stale_ms.0);
    }
    if let Some(wait_ms) = asked.wait_ms {
        set = set.wait(wait_ms.0);
    }
    let outcome = match asked.codec {
        None => set.publish(bytes.map(Into::into)).await,
        Some(Codec::Json) => {
            let text = bytes.map(String::from_utf8).transpose().map_err(|error| error.to_string())?;
            set.json::<String>().publish(text).await
        }
    };
    let outcome = outcome.map_err(failed)?;
    let name = word(outcome.as_str_name(), "PUBLISH_OUTCOME_");
    Ok(json!({ "outcome": name, "stored": outcome.is_stored() }))
}

/// With the names of the contract's message in JSON.
pub fn explanation(explained: &Explanation) -> Value {
    let lease = explained.lease.as_ref().map(|lease| {
        json!({
            "holder": lease.holder,
            "fence": lease.fence,
            "ageMs": lease.age.as_millis() as u64,
            "expiresInMs": lease.expires_in.as_millis() as u64,
            "reason": format!("LEASE_REASON_{}", lease.reason.to_string().to_uppercase()),
            "traceparent": lease.traceparent,
        })
    });
    let value = explained.value.as_ref().map(|value| {
        json!({
            "absent": value.absent,
            "freshness": if value.stale { "FRESHNESS_STALE" } else { "FRESHNESS_FRESH" },
            "sizeBytes": value.size_bytes,
            "ageMs": value.age.as_millis() as u64,
            "freshForMs": value.fresh_for.as_millis() as u64,
            "staleForMs": value.stale_for.as_millis() as u64,
            "fence": value.fence,
            "tags": value.tags,
        })
    });
    let past_leases = explained.past_leases.iter().map(|past| {
        json!({
            "holder": past.holder,
            "fence": past.fence,
            "heldMs": past.held.as_millis() as u64,
            "endedAgoMs": past.ended_ago.as_millis() as u64,
            "end": past.end.as_str_name(),
            "failureMessage": past.failure_message,
        })
    });
    let failed = explained.failed.as_ref();
    json!({
        "lease": lease,
        "waiters": explained.waiters,
        "value": value,
        "fence": explained.fence,
        "pastLeases": past_leases.collect::<Vec<_>>(),
        "failed": failed.map(|failed| {
            json!({ "message": failed.message, "retryAfterMs": failed.retry_after.as_millis() as u64 })
        }),
        "degraded": explained.degraded.as_str_name(),
    })
}
