//! Calls over the generated stub, in proto3 JSON.
use std::{sync::LazyLock, time::Duration};

use dibs::{Code, Stub, v1};
use futures_util::TryStreamExt;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(include_bytes!("../descriptor.binpb").as_slice()).expect("what buf wrote"));

/// tonic calls it a cancellation when its own timer ends a call: the end comes from here, a little earlier.
const MARGIN: Duration = Duration::from_millis(50);

/// One call; the error is that of the protocol.
pub async fn call(stub: Stub, method: &str, request: Value, deadline: Option<Duration>) -> Result<Value, Value> {
    let called = send(stub, method, request, deadline);
    let Some(deadline) = deadline else { return called.await };
    match tokio::time::timeout(deadline, called).await {
        Ok(ended) => ended,
        Err(_) => Err(refused(&tonic::Status::deadline_exceeded("no answer within the deadline"))),
    }
}

async fn send(mut stub: Stub, method: &str, request: Value, deadline: Option<Duration>) -> Result<Value, Value> {
    macro_rules! unary {
        ($request:ident, $response:literal, $send:ident) => {{
            let response = stub.$send(message::<v1::$request>(stringify!($request), request, deadline)?);
            json_of($response, &response.await.map_err(|status| refused(&status))?.into_inner())
        }};
    }
    match method {
        "GetOrLock" => unary!(GetOrLockRequest, "GetOrLockResponse", get_or_lock),
        "Publish" => unary!(PublishRequest, "PublishResponse", publish),
        "Release" => unary!(ReleaseRequest, "ReleaseResponse", release),
        "Extend" => unary!(ExtendRequest, "ExtendResponse", extend),
        "Invalidate" => unary!(InvalidateRequest, "InvalidateResponse", invalidate),
        "Explain" => unary!(ExplainRequest, "ExplainResponse", explain),
        "GetOrLockMany" => {
            let request = message::<v1::GetOrLockManyRequest>("GetOrLockManyRequest", request, deadline)?;
            let stream = stub.get_or_lock_many(request).await.map_err(|status| refused(&status))?.into_inner();
            let responses: Vec<_> = stream.try_collect().await.map_err(|status| refused(&status))?;
            let responses: Result<Vec<_>, _> =
                responses.iter().map(|response| json_of("GetOrLockManyResponse", response)).collect();
            Ok(json!({ "responses": responses? }))
        }
        _ => Err(wrong(&format!("no method {method}"))),
    }
}

fn message<T: Message + Default>(
    name: &str,
    json: Value,
    deadline: Option<Duration>,
) -> Result<tonic::Request<T>, Value> {
    let descriptor = POOL.get_message_by_name(&format!("dibs.v1.{name}")).expect("a message of the contract");
    let message = DynamicMessage::deserialize(descriptor, json).map_err(|error| wrong(&error))?;
    let mut request = tonic::Request::new(message.transcode_to().map_err(|error| wrong(&error))?);
    if let Some(deadline) = deadline {
        request.set_timeout(deadline + MARGIN);
    }
    Ok(request)
}

fn json_of(name: &str, message: &impl Message) -> Result<Value, Value> {
    let descriptor = POOL.get_message_by_name(&format!("dibs.v1.{name}")).expect("a message of the contract");
    let mut dynamic = DynamicMessage::new(descriptor);
    dynamic.transcode_from(message).map_err(|error| wrong(&error))?;
    serde_json::to_value(&dynamic).map_err(|error| wrong(&error))
}

fn wrong(error: &dyn std::fmt::Display) -> Value {
    json!({ "kind": "adapter", "message": error.to_string() })
}

fn refused(status: &tonic::Status) -> Value {
    let mut error = json!({ "kind": "dibs", "code": code_name(status.code()), "message": status.message() });
    let pushback = status.metadata().get("grpc-retry-pushback-ms").and_then(|ms| ms.to_str().ok()?.parse::<u64>().ok());
    if let Some(ms) = pushback {
        error["retry_after_ms"] = Value::Number(serde_json::Number::from(ms));
    }
    error
}

/// gRPC's canonical name: `INVALID_ARGUMENT`.
pub fn code_name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}
