//! A rebuild that does what it was told.
use std::future::pending;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use dibs::{Lease, Previous, RebuildError};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    command::{Rebuild, ms},
    output::Output,
};

/// Tells that it begins, does what it was told, and stops when its lease is lost unless it ignores that.
pub async fn run(
    output: Output,
    call: String,
    rebuild: Rebuild,
    gate: Option<CancellationToken>,
    lease: Lease,
) -> Result<Option<Bytes>, RebuildError> {
    let reason = lease.reason().to_string();
    let mut event = json!({ "event": "rebuild", "call": call, "reason": reason, "fence": lease.fence() });
    match lease.previous() {
        Previous::Unknown => {}
        Previous::Absent => event["previous"] = Value::Null,
        Previous::Value(bytes) => event["previous"] = BASE64_STANDARD.encode(bytes).into(),
    }
    output.line(&event);
    let stopped = async {
        lease.lost().await;
        output.line(&json!({ "event": "lost", "call": call }));
        if rebuild.ignore_loss {
            pending::<()>().await;
        }
    };
    let made = async {
        if let Some(gate) = &gate {
            gate.cancelled().await;
        }
        sleep(ms(rebuild.after_ms.unwrap_or(0))).await;
        result(&rebuild)
    };
    tokio::select! {
        biased;
        () = stopped => Err("the lease was lost".into()),
        made = made => made,
    }
}

fn result(rebuild: &Rebuild) -> Result<Option<Bytes>, RebuildError> {
    let Rebuild { fail, retry_after_ms, absent, size, value, .. } = rebuild;
    if let Some(message) = fail {
        let error = RebuildError::from(message.as_str());
        return Err(match retry_after_ms {
            Some(after) => error.retry_after(ms(*after)),
            None => error,
        });
    }
    if *absent {
        return Ok(None);
    }
    if let Some(size) = size {
        return Ok(Some(vec![b'x'; *size].into()));
    }
    let value = value.as_deref().unwrap_or_default();
    Ok(Some(BASE64_STANDARD.decode(value)?.into()))
}
