//! The protocol's names of errors and events.
use std::panic::{AssertUnwindSafe, catch_unwind};

use dibs::{Error, Event, ManyError, RebuildError};
use serde_json::{Map, Value, json};

use crate::raw;

/// A rebuild that failed by its own call fails like that call.
fn of_rebuild(error: &RebuildError) -> Value {
    if let Some(nested) = error.downcast_ref::<Error>() {
        return failed(nested.clone());
    }
    match catch_unwind(AssertUnwindSafe(|| error.to_string())) {
        Ok(message) => json!({ "kind": "rebuild", "message": message }),
        Err(_) => json!({ "kind": "rebuild" }),
    }
}

pub fn failed(error: Error) -> Value {
    match error {
        Error::Rebuild(error) => of_rebuild(&error),
        Error::ReentrantRebuild { .. } => json!({ "kind": "reentrant", "message": error.to_string() }),
        Error::Codec(_) => json!({ "kind": "undecodable", "message": error.to_string() }),
        Error::Options(message) => json!({ "kind": "invalid_option", "message": message }),
        Error::RebuildFailed { message, retry_after } => {
            json!({ "kind": "rebuild_failed", "message": message, "retry_after_ms": retry_after.as_millis() as u64 })
        }
        Error::Busy { reason, retry_after, .. } => {
            let reason = word(reason.as_str_name(), "BUSY_REASON_");
            json!({ "kind": "busy", "reason": reason, "retry_after_ms": retry_after.as_millis() as u64 })
        }
        Error::Call(error) => {
            let mut told = json!({ "kind": "dibs", "code": raw::code_name(error.code), "message": error.message });
            if let Some(retry_after) = error.retry_after {
                told["retry_after_ms"] = json!(retry_after.as_millis() as u64);
            }
            told
        }
        other => json!({ "kind": "adapter", "message": other.to_string() }),
    }
}

/// Several keys, each with its result.
pub fn failed_many<T>(error: ManyError<T>, base64: impl Fn(T) -> Value) -> Value {
    match error {
        ManyError::Keys { errors, values } => {
            let errors: Map<_, _> = errors.into_iter().map(|(key, error)| (key, failed(error))).collect();
            let values: Map<_, _> =
                values.into_iter().map(|(key, value)| (key, value.map_or(Value::Null, &base64))).collect();
            json!({ "kind": "many", "errors": errors, "values": values })
        }
        error => failed(error.into()),
    }
}

/// `wait_ended` of `BUSY_REASON_WAIT_ENDED`.
pub fn word(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_ascii_lowercase()
}

pub fn hook(event: &Event<'_>) -> Value {
    let told = |name: &str, key: &str| json!({ "event": "hook", "name": name, "key": key });
    match event {
        Event::Hit { key, stale, .. } => {
            let mut told = told("hit", key);
            told["freshness"] = if *stale { "stale" } else { "fresh" }.into();
            told
        }
        Event::Wait { key, .. } => told("wait", key),
        Event::Publish { key, outcome, counts, maybe_stored, .. } => {
            let mut told = told("publish", key);
            told["outcome"] = word(outcome.as_str_name(), "PUBLISH_OUTCOME_").into();
            if let Some(counts) = counts {
                told["counts"] = (*counts).into();
            }
            if *maybe_stored {
                told["maybe_stored"] = true.into();
            }
            told
        }
        Event::LeaseLost { key, .. } => told("lease_lost", key),
        Event::NotStorable { key, .. } => told("not_storable", key),
        Event::Undecodable { key, .. } => told("undecodable", key),
        Event::LocalRebuild { key, .. } => told("local_rebuild", key),
        Event::BackgroundError { key, .. } => told("background_error", key),
        other => json!({ "event": "hook", "name": format!("{other:?}") }),
    }
}
